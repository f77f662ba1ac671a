"""Convolutions of 3 x 3 at stride 1 with fewer multiplications, in the layout (channels, height, width, batch).

Two neighbouring outputs of a filter with three taps need four products, not six: with inputs x_0 .. x_3 and taps
w_0, w_1, w_2,

    y_0 = m_0 + m_1 + m_2,    m_0 = (x_0 - x_2) w_0,    m_1 = (x_1 + x_2) (w_0 + w_1 + w_2) / 2,
    y_1 = m_1 - m_2 - m_3,    m_3 = (x_1 - x_3) w_2,    m_2 = (x_2 - x_1) (w_0 - w_1 + w_2) / 2

(S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016). The filter runs down the image, over pairs of rows, where every sum is one of whole rows;
the three taps across are inputs of the same matrix product. That is 2/3 of the multiplications, forward and in both
gradients, and 2/3 of the memory of the plain sum. Filtering in both directions would take 4/9, but four times as many
operations, each of which is compiled.

The numbers are those of `channel_products.dense` up to rounding: in float32 the root mean square error of the result
and of both gradients grows less than twofold.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax

from expressivity.models.channel_products import Window, phases, with_gradient
from expressivity.models.winograd import combined, shifted, turned

# The four sums of rows, and what each of the two outputs adds of their products.
INPUTS = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OUTPUTS = ((1, 1, 1, 0), (0, 1, -1, -1))


def saves_time(window: Window, x: Any, kernel: Any) -> bool:
    """Whether `dense` can compute the convolution, and is faster than the plain sum (measured on two cores)."""
    pixels = window.out[0] * window.out[1] * x.shape[-1]
    return (
        (window.kernel, window.stride) == (3, 1)
        and window.out[0] % 2 == 0
        and min(x.shape[0], kernel.shape[1]) >= 32
        and pixels >= 2048
        and x.dtype in (jnp.float32, jnp.float64)
    )


def _forward(window: Window, x: Any, kernel: Any) -> tuple[Any, Any]:
    height, width = window.out
    first, second, third = kernel.reshape(3, -1, kernel.shape[1])
    middle = first + third
    weights = jnp.stack([first, (middle + second) / 2, (middle - second) / 2, third])
    weights = lax.optimization_barrier(weights)  # (4, 3 x inputs, outputs)
    products = lax.dot_general(weights, _columns(window, x), (((1,), (1,)), ((0,), (0,))))
    products = products.reshape(4, -1, height // 2, width, x.shape[3])
    y = jnp.stack([combined(signs, list(products)) for signs in OUTPUTS], 2)
    return y.reshape(-1, height, width, x.shape[3]), (x, weights)


def _columns(window: Window, x: Any) -> Any:
    """The sums of rows at the three places of the window across: (4, 3 x inputs, pairs of rows x width x batch)."""
    height, width = window.out
    pairs = phases(window, x).reshape(x.shape[0], height // 2 + 1, 2, width + 2, x.shape[3])
    rows = [pairs[:, i // 2 : i // 2 + height // 2, i % 2] for i in range(4)]
    sums = lax.optimization_barrier(jnp.stack([combined(signs, rows) for signs in INPUTS]))
    return jnp.concatenate([sums[:, :, :, j : j + width] for j in range(3)], 1).reshape(4, 3 * x.shape[0], -1)


def _backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any]:
    x, weights = saved
    # made again, not kept: that takes no longer than to read them from memory; the barrier keeps the two apart
    x, dy = lax.optimization_barrier((x, dy))
    outputs, height, width, batch = dy.shape
    pairs = dy.reshape(outputs, height // 2, 2, width, batch)
    parts = jnp.stack([combined(signs, [pairs[:, :, 0], pairs[:, :, 1]]) for signs in turned(OUTPUTS)])
    parts = lax.optimization_barrier(parts.reshape(4, outputs, -1))
    first, plus, minus, third = lax.optimization_barrier(_columns(window, x) @ parts.swapaxes(1, 2))
    middle = (plus + minus) / 2
    gradient = jnp.concatenate([first + middle, (plus - minus) / 2, middle + third])
    back = lax.optimization_barrier(weights @ parts).reshape(4, 3, x.shape[0], height // 2, width, batch)
    return _placed(window, back), gradient


@with_gradient(_forward, _backward)
def dense(window: Window, x: Any, kernel: Any) -> Any:
    """The convolution of `x` (inputs, height, width, batch) with `kernel` (9 x inputs, outputs).

    The window is 3 x 3 at stride 1, and the height of the result is even.
    """
    return _forward(window, x, kernel)[0]


def _placed(window: Window, back: Any) -> Any:
    """The gradient of the image from that of the sums of rows at each place across."""
    tile = Window(4, 2, window.sizes, window.before, (window.out[0] // 2, window.out[1]))
    high, wide = -(-window.sizes[0] // 2), window.sizes[1]
    columns = turned(INPUTS)

    def added(phase: int) -> Any:
        """Rows 2 q + phase of the image."""
        terms = []
        for shift in tile.shifts(0):
            place = tile.place(0, phase, shift)
            if 0 <= place < 4:
                terms.append(shifted(combined(columns[place], list(back)), 2, shift, high))
        rows = sum(terms[1:], terms[0])
        return sum(shifted(rows[j], 2, window.before[1] - j, wide) for j in range(3))

    image = jnp.stack([added(0), added(1)], 2).reshape(-1, 2 * high, wide, back.shape[-1])
    return image[:, : window.sizes[0]]
