"""Probability measures on R^n in which errors are taken: sampling, density, deterministic quadrature."""

import abc
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

Points = Float[np.ndarray, "points n"]
Rule = tuple[Points, Float[np.ndarray, " points"]]


class AbstractMeasure(eqx.Module):
    """A probability measure on R^n: what every domain of a `Target` offers.

    Densities are with respect to Lebesgue measure and integrate to 1. `quadrature` and everything else of a proof is
    NumPy float64; `sample` is JAX, of the precision JAX is set to.
    """

    dim: eqx.AbstractVar[int]

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """A short name for tables and figures."""

    @abc.abstractmethod
    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        """`count` independent points; a function of `key` alone."""

    @abc.abstractmethod
    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        """The density at points of shape (..., n)."""

    @abc.abstractmethod
    def contains(self, x: Any) -> np.ndarray:
        """Whether points of shape (..., n) lie in the closed support."""

    @abc.abstractmethod
    def quadrature(self, order: int) -> Rule:
        """A deterministic rule (points, weights): `order` points an axis, weights positive, summing to 1."""

    @property
    def bounded(self) -> bool:
        """Whether the support is bounded, so that a supremum over it can be attained."""
        return True


class AbstractDomain(AbstractMeasure):
    """The uniform probability measure on a compact convex set."""

    @property
    @abc.abstractmethod
    def volume(self) -> float:
        """Lebesgue measure of the set."""

    @property
    @abc.abstractmethod
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of the smallest box that contains the set."""

    @property
    @abc.abstractmethod
    def center(self) -> np.ndarray:
        """The point of symmetry."""

    @property
    @abc.abstractmethod
    def diameter(self) -> float:
        """Largest distance of two points of the set."""

    @abc.abstractmethod
    def project(self, x: Any) -> np.ndarray:
        """The nearest points of the set (a map with Lipschitz constant 1)."""

    @abc.abstractmethod
    def exit_time(self, point: np.ndarray, direction: np.ndarray) -> float:
        """The largest t >= 0 for which `point + t * direction` is in the set (`inf` for direction 0)."""

    @abc.abstractmethod
    def boundary(self, count: int) -> Points:
        """About `count` points spread over the boundary, corners and axes among them."""

    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        return np.where(self.contains(x), 1.0 / self.volume, 0.0)


def checked_dim(dim: int) -> int:
    """The dimension as an int, refused with a sentence if it is no whole number of at least 1."""
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"A dimension is a whole number, not {dim!r}.")
    if dim < 1:
        raise ValueError(f"A dimension is at least 1, not {dim}.")
    return int(dim)


def checked_points(x: Any, dim: int) -> np.ndarray:
    """The points in float64, refused if their last axis is not `dim` long."""
    x = np.asarray(x, dtype=np.float64)
    if x.shape[-1:] != (dim,):
        raise ValueError(f"Points of this measure have shape (..., {dim}); got {x.shape}.")
    return x


@functools.lru_cache(maxsize=64)
def gauss_legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1], weights summing to 1."""
    # tridiagonal eigenvalues: a second where numpy's dense ones take a minute at order 4000
    nodes, weights = scipy.special.roots_legendre(order)
    return nodes, weights / weights.sum()


def _product_rule(axes: list[tuple[np.ndarray, np.ndarray]]) -> Rule:
    nodes = np.stack(np.meshgrid(*[a for a, _ in axes], indexing="ij"), -1).reshape(-1, len(axes))
    weights = functools.reduce(np.multiply.outer, [w for _, w in axes]).reshape(-1)
    return nodes, weights


def checked_order(order: int) -> int:
    """The order as an int, refused below 1."""
    if order < 1:
        raise ValueError(f"A quadrature rule needs at least 1 point an axis, not {order}.")
    return int(order)


class Box(AbstractDomain):
    r"""The uniform probability measure on the cube $[\mathrm{low}, \mathrm{high}]^n$.

    Args:
        dim: Dimension n.
        low, high: Ends of every side.

    Raises:
        ValueError: If the dimension is below 1 or `low < high` does not hold for finite numbers.

    >>> Box(2).volume, Box(3, 0.0, 1.0).volume
    (4.0, 1.0)
    >>> points, weights = Box(2).quadrature(4)
    >>> round(float(weights @ points[:, 0] ** 2), 12)
    0.333333333333
    """

    dim: int = eqx.field(static=True, converter=checked_dim)
    low: float = eqx.field(static=True, default=-1.0, converter=float)
    high: float = eqx.field(static=True, default=1.0, converter=float)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"A box has finite sides with low < high; got low={self.low}, high={self.high}.")

    @property
    def name(self) -> str:
        return f"[{self.low:g}, {self.high:g}]^{self.dim}"

    @property
    def volume(self) -> float:
        return (self.high - self.low) ** self.dim

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.dim, self.low), np.full(self.dim, self.high)

    @property
    def center(self) -> np.ndarray:
        return np.full(self.dim, (self.low + self.high) / 2)

    @property
    def diameter(self) -> float:
        return (self.high - self.low) * math.sqrt(self.dim)

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        return jax.random.uniform(key, (count, self.dim), minval=self.low, maxval=self.high)

    def contains(self, x: Any) -> np.ndarray:
        x = checked_points(x, self.dim)
        return np.all((x >= self.low) & (x <= self.high), axis=-1)

    def project(self, x: Any) -> np.ndarray:
        return np.clip(checked_points(x, self.dim), self.low, self.high)

    def exit_time(self, point: np.ndarray, direction: np.ndarray) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(direction > 0, (self.high - point) / direction, (self.low - point) / direction)
        times = times[direction != 0]
        return max(0.0, float(times.min())) if times.size else math.inf

    def boundary(self, count: int) -> Points:
        if self.dim == 1:
            return np.array([[self.low], [self.high]])
        per_axis = max(3, round((count / (2 * self.dim)) ** (1 / (self.dim - 1))) | 1)
        axis = np.linspace(self.low, self.high, per_axis)
        grid = np.stack(np.meshgrid(*[axis] * (self.dim - 1), indexing="ij"), -1).reshape(-1, self.dim - 1)
        faces = [np.insert(grid, i, end, axis=1) for i in range(self.dim) for end in (self.low, self.high)]
        return np.unique(np.concatenate(faces), axis=0)

    def quadrature(self, order: int) -> Rule:
        """Gauss-Legendre in every axis: exact for polynomials of degree `2 * order - 1` in each variable."""
        nodes, weights = gauss_legendre(checked_order(order))
        nodes = self.low + (self.high - self.low) * (nodes + 1) / 2
        return _product_rule([(nodes, weights)] * self.dim)


class Ball(AbstractDomain):
    r"""The uniform probability measure on the ball $\{|x| \le \mathrm{radius}\}$ in $\mathbb R^n$.

    Args:
        dim: Dimension n.
        radius: Radius, positive and finite.

    Raises:
        ValueError: If the dimension is below 1 or the radius is not positive and finite.

    >>> points, weights = Ball(3).quadrature(6)
    >>> round(float(weights @ (points**2).sum(1)), 12)
    0.6
    """

    dim: int = eqx.field(static=True, converter=checked_dim)
    radius: float = eqx.field(static=True, default=1.0, converter=float)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"The radius of a ball is positive and finite, not {self.radius}.")

    @property
    def name(self) -> str:
        return f"ball({self.dim})" if self.radius == 1 else f"ball({self.dim}, {self.radius:g})"

    @property
    def volume(self) -> float:
        return math.exp(
            self.dim / 2 * math.log(math.pi) - math.lgamma(self.dim / 2 + 1) + self.dim * math.log(self.radius)
        )

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.dim, -self.radius), np.full(self.dim, self.radius)

    @property
    def center(self) -> np.ndarray:
        return np.zeros(self.dim)

    @property
    def diameter(self) -> float:
        return 2 * self.radius

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        direction, radial = jax.random.split(key)
        g = jax.random.normal(direction, (count, self.dim))
        r = self.radius * jax.random.uniform(radial, (count, 1)) ** (1.0 / self.dim)
        return r * g / jnp.linalg.norm(g, axis=1, keepdims=True)

    def contains(self, x: Any) -> np.ndarray:
        return np.linalg.norm(checked_points(x, self.dim), axis=-1) <= self.radius * (1 + 1e-14)

    def project(self, x: Any) -> np.ndarray:
        x = checked_points(x, self.dim)
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        return np.where(norm > self.radius, x * (self.radius / np.maximum(norm, self.radius)), x)

    def exit_time(self, point: np.ndarray, direction: np.ndarray) -> float:
        a, b = float(direction @ direction), float(point @ direction)
        if a == 0:
            return math.inf
        c = float(point @ point) - self.radius**2
        return max(0.0, (-b + math.sqrt(max(0.0, b * b - a * c))) / a)

    def boundary(self, count: int) -> Points:
        return self.radius * sphere_points(self.dim, count)

    def quadrature(self, order: int) -> Rule:
        """Gauss-Jacobi in the radius, Gauss-Gegenbauer in the polar angles, equispaced in the last one.

        Exact for polynomials of total degree `2 * order - 1`.
        """
        order = checked_order(order)
        if self.dim == 1:
            nodes, weights = gauss_legendre(order)
            return self.radius * nodes[:, None], weights
        z, w = scipy.special.roots_jacobi(order, 0.0, self.dim - 1.0)
        radii, radial = self.radius * (1 + z) / 2, w / w.sum()
        directions, angular = sphere_rule(self.dim, order)
        points = radii[:, None, None] * directions[None]
        return points.reshape(-1, self.dim), np.multiply.outer(radial, angular).reshape(-1)


class Gaussian(AbstractMeasure):
    r"""The normal distribution $\mathcal N(\mathrm{mean}, \mathrm{scale}^2 I)$ on $\mathbb R^n$.

    Args:
        dim: Dimension n.
        mean: The same for every coordinate.
        scale: Standard deviation of every coordinate, positive and finite.

    Raises:
        ValueError: If the dimension is below 1, the mean not finite or the scale not positive and finite.

    >>> points, weights = Gaussian(2, scale=3.0).quadrature(5)
    >>> round(float(weights @ points[:, 0] ** 2), 10)
    9.0
    """

    dim: int = eqx.field(static=True, converter=checked_dim)
    mean: float = eqx.field(static=True, default=0.0, converter=float)
    scale: float = eqx.field(static=True, default=1.0, converter=float)

    def __check_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"The mean of a Gaussian is finite, not {self.mean}.")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"The scale of a Gaussian is positive and finite, not {self.scale}.")

    @property
    def name(self) -> str:
        return f"normal({self.dim})"

    @property
    def bounded(self) -> bool:
        return False

    def sample(self, key: Array, count: int) -> Float[Array, "count n"]:
        return self.mean + self.scale * jax.random.normal(key, (count, self.dim))

    def density(self, x: Any) -> Float[np.ndarray, "..."]:
        z = (checked_points(x, self.dim) - self.mean) / self.scale
        return np.exp(-0.5 * (z**2).sum(-1) - self.dim * math.log(self.scale * math.sqrt(2 * math.pi)))

    def contains(self, x: Any) -> np.ndarray:
        return np.all(np.isfinite(checked_points(x, self.dim)), axis=-1)

    def quadrature(self, order: int) -> Rule:
        """Gauss-Hermite in every axis: exact for polynomials of degree `2 * order - 1` in each variable."""
        z, w = scipy.special.roots_hermitenorm(checked_order(order))
        return _product_rule([(self.mean + self.scale * z, w / w.sum())] * self.dim)


def sphere_rule(dim: int, order: int) -> Rule:
    """A rule for the uniform measure on the unit sphere of R^dim, dim >= 2, exact to degree `2 * order - 1`.

    >>> directions, weights = sphere_rule(3, 4)
    >>> round(float(weights @ directions[:, 2] ** 4), 12)
    0.2
    """
    angles = np.pi * (2 * np.arange(2 * order) + 1) / (2 * order)
    points, weights = np.stack([np.cos(angles), np.sin(angles)], 1), np.full(2 * order, 0.5 / order)
    for n in range(3, dim + 1):
        # the last coordinate z of a uniform direction in R^n has density proportional to (1 - z^2)^((n - 3) / 2)
        z, w = scipy.special.roots_jacobi(order, (n - 3) / 2, (n - 3) / 2)
        ring = np.sqrt(1 - z**2)[:, None, None] * points[None]
        polar = np.broadcast_to(z[:, None, None], (*ring.shape[:2], 1))
        points = np.concatenate([ring, polar], axis=2).reshape(-1, n)
        weights = np.multiply.outer(w / w.sum(), weights).reshape(-1)
    return points, weights


def sphere_points(dim: int, count: int) -> Points:
    """About `count` unit vectors spread over the sphere of R^dim, the 2 * dim signed axes first.

    >>> sphere_points(1, 10).tolist()
    [[1.0], [-1.0]]
    """
    axes = np.concatenate([np.eye(dim), -np.eye(dim)])
    if dim == 1:
        return axes
    if dim == 2:
        angles = 2 * np.pi * np.arange(count) / count
        return np.concatenate([axes, np.stack([np.cos(angles), np.sin(angles)], 1)])
    halton = np.stack([_radical_inverse(count, base) for base in _primes(dim)], 1)
    normal = scipy.special.ndtri(halton)
    return np.concatenate([axes, normal / np.linalg.norm(normal, axis=1, keepdims=True)])


def _radical_inverse(count: int, base: int) -> np.ndarray:
    """The first `count` terms, from index 1, of van der Corput's sequence, all inside (0, 1)."""
    index, value, digit = np.arange(1, count + 1), np.zeros(count), 1.0 / base
    while np.any(index):
        value += digit * (index % base)
        index, digit = index // base, digit / base
    return value


def _primes(count: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % p for p in primes):
            primes.append(candidate)
        candidate += 1
    return primes
