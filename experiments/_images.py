"""What every experiment on images does around its science: data, folder, tables, figure, page, exit status."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import _run
from expressivity import sweeps
from expressivity.data import ImageSet, cifar, fashion_mnist, from_folder, from_list
from expressivity.sweeps.result import SweepResult
from expressivity.training import ImageTask

HOLDS, FALSE, UNDETERMINED = "holds", "does not hold", "undetermined"
DATA = (
    "nothing (the extract of Fashion-MNIST in the package), fashion-full or fashion-full:FOLDER, ghim:FOLDER, "
    "list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST, cifar10:FOLDER"
)
DEFAULT_PIXELS = 64


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence and what the run says about it.

    Args:
        sentence: What is claimed, with the numbers it was decided by.
        word: "holds", "does not hold" or "undetermined".
        required: Whether it is proved or counted, so that the run fails where it does not hold.
    """

    sentence: str
    word: str
    required: bool = False

    def __post_init__(self) -> None:
        assert self.word in (HOLDS, FALSE, UNDETERMINED), self.word


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment found: the sweep, further tables by name, claims, and the figure with its text."""

    result: SweepResult
    frames: Mapping[str, Any]
    claims: Sequence[Claim]
    figure: Any
    figure_text: str


def holds(flag: Any) -> str:
    """The word for a claim that can be decided."""
    return HOLDS if flag else FALSE


def compare(lower: Sequence[float], higher: Sequence[float], count: int, confidence: float = 0.95) -> tuple[str, str]:
    """Whether the networks of the first group tell fewer of `count` test images wrong than those of the second.

    Both groups saw the same test images, one error a seed. The difference of the means is compared with its noise: the
    standard error over seeds (Welch's) and the binomial noise of the test set, added in squares; the latter is an upper
    bound for sets of the same images, where errors go together. Beyond the quantile of Student's law with the smaller
    number of seeds less one the word is "holds" or "does not hold", otherwise "undetermined".

    Args:
        lower: Errors of the group that is claimed to be better, one a seed.
        higher: Errors of the other group.
        count: Images of the test set.
        confidence: Of the two-sided interval.

    Returns:
        The word, and a text with the difference and its noise.
    """
    from scipy.stats import t

    a, b = np.asarray(lower, float), np.asarray(higher, float)
    if len(a) < 2 or len(b) < 2:
        return UNDETERMINED, "fewer than two seeds"
    gap = float(b.mean() - a.mean())
    seeds = a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)
    images = (a.mean() * (1 - a.mean()) + b.mean() * (1 - b.mean())) / count
    noise = float(t.ppf((1 + confidence) / 2, min(len(a), len(b)) - 1)) * float(np.sqrt(seeds)) if seeds > 0 else 0.0
    margin = float(np.hypot(noise, 1.959963984540054 * np.sqrt(images)))
    word = HOLDS if gap > margin else FALSE if gap < -margin else UNDETERMINED
    rates = f"{100 * a.mean():.1f} % against {100 * b.mean():.1f} % wrong"
    return word, f"{rates}, difference {100 * gap:+.1f} ± {100 * margin:.1f}"


def task(data: str | None, size: int | None = None, per_class: int | None = None) -> ImageTask:
    """The images that `--data` names.

    Args:
        data: See `DATA`.
        size: Pixels a side that image files are resized to; 64 if not given. Arrays keep their size.
        per_class: Only the first so many training images of each class.

    Raises:
        ValueError: If it names nothing known, or `size` is given for images in arrays that have another.
        FileNotFoundError: If files are missing.
    """
    kind, _, rest = (data or "").partition(":")
    if kind in ("", "fashion", "fashion-full", "cifar10"):
        train, test = _arrays(kind, rest)
        if size is not None and size != train.input_size[0]:
            raise ValueError(
                f"The images of {train.name} have {train.input_size[0]} pixels a side, not {size}; only image files "
                "are resized."
            )
    elif kind in ("ghim", "list", "folder") and rest:
        train, test = _files(kind, rest, size or DEFAULT_PIXELS)
    else:
        raise ValueError(f"--data is {DATA}; got {data!r}.")
    if per_class is not None:
        train = train.first(per_class)
    return ImageTask(train, test)


def _arrays(kind: str, rest: str) -> tuple[ImageSet, ImageSet]:
    if kind == "cifar10":
        return cifar(rest, "train"), cifar(rest, "test")
    root = None if kind in ("", "fashion") else rest or "debian"
    return fashion_mnist("train", root), fashion_mnist("test", root)


def _files(kind: str, rest: str, size: int) -> tuple[ImageSet, ImageSet]:
    if kind == "ghim":
        folder = pathlib.Path(rest)
        lists = [sorted(folder.glob(f"*_{part}.txt")) for part in ("train", "val")]
        if not all(lists):
            raise FileNotFoundError(f"The folder {folder} has no lists that end in _train.txt and _val.txt.")
        train = from_list(lists[0][0], folder)
        test = from_list(lists[1][0], folder, like=train)
    else:
        parts = rest.split(",")
        if len(parts) != 2:
            raise ValueError(f"--data {kind}: needs two places, TRAIN,TEST; got {rest!r}.")
        read = from_list if kind == "list" else from_folder
        train = read(pathlib.Path(parts[0]))
        test = read(pathlib.Path(parts[1]), like=train)
    return train.load(size), test.load(size)


def experiment(options: Any, settings: Any, *, title: str, claim: str, work: Callable[[sweeps.Store], Outcome]) -> int:
    """Runs `work` in the folder of the options, writes everything, prints the claims, and returns the exit status."""
    begun = time.perf_counter()
    _run.start_jax(options.platform)
    with sweeps.Store(options.out) as store:
        facts = {"preset": options.preset, "data": getattr(options, "data", None)}
        _run.write_json(store.folder / "config.json", facts | _run.settings(settings))
        found = work(store)
        sweeps.write_tables(store, found.result)
        for name, frame in found.frames.items():
            _run.write_frame(store.folder / f"{name}.csv", frame)
        picture = _run.save_figure(found.figure, store.folder / "figure")
        failed = [one for one in found.claims if one.required and one.word != HOLDS]
        timings = found.result.timings
        environment = _run.environment(
            compile_seconds=round(float(timings["compile_seconds"].sum()), 2),
            run_seconds=round(float(timings["run_seconds"].sum()), 2),
            wall_seconds=round(time.perf_counter() - begun, 2),
        )
        _run.write_json(store.folder / "environment.json", environment)
        _write_page(store, title, claim, found, not failed, facts | _run.settings(settings), environment, picture)
    for one in found.claims:
        print(f"  {one.word}: {one.sentence}")
    print(
        f"What is proved or counted {'holds' if not failed else 'does NOT hold'}; figure and tables are in "
        f"{options.out}."
    )
    return _run.HELD if not failed else _run.FAILED


def _write_page(
    store: sweeps.Store,
    title: str,
    claim: str,
    found: Outcome,
    good: bool,
    facts: Mapping[str, Any],
    environment: Mapping[str, Any],
    picture: bytes,
) -> None:
    import pandas as pd

    from expressivity.report import page

    claims = pd.DataFrame(
        [{"claim": c.sentence, "word": c.word, "kind": "required" if c.required else "empirical"} for c in found.claims]
    )
    tables = {"Claims": claims} | {name.replace("_", " ").capitalize(): frame for name, frame in found.frames.items()}
    checks = [(one.sentence, one.word == HOLDS) for one in found.claims if one.required]
    text = page(
        title,
        claim,
        good,
        checks,
        picture,
        found.figure_text,
        tables,
        facts,
        results=found.result,
        environment=environment,
    )
    _run.write_page(store.folder / "report.html", text)
