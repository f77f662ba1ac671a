"""The experiment on first layers: verdict, files, a second run that trains nothing, and what fails or stays open."""

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from experiments import _filters, _images, first_layer_width
from expressivity.models import ScoreNull, gabor_bank

FILES = {"table.csv", "filters.csv", "timings.csv", "figure.png", "figure.pdf", "config.json", "environment.json"}


@pytest.mark.slow
def test_smoke_holds_and_a_second_run_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)  # the tests run where they are
    options = first_layer_width.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert first_layer_width.experiment(options) == 0
    assert "holds: in all 4 networks the rank of the first layer is at most" in capsys.readouterr().out
    assert {path.name for path in options.out.iterdir()} >= FILES | {"report.html"}
    table = (options.out / "filters.csv").read_bytes()
    found = pd.read_csv(options.out / "filters.csv")
    assert found["width"].tolist() == [2, 2, 56, 56]
    assert found["rank"].tolist() == [2, 2, 49, 49]

    def never(*arguments, **more):
        raise AssertionError("a finished cell was trained again")

    monkeypatch.setattr("expressivity.sweeps.images.train_images", never)
    assert first_layer_width.experiment(options) == 0
    assert (options.out / "filters.csv").read_bytes() == table


def test_what_is_measured_on_known_layers():
    rng = np.random.default_rng(0)
    bank = np.concatenate([gabor_bank(11).real, gabor_bank(11).imag]).reshape(-1, 11, 11)[:48]
    kernel = (bank / np.linalg.norm(bank, axis=(1, 2), keepdims=True)).transpose(1, 2, 0)[:, :, None]
    kernel[..., 5] *= 1e-4
    kernel[..., 6] = 2 * kernel[..., 7]
    row = _filters.measure(kernel, 19, 0)
    assert (row["dead"], row["fan_in"], row["scored"], row["above_99"]) == (1, 121, 47, 47)
    assert row["score"] == pytest.approx(1, abs=1e-9)
    assert row["kept_at_0.9"] < 47
    noise = _filters.measure(rng.normal(size=(7, 7, 1, 200)), 19, 0)
    assert noise["above_99"] <= 10  # 2 are expected; above 10 has probability below 1e-5
    assert noise["above_copies"] <= 25  # 10 are expected


@pytest.mark.parametrize(("count", "word"), [(57, "holds"), (1, "undetermined")])
def test_scores_are_judged_by_the_law_of_counts(count, word):
    (white, copies) = _filters._gabor("", 11, 64, count, count)
    assert white.word == copies.word == word
    (small,) = _filters._gabor("", 3, 64, 64, 64)
    assert small.word == "undetermined"
    assert f"{ScoreNull(3).quantile(0.95):.2f}" in small.sentence


def _table(**changes):
    family = ex.StemNet(body=(8,))
    row = {"kernel": 7, "width": 4, "seed": 0, "fan_in": 49, "rank": 4, "dead": 0}
    row |= {"participation": 2.0, "entropy_rank": 3.0, "parameters": ex.parameters(family, 4)}
    return pd.DataFrame([row | changes]), [family], (28, 28, 1)


@pytest.mark.parametrize(
    ("changes", "failing"),
    [({}, None), ({"rank": 5}, 0), ({"participation": 3.5}, 1), ({"entropy_rank": 4.5}, 1), ({"parameters": 1}, 2)],
)
def test_a_broken_law_fails_the_run(changes, failing):
    claims = _filters._counted(*_table(**changes))
    assert all(one.required for one in claims)
    assert [number for number, one in enumerate(claims) if one.word != _images.HOLDS] == (
        [] if failing is None else [failing]
    )


def test_bad_numbers_of_seeds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--seeds is at least 1; got 0"):
        first_layer_width.experiment(first_layer_width.Options(preset="smoke", out=tmp_path, seeds=0))
