"""A target on a grid of cells: what is read off at the centres, and how far the target can be from it."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

from expressivity.measures import AbstractDomain, Points
from expressivity.target import Target

LARGEST_GRID = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    r"""The cells of a grid over a box around a target's domain, first axis slowest.

    Outside the domain $\Omega$ the target stands for $f \circ \mathrm{proj}_\Omega$, which has the Lipschitz constant
    of f since projections on convex sets do not increase distances.

    Args:
        lower, upper: Corners, shape (cells, n).
        values: $v_j = f(\mathrm{proj}(\mathrm{center}_j))$.
        meets: Whether the cell meets the domain (a cell that touches it counts).
        spread: Bounds $\sup |f - v_j|$ over the part of the cell in the domain.
        mean_spread: Bounds $(\mathrm{vol}^{-1} \int |f - v_j|^p)^{1/p}$ for p = 1 and for p = 2, with the integral over
            the part of the cell in the domain and the volume of the whole cell.
        volume: Lebesgue measure of each cell.
    """

    lower: Points
    upper: Points
    values: Float[np.ndarray, " cells"]
    meets: Bool[np.ndarray, " cells"]
    spread: Float[np.ndarray, " cells"]
    mean_spread: Float[np.ndarray, " cells"]
    volume: float


def compact_domain(target: Target) -> AbstractDomain:
    """The domain of a target, for constructions that need a compact one.

    Raises:
        TypeError: If `target` is no `Target`.
        ValueError: If its measure is not uniform on a compact set.
    """
    if not isinstance(target, Target):
        raise TypeError(f"A construction approximates an expressivity.Target; got {type(target).__name__}.")
    if not isinstance(target.measure, AbstractDomain):
        raise ValueError(
            f"This construction needs a compact domain such as expressivity.Box or Ball; target {target.name!r} has "
            f"the measure {target.measure.name}."
        )
    return target.measure


def whole_number(value: object, what: str, least: int = 1) -> int:
    """`value` as an int.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is below `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, not {value!r}.")
    number = value.__index__()  # type: ignore[attr-defined]
    if number < least:
        raise ValueError(f"{what} is at least {least}, not {number}.")
    return number


def positive_number(value: object, what: str) -> float:
    """`value` as a float.

    Raises:
        TypeError: If it is no real number.
        ValueError: If it is not positive and finite.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{what} is a positive number, not {value!r}.") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{what} is positive and finite, not {number}.")
    return number


def real_array(values: object, what: str) -> np.ndarray:
    """`values` as a float64 array.

    Raises:
        TypeError: If they are no array of real numbers.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{what} are an array of real numbers, not {values!r}.") from None


def cells_of(target: Target, per_axis: int, cube: tuple[np.ndarray, np.ndarray] | None = None) -> Cells:
    r"""The grid with `per_axis` cells an axis over the bounding box of the target's domain, or over another `cube`.

    Where f has a Lipschitz constant L, a cell with sides $h_1, \dots, h_n$ has
    $\int |f - v_j|^p \le L^p\,\mathrm{vol}\,(\sum_k h_k^2 / 12)^{p/2}$ for p = 1, 2, since
    $\mathbb E|x - \mathrm{center}|^2 = \sum_k h_k^2 / 12$ (Jensen for p = 1).

    Raises:
        TypeError: If `target` or `per_axis` is of the wrong type.
        ValueError: If the domain is not compact, nothing bounds the target's oscillation, it is not finite at a centre,
            or the grid has more than four million cells.
    """
    domain, per_axis = compact_domain(target), whole_number(per_axis, "The number of cells an axis")
    n = target.dim
    if per_axis**n > LARGEST_GRID:
        raise ValueError(
            f"A grid of {per_axis} cells an axis in dimension {n} has {per_axis**n} cells; at most {LARGEST_GRID} are "
            "built. Take fewer cells an axis."
        )
    low, high = domain.box if cube is None else cube
    side = (high - low) / per_axis
    index = np.stack(np.meshgrid(*[np.arange(per_axis)] * n, indexing="ij"), -1).reshape(-1, n)
    lower, upper = low + side * index, low + side * (index + 1)
    values = target.values(domain.project(low + side * (index + 0.5)))
    if not np.all(np.isfinite(values)):
        where = low + side * (index[~np.isfinite(values)][0] + 0.5)
        raise ValueError(f"Target {target.name!r} is not finite at {domain.project(where)}.")
    spread = target.cell_oscillation(lower, upper)
    mean_spread = spread
    if target.lipschitz is not None:
        spread = np.minimum(spread, target.lipschitz * np.linalg.norm(side) / 2)
        mean_spread = np.minimum(spread, target.lipschitz * math.sqrt(float(side @ side) / 12))
    meets = domain.contains(np.clip(domain.center, lower, upper))
    return Cells(lower, upper, values, meets, spread, mean_spread, float(np.prod(side)))
