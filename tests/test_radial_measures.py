import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

import expressivity as ex
from expressivity import radial_law, radial_sampling
from expressivity.radial_measures import EldanShamirShell, SphereProduct

DIMS = (1, 2, 3, 5, 10, 50, 200)
COUNT = 40_000
CRITICAL = 1.628 / math.sqrt(COUNT)  # Kolmogorov's 1 % value


def distance_to_law(points, measure):
    """The Kolmogorov-Smirnov statistic of the radii."""
    r = np.sort(np.linalg.norm(np.asarray(points, dtype=np.float64), axis=1))
    law, n = measure.radial_cdf(r), len(r)
    return max(np.abs(law - np.arange(n) / n).max(), np.abs(law - np.arange(1, n + 1) / n).max())


@pytest.mark.parametrize("dim", DIMS)
def test_traceable_sampler_has_the_law(dim):
    measure = ex.EldanShamir(dim)
    points = np.asarray(measure.sample(jax.random.key(7), COUNT))
    assert points.shape == (COUNT, dim)
    assert np.all(np.isfinite(points))
    assert distance_to_law(points, measure) < CRITICAL
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    # each coordinate of a uniform direction has mean 0 and variance 1 / d: six standard errors
    assert np.abs(directions.mean(0)).max() < 6 / math.sqrt(dim * COUNT)


@pytest.mark.parametrize("dim", DIMS)
def test_exact_sampler_has_the_law(dim):
    measure = ex.EldanShamir(dim)
    assert distance_to_law(measure.sample_exact(np.random.default_rng(1), COUNT), measure) < CRITICAL


@pytest.mark.parametrize("dim", DIMS)
def test_the_table_of_the_sampler_is_the_law_to_1e_9(dim):
    table = radial_sampling.cells(dim, 0.0, radial_sampling.table_end(dim))
    s = np.linspace(0, 1, 21)[1:]
    inside = table.coefficients @ s[None] ** np.arange(1, 6)[:, None]
    before = np.concatenate([[0.0], table.cdf[:-1]])[:, None]
    cdf = table.mass * (before + (table.cdf[:, None] - before) * inside)
    t = table.start[:, None] + table.length * s
    assert np.abs(cdf - radial_law.phase_cdf(dim, t.reshape(-1)).reshape(t.shape)).max() < 1e-9
    assert np.abs(radial_sampling.invert(np, table.coefficients[5], inside[5]) - s).max() < 1e-12


@pytest.mark.parametrize("dim", DIMS)
def test_debye_expansion_of_the_tail(dim):
    t = np.geomspace(radial_sampling.table_end(dim), 1e5, 4000)
    with jax.enable_x64(True):
        value = np.asarray(radial_sampling.debye(dim / 2, jnp.asarray(t)))
    exact = math.sqrt(math.pi / 2) * (t**2 - dim**2 / 4) ** 0.25 * radial_law.bessel(dim, t)
    assert np.abs(value - exact).max() < 2e-7


def test_sampler_runs_under_jit_and_vmap_and_is_a_function_of_the_key():
    measure = ex.EldanShamir(5)
    sample = jax.jit(lambda key: measure.sample(key, 64))
    keys = jax.random.split(jax.random.key(0), 3)
    batch = jax.vmap(sample)(keys)
    assert batch.shape == (3, 64, 5)
    for key, points in zip(keys, batch, strict=True):
        np.testing.assert_allclose(sample(key), points, rtol=1e-5)
    with jax.enable_x64(True):
        assert measure.sample(jax.random.key(0), 4).dtype == np.float64


@pytest.mark.parametrize("measure", [ex.EldanShamir(2), ex.EldanShamir(50), EldanShamirShell(10, 3.0, 6.0)])
def test_sampler_lowers_for_accelerators(measure):
    exported = jax.export.export(jax.jit(lambda key: measure.sample(key, 32)), platforms=["cuda", "tpu"])
    assert exported(jax.random.key(0)).platforms == ("cuda", "tpu")


@pytest.mark.parametrize("twice_order", [-1, 0, 1, 2, 3, 5, 20, 49, 98, 99, 200])
def test_bessel_against_scipy(twice_order):
    t = np.concatenate([np.linspace(1e-3, 60, 500), np.geomspace(60, 2000, 200)])
    # the phase of a value at t is known to t times the rounding unit
    np.testing.assert_allclose(
        radial_law.bessel(twice_order, t), scipy.special.jv(twice_order / 2, t), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7, 10, 31, 50])
def test_survival_function_is_the_integral_of_the_density(dim):
    measure = ex.EldanShamir(dim)
    for low, high in ((0.0, 0.3 * math.sqrt(dim)), (0.2 * math.sqrt(dim), 1.4 * math.sqrt(dim))):
        mass, _ = scipy.integrate.quad(measure.radial_pdf, low, high, epsabs=1e-13, epsrel=1e-12, limit=400)
        assert measure.radial_cdf(high) - measure.radial_cdf(low) == pytest.approx(mass, rel=1e-10, abs=1e-15)
        assert measure.radial_sf(low) - measure.radial_sf(high) == pytest.approx(mass, rel=1e-10, abs=1e-14)
    r = np.linspace(0, 20, 301)
    np.testing.assert_allclose(measure.radial_cdf(r) + measure.radial_sf(r), 1.0, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dim", DIMS)
def test_the_tail(dim):
    measure = ex.EldanShamir(dim)
    nu, scale = dim / 2, 2 * math.pi * radial_law.ball_radius(dim)
    r = np.geomspace(nu / scale * 1.01, 1e6, 400)
    assert np.all(measure.radial_sf(r) <= 4 / math.pi * np.arcsin(nu / (scale * r)) * (1 + 1e-12))
    assert measure.radial_sf(1e6) == pytest.approx(measure.tail_coefficient / 1e6, rel=1e-4)


@given(st.sampled_from(DIMS), st.floats(1e-6, 1 - 1e-6))
def test_quantile_inverts_the_law(dim, q):
    measure = ex.EldanShamir(dim)
    r = measure.radial_ppf(q)
    # one rounding of r moves the law by its density times r: at most twice its logarithmic slope d
    assert measure.radial_cdf(r) == pytest.approx(q, rel=1e-12, abs=1e-15)


def test_ends_of_the_law():
    measure = ex.EldanShamir(3)
    assert (measure.radial_ppf(0.0), measure.radial_ppf(1.0)) == (0.0, math.inf)
    assert (measure.radial_sf(0.0), measure.radial_sf(math.inf)) == (1.0, 0.0)
    assert (measure.radial_pdf(0.0), measure.radial_pdf(math.inf)) == (0.0, 0.0)
    assert radial_law.phi(3, math.inf) == 0.0
    assert measure.radial_pdf([[0.5, 1.0]]).shape == (1, 2)


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_phi_is_continuous_where_its_two_formulas_meet(dim):
    r = math.sqrt(dim / 2 + 1) / (math.pi * radial_law.ball_radius(dim))
    below, above = radial_law.phi(dim, np.array([r * (1 - 1e-9), r * (1 + 1e-9)]))
    assert below == pytest.approx(above, rel=1e-7)
    # the density of r is the area of the sphere times phi^2
    area = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2)
    for s in (0.3 * r, 2.1 * r):
        density = ex.EldanShamir(dim).density([s] + [0.0] * (dim - 1))
        assert area * s ** (dim - 1) * density == pytest.approx(radial_law.radial_pdf(dim, s), rel=1e-11)


def test_bessel_underflow_is_said():
    assert radial_law.phi(4000, 0.5) == pytest.approx(1.0, abs=0.5)
    with pytest.raises(ValueError, match=r"underflows.*dimension 4000"):
        radial_law.phi(4000, 6.0)
    with pytest.raises(ValueError, match="underflows"):
        EldanShamirShell(400, 0.1, 0.2)
    for law in (ex.EldanShamir(5000).radial_pdf, ex.EldanShamir(5000).radial_cdf):
        with pytest.raises(ValueError, match=r"underflows.*dimension 5000.*radius 1"):
            law([1.0, 40.0])
        assert np.all(np.isfinite(law([0.0, 40.0, math.inf])))
    assert ex.EldanShamir(200).radial_pdf(1e-3) == 0.0
    assert ex.EldanShamir(5000).shell(1.0, 40.0).mass > 0


@pytest.mark.parametrize(("dim", "order"), [(1, 400), (2, 160), (3, 32)])
def test_quadrature_rule(dim, order):
    measure = ex.EldanShamir(dim)
    points, weights = measure.quadrature(order)
    assert np.all(weights > 0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-13)
    r = np.linalg.norm(points, axis=1)
    # bounded smooth functions of |x|, by the law itself
    for g in (lambda r: 1 / (1 + r**2), lambda r: np.exp(-(r**2))):
        cuts = np.concatenate([np.linspace(0, 40, 400), np.geomspace(40, 1e5, 400)[1:]])
        nodes, w = np.polynomial.legendre.leggauss(20)
        s = (cuts[:-1, None] + np.diff(cuts)[:, None] * (nodes + 1) / 2).reshape(-1)
        exact = np.sum((np.diff(cuts)[:, None] * w / 2).reshape(-1) * g(s) * measure.radial_pdf(s))
        assert weights @ g(r) == pytest.approx(exact, rel=3e-4)
    core = 3 * math.sqrt(dim)
    assert weights[r <= core].sum() == pytest.approx(measure.radial_cdf(core), abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_small_quadrature_rules(order):
    _, weights = ex.EldanShamir(2).quadrature(order)
    assert np.all(weights > 0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_shell(dim):
    measure = ex.EldanShamir(dim)
    inner, outer = math.sqrt(dim), 2 * math.sqrt(dim)
    shell = measure.shell(inner, outer)
    assert shell.mass == pytest.approx(measure.radial_sf(inner) - measure.radial_sf(outer), rel=1e-12)
    points = np.asarray(shell.sample(jax.random.key(3), COUNT), dtype=np.float64)
    assert np.all(shell.contains(points) | (np.abs(np.linalg.norm(points, axis=1) - inner) < 1e-5 * outer))
    r = np.sort(np.linalg.norm(points, axis=1))
    law = (measure.radial_sf(inner) - measure.radial_sf(r)) / shell.mass
    assert np.abs(law - (np.arange(COUNT) + 0.5) / COUNT).max() < CRITICAL
    if dim <= 3:
        nodes, weights = shell.quadrature(24)
        assert np.all(shell.contains(nodes))
        expected, _ = scipy.integrate.quad(lambda r: r**2 * measure.radial_pdf(r), inner, outer, epsrel=1e-12)
        assert weights @ (nodes**2).sum(1) * shell.mass == pytest.approx(expected, rel=1e-10)
    assert np.all(shell.contains(shell.project(3 * points[:5])))
    assert shell.contains(shell.project(np.zeros(dim)))
    assert shell.density(np.zeros(dim)) == 0


@pytest.mark.parametrize("dim", [2, 3])
def test_errors_are_taken_under_the_measure(dim):
    target = ex.Target(lambda x: 1 / (1 + jnp.sum(x**2)), ex.EldanShamir(dim), name="bump")
    zero = ex.ReLUNetwork.from_layers([(np.zeros((1, dim)), np.zeros(1))])
    found = ex.error(zero, target, "L1")
    z, w = np.polynomial.legendre.leggauss(16)
    r = (np.arange(400)[:, None] + (z + 1) / 2).reshape(-1)
    expected = np.sum(np.tile(w / 2, 400) * ex.EldanShamir(dim).radial_pdf(r) / (1 + r**2))
    assert abs(found.value - expected) < found.half_width + 1e-4
    assert ex.fvu(zero, target).value > 0
    with pytest.raises(ValueError, match="no bounded support"):
        ex.error(zero, target, "sup")


def test_sphere_product():
    measure = SphereProduct(3)
    points = np.asarray(measure.sample(jax.random.key(0), 2000), dtype=np.float64)
    assert np.abs(np.linalg.norm(points[:, :3], axis=1) - 1).max() < 1e-6
    nodes, weights = measure.quadrature(5)
    assert np.all(measure.contains(nodes))
    inner = (nodes[:, :3] * nodes[:, 3:]).sum(1)
    assert weights @ inner**4 == pytest.approx(1 / 5, rel=1e-12)  # t is uniform on [-1, 1] in three dimensions
    assert np.all(measure.contains(measure.project(5 * nodes[:7])))
    with pytest.raises(ValueError, match="no density"):
        measure.density(nodes)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ex.EldanShamir(0), "at least 1, not 0"),
        (lambda: ex.EldanShamir(2).radial_sf(-1.0), "-1.0"),
        (lambda: ex.EldanShamir(2).radial_pdf(math.nan), "nan"),
        (lambda: ex.EldanShamir(2).radial_ppf(1.5), "1.5"),
        (lambda: ex.EldanShamir(2).shell(2.0, 1.0), "inner=2.0"),
        (lambda: ex.EldanShamir(2).quadrature(0), "not 0"),
        (lambda: SphereProduct(1), "not 1"),
        (lambda: radial_sampling.cells(2, 0.0, 1e6), "Split the shell"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_the_exact_sampler_wants_a_generator():
    with pytest.raises(TypeError, match=r"numpy.random.Generator"):
        ex.EldanShamir(2).sample_exact(0, 5)
    with pytest.raises(TypeError, match=r"2\.5"):
        ex.EldanShamir(2.5)


@pytest.mark.parametrize("d", [1, 2, 3, 10, 200])
def test_survival_far_out_is_its_limit(d):
    measure = ex.EldanShamir(d)
    for r in (1e11, 1e13, 1e100, 1e300):
        # d^2 / t from the next term, t times the rounding of a sine below 1e12
        assert measure.radial_sf(r) * r == pytest.approx(measure.tail_coefficient, rel=1e-4)
    assert radial_law.phi(d, 1e300) == 0.0 == measure.radial_pdf(1e300)
    assert measure.radial_sf(1e308) < 1e-306


def test_a_number_of_points_is_not_negative():
    for draw in (ex.EldanShamir(3), ex.EldanShamir(3).shell(1.0, 2.0)):
        with pytest.raises(ValueError, match="at least 0; got -1"):
            draw.sample(jax.random.key(0), -1)
    with pytest.raises(ValueError, match="at least 0; got -1"):
        ex.EldanShamir(3).sample_exact(np.random.default_rng(0), -1)
