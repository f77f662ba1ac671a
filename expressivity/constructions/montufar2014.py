r"""Montufar, Pascanu, Cho and Bengio (2014): folding maps, whose pieces multiply layer by layer.

`zigzag` attains the largest number of pieces on a line, $\prod(n_l + 1)$ (serra2018, Theorem 5). These counts are about
the best choice of weights; a network at hand usually has far fewer pieces.
"""

import math
from collections.abc import Sequence

import numpy as np

from expressivity.relu.network import ReLUNetwork


def fold(units: int, layers: int) -> ReLUNetwork:
    r"""The L-fold composition of the map that folds [0, 1] p times onto itself: $p^L$ pieces on [0, 1].

    $x \mapsto p\,\sigma(x) + 2p \sum_{j=1}^{p-1} (-1)^j \sigma(x - j/p)$.

    Args:
        units: p, the width.
        layers: L, the hidden layers.

    Raises:
        ValueError: If a number is below 1.

    >>> round(float(fold(2, 3)([0.37])[0]), 6), fold(2, 3).hidden_widths
    (0.96, (2, 2, 2))
    """
    p = _whole(units, "units", 1)
    j = np.arange(p)
    output = np.where(j == 0, 1.0, 2.0 * (-1.0) ** j) * p
    return _iterated(np.ones(p), -j / p, output, 0.0, _whole(layers, "layers", 1))


def zigzag(width: int, layers: int) -> ReLUNetwork:
    r"""A network of width n with L hidden layers and $(n + 1)^L$ pieces on [0, 1], the most there can be.

    With $s = n + 1/2$ and knots $t_i = (1/2 + i)/s$, the map climbs with slope 2 s over the first half cell and zigzags
    with slopes of $\pm s$ after it, onto [0, 1]. One unit faces left, so that no piece is wasted on a constant.

    Args:
        width: n, at least 3.
        layers: L, at least 1.

    Raises:
        ValueError: If `width` is below 3 or `layers` below 1.

    >>> round(float(zigzag(3, 2)([0.37])[0]), 4)
    0.7825
    """
    n = _whole(width, "width", 3)
    s, i = n + 0.5, np.arange(n)
    t = (0.5 + i) / s
    output = np.where(i == 0, -3 * s, np.where(i % 2 == 1, 2 * s, -2 * s))
    sign = np.where(i == 2, -1.0, 1.0)
    return _iterated(sign, -sign * t, output, -output[2] * t[2], _whole(layers, "layers", 1))


def serra_lower(input_dim: int, widths: Sequence[int]) -> int:
    r"""$\prod_{l<L}(\lfloor n_l/n_0\rfloor + 1)^{n_0} \sum_{j \le n_0} \binom{n_L}{j}$: zigzags in each input.

    A lower bound of the largest number of linear regions for hidden widths $n_l \ge 3n_0$ (serra2018, Theorem 6).

    Raises:
        ValueError: If a width is below 3 n_0, or there is none.

    >>> serra_lower(2, (6, 6))
    352
    """
    n = _whole(input_dim, "input_dim", 1)
    sizes = [_whole(w, "a width", 3 * n) for w in widths]
    if not sizes:
        raise ValueError(f"A network has at least one hidden layer; got widths={widths}.")
    last = sum(math.comb(sizes[-1], j) for j in range(n + 1))
    return math.prod((w // n + 1) ** n for w in sizes[:-1]) * last


def _iterated(weight: np.ndarray, bias: np.ndarray, output: np.ndarray, offset: float, layers: int) -> ReLUNetwork:
    """The `layers`-fold composition of x -> output . relu(weight x + bias) + offset."""
    middle = (np.outer(weight, output), weight * offset + bias)
    return ReLUNetwork.from_layers(
        [(weight[:, None], bias), *[middle] * (layers - 1), (output[None], np.array([offset]))]
    )


def _whole(value: int, what: str, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, not {value!r}.")
    if value < least:
        raise ValueError(f"{what} is at least {least}; got {value}.")
    return int(value)
