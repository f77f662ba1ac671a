"""CIFAR-10 and CIFAR-100 from the folders of the python and the binary version."""

import io
import os
import pathlib
import pickle
from typing import Any

import numpy as np

from expressivity.data.images import ImageSet

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
_FILES = {
    (10, "train"): tuple(f"data_batch_{number}" for number in range(1, 6)),
    (10, "test"): ("test_batch",),
    (100, "train"): ("train",),
    (100, "test"): ("test",),
}
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Restricted(pickle.Unpickler):
    """Builds arrays and containers; any other function that a pickle names is refused."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks to run {module_name}.{global_name}")
        if module_name == "numpy.core.multiarray":
            module_name = np.ndarray.__reduce__(np.zeros(0))[0].__module__  # where NumPy keeps it today
        return super().find_class(module_name, global_name)


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle holds, where it holds numbers, texts, containers and NumPy arrays only.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or asks to run anything else.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return _Restricted(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The file {path} is not a batch of CIFAR, or is damaged: {error}.") from None


def cifar(root: str | os.PathLike[str], split: str = "train", classes: int = 10) -> ImageSet:
    """CIFAR-10 or CIFAR-100 from the folder of the python version or of the binary version.

    Args:
        root: Folder with data_batch_1 .. or data_batch_1.bin .. (CIFAR-10), train, test or train.bin, test.bin
            (CIFAR-100, fine labels).
        split: "train" or "test".
        classes: 10 or 100.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the split or the classes are others, or a file is damaged.
    """
    root = pathlib.Path(root)
    if (classes, split) not in _FILES:
        raise ValueError(f"CIFAR has 10 or 100 classes and the splits train and test; got {classes} and {split!r}.")
    files = _FILES[classes, split]
    binary = (root / f"{files[0]}.bin").is_file()
    read = _read_binary if binary else _read_python
    parts = [read(root / (f"{name}.bin" if binary else name), classes) for name in files]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ImageSet(np.ascontiguousarray(images), labels, _names(root, classes, binary), f"CIFAR-{classes} {split}")


def _read_python(path: pathlib.Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    content = read_pickle(path)
    key = b"labels" if classes == 10 else b"fine_labels"
    if not isinstance(content, dict) or b"data" not in content or key not in content:
        raise ValueError(
            f"The file {path} has no entries 'data' and {key.decode()!r}; it is no batch of CIFAR-{classes}."
        )
    pixels, labels = np.asarray(content[b"data"]), np.asarray(content[key])
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
        raise ValueError(
            f"The file {path} holds {pixels.dtype} {pixels.shape} for {len(labels)} labels, not {PIXELS} bytes each."
        )
    return pixels, labels


def _read_binary(path: pathlib.Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    size = PIXELS + (1 if classes == 10 else 2)  # CIFAR-100 has a coarse label before the fine one
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % size:
        raise ValueError(
            f"The file {path} has {len(data)} bytes, no multiple of the {size} of an image with its label."
        )
    records = data.reshape(-1, size)
    return records[:, -PIXELS:], records[:, -PIXELS - 1].astype(np.int64)


def _names(root: pathlib.Path, classes: int, binary: bool) -> tuple[str, ...]:
    text = root / ("batches.meta.txt" if classes == 10 else "fine_label_names.txt")
    if binary and text.is_file():
        names = tuple(line.strip() for line in text.read_text().splitlines() if line.strip())
    elif not binary and (meta := root / ("batches.meta" if classes == 10 else "meta")).is_file():
        content = read_pickle(meta)
        key = b"label_names" if classes == 10 else b"fine_label_names"
        names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in content.get(key, ()))
    else:
        names = ()
    if len(names) == classes:
        return names
    return CIFAR10 if classes == 10 else tuple(map(str, range(100)))
