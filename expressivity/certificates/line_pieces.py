"""Floors from counting pieces: a network with few units has few affine pieces on every line."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.constant_directions import spread_of_constant
from expressivity.certificates.counting import pieces_bound
from expressivity.certificates.fibres import domain_of, fibres, reach, values_on
from expressivity.measures import AbstractDomain
from expressivity.norms import checked_norm
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "pieces in one dimension")
_CELLS = {1: 512}
_LINES = {2: 16, 3: 6, 4: 3, 5: 2}
_CELLS_ON_LINES = 128


def least_squares_pieces(
    values: Float[np.ndarray, "lines cells nodes"], nodes: np.ndarray, weights: np.ndarray, pieces: int
) -> Float[np.ndarray, " lines"]:
    r"""A lower bound of $\min_g \int_0^1 (f - g)^2$ over g with at most P affine pieces, jumps allowed; line by line.

    At most P - 1 of the cells contain a breakpoint; they count as 0, and dynamic programming finds the least sum of
    affine least-squares errors over the runs of cells between them. With exact moments it is a lower bound, which
    the true minimum exceeds by what P - 1 cells contribute.

    Args:
        values: f at the nodes of equal cells of [0, 1].
        nodes, weights: The rule on [0, 1] in every cell; weights sum to 1.
        pieces: P, at least 1.

    >>> import numpy as np
    >>> nodes, weights = np.array([0.1127016654, 0.5, 0.8872983346]), np.array([5, 8, 5]) / 18
    >>> x = (np.arange(300)[:, None] + nodes) / 300
    >>> bool(0.9 < least_squares_pieces(x[None] ** 2, nodes, weights, 2)[0] * 180 * 16 <= 1)
    True
    """
    lines, cells, _ = values.shape
    x = (np.arange(cells)[:, None] + nodes) / cells
    values = values - (values * weights).mean(1).sum(1)[:, None, None]
    moments = [np.ones_like(x)[None], x[None], (x**2)[None], values, x * values, values**2]
    sums = [np.concatenate([np.zeros((len(m), 1)), np.cumsum((m * weights).sum(2) / cells, 1)], 1) for m in moments]
    mass, first, second, f, xf, ff = (s[:, None, :] - s[:, :, None] for s in sums)
    safe = np.where(mass > 0, mass, 1.0)
    center = first / safe
    variance = np.maximum(second - center * first, 0.0)
    slope = np.where(variance > 1e-300, xf - center * f, 0.0)
    cost = ff - f**2 / safe - slope**2 / np.where(variance > 1e-300, variance, 1.0)
    # [a, b]: the cells a .. b - 1; runs that end before they start are not allowed
    backwards = np.tril(np.ones((cells + 1, cells + 1), dtype=bool), -1)
    cost = np.where(backwards, np.inf, np.maximum(cost, 0.0))
    best = cost[:, 0, :]
    for _ in range(pieces - 1):
        skipped = np.concatenate([np.full((lines, 1), np.inf), best[:, :-1]], 1)
        step = (np.minimum(skipped, best)[:, :, None] + cost).min(1)
        if np.array_equal(step, best):
            break
        best = np.minimum(best, step)
    return best[:, -1]


def uniform_pieces(values: Float[np.ndarray, " points"], pieces: int) -> float:
    r"""$\min_g \max_i |f(x_i) - g(x_i)|$ over g with at most P affine pieces, jumps allowed, at equidistant $x_i$.

    The error of one piece on a run is the largest $\tfrac12|f_b - \text{chord of } f_a, f_c|$ over three of its points
    (de la Vallee Poussin); runs are chosen by dynamic programming. It is a lower bound of the sup error on the
    segment, and exact on the points.

    Args:
        values: The $f(x_i)$, up to a few hundred.
        pieces: P, at least 1.

    >>> x = np.linspace(-1, 1, 201)
    >>> round(uniform_pieces(x**2, 2), 4)  # 1/(2 P^2)
    0.125
    """
    f = np.asarray(values, dtype=np.float64)
    count = len(f)
    error = np.zeros((count, count))
    for length in range(2, count):
        a = np.arange(count - length)
        inner = np.arange(1, length)
        chord = f[a, None] + (f[a + length] - f[a])[:, None] * (inner / length)
        apart = np.abs(f[a[:, None] + inner] - chord).max(1) / 2
        error[a, a + length] = np.maximum(apart, np.maximum(error[a + 1, a + length], error[a, a + length - 1]))
    error[np.tril_indices(count, -1)] = np.inf
    best = error[0]
    for _ in range(pieces - 1):
        before = np.concatenate([[0.0], best[:-1]])
        step = np.minimum(best, np.maximum(before[:, None], error).min(0))
        if np.array_equal(step, best):
            break
        best = step
    return max(0.0, float(best[-1]) - 2e-15 * float(np.abs(f).max()))


@functools.lru_cache(maxsize=1024)
def _floor(target: Target, pieces: int, norm: str) -> tuple[float, tuple[str, ...]]:
    domain = domain_of(target.measure, "The certificate from pieces")
    n = target.dim
    if n == 1:
        low, high = (float(c[0]) for c in domain.box)
        if norm == "sup":
            value = uniform_pieces(target.values(np.linspace(low, high, 257)[:, None]), pieces)
            return value, ("exact at 257 equidistant points, which is a lower bound for continuous targets",)
        starts, lengths = np.array([[low]]), np.array([high - low])
        return _least_squares(target, domain, starts, lengths, np.ones((1, 1)), np.ones(1), pieces, _CELLS[1])
    if n not in _LINES:
        raise ValueError(f"Floors from pieces on lines reach dimension {max(_LINES)}; got {n}.")
    found = []
    for line in (np.eye(n)[0], np.ones(n) / math.sqrt(n)):
        starts, lengths, outer = _parallels(domain, line, _LINES[n])
        if norm == "sup":
            longest = starts[[int(np.argmax(lengths))]]
            center_back = reach(domain, domain.center[None], -line[None])[0, 0]
            through = np.concatenate([longest, (domain.center - center_back * line)[None]])
            ends = reach(domain, through, line[None])[:, 0]
            steps = np.linspace(0.0, 1.0, 257)
            points = domain.project(through[:, None] + (ends[:, None] * steps)[..., None] * line)
            value = max(uniform_pieces(v, pieces) for v in values_on(target, points))
            found.append((value, ("exact at 257 points of lines through the domain",)))
        else:
            value, notes = _least_squares(target, domain, starts, lengths, line[None], outer, pieces, _CELLS_ON_LINES)
            fewer = _parallels(domain, line, max(1, 3 * _LINES[n] // 4))
            other, _ = _least_squares(target, domain, *fewer[:2], line[None], fewer[2], pieces, _CELLS_ON_LINES)
            across = 2 * abs(value**2 - other**2)
            note = f"{across:.3g} more for the quadrature across lines, twice the change to {len(fewer[0])} of them"
            found.append((math.sqrt(max(0.0, value**2 - across)), (*notes, note)))
    return max(found, key=lambda pair: pair[0])


def _parallels(domain: AbstractDomain, line: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starting points, lengths and probabilities of the chords along a unit vector."""
    rule = fibres(domain, line[:, None], order)
    kept = rule.outer > 0
    middle = rule.points[kept].mean(1)
    back = reach(domain, middle, -line[None])[:, 0]
    return middle - back[:, None] * line, back + reach(domain, middle, line[None])[:, 0], rule.outer[kept]


def _least_squares(
    target: Target,
    domain: AbstractDomain,
    starts: np.ndarray,
    lengths: np.ndarray,
    line: np.ndarray,
    outer: np.ndarray,
    pieces: int,
    cells: int,
) -> tuple[float, tuple[str, ...]]:
    results = []
    for order in (4, 3):
        z, w = np.polynomial.legendre.leggauss(order)
        nodes, weights = (z + 1) / 2, w / 2
        x = (np.arange(cells)[:, None] + nodes).reshape(-1) / cells
        points = domain.project(starts[:, None] + (lengths[:, None] * x)[..., None] * line[0])
        values = values_on(target, points).reshape(len(starts), cells, order)
        each = np.concatenate([least_squares_pieces(v[None], nodes, weights, pieces) for v in values])
        results.append(float(outer @ each))
    # rounding of differences of cumulated moments, and the change of the rule within cells
    rounding = 1e-14 * (cells + 16 * pieces) * spread_of_constant(target, domain, "L2")
    margin = 2 * abs(results[0] - results[1]) + rounding
    note = (
        f"{len(starts)} parallel lines of {cells} cells, of which {pieces - 1} count as 0; a margin of {margin:.3g} "
        "for quadrature in the cells and rounding is taken off the square"
    )
    return math.sqrt(max(0.0, results[0] - margin)), (note,)


def pieces_floor(target: Target, widths: Sequence[int], norm: str = "L2") -> Certificate:
    r"""A lower bound for every network with at most these hidden widths, from its pieces on lines.

    On a line such a network has at most $P = \prod_l (w_l + 1)$ affine pieces, so its error is at least that of the
    best function of P pieces, jumps allowed: on the domain itself for n = 1, averaged over the parallels to one
    direction for n > 1 in L2, and the largest over some lines in the sup norm. The directions tried are the first axis
    and the diagonal; each gives a valid bound.

    Args:
        target: On a `Box` or a `Ball`.
        widths: Units of each hidden layer, at most.
        norm: "L2" or "sup".

    Raises:
        TypeError: If a width is not whole.
        ValueError: If norm, measure or dimension are not covered, or a width is below 1.

    >>> import expressivity as ex
    >>> square = ex.targets.norm_squared(ex.Box(1))
    >>> round(ex.certificates.pieces_floor(square, (3,), "sup").value, 4)  # 1/(2 P^2)
    0.0312
    """
    checked_norm(norm)
    if norm == "L1":
        raise ValueError("Floors from pieces are computed in 'L2' and 'sup', not in 'L1'.")
    domain_of(target.measure, "The certificate from pieces")
    pieces = pieces_bound(widths)  # refuses what is no width
    widths = tuple(int(width) for width in widths)
    against = NetworkClass(hidden_widths=widths)
    most = (_CELLS[1] if target.dim == 1 else _CELLS_ON_LINES) // 2 if norm == "L2" else 128
    if pieces > most:
        reason = f"no bound: {pieces} pieces on a line are more than the {most} that are resolved"
        return Certificate(0.0, norm, against, _THEOREM, (reason,))
    value, notes = _floor(target, pieces, norm)
    return Certificate(value, norm, against, _THEOREM, (f"at most {pieces} pieces on every line", *notes))
