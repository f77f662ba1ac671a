"""The figure of wide targets and narrow networks: unexplained variance against the ratio of effective parameters."""

from typing import Any

DEPTHS = {"k + 2": ("#35618f", "o"), "4 k": ("#2a9d6f", "s"), "compiler": ("#d1603d", "D")}
LOWEST = 1e-12


def draw(table: Any, recalled: Any) -> Any:
    """One panel an input dimension; seeds as open marks, the best filled, compiled networks at the lower edge."""
    import matplotlib.pyplot as plt
    import numpy as np

    dims = sorted(table["n"].unique())
    figure, axes = plt.subplots(
        1, len(dims), figsize=(5.0 * len(dims) + 0.4, 4.6), layout="constrained", squeeze=False, sharey=True
    )
    for ax, n in zip(axes[0], dims, strict=True):
        rows = table[(table["n"] == n) & (table["status"] == "ok")]
        trained = rows[rows["origin"] == "random"]
        for depth, (colour, marker) in DEPTHS.items():
            chosen = trained[trained["depth_rule"] == depth]
            ax.plot(
                chosen["effective_ratio"], chosen["fvu"], marker, ms=3.4, mfc="none", mec=colour, mew=0.6, alpha=0.6
            )
            best = chosen.loc[chosen.groupby(["k", "width_rule", "target_seed"])["fvu"].idxmin()]
            ax.plot(best["effective_ratio"], best["fvu"], marker, ms=7, mfc=colour, mec="black", mew=0.5)
            for row in best[best["target_seed"] == 0].itertuples():
                style = {"xytext": (6, -3), "textcoords": "offset points", "fontsize": "x-small", "color": "0.25"}
                ax.annotate(f"k={row.k}", (row.effective_ratio, row.fvu), **style)
        warm = rows[(rows["origin"] == "compiler") & (rows["family"] != "compiled")]
        ax.plot(
            warm["effective_ratio"], np.maximum(warm["fvu"], LOWEST * 3), "P", ms=5, mfc="#f2c14e", mec="black", mew=0.4
        )
        exact = rows[rows["family"] == "compiled"]
        ax.plot(
            exact["effective_ratio"],
            np.full(len(exact), LOWEST * 2),
            "v",
            ms=8,
            mfc="#d1603d",
            mec="black",
            mew=0.5,
            clip_on=False,
        )
        memory = recalled[recalled["n"] == n]
        ax.plot(memory["effective_ratio"], memory["mean_over_variance"], "x", ms=6, color="0.45")
        ax.axvline(1.0, color="0.4", lw=1.0, ls=":")
        ax.annotate(
            "fewer effective parameters\nthan the target",
            (1.0, LOWEST * 30),
            xytext=(-6, 0),
            ha="right",
            textcoords="offset points",
            fontsize="small",
            color="0.35",
        )
        ax.set(xscale="log", yscale="log", ylim=(LOWEST, 3.0), xlabel="effective parameters, narrow / target")
        ax.set_title(f"n = {n}", loc="left", fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("fraction of variance unexplained")
    _legend(figure)
    return figure


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    names = {"k + 2": "depth k + 2", "4 k": "depth 4 k", "compiler": "the compiler's depth"}
    handles = [
        Line2D(
            [], [], ls="", marker=m, mfc=c, mec="black", mew=0.5, ms=7, label=f"trained, {names[d]} (best seed filled)"
        )
        for d, (c, m) in DEPTHS.items()
    ]
    handles += [
        Line2D(
            [],
            [],
            ls="",
            marker="v",
            mfc="#d1603d",
            mec="black",
            mew=0.5,
            ms=8,
            label="compiled, float64: below the axis",
        ),
        Line2D(
            [],
            [],
            ls="",
            marker="P",
            mfc="#f2c14e",
            mec="black",
            mew=0.4,
            ms=5,
            label="trained on from the compiler, float32",
        ),
        Line2D([], [], ls="", marker="x", color="0.45", ms=6, label="Lu et al. 2017: recalled, not verified"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
