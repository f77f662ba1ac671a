"""Error against width: floors, ceilings, and what training found between them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From dark to light, so that grey prints keep the order; told apart by all common kinds of colour blindness (a cut of
# matplotlib's viridis). Markers repeat the distinction.
_DARK, _LIGHT = 0.05, 0.88
_MARKERS = "osD^vPX"
_FLOOR = "#b2182b"
_CEILING = "#404040"
_SLOT = 0.8
_GROUPS = ("hidden_layers", "family", "task")
_IMAGES = {"top-1": "top-1 error", "top-5": "top-5 error", "cross-entropy": "cross-entropy"}


class Level(NamedTuple):
    """A line to draw at one width."""

    width: int
    value: float
    label: str


def error_against_width(
    result: Any,
    floors: Any = None,
    ceilings: Any = None,
    ax: "Axes | None" = None,
    *,
    norm: str | None = None,
    constant: float | None = None,
    legend: bool = True,
    by: str = "hidden_layers",
    bars: bool = False,
) -> "Axes":
    """Draws the errors of one norm against the width: seeds as dots, the best filled, floors solid, ceilings dashed.

    Colour and marker tell the hidden layers apart (or families, or tasks); a short bar is the median of the seeds.
    Widths are spaced evenly; for networks on images they are the largest number of channels, with the multiplier.
    The area under a floor is shaded: no network of that width can lie there. Collapsed or diverged networks are drawn
    where their error is; those without an error are left out.

    Args:
        result: A `SweepResult`, or its table.
        floors: Lower bounds: a mapping from widths to numbers or certificates; certificates, each drawn at every width
            whose networks of all depths in the table it covers; or a table with columns norm, width, value. Of several
            at one width the highest is drawn.
        ceilings: Upper bounds: a mapping from widths to numbers or constructions; constructions, drawn at their width
            where they have a bound in this norm; or a table with columns norm, width, value and (if wanted) label.
        ax: Where to draw; by default a new figure.
        norm: The norm to draw; by default L2 if the table has it, else its first ("top-1" for images).
        constant: The error of the best constant, drawn as a dotted line: networks that lie on it have learned nothing.
        legend: Whether to put a legend to the right of the axes.
        by: What colour and marker stand for, a column of the table: "hidden_layers", "family" or "task". A table that
            has no hidden layers is drawn in one colour by default.
        bars: Whether each dot gets a thin bar of its `half_width`; for images that is the interval of 95 % over
            further test images.

    Returns:
        The axes. Lines and dots carry `gid`s: "floor", "ceiling", "seeds-H", "best-H", "median-H", "bars-H", with H the
        number of hidden layers, the family or the task.

    Raises:
        ValueError: If the table has no row in the norm, `by` is unknown, or bars are asked for without half-widths.

    >>> import pandas as pd
    >>> rows = [{"norm": "L2", "width": w, "width_rule": r, "hidden_layers": 2, "seed": s, "status": "ok",
    ...          "error": 0.5 / w + 0.1 * s} for w, r in ((1, "n-1"), (2, "n")) for s in (0, 1)]
    >>> ax = error_against_width(pd.DataFrame(rows), floors={1: 0.3})
    >>> [float(line.get_ydata()[0]) for line in ax.lines if line.get_gid() == "floor"]
    [0.3]
    """
    table: Any = getattr(result, "table", result)
    present = list(dict.fromkeys(table["norm"]))
    if norm is None:
        norm = "L2" if "L2" in present or not present else str(present[0])
    rows = table[table["norm"] == norm]
    if rows.empty:
        raise ValueError(f"The table has no row in the norm {norm!r}; it has {', '.join(present) or 'none'}.")
    if by not in _GROUPS:
        raise ValueError(f"Networks are told apart by one of {', '.join(_GROUPS)}; got {by!r}.")
    if bars and "half_width" not in rows.columns:
        raise ValueError("Bars need a column half_width; the table has none.")
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    upper = _levels(ceilings, norm, [])
    widths = sorted({int(w) for w in rows["width"]} | {level.width for level in upper})
    place = {width: position for position, width in enumerate(widths)}
    depths = sorted({int(depth) for depth in rows["hidden_layers"].dropna()}) if "hidden_layers" in rows.columns else []
    found = _levels(floors, norm, widths, depths or [1])
    lower = {level.width: level for level in sorted(found, key=lambda level: level.value)}

    _draw_floors(ax, [lower[w] for w in widths if w in lower], place)
    _draw_seeds(ax, rows[rows["error"].notna()], place, by, bars, norm in _IMAGES)
    _draw_ceilings(ax, upper, place, _names(ceilings, upper))
    if constant is not None:
        ax.axhline(constant, color="0.45", lw=1.0, ls=":", gid="constant", label="best constant", zorder=1)
    _finish(ax, rows, norm, widths, place)
    if legend:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False, fontsize="small")
    return ax


def _levels(given: Any, norm: str, widths: Sequence[int], depths: Sequence[int] = (1,)) -> list[Level]:
    """What may be given for floors and ceilings, as levels in one norm; certificates where they cover all `depths`."""
    if given is None:
        return []
    if hasattr(given, "columns"):
        rows = given[given["norm"] == norm] if "norm" in given.columns else given
        labels = rows["label"] if "label" in rows.columns else [""] * len(rows)
        found = [Level(int(w), float(v), str(t)) for w, v, t in zip(rows["width"], rows["value"], labels, strict=True)]
        return [level for level in found if 0 < level.value < np.inf]
    pairs: Iterable[tuple[int | None, Any]]
    if isinstance(given, Mapping):
        pairs = given.items()
    else:
        pairs = [(None, item) for item in (given if isinstance(given, Iterable) else [given])]
    levels: list[Level] = []
    for width, item in pairs:
        if hasattr(item, "against"):  # a certificate
            covers = item.against.covers
            covered = [w for w in widths if all(covers((w,) * depth) for depth in depths)] if width is None else [width]
            levels += [Level(w, float(item.value), str(item.theorem)) for w in covered if item.norm == norm]
        elif hasattr(item, "bound"):  # a construction
            at = item.network.width if width is None else width
            levels.append(Level(at, float(item.bound(norm)), str(item.theorem)))
        elif width is None:
            raise ValueError(f"A bound without a width is a Certificate or a Construction, not {item!r}.")
        else:
            levels.append(Level(int(width), float(item), ""))
    return [level for level in levels if 0 < level.value < np.inf]


def _draw_floors(ax: "Axes", levels: list[Level], place: dict[int, int]) -> None:
    for number, level in enumerate(levels):
        x = place[level.width] + np.array([-0.5, 0.5])
        label = "floor: no network of this width is lower" if number == 0 else None
        ax.plot(x, [level.value] * 2, color=_FLOOR, lw=2.2, solid_capstyle="butt", gid="floor", label=label, zorder=4)
        ax.fill_between(x, 0, level.value, color=_FLOOR, alpha=0.1, lw=0, zorder=0)


def _names(given: Any, levels: list[Level]) -> list[str]:
    """The names that letters stand for: those of a whole table, so that all norms have the same letters."""
    if hasattr(given, "columns") and "label" in given.columns:
        labels = given.loc[given["value"] > 0, "label"]  # an error of 0 has no place on a logarithmic axis
    else:
        labels = [v.label for v in levels]
    return list(dict.fromkeys(str(label) for label in labels if label))


def _draw_ceilings(ax: "Axes", levels: list[Level], place: dict[int, int], names: list[str]) -> None:
    """Dashes at each width; a letter leads to the name in the legend."""
    shown: set[str] = set()
    for level in levels:
        x = place[level.width] + np.array([-0.46, 0.46])
        letter = chr(ord("a") + names.index(level.label)) if level.label else ""
        label = f"ceiling {letter}: {level.label}" if letter else "ceiling: a constructed network is this good"
        first = label not in shown
        shown.add(label)
        ax.plot(
            x,
            [level.value] * 2,
            color=_CEILING,
            lw=1.5,
            ls=(0, (3.2, 1.6)),
            gid="ceiling",
            label=label if first else None,
            zorder=6,
        )
        if letter:
            ax.annotate(
                letter,
                (x[0], level.value),
                xytext=(1, 1.5),
                textcoords="offset points",
                va="bottom",
                fontsize="small",
                fontweight="bold",
                color=_CEILING,
                zorder=7,
            )


def _groups(rows: Any, by: str) -> list[tuple[Any, str, Any]]:
    """(key, name in the legend, rows) of every colour."""
    if by == "hidden_layers":
        depths = [int(d) for d in sorted(set(rows["hidden_layers"].dropna()))] if by in rows.columns else []
        if not depths:
            return [(None, "best network", rows)]
        names = [f"best with {depth} hidden layer" + ("s" if depth != 1 else "") for depth in depths]
        return [(d, name, rows[rows["hidden_layers"] == d]) for d, name in zip(depths, names, strict=True)]
    keys = list(dict.fromkeys(rows[by]))
    return [(key, f"best {key}", rows[rows[by] == key]) for key in keys]


def _draw_seeds(ax: "Axes", rows: Any, place: dict[int, int], by: str, bars: bool, on_images: bool) -> None:
    import matplotlib

    kinds = _groups(rows, by)
    shades = matplotlib.colormaps["viridis"](np.linspace(_DARK, _LIGHT, len(kinds)) if len(kinds) > 1 else [0.3])
    lane = _SLOT / max(len(kinds), 1)
    grey: Any = {"color": "0.35", "ls": ""}
    ax.plot([], [], marker="o", ms=3.2, mfc="none", mew=0.6, label="one network", **grey)
    ax.plot([], [], marker="_", ms=9, mew=1.4, label="median of the seeds", **grey)
    for index, (key, name, chosen) in enumerate(kinds):
        color, marker = shades[index], _MARKERS[index % len(_MARKERS)]
        groups = [(place[int(w)] + lane * (index - (len(kinds) - 1) / 2), g) for w, g in chosen.groupby("width")]
        x = np.concatenate([p + _jitter(len(g)) * 0.3 * lane for p, g in groups] or [np.zeros(0)])
        y = np.concatenate([g["error"].to_numpy(float) for _, g in groups] or [np.zeros(0)])
        hollow: Any = {"marker": marker, "ms": 3.2, "mfc": "none", "mew": 0.6}
        ax.plot(x, y, ls="", mec=color, alpha=0.55, gid=f"seeds-{key}", zorder=2, **hollow)
        if bars:
            half = np.concatenate([g["half_width"].to_numpy(float) for _, g in groups] or [np.zeros(0)])
            low = np.maximum(y - half, 1e-3 * y)  # a logarithmic axis has no place for 0
            what = "_" if index else "95 % over further test images" if on_images else "half-width"
            ax.vlines(x, low, y + half, color=color, lw=0.6, alpha=0.5, zorder=1, gid=f"bars-{key}", label=what)
        for position, group in groups:
            ends, middle = position + np.array([-0.42, 0.42]) * lane, group["error"].median()
            median: Any = {"lw": 1.4, "solid_capstyle": "butt", "gid": f"median-{key}"}
            ax.plot(ends, [middle] * 2, color=color, zorder=3, **median)
        filled: Any = {"marker": marker, "ms": 6, "mfc": color, "mec": "black", "mew": 0.5}
        lowest = [p for p, _ in groups], [g["error"].min() for _, g in groups]
        ax.plot(*lowest, ls="", gid=f"best-{key}", label=name, zorder=5, **filled)


def _jitter(count: int) -> np.ndarray:
    """Positions in [-1, 1], spread evenly and the same at every drawing."""
    return 2 * ((np.arange(count) * 0.6180339887498949) % 1.0) - 1


def _tick(width: int, rules: Sequence[str]) -> str:
    """The label of a width: its number of units, and above it the rule that gave it, where one rule did."""
    rule = ""
    if len(set(rules)) == 1:
        texts = rules[0].split(" = ")
        rule = next((text for text in texts if "n" in text), texts[0]).replace("-", "\N{MINUS SIGN}")
    return f"{rule}\n{width}" if rule and rule != str(width) else str(width)


def _finish(ax: "Axes", rows: Any, norm: str, widths: list[int], place: dict[int, int]) -> None:
    given: dict[int, list[str]] = {}
    if "width_rule" in rows.columns:
        for width, rule in zip(rows["width"], rows["width_rule"], strict=True):
            given.setdefault(int(width), []).append("" if rule is None or rule != rule else str(rule))
    if norm not in _IMAGES:  # the rules of one family differ only in how they are written
        given = {width: rules[-1:] for width, rules in given.items()}
    ax.set_xticks([place[w] for w in widths], [_tick(w, given.get(w, [])) for w in widths])
    ax.set_xlim(-0.5, len(widths) - 0.5)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 12 * low:  # about one decade: plain numbers
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
    for edge in range(1, len(widths)):
        ax.axvline(edge - 0.5, color="0.9", lw=0.6, zorder=-1)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("width (largest number of channels)" if norm in _IMAGES else "width (units in every hidden layer)")
    ax.set_ylabel(_IMAGES.get(norm, f"{norm} error"))
    ax.spines[["top", "right"]].set_visible(False)
