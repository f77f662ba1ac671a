"""Measures against closed forms: moments, exactness of quadrature, samples against the law, geometry of domains."""

import math

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import expressivity as ex
from expressivity import measures

# Kolmogorov-Smirnov and chi-square at this level; keys are fixed, so a test either fails always or never.
LEVEL = 1e-3

DOMAINS = [ex.Box(1), ex.Box(2), ex.Box(3, -0.5, 2.0), ex.Ball(1), ex.Ball(2), ex.Ball(3, 2.5), ex.Ball(5)]
ALL = [*DOMAINS, ex.Gaussian(1), ex.Gaussian(2, 1.0, 0.5), ex.Gaussian(3, scale=2.0)]


def one_dimensional_moment(measure, k):
    """E[x_1^k] in closed form."""
    n = measure.dim
    if isinstance(measure, ex.Box):
        return (measure.high ** (k + 1) - measure.low ** (k + 1)) / ((k + 1) * (measure.high - measure.low))
    if isinstance(measure, ex.Gaussian):
        return float(scipy.stats.norm(measure.mean, measure.scale).moment(k)) if k else 1.0
    if k % 2:
        return 0.0
    # E r^k = n R^k / (n + k); E u_1^k on the sphere = Gamma(n/2) Gamma((k+1)/2) / (sqrt(pi) Gamma((n+k)/2))
    sphere = math.gamma(n / 2) * math.gamma((k + 1) / 2) / (math.sqrt(math.pi) * math.gamma((n + k) / 2))
    return n / (n + k) * measure.radius**k * sphere


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_quadrature_is_exact_to_its_degree(measure, order):
    points, weights = measure.quadrature(order)
    assert points.dtype == weights.dtype == np.float64
    assert np.all(weights > 0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-13)
    assert np.all(measure.contains(points))
    for k in range(2 * order):
        exact = one_dimensional_moment(measure, k)
        scale = weights @ np.abs(points[:, 0]) ** k
        for axis in range(measure.dim):
            assert weights @ points[:, axis] ** k == pytest.approx(exact, abs=1e-12 * max(1.0, scale)), (k, axis)


@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_quadrature_is_not_exact_one_degree_higher(measure):
    """A rule of m points cannot integrate the square of the polynomial that vanishes at all of them."""
    points, weights = measure.quadrature(3)
    k = 6
    assert abs(weights @ points[:, -1] ** k - one_dimensional_moment(measure, k)) > 1e-6


@pytest.mark.parametrize("dim", [2, 3, 4, 5])
@pytest.mark.parametrize("order", [2, 4])
def test_ball_rule_is_exact_for_mixed_monomials(dim, order):
    points, weights = ex.Ball(dim).quadrature(order)
    rng = np.random.default_rng(dim)
    for _ in range(20):
        powers = rng.multinomial(rng.integers(0, 2 * order), np.full(dim, 1 / dim))
        found = weights @ np.prod(points**powers, axis=1)
        if np.any(powers % 2):
            exact = 0.0
        else:  # Folland (2001): integral of a monomial over the sphere, then over the radius
            exact = 2 * math.prod(math.gamma((a + 1) / 2) for a in powers) / math.gamma((dim + powers.sum()) / 2)
            exact *= math.gamma(dim / 2) / (2 * math.pi ** (dim / 2)) * dim / (dim + powers.sum())
        assert found == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_a_rule_needs_a_point(measure):
    with pytest.raises(ValueError, match="at least 1 point an axis, not 0"):
        measure.quadrature(0)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_samples_follow_the_law(measure, x64):
    with jax.enable_x64(x64):
        drawn = measure.sample(jax.random.key(7), 20_000)
        assert drawn.dtype == (np.float64 if x64 else np.float32)
        points = np.asarray(drawn, dtype=np.float64)
    assert points.shape == (20_000, measure.dim)
    if measure.bounded and not x64:  # float32 rounds a point of the boundary outwards by a unit in the last place
        assert np.all(measure.contains(measure.center + (points - measure.center) * (1 - 1e-6)))
    else:
        assert np.all(measure.contains(points))
    for axis in range(measure.dim):
        assert scipy.stats.kstest(points[:, axis], _marginal(measure)).pvalue > LEVEL
    if isinstance(measure, ex.Ball):
        radii = np.linalg.norm(points, axis=1)
        assert scipy.stats.kstest(radii, lambda r: np.clip(r / measure.radius, 0, 1) ** measure.dim).pvalue > LEVEL


def _marginal(measure):
    """The distribution function of one coordinate."""
    if isinstance(measure, ex.Box):
        return scipy.stats.uniform(measure.low, measure.high - measure.low).cdf
    if isinstance(measure, ex.Gaussian):
        return scipy.stats.norm(measure.mean, measure.scale).cdf
    a = (measure.dim + 1) / 2  # x_1 / R has density proportional to (1 - t^2)^((n - 1) / 2)
    return lambda t: scipy.stats.beta(a, a).cdf((t / measure.radius + 1) / 2)


@pytest.mark.parametrize("measure", [ex.Box(2), ex.Ball(2, 1.5), ex.Gaussian(2, 0.5, 0.75)], ids=repr)
def test_samples_follow_the_density(measure):
    """Chi-square of the counts in cells against the density integrated over them."""
    points = np.asarray(measure.sample(jax.random.key(3), 20_000), dtype=np.float64)
    edges = np.linspace(-2.5, 3.5, 25)
    fine = 40
    step = (edges[1] - edges[0]) / fine
    axis = edges[0] + step * (np.arange(fine * (len(edges) - 1)) + 0.5)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    mass = measure.density(grid).reshape(24, fine, 24, fine).sum((1, 3)) * step**2
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=[edges, edges])
    expected = len(points) * mass
    likely = expected > 10
    observed = np.append(counts[likely], len(points) - counts[likely].sum())
    rest = len(points) - expected[likely].sum()
    expected = np.append(expected[likely], max(rest, 1.0))
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert scipy.stats.chi2(len(expected) - 1).sf(statistic) > LEVEL


@pytest.mark.parametrize(
    "measure", [ex.Box(1), ex.Ball(2, 1.5), ex.Gaussian(2, 0.5, 0.75), ex.Box(2, -0.5, 2.0)], ids=repr
)
def test_density_integrates_to_one(measure):
    axis = np.linspace(-7, 7, 1401)
    grid = np.stack(np.meshgrid(*[axis] * measure.dim, indexing="ij"), -1)
    total = measure.density(grid).sum() * (axis[1] - axis[0]) ** measure.dim
    assert total == pytest.approx(1.0, abs=2e-2)  # a grid of step 0.01 misses at most a strip of that width


def test_volumes():
    assert ex.Ball(2).volume == pytest.approx(math.pi, rel=1e-14)
    assert ex.Ball(3, 2.0).volume == pytest.approx(32 * math.pi / 3, rel=1e-14)
    assert ex.Ball(1, 2.0).volume == pytest.approx(4.0, rel=1e-14)
    assert ex.Box(3, 0.0, 2.0).volume == 8.0
    assert ex.Box(2).diameter == pytest.approx(2 * math.sqrt(2))
    assert ex.Ball(4, 3.0).diameter == 6.0


@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_samples_are_a_function_of_the_key(measure):
    first, again = (np.asarray(measure.sample(jax.random.key(1), 50)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.asarray(measure.sample(jax.random.key(2), 50)))


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
@given(seed=st.integers(0, 2**32 - 1))
def test_projection_is_the_nearest_point_and_contracts(domain, seed):
    rng = np.random.default_rng(seed)
    x, y = domain.center + 3 * domain.diameter * rng.standard_normal((2, domain.dim))
    p, q = domain.project(x), domain.project(y)
    assert domain.contains(p)
    assert np.allclose(domain.project(p), p, rtol=0, atol=1e-15 * domain.diameter)
    assert np.linalg.norm(p - q) <= np.linalg.norm(x - y) * (1 + 1e-12) + 1e-12
    # optimality on a convex set: (x - p) . (z - p) <= 0 for all z in it
    for z in domain.boundary(16):
        assert (x - p) @ (z - p) <= 1e-9 * domain.diameter * np.linalg.norm(x - p) + 1e-12


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
@given(seed=st.integers(0, 2**32 - 1))
def test_exit_time_reaches_the_boundary(domain, seed):
    rng = np.random.default_rng(seed)
    points, _ = domain.quadrature(3)
    point = points[rng.integers(len(points))]
    direction = rng.standard_normal(domain.dim) * rng.choice([1e-3, 1.0, 1e3])
    time = domain.exit_time(point, direction)
    assert domain.contains(point + (time * (1 - 1e-9)) * direction)
    assert not domain.contains(point + (time * (1 + 1e-9) + 1e-9 / np.linalg.norm(direction)) * direction)


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
def test_exit_time_at_the_edges(domain):
    n = domain.dim
    assert domain.exit_time(domain.center, np.zeros(n)) == math.inf
    outward = np.eye(n)[0]
    assert domain.exit_time(domain.center + domain.diameter * outward, outward) == 0.0
    edge = domain.center + domain.exit_time(domain.center, outward) * outward
    assert domain.exit_time(edge, outward) == pytest.approx(0.0, abs=1e-12)
    assert domain.exit_time(edge, -outward) == pytest.approx(
        (domain.high - domain.low) if isinstance(domain, ex.Box) else 2 * domain.radius
    )


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
def test_boundary_points_lie_on_the_boundary(domain):
    points = domain.boundary(200)
    assert points.shape[1] == domain.dim
    assert np.all(domain.contains(points))
    for point in points:
        outward = point - domain.center
        assert domain.exit_time(domain.center, outward) == pytest.approx(1.0, abs=1e-12)
    for axis in range(domain.dim):  # the two points on every axis are among them
        for sign in (-1, 1):
            direction = sign * np.eye(domain.dim)[axis]
            end = domain.center + domain.exit_time(domain.center, direction) * direction
            assert np.min(np.linalg.norm(points - end, axis=1)) < 1e-12 * domain.diameter
    low, high = domain.box
    assert np.allclose(points.min(0), low)
    assert np.allclose(points.max(0), high)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_corners_of_a_box_are_boundary_points(dim):
    points = {tuple(p) for p in ex.Box(dim).boundary(256)}
    assert {tuple(c) for c in np.stack(np.meshgrid(*[[-1.0, 1.0]] * dim), -1).reshape(-1, dim)} <= points


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_sphere_rule_is_exact(dim):
    directions, weights = measures.sphere_rule(dim, 4)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-14)
    for k in range(8):
        exact = 0.0 if k % 2 else math.prod((2 * i + 1) / (dim + 2 * i) for i in range(k // 2))
        for axis in range(dim):
            assert weights @ directions[:, axis] ** k == pytest.approx(exact, abs=1e-14)


def test_support():
    assert ex.Box(2).contains([[1.0, -1.0], [1.0, 1.0 + 1e-9]]).tolist() == [True, False]
    assert ex.Ball(2).contains([[1.0, 0.0], [0.8, 0.61]]).tolist() == [True, False]
    assert ex.Gaussian(2).contains([[1e300, 0.0], [np.inf, 0.0]]).tolist() == [True, False]
    assert ex.Box(2).bounded
    assert ex.Ball(2).bounded
    assert not ex.Gaussian(2).bounded


@pytest.mark.parametrize("measure", ALL, ids=repr)
def test_a_measure_is_a_value(measure):
    copy = eval(repr(measure), {"Box": ex.Box, "Ball": ex.Ball, "Gaussian": ex.Gaussian})
    assert copy == measure
    assert hash(copy) == hash(measure)
    assert not jax.tree.leaves(measure)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ex.Ball(2, -1.0), ValueError, "radius of a ball is positive and finite, not -1.0"),
        (lambda: ex.Ball(2, math.nan), ValueError, "not nan"),
        (lambda: ex.Ball(0), ValueError, "dimension is at least 1, not 0"),
        (lambda: ex.Box(2.0), TypeError, "a whole number, not 2.0"),
        (lambda: ex.Box(True), TypeError, "not True"),
        (lambda: ex.Box(2, 1.0, 1.0), ValueError, "low=1.0, high=1.0"),
        (lambda: ex.Box(2, -math.inf, 1.0), ValueError, "low=-inf"),
        (lambda: ex.Gaussian(2, scale=0.0), ValueError, "positive and finite, not 0.0"),
        (lambda: ex.Gaussian(2, mean=math.inf), ValueError, "finite, not inf"),
        (lambda: ex.Box(2).contains([1.0, 2.0, 3.0]), ValueError, r"\(\.\.\., 2\); got \(3,\)"),
    ],
)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words):
        make()
