"""What every construction returns: a network, the function it stands for, and the bound that is proved."""

import dataclasses
import math

from expressivity.norms import checked_norm
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target
from expressivity.theorems import Theorem


@dataclasses.dataclass(frozen=True, eq=False)
class Construction:
    r"""A network from a theorem, and what is proved about it.

    Args:
        network: The network, weights in NumPy float64.
        target: What it approximates.
        theorem: Where it comes from.
        error_bound: A proved upper bound of $\|F - f\|$ in `norm`, against the target's probability measure, in exact
            arithmetic.
        norm: "L1", "L2" or "sup".
        width_bound: The width that the theorem promises; the network's own is never above.
        l2_bound: A proved bound in L2 where the source gives one beside `error_bound`.

    Raises:
        ValueError: If the bound is not a number of at least 0, or the network is wider than promised.

    >>> import expressivity as ex
    >>> from expressivity.constructions import lu2017
    >>> ceiling = lu2017.approximate(ex.targets.norm_squared(ex.Box(2)), cells=8)
    >>> ceiling.network.width, ceiling.norm, ceiling.width_bound
    (6, 'L1', 6)
    >>> ex.error(ceiling, ceiling.target, "L1").value <= ceiling.error_bound
    True
    >>> ceiling.bound("sup")
    inf
    """

    network: ReLUNetwork
    target: Target
    theorem: Theorem
    error_bound: float
    norm: str
    width_bound: int
    l2_bound: float | None = None

    def __post_init__(self) -> None:
        checked_norm(self.norm)
        if not (math.isfinite(self.error_bound) and self.error_bound >= 0):
            raise ValueError(f"The bound of a construction is a finite number of at least 0; got {self.error_bound}.")
        if self.network.width > self.width_bound:
            raise ValueError(
                f"The network has width {self.network.width}; {self.theorem} promises {self.width_bound} at most."
            )

    def bound(self, norm: str) -> float:
        r"""The best proved bound of the error in `norm`; `inf` where nothing is proved.

        Under a probability measure $\|g\|_1 \le \|g\|_2 \le \|g\|_{\sup}$, so a bound in a stronger norm holds in the
        weaker ones.

        Raises:
            ValueError: If the norm is unknown.
        """
        strength = {"L1": 0, "L2": 1, "sup": 2}
        known = [(self.norm, self.error_bound)] + ([("L2", self.l2_bound)] if self.l2_bound is not None else [])
        return min((b for k, b in known if strength[k] >= strength[checked_norm(norm)]), default=math.inf)
