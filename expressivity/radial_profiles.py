r"""Radial functions $G(|x|^2)$ under the measure of Eldan and Shamir: their norms and their spectra, by 1-D integrals.

With $\mu = \varphi^2 dx$ and $G$ in $L_2(\mu)$, the spectrum of $G\varphi$ has the radial energy density
$m(\rho) = 4\pi^2 d\,\rho\,I(\rho)^2$, $I(\rho) = \int G(r^2) J_{d/2}(2\pi R_d r) J_{d/2-1}(2\pi\rho r)\,dr$, and
$\int_0^\infty m = \|G\|^2_{L_2(\mu)}$.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity import radial_law as law
from expressivity.measures import checked_dim

KINDS = ("linear", "steps", "radius")
_NODES = 12  # of Gauss-Legendre on a panel of the spectrum
_CHUNK = 1 << 16
_MOST_VALUES = 4_000_000_000  # Bessel values of a spectrum: minutes


@dataclasses.dataclass(frozen=True, eq=False)
class Profile:
    r"""A bounded radial function of bounded support, as a callable of $z = |x|^2$; 0 outside its knots.

    Args:
        dim: Dimension d of x.
        knots: Increasing finite numbers $z_0 < \dots < z_K$, at least 0.
        values: At the knots for "linear" and "radius"; between them, one fewer, for "steps".
        kind: "linear": piecewise linear in z. "radius": piecewise linear in $|x|$. "steps": piecewise constant.
        frequency: The dominant frequency in $|x|$, where there is one; it sets the default range of spectra.
        groups: Number of the shell that each piece belongs to; pieces with the same number flip sign together.
        hard: The function without ramps that this one stands for.

    Raises:
        TypeError: If knots or values are in less than float64.
        ValueError: If knots do not increase, shapes do not fit, or the function is not in L2 of the measure because a
            knot or value is infinite or NaN.

    >>> tent = Profile(2, [1.0, 2.0, 3.0], [0.0, 1.0, 0.0])
    >>> tent(1.5), tent([0.0, 2.0, 4.0]).tolist()
    (0.5, [0.0, 1.0, 0.0])
    """

    dim: int
    knots: np.ndarray
    values: np.ndarray
    kind: str = "linear"
    frequency: float | None = None
    groups: np.ndarray | None = None
    hard: "Profile | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", checked_dim(self.dim))
        for what in ("knots", "values"):
            object.__setattr__(self, what, _float64(getattr(self, what), what))
        if self.kind not in KINDS:
            raise ValueError(f"The kind of a profile is one of {', '.join(KINDS)}; got {self.kind!r}.")
        expected = len(self.knots) - (self.kind == "steps")
        if self.knots.ndim != 1 or len(self.knots) < 2 or self.values.shape != (expected,):
            raise ValueError(
                f"A profile of kind {self.kind!r} has at least 2 knots and {expected} values here; got shapes "
                f"{self.knots.shape} and {self.values.shape}."
            )
        for what, numbers in (("knot", self.knots), ("value", self.values)):
            if not np.all(np.isfinite(numbers)):
                raise ValueError(
                    f"The profile is not in L2 of the measure: a {what} is {numbers[~np.isfinite(numbers)][0]}. Under "
                    "its heavy tail only functions that stay bounded are certain to be; give finite knots and values."
                )
        if self.knots[0] < 0 or not np.all(np.diff(self.knots) > 0):
            raise ValueError("The knots of a profile are squared radii: they start at 0 or above and increase.")

    def __call__(self, z: Any) -> Any:
        """The value at $z = |x|^2$: NumPy float64 for numbers and NumPy arrays, JAX for JAX arrays."""
        if isinstance(z, jax.Array):
            return self._values(jnp, z)
        z = np.asarray(z, dtype=np.float64)
        value = self._values(np, z)
        return float(value) if z.ndim == 0 else value

    def _values(self, xp: Any, z: Any) -> Any:
        if self.kind == "linear":
            return xp.interp(z, self.knots, self.values, left=0.0, right=0.0)
        if self.kind == "radius":
            positive = z > 0
            r = xp.where(positive, xp.sqrt(xp.where(positive, z, 1.0)), z)
            return xp.interp(r, np.sqrt(self.knots), self.values, left=0.0, right=0.0)
        index = xp.searchsorted(xp.asarray(self.knots), z, side="right") - 1
        index = xp.where(z == self.knots[-1], len(self.values) - 1, index)
        inside = (index >= 0) & (index < len(self.values))
        return xp.where(inside, xp.asarray(self.values)[xp.clip(index, 0, len(self.values) - 1)], 0.0)

    @property
    def radii(self) -> np.ndarray:
        """The knots as radii."""
        return np.sqrt(self.knots)

    @property
    def lipschitz(self) -> float:
        """Lipschitz constant in z of the profile as a function on z >= 0; infinite where it jumps or has a slope in
        $|x|$ at the origin."""
        if self.kind == "steps" or self.values[-1] != 0 or (self.knots[0] > 0 and self.values[0] != 0):
            return math.inf
        if self.kind == "linear":
            return float(np.abs(np.diff(self.values) / np.diff(self.knots)).max())
        slopes = np.abs(np.diff(self.values) / np.diff(self.radii))
        with np.errstate(divide="ignore", invalid="ignore"):
            steep = np.where(slopes > 0, slopes / (2 * self.radii[:-1]), 0.0)
        return float(steep.max())

    @property
    def bound(self) -> float:
        """The largest difference of two values, 0 among them."""
        return float(max(self.values.max(), 0.0) - min(self.values.min(), 0.0))

    def norm_squared(self) -> float:
        r"""$\|G\|^2_{L_2(\mu)} = \int G(r^2)^2 p(r)\,dr$: finite sums for steps, else Gauss-Legendre piece by piece.

        Raises:
            ValueError: If the Bessel function underflows on the whole support.
        """
        return self._norm_squared

    @functools.cached_property
    def _norm_squared(self) -> float:
        return distance_squared(self.dim, self, None, self.radii)

    def fourier_density(self, rho: Any) -> Any:
        r"""$m(\rho)$, the energy of $G\varphi$ per unit of frequency radius; $\int_0^\infty m = \|G\|^2$.

        Args:
            rho: Frequencies, at least 0; a number or an array.

        Raises:
            ValueError: If a frequency is negative or not finite.
        """
        frequencies = np.atleast_1d(np.asarray(rho, dtype=np.float64))
        if not np.all(np.isfinite(frequencies) & (frequencies >= 0)):
            raise ValueError(f"A frequency is finite and at least 0; got {rho}.")
        transform = Transform(self, float(frequencies.max(initial=0.0)))
        value = transform(frequencies.reshape(-1)).reshape(frequencies.shape)
        return float(value[0]) if np.ndim(rho) == 0 else value

    def mass_outside(self, rho: float) -> float:
        r"""$\int_\rho^\infty m = \|G\|^2 - \int_0^\rho m$: the energy beyond a frequency (not divided by the norm).

        Raises:
            ValueError: If the frequency is negative or not finite.
        """
        if not (math.isfinite(rho) and rho >= 0):
            raise ValueError(f"A frequency is finite and at least 0; got {rho}.")
        if rho == 0:
            return self.norm_squared()
        return max(0.0, self.norm_squared() - spectrum(self, float(rho)).inside)


def _float64(values: Any, what: str) -> np.ndarray:
    if getattr(values, "dtype", None) is not None:
        dtype = np.dtype(values.dtype)
        if (dtype.kind == "f" and dtype != np.float64) or dtype.name == "bfloat16":
            raise TypeError(
                f"The {what} of a profile are {dtype}; its norms and certificates need float64. Convert what they are "
                "computed from, or pass float64."
            )
    return np.array(values, dtype=np.float64)


def pieces(edges: np.ndarray, resolution: float, extra: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Gauss-Legendre nodes and weights on the pieces between edges, and the number of each node's piece.

    Fine enough for $e^{2\pi i\,\mathrm{resolution}\,r}$: a piece is cut into parts of at most one period, and the
    number of nodes follows from the error bound of the rule for an exponential (1e-17), and three more for the
    polynomial and the amplitude.
    """
    nodes, weights, owner = [], [], []
    for number, (low, high) in enumerate(pairwise(edges)):
        periods = (high - low) * resolution
        parts = max(1, math.ceil(periods))
        z, w = _rule(_count(math.pi * periods / parts) + 3 + extra)
        length = (high - low) / parts
        starts = low + length * np.arange(parts)
        nodes.append((starts[:, None] + length * z).reshape(-1))
        weights.append(np.tile(length * w, parts))
        owner.append(np.full(parts * len(z), number))
    return np.concatenate(nodes), np.concatenate(weights), np.concatenate(owner)


@functools.lru_cache(maxsize=64)
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    z, w = np.polynomial.legendre.leggauss(count)
    return (z + 1) / 2, w / 2


def _count(kappa: float) -> int:
    """The least p for which p-point Gauss-Legendre integrates exp(i kappa x) over [-1, 1] to 1e-17."""
    for p in range(2, 40):
        log = 2 * p * math.log(max(kappa, 1e-9)) + 4 * math.lgamma(p + 1) + (2 * p + 1) * math.log(2)
        if log - math.log(2 * p + 1) - 3 * math.lgamma(2 * p + 1) < math.log(1e-17):
            return p
    return 40


def distance_squared(dim: int, first: Profile, second: Profile | None, edges: np.ndarray) -> float:
    r"""$\|G - H\|^2_{L_2(\mu)}$, with the radii at which either is not smooth as `edges`; H = 0 if it is None.

    Raises:
        ValueError: If the Bessel function underflows on the whole range.
    """
    if first.kind == "steps" and second is None:
        _check_underflow(dim, law.bessel(dim, law.phase(dim, edges[1:])), edges)
        masses = [law.radial_mass(dim, a, b) for a, b in pairwise(edges)]
        return float(np.sum(first.values**2 * np.array(masses)))
    r, w, _ = pieces(edges, 2 * law.ball_radius(dim), extra=2)
    j = law.bessel(dim, law.phase(dim, r))
    _check_underflow(dim, j, edges)
    difference = first(r * r) - (0.0 if second is None else second(r * r))
    return float(np.sum(w * difference**2 * dim / r * j * j))


def _check_underflow(dim: int, j: np.ndarray, edges: np.ndarray) -> None:
    if np.abs(j).max() < law.TINY:
        raise ValueError(
            f"J_{dim / 2:g} underflows in float64 for all radii in [{edges[0]:.6g}, {edges[-1]:.6g}] at dimension "
            f"{dim}; norms and certificates of this profile cannot be computed. Use larger radii (near sqrt(d) or "
            "above) or a smaller dimension."
        )


class Transform:
    r"""Evaluates $m(\rho) = 4\pi^2 d\,\rho\,I(\rho)^2$ for frequencies up to a cutoff.

    Args:
        profile: The radial function.
        cutoff: The largest frequency.
        extra: More nodes a piece, for checks of the resolution.
        separate: Return $\sum_i m_i$ with the groups of the profile taken apart: the expectation under independent
            random signs.
    """

    def __init__(self, profile: Profile, cutoff: float, extra: int = 0, separate: bool = False) -> None:
        d = profile.dim
        r, w, owner = pieces(profile.radii, law.ball_radius(d) + cutoff, extra)
        j = law.bessel(d, law.phase(d, r))
        _check_underflow(d, j, profile.radii)
        weight = w * profile(r * r) * j
        used = weight != 0
        self.dim, self.r, self.weight = d, r[used], weight[used]
        self.starts = None
        if separate:
            groups = (np.arange(len(profile.knots) - 1) if profile.groups is None else profile.groups)[owner[used]]
            self.starts = np.flatnonzero(np.concatenate([[True], np.diff(groups) != 0]))

    def __call__(self, rho: np.ndarray) -> np.ndarray:
        rho = np.maximum(rho, 1e-200)
        energy = np.zeros_like(rho)
        if not len(self.r):
            return energy
        step = max(1, _CHUNK // len(self.r))
        for i in range(0, len(rho), step):
            j = law.bessel(self.dim - 2, 2 * np.pi * np.outer(rho[i : i + step], self.r))
            if self.starts is None:
                energy[i : i + step] = np.einsum("ij,j->i", j, self.weight) ** 2
            else:
                energy[i : i + step] = (np.add.reduceat(j * self.weight, self.starts, axis=1) ** 2).sum(1)
        return 4 * np.pi**2 * self.dim * rho * energy


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    r"""The spectrum of a profile on $[0, \rho_{\max}]$, on panels that carry a Gauss rule each.

    Args:
        profile: The radial function.
        transform: Evaluates m.
        edges: Ends of the panels; $R_d$ and $2R_d$ are among them.
        rho, weights, m: Nodes, weights and energy density, of shape (panels, nodes).
        error: Estimated error of any integral of m, from finer rules at a sample of frequencies and panels.
    """

    profile: Profile
    transform: Callable[[np.ndarray], np.ndarray]
    edges: np.ndarray
    rho: np.ndarray
    weights: np.ndarray
    m: np.ndarray
    error: float

    @property
    def rho_max(self) -> float:
        return float(self.edges[-1])

    @functools.cached_property
    def masses(self) -> np.ndarray:
        """The energy of each panel."""
        return (self.weights * self.m).sum(1)

    @functools.cached_property
    def inside(self) -> float:
        r"""$\int_0^{\rho_{\max}} m$."""
        return float(self.masses.sum())


def spectrum(profile: Profile, rho_max: float, separate: bool = False) -> Spectrum:
    r"""The spectrum of a profile on $[0, \rho_{\max}]$; the last few are kept.

    Raises:
        ValueError: If frequency and radius together are too large for a spectrum in minutes.
        ArithmeticError: If the quadrature does not resolve the profile: more energy inside than $\|G\|^2$, or a finer
            rule differs by more than 1e-9 of it.
    """
    return _spectrum(profile, float(rho_max), separate)


@functools.lru_cache(maxsize=8)
def _spectrum(profile: Profile, rho_max: float, separate: bool) -> Spectrum:
    transform = Transform(profile, rho_max, separate=separate)
    radius = law.ball_radius(profile.dim)
    count = max(4, math.ceil(rho_max * 2 * float(profile.radii[-1])))
    edges = np.unique(np.concatenate([np.linspace(0, rho_max, count + 1), [radius, 2 * radius]]))
    edges = edges[edges <= rho_max]
    rho, weights = panel_nodes(edges[:-1], edges[1:], _NODES)
    if rho.size * len(transform.r) > _MOST_VALUES:
        raise ValueError(
            f"The spectrum up to frequency {rho_max:.6g} of a profile up to radius {profile.radii[-1]:.6g} needs "
            f"{rho.size * len(transform.r):.2g} Bessel values, more than {_MOST_VALUES:.2g}. Use a smaller frequency "
            "or radius."
        )
    m = transform(rho.reshape(-1)).reshape(rho.shape)
    error = _resolution_error(profile, transform, edges, rho, m, weights, separate)
    result = Spectrum(profile, transform, edges, rho, weights, m, error)
    norm = profile.norm_squared()
    if result.inside > norm * (1 + 1e-10) or error > 1e-9 * norm:
        raise ArithmeticError(
            f"The quadrature does not resolve the profile: energy {result.inside:.10g} below frequency {rho_max:.6g}, "
            f"but norm squared {norm:.10g}, resolution error {error:.2g}. Use a smaller rho_max or fewer shells."
        )
    return result


def panel_nodes(low: np.ndarray, high: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on panels, each of shape (panels, count)."""
    z, w = _rule(count)
    length = (np.asarray(high) - np.asarray(low))[:, None]
    return np.asarray(low)[:, None] + length * z, length * w


def _resolution_error(
    profile: Profile,
    transform: Transform,
    edges: np.ndarray,
    rho: np.ndarray,
    m: np.ndarray,
    weights: np.ndarray,
    separate: bool,
) -> float:
    """Differences to finer rules in r and rho on a sample of panels, scaled to the whole."""
    finer = Transform(profile, float(edges[-1]), extra=5, separate=separate)
    strongest = np.argsort(m.max(1))[::-1][:4]
    sample = np.unique(np.concatenate([np.linspace(0, len(rho) - 1, 6).astype(int), strongest]))
    nodes, w = panel_nodes(edges[sample], edges[sample + 1], _NODES + 5)
    values = finer(nodes.reshape(-1)).reshape(nodes.shape)
    panels = np.abs((w * values).sum(1) - (weights[sample] * m[sample]).sum(1)).max()
    rounding = 4 * np.finfo(np.float64).eps * profile.norm_squared()
    return float(panels * math.sqrt(len(rho)) + rounding)
