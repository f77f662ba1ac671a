r"""Kim, Min and Park (2024): width max(n, 2) is enough, and needed, in $L^p$ of the unit cube of $\mathbb R^n$.

The network here is our own, with all weights: it packs the cells of the coordinates into one register, which frees one
register a coordinate, and reads the value of the cell off that code. It cannot be close in the sup norm.
"""

import math

import numpy as np
from jaxtyping import Float

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.cells import cells_of, compact_domain, positive_number, whole_number
from expressivity.constructions.staircase import Staircase, digit_ramps
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target

_SCALE = 0.5
_LARGEST_SLOPE = 1e12
_LARGEST_NETWORK = 1 << 28


def coding_network(target: Target, *, levels: int, ramp: float) -> Construction:
    r"""A network of width max(n, 2) within a proved L1 distance of a target on a cube, or on a ball.

    On the unit cube, with m levels an axis and ramps of width $\delta$, F equals the value of f at the centre of the
    cell of x wherever no coordinate lies in one of the ramps $[j/m - \delta, j/m]$, and stays between the least and
    the largest of those values everywhere. Hence, for p = 1 (`error_bound`) and p = 2 (`l2_bound`),
    $$\|F - f\|_p^p \le \omega^p + \operatorname{osc}^p\, n (m - 1) \delta$$
    where $\omega^p$ is the mean over the cells of the p-th power of a bound on $|f - f(\mathrm{center})|$
    ($L\sqrt{n/12}/m$ for a Lipschitz constant L), and osc bounds $|F - f|$ everywhere: the lesser of
    L times the diameter and the range of the cell values, widened by the oscillation of f in the cells.

    Another cube is mapped to the unit cube in the first layer; `ramp` counts in sides of the cube. A ball takes its
    bounding cube and $f \circ \mathrm{proj}$; the norm is against the uniform *probability* measure of the domain, so
    $\omega$ is summed over the cells that meet the ball, and both terms are multiplied by the volume of the cube over
    that of the ball (the second is never above $\operatorname{osc}^p$).

    There are $2 \sum_{s=1}^n (m^s - 1)$ hidden layers; each changes two registers. In float64 the values are rounded
    by about $\varepsilon\, \operatorname{osc}\, m^{n-1} / \delta$.

    Args:
        target: On a `Box` or `Ball`, with a Lipschitz constant or an oscillation bound.
        levels: m, at least 2.
        ramp: $\delta$, below 1/m.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the domain is not compact, nothing bounds the target's oscillation, the ramp is not positive or
            not below 1/m, $m^{n-1}/\delta$ exceeds 1e12, or the network would have more than 2^28 weights.

    Source: kim2024, Theorem 1, for the width; the network is derived here.

    >>> import expressivity as ex
    >>> result = coding_network(ex.targets.norm_squared(ex.Box(2, 0.0, 1.0)), levels=4, ramp=0.01)
    >>> result.network.width, result.network.hidden_layers, round(result.error_bound, 4)
    (2, 36, 0.4087)
    """
    domain, n = compact_domain(target), target.dim
    m, ramp = whole_number(levels, "The number of levels", least=2), positive_number(ramp, "The ramp")
    if ramp >= 1 / m:
        raise ValueError(f"The ramp {ramp} is not below 1 / levels = {1 / m}, the side of a cell of the unit cube.")
    if m ** (n - 1) / ramp > _LARGEST_SLOPE:
        raise ValueError(
            f"With {m} levels in dimension {n} and the ramp {ramp}, levels^(n-1) / ramp = {m ** (n - 1) / ramp:.3g} "
            f"exceeds {_LARGEST_SLOPE:g}; float64 cannot carry such a code. Take a wider ramp or fewer levels."
        )
    width, layers = max(n, 2), 2 * sum(m**s - 1 for s in range(1, n + 1))
    if layers * width**2 > _LARGEST_NETWORK:
        raise ValueError(
            f"{m} levels in dimension {n} need {layers} layers of width {width}; more than {_LARGEST_NETWORK} weights "
            "are not built. Take fewer levels."
        )
    grid = cells_of(target, m)
    low, high = domain.box
    network = _network(n, m, ramp, grid.values, low, high)

    v, w, f = grid.values, grid.spread[grid.meets], grid.values[grid.meets]
    osc = float(max((f + w).max() - v.min(), v.max() - (f - w).min()))
    if target.lipschitz is not None:
        osc = min(osc, target.lipschitz * domain.diameter)
    box_volume = float(np.prod(high - low))
    share = min(1.0, n * (m - 1) * ramp * box_volume / domain.volume)
    moments = [float((grid.mean_spread[grid.meets] ** p).sum()) * grid.volume / domain.volume for p in (1, 2)]
    return Construction(
        network=network,
        target=target,
        theorem=theorems.find("expressivity", "coding network on the cube"),
        error_bound=moments[0] + osc * share,
        norm="L1",
        width_bound=width,
        l2_bound=math.sqrt(moments[1] + osc**2 * share),
    )


def _network(
    n: int, m: int, ramp: float, values: Float[np.ndarray, " cells"], low: np.ndarray, high: np.ndarray
) -> ReLUNetwork:
    """Registers: the one that is read, the accumulator, then the coordinates from the third on."""
    width = max(n, 2)
    stages: list[Staircase] = []
    if n > 1:
        inner = np.arange(1, m) / m
        stages.append(Staircase(inner - ramp, inner, np.ones(m - 1)))
        for i in range(3, n + 1):
            starts, ends = digit_ramps(m ** (i - 2), m, ramp, _SCALE)
            stages.append(Staircase(starts, ends, np.ones(len(starts))))
        starts, ends = digit_ramps(m ** (n - 1), m, ramp, _SCALE)
        end = m ** (n - 1) - 1 + _SCALE
    else:
        starts, ends = np.arange(1, m) / m - ramp, np.arange(1, m) / m
        end = 1.0
    memory = Staircase(starts, ends, np.diff(values))
    offset = 1.0 + (1 + 1e-9) * max(0.0, -memory.lowest(float(values[0]), end))
    stages.append(memory)

    # first layer: the affine map onto the unit cube, then the first knot
    side = high - low
    unit, shift = np.diag(1 / side), -low / side
    rows, bias = np.zeros((width, n)), np.zeros(width)
    rows[0], bias[0] = unit[0], shift[0] - stages[0].knots[0]
    if n > 1:
        rows[1], bias[1] = _SCALE * unit[1], _SCALE * shift[1]
        rows[2:], bias[2:] = unit[2:], shift[2:]
    else:
        bias[1] = offset + values[0]

    weights, biases = [], []
    for number, stage in enumerate(stages):
        knots, coefficients = stage.knots, stage.coefficients
        weight = np.tile(np.eye(width), (len(knots), 1, 1))
        constant = np.zeros((len(knots), width))
        weight[1:, 1, 0], constant[1:, 0] = coefficients[:-1], -np.diff(knots)
        if number:
            # tau <- acc + c_K tau - first knot; acc <- next coordinate, or the first value for the memory
            weight[0, 0, :2] = stages[number - 1].coefficients[-1], 1.0
            weight[0, 1], constant[0, 0] = 0.0, -knots[0]
            if number < len(stages) - 1:
                weight[0, 1, number + 1] = _SCALE
            else:
                constant[0, 1] = offset + values[0]
        weights.append(weight)
        biases.append(constant)
    output = np.zeros((1, width))
    output[0, :2] = memory.coefficients[-1], 1.0
    stacked, constants = np.concatenate(weights)[1:], np.concatenate(biases)[1:]
    return ReLUNetwork.from_stacked((rows, bias), stacked, constants, (output, np.array([-offset])))
