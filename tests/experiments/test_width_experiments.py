"""The experiments on width, in this process: verdict, files, a second run that computes nothing, what fails."""

import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FILES = {"table.csv", "timings.csv", "figure.png", "figure.pdf", "config.json", "environment.json", "report.html"}
NAMES = ("width_threshold", "construction_depth", "minimum_width", "wide_to_narrow", "search_ceilings")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def run(request, tmp_path_factory):
    """A smoke run in a folder, for each experiment once."""
    module = importlib.import_module(f"experiments.{request.param}")
    options = module.Options(preset="smoke", out=tmp_path_factory.mktemp(request.param) / "run", platform="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments._run.start_jax", lambda where: None)  # the tests run where they are
        status = module.experiment(options)
    return module, options, status


def test_smoke_holds_and_leaves_every_file(run):
    _, options, status = run
    assert status == 0
    assert {path.name for path in options.out.iterdir()} >= FILES
    table = pd.read_csv(options.out / "table.csv")
    assert {"family", "width", "hidden_layers", "seed", "status", "norm", "error"} <= set(table.columns)
    assert not any("second" in column for column in table.columns)
    assert (table["error"] >= 0).all()


def test_a_second_run_computes_nothing_and_changes_no_number(run, monkeypatch):
    module, options, _ = run
    before = (options.out / "table.csv").read_bytes()
    cells = {path.name: path.stat().st_mtime_ns for path in (options.out / "cells").iterdir()}
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    assert module.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == before
    assert {path.name: path.stat().st_mtime_ns for path in (options.out / "cells").iterdir()} == cells


@pytest.mark.parametrize("name", NAMES)
def test_bad_numbers_of_seeds_are_refused(name, tmp_path):
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(ValueError, match="--seeds is at least 1; got 0"):
        module.experiment(module.Options(preset="smoke", out=tmp_path, seeds=0))


def test_an_aligned_rule_integrates_polynomials_on_the_square():
    from experiments import construction_depth, width_threshold

    points, weights = width_threshold.aligned_rule(8, 2.0**-20, 3)
    values = (points[:, 0] ** 2 * points[:, 1] ** 4) @ weights
    assert values == pytest.approx(1 / 15, rel=1e-12)  # the mean of x^2 y^4, exact to degree 5 up to rounding
    for name, n, size in (("step", 2, 6), ("string", 3, 0.3), ("cube code", 1, 5)):
        points, weights = construction_depth.aligned_rule(name, n, size, 4, 3)
        assert weights.sum() == pytest.approx(1, rel=1e-12)
        assert weights @ points[:, 0] ** 4 == pytest.approx(1 / 5, rel=1e-12)


def test_a_network_above_its_bound_fails_the_run():
    from experiments import construction_depth

    rows = [
        {"family": construction_depth.NAMES["step"], "n": 1, "norm": norm, "hidden_layers": h, "stated_layers": h}
        | {"error": 1 / h, "half_width": 0.0, "bound": 1.1 / h, "floor": 0.0}
        for norm in ("L1", "sup")
        for h in (10, 20, 40)
    ]
    assert all(held for _, held in construction_depth.check(pd.DataFrame(rows)))
    rows[1]["error"] = 1.2 / 20
    assert not all(held for _, held in construction_depth.check(pd.DataFrame(rows)))


@pytest.mark.parametrize("n", range(1, 7))
def test_known_results_agree_on_the_least_width(n):
    from experiments import _landscape

    widths = _landscape.thresholds(n)
    assert widths[_landscape.SPACE] == widths[_landscape.UNIFORM] == n + 1
    assert widths[_landscape.COMPACT] == max(n, 2)


def test_every_known_result_has_a_source_and_a_consistent_interval():
    from experiments import _landscape, _landscape_figure

    keys = set(re.findall(r"^@\w+\{([\w-]+),", (ROOT / "docs/references.bib").read_text(), flags=re.MULTILINE))
    for result in _landscape.RESULTS:
        assert result.key in keys
        assert result.key in _landscape_figure.AUTHORS
        assert result.known in _landscape.SOURCES
        assert result.domain in _landscape.DOMAINS
        assert (result.least is not None or result.enough is not None) == result.scalar
        if result.scalar and result.least is not None and result.enough is not None:
            for n in range(1, 6):
                assert 1 <= result.least(n, 1) <= result.enough(n, 1)


def test_a_result_that_contradicts_the_others_is_found(monkeypatch):
    from experiments import _landscape

    false = _landscape.Result("x", "", _landscape.SPACE, "ReLU", "", "paper", enough=lambda n, m: n)
    monkeypatch.setattr(_landscape, "RESULTS", (*_landscape.RESULTS, false))
    with pytest.raises(RuntimeError, match="at least 3 and 2 is enough"):
        _landscape.thresholds(2)


def test_narrow_shapes_are_those_of_the_recalled_experiment():
    """Widths 16, 24, 34 at depths 5, 6, 7, with 801 / 361 and further counts of effective parameters."""
    from experiments import wide_to_narrow

    effective = {(1, 3): (361, 801), (1, 4): (1089, 2353), (1, 5): (2601, 5849), (2, 3): (379, 817)}
    effective |= {(2, 4): (1121, 2377), (2, 5): (2651, 5883)}
    layers = {(1, 3): 10, (1, 4): 12, (1, 5): 15, (2, 3): 12, (2, 4): 15, (2, 5): 15}
    for (n, k), (wide, narrow) in effective.items():
        found = {(s.rule, s.depth_rule): s for s in wide_to_narrow.shapes(n, k)}
        shape = found["3 k^1.5", "k + 2"]
        assert (shape.width, shape.depth) == ({3: 16, 4: 24, 5: 34}[k], k + 2)
        assert shape.ratio == pytest.approx(narrow / wide, rel=1e-15)
        assert found["3 k^1.5", "compiler"].depth - 1 == layers[n, k]
        assert found["k^1.5", "4 k"].width == int(np.sqrt(k) * k + 1e-9)


def test_the_path_of_the_threshold_network_is_exact():
    from experiments import width_threshold

    path = width_threshold.escape(8, 2.0**-12)
    assert path["oscillation"] < 1e-10
    assert np.abs(path["points"]).max() == 1.0
    assert path["target"][0] == 0.0


FAMILIES = ("string of caps", "difference of maxima", "narrow compiler", "register model, cut off", "step network")
FAMILIES += ("coding network on the cube", "coding network on space", "square", "product", "radial network")
FAMILIES += ("ball indicator",)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_slightly_changed_leaves_what_is_proved(family):
    """The search must notice a network that is wrong: here by one part in ten, and shifted."""
    import dataclasses

    from experiments import _ceilings

    rng = np.random.default_rng(7)
    case = _ceilings.FAMILIES[family](rng)
    *hidden, (weight, bias) = case.network.layers
    shift = 10.0 if family == "string of caps" else 0.1 * (1 + float(np.abs(bias).max()))
    wrong = type(case.network).from_layers([*hidden, (1.1 * np.asarray(weight), np.asarray(bias) + shift)])
    points = case.clip(np.concatenate([case.sample(rng, 200), case.special(rng, 200)]))
    assert case.reached(points)[0].max() <= 1
    assert dataclasses.replace(case, network=wrong).reached(points)[0].max() > 1


def test_every_family_is_searched():
    from experiments import _ceilings

    assert set(_ceilings.FAMILIES) == set(FAMILIES)


def test_ascent_goes_up():
    from experiments import _ceilings

    rng = np.random.default_rng(3)
    case = _ceilings.FAMILIES["square"](rng)
    points = case.sample(rng, 12)
    before, _ = case.reached(points)
    after, _ = case.reached(_ceilings.ascend(case, points, 30))
    assert (after >= before).all()
    assert after.max() == pytest.approx(1, abs=1e-3)  # the bound is attained between the knots, and at them


def test_a_missing_platform_is_refused_with_a_sentence(tmp_path):
    import subprocess
    import sys

    command = [sys.executable, "-m", "experiments.width_threshold", "--platform", "tpu", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("JAX finds no tpu here")
