"""The experiment on laws of the error against width: its files, and that a finished run computes nothing again."""

import dataclasses

import pandas as pd
import pytest

from experiments import _run, width_laws


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laws")
    small = dataclasses.replace(width_laws.SMOKE, seeds=4, resamples=199, simulations=20)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(width_laws.PRESETS, "smoke", small)
        first = _run.main("width_laws", width_laws.Options, width_laws.experiment, "Doc.", argv(folder))
        kept = (folder / "table.csv").read_bytes(), (folder / "fits.csv").read_bytes()
        patched.setattr(width_laws, "simulate", None)  # a second run reads what the first has counted
        second = _run.main("width_laws", width_laws.Options, width_laws.experiment, "Doc.", argv(folder))
    return folder, first, second, kept


def argv(folder):
    return ["--preset", "smoke", "--out", str(folder)]


def test_the_claim_holds_and_a_second_run_says_the_same(ran):
    folder, first, second, kept = ran
    assert first == second == _run.HELD
    assert ((folder / "table.csv").read_bytes(), (folder / "fits.csv").read_bytes()) == kept
    assert {"figure.png", "figure.pdf", "report.html", "comparisons.csv"} <= {path.name for path in folder.iterdir()}


def test_every_law_is_fitted_with_intervals_or_refused_with_a_reason(ran):
    fits = pd.read_csv(ran[0] / "fits.csv")
    assert set(fits["law"]) == set(width_laws.LAWS)
    accepted = fits[fits["accepted"]]
    assert (accepted["low"] <= accepted["value"]).all()
    assert (accepted["value"] <= accepted["high"]).all()
    assert fits[~fits["accepted"]]["reason"].str.len().gt(20).all()


def test_intervals_hold_the_truth_as_often_as_chance_allows(ran):
    coverage = pd.read_csv(ran[0] / "coverage.csv")
    assert set(coverage["parameter"]) == {"exponent", "offset", "threshold_width"}
    assert (coverage["held"] >= coverage["least"]).all()


def test_no_seed_is_refused_in_a_sentence(capsys, tmp_path):
    arguments = [*argv(tmp_path), "--seeds", "0"]
    assert _run.main("width_laws", width_laws.Options, width_laws.experiment, "Doc.", arguments) == _run.REFUSED
    assert "--seeds is at least 1; got 0." in capsys.readouterr().err
