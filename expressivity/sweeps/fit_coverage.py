"""How often the intervals of a fit hold the truth, on data made from a law."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressivity.sweeps.fits import fit_errors
from expressivity.sweeps.laws import find


def coverage(
    law: str,
    parameters: Mapping[str, float],
    widths: Sequence[int],
    seeds: int,
    spread: float,
    simulations: int = 400,
    *,
    noise: str = "normal",
    root: int = 0,
    **options: Any,
) -> dict[str, Any]:
    r"""Fits errors $e_{ij} = E(w_i)\,e^{\sigma z_{ij}}$ again and again, and counts the intervals that hold the truth.

    Args:
        law, parameters: E.
        widths: The widths.
        seeds: Networks of each.
        spread: sigma, the standard deviation of log e.
        simulations: How many data sets.
        noise: "normal", or "skewed" (an exponential variable with median 0).
        root: Of the random numbers; data set i does not depend on how many there are.
        options: As in `fits.fit_errors`.

    Returns:
        A row: law, seeds, simulations, accepted, and for each parameter the number of intervals that hold it. Refused
        fits count where they have intervals, so that refusing does not choose the lucky ones.

    >>> truth = {"plateau": 1.0, "amplitude": 2.0, "exponent": 1.0, "threshold_width": 6}
    >>> row = coverage("threshold", truth, [2, 3, 4, 6, 8, 12], 8, 0.1, 4, resamples=100)
    >>> row["accepted"], row["threshold_width"]
    (4, 4)
    """
    curve = find(law).errors(widths, parameters)[:, None]
    held = dict.fromkeys(parameters, 0)
    accepted = 0
    for number in range(simulations):
        rng = np.random.default_rng([root, number])
        z = rng.standard_normal((len(curve), seeds))
        if noise == "skewed":
            z = rng.exponential(1.0, z.shape) - np.log(2.0)
        fit = fit_errors(widths, list(curve * np.exp(spread * z)), law, seed=number, **options)
        accepted += fit.accepted
        for name, (low, high) in fit.intervals.items():
            held[name] += bool(low <= parameters[name] <= high)
    return {"law": law, "seeds": seeds, "simulations": simulations, "accepted": accepted, **held}
