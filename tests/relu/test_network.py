"""The network as a pytree: leaves, precision, transformations, one compilation, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.relu import Block
from expressivity.relu.gadgets import random_network

HAT = [(np.ones((2, 1)), np.array([0.0, -0.5])), (np.array([[2.0, -4.0]]), np.zeros(1))]


def deep(layers=30_000, width=6):
    rng = np.random.default_rng(0)
    weights = np.tile(np.eye(width), (layers - 1, 1, 1))
    weights[np.arange(layers - 1), rng.integers(0, width, layers - 1)] = 1 / width
    first = (rng.standard_normal((width, 2)), np.zeros(width))
    return ex.ReLUNetwork.from_stacked(
        first, weights, np.zeros((layers - 1, width)), (np.ones((1, width)), np.zeros(1))
    )


def test_thirty_thousand_layers_are_a_handful_of_leaves_traced_once():
    network, traces = deep(), []

    @jax.jit
    def value(network, x):
        traces.append(None)
        return network(x)

    assert network.depth == 30_001
    assert len(jax.tree.leaves(network)) < 10
    x = np.array([0.3, -0.4], np.float32)
    first = value(network, x)
    second = value(2.0 * network, x)
    assert len(traces) == 1
    assert second.tolist() == (2 * first).tolist()
    # the lowered program has one loop for the stacked layers, whatever their number
    assert str(jax.make_jaxpr(network)(x)).count("scan") <= 2


def test_shape_properties():
    network = random_network(3, (4, 4, 2), 0)
    assert (network.input_dim, network.output_dim, network.width, network.depth) == (3, 1, 4, 4)
    assert network.hidden_layers == 3
    assert network.hidden_widths == (4, 4, 2)
    assert network.size == 4 * 4 + 4 * 5 + 2 * 5 + 1 * 3
    affine = ex.identity(3, 1)
    assert (affine.width, affine.hidden_layers, affine.hidden_widths) == (0, 0, ())


def test_numpy_float64_is_kept_and_layers_come_back():
    weight = np.array([[1 / 3, 1e-300]])
    network = ex.ReLUNetwork.from_layers([(weight, np.array([0.1]))])
    ((found, bias),) = network.layers
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    assert found.tolist() == weight.tolist()
    assert bias.tolist() == [0.1]


def test_integers_become_float64():
    network = ex.ReLUNetwork.from_layers([([[1, 2]], [3])])
    assert next(network.layers)[0].dtype == np.float64


@pytest.mark.parametrize("x64", [False, True])
def test_a_call_has_the_precision_of_jax(x64):
    with jax.enable_x64(x64):
        value = ex.ReLUNetwork.from_layers(HAT)(np.array([0.3]))
        assert value.dtype == (np.float64 if x64 else np.float32)
        assert float(value[0]) == pytest.approx(0.6, rel=1e-15 if x64 else 1e-6)


def test_stacked_and_listed_layers_are_the_same_network():
    network = deep(40)
    again = ex.ReLUNetwork.from_layers(list(network.layers))
    assert jax.tree.structure(again) == jax.tree.structure(network)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(network), strict=True))


@pytest.mark.parametrize("layers", [0, 1, 7])
def test_from_stacked_joins_a_square_first_layer(layers):
    rng = np.random.default_rng(1)
    first, last = (rng.standard_normal((3, 3)), np.ones(3)), (rng.standard_normal((1, 3)), np.zeros(1))
    weights, biases = rng.standard_normal((layers, 3, 3)), rng.standard_normal((layers, 3))
    network = ex.ReLUNetwork.from_stacked(first, weights, biases, last)
    plain = ex.ReLUNetwork.from_layers([first, *zip(weights, biases, strict=True), last])
    x = rng.standard_normal((5, 3))
    assert network.depth == layers + 2
    assert ex.evaluate(network, x).tolist() == ex.evaluate(plain, x).tolist()


def test_vmap_over_points_and_over_networks():
    nets = [random_network(2, (3, 3, 3), seed) for seed in range(4)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets)
    x = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    found = jax.vmap(lambda net: jax.vmap(net)(x))(stacked)
    expected = [ex.evaluate(net, x, np.float32) for net in nets]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (stacked.width, stacked.depth, stacked.input_dim) == (3, 4, 2)


def test_gradients_agree_with_differences():
    with jax.enable_x64(True):
        network, x = random_network(2, (4, 4, 4), 3), jnp.array([0.3, -0.2])
        gradient = jax.grad(lambda net: net(x)[0])(network)
        direction = jax.tree.map(lambda leaf: np.random.default_rng(0).standard_normal(leaf.shape), network)
        step = 1e-6
        moved = [float(jax.tree.map(lambda a, b, t=t: a + t * b, network, direction)(x)[0]) for t in (step, -step)]
        inner = sum(
            float((a * b).sum()) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        )
        # central differences of a piecewise polynomial: error of order step^2 times the third derivative
        assert inner == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-6)


def test_it_is_built_inside_jit():
    @jax.jit
    def value(slope):
        return ex.ReLUNetwork.from_layers([(slope[None, None], jnp.zeros(1)), (jnp.ones((1, 1)), jnp.zeros(1))])(
            jnp.ones(1)
        )[0]

    assert float(value(jnp.float32(3.0))) == 3.0
    assert float(jax.grad(value)(jnp.float32(3.0))) == 1.0


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ([], ValueError, "at least one layer"),
        ([([[1.0]], [0.0]), ([[1.0, 2.0]], [0.0])], ValueError, "Layer 2 reads 2 numbers, but layer 1 writes 1"),
        ([([[1.0]], [0.0, 1.0])], ValueError, r"\(1, 1\) and \(2,\)"),
        ([([1.0], [0.0])], ValueError, r"\(1,\)"),
        ([([[np.nan]], [0.0])], ValueError, "weight of layer 1 is NaN"),
        ([([[1.0]], [np.inf])], ValueError, "bias of layer 1 is NaN or infinite"),
        ([([[1j]], [0.0])], TypeError, "complex128"),
        ([([["a"]], [0.0])], TypeError, "<U1"),
        ([([[None]], [0.0])], TypeError, "object"),
        ([([[1.0], [1.0, 2.0]], [0.0])], ValueError, "not an array"),
        ([np.zeros((3, 3))], ValueError, "pair"),
        ([(np.zeros((0, 2)), np.zeros(0))], ValueError, r"\(0, 2\)"),
    ],
)
def test_bad_layers_are_refused(layers, error, words):
    with pytest.raises(error, match=words):
        ex.ReLUNetwork.from_layers(layers)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 2)])
def test_a_call_reads_one_point(shape):
    with pytest.raises(ValueError, match=r"\(2,\)"):
        random_network(2, (3,), 0)(np.zeros(shape))


def test_only_square_layers_are_stacked():
    with pytest.raises(ValueError, match=r"Only square layers .* 4 layers of shape \(2, 3\)"):
        Block(np.zeros((4, 2, 3)), np.zeros((4, 2)))


def test_blocks_must_fit_and_end_in_an_output_layer():
    square, column = Block(np.zeros((3, 2, 2)), np.zeros((3, 2))), Block(np.zeros((1, 1, 3)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="reads 3 numbers, but block 0 writes 2"):
        ex.ReLUNetwork((square, column))
    with pytest.raises(ValueError, match="last layer"):
        ex.ReLUNetwork((square,))
    with pytest.raises(ValueError, match="at least one layer"):
        ex.ReLUNetwork(())
    with pytest.raises(ValueError, match="NaN"):
        ex.ReLUNetwork.from_stacked(HAT[0], np.full((1, 2, 2), np.nan), np.zeros((1, 2)), HAT[1])
