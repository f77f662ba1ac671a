"""Floors in the sup norm for every network of width at most n: what a target has to do on its way to the boundary."""

import functools
import heapq
import math

import numpy as np
from jaxtyping import Float

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.fibres import domain_of, values_on
from expressivity.certificates.monotone_ridges import isotonic
from expressivity.certificates.quadratic import isotropic_factor
from expressivity.measures import AbstractDomain, Ball, sphere_points
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "bottleneck")
_STARTS, _HALVINGS = 12, 16
_SAFETY = 1.5


@functools.lru_cache(maxsize=128)
def bottleneck(target: Target, resolution: int = 201) -> Certificate:
    r"""A lower bound of the sup error of every network of width at most n >= 2, of any depth.

    $\inf_F \|f - F\|_{\sup} \ge \tfrac12 \sup_x \min_{\gamma: x \to \partial\Omega} (\max_\gamma f - \min_\gamma f)$,
    since F is constant along some path from x to the boundary. The value is the largest of

    - for a target of $|x|$ alone, and for $a|x - x_0|^2 + c$: half of its oscillation on $[0, \rho]$, $\rho$ the
      distance from its centre to the boundary, since a path takes all radii (no correction is needed);
    - half the least $|f - f(x_0)|$ on the boundary, $x_0$ the centre, less half a mesh of boundary points times the
      Lipschitz constant (n = 2);
    - a search on a grid of `resolution` points an axis from local extrema, each point standing for its cell: a path
      from cell to cell, corners included, takes values that differ from those of the grid by at most the target's
      oscillation on a cell, $\mathrm{Lip}\,h\sqrt n/2$, which is taken off (n = 2, 3).

    Without a Lipschitz constant or an oscillation bound, 1.5 times the largest sampled gradient stands for the
    constant, and `assumptions` say so. n = 1: networks of width 1 are monotone, and the isotonic bound is returned.

    Args:
        target: On a `Box` or a `Ball`.
        resolution: Grid points an axis; odd numbers contain the centre.

    Raises:
        TypeError: If `resolution` is not a whole number.
        ValueError: If it is below 3, or the measure is not covered.

    >>> import expressivity as ex
    >>> ex.certificates.bottleneck(ex.targets.cosine_norm(ex.Ball(2)), 51).value
    1.0
    """
    domain = domain_of(target.measure, "The bottleneck certificate")
    if isinstance(resolution, bool) or not hasattr(resolution, "__index__"):
        raise TypeError(f"The resolution of the grid is a whole number of points an axis, not {resolution!r}.")
    if resolution < 3:
        raise ValueError(f"The grid of the bottleneck certificate has at least 3 points an axis, not {resolution}.")
    n, against = target.dim, NetworkClass(width=target.dim)
    if n == 1:
        return isotonic(target, "sup")
    exact = _radial(target, domain, resolution)
    if exact is not None:
        return Certificate(exact, "sup", against, _THEOREM)
    bounds = _CellBounds(target, domain, resolution)
    candidates = [_boundary(target, domain, bounds)]
    if n in (2, 3):
        candidates.append(_grid_search(target, domain, resolution, bounds))
    value, notes = max(candidates, key=lambda pair: pair[0])
    return Certificate(value, "sup", against, _THEOREM, notes)


def _radial(target: Target, domain: AbstractDomain, resolution: int) -> float | None:
    """Half the oscillation along a ray, for targets that are known to depend on the distance to the centre alone."""
    center = domain.center
    if isotropic_factor(target) is None and not (target.radial and not np.any(center)):
        return None
    axis = np.eye(target.dim)[0]
    radii = np.linspace(0.0, domain.exit_time(center, axis), max(resolution, 3))
    # cells of the grid in [0, rho], and the multiples of 1/4 where waves in |x| turn
    radii = np.union1d(radii, np.arange(0.0, radii[-1], 0.25))
    values = target.values(center + radii[:, None] * axis)
    return 0.5 * float(values.max() - values.min())


class _CellBounds:
    """How much the target can differ from its value at a point within a given distance of it or in its cell."""

    def __init__(self, target: Target, domain: AbstractDomain, resolution: int) -> None:
        self.target = target
        low, high = domain.box
        self.spacing = float((high - low)[0]) / (resolution - 1)
        self.lipschitz, self.notes = target.lipschitz, ()
        if self.lipschitz is None and target.oscillation is None:
            points, _ = domain.quadrature({2: 48, 3: 14}.get(domain.dim, 5))
            steepest = float(np.linalg.norm(target.gradients(points), axis=1).max())
            self.lipschitz = _SAFETY * steepest
            self.notes = (
                f"no Lipschitz constant is known: {_SAFETY:g} times the largest of {len(points)} sampled gradients, "
                f"{self.lipschitz:.4g}, stands for it",
            )

    def cell(self, points: np.ndarray) -> Float[np.ndarray, " points"]:
        if self.lipschitz is not None:
            half = self.spacing * math.sqrt(self.target.dim) / 2
            return np.full(len(points), self.lipschitz * half * (1 + 1e-12))
        half = self.spacing / 2 * (1 + 1e-12)
        return self.target.cell_oscillation(points - half, points + half)


def _boundary(target: Target, domain: AbstractDomain, bounds: _CellBounds) -> tuple[float, tuple[str, ...]]:
    """Every path from the centre ends on the boundary, where f differs from f(centre) by at least this."""
    n = target.dim
    if n != 2 or bounds.lipschitz is None:
        return 0.0, ("no bound: no argument of this kind applies to the target",)
    count = 1 << 14
    if isinstance(domain, Ball):
        points = domain.radius * sphere_points(2, count)[4:]
        mesh = math.pi * domain.radius / count
    else:
        low, high = domain.box
        points = domain.boundary(4 * count)
        mesh = float((high - low)[0]) / (len(points) / 4) / 2
    gap = np.abs(target.values(points) - target.values(domain.center[None])[0]).min()
    off = bounds.lipschitz * mesh
    note = (
        f"{len(points)} boundary points; Lipschitz constant times half their mesh, {off:.3g}, is taken off |f - f(0)|"
    )
    return max(0.0, 0.5 * (float(gap) - off)), (note, *bounds.notes)


def _grid_search(
    target: Target, domain: AbstractDomain, resolution: int, bounds: _CellBounds
) -> tuple[float, tuple[str, ...]]:
    n = target.dim
    low, high = domain.box
    axes = [np.linspace(a, b, resolution) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    flat = grid.reshape(-1, n)
    edge = bounds.spacing * math.sqrt(n) / 2 * (1 + 1e-12)
    if isinstance(domain, Ball):
        distance = np.linalg.norm(flat, axis=1)
        inside, last = distance <= domain.radius + edge, distance >= domain.radius - edge
    else:
        inside = np.ones(len(flat), dtype=bool)
        last = np.any(np.isclose(flat, low[0]) | np.isclose(flat, high[0]), axis=1)
    values = values_on(target, domain.project(flat))
    slack = bounds.cell(flat)
    shape = grid.shape[:-1]
    lower, upper = (values - slack).reshape(shape), (values + slack).reshape(shape)
    search = _Search(lower, upper, inside.reshape(shape), (inside & last).reshape(shape))
    starts = _starts(values.reshape(shape), (inside & ~last).reshape(shape))
    best, uncorrected = search.best(starts, values.reshape(shape)), 0.0
    if best > 0:
        nodes = values.reshape(shape)
        uncorrected = _Search(nodes, nodes, inside.reshape(shape), (inside & last).reshape(shape)).best(starts, nodes)
    notes = (
        f"grid of {resolution} points an axis, {len(starts)} starting points; the oscillation of the target on a cell, "
        f"at most {float(slack.max()):.3g} on either side, is taken off the value on the grid, {uncorrected / 2:.6g}",
    )
    return best / 2, (*notes, *bounds.notes)


def _starts(values: np.ndarray, inside: np.ndarray) -> list[tuple[int, ...]]:
    """The centre of the grid, the extreme points, and the local extrema of largest prominence against neighbours."""
    from scipy import ndimage

    size = max(3, (min(values.shape) // 10) | 1)
    peaks = np.zeros(values.shape, dtype=bool)
    for sign in (1.0, -1.0):
        signed = np.where(inside, sign * values, -np.inf)
        peaks |= inside & (signed == ndimage.maximum_filter(signed, size=size, mode="nearest"))
    middle = float(np.median(values[inside])) if np.any(inside) else 0.0
    found = np.argwhere(peaks)
    strength = np.abs(values[tuple(found.T)] - middle)
    order = np.argsort(-strength, kind="stable")[: _STARTS - 1]
    center = tuple(side // 2 for side in values.shape)
    starts = [tuple(int(i) for i in found[k]) for k in order]
    return [center, *[start for start in starts if start != center]]


class _Search:
    """Least oscillations of grid paths, each node holding some value in [lower, upper]."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray, inside: np.ndarray, last: np.ndarray) -> None:
        self.lower, self.upper, self.inside, self.last = lower, upper, inside, last
        self.floor, self.top = float(lower[inside].min()), float(upper[inside].max())

    def reaches(self, start: tuple[int, ...], least: float, most: float) -> bool:
        """Whether a path from `start` can keep its values within [least, most] up to the boundary."""
        from scipy import ndimage

        allowed = self.inside & (self.lower <= most) & (self.upper >= least)
        if not allowed[start] or not np.any(allowed & self.last):
            return False
        labels = np.zeros(allowed.shape, dtype=np.int32)
        ndimage.label(allowed, structure=np.ones((3,) * allowed.ndim), output=labels)
        return bool(np.any(labels[self.last] == labels[start]))

    def best(self, starts: list[tuple[int, ...]], values: np.ndarray) -> float:
        """The largest lower bound of the oscillation over the starting points."""
        best, winner = 0.0, None
        for start in starts:
            if not self.reaches(start, values[start] - best, values[start] + best):
                best, winner = self.deviation(start, float(values[start]), best), start
        return best if winner is None else max(best, self.least_range(winner, float(values[winner]), best))

    def deviation(self, start: tuple[int, ...], value: float, low: float) -> float:
        r"""A lower bound of $\min_\gamma \max_\gamma |f - \mathrm{value}|$, itself one of the oscillation."""
        high = max(self.top - value, value - self.floor)
        tolerance = 1e-6 * high
        while high - low > tolerance:
            middle = (low + high) / 2
            low, high = (low, middle) if self.reaches(start, value - middle, value + middle) else (middle, high)
        return low

    def least_range(self, start: tuple[int, ...], value: float, known: float) -> float:
        r"""A lower bound of $\min_\gamma (\max_\gamma f - \min_\gamma f)$ over paths from `start`, where f is `value`.

        A path whose minimum lies in [a, b] and which has to exceed c to stay above a has an oscillation of c - b at
        least; the interval with the least bound is halved.
        """

        def ceiling(least: float) -> float:
            low, high = value, self.top
            if self.reaches(start, least, low):
                return low
            while high - low > 1e-4 * (self.top - self.floor):
                middle = (low + high) / 2
                low, high = (low, middle) if self.reaches(start, least, middle) else (middle, high)
            return low

        heap = [(ceiling(self.floor) - value, self.floor, value)]
        for _ in range(_HALVINGS):
            bound, below, above = heapq.heappop(heap)
            peak, middle = bound + above, (below + above) / 2
            heapq.heappush(heap, (peak - middle, below, middle))
            heapq.heappush(heap, (ceiling(middle) - above, middle, above))
        return max(known, heap[0][0])
