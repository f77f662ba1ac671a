"""Wide against deep: counting, pairs, images halved, words, and a smoke run."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from experiments import _images, _wide, wide_or_deep
from experiments._wide import Net


def closed_form(depth, k, classes, inputs):
    """The parameters of WRN-d-k, from its published description."""
    n, c = (depth - 4) // 6, (16, round(16 * k), round(32 * k), round(64 * k))
    total = 9 * inputs * 16
    for a, b in itertools.pairwise(c):
        total += 9 * a * b + 9 * (2 * n - 1) * b * b + (a * b if a != b else 0) + 2 * (a + (2 * n - 1) * b)
    return total + 2 * c[3] + c[3] * classes + classes


@pytest.mark.parametrize("depth", [10, 16, 28, 40])
@pytest.mark.parametrize("k", [1, 1.5, 2.25, 4])
def test_parameters_are_those_of_the_closed_form(depth, k):
    net = Net(ex.WideResNet(depth, 10), ex.Width(k), "")
    assert _wide.cost(net, "parameters", (14, 14, 1)) == closed_form(depth, k, 10, 1)
    assert _wide.cost(net, "parameters", (32, 32, 3)) == closed_form(depth, k, 10, 3)


@pytest.mark.parametrize("by", _wide.COSTS)
@pytest.mark.parametrize("within", [0.01, 0.02, 0.1])
def test_pairs_are_the_nearest_ones_and_no_others(by, within):
    settings = wide_or_deep.Settings(thin_depths=(10, 16, 22, 28, 40))
    thin, grid = wide_or_deep.candidates(settings, 10)
    size = (14, 14, 1)
    found = {pair.thin.name: pair for pair in _wide.equal_pairs(thin, grid, by, size, within)}
    for net in thin:
        own = _wide.cost(net, by, size)
        gaps = {other.name: (_wide.cost(other, by, size) - own) / own for other in grid}
        best = min(gaps, key=lambda name: abs(gaps[name]))
        assert (net.name in found) == (abs(gaps[best]) < within)
        if net.name in found:
            assert (found[net.name].wide.name, found[net.name].gap) == (best, gaps[best])


def test_bad_costs_and_parts_are_refused():
    with pytest.raises(ValueError, match="parameters or macs; got 'time'"):
        _wide.equal_pairs([], [Net(ex.WideResNet(10), ex.Width(), "")], "time", 32)
    with pytest.raises(ValueError, match="a positive part; got 0"):
        _wide.equal_pairs([], [], "macs", 32, 0)


def test_halved_images_are_means_of_squares():
    rng = np.random.default_rng(0)
    images = ex.data.ImageSet(rng.integers(0, 256, (3, 6, 4, 2), np.uint8), np.array([0, 1, 0]), ("a", "b"))
    small = _wide.halved(images)
    assert small.input_size == (3, 2, 2)
    for i, r, c, channel in np.ndindex(3, 3, 2, 2):
        square = images.images[i, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2, channel].astype(float)
        assert small.images[i, r, c, channel] == np.floor(square.mean() + 0.5)
    with pytest.raises(ValueError, match="even sides; those of images have 3x2"):
        _wide.halved(dataclasses.replace(small, name="images"))


@pytest.mark.parametrize(
    ("wide", "thin", "word"),
    [
        ([0.1, 0.1], [0.2, 0.2], "holds"),
        ([0.1, 0.1], [0.1, 0.1], "holds"),
        ([0.2, 0.2], [0.1, 0.1], "does not hold"),
        ([0.1, 0.2], [0.1, 0.2], "undetermined"),
        ([0.1], [0.1], "undetermined"),
    ],
)
def test_as_good_allows_the_slack_and_no_more(wide, thin, word):
    assert _wide.as_good(wide, thin, 1_000_000, 0.02)[0] == word


def test_few_images_leave_it_undetermined():
    assert _wide.as_good([0.1, 0.1], [0.1, 0.1], 100, 0.02)[0] == "undetermined"


@pytest.mark.parametrize(
    ("deep", "fast"), [((1.5, 1.6), "holds"), ((1.05, 1.6), "undetermined"), ((0.5, 0.6), "does not hold")]
)
def test_every_pair_gets_two_words(deep, fast):
    settings = wide_or_deep.Settings()
    thin, grid = wide_or_deep.candidates(settings, 10)
    pairs = _wide.equal_pairs(thin, grid, "parameters", (14, 14, 1))
    errors = {pair.wide.name: [0.2, 0.21] for pair in pairs} | {pair.thin.name: [0.3, 0.31] for pair in pairs}
    seconds = {pair.wide.name: [1.0, 1.1] for pair in pairs} | {pair.thin.name: list(deep) for pair in pairs}
    claims, rows = wide_or_deep.judge(pairs, errors, seconds, 10_000, settings)
    assert [claim.word for claim in claims] == ["holds"] + ["holds", fast] * len(pairs)
    assert [claim.required for claim in claims] == [True] + [False, False] * len(pairs)
    assert [row["as_good"] for row in rows] == ["holds"] * len(pairs)
    far = [dataclasses.replace(pairs[0], gap=0.2)]
    assert wide_or_deep.judge(far, errors, seconds, 10_000, settings)[0][0].word == "does not hold"


def test_a_grid_without_a_partner_is_refused():
    task = _wide.halved_task(_images.task(None, per_class=2))
    settings = dataclasses.replace(wide_or_deep.SMOKE, multipliers=(9.0,))
    with pytest.raises(ValueError, match=r"costs what a thin one costs to within 0\.1; widen the grid"):
        wide_or_deep.work(None, settings, task)


@pytest.mark.slow
def test_smoke_counts_times_and_reads_finished_cells_again(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    options = wide_or_deep.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert wide_or_deep.experiment(options) == 0
    table = (options.out / "table.csv").read_bytes()
    times = pd.read_csv(options.out / "step_times.csv")
    assert (times.groupby("network").size() == wide_or_deep.SMOKE.rounds).all()
    assert (times["seconds_a_step"] > 0).all()
    assert b"second" not in table
    monkeypatch.setattr("expressivity.training.train_images", None)
    monkeypatch.setattr("expressivity.sweeps.images.train_images", None)
    assert wide_or_deep.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == table
