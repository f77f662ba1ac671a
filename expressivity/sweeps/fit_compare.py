"""Which of two laws the data prefer, by information criteria and by what each law would have produced."""

import dataclasses
from typing import Any

import numpy as np

from expressivity.sweeps.fit_record import Fit, curves
from expressivity.sweeps.fit_sample import Sample
from expressivity.sweeps.laws import Law, find


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The evidence between two laws.

    Args:
        preferred: The name of a law, "undetermined", or "neither" if the data contradict both.
        laws: The two names.
        aicc_difference: AICc of the first less that of the second; positive speaks for the second.
        p_values: For each law, the probability that it produces a difference at least as much against it.
        sentence: The verdict in words.
    """

    preferred: str
    laws: tuple[str, str]
    aicc_difference: float
    p_values: tuple[float, float]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def criteria(squares: Any, size: int, sample: Sample, variance: Any) -> tuple[Any, Any]:
    r"""AICc and BIC, $n \log(\mathrm{RSS} / n)$ plus their penalties for the parameters and the variance.

    With seeds, n = N networks and RSS = S + (N - k) v, the scatter about the law and within widths; without (variance
    None), n = k widths and RSS = S. AICc is infinite where n is at most the number of parameters + 2.
    """
    count = len(sample.widths) if variance is None else sum(sample.seeds)
    total = np.maximum(squares, 1e-24) + (0.0 if variance is None else sample.freedom * variance)
    core, size = count * np.log(total / count), size + 1
    aicc = core + 2 * size + 2 * size * (size + 1) / (count - size - 1) if count > size + 1 else np.inf + 0 * core
    return aicc, core + size * np.log(count)


def compare(first: Fit, second: Fit, *, level: float = 0.05, resamples: int = 499, seed: int = 0) -> Comparison:
    """Which law is preferred, with "undetermined" as a possible answer.

    The statistic is the difference of AICc. It is compared with what it would be if the first law, as fitted, were the
    truth, and with what it would be under the second: seeds are drawn within widths around each curve and both laws are
    fitted again. A law is preferred if the difference contradicts the other one and not itself.

    Args:
        first, second: Fits of two laws to the same data; refused ones take part if they could be computed.
        level: Of the two tests.
        resamples: How often seeds are drawn under each law.
        seed: Of the random numbers.

    Raises:
        ValueError: If the two were not fitted to the same numbers.

    >>> from expressivity.sweeps import fits
    >>> rng = np.random.default_rng(1)
    >>> widths = [2, 4, 8, 16, 32, 64]
    >>> errors = [w**-0.7 * np.exp(0.1 * rng.standard_normal(8)) for w in widths]
    >>> a, b = (fits.fit_errors(widths, errors, law, resamples=100) for law in ("power", "exponential"))
    >>> compare(a, b).preferred
    'power'
    """
    if not (np.array_equal(first.widths, second.widths) and np.array_equal(first.errors, second.errors)):
        raise ValueError(
            f"The laws {first.law} and {second.law} were fitted to different numbers, so their sums of squares cannot "
            "be compared; fit both to the same norm, depth and statistic."
        )
    names = first.law, second.law
    if not (np.isfinite(first.sum_of_squares) and np.isfinite(second.sum_of_squares)):
        refused = first if not np.isfinite(first.sum_of_squares) else second
        sentence = f"{names[0]} against {names[1]}: undetermined, since {refused.law} was not fitted. {refused.reason}"
        return Comparison("undetermined", names, float("nan"), (float("nan"), float("nan")), sentence)
    laws, sample = (find(first.law), find(second.law)), first.sample
    within = [fit.variance for fit in (first, second) if fit.scatter == "seeds"]
    variance = (
        min(within) if within else None
    )  # where both laws miss the data, they are judged by the scatter of widths

    def difference(squares: tuple[Any, Any], scale: Any) -> Any:
        pairs = zip(squares, laws, strict=True)
        one, two = (criteria(s, len(law.parameters), sample, scale)[1] for s, law in pairs)
        return one - two

    given = difference((first.sum_of_squares, second.sum_of_squares), variance)
    rng, chances = np.random.default_rng(seed), []
    for fit, sign in ((first, 1), (second, -1)):
        center = curves(find(fit.law), fit.widths, fit.widths, fit.coordinates[None])
        drawn, scale = _drawn(fit, variance, resamples, rng)
        squares = [law.fit(fit.widths, center + drawn, sample.weights)[1] for law in laws]
        found = difference((squares[0], squares[1]), scale)
        chances.append(float((1 + (sign * found >= sign * given).sum()) / (1 + resamples)))
    against = tuple(chance < level for chance in chances)
    word = {(False, True): names[0], (True, False): names[1], (True, True): "neither"}.get(against, "undetermined")
    one, two = (
        criteria(fit.sum_of_squares, len(law.parameters), sample, variance)[0]
        for fit, law in zip((first, second), laws, strict=True)
    )
    delta = float(one - two) if np.isfinite([one, two]).any() else float("nan")
    sentence = (
        f"{names[0]} against {names[1]}: {word} (AICc difference {delta:+.1f}; p = {chances[0]:.3g} if {names[0]} is "
        f"true, {chances[1]:.3g} if {names[1]} is)"
    )
    return Comparison(word, names, delta, (chances[0], chances[1]), sentence)


def _drawn(fit: Fit, variance: Any, count: int, rng: np.random.Generator) -> tuple[np.ndarray, Any]:
    """Deviations of the statistic and what each resample takes for the variance."""
    if variance is not None:
        drawn, squares = fit.sample.draw(rng, count)
        return drawn, squares * variance / fit.sample.variance()
    spread = np.sqrt(max(fit.sum_of_squares, 1e-24) / (len(fit.widths) - len(fit.coordinates)) / fit.sample.weights)
    return rng.standard_normal((count, len(spread))) * spread, None


def explains_less(fit: Fit, simple: Law, rng: np.random.Generator, count: int = 499) -> float:
    """The probability that the simpler law, if true, is improved by as much by the law of the fit (sup F test)."""
    sample = fit.sample
    theta, squares = simple.fit(sample.widths, sample.values[None], sample.weights)
    center = curves(simple, fit.widths, fit.widths, theta)
    seeds = fit.scatter == "seeds"
    drawn, scale = _drawn(fit, fit.variance if seeds else None, count, rng)
    _, wide = simple.fit(fit.widths, center + drawn, sample.weights)
    _, narrow = find(fit.law).fit(fit.widths, center + drawn, sample.weights)
    scale = scale if seeds else np.maximum(narrow, 1e-300)
    given = (float(squares[0]) - fit.sum_of_squares) / (fit.variance if seeds else max(fit.sum_of_squares, 1e-24))
    return float((1 + ((wide - narrow) / scale >= given).sum()) / (1 + count))
