"""MobileNet's two multipliers: alpha thins every layer, rho shrinks the image.

Claim. The multiply-accumulates of MobileNet grow nearly as alpha squared, its parameters less; the counts are the
printed ones. MobileNet 0.75 has fewer numbers than the shallow network that the paper sets beside it, and more
arithmetic. Whether error falls with alpha at each resolution, with a jump at the smallest, and whether narrow beats
shallow, is measured, and each answer is "holds", "does not hold" or "undetermined".

Method. MobileNets of several alphas are trained from several seeds on the same images at several sizes, and the shallow
network of alpha 1 beside them; smaller images are the stored ones resized by a bilinear filter. Moments of batch norm
are taken anew after training. The published tables stand beside the measured ones. Where trained networks
(mobilenet_v1_*_quant.tflite, retrained_graph.pb) and labelled photographs are at hand, they are run on them.

`default` takes minutes on two cores, most of them in compiling. The exit status is 0 if what is counted holds, whatever
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
        alphas: Width multipliers.
        pixels: Sides of the images, the largest first; alphas other than those of `few` are trained there only.
        few: The alphas that are trained at every size.
        shallow: Whether the shallow network of alpha 1 is trained at the largest size.
        seeds: Networks of every kind.
        steps, batch_size, learning_rate: The recipe (Adam, cosine).
    """

    alphas: tuple[float, ...] = (0.25, 0.5, 0.75)
    pixels: tuple[int, ...] = (28, 14)
    few: tuple[float, ...] = (0.25,)
    shallow: bool = True
    seeds: int = 4
    steps: int = 220
    batch_size: int = 32
    learning_rate: float = 3e-3


SMOKE = Settings(alphas=(0.25,), pixels=(14,), shallow=False, seeds=1, steps=4, batch_size=8)
PAPER = Settings(
    alphas=(0.25, 0.5, 0.75, 1.0),
    pixels=(224, 192, 160, 128),
    few=(0.25, 0.5, 0.75, 1.0),
    steps=30000,
    batch_size=64,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: minutes on two cores; paper: all alphas at 224 to 128 pixels, for photographs
    (--data) on a GPU."""
    out: pathlib.Path = pathlib.Path("runs/mobilenet_multiplier")
    """Output folder."""
    seeds: int | None = None
    """Networks of every kind."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""
    photographs: pathlib.Path | None = None
    """Folder of photographs imagenet_NUMBER_CLASS.jpg for networks trained by others; by default those that the package
    foolbox ships, where it is installed."""
    weights: tuple[pathlib.Path, ...] = ()
    """Their weights: mobilenet_v1_{0.25_128,0.5_160,0.75_192}_quant.tflite, retrained_graph.pb (alpha 1); by default
    the former in the folder pretrained/ below EXPRESSIVITY_DATA."""


def tasks(data: str | None, pixels: tuple[int, ...]) -> dict[int, Any]:
    """The same images at every size: files decoded at the largest, and all smaller ones made of these."""
    from experiments import _images, _mobilenet
    from expressivity.training import ImageTask

    files = (data or "").partition(":")[0] in ("ghim", "list", "folder")
    whole = _images.task(data, max(pixels) if files else None)
    found = {}
    for side in pixels:
        parts = [_mobilenet.resized(part, side) for part in (whole.train, whole.test)]
        found[side] = ImageTask(parts[0], parts[1], name=f"{whole.name}, {side} pixels")
    return found


def work(store: Any, settings: Settings, images: dict[int, Any], options: Options) -> Any:
    """Trains, counts, runs trained networks where they are at hand, judges and draws."""
    import pandas as pd

    import expressivity as ex
    from experiments import _images, _mobilenet, _mobilenet_figure
    from expressivity import sweeps
    from expressivity.sweeps.result import family_label

    recipe = ex.Recipe(
        settings.steps, settings.batch_size, settings.learning_rate, schedule="cosine", statistics="recomputed"
    )
    largest = max(settings.pixels)
    grid: list[tuple[int, Any, tuple[float, ...]]] = []
    for side, task in images.items():
        grid.append((side, ex.MobileNet(task.classes), settings.alphas if side == largest else settings.few))
        if settings.shallow and side == largest:
            grid.append((side, ex.MobileNet(task.classes, shallow=True), (1.0,)))
    each = [
        ex.Sweep(family, [ex.Width(alpha) for alpha in alphas], images[side], settings.seeds, recipe)
        for side, family, alphas in grid
    ]
    parts, rows = sweeps.collect_all(each, store, title="MobileNet"), []
    for (side, family, alphas), found in zip(grid, parts, strict=True):
        for alpha in alphas:
            width = ex.Width(alpha)
            counts = {"macs": ex.macs(family, width, images[side].input_size)}
            counts["parameters"] = ex.parameters(family, width, images[side].input_size)
            table = found.table
            units = max(family.width_dims(width).values())
            mine = (table["norm"] == "top-1") & (table["width"] == units) & (table["status"] == "ok")
            mine &= table["family"] == family_label(family)
            for row in table[mine].itertuples():
                place = {"alpha": alpha, "pixels": side, "shallow": family.shallow, "seed": row.seed}
                rows.append(place | {"error": row.error, "half_width": row.half_width} | counts)
    if not rows:
        raise ValueError(
            f"All networks diverged at the learning rate {settings.learning_rate}; none is left to measure."
        )
    errors, published = pd.DataFrame(rows), _mobilenet.published()
    count = len(images[largest].test)
    photographs, same = None, False
    weights, pictures = _mobilenet.weight_files(options.weights), _mobilenet.photograph_files(options.photographs)
    if weights and pictures:
        photographs, same = _mobilenet.on_photographs(weights, pictures), _mobilenet.known(pictures)
    claims = _mobilenet.counted(published, photographs, same) + _mobilenet.measured(errors, count)
    exponents = _exponents(images[largest])
    title = f"{images[largest].name.split(' train')[0]}, {settings.seeds} seeds"
    figure = _mobilenet_figure.draw(errors, published, photographs, title, exponents)
    frames = {"errors": errors, "published": published, "exponents": exponents}
    if photographs is not None:
        frames["photographs"] = photographs
    return _images.Outcome(sweeps.merge(parts), frames, claims, figure, _mobilenet_figure.TEXT)


def _exponents(task: Any) -> Any:
    """How cost grows with alpha: for ImageNet at 224 pixels, and for the images of this run."""
    import pandas as pd

    import expressivity as ex

    widths, frames = [ex.Width(alpha) for alpha in (0.75, 0.5, 0.25)], []
    side = task.input_size[0]
    for name, classes, size in (
        ("1000 classes, 224", 1000, 224),
        (f"{task.classes} classes, {side}", task.classes, side),
    ):
        table = ex.cost_table(ex.MobileNet(classes), widths, size)
        frames.append(table.assign(network=name, alpha=[float(width.factor) for width in widths]))
    return pd.concat(frames, ignore_index=True)


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images

    settings = _run.chosen(PRESETS, options)
    images = tasks(options.data, settings.pixels)
    return _images.experiment(
        options,
        settings,
        title="MobileNet's two multipliers",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, images, options),
    )


if __name__ == "__main__":
    sys.exit(_run.main("mobilenet_multiplier", Options, experiment, __doc__ or ""))
