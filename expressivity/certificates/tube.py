r"""Floors for one hidden layer from the supports of spectra, in the measure of Eldan and Shamir.

A function of one linear form $\langle v, x\rangle$, multiplied by $\varphi$, has its spectrum in the tube of radius
$R_d$ around the line of v. The spectrum of a radial $G\varphi$ is spread over spheres, of which k tubes cover little.
"""

import math

import numpy as np
import scipy.special

from expressivity import theorems
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.constructions.eldan_shamir2016 import tube_fraction
from expressivity.measures import checked_dim
from expressivity.radial_law import ball_radius
from expressivity.radial_profiles import Profile, Spectrum, panel_nodes, spectrum

_HYPOTHESES = "functions of one linear form each, measurable and of polynomial growth; a free affine term costs nothing"


def tube(
    profile: Profile,
    directions: float,
    rho_max: float | None = None,
    *,
    projection_dim: int = 1,
    coarse: bool = False,
    random_signs: bool = False,
) -> Certificate:
    r"""$\|F - G\|^2_{L_2(\mu)} \ge \|G\|^2 - \int_0^\infty m(\rho) \min\{1, k\,\tau_{d,q}(\rho/R_d)\}\,d\rho$.

    For every $F(x) = \sum_{j \le k} f_j(\langle v_j, x\rangle)$, plus an affine function, with measurable $f_j$ of
    polynomial growth: every network with one hidden layer whose units have k directions up to sign, whatever the
    weights, biases, activations and the number of units that share a direction. Here m is the spectrum of the radial G
    and $\tau$ the part of a sphere that one tube covers. Integrals end at `rho_max`; the rest of the spectrum is
    taken to be covered as much as at `rho_max`, which keeps the inequality. The value is the bound less the estimated
    error of the quadrature.

    Args:
        profile: G.
        directions: k, a whole number of at least 0; a float such as 1e31 is meant exactly. 0 gives $\|G\|^2$.
        rho_max: End of the integration, at least $R_d$. By default $F + 3R_d$, F the frequency of the profile, or
            $10R_d$ where it has none.
        projection_dim: q, for functions of q linear forms each.
        coarse: The paper's version, $(1 - k\tau(2))_+ \int_{2R_d}^\infty m$: smaller.
        random_signs: The expectation over independent uniform signs of the shells; some signs attain it.

    Returns:
        A certificate in "L2 squared".

    Raises:
        TypeError: If `profile` is no profile, whose norm is known to be finite.
        ValueError: If k is negative or no whole number, `rho_max` is below $R_d$, or the Bessel function underflows.
        ArithmeticError: If the quadrature does not resolve the profile.

    >>> from expressivity.constructions import eldan_shamir2016
    >>> wave = eldan_shamir2016.profile(2, alpha=1.0, shells=10, ramp=0.0)
    >>> round(tube(wave, 5).value, 10)
    0.0353799338
    """
    k, q = _checked(profile, directions, projection_dim)
    signs = ("expectation over independent signs of the shells",) if random_signs else ()
    end = _end(profile, rho_max)
    radius = ball_radius(profile.dim)
    value, error = profile.norm_squared(), 1e-15 * profile.norm_squared()
    if k > 0 and coarse:
        table = spectrum(profile, max(end, 2 * radius), random_signs)
        inside = float(table.masses[table.edges[1:] <= 2 * radius * (1 + 1e-14)].sum())
        value = max(0.0, 1 - k * tube_fraction(profile.dim, 2.0, q)) * (value - inside)
        error = table.error
    elif k > 0:
        table = spectrum(profile, end, random_signs)
        value, error = _bound(table, k, q), table.error
    frequency = f"F/R_d = {profile.frequency / radius:.3g}, " if profile.frequency is not None else ""
    notes = (
        _HYPOTHESES if q == 1 else _HYPOTHESES.replace("one linear form", f"{q} linear forms"),
        f"{frequency}Gauss-Legendre quadrature to rho_max = {end:.6g}, estimated error {error:.1e} subtracted",
        *signs,
    )
    return Certificate(
        max(0.0, value - error),
        "L2 squared",
        NetworkClass(first_width=q * int(k), hidden_layers=1),
        theorems.find("expressivity", "tube certificate"),
        (*notes, f"{k:.6g} functions of {q} linear forms") if q > 1 else notes,
    )


def tube_limit(
    profile: Profile,
    value: float,
    rho_max: float | None = None,
    *,
    projection_dim: int = 1,
    coarse: bool = False,
    random_signs: bool = False,
) -> int:
    r"""The largest k at which the tube certificate is still at least `value`.

    No network with one hidden layer of at most so many directions has a squared error below `value`.

    Args:
        profile: The radial function.
        value: A squared error, above 0; for instance half of `profile.norm_squared()`.
        rho_max, projection_dim, coarse, random_signs: As for `tube`.

    Returns:
        The largest such k found by bisection, -1 if not even the constant functions are excluded. Above 2^53 it is a
        float64 turned into an integer.

    Raises:
        ValueError: If the value is not positive.

    >>> from expressivity.constructions import eldan_shamir2016
    >>> wave = eldan_shamir2016.profile(3, alpha=1.0, shells=40, ramp=0.25)
    >>> tube_limit(wave, wave.norm_squared() / 2)
    333
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"Directions are excluded by a positive squared error; got {value}.")

    def excluded(k: int) -> bool:
        options = {"projection_dim": projection_dim, "coarse": coarse, "random_signs": random_signs}
        return tube(profile, k, rho_max, **options).value >= value

    if not excluded(0):
        return -1
    low, high = 0, 1
    while excluded(high):
        low, high = high, 2 * high
        if high > 1e300:
            raise ValueError("More than 1e300 directions are excluded; give a larger value.")
    while high - low > max(1, low >> 50):
        middle = (low + high) // 2
        low, high = (middle, high) if excluded(middle) else (low, middle)
    return low


def _checked(profile: Profile, directions: float, projection_dim: int) -> tuple[float, int]:
    if not isinstance(profile, Profile):
        raise TypeError(
            "A tube certificate is about a Profile, whose L2 norm is finite (see eldan_shamir2016.profile); got "
            f"{profile!r}."
        )
    if np.ndim(directions) or isinstance(directions, bool) or not 0 <= directions <= 1e300:
        raise ValueError(f"A number of directions is between 0 and 1e300; got {directions}.")
    if directions != int(directions):
        raise ValueError(f"A number of directions is a whole number; got {directions}.")
    return float(directions), checked_dim(projection_dim)


def _end(profile: Profile, rho_max: float | None) -> float:
    radius = ball_radius(profile.dim)
    if rho_max is None:
        return 10 * radius if profile.frequency is None else profile.frequency + 3 * radius
    if not (math.isfinite(rho_max) and rho_max >= radius):
        raise ValueError(
            f"The integration ends at rho_max of at least R_d = {radius:.6g}, below which every tube covers all; got "
            f"{rho_max}."
        )
    return float(rho_max)


def _bound(table: Spectrum, k: float, q: int) -> float:
    """The squared norm less the covered energy; min(1, k tau) has a kink, at which the panel that holds it is cut."""
    d, radius = table.profile.dim, ball_radius(table.profile.dim)
    norm = table.profile.norm_squared()
    if q >= d:
        return 0.0
    kink = radius * float(scipy.special.betaincinv((d - q) / 2, q / 2, min(1.0, 1 / k))) ** -0.5
    if kink >= table.rho_max:
        return 0.0
    # energy that is covered wholly, below the kink, and in part, above it
    low, high = table.edges[:-1], table.edges[1:]
    below, above = high <= kink, low >= kink
    cut = np.flatnonzero(~below & ~above)
    covered = float(table.masses[below].sum())
    if len(cut):
        rho, w = panel_nodes(low[cut], np.array([kink]), table.rho.shape[1])
        covered += float((w * table.transform(rho.reshape(-1)).reshape(rho.shape)).sum())
    tau = tube_fraction(d, table.rho[above] / radius, q)
    covered += k * float((table.weights[above] * table.m[above] * tau).sum())
    # just above the kink: the panel that begins there, in sqrt(rho - kink), since tau has a root singularity at R_d
    first = int(np.flatnonzero(above)[0]) if not len(cut) and above.any() else None
    if first is not None:
        covered -= k * float((table.weights[first] * table.m[first] * tau[0]).sum())
    if len(cut) or first is not None:
        top = float(high[cut[0]]) if len(cut) else float(high[first])
        u, w = panel_nodes(np.zeros(1), np.array([math.sqrt(top - kink)]), table.rho.shape[1] + 4)
        rho = kink + u[0] ** 2
        part = table.transform(rho) * np.minimum(1.0, k * tube_fraction(d, rho / radius, q))
        covered += float((w[0] * 2 * u[0] * part).sum())
    beyond = max(0.0, norm - table.inside) * min(1.0, k * tube_fraction(d, table.rho_max / radius, q))
    return norm - covered - beyond
