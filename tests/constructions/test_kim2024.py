"""The coding network of width max(n, 2): values, layers, bounds, and what it cannot do."""

import math

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import kim2024


def wave():
    return ex.Target(
        lambda x: jnp.sin(jnp.pi * x[0]) * jnp.cos(jnp.pi * x[1]), ex.Box(2, 0.0, 1.0), lipschitz=math.pi, name="wave"
    )


def forward(network, points):
    """The network layer by layer in NumPy, without compilation."""
    h = np.asarray(points, dtype=np.float64)
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return h @ weight.T + bias


def midpoints(count, n):
    axis = (np.arange(count) + 0.5) / count
    return np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)


def staircase(u, starts, ends, levels):
    """The function that goes from levels[k] to levels[k + 1] linearly on [starts[k], ends[k]]."""
    return np.interp(u, np.stack([starts, ends], 1).ravel(), np.repeat(levels, 2)[1:-1])


def plain(target, m, ramp, points):
    """The coding scheme with interpolated staircases in place of a network, on the unit cube."""
    n = points.shape[1]
    index = np.stack(np.meshgrid(*[np.arange(m)] * n, indexing="ij"), -1).reshape(-1, n)
    low, high = target.measure.box
    values = target.values(target.measure.project(low + (high - low) * (index + 0.5) / m))
    inner = np.arange(1, m) / m
    if n == 1:
        return staircase(points[:, 0], inner - ramp, inner, values)
    code = staircase(points[:, 0], inner - ramp, inner, np.arange(m))
    for i in range(1, n):
        u = code + points[:, i] / 2
        starts, ends = [], []
        for q in range(m**i):
            starts += [q + (j / m - ramp) / 2 for j in range(1, m)] + [q + 0.55]
            ends += [q + j / m / 2 for j in range(1, m)] + [q + 0.95]
        levels = values if i == n - 1 else np.arange(m ** (i + 1))
        code = staircase(u, starts[:-1], ends[:-1], levels)
    return code


@pytest.mark.parametrize(
    ("levels", "ramp", "layers", "error"),
    [(4, 0.01, 36, 0.142574), (8, 1e-3, 140, 0.068233), (16, 1e-3, 540, 0.039577), (32, 2e-4, 2108, 0.019932)],
)
def test_width_two_in_the_plane(levels, ramp, layers, error):
    target = wave()
    result = kim2024.coding_network(target, levels=levels, ramp=ramp)
    assert (result.network.width, result.network.hidden_layers, result.width_bound) == (2, layers, 2)
    points = midpoints(397, 2)
    measured = np.abs(ex.evaluate(result.network, points)[:, 0] - target.values(points)).mean()
    assert measured == pytest.approx(error, abs=1e-4)
    assert measured <= result.error_bound


def test_values_at_single_points():
    result = kim2024.coding_network(wave(), levels=8, ramp=1e-3)
    values = ex.evaluate(result.network, [(0.3125, 0.6875), (0.01, 0.01), (0.51, 0.26)])[:, 0]
    np.testing.assert_allclose(values, [-0.461939766256, 0.191341716183, 0.544895106776], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("levels", "layers", "error"), [(4, 162, 0.106059), (8, 1162, 0.053127)])
def test_width_three_in_space(levels, layers, error):
    lipschitz = math.sqrt(math.pi**2 + 1 + 4)
    target = ex.Target(lambda x: jnp.sin(jnp.pi * x[0]) * x[1] + x[2] ** 2, ex.Box(3, 0.0, 1.0), lipschitz=lipschitz)
    result = kim2024.coding_network(target, levels=levels, ramp=1e-3)
    assert (result.network.width, result.network.hidden_layers) == (3, layers)
    points = midpoints(47, 3)
    assert np.abs(ex.evaluate(result.network, points)[:, 0] - target.values(points)).mean() == pytest.approx(
        error, abs=1e-4
    )


DOMAINS = [ex.Box(1, 0.0, 1.0), ex.Box(1, -3.0, -1.0), ex.Box(2), ex.Box(3, -1.0, 3.0), ex.Ball(1), ex.Ball(2, 0.5)]
DOMAINS += [ex.Ball(3), ex.Box(4)]


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.name)
@pytest.mark.parametrize(("levels", "ramp"), [(2, 0.3), (3, 0.01)])
def test_the_network_is_the_coding_scheme(domain, levels, ramp):
    target = ex.targets.cosine_norm(domain)
    result = kim2024.coding_network(target, levels=levels, ramp=ramp)
    n = domain.dim
    assert result.network.width == max(n, 2)
    assert result.network.hidden_layers == 2 * sum(levels**s - 1 for s in range(1, n + 1))
    rng = np.random.default_rng(0)
    points = rng.random((4000, n))
    edges = rng.integers(1, levels, (3000, n)) / levels - ramp * rng.uniform(-0.2, 1.2, (3000, n))
    points[:3000] = np.where(rng.random((3000, n)) < 0.5, edges, points[:3000])
    low, high = domain.box
    values = forward(result.network, low + (high - low) * points)[:, 0]
    # each of the n staircases multiplies the rounding of the code before it by the slope 2 / ramp on its ramps
    tolerance = max(1e-9, 1e-15 * (2 / ramp) ** (n - 1))
    np.testing.assert_allclose(values, plain(target, levels, ramp, points), rtol=0, atol=tolerance)


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_values_never_leave_the_range_of_the_cells(data):
    n = data.draw(st.integers(1, 3))
    levels = data.draw(st.integers(2, 5))
    ramp = data.draw(st.floats(1e-4, 0.999)) / levels
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    scale = jnp.asarray(rng.standard_normal(n) * 5)
    target = ex.Target(lambda x: jnp.sin(jnp.sum(scale.astype(x.dtype) * x)), ex.Box(n, 0.0, 1.0), lipschitz=30.0)
    network = kim2024.coding_network(target, levels=levels, ramp=ramp).network
    cells = target.values(midpoints(levels, n))
    points = rng.random((500, n))
    edges = rng.integers(1, levels + 1, (400, n)) / levels - ramp * rng.random((400, n))
    points[:400] = np.where(rng.random((400, n)) < 0.5, edges, points[:400])
    values = forward(network, points)[:, 0]
    assert cells.min() - 1e-8 <= values.min()
    assert values.max() <= cells.max() + 1e-8


@pytest.mark.parametrize(
    "make",
    [
        wave,
        lambda: ex.targets.ball_indicator(ex.Ball(2)),
        lambda: ex.targets.ball_indicator(ex.Box(2)),
        lambda: ex.targets.norm_squared(ex.Ball(3)),
        lambda: ex.targets.max_affine(ex.Box(1)),
        lambda: ex.targets.product(ex.Ball(2, 2.0)),
    ],
)
@pytest.mark.parametrize(("levels", "ramp"), [(2, 0.49), (4, 0.2), (6, 1e-3)])
def test_errors_stay_within_the_bounds(make, levels, ramp):
    target = make()
    result = kim2024.coding_network(target, levels=levels, ramp=ramp)
    order = {1: 2000, 2: 150, 3: 30}[target.dim]
    for norm in ("L1", "L2"):
        measured = ex.error(result, target, norm, order=order)
        assert measured.value - measured.half_width <= result.bound(norm)


def test_a_wrong_bound_on_the_ramps_would_show():
    # f jumps between neighbouring cells by its whole range, and the ramps are as wide as they may be
    steep = ex.Target(lambda x: jnp.cos(4 * jnp.pi * x[0]), ex.Box(1, 0.0, 1.0), lipschitz=4 * math.pi)
    result = kim2024.coding_network(steep, levels=4, ramp=0.2499)
    measured = ex.error(result, steep, "L1")
    assert 0.1 * result.error_bound <= measured.value <= result.error_bound


def test_the_sup_error_does_not_go_to_zero():
    square = ex.targets.norm_squared(ex.Box(2))
    for levels in (4, 8, 16):
        network = kim2024.coding_network(square, levels=levels, ramp=1e-3).network
        line = np.stack([np.linspace(-1, 1, 20001), np.full(20001, 0.999)], 1)
        assert np.abs(ex.evaluate(network, line)[:, 0] - square.values(line)).max() >= 0.5


@pytest.mark.parametrize(("levels", "ramp", "fvu"), [(4, 1e-3, 0.308), (8, 1e-3, 0.0849), (16, 1e-4, 0.0195)])
def test_fraction_of_variance_for_the_square_of_the_norm(levels, ramp, fvu):
    square = ex.targets.norm_squared(ex.Box(2, 0.0, 1.0))
    shifted = ex.Target(lambda x: jnp.sum((2 * x - 1) ** 2), square.measure, lipschitz=4 * math.sqrt(2))
    result = kim2024.coding_network(shifted, levels=levels, ramp=ramp)
    points = midpoints(397, 2)
    f = shifted.values(points)
    measured = ((ex.evaluate(result.network, points)[:, 0] - f) ** 2).mean() / f.var()
    assert measured == pytest.approx(fvu, rel=0.05)


def test_at_most_two_registers_change_in_a_layer():
    network = kim2024.coding_network(ex.targets.norm_squared(ex.Box(4)), levels=3, ramp=0.01).network
    for w, b in list(network.layers)[1:-1]:
        assert np.any((w != np.eye(4)) | (b[:, None] != 0), axis=1).sum() <= 2


def test_bad_requests():
    target = wave()
    with pytest.raises(ValueError, match=r"0\.25 is not below .* 0\.25"):
        kim2024.coding_network(target, levels=4, ramp=0.25)
    with pytest.raises(ValueError, match=r"-0\.1"):
        kim2024.coding_network(target, levels=4, ramp=-0.1)
    with pytest.raises(ValueError, match="at least 2, not 1"):
        kim2024.coding_network(target, levels=1, ramp=0.1)
    with pytest.raises(TypeError, match=r"4\.5"):
        kim2024.coding_network(target, levels=4.5, ramp=0.1)
    with pytest.raises(ValueError, match="compact"):
        kim2024.coding_network(ex.targets.norm_squared(ex.Gaussian(2)), levels=4, ramp=0.1)
    with pytest.raises(ValueError, match="float64"):
        kim2024.coding_network(target, levels=100, ramp=1e-11)
    with pytest.raises(ValueError, match="neither a Lipschitz"):
        kim2024.coding_network(ex.Target(lambda x: x[0], ex.Box(2)), levels=4, ramp=0.1)
    with pytest.raises(ValueError, match="layers"):
        kim2024.coding_network(ex.targets.norm_squared(ex.Box(4)), levels=90, ramp=1e-3)
