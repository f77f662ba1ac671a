"""Functions of an inner product: two hidden layers against one, without any bound on the weights.

Claim. For sin(pi d^3 <x, x'>) on pairs of unit vectors, every network with one hidden layer and squared error at most
half of the variance has more units than a constructed network with two hidden layers of sup accuracy 1/10, from d = 4
on; by a factor above 1000 at d = 5. The published bound, which limits the weights to 2^d, excludes its first network at
d = 19.

Method. The floor is the rank certificate: on harmonics of degree n the target is a multiple of the identity and a unit
is of rank one. Its largest excluded r is found by bisection. The ceiling is the constructed network, whose error is
proved and measured on random pairs. Students with one hidden layer are trained on the same target and compared with the
certificate for their width.

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
        networks: Triples (d, knots, head_knots) of constructed networks.
        floors_only: Further dimensions, for the certificate alone.
        paper: Dimensions at which the published bound is listed.
        student_dims, student_widths: The grid of students.
        steps, batch, evaluation, seeds: Their training.
    """

    networks: tuple[tuple[int, int, int], ...] = ((3, 50, 267), (4, 90, 636), (5, 140, 1240), (8, 360, 5120))
    floors_only: tuple[int, ...] = (10,)
    paper: tuple[int, ...] = (10, 18, 19, 20, 30, 40, 50)
    student_dims: tuple[int, ...] = (3,)
    student_widths: tuple[int, ...] = (4, 16, 64)
    steps: int = 2000
    batch: int = 256
    evaluation: int = 40_000
    seeds: int = 2


SMOKE = Settings(
    networks=((3, 50, 267), (4, 90, 636)),
    floors_only=(5,),
    student_widths=(4,),
    steps=100,
    batch=64,
    evaluation=10_000,
)
PAPER = dataclasses.replace(
    Settings(), student_dims=(3, 4), student_widths=(4, 16, 64, 256, 1024), steps=30_000, batch=2048, seeds=8
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: about a minute on two cores; paper: meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/inner_product_separation")
    """Output folder."""
    seeds: int | None = None
    """Students of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def separation(d: int, knots: int, head_knots: int) -> list[dict[str, Any]]:
    """One row: the excluded rank, and the constructed network if `knots` is not 0."""
    import numpy as np

    import expressivity as ex
    from expressivity import certificates
    from expressivity.constructions import daniely2017

    wave = daniely2017.wave(d)
    norm = certificates.rank(wave, d, 0).value
    row: dict[str, Any] = {
        "d": d,
        "norm_squared": norm,
        "excluded_at_half": float(certificates.rank_limit(wave, d, norm / 2)),
        "units": float("nan"),
        "sup_bound": float("nan"),
        "measured_sup": float("nan"),
    }
    if knots:
        made = daniely2017.network(d, knots=knots, head_knots=head_knots)
        x, y = np.random.default_rng(0).standard_normal((2, 1000, d))
        pairs = np.concatenate([v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y)], axis=1)
        gap = ex.evaluate(made.network, pairs)[:, 0] - made.target.values(pairs)
        row |= {
            "units": float(sum(made.network.hidden_widths)),
            "sup_bound": made.error_bound,
            "measured_sup": float(np.abs(gap).max()),
        }
    return [row]


def students(d: int, width: int, settings: Settings) -> list[dict[str, Any]]:
    """Trained students with one hidden layer, with the certificate for their width."""
    import jax.numpy as jnp

    from experiments import _depth
    from expressivity import certificates
    from expressivity.constructions import daniely2017
    from expressivity.radial_measures import SphereProduct

    wave, measure = daniely2017.wave(d), SphereProduct(d)
    recipe = _depth.Students(settings.steps, settings.batch, 1e-2, settings.evaluation, settings.seeds)
    errors = _depth.train(
        2 * d,
        [width],
        lambda key, count: (measure.sample(key, count), jnp.ones(count)),
        lambda x: wave(jnp.sum(x[:, :d] * x[:, d:], axis=1)),
        d**-0.5,
        recipe,
    )
    floor = certificates.rank(wave, d, width).value
    return [
        {
            "family": f"bounded student, d={d}",
            "d": d,
            "width": width,
            "hidden_layers": 1,
            "seed": seed,
            "status": "ok",
            "norm": "L2 squared",
            "error": float(error),
            "floor": floor,
        }
        for seed, error in enumerate(errors)
    ]


def check(table: Any, paper: Any, trained: Any, standard_errors: float) -> list[tuple[str, bool]]:
    """The sentences of the verdict. A measured error may be below the floor by its statistical error."""
    found = []
    for row in table[table["units"] > 0].itertuples():
        found.append(
            (
                f"d = {row.d}: the network is within its bound, sup {row.measured_sup:.4f} <= {row.sup_bound:.4f}",
                row.measured_sup <= row.sup_bound,
            )
        )
        if row.d >= 4:
            ratio = row.excluded_at_half / row.units
            found.append(
                (
                    f"d = {row.d}: {row.excluded_at_half:.3g} units are excluded, {ratio:.3g} times the "
                    f"{row.units:.0f} units of the network",
                    ratio > (1000 if row.d >= 5 else 1),
                )
            )
    first = paper[paper["log2_width"] > 0]["d"].min()
    found.append((f"the published bound excludes its first network at d = {first} of those listed", first == 19))
    ratio = float((trained["error"] / trained["floor"]).min())
    found.append(
        (
            f"no student is below the certificate; the smallest ratio is {ratio:.3f}, sampling error "
            f"{standard_errors:.3f}",
            ratio >= 1 - standard_errors,
        )
    )
    return found


def draw_figure(table: Any, paper: Any) -> Any:
    """Excluded units, constructed units and the published bound against d."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    ax.plot(table["d"], table["excluded_at_half"], "o-", label="one hidden layer: certified not enough, any weights")
    built = table[table["units"] > 0]
    ax.plot(built["d"], built["units"], "s--", label="two hidden layers: constructed units")
    positive = paper[paper["log2_width"] > 0]
    ax.plot(positive["d"], 2.0 ** positive["log2_width"], "^:", label="published bound, weights at most $2^d$")
    crossing = built[built["excluded_at_half"] > built["units"]]
    if len(crossing):
        first = crossing.iloc[0]
        ax.annotate(
            f"certified separation from d = {int(first['d'])} on",
            (float(first["d"]), float(first["excluded_at_half"])),
            xytext=(40, 20),
            textcoords="offset points",
            arrowprops={"arrowstyle": "->", "color": "0.4"},
            fontsize="small",
        )
    ax.set(yscale="log", xlabel="d", ylabel="units")
    ax.legend(frameon=False, fontsize="small")
    return figure


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the verdict, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _depth
    from expressivity import sweeps
    from expressivity.constructions import daniely2017

    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        rows, trained = [], []
        for d, knots, head in (*settings.networks, *((d, 0, 0) for d in settings.floors_only)):
            address = {"d": d, "knots": knots, "head_knots": head}
            rows += cells.rows("separation", address, lambda a=address: separation(**a))
        shared = {k: v for k, v in _run.settings(settings).items() if k in ("steps", "batch", "evaluation", "seeds")}
        for d in settings.student_dims:
            for width in settings.student_widths:
                address = {"d": d, "width": width, **shared}
                trained += cells.rows("student", address, lambda d=d, w=width: students(d, w, settings))
        table, found = pd.DataFrame(rows), pd.DataFrame(trained)
        paper = pd.DataFrame([{"d": d, "log2_width": daniely2017.paper_bound(d)} for d in settings.paper])
        print(table.to_string(index=False))
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Functions of an inner product",
            claim,
            check(table, paper, found, 4 / settings.evaluation**0.5),
            {"separation": table, "published": paper, "table": found},
            draw_figure(table, paper),
            "Units excluded for one hidden layer, units of the constructed network, and the published bound.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("inner_product_separation", Options, experiment, __doc__ or ""))
