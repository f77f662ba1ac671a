"""The artists of a fitted law hold its numbers."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.sweeps.fits import fit_errors

WIDTHS = [2, 3, 4, 6, 8, 12, 16]


@pytest.fixture(autouse=True)
def close():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def fitted(law, curve):
    rng = np.random.default_rng(0)
    return fit_errors(WIDTHS, [curve(w) * np.exp(0.1 * rng.standard_normal(8)) for w in WIDTHS], law, resamples=199)


def line(ax, gid):
    (found,) = [line for line in ax.lines if line.get_gid() == gid]
    return found


def test_dots_curve_and_residuals_are_those_of_the_fit():
    fit = fitted("power", lambda w: 0.1 + 1 / w)
    above, below = ex.plots.fit(fit)
    assert line(above, "statistic").get_ydata() == pytest.approx(fit.errors)
    assert sorted(np.asarray(line(above, "networks").get_ydata())) == pytest.approx(
        sorted(np.exp(np.concatenate(fit.sample.logs)))
    )
    curve = line(above, "law")
    assert curve.get_ydata() == pytest.approx(fit.predicted(curve.get_xdata()))
    assert line(below, "residuals").get_ydata() == pytest.approx(np.log(fit.errors / fit.predicted(WIDTHS)))


def test_the_curve_of_a_threshold_is_not_drawn_where_no_width_was_tried():
    fit = fitted("threshold", lambda w: 1.0 if w < 6 else 2 / w)
    above, _ = ex.plots.fit(fit)
    curve = line(above, "law")
    hidden = np.isnan(np.asarray(curve.get_ydata()))
    x = np.asarray(curve.get_xdata())
    assert ((x > 4) & (x < 6) == hidden).all()
    assert hidden.any()


def test_a_refused_fit_has_its_reason_and_no_curve():
    fit = fitted("threshold", lambda w: 1 / w)
    above, below = ex.plots.fit(fit)
    assert not [artist for artist in above.lines if artist.get_gid() == "law"]
    assert any("Fit refused" in text.get_text() for text in below.texts)
    assert line(above, "statistic").get_ydata() == pytest.approx(fit.errors)
    assert not below.lines


def test_one_axis_is_refused():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="got 1"):
        ex.plots.fit(fitted("power", lambda w: 0.1 + 1 / w), [ax])
