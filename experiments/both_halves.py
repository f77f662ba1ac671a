"""Error against width in one figure: networks for a function, and convolutional networks on images.

Claim. One rule of width, one sweep and one drawing serve both halves of the question. For |x|^2 on the disc proved
floors stand under the trained networks, and constructed networks give proved ceilings: no measured error may lie below
a floor of its width. For images no floor can be proved; there seeds and the interval over further test images say what
a difference between two widths is worth.

Method. MLPs of several widths learn |x|^2 on the disc and are measured by quadrature; a network of width 2 that a
theorem constructs stands beside them with its proved bound. allconv6 at a sixteenth to its full width learns images by
one recipe. Both tables are drawn by `plots.error_against_width`, each network a dot.

`default` takes under three minutes on two quiet cores. The exit status is 0 if what is proved or counted holds,
whatever the words of the measured claims, 1 if not, 2 if the run was refused.
"""

import dataclasses
import itertools
import pathlib
import sys
from typing import Any, Literal

from experiments import _run

TEXT = (
    "Error against width, one dot a network, the best filled, a short bar the median of the seeds. Left: MLPs for "
    "|x|^2 on the disc in L2; solid lines are floors that no network of the width can get below, dashes "
    "constructed networks with a proved bound. Right: allconv6 on images, part of the test images told wrong; thin "
    "bars are intervals of 95 % over further test images. Nothing is proved on the right."
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        widths: Rules for the MLPs.
        hidden_layers: Of the MLPs.
        seeds: Networks of every width, for functions.
        steps, batch_size, learning_rate: The recipe of the MLPs (Adam, linear decay).
        order: Points an axis of the quadrature.
        levels: Of the constructed network.
        multipliers: Widths of allconv6.
        image_seeds, image_steps, image_batch, image_rate: The recipe on images (Adam, cosine, He's initial values).
    """

    widths: tuple[str, ...] = ("1", "n", "n+1", "2n", "4n", "8n")
    hidden_layers: tuple[int, ...] = (2,)
    seeds: int = 12
    steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 3e-3
    order: int = 128
    levels: int = 32
    multipliers: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5, 1.0)
    image_seeds: int = 4
    image_steps: int = 200
    image_batch: int = 50
    image_rate: float = 2e-3


SMOKE = Settings(
    widths=("1", "n+1"),
    seeds=3,
    steps=100,
    batch_size=32,
    order=48,
    levels=4,
    multipliers=(0.0625, 0.125),
    image_seeds=2,
    image_steps=20,
    image_batch=20,
)
PAPER = Settings(
    widths=("1", "n", "n+1", "n+2", "n+4", "2n", "4n", "8n", "16n"),
    hidden_layers=(2, 4, 8),
    seeds=32,
    steps=20_000,
    batch_size=512,
    order=256,
    levels=64,
    multipliers=(0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0),
    image_seeds=8,
    image_steps=20_000,
    image_batch=100,
    image_rate=1e-3,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/both_halves")
    """Output folder."""
    seeds: int | None = None
    """MLPs of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""


def bounds(target: Any, widths: Any, levels: int) -> tuple[Any, Any, Any]:
    """Tables of floors and ceilings in L2, and the constructed network."""
    import pandas as pd

    from expressivity import certificates
    from expressivity.constructions import kim2024

    floors = []
    for width in widths:
        best = certificates.floor(target, width, norm="L2")
        floors.append({"norm": "L2", "width": width, "value": best.value, "theorem": str(best.theorem)})
    made = kim2024.coding_network(target, levels=levels, ramp=2.0**-20)
    layers = made.network.hidden_layers
    row = {"norm": "L2", "width": made.network.width, "value": made.bound("L2"), "theorem": str(made.theorem)}
    ceilings = pd.DataFrame([row | {"label": f"coding network, {layers:,} layers", "hidden_layers": layers}])
    return pd.DataFrame(floors), ceilings, made


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Trains both halves, sets the bounds beside the one, judges and draws."""
    import expressivity as ex
    from experiments import _images
    from expressivity import sweeps
    from expressivity.sweeps import measure
    from expressivity.sweeps.verdict import best_constant

    target = ex.targets.norm_squared(ex.Ball(2))
    families = [ex.MLP(2, hidden_layers=layers) for layers in settings.hidden_layers]
    recipe = ex.Recipe(settings.steps, settings.batch_size, settings.learning_rate)
    sweep = ex.Sweep(families, list(settings.widths), target, settings.seeds, recipe, packed=True)
    functions = sweeps.collect(sweep, store, order=settings.order, title="a function")
    recipe = ex.Recipe(
        settings.image_steps, settings.image_batch, settings.image_rate, schedule="cosine", initialisation="he"
    )
    widths = [ex.Width(factor) for factor in settings.multipliers]
    sweep = ex.Sweep(ex.AllConv6(classes=task.classes), widths, task, settings.image_seeds, recipe)
    images = sweeps.collect(sweep, store, title="images")

    units = sorted({ex.Width.parse(text)(2) for text in settings.widths})
    floors, ceilings, _ = bounds(target, units, settings.levels)
    claims = judge(functions.table, images.table, floors, ceilings, len(task.test))
    constant = best_constant(measure.grid(target, settings.order), "L2")
    figure = draw(functions.table, images.table, floors, ceilings, constant, task)
    frames = {"floors": floors, "ceilings": ceilings}
    return _images.Outcome(sweeps.merge([functions, images]), frames, claims, figure, TEXT)


def judge(functions: Any, images: Any, floors: Any, ceilings: Any, count: int) -> list[Any]:
    """That no error lies below its floor, and what widening did to the images told wrong."""
    from experiments import _images

    good = functions[(functions["norm"] == "L2") & (functions["status"] == "ok")]
    floor = dict(zip(floors["width"], floors["value"], strict=True))
    low = [w for w, e, h in zip(good["width"], good["error"], good["half_width"], strict=True) if e + h < floor[w]]
    claims = [
        _images.Claim(
            f"none of {len(good)} trained networks has an L2 error below the floor of its width ({len(low)} have)",
            _images.holds(not low),
            required=True,
        )
    ]
    bound, width = ceilings["value"].iloc[0], ceilings["width"].iloc[0]
    best = good[good["width"] == width]["error"]
    if len(best):
        text = f"at width {width} the constructed network, with a proved bound of {bound:.4f}, is better than the best "
        text += f"of {len(best)} trained ones, {best.min():.4f}"
        claims.append(_images.Claim(text, _images.holds(bound < best.min())))
    rows = images[(images["norm"] == "top-1") & (images["status"] == "ok")]
    groups = [(rule, g["error"].tolist()) for rule, g in rows.groupby("width_rule", sort=False)]
    for (thin, more), (wide, less) in itertools.pairwise(groups):
        word, text = _images.compare(less, more, count)
        claims.append(_images.Claim(f"allconv6 at {wide} tells fewer images wrong than at {thin}: {text}", word))
    return claims


def draw(functions: Any, images: Any, floors: Any, ceilings: Any, constant: float, task: Any) -> Any:
    """Both tables by the same function."""
    import matplotlib.pyplot as plt

    from expressivity.plots import error_against_width

    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    error_against_width(functions, floors, ceilings, axes[0], norm="L2", constant=constant, legend=False)
    named = images.assign(family="allconv6")
    error_against_width(named, ax=axes[1], norm="top-1", by="family", bars=True, legend=False)
    axes[0].set_title("a function: $|x|^2$ on the disc", loc="left", fontsize="medium")
    axes[1].set_title(f"images: {task.name.removesuffix(' train')}", loc="left", fontsize="medium")
    for ax in axes:
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(-0.16, -0.19),
            frameon=False,
            fontsize="small",
            ncols=2,
            columnspacing=1.0,
            handlelength=1.6,
        )
    return figure


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images

    settings = _run.chosen(PRESETS, options)
    task = _images.task(options.data)
    return _images.experiment(
        options,
        settings,
        title="Both halves",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("both_halves", Options, experiment, __doc__ or ""))
