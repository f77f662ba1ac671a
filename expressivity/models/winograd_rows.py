"""Convolutions of 3 x 3 at stride 1 with fewer multiplications, in the layout (channels, height, width, batch).

The product of a polynomial of degree m - 1 and one of degree 2 takes m + 2 multiplications: it is determined by its
values at m + 2 points, one of which may be infinity. Transposed, m neighbouring outputs of a filter with three taps
take m + 2 multiplications, not 3 m:

    y = A ((G w) * (B x)),

where * is entry by entry. Column p of A holds the powers of the p-th point (at infinity, 1 in the last row), row p of G
the value of w at it, divided by its differences from the other points, and row p of B the coefficients of the
polynomial that vanishes at the other points (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and
S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). The filter runs down the image, over m rows at a
time, where every sum is one of whole rows; the three taps across are inputs of the same matrix product. With m = 4 that
is half of the multiplications, forward and in both gradients, and half of the memory of the plain sum, with m = 2 two
thirds of both. Filtering in both directions would take a quarter, but six times as many operations, each of which is
compiled.

The numbers are those of `channel_products.dense` up to rounding: in float32 the root mean square error of the result
and of both gradients grows less than threefold with m = 4, at the points 0, ±3/4, ±3/2, and less than twofold with
m = 2, at 0, ±1. (Of eight sets of points that were tried for m = 4 these gave the smallest errors.)
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from expressivity.models.channel_products import Window, phases, with_gradient
from expressivity.models.winograd import combined, shifted, turned

Table = list[list[float]]


class Filtering(NamedTuple):
    """y = outputs @ ((taps @ w) * (inputs @ x)) for the three taps w, the rows x, and y_i = the sum of w_j x_(i+j)."""

    outputs: Table
    taps: Table
    inputs: Table

    @property
    def rows(self) -> int:
        """How many outputs there are."""
        return len(self.outputs)

    @classmethod
    def at(cls, *points: float) -> "Filtering":
        """One output fewer than points, of which one more is at infinity (A. L. Toom 1963, S. A. Cook 1966).

        Raises:
            ZeroDivisionError: If two points are the same.

        >>> Filtering.at(0, 1, -1).inputs
        [[-1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]]
        """
        outputs = len(points) - 1
        powers = np.vander(points, outputs, increasing=True).T
        taps, inputs = [], []
        for number, point in enumerate(points):
            others = [*points[:number], *points[number + 1 :]]
            scale = math.prod(point - other for other in others)
            taps.append([point**j / scale for j in range(3)])
            inputs.append([*_with_zeros_at(others), 0.0])
        return cls(
            [[*row, float(i == outputs - 1)] for i, row in enumerate(powers.tolist())],
            [*taps, [0.0, 0.0, 1.0]],
            [*inputs, _with_zeros_at(points)],
        )


def _with_zeros_at(points: Sequence[float]) -> list[float]:
    """The coefficients of the polynomial with these zeros and leading coefficient 1, from the lowest on."""
    return (np.polynomial.polynomial.polyfromroots(points) + 0.0).tolist()  # no -0.0


TWO = Filtering.at(0, 1, -1)
FOUR = Filtering.at(0, 0.75, -0.75, 1.5, -1.5)  # all of `outputs` and `inputs` are exact in float32


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


def _filtering(window: Window) -> Filtering:
    return FOUR if window.out[0] % FOUR.rows == 0 else TWO


def _forward(window: Window, x: Any, kernel: Any) -> tuple[Any, Any]:
    (height, width), filtering = window.out, _filtering(window)
    taps = list(kernel.reshape(3, -1, kernel.shape[1]))
    weights = lax.optimization_barrier(jnp.stack([combined(row, taps) for row in filtering.taps]))
    # (points, 3 x inputs, outputs) and (points, 3 x inputs, tiles x width x batch)
    products = lax.dot_general(weights, _columns(window, x), (((1,), (1,)), ((0,), (0,))))
    products = list(products.reshape(len(weights), -1, height // filtering.rows, width, x.shape[3]))
    y = jnp.stack([combined(row, products) for row in filtering.outputs], 2)
    return y.reshape(-1, height, width, x.shape[3]), (x, weights)


def _columns(window: Window, x: Any) -> Any:
    """The sums of rows at the three places of the window across: (points, 3 x inputs, tiles x width x batch)."""
    (height, width), filtering = window.out, _filtering(window)
    padded, m = phases(window, x)[:, :, 0, :, 0], filtering.rows
    rows = [padded[:, i : i + height - m + 1 : m] for i in range(m + 2)]
    sums = lax.optimization_barrier(jnp.stack([combined(row, rows) for row in filtering.inputs]))
    across = jnp.concatenate([sums[:, :, :, j : j + width] for j in range(3)], 1)
    return across.reshape(m + 2, 3 * x.shape[0], -1)


def _backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any]:
    x, weights = saved
    filtering = _filtering(window)
    m = filtering.rows
    # made again, not kept: that takes no longer than to read them from memory; the barrier keeps the two apart
    x, dy = lax.optimization_barrier((x, dy))
    outputs, height, width, batch = dy.shape
    split = dy.reshape(outputs, height // m, m, width, batch)
    rows = [split[:, :, i] for i in range(m)]
    parts = jnp.stack([combined(row, rows) for row in turned(filtering.outputs)])
    parts = lax.optimization_barrier(parts.reshape(m + 2, outputs, -1))
    sums = list(lax.optimization_barrier(_columns(window, x) @ parts.swapaxes(1, 2)))
    gradient = jnp.concatenate([combined(row, sums) for row in turned(filtering.taps)])
    back = lax.optimization_barrier(weights @ parts).reshape(m + 2, 3, x.shape[0], height // m, width, batch)
    return _placed(window, back), gradient


@with_gradient(_forward, _backward)
def dense(window: Window, x: Any, kernel: Any) -> Any:
    """The convolution of `x` (inputs, height, width, batch) with `kernel` (9 x inputs, outputs).

    The window is 3 x 3 at stride 1, and the height of the result is even.
    """
    return _forward(window, x, kernel)[0]


def _placed(window: Window, back: Any) -> Any:
    """The gradient of the image from that of the sums of rows at each place across."""
    filtering = _filtering(window)
    m, columns = filtering.rows, turned(filtering.inputs)
    tile = Window(m + 2, m, window.sizes, window.before, (window.out[0] // m, window.out[1]))
    high, wide = -(-window.sizes[0] // m), window.sizes[1]

    def added(phase: int) -> Any:
        """Rows m q + phase of the image."""
        terms = []
        for shift in tile.shifts(0):
            place = tile.place(0, phase, shift)
            if 0 <= place < m + 2:
                terms.append(shifted(combined(columns[place], list(back)), 2, shift, high))
        rows = sum(terms[1:], terms[0])
        return sum(shifted(rows[j], 2, window.before[1] - j, wide) for j in range(3))

    image = jnp.stack([added(phase) for phase in range(m)], 2).reshape(-1, m * high, wide, back.shape[-1])
    return image[:, : window.sizes[0]]
