r"""Telgarsky (2015, 2016): the sawtooth, which few deep layers make and no wide shallow ones.

The k-fold composition of the tent has $2^k$ affine pieces on [0, 1]. A network of hidden widths $w_l$ has at most
$\prod(w_l + 1)$ of them on a line, which gives the two certificates here. Telgarsky counts every layer of nodes, the
last one included.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import jax.numpy as jnp

from expressivity import theorems
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.counting import pieces_bound
from expressivity.measures import Box
from expressivity.relu.exact import pieces
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target


def sawtooth(k: int, *, everywhere: bool = False) -> ReLUNetwork:
    r"""The k-fold composition of the tent $z \mapsto \min\{2z, 2 - 2z\}$ on [0, 1].

    k hidden layers of width 2 and 5 k nonzero parameters. With `everywhere` it is the source's network, which is 0
    outside [0, 1]: 2 k hidden layers, alternately of 2 nodes and of 1, 3 k nodes.

    Args:
        k: Number of folds, at least 1.
        everywhere: Whether the function has to be 0 on all of R outside [0, 1].

    Raises:
        ValueError: If k is below 1.

    >>> net = sawtooth(3)
    >>> net.hidden_widths, net.nonzeros, float(net([0.0625])[0])
    ((2, 2, 2), 15, 0.5)
    """
    k = _whole(k, "k")
    hidden, output = ([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])
    if everywhere:
        return ReLUNetwork.from_layers([hidden, output] * k + [([[1.0]], [0.0])])
    middle = ([[2.0, -4.0], [2.0, -4.0]], [0.0, -0.5])
    return ReLUNetwork.from_layers([hidden, *[middle] * (k - 1), output])


def target(k: int) -> Target:
    r"""The k-fold tent as a target on [0, 1], in closed form.

    >>> target(3).values([[0.3]]).round(12).tolist()
    [0.4]
    """
    teeth = 2.0 ** (_whole(k, "k") - 1)

    def tent(x: jnp.ndarray) -> jnp.ndarray:
        scaled = teeth * x[0]
        phase = scaled - jnp.floor(scaled)
        return jnp.minimum(2 * phase, 2 - 2 * phase)

    return Target(tent, Box(1, 0.0, 1.0), lipschitz=2 * teeth, name=f"tent_{k}", network=sawtooth(k))


def crossing_number(network: ReLUNetwork) -> int:
    r"""The number of intervals of R on which $1[F \ge 1/2]$ is constant, exactly, for a network from R to R.

    Raises:
        ValueError: If the network does not read and write one number.

    >>> crossing_number(sawtooth(3))
    9
    """
    if (network.input_dim, network.output_dim) != (1, 1):
        raise ValueError(
            f"A crossing number belongs to a network from R to R; got {network.input_dim} -> {network.output_dim}."
        )
    values = pieces(network, [-_reach(network, -1)], [_reach(network, 1)]).values
    above = [v >= Fraction(1, 2) for v in values]
    return 1 + sum(a != b for a, b in pairwise(above))


def _reach(network: ReLUNetwork, sign: int) -> Fraction:
    """T for which the network is affine on {sign * t >= T} and does not cross 1/2 there."""
    reach = Fraction(1)
    lines = [(Fraction(sign), Fraction(0))]  # slope and offset, as functions of |t|, of every unit far out
    *hidden, last = list(network.layers)
    for weight, bias in (*hidden, last):
        rows = [([Fraction(float(w)) for w in row], Fraction(float(b))) for row, b in zip(weight, bias, strict=True)]
        lines = [
            (
                sum((w * s for w, (s, _) in zip(row, lines, strict=True)), Fraction(0)),
                sum((w * o for w, (_, o) in zip(row, lines, strict=True)), b),
            )
            for row, b in rows
        ]
        level = Fraction(1, 2) if weight is last[0] else Fraction(0)
        reach = max([reach, *[(level - o) / s + 1 for s, o in lines if s != 0]])
        if weight is not last[0]:
            lines = [(s, o) if s > 0 or (s == 0 and o > 0) else (Fraction(0), Fraction(0)) for s, o in lines]
    return reach


def min_errors_alternating(count: int, runs: int) -> int:
    r"""$\max\{0, \lceil(n - c)/2\rceil\}$, the fewest errors of c constant runs on n points of alternating labels.

    Sharp; the source has (n - 4 t) / 3 for t pieces.

    Raises:
        ValueError: If a number is below 1.

    >>> min_errors_alternating(17, 4)
    7
    """
    return max(0, -((_whole(runs, "runs") - _whole(count, "count")) // 2))


def classification_certificate(k: int, widths: Sequence[int]) -> Certificate:
    r"""Errors of every network of hidden widths `widths` on the $2^k$ points $i2^{-k}$ with labels $i \bmod 2$.

    At least $\lceil(2^k - c)/2\rceil$, $c = \prod(w_l + 1) + 1$, for every threshold classifier $1[F \ge 1/2]$.

    Returns:
        A certificate in "errors", a number of points; 0 where the network may have enough pieces.

    Raises:
        ValueError: If k is below 1 or above 1000, or a width below 1.

    >>> classification_certificate(10, (20, 20)).value
    291.0
    """
    if _whole(k, "k") > 1000:
        raise ValueError(f"A number of errors near 2^k is a float64 up to k = 1000; got k={k}.")
    return Certificate(
        float(min_errors_alternating(2**k, pieces_bound(widths) + 1)),
        "errors",
        NetworkClass(hidden_widths=tuple(int(w) for w in widths)),
        theorems.find("expressivity", "alternating runs"),
    )


def l1_certificate(k: int, widths: Sequence[int]) -> Certificate:
    r"""$\int_0^1|\mathrm{tent}^k - F| \ge \frac18(1 - 2c/2^k)$ for every network of these hidden widths.

    $c = \prod(w_l + 1) + 1$ bounds the runs of $1[F \ge 1/2]$; 0 where that says nothing.

    >>> l1_certificate(10, (50,)).value
    0.1123046875
    """
    runs = pieces_bound(widths) + 1
    share = 1 - Fraction(2 * runs, 2 ** _whole(k, "k"))
    return Certificate(
        float(max(Fraction(0), share / 8)),
        "L1",
        NetworkClass(hidden_widths=tuple(int(w) for w in widths)),
        theorems.find("expressivity", "sawtooth in L1"),
    )


def max_width(k: int, layers: int) -> float:
    r"""$2^{(k-3)/l-1}$: up to this width l layers err on a sixth of the $2^k$ points (the note of 2015, Theorem 1.1).

    >>> max_width(10, 1)
    64.0
    """
    return 2.0 ** ((_whole(k, "k") - 3) / _whole(layers, "layers") - 1)


def sizes(k: int) -> tuple[int, int]:
    r"""Layers and nodes of the deep network of Theorem 1.1 (2016): $2k^3 + 8$ and $3k^3 + 12$.

    >>> sizes(2)
    (24, 36)
    """
    k = _whole(k, "k")
    return 2 * k**3 + 8, 3 * k**3 + 12


def crossing_bound(nodes: int, layers: int, t: int = 1, alpha: int = 1, beta: int = 1) -> float:
    r"""$2(2tm\alpha/l)^l\beta^{l^2}$, Lemma 3.2 (2016): crossings of a semi-algebraic network along a line.

    `t` = `alpha` = `beta` = 1 for ReLU. For ReLU networks $\prod(w_l + 1) + 1$ is smaller.

    >>> crossing_bound(31, 4)
    115440.125
    """
    nodes, layers = _whole(nodes, "nodes"), _whole(layers, "layers")
    return 2.0 * (2 * t * nodes * alpha / layers) ** layers * float(beta) ** layers**2


def _whole(value: int, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, not {value!r}.")
    if value < 1:
        raise ValueError(f"{what} is at least 1; got {value}.")
    return int(value)
