r"""What a law is fitted to: one statistic of the seeds at every width, in the logarithm of the error, and its scatter.

Seeds are drawn again within widths. Their scatter is pooled: with $y_{ij} = \log e_{ij}$, N networks and k widths,
$\hat\sigma^2 = \sum_{ij} (y_{ij} - \bar y_i)^2 / (N - k)$; the statistic of m seeds has variance
$\kappa \hat\sigma^2 / m$, with $\kappa = 1$ for the mean and found by resampling for the median.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

STATISTICS = ("median", "mean", "best")
ENOUGH_SEEDS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """The data of a fit.

    Args:
        widths: Distinct widths (k,), ascending.
        logs: Logarithms of the errors, one array a width.
        statistic: "median", "mean" (both of the logarithms) or "best".
        seeds: Networks of each width that entered.
        dropped: Networks without a usable error.

    >>> sample = Sample.of([1, 2], [[1.0, 1.0, 4.0], [1.0, 2.0, 3.0]], "median")
    >>> np.exp(sample.values).round(9).tolist(), sample.seeds
    ([1.0, 2.0], (3, 3))
    """

    widths: Float[np.ndarray, "widths"]
    logs: tuple[Float[np.ndarray, "_"], ...]
    statistic: str
    seeds: tuple[int, ...]
    dropped: int = 0

    @classmethod
    def of(cls, widths: Sequence[float], errors: Sequence[Any], statistic: str, attempted: Any = None) -> "Sample":
        """From the errors at every width; errors that are NaN are dropped.

        Raises:
            ValueError: If a width or an error is not finite and positive, a width comes twice, or the numbers of seeds
                differ where the best is taken.
        """
        if statistic not in STATISTICS:
            raise ValueError(f"The statistic is one of {', '.join(STATISTICS)}, not {statistic!r}.")
        if len(widths) != len(errors):
            raise ValueError(f"There are {len(widths)} widths and errors for {len(errors)}; give one entry a width.")
        found: dict[float, np.ndarray] = {}
        dropped, counts = 0, {}
        for width, values in zip(widths, errors, strict=True):
            width = float(width)
            if not (np.isfinite(width) and width > 0):
                raise ValueError(f"A width is a positive number, not {width}.")
            if width in found:
                raise ValueError(f"The width {width:g} comes twice; put its errors together.")
            given = np.atleast_1d(np.asarray(values, float))
            usable = given[~np.isnan(given)]
            wrong = usable[~(np.isfinite(usable) & (usable > 0))]
            if len(wrong):
                raise ValueError(
                    f"The error {wrong[0]:g} at width {width:g} has no logarithm, and laws are fitted to logarithms; "
                    "leave out networks that are exact, or add the half-width of the measurement."
                )
            dropped += len(given) - len(usable)
            if len(usable):
                found[width], counts[width] = np.log(usable), len(given)
        if statistic == "best" and len(set(counts.values())) > 1:
            raise ValueError(
                f"The best of {min(counts.values())} and the best of {max(counts.values())} seeds are different "
                'quantities; give every width the same number of seeds, or take statistic="median".'
            )
        order = sorted(found)
        logs = tuple(found[w] for w in order)
        return cls(np.array(order, float), logs, statistic, tuple(len(y) for y in logs), dropped)

    @property
    def values(self) -> Float[np.ndarray, "widths"]:
        """The statistic of the logarithms at every width."""
        return np.array([_statistic(y[None], self.statistic)[0] for y in self.logs])

    @property
    def resampled(self) -> bool:
        """Whether there are seeds enough at every width to draw from them (4), and the statistic can be resampled."""
        return self.statistic != "best" and min(self.seeds, default=0) >= ENOUGH_SEEDS and self.variance() > 0

    @property
    def weights(self) -> Float[np.ndarray, "widths"]:
        """The number of seeds; 1 for the best, and where no width has several."""
        return np.ones(len(self.seeds)) if self.statistic == "best" else np.array(self.seeds, float)

    @property
    def freedom(self) -> int:
        """N - k."""
        return sum(self.seeds) - len(self.seeds)

    def variance(self) -> float:
        """The pooled variance of the logarithms within widths."""
        if self.freedom < 1:
            return 0.0
        return sum(float(((y - y.mean()) ** 2).sum()) for y in self.logs) / self.freedom

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Deviations of the statistic (count, k) and pooled variances (count,) when seeds are drawn within widths.

        Deviations are taken from the statistic of the seeds at hand, so that they can be put on any curve, and
        stretched by sqrt(m / (m - 1)), since m drawn seeds scatter less than m new ones.
        """
        deviations, squares = [], np.zeros(count)
        for y in self.logs:
            again = y[rng.integers(0, len(y), (count, len(y)))]
            stretch = len(y) / (len(y) - 1)
            gap = _statistic(again, self.statistic) - _statistic(y[None], self.statistic)[0]
            deviations.append(stretch**0.5 * gap)
            squares += stretch * ((again - again.mean(1, keepdims=True)) ** 2).sum(1)
        return np.stack(deviations, 1), np.maximum(squares / self.freedom, 1e-300)

    def inflation(self) -> float:
        """kappa: m times the variance of the statistic in units of the variance of one logarithm."""
        if self.statistic == "mean":
            return 1.0
        deviations, _ = self.draw(np.random.default_rng(0), 500)
        one = sum(float(y.var(ddof=1)) for y in self.logs)
        return float((np.array(self.seeds) * (deviations**2).mean(0)).sum()) / one


def _statistic(logs: np.ndarray, statistic: str) -> np.ndarray:
    if statistic == "best":
        return logs.min(1)
    return np.median(logs, 1) if statistic == "median" else logs.mean(1)


def from_table(table: Any, statistic: str, chosen: Mapping[str, Any]) -> Sample:
    """The rows of a long table with the values chosen in norm, hidden_layers, family; None asks that there be one.

    Raises:
        ValueError: If there is no such row, or a column that was not chosen holds several values.
    """
    rows = table
    for column, value in chosen.items():
        if column not in rows.columns:
            continue
        present = list(dict.fromkeys(rows[column].dropna()))
        if value is None:
            if len(present) > 1:
                raise ValueError(
                    f"The table holds several values of {column} ({', '.join(map(str, present))}); "
                    f"a law is fitted to one: name it by {column}=."
                )
            continue
        rows = rows[rows[column] == value]
        if not len(rows):
            raise ValueError(
                f"No row has {column} {value!r}; the table holds {', '.join(map(str, present)) or 'none'}."
            )
    if not len(rows):
        raise ValueError("The table has no rows, so there is nothing to fit.")
    errors = rows["error"].astype(float)
    if "status" in rows.columns:
        errors = errors.where(rows["status"] == "ok")
    groups = [(float(width), errors.loc[part.index].to_numpy()) for width, part in rows.groupby("width")]
    return Sample.of([w for w, _ in groups], [e for _, e in groups], statistic)
