r"""Intervals from the profile of the sum of squares, calibrated by resampling.

With S the least sum of squares and $S_j(v)$ the least with parameter j held at v, the interval is
$\{v : S_j(v) \le S + c(v)\,\hat v\}$. For c(v), drawn deviations are put on the best curve among those with parameter j
at v, so that v is the truth there; each resample gives $(S^*_j(v) - S^*) / \hat v^*$, and c(v) is their quantile. So
every end is calibrated where it lies: with c taken at the fit alone, an offset close to 0 was held too rarely (2,770 of
3,000 for 0.05 + 1/w below). The quantity does not depend on how the law is parametrised, and it knows that an offset is
not negative. An end is found with c at the fit, then twice at most with c at the end found.

Measured coverage of 95 % intervals, statistic "mean", 8 seeds a width, 199 resamples, normal scatter sigma of log E if
not said otherwise. Of 1,000 (the binomial law allows 931 to 967 at 99 %), parameters in the order of the law:
0.05 + 1/w, eight widths to 24, sigma 0.2: 943, 942, 947. 0.1 + 1/w, nine widths to 32, sigma 0.15: 949, 934, 944; with
4 seeds 947, 932, 950. Broken power: 940, 950, 948, break 950. Threshold at 6 of nine widths: sigma 0.5: 933, 942, 948,
threshold width 954; 16 seeds, sigma 0.8: 940, 956, 957, threshold width 941.
Of 400 (368 to 390): 0.02 + 2 w^-0.5 at eight widths to 256: 378, 379, 381. 1/w: 377, 376, 378. 0.05 + exp(-w / 6): 375,
382, 377. 0.1 + 1/w with sigma 0.5: 381, 373, 382; with lognormal scatter 378, 383, 387; with exponential scatter 387,
379, 387; with one seed and sigma 0.05: 379, 379, 376; with the median of 8 seeds 389, 389, 388. Threshold with sigma
0.17: 381, 383, 382, threshold width 399; 16 seeds, sigma 0.24: 382, 375, 376, threshold width 400.
Of the mean no count lies outside its band; taken together they lie a little under 95 %, near 94.5 %.

The interval of a threshold width is a set of whole numbers: all gaps between widths that resampling under each of them
does not contradict. Where the data leave one gap with a probability above 95 %, it holds the truth as often as that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from expressivity.sweeps import fit_solve
from expressivity.sweeps.fit_record import Fit, curves
from expressivity.sweeps.laws import Law

_OUTWARD = 2.0 ** np.arange(-14, 11, 0.5)
_ROUNDS = 2


Draws = tuple[np.ndarray, np.ndarray]


def level(law: Law, fits: Sequence[Fit], draws: Sequence[Draws], number: int, held: Any) -> np.ndarray:
    """c at a value of parameter j, one value for all fits or one each.

    Args:
        law: The law.
        fits: Fits to the same widths and numbers of seeds.
        draws: What `draw` gives for each.
        number: j.
        held: v, a coordinate of the solver.
    """
    one = fits[0]
    widths, weights, count = one.widths, one.sample.weights, one.resamples
    held = np.broadcast_to(np.asarray(held, float), len(fits))
    theta, _ = law.fit(widths, np.stack([fit.sample.values for fit in fits]), weights, (number, held))
    values = curves(law, widths, widths, theta)[:, None] + np.stack([deviations for deviations, _ in draws])
    values = values.reshape(-1, len(widths))
    _, least = law.fit(widths, values, weights)
    _, squares = law.fit(widths, values, weights, (number, np.repeat(held, count)))
    drops = np.maximum(squares - least, 0.0) / variances(fits, draws, least)
    return np.quantile(drops.reshape(-1, count), one.confidence, axis=1, method="weibull")


def variances(fits: Sequence[Fit], draws: Sequence[Draws], least: np.ndarray) -> np.ndarray:
    """The variance that each resample would have stated, from its scatter or from its least sum of squares."""
    stated = np.concatenate([scales for _, scales in draws])
    freedom = np.repeat([fit.freedom for fit in fits], fits[0].resamples)
    return np.where(np.isnan(stated), np.maximum(least, 1e-300) / freedom, stated)


def draw(fit: Fit, rng: np.random.Generator) -> Draws:
    """Deviations of the statistic, and the variance that each resample would have stated; NaN: from its own fit."""
    sample = fit.sample
    if fit.scatter == "seeds":
        drawn, squares = sample.draw(rng, fit.resamples)
        return drawn, squares * fit.variance / sample.variance()
    spread = np.sqrt(fit.variance / sample.weights)
    return rng.standard_normal((fit.resamples, len(spread))) * spread, np.full(fit.resamples, np.nan)


def interval(law: Law, fit: Fit, number: int, draws: Draws) -> tuple[float, float]:
    """The ends of {v : S_j(v) <= S + c(v) v^} for parameter j, in the parameter's own unit."""
    widths, values, weights, center = fit.widths, fit.sample.values[None], fit.sample.weights, fit.coordinates[number]

    def drop(points: Any) -> np.ndarray:
        points = np.atleast_1d(points)
        rows = np.broadcast_to(values, (len(points), values.shape[1]))
        return (law.fit(widths, rows, weights, (number, points))[1] - fit.sum_of_squares) / fit.variance

    def cut(at: float) -> float:
        return float(level(law, [fit], [draws], number, at)[0])

    if law.scales[number] == "gap":
        gaps = np.arange(1, len(widths))
        inside = np.array([g == center or drop(float(g))[0] <= cut(float(g)) for g in gaps])
        first, last = float(widths[inside.argmax()]), float(widths[len(inside) - inside[::-1].argmax()])
        return (first + 1 if first.is_integer() else first), last
    low, high = _range(law, widths, number)
    middle, ends = cut(center), []
    for sign, bound in ((-1, low), (1, high)):
        closed = sign < 0 and low == 0.0 and law.parameters[number] == "offset"
        if closed and drop(0.0)[0] <= cut(0.0):
            ends.append(0.0)
            continue
        used, end = middle, _end(law, fit, number, drop, middle, sign, bound)
        for _ in range(_ROUNDS):
            if end == bound and not closed:
                break
            c = cut(end)
            if abs(c - used) <= 0.01 * used:
                break
            used, end = c, _end(law, fit, number, drop, c, sign, bound)
        ends.append(end)
    return _report(law, number, ends, (low, high), widths)


def _end(law: Law, fit: Fit, number: int, drop: Any, cut: float, sign: int, bound: float) -> float:
    """How far a parameter can go in one direction until its drop exceeds the cut."""
    center = float(fit.coordinates[number])
    if law.name == "broken power" and number == 3:  # the profile has several valleys; their hull is taken
        points = np.linspace(center, bound, 121)[1:]
        inside = np.flatnonzero(drop(points) <= cut)
        if len(inside) and inside[-1] == len(points) - 1:
            return bound
        inner, outer = (points[inside[-1]], points[inside[-1] + 1]) if len(inside) else (center, points[0])
        return _narrow(lambda at: drop(at) - cut, float(inner), float(outer))
    unit = max(abs(center), float(fit.errors.min()) if law.scales[number] == "same" and number == 0 else 0.1)
    points = np.unique(np.clip(center + sign * unit * _OUTWARD, min(bound, center), max(bound, center)))[::sign]
    beyond = np.flatnonzero(drop(points) > cut)
    if not len(beyond):
        return bound
    inner = center if beyond[0] == 0 else float(points[beyond[0] - 1])
    return _narrow(lambda at: drop(at) - cut, inner, float(points[beyond[0]]))


def _narrow(excess: Any, inner: float, outer: float) -> float:
    """Just beyond where the excess changes its sign between two points, by at most 5e-5 of their distance.

    Not just before: an interval shorter than that would end at the fit itself.
    """
    for _ in range(2):
        points = np.linspace(inner, outer, 150)
        beyond = np.flatnonzero(excess(points[1:]) > 0)
        index = int(beyond[0]) if len(beyond) else len(points) - 2
        inner, outer = float(points[index]), float(points[index + 1])
    return outer


def _range(law: Law, widths: Any, number: int) -> tuple[float, float]:
    """What a coordinate can be."""
    x = law.axis(widths)
    if law.solve is fit_solve.decay and number == 0:
        return 0.0, np.inf
    if law.solve is fit_solve.decay and number == 2:
        return fit_solve.bounds(x)
    if law.name == "broken power" and number == 3:
        return float(x[1]), float(x[-2])
    return (-600.0, 600.0) if law.scales[number] == "exp" else (-np.inf, np.inf)


def _report(law: Law, number: int, ends: Any, bound: tuple[float, float], widths: Any) -> tuple[float, float]:
    """Ends as parameters; what lies at the edge of the search is not bounded by the data."""
    low, high = (float(end) for end in ends)
    if law.solve is fit_solve.decay and number == 2:
        low, high = (0.0 if low <= bound[0] else low), (np.inf if high >= bound[1] else high)
    pair = sorted(float(law.outward(number, end, widths)) for end in (low, high))
    return pair[0], pair[1]
