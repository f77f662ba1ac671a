"""The measure of Eldan and Shamir on R^n, its restriction to a shell, and pairs of points on a sphere."""

import math
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from expressivity import radial_law as law
from expressivity import radial_sampling as sampling
from expressivity.measures import AbstractMeasure, Rule, checked_dim, checked_order, checked_points, sphere_rule


class EldanShamir(AbstractMeasure):
    r"""The probability measure $d\mu = \varphi^2 dx$ on $\mathbb R^d$ of Eldan and Shamir (2016).

    $\varphi(x) = (R_d/|x|)^{d/2} J_{d/2}(2\pi R_d|x|)$ has Fourier transform $1_{|w| \le R_d}$, where $R_d$ is the
    radius of the ball of volume 1. The radius $r = |x|$ has density $p(r) = (d/r) J_{d/2}(2\pi R_d r)^2$ and is
    independent of the direction, which is uniform.

    The tail is heavy: $P(|x| > r) \sim \tau_\infty/r$ with $\tau_\infty = d/(2\pi^2R_d) \approx 0.21\sqrt d$. So

    - $E|x| = \infty$, and $E|x|^\beta < \infty$ only for $\beta < 1$: quantiles of samples converge, means do not;
    - affine functions and single ReLU units are not in $L_2(\mu)$, bounded functions are; a ReLU network is if and only
      if it does not grow along almost every ray. The empirical mean square of an unbounded student means nothing here;
    - a function supported in a shell is seen with the probability of that shell alone: sample on
      [`shell`](#expressivity.EldanShamir) and multiply by its mass;
    - statements about all of $\mathbb R^d$ under this measure say nothing about its truncation to a ball.

    Args:
        dim: Dimension d.

    Raises:
        ValueError: If the dimension is below 1.

    >>> import expressivity as ex
    >>> measure = ex.EldanShamir(2)
    >>> round(measure.radial_sf(10.0), 12), round(measure.radial_ppf(0.5), 12)
    (0.018012120031, 0.473982649911)
    """

    dim: int = eqx.field(static=True, converter=checked_dim)

    @property
    def name(self) -> str:
        return f"Eldan-Shamir({self.dim})"

    @property
    def bounded(self) -> bool:
        return False

    def radial_pdf(self, r: Any) -> Any:
        r"""$p(r) = (d/r)\,J_{d/2}(2\pi R_d r)^2$; a ValueError says where that underflows and d is above 200."""
        return law.radial_pdf(self.dim, r)

    def radial_sf(self, r: Any) -> Any:
        r"""$P(|x| > r)$, a finite sum of squares of Bessel functions, accurate far into the tail."""
        return law.radial_sf(self.dim, r)

    def radial_cdf(self, r: Any) -> Any:
        r"""$P(|x| \le r)$, accurate near 0."""
        return law.radial_cdf(self.dim, r)

    def radial_ppf(self, q: Any) -> Any:
        r"""The quantile of $|x|$ at probabilities q in [0, 1]."""
        return law.radial_ppf(self.dim, q)

    @property
    def tail_coefficient(self) -> float:
        r"""$\tau_\infty$ in $P(|x| > r) \sim \tau_\infty/r$."""
        return law.tail_coefficient(self.dim)

    def shell(self, inner: float, outer: float) -> "EldanShamirShell":
        r"""The measure conditioned on $\mathrm{inner} \le |x| \le \mathrm{outer}$; its `mass` is that probability.

        >>> import expressivity as ex
        >>> round(ex.EldanShamir(2).shell(2**0.5, 8**0.5).mass, 12)
        0.075912175737
        """
        return EldanShamirShell(self.dim, inner, outer)

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        """`count` independent points; a function of `key` alone, for `jax.jit`, `jax.vmap` and every accelerator.

        Up to a radius of three half dimensions (in t) by inverting a table of the distribution function, quintic
        between its nodes and within 1e-9 of it; beyond by rejection from the tail bound, with the Bessel function by
        Debye's expansion.
        """
        count = sampling.checked_count(count)
        direction, where, inside, outside = jax.random.split(key, 4)
        table = sampling.cells(self.dim, 0.0, sampling.table_end(self.dim))
        near = sampling.sample_cells(table, inside, count)
        far = sampling.sample_tail(self.dim, table.high, outside, count)
        t = jnp.where(jax.random.uniform(where, (count,)) < table.mass, near, far)
        return (t / (2 * np.pi * law.ball_radius(self.dim)))[:, None] * sampling.uniform_directions(
            direction, count, self.dim
        )

    def sample_exact(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count n"]:
        r"""`count` independent points in float64, by NumPy.

        With probability $P(t \le \nu)$ by inversion on $[0, \nu]$, where the density has no zero; else by rejection:
        propose $t = \nu/\sin(\pi U/2)$ and accept with probability $(\pi/2) J_\nu(t)^2 \sqrt{t^2 - \nu^2} \le 1$.

        Args:
            rng: A generator, such as `numpy.random.default_rng(0)`.
            count: Number of points.

        Raises:
            TypeError: If `rng` is no NumPy generator.

        >>> import numpy as np, expressivity as ex
        >>> ex.EldanShamir(3).sample_exact(np.random.default_rng(0), 5).shape
        (5, 3)
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"sample_exact draws from a numpy.random.Generator, not from {rng!r}.")
        count, nu = sampling.checked_count(count), self.dim / 2
        table = sampling.cells(self.dim, 0.0, nu)
        cell = np.minimum(np.searchsorted(table.cdf, rng.uniform(size=count), side="right"), len(table.cdf) - 1)
        t = table.start[cell] + table.length * sampling.invert(np, table.coefficients[cell].T, rng.uniform(size=count))
        todo = np.flatnonzero(rng.uniform(size=count) >= table.mass)
        while len(todo):
            trial = nu / np.sin(np.pi / 2 * (1 - rng.uniform(size=len(todo))))
            accept = np.pi / 2 * law.bessel(self.dim, trial) ** 2 * np.sqrt((trial - nu) * (trial + nu))
            taken = rng.uniform(size=len(todo)) < accept
            t[todo[taken]] = trial[taken]
            todo = todo[~taken]
        g = rng.standard_normal((count, self.dim))
        r = t / (2 * np.pi * law.ball_radius(self.dim))
        return r[:, None] * g / np.linalg.norm(g, axis=1, keepdims=True)

    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        r = np.linalg.norm(checked_points(x, self.dim), axis=-1)
        return np.asarray(np.square(law.phi(self.dim, r)))

    def contains(self, x: Any) -> np.ndarray:
        return np.all(np.isfinite(checked_points(x, self.dim)), axis=-1)

    def quadrature(self, order: int) -> Rule:
        """About `order` radii, each with a rule on the sphere of R^dim.

        Two thirds of the radii lie in 24 equal panels up to radius 3 sqrt(d) (fewer for small orders), the others in
        panels of doubling length; on each panel they are the Gauss nodes of the measure itself, so the weights are
        positive and every panel has its exact mass.
        """
        order = checked_order(order)
        if order < 4:
            return _with_directions(self.dim, *_radial_rule(self.dim, np.array([0.0, np.inf]), order), order)
        core = 3 * math.sqrt(self.dim)
        inner = max(1, min(24, order // 4))
        each = max(1, round(order * 2 / 3 / inner))
        outer = max(1, min(10, (order - inner * each) // max(1, min(each, 4))))
        edges = np.concatenate([np.linspace(0, core, inner + 1), core * 2.0 ** np.arange(1, outer), [np.inf]])
        r, w = _radial_rule(self.dim, edges[: inner + 1], each)
        s, v = _radial_rule(self.dim, edges[inner:], max(1, (order - inner * each) // outer))
        weights = np.concatenate([w, v])
        return _with_directions(self.dim, np.concatenate([r, s]), weights / weights.sum(), order)


class EldanShamirShell(AbstractMeasure):
    r"""The measure of Eldan and Shamir conditioned on $\mathrm{inner} \le |x| \le \mathrm{outer}$.

    For stratified work: a squared error of a function that vanishes outside the shell, taken here and multiplied by
    `mass`, is the squared error under the whole measure.

    Args:
        dim: Dimension d.
        inner, outer: Radii, `0 <= inner < outer < inf`.

    Raises:
        ValueError: If the radii are not in this order, or the shell has no mass in float64.

    >>> shell = EldanShamirShell(3, 1.0, 2.0)
    >>> points, weights = shell.quadrature(8)
    >>> bool(shell.contains(points).all()), round(float(weights.sum()), 12)
    (True, 1.0)
    """

    dim: int = eqx.field(static=True, converter=checked_dim)
    inner: float = eqx.field(static=True, converter=float)
    outer: float = eqx.field(static=True, converter=float)

    def __check_init__(self) -> None:
        if not 0 <= self.inner < self.outer < math.inf:
            raise ValueError(f"A shell has radii 0 <= inner < outer < inf; got inner={self.inner}, outer={self.outer}.")
        if self.mass < 1e-280:
            raise ValueError(
                f"J_{self.dim / 2:g} underflows on the shell [{self.inner:g}, {self.outer:g}] in dimension {self.dim}; "
                "its mass has no float64 value. Use larger radii, near sqrt(d) or above."
            )

    @property
    def name(self) -> str:
        return f"Eldan-Shamir({self.dim}) on [{self.inner:g}, {self.outer:g}]"

    @property
    def mass(self) -> float:
        """The probability of the shell under the whole measure."""
        return law.radial_mass(self.dim, self.inner, self.outer)

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        """`count` independent points; a function of `key` alone, traceable by JAX."""
        count = sampling.checked_count(count)
        direction, inside = jax.random.split(key)
        scale = 2 * np.pi * law.ball_radius(self.dim)
        t = sampling.sample_cells(sampling.cells(self.dim, scale * self.inner, scale * self.outer), inside, count)
        r = jnp.clip(t / scale, self.inner, self.outer)
        return r[:, None] * sampling.uniform_directions(direction, count, self.dim)

    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        r = np.linalg.norm(checked_points(x, self.dim), axis=-1)
        inside = (r >= self.inner) & (r <= self.outer)
        return np.where(inside, np.asarray(law.phi(self.dim, np.where(inside, r, 0.0))) ** 2 / self.mass, 0.0)

    def contains(self, x: Any) -> np.ndarray:
        r = np.linalg.norm(checked_points(x, self.dim), axis=-1)
        return (r >= self.inner * (1 - 1e-14)) & (r <= self.outer * (1 + 1e-14))

    def project(self, x: Any) -> np.ndarray:
        """The nearest points of the shell; the origin goes to a point of the first axis."""
        x = checked_points(x, self.dim)
        r = np.linalg.norm(x, axis=-1, keepdims=True)
        axis = np.eye(self.dim)[0]
        return np.where(r > 0, x / np.where(r > 0, r, 1.0), axis) * np.clip(r, self.inner, self.outer)

    def quadrature(self, order: int) -> Rule:
        """About `order` radii, Gauss nodes of the measure on up to 24 equal panels, each with a rule on the sphere."""
        order = checked_order(order)
        panels = max(1, min(24, order // 4))
        edges = np.linspace(self.inner, self.outer, panels + 1)
        r, w = _radial_rule(self.dim, edges, max(1, round(order / panels)))
        return _with_directions(self.dim, r, w / w.sum(), order)


class SphereProduct(AbstractMeasure):
    r"""The uniform probability measure on pairs $(x, x') \in S^{d-1} \times S^{d-1} \subset \mathbb R^{2d}$.

    The setting of Daniely (2017). The inner product $t = \langle x, x'\rangle$ has the density
    $\Gamma(d/2)/(\sqrt\pi\,\Gamma((d-1)/2))\,(1-t^2)^{(d-3)/2}$. There is no density with respect to Lebesgue measure.

    Args:
        sphere_dim: d, the number of coordinates of each of the two points, at least 2.

    Raises:
        ValueError: If d is below 2.

    >>> points, weights = SphereProduct(3).quadrature(4)
    >>> inner = (points[:, :3] * points[:, 3:]).sum(1)
    >>> round(float(weights @ inner**2), 12)
    0.333333333333
    """

    dim: int = eqx.field(static=True)
    sphere_dim: int = eqx.field(static=True)

    def __init__(self, sphere_dim: int) -> None:
        if checked_dim(sphere_dim) < 2:
            raise ValueError(f"Points on a sphere have at least 2 coordinates, not {sphere_dim}.")
        self.sphere_dim, self.dim = int(sphere_dim), 2 * int(sphere_dim)

    @property
    def name(self) -> str:
        return f"sphere({self.sphere_dim})^2"

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        count = sampling.checked_count(count)
        first, second = jax.random.split(key)
        return jnp.concatenate(
            [sampling.uniform_directions(k, count, self.sphere_dim) for k in (first, second)], axis=1
        )

    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        """Raises ValueError: the measure lives on a set of volume 0."""
        raise ValueError(f"{self.name} has no density with respect to Lebesgue measure; integrate with `quadrature`.")

    def contains(self, x: Any) -> np.ndarray:
        x = checked_points(x, self.dim)
        norms = np.linalg.norm(x.reshape(*x.shape[:-1], 2, self.sphere_dim), axis=-1)
        return np.all(np.abs(norms - 1) <= 1e-12, axis=-1)

    def project(self, x: Any) -> np.ndarray:
        """Both halves scaled to length 1; a half that is 0 goes to the first axis."""
        x = checked_points(x, self.dim)
        halves = x.reshape(*x.shape[:-1], 2, self.sphere_dim)
        norms = np.linalg.norm(halves, axis=-1, keepdims=True)
        axis = np.eye(self.sphere_dim)[0]
        return np.where(norms > 0, halves / np.where(norms > 0, norms, 1.0), axis).reshape(x.shape)

    def quadrature(self, order: int) -> Rule:
        """The product of two rules on the sphere, exact to degree `2 * order - 1` in each of the two points."""
        points, weights = sphere_rule(self.sphere_dim, checked_order(order))
        first, second = np.repeat(points, len(points), 0), np.tile(points, (len(points), 1))
        return np.concatenate([first, second], 1), np.multiply.outer(weights, weights).reshape(-1)


def _with_directions(dim: int, radii: np.ndarray, weights: np.ndarray, order: int) -> Rule:
    if dim == 1:
        return np.concatenate([radii, -radii])[:, None], np.concatenate([weights, weights]) / 2
    directions, angular = sphere_rule(dim, order)
    points = radii[:, None, None] * directions[None]
    return points.reshape(-1, dim), np.multiply.outer(weights, angular).reshape(-1)


def _radial_rule(dim: int, edges: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """`each` Gauss nodes of the radial law on every panel between consecutive edges; the last edge may be infinite."""
    radii, weights = [], []
    for low, high in pairwise(edges):
        nodes, w = _fine(dim, float(low), float(high))
        r, v = _gauss(nodes, w, each)
        mass = law.radial_mass(dim, float(low), float(high))
        radii.append(1 / r if math.isinf(high) else r)
        weights.append(v / v.sum() * mass)
    return np.concatenate(radii), np.concatenate(weights)


def _fine(dim: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A fine discretisation of the law on a panel; in 1/r if it is infinite, where the law is nearly uniform."""
    z, w = np.polynomial.legendre.leggauss(16)
    if math.isinf(high):
        if low == 0:
            q = (z + 1) / 2
            return 1 / np.maximum(law.radial_ppf(dim, q), 1e-12), w / 2
        return (z + 1) / 2 / low, w / 2
    panels = min(2000, max(2, math.ceil((high - low) * 2 * law.ball_radius(dim))))
    edges = np.linspace(low, high, panels + 1)
    r = (edges[:-1, None] + np.diff(edges)[:, None] * (z + 1) / 2).reshape(-1)
    return r, np.tile(w, panels) * law.radial_pdf(dim, r)


def _gauss(nodes: np.ndarray, weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss rule of a discrete positive measure, by the Stieltjes recurrence."""
    total = weights.sum()
    if total <= 0:
        return nodes[:1], np.ones(1)
    w = weights / total
    low, high = nodes.min(), nodes.max()
    x = (2 * nodes - low - high) / (high - low)
    diagonal, off, before, p, b = [], [], np.zeros_like(x), np.ones_like(x), 0.0
    for k in range(count):
        diagonal.append(float(w @ (x * p * p)))
        rest = (x - diagonal[-1]) * p - b * before
        b = math.sqrt(float(w @ (rest * rest)))
        if k + 1 == count or b < 1e-10:
            break
        off.append(b)
        before, p = p, rest / b
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return (values * (high - low) + low + high) / 2, vectors[0] ** 2
