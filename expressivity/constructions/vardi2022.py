r"""Vardi, Yehudai and Shamir (2022): width is not needed, depth can replace it at a moderate price.

They answer the question that Lu et al. (2017) left open: no network is so wide that a narrow one of not much larger
size could not do the same. Here are exact compilers for networks with up to three hidden layers, and the network that
finds leading bits.
"""

import math
from typing import NamedTuple

import numpy as np

from expressivity.constructions.cells import positive_number, whole_number
from expressivity.constructions.compiler import Tape, deep, one_hidden, two_hidden
from expressivity.relu.network import ReLUNetwork

_LARGEST_NETWORK = 1 << 26


class Split(NamedTuple):
    """How many inner slots and outer accumulators a narrow network has, and what shape follows."""

    inner: int
    outer: int
    width: int
    hidden_layers: int


def narrow(network: ReLUNetwork, *, half_width: float | None = None, inner: int = 1, outer: int = 1) -> ReLUNetwork:
    r"""The same function at a width that does not depend on that of `network`, in exact arithmetic.

    With n inputs, m outputs, hidden widths $N_1, N_2, N_3$, g = `inner` and p = `outer`:

    | hidden layers | width on $[-R, R]^n$ | hidden layers then |
    | --- | --- | --- |
    | 1 | n + g + m | $\lceil N_1/g \rceil$ |
    | 2 | n + g + p + m | $\lceil N_2/p \rceil (\lceil N_1/g \rceil + 1)$ |
    | 3 (g = p = 1) | n + 3 + m | $N_3 (N_2 (N_1 + 1) + 1)$ |

    so n + 2 and n + 3 for one output and one or two hidden layers. On all of $\mathbb R^n$ (`half_width=None`) the
    point takes 2 n registers in place of n, and there is one layer more. Registers hold the point, g neurons of the
    first layer at a time, partial sums for p neurons of the next, and the partial sums of the outputs; an offset keeps
    every partial sum at least 0, a number on a cube and $K |x|_1 + C$ on $\mathbb R^n$. Rounding is about $\varepsilon$
    times the offset.

    The lemma of the paper for one hidden layer (Lemma 16) is true, but the weights printed there are not: they compute
    $\sigma(P + u_i w_i \cdot x + b_i)$ in place of $P + u_i \sigma(w_i \cdot x + b_i)$. The weights here have a
    register for the neuron.

    Args:
        network: With at most three hidden layers.
        half_width: R, for equality on $[-R, R]^n$; `None` for all of $\mathbb R^n$.
        inner: g, neurons of the first hidden layer computed side by side.
        outer: p, neurons of the second hidden layer that are summed up side by side.

    Raises:
        TypeError: If `network` is no `ReLUNetwork`, or a number is of the wrong type.
        ValueError: If there are more than three hidden layers (the message says how many layers it would take), `inner`
            or `outer` does not apply or is below 1, or the result would have more than 2^26 weights.

    Source: vardi2022, Lemma 16 and Theorem 7, for the widths 2 n + 2 and 2 (n + 2); derived here as it stands.

    >>> net = ReLUNetwork.from_layers([([[1.0], [-1.0], [2.0]], [0.0, 0.0, -1.0]), ([[1.0, 1.0, -1.0]], [0.5])])
    >>> thin = narrow(net, half_width=1.0)
    >>> thin.width, thin.hidden_layers, thin.size, float(thin([0.75])[0])
    (3, 3, 34, 0.75)
    """
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"narrow takes a ReLUNetwork; got {type(network).__name__}.")
    inner, outer = whole_number(inner, "The number of inner slots"), whole_number(outer, "The number of accumulators")
    big = None if half_width is None else positive_number(half_width, "The half-width")
    layers = [(np.asarray(w, dtype=np.float64), np.asarray(b, dtype=np.float64)) for w, b in network.layers]
    widths = network.hidden_widths
    if not widths:
        return network
    if len(widths) != 2 and outer != 1:
        raise ValueError(f"Outer accumulators belong to networks with two hidden layers; got outer={outer}.")
    if len(widths) > 2 and inner != 1:
        raise ValueError(f"Inner slots belong to networks with one or two hidden layers; got inner={inner}.")
    inner = min(inner, int(layers[0][0].shape[0]))
    outer = min(outer, int(layers[1][0].shape[0])) if len(widths) == 2 else 1
    width, count = _shape(network.input_dim, widths, network.output_dim, inner, outer, big is None)
    if len(widths) > 3:
        raise ValueError(
            f"A network with {len(widths)} hidden layers would become one with {count} hidden layers; narrow takes at "
            "most 3."
        )
    if count * width**2 > _LARGEST_NETWORK:
        raise ValueError(
            f"Made narrow, this network has {count} hidden layers of width {width}; more than {_LARGEST_NETWORK} "
            "weights are not built. Give larger inner and outer."
        )
    tape = Tape(network.input_dim, big, width)
    if len(widths) == 1:
        return one_hidden(tape, layers, inner)
    return two_hidden(tape, layers, inner, outer) if len(widths) == 2 else deep(tape, layers)


def best_split(
    input_dim: int, hidden_widths: tuple[int, int], width: int, *, outputs: int = 1, everywhere: bool = False
) -> Split:
    r"""The numbers of inner slots and outer accumulators that give `narrow` the fewest layers within a width.

    Minimises $\lceil N_2/p \rceil (\lceil N_1/g \rceil + 1)$ over $g + p \le \mathrm{width} - n - m$.

    Args:
        input_dim: n.
        hidden_widths: $N_1, N_2$ of the network to be made narrow.
        width: The width that must not be exceeded.
        outputs: m.
        everywhere: Whether for all of $\mathbb R^n$, where the point takes 2 n registers and one more layer is needed.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If the width is too small for one slot and one accumulator.

    >>> best_split(1, (18, 18), 16)
    Split(inner=5, outer=9, width=16, hidden_layers=10)
    """
    n, m = whole_number(input_dim, "The input dimension"), whole_number(outputs, "The number of outputs")
    width = whole_number(width, "The width")
    if not hasattr(hidden_widths, "__len__"):
        raise TypeError(f"A split is for the widths of two hidden layers, such as (18, 18); got {hidden_widths!r}.")
    if len(hidden_widths) != 2:
        raise ValueError(f"A split is for networks with two hidden layers; got widths {tuple(hidden_widths)}.")
    first, second = (whole_number(w, "A hidden width") for w in hidden_widths)
    free = width - (2 * n if everywhere else n) - m
    if free < 2:
        raise ValueError(f"Width {width} is too small: at least {width - free + 2} units are needed.")
    best: Split | None = None
    for outer in range(1, min(second, free - 1) + 1):
        inner = min(first, free - outer)
        # the fewest slots with the same number of groups
        inner = math.ceil(first / math.ceil(first / inner))
        total, layers = _shape(n, (first, second), m, inner, outer, everywhere)
        if best is None or (layers, total) < (best.hidden_layers, best.width):
            best = Split(inner, outer, total, layers)
    assert best is not None
    return best


def leading_bits(bits: int, ramp: float) -> ReLUNetwork:
    r"""The network $x \mapsto \lfloor 2^c x \rfloor$ on [0, 1), off a set of measure at most $\delta / 2$.

    Telgarsky's triangle map $\varphi(z) = \sigma(\sigma(2z) - \sigma(4z - 2))$ repeated i times falls exactly where the
    i-th binary digit of x is 1; the digit is
    $\psi_i(x) = \frac{2^{c+2-i}}{\delta}\,\sigma\bigl(\varphi^{(i)}(x + \delta 2^{-c-2}) -
    \varphi^{(i)}(x + \delta 2^{-c-1})\bigr)$, and $F = \sum_i 2^{c-i} \psi_i$. Equality holds where the fractional part
    of $2^c x$ is at most $1 - \delta/2$. Width 5 and 2 c hidden layers, for c = `bits`, $\delta$ = `ramp`. A rounding
    of x by $\varepsilon$ moves F by up to $4^{c+1} \varepsilon / \delta$.

    Args:
        bits: c, at least 1.
        ramp: $\delta$, between 0 and 1.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If one is out of its range, or $c + \log_2(1/\delta) > 44$, where float64 no longer tells digits.

    Source: vardi2022, Lemma 9 (with three further layers there).

    >>> net = leading_bits(4, 2.0**-10)
    >>> net.width, net.hidden_layers, float(net([0.6875])[0])
    (5, 8, 11.0)
    """
    bits, ramp = whole_number(bits, "The number of bits"), positive_number(ramp, "The ramp")
    if ramp >= 1:
        raise ValueError(f"The ramp is below 1, not {ramp}.")
    if bits - math.log2(ramp) > 44:
        raise ValueError(
            f"{bits} bits with the ramp {ramp} need {bits - math.log2(ramp):.1f} > 44 bits of precision; float64 "
            "cannot tell the digits. Take fewer bits or a wider ramp."
        )
    near, far = ramp * 2.0 ** -(bits + 2), ramp * 2.0 ** -(bits + 1)
    fold, pair = np.array([2.0, 4.0, 2.0, 4.0]), np.array([0, 0, 1, 1])
    first_weight, first_bias = np.zeros((5, 1)), np.zeros(5)
    first_weight[:4, 0] = fold
    first_bias[:4] = 2 * near, 4 * near - 2, 2 * far, 4 * far - 2
    # even layers: phi at both points, the digit, the sum; odd ones: the two halves of phi at both points, the sum
    weights, biases = np.zeros((2 * bits - 1, 5, 5)), np.zeros((2 * bits - 1, 5))
    for i in range(1, bits + 1):
        even = weights[2 * i - 2]
        even[0, 0], even[0, 1] = 1.0, -1.0
        even[1, 2], even[1, 3] = 1.0, -1.0
        even[2, :4] = 2.0 ** (bits + 2 - i) / ramp * np.array([1.0, -1.0, -1.0, 1.0])
        even[4, 4] = 1.0
        if i < bits:
            odd = weights[2 * i - 1]
            odd[np.arange(4), pair] = fold
            biases[2 * i - 1, [1, 3]] = -2.0
            odd[4, 4], odd[4, 2] = 1.0, 2.0 ** (bits - i)
    output = np.array([[0.0, 0.0, 1.0, 0.0, 1.0]])
    return ReLUNetwork.from_stacked((first_weight, first_bias), weights, biases, (output, np.zeros(1)))


def _shape(n: int, widths: tuple[int, ...], outputs: int, inner: int, outer: int, everywhere: bool) -> tuple[int, int]:
    """Width and hidden layers of what `narrow` makes."""
    if len(widths) == 1:
        registers, layers = inner + outputs, math.ceil(widths[0] / inner)
    elif len(widths) == 2:
        registers = inner + outer + outputs
        layers = math.ceil(widths[1] / outer) * (math.ceil(widths[0] / inner) + 1)
    else:
        registers, layers = len(widths) + outputs, 1
        for before in widths[:-1]:
            layers = before * layers + 1
        layers *= widths[-1]
    return (2 * n if everywhere else n) + registers, layers + (1 if everywhere else 0)
