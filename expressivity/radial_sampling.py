"""Sampling from the radial law of Eldan and Shamir under JAX: a table of cells, and the tail by rejection."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from expressivity import radial_law as law

_CELL = 0.1  # length of a cell in t; the density oscillates with period pi


@dataclasses.dataclass(frozen=True)
class Cells:
    """A table of the law of t on [low, high]: cells of equal length with their probabilities and quintic shapes."""

    start: np.ndarray
    length: float
    cdf: np.ndarray  # conditional on the table, at the right ends
    coefficients: np.ndarray  # (cells, 5): c_1 s + ... + c_5 s^5 is the conditional distribution inside a cell
    mass: float  # probability of [low, high]
    high: float


def table_end(dim: int) -> float:
    """The t up to which the sampler uses its table; Debye's expansion is good to 1e-7 beyond."""
    return max(1.5 * dim, dim / 2 + 30.0)


@functools.lru_cache(maxsize=32)
def cells(dim: int, low: float, high: float) -> Cells:
    """The table for t in [low, high]; the conditional law is within 1e-9 of the true one.

    Raises:
        ValueError: If it would have more than a million cells.
    """
    count = max(16, math.ceil((high - low) / _CELL))
    if count > 1_000_000:
        raise ValueError(
            f"A shell from t={low:.4g} to t={high:.4g} holds {(high - low) / math.pi:.3g} oscillations of the density; "
            "the sampler's table ends at 300,000. Split the shell."
        )
    edges = np.linspace(low, high, count + 1)
    length = (high - low) / count
    z, w = np.polynomial.legendre.leggauss(12)
    nodes = edges[:-1, None] + length * (z + 1) / 2
    masses = length / 2 * law.phase_pdf(dim, nodes) @ w
    start = int(np.searchsorted(np.cumsum(masses), 1e-17 * masses.sum()))
    edges, masses = edges[start:], masses[start:]
    q, slope = _pdf_and_slope(dim, edges)
    a, b = length * q[:-1] / masses, length * q[1:] / masses
    c, e = length**2 * slope[:-1] / masses, length**2 * slope[1:] / masses
    first, second, third = 1 - a - c / 2, b - a - c, e - c
    shape = [
        a,
        c / 2,
        10 * first - 4 * second + third / 2,
        -15 * first + 7 * second - third,
        6 * first - 3 * second + third / 2,
    ]
    cdf = np.cumsum(masses) / masses.sum()
    scale = 2 * np.pi * law.ball_radius(dim)
    return Cells(edges[:-1], length, cdf, np.stack(shape, 1), law.radial_mass(dim, low / scale, high / scale), high)


def _pdf_and_slope(dim: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q(t) = d J^2 / t and its derivative d J (2 J_{nu-1} / t - (d + 1) J / t^2), with their limits at 0."""
    zero = t == 0
    t = np.where(zero, 1.0, t)
    j, before = law.bessel(dim, t), law.bessel(dim - 2, t)
    q, slope = dim * j**2 / t, dim * j * (2 * before / t - (dim + 1) * j / t**2)
    return np.where(zero, 2 / np.pi if dim == 1 else 0.0, q), np.where(zero, 0.5 if dim == 2 else 0.0, slope)


def invert(xp: Any, coefficients: Any, u: Any) -> Any:
    """s in [0, 1] with c_1 s + ... + c_5 s^5 = u, by bisection (the density may vanish inside a cell).

    Args:
        xp: `numpy` or `jax.numpy`.
        coefficients: c_1, ..., c_5, each of the shape of u.
        u: Numbers in [0, 1].
    """
    c1, c2, c3, c4, c5 = coefficients

    def halve(_: Any, state: Any) -> Any:
        low, step = state
        s = low + step
        value = s * (c1 + s * (c2 + s * (c3 + s * (c4 + s * c5))))
        return xp.where(value < u, s, low), step / 2

    count, state = 26 if u.dtype == np.float32 else 50, (xp.zeros_like(u), xp.full_like(u, 0.5))
    if xp is jnp:
        low, step = jax.lax.fori_loop(0, count, halve, state)
        return low + step
    for number in range(count):
        state = halve(number, state)
    return state[0] + state[1]


def sample_cells(table: Cells, key: Array, count: int) -> Array:
    """`count` values of t from a table."""
    choice, position = jax.random.split(key)
    cell = jnp.searchsorted(jnp.asarray(table.cdf), jax.random.uniform(choice, (count,)), side="right")
    cell = jnp.minimum(cell, len(table.cdf) - 1)
    coefficients = jnp.asarray(table.coefficients)[cell].T
    s = invert(jnp, tuple(coefficients), jax.random.uniform(position, (count,)))
    return jnp.asarray(table.start)[cell] + table.length * s


def sample_tail(dim: int, start: float, key: Array, count: int) -> Array:
    """t given t > start, by rejection from the tail bound arcsin(nu / t)."""
    nu, widest = dim / 2, math.asin(dim / 2 / start)

    def body(state: Any) -> Any:
        key, t, done = state
        key, propose, decide = jax.random.split(key, 3)
        trial = nu / jnp.sin(widest * (1 - jax.random.uniform(propose, (count,))))
        accept = jax.random.uniform(decide, (count,)) < debye(nu, trial) ** 2
        return key, jnp.where(done, t, trial), done | accept

    initial = (key, jnp.full((count,), start), jnp.zeros((count,), bool))
    return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), body, initial)[1]


def debye(nu: float, t: Any) -> Any:
    r"""$\sqrt{\pi/2}\,(t^2-\nu^2)^{1/4} J_\nu(t)$ by Debye's expansion to third order, for t well above nu."""
    w = jnp.sqrt((t - nu) * (t + nu))
    p = nu / w
    p2 = p * p
    xi = w - nu * jnp.arccos(nu / t) - np.pi / 4
    even = 1 - p2 * (81 + p2 * (462 + p2 * 385)) / (1152 * nu**2)
    odd = p * (3 + 5 * p2) / (24 * nu)
    odd = odd - p * p2 * (30375 + p2 * (369603 + p2 * (765765 + p2 * 425425))) / (414720 * nu**3)
    return even * jnp.cos(xi) + odd * jnp.sin(xi)


def checked_count(count: int) -> int:
    """The number of points as an `int`, or TypeError or ValueError."""
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"A number of points is a whole number, not {count!r}.")
    if count < 0:
        raise ValueError(f"A number of points is at least 0; got {count}.")
    return int(count)


def uniform_directions(key: Array, count: int, dim: int) -> Array:
    """`count` uniform unit vectors."""
    g = jax.random.normal(key, (count, dim))
    return g / jnp.linalg.norm(g, axis=1, keepdims=True)
