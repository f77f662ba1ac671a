"""Strings of maxima and minima, and the cap string: equal to the plain recursion, within the bound."""

import math
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import hanin_sellke2017 as strings
from expressivity.relu import exact


def string(slopes, offsets, signs, points):
    """The recursion y_i = max or min (l_i, y_{i-1})."""
    y = points @ slopes[0] + offsets[0]
    for a, b, s in zip(slopes[1:], offsets[1:], signs, strict=True):
        piece = points @ a + b
        y = np.maximum(piece, y) if s > 0 else np.minimum(piece, y)
    return y


def norm(measure):
    return ex.Target(lambda x: jnp.sqrt(jnp.sum(x**2)), measure, lipschitz=1.0, name="norm")


def sine(measure):
    return ex.Target(lambda x: jnp.sin(3 * x[0]), measure, lipschitz=3.0, name="sine")


def disc(count):
    axis = np.linspace(-1, 1, count)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return points[(points**2).sum(1) <= 1]


@pytest.mark.parametrize(("dim", "pieces"), [(1, 5), (2, 20), (5, 50), (3, 1), (3, 2)])
def test_maximum_of_affine_functions(dim, pieces):
    rng = np.random.default_rng(dim)
    slopes, offsets = rng.standard_normal((pieces, dim)), rng.standard_normal(pieces)
    net = strings.max_affine(slopes, offsets, half_width=2.0)
    assert net.hidden_layers == pieces - 1
    assert net.width == (dim + 1 if pieces > 1 else 0)
    points = rng.uniform(-2, 2, (2000, dim))
    np.testing.assert_allclose(ex.evaluate(net, points)[:, 0], (points @ slopes.T + offsets).max(1), rtol=0, atol=1e-12)


def test_a_string_is_valid_far_on_the_positive_side():
    rng = np.random.default_rng(0)
    slopes, offsets = rng.standard_normal((7, 2)), rng.standard_normal(7)
    net = strings.max_affine(slopes, offsets, half_width=1.0)
    points = rng.uniform(0, 1e4, (500, 2))
    np.testing.assert_allclose(
        ex.evaluate(net, points)[:, 0], (points @ slopes.T + offsets).max(1), rtol=1e-12, atol=1e-9
    )


quarters = st.integers(-20, 20).map(lambda i: i / 4)


@hypothesis.given(
    pieces=st.lists(st.tuples(quarters, quarters, quarters, st.sampled_from([1, -1])), min_size=2, max_size=7),
    point=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
)
@hypothesis.settings(max_examples=80, deadline=None)
def test_strings_exactly(pieces, point):
    slopes, offsets = [p[:2] for p in pieces], [p[2] for p in pieces]
    signs = [p[3] for p in pieces[1:]]
    net = strings.string_network(slopes, offsets, signs, half_width=2.0)
    x = [Fraction(p, 4) for p in point]
    expected = string(np.array(slopes), np.array(offsets), signs, np.array([[float(v) for v in x]]))[0]
    assert exact.evaluate_exactly(net, x)[0] == Fraction(float(expected))
    assert (net.width, net.hidden_layers) == (3, len(pieces) - 1)


@pytest.mark.parametrize(("dim", "plus", "minus"), [(1, 2, 2), (2, 5, 9), (4, 7, 3), (2, 1, 4), (2, 4, 1), (2, 1, 1)])
def test_difference_of_maxima(dim, plus, minus):
    rng = np.random.default_rng(plus)
    a, b = rng.standard_normal((plus, dim)), 5 * rng.standard_normal(plus)
    c, d = rng.standard_normal((minus, dim)), 5 * rng.standard_normal(minus)
    net = strings.max_affine_difference(a, b, c, d, half_width=2.0)
    points = rng.uniform(-2, 2, (2000, dim))
    expected = (points @ a.T + b).max(1) - (points @ c.T + d).max(1)
    np.testing.assert_allclose(ex.evaluate(net, points)[:, 0], expected, rtol=0, atol=1e-12)
    assert net.width == (dim + 2 if min(plus, minus) > 1 else dim + 1 if plus + minus > 2 else 0)
    assert net.hidden_layers == plus + minus - 2


@pytest.mark.parametrize(
    ("make", "mesh", "caps", "error"),
    [
        (lambda: norm(ex.Ball(2)), 0.2, 720, 0.139815),
        (lambda: norm(ex.Ball(2)), 0.1, 5839, 0.066217),
        (lambda: ex.targets.product(ex.Ball(2)), 0.15, 1715, 0.072725),
        (lambda: sine(ex.Ball(1)), 0.05, 38, 0.067340),
    ],
)
def test_cap_strings(make, mesh, caps, error):
    target = make()
    result = strings.cap_string(target, mesh=mesh)
    assert (result.network.width, result.network.hidden_layers) == (target.dim + 1, 2 * caps)
    assert result.error_bound == pytest.approx(2 * target.lipschitz * mesh, rel=1e-15)
    points = disc(61) if target.dim == 2 else np.linspace(-1, 1, 61)[:, None]
    pieces = strings.cap_pieces(target, mesh=mesh)
    plain = string(*pieces, points)
    np.testing.assert_allclose(ex.evaluate(result.network, points)[:, 0], plain, rtol=0, atol=1e-11)
    measured = np.abs(plain - target.values(points)).max()
    assert measured == pytest.approx(error, abs=1e-6)
    assert measured <= result.error_bound
    center = np.zeros((1, target.dim))
    assert string(*pieces, center)[0] == target.values(center)[0]
    assert ex.evaluate(result.network, center)[0, 0] == pytest.approx(target.values(center)[0], abs=1e-11)


@pytest.mark.parametrize(
    ("make", "mesh"),
    [
        (lambda: ex.targets.norm_squared(ex.Box(2, 0.0, 1.0)), 0.15),
        (lambda: ex.targets.product(ex.Box(2, -3.0, -1.0)), 0.5),
        (lambda: ex.targets.cosine_norm(ex.Ball(2, 0.7)), 0.12),
        (lambda: ex.targets.norm_squared(ex.Ball(3)), 0.4),
        (lambda: norm(ex.Ball(3)), 0.35),
        (lambda: ex.targets.ridge(ex.Box(3)), 0.8),
        (lambda: norm(ex.Ball(4)), 0.6),
        (lambda: sine(ex.Box(1, -2.0, 5.0)), 0.3),
        (lambda: sine(ex.Ball(1)), 5.0),
    ],
)
def test_errors_stay_within_the_bound(make, mesh):
    target = make()
    result = strings.cap_string(target, mesh=mesh)
    measured = ex.error(result, target, "sup", order={1: 2000, 2: 40, 3: 12, 4: 6}[target.dim])
    assert measured.value <= result.error_bound * (1 + 1e-12)
    assert result.network.width <= target.dim + 1


def test_the_bound_is_within_a_factor_of_the_error():
    # a saw of slope L that touches its bounds everywhere; the proof allows 2 L mesh
    saw = ex.Target(lambda x: jnp.abs(((4 * x[0]) % 2) - 1), ex.Ball(1), lipschitz=4.0)
    result = strings.cap_string(saw, mesh=0.11)
    points = np.linspace(-1, 1, 40001)[:, None]
    measured = np.abs(ex.evaluate(result.network, points)[:, 0] - saw.values(points)).max()
    assert 0.4 * result.error_bound <= measured <= result.error_bound


def test_one_register_changes_in_a_layer():
    network = strings.cap_string(norm(ex.Ball(2)), mesh=0.5).network
    for w, b in list(network.layers)[1:-1]:
        assert np.any((w != np.eye(3)) | (b[:, None] != 0), axis=1).sum() <= 1


def test_bad_requests():
    with pytest.raises(ValueError, match=r"0\.5"):
        strings.string_network([[1.0], [2.0]], [0.0, 0.0], [0.5], half_width=1.0)
    with pytest.raises(ValueError, match=r"1 signs; got shape \(2,\)"):
        strings.string_network([[1.0], [2.0]], [0.0, 0.0], [1, 1], half_width=1.0)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        strings.max_affine([[1.0], [2.0]], [0.0, 0.0, 0.0], half_width=1.0)
    with pytest.raises(ValueError, match="NaN"):
        strings.max_affine([[1.0], [math.inf]], [0.0, 0.0], half_width=1.0)
    with pytest.raises(ValueError, match=r"not -1\.0"):
        strings.max_affine([[1.0], [2.0]], [0.0, 0.0], half_width=-1.0)
    with pytest.raises(ValueError, match="1 and of 2"):
        strings.max_affine_difference([[1.0]], [0.0], [[1.0, 2.0]], [0.0], half_width=1.0)
    with pytest.raises(ValueError, match="Lipschitz constant; target 'ball_indicator'"):
        strings.cap_string(ex.targets.ball_indicator(ex.Ball(2)), mesh=0.1)
    with pytest.raises(ValueError, match="compact"):
        strings.cap_string(ex.targets.ridge(ex.Gaussian(2)), mesh=0.1)
    with pytest.raises(ValueError, match=r"not 0\.0"):
        strings.cap_string(norm(ex.Ball(2)), mesh=0.0)
    for dim in (1, 2, 3, 5):
        with pytest.raises(ValueError, match="1e-07 needs more than"):
            strings.cap_string(norm(ex.Ball(dim)), mesh=1e-7)
