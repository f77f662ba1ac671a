"""The growth rate is the width of a DenseNet: what it costs and what it buys.

Claim. Parameters and multiply-accumulates of a DenseNet are quadratic polynomials of the growth rate k, so that their
exponents in k tend to 2. That is counted here. Whether a wider network is more accurate, and whether a wide and shallow
one is as good as a thin and deep one of as many parameters (`huang2017`), is measured.

Method. DenseNets, basic and with bottlenecks and compression (BC), of a small depth and several growth rates are
trained by one recipe from several seeds. Beside them stands one pair of BC networks: the thin and deep one, and the
shallow one whose growth rate brings it nearest in parameters, found by counting. Exponents are exact derivatives of the
polynomials. Images of the extract are halved to 14x14 pixels (the mean of every 2x2 square) in `smoke` and `default`.

`default` takes under three minutes on two quiet cores, `paper` is for a GPU. The exit status is 0 if what is counted
holds, whatever the words of the measured claims, 1 if not, 2 if the run was refused.
"""

import dataclasses
import itertools
import pathlib
import sys
from typing import Any, Literal

from experiments import _run

TEXT = (
    "Left and middle: part of the test images told wrong against parameters and against multiply-accumulates, one "
    "hollow dot a network, the filled one the mean of the seeds; the grey line joins the thin and deep network to the "
    "wide and shallow one of as many parameters. Right: exponents of the counted costs in the growth rate."
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        depths: Of the basic and of the BC networks.
        growths: Growth rates that are trained, besides that of the wide network of the pair.
        counted: Growth rates that are counted.
        thin: (depth, growth rate) of the thin and deep BC network.
        within: By which part the parameters of the pair may differ.
        seeds, steps, batch_size, learning_rate, weight_decay: The recipe (Nesterov).
        schedule: "cosine", or "published": a tenth of the rate at 50 and 75 % of the steps.
        halve: Whether images are halved.
        slack: The part of the test images by which "as good" may be worse.
    """

    depths: tuple[int, int] = (10, 10)
    growths: tuple[int, ...] = (4, 8)
    counted: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64, 128, 256)
    thin: tuple[int, int] = (22, 8)
    within: float = 0.1
    seeds: int = 3
    steps: int = 150
    batch_size: int = 32
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    halve: bool = True
    slack: float = 0.02


SMOKE = Settings(depths=(7, 10), growths=(4,), thin=(16, 4), within=0.2, seeds=2, steps=6, batch_size=8)
PAPER = Settings(
    depths=(40, 40),
    growths=(4, 8, 12, 24, 36, 48, 60),
    thin=(100, 12),
    seeds=3,
    steps=234_600,
    batch_size=64,
    schedule="published",
    halve=False,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: the published recipe, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/densenet_growth")
    """Output folder."""
    seeds: int | None = None
    """Networks of every shape."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""


def family_of(depth: int, growth: int, bottleneck: bool, classes: int) -> Any:
    """A DenseNet whose own growth rate is `growth`, as a network of `_wide`."""
    import expressivity as ex
    from experiments._growth import KINDS
    from experiments._wide import Net

    family = ex.DenseNet(depth, growth, classes, bottleneck)
    return Net(family, ex.Width(), f"DenseNet-{KINDS[bottleneck]} {depth}, k={growth}")


def pair_of(settings: Settings, size: Any, classes: int) -> Any:
    """The thin and deep BC network and the shallow one nearest in parameters."""
    from experiments import _wide

    depth, growth = settings.thin
    thin = family_of(depth, growth, True, classes)
    wide = [family_of(settings.depths[1], k, True, classes) for k in range(1, 40 * growth + 1)]
    pairs = _wide.equal_pairs([thin], wide, "parameters", size, settings.within)
    if not pairs:
        raise ValueError(
            f"No network of depth {settings.depths[1]} has the parameters of {thin.name} to within {settings.within:g}."
        )
    return pairs[0]


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Counts, trains, judges and draws."""
    import pandas as pd

    import expressivity as ex
    from experiments import _growth, _images, _wide
    from expressivity import sweeps

    size, classes = task.input_size, task.classes
    kinds = list(zip((False, True), settings.depths, strict=True))
    table = pd.DataFrame(
        [row for kind, depth in kinds for row in _growth.counts(depth, kind, settings.counted, size, classes)]
    )
    pair = pair_of(settings, size, classes)
    nets = [family_of(depth, k, kind, classes) for kind, depth in kinds for k in settings.growths]
    nets = list({net.name: net for net in (*nets, pair.thin, pair.wide)}.values())
    schedule: Any = settings.schedule
    if schedule == "published":
        at = (settings.steps // 2, settings.steps * 3 // 4)
        schedule = ex.training.Schedule("multistep", gamma=0.1, at=at)
    recipe = ex.Recipe(
        settings.steps,
        settings.batch_size,
        settings.learning_rate,
        "nesterov",
        schedule,
        weight_decay=settings.weight_decay,
        statistics="recomputed",
    )
    each = [ex.Sweep(net.family, [net.width], task, settings.seeds, recipe) for net in nets]
    found = sweeps.collect_all(each, store, title="growth rates")
    rows, errors = [], {}
    for net, result in zip(nets, found, strict=True):
        good = result.table[(result.table["norm"] == "top-1") & (result.table["status"] == "ok")]
        errors[net.name] = good["error"].tolist()
        place = {"label": net.name, "kind": _growth.KINDS[net.family.bottleneck], "depth": net.family.depth}
        place |= {"growth": net.family.growth} | {by: _wide.cost(net, by, size) for by in _wide.COSTS}
        rows += [
            {**place, "seed": seed, "error": error} for seed, error in zip(good["seed"], good["error"], strict=True)
        ]
    if not all(errors.values()):
        lost = next(name for name, values in errors.items() if not values)
        raise ValueError(f"All networks {lost!r} diverged at the learning rate {settings.learning_rate}; lower it.")
    claims = judge(settings, table, pair, errors, size, task)
    trained = pd.DataFrame(rows)
    figure = _growth.draw(table, trained, (pair.thin.name, pair.wide.name))
    return _images.Outcome(sweeps.merge(found), {"networks": trained, "counts": table}, claims, figure, TEXT)


def judge(settings: Settings, table: Any, pair: Any, errors: Any, size: Any, task: Any) -> list[Any]:
    """What is counted, then what is measured."""
    from experiments import _growth, _images, _wide

    claims = []
    for kind, depth in zip((False, True), settings.depths, strict=True):
        exact = [
            _growth.quadratic(lambda k, b=by, c=kind, d=depth: _wide.cost(family_of(d, k, c, task.classes), b, size))
            for by in _wide.COSTS
        ]
        rows = table[table["kind"] == _growth.KINDS[kind]]
        end = rows.iloc[-1]
        text = (
            f"parameters and MACs of {_growth.KINDS[kind]} networks of depth {depth} are quadratic polynomials of the "
        )
        text += f"growth rate (multiples of 4); exponents at k = {end['growth']}: {end['parameters_exponent']:.3f} and "
        claims.append(_images.Claim(f"{text}{end['macs_exponent']:.3f}", _images.holds(all(exact)), required=True))
    claims.append(
        _images.Claim(
            f"{pair.wide.name} has the parameters of {pair.thin.name} to within {100 * pair.gap:+.1f} %, counted",
            _images.holds(abs(pair.gap) < settings.within),
            required=True,
        )
    )
    count = len(task.test)
    for kind, depth in zip((False, True), settings.depths, strict=True):
        for small, large in itertools.pairwise(settings.growths):
            names = [family_of(depth, k, kind, task.classes).name for k in (small, large)]
            word, text = _images.compare(errors[names[1]], errors[names[0]], count)
            claims.append(_images.Claim(f"{names[1]} tells fewer images wrong than {names[0]}: {text}", word))
    word, text = _wide.as_good(errors[pair.wide.name], errors[pair.thin.name], count, settings.slack)
    sentence = f"{pair.wide.name} (wide) is as good as {pair.thin.name} (deep) to within {settings.slack:.0%}: {text}"
    return [*claims, _images.Claim(sentence, word)]


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images, _wide

    settings = _run.chosen(PRESETS, options)
    task = _images.task(options.data)
    if settings.halve:
        task = _wide.halved_task(task)
    return _images.experiment(
        options,
        settings,
        title="Growth as width",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("densenet_growth", Options, experiment, __doc__ or ""))
