"""Piecewise linear functions of one register, computed knot by knot with two registers: the core of coding networks."""

import dataclasses

import numpy as np
from jaxtyping import Float

Numbers = Float[np.ndarray, " steps"]


@dataclasses.dataclass(frozen=True, eq=False)
class Staircase:
    r"""The function $g(\tau) = \sum_k c_k \sigma(\tau - \tau_k)$ that rises by `jumps[k]` on the ramp [start, end] k.

    Two registers compute $\mathrm{acc} + g(\tau)$ from $(\tau, \mathrm{acc})$ in one layer a knot: with
    $\tau \leftarrow \sigma(\tau - (\tau_k - \tau_{k-1}))$ and $\mathrm{acc} \leftarrow \sigma(\mathrm{acc} + c_{k-1}
    \tau)$ the register $\tau$ is used up. The last knot is left to the layer that reads the result,
    $\mathrm{acc} + c_K \tau$. The accumulator has to stay at least 0 on the way.

    Args:
        starts, ends: The ramps, in increasing order and without overlap.
        jumps: How far the staircase rises on each.
    """

    starts: Numbers
    ends: Numbers
    jumps: Numbers

    @property
    def knots(self) -> Float[np.ndarray, " knots"]:
        return np.stack([self.starts, self.ends], 1).reshape(-1)

    @property
    def coefficients(self) -> Float[np.ndarray, " knots"]:
        slopes = self.jumps / (self.ends - self.starts)
        return np.stack([slopes, -slopes], 1).reshape(-1)

    def lowest(self, initial: float, end: float) -> float:
        r"""The least value on [0, end] of all partial sums $\mathrm{initial} + \sum_{i < k} c_i \sigma(\tau - \tau_i)$.

        A partial sum is the staircase up to its last knot and affine behind it, so its extremes are levels of the
        staircase and values at `end`.
        """
        levels = initial + np.concatenate([[0.0], np.cumsum(self.jumps)])
        slopes = self.jumps / (self.ends - self.starts)
        continued = levels[:-1] + slopes * np.maximum(end - self.starts, 0.0)
        return float(min(levels.min(), continued.min(initial=levels[0])))


def digit_ramps(codes: int, levels: int, ramp: float, scale: float) -> tuple[Numbers, Numbers]:
    r"""Where the code $u = q + s\,y$, q in 0..codes - 1, y in [0, 1], passes from one cell to the next one.

    Inside a run (fixed q) the m - 1 ramps are those of $y \in [j/m - \delta, j/m]$; between two runs u jumps from at
    most $q + s$ to at least $q + 1$, and the ramp lies in this gap with a tenth of it free on either side.

    Args:
        codes: Number of values of q.
        levels: m.
        ramp: $\delta < 1/m$.
        scale: s in (0, 1).

    Returns:
        Starts and ends of the `codes * levels - 1` ramps.
    """
    inner = np.arange(1, levels) / levels
    gap = 1.0 - scale
    starts = np.concatenate([scale * (inner - ramp), [scale + 0.1 * gap]])
    ends = np.concatenate([scale * inner, [1.0 - 0.1 * gap]])
    runs = np.arange(codes)[:, None]
    return (runs + starts).reshape(-1)[:-1], (runs + ends).reshape(-1)[:-1]
