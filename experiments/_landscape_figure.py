"""The figure of the least width: bars of known results, dots of built networks, diamonds of certificates."""

from typing import Any

from experiments import _landscape
from experiments._landscape import COMPACT, GIVEN, SPACE, UNIFORM, Result

NO, YES, BUILT, FLOOR = "#e8b4ae", "#b9d7b4", "#1f5fa8", "#b2182b"
TITLES = {
    SPACE: "$L^p$ on all of space",
    COMPACT: r"$L^p$ of a compact set",
    UNIFORM: "sup norm on a compact set",
    GIVEN: "a given wide network",
}
AUTHORS = {
    "lu2017": "Lu et al. 2017",
    "hanin_sellke2017": "Hanin, Sellke 2017",
    "hanin2019": "Hanin 2019",
    "johnson2019": "Johnson 2019",
    "kidger_lyons2020": "Kidger, Lyons 2020",
    "park2021": "Park et al. 2021",
    "vardi2022": "Vardi et al. 2022",
    "cai2023": "Cai 2023",
    "li2023": "Li et al. 2023",
    "hwang2023": "Hwang 2023",
    "kim2024": "Kim et al. 2024",
    "liu_chen2024": "Liu, Chen 2024",
    "rochau2024": "Rochau et al. 2024",
    "shin2025": "Shin et al. 2025",
}
MARKS = {"paper": "", "abstract": "$^a$", "second hand": "$^b$"}


def draw(table: Any, n: int) -> Any:
    """All rows for n inputs and one output, one above the other, in groups by domain."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = []
    for domain in _landscape.DOMAINS:
        results = [r for r in _landscape.RESULTS if r.domain == domain and r.scalar]
        own = table[table["domain"] == domain].sort_values(["kind", "width"])
        groups.append((domain, results, own))
    lines = sum(1.6 + len(results) + len(own) for _, results, own in groups)
    figure, ax = plt.subplots(figsize=(10.6, 0.235 * lines + 1.2), layout="constrained")
    left, right, y = n - 1.5, n + 4.5, 0.0
    for domain, results, own in groups:
        top = y
        ax.text(left, y, TITLES[domain], fontweight="bold", va="center", ha="left")
        y -= 1
        for result in results:
            _bar(ax, result, n, y, left, right)
            y -= 1
        for row in own.itertuples():
            _point(ax, row, y, left, right)
            y -= 1
        if domain in _landscape.thresholds(n):
            edge = _landscape.thresholds(n)[domain] - 0.5
            ax.plot([edge, edge], [top - 0.5, y + 0.5], color="black", lw=1.4)
        y -= 0.6
    names = {-1: "n \N{MINUS SIGN} 1", 0: "n"} | {k: f"n + {k}" for k in range(1, 5)}
    ax.set_xticks([n + k for k in names], [f"{text}\n{n + k}" for k, text in names.items()])
    ax.set(xlim=(left, right), ylim=(y + 0.9, 0.8), yticks=[])
    ax.set_xlabel(f"width, for n = {n} inputs and one output")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="x", length=0)
    for k in range(-1, 4):
        ax.axvline(n + k + 0.5, color="0.92", lw=0.7, zorder=-2)
    handles = [
        Patch(color=NO, label="not enough"),
        Patch(color=YES, label="enough"),
        Line2D([], [], color="black", lw=1.4, label="the least width of ReLU networks"),
        Line2D([], [], ls="", marker="o", color=BUILT, label="network built here, measured"),
        Line2D([], [], ls="", marker="o", color=BUILT, mfc="white", label="the same, without a proved bound"),
        Line2D([], [], ls="", marker="D", color=FLOOR, label="certificate computed here"),
        Line2D([], [], ls="", label="$^a$ known from the abstract, $^b$ from a later paper"),
        Patch(color="0.85", label="pale: other activations than ReLU"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


def _bar(ax: Any, result: Result, n: int, y: float, left: float, right: float) -> None:
    strength = 1.0 if result.relu else 0.45
    if result.least is not None:
        ax.barh(y, result.least(n, 1) - 0.5 - left, left=left, height=0.82, color=NO, alpha=strength, zorder=-1)
    if result.enough is not None:
        start = result.enough(n, 1) - 0.5
        if start < right:
            ax.barh(y, right - start, left=start, height=0.82, color=YES, alpha=strength, zorder=-1)
        else:
            ax.text(
                right,
                y,
                f"from {result.enough(n, 1)} on \N{RIGHTWARDS ARROW}",
                ha="right",
                va="center",
                fontsize="small",
            )
    place = f", {result.place}" if result.place else ""
    other = "" if result.activation.split(", ")[0] == "ReLU" else f" ({result.activation})"
    text = f"{AUTHORS[result.key]}{place}{other}{MARKS[result.known]}"
    ax.annotate(
        text,
        (left, y),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="small",
        annotation_clip=False,
    )


def _point(ax: Any, row: Any, y: float, left: float, right: float) -> None:
    certificate = row.kind == "certificate"
    colour, marker = (FLOOR, "D") if certificate else (BUILT, "o")
    filled = certificate or row.bound == row.bound
    if certificate:
        text = f"{row.norm} error \N{GREATER-THAN OR EQUAL TO} {row.error:.3f}"
    elif row.domain == GIVEN:
        text = f"equal up to {row.error:.0e}, {row.hidden_layers:,.0f} layers"
    else:
        text = f"{row.norm} error {row.error:.3f}, {row.hidden_layers:,.0f} layers"
    place = float(row.width)
    if place < right:
        ax.plot(place, y, marker, color=colour, mfc=colour if filled else "white", ms=5.5, zorder=3)
    else:
        place, text = right, f"width {row.width}: {text} \N{RIGHTWARDS ARROW}"
    side = -1 if place > right - 2.2 else 1
    ax.annotate(
        text,
        (place, y),
        xytext=(9 * side if place < right else -3, 0),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va="center",
        fontsize="small",
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        zorder=2.5,
    )
    name = row.family.removeprefix("expressivity, ").replace("lu2017", AUTHORS["lu2017"])
    ax.annotate(
        f"certificate: {name}" if certificate else name,
        (left, y),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="small",
        color=colour,
        annotation_clip=False,
    )
