"""How often the intervals of a fit hold the truth, on data made from a law."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressivity.sweeps.fit_intervals import draw, level
from expressivity.sweeps.fit_sample import Sample
from expressivity.sweeps.fits import least_squares
from expressivity.sweeps.laws import find

NOISES = ("normal", "exponential", "lognormal")
_TOGETHER = 50


def coverage(
    law: str,
    parameters: Mapping[str, float],
    widths: Sequence[int],
    seeds: int,
    spread: float,
    simulations: int = 400,
    *,
    names: Sequence[str] | None = None,
    noise: str = "normal",
    root: int = 0,
    statistic: str = "mean",
    confidence: float = 0.95,
    resamples: int = 499,
) -> dict[str, Any]:
    r"""Makes errors $e_{ij} = E(w_i)\,e^{\sigma z_{ij}}$ again and again, and counts the intervals that hold the truth.

    The intervals are those of `fits.fit_errors(..., seed=i)` for data set i. Their ends are not computed: an interval
    holds v where $S_j(v) \le S + c \hat v$, so data sets are fitted many at a time. The interval of a break is the
    hull of that set, so it holds the truth at least as often as is counted here.

    The noise z has mean 0 and median 0 only if it is normal; the curve is that of the statistic, so z is centred at
    its mean, or at its median if the statistic is the median.

    Args:
        law, parameters: E.
        widths: The widths.
        seeds: Networks of each.
        spread: sigma, the standard deviation of log e.
        simulations: How many data sets.
        names: The parameters to check; by default all.
        noise: "normal", "exponential" (skewness 2) or "lognormal" (exp of a normal with deviation 1/2, skewness 1.75),
            with deviation 1.
        root: Of the random numbers; data set i does not depend on how many there are.
        statistic, confidence, resamples: As in `fits.fit_errors`.

    Returns:
        A row: law, seeds, simulations, and for each parameter the number of intervals that hold it. Refused fits
        count by the intervals they have, or as misses, so that refusing does not choose the lucky ones.

    >>> truth = {"plateau": 1.0, "amplitude": 2.0, "exponent": 1.0, "threshold_width": 6}
    >>> row = coverage("threshold", truth, [2, 3, 4, 6, 8, 12], 8, 0.1, 20, resamples=100)
    >>> row["threshold_width"]
    20
    """
    form = find(law)
    names = form.parameters if names is None else tuple(names)
    wrong = [name for name in names if name not in form.parameters]
    if wrong:
        raise ValueError(f"The law {law} has no parameter {wrong[0]!r}; it has {', '.join(form.parameters)}.")
    curve, held = form.errors(widths, parameters)[:, None], dict.fromkeys(names, 0)
    for begin in range(0, simulations, _TOGETHER):
        numbers, fits = [], []
        for number in range(begin, min(begin + _TOGETHER, simulations)):
            z = _noise(np.random.default_rng([root, number]), (len(curve), seeds), noise, statistic)
            sample = Sample.of(widths, list(curve * np.exp(spread * z)), statistic)
            fit = least_squares(sample, form, confidence, resamples)
            if not fit.reason:
                numbers.append(number)
                fits.append(fit)
        if not fits:
            continue
        draws = [draw(fit, np.random.default_rng(number)) for fit, number in zip(fits, numbers, strict=True)]
        values, weights = np.stack([fit.sample.values for fit in fits]), fits[0].sample.weights
        least, variance = (np.array([getattr(fit, key) for fit in fits]) for key in ("sum_of_squares", "variance"))
        for name in names:
            j = form.parameters.index(name)
            at = float(form.inward(parameters, widths)[j])
            _, squares = form.fit(fits[0].widths, values, weights, (j, at))
            slack = level(form, fits, draws, j, at) * variance + 1e-9 * least
            held[name] += int((squares <= least + slack).sum())
    return {"law": law, "seeds": seeds, "simulations": simulations, **held}


def _noise(rng: np.random.Generator, shape: tuple[int, int], noise: str, statistic: str) -> np.ndarray:
    if noise not in NOISES:
        raise ValueError(f"The noise is one of {', '.join(NOISES)}, not {noise!r}.")
    z = rng.standard_normal(shape)
    if noise == "normal":
        return z
    if noise == "exponential":
        z = -np.log(rng.uniform(size=shape))
        return z - (np.log(2.0) if statistic == "median" else 1.0)
    square = 0.25
    middle = 1.0 if statistic == "median" else np.exp(square / 2)
    return (np.exp(0.5 * z) - middle) / np.sqrt(np.expm1(square) * np.exp(square))
