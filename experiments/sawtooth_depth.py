"""Depth against width on a line: the sawtooth of Telgarsky and the square of Yarotsky.

Claim. The k-fold tent is computed by k hidden layers of width 2. Networks with fewer layers are excluded by a
certificate until their product of (width + 1) is near 2^k: with l hidden layers the least width that is not excluded
grows like 2^(k/l). The square is approximated to 2^(-2m-2) by m hidden layers of width 3, while one hidden layer of w
units is off by at least 1/(8 (w + 1)^2), since one of its w + 1 affine pieces is that long; with as many units the deep
network is better from m = 5 on.

Method. Certificates are exact. Deep networks are measured in rationals at the points where the error is largest.
Students with one hidden layer are trained on the sawtooth and compared with the L1 certificate for their width.

`default` takes about a minute on two cores. The exit status is 0 if the claim held, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        folds: The k of the sawtooths.
        layers: Numbers of hidden layers whose least width is sought.
        squares: The m of the squares.
        student_folds, student_widths: The grid of students.
        steps, batch, evaluation, seeds: Their training.
    """

    folds: tuple[int, ...] = (4, 6, 8, 10, 12, 16, 20)
    layers: tuple[int, ...] = (1, 2, 3, 4)
    squares: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10)
    student_folds: int = 5
    student_widths: tuple[int, ...] = (2, 4, 8, 16)
    steps: int = 3000
    batch: int = 256
    evaluation: int = 40_000
    seeds: int = 4


SMOKE = Settings(
    folds=(4, 8, 12), squares=(1, 3, 5), student_widths=(2, 4), steps=100, batch=64, evaluation=10_000, seeds=2
)
PAPER = dataclasses.replace(
    Settings(), student_folds=7, student_widths=(2, 4, 8, 16, 32, 64, 128), steps=50_000, batch=1024, seeds=16
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: about a minute on two cores; paper: meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/sawtooth_depth")
    """Output folder."""
    seeds: int | None = None
    """Students of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def least_width(k: int, layers: int) -> int:
    """The least width at which `layers` hidden layers are not excluded in L1."""
    from expressivity.constructions import telgarsky2016

    low, high = 0, 1
    while telgarsky2016.l1_certificate(k, (high,) * layers).value > 0:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        excluded = telgarsky2016.l1_certificate(k, (middle,) * layers).value > 0
        low, high = (middle, high) if excluded else (low, middle)
    return high


def sawtooth(k: int, layers: tuple[int, ...]) -> list[dict[str, Any]]:
    """What is excluded for the k-fold tent, with the deep network checked at the dyadic points."""
    from fractions import Fraction

    import expressivity as ex
    from expressivity.constructions import telgarsky2016

    network = telgarsky2016.sawtooth(k)
    points = [Fraction(i, 2**k) for i in range(0, 2**k, max(1, 2**k // 64 - 1))]
    exact = all(ex.relu.evaluate_exactly(network, [x])[0] == x.numerator * (2**k // x.denominator) % 2 for x in points)
    return [
        {
            "k": k,
            "hidden_layers": count,
            "least_width_not_excluded": least_width(k, count),
            "growth": 2.0 ** (k / count),
            "deep_layers": network.hidden_layers,
            "deep_width": network.width,
            "deep_exact": exact,
        }
        for count in layers
    ]


def squares(m: int) -> list[dict[str, Any]]:
    """The sup error of the deep square, exactly, and the least error of one hidden layer with as many units."""
    from fractions import Fraction

    import expressivity as ex
    from expressivity.constructions import yarotsky2017

    made = yarotsky2017.square(m)
    odd = [Fraction(i, 2 ** (m + 1)) for i in range(1, 2 ** (m + 1), max(2, 2 * (2**m // 64)))]
    errors = [ex.relu.evaluate_exactly(made.network, [x])[0] - x * x for x in odd]
    units = sum(made.network.hidden_widths)
    return [
        {
            "m": m,
            "units": units,
            "hidden_layers": made.network.hidden_layers,
            "width": made.network.width,
            "bound": made.error_bound,
            "measured": float(max(errors)),
            # the best affine function on an interval of length s misses x^2 by s^2 / 8 in the sup norm; one of the
            # units + 1 pieces is at least 1 / (units + 1) long
            "one_layer_floor": 1 / (8 * (units + 1) ** 2),
        }
    ]


def students(width: int, settings: Settings) -> list[dict[str, Any]]:
    """Trained students with one hidden layer of `width` clipped units, that is 2 `width` ReLUs, on the sawtooth."""
    import jax.numpy as jnp
    import jax.random

    from experiments import _depth
    from expressivity.constructions import telgarsky2016

    tent = telgarsky2016.target(settings.student_folds)
    recipe = _depth.Students(settings.steps, settings.batch, 1e-2, settings.evaluation, settings.seeds)
    errors = _depth.train(
        1,
        [width],
        lambda key, count: (jax.random.uniform(key, (count, 1)), jnp.ones(count)),
        tent.batch,
        1.0,
        recipe,
    )
    floor = telgarsky2016.l1_certificate(settings.student_folds, (2 * width,)).value
    return [
        {
            "family": f"bounded student, k={settings.student_folds}",
            "width": 2 * width,
            "hidden_layers": 1,
            "seed": seed,
            "status": "ok",
            "norm": "L2",
            "error": float(error) ** 0.5,
            "floor": floor,
        }
        for seed, error in enumerate(errors)
    ]


def check(teeth: Any, parabolas: Any, trained: Any, sampling: float) -> list[tuple[str, bool]]:
    """The sentences of the verdict. The L2 norm is at least the L1 norm, which the certificate bounds."""
    growth = teeth["least_width_not_excluded"] / teeth["growth"]
    bounded = trained[trained["floor"] > 0]
    slack = float((bounded["error"] / bounded["floor"]).min())
    deep = parabolas[parabolas["m"] >= 5]
    return [
        ("every deep network equals the sawtooth at the dyadic points", bool(teeth["deep_exact"].all())),
        (
            f"the least width that is not excluded is {growth.min():.2f} to {growth.max():.2f} times 2^(k / layers)",
            bool(growth.min() >= 0.25 and growth.max() <= 1),
        ),
        (
            "every deep square attains its bound 2^(-2m-2)",
            bool((parabolas["measured"] == parabolas["bound"]).all()),
        ),
        *(
            (
                f"m = {row.m}: one hidden layer of {row.units} units is off by at least {row.one_layer_floor:.3g}, the "
                f"deep network by {row.bound:.3g}",
                bool(row.bound < row.one_layer_floor),
            )
            for row in deep.itertuples()
        ),
        (
            f"no student is below its certificate, {len(bounded)} of {len(trained)} have one; the smallest ratio is "
            f"{slack:.3f}",
            slack >= 1 - sampling,
        ),
    ]


def draw_figure(teeth: Any, parabolas: Any, trained: Any) -> Any:
    """Least widths against k, errors of squares against units, students against width."""
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.6), layout="constrained")
    for count, rows in teeth.groupby("hidden_layers"):
        left.plot(
            rows["k"], rows["least_width_not_excluded"], "o-", label=f"{count} hidden layer{'s' if count > 1 else ''}"
        )
    left.plot(teeth["k"].unique(), [2] * teeth["k"].nunique(), "k--", label="k hidden layers: constructed")
    left.set(yscale="log", xlabel="k", ylabel="least width not excluded", title="sawtooth")
    left.set_xticks(teeth["k"].unique())
    left.legend(frameon=False, fontsize="x-small")
    middle.plot(parabolas["units"], parabolas["bound"], "s--", label="deep: constructed")
    middle.plot(parabolas["units"], parabolas["one_layer_floor"], "-", label="one hidden layer: floor")
    middle.set(yscale="log", xlabel="units", ylabel="sup error", title="square")
    middle.legend(frameon=False, fontsize="x-small")
    right.plot(trained["width"], trained["error"], ".", label="students, L2")
    floors = trained.groupby("width")["floor"].first()
    right.step(floors.index, floors, where="pre", label="floor, L1")
    right.set(xscale="log", xlabel="width", ylabel="error", title="sawtooth, one hidden layer", ylim=(0, None))
    right.set_xticks(floors.index, labels=[str(width) for width in floors.index])
    right.minorticks_off()
    right.legend(frameon=False, fontsize="x-small", loc="center right")
    return figure


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the verdict, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _depth
    from expressivity import sweeps

    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        teeth, parabolas, trained = [], [], []
        for k in settings.folds:
            address = {"k": k, "layers": list(settings.layers)}
            teeth += cells.rows("sawtooth", address, lambda k=k: sawtooth(k, settings.layers))
        for m in settings.squares:
            parabolas += cells.rows("square", {"m": m}, lambda m=m: squares(m))
        shared = ("student_folds", "steps", "batch", "evaluation", "seeds")
        for width in settings.student_widths:
            address = {"width": width, **{k: getattr(settings, k) for k in shared}}
            trained += cells.rows("student", address, lambda w=width: students(w, settings))
        first, second, third = (pd.DataFrame(rows) for rows in (teeth, parabolas, trained))
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Depth against width on a line",
            claim,
            check(first, second, third, 8 / settings.evaluation**0.5),
            {"sawtooth": first, "square": second, "table": third},
            draw_figure(first, second, third),
            "Least widths not excluded against k; errors of squares against units; students against width.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("sawtooth_depth", Options, experiment, __doc__ or ""))
