"""Errors of many networks: by deterministic quadrature against a target, on held-out rows against a table."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from expressivity.data.table import Split
from expressivity.norms import NORMS, Rule, default_rule, rule
from expressivity.target import Target

TABLE_NORMS = ("L1", "L2")
_NORMAL_99 = 2.5758293035489004

Row = dict[str, Any]
Function = Callable[[np.ndarray], np.ndarray]  # (points, n) to (points, m), in float64


def grid(target: Target, order: int | None) -> Rule:
    """The quadrature rule with `order` points an axis; the default one for None."""
    return default_rule(target) if order is None else rule(target, order)


def norms_of(target: Target) -> tuple[str, ...]:
    """The norms that can be measured: without "sup" where the support is unbounded."""
    return NORMS if target.measure.bounded else tuple(norm for norm in NORMS if norm != "sup")


def against_target(function: Function, target: Target, points: Rule) -> Iterator[Row]:
    """One row a norm with error, half-width and the fraction of variance unexplained."""
    outputs = function(points.points)[:, 0]
    found = {norm: points.norms(outputs, norm) for norm in norms_of(target)}
    variance = points.variance
    fvu = float(found["L2"][0]) ** 2 / variance if variance > 0 else float("nan")
    for norm, (value, half_width) in found.items():
        yield {"norm": norm, "error": float(value), "half_width": float(half_width), "fvu": fvu}


def against_rows(function: Function, split: Split) -> Iterator[Row]:
    """The same on the held-out rows, in standard deviations of the training part.

    The half-width is that of the normal law at 99 %, for the error on further rows of the same kind.
    """
    residual = np.abs(function(split.test_features)[:, 0] - split.test_values)
    count = len(residual)
    spread = float(((split.test_values - split.test_values.mean()) ** 2).mean())
    fvu = float((residual**2).mean()) / spread if spread > 0 else float("nan")
    for norm in TABLE_NORMS:
        powers = residual if norm == "L1" else residual**2
        value = mean = float(powers.mean())
        half_width = _NORMAL_99 * float(powers.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
        if norm == "L2":
            value = mean**0.5
            half_width = max((mean + half_width) ** 0.5 - value, value - max(0.0, mean - half_width) ** 0.5)
        yield {"norm": norm, "error": value, "half_width": half_width, "fvu": fvu}
