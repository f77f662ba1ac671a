"""The figure of the experiment on MobileNet's multipliers: measured above, published below."""

from typing import Any

import numpy as np

TEXT = (
    "Above: networks trained here; error on the test images against multiply-accumulates and parameters, a line a "
    "resolution, a point an alpha (mean over seeds, thin dots single networks), the shallow network of alpha 1 as a "
    "star; and the exponents of cost, ln(cost / cost at alpha 1) / ln(alpha). Below: published errors on ImageNet "
    "against the costs counted here, not run here; and, where weights and photographs are at hand, trained networks on "
    "photographs with exact 95 % intervals."
)
COLOURS = ("#0b3c6f", "#2f7fc1", "#4fb3a5", "#a6a032")
SHALLOW, PHOTOGRAPHS = "#d6336c", "#d95f02"


def draw(errors: Any, table: Any, photographs: Any, title: str, exponents: Any) -> Any:
    """Six panels."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11.5, 6.6), layout="constrained")
    for ax, cost in zip(axes[0], ("macs", "parameters"), strict=False):
        _measured(ax, errors, cost)
    axes[0, 0].set_title(f"measured: {title}", fontsize="medium", loc="left")
    axes[0, 0].legend(frameon=False, fontsize="small")
    _exponents(axes[0, 2], exponents)
    for ax, cost in zip(axes[1], ("macs", "parameters"), strict=False):
        _published(ax, table, cost)
    axes[1, 0].set_title("published: ImageNet", fontsize="medium", loc="left")
    axes[1, 0].legend(frameon=False, fontsize="small")
    _alphas(axes[1, 2], table, photographs)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _measured(ax: Any, errors: Any, cost: str) -> None:
    deep, shallow = errors[~errors["shallow"]], errors[errors["shallow"]]
    for colour, pixels in zip(COLOURS, sorted(deep["pixels"].unique(), reverse=True), strict=False):
        rows = deep[deep["pixels"] == pixels]
        mean = rows.groupby("alpha").agg({cost: "first", "error": "mean"})
        ax.plot(rows[cost], 100 * rows["error"], ".", color=colour, ms=3, alpha=0.6)
        ax.plot(mean[cost], 100 * mean["error"], "o-", color=colour, ms=5, lw=1.3, label=f"{pixels} pixels")
        if pixels == deep["pixels"].max():
            for alpha, row in mean.iterrows():
                place = {"textcoords": "offset points", "xytext": (4, 5), "fontsize": "small"}
                ax.annotate(f"{alpha:g}", (row[cost], 100 * row["error"]), color=colour, **place)
    if len(shallow):
        mean = shallow.groupby("pixels").agg({cost: "first", "error": "mean"})
        ax.plot(mean[cost], 100 * mean["error"], "*", color=SHALLOW, ms=11, label="shallow, alpha 1")
        ax.plot(shallow[cost], 100 * shallow["error"], ".", color=SHALLOW, ms=3, alpha=0.6)
    _labels(ax, cost, "test images told wrong (%)")


def _published(ax: Any, table: Any, cost: str) -> None:
    slim = table[table["source"] == "slim checkpoints"]
    for colour, (pixels, rows) in zip(COLOURS, sorted(slim.groupby("pixels"), reverse=True), strict=True):
        ax.plot(
            rows[cost],
            100 - rows["published_accuracy"],
            ".-",
            color=colour,
            lw=1,
            label=f"{pixels} pixels, checkpoints",
        )
    paper = table[table["source"] == "paper"]
    ax.plot(paper[cost], 100 - paper["published_accuracy"], "o", mfc="none", mec="black", ms=6, label="paper")
    shallow = table[table["source"] == "paper, shallow"]
    ax.plot(shallow[cost], 100 - shallow["published_accuracy"], "*", color=SHALLOW, ms=11, label="paper, shallow")
    _labels(ax, cost, "top-1 error (%)")


def _labels(ax: Any, cost: str, error: str) -> None:
    name = "multiply-accumulates" if cost == "macs" else "parameters"
    ax.set(xscale="log", xlabel=f"{name} (millions)", ylabel=error)
    low, high = ax.get_xlim()
    ticks = [m * 10.0**e for e in range(4, 12) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    ax.set_xticks(ticks, [f"{tick / 1e6:g}" for tick in ticks])
    ax.xaxis.minorticks_off()


def _exponents(ax: Any, exponents: Any) -> None:
    styles = {"macs": ("s", "multiply-accumulates"), "parameters": ("o", "parameters")}
    for colour, (place, rows) in zip((COLOURS[0], "#8a8a8a"), exponents.groupby("network", sort=False), strict=False):
        for cost, (marker, name) in styles.items():
            filled = {"mfc": colour if cost == "macs" else "white"}
            ax.plot(
                rows["alpha"],
                rows[f"{cost}_exponent"],
                f"{marker}-",
                color=colour,
                lw=1,
                label=f"{name}, {place}",
                **filled,
            )
    ax.axhline(2, color="black", lw=0.8, ls=":")
    ax.set(xlabel="alpha", ylabel="exponent of cost", ylim=(1.3, 2.04), xticks=(0.25, 0.5, 0.75))
    ax.set_title("counted", fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small", loc="lower right")


def _alphas(ax: Any, table: Any, photographs: Any) -> None:
    paper = table[(table["source"] == "paper") & (table["pixels"] == table["pixels"].max())]
    ax.plot(
        paper["alpha"], 100 - paper["published_accuracy"], "o-", mfc="none", color="black", label="paper, 224 pixels"
    )
    if photographs is not None:
        rows = photographs.sort_values("alpha")
        wrong = 100 * (1 - rows["top1"] / rows["photographs"])
        around = np.array([wrong - 100 * (1 - rows["high"]), 100 * (1 - rows["low"]) - wrong])
        name = f"trained nets, {rows['photographs'].iloc[0]} photographs"
        ax.errorbar(rows["alpha"], wrong, around, fmt="D", color=PHOTOGRAPHS, ms=5, capsize=3, label=name)
        for row, height in zip(rows.itertuples(), wrong, strict=True):
            place = {"textcoords": "offset points", "xytext": (5, 4), "fontsize": "x-small"}
            ax.annotate(f"{row.pixels} px", (row.alpha, height), color=PHOTOGRAPHS, **place)
    ax.set(xlabel="alpha", ylabel="top-1 error (%)", xticks=(0.25, 0.5, 0.75, 1.0), ylim=(0, None))
    ax.legend(frameon=False, fontsize="small")
