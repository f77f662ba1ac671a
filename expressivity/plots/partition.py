"""The regions of a network in the plane, and the lines on which it bends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from expressivity.relu.network import ReLUNetwork
from expressivity.relu.regions import Region, activation_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK, _LIGHT = 0.0, 0.8


def partition(network: Any, box: Any, ax: "Axes | None" = None, *, budget: int = 20_000, legend: bool = True) -> "Axes":
    """Draws the activation regions of a network with two inputs on a box.

    The darker a region, the more hidden units are positive on it. A line is where a hidden unit changes its sign; its
    colour tells the layer. Lines of the first layer are straight, those of later layers bend where they cross lines of
    earlier ones.

    Args:
        network: A `ReLUNetwork` or a `Construction` with two inputs.
        box: A `Box`, or two corners of two numbers each.
        ax: Where to draw; by default a new figure.
        budget: Of linear programs, as in [`activation_regions`](#expressivity.relu.activation_regions).
        legend: Whether to name the layers above the axes, where there are several.

    Returns:
        The axes. They hold a collection of polygons with the `gid` "regions", in the order of `activation_regions`, and
        one of lines with the `gid` "layer-l" for every hidden layer l that has a line in the box.

    Raises:
        TypeError: If `network` is neither.
        ValueError: If it has not two inputs, the box does not fit, or the budget is used up.

    >>> import expressivity as ex
    >>> ax = partition(ex.identity(2, depth=2), ([-1, -1], [1, 1]))
    >>> [(artist.get_gid(), len(artist.get_paths())) for artist in ax.collections]
    [('regions', 4), ('layer-1', 4)]
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import LinearSegmentedColormap

    network = getattr(network, "network", network)
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"A partition is drawn of a ReLUNetwork or a Construction; got {type(network).__name__}.")
    if network.input_dim != 2:
        raise ValueError(f"A partition is drawn in the plane; this network has {network.input_dim} inputs.")
    regions = activation_regions(network, box, budget=budget)
    polygons = [region.polygon() for region in regions]
    ax = _square_axes() if ax is None else ax
    active = np.array([region.pattern.mean() if len(region.pattern) else 0.0 for region in regions])
    shades = LinearSegmentedColormap.from_list("paper", ["#ffffff", "#c9ccd6"])
    ax.add_collection(
        PolyCollection(polygons, array=active, cmap=shades, clim=(0.0, 1.0), edgecolors="face", lw=0.4, gid="regions")
    )
    depth, lines = network.hidden_layers, _lines(network, regions, polygons)
    for layer in sorted(lines, reverse=True):  # the first layer is drawn on top
        share = _DARK + (_LIGHT - _DARK) * (layer - 1) / max(1, depth - 1)
        color, width = colormaps["viridis"](share), 1.5 * 0.8 ** (layer - 1)
        found = LineCollection(lines[layer], colors=[color], linewidths=max(0.5, width), gid=f"layer-{layer}")
        found.set_capstyle("round")
        found.set_label(f"layer {layer}")
        found.set_zorder(3 + depth - layer)
        ax.add_collection(found)
    corners = np.concatenate(polygons)
    ax.set(xlim=(corners[:, 0].min(), corners[:, 0].max()), ylim=(corners[:, 1].min(), corners[:, 1].max()))
    ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    if legend and len(lines) > 1:
        handles = sorted(ax.get_legend_handles_labels()[0], key=lambda handle: -handle.get_zorder())
        ax.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize="small"
        )
    return ax


def _square_axes() -> "Axes":
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(4.2, 4.4), layout="constrained")[1]


def _lines(network: ReLUNetwork, regions: Sequence[Region], polygons: Sequence[np.ndarray]) -> dict[int, list]:
    """Sides of the regions, each once, by the layer of the first unit that vanishes on them."""
    layers = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in network.layers][:-1]
    seen: set[tuple] = set()
    found: dict[int, list] = {}
    corners = np.concatenate(polygons)
    size = float(np.ptp(corners, axis=0).max())
    for region, polygon in zip(regions, polygons, strict=True):
        for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            layer = _layer(layers, region, (start + end) / 2, 1e-7 * size)
            side = tuple(sorted(tuple(np.round(point / (1e-6 * size)).astype(int)) for point in (start, end)))
            if layer and side not in seen:
                seen.add(side)
                found.setdefault(layer, []).append(np.array([start, end]))
    return found


def _layer(layers: Sequence[tuple[np.ndarray, np.ndarray]], region: Region, point: np.ndarray, tolerance: float) -> int:
    """The first layer with a unit whose zero line, as it is in the region, passes through the point; 0 if none."""
    matrix, offset, begin = np.eye(2), np.zeros(2), 0
    for number, (weight, bias) in enumerate(layers, start=1):
        matrix, offset = weight @ matrix, weight @ offset + bias
        lengths = np.linalg.norm(matrix, axis=1)
        if np.any((np.abs(matrix @ point + offset) <= tolerance * lengths) & (lengths > 0)):
            return number
        signs = region.pattern[begin : begin + len(bias)]
        matrix, offset, begin = np.where(signs[:, None], matrix, 0.0), np.where(signs, offset, 0.0), begin + len(bias)
    return 0
