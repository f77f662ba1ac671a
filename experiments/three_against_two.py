"""Three layers against two: what one hidden layer cannot do in the measure of Eldan and Shamir.

Claim. For a wave over thin shells of |x|, at relative accuracy 1/2 in L2 of the measure: every network with one hidden
layer needs more directions than a constructed network with two hidden layers has units, from d = 4 on with 40 shells
(d = 3 with 100), and by a factor above 10^10 from d = 20 on. In the plane it does not. No trained student is below the
certificate. The certificate is about all of R^d and owes its strength to the frequency F of the wave as well as to the
dimension, so F/R_d stands beside every number.

Method. The certificate is the tube certificate; its largest excluded k is found by bisection. The ceiling is the
three-layer network with sup accuracy 1/20; its L2 bound is proved, and measured by sampling the shell of the target.
k_net is the largest k at which every network with one hidden layer stays at least half of the target's norm away from
the constructed network. Students are bounded (the last hidden layer has clipped units), so that their errors under the
heavy-tailed measure exist; points are drawn half on the shell of the target and half from the measure, with weights.

`default` takes about one minute on two idle cores for the table and two for the students. The exit status is 0 if
the claim held, 1 if not, 2 if the run was refused.
"""

import dataclasses
import functools
import math
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from experiments import _run


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        rows: Pairs (d, shells) of the table.
        ramp, accuracy: Of the profiles and the constructed networks.
        student_dims, student_shells, student_widths: The grid of students.
        steps, batch, evaluation, seeds: Their training.
    """

    rows: tuple[tuple[int, int], ...] = (
        (2, 40),
        (2, 160),
        (3, 40),
        (3, 100),
        (3, 200),
        (4, 40),
        (5, 24),
        (5, 60),
        (8, 40),
        (10, 26),
        (10, 40),
        (20, 60),
        (50, 96),
        (100, 150),
    )
    ramp: float = 0.25
    accuracy: float = 0.05
    student_dims: tuple[int, ...] = (2, 3, 5, 10)
    student_shells: int = 6
    student_widths: tuple[int, ...] = (2, 8, 32, 128)
    steps: int = 2000
    batch: int = 256
    evaluation: int = 40_000
    seeds: int = 2


SMOKE = Settings(
    rows=((2, 40), (3, 40), (4, 40), (5, 24)),
    student_dims=(2,),
    student_widths=(2, 8),
    steps=150,
    batch=64,
    evaluation=10_000,
)
PAPER = dataclasses.replace(
    Settings(),
    student_widths=(2, 4, 8, 16, 32, 64, 128, 256, 512),
    steps=30_000,
    batch=2048,
    evaluation=400_000,
    seeds=8,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: some minutes on two cores; paper: meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/three_against_two")
    """Output folder."""
    seeds: int | None = None
    """Students of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def separation(d: int, shells: int, ramp: float, accuracy: float) -> list[dict[str, Any]]:
    """One row of the table: what is certified, what is constructed, what is measured."""
    import numpy as np

    import expressivity as ex
    from expressivity import certificates
    from expressivity.constructions import eldan_shamir2016 as es

    wave = es.profile(d, alpha=1.0, shells=shells, ramp=ramp)
    knots = es.choose_knots(d, shells=shells, ramp=ramp, accuracy=accuracy)
    net = es.FactoredNetwork(wave, knots)
    norm = wave.norm_squared()
    hard = wave.hard or wave
    k_net = certificates.tube_limit(wave, (norm**0.5 / 2 + net.l2_bound) ** 2)
    rng = np.random.default_rng(0)
    measure = ex.EldanShamir(d)
    inner, outer = d**0.5, 2 * d**0.5
    grid = np.linspace(inner, outer, 20_001)
    mass = measure.radial_sf(inner) - measure.radial_sf(grid)
    r = np.interp(rng.uniform(0, mass[-1], 2000), mass, grid)
    x = rng.standard_normal((len(r), d))
    x *= (r / np.linalg.norm(x, axis=1))[:, None]
    gap = net(x) - wave((x**2).sum(1))
    return [
        {
            "d": d,
            "shells": shells,
            "frequency_over_radius": (wave.frequency or 0.0) / es.ball_radius(d),
            "norm_squared": norm,
            "mass_outside_2R": hard.mass_outside(2 * es.ball_radius(d)) / hard.norm_squared(),
            "excluded_at_half": float(certificates.tube_limit(wave, norm / 2)),
            "excluded_at_nine_tenths": float(certificates.tube_limit(wave, 0.9 * norm)),
            "excluded_coarse": float(certificates.tube_limit(hard, hard.norm_squared() / 2, coarse=True)),
            "units_layer_1": net.widths[0],
            "units_layer_2": net.widths[1],
            "units": sum(net.widths),
            "sup_bound": net.sup_bound,
            "measured_sup": float(np.abs(gap).max()),
            "l2_bound": net.l2_bound,
            "measured_l2": float((mass[-1] * np.mean(gap**2)) ** 0.5),
            "excluded_against_net": float(k_net),
            "ratio": k_net / sum(net.widths),
            "paper_width": float(es.paper_width(d, 1.0, shells, accuracy)),
        }
    ]


@functools.cache
def stratified(d: int) -> Callable[[Any, int], tuple[Any, Any]]:
    """Draws every second point on the shell of the target and the others from the measure, with their weights."""
    import jax
    import jax.numpy as jnp

    import expressivity as ex

    measure, inner, outer = ex.EldanShamir(d), d**0.5, 2 * d**0.5
    shell = measure.shell(inner, outer)

    def draw(key: Any, count: int) -> Any:
        near, far = jax.random.split(key)
        outside = measure.sample(far, count // 2)
        r = jnp.linalg.norm(outside, axis=1)
        weight = jnp.where((r < inner) | (r > outer), 2.0, 0.0)
        x = jnp.stack([shell.sample(near, count // 2), outside], 1)
        return x.reshape(-1, d), jnp.stack([jnp.full((count // 2,), 2 * shell.mass), weight], 1).reshape(-1)

    return draw


def students(d: int, hidden_layers: int, width: int, settings: Settings) -> list[dict[str, Any]]:
    """Trained students of one shape: relative squared errors under the whole measure, with the certificate's."""
    import jax.numpy as jnp

    from experiments import _depth
    from expressivity import certificates
    from expressivity.constructions import eldan_shamir2016 as es

    wave = es.profile(d, alpha=1.0, shells=settings.student_shells, ramp=settings.ramp)
    recipe = _depth.Students(settings.steps, settings.batch, 1e-2, settings.evaluation, settings.seeds)
    errors = _depth.train(
        d, [width] * hidden_layers, stratified(d), lambda x: wave(jnp.sum(x**2, axis=1)), d**0.5, recipe
    )
    norm = wave.norm_squared()
    floor = certificates.tube(wave, width).value if hidden_layers == 1 else 0.0
    return [
        {
            "family": f"bounded student, d={d}",
            "d": d,
            "width": width,
            "hidden_layers": hidden_layers,
            "seed": seed,
            "status": "ok",
            "norm": "L2 squared, relative",
            "error": float(error) / norm,
            "floor": floor / norm,
        }
        for seed, error in enumerate(errors)
    ]


def check(table: Any, trained: Any) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    found: list[tuple[str, bool]] = []
    for row in table.itertuples():
        tail = f"d = {row.d}, {row.shells} shells, F/R_d = {row.frequency_over_radius:.1f}"
        found.append(
            (
                f"{tail}: the network is within its bounds, sup {row.measured_sup:.4f} <= {row.sup_bound:.4f}, L2 "
                f"{row.measured_l2:.5f} <= {row.l2_bound:.5f}",
                row.measured_sup <= row.sup_bound * (1 + 1e-9) and row.measured_l2 <= row.l2_bound,
            )
        )
        if row.d >= 4 or (row.d == 3 and row.shells >= 100):
            factor = 1e10 if row.d >= 20 else 1.0
            found.append(
                (
                    f"{tail}: {row.excluded_against_net:.3g} directions are excluded at half of the norm, "
                    f"{row.ratio:.3g} times the {row.units} units of the network",
                    row.ratio > factor,
                )
            )
    shallow = trained[trained["hidden_layers"] == 1]
    bounded = shallow[shallow["floor"] > 0]
    if len(bounded):
        ratio = float((bounded["error"] / bounded["floor"]).min())
        found.append(
            (
                f"no student with one hidden layer is below the certificate; the smallest ratio is {ratio:.3f}",
                ratio >= 1,
            )
        )
    return found


def draw_figure(table: Any, trained: Any) -> Any:
    """Left: excluded directions and constructed units against d. Right: students against width, with the floor."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained", width_ratios=(1.25, 1))
    best = table.loc[table.groupby("d")["ratio"].idxmax()].sort_values("d")
    excluded, units = best["excluded_against_net"].clip(lower=1), best["units"]
    left.plot(best["d"], excluded, "o-", label="one hidden layer: more than this is needed (certified)")
    left.plot(best["d"], units, "s--", label="two hidden layers: this is enough (constructed)")
    left.fill_between(best["d"], units, excluded, where=excluded >= units, interpolate=True, color="C0", alpha=0.12)
    crossing = best[best["ratio"] > 1]
    if len(crossing):
        d = int(crossing["d"].iloc[0])
        left.axvline(d, 0.07, 0.8, color="0.5", linewidth=0.8, linestyle=":")
        left.annotate(
            f"certified separation\nfrom d = {d} on",
            (d, float(crossing["excluded_against_net"].iloc[0])),
            xytext=(0.2, 0.5),
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "->", "color": "0.4"},
            fontsize="small",
        )
    for row in best.itertuples():
        left.annotate(
            f"{row.frequency_over_radius:.3g}",
            (float(row.d), 0.015),
            xycoords=left.get_xaxis_transform(),
            ha="center",
            fontsize="x-small",
            color="0.4",
        )
    left.text(0.5, 0.055, "F/R_d of the wave:", transform=left.transAxes, ha="center", fontsize="x-small", color="0.4")
    lowest, highest = math.log10(float(units.min())), math.log10(float(excluded.max()))
    left.set(xscale="log", yscale="log", xlabel="dimension d", ylabel="units (one hidden layer: directions)")
    left.set_ylim(10 ** (-0.1 * highest - 0.5), 10 ** max(1.22 * highest, lowest + 1))
    left.set_xticks(best["d"], labels=[str(d) for d in best["d"]])
    left.minorticks_off()
    left.set_title("what relative L2 accuracy 1/2 takes", fontsize="medium", loc="left")
    left.legend(frameon=False, fontsize="small", loc="upper left")
    for number, (d, rows) in enumerate(trained.groupby("d")):
        colour = f"C{number}"
        for layers, marker in ((1, "o"), (2, "^")):
            chosen = rows[rows["hidden_layers"] == layers].groupby("width")["error"].min()
            style = "-" if layers == 1 else ":"
            right.plot(
                chosen.index, chosen, marker + style, color=colour, markersize=4, label=f"d={d}, {layers} hidden"
            )
        floor = rows[rows["hidden_layers"] == 1].groupby("width")["floor"].first()
        right.step(
            floor.index,
            floor,
            where="pre",  # a floor for w holds for every smaller width
            color=colour,
            linewidth=2.5,
            alpha=0.35,
        )
    right.set(xscale="log", xlabel="width", ylabel="squared L2 error / norm", ylim=(0, 1.08))
    right.set_title("bounded students; thick: floor for one hidden layer", fontsize="medium", loc="left")
    right.legend(frameon=False, fontsize="x-small", ncols=2, loc="lower left")
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
        rows, trained = [], []
        for d, shells in settings.rows:
            address = {"d": d, "shells": shells, "ramp": settings.ramp, "accuracy": settings.accuracy}
            rows += cells.rows("separation", address, lambda a=address: separation(**a))
        table = pd.DataFrame(rows)
        columns = ["d", "shells", "frequency_over_radius", "excluded_at_half", "excluded_against_net", "units", "ratio"]
        print(table[columns].round(4).to_string(index=False))
        shared = {
            k: v for k, v in _run.settings(settings).items() if k not in ("rows", "student_dims", "student_widths")
        }
        for d in settings.student_dims:
            for layers in (1, 2):
                for width in settings.student_widths:
                    address = {"d": d, "layers": layers, "width": width, **shared}
                    trained += cells.rows(
                        "student", address, lambda d=d, n=layers, w=width: students(d, n, w, settings)
                    )
        found = pd.DataFrame(trained)
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Three layers against two",
            claim,
            check(table, found),
            {"separation": table, "table": found},
            draw_figure(table, found),
            "Excluded directions and constructed units against the dimension; errors of students against their width.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("three_against_two", Options, experiment, __doc__ or ""))
