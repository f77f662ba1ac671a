"""Quadrature along the fibres x + K of a subspace K, and distances to the functions that are constant on them."""

import dataclasses
import functools
import math

import numpy as np
import scipy.special
from jaxtyping import Float

from expressivity.measures import AbstractDomain, AbstractMeasure, Ball, Box, sphere_rule
from expressivity.target import Target

CHUNK = 1 << 15


@dataclasses.dataclass(frozen=True, eq=False)
class Fibres:
    r"""A rule for $\int g\,d\mu = \sum_s \mathrm{outer}_s \sum_t \mathrm{inner}_{st}\, g(x_{st})$, fibre by fibre.

    Args:
        points: Shape (fibres, nodes, n); the nodes of one fibre differ by vectors of K.
        inner: Shape (fibres, nodes): a probability on each fibre.
        outer: Shape (fibres,): the probability of the fibres.
    """

    points: Float[np.ndarray, "fibres nodes n"]
    inner: Float[np.ndarray, "fibres nodes"]
    outer: Float[np.ndarray, " fibres"]


def domain_of(measure: AbstractMeasure, what: str) -> AbstractDomain:
    """The measure, if it is uniform on a box or a ball.

    Raises:
        ValueError: If not.
    """
    if not isinstance(measure, Box | Ball):
        raise ValueError(f"{what} needs a target on an expressivity.Box or expressivity.Ball; got {measure.name}.")
    return measure


def complement(basis: np.ndarray) -> np.ndarray:
    """An orthonormal basis, as columns, of the orthogonal complement of the columns of `basis` (n, m)."""
    n, m = basis.shape
    if m == 0:
        return np.eye(n)
    return np.linalg.svd(basis, full_matrices=True)[0][:, m:]


def fibres(domain: AbstractDomain, basis: Float[np.ndarray, "n m"], order: int, equal: bool = False) -> Fibres:
    r"""The rule of a given order for the subspace spanned by the orthonormal columns of `basis`.

    On a ball, and on a box for lines, it is exact for polynomials: of degree `2 * order - 1` along the fibre, and for
    what their means along fibres give across. On a box hyperplanes are integrated in polar coordinates around a point
    of the section, which converges algebraically.

    Args:
        domain: A `Box` or a `Ball`.
        basis: Orthonormal columns; none gives points as fibres, n the whole domain as one fibre.
        order: Points an axis.
        equal: Whether nodes along lines carry equal weights (midpoint rule, for medians) and not those of Gauss.

    Raises:
        ValueError: If the domain is a box and K has a dimension m with 1 < m < n - 1.
    """
    n, m = basis.shape
    if m in (0, n):
        points, weights = domain.quadrature(order)
        if m == 0:
            return Fibres(points[:, None], np.ones((len(points), 1)), weights)
        return Fibres(points[None], weights[None], np.ones(1))
    if isinstance(domain, Ball):
        return _ball(domain, basis, order, equal)
    if m == 1:
        return _box_lines(domain, basis[:, 0], order, equal)
    if m == n - 1:
        return _box_hyperplanes(domain, basis, order)
    raise ValueError(f"On a box fibres of dimension 1 and n - 1 = {n - 1} are integrated, not of dimension {m}.")


@functools.lru_cache(maxsize=64)
def _gauss(order: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(order)


@functools.lru_cache(maxsize=64)
def _cube_rule(dim: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _gauss(order)
    grid = np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), -1).reshape(-1, dim)
    return grid, functools.reduce(np.multiply.outer, [weights] * dim).reshape(-1)


@functools.lru_cache(maxsize=64)
def _polar_rules(m: int, order: int) -> tuple[np.ndarray, ...]:
    """Directions in R^m with weights, and radial nodes in [-1, 1] with weights."""
    if m == 1:
        directions, angular = np.array([[1.0], [-1.0]]), np.full(2, 0.5)
    else:
        directions, angular = sphere_rule(m, 3 * order if m == 2 else order + 1)
    return directions, angular, *scipy.special.roots_jacobi(max(2, order // 2), 0.0, m - 1.0)


def _line_rule(order: int, equal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [-1, 1] with weights that sum to 1."""
    if equal:
        count = 4 * order
        return (2 * np.arange(count) + 1) / count - 1, np.full(count, 1 / count)
    nodes, weights = _gauss(order)
    return nodes, weights / weights.sum()


@functools.lru_cache(maxsize=64)
def _ball_rules(n: int, m: int, order: int, equal: bool) -> tuple[np.ndarray, ...]:
    """Across: points (S, n - m) of the unit ball and weights; along: points (T, m) of the unit ball and weights."""
    k = n - m
    if k == 1:
        z, outer = scipy.special.roots_jacobi(order, m / 2, m / 2)
        across = z[:, None]
    else:
        # with u = |s|^2 the density of the foot point is proportional to u^(k/2 - 1) (1 - u)^(m/2)
        z, w = scipy.special.roots_jacobi(order, m / 2, k / 2 - 1)
        directions, angular = sphere_rule(k, order)
        across = (np.sqrt((1 + z) / 2)[:, None, None] * directions).reshape(-1, k)
        outer = np.multiply.outer(w, angular).reshape(-1)
    if m == 1:
        nodes, inner = _line_rule(order, equal)
        along = nodes[:, None]
    else:
        along, inner = Ball(m).quadrature(order)
    return across, outer / outer.sum(), along, inner


def _ball(domain: Ball, basis: np.ndarray, order: int, equal: bool) -> Fibres:
    n, m = basis.shape
    across, outer, along, inner = _ball_rules(n, m, order, equal)
    half = np.sqrt(np.maximum(0.0, 1 - (across**2).sum(1)))
    feet = across @ complement(basis).T
    points = domain.radius * (feet[:, None] + half[:, None, None] * (along @ basis.T)[None])
    return Fibres(points, np.broadcast_to(inner, points.shape[:2]), outer)


def _box_lines(domain: AbstractDomain, v: np.ndarray, order: int, equal: bool) -> Fibres:
    r"""Chords along v by the faces through which they enter and leave $[-1, 1]^n$.

    With $z_k = \operatorname{sign}(v_k) y_k$ a chord enters through a face $z_i = -1$ and leaves through the face j
    whose time $(1 - z_j)/|v_j|$ is least. For each pair (i, j) the entry points form a region over which the other
    coordinates run through intervals with ends linear in $z_j$, so Gauss rules are exact for polynomials. Chords have
    measure $|v_i|\,dz$ times their length.
    """
    n = len(v)
    grid, product = _cube_rule(n - 1, order)
    size, largest = np.abs(v), np.abs(v).max()
    sign = np.where(v < 0, -1.0, 1.0)
    starts, lengths, masses = [], [], []
    for i in range(n):
        others = [k for k in range(n) if k != i]
        for j in range(n):
            z = np.empty((len(grid), n))
            z[:, i] = -1.0
            mass = size[i] * product
            if j == i:
                time = np.full(len(grid), 2 / size[i] if size[i] > 0 else 0.0)
                top = lambda k, time=time: 1 - time * size[k]  # noqa: E731
            else:
                low = 1 - 2 * size[j] / largest
                z[:, j] = low + (1 - low) * (grid[:, others.index(j)] + 1) / 2
                mass = mass * (1 - low) / 2
                time = (1 - z[:, j]) / size[j] if size[j] > 0 else np.zeros(len(grid))
                top = lambda k, time=time: 1 - time * size[k]  # noqa: E731
            for position, k in enumerate(others):
                if k != j:
                    width = np.maximum(0.0, top(k) + 1)
                    z[:, k] = -1 + width * (grid[:, position] + 1) / 2
                    mass = mass * width / 2
            starts.append(z)
            lengths.append(time)
            masses.append(mass * time)
    z, length, outer = np.concatenate(starts), np.concatenate(lengths), np.concatenate(masses)
    along, inner = _line_rule(order, equal)
    unit = z[:, None] + (length[:, None] * (along + 1) / 2)[:, :, None] * size
    half = (domain.box[1] - domain.box[0]) / 2
    points = domain.center + half * np.clip(sign * unit, -1.0, 1.0)
    return Fibres(points, np.broadcast_to(inner, points.shape[:2]), outer / outer.sum())


def _box_hyperplanes(domain: AbstractDomain, basis: np.ndarray, order: int) -> Fibres:
    n, m = basis.shape
    normal = complement(basis)[:, 0]
    corners = np.abs(np.unique(np.round(_signs(n) @ np.abs(normal), 12)))
    ends = np.unique(np.concatenate([-corners, corners]))
    nodes, weights = _gauss(order)
    widths = np.diff(ends)
    levels = ((ends[:-1] + ends[1:])[:, None] / 2 + widths[:, None] / 2 * nodes).reshape(-1)
    across = (widths[:, None] / 2 * weights).reshape(-1)
    directions, angular, radial, radial_weights = _polar_rules(m, order)
    feet = levels[:, None] / np.abs(normal).sum() * np.where(normal < 0, -1.0, 1.0)
    lines = directions @ basis.T
    with np.errstate(divide="ignore"):
        reach = (np.sign(lines)[None] - feet[:, None]) / np.where(lines == 0, 1.0, lines)[None]
        reach = np.where(lines[None] == 0, np.inf, reach).min(2)
    reach = np.maximum(reach, 0.0)
    distance = reach[:, :, None] * (1 + radial) / 2
    points = feet[:, None, None] + distance[..., None] * lines[None, :, None]
    mass = (angular * reach**m)[:, :, None] * (radial_weights / radial_weights.sum())
    mass = mass.reshape(len(levels), -1)
    volume = mass.sum(1)
    outer = across * volume
    inner = mass / np.where(volume > 0, volume, 1.0)[:, None]
    half = (domain.box[1] - domain.box[0]) / 2
    points = domain.center + half * np.clip(points, -1.0, 1.0)
    return Fibres(points.reshape(len(levels), -1, n), inner, outer / outer.sum())


def _signs(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[[-1.0, 1.0]] * n, indexing="ij"), -1).reshape(-1, n)


def values_on(target: Target, points: np.ndarray) -> np.ndarray:
    """Values of the target at points of any leading shape, evaluated in chunks of few sizes: few compilations."""
    flat = points.reshape(-1, points.shape[-1])
    out = np.empty(len(flat))
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK]
        size = min(CHUNK, max(256, 1 << (len(part) - 1).bit_length()))
        padded = np.concatenate([part, np.broadcast_to(part[-1], (size - len(part), part.shape[1]))])
        out[start : start + len(part)] = target.values(padded)[: len(part)]
    return out.reshape(points.shape[:-1])


def spread(values: Float[np.ndarray, "fibres nodes"], rule: Fibres, norm: str) -> float:
    r"""Distance to functions constant on fibres: $E\operatorname{Var}(f|s)$ (its square), or $E|f - \mathrm{med}|$."""
    if norm == "L2":
        mean = (rule.inner * values).sum(1, keepdims=True)
        return float(rule.outer @ (rule.inner * (values - mean) ** 2).sum(1))
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, 1)
    mass = np.take_along_axis(rule.inner, order, 1)
    middle = np.minimum((np.cumsum(mass, 1) < 0.5 * mass.sum(1, keepdims=True)).sum(1), ranked.shape[1] - 1)
    median = np.take_along_axis(ranked, middle[:, None], 1)
    return float(rule.outer @ (mass * np.abs(ranked - median)).sum(1))


def oscillation(target: Target, domain: AbstractDomain, basis: np.ndarray, bases: np.ndarray, nodes: int) -> float:
    """The largest difference of two sampled values of the target on one fibre, less what rounding can feign.

    The fibres are those through the points `bases` (k, n); each is sampled along lines through its point.
    """
    n, m = basis.shape
    lines = basis.T if m == 1 else np.concatenate([np.eye(m), sphere_rule(m, 4)[0]]) @ basis.T
    forward, backward = reach(domain, bases, lines), reach(domain, bases, -lines)
    steps = np.linspace(0.0, 1.0, nodes)
    times = -backward[..., None] + (forward + backward)[..., None] * steps
    points = bases[:, None, None] + times[..., None] * lines[None, :, None]
    points = np.concatenate([points.reshape(len(bases), -1, n), bases[:, None]], 1)
    values = values_on(target, domain.project(points))
    return max(0.0, float((values.max(1) - values.min(1)).max()) - rounding(values))


def rounding(values: np.ndarray) -> float:
    """By how much two equal values of a target may differ in float64: 64 units in the last place of the largest.

    >>> rounding(np.array([1.0, -2.0])) == 64 * 2.0**-51
    True
    """
    return 64 * float(np.spacing(np.abs(values).max(initial=0.0)))


def reach(domain: AbstractDomain, points: np.ndarray, lines: np.ndarray) -> Float[np.ndarray, "points lines"]:
    """The largest t with x + t v in the domain, for every pair of a point and a unit vector."""
    if isinstance(domain, Ball):
        inner = points @ lines.T
        gap = domain.radius**2 - (points**2).sum(1, keepdims=True)
        return np.maximum(0.0, -inner + np.sqrt(np.maximum(0.0, inner**2 + gap)))
    low, high = domain.box
    end = np.where(lines > 0, high, low)
    flat = lines == 0
    times = (end[None] - points[:, None]) / np.where(flat, 1.0, lines)[None]
    return np.maximum(0.0, np.where(flat[None], math.inf, times).min(2))
