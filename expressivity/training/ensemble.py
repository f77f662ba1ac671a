"""Many networks of one shape as one: their weights stacked, their loss, and its gradient."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.relu.network import ReLUNetwork

# ((W, b) of the first layer, (W, b) of the hidden layers after it, (W, b) of the last layer); for S networks of width
# w with L + 1 hidden layers from n to m numbers the shapes are (S, w, n), (S, w); (S, L, w, w), (S, L, w); (S, m, w),
# (S, m).
Parameters = tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]


def pack(networks: Sequence[ReLUNetwork], width: int, dtype: Any) -> Parameters:
    """The weights of networks of one depth, narrower ones padded by zeros to `width`: NumPy arrays."""
    n, m, layers = networks[0].input_dim, networks[0].output_dim, networks[0].hidden_layers - 1
    count = len(networks)
    shapes = ((width, n), (width,)), ((layers, width, width), (layers, width)), ((m, width), (m,))
    packed: Any = tuple(tuple(np.zeros((count, *shape), dtype) for shape in pair) for pair in shapes)
    for number, network in enumerate(networks):
        (w0, b0), *hidden, (w1, b1) = network.layers
        units = w0.shape[0]
        packed[0][0][number, :units] = w0
        packed[0][1][number, :units] = b0
        for layer, (w, b) in enumerate(hidden):
            packed[1][0][number, layer, : w.shape[0], : w.shape[1]] = w
            packed[1][1][number, layer, : w.shape[0]] = b
        packed[2][0][number, :, : w1.shape[1]] = w1
        packed[2][1][number] = b1
    return packed


def unpack(parameters: Parameters, number: int, width: int) -> ReLUNetwork:
    """Network `number` of an ensemble, cut back to its own width."""
    (w0, b0), (w, b), (w1, b1) = jax.tree.map(lambda leaf: np.asarray(leaf[number]), parameters)
    return ReLUNetwork.from_stacked((w0[:width], b0[:width]), w[:, :width, :width], b[:, :width], (w1[:, :width], b1))


def predict(parameters: Parameters, x: Any) -> jax.Array:
    """The outputs (S, m, batch) at shared inputs `x` (n, batch), by the plain formulas."""
    (w0, b0), (w, b), (w1, b1) = parameters
    h = jax.nn.relu(w0 @ x[None] + b0[..., None])
    for layer in range(w.shape[1]):
        h = jax.nn.relu(w[:, layer] @ h + b[:, layer, :, None])
    return w1 @ h + b1[..., None]


def losses(parameters: Parameters, x: Any, y: Any) -> jax.Array:
    """The mean squared error of each network, shape (S,), for inputs (n, batch) and outputs (m, batch)."""
    return jnp.mean((predict(parameters, x) - y[None]) ** 2, axis=(1, 2))


def value_and_gradient(parameters: Parameters, x: Any, y: Any) -> tuple[jax.Array, Parameters]:
    """`losses` and the gradient of each network's own loss."""
    total, gradient = jax.value_and_grad(lambda p: jnp.sum(losses(p, x, y)))(parameters)
    del total
    return losses(parameters, x, y), gradient
