import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import expressivity as ex
from expressivity import certificates
from expressivity.constructions import eldan_shamir2016 as es
from expressivity.radial_profiles import spectrum


def wave(d, shells, ramp=0.25, alpha=1.0, **options):
    return es.profile(d, alpha=alpha, shells=shells, ramp=ramp, **options)


def test_no_direction_gives_the_squared_norm():
    for g in (wave(2, 10), wave(3, 8, 0.0), es.ball_profile(4, 0.7), es.cone_profile(3, 1.0)):
        assert certificates.tube(g, 0).value == pytest.approx(g.norm_squared(), rel=1e-12)


@settings(max_examples=30)
@given(st.sampled_from([2, 3, 5]), st.integers(0, 3000), st.integers(0, 3000))
def test_more_directions_never_raise_the_bound(d, first, second):
    g = WAVES[d]
    low, high = sorted((first, second))
    assert certificates.tube(g, low).value >= certificates.tube(g, high).value
    assert certificates.tube(g, low, coarse=True).value <= certificates.tube(g, low).value + 1e-12


WAVES = {2: wave(2, 30), 3: wave(3, 20), 5: wave(5, 24)}


def test_one_direction_by_a_second_route():
    # k = 1 in the plane: tau(s) = (2 / pi) asin(1 / s), the integral on a fine uniform grid in sqrt(rho - R)
    g, radius = wave(2, 10, 0.0), es.ball_radius(2)
    end = g.frequency + 3 * radius
    inner = np.linspace(0, radius, 4001)
    u = np.linspace(0, math.sqrt(end - radius), 16001)
    outer = radius + u**2
    below = np.trapezoid(g.fourier_density(inner), inner)
    tau = 2 / np.pi * np.arcsin(np.minimum(1.0, radius / outer))
    above = np.trapezoid(g.fourier_density(outer) * tau * 2 * u, u)
    rest = g.mass_outside(end) * 2 / np.pi * math.asin(radius / end)
    assert certificates.tube(g, 1).value == pytest.approx(g.norm_squared() - below - above - rest, rel=1e-6)


def test_energy_by_parseval():
    g = WAVES[5]
    deficits = [g.mass_outside(f * g.frequency + 3 * es.ball_radius(5)) / g.norm_squared() for f in (1.2, 4, 12)]
    assert deficits == pytest.approx([1.77e-2, 2.51e-3, 9.9e-5], rel=0.01)
    assert g.mass_outside(0.0) == g.norm_squared()


def test_spectrum_of_a_ball_at_the_origin():
    # I(rho) = R^(d/2) / Gamma(d/2) * rho^(d/2 - 1) pi^(d/2 - 1) ... at rho -> 0: m ~ d V_d rho^(d-1) (int g phi)^2
    d, a = 3, 0.6
    g = es.ball_profile(d, a)
    r, w = np.polynomial.legendre.leggauss(60)
    r = a * (r + 1) / 2
    volume = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    integral = d * volume * np.sum(a / 2 * w * r ** (d - 1) * es.phi(d, r))
    rho = 1e-4
    assert g.fourier_density(rho) == pytest.approx(d * volume * rho ** (d - 1) * integral**2, rel=1e-6)


def test_a_longer_range_raises_the_bound_slightly():
    g = WAVES[3]
    near = certificates.tube(g, 100).value
    far = certificates.tube(g, 100, 3 * g.frequency).value
    assert 0 < far - near < 0.05 * near
    assert certificates.tube(g, 10**6, es.ball_radius(3)).value == 0


def test_wider_projections_are_stronger():
    g = WAVES[5]
    values = [certificates.tube(g, 10, projection_dim=q).value for q in (1, 2, 3, 4, 5)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0  # all of R^5
    assert certificates.tube(g, 10, projection_dim=2).against.first_width == 20


def test_on_a_line_everything_is_a_ridge():
    assert certificates.tube(wave(1, 6), 1).value == 0


def test_random_signs_are_the_mean_over_signs():
    d, n, k = 2, 4, 3
    norm = es.shell_mass(d, 1.0)
    values = []
    for number in range(2**n):
        signs = [1 if number >> i & 1 else -1 for i in range(n)]
        values.append(certificates.tube(wave(d, n, 0.0, signs=signs), k).value)
    mean = certificates.tube(wave(d, n, 0.0), k, random_signs=True).value
    # the mean of bounds that are linear in m: equal as long as no value is cut off at 0
    assert min(values) > 0
    assert mean == pytest.approx(np.mean(values), rel=1e-9)
    assert norm > mean


@pytest.mark.parametrize(("d", "shells", "expected"), [(2, 40, (0.433, 0.0)), (3, 40, (0.780, 0.437))])
def test_random_signs_of_the_paper(d, shells, expected):
    g = wave(d, shells, 0.0)
    found = [certificates.tube(g, k, random_signs=True).value / g.norm_squared() for k in (10, 100)]
    assert found == pytest.approx(expected, abs=6e-4)


def test_limits():
    g = WAVES[3]
    half = g.norm_squared() / 2
    k = certificates.tube_limit(g, half)
    assert certificates.tube(g, k).value >= half > certificates.tube(g, k + 1).value
    assert certificates.tube_limit(g, 2 * g.norm_squared()) == -1


def hats(s, knots):
    """Values at |s| of the even piecewise-linear functions of a basis, constant beyond the last knot."""
    position = np.minimum(np.abs(s) / knots[1], len(knots) - 1)
    return np.maximum(0.0, 1 - np.abs(position[..., None] - np.arange(len(knots))))


def ridge_error(g, directions, samples, knots):
    """The squared L2 error, on fresh points, of the best sum of even splines along the directions."""
    (x, w), fresh = samples
    design = hats(x @ directions.T, knots).reshape(len(x), -1)
    gram = design.T @ (w[:, None] * design) + 1e-7 * np.eye(design.shape[1])
    coefficients = np.linalg.solve(gram, design.T @ (w * g((x**2).sum(1))))
    x, w = fresh
    return float(w @ (hats(x @ directions.T, knots).reshape(len(x), -1) @ coefficients - g((x**2).sum(1))) ** 2)


def stratified(d, count, seed):
    """Points with weights of sum 1: half in the shell of the target, half outside it."""
    rng = np.random.default_rng(seed)
    measure = ex.EldanShamir(d)
    low, high = measure.radial_cdf(np.array([math.sqrt(d), 2 * math.sqrt(d)]))
    q = np.linspace(low, high, count // 2 + 1)
    inside = measure.radial_ppf((q[:-1] + q[1:]) / 2)
    u = (np.arange(count // 2) + 0.5) / (count // 2) * (1 - (high - low))
    outside = measure.radial_ppf(np.where(u < low, u, u + high - low))
    g = rng.standard_normal((count, d))
    r = np.concatenate([inside, outside])
    weights = np.repeat([(high - low), 1 - (high - low)], count // 2) / (count // 2)
    return r[:, None] * g / np.linalg.norm(g, axis=1, keepdims=True), weights


@pytest.mark.parametrize(("d", "k"), [(2, 1), (2, 2), (2, 4), (3, 3), (3, 6)])
def test_no_two_layer_function_beats_the_certificate(d, k):
    # an adversary: least squares over splines on every direction, directions improved by random search
    g = wave(d, 6, 0.0)
    samples = (stratified(d, 20000, 0), stratified(d, 20000, 1))
    knots = np.linspace(0, 6, 41)
    rng = np.random.default_rng(k)

    def unit(v):
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    start = es_directions(d, k, rng)
    best, error = start, ridge_error(g, start, samples, knots)
    for step in (0.3, 0.15, 0.07):
        trial = unit(best + step * rng.standard_normal(best.shape))
        found = ridge_error(g, trial, samples, knots)
        best, error = (trial, found) if found < error else (best, error)
    floor = certificates.tube(g, k).value
    assert floor < error
    assert error < g.norm_squared()  # the adversary is better than nothing


def es_directions(d, k, rng):
    if d == 2:
        angles = np.pi * np.arange(k) / k
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    v = rng.standard_normal((k, d))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_the_certificate_says_what_it_is_about():
    found = certificates.tube(WAVES[3], 12)
    assert found.norm == "L2 squared"
    assert found.against == ex.NetworkClass(first_width=12, hidden_layers=1)
    assert "F/R_d" in str(found)
    assert "polynomial growth" in str(found)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: certificates.tube(WAVES[2], -1), "-1"),
        (lambda: certificates.tube(WAVES[2], 1.5), "1.5"),
        (lambda: certificates.tube(WAVES[2], math.nan), "nan"),
        (lambda: certificates.tube(WAVES[2], 2, 0.3), r"rho_max of at least R_d.*0\.3"),
        (lambda: certificates.tube(WAVES[2], 2, math.inf), "inf"),
        (lambda: certificates.tube(WAVES[2], 2, projection_dim=0), "not 0"),
        (lambda: certificates.tube(wave(2000, 4, alpha=0.05), 2), "underflows.*2000"),
        (lambda: certificates.tube_limit(WAVES[2], 0.0), "0.0"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("thing", [lambda z: z, 3, jnp.zeros(3)])
def test_only_profiles_have_a_known_norm(thing):
    with pytest.raises(TypeError, match="whose L2 norm is finite"):
        certificates.tube(thing, 2)


def test_an_unresolved_spectrum_is_refused(monkeypatch):
    from expressivity import radial_profiles

    full = radial_profiles.pieces

    def too_few(edges, resolution, extra=0):
        return full(edges, min(resolution, 1.0), extra)

    g = wave(3, 12)
    g.norm_squared()
    monkeypatch.setattr(radial_profiles, "pieces", too_few)
    with pytest.raises(ArithmeticError, match="does not resolve"):
        spectrum(g, 30 * g.frequency)


def test_tube_fraction_by_sampling():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((200_000, 6))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    for q in (1, 2):
        share = np.mean((1.5 * u[:, q:]) ** 2 @ np.ones(6 - q) <= 1)
        assert es.tube_fraction(6, 1.5, q) == pytest.approx(share, abs=4 * math.sqrt(share / 200_000))
    s = np.array([0.0, 0.5, 1.0])
    assert np.all(es.tube_fraction(4, s) == 1)
    closed = scipy.special.gamma(4.0) / (math.sqrt(math.pi) * scipy.special.gamma(4.5) * math.sqrt(1 - 1 / 9)) / 3**7
    assert es.tube_fraction(8, 3.0) <= closed


def test_a_spectrum_of_too_many_values_is_refused_at_once():
    wave = es.profile(2, alpha=1e4, shells=4, ramp=0.25)
    with pytest.raises(ValueError, match="Bessel values, more than"):
        certificates.tube(wave, 2)
