"""Floors for networks whose hidden layers all have width 1: monotone functions of one linear form."""

import functools
import math

import numpy as np
from jaxtyping import Float

from expressivity.certificates import directions
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.constant_directions import active_directions, spread_of_constant
from expressivity.certificates.fibres import Fibres, domain_of, fibres, rounding, values_on
from expressivity.certificates.quadratic import isotropic_factor
from expressivity.measures import AbstractDomain, Ball
from expressivity.norms import checked_norm
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "isotonic ridge")
_FINE = {1: 2000, 2: 200, 3: 24, 4: 8}
_FINE_BALL = {1: 2000, 2: 400, 3: 48, 4: 16}
_SEARCH = {1: 200, 2: 24, 3: 8, 4: 3}
# Shares of the value for constants (sup: of the value): cover the last step of the direction search.
_SLACK = {"L2": 1e-7, "L1": 1e-4, "sup": 1e-4}
# First step, in radians, of the search by the finest rule.
_POLISH = 0.03
_LEVELS = {"search": 64, "fine": 512}


def pool(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    r"""The nondecreasing sequence g that minimises $\sum_i w_i (g_i - y_i)^2$ (pool adjacent violators).

    Args:
        values: The y.
        weights: The w, positive.

    >>> pool(np.array([1.0, 3.0, 2.0]), np.ones(3)).tolist()
    [1.0, 2.5, 2.5]
    """
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for y, w in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, count = y, w, 1
        while means and means[-1] >= mean:
            total = masses[-1] + mass
            mean = (means.pop() * masses.pop() + mean * mass) / total
            mass, count = total, count + counts.pop()
        means.append(mean)
        masses.append(mass)
        counts.append(count)
    return np.repeat(means, counts)


@functools.lru_cache(maxsize=128)
def isotonic(target: Target, norm: str = "L2") -> Certificate:
    r"""A lower bound for every network whose hidden layers all have width 1, of any depth.

    Such a network is $g(w \cdot x)$ with g monotone. For fixed w the least error of those is found exactly on a
    quadrature rule: with $y(s) = E[f|w \cdot x = s]$ in L2 as $E\operatorname{Var}(f|s)$ plus the error of isotonic
    regression of y; in L1 as the integral over levels c of the least mass on the wrong side of a cut,
    $\int \min_k P(f > c, s \le k) + P(f \le c, s > k)\,dc$; in the sup norm as half the largest drop
    $f(x) - f(y)$, $w \cdot x \le w \cdot y$. The minimum over w is found numerically.

    Raises:
        ValueError: If norm, measure or dimension are not covered.

    >>> import expressivity as ex
    >>> certificate = isotonic(ex.targets.norm_squared(ex.Ball(2)))
    >>> round(certificate.value**2 * 12, 4)  # as a share of the variance, 1/12
    0.8709
    """
    checked_norm(norm)
    domain = domain_of(target.measure, "The isotonic certificate")
    n = target.dim
    if n not in _FINE:
        raise ValueError(f"The isotonic certificate is computed up to dimension {max(_FINE)}; got {n}.")
    against = NetworkClass(width=1)
    symmetric = isotropic_factor(target) is not None and isinstance(domain, Ball)
    notes: list[str] = []
    w = np.eye(n)[0]
    fine = (_FINE_BALL if isinstance(domain, Ball) else _FINE)[n]

    def cost(vectors: np.ndarray, order: int = _SEARCH[n], levels: int = _LEVELS["search"]) -> np.ndarray:
        if vectors is directions.starting_directions(n):
            samples = _starting_samples(target, order)
        else:
            samples = _samples(target, [_rule(domain, v, order) for v in vectors])
        return np.array([_either(values, rule, norm, levels) for values, rule in samples])

    def finest(vectors: np.ndarray) -> np.ndarray:
        return np.concatenate([cost(v[None], fine, _LEVELS["fine"]) for v in vectors])

    if not symmetric and n > 1:
        w, _ = directions.least(cost, n, extra=active_directions(target, domain), keep=4, tolerance=1e-3)
        w, _ = directions.polish(finest, w, step=_POLISH, tolerance=1e-5)
        starts = len(directions.starting_directions(n))
        notes.append(
            f"the minimum over directions was found numerically: {starts} starts over the half sphere, pattern search "
            "from the best 4, and from the best of them by the finest rule"
        )
    orders = (fine, 3 * fine // 4, fine // 2) if norm != "sup" else (fine,)
    found = [float(cost(w[None], order, _LEVELS["fine"])[0]) for order in orders]
    value, slack = found[0], 0.0 if symmetric or n == 1 else _SLACK[norm]
    if norm == "sup":
        # of the range, not of the value: what a direction missed by the last step feigns does not shrink with the value
        margin = slack * float(np.ptp(values_on(target, domain.quadrature(_SEARCH[n])[0])))
        notes.append(f"sampled drops are never above the true ones; {margin:.3g} is taken off for the search")
    else:
        change = 2 * max(abs(found[0] - f) for f in found[1:])
        margin = change + slack * spread_of_constant(target, domain, norm)
        what = "the squared distance" if norm == "L2" else "the distance"
        notes.append(f"quadrature of order {fine}; a margin of {margin:.3g} for it and the search is taken off {what}")
    value = max(0.0, value - margin)
    return Certificate(math.sqrt(value) if norm == "L2" else value, norm, against, _THEOREM, tuple(notes))


def _samples(target: Target, rules: list[tuple[Fibres, np.ndarray]]) -> list[tuple[np.ndarray, Fibres]]:
    values = values_on(target, np.concatenate([rule.points.reshape(-1, target.dim) for rule, _ in rules]))
    parts = np.split(values, np.cumsum([rule.inner.size for rule, _ in rules])[:-1])
    return [(part.reshape(rule.inner.shape), rule) for part, (rule, _) in zip(parts, rules, strict=True)]


@functools.lru_cache(maxsize=2)
def _starting_samples(target: Target, order: int) -> list[tuple[np.ndarray, Fibres]]:
    """Values on the fibres of the starting directions, which all norms share."""
    return _samples(target, _starting_rules(target.measure, order))  # pyright: ignore[reportArgumentType]


@functools.lru_cache(maxsize=2)
def _starting_rules(domain: AbstractDomain, order: int) -> list[tuple[Fibres, np.ndarray]]:
    return [_rule(domain, v, order) for v in directions.starting_directions(domain.dim)]


def _rule(domain: AbstractDomain, w: np.ndarray, order: int) -> tuple[Fibres, np.ndarray]:
    """Fibres of w . x in increasing order, and their levels."""
    if domain.dim == 1:
        rule = fibres(domain, np.zeros((1, 0)), order)
    else:
        rule = fibres(domain, np.linalg.svd(w[:, None])[0][:, 1:], order)
    level = rule.points[:, 0] @ w
    order_of = np.argsort(level, kind="stable")
    return Fibres(rule.points[order_of], rule.inner[order_of], rule.outer[order_of]), level[order_of]


def _either(values: np.ndarray, rule: Fibres, norm: str, levels: int) -> float:
    """The least error of an increasing or a decreasing function of the level."""
    weighted = rule.outer > 0
    values, inner, outer = values[weighted], rule.inner[weighted], rule.outer[weighted]
    error = {"L2": _l2, "L1": _l1, "sup": _sup}[norm]
    return min(error(values, inner, outer, levels), error(values[::-1], inner[::-1], outer[::-1], levels))


def _l2(values: np.ndarray, inner: np.ndarray, outer: np.ndarray, levels: int) -> float:
    mean = (inner * values).sum(1)
    within = float(outer @ (inner * (values - mean[:, None]) ** 2).sum(1))
    return within + float(outer @ (pool(mean, outer) - mean) ** 2)


def _l1(values: np.ndarray, inner: np.ndarray, outer: np.ndarray, levels: int) -> float:
    low, high = float(values.min()), float(values.max())
    cuts = low + (high - low) * (np.arange(levels) + 0.5) / levels
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, 1)
    mass = np.concatenate([np.zeros((len(values), 1)), np.cumsum(np.take_along_axis(inner, order, 1), 1)], 1)
    below = np.stack([m[np.searchsorted(r, cuts, side="right")] for r, m in zip(ranked, mass, strict=True)])
    below *= outer[:, None]
    above = outer[:, None] * mass[:, -1:] - below
    zero = np.zeros((1, levels))
    wrong = np.concatenate([zero, np.cumsum(above, 0)]) + np.concatenate([np.cumsum(below[::-1], 0)[::-1], zero])
    return (high - low) * float(wrong.min(0).mean())


def _sup(values: np.ndarray, inner: np.ndarray, outer: np.ndarray, levels: int) -> float:
    highest_before = np.maximum.accumulate(values.max(1))
    return 0.5 * max(0.0, float((highest_before - values.min(1)).max()) - rounding(values))
