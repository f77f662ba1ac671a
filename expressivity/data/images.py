"""Labelled images: in memory as arrays, or as files that are decoded once, in threads."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

LEAST_CLASSES = 2


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory.

    Args:
        images: uint8 of shape (images, height, width, channels).
        labels: Class of each image, 0 .. classes - 1.
        class_names: A name for each class.
        name: A short name for tables and figures.

    Raises:
        TypeError: If the images are not uint8.
        ValueError: If shapes do not fit, a label has no class, or there are fewer than two classes.

    >>> import numpy as np
    >>> images = ImageSet(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 1, 0]), ("cat", "dog"))
    >>> len(images), images.classes, images.input_size
    (4, 2, (8, 8, 3))
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str = "images"

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if images.dtype != np.uint8:
            raise TypeError(f"The images of {self.name} are uint8, 0 to 255; got {images.dtype}.")
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{self.name} needs images (count, height, width, channels) and labels (count,); got {images.shape} "
                f"and {labels.shape}."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"The labels of {self.name} are whole numbers; got {labels.dtype}.")
        if self.classes < LEAST_CLASSES:
            raise ValueError(f"{self.name} has {self.classes} class; telling images apart needs at least 2.")
        wrong = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if len(wrong):
            raise ValueError(
                f"Image {wrong[0]} of {self.name} has the label {labels[wrong[0]]}, but the classes are 0 to "
                f"{self.classes - 1} ({len(wrong)} such labels)."
            )
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels.astype(np.int32))

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(height, width, channels), as a family's `init` takes it."""
        return tuple(self.images.shape[1:])  # pyright: ignore[reportReturnType]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, per_class: int) -> "ImageSet":
        """The first `per_class` images of each class, in their order.

        Raises:
            ValueError: If a class has fewer.
        """
        kept = []
        for label, name in enumerate(self.class_names):
            places = np.flatnonzero(self.labels == label)[:per_class]
            if len(places) < per_class:
                raise ValueError(f"The class {name!r} of {self.name} has {len(places)} images, not {per_class}.")
            kept.append(places)
        order = np.sort(np.concatenate(kept))
        return dataclasses.replace(self, images=self.images[order], labels=self.labels[order])


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Labelled image files, not yet read.

    Args:
        paths: One file an image.
        labels: Class of each image, 0 .. classes - 1.
        class_names: A name for each class.
        name: A short name for tables and figures.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no image, a label has no class, or there are fewer than two classes.
    """

    paths: tuple[pathlib.Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    name: str = "images"

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError(f"{self.name} names no image.")
        if len(self.paths) != len(self.labels):
            raise ValueError(f"{self.name} has {len(self.paths)} files, but {len(self.labels)} labels.")
        missing = [path for path in self.paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(self.paths)} images of {self.name} are missing, the first is {missing[0]}."
            )
        used = set(self.labels)
        if len(self.class_names) < LEAST_CLASSES or len(used) < LEAST_CLASSES:
            raise ValueError(
                f"{self.name} has images of {len(used)} class only ({self.class_names[min(used)]!r}); telling images "
                "apart needs at least 2."
            )

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def __len__(self) -> int:
        return len(self.paths)

    def load(
        self,
        size: int | tuple[int, int],
        *,
        channels: int = 3,
        workers: int | None = None,
        cache: str | os.PathLike[str] | None = None,
        draft: bool = True,
    ) -> ImageSet:
        """All images decoded and resized (bilinear, aspect not kept) to `size`.

        Args:
            size: A side length or (height, width).
            channels: 3 for colour, 1 for grey.
            workers: Threads; as many as the machine has cores if not given.
            cache: A folder in which the decoded array is kept, under a name made of the files' paths, sizes and times,
                so that a changed file is read again.
            draft: As in `decode`.

        Raises:
            ValueError: If `size` or `channels` is out of its range, or an image cannot be read.
        """
        height, width = size if isinstance(size, tuple) else (size, size)
        if min(height, width) < 1 or channels not in (1, 3):
            raise ValueError(f"Images are decoded to a positive size and 1 or 3 channels; got {size} and {channels}.")
        shape = (len(self), height, width, channels)
        place = None if cache is None else pathlib.Path(cache) / f"{_fingerprint(self.paths, shape, draft)}.npy"
        images = None if place is None else _cached(place, shape)
        if images is None:
            images = decode(self.paths, height, width, channels, workers, draft)
            if place is not None:
                _keep(place, images)
        return ImageSet(images, np.array(self.labels), self.class_names, self.name)


def decode(
    paths: Sequence[pathlib.Path],
    height: int,
    width: int,
    channels: int = 3,
    workers: int | None = None,
    draft: bool = True,
) -> np.ndarray:
    """uint8 array (images, height, width, channels) of image files, decoded in threads.

    Args:
        paths: The files.
        height: Of the result.
        width: Of the result.
        channels: 3 for colour, 1 for grey.
        workers: Threads; as many as the machine has cores if not given.
        draft: Whether a large JPEG is decoded at the smallest scale (1/2, 1/4, 1/8) that is at least twice as large as
            the result, which is faster; otherwise it is resized from all of its pixels.

    Raises:
        ValueError: If an image is broken; names the first and counts the others.
    """
    images = np.empty((len(paths), height, width, channels), np.uint8)
    mode = "RGB" if channels == 3 else "L"

    def work(number: int) -> str:
        from PIL import Image

        try:
            with Image.open(paths[number]) as image:
                if draft:
                    image.draft(mode, (2 * width, 2 * height))
                small = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
                images[number] = np.asarray(small).reshape(height, width, channels)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{paths[number]} ({error})"
        return ""

    with concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        broken = [message for message in pool.map(work, range(len(paths))) if message]
    if broken:
        raise ValueError(f"{len(broken)} of {len(paths)} images cannot be read, the first is {broken[0]}.")
    return images


def _fingerprint(paths: Sequence[pathlib.Path], shape: tuple[int, ...], draft: bool) -> str:
    record = hashlib.sha256(repr(shape if draft else (shape, "whole")).encode())
    for path in paths:
        status = path.stat()
        record.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return record.hexdigest()[:24]


def _cached(place: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        images: Any = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _keep(place: pathlib.Path, images: np.ndarray) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, images)
    part.replace(place)
