"""The experiment on slimmable networks: files, words, published numbers, and what fails it."""

import jax
import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from experiments import _slimmable, slimmable_width

FILES = {"table.csv", "errors.csv", "costs.csv", "laws.csv", "published.csv", "figure.png", "figure.pdf", "report.html"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A smoke run in a folder."""
    options = slimmable_width.Options(preset="smoke", out=tmp_path_factory.mktemp("slimmable") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments._run.start_jax", lambda where: None)  # the tests run where they are
        status = slimmable_width.experiment(options)
    return options, status


@pytest.mark.slow
def test_smoke_holds_and_leaves_every_file(run, monkeypatch):
    options, status = run
    assert status == 0
    assert {path.name for path in options.out.iterdir()} >= FILES
    errors = pd.read_csv(options.out / "errors.csv")
    assert set(errors["method"]) == set(_slimmable.COLOURS)
    assert len(errors) == 2 * 4 * 2  # seeds, methods, widths
    laws = pd.read_csv(options.out / "laws.csv")
    assert laws["nested_gap"].tolist() == [0.0] * 4
    # the widest network that was trained apart is the one that was cut, with other moments of the same images
    table = pd.read_csv(options.out / "table.csv")
    apart = table[(table["norm"] == "top-1") & ~table["family"].str.startswith("Slimmable")]
    mine = errors[errors["method"] == _slimmable.SEPARATE]
    assert sorted(mine["error"]) == pytest.approx(sorted(apart["error"]))
    before = (options.out / "table.csv").read_bytes()
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    assert slimmable_width.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == before
    assert pd.read_csv(options.out / "timings.csv")["trained_now"].tolist() == [False] * 4


def test_the_published_curve_has_our_counts_at_all_31_widths():
    table = _slimmable.published()
    assert len(table) == 31
    np.testing.assert_array_equal(table["macs"] // 10**6, table["published_mflops"])
    assert (np.diff(table["published_error"]) > 0).sum() == 29  # width falls down the table; 0.925 and 0.9 are equal
    four = table.dropna(subset="published_slimmable_error")
    assert four["width"].tolist() == [1.0, 0.75, 0.5, 0.25]
    gain = four["published_apart_error"] - four["published_slimmable_error"]
    assert gain.round(1).tolist() == [0.6, 1.1, 1.5, 3.3]


def untrained():
    family = ex.AllConv6(classes=10, channels=(8, 8), batch_norm=True)
    sets = [ex.data.fashion_mnist(split).first(5) for split in ("train", "test")]
    return ex.models.Slimmable(family, (ex.Width(), ex.Width(0.5))), ex.training.ImageTask(sets[0], sets[1])


def test_a_network_that_is_not_nested_is_seen(monkeypatch):
    slim, task = untrained()
    model, state = slim.init(jax.random.key(0), None, task.input_size)
    assert _slimmable.nested_gap(slim, model, state, task) == 0
    right = ex.models.Slimmable.at

    def last_channels(self, model, state, index):
        flipped = jax.tree.map(lambda leaf: leaf[..., ::-1], model.shared)
        return right(self, type(model)(flipped, model.norms), state, index)

    monkeypatch.setattr(ex.models.Slimmable, "at", last_channels)
    assert _slimmable.nested_gap(slim, model, state, task) > 0


def test_recalibrated_moments_are_those_of_the_batches():
    slim, task = untrained()
    family = slim.family
    model, state = family.init(jax.random.key(0), ex.Width(), task.input_size)
    found = _slimmable.recalibrated(family, model, state, task, len(task.train))
    pipe = task.pipe
    assert pipe is not None
    first = family.apply(model, state, pipe(task.train.images), training=True, decay=0.0)[1]  # one batch: the whole set
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(first), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-6)


def test_costs_are_sums_over_widths():
    slim, task = untrained()
    universal = ex.models.Slimmable(slim.family, slim.widths, sandwich=2)
    cost = _slimmable.costs(slim.family, slim.widths, slim, universal, task).set_index("method")
    macs = [ex.macs(slim.family, width, (28, 28, 1)) for width in slim.widths]
    assert cost["macs"].to_dict() == {
        _slimmable.SEPARATE: sum(macs),
        _slimmable.SWITCHABLE: sum(macs),
        _slimmable.UNIVERSAL: 3 * macs[0] + macs[1],
        _slimmable.CUT: macs[0],
    }
    trained = {_slimmable.SWITCHABLE: slim, _slimmable.UNIVERSAL: universal}
    for method, family in trained.items():
        model, _ = family.init(jax.random.key(0), None, (28, 28, 1))
        assert cost["parameters"][method] == sum(leaf.size for leaf in jax.tree.leaves(model))


@pytest.mark.parametrize("broken", ["nested_gap", "masked_gap", "macs"])
def test_a_broken_law_fails_the_run(broken):
    slim, task = untrained()
    laws = pd.DataFrame([{"nested_gap": 0.0, "masked_gap": 1e-15}])
    cost = _slimmable.costs(slim.family, slim.widths, slim, ex.models.Slimmable(slim.family, slim.widths, 1), task)
    table = _slimmable.published()
    assert {(claim.word, claim.required) for claim in _slimmable.counted(laws, cost, table)} == {("holds", True)}
    if broken == "macs":
        table.loc[3, "macs"] += 10**6
    else:
        laws[broken] = 1e-6
    assert [claim.word for claim in _slimmable.counted(laws, cost, table)].count("does not hold") == 1


def test_bad_numbers_of_seeds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--seeds is at least 1; got 0"):
        slimmable_width.experiment(slimmable_width.Options(preset="smoke", out=tmp_path, seeds=0))
