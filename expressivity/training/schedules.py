"""Schedules: what the learning rate is multiplied with, step by step."""

import dataclasses
import math
from typing import Any

import numpy as np

NAMES = ("linear", "constant", "cosine")
KINDS = ("step", "multistep", "exp", "inv", "poly")


@dataclasses.dataclass(frozen=True)
class Schedule:
    r"""The policies of the original image runs, with steps counted from t = 0 and T steps in all.

    =========== ==========================================================
    kind        factor at step t
    =========== ==========================================================
    "step"      $\gamma^{\lfloor t / \mathrm{every} \rfloor}$
    "multistep" $\gamma^{k}$, k the number of steps of `at` that are $\le t$
    "exp"       $\gamma^t$
    "inv"       $(1 + \gamma t)^{-\mathrm{power}}$
    "poly"      $(1 - t / T)^{\mathrm{power}}$
    =========== ==========================================================

    Args:
        kind: "step", "multistep", "exp", "inv" or "poly".
        gamma: The number γ of the table.
        every: Steps between two drops of "step".
        at: The steps of "multistep", growing.
        power: The exponent of "inv" and "poly".

    Raises:
        ValueError: If the kind is unknown or a number that it needs is missing or out of its range.

    >>> Schedule("step", gamma=0.1, every=2).factors(5).round(4).tolist()
    [1.0, 1.0, 0.1, 0.1, 0.01]
    >>> Schedule("inv", gamma=0.5, power=1.0).factors(3).tolist()
    [1.0, 0.6666666666666666, 0.5]
    """

    kind: str
    gamma: float | None = None
    every: float | None = None
    at: tuple[float, ...] = ()
    power: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"The kind of a Schedule is one of {', '.join(KINDS)}; got {self.kind!r}.")
        object.__setattr__(self, "at", tuple(self.at))
        for field, kinds in (("gamma", ("step", "multistep", "exp", "inv")), ("power", ("inv", "poly"))):
            value = getattr(self, field)
            if self.kind in kinds and not (value is not None and math.isfinite(value) and value > 0):
                raise ValueError(f"The schedule {self.kind!r} needs a positive {field}; got {value}.")
        if self.kind == "step" and not (self.every is not None and self.every > 0):
            raise ValueError(f"The schedule 'step' needs a positive number of steps `every`; got {self.every}.")
        if self.kind == "multistep" and (not self.at or list(self.at) != sorted(set(self.at)) or self.at[0] <= 0):
            raise ValueError(f"The schedule 'multistep' needs positive, growing steps `at`; got {self.at}.")

    def factors(self, steps: int) -> np.ndarray:
        """The factor at each of `steps` steps, shape (steps,)."""
        t, gamma, power = np.arange(steps, dtype=np.float64), self.gamma or 1.0, self.power or 1.0
        if self.kind == "step":
            return gamma ** np.floor(t / (self.every or 1))
        if self.kind == "multistep":
            return gamma ** np.searchsorted(np.asarray(self.at), t, side="right").astype(np.float64)
        if self.kind == "exp":
            return gamma**t
        if self.kind == "inv":
            return (1 + gamma * t) ** -power
        return (1 - t / steps) ** power

    def stretched(self, ratio: float) -> "Schedule":
        """The same curve over `ratio` times as many steps.

        >>> Schedule("multistep", gamma=0.2, at=(60, 120)).stretched(0.5).at
        (30.0, 60.0)
        """
        gamma = self.gamma
        if gamma is not None and self.kind == "exp":
            gamma = gamma ** (1 / ratio)
        elif gamma is not None and self.kind == "inv":
            gamma = gamma / ratio
        return dataclasses.replace(
            self,
            gamma=gamma,
            every=None if self.every is None else self.every * ratio,
            at=tuple(step * ratio for step in self.at),
        )

    def __str__(self) -> str:
        parts = [f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self)[1:]]
        return f"{self.kind}({', '.join(part for part in parts if not part.endswith(('=None', '=()')))})"


def factors(schedule: Any, steps: int) -> np.ndarray:
    """The factors of a schedule given by name or as a `Schedule`."""
    if isinstance(schedule, Schedule):
        return schedule.factors(steps)
    position = np.arange(steps) / steps
    if schedule == "linear":
        return 1.0 - position
    return np.ones(steps) if schedule == "constant" else 0.5 * (1 + np.cos(math.pi * position))
