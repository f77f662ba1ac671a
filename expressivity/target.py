"""The class of targets: a function together with the probability measure in which errors against it are taken."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from expressivity.measures import AbstractDomain, AbstractMeasure, Points
from expressivity.relu.network import ReLUNetwork
from expressivity.tracing import fresh

# Points an axis of the default quadrature rules, by dimension: about 200,000 points each.
QUADRATURE_ORDERS = {1: 4000, 2: 320, 3: 44, 4: 18, 5: 9, 6: 6}

PointFunction = Callable[[Float[Array, " n"]], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Quadratic:
    r"""The coefficients of $f(x) = x^T A x + b \cdot x + c$, for closed forms. `matrix` is symmetric."""

    matrix: np.ndarray
    slope: np.ndarray
    offset: float


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    r"""A function $f: \mathbb R^n \to \mathbb R$ with the probability measure in which errors against it are taken.

    Args:
        function: Maps one point of shape (n,) to one number; JAX-traceable.
        measure: The measure, for instance `ex.Ball(2)`.
        lipschitz: A Lipschitz constant of f on the support (Euclidean norm), where one is known. Proved bounds use it.
        name: A short name for tables.
        quadratic: The coefficients, if f is a quadratic polynomial.
        network: A network that equals f everywhere, if there is one.
        oscillation: Bounds $\sup |f - f(\mathrm{center})|$ on boxes: maps lower and upper corners of shape (boxes, n)
            to (boxes,). Needed for proved bounds where f has no Lipschitz constant.
        witness: Points of shape (k, n) that every evaluation in the sup norm has to contain; by default the centre and
            the boundary of the domain.
        radial: Whether f is known to depend on $|x|$ alone.

    Raises:
        TypeError: If JAX cannot trace the function.
        ValueError: If its value is not one number, or the Lipschitz constant is negative or not finite.

    >>> import expressivity as ex, jax.numpy as jnp
    >>> target = ex.Target(lambda x: jnp.sin(x[0]), ex.Box(2), lipschitz=1.0, name="sine")
    >>> round(float(target.values([[0.5, 0.0]])[0]), 9)
    0.479425539
    """

    function: PointFunction
    measure: AbstractMeasure
    lipschitz: float | None = None
    name: str = "target"
    quadratic: Quadratic | None = None
    network: ReLUNetwork | None = None
    oscillation: Callable[[Points, Points], np.ndarray] | None = None
    witness: Points | None = None
    radial: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.measure, AbstractMeasure):
            raise TypeError(f"A target needs a measure such as expressivity.Ball(2); got {self.measure!r}.")
        if self.lipschitz is not None and not (math.isfinite(self.lipschitz) and self.lipschitz >= 0):
            raise ValueError(f"A Lipschitz constant is finite and not negative; got {self.lipschitz}.")
        n = self.measure.dim
        try:
            result = jax.eval_shape(fresh(self.function), jax.ShapeDtypeStruct((n,), jnp.float32))
        except Exception as error:
            reason = (str(error) or "no message").splitlines()[0]
            raise TypeError(
                f"The function of target {self.name!r} cannot be traced by JAX at a point of shape ({n},) "
                f"({type(error).__name__}: {reason}). Write it with jax.numpy, without branching on values."
            ) from error
        shape = getattr(result, "shape", None)
        if shape != ():
            found = f"an array of shape {shape}" if shape is not None else repr(result)
            raise ValueError(
                f"The function of target {self.name!r} returns {found} at one point; it has to return one number, of "
                "shape ()."
            )
        if jnp.issubdtype(result.dtype, jnp.complexfloating):
            raise ValueError(
                f"The function of target {self.name!r} returns a complex number ({result.dtype}); it has to be real."
            )

    @property
    def dim(self) -> int:
        """The dimension n of the points that f reads."""
        return self.measure.dim

    @property
    def witness_points(self) -> Points:
        """The points that an evaluation in the sup norm contains."""
        if self.witness is not None:
            return np.asarray(self.witness, dtype=np.float64)
        if isinstance(self.measure, AbstractDomain):
            return np.concatenate([self.measure.center[None], self.measure.boundary(256)])
        return np.zeros((0, self.dim))

    def values(self, points: Any) -> Float[np.ndarray, " points"]:
        """f at points of shape (k, n), in float64.

        Raises:
            ValueError: If the points have another shape, or the function is NaN or infinite at one of them.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(f"Target {self.name!r} reads points of shape (k, {self.dim}); got {points.shape}.")
        with jax.enable_x64(True):
            values = np.asarray(self._values(points), dtype=np.float64)
        if not np.all(np.isfinite(values)):
            where = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(
                f"Target {self.name!r} is {values[where]} at the point {points[where].tolist()} of "
                f"{self.measure.name}; it has to be finite wherever its error is taken."
            )
        return values

    def gradients(self, points: Any) -> Float[np.ndarray, "points n"]:
        """The gradient of f at points of shape (k, n), in float64, by automatic differentiation."""
        with jax.enable_x64(True):
            return np.asarray(self._gradients(np.asarray(points, dtype=np.float64)), dtype=np.float64)

    def batch(self, points: Any) -> Float[Array, " points"]:
        """f at points of shape (k, n), as JAX code to be traced inside a program of either precision."""
        return jax.vmap(fresh(self.function))(points)

    @functools.cached_property
    def _values(self) -> Callable[[Any], Array]:
        return jax.jit(jax.vmap(fresh(self.function)))

    @functools.cached_property
    def _gradients(self) -> Callable[[Any], Array]:
        return jax.jit(jax.vmap(jax.grad(fresh(self.function))))

    def cell_oscillation(self, lower: Points, upper: Points) -> Float[np.ndarray, " boxes"]:
        r"""A proved bound on $\sup_x |f(x) - f(\mathrm{center})|$ over each of the boxes [lower, upper].

        Points outside the domain count by their projection, so that f is $f \circ \mathrm{proj}$ there.

        Raises:
            ValueError: If neither a Lipschitz constant nor an oscillation bound is known.
        """
        if self.oscillation is not None:
            return np.asarray(self.oscillation(lower, upper), dtype=np.float64)
        if self.lipschitz is None:
            raise ValueError(
                f"No bound can be proved for target {self.name!r}: it has neither a Lipschitz constant nor an "
                "oscillation bound. Give lipschitz=... or oscillation=... to expressivity.Target."
            )
        return self.lipschitz * np.linalg.norm(upper - lower, axis=1) / 2

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of what the target is: measure, and values at fixed points. It addresses finished work."""
        points, _ = self.measure.quadrature(max(2, round(64 ** (1 / self.dim))))
        values = np.concatenate([self.values(points), self.values(points[:1] / 3)])
        text = f"{self.name}|{type(self.measure).__name__}|{self.measure!r}|"
        return hashlib.sha256(text.encode() + np.round(values, 9).tobytes()).hexdigest()[:16]
