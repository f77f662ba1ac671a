"""The Gabor bank, the score and its law of random filters, and the free fit."""

import math

import numpy as np
import pytest

from expressivity.models import GaborFit, ScoreNull, bank_score, colour_split, fit_gabor, gabor_bank, scrambled
from expressivity.models.gabor import first_pictures, squared_projections


def test_wavelengths_norms_peaks_and_means_of_the_bank():
    bank = gabor_bank(129)
    norms = np.linalg.norm(bank, axis=(2, 3))
    for v in range(5):
        number = math.pi / 2 / math.sqrt(2) ** v
        # the middle of the window is a whole pixel: envelope at 0, times 1 - exp(-s^2/2)
        assert bank[v, 0, 64, 64].real == pytest.approx(2.0 ** -(4 + v) * (1 - math.exp(-2 * math.pi**2)), rel=1e-12)
        assert norms[v] == pytest.approx(math.sqrt(math.pi) * number / (2 * math.pi), rel=1e-3)
        row = np.angle(bank[v, 0, 64, 64:70])  # direction 0 is x: the phase grows by one wave number a pixel
        assert np.diff(np.unwrap(row)) == pytest.approx(number, abs=1e-6)
    assert 2 * math.pi / (math.pi / 2 / math.sqrt(2) ** np.arange(5)) == pytest.approx(
        [4, 5.65685, 8, 11.31371, 16], abs=5e-6
    )
    assert norms[:, 0] == pytest.approx([0.443113, 0.313329, 0.221557, 0.156664, 0.110778], abs=1e-6)
    assert np.abs(bank.sum((2, 3))).max() < 3e-4  # sums over 16,641 pixels; the means are below 1e-7
    assert math.exp(-2 * math.pi**2) == pytest.approx(2.675e-9, rel=1e-3)


def test_the_direction_of_the_bank_turns_from_right_to_down():
    bank = gabor_bank(33)
    assert np.unwrap(np.angle(bank[0, 4, 16:19, 16])) == pytest.approx(np.pi / 2 * np.arange(3), abs=1e-6)
    np.testing.assert_allclose(bank[:, 4], bank[:, 0].swapaxes(1, 2), atol=1e-15)


@pytest.mark.parametrize(
    ("size", "rank", "entropy"), [(129, 80, 70.4), (11, 75, 25.4), (7, 48, 12.7), (5, 25, 7.6), (3, 9, 4.0)]
)
def test_ranks_of_the_cut_off_bank(size, rank, entropy):
    waves = gabor_bank(size).reshape(40, -1)
    rows = np.concatenate([waves.real, waves.imag])
    values = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), compute_uv=False)
    shares = values**2 / (values**2).sum()
    shares = shares[shares > 0]
    assert (values > 1e-6 * values[0]).sum() == rank
    assert np.exp(-(shares * np.log(shares)).sum()) == pytest.approx(entropy, abs=0.05)


def test_a_colour_split_recovers_picture_and_colour():
    rng = np.random.default_rng(0)
    picture, colour = rng.normal(size=(7, 7)), np.array([0.6, 0.0, 0.8])
    kernel = np.stack([picture[:, :, None] * colour, rng.normal(size=(7, 7, 3)), np.zeros((7, 7, 3))], -1)
    split = colour_split(kernel)
    assert split.separable[0] == pytest.approx(1, abs=1e-14)
    assert split.achromatic[0] == pytest.approx(1.4 / math.sqrt(3), abs=1e-14)
    np.testing.assert_allclose(split.spatial[..., 0], picture / np.linalg.norm(picture), atol=1e-14)
    gram = np.linalg.eigvalsh(kernel[..., 1].reshape(49, 3).T @ kernel[..., 1].reshape(49, 3))
    assert split.separable[1] == pytest.approx(gram[-1] / gram.sum(), rel=1e-12)
    assert np.isnan(split.separable[2])
    opposed = colour_split(picture[:, :, None, None] * np.array([1.0, -1.0, 0.0])[:, None])
    assert opposed.achromatic[0] == pytest.approx(0, abs=1e-14)


def test_scores_are_free_of_phase_amplitude_offset_and_colour():
    wave = gabor_bank(11)[2, 5]
    pictures = [np.cos(p) * wave.real + np.sin(p) * wave.imag for p in (0.0, 0.7, 2.0)]
    kernel = np.stack([(3 * p + 0.1)[:, :, None] * np.array([1.0, 2.0, -1.0]) for p in pictures], -1)
    found = bank_score(kernel)
    np.testing.assert_allclose(found.score, 1, atol=1e-12)
    assert found.scale.tolist() == [2, 2, 2]
    assert found.orientation.tolist() == [5, 5, 5]


def test_a_score_by_brute_force_over_phases():
    picture = np.random.default_rng(3).normal(size=(7, 7))
    score = bank_score(picture[:, :, None, None]).score[0]
    y = picture - picture.mean()
    best = 0.0
    for wave in gabor_bank(7).reshape(40, 7, 7):
        for phase in np.linspace(0, math.pi, 2001):
            g = np.cos(phase) * wave.real + np.sin(phase) * wave.imag
            g = g - g.mean()
            best = max(best, abs((g * y).sum()) / np.linalg.norm(g) / np.linalg.norm(y))
    assert best <= score + 1e-12
    assert best == pytest.approx(score, abs=1e-5)


def test_constant_filters_have_no_score_and_no_fit():
    kernel = np.ones((5, 5, 1, 2))
    kernel[..., 1] = 0
    assert np.isnan(bank_score(kernel).score).all()
    assert np.isnan(np.stack(fit_gabor(kernel))).all()


PUBLISHED = {
    11: (0.247, 0.243, 0.317, 0.349),
    7: (0.362, 0.358, 0.474, 0.532),
    5: (0.472, 0.468, 0.633, 0.698),
    3: (0.718, 0.730, 0.915, 0.956),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_known_quantiles_of_random_scores(size):
    null = ScoreNull(size)
    sample = null.sample(20_000)
    mean, *quantiles = PUBLISHED[size]
    # the known numbers come from 4,000 draws: four standard errors of theirs, and half a unit of their last digit
    assert abs(sample.mean() - mean) < 4 * sample.std() / math.sqrt(4000) + 5e-4
    for q, known in zip((0.5, 0.95, 0.99), quantiles, strict=True):
        spread = 4 * math.sqrt(q * (1 - q) / 4000)
        low, high = np.quantile(sample, [max(q - spread, 0), min(q + spread, 1)])
        assert low - 5e-4 <= known <= high + 5e-4


@pytest.mark.parametrize(("size", "score"), [(3, 0.9), (5, 0.6), (7, 0.45), (11, 0.3), (4, 0.8)])
def test_tails_agree_with_plain_sampling_and_lie_under_the_bound(size, score):
    null = ScoreNull(size)
    tail = null.tail(score)
    plain = (null.sample(40_000, seed=1) > score).mean()
    assert abs(tail.value - plain) < 4 * math.sqrt(tail.standard_error**2 + plain * (1 - plain) / 40_000)
    assert tail.bound / 40 <= tail.value <= tail.bound


def test_one_projection_has_the_law_of_a_beta_variable():
    from scipy.stats import beta, kstest

    x = first_pictures(np.random.default_rng(5).normal(size=(5, 5, 1, 3000)))
    assert kstest(squared_projections(x)[7], beta(1, 11).cdf).pvalue > 1e-3


def test_the_null_does_not_depend_on_the_number_of_colours():
    colour = bank_score(np.random.default_rng(6).normal(size=(5, 5, 3, 3000))).score
    from scipy.stats import ks_2samp

    assert ks_2samp(colour, ScoreNull(5).sample(20_000)).pvalue > 1e-3


def test_a_fit_recovers_gabor_functions_and_never_loses_to_the_bank():
    rng = np.random.default_rng(0)
    n = 40
    truth = GaborFit(
        *rng.uniform(-1.5, 1.5, (2, n)),
        rng.uniform(0, math.pi, n),
        rng.uniform(3, 9, n),
        rng.uniform(1.5, 4, n),
        rng.uniform(1.5, 4, n),
        rng.uniform(-3, 3, n),
        np.ones(n),
    )
    kernel = truth.pictures(11)[:, :, None]
    fit = fit_gabor(kernel, starts=5)
    assert (fit.correlation >= bank_score(kernel).score - 1e-9).all()
    # a local search: nearly all are found, none is far off
    assert (fit.correlation > 0.9999).mean() >= 0.9
    assert fit.correlation.min() > 0.95
    found = fit.correlation > 1 - 1e-8
    assert found.sum() >= 20
    np.testing.assert_allclose(fit.wavelength[found], truth.wavelength[found], rtol=1e-2)
    turn = np.abs(fit.orientation - truth.orientation)[found]
    assert np.minimum(turn, math.pi - turn).max() < 1e-2


def test_the_correlation_of_a_fit_is_that_of_its_picture():
    kernel = np.random.default_rng(1).normal(size=(7, 7, 3, 12))
    fit = fit_gabor(kernel)
    pictures, filters = fit.pictures(7), colour_split(kernel).spatial
    pictures, filters = pictures - pictures.mean((0, 1)), filters - filters.mean((0, 1))
    norms = np.linalg.norm(pictures, axis=(0, 1)) * np.linalg.norm(filters, axis=(0, 1))
    np.testing.assert_allclose(np.abs((pictures * filters).sum((0, 1))) / norms, fit.correlation, atol=1e-9)
    assert (fit.correlation >= bank_score(kernel).score - 1e-9).all()


def test_kernels_that_cannot_be_scored_are_refused():
    with pytest.raises(ValueError, match=r"shape \(size, size, inputs, filters\); got \(3, 5, 1, 2\)"):
        bank_score(np.ones((3, 5, 1, 2)))
    with pytest.raises(ValueError, match="from 3x3 upwards; got 2x2"):
        bank_score(np.ones((2, 2, 1, 2)))
    with pytest.raises(ValueError, match=r"filters \[1\] hold numbers that are NaN"):
        bank_score(np.where(np.arange(2) == 1, np.nan, np.ones((3, 3, 1, 2))))
    with pytest.raises(ValueError, match=r"between 0 and 1; got 1\.5"):
        ScoreNull(3).tail(1.5)
    with pytest.raises(ValueError, match="steps of a fit are at least 1, not 0"):
        fit_gabor(np.ones((3, 3, 1, 1)), steps=0)
    with pytest.raises(ValueError, match="size of a Gabor bank is at least 1, not 0"):
        gabor_bank(0)


def test_trained_first_layers_are_gabor_like_where_the_size_allows_it(data_folder):
    layers = np.load(data_folder / "pretrained" / "first_layers.npz")
    scores = bank_score(layers["alexnet__w"]).score
    assert (scores > ScoreNull(11).quantile(0.99)).sum() >= 50  # of 64; 0.64 are expected of random filters
    from scipy.stats import binom

    assert binom.sf(49, 64, 0.01) < 1e-80


def test_scrambling_keeps_the_spectrum_and_takes_a_gabor_function_apart():
    truth = GaborFit(*np.array([[2.0], [1.0], [0.4], [4.0], [1.5], [1.5], [0.0], [1.0]]))
    kernel = truth.pictures(11)[:, :, None]
    copies = np.concatenate([scrambled(kernel, seed) for seed in range(50)], -1)
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(copies, axes=(0, 1))),
        np.abs(np.fft.fft2(colour_split(kernel).spatial, axes=(0, 1)))[:, :, None] * np.ones(50),
        atol=1e-12,
    )
    assert fit_gabor(copies).correlation.max() < fit_gabor(kernel).correlation[0]
