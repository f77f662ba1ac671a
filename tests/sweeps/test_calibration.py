"""Batching by measured cost: measured once, remembered, never believed when damaged, overridden by what is explicit."""

import json

import pytest

import expressivity as ex
from expressivity import data, sweeps, training
from expressivity.sweeps import calibration

DISC = ex.targets.norm_squared(ex.Ball(2))


@pytest.fixture
def mlps():
    return ex.Sweep(ex.MLP(2, hidden_layers=1), ["n", "2n"], DISC, 2, ex.Recipe(4, 16, 0.01), packed="measure")


def test_the_choice_is_the_cheaper_one_and_is_measured_once(mlps, tmp_path, monkeypatch):
    with sweeps.Store(tmp_path) as store:
        first = calibration.choose(mlps, store)
        (facts,) = json.loads((tmp_path / "calibration.json").read_text()).values()
        cheaper = min(facts["seconds"], key=facts["seconds"].get)
        assert facts["choice"] == cheaper
        assert first.packed == (cheaper == "packed")
        # short runs of many widths are all compilation, which packing saves
        assert facts["seconds"]["packed"] < facts["seconds"]["apart"]
        monkeypatch.setattr(calibration, "_measure_packing", lambda sweep: pytest.fail("measured again"))
        assert calibration.choose(mlps, store).packed == first.packed


def test_a_damaged_memory_is_measured_again(mlps, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_measure_packing", lambda sweep: {"choice": "apart", "seconds": {}})
    with sweeps.Store(tmp_path) as store:
        for text in ("", "[1]", "{", '{"x": 1}'):
            (tmp_path / "calibration.json").write_text(text)
            assert calibration.choose(mlps, store).packed is False
            assert "apart" in (tmp_path / "calibration.json").read_text()


def test_images_are_measured_both_ways(tmp_path):
    task = training.ImageTask(*(data.fashion_mnist(split).first(3) for split in ("train", "test")))
    family = ex.AllConv6(classes=10, channels=(4, 4))
    sweep = ex.Sweep(family, ["1x"], task, 2, ex.Recipe(4, 8, 0.01, "momentum"), batching="measure")
    with sweeps.Store(tmp_path) as store:
        chosen = calibration.choose(sweep, store)
    (facts,) = json.loads((tmp_path / "calibration.json").read_text()).values()
    assert set(facts["seconds_a_step"]) == {"loop", "vmap"}
    assert chosen.batching == min(facts["seconds_a_step"], key=facts["seconds_a_step"].get)


def test_what_is_explicit_stays(tmp_path):
    with sweeps.Store(tmp_path) as store:
        sweep = ex.Sweep(ex.MLP(2), ["n"], DISC, 2, ex.Recipe(4, 16, 0.01))
        assert calibration.choose(sweep, store) is sweep
    assert not (tmp_path / "calibration.json").exists()
    with pytest.raises(ValueError, match="'maybe'"):
        ex.Sweep(ex.MLP(2), ["n"], DISC, 2, ex.Recipe(4, 16, 0.01), packed="maybe")
    with pytest.raises(ValueError, match="'both'"):
        ex.Sweep(ex.MLP(2), ["n"], DISC, 2, ex.Recipe(4, 16, 0.01), batching="both")
