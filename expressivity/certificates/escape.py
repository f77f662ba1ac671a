"""Escape paths: polylines along which a network of width at most n is constant and which leave the domain."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.fibres import rounding
from expressivity.measures import AbstractDomain
from expressivity.norms import scalar_network
from expressivity.relu.evaluate import evaluate
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "escape path")
_SINGULAR = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """A polyline along which a network is constant.

    Args:
        points: Its corners, shape (k, n): the starting point first, a point of the boundary of the domain last.
        value: The value of the network there.
    """

    points: Float[np.ndarray, "k n"]
    value: float

    def sample(self, count: int) -> Float[np.ndarray, "points n"]:
        """`count` points on every segment, corners among them."""
        steps = np.linspace(0.0, 1.0, max(2, count))[:, None]
        pieces = [(1 - steps) * a + steps * b for a, b in zip(self.points[:-1], self.points[1:], strict=True)]
        return np.concatenate(pieces) if pieces else self.points


@dataclasses.dataclass(frozen=True, eq=False)
class _Prefix:
    """While all units of the first layers are active, layer l is the affine map B x + c (up to a positive factor)."""

    matrix: np.ndarray
    offset: np.ndarray
    kernel: np.ndarray | None  # a unit vector that the matrix sends to 0, if it is singular


def escape_path(network: ReLUNetwork, point: Any, domain: AbstractDomain) -> Path:
    r"""A path from `point` to the boundary of the domain along which the network is constant.

    The network has one output and width at most n, the input dimension, which is at least 2. Let l be the first layer
    whose affine map $B_l x + c_l$ (all earlier units being active) is singular or has a unit i that is not active at
    x. The path moves along the kernel of $B_l$, or along $-B_l^{-1} e_i$, which keeps all other units of the layer as
    they are; where all are regular and active, inside the level set of the affine output. When it meets a face of an
    earlier layer it goes on along that layer's direction, so it has at most hidden layers + 1 segments.

    Args:
        network: The network.
        point: Where to start, shape (n,), inside the domain.
        domain: A `Box` or a `Ball`.

    Returns:
        Corners and value. In exact arithmetic the network is constant along the path; in float64 it deviates by
        rounding.

    Raises:
        ValueError: If the network is too wide, n is 1, there are several outputs, or the point is of the wrong shape or
            outside.

    >>> import expressivity as ex, numpy as np
    >>> net = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> ex.certificates.escape_path(net, [-0.5, 0.3], ex.Box(2)).points.tolist()
    [[-0.5, 0.3], [-1.0, 0.3]]
    """
    n = network.input_dim
    if network.output_dim != 1:
        raise ValueError(f"An escape path is for a network with one output; this one has {network.output_dim}.")
    if n < 2:
        raise ValueError(
            "An escape path needs an input dimension of at least 2; networks of width 1 on R are monotone."
        )
    if network.width > n:
        raise ValueError(f"Networks of width at most n = {n} have an escape path; this one has width {network.width}.")
    if domain.dim != n:
        raise ValueError(f"The network reads {n} numbers, but the domain {domain.name} has dimension {domain.dim}.")
    x = np.asarray(point, dtype=np.float64)
    if x.shape != (n,) or not np.all(np.isfinite(x)):
        raise ValueError(f"A starting point has shape ({n},) and finite coordinates; got {point!r}.")
    if not domain.contains(x):
        raise ValueError(f"The starting point {x.tolist()} lies outside {domain.name}.")
    value = _value(network, x)
    prefixes = _prefixes(network, n)
    corners = [x]
    layer, direction = _first_obstacle(network, prefixes, x)
    while True:
        time, hit = math.inf, None
        for number, prefix in enumerate(prefixes[:layer]):
            speed = prefix.matrix @ direction
            height = np.maximum(0.0, prefix.matrix @ x + prefix.offset)
            falling = speed < -1e-14 * np.linalg.norm(prefix.matrix)
            times = np.where(falling, height / np.where(falling, -speed, 1.0), math.inf)
            if times.min() < time:
                time, hit = float(times.min()), (number, int(times.argmin()))
        leave = domain.exit_time(x, direction)
        if hit is None or time >= leave:
            corners.append(domain.project(x + leave * direction))
            return Path(np.array(corners), value)
        if time > 0:
            x = domain.project(x + time * direction)
            corners.append(x)
        layer, unit = hit
        direction = _away(prefixes[layer].matrix, unit)


def _value(network: ReLUNetwork, x: np.ndarray) -> float:
    """The network at one point, in NumPy: nothing is compiled."""
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        x = np.maximum(np.asarray(w, dtype=np.float64) @ x + b, 0.0)
    return float((np.asarray(weight, dtype=np.float64) @ x + bias)[0])


def _prefixes(network: ReLUNetwork, n: int) -> list[_Prefix]:
    """The affine maps up to and including the first singular one; layers narrower than n are padded with zero rows."""
    found: list[_Prefix] = []
    matrix, offset, scale = np.eye(n), np.zeros(n), 1.0
    for weight, bias in list(network.layers)[:-1]:
        weight, bias = np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64)
        matrix, offset = weight @ matrix[: weight.shape[1]], weight @ offset[: weight.shape[1]] + scale * bias
        missing = n - len(matrix)
        matrix, offset = np.pad(matrix, ((0, missing), (0, 0))), np.pad(offset, (0, missing))
        size = max(np.abs(matrix).max(), np.abs(offset).max())
        if size > 0:
            matrix, offset, scale = matrix / size, offset / size, scale / size
        _, singular, rows = np.linalg.svd(matrix)
        kernel = rows[-1] if singular[-1] <= _SINGULAR * singular[0] else None
        found.append(_Prefix(matrix, offset, kernel))
        if kernel is not None:
            break
    return found


def _first_obstacle(network: ReLUNetwork, prefixes: list[_Prefix], x: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of layers that have to stay active, and the direction along which the output does not change."""
    for number, prefix in enumerate(prefixes):
        if prefix.kernel is not None:
            return number, prefix.kernel
        height = prefix.matrix @ x + prefix.offset
        if height.min() <= 0:
            return number, _away(prefix.matrix, int(height.argmin()))
    output = np.asarray(list(network.layers)[-1][0], dtype=np.float64)
    slope = output @ prefixes[-1].matrix if prefixes else output
    return len(prefixes), np.linalg.svd(slope)[2][-1]


def _away(matrix: np.ndarray, unit: int) -> np.ndarray:
    """The unit vector along $-B^{-1} e_i$."""
    direction = -np.linalg.solve(matrix, np.eye(len(matrix))[unit])
    return direction / np.linalg.norm(direction)


def path(network: Any, target: Target, start: Any) -> Certificate:
    r"""A lower bound of the sup error of this network of width at most n, from its escape path.

    $\|f - F\|_{\sup} \ge \tfrac12(\max f - \min f - \max F + \min F)$ over sampled points of the path from `start` to
    the boundary of the domain. F is constant there in exact arithmetic; what rounding leaves of its oscillation is
    measured and taken off.

    Args:
        network: A `ReLUNetwork` or `Construction` with one output and width at most n.
        target: On a `Box` or a `Ball`.
        start: The starting point, shape (n,).

    Raises:
        TypeError: If `network` is neither.
        ValueError: As for `escape_path`, or if the measure has no bounded domain.

    >>> import expressivity as ex
    >>> net = ex.relu.gadgets.random_network(2, (2, 2, 2), seed=1)
    >>> round(ex.certificates.path(net, ex.targets.norm_squared(ex.Ball(2)), [0.0, 0.0]).value, 12)
    0.5
    """
    network = scalar_network(network, target)
    if not isinstance(target.measure, AbstractDomain):
        raise ValueError(f"The path certificate needs a target on a Box or a Ball; got {target.measure.name}.")
    route = escape_path(network, start, target.measure)
    points = target.measure.project(route.sample(129))
    points = np.concatenate(
        [points, np.repeat(points[-1:], -len(points) % 1024, axis=0)]
    )  # few shapes, few compilations
    values, outputs = target.values(points), evaluate(network, points)[:, 0]
    deviation = float(outputs.max() - outputs.min())
    value = max(0.0, 0.5 * (float(values.max() - values.min()) - rounding(values) - deviation))
    notes = (
        f"{len(route.points) - 1} segments, 129 points on each; the network's measured oscillation along them, "
        f"{deviation:.3g}, is taken off",
    )
    if target.lipschitz is None:
        notes += ("the sampled values of the target are taken for essential values, as for continuous functions",)
    return Certificate(value, "sup", NetworkClass(this=True), _THEOREM, notes)


def best_path(network: Any, target: Target, starts: Any = None) -> Certificate:
    """The largest of the bounds `path` gives over many starting points.

    Args:
        network: A `ReLUNetwork` or `Construction` with one output and width at most n.
        target: On a `Box` or a `Ball`.
        starts: Starting points, shape (k, n); by default the centre and a grid of about 60 points.

    Raises:
        TypeError, ValueError: As for `path`, or if there is no starting point.

    >>> import expressivity as ex
    >>> net = ex.relu.gadgets.random_network(2, (2, 2), seed=1)
    >>> bool(ex.certificates.best_path(net, ex.targets.cosine_norm(ex.Ball(2))).value >= 1 - 1e-9)
    True
    """
    if starts is None:
        if not isinstance(target.measure, AbstractDomain):
            raise ValueError(f"The path certificate needs a target on a Box or a Ball; got {target.measure.name}.")
        low, high = target.measure.box
        per_axis = max(2, round(60 ** (1 / target.dim)))
        axes = [a + (b - a) * (np.arange(per_axis) + 0.5) / per_axis for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, target.dim)
        starts = np.concatenate([target.measure.center[None], grid[target.measure.contains(grid)]])
    starts = np.asarray(starts, dtype=np.float64)
    if starts.ndim != 2 or not len(starts):
        raise ValueError(f"Starting points have shape (k, {target.dim}) with k of at least 1; got {starts.shape}.")
    return max((path(network, target, start) for start in starts), key=lambda certificate: certificate.value)
