"""Experiments as a person starts them: status, files, resuming, refusals."""

import json
import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

from experiments import error_vs_width

FILES = {"table.csv", "timings.csv", "figure.png", "figure.pdf", "config.json", "environment.json", "report.html"}
FILES |= {"cells", "floors.csv", "ceilings.csv", "verdicts.csv", "summary.csv", "audit.csv"}


def call(*arguments, cache=None, **kwargs):
    where = os.environ | {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg"}
    if cache is not None:
        where["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-m", "experiments.error_vs_width", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=where, timeout=600, check=False, **kwargs)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("smoke") / "run"
    return out, call("--preset", "smoke", "--out", out, cache=cache)


def test_smoke_holds_and_leaves_every_file(smoke):
    out, done = smoke
    assert done.returncode == 0, done.stderr
    assert "The claim holds." in done.stdout
    assert {path.name for path in out.iterdir()} >= FILES
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_verdict_on_the_disc_is_the_proved_one(smoke):
    """Width 1 and 2 are walls in the sup norm, width 1 in L2; nothing forbids width 3 (tangent planes reach it)."""
    out, _ = smoke
    found = pd.read_csv(out / "verdicts.csv").set_index(["norm", "width"])["verdict"]
    assert found["sup"].tolist() == ["impossible", "impossible", "possible"]
    assert found["L2"][1] == "impossible"
    assert found["L2"][2] != "impossible"


def test_the_audit_lists_every_network_in_every_norm(smoke):
    out, _ = smoke
    audit, table = pd.read_csv(out / "audit.csv"), pd.read_csv(out / "table.csv")
    assert len(audit) == (table["status"] == "ok").sum()
    assert audit["holds"].all()
    assert (audit[audit["width"] <= 2].query("norm == 'sup'")["floor"] >= 0.5 - 1e-9).all()


def test_the_page_needs_nothing_else(smoke):
    out, _ = smoke
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert "The claim holds in this run." in page


def test_environment_and_settings_are_recorded(smoke):
    out, _ = smoke
    environment = json.loads((out / "environment.json").read_text())
    assert {"commit", "dirty", "packages", "devices", "precision", "XLA_FLAGS", "command"} <= environment.keys()
    assert environment["compile_seconds"] >= 0 < environment["run_seconds"]
    settings = json.loads((out / "config.json").read_text())
    assert (settings["preset"], settings["seeds"]) == ("smoke", error_vs_width.SMOKE.seeds)
    assert not any("second" in column for column in pd.read_csv(out / "table.csv").columns)


def test_a_second_call_trains_nothing_and_changes_no_number(smoke, cache):
    out, _ = smoke
    names = ("table.csv", "floors.csv", "ceilings.csv", "verdicts.csv", "audit.csv", "summary.csv", "figure.png")
    before = {name: (out / name).read_bytes() for name in names}
    cells = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    done = call("--preset", "smoke", "--out", out, cache=cache)
    assert done.returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == cells
    assert {name: (out / name).read_bytes() for name in names} == before
    assert not pd.read_csv(out / "timings.csv")["trained_now"].any()


def test_a_violated_floor_fails_the_run(smoke, tmp_path, cache):
    """One weight of the proof is falsified: floors a thousandth above the truth. The status must say so."""
    code = (
        "import dataclasses, sys\n"
        "from expressivity.sweeps import audit\n"
        "own = audit.Floors.__call__\n"
        "raised = lambda found: dataclasses.replace(found, value=1.002 * found.value)\n"
        "audit.Floors.__call__ = lambda self, *given: raised(own(self, *given))\n"
        "from experiments import _run, error_vs_width as e\n"
        "sys.exit(_run.main('error_vs_width', e.Options, e.experiment, ''))\n"
    )
    out = tmp_path / "run"
    shutil.copytree(smoke[0], out)
    where = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, "--preset", "smoke", "--out", str(out)],
        capture_output=True,
        text=True,
        env=where,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "The claim does not hold." in done.stdout
    assert "does not hold in this run" in (out / "report.html").read_text()


def test_a_second_process_is_turned_away_and_a_killed_one_goes_on(smoke, tmp_path, cache):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "experiments.error_vs_width", "--preset", "smoke", "--out", str(out)]
    where = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    with subprocess.Popen(command, env=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (out / "config.json").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = call("--preset", "smoke", "--out", out, cache=cache)
        first.kill()
    assert second.returncode == 2
    assert second.stderr.strip() == (
        f"Another process (id {first.pid}) is working in {str(out)!r}; wait for it to end or choose another output "
        "folder."
    )
    third = call("--preset", "smoke", "--out", out, cache=cache)
    assert third.returncode == 0, third.stderr
    for name in ("table.csv", "verdicts.csv", "audit.csv"):
        assert (out / name).read_bytes() == (smoke[0] / name).read_bytes()


def test_a_table_of_ones_own(tmp_path, cache):
    rows = [f"{i % 7},{i % 5},{i % 7 - 2 * (i % 5)}" for i in range(80)]
    (tmp_path / "mine.csv").write_text("a,b,y\n" + "\n".join(rows) + "\n")
    out = tmp_path / "run"
    done = call("--preset", "smoke", "--data", tmp_path / "mine.csv", "--target-column", "y", "--out", out, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "no floor is claimed" in done.stdout
    assert "no floor is claimed" in (out / "report.html").read_text()
    table = pd.read_csv(out / "table.csv")
    assert set(table["norm"]) == {"L1", "L2"}
    assert set(table["base"]) == {2}
    assert not (out / "floors.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere.csv"], "Cannot read the table 'nowhere.csv'"),
        (["--data", "diabetes", "--target-column", "bmi"], "there to predict 'progression', not 'bmi'"),
        (["--target-column", "y"], "--target-column y belongs to a table"),
        (["--seeds", "0"], "--seeds is at least 1; got 0"),
        (["--dims", "7"], "--dims are numbers from 2 to 4; got 7"),
        (["--accuracy", "1.5"], "--accuracy lies strictly between 0 and 1; got 1.5"),
        (["--out", "file/run"], "Cannot write to the output folder 'file/run'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    from experiments import _run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_run, "start_jax", lambda where: None)
    (tmp_path / "file").write_text("")
    status = _run.main(
        "error_vs_width", error_vs_width.Options, error_vs_width.experiment, "", ["--preset", "smoke", *arguments]
    )
    message = capsys.readouterr().err
    assert status == 2
    assert sentence in message
    assert message.count("\n") == 1


def test_help_does_not_import_jax():
    """What makes it quick; the time itself is not asserted."""
    code = (
        "import sys\nfrom experiments import _run, error_vs_width as e\n"
        "try:\n    _run.main('x', e.Options, e.experiment, 'doc', ['--help'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit('jax' in sys.modules or 'matplotlib' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("preset", ["smoke", "default", "paper"])
def test_presets_are_what_the_command_line_changes(preset):
    options = error_vs_width.Options(preset=preset, seeds=5, targets=("ridge",), dims=(3,))
    settings = error_vs_width.chosen(options)
    assert (settings.seeds, settings.targets, settings.dims) == (5, ("ridge",), (3,))
    assert settings.steps == error_vs_width.PRESETS[preset].steps
