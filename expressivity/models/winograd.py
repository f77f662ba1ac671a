"""Convolutions of 3 x 3 at stride 2 with fewer multiplications, in the layout (channels, height, width, batch).

Two neighbouring outputs of a filter with three taps at stride 2 need five products, not six: with inputs x_0 .. x_4 and
taps w_0, w_1, w_2,

    y_0 = (x_0 - x_2) w_0 + x_1 w_1 + x_2 (w_0 + w_2)
    y_1 = (x_4 - x_2) w_2 + x_3 w_1 + x_2 (w_0 + w_2),

since the even taps are a filter of two taps at stride 1, for which two outputs take three products, not four
(S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016, for images). In two dimensions a tile of 2 x 2 outputs takes 25 products, not 36, forward
and in both gradients, and 25 sums of inputs are kept for the backward pass instead of 36 inputs. Products that enter
the same outputs are one matrix product over all of their inputs.

The numbers are those of `channel_products.dense` up to rounding: in float32 the root mean square error of the result
and of both gradients grows less than twofold.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from expressivity.models.channel_products import Window, added, joined, outer, phases, taps, with_gradient

Grid = list[list[Any]]

# Along one axis: the five sums of inputs, the five sums of taps they are multiplied by, and the groups of products that
# enter the first output, both outputs, and the second.
INPUTS = ((1, 0, -1, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, -1, 0, 1), (0, 0, 0, 1, 0))
TAPS = ((1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (0, 1, 0))
GROUPS = ((0, 1), (2,), (3, 4))
OUTPUTS = ((1, 1, 0), (0, 1, 1))


def saves_time(window: Window, x: Any, kernel: Any) -> bool:
    """Whether `dense` can compute the convolution, and is faster than the plain sum (measured on two cores)."""
    pixels = window.out[0] * window.out[1] * x.shape[-1]
    return (
        (window.kernel, window.stride) == (3, 2)
        and window.out[0] % 2 == window.out[1] % 2 == 0
        and min(x.shape[0], kernel.shape[1]) >= 64
        and pixels >= 2048
        and x.dtype in (jnp.float32, jnp.float64)
    )


def _forward(window: Window, x: Any, kernel: Any) -> tuple[Any, Any]:
    square = kernel.reshape(3, 3, x.shape[0], -1)
    tile = _tile(window)
    seen = taps(tile, phases(tile, x))
    columns = _stacked(_both(INPUTS, [seen[5 * i : 5 * i + 5] for i in range(5)]))
    weights = _stacked(_both(TAPS, [[square[i, j] for j in range(3)] for i in range(3)]))
    height, width = window.out
    products = [
        (lax.optimization_barrier(weight.T) @ column).reshape(-1, height // 2, width // 2, x.shape[3])
        for weight, column in zip(weights, columns, strict=True)
    ]
    y = _both(OUTPUTS, [products[:3], products[3:6], products[6:]])
    return _woven(y).reshape(-1, height, width, x.shape[3]), (columns, weights)


def _backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any]:
    columns, weights = saved
    outputs, height, width, batch = dy.shape
    flat = [part.reshape(outputs, -1) for part in _sums_of_outputs(dy)]
    gradients = [outer(column, part) for column, part in zip(columns, flat, strict=True)]
    back = [lax.optimization_barrier(weight @ part) for weight, part in zip(weights, flat, strict=True)]
    inputs = weights[0].shape[0] // len(GROUPS[0]) ** 2
    taps = _both(turned(TAPS), _parted(gradients, (inputs, outputs)))
    image = _placed(window, _parted(back, (inputs, height // 2, width // 2, batch)))
    return image, jnp.stack([tap for row in taps for tap in row]).reshape(-1, outputs)


@with_gradient(_forward, _backward)
def dense(window: Window, x: Any, kernel: Any) -> Any:
    """The convolution of `x` (inputs, height, width, batch) with `kernel` (9 x inputs, outputs).

    The window is 3 x 3 at stride 2, and both sizes of the result are even.
    """
    return _forward(window, x, kernel)[0]


def combined(factors: Sequence[float], arrays: Sequence[Any]) -> Any:
    """The sum of factors[i] arrays[i]; not all of the factors are 0."""
    terms = [array if factor == 1 else factor * array for factor, array in zip(factors, arrays, strict=True) if factor]
    return functools.reduce(operator.add, terms)


def _both(table: Sequence[Sequence[int]], grid: Grid) -> Grid:
    """table @ grid @ table.T"""
    rows = [[combined(signs, column) for column in zip(*grid, strict=True)] for signs in table]
    return [[combined(signs, row) for signs in table] for row in rows]


def turned(table: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The transposed table."""
    return list(zip(*table, strict=True))


def _sums_of_outputs(dy: Any) -> list[Any]:
    """For each pair of groups of products, the sum of the outputs of a tile that they enter, as a product enters all.

    In one loop, since nine loops would each read the gradient and take the change of shape that follows into them,
    which costs more than the sums (measured on one core and on two).
    """
    outputs, height, width, batch = dy.shape
    split = dy.reshape(outputs, height // 2, 2, width // 2, 2, batch)
    row, column = (lax.broadcasted_iota(jnp.int32, split.shape, axis) for axis in (2, 4))

    def entered(group: int, number: Any, x: Any) -> Any:
        into = [output for output in range(2) if OUTPUTS[output][group]]
        return x if len(into) == 2 else jnp.where(number == into[0], x, 0)

    terms = [entered(down, row, entered(across, column, split)) for down in range(3) for across in range(3)]
    return added(terms, (2, 4))


def _tile(window: Window) -> Window:
    """The window that a tile of 2 x 2 outputs sees."""
    return Window(5, 4, window.sizes, window.before, (window.out[0] // 2, window.out[1] // 2))


def _stacked(grid: Grid) -> list[Any]:
    """For each pair of groups, its arrays one after the other: (members x channels, the rest).

    They are joined in the shape in which they are computed, which is faster (measured on two cores).
    """
    groups = [[grid[i][j] for i in down for j in across] for down in GROUPS for across in GROUPS]
    arrays = [jnp.concatenate(members) for members in groups]
    return [array.reshape(len(array), -1) for array in arrays]


def _parted(joined: Sequence[Any], shape: tuple[int, ...]) -> Grid:
    """The grid of arrays of a shape from the arrays of `_stacked`."""
    grid: Grid = [[None] * 5 for _ in range(5)]
    rest = iter(joined)
    for down in GROUPS:
        for across in GROUPS:
            parts = next(rest).reshape(len(down) * len(across), *shape)
            for number, (i, j) in enumerate((i, j) for i in down for j in across):
                grid[i][j] = parts[number]
    return grid


def _woven(grid: Grid) -> Any:
    """(i, j) -> (channels, down, across, batch) as (channels, down, i, across, j, batch)."""
    return jnp.stack([jnp.stack(row, 3) for row in grid], 2)


def _placed(window: Window, products: Grid) -> Any:
    """The gradient of the image from that of the sums of inputs: every sum is added back to what it was made of."""
    tile, columns = _tile(window), turned(INPUTS)
    counts = [-(-size // tile.stride) for size in window.sizes]

    def placed(arrays: Sequence[Any], phase: int, axis: int) -> Any:
        signs, moved = [], []
        for shift in tile.shifts(axis):
            place = tile.place(axis, phase, shift)
            for sign, array in zip(columns[place] if 0 <= place < 5 else (), arrays, strict=False):
                if sign:
                    signs.append(sign)
                    moved.append(shifted(array, axis + 1, shift, counts[axis]))
        return lax.optimization_barrier(combined(signs, moved))

    rows = [[placed(line, phase, 0) for line in zip(*products, strict=True)] for phase in range(tile.stride)]
    return joined(tile, _woven([[placed(row, phase, 1) for phase in range(tile.stride)] for row in rows]))


def shifted(x: Any, axis: int, by: int, length: int) -> Any:
    """Entry t + by of `x` along the axis for t < length, 0 outside."""
    steps = [(0, 0, 0)] * x.ndim
    steps[axis] = (-by, length + by - x.shape[axis], 0)
    return lax.pad(x, jnp.zeros((), x.dtype), steps)
