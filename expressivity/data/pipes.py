"""From stored images to what a network reads: crop, mirror, mean, colours, as pure functions of (key, step)."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from expressivity.data.images import ImageSet


@dataclasses.dataclass(frozen=True)
class Pipe:
    """What happens to a batch of uint8 images; `pipe(images)` for evaluation, `pipe(images, key)` in training.

    In training: `pad` pixels are added on each side, a `crop` x `crop` window is cut at a random place, and half of the
    images are mirrored. In evaluation the window is the middle one. Then (x - mean) / deviation for each channel, in
    the order of colours that the network reads.

    Args:
        crop: Side of the window; the whole image if None.
        pad: Pixels added on each side before the crop, in training.
        pad_mode: "zero" (of uint8) or "reflect".
        mirror: Whether images are mirrored, in training.
        mean: Subtracted, one number or one a channel in the order of `order`, in units of 0 to 255.
        deviation: Divided by, likewise.
        order: "RGB" or "BGR", the order in which the network reads colours; grey images have none.

    Raises:
        ValueError: If an argument is out of its range.

    >>> import numpy as np
    >>> x = UNIT(np.full((1, 2, 2, 3), 255, np.uint8))
    >>> x.shape, float(x.max())
    ((1, 2, 2, 3), 1.0)
    """

    crop: int | None = None
    pad: int = 0
    pad_mode: str = "zero"
    mirror: bool = False
    mean: float | tuple[float, ...] = 0.0
    deviation: float | tuple[float, ...] = 1.0
    order: str = "RGB"

    def __post_init__(self) -> None:
        if self.order not in ("RGB", "BGR"):
            raise ValueError(f"The order of colours is RGB or BGR; got {self.order!r}.")
        if self.pad_mode not in ("zero", "reflect"):
            raise ValueError(f"Images are padded by zero or reflect; got {self.pad_mode!r}.")
        if self.pad < 0 or (self.crop is not None and self.crop < 1):
            raise ValueError(f"A pipe pads at least 0 pixels and crops to at least 1; got {self.pad} and {self.crop}.")
        if not all(math.isfinite(value) and value > 0 for value in np.atleast_1d(self.deviation)):
            raise ValueError(f"The deviation of a pipe is positive; got {self.deviation}.")

    def output_size(self, input_size: tuple[int, int, int]) -> tuple[int, int, int]:
        """(height, width, channels) of what comes out for images of that size.

        >>> CAFFE.output_size((256, 256, 3))
        (224, 224, 3)
        """
        height, width, channels = input_size
        return (height, width, channels) if self.crop is None else (self.crop, self.crop, channels)

    @property
    def unscaled(self) -> "Pipe":
        """The same pipe with mean 0 and deviation 1."""
        return dataclasses.replace(self, mean=0.0, deviation=1.0)

    def scale(self, channels: int) -> np.ndarray:
        """Mean and deviation of each channel, float32 (2, channels).

        Raises:
            ValueError: If it has numbers for another count of channels.

        >>> CAFFE.scale(3).tolist()
        [[104.0, 117.0, 124.0], [1.0, 1.0, 1.0]]
        """
        if {np.size(self.mean), np.size(self.deviation)} - {1, channels}:
            raise ValueError(
                f"Images of {channels} channels need one mean and deviation, or {channels}; got {self.mean} and "
                f"{self.deviation}."
            )
        return np.stack(
            [np.broadcast_to(np.asarray(each, np.float32), channels) for each in (self.mean, self.deviation)]
        )

    def __call__(self, images: Any, key: Any = None, scale: Any = None) -> jax.Array:
        """float32 (batch, height, width, channels) of uint8 images; random where a key is given.

        Args:
            images: uint8 (batch, height, width, channels).
            key: A JAX random key, in training.
            scale: Mean and deviation of each channel, (2, channels), in the place of its own; may be traced, so that
                one compiled program serves all of them.

        Raises:
            ValueError: If the images are smaller than the crop, or have another count of channels than the means.
        """
        x = jnp.asarray(images)
        count, height, width, channels = x.shape
        training = key is not None
        if training and self.pad:
            around = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
            x = jnp.pad(x, around, mode="reflect" if self.pad_mode == "reflect" else "constant")
        rows, columns = (height, width) if self.crop is None else (self.crop, self.crop)
        free = x.shape[1] - rows, x.shape[2] - columns
        if min(free) < 0:
            raise ValueError(f"Images of {height}x{width} pixels are too small for a crop of {self.crop}.")
        if training:
            place_key, mirror_key = jax.random.split(key)
            if max(free):
                places = jax.random.randint(place_key, (count, 2), 0, jnp.array([f + 1 for f in free])[None])
                x = jax.vmap(lambda image, place: _window(image, place, rows, columns))(x, places)
            if self.mirror:
                mirrored = jax.random.bernoulli(mirror_key, 0.5, (count, 1, 1, 1))
                x = jnp.where(mirrored, x[:, :, ::-1], x)
        else:
            top, left = free[0] // 2, free[1] // 2
            x = x[:, top : top + rows, left : left + columns]
        if self.order == "BGR" and channels == 3:
            x = x[..., ::-1]
        mean, deviation = self.scale(channels) if scale is None else scale
        return (x.astype(jnp.float32) - _each(mean)) / _each(deviation)


# inputs of the original allconv6 runs: stored at 256, blue first, means 104, 117, 124, no scale
CAFFE = Pipe(crop=224, mirror=True, mean=(104.0, 117.0, 124.0), order="BGR")
# -1 to 1, as the trained MobileNets read images
UNIT = Pipe(mean=127.5, deviation=127.5)
# the usual augmentation of small images: 4 reflected pixels, crop of the old size, mirror
CIFAR = Pipe(crop=32, pad=4, pad_mode="reflect", mirror=True, mean=(125.3, 123.0, 113.9), deviation=(63.0, 62.1, 66.7))


def standard(images: ImageSet, **options: Any) -> Pipe:
    """The pipe that gives every channel of `images` mean 0 and deviation 1.

    >>> import numpy as np
    >>> images = ImageSet(np.array([0, 2], np.uint8).reshape(2, 1, 1, 1), np.array([0, 1]), ("a", "b"))
    >>> standard(images)(images.images).ravel().tolist()
    [-1.0, 1.0]
    """
    count = images.images[..., 0].size
    mean = images.images.sum((0, 1, 2), dtype=np.float64) / count
    square = sum(np.square(part.astype(np.float64)).sum((0, 1, 2)) for part in np.array_split(images.images, 64))
    deviation = np.sqrt(np.maximum(square / count - mean**2, 1e-12))
    if options.get("order") == "BGR" and len(mean) == 3:
        mean, deviation = mean[::-1], deviation[::-1]
    return Pipe(mean=tuple(map(float, mean)), deviation=tuple(map(float, deviation)), **options)


def batch_places(key: Any, step: Any, count: int, size: int) -> jax.Array:
    """Which of `count` images step `step` reads: an epoch is a permutation drawn with its number, cut into batches.

    The last count % size images of a permutation are left out; where size > count, one epoch is one batch drawn with
    replacement.

    >>> import jax, numpy as np
    >>> parts = [batch_places(jax.random.key(0), step, 6, 2) for step in range(3)]
    >>> sorted(np.concatenate(parts).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    if size > count:
        return jax.random.randint(jax.random.fold_in(key, step), (size,), 0, count)
    steps = count // size
    epoch, place = jnp.asarray(step) // steps, jnp.asarray(step) % steps
    order = jax.random.permutation(jax.random.fold_in(key, epoch), count)
    return lax.dynamic_slice(order, (place * size,), (size,))


def batch(images: Any, labels: Any, pipe: Pipe, key: Any, step: Any, size: int) -> tuple[jax.Array, jax.Array]:
    """(x, labels) of one step of training: a function of (key, step), traceable in both.

    Args:
        images: uint8 (count, height, width, channels).
        labels: (count,).
        pipe: What happens to the images.
        key: A JAX random key.
        step: Number of the step.
        size: Images in the batch.
    """
    order_key, pipe_key = jax.random.split(key)
    places = batch_places(order_key, step, len(labels), size)
    x = pipe(jnp.asarray(images)[places], jax.random.fold_in(pipe_key, step))
    return x, jnp.asarray(labels)[places]


def _window(image: jax.Array, place: jax.Array, rows: int, columns: int) -> jax.Array:
    return lax.dynamic_slice(image, (place[0], place[1], 0), (rows, columns, image.shape[-1]))


def _each(values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.float32).reshape(1, 1, 1, -1)
