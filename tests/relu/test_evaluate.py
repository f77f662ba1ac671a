"""The fast path: against a NumPy loop, against rational values, and dense against sparse within the stated bound."""

import inspect
import types

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.relu.gadgets import random_network
from expressivity.relu.program import program


def loop(network, points, dtype=np.float64):
    h = points.astype(dtype)
    layers = list(network.layers)
    for number, (weight, bias) in enumerate(layers):
        h = h @ np.asarray(weight, dtype).T + np.asarray(bias, dtype)
        if number < len(layers) - 1:
            h = np.maximum(h, 0)
    return h


def register_network(layers, width, changed, seed, *, inputs=2, outputs=1, reads=None):
    """A deep network that changes `changed` registers a layer and keeps the others; values stay of order 1."""
    rng = np.random.default_rng(seed)
    weights, biases = np.tile(np.eye(width), (layers, 1, 1)), np.zeros((layers, width))
    for number in range(layers):
        rows = rng.choice(width, changed, replace=False)
        weights[number, rows] = rng.uniform(-1, 1, (changed, width)) / width
        if reads is not None:
            weights[number, rows] *= rng.random((changed, width)) < reads
        biases[number, rows] = rng.uniform(-0.5, 1, changed)
    first = (rng.standard_normal((width, inputs)), rng.standard_normal(width))
    last = (rng.standard_normal((outputs, width)), rng.standard_normal(outputs))
    return ex.ReLUNetwork.from_stacked(first, weights, biases, last)


def points(count, dim, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, dim))


def bound(network, x, dtype):
    return ex.relu.rounding_bound(network, x.min(0), x.max(0), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("widths", [(), (3,), (5, 5), (7, 2, 9), (4,) * 40])
@pytest.mark.parametrize("count", [1, 7, 300])
def test_equals_the_plain_loop_within_the_rounding_bound(dtype, widths, count):
    network, x = random_network(3, widths, 2), points(count, 3).astype(dtype)
    found = ex.evaluate(network, x, dtype)
    assert found.dtype == dtype
    assert found.shape == (count, 1)
    # the loop in float64 has an error of its own, below the same bound
    assert np.abs(found - loop(network, x)).max() <= bound(network, x, dtype) + bound(network, x, np.float64)


@pytest.mark.parametrize("changed", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("reads", [None, 0.4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dense_and_sparse_agree_within_the_rounding_bound(changed, reads, dtype):
    network, x = register_network(200, 6, changed, 3, reads=reads), points(500, 2)
    sparse, dense = (ex.evaluate(network, x, dtype, sparse=way) for way in (True, False))
    allowed = bound(network, x, dtype)
    assert np.abs(dense - loop(network, x)).max() <= allowed + bound(network, x, np.float64)
    assert np.abs(sparse - dense).max() <= 2 * allowed
    assert allowed < 1e4 * np.finfo(dtype).eps  # the bound says something


def test_integer_weights_agree_bit_for_bit():
    rng = np.random.default_rng(5)
    weights, biases = np.tile(np.eye(5), (64, 1, 1)), np.zeros((64, 5))
    for number in range(64):
        row = rng.integers(5)
        weights[number, row] = rng.integers(-1, 2, 5)
        biases[number, row] = rng.integers(-3, 4)
    first, last = (rng.integers(-2, 3, (5, 2)), rng.integers(-2, 3, 5)), (rng.integers(-2, 3, (2, 5)), np.zeros(2))
    network = ex.ReLUNetwork.from_stacked(first, weights, biases, last)
    x = rng.integers(-8, 9, (50, 2)).astype(float)
    exact = [[float(v) for v in ex.relu.evaluate_exactly(network, point)] for point in x.tolist()]
    assert np.abs(exact).max() < 2**53
    assert ex.evaluate(network, x).tolist() == ex.evaluate(network, x, sparse=False).tolist() == exact


def test_one_changed_register_becomes_single_rows():
    network = register_network(1000, 6, 1, 0)
    (_, rows, _) = program(network).steps
    assert len(rows) == 3
    assert rows[1].shape[1:] == (1, 6)
    assert len(rows[0]) <= 1000


def test_two_registers_that_read_each_other_are_written_together():
    network = register_network(1000, 6, 2, 0)
    assert program(network).steps[1][1].shape == (1000, 2, 6)


def test_acyclic_reads_are_serialised_and_dead_values_dropped():
    # A <- A - B; B <- 0 (dead: B is overwritten before it is read), then B <- 1/2
    subtract = ([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0.0, 0.0, 0.0])
    load = ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 1.0]], [0.0, 0.25, 0.0])
    layers = [([[1.0], [1.0], [2.0]], [0.0, 0.0, 0.0]), *[subtract, load] * 20, ([[1.0, 1.0, 1.0]], [0.0])]
    network = ex.ReLUNetwork.from_layers(layers)
    index = program(network).steps[1][0][:, 0]
    assert index.tolist() == [0, 1] * 20
    x = points(20, 1)
    assert ex.evaluate(network, x).tolist() == ex.evaluate(network, x, sparse=False).tolist()


def test_a_swap_of_registers_is_not_serialised():
    swap = ([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0])
    network = ex.ReLUNetwork.from_layers([([[1.0], [2.0]], [0.0, 0.0]), *[swap] * 33, ([[1.0, 0.0]], [0.0])])
    assert ex.evaluate(network, [[1.0], [3.0]])[:, 0].tolist() == [2.0, 6.0]


def test_the_first_layer_keeps_nothing_since_points_may_be_negative():
    keep = (np.eye(2), np.zeros(2))
    network = ex.ReLUNetwork.from_layers([*[keep] * 40, keep])
    assert ex.evaluate(network, [[-1.0, 2.0]]).tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("chunk", [1, 3, 64, 1000])
def test_chunks_do_not_matter(chunk):
    network, x = register_network(100, 5, 2, 1, inputs=3, outputs=2), points(130, 3)
    # the products may be summed in another order for another number of points
    assert np.abs(ex.evaluate(network, x, chunk=chunk) - ex.evaluate(network, x)).max() <= 2 * bound(
        network, x, np.float64
    )


@pytest.mark.parametrize("shape", [(0, 2), (0,)])
def test_no_points_give_no_values(shape):
    network = random_network(2, (3,), 0)
    assert ex.evaluate(network, np.zeros(shape)).shape == (0, 1)


def test_a_network_of_thirty_thousand_layers_and_one_point():
    assert ex.evaluate(ex.identity(3, depth=30_000), [[1.0, -2.0, 3.0]]).tolist() == [[1.0, -2.0, 3.0]]


def test_repeated_calls_trace_once(monkeypatch):
    # the globals of the function itself, whatever wraps it in the tests
    target, traces = inspect.unwrap(ex.evaluate).__globals__, []
    plain = target["_feature_major"]

    def counted(steps, columns):
        traces.append(columns.shape)
        return plain(steps, columns)

    monkeypatch.setitem(target, "_run", jax.jit(counted))
    monkeypatch.setitem(target, "_warm", set())
    network = random_network(2, (11, 13), 0)
    for count in (1000, 1000, 1020, 1024):
        ex.evaluate(network, points(count, 2))
        ex.evaluate(2.0 * network, points(count, 2))
    assert len(traces) == 1


def test_precision_of_jax_is_left_alone():
    before = jax.config.jax_enable_x64
    assert ex.evaluate(random_network(2, (3,), 0), points(3, 2)).dtype == np.float64
    assert jax.config.jax_enable_x64 == before
    with jax.enable_x64(True):
        assert ex.evaluate(random_network(2, (3,), 0), points(3, 2), np.float32).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("count", [5, 3000])
def test_many_networks_at_once_equal_one_after_the_other(dtype, count):
    nets = [random_network(2, (4, 4, 4), seed) for seed in range(6)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *nets)
    x = points(count, 2)
    found = ex.relu.evaluate_many(stacked, x, dtype)
    assert found.shape == (6, count, 1)
    for network, values in zip(nets, found, strict=True):
        assert np.abs(values - ex.evaluate(network, x, dtype)).max() <= 2 * bound(network, x, dtype)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros((4, 3)), ValueError, r"\(4, 3\)"),
        (np.zeros(2), ValueError, r"\(2,\)"),
        ([[0.0, np.nan]], ValueError, "point 0 is .*nan"),
        ([[0.0, 0.0], [np.inf, 0.0]], ValueError, "point 1 is .*inf"),
        ([["a", "b"]], TypeError, "<U1"),
        (np.zeros((1, 2), complex), TypeError, "complex"),
        ([[1.0, 2.0], [3.0]], ValueError, "not an array"),
    ],
)
def test_bad_points_are_refused(x, error, words):
    with pytest.raises(error, match=words):
        ex.evaluate(random_network(2, (3,), 0), x)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, "complex128", "nonsense"])
def test_other_precisions_are_refused(dtype):
    with pytest.raises((TypeError, ValueError), match="float64 or float32"):
        ex.evaluate(random_network(2, (3,), 0), points(2, 2), dtype)


@pytest.mark.parametrize("chunk", [0, -3, 1.5, True])
def test_bad_chunks_are_refused(chunk):
    with pytest.raises(ValueError, match=str(chunk)):
        ex.evaluate(random_network(2, (3,), 0), points(2, 2), chunk=chunk)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="str"):
        ex.evaluate("network", points(2, 2))
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), random_network(2, (3,), 0))
    with pytest.raises(ValueError, match="evaluate_many"):
        ex.evaluate(stacked, points(2, 2))
    with pytest.raises(ValueError, match="nets, layers"):
        ex.relu.evaluate_many(random_network(2, (3,), 0), points(2, 2))
    with pytest.raises(TypeError, match="vmap"):
        jax.jit(lambda x: ex.evaluate(random_network(2, (3,), 0), x))(points(2, 2))


def test_a_construction_is_refused_in_a_precision_coarser_than_its_bound():
    network, x = register_network(300, 6, 1, 3), points(50, 2)
    coarse = bound(network, x.astype(np.float32), np.float32)
    fine = types.SimpleNamespace(network=network, error_bound=coarse / 2)
    rough = types.SimpleNamespace(network=network, error_bound=coarse * 2)
    assert ex.evaluate(rough, x, np.float32).shape == (50, 1)
    assert ex.evaluate(fine, x).shape == (50, 1)
    assert ex.evaluate(network, x, np.float32).shape == (50, 1)
    with pytest.raises(ValueError, match="float32 the values"):
        ex.evaluate(fine, x, np.float32)
