"""Paths in rationals: the network is constant at every rational point of them, and the bound is below the true one."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expressivity as ex
from expressivity import certificates
from expressivity.constructions import kim2024
from expressivity.relu.gadgets import random_network

PLAIN = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])


def on_boundary(domain, point):
    if isinstance(domain, ex.Box):
        return max(abs(c) for c in point) == 1
    return 1 - Fraction(1, 2**99) <= sum(c * c for c in point) <= 1


@settings(max_examples=60, deadline=None)
@given(
    n=st.sampled_from([2, 3]),
    depth=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    ball=st.booleans(),
    start=st.lists(st.fractions(-1, 1, max_denominator=9), min_size=3, max_size=3),
)
def test_the_network_has_one_value_on_a_path_to_the_boundary(n, depth, seed, ball, start):
    domain = (ex.Ball if ball else ex.Box)(n)
    network, point = random_network(n, (n,) * depth, seed), [c / 2 for c in start[:n]]
    route = certificates.rational_escape_path(network, point, domain)
    assert route.points[0] == tuple(point)
    assert len(route.points) <= depth + 2
    assert on_boundary(domain, route.points[-1])
    assert ex.relu.evaluate_exactly(network, route.points[0]) == (route.value,)
    for a, b in pairwise(route.points):
        for t in (Fraction(1, 3), Fraction(7, 11), 1):
            middle = [x + t * (y - x) for x, y in zip(a, b, strict=True)]
            assert ex.relu.evaluate_exactly(network, middle) == (route.value,)


def test_the_plain_network():
    route = certificates.rational_escape_path(PLAIN, [-0.5, 0.3], ex.Box(2))
    assert route.points == ((Fraction(-1, 2), Fraction(0.3)), (-1, Fraction(0.3)))
    assert route.value == Fraction(0.3)
    # all units active: along the level set to an axis, then outwards
    route = certificates.rational_escape_path(PLAIN, [Fraction(1, 5), Fraction(3, 10)], ex.Box(2))
    assert route.value == Fraction(1, 2)
    assert sorted(route.points[-1]) == [-1, Fraction(1, 2)]


@pytest.mark.parametrize("seed", range(6))
def test_from_the_centre_of_the_disc_the_bound_is_a_half_from_below(seed):
    target = ex.targets.norm_squared(ex.Ball(2))
    found = certificates.rational_path(random_network(2, (2, 2, 2), seed), target, [0, 0])
    assert 0.5 - 2**-52 <= found.value <= 0.5
    assert found.norm == "sup"
    assert found.against.this


@pytest.mark.parametrize("make", [ex.targets.norm_squared, ex.targets.product])
@pytest.mark.parametrize("seed", range(4))
def test_the_extremes_on_the_path_are_those_of_many_points(make, seed):
    target = make(ex.Box(2))
    network, start = random_network(2, (2, 2), seed), [0.125, -0.25]
    found = certificates.rational_path(network, target, start)
    points = certificates.rational_escape_path(network, start, ex.Box(2)).points
    values = [
        sum(x * x for x in p) if make is ex.targets.norm_squared else p[0] * p[1]
        for a, b in pairwise(points)
        for t in range(65)
        for p in [[x + Fraction(t, 64) * (y - x) for x, y in zip(a, b, strict=True)]]
    ]
    half = float(max(values) - min(values)) / 2
    # 65 points of a parabola over a segment of length at most 3 miss its vertex by at most (3/128)^2
    assert half - 1e-15 <= found.value <= half + 1e-3
    assert certificates.path(network, target, start).value == pytest.approx(found.value, abs=1e-3)


def test_a_target_that_is_a_network_has_rational_values():
    teacher = random_network(2, (6,), 3)
    target = ex.Target(lambda x: teacher(x)[0], ex.Box(2), network=teacher, name="teacher")
    network = random_network(2, (2, 2), 1)
    found = certificates.rational_path(network, target, [0.0, 0.0])
    assert found.value > 0
    assert found.value == pytest.approx(certificates.path(network, target, [0.0, 0.0]).value, abs=0.02)


def test_a_network_of_140_layers():
    target = ex.targets.norm_squared(ex.Box(2, 0.0, 1.0))
    network = kim2024.coding_network(target, levels=8, ramp=1e-3).network
    assert network.hidden_layers == 140
    assert certificates.rational_path(network, target, [0.5, 0.5]).value >= 0.25


def test_a_start_on_the_boundary_says_nothing_or_something_true():
    found = certificates.rational_path(PLAIN, ex.targets.norm_squared(ex.Box(2)), [-1.0, 0.5])
    assert found.value == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((random_network(2, (3,), 0), [0, 0], ex.Box(2)), ValueError, "width 3"),
        ((random_network(1, (1,), 0), [0], ex.Box(1)), ValueError, "Got 1"),
        ((random_network(2, (2,), 0), [0, 0, 0], ex.Box(2)), ValueError, "got 3"),
        ((random_network(2, (2,), 0), [0, float("nan")], ex.Box(2)), ValueError, "nan"),
        ((random_network(2, (2,), 0), [0, 2], ex.Box(2)), ValueError, "outside"),
        ((random_network(2, (2,), 0), [0, 0], ex.Box(3)), ValueError, "dimension 3"),
        ((random_network(2, (2,), 0), [0, 0], ex.Gaussian(2)), TypeError, "Gaussian"),
        ((ex.stack(ex.identity(1, 1), ex.identity(1, 1)), [0, 0], ex.Box(2)), ValueError, "has 2"),
    ],
)
def test_refusals(arguments, error, words):
    with pytest.raises(error, match=words):
        certificates.rational_escape_path(*arguments)


def test_refusals_of_targets():
    with pytest.raises(ValueError, match="cosine_norm"):
        certificates.rational_path(PLAIN, ex.targets.cosine_norm(ex.Ball(2)), [0, 0])
    with pytest.raises(ValueError, match="Box or a Ball"):
        certificates.rational_path(PLAIN, ex.targets.norm_squared(ex.Gaussian(2)), [0, 0])
    with pytest.raises(TypeError, match="str"):
        certificates.rational_path("net", ex.targets.norm_squared(ex.Ball(2)), [0, 0])
