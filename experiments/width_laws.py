"""What law does the error follow as networks grow wider, and how sure can one be?

Claim. Intervals of the fitted laws are honest: on data made from a power law with an offset and from a law with a
threshold, 95 % intervals hold the true exponent, offset and threshold width as often as they say, within the binomial
error of the simulation. On trained networks each of the four laws (power, exponential, broken power, threshold) is
either fitted, with an interval for every parameter, or refused with the reason.

Method. MLPs with one hidden layer are trained on |x|^2 on the disc at many widths from many seeds; their L2 errors are
measured by quadrature. Laws are fitted by least squares in the logarithm of the error, to the mean of the logarithms
over seeds; intervals come from drawing seeds again within widths. Two laws are compared by AICc and by what each of
them would have produced; the answer may be "undetermined", and which law is preferred is a finding, not part of the
claim.

`default` takes under three minutes on two cores. The exit status is 0 if the claim held, 1 if not, 2 if the run was
refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run

LAWS = ("power", "exponential", "broken power", "threshold")
POWER = {"offset": 0.1, "amplitude": 1.0, "exponent": 1.0}
THRESHOLD = {"plateau": 1.0, "amplitude": 2.5, "exponent": 1.0, "threshold_width": 6.0}
CHECKED = {"power": ("exponent", "offset"), "threshold": ("threshold_width",)}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        widths, hidden_layers, seeds: The grid of networks.
        steps, batch_size, learning_rate: The recipe (Adam, linear decay).
        order: Points an axis of the quadrature.
        resamples: Of each fit.
        simulations: Data sets of the check of the intervals, for each law and number of seeds.
        simulated_seeds: Numbers of seeds at each width of a data set.
    """

    widths: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 16, 24, 32)
    hidden_layers: int = 1
    seeds: int = 16
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 1e-2
    order: int = 96
    resamples: int = 499
    simulations: int = 400
    simulated_seeds: tuple[int, ...] = (8,)


SMOKE = Settings(widths=(2, 3, 4, 6, 8, 12), seeds=8, steps=200, batch_size=64, order=32, resamples=199, simulations=20)
PAPER = Settings(
    widths=(2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128),
    seeds=64,
    steps=30_000,
    batch_size=1024,
    order=256,
    resamples=1999,
    simulations=2000,
    simulated_seeds=(8, 16, 32),
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: hours, meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/width_laws")
    """Output folder."""
    seeds: int | None = None
    """Networks of every width."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def simulate(law: str, seeds: int, settings: Settings) -> list[dict[str, Any]]:
    """One row a checked parameter: how many intervals hold the truth."""
    from scipy import stats

    from expressivity.sweeps.fit_coverage import coverage

    truth = POWER if law == "power" else THRESHOLD
    # The threshold is blurred as the seeds grow, so that its interval is never one width for certain
    spread = 0.15 if law == "power" else 0.17 * seeds**0.5
    widths, count = (2, 3, 4, 6, 8, 12, 16, 24, 32), settings.simulations
    found = coverage(law, truth, widths, seeds, spread, count, names=CHECKED[law], resamples=199)
    low, high = (int(stats.binom.ppf(q, count, 0.95)) for q in (0.005, 0.995))
    shared = {"law": law, "seeds": seeds, "simulations": count}
    return [
        {**shared, "parameter": name, "truth": truth[name], "held": found[name], "least": low, "most": high}
        for name in CHECKED[law]
    ]


def fit_rows(fits: list[Any]) -> Any:
    """A table with a row for each law and parameter."""
    import pandas as pd

    rows = [
        {"law": fit.law, "accepted": fit.accepted, "parameter": name, "value": fit.parameters[name]}
        | {"low": low, "high": high, "aicc": fit.aicc, "misfit": fit.misfit, "scatter": fit.scatter}
        | {"reason": fit.reason}
        for fit in fits
        for name, (low, high) in fit.intervals.items()
    ]
    return pd.DataFrame(rows)


def check(fits: list[Any], simulated: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    import math

    sentences = []
    for fit in fits:
        bounded = all(low <= fit.parameters[name] <= high for name, (low, high) in fit.intervals.items())
        refused = not fit.accepted and bool(fit.reason) and all(math.isnan(v) for v in fit.parameters.values())
        sentences.append((str(fit), refused or (fit.accepted and bounded)))
    for row in simulated:
        # A threshold is a whole number: where the data leave one width, its interval holds it more often than it says
        most = row["simulations"] if row["parameter"] == "threshold_width" else row["most"]
        sentences.append(
            (
                f"{row['law']}, {row['seeds']} seeds: {row['held']} of {row['simulations']} intervals hold the true "
                f"{row['parameter']} {row['truth']:g}, to be {row['least']} to {most}",
                row["least"] <= row["held"] <= most,
            )
        )
    return sentences


def draw_figure(fits: list[Any], norm: str) -> Any:
    """The four laws side by side, residuals below."""
    import matplotlib.pyplot as plt

    import expressivity as ex

    figure, axes = plt.subplots(
        2, 4, figsize=(14.6, 4.8), layout="constrained", sharex="col", gridspec_kw={"height_ratios": [3, 1]}
    )
    for number, fit in enumerate(fits):
        above, _ = ex.plots.fit(fit, [axes[0, number], axes[1, number]], ylabel=f"{norm} error")
        above.set_title(f"{'abcd'[number]}  {fit.law}", fontsize="medium", loc="left")
    return figure


def experiment(options: Options) -> int:
    """Trains, fits, simulates, draws, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import expressivity as ex
    from experiments import _depth
    from expressivity import sweeps
    from expressivity.sweeps.fits import compare

    target = ex.targets.norm_squared(ex.Ball(2))
    recipe = ex.Recipe(settings.steps, settings.batch_size, settings.learning_rate)
    family = ex.MLP(2, hidden_layers=settings.hidden_layers)
    sweep = ex.Sweep(family, list(settings.widths), target, settings.seeds, recipe, packed=True)
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        result = sweeps.collect(sweep, store, order=settings.order, title="width laws")
        fits = [result.fit(law, norm="L2", resamples=settings.resamples) for law in LAWS]
        simulated = [
            row
            for law in CHECKED
            for seeds in settings.simulated_seeds
            for row in cells.rows(
                f"coverage-{law.replace(' ', '-')}",
                {"law": law, "seeds": seeds, "simulations": settings.simulations, "statistic": "mean"},
                lambda law=law, seeds=seeds: simulate(law, seeds, settings),
            )
        ]
        import pandas as pd

        pairs = [(a, b) for i, a in enumerate(fits) for b in fits[i + 1 :]]
        comparisons = [compare(a, b) for a, b in pairs]
        evidence = pd.DataFrame(
            [
                {"first": c.laws[0], "second": c.laws[1], "preferred": c.preferred}
                | {"aicc_difference": c.aicc_difference, "p_first": c.p_values[0], "p_second": c.p_values[1]}
                for c in comparisons
            ]
        )
        for comparison in comparisons:
            print(f"  finding: {comparison}")
        return _depth.finish(
            cells,
            options,
            settings,
            "Laws of the error against width",
            _run.claim(__doc__),
            check(fits, simulated),
            {
                "table": result.table,
                "fits": fit_rows(fits),
                "comparisons": evidence,
                "coverage": pd.DataFrame(simulated),
            },
            draw_figure(fits, "L2"),
            "Errors of trained networks against width with four fitted laws, their bands, and residuals.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("width_laws", Options, experiment, __doc__ or ""))
