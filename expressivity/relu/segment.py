"""Where a network bends along a segment, in float64: quick enough for deep networks."""

from typing import Any

import numpy as np
from jaxtyping import Float

from expressivity.relu.network import ReLUNetwork

_MOST = 1 << 20


def breakpoints(network: ReLUNetwork, start: Any, end: Any) -> Float[np.ndarray, " breakpoints"]:
    r"""All t in (0, 1) at which some unit of the network passes through 0 on the segment.

    At t the point is $(1 - t)\,\mathrm{start} + t\,\mathrm{end}$; the network is affine between two breakpoints. Layer
    by layer, the zeros of every pre-activation, which is affine between the breakpoints known so far, are added. Bends
    that later layers cancel are kept; `pieces` gives the irreducible ones, exactly, for small networks. Positions
    carry the rounding of float64.

    Args:
        network: Any network.
        start, end: Points of shape (n,).

    Raises:
        ValueError: If a point has another shape, or there are more than a million breakpoints.

    >>> import numpy as np
    >>> hat = ReLUNetwork.from_layers([(np.ones((2, 1)), [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
    >>> breakpoints(hat, [-1.0], [1.0]).tolist()
    [0.5, 0.75]
    """
    ends = [np.asarray(point, dtype=np.float64) for point in (start, end)]
    for point in ends:
        if point.shape != (network.input_dim,):
            raise ValueError(
                f"A segment of this network joins points of shape ({network.input_dim},); got {point.shape}."
            )
    t, h = np.array([0.0, 1.0]), np.stack(ends)
    for number, (weight, bias) in enumerate(network.layers):
        if number == network.depth - 1:
            break
        z = h @ np.asarray(weight, dtype=np.float64).T + np.asarray(bias, dtype=np.float64)
        piece, unit = np.nonzero(z[:-1] * z[1:] < 0)
        if len(piece):
            left, right = z[piece, unit], z[piece + 1, unit]
            share = left / (left - right)
            where = t[piece] + share * (t[piece + 1] - t[piece])
            between = z[piece] + share[:, None] * (z[piece + 1] - z[piece])
            between[np.arange(len(piece)), unit] = 0.0
            t, z = np.concatenate([t, where]), np.concatenate([z, between])
            order = np.argsort(t, kind="stable")
            t, z = t[order], z[order]
            if len(t) > _MOST:
                raise ValueError(f"The network has more than {_MOST} breakpoints on this segment.")
        h = np.maximum(z, 0.0)
    inner = np.unique(t)
    return inner[(inner > 0.0) & (inner < 1.0)]
