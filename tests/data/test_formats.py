import gzip
import pickle

import numpy as np
import pytest
import scipy.io

from expressivity import data
from expressivity.data.cifar import read_pickle

RNG = np.random.default_rng(0)


def idx(array, code=8):
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(("dtype", "code"), [("u1", 8), ("i1", 9), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path, dtype, code, zipped):
    array = (RNG.normal(size=(3, 4, 5)) * 50).astype(dtype)
    content = idx(array, code)
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    found = data.read_idx(tmp_path / "file")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file"),
        (b"\0\0\x08", "is no IDX file"),
        (b"\x89PNG....", "is no IDX file"),
        (b"\0\0\x08\x03\0\0\0\1", "ends in its head"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], r"says \(2, 3\), 6 bytes, and holds 5"),
        (gzip.compress(idx(np.zeros((2, 3), np.uint8)), mtime=0)[:-9], "is gzipped and damaged"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.read_idx(tmp_path / "file")


def test_images_and_labels_of_idx_fit_each_other(tmp_path):
    (tmp_path / "x").write_bytes(idx(RNG.integers(0, 256, (4, 5, 6), np.uint8)))
    (tmp_path / "y").write_bytes(idx(np.array([0, 2, 1, 0], np.uint8)))
    images = data.idx_images(tmp_path / "x", tmp_path / "y")
    assert (images.input_size, images.class_names) == ((5, 6, 1), ("0", "1", "2"))
    with pytest.raises(ValueError, match=r"Images are uint8 \(count, height, width\)"):
        data.idx_images(tmp_path / "y", tmp_path / "y")
    with pytest.raises(FileNotFoundError, match="There is no IDX file"):
        data.idx_images(tmp_path / "x", tmp_path / "z")


def cifar_arrays(classes, split, count=3):
    rng = np.random.default_rng(classes + len(split))
    return rng.integers(0, 256, (count, 3, 32, 32), np.uint8), rng.integers(0, classes, count)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("version", ["python", "binary"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar(tmp_path, classes, version, split):
    pixels, labels = cifar_arrays(classes, split)
    names = {10: {"train": [f"data_batch_{n}" for n in range(1, 6)], "test": ["test_batch"]}}.get(classes, {}).get(
        split, [split]
    )
    for name in names:
        if version == "python":
            key = b"labels" if classes == 10 else b"fine_labels"
            content = {b"data": pixels.reshape(3, -1), key: labels.tolist(), b"batch_label": b"some batch"}
            (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
        else:
            head = [labels[:, None]] if classes == 10 else [labels[:, None] // 5, labels[:, None]]
            records = np.concatenate([*head, pixels.reshape(3, -1)], axis=1).astype(np.uint8)
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    images = data.cifar(tmp_path, split, classes)
    assert (len(images), images.classes) == (3 * len(names), classes)
    np.testing.assert_array_equal(images.images[:3].transpose(0, 3, 1, 2), pixels)
    np.testing.assert_array_equal(images.labels[:3], labels)


def test_names_of_cifar_classes(tmp_path):
    pixels, labels = cifar_arrays(100, "test")
    (tmp_path / "test").write_bytes(pickle.dumps({b"data": pixels.reshape(3, -1), b"fine_labels": labels}, protocol=2))
    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple"] + [b"c%d" % n for n in range(99)]}))
    assert data.cifar(tmp_path, "test", 100).class_names[:2] == ("apple", "c0")


def test_a_batch_that_wants_to_run_something_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return (print, ("harm",))

    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Harm()}))
    with pytest.raises(ValueError, match=r"test_batch is not a batch .* it asks to run builtins.print"):
        data.cifar(tmp_path, "test")
    old = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01."  # as NumPy 1 wrote it
    (tmp_path / "old").write_bytes(old)
    assert callable(read_pickle(tmp_path / "old"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "is not a batch of CIFAR"),
        (pickle.dumps({b"data": 1}), "has no entries 'data' and 'labels'"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}), r"holds uint8 \(2, 5\) for 2 labels"),
    ],
)
def test_damaged_batches_of_cifar(tmp_path, content, message):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.cifar(tmp_path, "test")


def test_cifar_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_batch_1"):
        data.cifar(tmp_path)
    with pytest.raises(ValueError, match="got 20 and 'train'"):
        data.cifar(tmp_path, classes=20)
    (tmp_path / "test_batch.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="has 100 bytes, no multiple of the 3073"):
        data.cifar(tmp_path, "test")


def test_svhn(tmp_path):
    pixels = RNG.integers(0, 256, (32, 32, 3, 4), np.uint8)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": pixels, "y": np.array([[1], [10], [9], [10]], np.uint8)})
    images = data.svhn(tmp_path, "test")
    assert images.labels.tolist() == [1, 0, 9, 0]
    np.testing.assert_array_equal(images.images[2], pixels[..., 2])
    with pytest.raises(FileNotFoundError, match=r"train_32x32.mat"):
        data.svhn(tmp_path)
    (tmp_path / "extra_32x32.mat").write_bytes(b"no matlab" * 30)
    with pytest.raises(ValueError, match=r"extra_32x32.mat is not one of SVHN"):
        data.svhn(tmp_path, "extra")
    scipy.io.savemat(tmp_path / "train_32x32.mat", {"X": pixels, "y": np.array([[1], [11], [9], [10]], np.uint8)})
    with pytest.raises(ValueError, match="labels 1 to 11; SVHN has 1 to 10"):
        data.svhn(tmp_path)


def test_stl10(tmp_path):
    images = RNG.integers(0, 256, (2, 96, 96, 3), np.uint8)
    (tmp_path / "test_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
    (tmp_path / "test_y.bin").write_bytes(bytes([1, 10]))
    found = data.stl10(tmp_path, "test")
    np.testing.assert_array_equal(found.images, images)
    assert [found.class_names[label] for label in found.labels] == ["airplane", "truck"]
    (tmp_path / "test_y.bin").write_bytes(bytes([1, 10, 3]))
    with pytest.raises(ValueError, match="55296 bytes for 3 labels"):
        data.stl10(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match=r"train_X.bin"):
        data.stl10(tmp_path)
    with pytest.raises(ValueError, match="got 'unlabeled'"):
        data.stl10(tmp_path, "unlabeled")


def test_the_extract_of_fashion_mnist():
    train, test = data.fashion_mnist(), data.fashion_mnist("test")
    assert np.bincount(train.labels).tolist() == [100] * 10
    assert np.bincount(test.labels).tolist() == [50] * 10
    # one nearest neighbour is right on 78.2 % of the test images
    x, y = (part.images.reshape(len(part), -1).astype(np.float64) for part in (train, test))
    distance = (x**2).sum(1)[None] - 2 * y @ x.T
    assert (train.labels[distance.argmin(1)] == test.labels).mean() == pytest.approx(0.782, abs=1e-9)


def test_the_extract_is_the_beginning_of_the_full_set():
    from expressivity.data.fashion import DEBIAN

    if not DEBIAN.is_dir():
        pytest.skip("the full set is not here: install the Debian package dataset-fashion-mnist")
    for split, per_class in (("train", 100), ("test", 50)):
        full = data.fashion_mnist(split, "debian").first(per_class)
        extract = data.fashion_mnist(split)
        np.testing.assert_array_equal(full.images, extract.images)
        np.testing.assert_array_equal(full.labels, extract.labels)


def test_another_set_is_not_taken_for_fashion_mnist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file train-images-idx3-ubyte.gz in .* dataset-fashion-mnist"):
        data.fashion_mnist(root=tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((20, 28, 28), np.uint8)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(20, dtype=np.uint8) % 10))
    with pytest.raises(ValueError, match="is not the published one of Fashion-MNIST"):
        data.fashion_mnist("test", tmp_path)
    with pytest.raises(ValueError, match="got 'validation'"):
        data.fashion_mnist("validation")
