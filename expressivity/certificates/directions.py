"""A minimum over all directions, found numerically: many starts and a pattern search on the half sphere."""

import functools
from collections.abc import Callable

import numpy as np

from expressivity.measures import sphere_points

STARTS = {2: 96, 3: 120, 4: 200}


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
    cost: Callable[[np.ndarray], np.ndarray], dim: int, *, keep: int = 6, tolerance: float = 1e-7
) -> tuple[np.ndarray, float]:
    """The direction of least cost that was found, and its cost.

    Args:
        cost: Maps unit vectors of shape (k, dim) to k costs.
        dim: The dimension.
        keep: How many of the best starts are refined.
        tolerance: Last step of the refinement, in radians.
    """
    directions = starting_directions(dim)
    costs = np.asarray(cost(directions))
    if dim == 1:
        return directions[0], float(costs[0])
    best = np.argsort(costs, kind="stable")[:keep]
    points, values = directions[best], costs[best]
    steps = np.full(len(points), {2: np.pi / STARTS[2]}.get(dim, 0.25))
    while steps.max() > tolerance:
        tangents = np.stack([np.linalg.svd(p[:, None])[0][:, 1:].T for p in points])
        moves = np.concatenate([tangents, -tangents], 1)
        trial = points[:, None] + steps[:, None, None] * moves
        trial /= np.linalg.norm(trial, axis=2, keepdims=True)
        found = np.asarray(cost(trial.reshape(-1, dim))).reshape(len(points), -1)
        choice = found.argmin(1)
        row = np.arange(len(points))
        better = found[row, choice] < values
        points = np.where(better[:, None], trial[row, choice], points)
        values = np.where(better, found[row, choice], values)
        steps = np.where(better, steps, steps / 3)
    winner = int(values.argmin())
    return points[winner], float(values[winner])
