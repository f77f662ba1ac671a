"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped."""

import gzip
import os
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

from expressivity.data.images import ImageSet

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no IDX file, or holds more or fewer numbers than it says.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no IDX file {path}.")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"The file {path} is gzipped and damaged: {error}.") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise ValueError(f"{path} is no IDX file: it begins with {data[:4]!r}.")
    dims, start = data[3], 4 + 4 * data[3]
    if len(data) < start:
        raise ValueError(f"The IDX file {path} ends in its head.")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dims, 4))
    dtype = np.dtype(TYPES[data[2]])
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) - start != expected:
        raise ValueError(f"The IDX file {path} says {shape}, {expected} bytes, and holds {len(data) - start}.")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def idx_images(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    name: str = "IDX",
) -> ImageSet:
    """The labelled images of two IDX files.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or the two do not fit each other.
    """
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim not in (3, 4) or pixels.dtype != np.uint8 or numbers.ndim != 1:
        raise ValueError(
            f"Images are uint8 (count, height, width) and labels (count,); {images} has {pixels.dtype} {pixels.shape} "
            f"and {labels} has {numbers.shape}."
        )
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    names = tuple(map(str, range(int(numbers.max()) + 1))) if class_names is None else tuple(class_names)
    return ImageSet(pixels, numbers.astype(np.int32), names, name)
