r"""Safran and Shamir (2017): the indicator of a ball, and functions of $|x|_1$, with two hidden layers.

Their lower bound is for squared error $c/d^4$ under a special distribution, with unknown constants; the floor to use
here is `expressivity.certificates.tube` with `eldan_shamir2016.ball_profile`.
"""

import math

import numpy as np

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.radial_network import FactoredNetwork
from expressivity.measures import AbstractMeasure, Ball, checked_dim
from expressivity.radial_measures import EldanShamir
from expressivity.radial_profiles import Profile
from expressivity.relu.network import ReLUNetwork
from expressivity.targets import ball_indicator as _target


def ball_indicator(d: int, *, knots: int, ramp: float, measure: AbstractMeasure | None = None) -> Construction:
    r"""The indicator of the unit ball, by hidden layers of widths $2d(m + 1)$ and 2.

    $F(x) = 1 - (\sigma(S - 1) - \sigma(S - 1 - w))/w$ with $S \in [|x|^2, |x|^2 + e]$ below $1 + w$, $e = dh^2/4$,
    $h = \sqrt{1 + w}/m$. F lies in [0, 1] and is the indicator except where $1 - e < |x|^2 < 1 + w$, so
    $\int (F - 1_B)^2 d\rho \le \rho(1 - e < |x|^2 < 1 + w)$ for every $\rho$.

    Args:
        d: Dimension.
        knots: m, cells on the half axis of a coordinate.
        ramp: w, the width of the ramp in $|x|^2$, positive and finite.
        measure: $\rho$, a `Ball` or `EldanShamir`; by default the ball of twice the volume.

    Returns:
        A `Construction` in L2.

    Raises:
        ValueError: If an argument is out of its range or the measure is another one.

    >>> made = ball_indicator(3, knots=20, ramp=0.01)
    >>> made.network.hidden_widths, float(made.network([0.5, 0.5, 0.5])[0])
    ((126, 2), 1.0)
    """
    d = checked_dim(d)
    if not (math.isfinite(ramp) and ramp > 0):
        raise ValueError(f"The ramp of the indicator is positive and finite; got {ramp}.")
    measure = Ball(d, 2.0 ** (1 / d)) if measure is None else measure
    if measure.dim != d:
        raise ValueError(f"The measure has dimension {measure.dim}, the ball {d}.")
    net = FactoredNetwork(Profile(d, np.array([0.0, 1.0, 1.0 + ramp]), np.array([1.0, 1.0, 0.0])), knots)
    inner, outer = math.sqrt(max(0.0, 1 - net.excess)), math.sqrt(1 + ramp)
    if isinstance(measure, Ball):
        radius = measure.radius
        probability = (min(outer, radius) ** d - min(inner, radius) ** d) / radius**d
    elif isinstance(measure, EldanShamir):
        probability = measure.shell(inner, outer).mass
    else:
        raise ValueError(f"The probability of a shell is known for Ball and EldanShamir; got {measure!r}.")
    return Construction(
        network=net.dense(),
        target=_target(measure, 1.0),
        theorem=theorems.find("expressivity", "ball indicator"),
        error_bound=math.sqrt(probability),
        norm="L2",
        width_bound=max(net.widths),
    )


def l1_ball_distance(d: int) -> ReLUNetwork:
    r"""$\sigma(|x|_1 - 1)$ exactly, with hidden layers of widths 2 d and 1.

    >>> l1_ball_distance(2).hidden_widths, float(l1_ball_distance(2)([1.0, -0.5])[0])
    ((4, 1), 0.5)
    """
    d = checked_dim(d)
    return ReLUNetwork.from_layers(
        [
            (np.concatenate([np.eye(d), -np.eye(d)]), np.zeros(2 * d)),
            (np.ones((1, 2 * d)), np.array([-1.0])),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )
