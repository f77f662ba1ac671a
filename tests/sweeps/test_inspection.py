"""The folder of a run seen from outside: progress, damage, repair, merging; and cells as tasks of an executor."""

import concurrent.futures
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import expressivity as ex
from expressivity import sweeps
from expressivity.__main__ import main
from expressivity.sweeps import CellsFailed, functions, inspection, party, store

DISC = ex.targets.norm_squared(ex.Ball(2))
RECIPE = ex.Recipe(10, 16, 0.01)


def sweep(widths=("n", "n+1", "2n"), seeds=2):
    return ex.Sweep(ex.MLP(2), list(widths), DISC, seeds, RECIPE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, ex.run(sweep(), folder, order=12)


@pytest.fixture
def copy(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    return folder


def test_a_finished_run(finished, capsys):
    folder, _ = finished
    assert main(["runs", str(folder), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "3 finished" in printed
    assert "nobody" in printed
    assert "to go" not in printed


def test_what_is_missing_is_counted_in_steps(copy, capsys):
    first, *_ = sorted((copy / "cells").glob("*.cell"))
    first.unlink()
    state = inspection.inspect(copy)
    assert [cell.state for cell in state.cells].count("missing") == 1
    missing = next(cell for cell in state.cells if cell.state == "missing")
    assert missing.steps == 10 * 2
    others = [store.decode(path.read_bytes()).facts for path in (copy / "cells").glob("*.cell")]
    seconds = sum(f["compile_seconds"] + f["run_seconds"] + f["measure_seconds"] for f in others)
    assert state.seconds_to_go == pytest.approx(20 * seconds / 40)
    assert main(["runs", str(copy), "--verify"]) == 0
    assert f"missing: {missing.name}" in capsys.readouterr().out


def test_who_is_at_work_is_seen_from_another_process(copy):
    code = "import sys; from expressivity.__main__ import main; sys.exit(main(['runs', sys.argv[1]]))"
    with sweeps.Store(copy):
        done = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=False)
        # looking does not hold the folder
        assert inspection.inspect(copy).process is not None
    assert done.returncode == 0
    assert "at work: process" in done.stdout
    assert inspection.inspect(copy).process is None


def test_a_member_of_a_run_of_several_processes_is_seen_when_its_leader_is_gone(copy):
    with party.lock(copy / ".lock.1") as file:
        file.write(json.dumps({"pid": 4711, "state": "working"}))
        file.flush()
        assert inspection.inspect(copy).process == "4711"
    assert inspection.inspect(copy).process is None


def test_a_damaged_state_of_a_cell_is_seen(copy):
    (copy / "partial").mkdir()
    name = next((copy / "cells").glob("*.cell")).name
    for place in (name, "unplanned-0.cell"):
        (copy / "partial" / place).write_bytes(b"half a file")
        assert main(["runs", str(copy), "--verify"]) == 1
        assert main(["runs", str(copy), "--repair", "--verify"]) == 0


def test_five_hundred_corruptions_are_all_seen_and_none_is_believed(copy):
    """Bits flipped, bytes cut, added, exchanged between files: every one is named, the other cells stay as they are."""
    rng = np.random.default_rng(0)
    paths = sorted((copy / "cells").glob("*.cell"))
    contents = [path.read_bytes() for path in paths]
    for number in range(500):
        place = int(rng.integers(len(paths)))
        content = contents[place]
        kind = number % 5
        if kind == 0:
            at = int(rng.integers(len(content)))
            damaged = content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
        elif kind == 1:
            damaged = content[: int(rng.integers(len(content)))]
        elif kind == 2:
            damaged = content + rng.bytes(int(rng.integers(1, 9)))
        elif kind == 3:
            damaged = contents[(place + 1) % len(paths)]
        else:
            at = int(rng.integers(len(content) - 9))
            damaged = content[:at] + rng.bytes(8) + content[at + 8 :]
        if damaged == content:
            continue
        paths[place].write_bytes(damaged)
        state = inspection.inspect(copy)
        assert [cell.name for cell in state.damaged] == [paths[place].stem], (number, kind)
        paths[place].write_bytes(content)
    assert not inspection.inspect(copy).damaged


def test_repair_sets_aside_and_the_run_is_made_whole(finished, copy, capsys):
    first, *_ = sorted((copy / "cells").glob("*.cell"))
    damaged = first.read_bytes()[:-3]
    first.write_bytes(damaged)
    assert main(["runs", str(copy), "--verify"]) == 1
    assert main(["runs", str(copy), "--repair", "--verify"]) == 0
    assert "truncated" in capsys.readouterr().out
    assert [path.read_bytes() for path in (copy / "set_aside").iterdir()] == [damaged]
    result = ex.run(sweep(), copy, order=12)
    assert result.timings["trained_now"].sum() == 1
    assert (copy / "table.csv").read_bytes() == (finished[0] / "table.csv").read_bytes()


def test_folders_of_one_sweep_become_one(finished, tmp_path, capsys):
    parts = [tmp_path / "a", tmp_path / "b"]
    ex.run(sweep(("n", "n+1")), parts[0], order=12)
    ex.run(sweep(("n+1", "2n")), parts[1], order=12)
    assert main(["runs", *map(str, parts), "--into", str(tmp_path / "c")]) == 0
    assert "3 cells are new" in capsys.readouterr().out
    result = ex.run(sweep(), tmp_path / "c", order=12)
    assert not result.timings["trained_now"].any()
    assert (tmp_path / "c" / "table.csv").read_bytes() == (finished[0] / "table.csv").read_bytes()


def test_cells_that_contradict_each_other_are_not_merged(finished, copy, tmp_path):
    path = next((copy / "cells").glob("*.cell"))
    record = store.decode(path.read_bytes())
    record.facts["rows"][0]["error"] = 0.0
    path.write_bytes(store.encode(record))
    with pytest.raises(ValueError, match="says something else"):
        inspection.merge_folders([finished[0], copy], tmp_path / "both")


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 2
    assert "no folder 'cells'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"x": "y"}', "{"])
def test_a_plan_that_cannot_be_read_is_made_again(copy, text):
    (copy / "plan.json").write_text(text)
    assert [cell.name for cell in inspection.inspect(copy).damaged] == ["plan.json"]
    assert main(["runs", str(copy), "--repair", "--verify"]) == 0
    assert len(list((copy / "set_aside").iterdir())) == 1
    ex.run(sweep(), copy, order=12)
    assert set(json.loads((copy / "plan.json").read_text()).values()) == {20}


def test_cells_as_tasks_of_threads(finished, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ex.run(sweep(), tmp_path / "run", order=12, executor=pool)
    assert (tmp_path / "run" / "table.csv").read_bytes() == (finished[0] / "table.csv").read_bytes()
    with pytest.raises(TypeError, match="submit"):
        ex.run(sweep(), tmp_path / "other", order=12, executor=3)


@pytest.mark.slow
def test_cells_as_tasks_of_processes(tmp_path):
    import multiprocessing

    table = ex.data.diabetes()
    learned = ex.Sweep(ex.MLP(table.dim, hidden_layers=1), [2, 4], table, 1, RECIPE)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        ex.run(learned, tmp_path / "apart", executor=pool)
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            ex.run(sweep(), tmp_path / "function", order=12, executor=pool)
    ex.run(learned, tmp_path / "here")
    assert (tmp_path / "apart" / "table.csv").read_bytes() == (tmp_path / "here" / "table.csv").read_bytes()


def test_a_cell_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    real = functions.train_cell

    def short_of_memory(cell, progress, store):
        if 3 in cell.widths:
            raise MemoryError("cannot allocate 7 GiB")
        return real(cell, progress, store)

    monkeypatch.setattr(functions, "train_cell", short_of_memory)
    with pytest.raises(CellsFailed, match="cannot allocate 7 GiB") as caught:
        ex.run(sweep(), tmp_path, order=12)
    assert len(caught.value.failures) == 1
    assert sorted(set(caught.value.result.table["width"])) == [2, 4]
    assert (tmp_path / "table.csv").is_file()
    monkeypatch.undo()
    assert ex.run(sweep(), tmp_path, order=12).timings["trained_now"].sum() == 1
