"""Networks of width 1: isotonic regression against brute force, a known value on the disc, random networks."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.monotone_ridges import _l1, isotonic, pool
from expressivity.relu.gadgets import random_network


def test_pooling_attains_the_least_squares_of_monotone_sequences():
    """Against the minimum over all block partitions of 8 points."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, w = rng.standard_normal(8), rng.uniform(0.1, 2, 8)
        found = pool(y, w)
        assert np.all(np.diff(found) >= 0)
        best = np.inf
        for mask in range(1 << 7):
            blocks = np.cumsum([0] + [mask >> i & 1 for i in range(7)])
            mean = np.array([np.average(y[blocks == b], weights=w[blocks == b]) for b in range(blocks[-1] + 1)])
            if np.all(np.diff(mean) >= 0):
                best = min(best, w @ (mean[blocks] - y) ** 2)
        assert w @ (found - y) ** 2 == pytest.approx(best, rel=1e-12)


def test_cuts_give_the_least_mean_deviation_of_monotone_functions():
    """Against dynamic programming over the values of the points themselves, where an optimum lies."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        values, outer = rng.standard_normal((7, 3)), np.full(7, 1 / 7)
        inner = np.full((7, 3), 1 / 3)
        grid = np.sort(values.reshape(-1))
        cost = np.abs(values[:, None] - grid[None, :, None]).mean(2) / 7
        best = cost[0]
        for row in cost[1:]:
            best = row + np.minimum.accumulate(best)
        # 4,000 cuts of a range of about 4: the integral over cuts is found to 1e-3
        assert _l1(values, inner, outer, 4000) == pytest.approx(best.min(), abs=2e-3)


def test_known_value_on_the_disc():
    value = ex.certificates.floor(ex.targets.norm_squared(ex.Ball(2)), 1).value
    assert value**2 * 12 == pytest.approx(0.870896, abs=1e-5)


def test_block_of_the_disc_ends_where_it_should():
    """Isotonic regression of 1/3 + 2 t^2/3 against the density of one coordinate pools [-1, 0.42916]."""
    t, half = np.linspace(-1, 1, 40001), np.sqrt(1 - np.linspace(-1, 1, 40001) ** 2)
    fitted = pool((1 / 3 + 2 / 3 * t**2)[1:-1], half[1:-1])
    assert t[1:-1][np.flatnonzero(fitted > fitted[0])[0]] == pytest.approx(0.42916, abs=1e-4)


def test_on_a_line_networks_of_width_one_are_monotone():
    square = ex.targets.norm_squared(ex.Box(1))
    # the best monotone function is constant up to e, where the mean (e^3 + 1)/(3(e + 1)) of x^2 is e^2: e = 1/2
    end = 0.5
    mean = (end**3 + 1) / (3 * (end + 1))
    assert mean == pytest.approx(end**2)
    squared = ((end**5 + 1) / 5 - mean**2 * (end + 1)) / 2
    assert isotonic(square).value ** 2 == pytest.approx(squared, abs=1e-6)
    assert isotonic(square, "sup").value == pytest.approx(0.5, abs=1e-5)
    assert ex.certificates.bottleneck(square, 101).value == isotonic(square, "sup").value


TARGETS = [
    ex.targets.norm_squared(ex.Ball(2)),
    ex.targets.product(ex.Box(2)),
    ex.targets.parabola_ridge(ex.Box(2)),
    ex.targets.ball_indicator(ex.Ball(2)),
]


@pytest.mark.parametrize("norm", ["L1", "L2", "sup"])
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_network_of_width_one_is_below(target, norm):
    floor = isotonic(target, norm).value
    assert floor > 0
    rng = np.random.default_rng(3)
    for seed in range(12):
        net = random_network(2, (1,) * (1 + seed % 3), seed)
        outputs = ex.evaluate(net, rng.uniform(-0.7, 0.7, (500, 2)))[:, 0]
        if np.ptp(outputs) > 0:  # to the scale of the target, where errors are small
            net = (rng.uniform(0.2, 1) / np.ptp(outputs)) * net
        error = ex.error(net, target, norm)
        assert error.value >= floor - error.half_width


def test_refusals():
    with pytest.raises(ValueError, match="normal"):
        isotonic(ex.targets.norm_squared(ex.Gaussian(2)))
    with pytest.raises(ValueError, match="7"):
        isotonic(ex.targets.ridge(ex.Ball(7)))
