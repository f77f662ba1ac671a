"""The task of telling images apart: a training set, a test set, and what happens to images on their way in."""

import dataclasses
import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.data import pipes
from expressivity.data.images import ImageSet
from expressivity.data.pipes import Pipe


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTask:
    """Labelled images to learn from and others to be measured on.

    Step t of a run reads a batch that is a function of the run's key and t: an epoch is a permutation of the training
    set. All networks of a program see the same images, augmented in the same way.

    Args:
        train: Images to learn from.
        test: Images to be measured on, of the same classes.
        pipe: What happens to them, at random in training; by default every channel gets mean 0 and deviation 1.
        name: A short name for tables; that of the training set if not given.

    Raises:
        TypeError: If the sets are no `ImageSet`s, or the pipe is no `Pipe`.
        ValueError: If classes or sizes of the two sets differ.

    >>> import expressivity as ex
    >>> task = ImageTask(ex.data.fashion_mnist(), ex.data.fashion_mnist("test"))
    >>> task.classes, task.input_size, len(task.train), len(task.test)
    (10, (28, 28, 1), 1000, 500)
    """

    train: ImageSet
    test: ImageSet
    pipe: Pipe | None = None
    name: str = ""

    def __post_init__(self) -> None:
        for part in (self.train, self.test):
            if not isinstance(part, ImageSet):
                raise TypeError(f"An ImageTask needs two sets of images in memory (data.ImageSet); got {part!r}.")
        if self.train.class_names != self.test.class_names:
            raise ValueError(
                f"{self.train.name} has the classes {self.train.class_names[:4]}..., {self.test.name} has "
                f"{self.test.class_names[:4]}...; read the test set with the classes of the training set (like=...)."
            )
        pipe = pipes.standard(self.train) if self.pipe is None else self.pipe
        if not isinstance(pipe, Pipe):
            raise TypeError(f"The pipe of an ImageTask is a data.Pipe; got {self.pipe!r}.")
        sizes = [pipe.output_size(part.input_size) for part in (self.train, self.test)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"Networks would read images of {sizes[0]} in training and {sizes[1]} in the test; give a pipe that "
                "crops both to one size."
            )
        object.__setattr__(self, "pipe", pipe)
        object.__setattr__(self, "name", self.name or self.train.name)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.train.classes

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(height, width, channels) of what networks read."""
        assert self.pipe is not None
        return self.pipe.output_size(self.train.input_size)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of all images, labels and the pipe; it addresses finished work."""
        state = hashlib.sha256(repr((self.pipe, self.train.class_names)).encode())
        for part in (self.train, self.test):
            state.update(repr(part.images.shape).encode())
            state.update(np.ascontiguousarray(part.images).data)
            state.update(part.labels.tobytes())
        return f"images:{state.hexdigest()[:16]}"

    def places(self, root: int, first: int, count: int, size: int) -> np.ndarray:
        """Which training images the steps first, ..., first + count - 1 read, shape (count, size).

        >>> import expressivity as ex
        >>> task = ImageTask(ex.data.fashion_mnist(), ex.data.fashion_mnist("test"))
        >>> epoch = task.places(0, 0, 10, 100)
        >>> sorted(epoch.ravel().tolist()) == list(range(1000))
        True
        """
        key, total = jax.random.fold_in(jax.random.key(root), 2**32 - 2), len(self.train)
        if size > total:
            return np.stack([np.asarray(pipes.batch_places(key, step, total, size)) for step in _steps(first, count)])
        steps = total // size
        rows = [_permutation(key, step // steps, total)[step % steps * size :][:size] for step in _steps(first, count)]
        return np.stack(rows)


def _steps(first: int, count: int) -> range:
    return range(first, first + count)


def _permutation(key: Any, epoch: int, count: int) -> np.ndarray:
    return _order(np.asarray(jax.random.key_data(key)).tobytes(), epoch, count)


@functools.lru_cache(maxsize=8)
def _order(key: bytes, epoch: int, count: int) -> np.ndarray:
    wrapped = jax.random.wrap_key_data(jnp.asarray(np.frombuffer(key, np.uint32)))
    return np.asarray(jax.random.permutation(jax.random.fold_in(wrapped, epoch), count))


def halves(images: ImageSet, held_out: float = 0.2) -> ImageTask:
    """A task out of one set: the last part of each class, in the order of the set, is the test set.

    Args:
        images: The set.
        held_out: The part that is held out.

    Raises:
        ValueError: If a class would have no image on one side.

    >>> import expressivity as ex
    >>> task = halves(ex.data.fashion_mnist())
    >>> len(task.train), len(task.test)
    (800, 200)
    """
    chosen = np.zeros(len(images), bool)
    for label, name in enumerate(images.class_names):
        places = np.flatnonzero(images.labels == label)
        count = round(held_out * len(places))
        if len(places) and not 0 < count < len(places):
            raise ValueError(
                f"The class {name!r} of {images.name} has {len(places)} images, too few to hold out a part of "
                f"{held_out:g}; give a test set of its own: training.ImageTask(train, test)."
            )
        chosen[places[len(places) - count :]] = True
    parts = [dataclasses.replace(images, images=images.images[p], labels=images.labels[p]) for p in (~chosen, chosen)]
    return ImageTask(parts[0], parts[1], name=images.name)
