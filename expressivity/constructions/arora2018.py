r"""Arora, Basu, Mianjy and Mukherjee (2018): maxima by trees, and piecewise-linear functions of one variable.

"(k + 1)-layer" in the paper means k hidden layers.
"""

from typing import Any

import numpy as np

from expressivity.relu.network import ReLUNetwork


def maximum(count: int) -> ReLUNetwork:
    r"""$x \mapsto \max_i x_i$ on all of $\mathbb R^n$, n = `count`, by a tree of $\lceil\log_2 n\rceil$ hidden layers.

    $\max(a, b) = \sigma(a - b) + \sigma(b) - \sigma(-b)$: a layer with c numbers has width
    $3\lfloor c/2\rfloor + 2(c \bmod 2)$. Not the least depth known: two hidden layers are enough for five numbers.

    Args:
        count: How many numbers, at least 1 (then an affine map).

    Raises:
        ValueError: If `count` is below 1.

    >>> maximum(5).hidden_widths, float(maximum(3)([-3.0, -1.0, -2.0])[0])
    ((8, 5, 3), -1.0)
    """
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"A count is a whole number, not {count!r}.")
    if count < 1:
        raise ValueError(f"A maximum is taken of at least 1 number; got {count}.")
    layers, read = [], np.eye(count)  # the numbers in terms of the units before
    pair, carry = np.array([[1.0, -1.0], [0.0, 1.0], [0.0, -1.0]]), np.array([[1.0], [-1.0]])
    while len(read) > 1:
        c = len(read)
        inner = np.zeros((3 * (c // 2) + 2 * (c % 2), c))
        outer = np.zeros((c // 2 + c % 2, len(inner)))
        for i in range(c // 2):
            inner[3 * i : 3 * i + 3, 2 * i : 2 * i + 2] = pair
            outer[i, 3 * i : 3 * i + 3] = 1.0, 1.0, -1.0
        if c % 2:
            inner[-2:, -1:] = carry
            outer[-1, -2:] = 1.0, -1.0
        layers.append((inner @ read, np.zeros(len(inner))))
        read = outer
    return ReLUNetwork.from_layers([*layers, (read, np.zeros(1))])


def sufficient_hidden_layers(n: int) -> int:
    r"""$\lceil\log_2(n + 1)\rceil$: hidden layers that are enough for every piecewise-linear function on $\mathbb R^n$.

    n is the input dimension. An upper bound (Theorem 2.1), not a lower one; later work needs fewer from n = 4 on.

    Raises:
        ValueError: If n is below 1.

    >>> [sufficient_hidden_layers(n) for n in (2, 4, 7)]
    [2, 3, 3]
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"An input dimension is a whole number, not {n!r}.")
    if n < 1:
        raise ValueError(f"An input dimension is at least 1; got {n}.")
    return int(n).bit_length()


def piecewise_linear(knots: Any, values: Any, left_slope: float = 0.0, right_slope: float = 0.0) -> ReLUNetwork:
    r"""The continuous function on R that is linear between the knots, with one hidden layer (Theorem 2.2).

    A function of p pieces (p - 1 knots) takes at most p units, one fewer if `left_slope` is 0; p - 1 are necessary.

    Args:
        knots: Increasing, at least 1.
        values: At the knots.
        left_slope, right_slope: Slopes outside.

    Raises:
        ValueError: If knots do not increase or shapes do not fit.

    >>> hat = piecewise_linear([0.0, 1.0, 2.0], [0.0, 1.0, 0.0])
    >>> hat.width, float(hat([0.5])[0]), float(hat([5.0])[0])
    (3, 0.5, 0.0)
    """
    t, v = np.asarray(knots, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or not len(t) or v.shape != t.shape or not np.all(np.diff(t) > 0):
        raise ValueError(f"A piecewise-linear function has increasing knots with a value each; got {knots}, {values}.")
    slopes = np.concatenate([np.diff(v) / np.diff(t), [right_slope]])
    jumps = np.diff(np.concatenate([[0.0], slopes]))
    used = jumps != 0
    weight, bias, out = np.ones(used.sum()), -t[used], jumps[used]
    if left_slope != 0:
        weight, bias, out = np.append(weight, -1.0), np.append(bias, t[0]), np.append(out, -left_slope)
    if not len(out):
        return ReLUNetwork.from_layers([(np.zeros((1, 1)), v[:1])])
    return ReLUNetwork.from_layers([(weight[:, None], bias), (out[None], v[:1])])
