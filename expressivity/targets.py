"""Targets by name: the functions whose width theorems and experiments ask for."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from expressivity.measures import AbstractDomain, AbstractMeasure, Ball, Box, Points
from expressivity.relu.gadgets import random_network as _random_network
from expressivity.relu.network import ReLUNetwork
from expressivity.target import QUADRATURE_ORDERS
from expressivity.target import Quadratic as Quadratic
from expressivity.target import Target as Target


def _dim(measure: AbstractMeasure) -> int:
    if not isinstance(measure, AbstractMeasure):
        raise TypeError(f"A target needs a measure such as expressivity.Ball(2); got {measure!r}.")
    return measure.dim


def _radius(measure: AbstractMeasure) -> float:
    """The largest |x| on the support."""
    if isinstance(measure, Ball):
        return measure.radius
    if isinstance(measure, Box):
        return max(abs(measure.low), abs(measure.high)) * math.sqrt(_dim(measure))
    return math.inf


def _lipschitz(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _needs(measure: AbstractMeasure, dim: int, what: str) -> None:
    if _dim(measure) < dim:
        raise ValueError(f"{what} needs at least {dim} dimensions; the measure has {_dim(measure)}.")


def norm_squared(measure: AbstractMeasure) -> Target:
    r"""$f(x) = |x|^2$.

    >>> import expressivity as ex
    >>> ex.targets.norm_squared(ex.Ball(2)).lipschitz
    2.0
    """
    n = _dim(measure)
    return Target(
        lambda x: jnp.sum(x**2),
        measure,
        lipschitz=_lipschitz(2 * _radius(measure)),
        name="norm_squared",
        radial=True,
        quadratic=Quadratic(np.eye(n), np.zeros(n), 0.0),
    )


def product(measure: AbstractMeasure) -> Target:
    r"""$f(x) = x_1 x_2$; constant along no direction of the plane, nearest to it along the diagonals.

    >>> import expressivity as ex
    >>> float(ex.targets.product(ex.Box(2)).values([[0.5, -1.0]])[0])
    -0.5
    """
    _needs(measure, 2, "The product x1 * x2")
    n = _dim(measure)
    matrix = np.zeros((n, n))
    matrix[0, 1] = matrix[1, 0] = 0.5
    largest = math.sqrt(2) * max(abs(measure.low), abs(measure.high)) if isinstance(measure, Box) else _radius(measure)
    return Target(
        lambda x: x[0] * x[1],
        measure,
        lipschitz=_lipschitz(largest),
        name="product",
        quadratic=Quadratic(matrix, np.zeros(n), 0.0),
    )


def cosine_norm(measure: AbstractMeasure) -> Target:
    r"""$f(x) = \cos(2\pi|x|)$, a wave around the origin; the gradient at 0 is 0.

    >>> import expressivity as ex
    >>> float(ex.targets.cosine_norm(ex.Ball(2)).values([[0.0, 0.5]])[0])
    -1.0
    """

    def function(x: Any) -> Any:
        squared = jnp.sum(x**2)
        # the inner `where` keeps the gradient of the square root finite at the origin
        return jnp.where(squared > 0, jnp.cos(2 * jnp.pi * jnp.sqrt(jnp.where(squared > 0, squared, 1.0))), 1.0)

    witness = None
    if isinstance(measure, AbstractDomain):
        boundary = measure.boundary(256)
        outside = boundary[np.any(boundary != 0, axis=1)]
        halves = 0.5 * outside / np.linalg.norm(outside, axis=1, keepdims=True)
        witness = np.concatenate([np.zeros((1, _dim(measure))), measure.center[None], boundary, halves])
        witness = witness[measure.contains(witness)]
    return Target(function, measure, lipschitz=2 * math.pi, name="cosine_norm", witness=witness, radial=True)


def ball_indicator(measure: AbstractMeasure, radius: float | None = None) -> Target:
    r"""$f(x) = 1$ for $|x| \le \mathrm{radius}$ and 0 elsewhere: not continuous, so only L1 and L2 can become small.

    Args:
        measure: The measure.
        radius: By default $1/\sqrt 2$.

    Raises:
        ValueError: If the radius is not positive and finite.

    >>> import expressivity as ex
    >>> ex.targets.ball_indicator(ex.Ball(2)).values([[0.5, 0.0], [0.5, 0.6]]).tolist()
    [1.0, 0.0]
    """
    radius = math.sqrt(0.5) if radius is None else float(radius)
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"The radius of the ball indicator is positive and finite, not {radius}.")

    def oscillation(lower: Points, upper: Points) -> np.ndarray:
        if isinstance(measure, Box):  # the projection of a box is the box of the projected corners
            lower, upper = measure.project(lower), measure.project(upper)
        limit = measure.radius if isinstance(measure, Ball) else math.inf
        nearest = np.linalg.norm(np.clip(0.0, lower, upper), axis=1)
        farthest = np.linalg.norm(np.maximum(np.abs(lower), np.abs(upper)), axis=1)
        return ((np.minimum(nearest, limit) <= radius) & (np.minimum(farthest, limit) > radius)).astype(np.float64)

    return Target(
        lambda x: jnp.where(jnp.sum(x**2) <= radius**2, 1.0, 0.0),
        measure,
        name="ball_indicator",
        oscillation=oscillation,
        radial=True,
    )


def ridge(measure: AbstractMeasure, direction: Sequence[float] | None = None) -> Target:
    r"""$f(x) = \min(\max(2\, w \cdot x, -1), 1)$ for a unit vector w: the negative control.

    It is constant along n - 1 directions and monotone along w, and a network of width 1 with two hidden layers equals
    it (`network`), $f(x) = 1 - \sigma(2 - \sigma(2\, w \cdot x + 1))$. So every width succeeds, and a floor at any of
    them would be an error.

    Args:
        measure: The measure.
        direction: w, normalised here; by default $(1, \dots, 1)/\sqrt n$.

    Raises:
        ValueError: If the direction has the wrong length or is zero.

    >>> import expressivity as ex
    >>> target = ex.targets.ridge(ex.Box(1))
    >>> target.values([[0.25], [-0.75]]).tolist(), target.network.width
    ([0.5, -1.0], 1)
    """
    w = np.ones(_dim(measure)) if direction is None else np.asarray(direction, dtype=np.float64)
    if w.shape != (_dim(measure),) or not 0 < np.linalg.norm(w) < math.inf:
        raise ValueError(f"A ridge direction is a nonzero vector of {_dim(measure)} numbers; got {direction!r}.")
    w = w / np.linalg.norm(w)
    one = np.ones((1, 1))
    network = ReLUNetwork.from_layers([(2 * w[None], [1.0]), (-one, [2.0]), (-one, [1.0])])
    return Target(
        lambda x: jnp.clip(2 * jnp.sum(w * x), -1.0, 1.0), measure, lipschitz=2.0, name="ridge", network=network
    )


def parabola_ridge(measure: AbstractMeasure) -> Target:
    r"""$f(x) = x_1 + x_2^2$; the direction along which it is nearest to constant is no axis.

    >>> import expressivity as ex
    >>> float(ex.targets.parabola_ridge(ex.Box(2)).values([[0.5, -1.0]])[0])
    1.5
    """
    _needs(measure, 2, "The function x1 + x2^2")
    n = _dim(measure)
    matrix, slope = np.zeros((n, n)), np.zeros(n)
    matrix[1, 1], slope[0] = 1.0, 1.0
    largest = max(abs(measure.low), abs(measure.high)) if isinstance(measure, Box) else _radius(measure)
    return Target(
        lambda x: x[0] + x[1] ** 2,
        measure,
        lipschitz=_lipschitz(math.sqrt(1 + 4 * largest**2)),
        name="parabola_ridge",
        quadratic=Quadratic(matrix, slope, 0.0),
    )


def random_network(measure: AbstractMeasure, k: int = 3, seed: int = 0) -> Target:
    r"""A random network of width $2k^2$ with two hidden layers, shifted and scaled to mean 0 and variance 1.

    Weights are i.i.d. $\mathcal N(0, 1)$ and biases uniform on $[-1, 1)$, the law of the experiments of Lu et al.
    (2017). The Lipschitz constant given is the product of the spectral norms.

    Raises:
        ValueError: If `k` is below 1.

    >>> import expressivity as ex
    >>> ex.targets.random_network(ex.Box(2), k=3).network.width
    18
    """
    if k < 1:
        raise ValueError(f"A wide target has k of at least 1; got {k}.")
    raw = _random_network(_dim(measure), (2 * k * k, 2 * k * k), seed)
    points, weights = measure.quadrature(QUADRATURE_ORDERS.get(_dim(measure), 6))
    values = _forward(raw, points)
    mean = float(weights @ values)
    deviation = math.sqrt(float(weights @ (values - mean) ** 2))
    *hidden, (weight, bias) = raw.layers
    network = ReLUNetwork.from_layers([*hidden, (weight / deviation, (bias - mean) / deviation)])
    lipschitz = math.prod(float(np.linalg.norm(w, 2)) for w, _ in network.layers)
    return Target(
        lambda x: network(x)[0], measure, lipschitz=lipschitz, name=f"random_network_{k}_{seed}", network=network
    )


def _forward(network: ReLUNetwork, points: Points) -> np.ndarray:
    h = points
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return (h @ weight.T + bias)[:, 0]


def max_affine(
    measure: AbstractMeasure, slopes: Any = None, offsets: Any = None, *, count: int = 8, seed: int = 0
) -> Target:
    r"""$f(x) = \max_i (a_i \cdot x + b_i)$: exact at width n + 1 with N - 1 hidden layers.

    Args:
        measure: The measure.
        slopes: The $a_i$, shape (N, n). By default `count` tangent planes of $|x|^2$ at random points of the measure.
        offsets: The $b_i$, shape (N,).
        count, seed: Number and randomness of the default.

    Raises:
        ValueError: If shapes do not fit, or only one of `slopes` and `offsets` is given.

    >>> import expressivity as ex
    >>> hat = ex.targets.max_affine(ex.Box(1), [[1.0], [-1.0]], [0.0, 0.0])
    >>> hat.values([[-0.25]]).tolist(), hat.lipschitz
    ([0.25], 1.0)
    """
    if (slopes is None) != (offsets is None):
        raise ValueError("A maximum of affine functions needs slopes and offsets, or neither for the default.")
    if slopes is None:
        rng = np.random.default_rng(seed)
        scale = _radius(measure) if isinstance(measure, AbstractDomain) else 1.0
        direction = rng.standard_normal((count, _dim(measure)))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        points = scale * rng.uniform(0.2, 0.9, (count, 1)) * direction
        slopes, offsets = 2 * points, -(points**2).sum(1)
    a, b = np.asarray(slopes, dtype=np.float64), np.asarray(offsets, dtype=np.float64)
    if a.ndim != 2 or a.shape[1] != _dim(measure) or b.shape != a.shape[:1] or not len(a):
        raise ValueError(
            f"A maximum of N affine functions needs slopes (N, {_dim(measure)}) and offsets (N,); got {a.shape} and "
            f"{b.shape}."
        )
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        raise ValueError(f"Slopes and offsets are finite; got {a.tolist()} and {b.tolist()}.")
    return Target(
        lambda x: jnp.max(jnp.sum(a * x[None], axis=1) + b),
        measure,
        lipschitz=float(np.linalg.norm(a, axis=1).max()),
        name="max_affine",
    )
