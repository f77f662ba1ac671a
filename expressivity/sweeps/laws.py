r"""Laws of the error against the width: what they say, their parameters, and how they are fitted.

power: $E(w) = E_\infty + A\,w^{-a}$. exponential: $E(w) = E_\infty + A\,e^{-w/w_0}$. broken power:
$E(w) = A\,w^{-a}$ up to the break $w_b$ and $A\,w_b^{a' - a}\,w^{-a'}$ beyond it, continuous with a sharp break.
threshold: $E(w) = P$ for $w < T$ and $A\,w^{-a}$ for $w \ge T$. The first two also come without the offset $E_\infty$.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from expressivity.sweeps import fit_solve

Solver = Callable[..., fit_solve.Solution]
NEEDS_BREAK = ("broken power", "threshold")


@dataclasses.dataclass(frozen=True)
class Law:
    """One law.

    The solver works with coordinates in which the law is nearly linear; `scales` says how each becomes a parameter:
    "same", "exp", "inverse", or "gap", the number of widths before the threshold.

    Args:
        name: Its name.
        formula: E(w) in plain characters.
        parameters: The names of the parameters, in the order of the solver.
        scales: What makes a parameter of a coordinate of the solver.
        logarithmic: Whether the solver's x is log w; else it is w.
        solve: The solver.

    >>> law = find("power")
    >>> law.parameters, law.errors([1, 2, 4], {"offset": 0.1, "amplitude": 1.0, "exponent": 1.0}).round(9).tolist()
    (('offset', 'amplitude', 'exponent'), [1.1, 0.6, 0.35])
    """

    name: str
    formula: str
    parameters: tuple[str, ...]
    scales: tuple[str, ...]
    logarithmic: bool
    solve: Solver

    def axis(self, widths: Any) -> np.ndarray:
        """The solver's x: log w, or w."""
        widths = np.asarray(widths, float)
        return np.log(widths) if self.logarithmic else widths

    def fit(self, widths: Any, values: Any, weights: Any, held: fit_solve.Held = None) -> fit_solve.Solution:
        """The solver's coordinates of the best law for every row of `values` (logarithms), and its sum of squares."""
        with np.errstate(over="ignore", under="ignore"):
            return self.solve(self.axis(widths), values, weights, held)

    def outward(self, number: int, coordinate: Any, widths: Any) -> Any:
        """The parameter with this number from the solver's coordinate."""
        scale, value = self.scales[number], np.asarray(coordinate, float)
        with np.errstate(over="ignore", divide="ignore"):
            if scale == "exp":
                return np.exp(value)
            if scale == "inverse":
                return 1.0 / value
            return np.asarray(widths, float)[value.astype(int)] if scale == "gap" else value

    def inward(self, parameters: Any, widths: Any) -> np.ndarray:
        """The solver's coordinates of parameters that are given by name."""
        given = [float(parameters[name]) for name in self.parameters]
        found = []
        for scale, value in zip(self.scales, given, strict=True):
            if scale == "gap":
                found.append(float(np.searchsorted(np.asarray(widths, float), value)))
            else:
                found.append({"same": float, "exp": np.log, "inverse": np.reciprocal}[scale](value))
        return np.array(found)

    def log_errors(self, widths: Any, coordinates: Any, thresholds: Any = None) -> np.ndarray:
        """log E at the widths, one row for each row of coordinates; `thresholds` are the T of a threshold law."""
        x, theta = self.axis(widths), np.atleast_2d(coordinates)
        first, second = theta[:, :1], theta[:, 1:2]
        with np.errstate(over="ignore", under="ignore"):
            if self.name.startswith("threshold"):
                below = np.asarray(widths, float) < np.asarray(thresholds, float)[:, None]
                return np.where(below, first, second - theta[:, 2:3] * x)
            if self.name == "broken power":
                at = theta[:, 3:4]
                return first - second * np.minimum(x, at) - theta[:, 2:3] * np.maximum(x - at, 0.0)
            if self.parameters[0] == "offset":
                return np.logaddexp(fit_solve.log(first), second - theta[:, 2:3] * x)
        return first - second * x

    def errors(self, widths: Any, parameters: Any) -> np.ndarray:
        """E at the widths, for parameters given by name."""
        coordinates = self.inward(parameters, widths)
        at = [parameters[self.parameters[3]]] if self.scales[-1] == "gap" else None
        return np.exp(self.log_errors(widths, coordinates, at)[0])


LAWS = {
    law.name: law
    for law in (
        Law(
            "power",
            "E = offset + amplitude * w^-exponent",
            ("offset", "amplitude", "exponent"),
            ("same", "exp", "same"),
            True,
            fit_solve.decay,
        ),
        Law(
            "exponential",
            "E = offset + amplitude * exp(-w / scale)",
            ("offset", "amplitude", "scale"),
            ("same", "exp", "inverse"),
            False,
            fit_solve.decay,
        ),
        Law(
            "broken power",
            "E = amplitude * w^-exponent up to break_width, then w^-exponent_beyond, continuous",
            ("amplitude", "exponent", "exponent_beyond", "break_width"),
            ("exp", "same", "same", "exp"),
            True,
            fit_solve.broken,
        ),
        Law(
            "threshold",
            "E = plateau for w < threshold_width, then amplitude * w^-exponent",
            ("plateau", "amplitude", "exponent", "threshold_width"),
            ("exp", "exp", "same", "gap"),
            True,
            fit_solve.threshold,
        ),
        Law(
            "power without offset",
            "E = amplitude * w^-exponent",
            ("amplitude", "exponent"),
            ("exp", "same"),
            True,
            fit_solve.line,
        ),
        Law(
            "exponential without offset",
            "E = amplitude * exp(-w / scale)",
            ("amplitude", "scale"),
            ("exp", "inverse"),
            False,
            fit_solve.line,
        ),
    )
}


def find(name: Any) -> Law:
    """The law of that name.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(name, str) or name not in LAWS:
        raise ValueError(f"There is no law {name!r}; the laws are {', '.join(LAWS)}.")
    return LAWS[name]
