"""What a fit of a law holds: parameters with intervals, residuals, and whether the data carry it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from expressivity.sweeps.fit_sample import Sample
from expressivity.sweeps.laws import Law, find


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    r"""A law fitted to errors against width, or the refusal to fit it.

    The fit minimises $\sum_i m_i (\log e_i - \log E(w_i))^2$ with $m_i$ seeds at width $w_i$. Where it is refused, all
    parameters are NaN, and intervals are kept if they could be computed.

    Args:
        law: The name of the law.
        parameters: Values by name.
        intervals: (low, high) by name, at the stated confidence. An end that the data do not bound is 0 or infinite.
        accepted: Whether the data carry the law.
        reason: Why not, in a sentence; empty if they do.
        confidence: Of the intervals.
        statistic: "median", "mean" or "best" of the seeds; the mean is that of the logarithms.
        widths: The widths used.
        errors: The statistic of the errors at each.
        seeds: The number of networks at each.
        dropped: Networks without a usable error.
        residuals: log(errors / E(widths)); NaN if nothing was fitted.
        sum_of_squares: Of the residuals, weighted by the seeds.
        aicc, bic: Information criteria of the fit; the lower is the better one. See `fits.compare`.
        misfit: The probability that a law that holds scatters as much about the data (F test against the scatter of
            the seeds); NaN where there is one number a width.
        scatter: What the intervals are made of: "seeds", or "widths", the scatter of the widths about the law.
        resamples: How often seeds were drawn again.

    >>> import numpy as np
    >>> from expressivity.sweeps import fits
    >>> rng = np.random.default_rng(0)
    >>> widths = [2, 4, 8, 16, 32, 64]
    >>> errors = [(0.1 + 1 / w) * np.exp(0.05 * rng.standard_normal(8)) for w in widths]
    >>> fit = fits.fit_errors(widths, errors, "power", resamples=200)
    >>> fit.accepted, abs(fit.parameters["exponent"] - 1) < 0.2
    (True, True)
    """

    law: str
    parameters: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    accepted: bool
    reason: str
    confidence: float
    statistic: str
    widths: np.ndarray
    errors: np.ndarray
    seeds: tuple[int, ...]
    dropped: int
    residuals: np.ndarray
    sum_of_squares: float
    aicc: float
    bic: float
    misfit: float
    scatter: str
    resamples: int
    sample: Sample = dataclasses.field(repr=False)
    coordinates: np.ndarray = dataclasses.field(repr=False)
    variance: float = dataclasses.field(repr=False)
    freedom: int = dataclasses.field(repr=False)
    again: np.ndarray = dataclasses.field(repr=False)
    scales: np.ndarray = dataclasses.field(repr=False)

    @property
    def formula(self) -> str:
        """E(w) in plain characters."""
        return find(self.law).formula

    def predicted(self, widths: Any) -> np.ndarray:
        """E at these widths; NaN if the fit was refused."""
        if not self.accepted:
            return np.full(np.shape(widths), np.nan)
        return np.exp(curves(find(self.law), self.sample.widths, widths, self.coordinates[None])[0])

    def band(self, widths: Any) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the interval for E at each width alone; NaN if the fit was refused.

        The half-width in log E is the quantile of |log E* - log E| / s* over the resamples, times s.
        """
        if not self.accepted or not len(self.again):
            return np.full(np.shape(widths), np.nan), np.full(np.shape(widths), np.nan)
        law, own = find(self.law), self.sample.widths
        middle = curves(law, own, widths, self.coordinates[None])
        gap = np.abs(curves(law, own, widths, self.again) - middle) / np.sqrt(self.scales)[:, None]
        half = np.quantile(gap, self.confidence, axis=0, method="weibull") * np.sqrt(self.variance)
        return np.exp(middle[0] - half), np.exp(middle[0] + half)

    def __str__(self) -> str:
        if not self.accepted:
            return f"{self.law}: fit refused. {self.reason}"
        each = [
            f"{name} {self.parameters[name]:.4g} [{low:.4g}, {high:.4g}]"
            for name, (low, high) in self.intervals.items()
        ]
        return f"{self.law}: {', '.join(each)} ({100 * self.confidence:g} % intervals)"


def curves(law: Law, own: np.ndarray, widths: Any, coordinates: np.ndarray) -> np.ndarray:
    """log E at any widths, for rows of coordinates that were found from the widths `own`."""
    at = law.outward(3, coordinates[:, 3], own) if law.scales[-1] == "gap" else None
    return law.log_errors(np.atleast_1d(np.asarray(widths, float)), coordinates, at)
