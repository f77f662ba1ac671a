r"""Lu et al. (2017): ReLU networks of width n + 4 approximate every integrable function on R^n.

The paper states Theorem 1 without an explicit network or rate. Here is one with all weights: a sum of truncated
pyramids over boxes, computed one after the other with n registers for the point, two for the sum, two for the pyramid.
"""

from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.cells import cells_of, positive_number, real_array, whole_number
from expressivity.measures import Points
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target

_LARGEST_NETWORK = 1 << 28
_PAIRWISE = 8192
_STEEPEST = 1 << 40


def step_network(
    lower: Any, upper: Any, heights: Any, *, ramp: float, half_width: float, pipelined: bool = True
) -> ReLUNetwork:
    r"""The network $F = \sum_j c_j \varphi_j$ of width exactly n + 4, for boxes $Q_j = \prod_k [a_{jk}, b_{jk}]$.

    $$\varphi_j(x) = \Bigl(1 - \tfrac1\delta \sum_k \bigl[(x_k - b_{jk} + \delta)^+ +
    (a_{jk} + \delta - x_k)^+\bigr]\Bigr)^+$$
    is 1 on the box shrunk by $\delta$ on every side and 0 outside $Q_j$; the corners are cut by a pyramid. F vanishes
    outside the union of the boxes on all of $\mathbb R^n$.

    Registers are $x_k + N$ (n of them), the positive and the negative part of the sum, the pyramid under construction
    and one ramp. With M boxes there are $(4n+1)M$ hidden layers, or $2nM + 1$ if `pipelined`, where a ramp is loaded
    while the one before it is subtracted. Both compute the same function. In exact arithmetic: rounding is about
    $\varepsilon N / \delta$ a ramp, and absent where all numbers are dyadic.

    Args:
        lower, upper: Corners $a$ and $b$ of the boxes, shape (M, n). Boxes may overlap.
        heights: The $c_j$, shape (M,).
        ramp: $\delta$, at most half of the shortest side.
        half_width: N; all boxes lie in $[-N, N]^n$.
        pipelined: Whether to use the shallower network.

    Raises:
        TypeError: If an argument is no number or array of numbers.
        ValueError: If shapes do not fit, a box is empty or sticks out of $[-N, N]^n$, the ramp is not positive, wider
            than half a side or below $2^{-40} N$, or the network would have more than 2^28 weights.

    Source: lu2017, Theorem 1.

    >>> net = step_network([[0.0]], [[1.0]], [2.0], ramp=0.25, half_width=2.0)
    >>> net.width, net.hidden_layers, float(net([0.125])[0]), float(net([0.5])[0])
    (5, 3, 1.0, 2.0)
    """
    return _steps(lower, upper, heights, ramp, half_width, pipelined, offset=None)


def single_sum_network(
    lower: Any, upper: Any, heights: Any, *, ramp: float, half_width: float, pipelined: bool = True
) -> ReLUNetwork:
    r"""The same function as [`step_network`](#expressivity.constructions.lu2017.step_network) at width n + 3.

    One register holds $C + \sum c_j \varphi_j \ge 0$ in place of two for the positive and the negative part, with
    $C = \max_j (-c_j)^+$ for boxes with disjoint interiors and $C = \sum_j (-c_j)^+$ otherwise. The layers are the
    same in number; subtracting C in the end costs about $\varepsilon C$ of accuracy.

    Args:
        lower, upper, heights, ramp, half_width, pipelined: As for `step_network`.

    Raises:
        TypeError, ValueError: As for `step_network`.

    >>> net = single_sum_network([[0.0]], [[1.0]], [-2.0], ramp=0.25, half_width=2.0)
    >>> net.width, float(net([0.5])[0])
    (4, -2.0)
    """
    lower, upper, heights = _boxes(lower, upper, heights)
    negative = np.maximum(-heights, 0.0)
    offset = float(negative.max() if _disjoint(lower, upper) else negative.sum())
    return _steps(lower, upper, heights, ramp, half_width, pipelined, offset=offset)


def bump_integral(sides: Any, ramp: float) -> float:
    r"""The integral of one truncated pyramid with $c = 1$ over $\mathbb R^n$, exactly:

    $$\int \varphi = \sum_{m=0}^n e_{n-m}(\ell_1 - 2\delta, \dots, \ell_n - 2\delta)\,\frac{(2\delta)^m}{(m+1)!}$$
    with the elementary symmetric polynomials $e_i$.

    Args:
        sides: Side lengths $\ell_1, \dots, \ell_n$ of the box.
        ramp: $\delta$, at most half of the shortest side.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If there is no side, a side is not positive, or the ramp is not positive or too wide.

    >>> bump_integral([1.0], 0.25)
    0.75
    """
    sides = real_array(sides, "Sides")
    if sides.ndim != 1 or not sides.size or not np.all(np.isfinite(sides)) or not np.all(sides > 0):
        raise ValueError(f"A box has positive sides, given as a list of numbers; got {sides.tolist()}.")
    return float(_bump_integrals(sides[None], _checked_ramp(ramp, sides))[0])


def approximate(target: Target, *, cells: int, ramp: float | None = None, pipelined: bool = True) -> Construction:
    r"""A network of width n + 4 within a proved L1 distance of a target on a compact domain.

    The bounding box of the domain is cut into `cells` cells an axis; the network is
    $\sum_j v_j \varphi_j$ with $v_j = f(\mathrm{proj}(\mathrm{center}_j))$ over the cells that meet the domain
    $\Omega$ and have $v_j \ne 0$. With sides h and Lipschitz constant L,
    $$\|F - f\|_{L^1(\mu)} \le \frac{1}{|\Omega|} \sum_j \Bigl[ h^n \min\{s_j,\ L h \sqrt{n/12}\} +
    |v_j| \bigl(h^n - {\textstyle\int} \varphi_j\bigr)\Bigr]$$
    where $s_j$ bounds $|f - v_j|$ on cell j (`Target.cell_oscillation`; the only term where f has no Lipschitz
    constant). $\mu$ is the uniform *probability* measure, hence the division by the volume $|\Omega|$.
    `l2_bound` is the sum of the two roots $(|\Omega|^{-1} \sum_j h^n \min\{\cdot\}^2)^{1/2}$ and
    $(|\Omega|^{-1} \sum_j v_j^2 (h^n - \int \varphi_j))^{1/2}$. The network vanishes outside the bounding box.

    Args:
        target: On a `Box` or `Ball`, with a Lipschitz constant or an oscillation bound.
        cells: Cells an axis.
        ramp: Width $\delta$ of the ramps, by default $\min(h^2, h) / 4$: the ramp term vanishes only if
            $\delta / h \to 0$.
        pipelined: As for `step_network`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the domain is not compact, nothing bounds the target's oscillation, the ramp is not positive or
            wider than half a cell, or the network would be too large.

    >>> import expressivity as ex
    >>> result = approximate(ex.targets.norm_squared(ex.Ball(2)), cells=8)
    >>> result.network.width, round(result.error_bound, 3)
    (6, 0.328)
    """
    grid = cells_of(target, cells)
    side = float((grid.upper[0] - grid.lower[0]).min())
    ramp = min(side**2, side) / 4 if ramp is None else ramp
    used = grid.meets & (grid.values != 0)
    lower, upper, heights = grid.lower[used], grid.upper[used], grid.values[used]
    ramp = _checked_ramp(ramp, grid.upper[:1] - grid.lower[:1])
    if len(heights):
        half_width = float(max(np.abs(grid.lower).max(), np.abs(grid.upper).max()))
        network = step_network(lower, upper, heights, ramp=ramp, half_width=half_width, pipelined=pipelined)
    else:
        network = ReLUNetwork.from_layers([(np.zeros((1, target.dim)), np.zeros(1))])
    domain_volume = target.measure.volume  # type: ignore[attr-defined]
    lost = np.maximum(grid.volume - _bump_integrals(upper - lower, ramp), 0.0)
    spread = grid.mean_spread[grid.meets]
    l2_bound = np.sqrt(grid.volume * (spread @ spread)) + np.sqrt(heights**2 @ lost)
    return Construction(
        network=network,
        target=target,
        theorem=theorems.find("expressivity", "step network"),
        error_bound=float(grid.volume * spread.sum() + np.abs(heights) @ lost) / domain_volume,
        norm="L1",
        width_bound=target.dim + 4,
        l2_bound=float(l2_bound) / float(np.sqrt(domain_volume)),
    )


def wide_target(n: int, k: int, key: Any) -> ReLUNetwork:
    r"""A random network of width $2k^2$ with two hidden layers (depth 3): the targets of Theorem 4.

    Weights are i.i.d. $\mathcal N(0, 1)$, biases uniform on $[-1, 1)$. The theorem asks for $k \ge n + 4$; smaller k
    are allowed here. It is about exact representation by narrow networks with bounded weights, and gives no rate.

    Args:
        n: Input dimension.
        k: The k of the theorem.
        key: A JAX key (`jax.random.key(0)`), or a seed. The same key gives the same network in either precision.

    Raises:
        TypeError: If `n` or `k` is no whole number, or `key` neither a key nor a seed.
        ValueError: If `n` or `k` is below 1.

    Source: lu2017, Theorem 4.

    >>> import jax
    >>> net = wide_target(2, 3, jax.random.key(0))
    >>> net.hidden_widths, net.depth
    ((18, 18), 3)
    """
    n, k = whole_number(n, "The input dimension"), whole_number(k, "The number k of a wide target")
    if isinstance(key, int | np.integer):
        key = jax.random.key(int(key))
    if not isinstance(key, jax.Array):
        raise TypeError(f"The key of a wide target is a JAX key such as jax.random.key(0), or a seed; not {key!r}.")
    sizes = (n, 2 * k * k, 2 * k * k, 1)
    weight_key, bias_key = jax.random.split(key)
    count = sum(a * b for a, b in pairwise(sizes))
    weights = np.asarray(jax.random.normal(weight_key, (count,), dtype="float32"), dtype=np.float64)
    biases = jax.random.uniform(bias_key, (sum(sizes[1:]),), dtype="float32", minval=-1.0, maxval=1.0)
    biases = np.asarray(biases, dtype=np.float64)
    layers, w, b = [], 0, 0
    for inputs, outputs in pairwise(sizes):
        block = weights[w : w + inputs * outputs].reshape(outputs, inputs)
        layers.append((block, biases[b : b + outputs]))
        w, b = w + inputs * outputs, b + outputs
    return ReLUNetwork.from_layers(layers)


def _boxes(lower: Any, upper: Any, heights: Any) -> tuple[Points, Points, Float[np.ndarray, " boxes"]]:
    lower, upper = real_array(lower, "Lower corners"), real_array(upper, "Upper corners")
    heights = real_array(heights, "Heights")
    if lower.ndim != 2 or 0 in lower.shape or lower.shape != upper.shape or heights.shape != lower.shape[:1]:
        raise ValueError(
            f"M >= 1 boxes have corners of shape (M, n) and heights of shape (M,); got {lower.shape}, {upper.shape} "
            f"and {heights.shape}."
        )
    if not (np.all(np.isfinite(lower)) and np.all(np.isfinite(upper)) and np.all(np.isfinite(heights))):
        raise ValueError("Corners and heights are finite numbers; one of them is NaN or infinite.")
    empty = np.argwhere(lower >= upper)
    if len(empty):
        j, k = (int(i) for i in empty[0])
        raise ValueError(f"Box {j} is empty: on axis {k} it runs from {lower[j, k]} to {upper[j, k]}.")
    return lower, upper, heights


def _checked_ramp(ramp: float, sides: np.ndarray) -> float:
    ramp, shortest = positive_number(ramp, "The ramp"), float(sides.min())
    # sides are differences of rounded numbers, so half a side is only known to their precision
    if ramp > shortest / 2 * (1 + 1e-12):
        raise ValueError(f"The ramp {ramp} is wider than half of the shortest side, {shortest / 2}.")
    return ramp


def _disjoint(lower: Points, upper: Points) -> bool:
    """Whether the interiors are known to be disjoint; not decided (False) for very many boxes."""
    if len(lower) > _PAIRWISE:
        return False
    for j in range(len(lower) - 1):
        if np.any(np.all((lower[j] < upper[j + 1 :]) & (lower[j + 1 :] < upper[j]), axis=1)):
            return False
    return True


def _bump_integrals(sides: Points, ramp: float) -> Float[np.ndarray, " boxes"]:
    n = sides.shape[1]
    symmetric = [np.ones(len(sides))] + [np.zeros(len(sides)) for _ in range(n)]
    for core in np.maximum(sides - 2 * ramp, 0.0).T:
        for i in range(n, 0, -1):
            symmetric[i] = symmetric[i] + core * symmetric[i - 1]
    total, factor = np.zeros(len(sides)), 1.0
    for m in range(n + 1):
        total, factor = total + symmetric[n - m] * factor, factor * 2 * ramp / (m + 2)
    return total


def _steps(
    lower: Any, upper: Any, heights: Any, ramp: float, half_width: float, pipelined: bool, offset: float | None
) -> ReLUNetwork:
    """Registers: n for the point, one (`offset` given) or two for the sum, the pyramid, the ramp."""
    lower, upper, heights = _boxes(lower, upper, heights)
    ramp, big = _checked_ramp(ramp, upper - lower), positive_number(half_width, "The half-width")
    count, n = lower.shape
    if max(-lower.min(), upper.max()) > big:
        raise ValueError(
            f"All boxes lie in [-{big}, {big}]^{n}, the cube of the half-width; one reaches from {lower.min()} to "
            f"{upper.max()}. Give a larger half_width."
        )
    if big / ramp > _STEEPEST:
        raise ValueError(
            f"The ramp {ramp} is below 2^-40 of the half-width {big}; float64 cannot carry such slopes. Take a wider "
            "ramp."
        )
    sums = 2 if offset is None else 1
    width, a, b = n + sums + 2, n + sums, n + sums + 1
    layers = 2 * n * count + 1 if pipelined else (4 * n + 1) * count
    if layers * width**2 > _LARGEST_NETWORK:
        raise ValueError(
            f"A network for {count} boxes has {layers} layers of width {width}; more than {_LARGEST_NETWORK} weights "
            "are not built. Take fewer boxes."
        )
    axis = np.repeat(np.arange(n), 2)
    slope = np.tile([1.0, -1.0], n) / ramp
    bias = np.empty((count, 2 * n))
    bias[:, 0::2] = 1 - (upper + big) / ramp
    bias[:, 1::2] = 1 + (lower + big) / ramp
    signed = np.stack([np.maximum(heights, 0.0), np.maximum(-heights, 0.0)], 1)
    record = signed if offset is None else heights[:, None]

    per_box = 2 * n if pipelined else 4 * n + 1
    weights = np.tile(np.eye(width), (count, per_box, 1, 1))
    biases = np.zeros((count, per_box, width))
    loads = np.arange(2 * n) * (1 if pipelined else 2)
    weights[:, loads, b, b] = 0.0
    weights[:, loads, b, axis] = slope
    biases[:, loads, b] = bias
    if pipelined:
        # while ramp s is loaded, ramp s - 1 is subtracted; the pyramid is recorded and begun anew one layer later
        weights[:, :, a, b] = -1.0
        weights[:, 1, a, a] = 0.0
        biases[:, 1, a] = 1.0
        weights[1:, 1, n : n + sums, a] = record[:-1]
    else:
        weights[:, loads + 1, a, b] = -1.0
        weights[:, 0, a, a] = 0.0
        biases[:, 0, a] = 1.0
        weights[:, -1, n : n + sums, a] = record

    first_weight, first_bias = np.zeros((width, n)), np.zeros(width)
    first_weight[:n], first_bias[:n] = np.eye(n), big
    first_weight[b, 0], first_bias[b] = slope[0], 1 - upper[0, 0] / ramp
    first_bias[a] = 1.0
    last_weight, last_bias = np.zeros((1, width)), np.zeros(1)
    if offset is None:
        last_weight[0, n : n + 2] = 1.0, -1.0
    else:
        first_bias[n], last_weight[0, n], last_bias[0] = offset, 1.0, -offset
    weights, biases = weights.reshape(-1, width, width)[1:], biases.reshape(-1, width)[1:]
    if pipelined:
        final = np.eye(width)
        final[a, b] = -1.0
        weights, biases = np.concatenate([weights, final[None]]), np.concatenate([biases, np.zeros((1, width))])
        last_weight[0, a] = heights[-1]
    return ReLUNetwork.from_stacked((first_weight, first_bias), weights, biases, (last_weight, last_bias))
