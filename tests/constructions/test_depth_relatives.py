"""Telgarsky, Yarotsky, Arora, Montufar, Daniely, Safran and Shamir, Safran, Eldan and Shamir, Venturi."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expressivity as ex
from expressivity import certificates
from expressivity.constructions import (
    arora2018,
    daniely2017,
    montufar2014,
    safran_eldan_shamir2019,
    safran_shamir2017,
    telgarsky2016,
    venturi2022,
    yarotsky2017,
)

unit = st.fractions(0, 1, max_denominator=997)


# --- Telgarsky --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.fractions(-2, 3, max_denominator=97), st.booleans())
def test_sawtooth_is_the_iterated_tent(k, x, everywhere):
    if not everywhere and not 0 <= x <= 1:
        return
    expected = x
    for _ in range(k):
        expected = max(Fraction(0), min(2 * expected, 2 - 2 * expected))
    network = telgarsky2016.sawtooth(k, everywhere=everywhere)
    assert ex.relu.evaluate_exactly(network, [x]) == (expected,)
    assert sum(network.hidden_widths) == (3 * k if everywhere else 2 * k)


def test_sawtooth_alternates_on_the_dyadic_points():
    for i in range(64):
        assert ex.relu.evaluate_exactly(telgarsky2016.sawtooth(6), [Fraction(i, 64)]) == (i % 2,)
    target = telgarsky2016.target(6)
    x = np.linspace(0, 1, 1001)[:, None]
    np.testing.assert_allclose(ex.evaluate(target.network, x)[:, 0], target.values(x), atol=1e-12)


def fewest_errors(count, runs):
    """By dynamic programming over the labels of a classifier with at most `runs` constant runs."""
    best = {(label, 1): int(label != 0) for label in (0, 1)}
    for i in range(1, count):
        after = {}
        for (label, used), errors in best.items():
            for new in (0, 1):
                state = (new, used + (new != label))
                if state[1] <= runs:
                    after[state] = min(after.get(state, count), errors + (new != i % 2))
        best = after
    return min(best.values())


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_fewest_errors_by_dynamic_programming(count):
    for runs in range(1, count + 3):
        assert telgarsky2016.min_errors_alternating(count, runs) == fewest_errors(count, runs)


@pytest.mark.parametrize("seed", range(5))
def test_no_random_network_beats_the_certificates(seed):
    k, widths = 7, (3, 2)
    network = ex.relu.gadgets.random_network(1, widths, seed)
    x = np.arange(2**k)[:, None] / 2**k
    outputs = ex.evaluate(network, x)[:, 0]
    labels = np.arange(2**k) % 2
    level = np.median(outputs)
    errors = np.sum((outputs - level + 0.5 >= 0.5) != labels)
    assert errors >= telgarsky2016.classification_certificate(k, widths).value
    fine = np.linspace(0, 1, 20001)[:, None]
    gap = np.abs(ex.evaluate(network, fine)[:, 0] - telgarsky2016.target(k).values(fine)).mean()
    assert gap >= telgarsky2016.l1_certificate(k, widths).value


def test_l1_certificate_is_nearly_attained_by_a_half():
    # the constant 1/2 is at distance 1/4; with many pieces left over the certificate tends to 1/8
    assert telgarsky2016.l1_certificate(30, (1,)).value == pytest.approx(1 / 8, abs=1e-8)
    assert telgarsky2016.l1_certificate(3, (7,)).value == 0
    assert telgarsky2016.classification_certificate(3, (7,)).value == 0


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([([[0.0]], [0.5])], 1),  # constant 1/2
        ([([[1.0]], [100.0])], 2),  # crosses far to the left
        ([([[1.0]], [0.0]), ([[1e-3]], [0.0])], 2),  # crosses at 500
        ([([[1.0], [-1.0]], [0.0, 0.0]), ([[-1.0, -1.0]], [0.5])], 3),  # touches 1/2 at 0 alone
    ],
)
def test_crossing_numbers(layers, expected):
    assert telgarsky2016.crossing_number(ex.ReLUNetwork.from_layers(layers)) == expected


@pytest.mark.parametrize("seed", range(4))
def test_crossings_are_at_most_pieces_plus_one(seed):
    network = ex.relu.gadgets.random_network(1, (4, 3), seed)
    assert telgarsky2016.crossing_number(network) <= certificates.pieces_bound((4, 3)) + 1
    assert telgarsky2016.crossing_number(network) <= telgarsky2016.crossing_bound(8, 3)


# --- Yarotsky ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), unit)
def test_square_is_above_and_within_its_bound(m, x):
    made = yarotsky2017.square(m)
    error = ex.relu.evaluate_exactly(made.network, [x])[0] - x * x
    scaled = x * 2**m - math.floor(x * 2**m)
    assert error == Fraction(1, 4**m) * scaled * (1 - scaled)
    assert 0 <= error <= Fraction(made.error_bound)


@given(st.integers(1, 6), st.sampled_from([0.5, 1, 4]), st.fractions(-1, 1, max_denominator=97), st.data())
def test_product_never_overestimates(m, bound, x, data):
    y = data.draw(st.one_of(st.just(Fraction(0)), st.fractions(-1, 1, max_denominator=89)))
    x, y = Fraction(bound) * x, Fraction(bound) * y
    made = yarotsky2017.product(m, bound)
    value = ex.relu.evaluate_exactly(made.network, [x, y])[0]
    assert -Fraction(made.error_bound) <= value - x * y <= 0
    assert x * y != 0 or value == 0
    assert made.network.hidden_layers == m + 1


def test_measured_errors_of_square_and_product():
    for made in (yarotsky2017.square(5), yarotsky2017.product(4, 1.5)):
        assert ex.error(made, made.target, "sup").value <= made.error_bound * (1 + 1e-9)


# --- Arora ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12))
def test_maximum(numbers):
    network = arora2018.maximum(len(numbers))
    assert ex.relu.evaluate_exactly(network, numbers) == (max(numbers),)
    assert network.hidden_layers == (len(numbers) - 1).bit_length()


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=6, unique_by=lambda t: t[0]),
    st.integers(-2, 2),
    st.integers(-2, 2),
)
def test_piecewise_linear(points, left, right):
    points = sorted(points)
    knots, values = [p[0] for p in points], [p[1] for p in points]
    network = arora2018.piecewise_linear(knots, values, left, right)
    for knot, value in points:
        assert ex.relu.evaluate_exactly(network, [knot])[0] == pytest.approx(value, abs=1e-12)
    far = ex.evaluate(network, [[knots[0] - 7.0], [knots[-1] + 7.0]])[:, 0]
    assert far == pytest.approx([values[0] - 7 * left, values[-1] + 7 * right], abs=1e-9)
    assert network.width <= len(points) + (left != 0)


# --- Montufar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "layers"), [(3, 1), (3, 3), (4, 2), (5, 2), (8, 2)])
def test_zigzag_attains_the_bound_on_pieces(width, layers):
    found = ex.relu.pieces(montufar2014.zigzag(width, layers), [0], [1])
    assert found.pieces == certificates.pieces_bound([width] * layers) == certificates.serra(1, [width] * layers)
    assert min(found.values) == pytest.approx(0, abs=1e-9)
    assert max(found.values) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("units", "layers"), [(2, 4), (3, 3), (5, 2)])
def test_fold_folds(units, layers):
    x = np.linspace(0, 1, 2003)
    expected = x
    for _ in range(layers):
        expected = np.abs((units * expected + 1) % 2 - 1)
    found = ex.evaluate(montufar2014.fold(units, layers), x[:, None])[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


# --- Daniely ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "knots", "head_knots"), [(2, 20, 60), (3, 50, 267), (4, 90, 636)])
def test_inner_product_network_is_within_its_bound(d, knots, head_knots):
    made = daniely2017.network(d, knots=knots, head_knots=head_knots)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3000, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    points = np.concatenate([np.concatenate([x, y], 1), np.concatenate([x, x], 1), np.concatenate([x, -x], 1)])
    error = np.abs(ex.evaluate(made.network, points)[:, 0] - made.target.values(points))
    assert 0.3 * made.error_bound < error.max() <= made.error_bound
    assert made.network.hidden_widths == (2 * d * knots, head_knots + 1)


def test_other_functions_of_the_inner_product():
    made = daniely2017.network(3, knots=8, head_knots=12, function=lambda t: t**2, lipschitz=2.0, curvature=2.0)
    assert ex.error(made, made.target, "L2").value <= made.error_bound
    assert daniely2017.paper_bound(18) < 0 < daniely2017.paper_bound(19)
    assert daniely2017.paper_bound(50) == pytest.approx(math.log2(5.5e17), abs=0.02)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_harmonic_dimensions_add_up_to_polynomials(d):
    # polynomials of degree <= n on the sphere: C(n + d - 1, n) + C(n + d - 2, n - 1)
    for n in range(1, 8):
        total = sum(daniely2017.harmonic_dim(i, d) for i in range(n + 1))
        assert total == math.comb(n + d - 1, n) + math.comb(n + d - 2, n - 1)


# --- balls and ridges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_ball_indicator(d):
    made = safran_shamir2017.ball_indicator(d, knots=12, ramp=0.1)
    found = ex.error(made, made.target, "L2")
    assert found.value - found.half_width <= made.error_bound
    assert made.network.hidden_widths == (2 * d * 13, 2)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (5000, d))
    values, square = ex.evaluate(made.network, x)[:, 0], (x**2).sum(1)
    excess = d * (1.1 / 12**2) / 4
    assert np.all((values >= -1e-9) & (values <= 1 + 1e-9))
    assert np.all(np.abs(values[square <= 1 - excess] - 1) < 1e-9)
    assert np.all(np.abs(values[square >= 1.1]) < 1e-9)


def test_ball_indicator_in_the_measure_of_eldan_and_shamir():
    made = safran_shamir2017.ball_indicator(2, knots=12, ramp=0.1, measure=ex.EldanShamir(2))
    found = ex.error(made, made.target, "L2")
    assert found.value - found.half_width <= made.error_bound
    with pytest.raises(ValueError, match="Gaussian"):
        safran_shamir2017.ball_indicator(2, knots=12, ramp=0.1, measure=ex.Gaussian(2))


def test_l1_ball_distance():
    x = np.random.default_rng(0).uniform(-2, 2, (50, 3))
    found = ex.evaluate(safran_shamir2017.l1_ball_distance(3), x)[:, 0]
    np.testing.assert_allclose(found, np.maximum(np.abs(x).sum(1) - 1, 0), atol=1e-12)


@pytest.mark.parametrize(("d", "count"), [(2, 1), (2, 6), (3, 4), (4, 3)])
def test_ridge_designs_are_exact(d, count):
    directions, weights = safran_eldan_shamir2019.ridge_design(d, count)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert np.all(weights > 0)
    x = np.random.default_rng(1).standard_normal((7, d))
    for j in range(count):
        mean = (x @ directions.T) ** (2 * j) @ weights
        np.testing.assert_allclose(mean, safran_eldan_shamir2019.kappa(j, d) * (x**2).sum(1) ** j, rtol=1e-9)


def test_random_designs_are_exact_in_the_mean():
    directions, weights = safran_eldan_shamir2019.ridge_design(5, 40_000, seed=1)
    x = np.array([0.3, -0.5, 0.1, 0.7, 0.2])
    mean = weights @ (directions @ x) ** 4
    assert mean == pytest.approx(safran_eldan_shamir2019.kappa(2, 5) * (x @ x) ** 2, rel=0.036)  # four standard errors


@pytest.mark.parametrize("d", [2, 3])
def test_one_hidden_layer_for_a_radial_polynomial(d):
    made = safran_eldan_shamir2019.approximate([0.3, -1.0, 0.5], d, knots=30)
    assert made.network.hidden_layers == 1
    assert made.network.width == made.width_bound
    found = ex.error(made, made.target, "sup")
    assert 0.05 * made.error_bound < found.value <= made.error_bound


def test_bernstein_polynomials_are_within_their_bound():
    r = np.linspace(0, 1, 501)
    for function, lipschitz in ((lambda r: np.maximum(0, 1 - 2 * r), 2.0), (lambda r: np.abs(r - 0.4), 1.0)):
        for degree in (4, 12):
            a = safran_eldan_shamir2019.bernstein(function, degree)
            gap = np.abs(np.polynomial.polynomial.polyval(r**2, a) - function(r)).max()
            assert gap <= 1.25 * lipschitz * degree**-0.25


def test_oscillation_of_a_hidden_layer():
    inner = ex.relu.gadgets.random_network(2, (5,), 3)
    made = venturi2022.oscillation(inner, 0.7, head_knots=400, measure=ex.Box(2))
    assert made.network.hidden_widths == (5, 401)
    assert ex.error(made, made.target, "sup").value <= made.error_bound
    assert made.target.lipschitz is not None
    slopes = np.linalg.norm(made.target.gradients(np.random.default_rng(0).uniform(-1, 1, (500, 2))), axis=1)
    assert slopes.max() <= made.target.lipschitz


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: telgarsky2016.sawtooth(0), ValueError, "0"),
        (lambda: telgarsky2016.sawtooth(1.5), TypeError, r"1\.5"),
        (lambda: telgarsky2016.crossing_number(ex.identity(2, 2)), ValueError, "2 -> 2"),
        (lambda: telgarsky2016.min_errors_alternating(4, 0), ValueError, "0"),
        (lambda: yarotsky2017.square(0), ValueError, "m=0"),
        (lambda: yarotsky2017.product(2, -1.0), ValueError, "-1.0"),
        (lambda: arora2018.maximum(0), ValueError, "0"),
        (lambda: arora2018.sufficient_hidden_layers(0), ValueError, "0"),
        (lambda: arora2018.piecewise_linear([1.0, 0.0], [0.0, 0.0]), ValueError, "increasing"),
        (lambda: montufar2014.zigzag(2, 1), ValueError, "at least 3; got 2"),
        (lambda: montufar2014.fold(0, 1), ValueError, "got 0"),
        (lambda: montufar2014.serra_lower(2, (5, 6)), ValueError, "got 5"),
        (lambda: daniely2017.harmonic_dim(-1, 3), ValueError, "-1"),
        (lambda: daniely2017.network(1, knots=2, head_knots=2), ValueError, "d=1"),
        (lambda: daniely2017.network(3, knots=0, head_knots=2), ValueError, "got 0"),
        (lambda: daniely2017.network(3, knots=2, head_knots=2, function=np.sin), ValueError, "None"),
        (lambda: safran_shamir2017.ball_indicator(2, knots=3, ramp=0.0), ValueError, r"0\.0"),
        (lambda: safran_shamir2017.ball_indicator(2, knots=3, ramp=0.1, measure=ex.Ball(3)), ValueError, "3"),
        (lambda: safran_eldan_shamir2019.kappa(-1, 2), ValueError, "-1"),
        (lambda: safran_eldan_shamir2019.ridge_design(1, 3), ValueError, "d=1"),
        (lambda: safran_eldan_shamir2019.approximate([], 2, knots=3), ValueError, "at least one"),
        (lambda: safran_eldan_shamir2019.bernstein(np.sin, 99), ValueError, "99"),
        (lambda: venturi2022.oscillation(ex.identity(2, 2), 1.0, head_knots=3, measure=ex.Box(2)), ValueError, "2"),
        (
            lambda: venturi2022.oscillation(arora2018.maximum(2), 1.0, head_knots=3, measure=ex.EldanShamir(2)),
            TypeError,
            "bounded domain",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_every_pair_of_signs_of_a_maximum():
    for signs in itertools.product((-1.0, 1.0), repeat=3):
        assert float(arora2018.maximum(3)(np.array(signs))[0]) == max(signs)
