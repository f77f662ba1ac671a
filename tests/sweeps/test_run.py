"""Running sweeps: what the table says, stopping and going on, damaged cells, and the right errors."""

import concurrent.futures
import json
import math
import threading

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from expressivity.sweeps import CellsFailed, FolderInUse, Store, collect, collect_all, functions, inspection, merge
from expressivity.training import train

DISC = ex.targets.norm_squared(ex.Ball(2))
RECIPE = ex.Recipe(20, 16, 0.01)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    families = [ex.MLP(2, hidden_layers=h) for h in (1, 2)]
    sweep = ex.Sweep(families, ["n-1", "n", "2n"], DISC, 3, RECIPE)
    folder = tmp_path_factory.mktemp("small")
    return sweep, folder, ex.run(sweep, folder, order=20)


def test_one_row_a_network_and_norm_with_the_contracted_columns(small):
    _, _, result = small
    assert {"family", "width", "hidden_layers", "seed", "status", "norm", "error"} <= set(result.table.columns)
    keys = result.table[["width", "hidden_layers", "seed", "norm"]]
    assert len(keys.drop_duplicates()) == len(keys) == 3 * 2 * 3 * 3
    assert set(result.table["width_rule"]) == {"n-1", "n", "2n"}
    assert not any("second" in column for column in result.table.columns)


def test_errors_and_sizes_are_those_of_the_networks(small):
    """Second route: `ex.error` by its own call of the same rule; sup by search, so at least the table's maximum."""
    _, _, result = small
    for row in result.table.itertuples():
        network = result.network(row.width, row.seed, row.hidden_layers)
        assert (network.width, network.hidden_layers, network.size) == (row.width, row.hidden_layers, row.parameters)
        if row.norm == "sup":
            assert ex.error(network, DISC, "sup", order=20).value >= row.error - 1e-12
        else:
            found = ex.error(network, DISC, row.norm, order=20)
            assert (row.error, row.half_width) == pytest.approx((found.value, found.half_width), abs=1e-12)
        assert row.fvu == pytest.approx(ex.fvu(network, DISC, order=20).value, rel=1e-9)


def test_a_cell_holds_what_training_it_alone_gives(small):
    """Bitwise: the file keeps the weights as they are."""
    _, _, result = small
    alone = train(ex.MLP(2, hidden_layers=2), (2,), DISC, (0, 1, 2), RECIPE)
    for (width, seed), network in alone.networks.items():
        kept = result.network(width, seed, 2)
        for one, other in zip(network.layers, kept.layers, strict=True):
            assert np.array_equal(one[0], other[0])
            assert np.array_equal(one[1], other[1])


def test_a_second_call_trains_nothing_and_writes_the_same_bytes(small):
    sweep, folder, result = small
    before = (folder / "table.csv").read_bytes()
    again = ex.run(sweep, folder, order=20)
    assert not again.timings["trained_now"].any()
    assert result.timings["trained_now"].all()
    assert (folder / "table.csv").read_bytes() == before
    pd.testing.assert_frame_equal(again.table, result.table)


def test_best_and_quantiles_against_plain_loops(small):
    _, _, result = small
    best, quantiles = result.best(), result.quantiles((0.0, 0.5))
    for row in best.itertuples():
        errors = [
            other.error
            for other in result.table.itertuples()
            if (other.norm, other.width, other.hidden_layers) == (row.norm, row.width, row.hidden_layers)
        ]
        assert row.error == min(errors)
        cell = quantiles[
            (quantiles["norm"] == row.norm)
            & (quantiles["width"] == row.width)
            & (quantiles["hidden_layers"] == row.hidden_layers)
        ]
        assert cell["q0"].item() == min(errors)
        assert cell["q0.5"].item() == sorted(errors)[1]
    assert len(best) == len(quantiles) == 18


def test_packed_widths_are_the_same_networks_in_one_file(tmp_path):
    sweeps = [ex.Sweep(ex.MLP(2), ["n", "n+1"], DISC, 2, RECIPE, packed=packed) for packed in (False, True)]
    assert [len(sweep.cells()) for sweep in sweeps] == [2, 1]
    apart, packed = (ex.run(sweep, tmp_path / str(i), order=12) for i, sweep in enumerate(sweeps))
    assert packed.networks.keys() == apart.networks.keys()
    for row, other in zip(apart.table.itertuples(), packed.table.itertuples(), strict=True):
        assert (row.width, row.seed, row.norm) == (other.width, other.seed, other.norm)
        # float32 sums in another order: 20 steps of Adam at 0.01 amplify 1e-7 by far less than 1e4
        assert row.error == pytest.approx(other.error, abs=1e-3)


def test_a_diverged_network_is_a_row_without_an_error_and_disturbs_no_other(tmp_path):
    wild = ex.Recipe(20, 16, (0.01, 1e30), optimiser="sgd", schedule="constant")
    result = ex.run(ex.Sweep(ex.MLP(2), ["n+1"], DISC, 2, wild), tmp_path, order=12)
    status = result.table.groupby("seed")["status"].first().to_dict()
    assert status == {0: "ok", 1: "diverged"}
    assert result.table[result.table["seed"] == 1]["error"].isna().all()
    assert result.table[result.table["seed"] == 0]["error"].notna().all()
    assert [key[3] for key in result.networks] == [0]
    assert result.quantiles()["diverged"].tolist() == [1, 1, 1]
    assert set(result.best()["seed"]) == {0}
    again = ex.run(ex.Sweep(ex.MLP(2), ["n+1"], DISC, 2, wild), tmp_path, order=12)
    pd.testing.assert_frame_equal(again.table, result.table)


def test_warm_starts_begin_at_the_network_given(tmp_path):
    """A rate so small that float32 weights stay as they are: the error is that of the construction."""
    net = ex.constructions.hanin_sellke2017.max_affine([[1.0, 0.0], [-1.0, 0.5]], [0.0, 0.25], half_width=1.0)
    start = ex.pad_width(net, 4)
    recipe = ex.Recipe(2, 8, 1e-30)
    sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), 4, DISC, 1, recipe, origin="string", starts={(4, 0): start})
    result = ex.run(sweep, tmp_path, order=16)
    row = result.table[result.table["norm"] == "L2"].iloc[0]
    assert row["origin"] == "string"
    assert row["error"] == pytest.approx(ex.error(net, DISC, "L2", order=16).value, abs=1e-6)


def test_a_table_is_trained_on_one_part_and_measured_on_the_other(tmp_path):
    table = ex.data.diabetes()
    result = ex.run(ex.Sweep(ex.MLP(10), ["4"], table, 2, ex.Recipe(60, 32, 0.01)), tmp_path)
    assert set(result.table["norm"]) == {"L1", "L2"}
    for row in result.table.itertuples():
        split = table.split(row.seed)
        outputs = ex.evaluate(result.network(4, row.seed), split.test_features)[:, 0]
        residual = np.abs(outputs - split.test_values)
        expected = residual.mean() if row.norm == "L1" else math.sqrt((residual**2).mean())
        assert row.error == pytest.approx(expected, rel=1e-12)
        assert row.half_width > 0


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"root": 1}, False),
        ({"seeds": 4}, False),
        ({"recipe": ex.Recipe(21, 16, 0.01)}, False),
        ({"task": ex.targets.norm_squared(ex.Ball(2, 2.0))}, False),
        ({"origin": "elsewhere"}, False),
    ],
)
def test_the_address_of_a_cell_follows_its_settings(change, same):
    given = {"family": ex.MLP(2), "widths": ["n"], "task": DISC, "seeds": 3, "recipe": RECIPE}
    keys = [ex.Sweep(**given).cells(20)[0].key, ex.Sweep(**(given | change)).cells(20)[0].key]
    assert (keys[0] == keys[1]) == same


def test_another_quadrature_is_another_cell():
    sweep = ex.Sweep(ex.MLP(2), ["n"], DISC, 3, RECIPE)
    assert sweep.cells(20)[0].key != sweep.cells(24)[0].key


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"widths": ["n-2"]}, ValueError, "gives 0; the least width is 1"),
        ({"widths": ["wide"]}, ValueError, "Cannot read 'wide' as a width. Accepted forms"),
        ({"widths": []}, ValueError, "at least one width"),
        ({"seeds": 0}, ValueError, "at least one seed; got 0"),
        ({"seeds": (1, 1)}, ValueError, r"different and not negative; got \(1, 1\)"),
        ({"seeds": "many"}, TypeError, "'many'"),
        ({"family": ex.MLP(3)}, ValueError, "reads 3 numbers"),
        ({"family": "MLP"}, TypeError, "'MLP'"),
        ({"task": np.sin}, TypeError, "needs an expressivity.Target"),
        ({"recipe": "adam"}, TypeError, "needs an expressivity.Recipe; got 'adam'"),
        ({"recipe": ex.Recipe(5, 8, (0.1, 0.2))}, ValueError, "2 learning rates for 3 seeds"),
    ],
)
def test_bad_sweeps_are_refused_in_one_sentence(change, error, sentence):
    given = {"family": ex.MLP(2), "widths": ["n"], "task": DISC, "seeds": 3, "recipe": RECIPE} | change
    with pytest.raises(error, match=sentence) as caught:
        ex.Sweep(**given).cells()
    assert "\n" not in str(caught.value)


def test_merging_keeps_every_row(small):
    _, _, result = small
    both = merge([result, result])
    assert len(both.table) == 2 * len(result.table)
    assert both.networks.keys() == result.networks.keys()


def several():
    """Three sweeps of two tasks; the cell of width 3 is in two of them."""
    disc = [ex.Sweep(ex.MLP(2), widths, DISC, 2, RECIPE) for widths in (["n+1"], ["n", "n+1", "2n"])]
    return [disc[0], ex.Sweep(ex.MLP(2, hidden_layers=1), ["n"], ex.targets.product(ex.Ball(2)), 1, RECIPE), disc[1]]


def test_sweeps_that_are_collected_together_give_what_each_gives_alone(tmp_path, monkeypatch):
    written, write = [], inspection.write_atomically
    monkeypatch.setattr(
        inspection, "write_atomically", lambda path, content: (written.append(path.name), write(path, content))
    )
    with Store(tmp_path / "apart") as store:
        apart = [collect(sweep, store, order=12) for sweep in several()]
    assert written == ["plan.json"] * 3  # what was planned before stays in the plan
    written.clear()
    with Store(tmp_path / "together") as store:
        together = collect_all(several(), store, order=12)
        assert collect_all([], store) == []
    assert written == ["plan.json"]
    plans = [json.loads((tmp_path / name / "plan.json").read_text()) for name in ("apart", "together")]
    assert plans[0] == plans[1]
    assert set(plans[0]) == {path.stem for path in (tmp_path / "together" / "cells").iterdir()}
    for one, other in zip(apart, together, strict=True):
        pd.testing.assert_frame_equal(one.table, other.table)
        pd.testing.assert_frame_equal(one.timings[["cell", "trained_now"]], other.timings[["cell", "trained_now"]])
        assert one.networks.keys() == other.networks.keys()


def test_a_cell_that_two_sweeps_hold_is_trained_once(tmp_path, monkeypatch):
    trained, inner = [], functions.train_cell
    monkeypatch.setattr(
        functions, "train_cell", lambda cell, *rest: (trained.append(cell.label), inner(cell, *rest))[1]
    )
    with Store(tmp_path) as store:
        found = collect_all(several(), store, order=12)
        assert trained == ["mlp-h2-w3", "mlp-h1-w2", "mlp-h2-w2", "mlp-h2-w4"]
        assert [list(one.timings["trained_now"]) for one in found] == [[True], [True], [True, False, True]]
        again = collect_all(several(), store, order=12)
    assert len(trained) == 4
    assert not any(one.timings["trained_now"].any() for one in again)


def test_workers_are_at_several_sweeps_at_once(tmp_path):
    """Every task waits until another one has begun, and each sweep has but one."""
    meeting = threading.Barrier(2, timeout=60)

    class Meeting(concurrent.futures.ThreadPoolExecutor):
        def submit(self, function, *given):
            return super().submit(lambda: (meeting.wait(), function(*given))[1])

    with Meeting(2) as executor, Store(tmp_path) as store:
        found = collect_all(several()[:2], store, order=12, executor=executor)
    assert [len(one.networks) for one in found] == [2, 1]
    assert all(one.timings["trained_now"].all() for one in found)


def test_cells_that_fail_stop_no_sweep_and_are_tried_once(tmp_path, monkeypatch):
    """Width 3: all of the first sweep and a part of the last."""
    tried, inner = [], functions.train_cell

    def short_of_memory(cell, *rest):
        tried.append(cell.label)
        if 3 in cell.widths:
            raise MemoryError("cannot allocate 7 GiB")
        return inner(cell, *rest)

    monkeypatch.setattr(functions, "train_cell", short_of_memory)
    with Store(tmp_path) as store, pytest.raises(CellsFailed, match="1 cells failed") as caught:
        collect_all(several(), store, order=12)
    assert len(tried) == 4
    result = caught.value.result
    assert (
        sorted(zip(result.table["width"], result.table["hidden_layers"], strict=True))
        == [(2, 1)] * 3 + [(2, 2)] * 6 + [(4, 2)] * 6
    )
    assert result.table["error"].dtype == float
    assert result.timings["trained_now"].tolist() == [True] * 3
    assert [cell.state for cell in inspection.inspect(tmp_path).cells].count("failed") == 1
    with Store(tmp_path) as store:  # what failed stays noted while others are collected
        collect(several()[1], store, order=12)
    assert [cell.state for cell in inspection.inspect(tmp_path).cells] == ["failed"] + ["finished"] * 3
    monkeypatch.undo()
    with Store(tmp_path) as store:
        assert sum(one.timings["trained_now"].sum() for one in collect_all(several(), store, order=12)) == 1
    assert {cell.state for cell in inspection.inspect(tmp_path).cells} == {"finished"}


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_cell_is_set_aside_and_trained_again(small, tmp_path, caplog, damage):
    sweep, _, _ = small
    sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), ["n-1", "n"], DISC, 2, RECIPE)
    ex.run(sweep, tmp_path, order=12)
    table = (tmp_path / "table.csv").read_bytes()
    path = sorted((tmp_path / "cells").iterdir())[0]
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 3]
    else:
        content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    again = ex.run(sweep, tmp_path, order=12)
    assert sorted(again.timings["trained_now"]) == [False, True]
    assert (tmp_path / "table.csv").read_bytes() == table
    assert [p.read_bytes() for p in (tmp_path / "set_aside").iterdir()] == [bytes(content)]
    assert len(caplog.records) == 1


def test_two_runs_in_one_folder(small, tmp_path):
    sweep, _, _ = small
    with Store(tmp_path), pytest.raises(FolderInUse, match="is working in"):
        ex.run(sweep, tmp_path)
