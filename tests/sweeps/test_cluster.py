"""Cells as tasks of a Dask cluster: the same table, also when a worker is killed; one sentence for every wrong use."""

import os
import signal
import sys
import threading
import time
import types

import pytest

import expressivity as ex
from expressivity.sweeps import CellsFailed, cluster
from expressivity.sweeps.run import work

DISC = ex.targets.norm_squared(ex.Ball(2))


def sweep():
    return ex.Sweep(ex.MLP(2, hidden_layers=1), range(1, 5), DISC, 1, ex.Recipe(300, 64, 0.01))


@pytest.mark.slow
def test_the_table_is_the_same_after_a_worker_was_killed(tmp_path):
    """Three worker processes; the first that is at work when the first cell is finished dies, with its task."""
    pytest.importorskip("distributed")
    ex.run(sweep(), tmp_path / "here", order=12)
    killed = []

    def kill(client):
        cells = tmp_path / "there" / "cells"
        while not killed:
            busy = [name for name, tasks in client.processing().items() if tasks]
            if busy and cells.is_dir() and list(cells.glob("*.cell")):
                pid = client.run(os.getpid, workers=busy[:1])[busy[0]]
                os.kill(pid, signal.SIGKILL)
                killed.append(len(list(cells.glob("*.cell"))))
            time.sleep(0.01)

    with cluster.connect("local:3", platform="cpu", cache=tmp_path / "cache") as executor:
        assert cluster.current() is executor
        killer = threading.Thread(target=kill, args=(executor.client,), daemon=True)
        killer.start()
        result = ex.run(sweep(), tmp_path / "there", order=12)
    assert cluster.current() is None
    killer.join(10)
    assert killed
    assert killed[0] < 4  # something was left to do
    assert result.timings["trained_now"].all()
    assert (tmp_path / "there" / "table.csv").read_bytes() == (tmp_path / "here" / "table.csv").read_bytes()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("local:0", "got 'local:0'"), ("local", "got 'local'"), ("10.0.0.1:8786", "got '10.0.0.1:8786'")],
)
def test_wrong_addresses(address, sentence):
    with pytest.raises(ValueError, match=sentence), cluster.connect(address):
        pass


def test_without_dask_or_a_scheduler(monkeypatch):
    pytest.importorskip("distributed")
    begun = time.monotonic()
    with (
        pytest.raises(ValueError, match=r"tcp://127.0.0.1:9 does not answer .* within 0.5 s"),
        cluster.connect("tcp://127.0.0.1:9", timeout=0.5),
    ):
        pass
    assert time.monotonic() - begun < 10
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"local:2 needs Dask.*\[cluster\]"), cluster.connect("local:2"):
        pass


def test_a_task_that_comes_twice_trains_once_and_another_platform_is_noticed(tmp_path, monkeypatch):
    cell = ex.Sweep(ex.MLP(2, hidden_layers=1), [2], DISC, 1, ex.Recipe(2, 8, 0.01)).cells(8)[0]
    (tmp_path / "cells").mkdir()
    assert work(cell, str(tmp_path), cell.key) == cell.key
    (file,) = (tmp_path / "cells").iterdir()
    before = file.stat().st_mtime_ns
    work(cell, str(tmp_path), cell.key)
    assert file.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="computes on 'cpu'"):
        work(cell, str(tmp_path), "0" * 20)


def test_lost_workers_are_failures_of_their_cells(tmp_path):
    """A scheduler gives a task up after some workers died of it; the other cells are finished."""
    distributed = pytest.importorskip("distributed")
    import concurrent.futures

    class Executor(concurrent.futures.Executor):
        def submit(self, function, cell, *rest):
            done = concurrent.futures.Future()
            if 3 in cell.widths:
                done.set_exception(distributed.KilledWorker("task", types.SimpleNamespace(address="tcp://a:1"), 3))
            else:
                done.set_result(function(cell, *rest))
            return done

    two = ex.Sweep(ex.MLP(2, hidden_layers=1), [2, 3], DISC, 1, ex.Recipe(2, 8, 0.01))
    with pytest.raises(CellsFailed, match="KilledWorker") as caught:
        ex.run(two, tmp_path, order=8, executor=Executor())
    assert set(caught.value.result.table["width"]) == {2}
    assert ex.run(two, tmp_path, order=8).timings["trained_now"].sum() == 1
