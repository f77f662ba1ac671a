"""The rotation certificate: below the exact minimum, near to it, and its covering."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.rotations import covering, rotation
from expressivity.measures import sphere_points


@pytest.mark.parametrize(("norm", "exact"), [("L1", 0.1875), ("L2", 1 / 18**0.5), ("sup", 0.5)])
def test_the_disc(norm, exact):
    value = rotation(ex.targets.norm_squared(ex.Ball(2)), norm).value
    assert 0.98 * exact < value < exact


@pytest.mark.parametrize("target", [ex.targets.product(ex.Ball(2)), ex.targets.cosine_norm(ex.Ball(2))])
@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_below_the_minimum_found_by_search(target, norm):
    searched = ex.certificates.first_layer(target, 1, norm).value
    assert 0.9 * searched < rotation(target, norm).value < searched


def test_space():
    value = rotation(ex.targets.norm_squared(ex.Ball(3)), "L2", 1000).value
    assert 0.05 < value < (4 / 105) ** 0.5


def test_a_ridge_has_none():
    assert rotation(ex.targets.ridge(ex.Ball(2))).value == 0.0


@pytest.mark.parametrize(("dim", "count"), [(2, 60), (3, 400)])
def test_the_covering_covers(dim, count):
    vectors, angle = covering(dim, count)
    others = sphere_points(dim, 5000)
    apart = np.arccos(np.clip(np.abs(others @ vectors.T).max(1), 0, 1))
    assert apart.max() <= angle + 1e-9
    assert angle < 2.5 * apart.max()


def test_refusals():
    with pytest.raises(ValueError, match="balls"):
        rotation(ex.targets.norm_squared(ex.Box(2)))
    with pytest.raises(ValueError, match="Lipschitz"):
        rotation(ex.targets.ball_indicator(ex.Ball(2)))
    with pytest.raises(ValueError, match="got 2"):
        rotation(ex.targets.norm_squared(ex.Ball(2)), directions=2)


def test_a_number_of_directions_is_whole():
    with pytest.raises(TypeError, match=r"7\.5"):
        ex.certificates.rotation(ex.targets.norm_squared(ex.Ball(2)), "L2", 7.5)  # type: ignore[arg-type]
