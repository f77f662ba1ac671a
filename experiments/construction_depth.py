"""How fast does the error of explicit narrow networks fall with the number of layers? Four constructions, with bounds.

Claim. Measured errors never exceed their proved bounds. In n dimensions the L1 error of the three networks that look up
cells (width n + 4, n + 1 and max(n, 2)) falls about like H^(-1/n) in the number H of hidden layers. For n of at least 2
only one of the four, the max-min string of width n + 1, gets better in the sup norm, about like H^(-1/(n + 1)) or
faster; the network of width n cannot. H is what the constructions say it is.

Method. The target is the product of the cos(pi x_i / 2) on the cube [-1, 1]^n, which continued by 0 is continuous on
all of space. Each construction is built at several finenesses. L1 errors are measured by Gauss rules aligned with its
cells; the measure of ramps that are too thin to be resolved is added to the half-width. In the sup norm the larger of
the largest error at a point and what an escape path certifies stands for the error; both are lower bounds. Slopes are
fits of log error against log H over the finer half of the sizes.

`default` takes half a minute on two cores; deep narrow networks do not gain from a GPU. The exit status is 0 if the
claim held, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run

NAMES = {
    "step": "step network, width n + 4",
    "string": "max-min string of caps, width n + 1",
    "cube code": "coding network on the cube, width max(n, 2)",
    "space code": "coding network on all of space, width n + 1",
}
COLOURS = ("#7a5195", "#1b7837", "#1f5fa8", "#d95f02")
SLACK = 0.2  # of a fitted exponent: sizes are few, and not in the limit
RAMP = 2.0**-20  # of the coding networks, in sides of the cube


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        cells: Cells an axis of the three networks that look up cells, by dimension.
        meshes: Meshes of the string, by dimension.
        panels: Intervals an axis of the rule for the string, by dimension.
        nodes: Gauss nodes in each interval.
    """

    cells: dict[int, tuple[int, ...]] = dataclasses.field(
        default_factory=lambda: {1: (8, 16, 32, 64, 128, 256), 2: (4, 8, 16, 32)}
    )
    meshes: dict[int, tuple[float, ...]] = dataclasses.field(
        default_factory=lambda: {1: (0.2, 0.1, 0.05, 0.02, 0.01, 0.005), 2: (0.5, 0.35, 0.25, 0.18)}
    )
    panels: dict[int, int] = dataclasses.field(default_factory=lambda: {1: 500, 2: 40, 3: 9})
    nodes: int = 3


SMOKE = Settings(
    cells={1: (8, 32), 2: (4, 8)},
    meshes={1: (0.1, 0.025), 2: (0.7, 0.5)},
    panels={1: 100, 2: 12},
    nodes=2,
)
PAPER = Settings(
    cells={1: (8, 16, 32, 64, 128, 256, 512, 1024), 2: (4, 8, 16, 32, 64), 3: (3, 4, 6, 8, 10)},
    meshes={
        1: (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002),
        2: (0.5, 0.35, 0.25, 0.18, 0.125, 0.09),
        3: (0.9, 0.75, 0.6, 0.5),
    },
    panels={1: 2000, 2: 100, 3: 14},
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: half a minute on two cores; paper: three dimensions and networks of 50,000 layers."""
    out: pathlib.Path = pathlib.Path("runs/construction_depth")
    """Output folder."""
    seeds: int | None = None
    """Not used: nothing here is random."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def bump(n: int) -> Any:
    """The target, the product of the cos(pi x_i / 2) on [-1, 1]^n; its gradient is at most pi / 2 long."""
    import math

    import jax.numpy as jnp

    import expressivity as ex

    return ex.Target(lambda x: jnp.prod(jnp.cos(jnp.pi / 2 * x)), ex.Box(n), lipschitz=math.pi / 2, name="bump")


def build(name: str, n: int, size: float) -> tuple[Any, int, float]:
    """A construction, the number of hidden layers its documentation states, and the share of its unresolved ramps."""
    import numpy as np

    from expressivity.constructions import hanin_sellke2017, kim2024, lu2017, park2021

    target, m = bump(n), int(size)
    if name == "string":
        made = hanin_sellke2017.cap_string(target, mesh=size)
        slopes, _, _ = hanin_sellke2017.cap_pieces(target, mesh=size)
        return made, len(slopes) - 1, 0.0
    if name == "step":
        return lu2017.approximate(target, cells=m), 2 * n * m**n + 1, 0.0
    if name == "cube code":
        made = kim2024.coding_network(target, levels=m, ramp=RAMP)
        layers = 2 * sum(m**s - 1 for s in range(1, n + 1))
        return made, layers, n * (m - 1) * RAMP
    made = park2021.coding_network(target, levels=m, radius=1.0, ramp=2 * RAMP)
    axis = (np.arange(m) + 0.5) / m * 2 - 1
    centres = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)
    codes = np.pad(target.values(centres).reshape((m,) * n), ((1, 0),) * n).reshape(-1)
    changes = int(np.count_nonzero(np.diff(codes)))
    return made, 3 + (2 * n - 1) + 2 * m * n + 2 * changes, n * (m + 2) * RAMP


def aligned_rule(name: str, n: int, size: float, panels: int, nodes: int) -> tuple[Any, Any]:
    """Points (k, n) and weights of a Gauss rule whose intervals are cells, cut at the ramps of a step network."""
    import numpy as np

    knots = np.linspace(-1.0, 1.0, (panels if name == "string" else int(size)) + 1)
    if name == "step":
        side = 2 / size
        ramp = min(side, side**2) / 4
        knots = np.sort(np.concatenate([knots, knots[:-1] + ramp, knots[1:] - ramp]))
    t, w = np.polynomial.legendre.leggauss(nodes)
    length = np.diff(knots)
    axis = (knots[:-1, None] + length[:, None] * (t + 1) / 2).reshape(-1)
    weight = (length[:, None] * w / 4).reshape(-1)
    points = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)
    weights = np.prod(np.stack(np.meshgrid(*[weight] * n, indexing="ij"), -1).reshape(-1, n), axis=1)
    return points, weights


def measure(name: str, n: int, size: float, panels: int, nodes: int) -> list[dict[str, Any]]:
    """Rows in L1 and sup: error, half-width, bound or certificate, layers as built and as stated."""
    import numpy as np

    import expressivity as ex
    from expressivity import certificates

    made, stated, unseen = build(name, n, size)
    target, net = made.target, made.network
    means, largest = [], 0.0
    for count in (nodes, nodes + 1):
        points, weights = aligned_rule(name, n, size, panels, count)
        gap = np.abs(ex.evaluate(net, points)[:, 0] - target.values(points))
        means.append(float(weights @ gap))
        largest = max(largest, float(gap.max()))
    witness = target.witness_points
    largest = max(largest, float(np.abs(ex.evaluate(net, witness)[:, 0] - target.values(witness)).max()))
    floor = certificates.path(net, target, [0.0] * n).value if net.width <= n and n > 1 else 0.0
    common = {
        "family": NAMES[name],
        "n": n,
        "size": size,
        "width": net.width,
        "hidden_layers": net.hidden_layers,
        "stated_layers": stated,
        "seed": 0,
        "status": "ok",
    }
    # on a ramp F and f both lie in [0, 1]
    l1 = {"error": means[1], "half_width": 4 * abs(means[1] - means[0]) + unseen, "bound": made.bound("L1")}
    sup = {"error": max(largest, floor), "half_width": 0.0, "bound": made.bound("sup")}
    return [
        {**common, "norm": norm, **found, "floor": floor if norm == "sup" else 0.0, "theorem": str(made.theorem)}
        for norm, found in (("L1", l1), ("sup", sup))
    ]


def exponent(norm: str, n: int) -> float:
    """The power of the number of layers in theory: of a lookup of cells in L1, of the string in the sup norm.

    On an interval the string has two caps a mesh; from two dimensions on their number grows like mesh^-(n + 1).
    """
    return -1 / n if norm == "L1" or n == 1 else -1 / (n + 1)


def slope(rows: Any) -> float:
    """The exponent of a power law in the number of layers, fitted to the finer half of the sizes (at least two)."""
    import numpy as np

    rows = rows.sort_values("hidden_layers")
    rows = rows.tail(max(2, (len(rows) + 1) // 2))
    return float(np.polyfit(np.log(rows["hidden_layers"].astype(float)), np.log(rows["error"]), 1)[0])


def check(table: Any) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    bounded = table[table["bound"] < float("inf")]
    under = bounded["error"] - bounded["half_width"] <= bounded["bound"] + 1e-9
    nearest = float((bounded["error"] / bounded["bound"]).max())
    same = table["hidden_layers"] == table["stated_layers"]
    found = [
        (
            f"{int(under.sum())} of {len(under)} measured errors are under their bound, the nearest at {nearest:.3f}",
            bool(under.all()),
        ),
        (f"{int(same.sum())} of {len(same)} networks have the stated number of layers", bool(same.all())),
    ]
    for (family, n), rows in table.groupby(["family", "n"], sort=False):
        sup, l1 = rows[rows["norm"] == "sup"], rows[rows["norm"] == "L1"]
        place = f"n = {n}, {family}"
        if family == NAMES["string"]:
            got, theory = slope(sup), exponent("sup", n)
            found.append((f"{place}: sup error like H^({got:.3f}), in theory {theory:.3f}", got < theory + SLACK))
            continue
        got, theory = slope(l1), exponent("L1", n)
        found.append((f"{place}: L1 error like H^({got:.3f}), in theory {theory:.3f}", abs(got - theory) < SLACK))
        if n == 1:
            continue
        if family == NAMES["cube code"]:
            least = float(sup["floor"].min())
            found.append((f"{place}: sup error certified at least {least:.6f} at every depth", least >= 0.5 - 1e-6))
        else:
            least = float(sup["error"].min())
            found.append((f"{place}: sup error at least {least:.3f} at every depth, seen at a point", least >= 0.5))
    return found


def draw_figure(table: Any) -> Any:
    """One column a dimension, L1 above, sup below; measured errors as dots, bounds dashed."""
    import matplotlib.pyplot as plt

    dims = sorted(table["n"].unique())
    figure, axes = plt.subplots(
        2, len(dims), figsize=(4.3 * len(dims) + 0.2, 7.0), layout="constrained", squeeze=False, sharey="row"
    )
    for column, n in enumerate(dims):
        for row, norm in enumerate(("L1", "sup")):
            ax = axes[row][column]
            chosen = table[(table["n"] == n) & (table["norm"] == norm)]
            for (name, family), colour, marker in zip(NAMES.items(), COLOURS, "os^D", strict=True):
                rows = chosen[(chosen["family"] == family) & (chosen["error"] > 1e-12)].sort_values("hidden_layers")
                if norm == "sup" and name != "string" and (n > 1 or name == "step"):
                    style: dict[str, Any] = {"ls": ":", "mfc": "white"}
                    if name == "cube code" and n > 1:
                        ax.plot(rows["hidden_layers"], rows["floor"], "_", color=colour, ms=11, mew=2.4)
                else:
                    style: dict[str, Any] = {"ls": "-"}
                ax.plot(rows["hidden_layers"], rows["error"], color=colour, marker=marker, ms=5, **style)
                bounded = rows[rows["bound"] < float("inf")]
                ax.plot(bounded["hidden_layers"], bounded["bound"], color=colour, ls=(0, (3.2, 1.6)), lw=1.1)
            ax.set(xscale="log", yscale="log")
            ax.spines[["top", "right"]].set_visible(False)
            if column == 0:
                ax.set_ylabel(f"{norm} error")
            if row == 0:
                ax.set_title(f"n = {n}", loc="left", fontsize="medium")
            else:
                ax.set_xlabel("hidden layers")
            _guide(ax, chosen, exponent(norm, n))
    _legend(figure, len(dims))
    return figure


def _guide(ax: Any, rows: Any, exponent: float) -> None:
    """A short line with the slope of the theory."""
    import numpy as np

    low, high = np.quantile(rows["hidden_layers"], (0.55, 0.9))
    level = float(rows["error"][rows["error"] > 1e-12].min()) * 0.62
    x = np.array([low, max(high, 2.5 * low)])
    y = level * (x / x[0]) ** exponent * (x[-1] / x[0]) ** (-exponent / 2)
    ax.plot(x, y, color="0.5", lw=1.0)
    ax.annotate(
        f"slope {exponent:.2g}",
        (x[0], y[0]),
        xytext=(-3, -3),
        textcoords="offset points",
        ha="right",
        color="0.4",
        fontsize="small",
    )


def _legend(figure: Any, columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5, label=family)
        for family, colour, marker in zip(NAMES.values(), COLOURS, "os^D", strict=True)
    ]
    grey: dict[str, Any] = {"color": "0.35"}
    handles += [
        Line2D([], [], ls=(0, (3.2, 1.6)), lw=1.1, label="proved bound", **grey),
        Line2D([], [], ls=":", marker="o", mfc="white", ms=5, label="sup: largest error seen, no bound exists", **grey),
        Line2D([], [], ls="", marker="_", ms=11, mew=2.4, label="sup: certified by an escape path", **grey),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2, columns), frameon=False, fontsize="small")


def experiment(options: Options) -> int:
    """Builds, measures, draws, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _depth
    from expressivity import sweeps

    rows: list[dict[str, Any]] = []
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        for n, counts in settings.cells.items():
            for name in NAMES:
                for size in settings.meshes[n] if name == "string" else counts:
                    address = {
                        "name": name,
                        "n": n,
                        "size": size,
                        "panels": settings.panels[n],
                        "nodes": settings.nodes,
                    }
                    rows += cells.rows("construction", address, lambda a=address: measure(**a))
        table = pd.DataFrame(rows)
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Error against the number of layers",
            claim,
            check(table),
            {"table": table},
            draw_figure(table),
            "Errors of four explicit narrow networks against their number of hidden layers, with proved bounds.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("construction_depth", Options, experiment, __doc__ or ""))
