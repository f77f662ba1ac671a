r"""Venturi, Jelassi, Ozuch and Bruna (2022): oscillations $\cos(2\pi\omega H(x))$ of a function H of one hidden layer.

With two hidden layers they are piecewise-linear functions of H. Lower bounds for one hidden layer are known here for
radial functions (`certificates.tube`) and for functions of inner products (`certificates.rank`) alone.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.measures import AbstractDomain
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target


def oscillation(inner: ReLUNetwork, frequency: float, *, head_knots: int, measure: AbstractDomain) -> Construction:
    r"""$\cos(2\pi\omega H(x))$ by hidden layers of the width of H and of $m + 1$ units.

    H takes its values on the domain in an interval of length 2 B, found by interval arithmetic; the cosine is
    interpolated at m + 1 equal steps of it: the sup error is at most $(2\pi\omega)^2(2B/m)^2/8$.

    Args:
        inner: H, a network with one hidden layer and one output.
        frequency: omega, positive and finite.
        head_knots: m, cells of the head.
        measure: A bounded domain, such as `ex.Box(2)`.

    Returns:
        A `Construction` in the sup norm.

    Raises:
        TypeError: If the measure is not uniform on a bounded domain.
        ValueError: If H does not have one hidden layer and one output, or a number is out of its range.

    >>> import expressivity as ex
    >>> made = oscillation(ex.relu.ReLUNetwork.from_layers([([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])]),
    ...                    1.0, head_knots=40, measure=ex.Box(1))
    >>> made.network.hidden_widths, round(float(made.network([0.5])[0]), 9)
    ((2, 41), -1.0)
    """
    if not isinstance(measure, AbstractDomain):
        raise TypeError(f"The oscillation is bounded on a bounded domain such as Box(2); got {measure!r}.")
    if inner.hidden_layers != 1 or inner.output_dim != 1 or inner.input_dim != measure.dim:
        raise ValueError(
            f"H has one hidden layer, one output and {measure.dim} inputs; got {inner.hidden_layers}, "
            f"{inner.output_dim} and {inner.input_dim}."
        )
    if not (math.isfinite(frequency) and frequency > 0):
        raise ValueError(f"A frequency is positive and finite; got {frequency}.")
    if isinstance(head_knots, bool) or head_knots != int(head_knots) or head_knots < 1:
        raise ValueError(f"A head has at least 1 cell; got head_knots={head_knots}.")
    low, high = _range(inner, measure)
    ends = np.linspace(low, high, int(head_knots) + 1)
    values = np.cos(2 * np.pi * frequency * ends)
    jumps = np.diff(np.concatenate([[0.0], np.diff(values) / np.diff(ends), [0.0]]))
    first, (weight, bias) = inner.layers
    network = ReLUNetwork.from_layers(
        [first, (np.repeat(weight, len(ends), 0), bias - ends), (jumps[None], values[:1])]
    )
    slope = float(np.linalg.norm(np.abs(weight[0]) @ np.abs(first[0])))
    target = Target(
        lambda x: jnp.cos(2 * jnp.pi * frequency * inner(x)[0]),
        measure,
        lipschitz=2 * math.pi * frequency * slope,
        name=f"oscillation_{frequency:g}",
    )
    return Construction(
        network=network,
        target=target,
        theorem=theorems.find("expressivity", "oscillation of a hidden layer"),
        error_bound=(2 * math.pi * frequency) ** 2 * ((high - low) / head_knots) ** 2 / 8,
        norm="sup",
        width_bound=max(inner.width, len(ends)),
    )


def _range(inner: ReLUNetwork, measure: AbstractDomain) -> tuple[float, float]:
    """An interval that holds the values of H on the box around the domain, not empty."""
    corners: tuple[Any, Any] = measure.box
    center, half = (corners[0] + corners[1]) / 2, (corners[1] - corners[0]) / 2
    (w, b), (v, c) = inner.layers
    mid, spread = w @ center + b, np.abs(w) @ half
    low, high = np.maximum(mid - spread, 0.0), np.maximum(mid + spread, 0.0)
    positive, negative = np.maximum(v[0], 0.0), np.minimum(v[0], 0.0)
    bottom, top = positive @ low + negative @ high + c[0], positive @ high + negative @ low + c[0]
    margin = 1e-12 * (abs(bottom) + abs(top)) + 1e-300
    return float(bottom - margin), float(max(top + margin, bottom + 1e-9))
