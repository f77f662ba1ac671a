r"""Kidger and Lyons (2020): width n + m + 1 is enough for n inputs and m outputs.

Their register model computes a network with one hidden layer unit by unit; a cut-off in the registers of the point
turns the result into a function of compact support, which gives density in $L^p(\mathbb R^n)$.
"""

import numpy as np

from expressivity.constructions.cells import positive_number
from expressivity.constructions.vardi2022 import narrow
from expressivity.relu.network import Layer, ReLUNetwork


def register_model(network: ReLUNetwork, *, half_width: float) -> ReLUNetwork:
    r"""The same function on $[-R, R]^n$ at width n + m + 1, with one hidden layer a unit of `network`.

    n registers hold the point, m the partial sums of the outputs, one the unit that is computed.

    Args:
        network: With one hidden layer.
        half_width: R.

    Raises:
        TypeError: If `network` is no `ReLUNetwork` or `half_width` no number.
        ValueError: If the network has not exactly one hidden layer, or R is not positive.

    Source: kidger_lyons2020, Proposition 4.9, there for other activations.

    >>> net = ReLUNetwork.from_layers([([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0])])
    >>> thin = register_model(net, half_width=1.0)  # x -> (|x|, x)
    >>> thin.width, thin.hidden_layers, thin([-0.5]).tolist()
    (4, 2, [0.5, -0.5])
    """
    _check(network)
    return narrow(network, half_width=positive_number(half_width, "The half-width"))


def cut_off(network: ReLUNetwork, *, half_width: float, ramp: float, floor: float, ceiling: float) -> ReLUNetwork:
    r"""The function $F = \min(\max(g, c_- U), c_+ U)$ on all of $\mathbb R^n$, at width n + m + 1.

    g is the network, $U(x) = \min_i U_i(x_i)$ with the trapezoids $U_i$ that are 1 on $[-R + \delta, R - \delta]$ and 0
    outside $[-R, R]$. So F is g clipped to $[c_-, c_+]$ on the smaller cube, 0 outside the larger one whatever g is
    there, and between $c_-$ and $c_+$ everywhere: $F \in L^p(\mathbb R^n)$. The registers of the point are overwritten
    by the trapezoids, then by their minima. $N + 4n$ hidden layers for N units of g.

    Args:
        network: g, with one hidden layer.
        half_width: R.
        ramp: $\delta$, at most R and at least $2^{-40} R$.
        floor: $c_- \le 0$, for every output.
        ceiling: $c_+ \ge 0$.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the network has not exactly one hidden layer, or a number is out of its range.

    Source: kidger_lyons2020, Theorem 4.16.

    >>> net = ReLUNetwork.from_layers([([[1.0]], [3.0]), ([[1.0]], [-3.0])])  # x for x >= -3
    >>> cut = cut_off(net, half_width=2.0, ramp=0.5, floor=-1.0, ceiling=1.0)
    >>> cut.width, cut.hidden_layers, [float(cut([x])[0]) for x in (-9.0, -1.75, 0.25, 1.25, 9.0)]
    (3, 5, [0.0, -0.5, 0.25, 1.0, 0.0])
    """
    _check(network)
    big, ramp = positive_number(half_width, "The half-width"), positive_number(ramp, "The ramp")
    if ramp > big:
        raise ValueError(f"The ramp {ramp} is wider than the half-width {big}.")
    if ramp < big * 2.0**-40:
        raise ValueError(f"The ramp {ramp} is below 2^-40 of the half-width {big}; float64 cannot carry such slopes.")
    for name, number in (("floor", floor), ("ceiling", ceiling)):
        if isinstance(number, bool | str) or not isinstance(number, float | int | np.number):
            raise TypeError(f"The {name} of a cut-off is a real number, not {number!r}.")
    if not (np.isfinite(floor) and np.isfinite(ceiling) and floor <= 0 <= ceiling):
        raise ValueError(f"The cut-off keeps 0 between floor and ceiling; got floor={floor} and ceiling={ceiling}.")
    *hidden, (last, constant) = narrow(network, half_width=big).layers
    n, m = network.input_dim, network.output_dim
    scratch, sums, width = n, list(range(n + 1, n + 1 + m)), n + 1 + m
    # the last unit, still in the scratch register, is added while that register is first overwritten
    pending = last[:, scratch]
    steps: list[Layer] = []

    def step(*rows: tuple[int, dict[int, float], float]) -> None:
        weight, bias = np.eye(width), np.zeros(width)
        for register, factors, shift in rows:
            weight[register], bias[register] = 0.0, shift
            for source, factor in factors.items():
                weight[register, source] = factor
        steps.append((weight, bias))

    for i in range(n):
        step((scratch, {i: 1 / ramp}, 1 - 2 * big / ramp), (i, {i: -1 / ramp}, 1.0))
        step((i, {i: -1.0, scratch: -1.0}, 1.0))
    steps[0][0][sums, scratch] = pending
    for i in range(1, n):
        step((scratch, {0: 1.0, i: -1.0}, 0.0))
        step((0, {0: 1.0, scratch: -1.0}, 0.0))
    step(*[(s, {s: 1.0, 0: -floor}, float(constant[j])) for j, s in enumerate(sums)])
    step(*[(s, {s: -1.0, 0: ceiling - floor}, 0.0) for s in sums])
    output = np.zeros((m, width))
    output[:, 0] = ceiling
    output[np.arange(m), sums] = -1.0
    return ReLUNetwork.from_layers([*hidden, *steps, (output, np.zeros(m))])


def _check(network: ReLUNetwork) -> None:
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"The register model takes a ReLUNetwork; got {type(network).__name__}.")
    if network.hidden_layers != 1:
        raise ValueError(f"The register model takes one hidden layer; this network has {network.hidden_layers}.")
