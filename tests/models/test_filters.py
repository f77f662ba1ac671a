"""Redundancy of filters, its exact laws for random ones, merging, and the test of pairs."""

from itertools import pairwise

import numpy as np
import pytest

from expressivity.models import (
    PairingLaw,
    dead_filters,
    fold_batch_norm,
    merged,
    pairing_test,
    random_redundancy,
    redundancy,
)


def test_orthogonal_and_equal_filters_are_the_two_ends():
    apart = redundancy(np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0].reshape(3, 3, 1, 9))
    assert (apart.rank, apart.filters, apart.fan_in, apart.alike) == (9, 9, 9, 0.0)
    assert apart.mean_cosine == pytest.approx(0, abs=1e-15)
    assert apart.participation == pytest.approx(9, rel=1e-12)
    assert apart.entropy_rank == pytest.approx(9, rel=1e-12)
    one = np.random.default_rng(1).normal(size=(3, 3, 2, 1)) * np.array([1.0, -2.0, 0.5])
    same = redundancy(one)
    assert (same.rank, same.alike) == (1, 1.0)
    assert same.participation == pytest.approx(1, rel=1e-12)
    assert same.least_cosines == pytest.approx(-1)


def test_participation_by_its_cosines_and_limits_by_fan_in():
    kernel = np.random.default_rng(2).normal(size=(3, 3, 3, 64))
    found = redundancy(kernel)
    unit = kernel.reshape(27, 64) / np.linalg.norm(kernel.reshape(27, 64), axis=0)
    squares = (unit.T @ unit) ** 2
    assert found.participation == pytest.approx(64**2 / squares.sum(), rel=1e-12)
    assert found.rank == 27  # more filters than fan-in cannot be independent
    assert 1 <= found.participation <= found.entropy_rank <= 27


@pytest.mark.parametrize(("filters", "fan_in"), [(8, 27), (40, 9)])
def test_exact_expectations_of_random_filters(filters, fan_in):
    rng = np.random.default_rng(filters)
    found = [redundancy(rng.normal(size=(fan_in, filters))) for _ in range(1500)]
    exact = random_redundancy(filters, fan_in)
    for name in ("mean_cosine", "alike"):
        sample = np.array([getattr(one, name) for one in found])
        spread = exact[f"{name}_std"]
        assert abs(sample.mean() - exact[name]) < 4 * spread / np.sqrt(len(sample)) + 1e-12
    sample = np.array([one.mean_cosine for one in found])
    # the standard deviation is exact because pairs of cosines are independent, though not all together
    assert sample.std() == pytest.approx(exact["mean_cosine_std"], rel=0.1)
    assert np.mean([one.participation for one in found]) > exact["participation"]


def test_merging_packs_and_covers():
    kernel = np.random.default_rng(4).normal(size=(3, 3, 1, 60))
    unit = kernel.reshape(9, 60) / np.linalg.norm(kernel.reshape(9, 60), axis=0)
    for cosine in (0.3, 0.6, 0.9):
        kept = merged(kernel, cosine)
        between = unit[:, kept].T @ unit[:, kept] - 2 * np.eye(len(kept))
        assert between.max() < cosine
        assert (unit[:, kept].T @ unit).max(0).min() >= cosine - 1e-12
    doubled = np.concatenate([kernel, 3 * kernel, -kernel], -1)
    assert len(merged(doubled, 1.0)) == 120  # multiples merge, opposites do not
    assert set(merged(doubled, 1.0)) == set(range(60, 180))


def test_merged_filters_act_alike_through_relu():
    """A dropped multiple of a kept filter adds nothing: its ReLU is a multiple of the other's."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=(9, 5))
    x = rng.normal(size=(100, 9))
    wide = np.concatenate([w, w * [2.0, 4.0, 0.5, 0.25, 8.0]], 1)
    kept = merged(wide[:, None, None, :], 1.0)
    assert len(kept) == 5
    outputs = np.maximum(x @ wide, 0)
    assert np.linalg.matrix_rank(outputs) == np.linalg.matrix_rank(outputs[:, kept]) == 5


@pytest.mark.parametrize(("filters", "fan_in"), [(16, 27), (2, 5), (64, 147)])
def test_density_and_variance_of_the_pairing_law(filters, fan_in):
    from scipy.integrate import quad

    law = PairingLaw(filters, fan_in)
    for q in (0.05, 0.5, 0.9):
        t = law.quantile(q)
        slope = (law.cdf(t + 1e-6) - law.cdf(t - 1e-6)) / 2e-6
        assert law.pdf(t) == pytest.approx(slope, rel=1e-6)
    parts = [-1.0, law.quantile(0.01), law.quantile(0.5), law.quantile(0.99), 1.0]
    mean, square = (sum(quad(lambda t, k=k: t**k * law.pdf(t), a, b)[0] for a, b in pairwise(parts)) for k in (1, 2))
    assert mean == pytest.approx(law.mean(), abs=1e-7)
    assert square - mean**2 == pytest.approx(law.variance(), rel=1e-5)


def test_random_layers_are_rarely_called_paired():
    rng = np.random.default_rng(7)
    tests = [pairing_test(rng.normal(size=(3, 3, 3, 12)), layers=39, seed=s) for s in range(100)]
    called = sum(test.word == "paired" for test in tests)
    assert called <= 13  # at most 5 % are expected; 13 of 100 has probability below 1e-3
    assert min(test.bound for test in tests) > 0.05  # Cantelli's bound is loose
    assert np.mean([test.paired for test in tests]) == pytest.approx(0.05, abs=0.03)
    # p-values of random layers are nearly even on (0, 1)
    assert np.mean([test.p_value for test in tests]) == pytest.approx(0.5, abs=4 * 0.29 / 10)


def test_the_bound_of_the_pairing_test_is_no_less_than_the_probability():
    rng = np.random.default_rng(8)
    sample = np.array([redundancy(rng.normal(size=(9, 6))).least_cosines.mean() for _ in range(2000)])
    law = PairingLaw(6, 9)
    for mean in np.quantile(sample, [0.01, 0.1, 0.3]):
        bound = law.variance() / (law.variance() + (law.mean() - mean) ** 2)
        assert (sample <= mean).mean() <= bound


def test_dead_filters_show_after_folding_only():
    kernel = np.ones((3, 3, 1, 3))
    one = np.ones(3)
    scale = np.array([1.0, 1e-5, 1.0])
    folded, _ = fold_batch_norm(kernel, None, scale, one, one, one, 1e-3)
    assert dead_filters(kernel).tolist() == []
    assert dead_filters(folded).tolist() == [1]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="at least two filters; got 1"):
        redundancy(np.ones((3, 3, 1, 1)))
    with pytest.raises(ValueError, match=r"filters \[1\] hold NaN"):
        redundancy(np.array([[1.0, np.nan], [2.0, 1.0]]))
    with pytest.raises(ValueError, match=r"at most 1; got 1\.5"):
        merged(np.ones((3, 3)), 1.5)
    with pytest.raises(ValueError, match="at least 1 random layer, not 0"):
        pairing_test(np.ones((3, 3)), layers=0)


def test_near_dead_filters_of_trained_first_layers(data_folder):
    layers = np.load(data_folder / "pretrained" / "first_layers.npz")
    parts = [layers[f"mobilenet_v1_1.0__{k}"] for k in ("w", "gamma", "beta", "moving_mean", "moving_variance")]
    folded, _ = fold_batch_norm(parts[0], None, *parts[1:], 1e-3)
    assert len(dead_filters(folded)) == 9
    assert len(dead_filters(layers["alexnet__w"])) == len(dead_filters(layers["vgg16__w"])) == 0
    assert redundancy(layers["vgg16__w"]).rank <= 27


def test_trained_first_layers_come_in_pairs(data_folder):
    kernel = np.load(data_folder / "pretrained" / "first_layers.npz")["alexnet__w"]
    test = pairing_test(kernel)
    assert test.word == "paired"
    assert test.bound < 0.05
