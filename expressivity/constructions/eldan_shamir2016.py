r"""Eldan and Shamir (2016): radial functions that two hidden layers compute and one hidden layer does not.

The target is $G(|x|^2)$ for a wave $G$ over N thin shells in $\alpha\sqrt d \le |x| \le 2\alpha\sqrt d$, in the measure
[`EldanShamir`](#expressivity.EldanShamir). The network has two hidden layers with explicit weights: the first one makes
$S(x) \approx |x|^2$ coordinate by coordinate, the second one is the interpolant G of one variable, so that the network
equals $G(S(x))$ exactly. Its counterpart is the certificate `expressivity.certificates.tube`. "3-layer" in the paper
means two hidden layers, and its width counts one layer.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.special

from expressivity import radial_law as law
from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.radial_network import FactoredNetwork as FactoredNetwork
from expressivity.measures import checked_dim
from expressivity.radial_law import ball_radius as ball_radius
from expressivity.radial_law import phi as phi
from expressivity.radial_law import tail_coefficient as tail_coefficient
from expressivity.radial_measures import EldanShamir
from expressivity.radial_profiles import Profile, distance_squared
from expressivity.target import Target

_MOST_SHELLS = 10_000_000


def tube_fraction(d: int, s: Any, q: int = 1) -> Any:
    r"""$\tau_{d,q}(s) = I_{1/s^2}((d-q)/2, q/2)$: the part of the sphere of radius $sR_d$ within $R_d$ of a q-plane.

    1 for $s \le 1$; decreasing; about $2^{-d}$ at s = 2 and q = 1.

    Args:
        d: Dimension.
        s: Ratio of radii, at least 0; a number or an array.
        q: Dimension of the subspace.

    Raises:
        ValueError: If d or q is below 1, or s negative or NaN.

    >>> round(tube_fraction(2, 2.0), 12), tube_fraction(5, 2.0, q=2)
    (0.333333333333, 0.125)
    """
    d, q = checked_dim(d), checked_dim(q)
    ratio = np.asarray(s, dtype=np.float64)
    if not np.all(ratio >= 0):
        raise ValueError(f"A ratio of radii is at least 0; got {s}.")
    if q >= d:
        value = np.ones_like(ratio)
    else:
        value = np.where(ratio <= 1, 1.0, scipy.special.betainc((d - q) / 2, q / 2, 1 / np.maximum(ratio, 1.0) ** 2))
    return float(value) if ratio.ndim == 0 else value


def shell_mass(d: int, alpha: float) -> float:
    r"""$\mu(\alpha\sqrt d \le |x| \le 2\alpha\sqrt d)$, the squared norm of every function of values +-1 there.

    Raises:
        ValueError: If d is below 1, alpha not positive and finite, or the mass underflows.

    >>> round(shell_mass(2, 1.0), 12)
    0.075912175737
    """
    inner = _scale(d, alpha)
    mass = law.radial_mass(d, inner, 2 * inner)
    if mass < 1e-280:
        raise ValueError(
            f"J_{d / 2:g} underflows on the shell [{inner:g}, {2 * inner:g}]; its mass at d={d}, alpha={alpha} has no "
            "float64 value. Use alpha of about 1."
        )
    return mass


def good_shells(d: int, alpha: float, shells: int, level: float = 80.0) -> np.ndarray:
    r"""The indices, from 0, of the shells with $J_{d/2}(2\pi R_d r)^2 \ge 1/(\mathrm{level}\cdot\pi R_d r)$ throughout.

    The paper keeps these alone. A shell is good if both ends satisfy the inequality and the Bessel function has no zero
    inside; the test refines every shell until its parts are shorter than a quarter of the distance of two zeros.

    Raises:
        ValueError: If d or `shells` is below 1, or alpha is not positive and finite.

    >>> len(good_shells(2, 1.0, 10)), len(good_shells(2, 1.0, 100))
    (7, 89)
    """
    edges = _scale(d, alpha) * (1 + np.arange(_count(shells) + 1) / shells)
    # between two zeros of J the function t J(t)^2 has one hump (it is monotone before the first), so that the ends and
    # the sign decide; parts shorter than the distance of zeros make the sign test complete
    parts = max(1, math.ceil((edges[1] - edges[0]) * 8 * ball_radius(d)))
    r = (edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0, 1, parts + 1)).reshape(-1)
    t = law.phase(d, r)
    j = law.bessel(d, t).reshape(shells, parts + 1)
    large = j**2 >= 2 / (level * t.reshape(j.shape))
    return np.flatnonzero(large.all(1) & (np.sign(j) == np.sign(j[:, :1])).all(1))


def profile(
    d: int,
    *,
    alpha: float,
    shells: int,
    ramp: float,
    signs: str | Sequence[float] | np.ndarray = "alternating",
    mask: str | Sequence[bool] | np.ndarray | None = None,
    seed: int = 0,
) -> Profile:
    r"""$G(z) = \varepsilon_i \min\{1, (z - z_{i-1})/(\beta w_i), (z_i - z)/(\beta w_i)\}$ on $[z_{i-1}, z_i]$, else 0.

    The shells are equal in $|x|$: $z_i = \alpha^2 d\,(1 + i/N)^2$, $w_i = z_i - z_{i-1}$, i = 1..N. There are 3N + 1
    knots (2N + 1 for $\beta = 1/2$); $\beta = 0$ gives the shell function itself, which jumps.

    Args:
        d: Dimension.
        alpha: Scale of the radii.
        shells: N.
        ramp: $\beta$ in [0, 1/2], the share of a shell that each of its two ramps takes.
        signs: "alternating" (+1 on the innermost shell), "random" (uniform, from `seed`), or N numbers in [-1, 1].
        mask: "good" to keep the paper's good shells alone, or N truth values; by default all are kept.
        seed: For random signs.

    Raises:
        ValueError: If an argument is out of its range, or signs or mask do not have N entries.

    >>> wave = profile(2, alpha=1.0, shells=4, ramp=0.25)
    >>> len(wave.knots), wave(2.44)
    (13, 1.0)
    """
    inner = _scale(d, alpha)
    shells = _count(shells)
    if not 0 <= ramp <= 0.5:
        raise ValueError(f"Two ramps fit in a shell if each takes a share in [0, 1/2] of it; got ramp={ramp}.")
    epsilon = _signs(signs, shells, seed) * _mask(mask, d, alpha, shells)
    z = inner**2 * (1 + np.arange(shells + 1) / shells) ** 2
    if not np.all(np.diff(z) > 0):
        raise ValueError(f"{shells} shells do not fit between {inner:g} and {2 * inner:g} in float64.")
    frequency = shells / (2 * inner)
    hard = Profile(d, z, epsilon, "steps", frequency, np.arange(shells))
    if ramp == 0:
        return hard
    width = np.diff(z)
    if ramp < 0.5:
        knots = np.stack([z[:-1], z[:-1] + ramp * width, z[1:] - ramp * width], 1)
        values = np.stack([np.zeros(shells), epsilon, epsilon], 1)
    else:
        knots = np.stack([z[:-1], (z[:-1] + z[1:]) / 2], 1)
        values = np.stack([np.zeros(shells), epsilon], 1)
    if not np.all(np.diff(knots.reshape(-1)) > 0):
        raise ValueError(f"A ramp of {ramp} of a shell is too steep for float64; use 0 for jumps, or about 1/4.")
    groups = np.repeat(np.arange(shells), knots.shape[1])
    knots, values = np.append(knots.reshape(-1), z[-1]), np.append(values.reshape(-1), 0.0)
    return Profile(d, knots, values, "linear", frequency, groups, hard)


def ball_profile(d: int, radius: float) -> Profile:
    r"""The indicator of $|x| \le \mathrm{radius}$.

    Raises:
        ValueError: If d is below 1 or the radius not positive and finite.

    >>> ball_profile(3, 0.5)(0.25), ball_profile(3, 0.5)(0.26)
    (1.0, 0.0)
    """
    return Profile(d, np.array([0.0, _positive(radius, "radius") ** 2]), np.array([1.0]), "steps")


def cone_profile(d: int, radius: float) -> Profile:
    r"""$\max\{0, 1 - |x|/\mathrm{radius}\}$, as a function of $|x|^2$.

    Raises:
        ValueError: If d is below 1 or the radius not positive and finite.

    >>> cone_profile(3, 2.0)(1.0)
    0.5
    """
    return Profile(d, np.array([0.0, _positive(radius, "radius") ** 2]), np.array([1.0, 0.0]), "radius")


def ramp_error_squared(profile: Profile) -> float:
    r"""$\|\tilde g - G\|^2_{L_2(\mu)}$ for the shell function $\tilde g$ that the profile G stands for.

    About $(2\beta/3)\|\tilde g\|^2$; 0 for $\beta = 0$.

    >>> wave = profile(2, alpha=1.0, shells=12, ramp=0.25)
    >>> round(ramp_error_squared(wave), 10)
    0.0126559532
    """
    if profile.hard is None:
        return 0.0
    return distance_squared(profile.dim, profile, profile.hard, profile.radii)


def choose_knots(d: int, *, shells: int, ramp: float, accuracy: float) -> int:
    r"""$\lceil\sqrt{dN/(2\beta\delta)}\rceil$, the least m for which $dN/(2\beta m^2)$ is at most `accuracy`.

    Raises:
        ValueError: If ramp is not in (0, 1/2] or the accuracy not positive.

    >>> choose_knots(10, shells=40, ramp=0.25, accuracy=0.05)
    127
    """
    if not 0 < ramp <= 0.5:
        raise ValueError(f"Knots can be chosen for a continuous profile, with ramp in (0, 1/2]; got {ramp}.")
    square = checked_dim(d) * _count(shells) / (2 * ramp * _positive(accuracy, "accuracy"))
    # the next float below is tried too, since a product such as 0.05 * 0.5 is not exact
    return max(1, math.ceil(math.sqrt(square) * (1 - 1e-14)))


def three_layer_network(profile: Profile, *, knots: int, shift: float = 0.0) -> Construction:
    r"""Two hidden layers of widths $2d(m+1)$ and $3N+1$ for $G(|x|^2)$, with a bound on all of $\mathbb R^d$.

    $\sup_x|\mathrm{Net}(x) - G(|x|^2)| \le L_z \max(e - \mathrm{shift}, \mathrm{shift})$, $e = dh^2/4$,
    $h = \sqrt{z_K}/m$; for the profile of `profile(...)` and shift 0 that is $dN^2/(\beta m^2(2N+1))$, whatever the
    scale. The network is 0 where G is, beyond the outer radius.

    Args:
        profile: G, piecewise linear in $|x|^2$ and continuous.
        knots: m; [`choose_knots`](#expressivity.constructions.eldan_shamir2016.choose_knots) finds it for an accuracy.
        shift: Between 0 and e; $dh^2/6$ centres the error of the first layer.

    Returns:
        A `Construction` in the sup norm; its `l2_bound` is the bound in $L_2(\mu)$ of
        [`FactoredNetwork`](#expressivity.constructions.eldan_shamir2016.FactoredNetwork), which also evaluates the
        network quickly and gives its widths and bounds without building the matrices.

    Raises:
        TypeError: If `profile` is no profile.
        ValueError: If it is not continuous and piecewise linear in $|x|^2$, or an argument is out of its range.

    >>> made = three_layer_network(profile(2, alpha=1.0, shells=4, ramp=0.25), knots=8)
    >>> made.network.hidden_widths, made.network.width == made.width_bound
    ((36, 13), True)
    """
    net = FactoredNetwork(profile, knots, shift)
    return Construction(
        network=net.dense(),
        target=target(profile),
        theorem=theorems.find("expressivity", "radial network"),
        error_bound=net.sup_bound,
        norm="sup",
        width_bound=max(net.widths),
        l2_bound=net.l2_bound,
    )


def target(profile: Profile, measure: Any = None) -> Target:
    r"""$f(x) = G(|x|^2)$ in the measure of Eldan and Shamir, or in another one.

    >>> target(profile(2, alpha=1.0, shells=4, ramp=0.25)).values([[1.0, 1.2]]).tolist()
    [1.0]
    """
    measure = EldanShamir(profile.dim) if measure is None else measure
    lipschitz = 2 * float(profile.radii[-1]) * profile.lipschitz
    return Target(
        lambda x: profile(jnp.sum(x**2)),
        measure,
        lipschitz=lipschitz if math.isfinite(lipschitz) else None,
        name=f"radial_{profile.kind}_{len(profile.knots)}",
    )


def interpolant_width(radius: float, lipschitz: float, accuracy: float) -> int:
    r"""Units that approximate every L-Lipschitz function, constant outside [-R, R], to $\delta$ in the sup norm.

    0 if $RL < \delta$ (the midrange), else $n + 1$ with $n = \lceil RL/\delta\rceil$, by interpolation at n + 1 knots;
    this is the paper's Assumption 1 for ReLU with $c_\sigma = 3$.

    Raises:
        ValueError: If the radius or the accuracy is not positive, or the Lipschitz constant negative.

    >>> interpolant_width(2.0, 3.0, 0.05), interpolant_width(1.0, 0.05, 0.1)
    (121, 0)
    """
    if not (math.isfinite(lipschitz) and lipschitz >= 0):
        raise ValueError(f"A Lipschitz constant is finite and not negative; got {lipschitz}.")
    ratio = _positive(radius, "radius") * lipschitz / _positive(accuracy, "accuracy")
    return 0 if ratio < 1 else math.ceil(ratio * (1 - 1e-15)) + 1


def paper_width(d: int, alpha: float, shells: int, accuracy: float, c_sigma: float = 3.0) -> int:
    r"""The width $\lfloor(8c_\sigma/\delta)\,\alpha^{3/2} N d^{11/4}\rfloor + 1$ of the paper's Proposition 17.

    Raises:
        ValueError: If an argument is out of its range.

    >>> paper_width(10, 1.0, 100, 0.1)
    13496192
    """
    constant = 8 * _positive(c_sigma, "c_sigma") / _positive(accuracy, "accuracy")
    return math.floor(constant * _positive(alpha, "alpha") ** 1.5 * _count(shells) * checked_dim(d) ** 2.75) + 1


def paper_units(d: int, alpha: float, shells: int, accuracy: float) -> tuple[int, int]:
    r"""The ReLU units of the two layers of the paper's network, counted by its Lemma 19.

    $d(2m_1+1)$ with $m_1 = \lceil 2dR^2L/(\sqrt r\,\delta)\rceil$ and $2m_2 + 2$ with
    $m_2 = \lceil R^2L/(\sqrt r\,\delta)\rceil$; $R = 2\alpha\sqrt d$, $r = \alpha\sqrt d$, L = N.

    >>> paper_units(2, 1.0, 12, 0.05)
    (25838, 3232)
    """
    inner = _scale(d, alpha)
    ratio = (2 * inner) ** 2 * _count(shells) / (math.sqrt(inner) * _positive(accuracy, "accuracy"))
    return d * (2 * math.ceil(2 * d * ratio) + 1), 2 * math.ceil(ratio) + 2


def low_frequency_fraction(d: int, alpha: float, shells: int) -> float:
    r"""A bound of the share of $\|g_i\varphi\|^2$-energy inside $2R_d$ for every shell: $4\lambda R_d\alpha\sqrt d/N$.

    $\lambda = 2.01$ holds for all d >= 2; it is the share of $\hat g_i$ of a single shell of width $\alpha\sqrt d/N$
    (the paper's Lemma 9 with its constant tracked).

    >>> round(low_frequency_fraction(10, 1.0, 40), 4)
    0.5788
    """
    return min(1.0, 4 * 2.01 * ball_radius(d) * _scale(d, alpha) / _count(shells))


def _scale(d: int, alpha: float) -> float:
    inner = _positive(alpha, "alpha") * math.sqrt(checked_dim(d))
    if not 1e-140 < inner < 1e140:
        raise ValueError(f"The radii from {inner:g} on have no squares in float64; got alpha={alpha}. Use about 1.")
    return inner


def _positive(value: float, what: str) -> float:
    if not (np.ndim(value) == 0 and math.isfinite(value) and value > 0):
        raise ValueError(f"The {what} is a positive finite number; got {value}.")
    return float(value)


def _count(shells: int) -> int:
    if isinstance(shells, bool) or not hasattr(shells, "__index__"):
        raise TypeError(f"A number of shells is a whole number, not {shells!r}.")
    if shells < 1:
        raise ValueError(f"At least 1 shell has to fit; got shells={shells}.")
    if shells > _MOST_SHELLS:
        raise ValueError(f"At most {_MOST_SHELLS} shells fit into memory and float64 radii; got shells={shells}.")
    return int(shells)


def _signs(signs: Any, shells: int, seed: int) -> np.ndarray:
    if isinstance(signs, str):
        if signs == "alternating":
            return np.where(np.arange(shells) % 2 == 0, 1.0, -1.0)
        if signs == "random":
            return np.random.default_rng(seed).choice([-1.0, 1.0], shells)
        raise ValueError(f'Signs are "alternating", "random" or {shells} numbers; got {signs!r}.')
    values = np.asarray(signs, dtype=np.float64)
    if values.shape != (shells,):
        raise ValueError(f"{shells} shells need {shells} signs; got an array of shape {values.shape}.")
    if not np.all(np.abs(values) <= 1):
        raise ValueError(f"Signs are numbers in [-1, 1]; got {values[~(np.abs(values) <= 1)][0]}.")
    return values


def _mask(mask: Any, d: int, alpha: float, shells: int) -> np.ndarray:
    if mask is None:
        return np.ones(shells)
    if isinstance(mask, str):
        if mask != "good":
            raise ValueError(f'A mask is "good", or {shells} truth values; got {mask!r}.')
        return np.isin(np.arange(shells), good_shells(d, alpha, shells)).astype(np.float64)
    kept = np.asarray(mask, dtype=bool)
    if kept.shape != (shells,):
        raise ValueError(f"{shells} shells need a mask of {shells} entries; got shape {kept.shape}.")
    return kept.astype(np.float64)
