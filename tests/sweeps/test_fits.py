"""Laws against the width: recovery, a second optimiser, coverage of the intervals, refusals, comparisons."""

import json
import math
import pathlib
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from expressivity.sweeps import fit_solve, fits
from expressivity.sweeps.fit_coverage import coverage
from expressivity.sweeps.fit_sample import Sample
from expressivity.sweeps.laws import LAWS, find
from expressivity.sweeps.result import SweepResult

WIDTHS = [2, 3, 4, 6, 8, 12, 16, 24, 32]
TRUTHS = {
    "power": {"offset": 0.1, "amplitude": 1.0, "exponent": 1.2},
    "exponential": {"offset": 0.05, "amplitude": 1.0, "scale": 6.0},
    "broken power": {"amplitude": 1.0, "exponent": 0.2, "exponent_beyond": 1.5, "break_width": 7.0},
    "threshold": {"plateau": 1.0, "amplitude": 2.5, "exponent": 1.0, "threshold_width": 6.0},
    "power without offset": {"amplitude": 2.0, "exponent": 0.7},
    "exponential without offset": {"amplitude": 2.0, "scale": 9.0},
}
POINTS = json.loads((pathlib.Path(__file__).parents[1] / "data/vision.json").read_text())["multiplier_curve"]


def data(law, spread, seeds=16, root=0, widths=WIDTHS):
    rng = np.random.default_rng(root)
    curve = find(law).errors(widths, TRUTHS[law])
    return [e * np.exp(spread * rng.standard_normal(seeds)) for e in curve]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("root", range(3))
def test_intervals_hold_the_truth_where_the_data_miss_it_by_roundings(law, root):
    """An interval shorter than the resolution of its ends is none that ends before the truth."""
    roundings = np.finfo(float).eps * np.random.default_rng(root).integers(-1, 2, len(WIDTHS))
    fit = fits.fit_errors(WIDTHS, list(find(law).errors(WIDTHS, TRUTHS[law]) * (1 + roundings)), law, resamples=100)
    assert fit.accepted
    for name, truth in TRUTHS[law].items():
        low, high = fit.intervals[name]
        assert low <= truth <= high, name


@pytest.mark.parametrize("law", LAWS)
def test_exact_data_give_the_parameters_back(law):
    curve = find(law).errors(WIDTHS, TRUTHS[law])
    fit = fits.fit_errors(WIDTHS, list(curve), law, resamples=100)
    assert fit.accepted, fit.reason
    for name, value in TRUTHS[law].items():
        assert fit.parameters[name] == pytest.approx(value, rel=1e-5), name
    assert fit.predicted(WIDTHS) == pytest.approx(curve, rel=1e-6)


def test_formulas_at_a_width_worked_by_hand():
    at = 10
    values = {law: float(find(law).errors([3, at], TRUTHS[law])[1]) for law in TRUTHS}
    assert values["power"] == pytest.approx(0.1 + 10**-1.2)
    assert values["exponential"] == pytest.approx(0.05 + math.exp(-10 / 6))
    assert values["broken power"] == pytest.approx(7**-0.2 * (10 / 7) ** -1.5)
    assert values["threshold"] == pytest.approx(0.25)


@pytest.mark.parametrize("law", ["power", "exponential"])
@pytest.mark.parametrize("held", [None, 0, 1, 2])
def test_the_solver_is_never_worse_than_scipy_from_many_starts(law, held):
    law, rng = find(law), np.random.default_rng(3)
    x, weights = law.axis(WIDTHS), np.full(len(WIDTHS), 8.0)
    truth = law.inward(TRUTHS[law.name], WIDTHS)
    rows = law.log_errors(WIDTHS, truth) + 0.1 * rng.standard_normal((8, len(WIDTHS)))
    _, squares = law.fit(WIDTHS, rows, weights, None if held is None else (held, truth[held]))
    free = [j for j in range(3) if j != held]
    low, high = np.array([0.0, -50.0, fit_solve.bounds(x)[0]]), np.array([10.0, 50.0, fit_solve.bounds(x)[1]])
    for y, found in zip(rows, squares, strict=True):

        def residuals(part, y=y):
            theta = truth.copy()
            theta[free] = part
            return np.sqrt(8.0) * (y - np.log(theta[0] + np.exp(theta[1] - theta[2] * x)))

        starts = [np.array([c, 0.0, a * truth[2]]) for c in (1e-4, 0.03, 0.1) for a in (0.4, 1.0, 2.5)]
        peer = min(
            2 * optimize.least_squares(residuals, s[free], bounds=(low[free], high[free]), x_scale="jac").cost
            for s in starts
        )
        assert found <= peer * (1 + 1e-6)


def test_a_break_is_found_exactly():
    """Against a scan of four hundred breaks."""
    rng = np.random.default_rng(5)
    x, weights = np.log(WIDTHS), rng.uniform(1, 5, len(WIDTHS))
    for _ in range(3):
        y = find("broken power").log_errors(WIDTHS, [0.0, 0.2, 1.5, np.log(7.0)]) + 0.2 * rng.standard_normal(len(x))
        _, found = fit_solve.broken(x, y, weights)
        scan = [
            float(fit_solve.linear(np.stack([x**0, -np.minimum(x, b), -np.maximum(x - b, 0)], 1), y, weights)[1][0])
            for b in np.linspace(x[1], x[-2], 400)
        ]
        assert min(scan) * (1 - 1e-2) <= found[0] <= min(scan) * (1 + 1e-12)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Between the 0.5 % and 99.5 % points of a binomial law, both sides."""
    truth = {"offset": 0.1, "amplitude": 1.0, "exponent": 1.0}
    row = coverage("power", truth, WIDTHS, 8, 0.15, 400, names=("exponent", "offset"), resamples=199)
    low, high = stats.binom.ppf([0.005, 0.995], 400, 0.95)
    for name in ("exponent", "offset"):
        assert low <= row[name] <= high, (name, row)


def test_intervals_of_a_threshold_hold_it_at_least_as_often_as_they_say():
    """One side for the threshold: it is a whole number, and where one width alone is left it is always right."""
    truth = {**TRUTHS["threshold"], "threshold_width": 6.0}
    names = ("threshold_width", "plateau")
    row = coverage("threshold", truth, WIDTHS, 8, 0.5, 400, names=names, resamples=199)
    low, high = stats.binom.ppf([0.005, 0.995], 400, 0.95)
    assert low <= row["threshold_width"]
    assert low <= row["plateau"] <= high


@pytest.mark.parametrize("law", ["power", "broken power", "threshold"])
def test_coverage_counts_the_intervals_of_single_fits(law):
    """The batch that computes no ends, against the ends."""
    curve, spread, count = find(law).errors(WIDTHS, TRUTHS[law])[:, None], 0.4, 3
    row = coverage(law, TRUTHS[law], WIDTHS, 8, spread, count, resamples=100, confidence=0.5)
    held = dict.fromkeys(TRUTHS[law], 0)
    for number in range(count):
        z = np.random.default_rng([0, number]).standard_normal((len(WIDTHS), 8))
        fit = fits.fit_errors(WIDTHS, list(curve * np.exp(spread * z)), law, seed=number, resamples=100, confidence=0.5)
        for name, (low, high) in fit.intervals.items():
            held[name] += low <= TRUTHS[law][name] <= high
    for name, found in held.items():
        # the interval of a break is a hull
        assert row[name] <= found if name == "break_width" else row[name] == found, name
    assert 0 < sum(held.values()) < count * len(held)


def test_units_of_the_error_do_not_matter():
    errors = data("power", 0.1)
    one, other = (fits.fit_errors(WIDTHS, [c * e for e in errors], resamples=100) for c in (1.0, 1e-6))
    for name, power in (("offset", 1e-6), ("amplitude", 1e-6), ("exponent", 1.0)):
        assert other.parameters[name] == pytest.approx(power * one.parameters[name], rel=1e-4)
        assert other.intervals[name] == pytest.approx([power * end for end in one.intervals[name]], rel=1e-3)


def test_more_seeds_give_shorter_intervals_and_higher_confidence_longer_ones():
    def length(fit):
        low, high = fit.intervals["exponent"]
        return high - low

    few, many = (fits.fit_errors(WIDTHS, data("power", 0.1, m), resamples=100) for m in (8, 128))
    sure = fits.fit_errors(WIDTHS, data("power", 0.1, 8), resamples=299, confidence=0.99)
    assert length(many) < 0.5 * length(few) < 0.5 * length(sure)


REFUSALS = [
    ("power", [1, 2, 4], [1.0, 0.5, 0.3], "needs 4 widths; there are 3"),
    ("threshold", [1, 2, 4, 8], [1.0, 0.5, 0.3, 0.1], "needs 5 widths; there are 4"),
    ("power", WIDTHS[:5], data("power without offset", 0.2, 8, widths=WIDTHS[:5]), "offset is not identifiable"),
    ("power", WIDTHS, [np.exp(0.1 * np.random.default_rng(w).standard_normal(8)) for w in WIDTHS], "do not fall"),
    ("power", WIDTHS, [w * e for w, e in zip(WIDTHS, data("power", 0.1), strict=True)][::1], "do not fall"),
    ("broken power", WIDTHS, data("power without offset", 0.1), "without break width explains the data as well"),
    ("threshold", WIDTHS, data("power without offset", 0.1), "without threshold width explains the data as well"),
    (
        "threshold",
        [5, *WIDTHS[4:]],
        data("threshold", 0.05, widths=[5, *WIDTHS[4:]]),
        "No plateau of two widths|as well",
    ),
]


@pytest.mark.parametrize(("law", "widths", "errors", "words"), REFUSALS)
def test_what_the_data_do_not_carry_is_refused_with_the_reason(law, widths, errors, words):
    fit = fits.fit_errors(widths, errors, law, resamples=100)
    assert not fit.accepted
    assert any(word in fit.reason for word in words.split("|")), fit.reason
    assert all(math.isnan(value) for value in fit.parameters.values())
    assert np.isnan(fit.predicted([3.0])).all()
    assert "fit refused" in str(fit)


def test_flat_errors_pass_for_falling_ones_as_seldom_as_the_level_says():
    """A one-sided test at 2.5 %, one network a width, so that its scatter comes from the law itself."""
    passed = 0
    for number in range(200):
        z = np.random.default_rng([5, number]).standard_normal((len(WIDTHS), 1))
        sample = Sample.of(WIDTHS, list(np.exp(0.2 * z)), "mean")
        passed += not fits.least_squares(sample, find("power"), 0.95, 100).reason
    assert passed <= stats.binom.ppf(0.995, 200, 0.025)


def test_errors_that_reach_their_offset_at_once_are_not_called_flat():
    """In log-log they bend, and a bend is not scatter."""
    z = np.random.default_rng(0).standard_normal(7)
    widths = 2.0 ** np.arange(3, 10)
    fit = fits.fit_errors(widths.tolist(), list((0.5 + 3 / widths**2) * np.exp(0.003 * z)), resamples=100)
    assert fit.accepted, fit.reason


@pytest.mark.parametrize(
    ("truth", "other"), [("power", "exponential"), ("threshold", "power"), ("exponential", "power")]
)
def test_the_law_that_made_the_data_is_preferred(truth, other):
    errors = data(truth, 0.05, 32)
    one, two = (fits.fit_errors(WIDTHS, errors, law, resamples=100) for law in (truth, other))
    assert fits.compare(one, two).preferred == truth
    assert fits.compare(two, one).preferred == truth
    assert fits.compare(two, one).aicc_difference == pytest.approx(-fits.compare(one, two).aicc_difference)


def test_too_little_data_leave_the_law_undetermined():
    errors = data("power", 0.4, 4)
    one, two = (fits.fit_errors(WIDTHS, errors, law, resamples=100) for law in ("power", "exponential"))
    assert fits.compare(one, two).preferred == "undetermined"
    few = fits.fit_errors(WIDTHS[:4], errors[:4], "power", resamples=100)
    none = fits.fit_errors(WIDTHS[:4], errors[:4], "broken power", resamples=100)
    assert "was not fitted" in str(fits.compare(few, none))
    with pytest.raises(ValueError, match="different numbers"):
        fits.compare(one, few)


def test_a_table_is_read_by_norm_depth_and_status():
    rows = [
        {
            "family": "MLP",
            "task": "t",
            "norm": norm,
            "width": w,
            "hidden_layers": h,
            "seed": s,
            "status": "ok",
            "error": e,
        }
        for norm, factor in (("L2", 1.0), ("sup", 3.0))
        for h in (1, 2)
        for w, errors in zip(WIDTHS, data("power", 0.1, 8, root=h), strict=True)
        for s, e in enumerate(factor * errors)
    ]
    rows[0] |= {"status": "diverged", "error": float("nan")}
    result = SweepResult(pd.DataFrame(rows), {}, None)
    fit = result.fit("power", norm="L2", hidden_layers=1, resamples=100)
    assert fit.seeds == (7,) + (8,) * 8
    assert fit.dropped == 1
    assert result.fit("power", norm="sup", hidden_layers=1, resamples=100).dropped == 0
    direct = fits.fit_errors(WIDTHS, data("power", 0.1, 8, root=2), "power", resamples=100)
    assert result.fit("power", norm="L2", hidden_layers=2, resamples=100).parameters == pytest.approx(direct.parameters)
    with pytest.raises(ValueError, match="several values of norm"):
        result.fit("power", hidden_layers=1)
    with pytest.raises(ValueError, match="No row has hidden_layers 5"):
        result.fit("power", norm="L2", hidden_layers=5)
    with pytest.raises(ValueError, match="best of 1 and the best of 2"):
        fits.fit_errors([1, 2], [[1.0], [0.5, 0.4]], statistic="best")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"law": "cubic"}, "no law 'cubic'"),
        ({"errors": [1.0, 0.0, 0.3, 0.2, 0.1]}, "error 0 at width 2 has no logarithm"),
        ({"widths": [1, 2, 2, 4, 8]}, "width 2 comes twice"),
        ({"widths": [0, 2, 3, 4, 8]}, "positive number, not 0.0"),
        ({"confidence": 1.0}, "not 1.0"),
        ({"resamples": 5}, "got 5"),
        ({"statistic": "mode"}, "not 'mode'"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    given = {"widths": [1, 2, 3, 4, 8], "errors": [1.0, 0.5, 0.3, 0.2, 0.1], "law": "power"} | arguments
    with pytest.raises(ValueError, match=words):
        fits.fit_errors(**given)


def test_the_width_law_tells_one_over_w_from_slower():
    """1/w as often as an interval of 95 % holds 1, within a binomial law; other exponents lie far outside it."""
    widths, rng = [8, 16, 32, 64, 128, 256, 512], np.random.default_rng(0)
    for exponent, verdict, count in ((1.0, "1/w", 5), (0.5, "slower", 1), (2.0, "faster", 1)):
        found = []
        for _ in range(count):
            losses = [(0.5 + 3 * w**-exponent) * np.exp(0.003 * rng.standard_normal(16)) for w in widths]
            found.append(fits.fit_width_law(widths, losses, resamples=100).verdict)
        assert found.count(verdict) >= stats.binom.ppf(0.005, count, 0.95), found
    losses = [w**-0.3 * np.exp(0.1 * rng.standard_normal(4)) for w in widths]
    with pytest.warns(UserWarning, match="offset is not identifiable"):
        law = fits.fit_width_law(widths, losses, resamples=100)
    assert law.verdict == "undetermined"


def test_thirty_one_published_points():
    """Top-1 errors of one slimmable network: slower than 1/w."""
    widths, errors = [p["width"] for p in POINTS], [p["error"] for p in POINTS]
    law = fits.fit_width_law(widths, errors)
    assert law.verdict == "slower"
    assert law.fit.scatter == "widths"
    # the slope of a plain regression in log-log, which is this fit where the offset is 0
    slope = -np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert law.fit.intervals["exponent"][0] <= slope <= law.fit.intervals["exponent"][1]
    assert abs(law.fit.residuals).max() < 0.035  # largest at one end


def test_a_fit_can_be_stored_and_is_the_same_again():
    errors = data("power", 0.1)
    one, other = (fits.fit_errors(WIDTHS, errors, resamples=100) for _ in range(2))
    again = pickle.loads(pickle.dumps(one))
    assert again.intervals == one.intervals == other.intervals
    low, high = one.band(WIDTHS)
    assert (low < one.predicted(WIDTHS)).all()
    assert (one.predicted(WIDTHS) < high).all()
