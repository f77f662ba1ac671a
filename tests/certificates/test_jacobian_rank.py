"""The Jacobian's rank reaches parameters less hidden units where every unit changes its sign often enough."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates import dimension, effective_parameters
from expressivity.relu.gadgets import random_network


@pytest.mark.parametrize(("n", "units", "full"), [(2, 4, 29), (2, 6, 55), (3, 6, 61)])
def test_random_networks_in_the_plane_and_in_space(n, units, full):
    """The best of some seeds; others have units that are off or on everywhere."""
    points = np.random.default_rng(0).uniform(-4, 4, (1500, n))
    found = [dimension(random_network(n, (units, units), seed), points) for seed in range(20)]
    assert max(f.rank for f in found) == full == effective_parameters(n, units, 3)
    assert all(f.rank <= f.largest == full for f in found)
    assert max(found, key=lambda f: f.rank).margin > 1e3


@pytest.mark.parametrize(("units", "full"), [(3, 16), (4, 25), (5, 36), (6, 49)])
def test_zigzags_on_a_line(units, full):
    """Second-layer units that change their sign on each of the units + 1 pieces of the first layer."""
    found = [_zigzag(units, seed) for seed in range(4)]
    assert max(f.rank for f in found) == full == effective_parameters(1, units, 3)
    assert all(f.largest == full for f in found)


def _zigzag(units, seed):
    rng = np.random.default_rng(seed)
    s = units + 0.5
    knots = (np.arange(units) + 0.5) / s
    coefficients = 2 * s * np.where(np.arange(units) % 2, 1.0, -1.0)
    coefficients[0] = -3 * s
    sides = np.where(np.arange(units) == 2, -1.0, 1.0)
    first = (sides[:, None], -sides * knots)
    weights = coefficients * (1 + 0.01 * rng.uniform(-1, 1, (units, units)))
    biases = -coefficients[2] * knots[2] - rng.uniform(0.3, 0.7, units)
    net = ex.ReLUNetwork.from_layers([first, (weights, biases), (rng.uniform(1, 2, (1, units)), np.zeros(1))])
    return dimension(net, np.linspace(-0.5, 1.5, 6000)[:, None])


def test_refusals():
    with pytest.raises(ValueError, match=r"\(3, 1\)"):
        dimension(random_network(2, (3,), 0), np.ones((3, 1)))
    two = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2))])
    with pytest.raises(ValueError, match="has 2"):
        dimension(two, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("network", "points", "error", "words"),
    [
        ("net", [[0.0]], TypeError, "str"),
        (random_network(2, (2,), 0), [[0.0, 0.0], [np.nan, 1.0]], ValueError, r"Point 1 .* \[nan, 1.0\]"),
        (random_network(2, (2,), 0), [[0.0]], ValueError, r"\(1, 1\)"),
    ],
)
def test_what_is_no_network_or_no_point_is_refused(network, points, error, words):
    with pytest.raises(error, match=words):
        ex.certificates.dimension(network, points)
