"""The bound of rounding is above every error that can be found, in exact arithmetic, and is not much too large."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import expressivity as ex
from expressivity.relu.gadgets import random_network

CORNERS = ([-1.0, -1.0], [1.0, 1.0])


def worst(network, x, dtype):
    """The largest error at these points, in rationals."""
    values = ex.evaluate(network, x, dtype)
    exact = [ex.relu.evaluate_exactly(network, point) for point in x.tolist()]
    return max(
        abs(Fraction(float(v)) - e)
        for row, line in zip(values, exact, strict=True)
        for v, e in zip(row, line, strict=True)
    )


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 6), max_size=5),
    st.integers(0, 10**6),
    st.sampled_from([np.float32, np.float64]),
    st.integers(-30, 30),
)
def test_no_error_exceeds_the_bound(widths, seed, dtype, power):
    network = 2.0**power * random_network(2, widths, seed)
    x = np.random.default_rng(seed).uniform(-1, 1, (20, 2))
    bound = ex.relu.rounding_bound(network, *CORNERS, dtype)
    assert worst(network, x, dtype) <= Fraction(bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bound_is_within_a_few_orders_of_what_happens(dtype):
    network = random_network(2, (8, 8), 0)
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    bound = ex.relu.rounding_bound(network, *CORNERS, dtype)
    assert Fraction(bound) < 1000 * worst(network, x, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kept_registers_add_nothing(dtype):
    first = ([[0.1, 0.2], [0.3, -0.7]], [0.5, 0.1])
    last = ([[0.3, 0.7]], [0.1])
    keep = (np.eye(2), np.zeros(2))
    short = ex.ReLUNetwork.from_layers([first, keep, last])
    deep = ex.ReLUNetwork.from_layers([first, *[keep] * 500, last])
    assert ex.relu.rounding_bound(short, *CORNERS, dtype) == ex.relu.rounding_bound(deep, *CORNERS, dtype)


def test_weights_that_do_not_fit_are_counted():
    # 1/10 in float32 is off by about 1.5e-9; the product with 1 is exact afterwards but for one rounding
    network = ex.ReLUNetwork.from_layers([([[0.1]], [0.0])])
    lost = abs(Fraction(0.1) - Fraction(float(np.float32(0.1))))
    assert Fraction(ex.relu.rounding_bound(network, [1.0], [1.0], np.float32)) >= lost


def test_overflow_is_an_infinite_bound():
    network = ex.ReLUNetwork.from_layers([([[1e30]], [0.0]), ([[1e30]], [0.0])])
    assert ex.relu.rounding_bound(network, [0.0], [1.0], np.float32) == float("inf")
    assert ex.relu.rounding_bound(network, [0.0], [1.0], np.float64) < 1e46


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [([0.0], [1.0], "2 numbers"), ([1.0, 0.0], [0.0, 1.0], "order"), ([0, 0], [1, np.inf], "inf")],
)
def test_bad_boxes_are_refused(lower, upper, words):
    with pytest.raises(ValueError, match=words):
        ex.relu.rounding_bound(random_network(2, (3,), 0), lower, upper)
