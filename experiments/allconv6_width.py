"""Nine widths of one network: is a wider convolutional network better, and what does the width cost?

Claim of the article that this experiment repeats. allconv6 has five 3x3 convolutions of stride 2 and a dense layer. A
quarter of its channels (_1) tells images apart worse than the base; doubling conv1 and conv2 (_2), conv3 and conv4 (_3)
or conv5 (_4) of the quarter helps but stays below the base; half of the channels (_5), and the half with one part
doubled (_6, _7, _8), lie close to the base.

Method. All nine networks are trained on the same batches from several seeds and read on the same test images. Each
claim is tested by itself and gets "holds", "does not hold" or "undetermined": the difference of two networks, taken
image by image and seed by seed, is compared with its margin of 95 %. Only what is counted or derived decides the exit
status: the costs in closed form, and the size of the logits at the start.

The article has a confound. Its kernels start with deviation 0.01 whatever the width, so conv2 to conv5 multiply signals
by 0.0017 in the base and by 0.0001 in the quarter, and narrow networks stand still for longer. So every network is also
trained from He's rule, which keeps signals at every width, and with MuP, which besides keeps the learning rate right.
With these two the inputs are divided by their deviation (they start at rms 60 or so in the original); all else is the
same.

`--data ghim:FOLDER` reads photographs by list files, as in the original: stored at 256 pixels a side, cropped at random
to 224 and mirrored in training, resized to 224 in the test, blue first, means 104, 117, 124 subtracted. `--pixels 64`
scales all of that down. Without `--data` the extract of Fashion-MNIST in the package is read, at 28 pixels.

`--preset paper` is the original solver: 100,000 steps of 64 images at 224 pixels. The shorter presets keep it but for
the steps at which the learning rate drops, since the original had dropped it to a tenth after a tenth of its steps.

Run it again in the same folder after an interruption: finished networks are not trained again.
"""

import dataclasses
import pathlib
import sys
from typing import Any, Literal

import numpy as np

from experiments import _allconv6, _images, _run

Arm = Literal["original", "he", "mup"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        variants: Which of the nine networks.
        arms: Initial values.
        mup_variants: The networks that are trained with MuP.
        seeds: Networks of each.
        steps, batch_size, learning_rate: As in a `Recipe`.
        drops: The parts of the run after which the learning rate drops to a tenth; None for the original policy.
        evaluations: How often the test set is read.
        starts: Fresh networks whose logits are measured.
        pixels: Side of image files after the crop.
        per_class: Only so many training images of each class.
    """

    variants: tuple[int, ...] = tuple(range(9))
    arms: tuple[Arm, ...] = ("original", "he", "mup")
    mup_variants: tuple[int, ...] = (0, 1, 5)
    seeds: int = 3
    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 0.01
    drops: tuple[float, ...] | None = (0.6, 0.85)
    evaluations: int = 12
    starts: int = 48
    pixels: int | None = None
    per_class: int | None = None


SMOKE = Settings(
    variants=(0, 1), arms=("original",), seeds=2, steps=20, batch_size=16, evaluations=2, starts=16, per_class=20
)
PAPER = Settings(
    mup_variants=tuple(range(9)), steps=100_000, batch_size=64, drops=None, evaluations=1000, starts=256, pixels=224
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: the original settings, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/allconv6_width")
    """Output folder."""
    seeds: int | None = None
    """Networks of every variant and choice of initial values."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: nothing for the extract of Fashion-MNIST, ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST,
    fashion-full, cifar10:FOLDER."""
    pixels: int | None = None
    """Side of image files as networks read them; 64 if not given, 224 in the original."""
    arms: tuple[Arm, ...] | None = None
    """Initial values."""
    steps: int | None = None
    """Steps of each network."""


def chosen(options: Options) -> Settings:
    """The settings of a preset with what the command line changes.

    Raises:
        ValueError: If a number is out of range, or the original settings are asked for without image files.
    """
    settings = _run.chosen(PRESETS, options)
    changes = {k: getattr(options, k) for k in ("pixels", "arms", "steps") if getattr(options, k) is not None}
    settings = dataclasses.replace(settings, **changes)
    if settings.steps < 1:
        raise ValueError(f"--steps is at least 1; got {settings.steps}.")
    if settings.pixels is not None and settings.pixels < 32:
        raise ValueError(f"Five convolutions of stride 2 need --pixels of at least 32; got {settings.pixels}.")
    if not settings.arms or len(set(settings.arms)) != len(settings.arms):
        raise ValueError(
            f"--arms names each of original, he, mup at most once; got {' '.join(settings.arms) or 'none'}."
        )
    if options.preset == "paper" and not _from_files(options.data):
        raise ValueError(
            f"The original settings read photographs of 224 pixels; give --data ghim:FOLDER or other files, not "
            f"{options.data!r}."
        )
    return settings


def tasks(data: str | None, settings: Settings) -> dict[str, Any]:
    """The images as networks read them: "raw" as in the original, "unit" divided by their deviation besides.

    Files are stored a little larger than they are read, 256 to 224, and training crops at random. The test images are
    resized to the side that is read; they get a frame, which the middle crop of the test takes off again.
    """
    from expressivity.data import pipes
    from expressivity.training import ImageTask

    if _from_files(data):
        pixels = settings.pixels or _images.DEFAULT_PIXELS
        stored = round(pixels * 256 / 224)
        train = _images.task(data, stored, settings.per_class).train
        test = framed(_images.task(data, pixels).test, stored)
        pipe = dataclasses.replace(pipes.CAFFE, crop=pixels)
    else:
        whole = _images.task(data, settings.pixels, settings.per_class)
        train, test = whole.train, whole.test
        means = train.images.mean((0, 1, 2), dtype=np.float64)[::-1].round(1)
        pipe = pipes.Pipe(mirror=True, mean=tuple(means.tolist()), order="BGR")
    unit = dataclasses.replace(pipe, deviation=round(deviation(train.images, pipe.mean), 1))
    return {"raw": ImageTask(train, test, pipe), "unit": ImageTask(train, test, unit)}


def framed(images: Any, stored: int) -> Any:
    """The images in the middle of black ones of `stored` pixels a side, where a middle crop finds them."""
    side = images.input_size[0]
    before = (stored - side) // 2
    around = (before, stored - side - before)
    return dataclasses.replace(images, images=np.pad(images.images, ((0, 0), around, around, (0, 0))))


def deviation(images: np.ndarray, mean: Any) -> float:
    """The root mean square of what is left of stored images once `mean` (blue first) is subtracted."""
    means = np.broadcast_to(np.asarray(mean, float), images.shape[-1:])[::-1]
    square = 0.0
    for colour, middle in enumerate(means):
        counts = sum(np.bincount(one.ravel(), minlength=256) for one in images[..., colour])
        square += float((counts * (np.arange(256) - middle) ** 2).sum())
    return (square / images.size) ** 0.5


def recipe(settings: Settings, arm: Arm, classes: int) -> Any:
    """The original solver with the steps of the settings and the initial values of the arm."""
    import expressivity as ex
    from expressivity import training

    solver = training.original_recipe("allconv6", settings.steps)
    if settings.drops is not None:
        at = tuple(part * settings.steps for part in settings.drops)
        solver = dataclasses.replace(solver, schedule=training.Schedule("multistep", gamma=0.1, at=at))
    changes: dict[str, Any] = {"batch_size": settings.batch_size, "learning_rate": settings.learning_rate}
    if arm != "original":
        changes["initialisation"] = "he"
    if arm == "mup":
        changes["parametrisation"] = training.MuP(ex.AllConv6(0, classes=classes))
    return dataclasses.replace(solver, **changes)


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    settings = chosen(options)
    return _images.experiment(
        options,
        settings,
        title="Nine widths of allconv6",
        claim=_run.claim(__doc__),
        work=lambda store: outcome(store, settings, tasks(options.data, settings)),
    )


def outcome(store: Any, settings: Settings, sets: dict[str, Any]) -> _images.Outcome:
    """Trains the networks, tests the claims, draws the figure."""
    import pandas as pd

    import expressivity as ex
    from expressivity import sweeps
    from expressivity.sweeps.result import family_label

    classes, size = sets["raw"].classes, sets["raw"].input_size
    tables, compared, wrong = [], [], {}
    counts, claims = _counted(settings.variants, size, classes)
    of_arm: dict[Arm, list[int]] = {
        arm: [v for v in settings.variants if arm != "mup" or v in settings.mup_variants] for arm in settings.arms
    }
    each = [
        ex.Sweep(
            [ex.AllConv6(v, classes=classes) for v in variants],
            ["1x"],
            sets["raw" if arm == "original" else "unit"],
            settings.seeds,
            recipe(settings, arm, classes),
            origin=arm,
            evaluations=settings.evaluations,
        )
        for arm, variants in of_arm.items()
    ]
    results = sweeps.collect_all(each, store, title="allconv6")
    for (arm, variants), sweep, result in zip(of_arm.items(), each, results, strict=True):
        families, task = sweep.family, sweep.task
        names = {family_label(family): variant for family, variant in zip(families, variants, strict=True)}
        result.curves["origin"], result.curves["variant"] = arm, result.curves["family"].map(names)
        top = result.table[result.table["norm"] == "top-1"]
        # the same seeds for all networks of an arm, so that they can be compared seed by seed
        seeds = [s for s, group in top.groupby("seed") if (group["status"] == "ok").all()]
        if not seeds:
            raise ValueError(
                f"Every seed diverged somewhere with {_allconv6.TITLES[arm]}; take a smaller learning rate."
            )
        wrong[arm] = {}
        for family, variant in zip(families, variants, strict=True):
            name = family_label(family)
            nets = {key[3]: net for key, net in result.networks.items() if key[0] == name}
            wrong[arm][variant] = _allconv6.wrong_images(family, task, nets, seeds)
        losses = {names[name]: group["loss"].tolist() for name, group in top.groupby("family")}
        tables.append(_allconv6.summary(arm, wrong[arm], losses, classes, counts))
        macs, parameters = ({v: counts[v][i] for v in variants} for i in (1, 0))
        frame, said = _allconv6.comparisons(arm, wrong[arm], macs, parameters)
        compared.append(frame)
        claims += said
    claims += _allconv6.initialisation_claims(wrong)
    gains, said = _gains(settings, sets, classes)
    table, comparisons = pd.concat(tables, ignore_index=True), pd.concat(compared, ignore_index=True)
    result = sweeps.merge(results)
    figure = _allconv6.draw(result.curves, table, settings.arms)
    frames = {"networks": table, "comparisons": comparisons, "gains": gains}
    text = f"{_allconv6.TEXT} {_power(comparisons, settings.arms, len(sets['raw'].test))}"
    return _images.Outcome(result, frames, [*said, *claims], figure, text)


def _power(comparisons: Any, arms: tuple[Arm, ...], count: int) -> str:
    parts = []
    for arm in arms:
        mine = comparisons[comparisons["initial values"] == arm]
        parts.append(f"{_allconv6.detectable(mine):.1f} points with {_allconv6.TITLES[arm]}")
    return (
        f"On these {count} test images and seeds, differences below about {', '.join(parts)} could not have been seen."
    )


def _counted(variants: Any, size: Any, classes: int) -> tuple[dict[int, tuple[int, int]], list[_images.Claim]]:
    """(parameters, MACs) of every network, and the claims that the counter gives the closed form."""
    import expressivity as ex

    found, same = {}, True
    for variant in variants:
        family = ex.AllConv6(variant, classes=classes)
        parameters = ex.parameters(family, "1x", size)
        found[variant] = (parameters, ex.macs(family, "1x", size))
        same &= found[variant] == _allconv6.costs(variant, size[0], classes, size[2])
    claims = [_images.Claim("parameters and MACs are those of the closed form", _images.holds(same), True)]
    if {0, 1} <= set(variants):
        ratios = [a / b for a, b in zip(found[0], found[1], strict=True)]
        claims.append(
            _images.Claim(
                "a quarter of the channels costs more than a sixteenth, since the first and the last layer are linear "
                f"in the width (parameters divided by {ratios[0]:.2f}, MACs by {ratios[1]:.2f})",
                _images.holds(max(ratios) < 16),
                True,
            )
        )
    return found, claims


def _gains(settings: Settings, sets: dict[str, Any], classes: int) -> tuple[Any, list[_images.Claim]]:
    rules = {"original": "raw", "he": "unit"}
    batches = {}
    for rule, kind in rules.items():
        if rule in settings.arms:
            task = sets[kind]
            places = np.linspace(0, len(task.test) - 1, 8).astype(int)
            batches[rule] = task.pipe(task.test.images[places])
    if not batches:
        batches["he"] = sets["unit"].pipe(sets["unit"].test.images[:8])
    table = _allconv6.gains(settings.variants, batches, classes, settings.starts)
    far = (table["measured ratio"] - table["closed ratio"]).abs() > 4 * table["standard error"].clip(lower=1e-12)
    others = table["network"] != "base"
    sentence = (
        "at the start, logits against those of the base have the size of the closed form, "
        "prod(deviation * sqrt(9 c / 2)), within four standard errors "
        f"({(~far & others).sum()} of {others.sum()} networks)"
    )
    return table, [_images.Claim(sentence, _images.holds(not (far & others).any()), True)]


def _from_files(data: str | None) -> bool:
    return (data or "").partition(":")[0] in ("ghim", "list", "folder")


if __name__ == "__main__":
    sys.exit(_run.main("allconv6_width", Options, experiment, __doc__ or ""))
