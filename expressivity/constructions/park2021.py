r"""Park et al. (2021): width max(n + 1, m) is enough, and needed, in $L^p(\mathbb R^n)$ with m outputs.

The network here is in the spirit of their coding scheme, with all weights: coordinates are clipped, gated, quantised
and packed into one code, and the value is read off the code. It vanishes outside a cube.
"""

import math

import numpy as np
from jaxtyping import Float

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.cells import (
    LARGEST_GRID,
    Cells,
    cells_of,
    compact_domain,
    positive_number,
    whole_number,
)
from expressivity.constructions.staircase import Staircase
from expressivity.relu.network import Layer, ReLUNetwork
from expressivity.target import Target

_LARGEST_NETWORK = 1 << 28
_LEAST_RAMP = 1e-7


def coding_network(target: Target, *, levels: int, radius: float, ramp: float) -> Construction:
    r"""A network of width n + 1 on all of $\mathbb R^n$, zero outside $[-R, R]^n$, near a target in L1.

    The cube $[-R, R]^n$ is cut into m cells an axis with sides $h = 2R/m$. F equals $v_j$, the value of f at the
    center of the cell (projected to the domain $\Omega$; 0 for cells that do not meet it), unless a coordinate lies in
    one of the ramps: the first $2\delta$ and the last $\delta$ of the axis, and $\delta$ around each of the m - 1 inner
    walls; there it stays between the least and the largest of
    0 and the $v_j$. Outside the cube F = 0 exactly. With $s_j$ as in `lu2017.approximate` (at most
    $L h \sqrt{n/12}$ for a Lipschitz constant L), D a bound of $|F - f|$, and T one of
    $\int_{\Omega \setminus [-R, R]^n} |f|$,
    $$\|F - f\|_{L^1(\mu)} \le \frac{1}{|\Omega|} \Bigl[\sum_j h^n s_j + D\, n (m + 2) \delta\, (2R)^{n-1} + T\Bigr].$$

    `error_bound` is against the target's uniform *probability* measure $\mu$ on $\Omega$, and so is `l2_bound`, where
    squares are summed. About Lebesgue measure: where $\Omega = [-R, R]^n$ and f is taken to be 0 outside $\Omega$,
    the distance in $L^1(\mathbb R^n)$ is exactly $|\Omega| = (2R)^n$ times that in $L^1(\mu)$. If $\Omega$ is smaller
    than the cube, F may differ from 0 on the cells that stick out of $\Omega$, which $\mu$ does not see; if $\Omega$
    reaches outside the cube, T is bounded from the cell values there.

    There are $3 + (2n - 1) + 2mn + 2 \cdot \mathrm{changes}$ hidden layers, where `changes` counts the codes whose
    value differs from that of the code before.

    Args:
        target: On a `Box` or `Ball`, with a Lipschitz constant or an oscillation bound.
        levels: m.
        radius: R.
        ramp: $\delta$, below a third of a cell, $2R/(3m)$, and at least $2 \cdot 10^{-7} R$ (for rounding).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the domain is not compact, nothing bounds the target's oscillation, the ramp is out of its range,
            or the network would be too large.

    Source: park2021, Theorem 1, for the width; the network is derived here.

    >>> import expressivity as ex
    >>> target = ex.targets.norm_squared(ex.Box(1))
    >>> result = coding_network(target, levels=8, radius=1.0, ramp=0.001)
    >>> result.network.width, result.network.hidden_layers, float(result.network([5.0])[0])
    (2, 34, 0.0)
    """
    domain, n = compact_domain(target), target.dim
    m, radius = whole_number(levels, "The number of levels"), positive_number(radius, "The radius")
    ramp, side = positive_number(ramp, "The ramp"), 2 * radius / m
    if ramp >= side / 3:
        raise ValueError(f"The ramp {ramp} is not below a third of a cell, {side / 3}.")
    if ramp < 2 * radius * _LEAST_RAMP:
        raise ValueError(
            f"The ramp {ramp} is below {2 * radius * _LEAST_RAMP}, a {_LEAST_RAMP:g} part of the cube; float64 could "
            "not tell the inside of the cube from the outside."
        )
    if (m + 1) ** n > LARGEST_GRID:
        raise ValueError(f"{m} levels in dimension {n} give {(m + 1) ** n} codes; at most {LARGEST_GRID} are built.")
    grid = cells_of(target, m, (np.full(n, -radius), np.full(n, radius)))
    values = np.where(grid.meets, grid.values, 0.0)
    network = _network(n, m, radius, ramp, values)

    low, high = min(0.0, values.min()), max(0.0, values.max())
    near, spread = grid.values[grid.meets], grid.spread[grid.meets]
    worst = float(max((near + spread).max(initial=0.0) - low, high - (near - spread).min(initial=0.0)))
    bad = min(n * (m + 2) * ramp * (2 * radius) ** (n - 1), domain.volume)
    tail = _tail(target, m, radius, side)
    mean = grid.mean_spread[grid.meets]
    bounds = [
        (grid.volume * float((mean**p).sum()) + worst**p * bad + t) / domain.volume
        for p, t in zip((1, 2), tail, strict=True)
    ]
    return Construction(
        network=network,
        target=target,
        theorem=theorems.find("expressivity", "coding network on R^n"),
        error_bound=bounds[0],
        norm="L1",
        width_bound=n + 1,
        l2_bound=math.sqrt(bounds[1]),
    )


def _tail(target: Target, m: int, radius: float, side: float) -> tuple[float, float]:
    """Bounds of the integrals of |f| and |f|^2 over the part of the domain outside the cube."""
    domain = compact_domain(target)
    low, high = domain.box
    if np.all(low >= -radius) and np.all(high <= radius):
        return 0.0, 0.0
    per_axis = min(math.ceil(float((high - low).max()) / side), int(LARGEST_GRID ** (1 / target.dim)))
    grid: Cells = cells_of(target, max(m, per_axis))
    outside = grid.meets & np.any((grid.lower < -radius) | (grid.upper > radius), axis=1)
    size = np.abs(grid.values[outside]) + grid.mean_spread[outside]
    return grid.volume * float(size.sum()), grid.volume * float((size**2).sum())


def _network(n: int, m: int, radius: float, ramp: float, values: Float[np.ndarray, " cells"]) -> ReLUNetwork:
    """Registers: one a coordinate, then the accumulator."""
    codes = np.pad(values.reshape((m,) * n), ((1, 0),) * n).reshape(-1)
    changed = np.flatnonzero(np.diff(codes))
    if not len(changed):
        return ReLUNetwork.from_layers([(np.zeros((1, n)), np.zeros(1))])
    memory = Staircase(changed + 0.25, changed + 0.75, np.diff(codes)[changed])
    offset = 1.0 + (1 + 1e-9) * max(0.0, -memory.lowest(0.0, float((m + 1) ** n - 1)))
    side, width = 2 * radius / m, n + 1
    walls = np.arange(1, m) * side
    digits = Staircase(np.append(ramp, walls - ramp / 2), np.append(2 * ramp, walls + ramp / 2), np.ones(m))
    layers = 3 + (2 * n - 1) + 2 * m * n + 2 * len(changed)
    if layers * width**2 > _LARGEST_NETWORK:
        raise ValueError(
            f"{m} levels in dimension {n} need {layers} layers of width {width}; more than {_LARGEST_NETWORK} weights "
            "are not built. Take fewer levels."
        )
    hidden = _gates(n, radius, ramp)
    weights, biases = [np.stack([w for w, _ in hidden[1:]])], [np.stack([b for _, b in hidden[1:]])]

    step, last = np.diff(digits.knots), digits.coefficients[-1]
    for i in range(n):
        weight, bias = np.tile(np.eye(width), (2 * m, 1, 1)), np.zeros((2 * m, width))
        weight[1:, n, i], bias[1:, i] = digits.coefficients[:-1], -step
        bias[0, i], weight[0, n, n] = -digits.knots[0], 0.0
        if i:
            weight[0, i - 1, i - 1], weight[0, i - 1, n] = last, 1.0
        weights.append(weight)
        biases.append(bias)

    # the code, with the first digit most significant, is read by the first register
    knots, coefficients = memory.knots, memory.coefficients
    weight, bias = np.tile(np.eye(width), (len(knots), 1, 1)), np.zeros((len(knots), width))
    weight[1:, n, 0], bias[1:, 0] = coefficients[:-1], -np.diff(knots)
    place = (m + 1.0) ** np.arange(n - 1, -1, -1)
    weight[0, 0, :n], weight[0, 0, n], bias[0, 0] = place, 1.0, -knots[0]
    weight[0, 0, n - 1] = last
    weight[0, n, n], bias[0, n] = 0.0, offset
    weights.append(weight)
    biases.append(bias)
    output = np.zeros((1, width))
    output[0, 0], output[0, n] = coefficients[-1], 1.0
    return ReLUNetwork.from_stacked(
        hidden[0], np.concatenate(weights), np.concatenate(biases), (output, np.array([-offset]))
    )


def _gates(n: int, radius: float, ramp: float) -> list[Layer]:
    r"""Clipping $t_k = \mathrm{clip}(x_k + R, 0, 2R)$, then $t_1 \to 0$ where some coordinate leaves the cube.

    Only the first coordinate is killed, and its digit is the most significant one: then the code stays among those of
    value 0, even while other digits are in their ramps.
    """
    total, width = 2 * radius, n + 1
    layers: list[Layer] = [(np.eye(width, n), np.append(np.full(n, radius), 0.0))]
    mirror = -np.eye(width)
    mirror[n, n] = 0.0
    layers.append((mirror, np.append(np.full(n, total), 0.0)))
    weight, bias = mirror.copy(), np.append(np.full(n, total), ramp)
    weight[n, 0] = -1.0  # (t_1 - 2R + ramp)^+, read before the second reflection
    layers.append((weight, bias))
    scratch = [(k, sign) for k in range(1, n) for sign in (-1.0, 1.0)]
    for following in [*scratch, None]:
        weight, bias = np.eye(width), np.zeros(width)
        weight[0, n] = -total / ramp
        if following is not None:
            k, sign = following
            weight[n, n], weight[n, k], bias[n] = 0.0, sign, ramp if sign < 0 else ramp - total
        layers.append((weight, bias))
    return layers
