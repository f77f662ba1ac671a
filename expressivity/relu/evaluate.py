"""Values of a network at many points, in the precision that was asked for."""

from typing import Any

import jax
import numpy as np

from expressivity.relu.network import ReLUNetwork


def evaluate(network: ReLUNetwork, points: Any, dtype: Any = np.float64, chunk: int | None = None) -> np.ndarray:
    r"""The values $F(x_1), \dots, F(x_k)$, whatever precision JAX is set to."""
    points = np.asarray(points, dtype=dtype)
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        network = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=dtype), network)
        step = chunk or len(points)
        return np.concatenate([np.asarray(_many(network, points[i : i + step])) for i in range(0, len(points), step)])


_many = jax.jit(lambda network, points: jax.vmap(network)(points))
