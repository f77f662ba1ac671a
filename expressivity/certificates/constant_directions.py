"""Floors from constant directions: what a first layer cannot see, the network cannot follow."""

import functools
import math
from typing import Any

import numpy as np

from expressivity.certificates import directions, quadratic
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.fibres import Fibres, domain_of, fibres, oscillation, spread, values_on
from expressivity.measures import AbstractDomain, Ball, Box
from expressivity.norms import checked_norm, scalar_network
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "constant directions")
_ZERO, _UNCLEAR = 1e-10, 1e-6
_LINE_ORDERS = {1: 200, 2: 48, 3: 14, 4: 7, 5: 5}
_PLANE_ORDERS = {3: 12, 4: 8}
# Medians have kinks: finer rules for the last evaluation in L1, where no dimension is too high for _LINE_ORDERS.
_MEDIAN_ORDERS = {1: 400, 2: 160, 3: 20, 4: 8}
# Of the variance (L2) or the mean deviation (L1): covers the last step of a direction search and rounding.
_SLACK = {"L2": 1e-9, "L1": 1e-6}


def kernel(network: Any, target: Target, norm: str = "L2") -> Certificate:
    r"""A lower bound of the error of this network from the kernel K of its first layer.

    The network is constant on every $x + K$, hence
    $\|f - F\|_2^2 \ge E\operatorname{Var}(f|x + K)$, $\|f - F\|_1 \ge E|f - \operatorname{med}(f|x + K)|$ and
    $\|f - F\|_{\sup} \ge \tfrac12 \sup_x \operatorname{osc}(f|x + K)$. For L2, quadratic targets on a ball are
    computed in closed form; other integrals are quadratures along K, less a margin for their error that
    `assumptions` state.

    Args:
        network: A `ReLUNetwork` or `Construction` with one output.
        target: On a `Box` or a `Ball`.
        norm: "L1", "L2" or "sup".

    Raises:
        TypeError: If `network` is neither.
        ValueError: If dimensions do not fit, the norm is unknown, or the measure is not covered.

    >>> import expressivity as ex
    >>> net = ex.ReLUNetwork.from_layers([([[0.6, 0.8]], [0.0]), ([[1.0]], [0.0])])
    >>> round(ex.certificates.kernel(net, ex.targets.norm_squared(ex.Ball(2))).value ** 2, 12)
    0.055555555556
    """
    checked_norm(norm)
    network = scalar_network(network, target)
    domain_of(target.measure, "The kernel certificate")
    against = NetworkClass(this=True)
    weight = np.asarray(next(iter(network.layers))[0], dtype=np.float64)
    _, singular, rows = np.linalg.svd(weight, full_matrices=True)
    largest = singular.max()
    unclear = (singular > _ZERO * largest) & (singular <= _UNCLEAR * largest)
    if np.any(unclear):
        ratio = singular[unclear].min() / largest
        reason = (
            f"no bound: a singular value of the first layer is {ratio:.2g} of the largest, between {_ZERO:g} and "
            f"{_UNCLEAR:g}, so its kernel is not certain"
        )
        return Certificate(0.0, norm, against, _THEOREM, (reason,))
    rank = int((singular > _ZERO * largest).sum())
    if rank == network.input_dim:
        return Certificate(0.0, norm, against, _THEOREM, ("no bound: the first layer has no kernel",))
    value, assumptions = subspace_distance(target, rows[rank:].T, norm)
    if rank < len(singular):
        assumptions = (*assumptions, f"singular values up to {_ZERO:g} of the largest count as 0")
    return Certificate(value, norm, against, _THEOREM, assumptions)


def subspace_distance(target: Target, basis: np.ndarray, norm: str = "L2") -> tuple[float, tuple[str, ...]]:
    """A lower bound of the distance of the target to all functions constant along a subspace.

    Args:
        target: On a `Box` or a `Ball`.
        basis: Linearly independent columns that span the subspace, shape (n, m).
        norm: "L1", "L2" or "sup".

    Returns:
        The bound, and what it rests on; nothing for closed forms.

    Raises:
        ValueError: If the basis has another shape or dependent columns, or norm or measure are not covered.

    >>> import expressivity as ex, numpy as np
    >>> target = ex.targets.product(ex.Box(2))
    >>> round(subspace_distance(target, np.array([[1.0], [1.0]]))[0] ** 2, 9)
    0.02962963
    """
    checked_norm(norm)
    domain = domain_of(target.measure, "The distance to functions constant along a subspace")
    basis = _orthonormal(basis, target.dim)
    n, m = basis.shape
    if m == 0:
        return 0.0, ("no bound: the subspace is 0",)
    if norm == "L2" and target.quadratic is not None and isinstance(domain, Ball):
        return math.sqrt(max(0.0, quadratic.subspace_squared(target.quadratic, domain, basis))), ()
    if norm == "sup":
        bases = _base_points(target, domain, 17 if n <= 2 else 5)
        return 0.5 * oscillation(target, domain, basis, bases, 129), _sup_assumptions(target)
    if isinstance(domain, Box) and 1 < m < n - 1:
        lines = [subspace_distance(target, column[:, None], norm) for column in basis.T]
        value, assumptions = max(lines, key=lambda pair: pair[0])
        return value, (*assumptions, f"only lines in the kernel of dimension {m} are used")
    value, margin, orders = _quadratures(target, domain, basis, norm)
    return _rooted(value, margin, norm), (_quadrature_text(orders, margin, norm),)


def _orthonormal(basis: np.ndarray, n: int) -> np.ndarray:
    basis = np.asarray(basis, dtype=np.float64)
    if basis.ndim != 2 or basis.shape[0] != n or basis.shape[1] > n:
        raise ValueError(f"A subspace of R^{n} is spanned by the columns of a matrix ({n}, m); got {basis.shape}.")
    if basis.shape[1] and not np.linalg.matrix_rank(basis) == basis.shape[1]:
        raise ValueError(f"The {basis.shape[1]} columns that span the subspace are linearly dependent.")
    return np.linalg.qr(basis)[0]


def order_for(n: int, m: int, on_box: bool) -> int:
    """Points an axis of the finest rule along fibres of dimension m.

    Raises:
        ValueError: If the dimension is too high for quadrature.
    """
    table = _PLANE_ORDERS if on_box and 1 < m < n else _LINE_ORDERS
    if n not in table:
        raise ValueError(
            f"Certificates by quadrature reach dimension {max(table)}; got {n}. Closed forms for quadratic targets on "
            "balls have no such limit."
        )
    return table[n]


def _quadratures(target: Target, domain: AbstractDomain, basis: np.ndarray, norm: str) -> tuple[float, float, tuple]:
    """The finest value, a margin from two coarser rules, and the orders."""
    orders = _orders(domain, basis, norm)
    found = [_by_order(target, domain, basis, norm, order) for order in orders]
    return found[0], 2 * max(abs(found[0] - found[1]), abs(found[0] - found[2])) + 1e-14 * abs(found[0]), orders


def _orders(domain: AbstractDomain, basis: np.ndarray, norm: str) -> tuple[int, int, int]:
    n, m = basis.shape
    fine = order_for(n, m, isinstance(domain, Box))
    fine = max(fine, _MEDIAN_ORDERS.get(n, 0)) if norm == "L1" else fine
    return fine, max(2, 3 * fine // 4), max(2, fine // 2)


def _by_order(target: Target, domain: AbstractDomain, basis: np.ndarray, norm: str, order: int) -> float:
    rule = fibres(domain, basis, order, equal=norm == "L1")
    return spread(values_on(target, rule.points), rule, norm)


def _rooted(value: float, margin: float, norm: str) -> float:
    value = max(0.0, value - margin)
    return math.sqrt(value) if norm == "L2" else value


def _quadrature_text(orders: tuple, margin: float, norm: str) -> str:
    what = "the squared distance" if norm == "L2" else "the distance"
    return (
        f"quadrature of order {orders[0]}; a margin of {margin:.3g}, twice the largest difference to orders "
        f"{orders[1]} and {orders[2]}, is taken off {what}"
    )


def _sup_assumptions(target: Target) -> tuple[str, ...]:
    if target.lipschitz is not None:
        return ()
    return ("the sampled values of the target are taken for essential values, as for continuous functions",)


def _base_points(target: Target, domain: AbstractDomain, per_axis: int) -> np.ndarray:
    low, high = domain.box
    axes = [np.linspace(a, b, per_axis) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, domain.dim)
    return np.concatenate([domain.center[None], grid[domain.contains(grid)]])


@functools.lru_cache(maxsize=256)
def first_layer(target: Target, width: int, norm: str = "L2") -> Certificate:
    r"""A lower bound for every network whose first hidden layer has at most `width` units, whatever follows.

    Such a network is constant along a subspace of dimension $m \ge n - \mathrm{width}$; the bound is the least
    distance of the target to functions constant along one. Closed forms: $|x|^2$ on a ball (all norms) and on a cube
    (sup); quadratic polynomials on a ball in L2 (`quadratic.universal_squared`, exact for m = 1 and slope 0).
    Otherwise the least distance over all lines (m = 1) or all hyperplanes (m = n - 1) is found numerically, and
    `assumptions` say how. `width >= n` gives 0. For layers that are all of width 1,
    [`floor`](#expressivity.certificates.floor) knows more.

    Raises:
        TypeError: If `width` is not a whole number.
        ValueError: If `width` is below 1, the norm is unknown, or measure or dimension are not covered.

    >>> import expressivity as ex
    >>> target = ex.targets.norm_squared(ex.Ball(10))
    >>> round(ex.certificates.first_layer(target, 9).value ** 2 / (4 * 10 / (12**2 * 14)), 9)  # share of the variance
    0.4
    """
    checked_norm(norm)
    domain = domain_of(target.measure, "The certificate from the first layer's width")
    width = checked_width(width)
    n, against = target.dim, NetworkClass(first_width=width)
    if width >= n:
        reason = f"no bound: a first layer of {width} units can see all {n} dimensions"
        return Certificate(0.0, norm, against, _THEOREM, (reason,))
    m = n - width
    factor = quadratic.isotropic_factor(target)
    closed = None if factor is None else quadratic.isotropic(domain, factor, m, norm)
    if closed is not None:
        return Certificate(closed, norm, against, _THEOREM)
    if norm == "L2" and target.quadratic is not None and isinstance(domain, Ball):
        value = math.sqrt(quadratic.universal_squared(target.quadratic, domain, m))
        return Certificate(value, norm, against, _THEOREM)
    value, assumptions = _least_distance(target, domain, m, norm)
    return Certificate(value, norm, against, _THEOREM, assumptions)


def checked_width(width: Any) -> int:
    """`width` as an int of at least 1."""
    if isinstance(width, bool) or not hasattr(width, "__index__"):
        raise TypeError(f"A width is a whole number of units, not {width!r}.")
    if width < 1:
        raise ValueError(f"A width is at least 1, not {width}.")
    return int(width)


def _least_distance(target: Target, domain: AbstractDomain, m: int, norm: str) -> tuple[float, tuple[str, ...]]:
    n = target.dim
    notes: list[str] = []
    if 1 < m < n - 1:
        notes.append(f"only lines in the kernel of dimension {m} are used")
        m = 1
    span = (lambda v: v[:, None]) if m == 1 else _normal_plane
    starts = len(directions.starting_directions(n))
    search = (
        f"the minimum over {'directions' if m == 1 else 'hyperplanes'} was found numerically: {starts} starts over the "
        "half sphere, pattern search from the best 6, to the end from the best 2 of them"
    )
    if norm == "sup":
        bases = _base_points(target, domain, 9 if n <= 2 else 5)

        def highest(vectors: np.ndarray) -> np.ndarray:
            return np.array([oscillation(target, domain, span(v), bases, 17) for v in vectors])

        v, _ = directions.least(highest, n, extra=active_directions(target, domain), tolerance=1e-5)
        points, _ = domain.quadrature({1: 200, 2: 32, 3: 10}.get(n, 5))
        off = 1e-4 * float(np.ptp(target.values(points)))
        value = max(0.0, 0.5 * oscillation(target, domain, span(v), bases, 17) - off)
        return value, (*notes, search, f"{off:.3g} is taken off for the search", *_sup_assumptions(target))
    coarse = max(3, order_for(n, m, isinstance(domain, Box)) // (3 if norm == "L1" and n > 2 else 2))

    def distance(vectors: np.ndarray) -> np.ndarray:
        if vectors is directions.starting_directions(n):
            return _spreads(target, _starting_rules(domain, m, coarse, norm == "L1"), norm)
        return _spreads(target, [fibres(domain, span(v), coarse, equal=norm == "L1") for v in vectors], norm)

    def finest(vectors: np.ndarray) -> np.ndarray:
        return np.array([_by_order(target, domain, span(v), norm, _orders(domain, span(v), norm)[0]) for v in vectors])

    v, _ = directions.least(distance, n, extra=active_directions(target, domain), tolerance=1e-4)
    v, _ = directions.polish(finest, v, step=0.01, tolerance=1e-7 if n == 2 else 1e-6)
    value, margin, orders = _quadratures(target, domain, span(v), norm)
    whole = spread_of_constant(target, domain, norm)
    margin += _SLACK[norm] * whole
    return _rooted(value, margin, norm), (*notes, search, _quadrature_text(orders, margin, norm))


@functools.lru_cache(maxsize=256)
def active_directions(target: Target, domain: AbstractDomain) -> np.ndarray:
    """`directions.active` for the gradients of the target on its domain."""
    points, _ = domain.quadrature({1: 100, 2: 24, 3: 8, 4: 5}.get(target.dim, 3))
    return directions.active(target.gradients(points))


@functools.lru_cache(maxsize=4)
def _starting_rules(domain: AbstractDomain, m: int, order: int, equal: bool) -> list[Fibres]:
    """The rules of the starting directions, which all targets of a domain share."""
    vectors = directions.starting_directions(domain.dim)
    return [fibres(domain, v[:, None] if m == 1 else _normal_plane(v), order, equal) for v in vectors]


def _normal_plane(normal: np.ndarray) -> np.ndarray:
    return np.linalg.svd(normal[:, None])[0][:, 1:]


def _spreads(target: Target, rules: list[Fibres], norm: str) -> np.ndarray:
    step = max(1, (1 << 20) // max(r.inner.size for r in rules))
    found: list[float] = []
    for start in range(0, len(rules), step):
        batch = rules[start : start + step]
        values = values_on(target, np.concatenate([r.points.reshape(-1, target.dim) for r in batch]))
        ends = np.cumsum([r.inner.size for r in batch])[:-1]
        parts = np.split(values, ends)
        found += [spread(p.reshape(r.inner.shape), r, norm) for p, r in zip(parts, batch, strict=True)]
    return np.array(found)


@functools.lru_cache(maxsize=256)
def spread_of_constant(target: Target, domain: AbstractDomain, norm: str) -> float:
    """The distance to constants: the variance for L2, the mean deviation from the median for L1."""
    points, weights = domain.quadrature({1: 400, 2: 64, 3: 20, 4: 10}.get(target.dim, 5))
    return spread(target.values(points)[None], Fibres(points[None], weights[None], np.ones(1)), norm)
