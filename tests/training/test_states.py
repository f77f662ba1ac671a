"""States of runs: going on from any of them is the same run, bit for bit, and those of other runs are refused."""

import logging

import jax
import numpy as np
import optax
import pytest

import expressivity as ex
from expressivity import data, training
from expressivity.sweeps import Record, Store, functions, inspect, states
from expressivity.sweeps import images as image_cells
from expressivity.training import loop
from expressivity.training.states import OtherRun, Snapshot, checked_step

DISC = ex.targets.norm_squared(ex.Ball(2))
FAMILY = ex.MLP(2, hidden_layers=3)
STEPS = 11


class Killed(BaseException):
    """What stops a run in these tests; no error, so nothing handles it."""


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """A state is taken between chunks: of four steps here, and at every one of them."""
    monkeypatch.setattr(loop, "CHUNK", 4)
    monkeypatch.setattr(states, "SHARE", 1.0)


def same(a, b):
    leaves = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(leaves[0]) == len(leaves[1]) and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(*leaves, strict=True)
    )


def assert_same(one, other):
    assert one.status == other.status
    np.testing.assert_equal(one.loss, other.loss)
    assert one.networks.keys() == other.networks.keys()
    assert all(same(one.networks[net], other.networks[net]) for net in one.networks)


@pytest.mark.parametrize(
    ("widths", "seeds", "recipe"),
    [
        # two programs, the second one filled up with copies; seed 3 diverges
        ((2, 3), range(5), ex.Recipe(STEPS, 16, (0.01, 0.01, 0.01, 1e38, 0.01), "momentum")),
        # an optimiser whose state holds a random key for every network
        (
            (3,),
            (1, 4),
            ex.Recipe(STEPS, 16, 0.01, optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.sgd(1.0))),
        ),
        ((3,), (1, 4), ex.Recipe(STEPS, 16, 0.01, "adam", weight_decay=0.1)),
    ],
)
def test_a_run_that_goes_on_is_the_same_run(widths, seeds, recipe):
    snapshots: list[Snapshot] = []
    whole = training.train(FAMILY, widths, DISC, seeds, recipe, keep=lambda make: snapshots.append(make()))
    assert [snapshot.step for snapshot in snapshots] == [4, 8, STEPS]
    for snapshot in snapshots:
        ticks = []
        again = training.train(
            FAMILY, widths, DISC, seeds, recipe, resume=snapshot, progress=lambda *now, to=ticks: to.append(now[0])
        )
        assert_same(again, whole)
        assert ticks == [step for step in (4, 8, STEPS) if step > snapshot.step]
    assert ("diverged" in whole.status.values()) == (len(seeds) == 5)


@pytest.mark.parametrize("change", [{"seeds": (0, 1, 2)}, {"width": 4}, {"optimiser": "momentum"}, {"steps": 6}])
def test_a_snapshot_of_another_run_is_refused(change):
    snapshots: list[Snapshot] = []
    training.train(FAMILY, (3,), DISC, (0, 1), ex.Recipe(8, 16, 0.01), keep=lambda make: snapshots.append(make()))
    recipe = ex.Recipe(change.get("steps", 8), 16, 0.01, change.get("optimiser", "adam"))
    with pytest.raises(OtherRun, match="another run"):
        training.train(
            FAMILY, (change.get("width", 3),), DISC, change.get("seeds", (0, 1)), recipe, resume=snapshots[-1]
        )


def test_a_snapshot_with_a_part_missing_is_refused_and_named():
    with pytest.raises(OtherRun, match="'history'"):
        training.train(FAMILY, (3,), DISC, (0, 1), ex.Recipe(8, 16, 0.01), resume=Snapshot(4, {}))
    for step in (-1, 9, 2.5, True, None):
        with pytest.raises(OtherRun, match="taken at step"):
            checked_step(step, 8)


@pytest.mark.parametrize(("share", "written"), [(1.0, [0, 1, 2, 3, 4]), (0.5, [0, 1, 2, 3, 4]), (0.25, [0, 3])])
def test_writing_states_takes_no_more_than_its_share_of_the_time(share, written, tmp_path, monkeypatch):
    """A call takes 1 s and writing a state 1 s, by a clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(states, "SHARE", share)
    monkeypatch.setattr(states.time, "monotonic", lambda: now[0])
    store, made = Store(tmp_path), []
    monkeypatch.setattr(store, "write_partial", lambda *_: now.__setitem__(0, now[0] + 1))
    state = states.PartialState(store, "a", "b")
    for call in range(5):
        now[0] += 1
        state.keep(lambda call=call: made.append(call) or Record({}, {}))
    assert made == written


def disc():
    return ex.Sweep(ex.MLP(2, hidden_layers=1), ["n", "n+1"], DISC, 2, ex.Recipe(STEPS, 16, 0.01))


def table():
    """Three seeds, each with rows of its own; the first one diverges."""
    return ex.Sweep(
        ex.MLP(10, hidden_layers=1), [4], data.diabetes(), 3, ex.Recipe(STEPS, 16, (1e38, 0.01, 0.01), "sgd")
    )


def images():
    task = training.ImageTask(*(data.fashion_mnist(split).first(3) for split in ("train", "test")))
    return ex.Sweep(ex.AllConv6(classes=10, channels=(4, 4)), ["1x"], task, 1, ex.Recipe(4, 8, 0.01, "momentum"))


def kill_at(monkeypatch, kind, number):
    """The training of a cell ends after so many ticks; returns the steps that it had reached by then."""
    seen, real = [], kind.train_cell

    def train_cell(cell, progress, store):
        def ticks(step, steps, losses):
            progress(step, steps, losses)
            seen.append(step)
            if len(seen) == number:
                raise Killed

        return real(cell, ticks, store)

    monkeypatch.setattr(kind, "train_cell", train_cell)
    return seen


@pytest.mark.parametrize(("make", "kill"), [(disc, 3), (table, 5), (table, 9)])
def test_a_killed_cell_goes_on_to_the_same_table_and_networks(make, kill, tmp_path, monkeypatch):
    whole = ex.run(make(), tmp_path / "whole", order=12)
    with monkeypatch.context() as patch:
        seen = kill_at(patch, functions, kill)
        with pytest.raises(Killed):
            ex.run(make(), tmp_path / "killed", order=12)
    assert list((tmp_path / "killed" / "partial").iterdir())
    (partial,) = [cell for cell in inspect(tmp_path / "killed").cells if cell.state == "partial"]
    assert 0 < partial.done < partial.steps
    assert partial.done == seen[kill - 2] * partial.steps // (3 * STEPS if make is table else STEPS)
    with monkeypatch.context() as patch:
        after = kill_at(patch, functions, 0)
        again = ex.run(make(), tmp_path / "killed", order=12)
    # the tick comes before the state, so the steps that it told of are taken again, and no others
    assert after[0] == seen[-1]
    assert (tmp_path / "killed" / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert again.networks.keys() == whole.networks.keys()
    assert all(same(again.networks[key], whole.networks[key]) for key in whole.networks)
    assert not (tmp_path / "killed" / "partial").exists()
    assert not (tmp_path / "killed" / "set_aside").exists()


def test_the_state_of_a_finished_cell_is_dropped_by_the_next_run(tmp_path):
    """A process was killed after it had written the cell and before it had dropped the state."""
    ex.run(disc(), tmp_path, order=12)
    with Store(tmp_path) as store:
        cell = disc().cells(12)[0]
        store.write_partial(cell.label, cell.key, Record({"key": cell.key, "step": 4}, {}))
    ex.run(disc(), tmp_path, order=12)
    assert not (tmp_path / "partial").exists()


@pytest.mark.parametrize(
    ("make", "spoil"),
    [
        (disc, lambda facts, arrays: arrays.update({"now/leaf/0": arrays["now/leaf/0"][:1]})),
        (disc, lambda facts, arrays: facts.update(finished=[{}])),
        (table, lambda facts, arrays: facts.update(finished=[{"nets": [[4, 1, "ok", 0.0, True]]}])),
        (table, lambda facts, arrays: facts["finished"][1].pop("run_seconds")),
        (table, lambda facts, arrays: facts.update(key="another")),
        (images, lambda facts, arrays: arrays.update({"0/0": arrays["0/0"][:, :1]})),
        (images, lambda facts, arrays: facts.pop("curve")),
        (images, lambda facts, arrays: facts.update(step=9)),
    ],
)
def test_a_state_that_cannot_be_used_is_set_aside_and_the_cell_made_afresh(make, spoil, tmp_path, monkeypatch, caplog):
    sweep = make()
    cell = sweep.cells(12)[0]
    kind = image_cells if make is images else functions
    store = Store(tmp_path)
    with store, monkeypatch.context() as patch:
        kill_at(patch, kind, 8 if make is table else 2 if make is disc else 0)
        try:
            fresh = kind.train_cell(cell, lambda *_: None, store)
        except Killed:
            (tmp_path / "other").mkdir()
            fresh = kind.train_cell(cell, lambda *_: None, Store(tmp_path / "other"))
        partial = store.read_partial(cell.label, cell.key)
        assert partial is not None
        spoil(partial.facts, partial.arrays)
        store.write_partial(cell.label, cell.key, partial)
        with caplog.at_level(logging.WARNING, "expressivity"):
            made = kind.train_cell(cell, lambda *_: None, store)
    assert "cannot be gone on from" in caplog.text
    assert len(list((tmp_path / "set_aside").iterdir())) == 1
    np.testing.assert_equal(made.facts["rows"], fresh.facts["rows"])
    assert made.arrays.keys() == fresh.arrays.keys()
    assert all(np.array_equal(made.arrays[name], fresh.arrays[name]) for name in made.arrays)
