"""Embeddings of trained networks into wider and deeper ones, and noise for warm starts."""

from typing import Any

import jax
import numpy as np

from expressivity.relu.calculus import pad_depth, pad_width
from expressivity.relu.network import ReLUNetwork


def widen(network: ReLUNetwork, width: int, key: Any = None) -> ReLUNetwork:
    r"""The same function with `width` units in every hidden layer, to start training from.

    Without a key the new units are zero ([`pad_width`](#expressivity.pad_width)): training leaves them zero for ever.
    With a key the weights that lead *into* the new units are drawn from $\mathcal N(0, 2/\mathrm{fan\ in})$ (biases 0)
    and those that lead from new units to old ones are 0: the function is the same, exactly, and gradients reach the
    outgoing weights at the first step.

    Args:
        network: The network.
        width: Units of every hidden layer.
        key: A JAX random key, or None.

    Raises:
        ValueError: If a hidden layer is wider than `width` already.

    >>> import expressivity as ex, jax, numpy as np
    >>> net = ex.identity(2, depth=3)
    >>> wide = widen(net, 7, jax.random.key(0))
    >>> wide.hidden_widths, np.asarray(wide(np.array([1.0, -2.0]))).tolist()
    ((7, 7), [1.0, -2.0])
    """
    padded = pad_width(network, width)
    if key is None:
        return padded
    layers, old = list(padded.layers), network.hidden_widths
    result = []
    for number, (weight, bias) in enumerate(layers):
        if number < len(old):
            weight = np.array(weight)
            noise = jax.random.normal(jax.random.fold_in(key, number), weight.shape, np.float32)
            fresh = np.asarray(noise, dtype=np.float64) * np.sqrt(2.0 / weight.shape[1])
            weight[old[number] :] = fresh[old[number] :]
        result.append((weight, bias))
    return ReLUNetwork.from_layers(result)


def deepen(network: ReLUNetwork, hidden_layers: int) -> ReLUNetwork:
    r"""The same function with `hidden_layers` hidden layers, to start training from.

    Layers $h \mapsto \sigma(I h)$ are put behind the last hidden layer, where $h \ge 0$. Their weights are trained like
    any others; gradients reach them wherever a unit is alive.

    Raises:
        ValueError: If the network has more hidden layers already.

    >>> import expressivity as ex
    >>> deepen(ex.identity(2, depth=2), 4).hidden_widths
    (4, 4, 4, 4)
    """
    if network.hidden_layers > hidden_layers:
        raise ValueError(
            f"Cannot deepen to {hidden_layers} hidden layers: the network has {network.hidden_layers} already."
        )
    return pad_depth(network, hidden_layers + 1)


def perturb(network: ReLUNetwork, key: Any, relative: float) -> ReLUNetwork:
    r"""The network with every weight and bias $w$ made $w\,(1 + \mathrm{relative}\cdot z)$, $z \sim \mathcal N(0, 1)$.

    Zeros stay zero, so a sparse construction stays sparse.

    Args:
        network: The network.
        key: A JAX random key.
        relative: Standard deviation of the relative change.

    Raises:
        ValueError: If `relative` is negative or not finite.

    >>> import expressivity as ex, jax
    >>> net = ex.identity(2, depth=3)
    >>> perturb(net, jax.random.key(0), 1e-3).nonzeros == net.nonzeros
    True
    """
    if not (np.isfinite(relative) and relative >= 0):
        raise ValueError(f"A relative change is finite and not negative, not {relative}.")
    layers = []
    for number, pair in enumerate(network.layers):
        changed = []
        for part, leaf in enumerate(pair):
            leaf = np.asarray(leaf)
            noise = jax.random.normal(jax.random.fold_in(key, 2 * number + part), leaf.shape, np.float32)
            changed.append((leaf * (1 + relative * np.asarray(noise, dtype=np.float64))).astype(leaf.dtype))
        layers.append(tuple(changed))
    return ReLUNetwork.from_layers(layers)
