"""How image collections lie on disk: list files, folders, numbered GHIM-10K, Places365 and the twenty places."""

import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from expressivity.data.images import ImageFiles

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")
GHIM_PER_CLASS = 500
PLACE20 = (
    "/b/beach",
    "/b/bridge",
    "/g/gas_station",
    "/h/highway",
    "/p/playground",
    "/s/ski_slope",
    "/s/stadium/soccer",
    "/b/bedroom",
    "/s/stage/indoor",
    "/s/street",
    "/s/swimming_pool/outdoor",
    "/b/bar",
    "/b/basketball_court/indoor",
    "/b/bookstore",
    "/b/bus_interior",
    "/d/dining_hall",
    "/h/hospital_room",
    "/k/kitchen",
    "/s/shower",
    "/s/supermarket",
)
Path = str | os.PathLike[str]


def from_list(
    list_file: Path,
    root: Path | None = None,
    *,
    labels: str = "map",
    like: ImageFiles | None = None,
    class_names: Sequence[str] | None = None,
) -> ImageFiles:
    """The images that a list file names, one line `path label` each; empty lines are passed over.

    Args:
        list_file: The list.
        root: Folder that the paths start from; the folder of the list if not given.
        labels: "map" numbers the labels that occur 0, 1, .. in their order; "keep" takes them as they are, so that the
            classes are 0 to the largest (or those of `class_names`).
        like: A collection read before, whose classes this one shares (the training list, when reading the test list).
        class_names: Names of the classes after mapping; the labels themselves if not given.

    Raises:
        FileNotFoundError: If the list or an image is missing.
        ValueError: If a line has no label, a label is no whole number of at least 0 or has no class, or there are fewer
            than two classes.
    """
    list_file = pathlib.Path(list_file)
    if not list_file.is_file():
        raise FileNotFoundError(f"There is no list file {list_file}.")
    if labels not in ("map", "keep"):
        raise ValueError(f'Labels are numbered by "map" or "keep"; got {labels!r}.')
    folder = list_file.parent if root is None else pathlib.Path(root)
    paths, found = [], []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.rsplit(maxsplit=1)
        if len(parts) != 2 or not re.fullmatch(r"\d+", parts[1]):
            raise ValueError(
                f"Line {number} of {list_file} is {line!r}; each line is a path and a label of at least 0."
            )
        paths.append(folder / parts[0].strip().lstrip("/"))
        found.append(int(parts[1]))
    if not found:
        raise ValueError(f"The list file {list_file} names no image.")
    if like is not None:
        return _numbered(paths, [str(label) for label in found], like.class_names, str(list_file))
    values = sorted(set(found)) if labels == "map" else list(range(max(found) + 1))
    if class_names is None:
        return _numbered(paths, [str(label) for label in found], tuple(map(str, values)), str(list_file))
    names = tuple(class_names)
    if len(names) < len(values):
        raise ValueError(f"{list_file} has labels of {len(values)} classes, but {len(names)} class names were given.")
    number_of = {value: number for number, value in enumerate(values)}
    return ImageFiles(tuple(paths), tuple(number_of[label] for label in found), names, list_file.stem)


def from_folder(root: Path, *, like: ImageFiles | None = None) -> ImageFiles:
    """The images below `root`, one folder a class; folders with numbers for names are sorted as numbers.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds fewer than two folders with images, or a folder that `like` does not know.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root} with a folder for each class.")
    folders = sorted((f for f in root.iterdir() if f.is_dir()), key=lambda f: _natural(f.name))
    images = {folder.name: [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS] for folder in folders}
    names = tuple(name for name, paths in images.items() if paths)
    if len(names) < 2:
        raise ValueError(
            f"The folder {root} has {len(names)} folders with images; telling images apart needs at least 2, one "
            "folder a class."
        )
    pairs = [(path, name) for name in names for path in sorted(images[name], key=lambda path: _natural(path.name))]
    known = names if like is None else like.class_names
    return _numbered([path for path, _ in pairs], [name for _, name in pairs], known, root.name)


def ghim(root: Path, split: str = "train", *, test_per_class: int = 50) -> ImageFiles:
    """GHIM-10K as it is published: files 1.jpg .. 10000.jpg in one folder, 500 of each class in a row.

    The class of image n is (n - 1) // 500. The last `test_per_class` numbers of each class are the test part.

    Args:
        root: The folder.
        split: "train", "test" or "all".
        test_per_class: Images of each class in the test part.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no numbered images, or the split is unknown.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root} with the images of GHIM-10K.")
    numbered = []
    for path in root.iterdir():
        match = re.fullmatch(r"(?:\d+_)?(\d+)", path.stem)
        if match and path.suffix.lower() in ENDINGS and int(match[1]) > 0:
            numbered.append((int(match[1]), path))
    if not numbered:
        raise ValueError(f"The folder {root} holds no images named by numbers, such as 1.jpg, as GHIM-10K does.")
    tests = {"train": (False,), "test": (True,), "all": (False, True)}
    if split not in tests:
        raise ValueError(f"The split is one of {', '.join(tests)}; got {split!r}.")
    numbered.sort()
    chosen = [
        (path, (number - 1) // GHIM_PER_CLASS)
        for number, path in numbered
        if ((number - 1) % GHIM_PER_CLASS >= GHIM_PER_CLASS - test_per_class) in tests[split]
    ]
    classes = (numbered[-1][0] - 1) // GHIM_PER_CLASS + 1
    labels = tuple(label for _, label in chosen)
    return ImageFiles(tuple(path for path, _ in chosen), labels, tuple(map(str, range(classes))), f"GHIM {split}")


def places365(
    root: Path, split: str = "train", *, categories: Sequence[str] | None = None, per_class: int | None = None
) -> ImageFiles:
    """Places365 in its small layout: categories_places365.txt, places365_train_standard.txt with data_256/, and
    places365_val.txt with val_256/.

    Args:
        root: The folder that holds them.
        split: "train" or "val".
        categories: Only these, such as "/b/beach", numbered in the order given.
        per_class: Only the first so many images of each.

    Raises:
        FileNotFoundError: If a list or an image is missing.
        ValueError: If the split or a category is unknown, or a category has fewer images.
    """
    root = pathlib.Path(root)
    layouts = {"train": ("places365_train_standard.txt", "data_256"), "val": ("places365_val.txt", "val_256")}
    if split not in layouts:
        raise ValueError(f"The split is train or val; got {split!r}.")
    list_name, folder = layouts[split]
    names = {label: name for name, label in _pairs(root / "categories_places365.txt")}
    wanted = [names[label] for label in sorted(names)] if categories is None else list(categories)
    unknown = sorted(set(wanted) - set(names.values()))
    if unknown:
        raise ValueError(f"Places365 has no category {unknown[0]!r}; categories are written like '/b/beach'.")
    number_of = {name: number for number, name in enumerate(wanted)}
    counts = np.zeros(len(wanted), int)
    paths, labels = [], []
    for path, label in _pairs(root / list_name):
        if label not in names:
            raise ValueError(f"The image {path} of {list_name} has the label {label}, which is no category.")
        number = number_of.get(names[label])
        if number is not None and (per_class is None or counts[number] < per_class):
            counts[number] += 1
            paths.append(root / folder / path.lstrip("/"))
            labels.append(number)
    if per_class is not None and (counts < per_class).any():
        least = int(counts.argmin())
        raise ValueError(f"The category {wanted[least]!r} has {counts[least]} images in {list_name}, not {per_class}.")
    return ImageFiles(tuple(paths), tuple(labels), tuple(wanted), f"Places365 {split}")


def place20(root: Path, split: str = "train") -> ImageFiles:
    """The twenty places of the width experiment: 5,000 training and 100 validation images each, out of Places365.

    Raises:
        FileNotFoundError: If a list or an image is missing.
        ValueError: If the split is unknown or a category has fewer images.
    """
    return places365(root, split, categories=PLACE20, per_class={"train": 5000, "val": 100}.get(split))


def _numbered(paths: list[pathlib.Path], names: list[str], classes: tuple[str, ...], what: str) -> ImageFiles:
    number_of = {name: number for number, name in enumerate(classes)}
    unknown = next((place for place, name in enumerate(names) if name not in number_of), None)
    if unknown is not None:
        raise ValueError(
            f"The image {paths[unknown]} of {what} has the label {names[unknown]!r}, which is none of the "
            f"{len(classes)} classes {', '.join(classes[:12])}{', ...' if len(classes) > 12 else ''}."
        )
    return ImageFiles(tuple(paths), tuple(number_of[name] for name in names), classes, pathlib.Path(what).stem)


def _pairs(path: pathlib.Path) -> list[tuple[str, int]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no list file {path}.")
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.rsplit(maxsplit=1)
        if not parts:
            continue
        if len(parts) != 2 or not re.fullmatch(r"\d+", parts[1]):
            raise ValueError(f"Line {number} of {path} is {line!r}; each line is a path and a label of at least 0.")
        pairs.append((parts[0], int(parts[1])))
    return pairs


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2 before 10, and numbers before texts."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
