"""What a lower bound says: its number, its norm, the class of networks it holds for, and what it rests on."""

import dataclasses
import math

from expressivity.theorems import Theorem

NORMS = ("L1", "L2", "sup", "L2 squared", "errors")


@dataclasses.dataclass(frozen=True)
class NetworkClass:
    """The networks that a certificate speaks about; `None` means "any".

    Args:
        width: At most this many units in every hidden layer.
        first_width: At most this many units in the first hidden layer; later ones are free.
        hidden_layers: At most this many hidden layers.
        hidden_widths: At most these widths, layer by layer.
        this: One given network only.

    >>> str(NetworkClass(width=2))
    'every network of width <= 2, any depth'
    """

    width: int | None = None
    first_width: int | None = None
    hidden_layers: int | None = None
    hidden_widths: tuple[int, ...] | None = None
    this: bool = False

    def __str__(self) -> str:
        if self.this:
            return "this network"
        limits = []
        if self.width is not None:
            limits.append(f"width <= {self.width}")
        if self.first_width is not None:
            limits.append(f"first hidden layer <= {self.first_width}")
        if self.hidden_widths is not None:
            limits.append(f"hidden widths <= {self.hidden_widths}")
        limits.append("any depth" if self.hidden_layers is None else f"hidden layers <= {self.hidden_layers}")
        return "every network of " + ", ".join(limits)

    def covers(self, hidden_widths: tuple[int, ...]) -> bool:
        """Whether a network with these hidden widths belongs to the class.

        >>> NetworkClass(width=2).covers((2, 2)), NetworkClass(first_width=2).covers((3, 1))
        (True, False)
        """
        if self.this:
            return False
        return (
            (self.width is None or max(hidden_widths, default=0) <= self.width)
            and (self.first_width is None or not hidden_widths or hidden_widths[0] <= self.first_width)
            and (self.hidden_layers is None or len(hidden_widths) <= self.hidden_layers)
            and (
                self.hidden_widths is None
                or (
                    len(hidden_widths) <= len(self.hidden_widths)
                    and all(w <= limit for w, limit in zip(hidden_widths, self.hidden_widths, strict=False))
                )
            )
        )


@dataclasses.dataclass(frozen=True)
class Certificate:
    r"""A proved lower bound: $\|F - f\| \ge \mathrm{value}$ for every network F of a class.

    Args:
        value: The bound, at least 0; 0 says nothing, and `assumptions` then say why.
        norm: "L1", "L2" (not squared) or "sup", against the target's probability measure; "L2 squared" for
            certificates that say so.
        against: The class of networks.
        theorem: Where the inequality comes from; its constants are explicit.
        assumptions: What the number rests on besides the theorem: quadrature and its resolution, a minimum found
            numerically, tolerances with margins. Empty for closed forms.

    Raises:
        ValueError: If the value is negative or not finite, the norm unknown, or the theorem only existential.

    >>> from expressivity import theorems
    >>> theorem = theorems.find("expressivity", "bottleneck")
    >>> print(Certificate(0.5, "sup", NetworkClass(width=2), theorem))
    sup error >= 0.5 for every network of width <= 2, any depth (expressivity, bottleneck)
    """

    value: float
    norm: str
    against: NetworkClass
    theorem: Theorem
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"The norm of a certificate is one of {', '.join(NORMS)}; got {self.norm!r}.")
        if not (math.isfinite(self.value) and self.value >= 0):
            raise ValueError(f"The value of a certificate is finite and at least 0; got {self.value}.")
        if not self.theorem.explicit:
            raise ValueError(f"{self.theorem} has only existential constants; no number can be certified from it.")

    def __str__(self) -> str:
        text = f"{self.norm} error >= {self.value:.6g} for {self.against} ({self.theorem})"
        return text + ("; " + "; ".join(self.assumptions) if self.assumptions else "")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A measured error of a trained network. It proves nothing about what other networks can do.

    Args:
        value: The error.
        half_width: Of the measurement.
        norm: "L1", "L2" or "sup".
        method: How it was measured.
        origin: Which network: family, width, hidden layers, seed.

    >>> Evidence(0.3, 1e-6, "L2", "quadrature", "MLP, width 2, seed 7").value
    0.3
    """

    value: float
    half_width: float
    norm: str
    method: str
    origin: str
