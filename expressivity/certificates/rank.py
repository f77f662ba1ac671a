r"""Floors for one hidden layer from the rank of a kernel, for $f(\langle x, x'\rangle)$ on two spheres.

On harmonics of degree n the target is a multiple of the identity of their space, of dimension $N_n$, while a function
of $(\langle w, x\rangle, \langle w', x'\rangle)$ is of rank one there, whatever its weights.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from expressivity import theorems
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.constructions.daniely2017 import harmonic_dim
from expressivity.measures import checked_dim

_NODES = 16
_LARGEST = 1 << 15  # panels


def rank(function: Callable[[Any], Any], d: int, directions: float) -> Certificate:
    r"""$E\,(F - f_r)^2 \ge \sum_{n \ge 0} a_n^2 \max\{0, 1 - r/N_n\}$ for $F(x, x') = f(\langle x, x'\rangle)$.

    For x and x' independent and uniform on $S^{d-1}$ and every sum $f_r$ of r functions
    $\psi_i(\langle w_i, x\rangle, \langle w_i', x'\rangle)$, in particular every network with one hidden layer of r
    units, without any bound on weights or activations. $a_n = \sqrt{N_n}\,E f(t)P_n(t)$, with $P_n$ the Gegenbauer
    polynomial of $P_n(1) = 1$ and t of density proportional to $(1-t^2)^{(d-3)/2}$.

    Args:
        function: f on [-1, 1]: maps an array of t to an array of the same shape, by NumPy or JAX, in float64.
        d: Coordinates of each of the two points, at least 2.
        directions: r, a whole number of at least 0.

    Returns:
        A certificate in "L2 squared". The value is the bound less the estimated error of the quadrature.

    Raises:
        TypeError: If the function returns float32, or something that is no number.
        ValueError: If d is below 2, r negative or no whole number, f not finite somewhere, or the quadrature does not
            resolve f.

    >>> import numpy as np
    >>> round(rank(lambda t: t, 7, 3).value, 12)  # (1/7) (1 - 3/7)
    0.081632653061
    """
    if not callable(function):
        raise TypeError(f"A rank certificate is about a function of t; got {function!r}.")
    r = _checked_directions(directions)
    energies, norm, error = _energies(function, _sphere(d))
    dims = _dims(len(energies) + 1, int(d))
    covered = sum(a * min(1.0, r / n) for a, n in zip(energies, dims[:-1], strict=True))
    rest = max(0.0, norm - float(energies.sum())) * min(1.0, r / dims[-1])
    return Certificate(
        max(0.0, float(norm - covered - rest - error)),
        "L2 squared",
        NetworkClass(first_width=r, hidden_layers=1),
        theorems.find("expressivity", "rank certificate"),
        (
            f"coefficients up to degree {len(energies) - 1} by Gauss-Legendre quadrature, estimated error {error:.1e} "
            "subtracted",
        ),
    )


def rank_limit(function: Callable[[Any], Any], d: int, value: float) -> int:
    r"""The largest r at which the rank certificate is still at least `value`; -1 if there is none.

    Args:
        function, d: As for [`rank`](#expressivity.certificates.rank.rank).
        value: A squared error, above 0.

    Raises:
        ValueError: If the value is not positive, or no r is enough for a smaller error because f is rough.

    >>> import numpy as np
    >>> rank_limit(lambda t: np.sin(27 * np.pi * t), 3, 0.25)
    61
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"Directions are excluded by a positive squared error; got {value}.")
    if rank(function, d, 0).value < value:
        return -1
    low, high = 0, 1
    while rank(function, d, high).value >= value:
        low, high = high, 2 * high
        if high > 10**300:
            raise ValueError("More than 1e300 directions are excluded; give a larger value.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rank(function, d, middle).value >= value else (low, middle)
    return low


def _checked_directions(directions: float) -> int:
    if np.ndim(directions) or isinstance(directions, bool) or not 0 <= directions < math.inf:
        raise ValueError(f"A number of directions is finite and at least 0; got {directions}.")
    if directions != int(directions):
        raise ValueError(f"A number of directions is a whole number; got {directions}.")
    return int(directions)


def _sphere(d: int) -> int:
    if checked_dim(d) < 2:
        raise ValueError(f"Points on a sphere have at least 2 coordinates; got d={d}.")
    return int(d)


@functools.lru_cache(maxsize=16)
def _dims(count: int, d: int) -> list[int]:
    return [harmonic_dim(n, d) for n in range(count)]


@functools.lru_cache(maxsize=16)
def _energies(function: Callable[[Any], Any], d: int) -> tuple[np.ndarray, float, float]:
    r"""$a_0^2, a_1^2, \dots$ down to rounding, $E f^2$, and the estimated error of the sum that a certificate takes.

    Panels in the angle are doubled until $E f^2$ settles; the coefficients are then taken on twice as many.
    """
    panels, before = 16, math.inf
    while True:
        norm = _moments(function, d, panels, 0)[1]
        if abs(norm - before) <= 1e-13 * norm or norm == 0:
            break
        before, panels = norm, 2 * panels
        if panels > _LARGEST:
            raise ValueError(
                "Quadrature does not resolve the function: its squared norm still changes by "
                f"{abs(norm - before):.2g} at {panels * _NODES // 2} points. Give a smooth function, or one of lower "
                "frequency."
            )
    coarse, _ = _moments(function, d, panels, None)
    fine, norm = _moments(function, d, 2 * panels, len(coarse) - 1)
    error = float(np.abs(fine - coarse).sum()) + 1e-15 * norm * math.sqrt(len(fine))
    total = float(fine.sum())
    if error > 1e-8 * norm or total > norm * (1 + 1e-10):
        raise ValueError(
            f"Quadrature does not resolve the coefficients of the function: energy {total:.12g} of {norm:.12g}, error "
            f"{error:.2g}. Give a smooth function, or one of lower frequency."
        )
    return fine, norm, error


def _moments(function: Callable[[Any], Any], d: int, panels: int, degrees: int | None) -> tuple[np.ndarray, float]:
    """The squared coefficients up to a degree (None: until the energy is spent) and the squared norm."""
    z, w = np.polynomial.legendre.leggauss(_NODES)
    angle = np.pi / panels * (np.arange(panels)[:, None] + (z + 1) / 2).reshape(-1)
    # log of the density, since the sine to a high power underflows harmlessly but its normalisation must not
    log = math.lgamma(d / 2) - math.lgamma((d - 1) / 2) - math.log(math.pi) / 2 + (d - 2) * np.log(np.sin(angle))
    weight = np.tile(w, panels) * np.pi / (2 * panels) * np.exp(log)
    t = np.cos(angle)
    f = _values(function, t)
    norm = float(np.sum(weight * f**2))
    energies: list[float] = []
    rest = norm
    weighted, before, p, b = weight * f, np.zeros_like(t), np.ones_like(t), 0.0
    limit = panels * _NODES // 3 if degrees is None else degrees
    for n in range(limit + 1):
        energies.append(float(np.sum(weighted * p)) ** 2)
        rest -= energies[-1]
        if degrees is None and n >= 16 and rest <= 1e-11 * norm and max(energies[-16:]) <= 1e-18 * norm:
            break
        b_next = _off_diagonal(n + 1, d)
        before, p = p, (t * p - b * before) / b_next
        b = b_next
    return np.array(energies), norm


def _off_diagonal(n: int, d: int) -> float:
    """b_n of the recurrence t p_{n-1} = b_n p_n + b_{n-1} p_{n-2} of the orthonormal Gegenbauer polynomials."""
    if n == 1:
        return math.sqrt(1 / d)
    return math.sqrt(n * (n + d - 3) / ((2 * n + d - 2) * (2 * n + d - 4)))


def _values(function: Callable[[Any], Any], t: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        values = function(t)
        if np.ndim(values) == 0:
            values = np.broadcast_to(np.asarray(values), t.shape)
        values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize < 8:
        raise TypeError(
            f"The function returns {values.dtype}; a certificate is computed in float64. Write it so that float64 "
            "comes out where float64 goes in."
        )
    if values.shape != t.shape:
        raise ValueError(f"The function maps {t.shape} to {values.shape}; it has to keep the shape of t.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"The function is {values[~np.isfinite(values)][0]} at t={t[~np.isfinite(values)][0]:.6g}.")
    return values
