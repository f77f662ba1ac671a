import numpy as np
import pytest
from PIL import Image

from expressivity import data
from expressivity.data import images as module


def write(path, colour=(10, 20, 30), size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for label, colour in (("2", (0, 0, 255)), ("10", (255, 0, 0)), ("7", (0, 255, 0))):
        for number in (1, 2, 11):
            write(tmp_path / label / f"{label}_{number}.png", colour)
    return tmp_path


def test_a_folder_a_class_sorted_as_numbers(folder):
    files = data.from_folder(folder)
    assert files.class_names == ("2", "7", "10")
    assert [path.name for path in files.paths[:3]] == ["2_1.png", "2_2.png", "2_11.png"]
    assert files.labels == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    images = files.load(4)
    assert images.images.shape == (9, 4, 4, 3)
    np.testing.assert_array_equal(images.images[0, 0, 0], (0, 0, 255))
    np.testing.assert_array_equal(images.images[-1, 0, 0], (255, 0, 0))


def test_folders_with_the_classes_of_another_collection(folder, tmp_path_factory):
    files = data.from_folder(folder)
    other = tmp_path_factory.mktemp("test")
    write(other / "7" / "a.png")
    write(other / "10" / "b.png")
    assert data.from_folder(other, like=files).labels == (1, 2)
    write(other / "9" / "c.png")
    with pytest.raises(ValueError, match=r"c.png .* has the label '9', which is none of the 3 classes 2, 7, 10"):
        data.from_folder(other, like=files)


def test_folders_that_hold_too_little(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        data.from_folder(tmp_path / "none")
    write(tmp_path / "cat" / "1.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="has 1 folders with images"):
        data.from_folder(tmp_path)


def write_list(folder, lines, name="list.txt"):
    path = folder / name
    path.write_text("\n".join(lines))
    return path


def test_list_files(folder):
    lines = ["2/2_1.png 2", "", "10/10_1.png 10", "7/7_2.png   7", "10/10_2.png\t10"]
    files = data.from_list(write_list(folder, lines))
    assert (files.class_names, files.labels) == (("2", "7", "10"), (0, 2, 1, 2))
    kept = data.from_list(write_list(folder, lines), labels="keep")
    assert (kept.classes, kept.labels) == (11, (2, 10, 7, 10))
    named = data.from_list(write_list(folder, lines), class_names=["blue", "green", "red"])
    assert (named.class_names, named.labels) == (("blue", "green", "red"), (0, 2, 1, 2))
    test = write_list(folder, ["10/10_11.png 10", "7/7_11.png 7"], "test.txt")
    assert data.from_list(test, like=files).labels == (2, 1)
    assert data.from_list(test).labels == (1, 0)


def test_paths_with_spaces_and_another_root(tmp_path):
    write(tmp_path / "images" / "a cat.png")
    write(tmp_path / "images" / "dog.png")
    path = write_list(tmp_path, ["a cat.png 0", "/dog.png 1"])
    files = data.from_list(path, tmp_path / "images")
    assert [p.name for p in files.paths] == ["a cat.png", "dog.png"]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["2/2_1.png"], {}, r"Line 1 of .*list.txt is '2/2_1.png'; each line is a path and a label"),
        (["2/2_1.png 2", "2/2_2.png -1"], {}, r"Line 2 .* '2/2_2.png -1'"),
        (["2/2_1.png x"], {}, "Line 1"),
        (["2/2_1.png 2", "2/2_2.png 2"], {}, "images of 1 class only"),
        (["2/2_1.png 2", "7/7_1.png 7"], {"class_names": ["one"]}, "labels of 2 classes, but 1 class names"),
        ([""], {}, "names no image"),
        (["2/2_1.png 2", "7/7_1.png 7"], {"labels": "sort"}, "got 'sort'"),
    ],
)
def test_bad_list_files(folder, lines, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_list(write_list(folder, lines), **options)


def test_missing_files_are_counted(folder):
    with pytest.raises(FileNotFoundError, match="There is no list file"):
        data.from_list(folder / "none.txt")
    lines = ["2/2_1.png 2", "7/nothing.png 7", "7/neither.png 7"]
    with pytest.raises(FileNotFoundError, match=r"2 of 3 images of list are missing, the first is .*nothing.png"):
        data.from_list(write_list(folder, lines))


def test_a_label_that_the_training_list_has_not(folder):
    train = data.from_list(write_list(folder, ["2/2_1.png 2", "7/7_1.png 7"]))
    test = write_list(folder, ["2/2_2.png 2", "10/10_1.png 10"], "test.txt")
    with pytest.raises(ValueError, match=r"10_1.png .* has the label '10', which is none of the 2 classes 2, 7"):
        data.from_list(test, like=train)


def test_broken_images_are_named(folder):
    whole = (folder / "2" / "2_1.png").read_bytes()
    (folder / "2" / "2_1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "7" / "7_1.png").write_bytes(b"no image")
    files = data.from_folder(folder)
    with pytest.raises(ValueError, match=r"2 of 9 images cannot be read, the first is .*2_1.png"):
        files.load(4)


@pytest.mark.parametrize("workers", [1, 3])
def test_decoding_is_resizing_whatever_the_number_of_threads(tmp_path, workers):
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 256, (9, 12, 3), np.uint8)
        path = tmp_path / str(number % 2) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    files = data.from_folder(tmp_path)
    images = files.load((5, 7), workers=workers)
    for path, image in zip(files.paths, images.images, strict=True):
        with Image.open(path) as whole:
            np.testing.assert_array_equal(image, np.asarray(whole.resize((7, 5), Image.Resampling.BILINEAR)))


def test_a_large_jpeg_is_resized_from_all_of_its_pixels_if_that_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("1_0", "2_0"):
        Image.fromarray(rng.integers(0, 256, (160, 160, 3), np.uint8)).save(tmp_path / f"{name}.jpg")
    paths = sorted(tmp_path.iterdir())
    whole, scaled = (module.decode(paths, 10, 10, draft=draft) for draft in (False, True))
    for path, image in zip(paths, whole, strict=True):
        with Image.open(path) as one:
            np.testing.assert_array_equal(image, np.asarray(one.resize((10, 10), Image.Resampling.BILINEAR)))
    assert (whole != scaled).any()


def test_grey_images_have_one_channel(folder):
    assert data.from_folder(folder).load(4, channels=1).input_size == (4, 4, 1)
    with pytest.raises(ValueError, match="1 or 3 channels; got 4 and 2"):
        data.from_folder(folder).load(4, channels=2)


def test_the_cache_is_used_and_follows_the_files(folder, tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    first = data.from_folder(folder).load(4, cache=cache)
    calls = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda *a: calls.append(a) or decode(*a))
    again = data.from_folder(folder).load(4, cache=cache)
    assert not calls
    np.testing.assert_array_equal(again.images, first.images)
    (folder / "2" / "2_1.png").unlink()
    write(folder / "2" / "2_1.png", (1, 2, 3), (30, 30))
    changed = data.from_folder(folder).load(4, cache=cache)
    assert len(calls) == 1
    np.testing.assert_array_equal(changed.images[0, 0, 0], (1, 2, 3))
    for place in cache.iterdir():
        place.write_bytes(b"damaged")
    data.from_folder(folder).load(4, cache=cache)
    assert len(calls) == 2
    data.from_folder(folder).load(4, cache=cache, draft=False)
    assert len(calls) == 3


def test_numbered_images(tmp_path):
    for number in (1, 449, 451, 500, 501, 960, 1000):
        write(tmp_path / f"{number}.jpg")
    write(tmp_path / "notes.png")
    train, test = data.ghim(tmp_path), data.ghim(tmp_path, "test")
    assert [(int(p.stem), label) for p, label in zip(train.paths, train.labels, strict=True)] == [
        (1, 0),
        (449, 0),
        (501, 1),
    ]
    assert [(int(p.stem), label) for p, label in zip(test.paths, test.labels, strict=True)] == [
        (451, 0), (500, 0), (960, 1), (1000, 1)]  # fmt: skip
    assert len(data.ghim(tmp_path, "all")) == 7
    with pytest.raises(ValueError, match="got 'half'"):
        data.ghim(tmp_path, "half")
    with pytest.raises(ValueError, match="holds no images named by numbers"):
        data.ghim(write(tmp_path / "others" / "cat.jpg").parent)


def places(root, categories, per_class):
    (root / "categories_places365.txt").write_text("".join(f"{name} {n}\n" for n, name in enumerate(categories)))
    train, val = [], []
    for n, name in enumerate(categories):
        for number in range(per_class):
            write(root / "data_256" / name[1:] / f"{number:08}.jpg")
            train.append(f"{name}/{number:08}.jpg {n}")
        write(root / "val_256" / f"Places365_val_{n:08}.jpg")
        val.append(f"Places365_val_{n:08}.jpg {n}")
    (root / "places365_train_standard.txt").write_text("\n".join(train))
    (root / "places365_val.txt").write_text("\n".join(val))


def test_places(tmp_path):
    places(tmp_path, ["/a/airfield", "/b/beach", "/s/stage/indoor"], 3)
    train = data.places365(tmp_path, per_class=2)
    assert (len(train), train.class_names) == (6, ("/a/airfield", "/b/beach", "/s/stage/indoor"))
    some = data.places365(tmp_path, "val", categories=["/s/stage/indoor", "/b/beach"])
    assert [(p.stem[-1], label) for p, label in zip(some.paths, some.labels, strict=True)] == [("1", 1), ("2", 0)]
    with pytest.raises(ValueError, match="no category '/c/castle'"):
        data.places365(tmp_path, categories=["/c/castle", "/b/beach"])
    with pytest.raises(ValueError, match=r"'/a/airfield' has 3 images .* not 4"):
        data.places365(tmp_path, per_class=4)
    with pytest.raises(ValueError, match="no category '/b/bar'"):
        data.place20(tmp_path)


def test_the_twenty_places(tmp_path, monkeypatch):
    from expressivity.data import layouts

    places(tmp_path, [*sorted(layouts.PLACE20), "/z/zoo"], 1)
    labels = {"0": "beach", "6": "soccer", "8": "indoor", "11": "bar", "19": "supermarket"}
    monkeypatch.setattr(layouts, "places365", lambda *a, per_class, **k: data.places365(*a, per_class=1, **k))
    files = layouts.place20(tmp_path)
    assert files.classes == 20
    for label, name in labels.items():
        path = files.paths[files.labels.index(int(label))]
        assert path.parent.name == name


def test_image_sets_check_what_they_are_given():
    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    with pytest.raises(TypeError, match="uint8, 0 to 255; got float64"):
        data.ImageSet(pixels / 255, np.zeros(3, int), ("a", "b"))
    with pytest.raises(ValueError, match=r"got \(3, 4, 4, 3\) and \(2,\)"):
        data.ImageSet(pixels, np.zeros(2, int), ("a", "b"))
    with pytest.raises(ValueError, match=r"Image 1 of images has the label 2, but the classes are 0 to 1"):
        data.ImageSet(pixels, np.array([0, 2, 1]), ("a", "b"))
    with pytest.raises(ValueError, match="has 1 class; telling images apart"):
        data.ImageSet(pixels, np.zeros(3, int), ("a",))
    with pytest.raises(TypeError, match="whole numbers; got float64"):
        data.ImageSet(pixels, np.zeros(3), ("a", "b"))
    images = data.ImageSet(pixels, np.array([1, 0, 1]), ("a", "b"))
    assert images.first(1).labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match="'a' of images has 1 images, not 2"):
        images.first(2)


def test_the_photographs_of_the_original_runs(data_folder):
    train = data.from_list(data_folder / "ghim11_train.txt")
    test = data.from_list(data_folder / "ghim11_val.txt", like=train)
    assert (len(train), len(test), train.classes) == (1080, 120, 11)
    assert train.class_names == ("0", "1", "3", "5", "6", "7", "8", "9", "10", "13", "14")
    assert data.from_list(data_folder / "ghim11_val.txt", labels="keep").classes == 15
    folders = data.from_folder(data_folder / "GHIM-20")
    assert (len(folders), folders.class_names) == (1200, train.class_names)
    label_of = dict(zip(folders.paths, folders.labels, strict=True))
    assert all(label_of[path] == label for path, label in zip(test.paths, test.labels, strict=True))
    images = test.load(64)
    assert images.images.shape == (120, 64, 64, 3)
    assert images.images.std() > 30  # photographs, not blanks
