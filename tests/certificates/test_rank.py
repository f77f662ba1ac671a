import math

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity import certificates
from expressivity.constructions import daniely2017
from expressivity.radial_measures import SphereProduct


@pytest.mark.parametrize("d", [2, 3, 7])
def test_the_inner_product_itself(d):
    # f(t) = t is one harmonic of degree 1 with N_1 = d: (1 / d) (1 - r / d), and x_1 x'_1 / ... attains it
    for r in range(d + 2):
        assert certificates.rank(lambda t: t, d, r).value == pytest.approx(max(0.0, (1 - r / d) / d), abs=1e-13)


@pytest.mark.parametrize(("d", "degree"), [(3, 2), (3, 4), (5, 3)])
def test_one_harmonic_by_the_singular_values_of_its_kernel(d, degree):
    # the best approximation of rank r of the kernel P_n(<x, x'>), by Eckart and Young on a quadrature rule
    points, weights = ex.measures.sphere_rule(d, degree + 1)
    t = np.clip(points @ points.T, -1, 1)
    before, p = np.ones_like(t), t
    for n in range(1, degree):
        before, p = p, ((2 * n + d - 2) * t * p - n * before) / (n + d - 2)
    root = np.sqrt(weights)
    values = np.linalg.svd(root[:, None] * p * root, compute_uv=False)

    def zonal(t):
        a, b = np.ones_like(t), t
        for n in range(1, degree):
            a, b = b, ((2 * n + d - 2) * t * b - n * a) / (n + d - 2)
        return b

    for r in (0, 1, 3, daniely2017.harmonic_dim(degree, d) - 1, daniely2017.harmonic_dim(degree, d)):
        assert certificates.rank(zonal, d, r).value == pytest.approx(np.sum(values[r:] ** 2), abs=1e-12)


def test_value_is_a_sum_over_harmonics():
    # e^t on the sphere of R^3: a_n^2 = (2 n + 1) i_n(1)^2 with the modified spherical Bessel functions
    from scipy.special import spherical_in

    n = np.arange(40)
    energy = (2 * n + 1) * spherical_in(n, 1.0) ** 2
    for r in (0, 1, 5, 20):
        expected = np.sum(energy * np.maximum(0, 1 - r / (2 * n + 1)))
        assert certificates.rank(np.exp, 3, r).value == pytest.approx(expected, rel=1e-10)
    assert certificates.rank(np.exp, 3, 0).value == pytest.approx(math.sinh(2) / 2, rel=1e-12)


def test_jax_functions_and_constants():
    wave = daniely2017.wave(3)
    assert certificates.rank(lambda t: jnp.sin(27 * jnp.pi * t), 3, 10).value == pytest.approx(
        certificates.rank(wave, 3, 10).value, rel=1e-12
    )
    assert certificates.rank(lambda t: 2.0, 4, 0).value == pytest.approx(4.0, rel=1e-12)
    assert certificates.rank(lambda t: 2.0, 4, 1).value == pytest.approx(0.0, abs=1e-11)


@pytest.mark.parametrize(("d", "limit"), [(3, 61), (4, 1.36e4), (5, 6.59e6), (8, 1.5e16)])
def test_half_of_the_variance(d, limit):
    wave = daniely2017.wave(d)
    r = certificates.rank_limit(wave, d, 0.25)
    assert r == pytest.approx(limit, rel=0.02)
    if d < 5:
        assert certificates.rank(wave, d, r).value >= 0.25 > certificates.rank(wave, d, r + 1).value
    assert certificates.rank_limit(wave, d, 1.0) == -1


def test_no_sum_of_products_beats_the_certificate():
    # an adversary for f(t) = sin(3 t), d = 3: least squares over polynomials of (<w, x>, <w', x'>) on r neurons
    d, function = 3, lambda t: np.sin(3 * t)
    points, weights = SphereProduct(d).quadrature(5)
    x, y = points[:, :d], points[:, d:]
    values = function((x * y).sum(1))
    rng = np.random.default_rng(0)
    for r in (1, 4):
        errors = []
        for _ in range(3):
            columns = []
            for _ in range(r):
                w, v = rng.standard_normal((2, d))
                a, b = x @ (w / np.linalg.norm(w)), y @ (v / np.linalg.norm(v))
                columns += [a**i * b**j for i in range(4) for j in range(4)]
            design = np.sqrt(weights)[:, None] * np.stack(columns, 1)
            right = np.sqrt(weights) * values
            solution = np.linalg.lstsq(design, right, rcond=None)[0]
            errors.append(float(np.sum((design @ solution - right) ** 2)))
        assert certificates.rank(function, d, r).value < min(errors)


def test_the_certificate_says_what_it_is_about():
    found = certificates.rank(np.sin, 4, 3)
    assert found.norm == "L2 squared"
    assert found.against == ex.NetworkClass(first_width=3, hidden_layers=1)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: certificates.rank(np.sin, 4, -1), ValueError, "-1"),
        (lambda: certificates.rank(np.sin, 4, 0.5), ValueError, "0.5"),
        (lambda: certificates.rank(np.sin, 1, 2), ValueError, "d=1"),
        (lambda: certificates.rank(3, 4, 2), TypeError, "3"),
        (lambda: certificates.rank(lambda t: t.astype(np.float32), 4, 2), TypeError, "float32"),
        (lambda: certificates.rank(lambda t: t[:2], 4, 2), ValueError, "shape"),
        (lambda: certificates.rank(lambda t: t + np.inf, 4, 2), ValueError, "inf"),
        (lambda: certificates.rank(lambda t: np.sin(3e6 * t), 3, 2), ValueError, "does not resolve"),
        (lambda: certificates.rank_limit(np.sin, 4, -1.0), ValueError, "-1.0"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
