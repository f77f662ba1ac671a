"""Targets: values, Lipschitz constants against gradients, witness points, bounds on cells, and bad input."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity import targets

MEASURES = [ex.Box(2), ex.Ball(2), ex.Ball(3, 0.7), ex.Box(3, -0.25, 1.0)]
NAMED = {
    "norm_squared": (targets.norm_squared, lambda x: float(x @ x)),
    "product": (targets.product, lambda x: x[0] * x[1]),
    "cosine_norm": (targets.cosine_norm, lambda x: math.cos(2 * math.pi * math.hypot(*x))),
    "ball_indicator": (targets.ball_indicator, lambda x: 1.0 if math.hypot(*x) <= math.sqrt(0.5) else 0.0),
    "ridge": (targets.ridge, lambda x: min(max(2 * sum(x) / math.sqrt(len(x)), -1.0), 1.0)),
    "parabola_ridge": (targets.parabola_ridge, lambda x: x[0] + x[1] ** 2),
    "random_network": (targets.random_network, None),
    "max_affine": (targets.max_affine, None),
}
CASES = list(itertools.product(NAMED, MEASURES))
IDS = [f"{name}-{measure!r}" for name, measure in CASES]


@pytest.mark.parametrize(("name", "measure"), CASES, ids=IDS)
def test_values_are_the_formula(name, measure):
    make, formula = NAMED[name]
    target = make(measure)
    points = np.asarray(measure.sample(jax.random.key(0), 200), dtype=np.float64)
    values = target.values(points)
    assert values.dtype == np.float64
    if formula is None:
        formula = _by_hand(target)
    # a sum of a few dozen products of order 10 at most, in another order
    assert values == pytest.approx([formula(x) for x in points], abs=1e-12)


def _by_hand(target):
    if target.network is not None:

        def forward(x):
            *hidden, (weight, bias) = target.network.layers
            for w, b in hidden:
                x = np.maximum(w @ x + b, 0)
            return float((weight @ x + bias)[0])

        return forward
    rng = np.random.default_rng(0)  # tangent planes of |x|^2: the maximum of 2 p.x - |p|^2
    n = target.dim
    scale = target.measure.radius if isinstance(target.measure, ex.Ball) else None
    if scale is None:
        scale = max(abs(target.measure.low), abs(target.measure.high)) * math.sqrt(n)
    direction = rng.standard_normal((8, n))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = scale * rng.uniform(0.2, 0.9, (8, 1)) * direction
    return lambda x: max(2 * p @ x - p @ p for p in points)


@pytest.mark.parametrize(("name", "measure"), CASES, ids=IDS)
def test_both_precisions_agree(name, measure):
    target = NAMED[name][0](measure)
    points = np.asarray(measure.sample(jax.random.key(4), 100), dtype=np.float32)
    exact = target.values(points)
    with jax.enable_x64(False):
        single = np.asarray(jax.jit(target.batch)(jnp.asarray(points)))
    assert single.dtype == np.float32
    assert target.values(points).dtype == np.float64  # the other trace has spoilt nothing
    assert np.array_equal(target.values(points), exact)
    scale = max(1.0, np.abs(exact).max())
    # eps = 6e-8; a random network loses up to two digits by cancellation between its 18 units
    off = np.abs(single - exact) > 1e-4 * scale
    assert not off.any() if name != "ball_indicator" else off.sum() <= 1


@pytest.mark.parametrize(("name", "measure"), CASES, ids=IDS)
def test_lipschitz_constants_bound_gradients_and_differences(name, measure):
    target = NAMED[name][0](measure)
    if name == "ball_indicator":
        assert target.lipschitz is None
        return
    rule, _ = measure.quadrature(9)
    points = np.concatenate([rule, target.witness_points])
    slopes = np.linalg.norm(target.gradients(points), axis=1)
    assert np.all(np.isfinite(slopes))
    assert slopes.max() <= target.lipschitz * (1 + 1e-12)
    rng = np.random.default_rng(0)
    pairs = points[rng.integers(len(points), size=(2, 4000))]
    distance = np.linalg.norm(pairs[0] - pairs[1], axis=1)
    assert np.all(np.abs(target.values(pairs[0]) - target.values(pairs[1])) <= target.lipschitz * distance + 1e-12)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("norm_squared", ex.Ball(2)),
        ("norm_squared", ex.Box(3)),
        ("product", ex.Ball(2)),
        ("product", ex.Box(2)),
        ("parabola_ridge", ex.Ball(2)),
        ("parabola_ridge", ex.Box(2)),
        ("max_affine", ex.Box(2)),
        ("cosine_norm", ex.Ball(2)),
        ("ridge", ex.Ball(2)),
    ],
)
def test_lipschitz_constants_are_attained(name, measure):
    """Not only valid but the best: the gradient comes within 1 % somewhere."""
    target = NAMED[name][0](measure)
    points = np.concatenate([measure.boundary(2000), measure.quadrature(60)[0]])
    assert np.linalg.norm(target.gradients(points), axis=1).max() >= 0.99 * target.lipschitz


def test_gradient_of_the_wave_at_the_origin_is_zero():
    assert targets.cosine_norm(ex.Ball(2)).gradients([[0.0, 0.0]]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("name", "measure"), CASES, ids=IDS)
def test_witness_points_lie_in_the_support(name, measure):
    target = NAMED[name][0](measure)
    points = target.witness_points
    assert len(points) > 2 * measure.dim
    assert np.all(measure.contains(points))
    assert np.min(np.linalg.norm(points - measure.center, axis=1)) == 0.0  # the centre
    if np.all(measure.center == 0) and name == "cosine_norm":
        radii = np.linalg.norm(points, axis=1)
        assert np.any(radii == 0)
        assert np.any(np.abs(radii - 0.5) < 1e-12)  # where the wave is -1


def test_own_witness_points_are_used():
    target = ex.Target(lambda x: x[0], ex.Box(2), witness=np.array([[0.1, 0.2]]))
    assert target.witness_points.tolist() == [[0.1, 0.2]]
    assert ex.Target(lambda x: x[0], ex.Gaussian(2)).witness_points.shape == (0, 2)


def test_the_wave_on_a_domain_without_the_origin():
    target = targets.cosine_norm(ex.Box(2, 2.0, 3.0))
    assert np.all(target.measure.contains(target.witness_points))
    assert len(target.witness_points) > 0


@pytest.mark.parametrize(("name", "measure"), CASES, ids=IDS)
def test_cell_oscillation_is_a_bound(name, measure):
    """Random boxes that reach out of the domain, random points in them: f o proj stays within the bound."""
    target = NAMED[name][0](measure)
    rng = np.random.default_rng(1)
    low, high = measure.box
    corner = rng.uniform(low - 0.2, high, (60, measure.dim))
    upper = corner + rng.uniform(0, 1, (60, measure.dim)) * (high - low) / 2
    bound = target.cell_oscillation(corner, upper)
    assert bound.shape == (60,)
    inside = corner + rng.uniform(0, 1, (400, 60, measure.dim)) * (upper - corner)
    corners = np.where(rng.uniform(size=(64, 60, measure.dim)) < 0.5, corner, upper)
    samples = np.concatenate([inside, corners])
    f = target.values(measure.project(samples).reshape(-1, measure.dim)).reshape(samples.shape[:2])
    centre = target.values(measure.project((corner + upper) / 2))
    assert np.all(np.abs(f - centre).max(0) <= bound + 1e-12)


def test_cell_oscillation_of_the_indicator_sees_the_sphere_only():
    target = targets.ball_indicator(ex.Box(2), radius=0.5)
    lower = np.array([[-0.1, -0.1], [0.3, 0.3], [0.6, 0.6], [0.5, 0.0]])
    assert target.cell_oscillation(lower, lower + 0.2).tolist() == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("measure", [ex.Box(2), ex.Ball(2)], ids=repr)
@pytest.mark.parametrize("radius", [0.9, 1.0, 1.05, 1.3])
def test_cell_oscillation_of_the_indicator_counts_projections(measure, radius):
    """Cells that reach over the edge: their points count where the projection puts them."""
    target = targets.ball_indicator(measure, radius=radius)
    lower = np.array([[1.1, 0.1], [0.7, 0.7], [-1.4, 0.3], [0.95, -0.05]])
    upper = lower + np.array([0.2, 0.4])
    points = lower + np.random.default_rng(0).uniform(size=(4000, 4, 2)) * (upper - lower)
    # a hair inside the domain, since the ball of radius 1 and the indicator of radius 1 meet there
    values = target.values(measure.project(points).reshape(-1, 2) * (1 - 1e-9)).reshape(4000, 4)
    assert np.all(np.ptp(values, axis=0) <= target.cell_oscillation(lower, upper))


def test_no_bound_without_a_constant():
    target = ex.Target(lambda x: x[0], ex.Box(2), name="unknown")
    with pytest.raises(ValueError, match="'unknown': it has neither a Lipschitz constant nor an oscillation bound"):
        target.cell_oscillation(np.zeros((1, 2)), np.ones((1, 2)))


@pytest.mark.parametrize("measure", [ex.Ball(3), ex.Box(2)], ids=repr)
@pytest.mark.parametrize("name", ["norm_squared", "product", "parabola_ridge"])
def test_quadratic_coefficients(name, measure):
    target = NAMED[name][0](measure)
    points, _ = measure.quadrature(4)
    q = target.quadratic
    assert np.array_equal(q.matrix, q.matrix.T)
    by_form = np.einsum("ki,ij,kj->k", points, q.matrix, points) + points @ q.slope + q.offset
    assert by_form == pytest.approx(target.values(points), abs=1e-14)


@pytest.mark.parametrize("k", [1, 3])
def test_random_network_is_standardised_and_is_its_network(k):
    target = targets.random_network(ex.Box(2), k=k, seed=5)
    assert target.network.hidden_widths == (2 * k * k, 2 * k * k)
    points, weights = ex.Box(2).quadrature(300)
    values = target.values(points)
    # kinks: the rule of 300 points an axis and the one that was used for standardising differ by about 1/300^2
    assert weights @ values == pytest.approx(0.0, abs=1e-3)
    assert weights @ values**2 == pytest.approx(1.0, abs=1e-3)
    assert ex.evaluate(target.network, points[::97])[:, 0] == pytest.approx(values[::97], abs=1e-11)


def test_seeds_give_different_networks():
    a, b = (targets.random_network(ex.Box(2), seed=seed) for seed in (0, 1))
    assert abs(a.values([[0.3, 0.4]])[0] - b.values([[0.3, 0.4]])[0]) > 1e-3


def test_ridge_direction_is_normalised():
    target = targets.ridge(ex.Box(2), direction=[3.0, 4.0])
    # w = (0.6, 0.8): orthogonal, along w by a fifth, and beyond the ramp
    expected = pytest.approx([0.0, 0.4, -1.0], abs=1e-15)
    assert target.values([[0.6, -0.45], [0.12, 0.16], [-0.6, -0.8]]) == expected


@pytest.mark.parametrize("measure", [ex.Box(2), ex.Ball(3), ex.Box(1)])
def test_the_network_of_the_ridge_is_the_ridge_at_width_1(measure):
    target = targets.ridge(measure)
    points = np.asarray(measure.sample(jax.random.key(1), 500), dtype=np.float64)
    assert target.network is not None
    assert target.network.width == 1
    assert ex.evaluate(target.network, points)[:, 0] == pytest.approx(target.values(points), abs=1e-14)


def test_fingerprints_tell_targets_apart():
    made = [make(measure) for make, _ in NAMED.values() for measure in (ex.Box(2), ex.Ball(2))]
    digests = [target.fingerprint for target in made]
    assert len(set(digests)) == len(digests)
    assert targets.norm_squared(ex.Box(2)).fingerprint == digests[0]
    assert targets.norm_squared(ex.Box(2, -1.0, 1.5)).fingerprint not in digests


NOT_A_NUMBER = r"is nan at the point \[-1.0, 0.5\] of \[-1, 1\]\^2"
BAD = [
    (
        lambda: ex.Target(lambda x: x, ex.Box(2), name="vector"),
        ValueError,
        r"'vector' returns an array of shape \(2,\)",
    ),
    (lambda: ex.Target(lambda x: x[:1], ex.Box(2)), ValueError, r"shape \(1,\) at one point"),
    (lambda: ex.Target(lambda x: (x[0], x[1]), ex.Box(2)), ValueError, "has to return one number"),
    (lambda: ex.Target(lambda x: 1.0 if x[0] > 0 else 0.0, ex.Box(2), name="branch"), TypeError, "'branch' cannot be"),
    (lambda: ex.Target(lambda x: math.sin(x[0]), ex.Box(2)), TypeError, "cannot be traced by JAX"),
    (lambda: ex.Target(lambda x: x[0] + x[5] @ x, ex.Box(2)), TypeError, "cannot be traced by JAX"),
    (lambda: ex.Target(lambda x: x[0], "disc"), TypeError, "needs a measure .* got 'disc'"),
    (lambda: ex.Target(lambda x: x[0], ex.Box(2), lipschitz=math.nan), ValueError, "finite and not negative; got nan"),
    (lambda: ex.Target(lambda x: x[0], ex.Box(2), lipschitz=-1.0), ValueError, "got -1.0"),
    (lambda: ex.Target(lambda x: x[0], ex.Box(2), lipschitz=math.inf), ValueError, "got inf"),
    (lambda: ex.Target(lambda x: x[0], ex.Box(2)).values([1.0, 2.0]), ValueError, r"\(k, 2\); got \(2,\)"),
    (lambda: ex.Target(lambda x: x[0], ex.Box(2)).values(np.zeros((3, 3))), ValueError, r"got \(3, 3\)"),
    (lambda: ex.Target(lambda x: 1j * x[0], ex.Box(2)), ValueError, "returns a complex number"),
    (lambda: ex.Target(lambda x: jnp.log(x[0]), ex.Box(2)).values([[1.0, 0.0], [-1.0, 0.5]]), ValueError, NOT_A_NUMBER),
    (lambda: ex.Target(lambda x: 1 / x[0], ex.Box(2)).values([[0.0, 0.5]]), ValueError, r"is inf at the point \[0.0"),
    (lambda: targets.product(ex.Box(1)), ValueError, "needs at least 2 dimensions; the measure has 1"),
    (lambda: targets.parabola_ridge(ex.Ball(1)), ValueError, "needs at least 2 dimensions"),
    (lambda: targets.ball_indicator(ex.Box(2), radius=-1), ValueError, "not -1.0"),
    (lambda: targets.ball_indicator(ex.Box(2), radius=math.nan), ValueError, "not nan"),
    (lambda: targets.ridge(ex.Box(2), direction=[0.0, 0.0]), ValueError, r"got \[0.0, 0.0\]"),
    (lambda: targets.ridge(ex.Box(2), direction=[1.0]), ValueError, "nonzero vector of 2 numbers"),
    (lambda: targets.random_network(ex.Box(2), k=0), ValueError, "at least 1; got 0"),
    (lambda: targets.max_affine(ex.Box(2), [[1.0, 0.0]]), ValueError, "slopes and offsets, or neither"),
    (lambda: targets.max_affine(ex.Box(2), [[1.0]], [0.0]), ValueError, r"got \(1, 1\)"),
    (lambda: targets.max_affine(ex.Box(2), np.zeros((0, 2)), np.zeros(0)), ValueError, r"\(0, 2\)"),
    (lambda: targets.ridge(ex.Box(2), direction=[math.nan, 1.0]), ValueError, "nan"),
    (lambda: targets.ridge(ex.Box(2), direction=[math.inf, 1.0]), ValueError, "inf"),
    (lambda: targets.max_affine(ex.Box(1), [[math.nan]], [0.0]), ValueError, "nan"),
    (lambda: targets.max_affine(ex.Box(1), [[1.0]], [math.inf]), ValueError, "inf"),
]


@pytest.mark.parametrize(("make", "error", "words"), BAD)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("name", NAMED)
def test_what_is_no_measure_is_named(name):
    with pytest.raises(TypeError, match=r"expressivity.Ball\(2\); got 'disc'"):
        NAMED[name][0]("disc")
