r"""The law of $|x|$ under the measure of Eldan and Shamir, whose density is the square of a band-limited function.

With $R_d$ the radius of the ball of volume 1 and $\hat\varphi = 1_{|w| \le R_d}$, the measure is $d\mu = \varphi^2 dx$.
Everything depends on $t = 2\pi R_d |x|$ and $\nu = d/2$ alone, and t has the density $d\,J_\nu(t)^2/t$. All functions
are NumPy float64 (eldan_shamir2016).
"""

import math
from typing import Any

import numpy as np
import scipy.special

from expressivity.measures import checked_dim

# Below this a Bessel value has lost digits to underflow once it is squared.
TINY = 1e-150
# Beyond _FAR the sines of t have few digits left, while P(T > t) is its limit d / (pi t) to d^2 / t; beyond _UNKNOWN
# squares of t overflow and functions that oscillate are set to 0.
_FAR, _UNKNOWN = 1e12, 1e150


def ball_radius(d: int) -> float:
    r"""$R_d = \pi^{-1/2}\,\Gamma(d/2 + 1)^{1/d}$, the radius of the ball of volume 1.

    Raises:
        ValueError: If the dimension is below 1.

    >>> ball_radius(1), round(ball_radius(2), 12)
    (0.5, 0.564189583548)
    """
    d = checked_dim(d)
    if d == 1:
        return 0.5
    return math.exp(math.lgamma(d / 2 + 1) / d) / math.sqrt(math.pi)


def bessel(twice_order: int, t: Any) -> np.ndarray:
    r"""$J_\nu(t)$ for t >= 0 and $\nu$ = `twice_order` / 2 >= -1/2.

    By the upward recurrence where t is at least the order, which is stable there and some thirty times as fast as the
    general routine; by SciPy's `jv` below.

    >>> float(bessel(3, 2.0)), float(scipy.special.jv(1.5, 2.0))
    (0.491293778687..., 0.491293778687...)
    """
    t = np.asarray(t, dtype=np.float64)
    far = t >= max(twice_order / 2, 1.0)
    if far.all():
        return _upward(twice_order, t)
    value = np.empty_like(t)
    value[far] = _upward(twice_order, t[far])
    value[~far] = scipy.special.jv(twice_order / 2, t[~far])
    return value


def _start(parity: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J of orders 0 and 1 (parity 0) or -1/2 and 1/2 (parity 1)."""
    if parity == 0:
        return scipy.special.j0(t), scipy.special.j1(t)
    amplitude = np.sqrt(2 / (np.pi * t))
    return amplitude * np.cos(t), amplitude * np.sin(t)


def _upward(twice_order: int, t: np.ndarray) -> np.ndarray:
    parity = twice_order % 2
    low, high = _start(parity, t)
    order = 1 - parity / 2  # of `high`
    if 2 * (order - 1) == twice_order:
        return low
    inverse = 2 / t
    while 2 * order < twice_order:
        low, high = high, order * inverse * high - low
        order += 1
    return high


def _outer(dim: int, t: np.ndarray) -> np.ndarray:
    r"""$P(T > t)$ for t >= max(nu, 1): a finite sum of squares, hence without cancellation."""
    parity = dim % 2
    low, high = _start(parity, t)
    order, inverse = 1 - parity / 2, 2 / t
    total = low**2 if parity == 0 else 2 / np.pi * (np.sin(t) ** 2 / t + _sine_tail(2 * t))
    while 2 * order < dim:
        # d even: J_0^2 + 2 sum_{0<k<nu} J_k^2 + J_nu^2;  d odd: pairs J_{j+1/2}^2 + J_{j+3/2}^2
        total = total + (2 * high**2 if parity == 0 else high**2)
        low, high = high, order * inverse * high - low
        if parity == 1:
            total = total + high**2
        order += 1
    return total + high**2 if parity == 0 else total


def _sine_tail(z: np.ndarray) -> np.ndarray:
    r"""$\pi/2 - \mathrm{Si}(z)$; by its asymptotic series beyond 100, where the difference would cancel."""
    near = np.minimum(z, 100.0)
    value = np.pi / 2 - scipy.special.sici(near)[0]
    if np.any(z > 100):
        far = np.maximum(z, 100.0)
        f, g, term = np.zeros_like(far), np.zeros_like(far), 1 / far
        for k in range(12):
            f, term = f + (-1) ** k * term, term * (2 * k + 1) / far
            g, term = g + (-1) ** k * term, term * (2 * k + 2) / far
        value = np.where(z > 100, f * np.cos(far) + g * np.sin(far), value)
    return value


def _inner(dim: int, t: np.ndarray) -> np.ndarray:
    r"""$P(T \le t) = J_\nu^2 + 2 \sum_{k \ge 1} J_{\nu+k}^2$, for t up to about nu."""
    total = scipy.special.jv(dim / 2, t) ** 2
    for k in range(1, 100_000):
        term = 2 * scipy.special.jv(dim / 2 + k, t) ** 2
        total = total + term
        if np.all(term <= 1e-18 * total):
            return total
    raise ArithmeticError("The series of the radial distribution did not converge.")  # pragma: no cover


def phase(dim: int, r: Any) -> np.ndarray:
    """t = 2 pi R_d r for radii r >= 0.

    Raises:
        ValueError: If a radius is negative or NaN.
    """
    r = np.asarray(r, dtype=np.float64)
    if not np.all(r >= 0):
        raise ValueError(f"A radius is at least 0; got {float(r[~(r >= 0)].flat[0])}.")
    with np.errstate(over="ignore"):
        return 2 * np.pi * ball_radius(dim) * r


def phi(d: int, r: Any) -> Any:
    r"""$\varphi(r) = (R_d/r)^{d/2} J_{d/2}(2\pi R_d r)$, $\varphi(0) = 1$; its Fourier transform is $1_{|w| \le R_d}$.

    Args:
        d: Dimension.
        r: Radii |x|, a number or an array.

    Raises:
        ValueError: If the dimension is below 1, a radius negative, or the Bessel value underflows, which happens from
            about d = 600 on at radii well inside the first zero.

    >>> phi(3, 0.0), round(float(phi(2, 0.5)), 12)
    (1.0, 0.655469435987)
    """
    d = checked_dim(d)
    t, nu = np.atleast_1d(phase(d, r)), d / 2
    t = np.where(t > _UNKNOWN, np.inf, t)
    x = t * t / 4
    near = x <= nu + 1
    value = np.empty_like(t)
    if near.any():
        # sum_k (-x)^k / (k! (nu + 1)_k): decreasing terms here
        total, term, z = np.ones(int(near.sum())), np.ones(int(near.sum())), x[near]
        for k in range(1, 200):
            term = term * (-z) / (k * (nu + k))
            total = total + term
            if np.all(np.abs(term) <= 1e-17):
                break
        value[near] = total
    far = ~near
    if far.any():
        t = t[far]
        j = bessel(d, np.where(np.isinf(t), 1.0, t))
        if np.any(np.abs(j) < 1e-290):
            raise ValueError(
                f"J_{nu:g} underflows in float64 at dimension {d} and radius "
                f"{float(t[np.abs(j) < 1e-290][0]) / (2 * np.pi * ball_radius(d)):.6g}; phi has no float64 value "
                "there. Use a smaller dimension or a larger radius."
            )
        magnitude = np.exp(math.lgamma(nu + 1) - nu * np.log(t / 2) + np.log(np.abs(j)))
        value[far] = np.where(np.isinf(t), 0.0, np.sign(j) * magnitude)
    return _like(r, value)


def radial_pdf(dim: int, r: Any) -> Any:
    r"""$p(r) = (d/r)\,J_{d/2}(2\pi R_d r)^2$.

    Near 0 the density is below the smallest float64; up to d = 200 it is 0 there.

    Raises:
        ValueError: If a radius is negative, or the Bessel function underflows and d is above 200.

    >>> round(float(radial_pdf(2, 0.5)), 12), float(radial_pdf(1, 0.0))
    (1.349754437927, 2.0)
    """
    t = np.atleast_1d(phase(dim, r))
    value = np.full(t.shape, 2.0 if dim == 1 else 0.0)
    t = np.where(t > _UNKNOWN, np.inf, t)
    inside = (t > 1e-300) & np.isfinite(t)
    _refuse_underflow(dim, t[inside])
    value[inside] = 2 * np.pi * ball_radius(dim) * phase_pdf(dim, t[inside])
    value[np.isinf(t)] = 0.0
    return _like(r, value)


def phase_pdf(dim: int, t: np.ndarray) -> np.ndarray:
    r"""$q(t) = d\,J_\nu(t)^2/t$, the density of $t = 2\pi R_d|x|$, for t > 0."""
    return dim * bessel(dim, t) ** 2 / t


def phase_sf(dim: int, t: np.ndarray) -> np.ndarray:
    """P(T > t) for an array of t >= 0."""
    value = np.empty_like(t)
    far = t > _FAR
    near = t < max(dim / 2, 1.0)
    value[far] = dim / np.pi / t[far]
    value[near] = 1.0 - _inner(dim, t[near]) if near.any() else 0.0
    rest = ~near & ~far
    if rest.any():
        value[rest] = _outer(dim, t[rest])
    return value


def phase_cdf(dim: int, t: np.ndarray) -> np.ndarray:
    """P(T <= t) for an array of t >= 0, without cancellation for small t."""
    near = t < max(dim / 2, 1.0)
    value = np.empty_like(t)
    value[near] = _inner(dim, t[near]) if near.any() else 0.0
    value[~near] = 1.0 - phase_sf(dim, t[~near])
    return value


def radial_sf(dim: int, r: Any) -> Any:
    r"""$P(|x| > r)$, from finite sums of squared Bessel functions.

    >>> round(float(radial_sf(2, 10.0)), 14)
    0.01801212003131
    """
    return _like(r, phase_sf(dim, np.atleast_1d(phase(dim, r))))


def radial_cdf(dim: int, r: Any) -> Any:
    r"""$P(|x| \le r) = J_\nu(t)^2 + 2\sum_{k\ge1} J_{\nu+k}(t)^2$, $t = 2\pi R_d r$.

    Raises:
        ValueError: As for `radial_pdf`.

    >>> round(float(radial_cdf(2, 0.4739826499109704)), 12)
    0.5
    """
    t = np.atleast_1d(phase(dim, r))
    _refuse_underflow(dim, t[(t > 0) & np.isfinite(t)])
    return _like(r, phase_cdf(dim, t))


def _refuse_underflow(dim: int, t: np.ndarray) -> None:
    """In the dimensions that are promised a value below 1e-308 is 0; beyond, it is said."""
    near = t[t < dim / 2]
    if dim > 200 and near.size and np.abs(bessel(dim, near)).min() < 1e-154:
        raise ValueError(
            f"J_{dim / 2:g} underflows in float64 at dimension {dim} and radius "
            f"{float(near.min()) / (2 * np.pi * ball_radius(dim)):.6g}: the probability there is below 1e-308. Use "
            "larger radii, or a dimension up to 200."
        )


def radial_mass(dim: int, inner: float, outer: float) -> float:
    r"""$P(\mathrm{inner} \le |x| \le \mathrm{outer})$, from whichever tail cancels less.

    >>> round(radial_mass(2, 2**0.5, 8**0.5), 14)
    0.07591217573714
    """
    t = phase(dim, np.array([inner, outer]))
    low, high = phase_cdf(dim, t)
    if high < 0.5:
        return float(high - low)
    far_low, far_high = phase_sf(dim, t)
    return float(far_low - far_high)


def radial_ppf(dim: int, q: Any) -> Any:
    r"""The quantile: r with $P(|x| \le r) = q$, for q in [0, 1].

    Newton's method kept inside a bracket that is bisected where Newton fails, since the density has zeros. The bracket
    ends at the inverse of the tail bound $P(T > t) \le (4/\pi)\arcsin(\nu/t)$.

    Raises:
        ValueError: If q is not in [0, 1].

    >>> round(float(radial_ppf(3, 0.5)), 12), float(radial_ppf(3, 1.0))
    (0.619610072407, inf)
    """
    dim = checked_dim(dim)
    q = np.asarray(q, dtype=np.float64)
    if not np.all((q >= 0) & (q <= 1)):
        raise ValueError(f"A probability is in [0, 1]; got {float(q[~((q >= 0) & (q <= 1))].flat[0])}.")
    flat = np.atleast_1d(q)
    t = np.where(flat == 1, np.inf, 0.0)
    todo = (flat > 0) & (flat < 1)
    if todo.any():
        t[todo] = _quantile(dim, flat[todo])
    return _like(q, t / (2 * np.pi * ball_radius(dim)))


def _quantile(dim: int, q: np.ndarray) -> np.ndarray:
    low, high = np.zeros_like(q), dim / 2 / np.sin(np.pi * (1 - q) / 4)
    t = np.minimum(high, max(dim / 2, 1.0))
    t = np.where(t < high, t, high / 2)
    active = np.ones(len(q), bool)
    for step in range(400):
        index = np.flatnonzero(active)
        if not len(index):
            break
        x, p = t[index], q[index]
        # the smaller of the two tails, so that the residual keeps its relative accuracy
        lower = p < 0.5
        residual = np.empty_like(x)
        residual[lower] = phase_cdf(dim, x[lower]) - p[lower]
        residual[~lower] = (1 - p[~lower]) - phase_sf(dim, x[~lower])
        low[index] = np.where(residual <= 0, x, low[index])
        high[index] = np.where(residual >= 0, x, high[index])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - residual / phase_pdf(dim, x)
        middle = (low[index] + high[index]) / 2
        use = (newton > low[index]) & (newton < high[index]) & (step % 4 != 3)
        t[index] = np.where(residual == 0, x, np.where(use, newton, middle))
        small = np.abs(t[index] - x) <= 2e-16 * x
        active[index] = ~(small & use | (residual == 0) | (high[index] - low[index] <= 2.3e-16 * high[index]))
    return t


def tail_coefficient(d: int) -> float:
    r"""$\tau_\infty = d/(2\pi^2 R_d)$, for which $P(|x| > r) \sim \tau_\infty/r$.

    >>> round(tail_coefficient(2), 12)
    0.179587122125
    """
    return checked_dim(d) / (2 * np.pi**2 * ball_radius(d))


def _like(given: Any, value: np.ndarray) -> Any:
    return float(value[0]) if np.ndim(given) == 0 else value.reshape(np.shape(given))
