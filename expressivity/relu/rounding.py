"""How far the computed values of a network can be from the true ones."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.relu.network import ReLUNetwork


def rounding_bound(network: ReLUNetwork, lower: Any, upper: Any, dtype: Any = np.float64) -> float:
    r"""A bound of $|\hat F(x) - F(x)|$, in every output, for all points x of a box evaluated in `dtype`.

    With the unit roundoff u of `dtype`, $\gamma_k = k u / (1 - k u)$ and $\tau$ its smallest normal number, intervals
    for the units and errors $e_l$ are pushed through the layers (moduli entry by entry):

    $$ e_{l+1} = |\tilde W| e_l + |W - \tilde W|\, m_l + |b - \tilde b| + \gamma_k (|\tilde W| (m_l + e_l) + |\tilde b|)
       + \tau\,(2k + 2 + \textstyle\sum_j (m_l + e_l)_j), $$

    where $\tilde W, \tilde b$ are the weights rounded to `dtype`, $m_l$ bounds the moduli of the units on the box, and
    k is the number of nonzero terms in a row (the bias is one), less one if all its weights are powers of two, whose
    products are exact. ReLU is 1-Lipschitz and exact. A row that keeps a register adds nothing, $\tau$ included. The
    bound holds for any order of summation, with or without fused operations, and with subnormal numbers flushed to
    zero; where a sum may overflow it is infinite. It is itself rounded up.

    Args:
        network: The network; its weights are taken as exact.
        lower: Lower corner of the box, n numbers; points of the box are rounded to `dtype` first.
        upper: Upper corner.
        dtype: `np.float64` or `np.float32`.

    Raises:
        ValueError: If the corners are not n finite numbers each, or not in order.

    >>> import expressivity as ex
    >>> ex.relu.rounding_bound(ex.identity(2, depth=9), [-1, -1], [1, 1]) < 1e-15
    True
    """
    dtype = np.dtype(dtype)
    lower, upper = (np.asarray(corner, np.float64) for corner in (lower, upper))
    if lower.shape != (network.input_dim,) or upper.shape != lower.shape or not np.all(lower <= upper):
        raise ValueError(
            f"A box for this network has two corners of {network.input_dim} numbers, in order; got {lower.tolist()} "
            f"and {upper.tolist()}."
        )
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise ValueError(f"The corners of a box are finite; got {lower.tolist()} and {upper.tolist()}.")
    unit, tiny = float(np.finfo(dtype).eps) / 2, float(np.finfo(dtype).tiny)
    given = 0.0 if dtype == np.float64 else unit
    state = (lower, upper, given * np.maximum(np.abs(lower), np.abs(upper)) + tiny)
    with jax.enable_x64(True):
        for number, block in enumerate(network.blocks):
            layers = _prepared(np.asarray(block.weight, np.float64), np.asarray(block.bias, np.float64), dtype)
            hidden = number < len(network.blocks) - 1
            state = _through(hidden, state, layers, jnp.float64(tiny), jnp.float64(np.finfo(dtype).max))
        bound = float(jnp.max(state[2]))
    return bound if bound == bound else float("inf")


def _prepared(weight: np.ndarray, bias: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Rounded weights and biases, what they lost, k and gamma_k of every row, and whether it is exact altogether."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near, offset = (a.astype(dtype).astype(np.float64) for a in (weight, bias))
        lost, lost_offset = np.abs(weight - near), np.abs(bias - offset)
    powers = ((np.abs(np.frexp(near)[0]) == 0.5) | (near == 0)).all(-1)
    k = np.maximum((near != 0).sum(-1) + (offset != 0) - powers, 0)
    unit = float(np.finfo(dtype).eps) / 2
    signs = ((np.abs(near) == 1) | (near == 0)).all(-1)
    exact = (k == 0) & signs & ((offset == 0) | (np.abs(offset) >= np.finfo(dtype).tiny)) & (lost_offset == 0)
    return near, offset, lost, lost_offset, k.astype(np.float64), k * unit / (1 - k * unit), ~exact * 1.0


@functools.partial(jax.jit, static_argnums=0)
def _through(hidden: bool, state: Any, layers: Any, tiny: Any, largest: Any) -> Any:
    """Interval and error of the units after a block of layers, every sum rounded away from the truth."""

    def step(state: Any, layer: Any) -> tuple[Any, None]:
        low, high, error = state
        weight, bias, lost, lost_bias, k, gamma, rounds = layer
        # `slack` covers the rounding of the float64 sums in this function
        slack = 2.0**-52 * (weight.shape[1] + 8)
        moduli, up, down = jnp.abs(weight), jnp.maximum(weight, 0), jnp.minimum(weight, 0)
        size = jnp.maximum(jnp.abs(low), jnp.abs(high))
        reach, lost_sum = size + error, lost @ size + lost_bias
        total = moduli @ reach + jnp.abs(bias)
        spread = rounds * (slack * total + lost_sum + 2.0**-1000)
        error = moduli @ error + rounds * (lost_sum + gamma * total + tiny * (2 * k + 2 + reach.sum()))
        error = jnp.where(total * (1 + slack) < largest, error * (1 + rounds * slack), jnp.inf)
        low, high = up @ low + down @ high + bias - spread, up @ high + down @ low + bias + spread
        if hidden:
            low, high = jnp.maximum(low, 0), jnp.maximum(high, 0)
        return (low, high, error), None

    if layers[0].shape[0] == 1:
        return step(state, tuple(part[0] for part in layers))[0]
    return jax.lax.scan(step, tuple(jnp.asarray(part) for part in state), layers)[0]
