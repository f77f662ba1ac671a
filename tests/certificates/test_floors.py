"""The floor that picks the best: which theorem, monotone in width and norm, 0 where nothing forbids."""

from itertools import pairwise

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates import floor

DISC = ex.targets.norm_squared(ex.Ball(2))


@pytest.mark.parametrize(
    ("width", "norm", "value", "number"),
    [
        (1, "sup", 0.5, "constant directions"),
        (2, "sup", 0.5, "bottleneck"),
        (3, "sup", 0.0, None),
        (2, "L2", 0.0, None),
        (2, "L1", 0.0, None),
    ],
)
def test_the_disc(width, norm, value, number):
    found = floor(DISC, width, norm=norm)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert number is None or found.theorem.number == number
    assert value > 0 or found.assumptions[0].startswith("no floor")


def test_width_one_is_isotonic():
    found = floor(DISC, 1)
    assert found.theorem.number == "isotonic ridge"
    assert found.value > ex.certificates.first_layer(DISC, 1).value


@pytest.mark.parametrize("target", [DISC, ex.targets.parabola_ridge(ex.Box(2))], ids=lambda target: target.name)
def test_stronger_norms_have_higher_floors(target):
    for width in (1, 2):
        values = [floor(target, width, norm=norm).value for norm in ("L1", "L2", "sup")]
        assert values == sorted(values)
    for norm in ("L1", "L2", "sup"):
        assert (
            floor(target, 1, norm=norm).value >= floor(target, 2, norm=norm).value >= floor(target, 3, norm=norm).value
        )


def test_the_class_of_the_certificate_contains_the_networks_asked_for():
    for width in (1, 2):
        for norm in ("L2", "sup"):
            assert floor(DISC, width, 4, norm).against.covers((width,) * 4)


def test_negative_controls():
    """What a network of the width can represent or approximate has no floor."""
    ridge = ex.targets.ridge(ex.Ball(3))
    assert floor(ridge, 2).value == 0.0
    indicator = ex.targets.ball_indicator(ex.Ball(2))
    assert floor(indicator, 2, norm="L2").value == 0.0
    assert 0.4 < floor(indicator, 1, norm="L2").value < 0.5


def test_measures_without_certificates_have_floor_zero():
    found = floor(ex.targets.norm_squared(ex.Gaussian(2)), 1)
    assert found.value == 0.0
    assert "normal(2)" in found.assumptions[0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0,), ValueError), ((1, 0), ValueError), ((1, 2, "L4"), ValueError), ((1.5,), TypeError), ((1, 2.5), TypeError)],
)
def test_refusals(arguments, error):
    with pytest.raises(error):
        floor(DISC, *arguments)


@pytest.mark.parametrize("measure", [ex.Box(2), ex.Ball(2), ex.Box(3), ex.Box(2, 0.0, 3.0)])
def test_no_floor_forbids_the_ridge_that_a_network_of_width_1_is(measure):
    target = ex.targets.ridge(measure)
    for norm in ("L1", "L2", "sup"):
        for width in range(1, measure.dim + 2):
            assert floor(target, width, norm=norm).value == 0.0  # not even one of the size of rounding


def test_a_tilted_ridge_has_no_floor_of_the_size_of_rounding():
    for angle in np.linspace(0.1, 3.0, 7):
        target = ex.targets.ridge(ex.Ball(2), direction=[np.cos(angle), np.sin(angle)])
        assert floor(target, 1, norm="sup").value == 0.0


@pytest.mark.parametrize(
    ("n", "widths", "seed"), [(2, (1, 1), 0), (2, (1, 1, 1), 1), (2, (2, 2), 2), (3, (2, 2), 1), (3, (1, 1), 4)]
)
def test_no_floor_forbids_a_target_that_is_a_network_of_the_class(n, widths, seed):
    """The sharpest test of a search over directions: the least distance is 0, in a direction that nobody told."""
    rng = np.random.default_rng(seed)
    sizes, points = [n, *widths, 1], ex.Ball(n).quadrature(12)[0]
    collapsed = True
    while collapsed:
        network = ex.ReLUNetwork.from_layers(
            [(rng.standard_normal((o, i)), rng.uniform(-0.5, 0.5, o)) for i, o in pairwise(sizes)]
        )
        collapsed = np.ptp(ex.evaluate(network, points)) < 0.05
    target = ex.Target(lambda x: network(x)[0], ex.Ball(n), name="network")
    for norm in ("L1", "L2", "sup"):
        assert floor(target, max(widths), norm=norm).value == 0.0
