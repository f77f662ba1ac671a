"""Counts of DenseNets against the growth rate, and the figure of that experiment."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

KINDS = {False: "basic", True: "BC"}
COLORS = {"basic": "#1f5fa8", "BC": "#b2182b"}
STYLES = {"basic": "o", "BC": "s"}


def counts(depth: int, bottleneck: bool, growths: Sequence[int], size: Any, classes: int) -> list[dict[str, Any]]:
    """One row a growth rate: parameters, multiply-accumulates, and the local exponents of both.

    The local exponent at k is the derivative of log cost with respect to log k, by the quadratic polynomial through
    the costs at k - 4, k and k + 4 (at k, k + 4 and k + 8 where k is 4); the cost is such a polynomial exactly
    (`quadratic`).

    >>> rows = counts(10, True, (12,), 32, 10)
    >>> rows[0]["parameters"], 1 < rows[0]["parameters_exponent"] < 2
    (20758, True)
    """
    import expressivity as ex
    from experiments._wide import COSTS, Net, cost

    def counted(k: int, by: str) -> int:
        return cost(Net(ex.DenseNet(depth, k, classes, bottleneck), ex.Width(), ""), by, size)

    rows = []
    for k in growths:
        row: dict[str, Any] = {"kind": KINDS[bottleneck], "depth": depth, "growth": k}
        for by in COSTS:
            row[by] = counted(k, by)
            at = np.array([k, k + 4, k + 8] if k <= 4 else [k - 4, k, k + 4])
            polynomial = np.polynomial.Polynomial.fit(at, [counted(int(a), by) for a in at], 2)
            row[f"{by}_exponent"] = float(polynomial.deriv()(k)) * k / row[by]
        rows.append(row)
    return rows


def quadratic(counted: Callable[[int], int], step: int = 4, terms: int = 8) -> bool:
    """Whether a whole-number cost at step, 2 step, ..., terms step has no third differences: a quadratic polynomial.

    >>> quadratic(lambda k: 3 * k**2 + k + 1), quadratic(lambda k: k**3)
    (True, False)
    """
    values = [counted(step * (i + 1)) for i in range(terms)]
    for _ in range(3):
        values = [b - a for a, b in itertools.pairwise(values)]
    return not any(values)


def draw(table: Any, trained: Any, pair: Any) -> Any:
    """Error against parameters and against multiply-accumulates, and the exponents of the counts.

    Args:
        table: Counts with their exponents, one row a kind and growth rate.
        trained: One row a network and seed: kind, growth, depth, parameters, macs, error, label.
        pair: The labels of the thin and the wide network of the pair, joined by a line, or None.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.6), layout="constrained", width_ratios=(1, 1, 0.9))
    for ax, cost in zip(axes, ("parameters", "macs"), strict=False):
        middle = trained.groupby(["kind", "depth", "growth", "label", cost], sort=False)["error"].mean().reset_index()
        for kind, rows in middle.groupby("kind", sort=False):
            color, marker = COLORS[str(kind)], STYLES[str(kind)]
            dots = trained[trained["kind"] == kind]
            ax.plot(dots[cost], 100 * dots["error"], marker, ms=3.6, mfc="none", mec=color, alpha=0.6, ls="")
            first = rows["depth"].iloc[0]  # the thin network of the pair comes last
            line = rows[rows["depth"] == first].sort_values("growth")
            ax.plot(line[cost], 100 * line["error"], color=color, lw=1.0, zorder=1)
            ax.plot(
                line[cost],
                100 * line["error"],
                marker,
                ms=7,
                mfc=color,
                mec="black",
                mew=0.5,
                ls="",
                label=f"{kind}, depth {first}",
            )
            for row in line.itertuples():
                up = kind == "BC"
                text: dict[str, Any] = {"xytext": (6, 5) if up else (-6, -6), "textcoords": "offset points"}
                text |= {"ha": "left" if up else "right", "va": "bottom" if up else "top"}
                text |= {"fontsize": "small", "color": color}
                ax.annotate(f"k={row.growth}", (getattr(row, cost), 100 * row.error), **text)
        if pair:
            ends = middle.set_index("label").loc[list(pair)]
            ax.plot(ends[cost], 100 * ends["error"], color="0.6", lw=1.2, zorder=1, gid="pair")
            thin = ends.loc[pair[0]]
            name = f"BC, depth {thin['depth']}, k={thin['growth']}"
            ax.plot(thin[cost], 100 * thin["error"], "^", ms=8, mfc="#e8a33d", mec="black", mew=0.5, label=name)
        ax.set(xscale="log", ylabel="test images told wrong, %")
        low, high = 100 * trained["error"].min(), 100 * trained["error"].max()
        ax.set_ylim(max(0.0, low - 0.25 * (high - low)), high + 0.1 * (high - low))
        left, right = trained[cost].min() / 1.6, trained[cost].max() * 1.6
        ticks = [m * 10.0**e for e in range(2, 12) for m in (1, 3) if left < m * 10.0**e < right]
        ax.set_xticks(ticks, [f"{t / 1e6:g} M" if t >= 1e6 else f"{t / 1e3:g} k" for t in ticks])
        ax.xaxis.set_minor_formatter("")
        ax.set_xlim(left, right)
    axes[0].set(xlabel="parameters")
    axes[1].set(xlabel="multiply-accumulates an image")
    axes[0].legend(frameon=False, fontsize="small")
    ax = axes[2]
    for (kind, depth), rows in table.groupby(["kind", "depth"], sort=False):
        style: dict[str, Any] = {"color": COLORS[str(kind)], "marker": STYLES[str(kind)], "ms": 3.5, "lw": 1.2}
        ax.plot(rows["growth"], rows["parameters_exponent"], label=f"{kind}, depth {depth}: parameters", **style)
        ax.plot(rows["growth"], rows["macs_exponent"], ls=":", label=f"{kind}, depth {depth}: MACs", **style)
    ax.axhline(2, color="0.7", lw=0.8, zorder=0)
    ax.set(xscale="log", xlabel="growth rate k", ylabel="exponent of the cost in k")
    ticks = sorted(set(table["growth"]))[:: max(1, len(set(table["growth"])) // 5)]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.xaxis.set_minor_formatter("")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure
