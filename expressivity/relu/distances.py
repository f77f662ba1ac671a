"""The exact distance of two networks in one or two dimensions, from the cells on which both are affine."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from expressivity.relu.exact import pieces
from expressivity.relu.network import ReLUNetwork
from expressivity.relu.regions import activation_regions, checked_box


def distance(first: ReLUNetwork, second: ReLUNetwork, box: Any, norm: str = "L2", *, budget: int = 20_000) -> float:
    r"""$\|F - G\|$ in L1, L2 or the supremum on a box, against the uniform probability measure on it.

    On every cell of the common refinement $F - G$ is affine and is integrated in closed form. In one dimension the
    cells and integrals are rational; only the result is rounded. In the plane they are polygons in float64, found as in
    [`activation_regions`](#expressivity.relu.activation_regions): parts thinner than 1e-9 of the box are left out.

    Args:
        first: F, with one or two inputs and one output.
        second: G, of the same shape.
        box: A `Box`, or two corners of n numbers each.
        norm: "L1", "L2" (not squared) or "sup".
        budget: How many linear programs may be solved.

    Raises:
        ValueError: If the networks do not fit together or have more than two inputs or one output, if the norm is
            unknown, the box does not fit, or the budget is used up.

    >>> import expressivity as ex
    >>> double = ex.ReLUNetwork.from_layers([([[2.0]], [0.0])])
    >>> ex.relu.distance(double, ex.identity(1, depth=2), ([0], [1]), "L1")
    0.5
    """
    if norm not in ("L1", "L2", "sup"):
        raise ValueError(f"The norm is one of L1, L2, sup; got {norm!r}.")
    if (first.input_dim, first.output_dim) != (second.input_dim, second.output_dim):
        raise ValueError(
            f"A distance is taken of networks of one shape; got {first.input_dim} -> {first.output_dim} and "
            f"{second.input_dim} -> {second.output_dim}."
        )
    if first.input_dim > 2 or first.output_dim != 1:
        raise ValueError(
            f"Exact distances cover one or two inputs and one output; got {first.input_dim} -> {first.output_dim}. "
            "Use expressivity.error with a Target for others."
        )
    lower, upper = checked_box(first, box)
    difference = first - second
    if first.input_dim == 1:
        return _on_interval(difference, lower, upper, norm)
    triangles = np.array(list(_triangles(difference, lower, upper, budget)))
    corners, values = triangles[:, :, :2], triangles[:, :, 2]
    if norm == "sup":
        return float(np.abs(values).max())
    sides = corners[:, 1:] - corners[:, :1]
    shares = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]) / 2 / np.prod(upper - lower)
    if norm == "L2":
        # the integral of u^2 over a triangle with corner values a, b, c is its area times (a^2+b^2+c^2+ab+bc+ca) / 6
        squares = ((values**2).sum(1) + values.sum(1) ** 2) / 12
        return math.sqrt(math.fsum(shares * squares))
    return math.fsum(shares * _mean_modulus(values))


def _on_interval(difference: ReLUNetwork, lower: np.ndarray, upper: np.ndarray, norm: str) -> float:
    found = pieces(difference, lower, upper)
    knots = (Fraction(0), *found.breakpoints, Fraction(1))
    if norm == "sup":
        return float(max(abs(value) for value in found.values))
    total = Fraction(0)
    for (s, t), (a, b) in zip(pairwise(knots), pairwise(found.values), strict=True):
        if norm == "L2":
            total += (t - s) * (a * a + a * b + b * b) / 3
        elif a * b >= 0:
            total += (t - s) * abs(a + b) / 2
        else:
            total += (t - s) * (a * a + b * b) / (2 * (abs(a) + abs(b)))
    return math.sqrt(total) if norm == "L2" else float(total)


def _triangles(
    difference: ReLUNetwork, lower: np.ndarray, upper: np.ndarray, budget: int
) -> Iterator[list[tuple[float, float, float]]]:
    """Triangles that fill the box, each corner with the value of the affine map there."""
    for region in activation_regions(difference, (lower, upper), budget=budget):
        corners = region.polygon()
        values = corners @ region.weight[0] + region.bias[0]
        marked = [(float(x), float(y), float(v)) for (x, y), v in zip(corners, values, strict=True)]
        for before, after in pairwise(marked[1:]):
            yield [marked[0], before, after]


def _mean_modulus(values: np.ndarray) -> np.ndarray:
    """The mean of |u| over triangles, u affine with these corner values, shape (triangles, 3)."""
    a, b, c = np.sort(values, axis=1).T
    mean = (a + b + c) / 3
    # where one corner is alone on its side of 0, the small triangle there has a share of the area and a mean in closed
    # form: |mean| of u plus twice what that corner contributes on the other side
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where((a < 0) & (b >= 0), -(a**3) / ((b - a) * (c - a)) / 3, 0.0)
        high = np.where((c > 0) & (b < 0), c**3 / ((c - a) * (c - b)) / 3, 0.0)
    return np.where(b >= 0, mean + 2 * low, -mean + 2 * high)
