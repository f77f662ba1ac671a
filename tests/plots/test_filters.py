"""Pictures of filters: what is drawn where, on which scale, and what is marked."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from expressivity import plots
from expressivity.models import PairingLaw, ScoreNull, pairing_test


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_filters_are_sorted_by_norm_on_one_scale():
    kernel = np.zeros((3, 3, 1, 4))
    for number, size in enumerate((1.0, -4.0, 2.0, 0.0)):
        kernel[1, 1, 0, number] = size
    picture = np.asarray(plots.filter_grid(kernel, columns=4).images[0].get_array())
    middles = [picture[9, 9 + 22 * place].tolist() for place in range(4)]
    assert middles == [[v] * 3 for v in (0.0, 0.75, 0.625, 0.5)]  # -4, 2, 1, 0 of a largest of 4
    assert picture[0, 18].tolist() == [1.0] * 3  # the gap is white


def test_colours_of_rgb_filters():
    kernel = np.zeros((1, 1, 3, 1))
    kernel[0, 0, :, 0] = (1.0, -1.0, 0.0)
    picture = np.asarray(plots.filter_grid(kernel).images[0].get_array())
    assert picture[0, 0].tolist() == [1.0, 0.0, 0.5]


def test_dead_filters_are_framed_at_their_place():
    kernel = np.random.default_rng(0).normal(size=(5, 5, 3, 6)) * np.array([1, 2, 3, 1e-4, 5, 6.0])
    ax = plots.filter_grid(kernel, dead=[3], columns=3)
    (frame,) = ax.patches
    assert frame.get_gid() == "dead-3"
    assert frame.get_xy() == (2 * 34 - 0.5, 34 - 0.5)  # the least norm comes last: second row, third column
    with pytest.raises(ValueError, match="no filter 6 among 6"):
        plots.filter_grid(kernel, dead=[6])
    with pytest.raises(ValueError, match=r"got \(5, 5, 2, 6\)"):
        plots.filter_grid(kernel[:, :, :2])


def test_the_histogram_of_pairs_has_the_exact_density_over_it():
    test = pairing_test(np.random.default_rng(1).normal(size=(3, 3, 3, 32)), layers=9)
    ax = plots.pairing_histogram(test)
    curve = next(line for line in ax.lines if line.get_gid() == "law")
    t, density = np.asarray(curve.get_xdata(), float), np.asarray(curve.get_ydata(), float)
    law = PairingLaw(32, 27)
    assert density == pytest.approx([law.pdf(v) for v in t])
    area = sum(bar.get_height() * bar.get_width() for bar in ax.patches)
    assert area == pytest.approx(1)
    assert np.trapezoid(density, t) == pytest.approx(law.cdf(float(t[-1])), abs=1e-3)


def test_scores_stand_beside_their_null():
    null = ScoreNull(7).sample(2000)
    ax = plots.scores_against_null(np.array([0.6, np.nan, 0.9]), null)
    (line,) = [line for line in ax.lines if line.get_gid() == "99"]
    assert float(np.asarray(line.get_xdata())[0]) == np.quantile(null, 0.99)
    assert len(ax.get_legend().get_texts()) == 3
