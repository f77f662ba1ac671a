"""Nine widths of allconv6: the statistics by themselves, the images, and a run as a person starts it."""

import dataclasses
import json
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import expressivity as ex
from experiments import _allconv6, allconv6_width
from experiments._images import FALSE, HOLDS, UNDETERMINED
from expressivity.data import ImageSet, pipes

# network: (parameters with 20 classes, MACs at 224 pixels) as published by hand counts of the original files
PUBLISHED = {
    0: (560_468, 238_441_472),
    1: (36_452, 18_967_808),
    2: (48_436, 49_675_520),
    3: (87_204, 28_902_656),
    4: (56_228, 19_872_256),
    5: (142_004, 65_030_656),
    6: (189_012, 177_023_488),
    7: (344_884, 104_770_048),
    8: (218_420, 68_645_888),
}
GAINS = [1.659e-3, 1.037e-4, 2.074e-4, 2.074e-4, 1.037e-4, 4.147e-4, 8.294e-4, 8.294e-4, 4.147e-4]


@pytest.mark.parametrize("variant", range(9))
def test_costs_in_closed_form(variant):
    assert _allconv6.costs(variant, 224, 20, 3) == PUBLISHED[variant]
    family = ex.AllConv6(variant)
    assert (ex.parameters(family, "1x"), ex.macs(family, "1x", 224)) == PUBLISHED[variant]
    grey = ex.AllConv6(variant, classes=10)
    assert _allconv6.costs(variant, 28, 10, 1)[1] == ex.macs(grey, "1x", (28, 28, 1))


def test_gains_in_closed_form():
    np.testing.assert_allclose([_allconv6.gain(v, "original") for v in range(9)], GAINS, rtol=3e-4)
    assert _allconv6.gain(1, "he") == 1
    assert _allconv6.gain(1, "mup") == 2  # a quarter of the channels: the last kernel starts sqrt(4) times larger


def wrong(rng, rates, seeds=4, images=400):
    """Networks whose errors are independent, by variant."""
    return {variant: rng.random((seeds, images)) < rate for variant, rate in rates.items()}


def test_the_margin_covers_as_often_as_it_says():
    """Two networks of one error rate: at least 95 % of the intervals contain 0 (the margin is cautious)."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        value, margin = _allconv6.contrast(wrong(rng, {0: 0.2, 1: 0.2}), {1: 1.0, 0: -1.0})
        covered += abs(value) <= margin
    assert covered >= 285


def test_a_difference_is_found_and_its_sign_is_right():
    found = wrong(np.random.default_rng(1), {0: 0.1, 1: 0.3})
    value, margin = _allconv6.contrast(found, {1: 1.0, 0: -1.0})
    assert value == pytest.approx(found[1].mean() - found[0].mean())
    assert _allconv6.word(value, margin) == HOLDS
    assert _allconv6.word(*_allconv6.contrast(found, {0: 1.0, 1: -1.0})) == FALSE
    one = {variant: table[:1] for variant, table in found.items()}
    assert _allconv6.word(*_allconv6.contrast(one, {1: 1.0, 0: -1.0})) == UNDETERMINED


def test_pairing_sees_what_apart_could_not():
    """Two networks wrong on nearly the same images: the paired margin is below half of the binomial one."""
    rng = np.random.default_rng(2)
    hard = rng.random(400) < 0.3
    first = np.stack([hard] * 3)
    second = first | (rng.random((3, 400)) < 0.02)
    value, margin = _allconv6.contrast({0: first, 1: second}, {1: 1.0, 0: -1.0})
    assert value > 0
    assert margin < 0.5 * 1.96 * math.sqrt(2 * 0.3 * 0.7 / 400)


def test_words_of_several():
    assert _allconv6.together([HOLDS, HOLDS]) == HOLDS
    assert _allconv6.together([HOLDS, UNDETERMINED]) == UNDETERMINED
    assert _allconv6.together([HOLDS, UNDETERMINED, FALSE]) == FALSE


def test_claims_about_networks_whose_rates_are_known():
    """Rates as the article has them, and so far apart that every word is known."""
    rates = {0: 0.02, 1: 0.5, 2: 0.3, 3: 0.3, 4: 0.3, 5: 0.021, 6: 0.02, 7: 0.02, 8: 0.02}
    found = wrong(np.random.default_rng(3), rates, seeds=6, images=4000)
    counts = {v: PUBLISHED[v] for v in range(9)}
    macs, parameters = ({v: counts[v][i] for v in counts} for i in (1, 0))
    table, claims = _allconv6.comparisons("he", found, macs, parameters)
    words = {row["claim"]: row["word"] for row in table.to_dict("records")}
    assert words["_2 is more accurate than _1"] == words["base is more accurate than _4"] == HOLDS
    assert words["_5 is more accurate than _1"] == HOLDS
    said = {claim.sentence.split(" (")[0]: claim.word for claim in claims}
    assert said["he: base and _5, _6, _7, _8 lie within 3 points of each other"] == HOLDS
    # _2, _3 and _4 gain the same, and _4 costs the least MACs, _2 the fewest parameters
    assert said["he: from _1, doubling conv5"] == HOLDS
    assert said["he: from _1, doubling conv1 and conv2"] == HOLDS
    assert said["he: doubling any part helps"] != HOLDS  # nothing is left to gain from _5
    assert not any(claim.required for claim in claims)


def test_networks_that_are_alike_decide_nothing():
    """Rounding must not make a claim out of weights, one over a cost, that add up to 1e-21."""
    found = dict.fromkeys(range(9), np.random.default_rng(7).random((3, 500)) < 0.9)
    _, claims = _allconv6.comparisons("he", found, *({v: PUBLISHED[v][i] for v in found} for i in (1, 0)))
    words = {claim.sentence: claim.word for claim in claims}
    near = [sentence for sentence in words if "lie within" in sentence]
    assert [words.pop(sentence) for sentence in near] == [HOLDS]
    assert set(words.values()) == {UNDETERMINED}


def test_close_is_said_only_where_it_is_shown():
    rates = {0: 0.1, 5: 0.3, 6: 0.1, 7: 0.1, 8: 0.1}
    found = wrong(np.random.default_rng(4), rates, images=2000)
    _, claims = _allconv6.comparisons(
        "he", found, {v: PUBLISHED[v][1] for v in rates}, {v: PUBLISHED[v][0] for v in rates}
    )
    assert [c.word for c in claims if "lie within" in c.sentence] == [FALSE]
    few = {v: table[:, :60] for v, table in wrong(np.random.default_rng(5), dict.fromkeys(rates, 0.3)).items()}
    _, claims = _allconv6.comparisons(
        "he", few, {v: PUBLISHED[v][1] for v in rates}, {v: PUBLISHED[v][0] for v in rates}
    )
    assert [c.word for c in claims if "lie within" in c.sentence] == [UNDETERMINED]


def test_the_initial_values_are_blamed_for_what_they_did():
    rng = np.random.default_rng(6)
    found = {
        "original": wrong(rng, {0: 0.2, 1: 0.9}, images=2000),
        "he": wrong(rng, {0: 0.2, 1: 0.25}, images=2000),
    }
    (claim,) = _allconv6.initialisation_claims(found)
    assert claim.word == HOLDS
    same = {"original": found["he"], "he": wrong(rng, {0: 0.2, 1: 0.25}, images=2000)}
    assert _allconv6.initialisation_claims(same)[0].word == UNDETERMINED


def test_the_test_reads_the_image_resized_and_not_its_middle():
    """A framed image comes out of the middle crop as it went in."""
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    small = ImageSet(images, np.array([0, 1]), ("a", "b"))
    framed = allconv6_width.framed(small, 73)
    assert framed.input_size == (73, 73, 3)
    pipe = dataclasses.replace(pipes.CAFFE, crop=64)
    expected = images[..., ::-1].astype(np.float32) - np.array([104, 117, 124], np.float32)
    np.testing.assert_array_equal(np.asarray(pipe(framed.images)), expected)


def test_the_deviation_is_that_of_what_networks_read():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    read = images[..., ::-1].astype(float) - np.array([104.0, 117.0, 124.0])
    assert allconv6_width.deviation(images, (104.0, 117.0, 124.0)) == pytest.approx(np.sqrt((read**2).mean()))


@pytest.fixture
def photographs(tmp_path):
    rng, lines = np.random.default_rng(0), {"train": [], "val": []}
    for part, count in (("train", 4), ("val", 2)):
        for label in (0, 3):
            for number in range(count):
                name = f"{part}_{label}_{number}.png"
                Image.fromarray(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(tmp_path / name)
                lines[part].append(f"{name} {label}")
        (tmp_path / f"few_{part}.txt").write_text("\n".join(lines[part]) + "\n")
    return tmp_path


def test_photographs_by_list(photographs):
    settings = dataclasses.replace(allconv6_width.SMOKE, pixels=56, per_class=None)
    sets = allconv6_width.tasks(f"ghim:{photographs}", settings)
    for task in sets.values():
        assert task.train.input_size == task.test.input_size == (64, 64, 3)
        assert task.input_size == (56, 56, 3)
    assert sets["raw"].pipe.mean == sets["unit"].pipe.mean == (104.0, 117.0, 124.0)
    assert sets["raw"].pipe.deviation == 1.0
    read = np.asarray(sets["unit"].pipe(sets["unit"].train.images))
    assert np.sqrt((read**2).mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0}, "--steps is at least 1; got 0"),
        ({"seeds": 0}, "--seeds is at least 1; got 0"),
        ({"pixels": 16}, "at least 32; got 16"),
        ({"arms": ()}, "got none"),
        ({"arms": ("he", "he")}, "got he he"),
        ({"preset": "paper"}, "--data ghim:FOLDER"),
    ],
)
def test_refusals(changes, text):
    with pytest.raises(ValueError, match=text):
        allconv6_width.chosen(allconv6_width.Options(**changes))


def test_the_paper_preset_is_the_original_solver():
    options = allconv6_width.Options(preset="paper", data="ghim:somewhere")
    recipe = allconv6_width.recipe(allconv6_width.chosen(options), "original", 20)
    assert recipe == ex.training.original_recipe("allconv6")
    he, mup = (allconv6_width.recipe(allconv6_width.PAPER, arm, 20) for arm in ("he", "mup"))
    assert (he.initialisation, he.parametrisation) == ("he", None)
    assert mup.parametrisation.family == ex.AllConv6(0)


def test_smoke(tmp_path):
    where = os.environ | {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg", "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "c")}
    command = [sys.executable, "-m", "experiments.allconv6_width", "--preset", "smoke", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=where, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "What is proved or counted holds" in done.stdout
    out = tmp_path / "run"
    table = pd.read_csv(out / "networks.csv")
    assert table["network"].tolist() == ["base", "_1"]
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    rows = pd.read_csv(out / "table.csv").query("norm == 'top-1'").groupby(["origin", "parameters"])["error"].mean()
    for row in table.to_dict("records"):  # read again from the kept networks
        assert 100 * (1 - rows[row["initial values"], row["parameters"]]) == pytest.approx(row["accuracy"], abs=0.5)
    gains = pd.read_csv(out / "gains.csv")
    assert gains.set_index(["network", "initial values"])["closed ratio"]["_1", "original"] == pytest.approx(1 / 16)
    settings = json.loads((out / "config.json").read_text())
    assert (settings["preset"], settings["seeds"]) == ("smoke", allconv6_width.SMOKE.seeds)
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
