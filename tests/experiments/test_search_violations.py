"""The search for networks below a floor, at its smallest; and that it would notice one."""

import json

import pandas as pd
import pytest

from experiments import search_violations


@pytest.mark.slow
def test_smoke_holds_and_resumes(tmp_path, capsys):
    options = search_violations.Options(preset="smoke", out=tmp_path / "run", seeds=3)
    assert search_violations.experiment(options) == 0
    table = (tmp_path / "run" / "table.csv").read_bytes()
    assert search_violations.experiment(options) == 0
    assert (tmp_path / "run" / "table.csv").read_bytes() == table
    found = pd.read_csv(tmp_path / "run" / "table.csv")
    assert {"random", "fitted", "trained", "perturbed"} == set(found["stage"])
    assert (found.loc[found["floor"] > 0, "error"] >= found.loc[found["floor"] > 0, "floor"]).all()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["preset"] == "smoke"
    assert "none of" in capsys.readouterr().out


def test_a_violation_is_noticed():
    row = {
        "family": "f",
        "hidden_widths": "1",
        "minimised": "L2",
        "stage": "trained",
        "seed": 0,
        "tries": 1,
        "error": 0.4,
        "half_width": 0.0,
        "floor": 0.5,
        "theorem": "t",
    }
    assert not any(held for _, held in search_violations.check(pd.DataFrame([row])))
    assert all(held for _, held in search_violations.check(pd.DataFrame([{**row, "error": 0.5}])))


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        search_violations.experiment(search_violations.Options(seeds=0, out=tmp_path))
