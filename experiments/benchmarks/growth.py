"""How do time and memory of training grow with seeds, width, hidden layers and batch, and with points of evaluation?

Claim: time grows in proportion to operations, and memory to bytes, once operations outweigh the calls that carry them
out; below that, time per step is the number of calls. The figure shows where the two models hold and where they part.

Method: along one axis at a time, the others at their middle values, the same program that `training.train` runs is
timed twice, for few and for many steps, and the difference is taken, so that compilation and start are not in it.
Memory is what the compiled program asks for (arguments, results and temporary arrays, as XLA reports them), times the
number of programs that are alive at once. The model of time is a + b x along each axis, with a, b >= 0 fitted by
relative least squares. For training x is the operations of a step, of the busier one of the threads: a program
trains a fixed number of networks, empty places included, and threads share the programs. The model of memory counts
bytes and has nothing to fit.

    python -m experiments.benchmarks.growth --out runs/growth

A few minutes on two cores.
"""

import dataclasses
import os
import pathlib
import statistics
import sys
import time
from typing import Any

import numpy as np

from experiments import _run


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is timed: the values along each axis; the middle values of the others."""

    seeds: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    widths: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)
    hidden_layers: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    points: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048, 4096)
    """Points of a minibatch."""
    evaluated: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Points of one evaluation."""
    middle: tuple[int, int, int, int] = (16, 8, 4, 256)
    """Seeds, width, hidden layers and points where another axis varies."""
    rounds: int = 5
    out: pathlib.Path = pathlib.Path("runs/growth")


AXES = ("seeds", "widths", "hidden_layers", "points")
INPUTS = 4


def operations(seeds: int, width: int, hidden_layers: int, points: int) -> float:
    """Operations of one step of all networks: three products a layer, two in the first; 12 of Adam for each weight."""
    inner = (hidden_layers - 1) * width * width + width
    weights = width * INPUTS + width + (hidden_layers - 1) * (width * width + width) + width + 1
    return seeds * (2 * points * (3 * inner + 2 * INPUTS * width) + 12 * weights)


def memory_model(seeds: int, width: int, hidden_layers: int, points: int, nets: int, chunk: int) -> float:
    """Bytes: weights with two moments in every group of `nets`, minibatches of a chunk, activations of one group.

    Each hidden layer keeps its input and its output for the way back: in a loop over layers the output of one and the
    input of the next are two arrays.
    """
    groups = -(-seeds // nets)
    weights = width * INPUTS + width + (hidden_layers - 1) * (width * width + width) + width + 1
    activations = nets * width * points * 2 * hidden_layers
    return 4 * (groups * nets * 3 * weights + activations + chunk * points * (INPUTS + 1))


def measure(place: tuple[int, int, int, int], rounds: int) -> dict[str, Any]:
    """Seconds a step (median and extremes of rounds), bytes, and both models, at one place of the grid."""
    import expressivity as ex
    from expressivity import training
    from expressivity.training import loop, program

    seeds, width, layers, points = place
    target = ex.targets.norm_squared(ex.Ball(INPUTS))
    family = ex.MLP(INPUTS, hidden_layers=layers)
    few = loop.CHUNK
    found = []
    many = few * max(2, min(9, round(2e9 / (few * operations(*place)))))

    def seconds(steps: int) -> float:
        recipe = ex.Recipe(steps, points, 1e-3)
        begun = time.perf_counter()
        training.train(family, (width,), target, range(seeds), recipe)
        return time.perf_counter() - begun

    seconds(1)
    for _ in range(rounds):
        first = seconds(few)
        found.append(max(seconds(many) - first, 1e-9) / (many - few))
    nets = loop.nets_a_program(width, points)
    shape = program.Shape(INPUTS, 1, width, layers, nets, points, loop.CHUNK, "adam")
    made, _ = program.compiled(shape)
    analysis = made.run.memory_analysis()
    groups = -(-seeds // nets)
    state = analysis.argument_size_in_bytes - 4 * loop.CHUNK * (points * (INPUTS + 1) + nets)
    taken = groups * state + analysis.temp_size_in_bytes + 4 * loop.CHUNK * points * (INPUTS + 1)
    return {
        "seconds_a_step": statistics.median(found),
        "least": min(found),
        "most": max(found),
        "operations": -(-groups // min(2, os.cpu_count() or 1)) * operations(nets, width, layers, points),
        "bytes": taken,
        "bytes_model": memory_model(*place, nets, loop.CHUNK),
        "programs": groups,
    }


def evaluation(points: int, rounds: int) -> dict[str, Any]:
    """Seconds of evaluating a network of width 8 with 64 hidden layers at so many points."""
    import jax

    import expressivity as ex

    network, _ = ex.MLP(INPUTS, hidden_layers=64).init(jax.random.key(0), 8)
    x = np.random.default_rng(0).standard_normal((points, INPUTS))
    ex.evaluate(network, x)
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        ex.evaluate(network, x)
        found.append(time.perf_counter() - begun)
    work = 2.0 * points * (INPUTS * 8 + 63 * 64 + 8)
    return {"seconds_a_step": statistics.median(found), "least": min(found), "most": max(found), "operations": work}


def fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(a, b) >= 0 of a + b x by relative least squares."""
    from scipy.optimize import nnls

    design = np.stack([1 / y, x / y], axis=1)
    scale = np.abs(design).max(0)
    return tuple(nnls(design / scale, np.ones(len(x)))[0] / scale)


def main(settings: Settings) -> int:
    import pandas as pd

    _run.start_jax(None)
    rows = []
    for number, axis in enumerate(AXES):
        for value in getattr(settings, axis):
            place = list(settings.middle)
            place[number] = value
            rows.append({"axis": axis, "value": value, **measure(tuple(place), settings.rounds)})  # pyright: ignore[reportArgumentType]
            print(f"{axis} {value}: {1e6 * rows[-1]['seconds_a_step']:.0f} us a step", flush=True)
    rows += [{"axis": "evaluated", "value": n, **evaluation(n, settings.rounds)} for n in settings.evaluated]
    frame = pd.DataFrame(rows)
    # one model along each axis: what a call costs depends on the number of calls, which seeds and layers change
    for axis, group in frame.groupby("axis", sort=False):
        a, b = fit(group["operations"].to_numpy(float), group["seconds_a_step"].to_numpy(float))
        frame.loc[group.index, "seconds_model"] = a + b * group["operations"]
        frame.loc[group.index, "fixed_share"] = a / (a + b * group["operations"])
        rate = f"{1e-9 / b:.1f} GFLOP/s" if b > 0 else "no growth seen"
        print(f"{axis}: {1e6 * a:.1f} us fixed + operations at {rate}")
    settings.out.mkdir(parents=True, exist_ok=True)
    _run.write_frame(settings.out / "growth.csv", frame)
    _run.save_figure(draw(frame), settings.out / "growth")
    apart = (frame["seconds_a_step"] / frame["seconds_model"]).groupby(frame["axis"], sort=False).agg(["min", "max"])
    bytes_apart = (frame["bytes"] / frame["bytes_model"]).groupby(frame["axis"], sort=False).agg(["min", "max"])
    print("\nMeasured time over its model, least and most along each axis:\n" + apart.round(2).to_string())
    print("\nMemory over its model:\n" + bytes_apart.dropna().round(2).to_string())
    print(f"\nFigure and table are in {settings.out}.")
    return 0


def _time(seconds: float, _: Any) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= 0.999 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.1e} s"


def draw(frame: Any) -> Any:
    """Time above, memory below, one column an axis; models as lines."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    names = {
        "seeds": "seeds",
        "widths": "width",
        "hidden_layers": "hidden layers",
        "points": "points of a minibatch",
        "evaluated": "points evaluated",
    }
    figure, axes = plt.subplots(2, len(names), figsize=(15, 5.6), layout="constrained")
    for column, (axis, name) in enumerate(names.items()):
        group = frame[frame["axis"] == axis]
        top, bottom = axes[:, column]
        spread = [group["seconds_a_step"] - group["least"], group["most"] - group["seconds_a_step"]]
        top.errorbar(
            group["value"], group["seconds_a_step"], yerr=spread, fmt="o", ms=4, color="#1f4e79", label="measured"
        )
        top.plot(group["value"], group["seconds_model"], color="#b2182b", lw=1.2, label="fixed cost + operations")
        top.set(xscale="log", yscale="log", title=name)
        if axis != "evaluated":
            bottom.plot(group["value"], group["bytes"] / 2**20, "o", ms=4, color="#1f4e79", label="compiled program")
            bottom.plot(group["value"], group["bytes_model"] / 2**20, color="#b2182b", lw=1.2, label="bytes counted")
            bottom.set(xscale="log", yscale="log", xlabel=name)
        else:
            bottom.set_axis_off()
        for ax in (top, bottom):
            ax.spines[["top", "right"]].set_visible(False)
            ax.xaxis.set_minor_locator(NullLocator())
        if axis != "evaluated":
            marks = group["value"].tolist()
            marks = marks[:: 2 if len(marks) > 7 else 1]
            for ax in (top, bottom):
                ax.set_xticks(marks, [f"{mark:,}" for mark in marks])
            bottom.set_yscale("log", base=2)
            bottom.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            bottom.yaxis.set_minor_locator(NullLocator())
        top.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        top.yaxis.set_major_formatter(FuncFormatter(_time))
        top.yaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("time of a step\n(right: of an evaluation)")
    axes[1, 0].set_ylabel("memory, MiB")
    axes[0, 0].legend(frameon=False, fontsize="small")
    axes[1, 0].legend(frameon=False, fontsize="small")
    return figure


if __name__ == "__main__":
    import tyro

    sys.exit(main(tyro.cli(Settings, description=__doc__)))
