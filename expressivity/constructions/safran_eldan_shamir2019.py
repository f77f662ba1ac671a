r"""Safran, Eldan and Shamir (2019): one hidden layer for radial functions at constant accuracy, by averages of ridges.

$|x|^{2j} = E_u \langle u, x\rangle^{2j}/\kappa_{j,d}$ for u uniform on the sphere, so
$\sum_j a_j|x|^{2j} = E_u \psi(\langle u, x\rangle)$ with $\psi(s) = \sum_j a_j s^{2j}/\kappa_{j,d}$. The mean over a
design of directions is exact, and $\psi$ is replaced by its piecewise-linear interpolant.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.measures import Ball, checked_dim, sphere_rule
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target


def kappa(j: int, d: int) -> float:
    r"""$\kappa_{j,d} = E\,u_1^{2j} = \Gamma(d/2)\Gamma(j + 1/2)/(\sqrt\pi\,\Gamma(j + d/2))$ on the sphere $S^{d-1}$.

    Raises:
        ValueError: If j is negative or d below 1.

    >>> kappa(1, 5), kappa(2, 2)
    (0.2, 0.375)
    """
    d = checked_dim(d)
    if isinstance(j, bool) or j != int(j) or j < 0:
        raise ValueError(f"A power j is a whole number of at least 0; got {j}.")
    value = 1.0
    for i in range(int(j)):
        value *= (i + 0.5) / (i + d / 2)
    return value


def ridge_design(d: int, count: int, *, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    r"""Directions u and weights for which $\sum w_i \langle u_i, x\rangle^{2j} = \kappa_{j,d}|x|^{2j}$.

    In the plane `count` equispaced directions on a half circle: exact for all j <= count - 1, not for j = count. Above,
    without a seed, a product rule that is exact for j < `count`, with `count`^(d-1) directions; with a seed `count`
    independent uniform directions of equal weight, exact in the mean alone.

    Args:
        d: Dimension, at least 2.
        count: Directions in the plane or with a seed; else the order of the rule.
        seed: For independent directions.

    Returns:
        Directions of shape (k, d) and weights of shape (k,), positive, of sum 1.

    Raises:
        ValueError: If d is below 2 or `count` below 1.

    >>> directions, weights = ridge_design(2, 5)
    >>> x = np.array([0.3, 1.1])
    >>> round(float(weights @ (directions @ x) ** 8) / kappa(4, 2), 10)
    2.8561
    """
    if checked_dim(d) < 2 or count < 1:
        raise ValueError(f"A design has directions in at least 2 dimensions, at least 1 of them; got d={d}, {count}.")
    if seed is not None:
        g = np.random.default_rng(seed).standard_normal((count, d))
        return g / np.linalg.norm(g, axis=1, keepdims=True), np.full(count, 1 / count)
    if d == 2:
        angles = np.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], 1), np.full(count, 1 / count)
    points, weights = sphere_rule(d, count)
    # the rule is symmetric and the powers are even: one of u and -u is enough
    key = np.round(points * np.where(_leading_sign(points)[:, None], 1.0, -1.0), 12)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return points[first], np.bincount(inverse.reshape(-1), weights)


def approximate(coefficients: Any, d: int, *, knots: int) -> Construction:
    r"""$\sum_j a_j|x|^{2j}$ on the unit ball by one hidden layer: a mean of interpolated ridge functions.

    The design is exact, so the error is that of the interpolants: at most $\sup_{|s|\le1}|\psi''|\,(2/m)^2/8$, with the
    supremum bounded by the sum of the absolute coefficients.

    Args:
        coefficients: a_0, a_1, ..., a_J.
        d: Dimension, at least 2.
        knots: m, cells of the interpolant on [-1, 1]. The width is m - 1, or m and one for the outer slope, times the
            number of directions.

    Returns:
        A `Construction` in the sup norm on `Ball(d)`, with one hidden layer.

    Raises:
        ValueError: If there are no coefficients, or a number is out of its range.

    >>> made = approximate([0.0, 1.0], 2, knots=20)
    >>> made.network.hidden_layers, round(made.error_bound, 6)
    (1, 0.005)
    """
    a = np.asarray(coefficients, dtype=np.float64)
    if a.ndim != 1 or not len(a) or not np.all(np.isfinite(a)):
        raise ValueError(f"A polynomial has at least one finite coefficient; got {coefficients}.")
    if isinstance(knots, bool) or knots != int(knots) or knots < 1:
        raise ValueError(f"An interpolant has at least 1 cell; got knots={knots}.")
    directions, weights = ridge_design(d, len(a))
    ridge = a / np.array([kappa(j, d) for j in range(len(a))])
    s = np.linspace(-1.0, 1.0, int(knots) + 1)
    psi = np.polynomial.polynomial.polyval(s**2, ridge)
    slopes = np.diff(psi) / np.diff(s)
    # psi(-1) + slope (s + 1) + sum of jumps at the inner knots; s + 1 >= 0 on the ball, as a unit
    knot, jump = s[:-1], np.concatenate([slopes[:1], np.diff(slopes)])
    first = np.repeat(directions, len(knot), axis=0)
    network = ReLUNetwork.from_layers(
        [(first, np.tile(-knot, len(directions))), (np.outer(weights, jump).reshape(1, -1), psi[:1])]
    )
    powers = np.arange(len(a))
    curvature = float(np.sum(np.abs(ridge) * 2 * powers * np.abs(2 * powers - 1)))
    target = Target(
        lambda x: jnp.polyval(jnp.asarray(a[::-1]), jnp.sum(x**2)),
        Ball(d),
        lipschitz=float(np.sum(2 * powers * np.abs(a))),
        name=f"radial_polynomial_{len(a) - 1}",
    )
    return Construction(
        network=network,
        target=target,
        theorem=theorems.find("expressivity", "ridge average"),
        error_bound=curvature * (2 / knots) ** 2 / 8,
        norm="sup",
        width_bound=len(directions) * int(knots),
    )


def bernstein(function: Any, degree: int) -> np.ndarray:
    r"""Coefficients $a_0, \dots, a_N$ of the Bernstein polynomial of $z \mapsto f(\sqrt z)$, for `approximate`.

    For f with Lipschitz constant L it is within $\frac54 L N^{-1/4}$ of $f(|x|)$ on the unit ball.

    Args:
        function: f, of arrays of radii in [0, 1].
        degree: N, between 1 and 40; above, the coefficients cancel in float64.

    Raises:
        ValueError: If the degree is out of its range.

    >>> bernstein(lambda r: r**2, 3).round(12).tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    if not 1 <= degree <= 40:
        raise ValueError(f"The degree of the polynomial is between 1 and 40; got {degree}.")
    values = np.asarray(function(np.sqrt(np.arange(degree + 1) / degree)), dtype=np.float64)
    differences, table = [values[0]], values
    for _ in range(degree):
        table = np.diff(table)
        differences.append(table[0])
    return np.array([math.comb(degree, j) * differences[j] for j in range(degree + 1)])


def _leading_sign(points: np.ndarray) -> np.ndarray:
    """Whether the first coordinate that is not 0 (to rounding) is positive."""
    large = np.abs(points) > 1e-12
    first = large.argmax(1)
    return points[np.arange(len(points)), first] > 0
