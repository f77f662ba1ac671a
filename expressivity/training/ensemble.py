"""Many networks of one shape as one: their weights stacked, their losses, and the gradients of these."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.relu.network import ReLUNetwork

# ((W, b) of the first layer, (W, b) of the hidden layers after it, (W, b) of the last layer). For S networks of width
# w with L + 1 hidden layers from n to m numbers the shapes are (S, w, n), (S, w); (L, S, w, w), (L, S, w); (S, m, w),
# (S, m). Layers come before networks in the middle, so that the weights of one layer lie together.
Parameters = tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]


def shapes(nets: int, inputs: int, outputs: int, width: int, hidden_layers: int) -> Any:
    """The shapes of `Parameters`."""
    s, n, m, w, layers = nets, inputs, outputs, width, hidden_layers - 1
    return ((s, w, n), (s, w)), ((layers, s, w, w), (layers, s, w)), ((s, m, w), (s, m))


def pack(networks: Sequence[ReLUNetwork], width: int, dtype: Any) -> Parameters:
    """The weights of networks of one depth, as NumPy arrays; narrower ones are padded by zeros to `width`."""
    one = networks[0]
    pairs = shapes(len(networks), one.input_dim, one.output_dim, width, one.hidden_layers)
    packed: Any = tuple(tuple(np.zeros(shape, dtype) for shape in pair) for pair in pairs)
    for number, network in enumerate(networks):
        (w0, b0), *hidden, (w1, b1) = network.layers
        packed[0][0][number, : w0.shape[0]] = w0
        packed[0][1][number, : w0.shape[0]] = b0
        for layer, (w, b) in enumerate(hidden):
            packed[1][0][layer, number, : w.shape[0], : w.shape[1]] = w
            packed[1][1][layer, number, : w.shape[0]] = b
        packed[2][0][number, :, : w1.shape[1]] = w1
        packed[2][1][number] = b1
    return packed


def net_first(parameters: Any) -> Any:
    """The same arrays with the networks along the leading axis of each."""
    first, middle, last = parameters
    return first, jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), middle), last


layer_first = net_first  # swapping two axes is its own inverse


def unpack(parameters: Parameters, number: int, width: int) -> ReLUNetwork:
    """Network `number` of an ensemble, cut back to its own width."""
    (w0, b0), (w, b), (w1, b1) = jax.tree.map(lambda leaf: np.array(leaf[number]), net_first(parameters))
    return ReLUNetwork.from_stacked((w0[:width], b0[:width]), w[:, :width, :width], b[:, :width], (w1[:, :width], b1))


def padding_is_zero(parameters: Parameters, widths: Sequence[int]) -> bool:
    """Whether every weight outside a network's own width is exactly 0."""
    (w0, b0), (w, b), (w1, _) = jax.tree.map(np.asarray, net_first(parameters))
    for number, width in enumerate(widths):
        outside = w0[number, width:], b0[number, width:], w[number, :, width:], w[number, :, :, width:]
        if any(np.any(leaf) for leaf in (*outside, b[number, :, width:], w1[number, :, width:])):
            return False
    return True


def outputs(parameters: Parameters, x: Any) -> jax.Array:
    """What each network gives, shape (S, m, batch), for inputs (n, batch)."""
    (w0, b0), (w, b), (w1, b1) = parameters
    h = jax.nn.relu(w0 @ x[None] + b0[..., None])
    for layer in range(w.shape[0]):
        h = jax.nn.relu(w[layer] @ h + b[layer][..., None])
    return w1 @ h + b1[..., None]


def losses(parameters: Parameters, x: Any, y: Any) -> jax.Array:
    """The mean squared error of each network, shape (S,), for inputs (n, batch) and outputs (m, batch).

    The plain formulas; training uses `losses_and_gradients`.
    """
    return jnp.mean((outputs(parameters, x) - y[None]) ** 2, axis=(1, 2))


def losses_and_gradients(parameters: Parameters, x: Any, y: Any) -> tuple[jax.Array, Parameters]:
    r"""`losses`, and the gradient of each network's own loss.

    With $h_l = \sigma(W_l h_{l-1} + b_l)$ and $\delta_l$ the derivative by the argument of $\sigma$,
    $\partial W_l = \delta_l h_{l-1}^T$, $\partial b_l = \delta_l \mathbf 1$ and
    $\delta_{l-1} = (W_l^T \delta_l) \odot [h_{l-1} > 0]$. Units run along the rows and points along the columns, which
    is the long axis, so every product is a wide one; the mask comes from the saved output, the sum over points is a
    product with ones, and the transposed weights are copied first. (The derivative of the ReLU at 0 is 0.)
    """
    (w0, b0), (w, b), (w1, b1) = parameters
    nets, width, inputs = w0.shape
    # one product for the first layers of all networks, which share their input
    z = (w0.reshape(nets * width, inputs) @ x).reshape(nets, width, -1) + b0[..., None]
    outputs = [jnp.maximum(z, 0)]
    for layer in range(w.shape[0]):
        outputs.append(jnp.maximum(w[layer] @ outputs[-1] + b[layer][..., None], 0))
    residual = w1 @ outputs[-1] + b1[..., None] - y[None]
    delta = residual * (2.0 / (residual.shape[1] * residual.shape[2]))
    last = _outer(delta, outputs[-1]), _row_sums(delta)
    weight, middle = w1, []
    for layer in reversed(range(w.shape[0])):
        delta = _through(weight, delta, outputs[layer + 1])
        middle.append((_outer(delta, outputs[layer]), _row_sums(delta)))
        weight = w[layer]
    delta = _through(weight, delta, outputs[0])
    first = (delta.reshape(nets * width, -1) @ x.T).reshape(nets, width, inputs), _row_sums(delta)
    stacked = (w, b)
    if middle:
        weights, biases = zip(*reversed(middle), strict=True)
        stacked = jnp.stack(weights), jnp.stack(biases)
    return jnp.mean(residual**2, axis=(1, 2)), (first, stacked, last)


def _outer(delta: Any, h: Any) -> Any:
    return jnp.einsum("sob,sib->soi", delta, h)


def _row_sums(delta: Any) -> Any:
    return (delta.reshape(-1, delta.shape[-1]) @ jnp.ones(delta.shape[-1], delta.dtype)).reshape(delta.shape[:-1])


def _through(weight: Any, delta: Any, h: Any) -> Any:
    transposed = jax.lax.optimization_barrier(weight.swapaxes(1, 2))
    # a single output needs no sum over outputs
    back = transposed * delta if delta.shape[1] == 1 else transposed @ delta
    return jnp.where(h > 0, back, 0)
