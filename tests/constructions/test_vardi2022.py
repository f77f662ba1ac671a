"""Exact compilers: the same function at small width; and the network of leading bits."""

import math
from fractions import Fraction
from itertools import pairwise

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import vardi2022
from expressivity.constructions.vardi2022 import best_split, leading_bits, narrow
from expressivity.relu import exact


def forward(network, points):
    """The network layer by layer in NumPy, without compilation."""
    h = np.asarray(points, dtype=np.float64)
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return h @ weight.T + bias


def gaussian(rng, n, widths, outputs=1):
    sizes = [n, *widths, outputs]
    return ex.ReLUNetwork.from_layers(
        [(rng.standard_normal((b, a)), rng.standard_normal(b)) for a, b in pairwise(sizes)]
    )


SMALL = ex.ReLUNetwork.from_layers([([[1.0], [-1.0], [2.0]], [0.0, 0.0, -1.0]), ([[1.0, 1.0, -1.0]], [0.5])])


def test_three_units_on_an_interval():
    thin = narrow(SMALL, half_width=1.0)
    assert (thin.width, thin.hidden_layers, thin.size) == (3, 3, 34)
    np.testing.assert_allclose(
        ex.evaluate(thin, [[0.75], [-0.5], [0.0], [1.0]])[:, 0], [0.75, 1.0, 0.5, 0.5], rtol=0, atol=1e-12
    )


def test_three_units_on_the_line():
    thin = narrow(SMALL)
    assert (thin.width, thin.hidden_layers, thin.size) == (4, 4, 73)
    np.testing.assert_allclose(
        ex.evaluate(thin, [[0.75], [-50.0], [100.0]])[:, 0], [0.75, 50.5, -98.5], rtol=0, atol=1e-12
    )


def test_the_printed_weights_of_lemma_16_fail_and_these_do_not():
    u, w, b = [1.0, 1.0], [1.0, 1.0], [0.0, -2.0]
    net = ex.ReLUNetwork.from_layers([(np.array([w]).T, b), ([u], [0.0])])
    # as printed: registers x+, x-, P and, for unit i, P <- relu(P + u_i w_i x + b_i)
    layers = [([[1.0], [-1.0], [0.0]], [0.0] * 3)]
    for ui, wi, bi in zip(u, w, b, strict=True):
        layers.append(([[1.0, 0, 0], [0, 1.0, 0], [ui * wi, -ui * wi, 1.0]], [0.0, 0.0, bi]))
    printed = ex.ReLUNetwork.from_layers([*layers, ([[0.0, 0.0, 1.0]], [0.0])])
    assert exact.evaluate_exactly(net, [Fraction(1)]) == (1,)
    assert exact.evaluate_exactly(printed, [Fraction(1)]) == (0,)
    thin = narrow(net)
    assert thin.width == 4
    assert exact.evaluate_exactly(thin, [Fraction(1)]) == (1,)


@pytest.mark.parametrize(
    ("n", "widths", "outputs", "inner", "outer", "width", "layers"),
    [
        (2, (50,), 1, 1, 1, 4, 50),
        (5, (200,), 1, 1, 1, 7, 200),
        (3, (20,), 4, 6, 1, 13, 4),
        (2, (18, 18), 1, 1, 1, 5, 342),
        (1, (50, 50), 1, 4, 4, 10, 182),
        (2, (72, 72), 1, 5, 5, 13, 240),
        (3, (7, 5), 2, 3, 2, 10, 12),
        (2, (3, 2), 1, 9, 9, 8, 2),
        (2, (1, 1), 1, 1, 1, 5, 2),
        (1, (1,), 2, 1, 1, 4, 1),
        (2, (4, 5, 3), 1, 1, 1, 6, 78),
        (1, (2, 1, 6), 3, 1, 1, 7, 24),
    ],
)
def test_narrow_networks_are_equal_on_the_cube_and_everywhere(n, widths, outputs, inner, outer, width, layers):
    rng = np.random.default_rng(len(widths) + n)
    net = gaussian(rng, n, widths, outputs)
    for half_width, scale, registers, more in ((1.0, 1.0, width, 0), (None, 1e3, width + n, 1)):
        thin = narrow(net, half_width=half_width, inner=inner, outer=outer)
        assert (thin.width, thin.hidden_layers) == (registers, layers + more)
        points = rng.uniform(-scale, scale, (1000, n))
        expected = forward(net, points)
        tolerance = 1e-12 * np.abs(expected).max() if half_width else 1e-10 * np.abs(expected).max()
        np.testing.assert_allclose(forward(thin, points), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("n", "first", "second", "width", "layers"), [(1, 6, 5, 5, 36), (3, 12, 9, 9, 118)])
def test_two_hidden_layers_everywhere(n, first, second, width, layers):
    net = gaussian(np.random.default_rng(0), n, (first, second))
    thin = narrow(net)
    assert (thin.width, thin.hidden_layers) == (width, layers)
    points = np.random.default_rng(1).uniform(-1e3, 1e3, (2000, n))
    expected = ex.evaluate(net, points)
    np.testing.assert_allclose(ex.evaluate(thin, points), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_sizes_of_the_wide_targets():
    net = gaussian(np.random.default_rng(0), 2, (72, 72))
    assert net.size == 5545
    assert narrow(net, half_width=1.0).size == 157_671
    assert narrow(net, half_width=1.0, inner=5, outer=5).size == 43_551
    assert narrow(gaussian(np.random.default_rng(0), 1, (50, 50)), half_width=1.0).hidden_layers == 2550


eighths = st.integers(-16, 16).map(lambda i: i / 8)


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=60, deadline=None)
def test_equality_in_rational_arithmetic(data):
    n, outputs = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    widths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    sizes = [n, *widths, outputs]
    net = ex.ReLUNetwork.from_layers(
        [(rng.integers(-8, 9, (b, a)) / 4, rng.integers(-8, 9, b) / 4) for a, b in pairwise(sizes)]
    )
    inner = data.draw(st.integers(1, 3)) if len(widths) < 3 else 1
    outer = data.draw(st.integers(1, 3)) if len(widths) == 2 else 1
    point = [Fraction(data.draw(eighths)) for _ in range(n)]
    expected = exact.evaluate_exactly(net, point)
    assert exact.evaluate_exactly(narrow(net, half_width=2.0, inner=inner, outer=outer), point) == expected
    far = [64 * x for x in point]
    everywhere = narrow(net, inner=inner, outer=outer)
    assert exact.evaluate_exactly(everywhere, far) == exact.evaluate_exactly(net, far)


def test_registers_may_start_in_any_precision():
    net = ex.ReLUNetwork.from_layers([(w.astype(np.float32), b.astype(np.float32)) for w, b in SMALL.layers])
    assert ex.evaluate(narrow(net, half_width=1.0), [[0.75]])[0, 0] == 0.75


def test_an_affine_map_is_narrow_already():
    affine = ex.ReLUNetwork.from_layers([([[1.0, 2.0]], [3.0])])
    assert narrow(affine, half_width=1.0) is affine


@pytest.mark.parametrize(("n", "k", "layers"), [(1, 3, 10), (1, 4, 12), (1, 5, 15), (2, 3, 12), (2, 4, 15), (2, 5, 15)])
def test_best_splits_for_the_experiments_of_lu(n, k, layers):
    width = math.ceil(3 * k**1.5 - 1e-9)
    split = best_split(n, (2 * k * k, 2 * k * k), width)
    assert split.hidden_layers == layers
    assert split.width <= width
    thin = narrow(
        gaussian(np.random.default_rng(0), n, (2 * k * k,) * 2), half_width=1.0, inner=split[0], outer=split[1]
    )
    assert (thin.width, thin.hidden_layers) == (split.width, layers)


@pytest.mark.parametrize(("n", "k", "layers"), [(1, 5, 141), (2, 6, 193), (1, 30, 521), (1, 100, 1666)])
def test_depth_at_the_width_of_theorem_4(n, k, layers):
    split = best_split(n, (2 * k * k,) * 2, math.isqrt(k**3))
    # at most the depth (one more than the hidden layers) of the table, whose splits may be bettered
    assert split.hidden_layers + 1 <= layers


@pytest.mark.parametrize("everywhere", [False, True])
def test_best_split_is_best(everywhere):
    rng = np.random.default_rng(0)
    for _ in range(30):
        n, m, first, second = (int(i) for i in rng.integers(1, 12, 4))
        width = (2 * n if everywhere else n) + m + int(rng.integers(2, 20))
        free = width - (2 * n if everywhere else n) - m
        brute = min(
            math.ceil(second / p) * (math.ceil(first / g) + 1) for p in range(1, free) for g in range(1, free - p + 1)
        )
        split = best_split(n, (first, second), width, outputs=m, everywhere=everywhere)
        assert split.hidden_layers == brute + everywhere
        assert split.width <= width


def test_leading_bits_of_four():
    net = leading_bits(4, 1e-3)
    assert (net.width, net.hidden_layers) == (5, 8)
    values = ex.evaluate(net, np.array([0.70, 0.33, 0.999, 0.03, 0.5001])[:, None])[:, 0]
    np.testing.assert_allclose(values, [11, 5, 15, 0, 8], rtol=0, atol=1e-9)


@hypothesis.given(
    bits=st.integers(1, 12), scale=st.integers(1, 12), cell=st.integers(0, 2**30), part=st.integers(0, 2**12)
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_leading_bits_exactly(bits, scale, cell, part):
    ramp = Fraction(1, 2**scale)
    # fractional part of 2^c x from 0 up to the limit 1 - ramp / 2 inclusive
    x = (cell % 2**bits + (1 - ramp / 2) * Fraction(part, 2**12)) / 2**bits
    assert exact.evaluate_exactly(leading_bits(bits, float(ramp)), [x]) == (math.floor(2**bits * x),)


def test_leading_bits_fail_on_a_small_set_only():
    bits, ramp = 5, 0.25
    points = (np.arange(2**16) + 0.5) / 2**16
    wrong = np.abs(ex.evaluate(leading_bits(bits, ramp), points[:, None])[:, 0] - np.floor(2**bits * points)) > 1e-9
    assert np.all(np.mod(2**bits * points[wrong], 1) > 1 - ramp / 2)
    assert ramp / 4 <= wrong.mean() <= ramp / 2


def test_bad_requests():
    rng = np.random.default_rng(0)
    # 4 (2 (2 (3 + 1) + 1) + 1) = 76
    with pytest.raises(ValueError, match="4 hidden layers would become one with 76 hidden layers"):
        narrow(gaussian(rng, 1, (3, 2, 2, 4)), half_width=1.0)
    with pytest.raises(ValueError, match=r"not 0\.0"):
        narrow(SMALL, half_width=0.0)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        narrow(SMALL, half_width=1.0, inner=0)
    with pytest.raises(ValueError, match="outer=2"):
        narrow(SMALL, half_width=1.0, outer=2)
    with pytest.raises(ValueError, match="inner=2"):
        narrow(gaussian(rng, 1, (2, 2, 2)), half_width=1.0, inner=2)
    with pytest.raises(TypeError, match="list"):
        narrow([], half_width=1.0)
    with pytest.raises(ValueError, match="more than"):
        narrow(gaussian(rng, 1, (400, 400, 400)), half_width=1.0)
    with pytest.raises(ValueError, match="Width 4 is too small: at least 5"):
        best_split(2, (3, 3), 4)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        best_split(2, (3,), 9)
    with pytest.raises(ValueError, match=r"not 1\.5"):
        leading_bits(4, 1.5)
    with pytest.raises(ValueError, match="float64"):
        leading_bits(40, 1e-3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        vardi2022.leading_bits(0, 0.5)


def test_a_split_is_for_two_widths():
    with pytest.raises(TypeError, match=r"two hidden layers.*18"):
        vardi2022.best_split(1, 18, 16)  # type: ignore[arg-type]
