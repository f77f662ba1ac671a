"""The dimension of the functions near a network: the numerical rank of its Jacobian, with the margin of the rank."""

from typing import Any, NamedTuple

import jax
import numpy as np

from expressivity.relu.network import ReLUNetwork

_TOLERANCE = 1e-9
_rows = jax.jit(jax.vmap(jax.grad(lambda network, x: network(x)[0]), (None, 0)))


class Dimension(NamedTuple):
    """How many functions there are near a network.

    Args:
        rank: Numerical rank of the Jacobian of the values at the points with respect to the parameters: a lower bound
            of the dimension of the class near the network, where `margin` is large.
        largest: Parameters less hidden units, which no rank exceeds.
        margin: The smallest singular value that counts over the largest one that does not (`inf` if all count), after
            columns were scaled to length 1.
    """

    rank: int
    largest: int
    margin: float


def dimension(network: ReLUNetwork, points: Any) -> Dimension:
    r"""The numerical rank of $\partial F(x_i)/\partial\theta$ at the network's parameters $\theta$, columns normalised.

    Functions of a class with fewer effective parameters than the rank do not fill a neighbourhood of the network:
    almost every network near it is not in that class (the computable form of Theorem 4 of Lu et al.). It says nothing
    about distances. Singular values above 1e-9 of the largest count.

    Args:
        network: A network with one output.
        points: The $x_i$, shape (k, n); many more than parameters, and spread so that every unit changes its sign.

    Raises:
        TypeError: If `network` is no `ReLUNetwork`.
        ValueError: If the network has several outputs, the shape does not fit, or a coordinate is NaN or infinite.

    >>> import expressivity as ex, numpy as np
    >>> net = ex.relu.gadgets.random_network(2, (4, 4), seed=3)
    >>> points = np.random.default_rng(0).uniform(-3, 3, (400, 2))
    >>> ex.certificates.dimension(net, points).largest
    29
    """
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"The dimension is that of a ReLUNetwork; got {type(network).__name__}.")
    points = np.asarray(points, dtype=np.float64)
    if network.output_dim != 1:
        raise ValueError(f"The dimension is that of a network with one output; this one has {network.output_dim}.")
    if points.ndim != 2 or points.shape[1] != network.input_dim or not len(points):
        raise ValueError(f"The network reads points of shape (k, {network.input_dim}); got {points.shape}.")
    if not np.all(np.isfinite(points)):
        where = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"Point {where} has a coordinate that is NaN or infinite: {points[where].tolist()}.")
    with jax.enable_x64(True):
        parameters = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float64), network)
        leaves = [np.asarray(leaf).reshape(len(points), -1) for leaf in jax.tree.leaves(_rows(parameters, points))]
    jacobian = np.concatenate(leaves, axis=1)
    length = np.linalg.norm(jacobian, axis=0)
    jacobian = jacobian[:, length > 0] / length[length > 0]
    singular = np.linalg.svd(jacobian, compute_uv=False)
    largest = network.size - sum(network.hidden_widths)
    counted = singular > _TOLERANCE * singular[0]
    rank = int(counted.sum())
    rest = float(singular[rank]) if rank < len(singular) else 0.0
    margin = float(singular[rank - 1]) / rest if rest > 0 else float("inf")
    return Dimension(rank, largest, margin)
