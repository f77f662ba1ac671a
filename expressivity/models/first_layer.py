"""The convolution of images, in the layout (channels, height, width, batch): few inputs, many pixels, and a bias.

What the window sees has 27 rows for RGB and 3 x 3, against tens of thousands of columns, and three things are faster
than in `channel_products.dense` (measured on two cores with 16 to 64 outputs; with 8 it is slower): the bias is
one more row of the kernel, and what the window sees one of ones, so that no pass over the result adds it and none sums
its gradient; the transpose of the kernel is copied; and the gradient of the kernel, a product of two long factors which
one thread would compute, is one product for every eight outputs, computed side by side.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax

from expressivity.models import channel_products as products
from expressivity.models.channel_products import Window

# Rows of what the window sees up to which this way is taken.
_ROWS = 128
# Outputs from which on it is taken.
_OUTPUTS = 16
# Outputs in one product of the gradient: as many as numbers in a register.
_TOGETHER = 8
# The rows of the longer factor of a product are taken four at a time.
_MULTIPLE = 4


def saves_time(x: Any, kernel: Any) -> bool:
    """Whether `dense` takes the place of the plain sum: images have up to four channels."""
    small = x.shape[0] <= 4 and kernel.shape[0] <= _ROWS
    return small and kernel.shape[1] >= _OUTPUTS and x.dtype in (jnp.float32, jnp.float64)


def _forward(window: Window, x: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
    more = _MULTIPLE - len(kernel) % _MULTIPLE  # the first of these rows is that of the bias
    columns = products.columns(window, x, more)
    rows = jnp.concatenate([kernel.T, bias[:, None], jnp.zeros((kernel.shape[1], more - 1), x.dtype)], 1)
    y = lax.optimization_barrier(rows) @ columns
    return y.reshape(-1, *window.out, x.shape[3]), (columns, kernel)


def _backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any, Any]:
    columns, kernel = saved
    flat = dy.reshape(dy.shape[0], -1)
    parts = [lax.optimization_barrier(flat[i : i + _TOGETHER]) for i in range(0, len(flat), _TOGETHER)]
    gradient = jnp.concatenate([columns @ part.T for part in parts], 1)
    size = kernel.shape[0]
    return products.image_gradient(window, kernel, dy), gradient[:size], gradient[size]


@products.with_gradient(_forward, _backward)
def dense(window: Window, x: Any, kernel: Any, bias: Any) -> Any:
    """The convolution of `x` (inputs, height, width, batch) with `kernel` (places x inputs, outputs), plus `bias`."""
    return _forward(window, x, kernel, bias)[0]
