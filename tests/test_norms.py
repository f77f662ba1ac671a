"""Errors against closed forms and against much finer rules; half-widths that hold; suprema that see the witnesses."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity import norms, targets
from expressivity.relu.gadgets import random_network


def constant(dim, value):
    return ex.ReLUNetwork.from_layers([(np.zeros((1, dim)), np.array([float(value)]))])


def moment(n, k):
    """E |x|^k on the unit ball."""
    return n / (n + k)


@pytest.mark.parametrize("c", [0.0, 0.3, 0.5, 2.0])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_constant_against_the_squared_norm_on_the_ball(n, c):
    target = targets.norm_squared(ex.Ball(n))
    l2 = math.sqrt(moment(n, 4) - 2 * c * moment(n, 2) + c * c)
    # E |r^2 - c| with r^n uniform: split at r^2 = c
    s = min(1.0, math.sqrt(c))
    l1 = (moment(n, 2) - c) - 2 * (moment(n, 2) * s ** (n + 2) - c * s**n)
    for norm, exact in (("L1", l1), ("L2", l2), ("sup", max(c, 1 - c))):
        found = ex.error(constant(n, c), target, norm)
        assert abs(found.value - exact) <= found.half_width + 1e-13, norm
        assert found.half_width <= 0.06 * found.value, norm


@pytest.mark.parametrize("n", [2, 3])
def test_zero_against_the_product_on_the_cube(n):
    target = targets.product(ex.Box(n))
    for norm, exact in (("L1", 1 / 4), ("L2", 1 / 3), ("sup", 1.0)):
        found = ex.error(constant(n, 0), target, norm)
        assert abs(found.value - exact) <= found.half_width + 1e-13, norm


@pytest.mark.parametrize("n", [1, 2, 3])
def test_zero_against_the_squared_norm_under_a_gaussian(n):
    target = targets.norm_squared(ex.Gaussian(n))
    assert ex.error(constant(n, 0), target, "L2").value == pytest.approx(math.sqrt(n * (n + 2)), rel=1e-12)
    assert ex.error(constant(n, 0), target, "L1").value == pytest.approx(n, rel=1e-12)
    assert ex.fvu(constant(n, n), target).value == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match=r"normal\(\d\) has no bounded support"):
        ex.error(constant(n, 0), target, "sup")


def finer(network, target, count):
    """E |F - f| and E (F - f)^2 on the square by the midpoint rule of count^2 points."""
    axis = (2 * np.arange(count) + 1) / count - 1
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    residual = np.abs(ex.evaluate(network, points)[:, 0] - target.values(points))
    return residual.mean(), math.sqrt((residual**2).mean()), residual.max()


@pytest.mark.parametrize("name", ["norm_squared", "ball_indicator", "max_affine"])
@pytest.mark.parametrize("seed", [0, 1])
def test_half_widths_hold_where_the_integrand_has_kinks_and_jumps(name, seed):
    target = getattr(targets, name)(ex.Box(2))
    network = 0.2 * random_network(2, (6, 6), seed)
    fine, half = finer(network, target, 1600), finer(network, target, 800)
    for k, norm in enumerate(("L1", "L2")):
        found = ex.error(network, target, norm)
        # the finer rule is itself off by about its last change
        assert abs(found.value - fine[k]) <= found.half_width + 2 * abs(fine[k] - half[k]) + 1e-12
    found = ex.error(network, target, "sup")
    assert found.value >= fine[2] - 1e-3 * fine[2]
    assert found.value - found.half_width <= found.value


@pytest.mark.parametrize("seed", range(4))
def test_half_widths_hold_on_an_interval(seed):
    target = targets.norm_squared(ex.Box(1))
    network = 0.2 * random_network(1, (5, 5), seed)
    x = (2 * np.arange(1 << 20) + 1) / (1 << 20) - 1
    residual = np.abs(ex.evaluate(network, x[:, None])[:, 0] - x**2)
    for norm, exact in (("L1", residual.mean()), ("L2", math.sqrt((residual**2).mean()))):
        found = ex.error(network, target, norm)
        assert abs(found.value - exact) <= found.half_width + 1e-9  # midpoint rule: step^2 = 4e-12 times slopes
    found = ex.error(network, target, "sup")
    assert found.value <= residual.max() + 1e-4  # a maximum over points is never above the true one
    assert found.value + found.half_width >= residual.max() - 1e-9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measure", [ex.Ball(2), ex.Box(3), ex.Ball(1)], ids=repr)
def test_norms_are_ordered(measure, seed):
    target = targets.norm_squared(measure)
    network = random_network(measure.dim, (4, 4), seed)
    one, two, sup = (ex.error(network, target, norm) for norm in norms.NORMS)
    assert one.value - one.half_width <= two.value + two.half_width
    assert two.value - two.half_width <= sup.value + sup.half_width


def test_the_supremum_is_never_above_the_true_one():
    target = targets.cosine_norm(ex.Ball(2))
    for c in (-0.5, 0.0, 0.25):
        assert ex.error(constant(2, c), target, "sup").value <= 1 + abs(c) + 1e-15
        assert ex.error(constant(2, c), target, "sup").value >= 1 + abs(c) - 1e-12


def test_the_supremum_contains_the_witnesses():
    """A ridge of height 1 and width 1e-9 through the centre, along a line that no other point of the rules hits."""
    h = 1e-9
    tent = ex.ReLUNetwork.from_layers(
        [
            (np.array([[math.cos(1), math.sin(1)]] * 3), np.array([h, 0.0, -h])),
            (np.array([[1.0, -2.0, 1.0]]) / h, np.zeros(1)),
        ]
    )
    target = ex.Target(lambda x: 0.0 * x[0], ex.Ball(2), name="zero")
    assert ex.error(tent, target, "sup").value == pytest.approx(1.0, abs=1e-6)
    off = dataclasses.replace(target, witness=np.array([[0.3, 0.4]]))
    assert ex.error(tent, off, "sup", order=16).value < 0.5


def test_the_pattern_search_finds_a_peak_between_the_points():
    target = ex.Target(lambda x: -jnp.sum((x - 0.1234) ** 2), ex.Box(2), name="peak")
    coarse = norms.rule(target, 8)
    on_grid = np.abs(target.values(coarse.points) + 9.0).max()
    found = ex.error(constant(2, -9.0), target, "sup", order=8)
    assert found.value > on_grid
    assert found.value == pytest.approx(9.0, abs=1e-6)  # a parabola; the last steps are some 1e-4 long


@pytest.mark.parametrize("n", [7, 10])
def test_sampling_above_six_dimensions(n):
    target = targets.norm_squared(ex.Ball(n))
    for norm, exact in (("L1", moment(n, 2)), ("L2", math.sqrt(moment(n, 4)))):
        found = ex.error(constant(n, 0), target, norm)
        assert found.method.startswith("sampling")
        assert 0 < found.half_width < 0.01
        assert abs(found.value - exact) <= 2 * found.half_width  # 99 % half-widths; the key is fixed
    sup = ex.error(constant(n, 0), target, "sup")
    assert 0.95 < sup.value <= 1 + 1e-12
    assert abs(ex.fvu(constant(n, moment(n, 2)), target).value - 1) < 0.01


def test_six_dimensions_are_still_deterministic():
    found = ex.error(constant(6, 0), targets.norm_squared(ex.Ball(6)), "L2")
    assert found.method.startswith("quadrature")
    assert found.value == pytest.approx(math.sqrt(moment(6, 4)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fvu_is_one_for_the_best_constant(n):
    target = targets.norm_squared(ex.Ball(n))
    assert ex.fvu(constant(n, moment(n, 2)), target).value == pytest.approx(1.0, abs=1e-9)
    variance = 4 * n / ((n + 2) ** 2 * (n + 4))
    worse = ex.fvu(constant(n, moment(n, 2) + 0.5), target)
    assert worse.value == pytest.approx(1 + 0.25 / variance, rel=1e-9)


def test_the_half_width_of_fvu_knows_the_variance_too():
    """Area of the disc over the square: mean p, variance p (1 - p) in closed form; the rule sees it only nearly."""
    p = math.pi * 0.5 / 4
    target = targets.ball_indicator(ex.Box(2))
    found = ex.fvu(constant(2, 0), target)
    assert abs(found.value - p / (p * (1 - p))) <= found.half_width


def test_half_widths_hold_for_nearly_all_kinks_and_jumps():
    """400 spheres as kinks and as jumps of an integrand: the claimed interval contains the closed form, bar 1 %."""
    target = targets.norm_squared(ex.Ball(2))
    rule = norms.rule(target, 160)
    c = np.random.default_rng(0).uniform(0.02, 0.98, 400)
    values, half_widths = rule.norms(np.repeat(c[:, None], len(rule.points), axis=1), "L1")
    exact = (moment(2, 2) - c) - 2 * (moment(2, 2) * c**2 - c * c)
    assert np.mean(np.abs(values - exact) > half_widths) <= 0.005
    jumps = target.values(rule.points) + (target.values(rule.points) <= c[:, None])
    values, half_widths = rule.norms(jumps, "L1")
    assert np.mean(np.abs(values - c) > half_widths) <= 0.02


def test_fvu_of_a_constant_target_is_refused():
    with pytest.raises(ValueError, match="'flat' is constant on its measure"):
        ex.fvu(constant(2, 0), ex.Target(lambda x: 0.0 * x[0] + 1.0, ex.Box(2), name="flat"))


def test_a_network_that_is_the_target_has_no_error():
    target = targets.random_network(ex.Box(2))
    for norm in norms.NORMS:
        assert ex.error(target.network, target, norm).value <= 1e-12


def test_many_networks_at_once_agree_with_one_by_one():
    target = targets.norm_squared(ex.Ball(2))
    rule = norms.rule(target, 40)
    nets = [random_network(2, (3,), seed) for seed in range(3)]
    outputs = np.stack([ex.evaluate(net, rule.points)[:, 0] for net in nets])
    for norm in ("L1", "L2"):
        values, half_widths = rule.norms(outputs, norm)
        for net, value, half_width in zip(nets, values, half_widths, strict=True):
            assert ex.error(net, target, norm, order=40).value == pytest.approx(value, rel=1e-14)
            assert half_width > 0


def test_estimates():
    estimate = ex.Estimate(0.5, 0.25, "somehow")
    assert estimate.interval == (0.25, 0.75)
    assert float(estimate) == 0.5


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: ex.error(constant(2, 0), t, "L3"), ValueError, "one of L1, L2, sup; got 'L3'"),
        (
            lambda t: ex.error(constant(3, 0), t),
            ValueError,
            "reads 3 numbers, but target 'norm_squared' has dimension 2",
        ),
        (lambda t: ex.error(ex.identity(2, 2), t), ValueError, "one output; this one has 2"),
        (lambda t: ex.error(lambda x: x, t), TypeError, "a ReLUNetwork or a Construction; got function"),
        (lambda t: ex.error(constant(2, 0), t, order=3), ValueError, "at least 4; got 3"),
        (lambda t: norms.rule(targets.norm_squared(ex.Ball(7))), ValueError, "up to 6 dimensions; .* has 7"),
        (lambda t: ex.fvu(constant(1, 0), t), ValueError, "reads 1 numbers"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(targets.norm_squared(ex.Ball(2)))
