r"""Yarotsky (2017): squares and products by deep narrow networks, with an error like $4^{-m}$ in the depth m.

$f_m(x) = x - \sum_{s=1}^m g_s(x)/4^s$ with $g_s$ the s-fold tent interpolates $x^2$ at the multiples of $2^{-m}$.
"""

import math

import numpy as np

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.measures import Box
from expressivity.relu.calculus import compose, stack
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Quadratic, Target


def square(m: int) -> Construction:
    r"""$x^2$ on [0, 1]: $0 \le f_m(x) - x^2 \le 2^{-2m-2}$, attained at the odd multiples of $2^{-m-1}$.

    m hidden layers, the first of width 2 and the others of width 3: 3 m - 1 units, 8 m - 3 nonzero parameters.

    Args:
        m: Number of hidden layers, at least 1.

    Returns:
        A `Construction` in the sup norm, on the interval [0, 1]; outside it the network is something else.

    Raises:
        ValueError: If m is below 1.

    >>> made = square(3)
    >>> made.network.hidden_widths, made.network.nonzeros, float(made.network([0.625])[0])
    ((2, 3, 3), 21, 0.390625)
    """
    m = _depth(m)
    target = Target(
        lambda x: x[0] ** 2,
        Box(1, 0.0, 1.0),
        lipschitz=2.0,
        name="square",
        quadratic=Quadratic(np.eye(1), np.zeros(1), 0.0),
    )
    network = _square(m)
    return Construction(network, target, theorems.find("yarotsky2017", "Proposition 2"), 4.0 ** -(m + 1), "sup", 3)


def product(m: int, bound: float) -> Construction:
    r"""$xy$ on $[-M, M]^2$: $-M^2 4^{-m} \le F(x, y) - xy \le 0$; it never overestimates, and is 0 where x or y is 0.

    $F(x, y) = 2M^2\,(f_m(|x+y|/2M) - f_m(|x|/2M) - f_m(|y|/2M))$. Both ends are attained. m + 1 hidden layers, width 9.

    Args:
        m: Hidden layers of each of the three squares, at least 1.
        bound: M, positive and finite.

    Returns:
        A `Construction` in the sup norm on the box.

    Raises:
        ValueError: If m is below 1 or the bound not positive and finite.

    >>> made = product(3, 1.0)
    >>> made.error_bound, round(float(made.network([0.3, -0.7])[0]), 4)
    (0.015625, -0.2125)
    """
    m = _depth(m)
    if not (math.isfinite(bound) and bound > 0):
        raise ValueError(f"The bound of the factors is positive and finite; got {bound}.")
    forms = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    absolute = np.kron(np.eye(3), np.ones((1, 2))) / (2 * bound)
    first = ReLUNetwork.from_layers([(np.kron(forms, np.array([[1.0], [-1.0]])), np.zeros(6)), (absolute, np.zeros(3))])
    one = _square(m)
    last = ReLUNetwork.from_layers([(2 * bound**2 * np.array([[1.0, -1.0, -1.0]]), np.zeros(1))])
    network = compose(last, compose(stack(stack(one, one), one), first))
    target = Target(
        lambda x: x[0] * x[1],
        Box(2, -bound, bound),
        lipschitz=math.sqrt(2) * bound,
        name="product",
        quadratic=Quadratic(np.array([[0.0, 0.5], [0.5, 0.0]]), np.zeros(2), 0.0),
    )
    theorem = theorems.find("expressivity", "one-sided product")
    return Construction(network, target, theorem, bound**2 * 4.0**-m, "sup", 9)


def _square(m: int) -> ReLUNetwork:
    # units (tent part, tent part, what is accumulated); accumulated values are not negative on [0, 1]
    layers = [(np.ones((2, 1)), np.array([0.0, -0.5]))]
    accumulated = np.array([0.5, 1.0])  # x - g_1 / 4 in terms of relu(x) and relu(x - 1/2)
    for s in range(2, m + 1):
        tent = np.array([2.0, -4.0] if s == 2 else [2.0, -4.0, 0.0])
        layers.append((np.stack([tent, tent, accumulated]), np.array([0.0, -0.5, 0.0])))
        accumulated = np.array([-2.0 / 4**s, 4.0 / 4**s, 1.0])
    return ReLUNetwork.from_layers([*layers, (accumulated[None], np.zeros(1))])


def _depth(m: int) -> int:
    if isinstance(m, bool) or not hasattr(m, "__index__"):
        raise TypeError(f"A number of hidden layers is a whole number, not {m!r}.")
    if not 1 <= m <= 500:
        raise ValueError(f"The interpolant of the square has between 1 and 500 hidden layers; got m={m}.")
    return int(m)
