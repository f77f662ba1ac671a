"""How many filters does a first layer need, and what do the filters become?

Claim. A network of which only the first layer's width changes has a first layer whose rank is at most its fan-in,
however many filters it holds, and whose cost is linear in the width. What widening buys in accuracy, whether filters
die, come in pairs of opposites, or look like Gabor functions, is measured beside the law of random filters, and each
answer is "holds", "does not hold" or "undetermined".

Method. `StemNet`s with first layers of several widths are trained from several seeds, the body behind the first layer
being the same. Batch norm is folded into the filters; those with less than 1 % of the largest norm are dead and left
out of what follows. Pairing cosines stand beside their exact law; scores against a bank of 40 Gabor functions beside
those of white noise and of pictures with the same spectrum and random phases. A layer of 3x3 filters cannot be called
Gabor-like: one in twenty random 3x3 filters scores above 0.9. Where EXPRESSIVITY_DATA names a folder with
`pretrained/first_layers.npz`, the first layers of AlexNet, VGG-16 and MobileNet in it are measured as well.

`default` takes about two and a half minutes of processor time, much of it compilation. Its 1,000 images leave 7x7
filters that no statistic here tells from random ones. The exit status is 0 if what is proved or counted holds, whatever
the words of the measured claims, 1 if not, 2 if the run was refused.
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
        kernels: Sides of the first filters; each is a family.
        widths: Numbers of first filters.
        seeds: Networks of every width.
        steps, batch_size, learning_rate: The recipe (Adam, cosine).
        stride: Of the first layer.
        body: Channels behind it.
        layers: Random layers for the p-values of pairing.
    """

    kernels: tuple[int, ...] = (7,)
    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    seeds: int = 3
    steps: int = 400
    batch_size: int = 50
    learning_rate: float = 3e-3
    stride: int = 2
    body: tuple[int, ...] = (32, 64)
    layers: int = 199


SMOKE = Settings(widths=(2, 56), seeds=2, steps=30, batch_size=25, body=(8,), layers=39)
PAPER = Settings(
    kernels=(3, 7, 11), widths=(1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160), seeds=8, steps=6000, layers=999
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: a few minutes on two cores; paper: three sizes of filters, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/first_layer_width")
    """Output folder."""
    seeds: int | None = None
    """Networks of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""
    size: int | None = None
    """Pixels a side that image files are resized to."""


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Trains, measures the filters, judges and draws."""
    import pandas as pd

    import expressivity as ex
    from experiments import _filters, _images
    from expressivity import sweeps
    from expressivity.sweeps.result import family_label

    families = [
        ex.StemNet(kernel, max(settings.widths), task.classes, True, settings.stride, settings.body)
        for kernel in settings.kernels
    ]
    recipe = ex.Recipe(
        settings.steps, settings.batch_size, settings.learning_rate, schedule="cosine", statistics="recomputed"
    )
    sweep = ex.Sweep(families, list(settings.widths), task, settings.seeds, recipe)
    result = sweeps.collect(sweep, store, title="first layers")
    errors = result.table[result.table["norm"] == "top-1"].set_index(["family", "width", "seed"])
    layers, rows = {}, []
    for family in families:
        for width in settings.widths:
            for seed in range(settings.seeds):
                network = result.networks.get((family_label(family), width, None, seed))
                if network is None:
                    continue
                kernel, _ = ex.models.folded(family, network[0], network[1], task.input_size)["stem"]
                layers[family.kernel, width, seed] = kernel
                found = errors.loc[(family_label(family), width, seed)]
                place = {"kernel": family.kernel, "width": width, "seed": seed, "error": float(found["error"])}
                counts = {"parameters": int(found["parameters"]), "macs": ex.macs(family, width, task.input_size)}
                rows.append(place | counts | _filters.measure(kernel, settings.layers, seed))
    if not rows:
        raise ValueError(
            f"All networks diverged at the learning rate {settings.learning_rate}; none is left to measure."
        )
    table = pd.DataFrame(rows)
    others = _filters.trained_by_others()
    frames = {"filters": table}
    if others:
        frames["trained_by_others"] = pd.DataFrame(
            [{"network": name} | _filters.measure(kernel, settings.layers, 0) for name, kernel in others.items()]
        )
    claims = _filters.claims(table, frames.get("trained_by_others"), layers, families, len(task.test), task.input_size)
    figure = _filters.draw(table, layers, others)
    return _images.Outcome(result, frames, claims, figure, _filters.TEXT)


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images

    settings = _run.chosen(PRESETS, options)
    task = _images.task(options.data, options.size)
    return _images.experiment(
        options,
        settings,
        title="The width of the first layer",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("first_layer_width", Options, experiment, __doc__ or ""))
