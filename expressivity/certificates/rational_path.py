"""Escape paths in rational arithmetic: a lower bound in which nothing is rounded but the last number, downwards.

Floats are rational numbers, so the path, the value of the network along it and the extremes of a quadratic target on it
are rational too.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.measures import AbstractDomain, Ball, Box
from expressivity.norms import scalar_network
from expressivity.relu.exact import evaluate_exactly, pieces
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Quadratic, Target
from expressivity.theorems import find

Vector = tuple[Fraction, ...]
Matrix = tuple[Vector, ...]

_THEOREM = find("expressivity", "escape path")
_DIGITS = 1 << 17
_ROOT = 128


class RationalPath(NamedTuple):
    """A polyline along which a network is constant, in rationals.

    Args:
        points: Its corners: the starting point first, last a point of the boundary of a box, or a point not further
            than $2^{-100}$ of the radius from that of a ball.
        value: The value of the network there.
    """

    points: tuple[Vector, ...]
    value: Fraction


class _Prefix(NamedTuple):
    """While all units of the first layers are active, layer l is the affine map B x + c."""

    matrix: Matrix
    offset: Vector
    kernel: Vector | None


def rational_escape_path(network: ReLUNetwork, point: Any, domain: AbstractDomain) -> RationalPath:
    r"""The path of [`escape_path`](#expressivity.certificates.escape_path), exactly.

    That the network is constant along the path is not taken from the proof: each segment is cut into its affine pieces
    in rationals, and there is one, of slope 0.

    Args:
        network: With one output, of width at most n, the input dimension, which is at least 2.
        point: n floats, integers or fractions, in the domain.
        domain: A `Box` or a `Ball`.

    Raises:
        TypeError: If the domain is neither, or a coordinate is not a real number.
        ValueError: If the network is too wide, n is 1, there are several outputs, the point is outside or of the wrong
            length, or the numbers grow beyond 2^17 bits (deep networks with generic weights).

    >>> import expressivity as ex, numpy as np
    >>> net = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> route = ex.certificates.rational_escape_path(net, [-0.5, 0.25], ex.Box(2))
    >>> route.points[-1], route.value
    ((Fraction(-1, 1), Fraction(1, 4)), Fraction(1, 4))
    """
    n = network.input_dim
    if not isinstance(domain, Box | Ball):
        raise TypeError(f"A rational escape path leaves a Box or a Ball; got {type(domain).__name__}.")
    if network.output_dim != 1:
        raise ValueError(f"An escape path is for a network with one output; this one has {network.output_dim}.")
    if n < 2:
        raise ValueError("An escape path needs at least 2 inputs; networks of width 1 on R are monotone. Got 1.")
    if network.width > n:
        raise ValueError(f"Networks of width at most n = {n} have an escape path; this one has width {network.width}.")
    if domain.dim != n:
        raise ValueError(f"The network reads {n} numbers, but the domain {domain.name} has dimension {domain.dim}.")
    (value,) = evaluate_exactly(network, point)  # refuses what is no point
    x = tuple(Fraction(c.item() if hasattr(c, "item") else c) for c in point)
    if _room(domain, x) < 0:
        raise ValueError(f"The starting point {[float(c) for c in x]} lies outside {domain.name}.")
    prefixes = _prefixes(network, n)
    layer, direction = _first_obstacle(network, prefixes, x)
    corners = [x]
    while True:
        first: tuple[Fraction, int, int] | None = None
        for number, prefix in enumerate(prefixes[:layer]):
            for unit, (row, shift) in enumerate(zip(prefix.matrix, prefix.offset, strict=True)):
                speed = _dot(row, direction)
                if speed < 0:
                    time = (_dot(row, x) + shift) / -speed
                    if first is None or time < first[0]:
                        first = (time, number, unit)
        leave = _exit_time(domain, x, direction)
        if first is None or first[0] >= leave:
            corners.append(_moved(x, leave, direction))
            break
        x = _moved(x, first[0], direction)
        corners.append(x)
        layer = first[1]
        direction = _away(prefixes[layer].matrix, first[2])
    route = tuple(c for c, before in zip(corners, [None, *corners], strict=False) if c != before)
    for start, end in pairwise(route):
        found = pieces(network, start, end)
        assert {*found.slopes, *(v - value for v in found.values)} == {0}, "the network is not constant along its path"
    return RationalPath(route, value)


def rational_path(network: Any, target: Target, start: Any) -> Certificate:
    r"""A lower bound of the sup error of this network of width at most n, sound against rounding.

    $\|f - F\|_{\sup} \ge \tfrac12(\max f - \min f)$ along the escape path from `start`, on which F is constant. Path
    and extremes are rational numbers; half their difference is rounded down to a float.

    Args:
        network: A `ReLUNetwork` or `Construction` with one output and width at most n.
        target: On a `Box` or a `Ball`; a quadratic polynomial (`Target.quadratic`) or itself a network
            (`Target.network`), whose values are rational.
        start: The starting point: n floats, integers or fractions.

    Raises:
        TypeError: As for `rational_escape_path`, or if `network` is neither.
        ValueError: As for `rational_escape_path`, or if the target is neither quadratic nor a network.

    >>> import expressivity as ex
    >>> net = ex.relu.gadgets.random_network(2, (2, 2, 2), seed=1)
    >>> found = ex.certificates.rational_path(net, ex.targets.norm_squared(ex.Box(2)), [0, 0])
    >>> found.value >= 0.5
    True
    """
    network = scalar_network(network, target)
    if not isinstance(target.measure, AbstractDomain):
        raise ValueError(f"The path certificate needs a target on a Box or a Ball; got {target.measure.name}.")
    if target.quadratic is None and target.network is None:
        raise ValueError(
            f"Values of the target {target.name!r} are not known to be rational; give a Target with `quadratic` or "
            "`network`, or use certificates.path."
        )
    route = rational_escape_path(network, start, target.measure)
    values: list[Fraction] = []
    for begin, end in pairwise(route.points):
        values += _quadratic(target.quadratic, begin, end) if target.quadratic else []
        values += pieces(target.network, begin, end).values if target.network and not target.quadratic else []
    half = (max(values) - min(values)) / 2 if values else Fraction(0)
    what = "the quadratic polynomial" if target.quadratic else "the network"
    notes = (
        f"{len(route.points) - 1} segments in rational arithmetic; the only rounding is that of the value, down",
        f"the target is {what} with the stored coefficients",
    )
    return Certificate(_down(half), "sup", NetworkClass(this=True), _THEOREM, notes)


def _quadratic(quadratic: Quadratic, start: Vector, end: Vector) -> list[Fraction]:
    """The values at both ends of a segment and, where it lies between them, at the vertex."""
    matrix = [[Fraction(a) for a in row] for row in np.asarray(quadratic.matrix, np.float64).tolist()]
    slope = [Fraction(b) for b in np.asarray(quadratic.slope, np.float64).tolist()]
    move = tuple(b - a for a, b in zip(start, end, strict=True))
    image = [_dot(tuple(row), move) for row in matrix]
    square, constant = _dot(image, move), Fraction(float(quadratic.offset))
    # f(start + t move) = square t^2 + linear t + f(start)
    linear = 2 * _dot(image, start) + _dot(slope, move)
    begin = _dot([_dot(tuple(row), start) for row in matrix], start) + _dot(slope, start) + constant
    found = [begin, begin + linear + square]
    if square and 0 < (vertex := -linear / (2 * square)) < 1:
        found.append(begin + vertex * (linear + square * vertex))
    return found


def _down(number: Fraction) -> float:
    """The largest float that is not above a nonnegative fraction."""
    near = float(number)
    return near if Fraction(near) <= number else math.nextafter(near, -math.inf)


def _dot(first: Sequence[Fraction], second: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(first, second, strict=True)), Fraction(0))


def _moved(point: Vector, time: Fraction, direction: Vector) -> Vector:
    return tuple(a + time * b for a, b in zip(point, direction, strict=True))


def _prefixes(network: ReLUNetwork, n: int) -> list[_Prefix]:
    """The affine maps up to and including the first singular one; layers narrower than n get rows of zeros."""
    found: list[_Prefix] = []
    matrix = tuple(tuple(Fraction(int(i == j)) for j in range(n)) for i in range(n))
    offset: Vector = (Fraction(0),) * n
    for weight, bias in list(network.layers)[:-1]:
        rows = [[Fraction(w) for w in row] for row in np.asarray(weight, np.float64).tolist()]
        shifts = [Fraction(b) for b in np.asarray(bias, np.float64).tolist()]
        columns = list(zip(*matrix, strict=True))
        used = [row + [Fraction(0)] * (n - len(row)) for row in rows]
        before = offset
        matrix = tuple(tuple(_dot(row, column) for column in columns) for row in used)
        offset = tuple(_dot(row, before) + shift for row, shift in zip(used, shifts, strict=True))
        matrix += ((Fraction(0),) * n,) * (n - len(matrix))
        offset += (Fraction(0),) * (n - len(offset))
        bits = max(c.denominator.bit_length() + abs(c.numerator).bit_length() for row in matrix for c in row)
        if bits > _DIGITS:
            raise ValueError(
                f"After {len(found) + 1} layers the numbers of this path have {bits} bits, more than {_DIGITS}; use "
                "certificates.path, which computes in float64."
            )
        kernel = _kernel(matrix)
        found.append(_Prefix(matrix, offset, kernel))
        if kernel is not None:
            break
    return found


def _first_obstacle(network: ReLUNetwork, prefixes: list[_Prefix], x: Vector) -> tuple[int, Vector]:
    """The number of layers that have to stay active, and the direction along which the output does not change."""
    for number, prefix in enumerate(prefixes):
        if prefix.kernel is not None:
            return number, prefix.kernel
        heights = [_dot(row, x) + shift for row, shift in zip(prefix.matrix, prefix.offset, strict=True)]
        if min(heights) <= 0:
            return number, _away(prefix.matrix, heights.index(min(heights)))
    output = [Fraction(w) for w in np.asarray(list(network.layers)[-1][0], np.float64)[0].tolist()]
    slope = output
    if prefixes:
        slope = [_dot(output, column) for column in zip(*prefixes[-1].matrix, strict=True)]
    direction = _kernel((tuple(slope),))
    assert direction is not None, "one equation in two unknowns has a solution"
    return len(prefixes), direction


def _eliminated(matrix: Matrix) -> tuple[list[list[Fraction]], list[int]]:
    """The reduced row echelon form and its pivot columns."""
    rows, pivots = [list(row) for row in matrix], []
    for column in range(len(rows[0])):
        done = len(pivots)
        pivot = next((i for i in range(done, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        rows[done] = [value / rows[done][column] for value in rows[done]]
        for i, row in enumerate(rows):
            if i != done and row[column]:
                rows[i] = [a - row[column] * b for a, b in zip(row, rows[done], strict=True)]
        pivots.append(column)
        if len(pivots) == len(rows):
            break
    return rows, pivots


def _kernel(matrix: Matrix) -> Vector | None:
    """A vector other than 0 that the matrix sends to 0, if there is one."""
    rows, pivots = _eliminated(matrix)
    free = next((j for j in range(len(matrix[0])) if j not in pivots), None)
    if free is None:
        return None
    found = [Fraction(0)] * len(matrix[0])
    found[free] = Fraction(1)
    for row, pivot in zip(rows, pivots, strict=False):
        found[pivot] = -row[free]
    return _sized(found)


def _away(matrix: Matrix, unit: int) -> Vector:
    """A positive multiple of $-B^{-1} e_i$."""
    wide = tuple((*row, Fraction(-int(i == unit))) for i, row in enumerate(matrix))
    rows, _ = _eliminated(wide)
    return _sized([row[-1] for row in rows])


def _sized(vector: Sequence[Fraction]) -> Vector:
    """A multiple whose largest entry is 1 in absolute value."""
    largest = max(abs(c) for c in vector)
    return tuple(c / largest for c in vector)


def _room(domain: Box | Ball, x: Vector) -> Fraction:
    """At least 0 exactly for points of the domain."""
    if isinstance(domain, Ball):
        return Fraction(domain.radius) ** 2 - _dot(x, x)
    low, high = Fraction(domain.low), Fraction(domain.high)
    return min(min(c - low, high - c) for c in x)


def _exit_time(domain: Box | Ball, x: Vector, direction: Vector) -> Fraction:
    """The last time in a box; in a ball a time not after the last one, and before it by less than $2^{-100}$."""
    if isinstance(domain, Box):
        low, high = Fraction(domain.low), Fraction(domain.high)
        return min(((high if d > 0 else low) - c) / d for c, d in zip(x, direction, strict=True) if d)
    a, b = _dot(direction, direction), _dot(x, direction)
    square = b * b + a * _room(domain, x)
    scaled = square * 4**_ROOT
    root = Fraction(math.isqrt(scaled.numerator // scaled.denominator), 2**_ROOT)
    return max(Fraction(0), (root - b) / a)
