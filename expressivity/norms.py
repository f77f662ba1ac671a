"""The error of a network against a target, with the method it was found by and an honest half-width."""

import dataclasses
import functools
import math
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from expressivity.measures import AbstractDomain, Points, gauss_legendre
from expressivity.relu.evaluate import evaluate
from expressivity.relu.network import ReLUNetwork
from expressivity.relu.segment import breakpoints
from expressivity.target import QUADRATURE_ORDERS, Target

NORMS = ("L1", "L2", "sup")
_SAMPLES = 1 << 18
_MOST_POINTS = 1 << 20
_TOLERANCE = 0.02
# Differences between three rules fall short of the error of the finest by at most this, with rare exceptions.
_SAFETY = 4.0
_NORMAL_99 = 2.5758293035489004


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A measured number: `value`, within `half_width` by `method`.

    Args:
        value: The estimate.
        half_width: Half the width of the interval in which the true number is claimed to lie. For quadrature it is
            four times the largest difference between three rules, which is an estimate and no proof: of integrands
            with kinks about 1 in 1000 lie outside, with jumps about 1 in 100. For sampling it is the 99 % half-width
            of the normal law. In the sup norm the value is a maximum over points, hence never above the true one; the
            half-width tells how much the last refinement added.
        method: How it was found.

    >>> Estimate(0.5, 0.001, "quadrature").interval
    (0.499, 0.501)
    """

    value: float
    half_width: float
    method: str

    @property
    def interval(self) -> tuple[float, float]:
        """`value - half_width` and `value + half_width`."""
        return self.value - self.half_width, self.value + self.half_width

    def __float__(self) -> float:
        return self.value


def checked_norm(norm: str) -> str:
    """`norm` itself if it is one of "L1", "L2", "sup".

    Raises:
        ValueError: If not.
    """
    if norm not in NORMS:
        raise ValueError(f"The norm is one of {', '.join(NORMS)}; got {norm!r}.")
    return norm


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """The points at which errors against one target are measured, and what the target is there.

    The points are those of a fine rule, of two coarser ones (from which the half-width comes) and the target's witness
    points, in this order; `bounds` are the ends of the four groups.
    """

    points: Points
    bounds: tuple[int, int, int, int]
    weights: tuple[np.ndarray, np.ndarray, np.ndarray]
    values: Float[np.ndarray, " points"]
    method: str

    @functools.cached_property
    def spread(self) -> Estimate:
        """Variance of the target; 0 where it is constant up to rounding."""
        ends = (0, *self.bounds)
        found = []
        for (a, b), w in zip(pairwise(ends[:4]), self.weights, strict=True):
            f = self.values[a:b]
            found.append(float(w @ (f - w @ f) ** 2))
        rounding = (16 * np.finfo(np.float64).eps * float(np.abs(self.values).max())) ** 2
        value = found[0] if found[0] > rounding else 0.0
        return Estimate(value, _SAFETY * float(np.ptp(found)) + 64 * np.finfo(np.float64).eps * value, self.method)

    @property
    def variance(self) -> float:
        """Variance of the target by the fine rule."""
        return self.spread.value

    def norms(self, outputs: Float[np.ndarray, "*nets points"], norm: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and half-widths, each of shape (*nets,), of networks whose outputs at the points are given."""
        residual = np.abs(np.asarray(outputs, dtype=np.float64) - self.values)
        ends = (0, *self.bounds)
        groups = [residual[..., a:b] for a, b in pairwise(ends)]
        if norm == "sup":
            witness = groups[3].max(-1, initial=0.0)
            coarse = np.maximum(np.maximum(groups[1].max(-1), groups[2].max(-1)), witness)
            value = np.maximum(groups[0].max(-1), coarse)
            return np.asarray(value), np.asarray(value - coarse + 4 * np.finfo(np.float64).eps * value)
        p = 1 if norm == "L1" else 2
        powers = [(g**p) @ w for g, w in zip(groups[:3], self.weights, strict=True)]
        found = np.stack([power ** (1 / p) for power in powers])
        rounding = 64 * np.finfo(np.float64).eps * found[0]
        return np.asarray(found[0]), np.asarray(_SAFETY * np.ptp(found, axis=0) + rounding)


def rule(target: Target, order: int | None = None) -> Rule:
    """The quadrature rule for a target (up to six dimensions), with `order` points an axis.

    Raises:
        ValueError: If the dimension is above six, where only sampling is feasible, or the order below 4.
    """
    order = _order(target) if order is None else order
    if order < 4:
        raise ValueError(f"A rule with a half-width needs an order of at least 4; got {order}.")
    rules = [target.measure.quadrature(m) for m in (order, max(2, 5 * order // 8 | 1), max(3, order // 2))]
    points = np.concatenate([*[p for p, _ in rules], target.witness_points])
    ends = np.cumsum([len(p) for p, _ in rules] + [len(target.witness_points)])
    weights = tuple(w for _, w in rules)
    label = f"quadrature, {len(rules[0][0])} points"
    return Rule(points, tuple(int(e) for e in ends), weights, target.values(points), label)  # type: ignore[arg-type]


def _order(target: Target) -> int:
    if target.dim not in QUADRATURE_ORDERS:
        raise ValueError(
            f"Deterministic quadrature covers up to {max(QUADRATURE_ORDERS)} dimensions; target {target.name!r} has "
            f"{target.dim}."
        )
    return QUADRATURE_ORDERS[target.dim]


@functools.lru_cache(maxsize=16)
def default_rule(target: Target) -> Rule:
    """`rule(target)`, kept for the targets used last."""
    return rule(target)


def scalar_network(network: Any, target: Target) -> ReLUNetwork:
    """The network itself, or that of a construction, checked against the target.

    Raises:
        TypeError: If it is neither.
        ValueError: If it does not read the target's points, or writes more than one number.
    """
    network = getattr(network, "network", network)
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"An error is taken of a ReLUNetwork or a Construction; got {type(network).__name__}.")
    if network.input_dim != target.dim:
        raise ValueError(
            f"The network reads {network.input_dim} numbers, but target {target.name!r} has dimension {target.dim}."
        )
    if network.output_dim != 1:
        raise ValueError(f"An error is taken of a network with one output; this one has {network.output_dim}.")
    return network


def error(network: Any, target: Target, norm: str = "L2", order: int | None = None) -> Estimate:
    r"""$\|F - f\|$ in L1, L2 or the essential supremum, against the target's probability measure.

    L2 is the norm, not squared: $\|g\|_2 = (\int |g|^2\,d\mu)^{1/2}$. On an interval by Gauss rules between the
    breakpoints of the network; up to six dimensions by deterministic quadrature, whose order is doubled while the
    half-width exceeds 2 % of the value and the rule stays below a million points; above by sampling with a fixed key.
    In the sup norm the best points are refined by a pattern search.

    Args:
        network: A `ReLUNetwork` or `Construction` with one output.
        target: The target.
        norm: "L1", "L2" or "sup".
        order: Points an axis of the rule, instead of the adaptive choice.

    Raises:
        TypeError: If `network` is neither of the two.
        ValueError: If dimensions do not fit, the norm is unknown, or a supremum is asked for on an unbounded support.

    >>> import expressivity as ex
    >>> zero = ex.ReLUNetwork.from_layers([([[0.0, 0.0]], [0.0])])
    >>> ex.error(zero, ex.targets.norm_squared(ex.Ball(2)), "L2").value  # the square root of 1/3
    0.57735...
    """
    checked_norm(norm)
    network = scalar_network(network, target)
    if norm == "sup" and not target.measure.bounded:
        raise ValueError(
            f"The measure {target.measure.name} has no bounded support; its supremum cannot be measured. Use L1 or L2."
        )
    if order is None and target.dim not in QUADRATURE_ORDERS:
        return _sampled(network, target, norm)
    if order is None and target.dim == 1 and isinstance(target.measure, AbstractDomain):
        return _between_breakpoints(network, target, norm)
    grid = default_rule(target) if order is None else rule(target, order)
    estimate = _by_rule(network, target, grid, norm)
    finer = 2 * QUADRATURE_ORDERS.get(target.dim, 0)
    while order is None and norm != "sup" and estimate.half_width > _TOLERANCE * estimate.value:
        if finer**target.dim > _MOST_POINTS:
            break
        estimate, finer = _by_rule(network, target, rule(target, finer), norm), 2 * finer
    return estimate


def _by_rule(network: ReLUNetwork, target: Target, grid: Rule, norm: str) -> Estimate:
    outputs = evaluate(network, grid.points)[:, 0]
    value, half_width = (float(v) for v in grid.norms(outputs, norm))
    if norm == "sup":
        refined = _refine(network, target, grid, np.abs(outputs - grid.values))
        return Estimate(max(value, refined), half_width + max(0.0, refined - value), f"maximum, {len(outputs)} points")
    return Estimate(value, half_width, grid.method)


def _between_breakpoints(network: ReLUNetwork, target: Target, norm: str) -> Estimate:
    """Gauss rules of two orders on the pieces of the network, cut by a uniform grid for the sake of the target."""
    low, high = (float(end[0]) for end in target.measure.box)  # type: ignore[attr-defined]
    cuts = [np.linspace(0.0, 1.0, 2049), breakpoints(network, [low], [high])]
    cuts.append((np.clip(target.witness_points[:, 0], low, high) - low) / (high - low))
    knots = np.unique(np.concatenate(cuts))
    found, largest = [], []
    for order in (8, 5):
        nodes, weights = gauss_legendre(order)
        length = np.diff(knots)
        t = knots[:-1, None] + length[:, None] * (nodes + 1) / 2
        points = (low + (high - low) * np.concatenate([t.reshape(-1), knots]))[:, None]
        residual = np.abs(evaluate(network, points)[:, 0] - target.values(points))
        largest.append(float(residual.max()))
        inner = residual[: t.size].reshape(t.shape)
        found.append(float(length @ (inner ** (2 if norm == "L2" else 1) @ weights)))
    if norm == "sup":
        top = max(largest)
        half_width = _SAFETY * (top - min(largest)) + 64 * np.finfo(np.float64).eps * top
        return Estimate(top, half_width, f"maximum, {len(knots)} knots and points between them")
    value, coarse = (math.sqrt(v) if norm == "L2" else v for v in found)
    rounding = 64 * np.finfo(np.float64).eps * value
    return Estimate(value, _SAFETY * abs(value - coarse) + rounding, f"Gauss rules on {len(knots) - 1} pieces")


def fvu(network: Any, target: Target, order: int | None = None) -> Estimate:
    r"""The fraction of variance unexplained, $\|F - f\|_2^2 / \operatorname{Var} f$: 1 for the best constant.

    Raises:
        TypeError: If `network` is neither a `ReLUNetwork` nor a `Construction`.
        ValueError: If dimensions do not fit, or the target is constant.

    >>> import expressivity as ex
    >>> mean = ex.ReLUNetwork.from_layers([([[0.0, 0.0]], [0.5])])
    >>> round(ex.fvu(mean, ex.targets.norm_squared(ex.Ball(2))).value, 9)
    1.0
    """
    l2 = error(network, target, "L2", order)
    if order is None and target.dim not in QUADRATURE_ORDERS:
        values = target.values(_sample(target))
        squares = (values - values.mean()) ** 2
        deviation = _NORMAL_99 * float(squares.std(ddof=1)) / math.sqrt(_SAMPLES)
        variance = Estimate(float(squares.mean()), deviation, l2.method)
    else:
        variance = (default_rule(target) if order is None else rule(target, order)).spread
    if not variance.value > 0:
        raise ValueError(f"Target {target.name!r} is constant on its measure; no variance is there to explain.")
    share = l2.value**2 / variance.value
    half_width = ((2 * l2.value + l2.half_width) * l2.half_width + share * variance.half_width) / variance.value
    return Estimate(share, half_width, l2.method)


def _sample(target: Target) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(target.measure.sample(jax.random.key(0), _SAMPLES))


def _sampled(network: ReLUNetwork, target: Target, norm: str) -> Estimate:
    points = _sample(target)
    residual = np.abs(evaluate(network, points)[:, 0] - target.values(points))
    label = f"sampling, {_SAMPLES} points"
    if norm == "sup":
        return Estimate(float(residual.max()), float(residual.max() - residual[::2].max()), label)
    powers = residual if norm == "L1" else residual**2
    mean, deviation = float(powers.mean()), float(powers.std(ddof=1)) / math.sqrt(_SAMPLES)
    if norm == "L1":
        return Estimate(mean, _NORMAL_99 * deviation, label)
    value = math.sqrt(mean)
    spread = _NORMAL_99 * deviation
    return Estimate(value, max(math.sqrt(mean + spread) - value, value - math.sqrt(max(0.0, mean - spread))), label)


def _refine(network: ReLUNetwork, target: Target, grid: Rule, residual: np.ndarray, starts: int = 32) -> float:
    """The largest residual that a pattern search finds from the best points of the grid, inside the support."""
    measure, n = target.measure, target.dim
    best = np.argsort(residual)[::-1][:starts]
    points, values = grid.points[best], residual[best]
    lower, upper = grid.points.min(0), grid.points.max(0)
    step = (upper - lower) / max(2.0, len(grid.points) ** (1 / n))
    moves = np.concatenate([np.eye(n), -np.eye(n), np.ones((1, n)), -np.ones((1, n))])
    project = getattr(measure, "project", lambda x: x)
    for _ in range(24):
        trial = project((points[:, None] + step * moves[None]).reshape(-1, n))
        found = np.abs(evaluate(network, trial)[:, 0] - target.values(trial)).reshape(len(points), -1)
        choice = found.argmax(1)
        top = found[np.arange(len(points)), choice]
        better = top > values
        points = np.where(better[:, None], trial.reshape(len(points), -1, n)[np.arange(len(points)), choice], points)
        values = np.where(better, top, values)
        step = np.where(better.any(), step, step / 2)
    return float(values.max())
