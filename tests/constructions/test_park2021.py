"""The coding network of width n + 1 on all of R^n: values, layers, bounds, exact zeros outside the cube."""

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import park2021


def tent(measure):
    return ex.Target(lambda x: jnp.maximum(1.0 - jnp.sqrt(jnp.sum(x**2)), 0.0), measure, lipschitz=1.0, name="tent")


def forward(network, points):
    """The network layer by layer in NumPy, without compilation."""
    h = np.asarray(points, dtype=np.float64)
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return h @ weight.T + bias


def midpoints(count, n, radius=1.0):
    axis = -radius + 2 * radius * (np.arange(count) + 0.5) / count
    return np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)


def outside(rng, count, n, radius=1.0):
    points = radius * rng.uniform(-1, 1, (count, n))
    axis = rng.integers(0, n, count)
    points[np.arange(count), axis] = radius * rng.choice([-1, 1], count) * 10 ** rng.uniform(0, 6, count)
    return points


def plain(values, m, radius, ramp, points):
    """The scheme with clip and interp in place of a network; `values` has one axis of m cells a coordinate."""
    total, n = 2 * radius, points.shape[1]
    t = np.clip(points + radius, 0.0, total)
    t[:, 0] = np.maximum(t[:, 0] - total / ramp * np.maximum(t[:, 0] - total + ramp, 0), 0)
    for k in range(1, n):
        for near_wall in (ramp - t[:, k], t[:, k] - total + ramp):
            t[:, 0] = np.maximum(t[:, 0] - total / ramp * np.maximum(near_wall, 0), 0)
    walls = np.arange(1, m) * total / m
    knots = np.concatenate([[ramp, 2 * ramp], np.stack([walls - ramp / 2, walls + ramp / 2], 1).ravel()])
    digits = np.interp(t, knots, np.repeat(np.arange(m + 1), 2)[1:-1])
    code = digits @ (m + 1.0) ** np.arange(n - 1, -1, -1)
    table = np.pad(values, ((1, 0),) * n).ravel()
    steps = np.arange(len(table) - 1)
    return np.interp(code, np.stack([steps + 0.25, steps + 0.75], 1).ravel(), np.repeat(table, 2)[1:-1])


@pytest.mark.parametrize(
    ("n", "levels", "layers", "count", "error"),
    [(1, 32, 130, 10_000, 0.031460), (2, 8, 142, 397, 0.197847), (2, 16, 486, 397, 0.102966)],
)
def test_the_tent(n, levels, layers, count, error):
    target = tent(ex.Box(n))
    result = park2021.coding_network(target, levels=levels, radius=1.0, ramp=1e-3)
    assert (result.network.width, result.network.hidden_layers, result.width_bound) == (n + 1, layers, n + 1)
    points = midpoints(count, n)
    measured = 2**n * np.abs(ex.evaluate(result.network, points)[:, 0] - target.values(points)).mean()
    assert measured == pytest.approx(error, abs=2e-4)
    assert measured <= 2**n * result.error_bound
    assert np.all(ex.evaluate(result.network, outside(np.random.default_rng(0), 2000, n)) == 0)


@pytest.mark.parametrize("ramp", [1e-3, 1 / 512, 0.03, 1e-6])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_zero_everywhere_outside(n, ramp):
    positive = ex.Target(lambda x: 1.0 + jnp.sum(x**2), ex.Box(n, -0.7, 0.7), lipschitz=1.4 * n**0.5)
    network = park2021.coding_network(positive, levels=5, radius=0.7, ramp=ramp).network
    rng = np.random.default_rng(1)
    points = outside(rng, 4000, n, radius=0.7 * (1 + 1e-12))
    # the other coordinates on walls and ramps, where a digit is between two values
    walls = 0.7 * (2 * rng.integers(0, 6, points.shape) / 5 - 1) + ramp * rng.uniform(-1, 2, points.shape)
    points = np.where((np.abs(points) < 0.7) & (rng.random(points.shape) < 0.7), np.clip(walls, -0.7, 0.7), points)
    assert np.all(np.abs(points).max(1) >= 0.7)
    assert np.all(ex.evaluate(network, points) == 0)


@pytest.mark.parametrize(
    ("domain", "radius"),
    [(ex.Box(1), 1.0), (ex.Box(2), 1.0), (ex.Ball(2, 0.9), 1.0), (ex.Box(3, -0.5, 0.25), 0.5), (ex.Box(2, -2, 2), 1.5)],
    ids=str,
)
@pytest.mark.parametrize(("levels", "part"), [(1, 0.1), (4, 0.3), (5, 0.01)])
def test_the_network_is_the_coding_scheme(domain, radius, levels, part):
    target = ex.targets.cosine_norm(domain)
    n, ramp = domain.dim, part * 2 * radius / levels
    result = park2021.coding_network(target, levels=levels, radius=radius, ramp=ramp)
    centers = midpoints(levels, n, radius)
    half = radius / levels
    nearest = np.clip(domain.center, centers - half, centers + half)
    values = np.where(domain.contains(nearest), target.values(domain.project(centers)), 0.0)
    rng = np.random.default_rng(0)
    points = radius * rng.uniform(-1.1, 1.1, (4000, n))
    walls = radius * (2 * rng.integers(0, levels + 1, (3000, n)) / levels - 1) + ramp * rng.uniform(-2, 3, (3000, n))
    points[:3000] = np.where(rng.random((3000, n)) < 0.5, walls, points[:3000])
    found = forward(result.network, points)[:, 0]
    expected = plain(values.reshape((levels,) * n), levels, radius, ramp, points)
    # a rounding of the gate is multiplied by 2 R / ramp, by 1 / ramp in the digit and by its place value in the code
    tolerance = 1e-14 * (1 + (2 * radius / ramp) * (levels + 1) ** (n - 1) * 4 / ramp)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    changes = np.count_nonzero(np.diff(np.pad(values.reshape((levels,) * n), ((1, 0),) * n).ravel()))
    assert result.network.hidden_layers == 3 + 2 * n - 1 + 2 * levels * n + 2 * changes


@pytest.mark.parametrize("n", [1, 2, 3])
def test_exact_cell_values_off_the_ramps(n):
    levels, ramp = 6, 0.01
    target = ex.targets.norm_squared(ex.Box(n))
    network = park2021.coding_network(target, levels=levels, radius=1.0, ramp=ramp).network
    rng = np.random.default_rng(0)
    cell = rng.integers(0, levels, (3000, n))
    inside = rng.uniform(2 * ramp, 2 / levels - ramp, (3000, n))
    centers = -1 + 2 * (cell + 0.5) / levels
    points = -1 + 2 * cell / levels + inside
    np.testing.assert_allclose(forward(network, points)[:, 0], target.values(centers), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "radius"),
    [
        (lambda: tent(ex.Box(1)), 1.0),
        (lambda: tent(ex.Box(2, -2.0, 2.0)), 1.0),
        (lambda: tent(ex.Box(2)), 1.5),
        (lambda: ex.targets.norm_squared(ex.Ball(2)), 1.0),
        (lambda: ex.targets.norm_squared(ex.Ball(2)), 0.6),
        (lambda: ex.targets.ball_indicator(ex.Box(2)), 1.0),
        (lambda: ex.targets.ball_indicator(ex.Ball(2)), 0.75),
        (lambda: ex.targets.product(ex.Box(3)), 1.0),
        (lambda: ex.targets.norm_squared(ex.Box(2, 3.0, 4.0)), 1.0),
        (lambda: ex.targets.parabola_ridge(ex.Box(2, 0.0, 1.0)), 0.25),
    ],
)
@pytest.mark.parametrize(("levels", "part"), [(1, 0.3), (3, 0.3), (6, 0.01)])
def test_errors_stay_within_the_bounds(make, radius, levels, part):
    target = make()
    result = park2021.coding_network(target, levels=levels, radius=radius, ramp=part * 2 * radius / levels)
    for norm in ("L1", "L2"):
        measured = ex.error(result, target, norm, order={1: 2000, 2: 120, 3: 24}[target.dim])
        assert measured.value - measured.half_width <= result.bound(norm)


def test_at_most_two_registers_change_in_a_staircase():
    network = park2021.coding_network(ex.targets.norm_squared(ex.Box(3)), levels=3, radius=1.0, ramp=0.01).network
    changed = [int(np.any((w != np.eye(4)) | (b[:, None] != 0), axis=1).sum()) for w, b in list(network.layers)[1:-1]]
    # two reflections of the clip change all registers; the first layers of staircases move one register more
    assert sum(c > 2 for c in changed) <= 2 + 3


def test_a_target_of_zeros():
    zero = ex.Target(lambda x: 0.0 * x[0], ex.Box(2), lipschitz=0.0)
    result = park2021.coding_network(zero, levels=4, radius=1.0, ramp=0.01)
    assert (result.network.width, result.error_bound) == (0, 0.0)


def test_bad_requests():
    target = tent(ex.Box(2))
    with pytest.raises(ValueError, match=r"0\.2 is not below a third of a cell"):
        park2021.coding_network(target, levels=4, radius=1.0, ramp=0.2)
    with pytest.raises(ValueError, match="1e-09 is below"):
        park2021.coding_network(target, levels=4, radius=1.0, ramp=1e-9)
    with pytest.raises(ValueError, match=r"not -1\.0"):
        park2021.coding_network(target, levels=4, radius=-1.0, ramp=0.01)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        park2021.coding_network(target, levels=0, radius=1.0, ramp=0.01)
    with pytest.raises(TypeError, match="'four'"):
        park2021.coding_network(target, levels="four", radius=1.0, ramp=0.01)
    with pytest.raises(ValueError, match="compact"):
        park2021.coding_network(tent(ex.Gaussian(2)), levels=4, radius=1.0, ramp=0.01)
    with pytest.raises(ValueError, match="codes"):
        park2021.coding_network(tent(ex.Box(4)), levels=100, radius=1.0, ramp=1e-3)
