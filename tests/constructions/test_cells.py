"""Cells of a target: the bounds hold at every point of every cell."""

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions.cells import cells_of

TARGETS = [
    lambda: ex.targets.norm_squared(ex.Ball(2)),
    lambda: ex.targets.product(ex.Box(2, 0.5, 2.0)),
    lambda: ex.targets.cosine_norm(ex.Ball(3)),
    lambda: ex.targets.ball_indicator(ex.Ball(2)),
    lambda: ex.targets.ball_indicator(ex.Box(3)),
    lambda: ex.targets.max_affine(ex.Box(1)),
    lambda: ex.Target(lambda x: jnp.floor(2 * x[0]), ex.Box(1), oscillation=lambda a, b: np.ceil(2 * (b - a)[:, 0])),
]


@pytest.mark.parametrize("make", TARGETS)
@pytest.mark.parametrize("per_axis", [1, 4, 7])
def test_spreads_bound_the_target_in_its_cells(make, per_axis):
    target = make()
    domain, n = target.measure, target.dim
    grid = cells_of(target, per_axis)
    rng = np.random.default_rng(0)
    u = rng.random((len(grid.values), 400, n))
    u[:, :100] = np.round(u[:, :100])  # corners
    points = grid.lower[:, None] + u * (grid.upper - grid.lower)[:, None]
    inside = domain.contains(points)
    assert not np.any(inside[~grid.meets])
    difference = np.abs(target.values(points.reshape(-1, n)).reshape(inside.shape) - grid.values[:, None])
    difference = np.where(inside, difference, 0.0)
    assert np.all(difference.max(1) <= grid.spread + 1e-12)
    sample = difference[:, 100:]
    for p in (1, 2):
        mean, deviation = (sample**p).mean(1), (sample**p).std(1) / np.sqrt(300)
        assert np.all(mean <= grid.mean_spread**p + 5 * deviation + 1e-12)
    assert grid.volume * len(grid.values) == pytest.approx(np.prod(domain.box[1] - domain.box[0]))


def test_another_cube():
    grid = cells_of(ex.targets.norm_squared(ex.Ball(2, 0.5)), 4, (np.full(2, -1.0), np.full(2, 1.0)))
    assert grid.meets.sum() == 12  # cells that only touch the disc count, the corners do not
    assert grid.values.max() == pytest.approx(0.25)
