"""Networks spread over the devices of several processes: the sweep of one, and what a kill of one process costs."""

import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pandas as pd
import pytest
from ports import free_port

import expressivity as ex
from expressivity.sweeps import Store, inspect, repair, spread
from expressivity.sweeps.functions import jobs_of
from expressivity.sweeps.store import Record
from expressivity.training.states import Snapshot

DISC = ex.targets.norm_squared(ex.Ball(2))
NUMBERS = ["error", "half_width", "fvu", "loss"]
# float32: at most 40 steps of Adam of at most 0.02, on sums in another order
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
SCRIPT = """
import os, sys
import expressivity as ex
from expressivity import sweeps
from expressivity.sweeps import spread
from expressivity.training import enable_compilation_cache, wide
out, cache, port, processes, process, steps = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
enable_compilation_cache(cache)
wide.CHUNK = 16
if processes > 1:
    sweeps.join(f"127.0.0.1:{port}", processes, process, 60, stay=True)
disc = ex.targets.norm_squared(ex.Ball(2))
sweep = ex.Sweep(ex.MLP(2, hidden_layers=2), [3, 9], disc, 2, ex.Recipe(steps, 32, (0.01, 0.005)))
with spread.over() as mesh:
    try:
        result = ex.run(sweep, out, order=12)
    except spread.ProcessLost as error:
        print(error, flush=True)
        os._exit(3)
print(mesh.size, len(result.networks))
"""


def start(folder, cache, port=0, processes=1, process=0, devices=2, steps=40):
    arguments = map(str, (folder, cache, port, processes, process, steps))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pair(folder, cache, **more):
    port = free_port()
    return [start(folder, cache, port, 2, process, **more) for process in range(2)]


def end(processes):
    told = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), told
    return [out.splitlines()[-1] for out, _ in told]  # gloo prints lines of its own


def test_the_networks_of_a_spread_sweep_are_those_of_another_to_rounding(tmp_path):
    """On the devices of this process; with warm starts and packed widths, which become cells of one network."""
    given, _ = ex.MLP(2, hidden_layers=1).init(jax.random.key(1), 2)
    starts = {(3, 0): given, (5, 1): given}
    for more in ({}, {"packed": True}, {"starts": starts, "origin": "given"}):
        sweep = ex.Sweep(ex.MLP(2, hidden_layers=2), [3, 5], DISC, 2, ex.Recipe(30, 32, (0.01, 0.02)), **more)
        plain = ex.run(sweep, tmp_path / f"plain-{len(more)}-{'packed' in more}", order=12)
        folder = tmp_path / f"spread-{len(more)}-{'packed' in more}"
        with spread.over():
            again = ex.run(sweep, folder, order=12)
        assert (again.table["batching"] == "spread").all()
        same = [name for name in plain.table if name not in [*NUMBERS, "batching"]]
        pd.testing.assert_frame_equal(again.table[same], plain.table[same])
        np.testing.assert_allclose(again.table[NUMBERS], plain.table[NUMBERS], **CLOSE)
        assert again.networks.keys() == plain.networks.keys()
        assert not (folder / "partial").exists()


def test_networks_too_large_to_keep_are_measured_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "KEEP_BYTES", 100)
    sweep = ex.Sweep(ex.MLP(2), [1, 9], DISC, 1, ex.Recipe(5, 32, 0.01))
    with spread.over():
        result = ex.run(sweep, tmp_path, order=12)
    assert [net[1] for net in result.networks] == [1]
    assert result.table.groupby("width")["parameters"].first().tolist() == [7, 127]
    assert np.isfinite(result.table["error"]).all()


def test_a_diverged_network_and_bad_input_get_their_words(tmp_path):
    with spread.over():
        sweep = ex.Sweep(ex.MLP(2), [3], DISC, 2, ex.Recipe(20, 32, (0.01, 1e30), "sgd"))
        table = ex.run(sweep, tmp_path / "diverged", order=12).table
        assert table.groupby("seed")["status"].first().tolist() == ["ok", "diverged"]
        task = ex.data.fashion_mnist("train").first(5)
        images = ex.Sweep(ex.AllConv6(classes=10, channels=(4, 4)), ["1x"], task, 1, ex.Recipe(2, 4, 0.01))
        with pytest.raises(ValueError, match="Only MLPs can be spread"):
            ex.run(images, tmp_path / "images")


def test_a_table_is_learned_from_the_rows_of_its_seed(tmp_path):
    sweep = ex.Sweep(ex.MLP(10), [4], ex.data.diabetes(), 2, ex.Recipe(20, 16, 0.01))
    plain = ex.run(sweep, tmp_path / "plain").table
    with spread.over():
        again = ex.run(sweep, tmp_path / "spread").table
    np.testing.assert_allclose(again[NUMBERS], plain[NUMBERS], **CLOSE)


def test_all_go_on_from_the_last_state_that_every_process_has(tmp_path, monkeypatch):
    """A process was killed before it had written the state of step 6; the other one has those of 4 and 6."""
    sweep = ex.Sweep(ex.MLP(2), [3], DISC, 1, ex.Recipe(8, 16, 0.01))
    with spread.over() as mesh, Store(tmp_path) as store:
        (cell,) = spread.split(sweep.cells(12), mesh)
        assert jobs_of(cell)[0][1] == (0,)
        parts = spread.Parts(store, cell)
        assert parts.found() is None
        for turn, step in ((0, 4), (1, 6)):
            facts = {"step": step, "key": cell.key, "processes": 1}
            store.write_partial(parts.labels[turn], cell.key, Record(facts, {"at": np.array(step)}))
        own = parts.found()
        assert own is not None
        assert (own.step, int(own.arrays["at"]), parts.turn) == (6, 6, 0)
        monkeypatch.setattr(spread, "_everywhere", lambda *steps: np.array([steps, (4, 2)]))
        common = parts.found()
        assert common is not None
        assert (common.step, int(common.arrays["at"]), parts.turn) == (4, 4, 1)
        monkeypatch.setattr(spread, "_everywhere", lambda *steps: np.array([steps, (-1, -1)]))
        assert parts.found() is None


def test_a_finished_cell_leaves_no_state_also_of_a_run_of_more_processes(tmp_path):
    sweep = ex.Sweep(ex.MLP(2), [3], DISC, 1, ex.Recipe(8, 16, 0.01))
    for missing in (True, False):
        with spread.over() as mesh, Store(tmp_path) as store:
            (cell,) = spread.split(sweep.cells(12), mesh)
            assert missing != store.path(cell.label, cell.key).exists()
            store.write_partial(
                f"{cell.label}-p5-1", cell.key, Record({"key": cell.key, "processes": 6, "step": 4}, {})
            )
        with spread.over():
            ex.run(sweep, tmp_path, order=12)
        assert not (tmp_path / "partial").exists()


def test_states_of_the_parts_are_seen_by_who_looks_after_the_run(tmp_path):
    sweep = ex.Sweep(ex.MLP(2), [3], DISC, 1, ex.Recipe(8, 16, 0.01))
    with spread.over() as mesh:
        (cell,) = spread.split(sweep.cells(12), mesh)
        ex.run(sweep, tmp_path, order=12)
        with Store(tmp_path) as store:
            store.path(cell.label, cell.key).unlink()
            parts = spread.Parts(store, cell)
            parts._write(Snapshot(6, {}))
    (state,) = inspect(tmp_path).cells
    assert (state.state, state.done, state.steps) == ("partial", 6, 8)
    path = store.partial_path(parts.labels[0], cell.key)
    path.write_bytes(path.read_bytes()[:-1])
    missing, damaged = inspect(tmp_path).cells
    assert (missing.state, damaged.state, damaged.name) == ("missing", "damaged", path.stem)
    assert repair(tmp_path)[0].name == path.stem
    assert not path.exists()


@pytest.mark.slow
def test_two_processes_of_two_devices_make_the_sweep_of_one_device(tmp_path):
    alone = start(tmp_path / "alone", tmp_path / "cache", devices=1)
    assert end([alone]) == ["1 4"]
    assert end(pair(tmp_path / "both", tmp_path / "cache")) == ["4 4"] * 2
    one, two = (pd.read_csv(tmp_path / name / "table.csv") for name in ("alone", "both"))
    np.testing.assert_allclose(two[NUMBERS], one[NUMBERS], **CLOSE)
    assert not (tmp_path / "both" / "partial").exists()


@pytest.mark.slow
def test_a_killed_process_ends_all_and_all_go_on_from_its_last_state(tmp_path):
    steps = 16 * 8
    whole = pair(tmp_path / "whole", tmp_path / "cache", steps=steps)
    end(whole)
    folder = tmp_path / "killed"
    killed = pair(folder, tmp_path / "cache", steps=steps)
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(folder.glob("partial/*-p1-*"))) < 2:
        time.sleep(0.005)
    killed[1].send_signal(signal.SIGKILL)
    out, errors = killed[0].communicate(timeout=200)
    killed[1].communicate()
    assert killed[0].returncode == 3, errors
    assert "start all of them again" in out
    assert len(list(folder.glob("cells/*.cell"))) < 4
    end(pair(folder, tmp_path / "cache", steps=steps))
    assert (folder / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert not (folder / "partial").exists()
    assert not (folder / "set_aside").exists()
