"""The figure of wide targets and narrow networks: unexplained variance, one column a narrow shape."""

from typing import Any

WIDTHS = ("k^1.5", "3 k^1.5")
DEPTHS = ("k + 2", "4 k", "compiler")
COLOURS = {3: "#35618f", 4: "#2a9d6f", 5: "#d1603d"}
MARKERS = {3: "o", 4: "s", 5: "D"}
LOWEST = 1e-11


def draw(table: Any, recalled: Any) -> Any:
    """One panel an input dimension; seeds as open marks, the best filled, compiled networks at the lower edge."""
    import matplotlib.pyplot as plt

    dims = sorted(table["n"].unique())
    figure, axes = plt.subplots(
        1, len(dims), figsize=(6.2 * len(dims) + 0.4, 4.9), layout="constrained", squeeze=False, sharey=True
    )
    for ax, n in zip(axes[0], dims, strict=True):
        _panel(ax, table[(table["n"] == n) & (table["status"] == "ok")], recalled[recalled["n"] == n], n)
    axes[0][0].set_ylabel("fraction of variance unexplained")
    _legend(figure, sorted(table["k"].unique()))
    return figure


def _panel(ax: Any, rows: Any, memory: Any, n: int) -> None:
    from experiments.wide_to_narrow import shapes

    counts = sorted(rows["k"].unique())
    lane = {k: 0.5 * (i - (len(counts) - 1) / 2) / max(1, len(counts) - 1) for i, k in enumerate(counts)}
    columns = [(width, depth) for width in WIDTHS for depth in DEPTHS]
    names = []
    for place, (width, depth) in enumerate(columns):
        here = rows[(rows["width_rule"] == width) & (rows["depth_rule"] == depth)]
        ratios = [s.ratio for k in counts for s in shapes(n, int(k)) if (s.rule, s.depth_rule) == (width, depth)]
        low, high = f"{min(ratios):.2g}", f"{max(ratios):.2g}"
        title = "compiler's" if depth == "compiler" else depth
        names.append(f"{title}\n{low if low == high else f'{low} to {high}'}")
        if max(ratios) < 1:
            ax.axvspan(place - 0.5, place + 0.5, color="0.94", lw=0, zorder=-3)
        for k in counts:
            _column(ax, here[here["k"] == k], int(k), place + lane[k])
        if (width, depth) == ("3 k^1.5", "k + 2"):
            known = memory[memory["k"].isin(counts)]
            x = [place + lane[k] + 0.13 for k in known["k"]]
            ax.plot(x, known["mean_over_variance"], "x", ms=6, mew=1.4, color="0.35", zorder=5)
    for number, width in enumerate(WIDTHS):
        text = {"k^1.5": "width $k^{3/2}$", "3 k^1.5": "width $3\\,k^{3/2}$"}[width]
        ax.text(len(DEPTHS) * number + 1, 6.0, text, ha="center", va="center")
    ax.axvline(len(DEPTHS) - 0.5, color="0.5", lw=0.8)
    ax.set_xticks(range(len(columns)), names)
    ax.set(yscale="log", ylim=(LOWEST, 20.0), xlim=(-0.5, len(columns) - 0.5))
    ax.set_xlabel("depth, and effective parameters over those of the target")
    ax.set_title(f"n = {n}", loc="left", fontsize="medium")
    ax.tick_params(axis="x", length=0)
    ax.spines[["top", "right"]].set_visible(False)


def _column(ax: Any, rows: Any, k: int, x: float) -> None:
    """The networks of one shape and one k."""
    import numpy as np

    colour, marker = COLOURS[k], MARKERS[k]
    trained = rows[rows["origin"] == "random"]
    if len(trained):
        spread = 0.05 * (2 * ((np.arange(len(trained)) * 0.618) % 1) - 1)
        ax.plot(x + spread, trained["fvu"], marker, ms=3.2, mfc="none", mec=colour, mew=0.6, alpha=0.7, zorder=2)
        ax.plot(x, trained["fvu"].min(), marker, ms=7, mfc=colour, mec="black", mew=0.5, zorder=3)
    warm = rows[(rows["origin"] == "compiler") & (rows["family"] != "compiled")]
    if len(warm):
        level = np.maximum(warm["fvu"], 2 * LOWEST)
        ax.plot(np.full(len(warm), x + 0.13), level, "P", ms=5, mfc="#f2c14e", mec="black", mew=0.4, zorder=4)
    exact = rows[rows["family"] == "compiled"]
    ax.plot(np.full(len(exact), x), np.full(len(exact), 1.8 * LOWEST), "v", ms=8, mfc=colour, mec="black", mew=0.5)


def _legend(figure: Any, counts: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    edge: dict[str, Any] = {"ls": "", "mec": "black", "mew": 0.5}
    handles = [
        Line2D([], [], marker=MARKERS[k], mfc=COLOURS[k], ms=7, label=f"k = {k}: trained, best seed filled", **edge)
        for k in counts
    ]
    handles += [
        Line2D([], [], marker="v", mfc="0.6", ms=8, label="compiled, float64: below the axis", **edge),
        Line2D([], [], marker="P", mfc="#f2c14e", ms=5, label="trained on from the compiler, float32", **edge),
        Line2D([], [], marker="x", color="0.35", ms=6, mew=1.4, ls="", label="Lu et al. 2017: recalled, not verified"),
        Patch(color="0.94", label="fewer effective parameters than the target"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
