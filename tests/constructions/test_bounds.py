"""Functions made to break the bounds of the approximating constructions."""

import math

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity import norms
from expressivity.constructions import hanin_sellke2017, kim2024, lu2017, park2021

DOMAINS = [ex.Box(1), ex.Box(2), ex.Ball(2), ex.Ball(1, 0.5), ex.Box(2, 1.0, 1.5)]
ORDERS = {1: 1000, 2: 64}


def forward(network, points):
    """The network layer by layer in NumPy, without compilation."""
    h = np.asarray(points, dtype=np.float64)
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return h @ weight.T + bias


def cones(domain, count, lipschitz, seed):
    """The largest function with this Lipschitz constant below given values at random points, turned upside down."""
    rng = np.random.default_rng(seed)
    low, high = domain.box
    tips = domain.project(low + (high - low) * rng.random((count, domain.dim)))
    heights = rng.uniform(-1, 1, count) * lipschitz * domain.diameter * rng.random()

    def function(x):
        distance = jnp.sqrt(jnp.sum((jnp.asarray(tips, x.dtype) - x[None]) ** 2, axis=1))
        return jnp.max(jnp.asarray(heights, x.dtype) - lipschitz * distance)

    return ex.Target(function, domain, lipschitz=lipschitz, name=f"cones_{seed}")


def wells(domain, cells, lipschitz):
    """L times the distance to the center of the cell: nothing is worse for a value read off at the centers."""
    low, high = domain.box
    side = (high - low) / cells

    def function(x):
        inside = (x - jnp.asarray(low, x.dtype)) % jnp.asarray(side, x.dtype) - jnp.asarray(side / 2, x.dtype)
        return lipschitz * jnp.sqrt(jnp.sum(inside**2))

    return ex.Target(function, domain, lipschitz=lipschitz, name=f"wells_{cells}")


@hypothesis.given(
    domain=st.sampled_from(DOMAINS),
    cells=st.integers(1, 7),
    part=st.sampled_from([0.5, 0.3, 0.05, 0.001]),
    lipschitz=st.floats(0.1, 10.0),
    count=st.integers(0, 20),
    seed=st.integers(0, 10**6),
)
@hypothesis.settings(max_examples=12, deadline=None)
def test_no_function_breaks_the_bounds(domain, cells, part, lipschitz, count, seed):
    target = cones(domain, count, lipschitz, seed) if count else wells(domain, cells, lipschitz)
    rule = norms.rule(target, ORDERS[domain.dim])
    low, high = domain.box
    radius = float(max(np.abs(low).max(), np.abs(high).max()))
    results = [
        lu2017.approximate(target, cells=cells, ramp=part * float(high[0] - low[0]) / cells),
        kim2024.coding_network(target, levels=cells + 1, ramp=min(0.99, 2 * part) / (cells + 1)),
        park2021.coding_network(target, levels=cells, radius=radius, ramp=min(part, 0.33) * 2 * radius / cells),
    ]
    for result in results:
        outputs = forward(result.network, rule.points)[:, 0]
        for norm in ("L1", "L2"):
            value, half_width = rule.norms(outputs, norm)
            assert value - half_width <= result.bound(norm) * (1 + 1e-12)
    string = hanin_sellke2017.cap_string(target, mesh=domain.diameter / 2 * (0.15 + 0.6 * part))
    value, _ = rule.norms(forward(string.network, rule.points)[:, 0], "sup")
    assert value <= string.error_bound * (1 + 1e-12)


@pytest.mark.parametrize("cells", [2, 5])
def test_the_l2_bounds_are_attained(cells):
    target = wells(ex.Box(1), cells, 3.0)
    for result in (
        lu2017.approximate(target, cells=cells),
        park2021.coding_network(target, levels=cells, radius=1.0, ramp=1e-6),
    ):
        measured = ex.error(result, target, "L2", order=2000)
        assert result.l2_bound == pytest.approx(measured.value, rel=2e-3)
        # the mean is smaller by the factor of Jensen's inequality
        assert result.error_bound == pytest.approx(
            ex.error(result, target, "L1", order=2000).value * 4 / math.sqrt(12), rel=5e-3
        )


def test_a_lipschitz_constant_that_is_too_small_is_noticed():
    # the bounds rest on the constant: halving it must break them, or this file tests nothing
    honest = wells(ex.Box(1), 4, 3.0)
    false = ex.Target(honest.function, honest.measure, lipschitz=1.5)
    result = lu2017.approximate(false, cells=4)
    assert ex.error(result, false, "L2", order=2000).value > result.l2_bound
