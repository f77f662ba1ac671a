import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.training import ensemble


def random_parameters(rng, nets, inputs, outputs, width, hidden_layers):
    pairs = ensemble.shapes(nets, inputs, outputs, width, hidden_layers)
    return tuple(tuple(rng.standard_normal(shape) for shape in pair) for pair in pairs)


@pytest.mark.parametrize(
    ("nets", "inputs", "outputs", "width", "hidden_layers", "batch"),
    [(1, 2, 1, 1, 1, 5), (3, 2, 1, 4, 2, 32), (2, 3, 2, 5, 4, 17), (4, 1, 3, 2, 6, 8), (1, 4, 1, 16, 3, 64)],
)
def test_gradients_equal_automatic_differentiation(nets, inputs, outputs, width, hidden_layers, batch):
    rng = np.random.default_rng(0)
    parameters = random_parameters(rng, nets, inputs, outputs, width, hidden_layers)
    x, y = rng.standard_normal((inputs, batch)), rng.standard_normal((outputs, batch))
    with jax.enable_x64(True):
        plain = jax.grad(lambda p: ensemble.losses(p, x, y).sum())(parameters)
        losses, ours = jax.jit(ensemble.losses_and_gradients)(parameters, x, y)
        np.testing.assert_allclose(losses, ensemble.losses(parameters, x, y), rtol=1e-13)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
            assert a.dtype == np.float64
            assert a.shape == b.shape
            # relative to the largest entry: sums of a few hundred terms in another order
            assert np.abs(np.asarray(a) - b).max(initial=0) <= 1e-12 * max(1.0, np.abs(b).max(initial=0))


def test_gradients_equal_finite_differences():
    rng = np.random.default_rng(1)
    parameters = random_parameters(rng, 2, 2, 1, 3, 3)
    x, y = rng.standard_normal((2, 20)), rng.standard_normal((1, 20))
    direction = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), parameters)
    h = 1e-6
    with jax.enable_x64(True):
        _, gradient = ensemble.losses_and_gradients(parameters, x, y)
        up, down = (
            float(ensemble.losses(jax.tree.map(lambda p, d, s=s: p + s * h * d, parameters, direction), x, y).sum())
            for s in (1, -1)
        )
    slope = sum(np.sum(np.asarray(g) * d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
    # truncation h^2 and rounding 1e-16 / h, times the size of the loss
    assert abs((up - down) / (2 * h) - slope) < 1e-6 * max(1.0, abs(slope))


def test_losses_are_those_of_the_networks_and_packing_is_undone():
    family, rng = ex.MLP(3, 2, hidden_layers=4), np.random.default_rng(2)
    networks = [family.init(jax.random.key(seed), width)[0] for seed, width in enumerate((2, 5, 3))]
    packed = ensemble.pack(networks, 5, np.float32)
    x, y = rng.standard_normal((3, 11)).astype(np.float32), rng.standard_normal((2, 11)).astype(np.float32)
    losses = ensemble.losses(packed, x, y)
    for number, network in enumerate(networks):
        expected = np.mean((ex.evaluate(network, x.T) - y.T) ** 2)
        np.testing.assert_allclose(losses[number], expected, rtol=1e-5)
        back = ensemble.unpack(packed, number, network.width)
        for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(network), strict=True):
            assert np.array_equal(a, b)
    assert ensemble.padding_is_zero(packed, [2, 5, 3])
    assert not ensemble.padding_is_zero(packed, [2, 4, 3])


def test_a_padded_unit_has_output_and_gradient_zero():
    rng = np.random.default_rng(3)
    wide = random_parameters(rng, 1, 2, 1, 6, 3)
    network = ensemble.unpack(wide, 0, 4)
    padded = ensemble.pack([network], 6, np.float64)
    x, y = rng.standard_normal((2, 30)), rng.standard_normal((1, 30))
    with jax.enable_x64(True):
        _, gradient = ensemble.losses_and_gradients(padded, x, y)
        _, alone = ensemble.losses_and_gradients(ensemble.pack([network], 4, np.float64), x, y)
    assert ensemble.padding_is_zero(gradient, [4])
    inside = ensemble.pack([ensemble.unpack(alone, 0, 4)], 6, np.float64)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(inside), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
