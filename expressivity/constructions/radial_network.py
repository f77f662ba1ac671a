r"""Two hidden layers for a function of $|x|^2$: a sum of one-dimensional interpolants, then a piecewise-linear head."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from expressivity import radial_law as law
from expressivity.radial_profiles import Profile
from expressivity.relu.network import ReLUNetwork


@dataclasses.dataclass(frozen=True, eq=False)
class FactoredNetwork:
    r"""The network $x \mapsto G(S(x) - \mathrm{shift})$ with its second layer, of rank one, kept as two factors.

    $S(x) = \sum_i \sum_j c_j (\sigma(x_i - jh) + \sigma(-x_i - jh))$ is the even interpolant of
    $\min\{x_i^2, z_K\}$, summed over the coordinates, at $0, h, \dots, mh = \sqrt{z_K}$. For all x
    $0 \le S(x) - \sum_i \min\{x_i^2, z_K\} \le e = dh^2/4$.

    Args:
        profile: G, continuous and piecewise linear in $|x|^2$.
        knots: m, cells on the half axis of a coordinate.
        shift: Subtracted from S; `d h^2 / 6` centres the error of the first layer.

    Raises:
        ValueError: If the profile is not continuous and piecewise linear in $|x|^2$, `knots` below 1, or the shift
            not in [0, e].

    >>> from expressivity.constructions import eldan_shamir2016
    >>> net = FactoredNetwork(eldan_shamir2016.profile(2, alpha=1.0, shells=12, ramp=0.25), knots=31)
    >>> net.widths, round(net.sup_bound, 8)
    ((128, 37), 0.04795005)
    """

    profile: Profile
    knots: int
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.profile, Profile):
            raise TypeError(f"A network is made from a Profile, as returned by profile(...); got {self.profile!r}.")
        if self.profile.kind != "linear" or not math.isfinite(self.profile.lipschitz):
            raise ValueError(
                "A network with exact second layer needs a profile that is continuous and piecewise linear in |x|^2; "
                f"this one is of kind {self.profile.kind!r}. Give profile(...) a ramp above 0."
            )
        if isinstance(self.knots, bool) or self.knots != int(self.knots) or self.knots < 1:
            raise ValueError(f"The first layer has at least 1 cell on a half axis; got knots={self.knots}.")
        if not 0 <= self.shift <= self.excess:
            raise ValueError(f"A shift lies between 0 and d h^2 / 4 = {self.excess:.6g}; got {self.shift}.")

    @property
    def cell(self) -> float:
        """h, the distance of two knots of the first layer."""
        return float(self.profile.radii[-1]) / self.knots

    @property
    def excess(self) -> float:
        r"""$e = d h^2/4$, the largest value of $S(x) - \sum_i \min\{x_i^2, z_K\}$."""
        return self.profile.dim * self.cell**2 / 4

    @property
    def widths(self) -> tuple[int, int]:
        """Units of the two hidden layers: 2 d (m + 1), and the number of knots at which the profile's slope jumps."""
        return 2 * self.profile.dim * (self.knots + 1), int(np.count_nonzero(self.jumps))

    @functools.cached_property
    def coefficients(self) -> np.ndarray:
        """The c_j: slope h on the first cell, increments 2h, and slope 0 beyond the last knot."""
        c = np.full(self.knots + 1, 2 * self.cell)
        c[0], c[-1] = self.cell, -(2 * self.knots - 1) * self.cell
        return c

    @functools.cached_property
    def jumps(self) -> np.ndarray:
        """The changes of slope of G at its knots, its output weights."""
        slopes = np.diff(self.profile.values) / np.diff(self.profile.knots)
        return np.diff(np.concatenate([[0.0], slopes, [0.0]]))

    def first_layer_sum(self, points: Any) -> np.ndarray:
        r"""$S(x)$ at points of shape (..., d), in float64: shape (...)."""
        x = np.abs(np.asarray(points, dtype=np.float64))
        if x.shape[-1:] != (self.profile.dim,):
            raise ValueError(f"Points of this network have shape (..., {self.profile.dim}); got {x.shape}.")
        square, h = self.profile.knots[-1], self.cell
        low = np.minimum(np.floor(x / h), self.knots - 1)
        chord = (2 * low + 1) * h * x - low * (low + 1) * h * h
        return np.where(x >= self.profile.radii[-1], square, chord).sum(-1)

    def __call__(self, points: Any) -> np.ndarray:
        """The values at points of shape (..., d), in float64, without the dense matrices: shape (...)."""
        z = self.first_layer_sum(points) - self.shift
        return np.interp(z, self.profile.knots, self.profile.values)

    @property
    def sup_bound(self) -> float:
        r"""$L_z \max(e - \mathrm{shift}, \mathrm{shift}) \ge \sup_{x\in\mathbb R^d}|\mathrm{Net}(x) - G(|x|^2)|$."""
        return self.profile.lipschitz * max(self.excess - self.shift, self.shift)

    @functools.cached_property
    def l2_bound(self) -> float:
        r"""A bound of $\|\mathrm{Net} - G\|_{L_2(\mu)}$ that knows where G is steep.

        The square root of $\int p(r) \min\{b, M(r^2)\,\max(e - s, s)\}^2 dr + (L_z s)^2 \mu(|x| > \sqrt{z_K})$, with
        M(z) the steepest slope of G on $[z - s, z - s + e]$, s the shift and b the largest difference of two values
        of G. Evaluated in closed form, since M is piecewise constant.
        """
        d, p, s, e = self.profile.dim, self.profile, self.shift, self.excess
        slopes = np.concatenate([[0.0], np.abs(np.diff(p.values) / np.diff(p.knots)), [0.0]])
        # piece i of the extended profile lies between knots i - 1 and i; it meets the interval of z from z = a_i to b_i
        edges = np.unique(np.maximum(np.concatenate([[0.0], p.knots - e + s, p.knots + s]), 0.0))
        middle = (edges[:-1] + edges[1:]) / 2
        first = np.searchsorted(p.knots, middle - s, side="right")
        last = np.searchsorted(p.knots, middle - s + e, side="right")
        steepest = np.array([slopes[a : b + 1].max() for a, b in zip(first, last, strict=True)])
        error = np.minimum(p.bound, steepest * max(e - s, s))
        t = law.phase(d, np.sqrt(edges))
        mass = np.maximum(np.where(t[1:] < d / 2, np.diff(law.phase_cdf(d, t)), -np.diff(law.phase_sf(d, t))), 0.0)
        saturated = 0.0 if s == 0 else (p.lipschitz * s) ** 2 * law.radial_sf(d, p.radii[-1])
        return math.sqrt(float(np.sum(mass * error**2)) + saturated)

    def dense(self) -> ReLUNetwork:
        """The same function as a plain network of hidden widths `widths`."""
        d, m = self.profile.dim, self.knots
        grid = self.cell * np.arange(m + 1)
        signs = np.repeat(np.concatenate([np.eye(d), -np.eye(d)]), m + 1, axis=0)
        used = np.flatnonzero(self.jumps)
        second = np.broadcast_to(np.tile(self.coefficients, 2 * d), (len(used), 2 * d * (m + 1)))
        return ReLUNetwork.from_layers(
            [
                (signs, np.tile(-grid, 2 * d)),
                (second, -self.shift - self.profile.knots[used]),
                (self.jumps[None, used], np.array([self.profile.values[0]])),
            ]
        )
