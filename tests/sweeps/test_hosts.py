"""Several processes on one run: the same table, whoever dies; one sentence where somebody is missing."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from ports import free_port

import expressivity as ex
from expressivity.sweeps import FolderInUse, Store, hosts, party
from expressivity.sweeps.hosts import Host
from expressivity.sweeps.party import Party

SCRIPT = """
import sys
import expressivity as ex
from expressivity import sweeps
from expressivity.training import enable_compilation_cache
out, cache, coordinator, processes, process, timeout = sys.argv[1:]
enable_compilation_cache(cache)
if processes != "1":
    sweeps.join(coordinator, int(processes), int(process), float(timeout))
import jax
print(jax.device_count(), jax.local_device_count(), flush=True)
disc = ex.targets.norm_squared(ex.Ball(2))
with sweeps.Store(out) as store:
    sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), range(1, 7), disc, 1, ex.Recipe(1000, 64, 0.01))
    result = sweeps.collect(sweep, store, order=12)
    sweeps.write_tables(store, result)
"""
TOGETHER = """
import pathlib, sys, time
from experiments import _run, crelu_halving
from expressivity.sweeps import here, images
place, *arguments = sys.argv[1:]
inner = images.train_cell

def train_cell(*given):
    host, end = here(), time.monotonic() + 60
    begun = [pathlib.Path(place, f"begun-{process}-of-{host.processes}") for process in range(host.processes)]
    begun[host.process].touch()
    while not all(path.exists() for path in begun):
        assert time.monotonic() < end, "the other process has not begun a cell"
        time.sleep(0.02)
    return inner(*given)

images.train_cell = train_cell
sys.exit(_run.main("crelu_halving", crelu_halving.Options, crelu_halving.experiment, "", arguments))
"""


def start(folder, cache, port=0, processes=1, process=0, timeout=60):
    arguments = [str(folder), str(cache), f"127.0.0.1:{port}", str(processes), str(process), str(timeout)]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder):
    return len(list((folder / "cells").glob("*.cell")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run of one process, and its compilation cache."""
    folder, cache = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("cache")
    process = start(folder, cache)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.split() == ["2", "2"]
    return folder, cache


@pytest.mark.slow
def test_two_processes_make_the_table_of_one(alone, tmp_path):
    port = free_port()
    both = [start(tmp_path, alone[1], port, 2, process) for process in range(2)]
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert [out.split() for out, _ in told] == [["4", "2"]] * 2  # devices of all, and of each
    assert (tmp_path / "table.csv").read_bytes() == (alone[0] / "table.csv").read_bytes()
    assert 0 < pd.read_csv(tmp_path / "timings.csv")["trained_now"].sum() < 6
    assert not (tmp_path / ".claims").exists()


@pytest.mark.slow
def test_two_processes_are_at_once_at_an_experiment_whose_sweeps_have_one_cell_each(alone, tmp_path):
    """No cell is trained before both processes have begun one; process 0 says which were its own."""

    def experiment(name, *more):
        options = ["--preset", "smoke", "--out", str(tmp_path / name), "--platform", "cpu", *more]
        return subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(tmp_path), *options],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(alone[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(*processes):
        told = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), told

    end(experiment("one"))
    where = ("--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process")
    end(*[experiment("two", *where, str(process)) for process in range(2)])
    assert {path.name for path in tmp_path.glob("begun-*")} == {"begun-0-of-1", "begun-0-of-2", "begun-1-of-2"}
    tables = [pd.read_csv(tmp_path / name / "timings.csv") for name in ("one", "two")]
    assert [len(table) for table in tables] == [3, 3]
    assert tables[0]["trained_now"].all()
    assert 0 < tables[1]["trained_now"].sum() < 3
    for name in ("table.csv", "networks.csv", "curves.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_the_last_of_three_that_lives_ends_the_run(alone, tmp_path):
    """Process 0, which writes, and process 2 are killed; other runs are kept out as long as one process works."""
    port = free_port()
    processes = [start(tmp_path, alone[1], port, 3, process) for process in range(3)]
    end = time.monotonic() + 60
    while not finished(tmp_path) and time.monotonic() < end:
        time.sleep(0.002)
    for process in (processes[0], processes[2]):
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < finished(tmp_path) < 6
    assert not (tmp_path / "table.csv").exists()
    with pytest.raises(FolderInUse, match=rf"Another process \(id {processes[1].pid}\)"), Store(tmp_path):
        pass
    for process in (processes[0], processes[2]):
        process.communicate()
    _, err = processes[1].communicate(timeout=120)
    assert processes[1].returncode == 0, err
    assert (tmp_path / "table.csv").read_bytes() == (alone[0] / "table.csv").read_bytes()
    with Store(tmp_path):  # and then it is free
        pass


def test_a_missing_partner_is_one_sentence_within_the_limit(tmp_path, capfd):
    """Process 0 in a process of its own, since it is ended; process 1 here, since it only looks for process 0."""
    first = start(tmp_path, tmp_path, free_port(), 2, 0, timeout=1.5)
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"No coordinator answers at 127.0.0.1:\d+ within 0.3 s"):
        hosts.join(f"127.0.0.1:{free_port()}", 2, 1, 0.3)
    assert time.monotonic() - begun < 5
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (2, "")
    assert err.splitlines()[-1].startswith("Not all 2 processes came to 127.0.0.1:")
    assert "within 1.5 s" in err
    assert "Traceback" not in err
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("127.0.0.1:4711", None, None), "got --coordinator 127.0.0.1:4711 without --processes and --process"),
        ((None, 2, 1), "got --processes 2, --process 1 without --coordinator"),
        (("127.0.0.1:4711", 2, 2), "got --process 2"),
        (("127.0.0.1:4711", 2, -1), "got --process -1"),
        (("127.0.0.1:4711", 0, 0), "got 0"),
        (("127.0.0.1", 2, 0), "got '127.0.0.1'"),
        (("127.0.0.1:http", 2, 0), "got '127.0.0.1:http'"),
        (("127.0.0.1:70000", 2, 0), "got '127.0.0.1:70000'"),
    ],
)
def test_wrong_uses_are_refused_in_one_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        hosts.check(*given, 10.0)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="positive number of seconds; got 0"):
        hosts.check(None, None, None, 0)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"Process 0 cannot open port {port} .* in use"):
            hosts.join(f"127.0.0.1:{port}", 2, 0, 1.0)


def meet(folders, timeout=10.0, runs=("a", "a")):
    """Two parties at once; what each raised."""
    parties = [Party(folder, Host(k, 2, runs[k], timeout)) for k, folder in enumerate(folders)]
    raised = [None, None]

    def enter(number):
        try:
            parties[number].enter()
        except (ValueError, FolderInUse) as error:
            raised[number] = error

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return parties, raised


def test_folders_that_are_not_shared_and_runs_that_are_others(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    _, raised = meet([tmp_path / "a", tmp_path / "b"], timeout=0.5)
    assert [str(error).split(" within")[0] for error in raised] == [
        f"Process 1 of 2 did not come into {str(tmp_path / 'a')!r}",
        f"Process 0 did not come into {str(tmp_path / 'b')!r}",
    ]
    _, raised = meet([tmp_path / "a"] * 2, timeout=0.5, runs=("one", "another"))
    assert [type(error) for error in raised] == [ValueError, ValueError]


def test_who_lives_and_who_has_to_write(tmp_path, monkeypatch):
    (first, second), raised = meet([tmp_path] * 2)
    assert raised == [None, None]
    assert first.lives(1)
    assert second.lives(0)
    os.utime(first.path(1), ns=(0, 0))  # a clock that was set back is no sign of death
    assert first.lives(1)
    monkeypatch.setattr(party, "PATIENCE", 0.2)  # a machine that vanished: its lock is still held, nothing moves
    time.sleep(0.3)
    assert not first.lives(1)
    monkeypatch.undo()
    intruder = Party(tmp_path, Host(1, 2, "a", 1.0))
    monkeypatch.setattr(party, "_PROBES", 0.1)
    with pytest.raises(FolderInUse, match=f"id {os.getpid()}"):
        intruder.enter()
    first.leave("failed")
    assert not second.lives(0)
    assert second.inherits()
    second.leave("finished")
    # stale files of that run mean nothing to the next one
    (first, second), raised = meet([tmp_path] * 2)
    assert raised == [None, None]
    first.leave("finished")
    assert not second.inherits()
    second.leave("finished")


def test_a_claim_is_of_one_and_of_another_only_when_its_holder_is_gone(tmp_path, monkeypatch):
    with Store(tmp_path) as store, store.claim("x") as mine:
        assert mine  # alone there is nobody to share with
    (first, second), _ = meet([tmp_path] * 2)
    stores = [Store(tmp_path), Store(tmp_path)]
    for store, one in zip(stores, (first, second), strict=True):
        store.party = one
    made = []
    with stores[0].claim("x") as mine, stores[1].claim("x") as other:
        assert (mine, other) == (True, False)
        monkeypatch.setattr(second, "lives", lambda process: False)
        with stores[1].claim("x") as taken:
            assert taken
        monkeypatch.undo()
        waiting = threading.Thread(
            target=lambda: made.append(stores[1].once("x", lambda: (made or [None])[0], lambda: 1))
        )
        waiting.start()
        time.sleep(0.2)
        assert not made  # it waits
        made.append(7)
    waiting.join(10)
    assert made == [7, 7]
    first.leave("finished")
    second.leave("finished")


def test_how_networks_were_batched_stands_in_the_table(tmp_path):
    disc, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(2, 8, 0.01)
    for packed, word in ((True, "packed"), (False, "apart")):
        sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), ["n", "2n"], disc, 1, recipe, packed=packed)
        assert set(ex.run(sweep, tmp_path / word, order=8).table["batching"]) == {word}
    assert "batching" in (tmp_path / "apart" / "table.csv").read_text().splitlines()[0]
