"""Exact views of a network: its value at a rational point and its affine pieces along a segment.

A float is a rational number, so a network with float weights maps rational points to rational values. Vectors are kept
as integers over one common denominator, which costs far less than a fraction per entry.
"""

import math
import numbers
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from expressivity.relu.network import ReLUNetwork, is_traced

Vector = tuple[tuple[int, ...], int]
"""Numerators and their positive common denominator."""

Row = tuple[tuple[tuple[int, int], ...], int]
"""Pairs (column, numerator) of the nonzero weights, and the numerator of the bias."""


class Pieces(NamedTuple):
    r"""The affine pieces of $t \mapsto F((1 - t)\,\mathrm{start} + t\,\mathrm{end})$ on $[0, 1]$, in rationals.

    A network with one output has a number in every place of `slopes` and `values`; one with several outputs has a tuple
    of numbers, and a breakpoint is where any of the outputs changes its slope.

    Args:
        breakpoints: The parameters strictly between 0 and 1 at which the slope changes, increasing; k of them.
        slopes: The derivative with respect to t on each of the k + 1 pieces.
        values: The values at 0, at the breakpoints and at 1; k + 2 of them.
    """

    breakpoints: tuple[Fraction, ...]
    slopes: tuple[Any, ...]
    values: tuple[Any, ...]

    @property
    def pieces(self) -> int:
        """The number of pieces, k + 1."""
        return len(self.slopes)


def evaluate_exactly(network: ReLUNetwork, point: Any) -> tuple[Fraction, ...]:
    r"""The value $F(x)$ in rational arithmetic: one fraction an output.

    The numbers grow by the digits of the weights in every layer, so the cost is quadratic in the depth where weights
    are generic; kept registers cost nothing.

    Args:
        network: Its weights are taken as the rational numbers that the floats are.
        point: n numbers: fractions, integers or finite floats (Python's or NumPy's).

    Raises:
        ValueError: If the point does not have n coordinates, or one of them is NaN or infinite.
        TypeError: If a coordinate is not a real number, or the network is traced by JAX.

    >>> from fractions import Fraction
    >>> import expressivity as ex
    >>> ex.relu.evaluate_exactly(ex.identity(1, depth=3), [Fraction(-1, 3)])
    (Fraction(-1, 3),)
    """
    vector = _vector(_rational_point(network, point))
    for rows, scale, last in _rational_layers(network):
        vector = _affine(rows, scale, vector)
        if not last:
            vector = _relu(vector)
    numerators, denominator = vector
    return tuple(Fraction(n, denominator) for n in numerators)


def pieces(network: ReLUNetwork, start: Any, end: Any) -> Pieces:
    r"""The affine pieces of the network along the segment from `start` to `end`, exactly.

    Breakpoints are pushed through layer by layer: on every piece found so far each unit is affine, so its zero is a
    quotient of rationals. Neighbouring pieces of equal slope are merged, so the network of a linear function has one.

    Args:
        network: Its weights are taken as the rational numbers that the floats are.
        start: n numbers: fractions, integers or finite floats.
        end: As `start`, and not the same point.

    Raises:
        ValueError: If a point does not have n coordinates, a coordinate is NaN or infinite, or the points are equal.
        TypeError: If a coordinate is not a real number, or the network is traced by JAX.

    >>> import expressivity as ex
    >>> hat = ex.ReLUNetwork.from_layers([([[2.0], [4.0]], [0.0, -2.0]), ([[1.0, -1.0]], [0.0])])
    >>> ex.relu.pieces(hat @ hat, [0], [1]).breakpoints
    (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    >>> ex.relu.pieces(hat, [0], [1]).slopes
    (Fraction(2, 1), Fraction(-2, 1))
    """
    first, second = _rational_point(network, start), _rational_point(network, end)
    if first == second:
        raise ValueError(f"A segment needs two different ends; got {tuple(map(str, first))} twice.")
    knots: list[tuple[Fraction, Vector]] = [(Fraction(0), _vector(first)), (Fraction(1), _vector(second))]
    for rows, scale, last in _rational_layers(network):
        knots = [(t, _affine(rows, scale, v)) for t, v in knots]
        if not last:
            knots = [(t, _relu(v)) for t, v in _with_zeros(knots)]
        knots = _merged(knots)
    scalar = network.output_dim == 1
    values = [tuple(Fraction(n, v[1]) for n in v[0]) for _, v in knots]
    slopes = [
        tuple((y1 - y0) / (t1 - t0) for y0, y1 in zip(before, after, strict=True))
        for (t0, before), (t1, after) in pairwise((t, value) for (t, _), value in zip(knots, values, strict=True))
    ]
    return Pieces(
        tuple(t for t, _ in knots[1:-1]),
        tuple(s[0] if scalar else s for s in slopes),
        tuple(v[0] if scalar else v for v in values),
    )


def _with_zeros(knots: Sequence[tuple[Fraction, Vector]]) -> list[tuple[Fraction, Vector]]:
    """The same knots and, between them, every point at which some unit changes its sign."""
    found = [knots[0]]
    for (t0, (a, p)), (t1, (b, q)) in pairwise(knots):
        zeros = {
            Fraction(abs(x) * q, abs(x) * q + abs(y) * p)
            for x, y in zip(a, b, strict=True)
            if (x < 0 < y) or (y < 0 < x)
        }
        for zero in sorted(zeros):
            found.append((t0 + zero * (t1 - t0), _between((a, p), (b, q), zero)))
        found.append((t1, (b, q)))
    return found


def _between(first: Vector, second: Vector, weight: Fraction) -> Vector:
    """(1 - weight) * first + weight * second."""
    (a, p), (b, q) = first, second
    left, right = (weight.denominator - weight.numerator) * q, weight.numerator * p
    return _reduced([x * left + y * right for x, y in zip(a, b, strict=True)], p * q * weight.denominator)


def _merged(knots: Sequence[tuple[Fraction, Vector]]) -> list[tuple[Fraction, Vector]]:
    """The knots without those in which every entry goes straight on."""
    kept = [knots[0]]
    for knot, after in pairwise(knots[1:]):
        weight = (knot[0] - kept[-1][0]) / (after[0] - kept[-1][0])
        if _between(kept[-1][1], after[1], weight) != knot[1]:
            kept.append(knot)
    kept.append(knots[-1])
    return kept


def _rational_point(network: ReLUNetwork, point: Any) -> tuple[Fraction, ...]:
    entries = list(point) if isinstance(point, Iterable) and not isinstance(point, str) else [point]
    if len(entries) != network.input_dim:
        raise ValueError(f"This network reads points of {network.input_dim} numbers; got {len(entries)}: {point!r}.")
    return tuple(_rational(entry) for entry in entries)


def _rational(number: Any) -> Fraction:
    if hasattr(number, "item") and np.ndim(number) == 0 and not is_traced(number):
        number = number.item()
    if not isinstance(number, numbers.Real) or isinstance(number, bool):
        raise TypeError(f"A coordinate is a fraction, an integer or a float; got {number!r}.")
    if isinstance(number, numbers.Rational):
        return Fraction(number)
    if not math.isfinite(number):
        raise ValueError(f"A coordinate is NaN or infinite: {number!r}.")
    return Fraction(float(number))


def _rational_layers(network: ReLUNetwork) -> Iterable[tuple[list[Row], int, bool]]:
    """For each layer its rows over one common denominator, that denominator, and whether it is the last one."""
    if any(is_traced(leaf) for block in network.blocks for leaf in (block.weight, block.bias)):
        raise TypeError("Rational arithmetic needs the values of the weights; inside jit or grad they are not known.")
    layers = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in network.layers]
    for number, (weight, bias) in enumerate(layers, start=1):
        ratios = [[(j, *x.as_integer_ratio()) for j, x in enumerate(row) if x] for row in weight.tolist()]
        offsets = [x.as_integer_ratio() for x in bias.tolist()]
        # the denominators of floats are powers of two: the largest one is common to all
        scale = max([d for row in ratios for _, _, d in row] + [d for _, d in offsets], default=1)
        rows = [
            (tuple((j, n * (scale // d)) for j, n, d in row), n0 * (scale // d0))
            for row, (n0, d0) in zip(ratios, offsets, strict=True)
        ]
        yield rows, scale, number == len(layers)


def _vector(point: Sequence[Fraction]) -> Vector:
    denominator = math.lcm(*(x.denominator for x in point))
    return tuple(x.numerator * (denominator // x.denominator) for x in point), denominator


def _affine(rows: Sequence[Row], scale: int, vector: Vector) -> Vector:
    entries, denominator = vector
    numerators = [sum(n * entries[j] for j, n in row) + offset * denominator for row, offset in rows]
    return _reduced(numerators, denominator * scale)


def _relu(vector: Vector) -> Vector:
    return _reduced([max(n, 0) for n in vector[0]], vector[1])


def _reduced(numerators: Sequence[int], denominator: int) -> Vector:
    common = math.gcd(denominator, *numerators)
    return tuple(n // common for n in numerators), denominator // common
