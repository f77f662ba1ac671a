"""SVHN (house numbers, MATLAB files) and STL-10 (binary files)."""

import os
import pathlib

import numpy as np

from expressivity.data.images import ImageSet

STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
STL10_PIXELS = 3 * 96 * 96


def svhn(root: str | os.PathLike[str], split: str = "train") -> ImageSet:
    """SVHN in its 32x32 form: train_32x32.mat, test_32x32.mat or extra_32x32.mat; the file's label 10 is the digit 0.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the split is unknown or the file is damaged.
    """
    from scipy.io import loadmat

    if split not in ("train", "test", "extra"):
        raise ValueError(f"The split of SVHN is train, test or extra; got {split!r}.")
    path = pathlib.Path(root) / f"{split}_32x32.mat"
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        content = loadmat(path)
        pixels, labels = content["X"], content["y"].reshape(-1)
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise ValueError(f"The file {path} is not one of SVHN, or is damaged: {error!r}.") from None
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 4
        or pixels.shape[:3] != (32, 32, 3)
        or pixels.shape[3] != len(labels)
    ):
        raise ValueError(
            f"The file {path} holds {pixels.dtype} {pixels.shape} and {len(labels)} labels, not (32, 32, 3, count)."
        )
    if labels.min() < 1 or labels.max() > 10:
        raise ValueError(f"The file {path} has labels {labels.min()} to {labels.max()}; SVHN has 1 to 10.")
    images = np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))
    return ImageSet(images, labels.astype(np.int64) % 10, tuple("0123456789"), f"SVHN {split}")


def stl10(root: str | os.PathLike[str], split: str = "train") -> ImageSet:
    """STL-10: train_X.bin and train_y.bin, or test_X.bin and test_y.bin; its labels 1 .. 10 become 0 .. 9.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the split is unknown or a file is damaged.
    """
    if split not in ("train", "test"):
        raise ValueError(f"The split of STL-10 with labels is train or test; got {split!r}.")
    root = pathlib.Path(root)
    paths = [root / f"{split}_{part}.bin" for part in "Xy"]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
    pixels, labels = (np.fromfile(path, np.uint8) for path in paths)
    if not len(labels) or len(pixels) != len(labels) * STL10_PIXELS:
        raise ValueError(f"{paths[0]} has {len(pixels)} bytes for {len(labels)} labels; each image has {STL10_PIXELS}.")
    if labels.min() < 1 or labels.max() > 10:
        raise ValueError(f"{paths[1]} has labels {labels.min()} to {labels.max()}; STL-10 has 1 to 10.")
    # stored column by column: (count, channels, columns, rows)
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1))
    return ImageSet(images, labels.astype(np.int64) - 1, STL10, f"STL-10 {split}")
