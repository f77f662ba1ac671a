"""Rational values and exact pieces: against closed forms, against a plain rational loop, and against bounds."""

import math
from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import expressivity as ex
from expressivity.relu.gadgets import random_network

F = Fraction
TENT = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])


def slow_value(network, point):
    """A loop over fractions, entry by entry, sharing no code with the library."""
    h = [F(x) for x in point]
    layers = list(network.layers)
    for number, (weight, bias) in enumerate(layers):
        h = [
            F(float(c)) + sum(F(float(w)) * x for w, x in zip(row, h, strict=True))
            for row, c in zip(weight, bias, strict=True)
        ]
        if number < len(layers) - 1:
            h = [max(x, F(0)) for x in h]
    return tuple(h)


def iterate(network, times):
    result = network
    for _ in range(times - 1):
        result = network @ result
    return result


def zigzag(n):
    """n units, n + 1 monotone pieces of [0, 1] onto [0, 1]; s = n + 1/2 and knots at w/2 + i w, w = 1 / s."""
    s = n + 0.5
    knots = [(0.5 + i) / s for i in range(n)]
    jumps = [-3 * s] + [2 * s if i % 2 else -2 * s for i in range(1, n)]
    sides = [-1.0 if i == 2 else 1.0 for i in range(n)]
    # the slope left of all knots is carried by the unit that faces left, so no piece is wasted on slope 0
    weight = [[side] for side in sides]
    bias = [-side * t for side, t in zip(sides, knots, strict=True)]
    return ex.ReLUNetwork.from_layers([(weight, bias), ([jumps], [-jumps[2] * knots[2]])])


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_a_plain_rational_loop(seed):
    network = random_network(3, (4, 2, 2, 5), seed)
    point = [F(1, 3), F(-7, 5), F(2, 9)]
    assert ex.relu.evaluate_exactly(network, point) == slow_value(network, point)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_agrees_with_the_floating_one(dtype):
    network = random_network(2, (6, 6, 6), 1)
    network = ex.ReLUNetwork.from_layers([(w.astype(dtype), b.astype(dtype)) for w, b in network.layers])
    point = np.array([0.25, -0.75], dtype)
    exact = float(ex.relu.evaluate_exactly(network, point)[0])
    # four layers of at most seven terms; outputs of order 10
    assert ex.evaluate(network, point[None], dtype)[0, 0] == pytest.approx(exact, rel=200 * float(np.finfo(dtype).eps))


def test_thirty_thousand_kept_layers_cost_no_digits():
    network = ex.identity(3, depth=30_000)
    point = [F(1, 3), F(-1, 7), F(10**20, 11)]
    assert ex.relu.evaluate_exactly(network, point) == tuple(point)


@pytest.mark.parametrize("times", [1, 2, 3, 6])
def test_composed_tents_have_two_to_the_k_pieces(times):
    found = ex.relu.pieces(iterate(TENT, times), [0], [1])
    assert found.pieces == 2**times
    assert found.breakpoints == tuple(F(j, 2**times) for j in range(1, 2**times))
    assert found.values == tuple(F(j % 2) for j in range(2**times + 1))
    assert set(found.slopes) == {F(2**times), F(-(2**times))}


@pytest.mark.parametrize(("units", "times", "count"), [(3, 2, 16), (3, 3, 64), (4, 2, 25)])
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (-0.5, 1.5)])
def test_iterated_zigzag_attains_the_bound_on_pieces(units, times, count, start, end):
    # the knots are rounded to floats here; extra pieces are impossible, since the count is the largest possible one
    network = iterate(zigzag(units), times)
    assert ex.relu.pieces(network, [start], [end]).pieces == count


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 10**6))
def test_pieces_never_exceed_the_product_of_widths_plus_one(widths, dim, seed):
    network = random_network(dim, widths, seed)
    rng = np.random.default_rng(seed)
    found = ex.relu.pieces(network, rng.uniform(-2, 0, dim), rng.uniform(0.1, 2, dim))
    assert found.pieces <= math.prod(w + 1 for w in widths)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3), st.integers(0, 10**6))
def test_pieces_reproduce_the_network_between_the_breakpoints(widths, dim, seed):
    network = random_network(dim, widths, seed)
    rng = np.random.default_rng(seed)
    start, end = rng.integers(-4, 0, dim).tolist(), rng.integers(1, 5, dim).tolist()
    found = ex.relu.pieces(network, start, end)
    knots = [F(0), *found.breakpoints, F(1)]
    assert all(a < b for a, b in pairwise(knots))
    assert all(a != b for a, b in pairwise(found.slopes))
    for t0, t1, slope, value in zip(knots, knots[1:], found.slopes, found.values, strict=False):
        for t in (t0, (2 * t0 + t1) / 3, t1):
            point = [a + t * (b - a) for a, b in zip(start, end, strict=True)]
            assert slow_value(network, point) == (value + slope * (t - t0),)


def test_several_outputs_break_where_any_of_them_does():
    two = ex.stack(TENT, TENT)
    found = ex.relu.pieces(two, [0, F(1, 4)], [1, F(3, 4)])
    assert found.breakpoints == (F(1, 2),)
    assert found.slopes == ((F(2), F(1)), (F(-2), F(-1)))
    assert found.values == ((F(0), F(1, 2)), (F(1), F(1)), (F(0), F(1, 2)))


def test_an_affine_map_has_one_piece():
    found = ex.relu.pieces(ex.identity(1, depth=4), [-1], [F(1, 2)])
    assert found == ((), (F(3, 2),), (F(-1), F(1, 2)))


@pytest.mark.parametrize(
    ("point", "error", "words"),
    [
        ([1.0], ValueError, "got 1"),
        ([float("nan"), 0.0], ValueError, "nan"),
        ([0.0, float("inf")], ValueError, "inf"),
        ([1j, 0.0], TypeError, "1j"),
        (["a", 0.0], TypeError, "'a'"),
        ("ab", ValueError, "ab"),
    ],
)
def test_bad_points_are_refused_with_the_value(point, error, words):
    with pytest.raises(error, match=words):
        ex.relu.evaluate_exactly(ex.identity(2, depth=2), point)
    with pytest.raises(error, match=words):
        ex.relu.pieces(ex.identity(2, depth=2), point, [1, 2])


def test_a_segment_of_one_point_is_refused():
    with pytest.raises(ValueError, match=r"1/2"):
        ex.relu.pieces(TENT, [0.5], [F(1, 2)])
