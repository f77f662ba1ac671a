"""A law fitted to errors against width: the seeds, the curve with its band, and the residuals below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVE, _DOT = "#1f5fa8", "0.55"
_MANY = 12


def fit(
    fitted: Any, axes: "Sequence[Axes] | None" = None, *, ylabel: str = "error", legend: bool = True
) -> "list[Axes]":
    """Draws a `sweeps.Fit`: error against width above, log(error / law) below, both with the band of the law.

    Grey dots are networks, black ones the statistic that was fitted. The band holds the law at each width alone. A
    vertical stripe is the interval of a break or a threshold. A refused fit has dots, no curve, and the reason below.

    Args:
        fitted: The fit.
        axes: Two axes; by default a new figure.
        ylabel: What the error is.
        legend: Whether the upper axes get a legend.

    Returns:
        The two axes. Artists carry the `gid`s "networks", "statistic", "law", "band", "residuals".

    Raises:
        ValueError: If the axes are not two.

    >>> from expressivity.sweeps.fits import fit_errors
    >>> above, below = fit(fit_errors([1, 2, 4, 8, 16], [1.1, 0.6, 0.35, 0.226, 0.162], resamples=100))
    >>> [line.get_gid() for line in below.lines if line.get_gid()]
    ['residuals']
    """
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(
            2, 1, figsize=(4.8, 4.4), sharex=True, layout="constrained", gridspec_kw={"height_ratios": [3, 1]}
        )
    pair = list(axes if axes is not None else [])
    if len(pair) != 2:
        raise ValueError(f"A fit is drawn on two axes, for errors and for residuals; got {len(pair)}.")
    above, below = pair
    _draw_data(above, fitted)
    if fitted.accepted:
        _draw_law(above, below, fitted)
    else:
        import textwrap

        text = textwrap.fill(f"Fit refused. {fitted.reason}", 46)
        style: Any = {"transform": below.transAxes, "ha": "center", "va": "center", "fontsize": "x-small"}
        below.text(0.5, 0.5, text, color="#b2182b", **style)
        below.set_yticks([])
    _finish(above, below, fitted, ylabel)
    if legend:
        above.legend(frameon=False, fontsize="small", loc="upper right")
    return pair


def _draw_data(ax: "Axes", fitted: Any) -> None:
    style: Any = {"ls": "", "marker": "o"}
    if max(fitted.seeds) > 1:
        x = np.repeat(fitted.widths, fitted.seeds)
        shift = np.concatenate([2 * ((np.arange(m) * 0.6180339887498949) % 1.0) - 1 for m in fitted.seeds])
        errors = np.exp(np.concatenate(fitted.sample.logs))
        step = np.log(fitted.widths[1:] / fitted.widths[:-1]).min() if len(fitted.widths) > 1 else 0.1
        x = x * np.exp(0.18 * step * shift)
        ax.plot(x, errors, ms=2.6, mfc="none", mec=_DOT, mew=0.6, gid="networks", label="one network", **style)
    name = {"best": "best of the seeds", "mean": "geometric mean of the seeds"}.get(fitted.statistic, "median of seeds")
    name = name if max(fitted.seeds) > 1 else "measured"
    ax.plot(fitted.widths, fitted.errors, ms=4.6, color="black", gid="statistic", label=name, zorder=4, **style)


def _draw_law(above: "Axes", below: "Axes", fitted: Any) -> None:
    w = np.exp(np.linspace(np.log(fitted.widths[0]), np.log(fitted.widths[-1]), 400))
    jump = fitted.parameters.get("threshold_width")
    curve = fitted.predicted(w)
    if jump is not None:
        before = fitted.widths[fitted.widths < jump][-1]
        curve = np.where((w > before) & (w < jump), np.nan, curve)
    low, high = fitted.band(w)
    gap = np.isnan(curve)
    for ax, scale in ((above, 1.0), (below, curve)):
        for bound in (low, high):
            bound[gap] = np.nan
        lower, upper = (low, high) if ax is above else (np.log(low / scale), np.log(high / scale))
        ax.fill_between(w, lower, upper, color=_CURVE, alpha=0.18, lw=0, gid="band", zorder=1)
    above.plot(w, curve, color=_CURVE, lw=1.6, gid="law", label=_label(fitted), zorder=3)
    below.axhline(0.0, color=_CURVE, lw=1.2)
    style: Any = {"ls": "", "marker": "o", "ms": 4.0, "color": "black"}
    below.plot(fitted.widths, fitted.residuals, gid="residuals", zorder=4, **style)
    for name in ("break_width", "threshold_width"):
        if name in fitted.intervals:
            left, right = fitted.intervals[name]
            if left == right:
                above.axvline(left, color="#d6336c", lw=1.0, alpha=0.5, zorder=0)
            above.axvspan(left, right, color="#d6336c", alpha=0.10, lw=0, zorder=0)
            text = name.split("_")[0]
            above.annotate(
                text,
                ((left * right) ** 0.5, 0.02),
                xycoords=("data", "axes fraction"),
                ha="center",
                color="#d6336c",
                fontsize="small",
            )
    if "offset" in fitted.parameters and fitted.parameters["offset"] > 0:
        above.axhline(fitted.parameters["offset"], color=_CURVE, lw=0.9, ls=":", label="offset", zorder=1)


def _label(fitted: Any) -> str:
    p = fitted.parameters
    if fitted.law.startswith("power"):
        head = f"{p['offset']:.3g} + " if p.get("offset") else ""
        return rf"${head}{p['amplitude']:.3g}\,w^{{-{p['exponent']:.3g}}}$"
    if fitted.law.startswith("exponential"):
        head = f"{p['offset']:.3g} + " if p.get("offset") else ""
        return rf"${head}{p['amplitude']:.3g}\,e^{{-w/{p['scale']:.3g}}}$"
    if fitted.law == "threshold":
        return rf"${p['plateau']:.3g}$, then ${p['amplitude']:.3g}\,w^{{{-p['exponent']:.3g}}}$"
    return rf"$w^{{{-p['exponent']:.3g}}}$, then $w^{{{-p['exponent_beyond']:.3g}}}$"


def _finish(above: "Axes", below: "Axes", fitted: Any, ylabel: str) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    above.set(yscale="log", ylabel=ylabel)
    low, high = above.get_ylim()
    high *= (high / low) ** (0.34 if fitted.accepted else 0.2)  # room for the legend
    above.set_ylim(low, high)
    if high < 12 * low:
        above.yaxis.set_major_formatter("{x:g}")
        above.yaxis.set_minor_formatter("{x:g}")
    below.set(ylabel="log residual" if fitted.accepted else "", xlabel="width")
    for ax in (above, below):
        ax.set_xscale("log")
        if len(fitted.widths) <= _MANY:
            ax.set_xticks(fitted.widths, [f"{w:g}" for w in fitted.widths])
            ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.spines[["top", "right"]].set_visible(False)
    if not fitted.accepted:
        return
    reach = 1.25 * max(float(np.abs(fitted.residuals).max()), 1e-3)
    low, high = below.get_ylim()
    below.set_ylim(min(low, -reach), max(high, reach))
