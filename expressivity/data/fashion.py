"""Fashion-MNIST: an extract that comes with the package, and the full set where it is at hand."""

import hashlib
import importlib.resources
import os
import pathlib

import numpy as np

from expressivity.data.idx import idx_images
from expressivity.data.images import ImageSet

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# where the Debian package dataset-fashion-mnist puts it
DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")
_PREFIX = {"train": "train", "test": "t10k"}
_IMAGES_SHA256 = {
    "train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
}
_LABELS_SHA256 = {
    "train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def fashion_mnist(split: str = "train", root: str | os.PathLike[str] | None = None) -> ImageSet:
    """Fashion-MNIST (`xiao2017`), 28x28 grey: the extract in this package, or the full set below `root`.

    The extract is the first 100 training and the first 50 test images of each class. The full set has 60,000 and
    10,000 images; `root="debian"` finds it where the Debian package dataset-fashion-mnist puts it.

    Args:
        split: "train" or "test".
        root: A folder with the four IDX files (gzipped or not), or "debian".

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the split is unknown or a file is not the published one.

    >>> images = fashion_mnist()
    >>> len(images), images.classes, images.input_size
    (1000, 10, (28, 28, 1))
    """
    if split not in _PREFIX:
        raise ValueError(f"The split of Fashion-MNIST is train or test; got {split!r}.")
    if root is None:
        with (
            importlib.resources.files("expressivity.data").joinpath("fashion_mnist.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
        return ImageSet(images[..., None], labels.astype(np.int32), CLASSES, f"Fashion-MNIST extract {split}")
    folder = DEBIAN if root == "debian" else pathlib.Path(root)
    paths = [_find(folder, f"{_PREFIX[split]}-{part}-ubyte") for part in ("images-idx3", "labels-idx1")]
    full = idx_images(paths[0], paths[1], CLASSES, f"Fashion-MNIST {split}")
    for path, array, digest in (
        (paths[0], full.images, _IMAGES_SHA256[split]),
        (paths[1], full.labels.astype(np.uint8), _LABELS_SHA256[split]),
    ):
        if hashlib.sha256(_payload(array)).hexdigest() != digest:
            raise ValueError(f"The file {path} is not the published one of Fashion-MNIST: its digest differs.")
    return full


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"There is no file {name}.gz in {folder}; install the Debian package dataset-fashion-mnist or give its folder."
    )


def _payload(array: np.ndarray) -> bytes:
    """The IDX file that holds `array`, which is what the published digests are of."""
    shape = array.shape[:3] if array.ndim == 4 else array.shape
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + array.tobytes()
