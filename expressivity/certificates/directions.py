"""A minimum over all directions, found numerically: many starts and a pattern search on the half sphere."""

import functools
from collections.abc import Callable

import numpy as np

from expressivity.measures import sphere_points

STARTS = {2: 96, 3: 120, 4: 200}
_NARROW, _LAST = 0.01, 2
_NOTHING = 1e-14  # of the largest cost over the starts


@functools.lru_cache(maxsize=16)
def starting_directions(dim: int) -> np.ndarray:
    """Unit vectors over the half sphere, axes and diagonals of the cube among them; v and -v count once.

    >>> starting_directions(2).shape[1]
    2
    """
    if dim == 1:
        return np.ones((1, 1))
    if dim == 2:
        angles = np.pi * np.arange(STARTS[2]) / STARTS[2]
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    signs = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * dim, indexing="ij"), -1).reshape(-1, dim)
    signs = signs[np.any(signs != 0, axis=1)]
    spread = sphere_points(dim, STARTS.get(dim, 300))[2 * dim :]
    found = np.concatenate([signs / np.linalg.norm(signs, axis=1, keepdims=True), spread])
    leading = np.take_along_axis(found, np.argmax(found != 0, axis=1)[:, None], 1)
    return np.unique(np.round(np.where(leading < 0, -found, found), 15), axis=0)


def least(
    cost: Callable[[np.ndarray], np.ndarray],
    dim: int,
    *,
    extra: np.ndarray | None = None,
    keep: int = 6,
    tolerance: float = 1e-7,
) -> tuple[np.ndarray, float]:
    """The direction of least cost that was found, and its cost.

    Costs are not negative: the search ends where one is 0 to rounding. Of the starts that are refined only the best
    two go on below a step of `_NARROW`, at which every one lies next to the minimum of its valley.

    Args:
        cost: Maps unit vectors of shape (k, dim) to k costs.
        dim: The dimension.
        extra: Further starts, shape (k, dim), which are refined in any case.
        keep: How many of the best starts are refined.
        tolerance: Last step of the refinement, in radians.
    """
    directions = starting_directions(dim)
    costs = np.asarray(cost(directions))
    nothing = _NOTHING * float(costs.max())
    if dim == 1:
        return directions[0], float(costs[0])
    best = np.argsort(costs, kind="stable")[:keep]
    points, values = directions[best], costs[best]
    if extra is not None:
        points, values = np.concatenate([points, extra]), np.concatenate([values, np.asarray(cost(extra))])
    steps = np.full(len(points), {2: np.pi / STARTS[2]}.get(dim, 0.25))
    points, values = _descend(cost, points, values, steps, tolerance, nothing)
    winner = int(values.argmin())
    return points[winner], float(values[winner])


def polish(
    cost: Callable[[np.ndarray], np.ndarray], direction: np.ndarray, *, step: float, tolerance: float
) -> tuple[np.ndarray, float]:
    """A direction of less cost near `direction`, and its cost: for a finer rule than the one that found it.

    What is least by a coarse rule is not least by a fine one; a value that is to bound a minimum has to be a minimum of
    the rule that computes it.

    Args:
        cost: Maps unit vectors of shape (k, dim) to k costs.
        direction: Where to start, shape (dim,).
        step: First step, in radians.
        tolerance: Last step.
    """
    points, values = direction[None], np.asarray(cost(direction[None]))
    if len(direction) > 1:
        points, values = _descend(cost, points, values, np.array([step]), tolerance, 0.0)
    return points[0], float(values[0])


def _descend(
    cost: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    values: np.ndarray,
    steps: np.ndarray,
    tolerance: float,
    nothing: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Pattern searches from several points at once.

    The directions polled are an orthonormal basis of the tangent space, in more than one dimension turned at random at
    every step (always the same way) and with its diagonals: a cost with edges, as those of L1 and the sup norm, stops a
    search along fixed axes short of its minimum.
    """
    dim = points.shape[1]
    rng, shrink = np.random.default_rng(0), 3.0 if dim == 2 else 2.0
    while steps.max() > tolerance and values.min() > nothing:
        if len(points) > _LAST and steps.max() <= _NARROW:
            kept = np.argsort(values, kind="stable")[:_LAST]
            points, values, steps = points[kept], values[kept], steps[kept]
        tangents = np.stack([np.linalg.svd(p[:, None])[0][:, 1:].T for p in points])
        if dim > 2:
            turn = np.linalg.qr(rng.standard_normal((dim - 1, dim - 1)))[0]
            tangents = np.concatenate([turn, _diagonals(dim - 1) @ turn]) @ tangents
        moves = np.concatenate([tangents, -tangents], 1)
        trial = points[:, None] + steps[:, None, None] * moves
        trial /= np.linalg.norm(trial, axis=2, keepdims=True)
        found = np.asarray(cost(trial.reshape(-1, dim))).reshape(len(points), -1)
        choice = found.argmin(1)
        row = np.arange(len(points))
        better = found[row, choice] < values
        points = np.where(better[:, None], trial[row, choice], points)
        values = np.where(better, found[row, choice], values)
        steps = np.where(better, steps, steps / shrink)
    return points, values


@functools.lru_cache(maxsize=8)
def _diagonals(dim: int) -> np.ndarray:
    """The unit vectors along the diagonals of the cube, one of each pair."""
    signs = np.stack(np.meshgrid(*[[1.0, -1.0]] * dim, indexing="ij"), -1).reshape(-1, dim) / np.sqrt(dim)
    return signs[: len(signs) // 2]


def active(gradients: np.ndarray) -> np.ndarray:
    r"""The eigenvectors of $\sum_i g_i g_i^T$, as rows: along the first one the function changes least in the mean.

    A function that is constant along some direction is so along the first one.

    >>> active(np.array([[0.0, 2.0], [0.0, 1.0]]))[0].tolist()
    [1.0, 0.0]
    """
    gradients = gradients[np.all(np.isfinite(gradients), axis=1)]  # without points where f has none, as |x| at 0
    return np.linalg.eigh(gradients.T @ gradients)[1].T
