"""Width n is enough in L2 and not in the sup norm: both facts on one network with two units a layer.

Claim. For |x|^2 on the square [-1, 1]^2 one network of width 2 with 540 hidden layers leaves 0.0195 of the variance
unexplained, and the very same network is certified to have a sup error of at least 1/2: it is constant along a path
from the centre to the boundary. With more layers the first number goes to 0 and the second stays, because 1/2 is a wall
for every network of width 2.

Method. Coding networks are built at several numbers of levels. L1 and L2 errors are measured by Gauss rules aligned
with their cells and ramps, and stand beside the proved bounds. The escape path starts at the centre; along it the
target and the network are evaluated in float64, and the network's measured oscillation is taken off the certificate.

`default` takes half a minute on two cores, and no GPU helps. The exit status is 0 if the claim held, 1 if not, 2 if the
run was refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run

FVU = 0.0195  # with 540 hidden layers, to the digits given
WALL = 0.5
PATH, FLOOR = "#d6336c", "#b2182b"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        levels: Levels an axis of the coding networks.
        ramp: Length of their ramps in sides of the square; so short that they add little to the L2 error.
        shown: The levels of the network of the figure.
        pixels: Of its picture, an axis.
        nodes: Gauss nodes an axis in a cell and in a ramp.
    """

    levels: tuple[int, ...] = (4, 8, 16, 32)
    ramp: float = 2.0**-20
    shown: int = 16
    pixels: int = 480
    nodes: int = 4


SMOKE = Settings(levels=(8, 16), pixels=120, nodes=3)
PAPER = Settings(levels=(4, 8, 16, 32, 64), pixels=1200, nodes=6)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: half a minute on two cores; paper: one more network of 8,316 layers."""
    out: pathlib.Path = pathlib.Path("runs/width_threshold")
    """Output folder."""
    seeds: int | None = None
    """Not used: nothing here is random."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def coding(levels: int, ramp: float) -> Any:
    """The coding network of |x|^2 on the square."""
    import expressivity as ex
    from expressivity.constructions import kim2024

    return kim2024.coding_network(ex.targets.norm_squared(ex.Box(2)), levels=levels, ramp=ramp)


def aligned_rule(levels: int, ramp: float, nodes: int) -> tuple[Any, Any]:
    """Points (k, 2) and weights of a Gauss rule on the square whose intervals are the cells and the ramps."""
    import numpy as np

    walls = np.arange(1, levels) / levels
    knots = 2 * np.sort(np.concatenate([[0.0, 1.0], walls, walls - ramp])) - 1
    t, w = np.polynomial.legendre.leggauss(nodes)
    length = np.diff(knots)
    axis = (knots[:-1, None] + length[:, None] * (t + 1) / 2).reshape(-1)
    weight = (length[:, None] * w / 4).reshape(-1)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return points, np.outer(weight, weight).reshape(-1)


def measure(levels: int, ramp: float, nodes: int) -> list[dict[str, Any]]:
    """One row a norm: measured error, proved bound, certified floor of this network, and of every one of width 2."""
    import numpy as np

    import expressivity as ex
    from expressivity import certificates

    made = coding(levels, ramp)
    target, net = made.target, made.network
    found: dict[str, list[float]] = {"L1": [], "L2": [], "sup": []}
    variance = 0.0
    for count in (nodes, nodes + 1):
        points, weights = aligned_rule(levels, ramp, count)
        values = target.values(points)
        gap = np.abs(ex.evaluate(net, points)[:, 0] - values)
        found["L1"].append(float(weights @ gap))
        found["L2"].append(float(weights @ gap**2) ** 0.5)
        found["sup"].append(float(gap.max()))
        variance = float(weights @ (values - weights @ values) ** 2)
    path = certificates.path(net, target, [0.0, 0.0])
    rows = []
    for norm, (coarse, fine) in found.items():
        rows.append(
            {
                "family": "coding network",
                "width": net.width,
                "hidden_layers": net.hidden_layers,
                "seed": 0,
                "status": "ok",
                "norm": norm,
                "error": max(coarse, fine) if norm == "sup" else fine,
                "half_width": 4 * abs(fine - coarse),
                "bound": made.bound(norm),
                "floor": path.value if norm == "sup" else 0.0,
                "floor_width_2": certificates.floor(target, 2, norm=norm).value,
                "floor_width_1": certificates.floor(target, 1, norm=norm).value,
                "fvu": found["L2"][1] ** 2 / variance,
                "levels": levels,
                "ramp": ramp,
            }
        )
    return rows


def escape(levels: int, ramp: float) -> dict[str, Any]:
    """The path from the centre, and what target and network are along it."""
    import numpy as np

    import expressivity as ex
    from expressivity import certificates

    made = coding(levels, ramp)
    domain: Any = made.target.measure
    path = certificates.escape_path(made.network, [0.0, 0.0], domain)
    points = path.sample(400)
    outputs = ex.evaluate(made.network, points)[:, 0]
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    return {
        "points": points,
        "length": length,
        "target": made.target.values(points),
        "network": outputs,
        "oscillation": float(np.ptp(outputs)),
        "segments": len(path.points) - 1,
    }


def check(table: Any, path: dict[str, Any], shown: int) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    by_norm = {norm: rows.sort_values("hidden_layers") for norm, rows in table.groupby("norm")}
    l2, sup = by_norm["L2"], by_norm["sup"]
    chosen, top = l2[l2["levels"] == shown].iloc[0], sup[sup["levels"] == shown].iloc[0]
    leaves, rise = float(chosen["fvu"]), float(path["target"].max() - path["target"].min())
    under = table[(table["norm"] != "sup") & (table["error"] - table["half_width"] <= table["bound"])]
    steps = [(a, b) for a, b in zip(l2["error"], l2["error"][1:], strict=False)]
    doubling = [(a, b) for a, b in zip(l2["levels"], l2["levels"][1:], strict=False)]
    return [
        (
            f"the network with {chosen['hidden_layers']} hidden layers of width {chosen['width']} leaves {leaves:.5f} "
            f"of the variance, to be {FVU} within 0.0002",
            chosen["width"] == 2 and abs(leaves - FVU) <= 2e-4,
        ),
        (
            f"the same network is certified to have sup error at least {top['floor']:.9f}, to be 1/2 less rounding",
            bool(top["floor"] >= WALL - 1e-8),
        ),
        (
            f"along its escape path of {path['segments']} segment(s) the target rises by {rise:.6f} while "
            f"the network oscillates by {path['oscillation']:.2g}, by rounding",
            path["oscillation"] < 1e-9 and rise > 1 - 1e-9,
        ),
        (
            f"every network of width 2 has sup error at least {top['floor_width_2']:g}; in L2 nothing is forbidden "
            f"at width 2, and {chosen['floor_width_1']:.4f} at width 1",
            top["floor_width_2"] == WALL and chosen["floor_width_2"] == 0 and chosen["floor_width_1"] > 0,
        ),
        (
            f"{len(under)} of {2 * len(l2)} measured L1 and L2 errors are under their proved bounds",
            len(under) == 2 * len(l2),
        ),
        (
            "the L2 error halves when the levels double: factors "
            + ", ".join(f"{b / a:.3f}" for a, b in steps)
            + "; the certified sup error stays: "
            + ", ".join(f"{v:.6f}" for v in sup["floor"]),
            all(0.45 < b / a < 0.55 for (a, b), (c, d) in zip(steps, doubling, strict=True) if d == 2 * c)
            and bool((sup["floor"] >= WALL - 1e-6).all()),
        ),
    ]


def draw_figure(table: Any, path: dict[str, Any], settings: Settings) -> Any:
    """The network, the ramp that its path follows, what happens along the path, and the errors against depth."""
    import matplotlib.pyplot as plt
    import numpy as np

    import expressivity as ex

    ramp = settings.ramp
    made = coding(settings.shown, ramp)
    top = float(made.target.values(np.ones((1, 2)))[0])
    grid = (np.arange(settings.pixels) + 0.5) / settings.pixels * 2 - 1

    def picture(x: Any, y: Any) -> Any:
        points = np.stack(np.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
        return ex.evaluate(made.network, points)[:, 0].reshape(len(y), len(x))

    figure, axes = plt.subplots(
        1, 4, figsize=(14.6, 3.7), layout="constrained", gridspec_kw={"width_ratios": [1.2, 0.8, 1.05, 1.15]}
    )
    whole, zoom, along, errors = axes
    style: dict[str, Any] = {"origin": "lower", "vmin": 0.0, "vmax": top, "cmap": "viridis", "interpolation": "nearest"}
    image = whole.imshow(picture(grid, grid), extent=(-1, 1, -1, 1), **style)
    x, y = path["points"].T
    whole.plot(x, y, color="white", lw=3.4)
    whole.plot(x, y, color=PATH, lw=1.8)
    whole.plot(x[0], y[0], "o", ms=6, mfc=PATH, mec="white")
    whole.set(xlabel="$x_1$", ylabel="$x_2$", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    whole.set_title(f"a  width 2, {made.network.hidden_layers} hidden layers", fontsize="medium", loc="left")
    figure.colorbar(image, ax=whole, shrink=0.9, label="F(x)")

    # the ramp of x_1 that ends at 0, in units of its length; the square has side 2
    near = np.linspace(-1.5, 0.5, settings.pixels) * 2 * ramp
    zoom.imshow(picture(near, grid), extent=(-1.5, 0.5, -1, 1), aspect="auto", **style)
    zoom.plot(x / (2 * ramp), y, color="white", lw=3.4)
    zoom.plot(x / (2 * ramp), y, color=PATH, lw=1.8, label="escape path")
    zoom.plot(x[0] / (2 * ramp), y[0], "o", ms=6, mfc=PATH, mec="white")
    zoom.set(xlabel="$x_1$ / length of a ramp", xticks=(-1, 0), yticks=(-1, 0, 1))
    zoom.set_title(f"b  the ramp at $x_1 = 0$, $\\times\\,{1 / (2 * ramp):,.0f}$", fontsize="medium", loc="left")

    along.plot(path["length"], path["target"], color="black", lw=1.6)
    along.plot(path["length"], path["network"], color=PATH, lw=2.0)
    end, low = path["length"][-1], path["network"][0]
    along.annotate("target", (0.66 * end, 0.47), ha="right", va="bottom")
    along.annotate("network: constant", (0.98 * end, low + 0.02), ha="right", va="bottom", color=PATH)
    along.annotate("", (end, 1.0), (end, low), arrowprops={"arrowstyle": "<->", "color": "0.35"})
    along.text(0.05 * end, 0.9, "somewhere on the path they\ndiffer by half of this, 1/2", va="center", color="0.35")
    along.set(xlabel="length of the path", ylabel="value", ylim=(-0.05, 1.08))
    along.set_title("c  along the path", fontsize="medium", loc="left")

    _draw_errors(errors, table)
    for ax in (along, errors):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_errors(ax: Any, table: Any) -> None:
    by_norm = {norm: rows.sort_values("hidden_layers") for norm, rows in table.groupby("norm")}
    l2, sup = by_norm["L2"], by_norm["sup"]
    ax.plot(l2["hidden_layers"], l2["bound"], color="#1f5fa8", ls=(0, (3.2, 1.6)), lw=1.2, label="L2, proved bound")
    ax.plot(l2["hidden_layers"], l2["error"], "o-", color="#1f5fa8", ms=5, label="L2, measured")
    for row in l2.itertuples():
        offset: dict[str, Any] = {
            "textcoords": "offset points",
            "xytext": (0, -13),
            "ha": "center",
            "fontsize": "small",
            "color": "#1f5fa8",
        }
        ax.annotate(f"FVU {row.fvu:.3g}", (row.hidden_layers, row.error), **offset)
    ax.plot(sup["hidden_layers"], sup["floor"], "^", color=FLOOR, ms=6, label="sup, certified by the path")
    ax.axhline(WALL, color=FLOOR, lw=2.0, zorder=0)
    ax.text(l2["hidden_layers"].max() * 1.25, WALL * 1.05, "sup wall of width 2", ha="right", va="bottom", color=FLOOR)
    ax.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="error", ylim=(l2["error"].min() / 4, 1.2))
    ax.set_xlim(l2["hidden_layers"].min() / 1.4, l2["hidden_layers"].max() * 2.4)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
    ax.set_title("d  deeper networks of width 2", fontsize="medium", loc="left")


def experiment(options: Options) -> int:
    """Builds, measures, certifies, draws, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _depth
    from expressivity import sweeps

    rows: list[dict[str, Any]] = []
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        for levels in settings.levels:
            address = {"levels": levels, "ramp": settings.ramp, "nodes": settings.nodes}
            rows += cells.rows("coding", address, lambda a=address: measure(**a))
        table = pd.DataFrame(rows)
        path = escape(settings.shown, settings.ramp)
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "The threshold of width, in two norms",
            claim,
            check(table, path, settings.shown),
            {"table": table},
            draw_figure(table, path, settings),
            "A network of width 2 as a picture with its escape path, the path magnified, target and network along it, "
            "and errors against the number of layers.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("width_threshold", Options, experiment, __doc__ or ""))
