"""Coverings of the sphere: no direction may be farther than the angle that is claimed."""

import math

import numpy as np
import pytest

from expressivity.constructions.sphere_covering import _covering, covering, covering_count


def largest_distance(points, dim, angle, seed):
    """Largest angle from a direction to the nearest point, over random directions and a search from the worst."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20_000, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (x @ points.T).max(1)
    x = x[np.argsort(cosine)[:50]]
    step = angle / 4
    for _ in range(40):
        trial = x[:, None] + step * rng.standard_normal((50, 20, dim))
        trial = np.concatenate([x[:, None], trial], 1)
        trial /= np.linalg.norm(trial, axis=2, keepdims=True)
        best = (trial @ points.T).max(2).argmin(1)
        x = trial[np.arange(50), best]
        step *= 0.85
    return math.acos((x @ points.T).max(1).min())


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("angle", [1.5, 0.9, 0.4, 0.25])
def test_every_direction_is_covered(dim, angle):
    points = covering(dim, angle)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, rtol=0, atol=1e-14)
    farthest = largest_distance(points, dim, angle, seed=0)
    assert farthest <= angle * (1 + 1e-9)
    # the covering is not wasteful either: it comes near its angle, and its count is near the area bound
    assert farthest >= 0.5 * angle
    assert len(points) <= 12 * 2 / math.sin(angle) ** (dim - 1)
    assert len(points) == covering_count(dim, angle)


@pytest.mark.parametrize("angle", [2.0, 3.0, math.pi])
def test_coarse_coverings_of_the_recursion(angle):
    for dim in (1, 2, 3, 4):
        points = _covering(dim, angle)
        assert len(points) == covering_count(dim, angle)
        rng = np.random.default_rng(1)
        x = np.concatenate([rng.standard_normal((2000, dim)), -points])
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        assert math.acos(max(-1.0, (x @ points.T).max(1).min())) <= angle + 1e-7


def test_bad_requests():
    for dim, angle in ((0, 0.5), (3, 0.0), (3, 2.0)):
        with pytest.raises(ValueError, match=str(angle)):
            covering(dim, angle)
