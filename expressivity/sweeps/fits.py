"""Fitting laws of the error against the width, with intervals, and refusing where the data do not carry the law."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from expressivity.sweeps.fit_compare import Comparison as Comparison
from expressivity.sweeps.fit_compare import compare as compare
from expressivity.sweeps.fit_compare import criteria, explains_less
from expressivity.sweeps.fit_intervals import draw, interval, variances
from expressivity.sweeps.fit_record import Fit, curves
from expressivity.sweeps.fit_sample import Sample, from_table
from expressivity.sweeps.laws import NEEDS_BREAK, Law, find

MISFIT = 0.01
LARGE_SHARE = 0.5


def fit_table(
    table: Any,
    law: str = "power",
    *,
    norm: str | None = None,
    hidden_layers: int | None = None,
    family: str | None = None,
    offset: bool = True,
    statistic: str = "mean",
    confidence: float = 0.95,
    resamples: int = 499,
    seed: int = 0,
) -> Fit:
    """`fit_errors` on the rows of a sweep's table; see `SweepResult.fit`.

    Networks that diverged are left out and counted.

    Raises:
        ValueError: If the table holds several norms, depths, families or tasks and none was chosen, or an argument is
            out of range.
    """
    chosen = {"norm": norm, "hidden_layers": hidden_layers, "family": family, "task": None, "origin": None}
    sample = from_table(table, statistic, chosen)
    return _fit(sample, law, offset, confidence, resamples, seed)


def fit_errors(
    widths: Sequence[float],
    errors: Sequence[Any],
    law: str = "power",
    *,
    offset: bool = True,
    statistic: str = "mean",
    confidence: float = 0.95,
    resamples: int = 499,
    seed: int = 0,
) -> Fit:
    r"""Least squares of $\log E(w)$ to the logarithms of the errors, since their scatter is multiplicative.

    With four seeds or more at every width, intervals come from drawing seeds again within widths. Otherwise, and where
    the law misses the data by more than the seeds scatter (at 1 %), they come from the scatter of the widths about the
    law, taken as normal; so do those of `statistic="best"`, since the best of a few cannot be resampled. The mean of
    the logarithms is the default: its intervals hold what they say (see `fit_intervals`). It is the geometric mean of
    the errors, and a collapsed network moves it; where some collapse take the median, whose intervals are a little too
    long with few seeds.

    Args:
        widths: Distinct widths, or multipliers.
        errors: For each width one error or an array with one a seed.
        law: "power", "exponential", "broken power" or "threshold".
        offset: Whether the first two have an offset; without it E goes to 0.
        statistic: "median", "mean" (of the logarithms) or "best" of the seeds.
        confidence: Of the intervals.
        resamples: How often seeds are drawn again.
        seed: Of the random numbers.

    Raises:
        ValueError: If an argument is out of range.

    >>> fit = fit_errors([1, 2, 4, 8, 16], [1.1, 0.6, 0.35, 0.225, 0.1625], "power", resamples=200)
    >>> {name: round(value, 2) for name, value in fit.parameters.items()}
    {'offset': 0.1, 'amplitude': 1.0, 'exponent': 1.0}
    >>> fit_errors([1, 2, 4], [1.0, 0.5, 0.4], "power").reason
    'The law has 3 parameters and needs 4 widths; there are 3.'
    """
    return _fit(Sample.of(widths, errors, statistic), law, offset, confidence, resamples, seed)


def _fit(sample: Sample, name: str, offset: bool, confidence: float, resamples: int, seed: int) -> Fit:
    law = find(name)
    if not offset and law.parameters[0] == "offset":
        law = find(f"{name} without offset")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"The confidence lies in [0.5, 1), not {confidence}.")
    if isinstance(resamples, bool) or not hasattr(resamples, "__index__") or resamples < 100:
        raise ValueError(f"A quantile of resamples needs at least 100 of them, a whole number; got {resamples!r}.")
    fit = least_squares(sample, law, confidence, resamples)
    if fit.reason:
        return fit
    rng = np.random.default_rng(seed)
    fit = _with_intervals(fit, law, rng)
    reason = _unsupported(fit, law, rng)
    if reason:
        return dataclasses.replace(fit, reason=reason)
    size = len(law.parameters)
    found = [float(law.outward(j, fit.coordinates[j], sample.widths)) for j in range(size)]
    return dataclasses.replace(fit, parameters=dict(zip(law.parameters, found, strict=True)), accepted=True)


def _empty(sample: Sample, law: Law, confidence: float, resamples: int) -> Fit:
    nan, count = float("nan"), len(sample.widths)
    return Fit(
        law=law.name,
        parameters=dict.fromkeys(law.parameters, nan),
        intervals=dict.fromkeys(law.parameters, (nan, nan)),
        accepted=False,
        reason="",
        confidence=float(confidence),
        statistic=sample.statistic,
        widths=sample.widths,
        errors=np.exp(sample.values),
        seeds=sample.seeds,
        dropped=sample.dropped,
        residuals=np.full(count, nan),
        sum_of_squares=nan,
        aicc=nan,
        bic=nan,
        misfit=nan,
        scatter="seeds" if sample.resampled else "widths",
        resamples=int(resamples),
        sample=sample,
        coordinates=np.full(len(law.parameters), nan),
        variance=nan,
        freedom=0,
        again=np.zeros((0, len(law.parameters))),
        scales=np.zeros(0),
    )


def least_squares(sample: Sample, law: Law, confidence: float, resamples: int) -> Fit:
    """The fit without intervals: its criteria, where the variance of a width's statistic comes from, or a refusal."""
    from scipy import stats

    fit, count, size = _empty(sample, law, confidence, resamples), len(sample.widths), len(law.parameters)
    if count < size + 1:
        reason = f"The law has {size} parameters and needs {size + 1} widths; there are {count}."
        return dataclasses.replace(fit, reason=reason)
    theta, squares = law.fit(sample.widths, sample.values[None], sample.weights)
    theta, least = theta[0], float(squares[0])
    about, left = max(least, 1e-24), len(sample.widths) - size
    residuals = sample.values - curves(law, sample.widths, sample.widths, theta[None])[0]
    variance, freedom, scatter, misfit, within = about / left, left, "widths", float("nan"), None
    if fit.scatter == "seeds":
        within = sample.variance() * sample.inflation()
        misfit = float(stats.f.sf(about / left / within, left, sample.freedom))
        if misfit >= MISFIT:
            variance, freedom, scatter = within, sample.freedom, "seeds"
    aicc, bic = criteria(least, size, sample, within)
    fit = dataclasses.replace(
        fit,
        residuals=residuals,
        sum_of_squares=least,
        aicc=aicc,
        bic=bic,
        misfit=misfit,
        scatter=scatter,
        coordinates=theta,
        variance=variance,
        freedom=freedom,
    )
    return dataclasses.replace(fit, reason=_no_fall(fit))


def _with_intervals(fit: Fit, law: Law, rng: np.random.Generator) -> Fit:
    sample, draws = fit.sample, draw(fit, rng)
    center = curves(law, sample.widths, sample.widths, fit.coordinates[None])
    again, least = law.fit(sample.widths, center + draws[0], sample.weights)
    intervals = {name: interval(law, fit, number, draws) for number, name in enumerate(law.parameters)}
    return dataclasses.replace(fit, intervals=intervals, again=again, scales=variances([fit], [draws], least))


def _no_fall(fit: Fit) -> str:
    """Whether a weighted line of log error against log width falls by more than the scatter about the law explains."""
    from scipy import stats

    sample = fit.sample
    x = np.log(sample.widths)
    x = x - np.average(x, weights=sample.weights)
    spread = float(sample.weights @ x**2)
    slope = float((sample.weights * x) @ sample.values) / spread
    variance, freedom = fit.variance, fit.freedom
    if -slope / np.sqrt(variance / spread) > stats.t.ppf((1 + fit.confidence) / 2, freedom):
        return ""
    return (
        f"The errors do not fall with the width by more than they scatter (slope {slope:.3g} in log-log, standard "
        f"error {np.sqrt(variance / spread):.2g}); more seeds or a wider range of widths would show it."
    )


def _unsupported(fit: Fit, law: Law, rng: np.random.Generator) -> str:
    """Why the data do not carry the law although it could be fitted; empty if they do."""
    last, percent = float(fit.errors[-1]), f"{100 * fit.confidence:g} %"
    for name, (low, high) in fit.intervals.items():
        if name == "offset" and low <= 0 and high >= LARGE_SHARE * last:
            return (
                f"The offset is not identifiable: its {percent} interval [0, {high:.3g}] holds both 0 and most of the "
                f"last error {last:.3g}; train wider networks, or fit with offset=False."
            )
        if name in ("exponent", "scale") and law.name not in NEEDS_BREAK and not (low > 0 and np.isfinite(high)):
            return f"The {name} is not bounded by the data: its {percent} interval is [{low:.3g}, {high:.3g}]."
    if law.name not in NEEDS_BREAK:
        return ""
    simple = find("power without offset")
    chance = explains_less(fit, simple, rng)
    if chance > 1 - fit.confidence:
        return (
            f"A power law without {law.parameters[3].replace('_', ' ')} explains the data as well (p = {chance:.2g})."
        )
    low, high = fit.intervals[law.parameters[3]]
    first, second, before, end = fit.widths[[0, 1, -2, -1]]
    if law.name == "broken power" and (low <= second * (1 + 1e-9) or high >= before * (1 - 1e-9)):
        return (
            f"The break is not inside the data: its {percent} interval [{low:.3g}, {high:.3g}] reaches the second or "
            f"the last but one width ({second:g}, {before:g})."
        )
    if law.name == "threshold":
        if low <= second and low <= first + 1:
            return f"No plateau of two widths is established: the threshold may lie at {second:g} or below."
        if high >= end:
            return f"The threshold may lie at the last width {end:g}, so nothing is known of the errors beyond it."
        plateau, after = fit.coordinates[0], curves(law, fit.widths, fit.widths, fit.coordinates[None])[0]
        if after[int(fit.coordinates[3])] >= plateau:
            return "The errors do not drop at the threshold that fits best."
    return ""


@dataclasses.dataclass(frozen=True, eq=False)
class WidthLaw:
    r"""$L(w) = L_\infty + A\,w^{-a}$ and what it says of the approach to infinite width.

    Args:
        fit: The fit of the law "power".
        verdict: "1/w" if the interval of a holds 1 and lies in [1/2, 2]; "slower" or "faster" if all of it is below or
            above 1; else "undetermined".
        warning: Why the offset or the law could not be determined; empty if it was.
    """

    fit: Fit
    verdict: str
    warning: str


def fit_width_law(widths: Sequence[float], losses: Sequence[Any], **options: Any) -> WidthLaw:
    r"""Fits $L(w) = L_\infty + A\,w^{-a}$ and says whether the loss approaches its limit like 1/w (`bahri2024`).

    Args:
        widths: Distinct widths, or multipliers.
        losses: For each width one loss, or one a seed.
        options: As in `fit_errors`.

    Returns:
        The fit, a verdict, and a warning, which is also issued, where the law is refused.

    >>> widths = [8, 16, 32, 64, 128, 256]
    >>> fit_width_law(widths, [0.5 + 3 / w for w in widths], resamples=200).verdict
    '1/w'
    >>> fit_width_law(widths, [0.5 + 3 / w**0.5 for w in widths], resamples=200).verdict
    'slower'
    """
    import warnings

    fit = fit_errors(widths, losses, "power", **options)
    if not fit.accepted:
        warnings.warn(f"No width law: {fit.reason}", UserWarning, stacklevel=2)
        return WidthLaw(fit, "undetermined", fit.reason)
    low, high = fit.intervals["exponent"]
    if low <= 1 <= high:
        return WidthLaw(fit, "1/w" if low >= 0.5 and high <= 2 else "undetermined", "")
    return WidthLaw(fit, "slower" if high < 1 else "faster", "")
