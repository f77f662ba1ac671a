"""The bottleneck certificate: exact values, its grid against a plain Dijkstra search, networks of width n."""

import heapq

import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.bottlenecks import _Search, bottleneck
from expressivity.relu.gadgets import random_network


@pytest.mark.parametrize(
    ("target", "resolution", "value"),
    [
        (ex.targets.norm_squared(ex.Box(2)), 201, 0.5),
        (ex.targets.norm_squared(ex.Ball(2)), 401, 0.5),
        (ex.targets.norm_squared(ex.Ball(3, 2.0)), 21, 2.0),
        (ex.targets.cosine_norm(ex.Ball(2)), 101, 1.0),
        (ex.targets.ball_indicator(ex.Ball(2)), 101, 0.5),
    ],
    ids=["square", "disc", "ball", "cosine", "indicator"],
)
def test_exact_values(target, resolution, value):
    assert bottleneck(target, resolution).value == pytest.approx(value, abs=1e-12)


def _wave(x):
    return jnp.cos(2 * jnp.pi * jnp.sqrt(jnp.sum(x**2) + 1e-30))


@pytest.mark.parametrize(
    ("function", "lipschitz", "domain", "resolution", "truth"),
    [
        (lambda x: jnp.sum(x**2), 2.0, ex.Ball(2), 401, 0.5),
        (lambda x: jnp.sum(x**2), 8**0.5, ex.Box(2), 201, 0.5),
        (lambda x: jnp.sum(x**2), 2.0, ex.Ball(3), 31, 0.5),
        (_wave, 2 * np.pi, ex.Ball(2), 201, 1.0),
    ],
)
def test_without_knowing_the_symmetry_the_value_is_below_but_close(function, lipschitz, domain, resolution, truth):
    spacing = domain.diameter / (resolution - 1)
    value = bottleneck(ex.Target(function, domain, lipschitz=lipschitz), resolution).value
    assert truth - 2 * lipschitz * spacing <= value <= truth
    guessed = bottleneck(ex.Target(function, domain), resolution)
    assert guessed.value <= truth
    assert any("sampled gradients" in note for note in guessed.assumptions)


def _least_range(values, start):
    """The least max - min over 8-neighbour paths to the rim: every minimum is tried, with Dijkstra for the maximum."""
    rows, columns = values.shape
    best = np.inf
    for least in np.unique(values[values <= values[start]]):
        peak = np.full(values.shape, np.inf)
        peak[start] = values[start]
        heap = [(values[start], start)]
        while heap:
            top, (i, j) = heapq.heappop(heap)
            if i in (0, rows - 1) or j in (0, columns - 1):
                best = min(best, top - least)
                break
            for a in (i - 1, i, i + 1):
                for b in (j - 1, j, j + 1):
                    through = max(top, values[a, b])
                    if values[a, b] >= least and through < peak[a, b]:
                        peak[a, b] = through
                        heapq.heappush(heap, (through, (a, b)))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_grid_search_against_dijkstra(seed):
    values = np.random.default_rng(seed).uniform(0, 1, (13, 11))
    rim = np.zeros(values.shape, dtype=bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    start = (6, 5)
    truth = _least_range(values, start)
    search = _Search(values, values, np.ones_like(rim), rim)
    found = search.least_range(start, float(values[start]), search.deviation(start, float(values[start]), 0.0))
    # the interval of minima is halved 16 times in all, which leaves a gap on the safe side
    assert truth - 0.2 <= found <= truth + 1e-12
    assert search.deviation(start, float(values[start]), 0.0) <= truth + 1e-12


@pytest.mark.parametrize("target", [ex.targets.norm_squared(ex.Box(2)), ex.targets.max_affine(ex.Ball(2))])
def test_no_network_of_width_n_is_below(target):
    floor = bottleneck(target, 101).value
    assert floor > 0.1
    for seed in range(20):
        net = random_network(2, (2,) * (1 + seed % 4), seed) * (0.1 if seed % 2 else 1.0)
        error = ex.error(net, target, "sup")
        assert error.value >= floor - error.half_width


def test_a_maximum_of_affine_functions_has_no_floor_at_width_n_plus_1():
    assert ex.certificates.floor(ex.targets.max_affine(ex.Ball(2)), 3, norm="sup").value == 0.0


def test_refusals():
    with pytest.raises(ValueError, match="not 2"):
        bottleneck(ex.targets.norm_squared(ex.Box(2)), 2)
    with pytest.raises(TypeError, match=r"10\.5"):
        bottleneck(ex.targets.norm_squared(ex.Box(2)), 10.5)
    with pytest.raises(ValueError, match="normal"):
        bottleneck(ex.targets.norm_squared(ex.Gaussian(2)), 11)
