"""Distances to functions constant along subspaces: closed forms, tables of independent quadratures, random networks."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.constant_directions import first_layer, kernel, subspace_distance
from expressivity.certificates.fibres import fibres, spread
from expressivity.certificates.quadratic import subspace_squared, universal_squared
from expressivity.relu.gadgets import random_network
from expressivity.targets import Quadratic

SQUARE = ex.Box(2)
SINE = ex.Target(lambda x: jnp.sin(jnp.pi * x[0]) * jnp.cos(jnp.pi * x[1] / 2), SQUARE, name="sine times cosine")
BUMP = ex.Target(lambda x: jnp.exp(-4 * ((x[0] - 0.2) ** 2 + 2 * x[1] ** 2)), SQUARE, name="bump")


def network(rows):
    """A network with these first-layer rows and one more hidden layer."""
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    return ex.ReLUNetwork.from_layers(
        [(rows, np.zeros(len(rows))), (np.ones((3, len(rows))), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))]
    )


def quadratic_target(matrix, slope, measure):
    a, b = np.asarray(matrix, dtype=float), np.asarray(slope, dtype=float)
    return ex.Target(lambda x: x @ a @ x + b @ x, measure, name="quadratic", quadratic=Quadratic(a, b, 0.0))


@pytest.mark.parametrize(
    ("n", "width", "share"),
    [(2, 1, 2 / 3), (3, 1, 5 / 6), (3, 2, 5 / 9), (4, 1, 0.9), (4, 2, 0.75), (4, 3, 0.5), (10, 9, 0.4), (10, 5, 6 / 7)],
)
def test_share_of_the_variance_of_the_squared_norm_on_a_ball(n, width, share):
    value = first_layer(ex.targets.norm_squared(ex.Ball(n)), width).value
    assert value**2 / (4 * n / ((n + 2) ** 2 * (n + 4))) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("n", "width", "squared"), [(2, 1, 1 / 18), (3, 2, 0.0380952381), (4, 2, 0.0416666667)])
def test_squared_distance_of_the_squared_norm_on_a_ball(n, width, squared):
    assert first_layer(ex.targets.norm_squared(ex.Ball(n)), width).value ** 2 == pytest.approx(squared, abs=1e-10)


@pytest.mark.parametrize(("n", "value"), [(2, 0.1875), (3, 0.15), (5, 3 / 28)])
def test_mean_deviation_of_the_squared_norm_on_a_ball(n, value):
    assert first_layer(ex.targets.norm_squared(ex.Ball(n)), n - 1, "L1").value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("radius", [0.5, 2.0])
@pytest.mark.parametrize("norm", ["L1", "L2", "sup"])
def test_closed_forms_scale_with_the_square_of_the_radius(radius, norm):
    unit = first_layer(ex.targets.norm_squared(ex.Ball(3)), 1, norm).value
    assert first_layer(ex.targets.norm_squared(ex.Ball(3, radius)), 1, norm).value == pytest.approx(unit * radius**2)


@pytest.mark.parametrize(
    ("basis", "slope", "squared"),
    [
        ([[1, 0], [0, 1], [0, 0]], (0, 0, 0), 0.1571428571),
        ([[0], [0], [1]], (0, 0, 1), 0.2380952381),
        ([[1], [1], [1]], (0, 0, 0), 0.1947089947),
    ],
)
def test_subspace_formula(basis, slope, squared):
    target = quadratic_target(np.diag([1.0, 2.0, -1.0]), slope, ex.Ball(3))
    value, assumptions = subspace_distance(target, np.array(basis, dtype=float))
    assert value**2 == pytest.approx(squared, abs=1e-10)
    assert assumptions == ()


@pytest.mark.parametrize(
    ("rows", "slope", "squared"), [((0.8, -0.6), (0, 0), 0.103792888889), ((0, 1), (0.5, 0), 0.133055555556)]
)
def test_formula_and_quadrature_agree_on_the_disc(rows, slope, squared):
    target = quadratic_target([[1, 0.3], [0.3, -0.4]], slope, ex.Ball(2))
    plain = ex.Target(target.function, ex.Ball(2))
    assert kernel(network(rows), target).value ** 2 == pytest.approx(squared, abs=1e-10)
    assert kernel(network(rows), plain).value ** 2 == pytest.approx(squared, abs=1e-9)


def test_least_direction_on_the_disc_is_an_eigenvector():
    matrix = np.array([[1, 0.3], [0.3, -0.4]])
    assert np.linalg.eigvalsh(matrix) == pytest.approx([-0.461577310586, 1.061577310586], abs=1e-10)
    target = quadratic_target(matrix, (0, 0), ex.Ball(2))
    assert first_layer(target, 1).value ** 2 == pytest.approx(0.011836311869, abs=1e-10)


@pytest.mark.parametrize(
    ("target", "squared"),
    [
        (ex.targets.norm_squared(SQUARE), (0.0888888889, 0.1103329772, 0.1185185185, 0.0888888889)),
        (ex.targets.product(SQUARE), (0.1111111111, 0.0570632255, 0.0296296296, 0.1111111111)),
        (ex.targets.parabola_ridge(SQUARE), (0.3333333333, 0.3029178215, 0.2407407407, 0.0888888889)),
        (SINE, (0.25, 0.2286579737, 0.1574787848, 0.0473576327)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lines_through_the_square(target, squared):
    for angle, expected in zip((0, np.pi / 8, np.pi / 4, np.pi / 2), squared, strict=True):
        found = kernel(network([-np.sin(angle), np.cos(angle)]), target).value ** 2
        assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("target", "squared"),
    [
        (ex.targets.norm_squared(SQUARE), 0.0887286661),
        (ex.targets.product(SQUARE), 4 / 135),
        (ex.targets.parabola_ridge(SQUARE), 0.0887224035),
        (BUMP, 0.0269221417),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_least_direction_of_the_square(target, squared):
    assert first_layer(target, 1).value ** 2 == pytest.approx(squared, abs=1e-7)


def test_three_dimensions():
    box, ball = ex.targets.norm_squared(ex.Box(3)), ex.targets.norm_squared(ex.Ball(3))
    assert kernel(network([[0, 1, 0], [0, 0, 1]]), box).value ** 2 == pytest.approx(4 / 45, abs=1e-9)
    plain = ex.Target(ball.function, ball.measure)
    rows = np.random.default_rng(0).standard_normal((2, 3))
    assert kernel(network(rows), plain).value ** 2 == pytest.approx(4 / 105, abs=1e-9)


def test_mean_deviations_on_the_square():
    squared, product = ex.targets.norm_squared(SQUARE), ex.targets.product(SQUARE)
    assert kernel(network([0, 1]), squared, "L1").value == pytest.approx(0.25, abs=1e-4)
    assert first_layer(squared, 1, "L1").value == pytest.approx(0.2485, abs=1e-3)
    assert kernel(network([0, 1]), product, "L1").value == pytest.approx(0.25, abs=1e-4)
    assert kernel(network([1, -1]), product, "L1").value == pytest.approx(0.125, abs=1e-4)


@pytest.mark.parametrize(
    ("domain", "m"),
    [
        *[(ex.Box(2, -0.5, 2.0), m) for m in (1, 2)],
        *[(ex.Box(3), m) for m in (1, 2, 3)],
        *[(ex.Box(4, 0.0, 1.0), m) for m in (1, 3)],  # boxes have rules along lines and hyperplanes
        *[(ball, m) for ball in (ex.Ball(3, 2.0), ex.Ball(4)) for m in (1, 2, 3)],
    ],
)
def test_fibre_rules_integrate_polynomials(domain, m):
    n = domain.dim
    rng = np.random.default_rng(m)
    basis = np.linalg.qr(rng.standard_normal((n, m)))[0]
    rule = fibres(domain, basis, 8)
    weights = rule.outer[:, None] * rule.inner
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(domain.contains(rule.points.reshape(-1, n) * (1 - 1e-13)))
    points = rule.points[rule.outer > 0]
    along = points - points[:, :1]
    assert np.abs(along - along @ basis @ basis.T).max() < 1e-12
    points, reference = domain.quadrature(8)
    # sections of a box by planes are integrated in polar coordinates, not exactly
    tolerance = 1e-2 if isinstance(domain, ex.Box) and 1 < m < n else 1e-11
    for power in ((1, 1), (2, 0), (2, 2)):
        monomial = lambda x, power=power: x[..., 0] ** power[0] * x[..., 1] ** power[1]  # noqa: E731
        assert (weights * monomial(rule.points)).sum() == pytest.approx(reference @ monomial(points), abs=tolerance)


@pytest.mark.parametrize("m", [1, 2])
def test_universal_bound_of_quadratics_is_below_every_subspace(m):
    rng = np.random.default_rng(5)
    ball = ex.Ball(4, 1.5)
    for _ in range(20):
        matrix = rng.standard_normal((4, 4))
        q = Quadratic(matrix + matrix.T, rng.standard_normal(4), 0.0)
        least = universal_squared(q, ball, m)
        bases = [np.linalg.qr(rng.standard_normal((4, m)))[0] for _ in range(50)]
        assert all(subspace_squared(q, ball, basis) >= least - 1e-12 for basis in bases)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_spread_is_the_least_over_constants(norm):
    rng = np.random.default_rng(1)
    rule = fibres(SQUARE, np.array([[0.6], [0.8]]), 6, equal=norm == "L1")
    values = rng.standard_normal(rule.inner.shape)
    found = spread(values, rule, norm)
    power = 1 if norm == "L1" else 2
    for shift in np.linspace(-2, 2, 9):
        assert found <= rule.outer @ (rule.inner * np.abs(values - shift) ** power).sum(1)


AUDITED = [
    ex.targets.norm_squared(ex.Ball(2)),
    ex.targets.product(SQUARE),
    ex.targets.cosine_norm(ex.Ball(3)),
]


@pytest.mark.parametrize("norm", ["L1", "L2", "sup"])
@pytest.mark.parametrize("target", AUDITED, ids=lambda target: target.name)
def test_no_network_is_below_its_kernel(target, norm):
    """Random networks whose first layer has n - 1 units, later ones any width."""
    n = target.dim
    universal = first_layer(target, n - 1, norm).value
    for seed in range(50 if norm == "L2" else 12):
        net = random_network(n, (n - 1, 8, 5), seed) * (1.0 if seed % 2 else 0.03)
        error, own = ex.error(net, target, norm), kernel(net, target, norm).value
        assert error.value >= own - error.half_width - 1e-9
        # both are below the true distance by a margin of quadrature or search
        assert own >= universal * (1 - 2e-3)


def test_a_ridge_has_no_floor_at_width_n_minus_1():
    for norm in ("L1", "L2", "sup"):
        assert first_layer(ex.targets.ridge(ex.Box(2)), 1, norm).value < 1e-3
    assert first_layer(ex.targets.ridge(ex.Ball(3)), 2).value == 0.0


def test_a_kernel_of_any_rank():
    ball = ex.targets.norm_squared(ex.Ball(3))
    assert kernel(network(np.eye(3)), ball).value == 0.0
    rank_one = network([[1, 2, 3], [2, 4, 6], [-1, -2, -3], [0, 0, 0]])
    assert kernel(rank_one, ball).value == pytest.approx(first_layer(ball, 1).value, abs=1e-12)
    constant = network(np.zeros((2, 3)))
    assert kernel(constant, ball).value ** 2 == pytest.approx(12 / (25 * 7), abs=1e-12)


def test_a_nearly_singular_first_layer_gives_no_bound():
    certificate = kernel(network([[1.0, 0.0], [0.0, 1e-8]]), ex.targets.norm_squared(ex.Ball(2)))
    assert certificate.value == 0.0
    assert "1e-08" in certificate.assumptions[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: first_layer(ex.targets.norm_squared(ex.Ball(2)), 0), "not 0"),
        (lambda: first_layer(ex.targets.norm_squared(ex.Ball(2)), 1, "L3"), "L3"),
        (lambda: first_layer(ex.targets.norm_squared(ex.Gaussian(2)), 1), "normal"),
        (lambda: first_layer(ex.targets.ridge(ex.Ball(9)), 8), "9"),
        (lambda: kernel(network([1.0, 0.0]), ex.targets.norm_squared(ex.Ball(3))), "3"),
        (lambda: subspace_distance(ex.targets.norm_squared(ex.Ball(2)), np.ones((3, 1))), "(3, 1)"),
        (lambda: subspace_distance(ex.targets.norm_squared(ex.Ball(2)), np.ones((2, 2))), "dependent"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=r".+") as caught:
        call()
    assert message in str(caught.value)


def test_wide_enough_first_layers_have_no_floor():
    certificate = first_layer(ex.targets.norm_squared(ex.Ball(2)), 2)
    assert (certificate.value, math.isfinite(certificate.value)) == (0.0, True)
    assert "2 dimensions" in certificate.assumptions[0]
