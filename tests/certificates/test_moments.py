"""The moment certificate: closed forms, validity below the true distances, refusals."""

import math

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.moments import ball_packing, moment

CENTERS = [[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]]


@pytest.mark.parametrize(
    ("target", "squared"),
    [(ex.targets.norm_squared(ex.Box(2)), math.pi / 64), (ex.targets.product(ex.Box(2)), math.pi / 256)],
    ids=["norm_squared", "product"],
)
def test_four_balls_in_the_square(target, squared):
    assert moment(target, CENTERS, 0.5).value ** 2 == pytest.approx(squared, abs=1e-10)


@pytest.mark.parametrize("norm", ["L1", "L2", "sup"])
@pytest.mark.parametrize(
    "target",
    [
        ex.targets.norm_squared(ex.Box(2)),
        ex.targets.parabola_ridge(ex.Box(2)),
        ex.targets.cosine_norm(ex.Ball(2)),
        ex.targets.ball_indicator(ex.Ball(2)),
    ],
    ids=lambda target: target.name,
)
def test_below_the_distance_along_every_line(target, norm):
    centers, radius = ball_packing(target.measure, 2)
    bound = moment(target, centers, radius, norm).value
    assert bound > 0
    for angle in np.linspace(0, math.pi, 13):
        line = np.array([[math.cos(angle)], [math.sin(angle)]])
        assert ex.certificates.subspace_distance(target, line, norm)[0] >= bound


def test_moments_are_those_of_the_gradient():
    """Integration by parts against automatic differentiation."""
    from expressivity.certificates.moments import _moments

    target = ex.targets.cosine_norm(ex.Box(2))
    ball = ex.Ball(2, 0.4)
    center = np.array([0.3, -0.5])
    points, weights = ball.quadrature(60)
    bump = 1 - (points**2).sum(1) / 0.16
    expected = (weights * bump) @ target.gradients(center + points) * ball.volume
    assert _moments(target, center[None], 0.4, 60)[0] == pytest.approx(expected, abs=1e-8)


def test_a_ridge_has_no_moment():
    assert moment(ex.targets.ridge(ex.Box(2)), CENTERS, 0.5).value == 0.0


@pytest.mark.parametrize(
    ("centers", "radius", "message"),
    [
        (CENTERS, -0.5, "-0.5"),
        (CENTERS, 0.6, "overlap"),
        ([[0.8, 0.0]], 0.5, "leaves"),
        ([0.5, 0.5], 0.5, "(2,)"),
    ],
)
def test_refusals(centers, radius, message):
    with pytest.raises(ValueError, match=r".+") as caught:
        moment(ex.targets.norm_squared(ex.Box(2)), centers, radius)
    assert message in str(caught.value)
    with pytest.raises(ValueError, match="inside"):
        moment(ex.targets.norm_squared(ex.Ball(2)), [[0.9, 0.0]], 0.5)
