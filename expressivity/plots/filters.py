"""First-layer filters as pictures, and their statistics beside what random filters give."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEARNED, _RANDOM, _DEAD = "#1f5fa8", "0.35", "#b2182b"
_ZOOM, _GAP = 6, 4  # drawn pixels for one of a filter, and between filters


def filter_grid(
    kernel: np.ndarray, ax: "Axes | None" = None, *, dead: Iterable[int] = (), columns: int | None = None
) -> "Axes":
    """Draws every filter as a picture, from the largest norm to the least, row by row.

    All have one scale: 0 is mid-grey and the largest absolute weight of the layer is black or white, or for filters on
    RGB images the end of its colour. Filters named as dead are framed and crossed out.

    Args:
        kernel: Of shape (size, size, inputs, filters) with 1 or 3 inputs.
        ax: Where to draw; by default a new figure.
        dead: Numbers of dead filters, as `models.dead_filters` gives them.
        columns: Pictures in a row; by default about as many as rows.

    Returns:
        The axes; the frames of dead filters have the `gid` "dead-NUMBER".

    Raises:
        ValueError: If the kernel has another shape, or a number is no filter's.

    >>> ax = filter_grid(np.random.default_rng(0).normal(size=(5, 5, 3, 8)), dead=[2])
    >>> ax.images[0].get_array().shape, [patch.get_gid() for patch in ax.patches]
    ((98, 98, 3), ['dead-2'])
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3) or kernel.shape[-1] < 1:
        raise ValueError(f"Filters are drawn from kernels (size, size, 1 or 3, filters); got {kernel.shape}.")
    dead = [int(number) for number in dead]
    height, width, _, filters = kernel.shape
    for number in dead:
        if not 0 <= number < filters:
            raise ValueError(f"There is no filter {number} among {filters} to mark as dead.")
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
    order = np.argsort(-np.linalg.norm(kernel.reshape(-1, filters), axis=0), kind="stable")
    across = columns or math.ceil(math.sqrt(filters))
    down = math.ceil(filters / across)
    largest = np.abs(kernel).max() or 1.0
    shades = np.broadcast_to(0.5 + kernel / (2 * largest), (height, width, 3, filters))
    rows, steps = height * _ZOOM + _GAP, width * _ZOOM + _GAP
    mosaic = np.ones((down * rows - _GAP, across * steps - _GAP, 3))
    corners: dict[int, tuple[int, int]] = {}
    for place, number in enumerate(order):
        top, left = place // across * rows, place % across * steps
        corners[int(number)] = (left, top)
        picture = shades[..., number].repeat(_ZOOM, 0).repeat(_ZOOM, 1)
        mosaic[top : top + height * _ZOOM, left : left + width * _ZOOM] = picture
    ax.imshow(mosaic, interpolation="nearest")
    for number in dead:
        _cross_out(ax, corners[number], width * _ZOOM, height * _ZOOM, f"dead-{number}")
    ax.set_axis_off()
    return ax


def _cross_out(ax: "Axes", corner: tuple[int, int], width: int, height: int, gid: str) -> None:
    from matplotlib.patches import Rectangle

    left, top = corner[0] - 0.5, corner[1] - 0.5
    frame: Any = {"fill": False, "edgecolor": _DEAD, "lw": 0.9, "gid": gid}
    ax.add_patch(Rectangle((left, top), width, height, **frame))
    ax.plot([left, left + width], [top + height, top], color=_DEAD, lw=0.6)


def pairing_histogram(test: Any, ax: "Axes | None" = None, *, bins: int = 24) -> "Axes":
    """Draws the pairing cosines of a layer as a histogram under the exact density of random filters.

    Args:
        test: A `models.PairingTest`, or any object with `cosines`, `law`, `mean` and `expected`.
        ax: Where to draw; by default a new figure.
        bins: Of the histogram, from -1 to the largest cosine.

    Returns:
        The axes; the curve has the `gid` "law".

    >>> from expressivity.models import pairing_test
    >>> ax = pairing_histogram(pairing_test(np.random.default_rng(0).normal(size=(3, 3, 3, 16))))
    >>> [line.get_gid() for line in ax.lines]
    ['law', 'mean', 'expected']
    """
    ax = _new(ax)
    end = max(0.0, float(np.max(test.cosines)))
    style: dict[str, Any] = {"color": _LEARNED, "alpha": 0.55, "lw": 0}
    ax.hist(test.cosines, bins=list(np.linspace(-1, end, bins + 1)), density=True, label="filters", **style)
    t = np.linspace(-1, max(end, test.law.quantile(0.999)), 400)
    density = [test.law.pdf(float(v)) for v in t]
    ax.plot(t, density, color=_RANDOM, lw=1.4, gid="law", label="random filters, exact")
    for name, value, color in (("mean", test.mean, _LEARNED), ("expected", test.expected, _RANDOM)):
        ax.axvline(value, color=color, lw=1.0, ls=(0, (3, 2)), gid=name)
    ax.set(xlabel="least cosine with another filter", ylabel="density", xlim=(-1.02, float(t[-1]) + 0.02))
    return _tidy(ax)


def scores_against_null(
    scores: np.ndarray, null: np.ndarray, ax: "Axes | None" = None, *, bins: int = 24, label: str = "filters"
) -> "Axes":
    """Draws scores of filters as a histogram over scores of random ones, with the 99 % point of the latter.

    Args:
        scores: Between 0 and 1, those of the filters; NaN is left out.
        null: Those of random filters of the same size, as `models.ScoreNull.sample` gives them.
        ax: Where to draw; by default a new figure.
        bins: From 0 to 1.
        label: What the filters are called.

    Returns:
        The axes; the line of the 99 % point has the `gid` "99".

    >>> from expressivity.models import ScoreNull
    >>> ax = scores_against_null(np.array([0.5, 0.9]), ScoreNull(7).sample(2000))
    >>> round(float(ax.lines[0].get_xdata()[0]), 1)
    0.5
    """
    ax = _new(ax)
    edges = list(np.linspace(0, 1, bins + 1))
    ax.hist(null, bins=edges, density=True, color=_RANDOM, alpha=0.35, lw=0, label="random filters")
    learned = np.asarray(scores, float)
    learned = learned[~np.isnan(learned)]
    ax.hist(learned, bins=edges, density=True, color=_LEARNED, alpha=0.55, lw=0, label=label)
    point = float(np.quantile(null, 0.99))
    ax.axvline(point, color=_RANDOM, lw=1.0, ls=(0, (3, 2)), gid="99", label="99 % of random ones")
    ax.set(xlabel="Gabor score", ylabel="density", xlim=(0, 1))
    return _tidy(ax)


def _new(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(4.0, 2.8), layout="constrained")
    return ax


def _tidy(ax: "Axes") -> "Axes":
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])  # room for the legend
    ax.legend(fontsize="small", facecolor="white", edgecolor="none", framealpha=0.85)
    return ax
