import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import eldan_shamir2016 as es

# (d, shells, knots) with ramp 1/4: the accuracy 0.05 of the table of networks
CASES = [(2, 12, 31), (5, 24, 70), (10, 40, 127), (50, 96, 439)]


def wave(d, shells, ramp=0.25, alpha=1.0, **options):
    return es.profile(d, alpha=alpha, shells=shells, ramp=ramp, **options)


def shell_points(d, count, seed=0):
    """Points of the shell of the target, from the exact law."""
    measure = ex.EldanShamir(d)
    rng = np.random.default_rng(seed)
    low, high = measure.radial_cdf(np.array([math.sqrt(d), 2 * math.sqrt(d)]))
    grid = np.linspace(low, high, 4001)
    r = np.interp(rng.uniform(low, high, count), grid, measure.radial_ppf(grid))
    g = rng.standard_normal((count, d))
    return r[:, None] * g / np.linalg.norm(g, axis=1, keepdims=True)


@pytest.mark.parametrize(("d", "shells", "knots"), CASES)
def test_error_is_within_both_bounds(d, shells, knots):
    g = wave(d, shells)
    net = es.FactoredNetwork(g, knots)
    x = shell_points(d, 4000)
    error = net(x) - g((x**2).sum(1))
    assert np.abs(error).max() <= net.sup_bound * (1 + 1e-9)
    mean, spread = (error**2).mean(), (error**2).std() / math.sqrt(len(x))
    measured = math.sqrt(es.shell_mass(d, 1.0) * mean)
    assert measured <= net.l2_bound
    # the bound is not idle: the measured error is more than half of it (0.66 and more in the table)
    assert math.sqrt(es.shell_mass(d, 1.0) * (mean + 5 * spread)) > 0.5 * net.l2_bound


def test_sup_bound_is_attained_in_the_plane():
    g = wave(2, 12)
    net = es.FactoredNetwork(g, 31)
    # both coordinates in the middle of a cell, where S - |x|^2 is e, and |x|^2 on the first, steepest ramp
    centres = net.cell * (np.arange(31) + 0.5)
    x = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    error = np.abs(net(x) - g((x**2).sum(1)))
    assert net.sup_bound * (1 + 1e-9) >= error.max() > 0.95 * net.sup_bound
    # along the circle through both: exactly e, and the steepest ramp, so the bound itself
    steep = np.argmax(np.abs(np.diff(g.values) / np.diff(g.knots)))
    r2 = (g.knots[steep] + g.knots[steep + 1] - net.excess) / 2
    a = centres[np.searchsorted(centres, math.sqrt(r2 / 2))]
    assert net.sup_bound == pytest.approx(g.lipschitz * net.excess, rel=1e-12)
    assert a > 0


@pytest.mark.parametrize(("d", "shells", "knots"), CASES[:3])
def test_dense_and_factored_agree(d, shells, knots):
    net = es.FactoredNetwork(wave(d, shells), knots)
    dense = net.dense()
    assert dense.hidden_widths == net.widths == (2 * d * (knots + 1), 3 * shells + 1)
    rng = np.random.default_rng(0)
    x = np.concatenate([shell_points(d, 300), 3 * rng.standard_normal((100, d)), np.zeros((1, d))])
    (w, b), (c, e), (a, _) = dense.layers
    hidden = np.maximum(np.maximum(x @ w.T + b, 0) @ c.T + e, 0)
    # the largest partial sum of the output: what cancels
    largest = np.abs(np.cumsum(hidden * a, axis=1)).max()
    assert np.abs(ex.evaluate(dense, x)[:, 0] - net(x)).max() <= 1e-12 * max(1.0, largest)
    assert np.linalg.matrix_rank(c) == 1


@pytest.mark.parametrize("shift", [0.0, 0.3, 2 / 3, 1.0])
@pytest.mark.parametrize("ramp", [0.25, 0.5])
def test_bounds_hold_everywhere_with_a_shift(shift, ramp):
    d, g = 3, wave(3, 9, ramp, alpha=0.7, signs="random", seed=3)
    net = es.FactoredNetwork(g, 17, shift * es.FactoredNetwork(g, 17).excess)
    rng = np.random.default_rng(1)
    # all scales, and far points with one coordinate beyond the grid
    x = np.concatenate([rng.standard_normal((20000, d)) * s for s in (0.3, 1.0, 3.0)])
    x[::7, 0] = 1.001 * g.radii[-1]
    error = np.abs(net(x) - g((x**2).sum(1)))
    assert error.max() <= net.sup_bound * (1 + 1e-9)
    points, weights = ex.EldanShamir(d).quadrature(40)
    squared = weights @ (net(points) - g((points**2).sum(1))) ** 2
    assert math.sqrt(squared) <= net.l2_bound * (1 + 1e-9)
    assert net.l2_bound <= net.sup_bound * (1 + 1e-12)


def test_centring_lowers_the_measured_error():
    g = wave(10, 40)
    x = shell_points(10, 4000)
    plain = es.FactoredNetwork(g, 127)
    centred = es.FactoredNetwork(g, 127, 10 * plain.cell**2 / 6)
    values = g((x**2).sum(1))
    rms = [math.sqrt(np.mean((net(x) - values) ** 2)) for net in (plain, centred)]
    assert rms[1] < 0.25 * rms[0]  # 0.14 in the table
    assert centred.sup_bound == pytest.approx(g.lipschitz * 10 * centred.cell**2 / 6, rel=1e-12)


def test_network_vanishes_outside():
    net = es.FactoredNetwork(wave(4, 20), 60)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4))
    x *= (4.0 + 1e-9 + rng.exponential(10, (200, 1))) / np.linalg.norm(x, axis=1, keepdims=True)
    assert np.all(net(x) == 0)
    dense = ex.evaluate(net.dense(), x)[:, 0]
    assert np.abs(dense).max() < 1e-9


@pytest.mark.parametrize("d", [2, 3])
def test_construction(d):
    g = wave(d, 6)
    made = es.three_layer_network(g, knots=20)
    assert made.norm == "sup"
    assert made.network.hidden_layers == 2
    assert made.network.width <= made.width_bound
    assert made.bound("L2") == made.l2_bound < made.error_bound
    found = ex.error(made, made.target, "L2")
    assert found.value - found.half_width <= made.l2_bound
    again = ex.error(made, es.target(g, ex.EldanShamir(d).shell(math.sqrt(d), 2 * math.sqrt(d))), "L2", 24)
    assert again.value * math.sqrt(es.shell_mass(d, 1.0)) <= made.l2_bound


def test_profile_is_the_same_function_for_numpy_and_jax():
    z = np.linspace(0, 20, 4001)
    for g in (wave(3, 7), wave(3, 7, 0.0), wave(3, 7, 0.5), es.ball_profile(3, 2.0), es.cone_profile(3, 2.0)):
        with jax.enable_x64(True):
            traced = np.asarray(jax.jit(g)(jnp.asarray(z)))
        np.testing.assert_allclose(traced, g(z), rtol=0, atol=1e-14)
        assert g(-1.0) == 0
        assert g(1e9) == 0
        assert isinstance(g(2.0), float)


def test_profile_by_its_definition():
    d, alpha, n, ramp = 3, 0.8, 5, 0.2
    g = wave(d, n, ramp, alpha)
    z = np.random.default_rng(0).uniform(0, 1.3 * g.knots[-1], 2000)
    ends = alpha**2 * d * (1 + np.arange(n + 1) / n) ** 2
    expected = np.zeros_like(z)
    for i in range(n):
        w = ends[i + 1] - ends[i]
        inside = (ends[i] <= z) & (z <= ends[i + 1])
        tent = np.minimum(1, np.minimum((z - ends[i]) / (ramp * w), (ends[i + 1] - z) / (ramp * w)))
        expected[inside] = (-1) ** i * tent[inside]
    np.testing.assert_allclose(g(z), expected, atol=1e-12)
    assert g.lipschitz == pytest.approx(n**2 / (ramp * alpha**2 * d * (2 * n + 1)), rel=1e-12)
    assert len(g.knots) == 3 * n + 1
    assert len(wave(d, n, 0.5).knots) == 2 * n + 1


def test_masks_and_signs():
    good = es.good_shells(2, 1.0, 20)
    kept = wave(2, 20, 0.0, mask="good")
    assert np.flatnonzero(kept.values).tolist() == good.tolist()
    assert kept.norm_squared() < es.shell_mass(2, 1.0)
    assert wave(2, 4, 0.0, signs=[1, -1, 0.5, 1], mask=[True, False, True, True]).values.tolist() == [1, 0, 0.5, 1]
    random = wave(2, 64, 0.0, signs="random", seed=5).values
    assert set(random.tolist()) == {-1.0, 1.0}
    assert random.tolist() == wave(2, 64, 0.0, signs="random", seed=5).values.tolist()
    # every sign pattern has the norm of the shell
    assert wave(2, 64, 0.0, signs="random").norm_squared() == pytest.approx(es.shell_mass(2, 1.0), rel=1e-12)


def test_good_shells_by_brute_force():
    d, n = 5, 60
    edges = math.sqrt(d) * (1 + np.arange(n + 1) / n)
    measure, radius = ex.EldanShamir(d), es.ball_radius(d)
    brute = []
    for i in range(n):
        r = np.linspace(edges[i], edges[i + 1], 2000)
        if np.all(measure.radial_pdf(r) * r / d >= 1 / (80 * math.pi * radius * r)):
            brute.append(i)
    assert es.good_shells(d, 1.0, n).tolist() == brute


def test_asymptotic_share_of_good_shells():
    share = len(es.good_shells(50, 1.0, 25000)) / 25000
    # limit 1 - (2 / pi) asin(sqrt(pi / 80)) for many shells far out
    assert share == pytest.approx(1 - 2 / math.pi * math.asin(math.sqrt(math.pi / 80)), abs=1e-3)


@pytest.mark.parametrize("accuracy", [0.3, 0.05, 0.01])
def test_chosen_knots_reach_the_accuracy(accuracy):
    m = es.choose_knots(6, shells=15, ramp=0.3, accuracy=accuracy)
    assert es.FactoredNetwork(wave(6, 15, 0.3), m).sup_bound <= accuracy
    assert 6 * 15 / (0.6 * m**2) <= accuracy * (1 + 1e-12)
    assert 6 * 15 / (0.6 * (m - 1) ** 2) > accuracy


@pytest.mark.parametrize(("radius", "lipschitz", "accuracy"), [(1.0, 1.0, 0.1), (2.0, 3.0, 0.05), (10.0, 1.0, 0.3)])
def test_interpolants_of_that_width_are_that_good(radius, lipschitz, accuracy):
    units = es.interpolant_width(radius, lipschitz, accuracy)
    t = np.linspace(-radius, radius, units)
    x = np.linspace(-radius, radius, 20001)
    saw = lambda x: lipschitz * np.abs(np.mod(x, 0.37 * radius) - 0.185 * radius)  # noqa: E731
    assert np.abs(saw(x) - np.interp(x, t, saw(t))).max() <= accuracy
    assert units <= 3 * radius * lipschitz / accuracy


def test_the_papers_own_numbers():
    assert es.paper_width(2, 1.0, 12, 0.05) == 38749
    assert es.paper_width(5, 1.0, 24, 0.05) == 962987
    assert es.paper_width(10, 1.0, 40, 0.05) == 10796954
    assert es.paper_width(50, 1.0, 96, 0.05) == 2166107382
    assert es.paper_units(2, 1.0, 12, 0.05) == (25838, 3232)
    assert es.paper_units(5, 1.0, 24, 0.05) == (642005, 12842)
    assert es.paper_units(50, 1.0, 96, 0.05) == (1444071650, 288818)
    assert es.low_frequency_fraction(10, 1.0, 6 * 10 * 10) == pytest.approx(8.04 * es.ball_radius(10) * 10**0.5 / 600)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: es.ball_radius(0), "not 0"),
        (lambda: wave(0, 4), "not 0"),
        (lambda: wave(2, 0), "shells=0"),
        (lambda: wave(2, 4, 0.6), "ramp=0.6"),
        (lambda: wave(2, 4, -0.1), "ramp=-0.1"),
        (lambda: wave(2, 4, alpha=0.0), "alpha.*0.0"),
        (lambda: wave(2, 4, signs=[1, -1]), r"4 signs.*\(2,\)"),
        (lambda: wave(2, 2, signs=[1, -3]), "-3"),
        (lambda: wave(2, 2, signs="sometimes"), "sometimes"),
        (lambda: wave(2, 2, mask=[True]), r"\(1,\)"),
        (lambda: es.three_layer_network(wave(2, 4, 0.0), knots=8), "ramp above 0"),
        (lambda: es.three_layer_network(es.cone_profile(2, 1.0), knots=8), "radius"),
        (lambda: es.three_layer_network(wave(2, 4), knots=0), "knots=0"),
        (lambda: es.three_layer_network(wave(2, 4), knots=8, shift=-1.0), "-1.0"),
        (lambda: es.three_layer_network(wave(2, 4), knots=8, shift=1.0), "1.0"),
        (lambda: es.choose_knots(2, shells=4, ramp=0.0, accuracy=0.1), "0.0"),
        (lambda: es.choose_knots(2, shells=4, ramp=0.2, accuracy=-1.0), "-1.0"),
        (lambda: es.interpolant_width(0.0, 1.0, 0.1), "0.0"),
        (lambda: es.tube_fraction(2, -1.0), "-1.0"),
        (lambda: es.tube_fraction(2, 1.0, q=0), "not 0"),
        (lambda: es.ball_profile(2, math.inf), "inf"),
        (lambda: es.shell_mass(700, 0.01), "underflows"),
        (lambda: wave(2000, 4, alpha=0.05).norm_squared(), "underflows.*2000"),
        (lambda: wave(2000, 4, 0.0, alpha=0.05).norm_squared(), "underflows.*2000"),
        (lambda: wave(2000, 4, alpha=0.05).fourier_density(1.0), "underflows.*2000"),
        (lambda: es.Profile(2, [0.0, math.inf], [1.0], "steps"), "not in L2.*inf"),
        (lambda: es.Profile(2, [0.0, 1.0], [math.nan, 0.0]), "not in L2.*nan"),
        (lambda: es.Profile(2, [1.0, 0.5], [1.0, 0.0]), "increase"),
        (lambda: es.Profile(2, [0.0, 1.0, 2.0], [1.0, 0.0]), "3 values"),
        (lambda: es.Profile(2, [0.0, 1.0], [1.0, 0.0], "cubic"), "cubic"),
        (lambda: wave(2, 4).fourier_density(-1.0), "-1.0"),
        (lambda: wave(2, 4).mass_outside(math.nan), "nan"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("values", [np.array([0.0, 1.0, 0.0], np.float32), jnp.zeros(3, jnp.bfloat16)])
def test_less_than_float64_is_refused(values):
    with pytest.raises(TypeError, match="float64"):
        es.Profile(2, [1.0, 2.0, 3.0], values)


def test_a_network_is_made_from_a_profile():
    with pytest.raises(TypeError, match="Profile"):
        es.three_layer_network(lambda z: z, knots=3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alpha": 1e160}, "alpha=1e\\+160"),
        ({"alpha": 1e-160}, "alpha=1e-160"),
        ({"shells": 10**18}, "shells=1000000000000000000"),
        ({"ramp": 1e-17}, "ramp of 1e-17"),
    ],
)
def test_profiles_beyond_float64_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        es.profile(2, **({"alpha": 1.0, "shells": 4, "ramp": 0.25} | changed))
