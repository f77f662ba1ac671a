"""One set of weights at several widths, against networks trained apart.

Claim. A network trained at several widths at once is, at each of them, the stand-alone network with the cut weights, to
the last bit; it keeps the numbers of one network and the batch norms of the others, and a step costs as many
multiply-accumulates as one of all the networks trained apart. Whether it tells as many images right as they do is
measured, and each answer is "holds", "does not hold" or "undetermined".

Method. AllConv6 with batch norm is trained by one recipe in three ways: apart at each width; slimmable, with the sum of
the losses of all widths and batch norm of its own at each; universally slimmable, with shared scales and shifts, the
widest, the narrowest and two random widths in every step, and all but the widest learning from its softmax. Moments are
taken anew after training. As a control the network trained at the widest width alone is cut.

`default` takes minutes on two cores, most of them in compiling. The exit status is 0 if what is proved or counted
holds, whatever the words of the measured claims, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
from typing import Any, Literal

from experiments import _run


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        channels: Of the convolutions of AllConv6 at width 1.
        factors: The widths that are trained, widest first.
        finer: Further widths at which the universally slimmable network is measured.
        sandwich: Its random widths in a step.
        seeds: Networks of every kind.
        steps, batch_size, learning_rate: The recipe (Adam, cosine).
        size: Pixels a side that image files are resized to; arrays keep theirs.
    """

    channels: tuple[int, ...] = (16, 16, 32, 32, 64)
    factors: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    finer: tuple[float, ...] = (0.875, 0.625, 0.375)
    sandwich: int = 2
    seeds: int = 4
    steps: int = 400
    batch_size: int = 50
    learning_rate: float = 3e-3
    size: int | None = None


SMOKE = Settings(channels=(8,), factors=(1.0, 0.5), finer=(), sandwich=1, seeds=2, steps=20, batch_size=25)
PAPER = Settings(
    channels=(64, 64, 128, 128, 256),
    finer=tuple(k / 16 for k in range(15, 4, -1) if k % 4),
    seeds=8,
    steps=20000,
    batch_size=64,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: minutes on two cores; paper: wide networks and long training, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/slimmable_width")
    """Output folder."""
    seeds: int | None = None
    """Networks of every kind."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Trains in three ways, measures at every width, judges and draws."""
    import numpy as np
    import pandas as pd

    import expressivity as ex
    from experiments import _images, _slimmable
    from expressivity import sweeps
    from expressivity.sweeps.result import family_label

    family = ex.AllConv6(classes=task.classes, channels=settings.channels, batch_norm=True)
    widths = [ex.Width(factor) for factor in settings.factors]
    every = [ex.Width(factor) for factor in sorted({*settings.factors, *settings.finer}, reverse=True)]
    slim = ex.models.Slimmable(family, tuple(widths))
    universal = ex.models.Slimmable(family, tuple(every), settings.sandwich, distilled=True)
    recipe = ex.Recipe(
        settings.steps, settings.batch_size, settings.learning_rate, schedule="cosine", statistics="recomputed"
    )
    kinds = ((family, widths), (slim, widths[:1]), (universal, widths[:1]))
    each = [ex.Sweep(net, chosen, task, settings.seeds, recipe) for net, chosen in kinds]
    result = sweeps.merge(sweeps.collect_all(each, store, title="slimmable"))
    rows, laws = [], []

    def add(method: str, width: ex.Width, seed: int, model: Any, state: Any) -> None:
        wrong = int((_slimmable.logits(family, model, state, task).argmax(1) != task.test.labels).sum())
        low, high = sweeps.binomial_interval(wrong, len(task.test))
        place = {"method": method, "width_rule": f"{width.factor:g}x", "factor": float(width.factor), "seed": seed}
        shares = {"wrong": wrong, "error": wrong / len(task.test), "low": low, "high": high}
        rows.append(place | shares | {"macs": ex.macs(family, width, task.input_size)})

    def trained(net: Any, width: ex.Width, seed: int) -> Any:
        return result.networks.get((family_label(net), max(family.width_dims(width).values()), None, seed))

    for seed in range(settings.seeds):
        for width in widths:
            found = trained(family, width, seed)
            if found is not None:
                add(_slimmable.SEPARATE, width, seed, *found)
        whole = trained(family, widths[0], seed)
        if whole is not None:
            for width in widths:
                model, state = ex.models.narrowed(family, whole[0], whole[1], width)
                state = _slimmable.recalibrated(family, model, state, task, settings.batch_size)
                add(_slimmable.CUT, width, seed, model, state)
        for method, net in ((_slimmable.SWITCHABLE, slim), (_slimmable.UNIVERSAL, universal)):
            found = trained(net, widths[0], seed)
            if found is None:
                continue
            for index, width in enumerate(net.widths):
                add(method, width, seed, *net.at(found[0], found[1], index))
            gaps = {"nested_gap": _slimmable.nested_gap(net, found[0], found[1], task), "masked_gap": np.nan}
            if net is universal and method not in {row["method"] for row in laws}:
                gaps["masked_gap"] = _slimmable.masked_gap(net, found[0], found[1], task)
            laws.append({"method": method, "seed": seed} | gaps)
    if {row["method"] for row in rows} < set(_slimmable.COLOURS):
        raise ValueError(
            f"All networks of a kind diverged at the learning rate {settings.learning_rate}; none is left to compare."
        )
    errors, law = pd.DataFrame(rows), pd.DataFrame(laws)
    cost = _slimmable.costs(family, widths, slim, universal, task)
    table = _slimmable.published()
    names = [f"{width.factor:g}x" for width in widths]
    claims = _slimmable.counted(law, cost, table) + _slimmable.measured(errors, names, len(task.test))
    figure = _slimmable.draw(errors, cost, table, f"{task.name.removesuffix(' train')}, {settings.seeds} seeds")
    frames = {"errors": errors, "costs": cost, "laws": law, "published": table}
    return _images.Outcome(result, frames, claims, figure, _slimmable.TEXT)


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images

    settings = _run.chosen(PRESETS, options)
    task = _images.task(options.data, settings.size)
    return _images.experiment(
        options,
        settings,
        title="One set of weights at several widths",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("slimmable_width", Options, experiment, __doc__ or ""))
