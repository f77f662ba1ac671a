"""Escape paths: corners by hand, hundreds of random networks, the bound they give."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.escape import best_path, escape_path, path
from expressivity.relu.gadgets import random_network

DIAGONAL = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])


def test_an_inactive_unit():
    found = escape_path(DIAGONAL, [-0.5, 0.3], ex.Box(2))
    assert found.points[-1] == pytest.approx([-1.0, 0.3], abs=1e-15)
    assert found.value == pytest.approx(0.3)


def test_an_affine_region_and_a_face():
    found = escape_path(DIAGONAL, [0.2, 0.3], ex.Box(2))
    assert sorted(found.points[-1]) == pytest.approx([-1.0, 0.5], abs=1e-15)
    assert ex.evaluate(DIAGONAL, found.sample(50))[:, 0] == pytest.approx(0.5, abs=1e-15)


def forward(net, points):
    """Plain NumPy, which compiles nothing for 720 shapes."""
    *hidden, (weight, bias) = net.layers
    for w, b in hidden:
        points = np.maximum(points @ w.T + b, 0.0)
    return (points @ weight.T + bias)[:, 0]


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("layers", [1, 2, 4, 8])
def test_random_networks_are_constant_on_the_way_out(n, layers):
    """60 networks each; the deviation is rounding, relative to the value."""
    for seed in range(60):
        rng = np.random.default_rng(1000 * layers + seed)
        widths = [n] * layers if seed % 4 else list(rng.integers(1, n + 1, layers))
        net = random_network(n, widths, seed)
        domain = ex.Box(n) if seed % 2 else ex.Ball(n, np.sqrt(n))
        found = escape_path(net, rng.uniform(-1, 1, n), domain)
        outputs = forward(net, found.sample(20))
        assert np.abs(outputs - found.value).max() <= 1e-12 * (1 + abs(found.value))
        end = found.points[-1]
        edge = np.abs(end).max() if seed % 2 else np.linalg.norm(end) / np.sqrt(n)
        assert edge == pytest.approx(1.0, abs=1e-12)
        assert len(found.points) <= layers + 2


@pytest.mark.parametrize("seed", range(5))
def test_every_network_of_width_two_misses_the_squared_norm_by_half(seed):
    target = ex.targets.norm_squared(ex.Ball(2))
    certificate = path(random_network(2, (2, 2, 2), seed), target, [0.0, 0.0])
    assert certificate.value == pytest.approx(0.5, abs=1e-12)
    assert certificate.against.this


def test_very_deep_networks():
    rng = np.random.default_rng(0)
    rotations = np.linalg.qr(rng.standard_normal((2000, 2, 2)))[0]
    net = ex.ReLUNetwork.from_stacked(
        (np.eye(2), np.ones(2)), rotations, np.full((2000, 2), 3.0), ([[1.0, 2.0]], [0.0])
    )
    found = escape_path(net, [0.1, 0.2], ex.Box(2))
    outputs = ex.evaluate(net, found.sample(20))[:, 0]
    assert np.abs(outputs - found.value).max() <= 1e-9 * (1 + abs(found.value))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: escape_path(random_network(2, (3,), 0), [0, 0], ex.Box(2)), "width 3"),
        (lambda: escape_path(random_network(1, (1,), 0), [0], ex.Box(1)), "at least 2"),
        (lambda: escape_path(DIAGONAL, [2.0, 0.0], ex.Box(2)), "outside"),
        (lambda: escape_path(DIAGONAL, [0.0], ex.Box(2)), "(2,)"),
        (lambda: escape_path(DIAGONAL, [0.0, 0.0], ex.Box(3)), "3"),
        (lambda: path(random_network(2, (3,), 0), ex.targets.product(ex.Box(2)), [0, 0]), "width 3"),
        (lambda: path(DIAGONAL, ex.targets.norm_squared(ex.Gaussian(2)), [0, 0]), "normal"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=r".+") as caught:
        call()
    assert message in str(caught.value)


def test_the_best_of_many_starts():
    target = ex.targets.cosine_norm(ex.Ball(2))
    for seed in range(3):
        net = random_network(2, (2, 2), seed)
        best = best_path(net, target).value
        starts = [[0.0, 0.0], [0.3, 0.1]]
        assert best >= path(net, target, starts[0]).value == pytest.approx(1.0, abs=1e-3)  # radius 1/2 by points
        assert best_path(net, target, starts).value >= path(net, target, starts[1]).value
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        best_path(DIAGONAL, target, np.zeros((0, 2)))
