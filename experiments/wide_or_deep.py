"""Wide or deep? Wide residual networks against thin and deep ones that cost the same.

Claim. At equal parameters (and at equal multiply-accumulates) a wide and shallow residual network is as good as a thin
and deep one, and takes less time a training step (`zagoruyko_komodakis2016`). Each half of the claim gets its own word
for every pair: holds, does not hold, undetermined.

Method. Pairs are found by exact counting: for each thin network WRN-d-1 the network WRN-10-k nearest in cost, k on a
grid, where the two differ by less than a tenth. All are trained by one recipe from several seeds. "As good" means:
at most 2 % of the test images more are told wrong, beyond the noise of seeds and test set. Times are measured in turns
after training, one network a round, and go to `step_times.csv`, not to `table.csv`. Images of the extract are halved to
14x14 pixels (the mean of every 2x2 square) in `smoke` and `default`.

`default` takes under three minutes on two quiet cores, `paper` is for a GPU. The exit status is 0 if what is counted
holds, whatever the words of the measured claims, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
from typing import Any, Literal

from experiments import _run

THIN, WIDE = "#1f5fa8", "#b2182b"
TEXT = (
    "Pairs of networks that cost the same, thin and deep (blue) beside wide and shallow (red), with their parameters. "
    "Left: part of the test images told wrong, one hollow dot a network, the filled one the mean of the seeds. Right: "
    "time of one training step, every measurement, the filled one their median."
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        thin_depths: d of the thin networks WRN-d-1.
        wide_depth: Depth of the wide ones.
        multipliers: The grid of k for them.
        within: By which part the costs of a pair may differ.
        seeds, steps, batch_size, learning_rate, weight_decay: The recipe (Nesterov).
        schedule: "cosine", or "published": the rate times 0.2 at 30, 60 and 80 % of the steps.
        halve: Whether images are halved.
        slack: The part of the test images by which "as good" may be worse.
        rounds: Measurements of time, each network once a round.
    """

    thin_depths: tuple[int, ...] = (16, 28)
    wide_depth: int = 10
    multipliers: tuple[float, ...] = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5)
    within: float = 0.1
    seeds: int = 3
    steps: int = 150
    batch_size: int = 32
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    halve: bool = True
    slack: float = 0.02
    rounds: int = 4


SMOKE = Settings(
    thin_depths=(14,), wide_depth=8, multipliers=(1.25, 1.5, 1.75), seeds=2, steps=6, batch_size=8, rounds=2
)
PAPER = Settings(
    thin_depths=(16, 22, 28, 40, 52, 100),
    multipliers=tuple(k / 4 for k in range(4, 41)),
    seeds=5,
    steps=78_200,
    batch_size=128,
    learning_rate=0.1,
    schedule="published",
    halve=False,
    rounds=10,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: the published recipe, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/wide_or_deep")
    """Output folder."""
    seeds: int | None = None
    """Networks of every shape."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""


def candidates(settings: Settings, classes: int) -> tuple[list[Any], list[Any]]:
    """The thin networks and the grid of wide ones."""
    import expressivity as ex
    from experiments._wide import Net

    thin = [Net(ex.WideResNet(d, classes), ex.Width(1), f"WRN-{d}-1") for d in settings.thin_depths]
    family = ex.WideResNet(settings.wide_depth, classes)
    return thin, [Net(family, ex.Width(k), f"WRN-{settings.wide_depth}-{k:g}") for k in settings.multipliers]


def recipe_of(settings: Settings, steps: int) -> Any:
    """The recipe, for so many steps."""
    import expressivity as ex

    schedule: Any = settings.schedule
    if schedule == "published":
        schedule = ex.training.Schedule("multistep", gamma=0.2, at=tuple(part * steps for part in (0.3, 0.6, 0.8)))
    return ex.Recipe(
        steps,
        settings.batch_size,
        settings.learning_rate,
        "nesterov",
        schedule,
        weight_decay=settings.weight_decay,
        statistics="recomputed",
    )


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Counts, trains, times, judges and draws."""
    import pandas as pd

    import expressivity as ex
    from experiments import _depth, _images, _wide
    from expressivity import sweeps

    thin, grid = candidates(settings, task.classes)
    size = task.input_size
    pairs = [pair for by in _wide.COSTS for pair in _wide.equal_pairs(thin, grid, by, size, settings.within)]
    if not pairs:
        raise ValueError(f"No wide network costs what a thin one costs to within {settings.within:g}; widen the grid.")
    nets = list({net.name: net for pair in pairs for net in (pair.thin, pair.wide)}.values())
    recipe = recipe_of(settings, settings.steps)
    each = [ex.Sweep(net.family, [net.width], task, settings.seeds, recipe) for net in nets]
    found = sweeps.collect_all(each, store, title="wide or deep")
    errors = {}
    for net, result in zip(nets, found, strict=True):
        rows = result.table[(result.table["norm"] == "top-1") & (result.table["status"] == "ok")]
        errors[net.name] = rows["error"].tolist()

    clock = recipe_of(settings, min(50, settings.steps))
    cells = _depth.Cells(store)
    address = {"networks": [net.name for net in nets], "task": task.fingerprint, "rounds": settings.rounds}
    address |= {"recipe": clock.fingerprint}
    times = cells.rows("clock", address, lambda: _wide.step_times(nets, task, clock, settings.rounds))
    seconds = {net.name: [row["seconds_a_step"] for row in times if row["network"] == net.name] for net in nets}
    frame = pd.DataFrame(
        [
            {
                "network": net.name,
                "parameters": _wide.cost(net, "parameters", size),
                "macs": _wide.cost(net, "macs", size),
                "mean_error": sum(errors[net.name]) / len(errors[net.name]) if errors[net.name] else float("nan"),
                "seeds": len(errors[net.name]),
            }
            for net in nets
        ]
    )
    claims, rows = judge(pairs, errors, seconds, len(task.test), settings)
    figure = draw(frame, errors, seconds, pairs)
    frames = {"pairs": pd.DataFrame(rows), "networks": frame, "step_times": pd.DataFrame(times)}
    return _images.Outcome(sweeps.merge(found), frames, claims, figure, TEXT)


def judge(pairs: Any, errors: Any, seconds: Any, count: int, settings: Settings) -> tuple[list[Any], list[Any]]:
    """The claims, and one row a pair."""
    from experiments import _images, _wide

    worst = max(abs(pair.gap) for pair in pairs)
    claims = [
        _images.Claim(
            f"the networks of the {len(pairs)} pairs differ in cost by at most {100 * worst:.1f} %, counted",
            _images.holds(worst < settings.within),
            required=True,
        )
    ]
    rows = []
    for pair in pairs:
        good, how_good = _wide.as_good(errors[pair.wide.name], errors[pair.thin.name], count, settings.slack)
        fast, how_fast = _wide.faster(seconds[pair.wide.name], seconds[pair.thin.name])
        names = f"{pair.wide.name} against {pair.thin.name} at equal {pair.by.replace('macs', 'MACs')}"
        names += f" ({100 * pair.gap:+.1f} %)"
        claims.append(_images.Claim(f"{names}: wide is as good to within {settings.slack:.0%}: {how_good}", good))
        claims.append(_images.Claim(f"{names}: wide is faster: {how_fast}", fast))
        rows.append(
            {"thin": pair.thin.name, "wide": pair.wide.name, "equal": pair.by, "gap": pair.gap}
            | {"as_good": good, "difference": how_good}
        )
    return claims, rows


def draw(frame: Any, errors: Any, seconds: Any, pairs: Any) -> Any:
    """Errors and times of every pair side by side."""
    import matplotlib.pyplot as plt
    import numpy as np

    both = list(dict.fromkeys((pair.thin.name, pair.wide.name) for pair in pairs))
    counts = frame.set_index("network")
    figure, axes = plt.subplots(1, 2, figsize=(max(8.6, 2.6 * len(both)), 3.7), layout="constrained")
    columns = (errors, 100.0, np.mean), (seconds, 1000.0, np.median)
    for ax, (values, factor, middle) in zip(axes, columns, strict=True):
        places, labels = [], []
        for slot, names in enumerate(both):
            centres = []
            kinds = ((names[0], THIN, "o", -0.22), (names[1], WIDE, "s", 0.22))
            for name, color, marker, shift in kinds:
                y, x = factor * np.asarray(values[name]), slot + shift
                places.append(x)
                labels.append(f"{name}\n{counts.loc[name, 'parameters'] / 1e3:,.0f} k")
                if len(y):
                    spread = x + 0.05 * (np.arange(len(y)) - (len(y) - 1) / 2) / max(len(y) - 1, 1)
                    ax.plot(spread, y, marker, ms=4, mfc="none", mec=color, alpha=0.8, ls="", zorder=2)
                    ax.plot(x, middle(y), marker, ms=8, mfc=color, mec="black", mew=0.5, zorder=3, gid=name)
                    centres.append((x, float(middle(y))))
            if len(centres) == 2:
                ax.plot(*zip(*centres, strict=True), color="0.75", lw=1.2, zorder=1, gid="pair")
        ax.set_xticks(places, labels, fontsize="small")
        ax.set_xlim(-0.6, len(both) - 0.4)
        ax.set_ylim(0, 1.15 * max((factor * max(v) for v in values.values() if len(v)), default=1.0))
        for edge in range(1, len(both)):
            ax.axvline(edge - 0.5, color="0.9", lw=0.6, zorder=0)
        ax.tick_params(axis="x", length=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("test images told wrong, %")
    axes[1].set_ylabel("ms a training step, one network")
    return figure


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
        title="Wide or deep",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("wide_or_deep", Options, experiment, __doc__ or ""))
