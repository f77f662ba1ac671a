"""A run that SIGKILL ends at any moment, with real processes: the campaign of the benchmark, with few kills."""

import os
import signal
import subprocess
import sys
import time

import pytest

import expressivity as ex
from experiments.benchmarks import kills


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    found, problems = kills.campaign(kills.Settings(kills=5, seed=1, share=1.0), tmp_path)
    assert not problems
    assert len(found) == 5
    assert {kill.last for kill in found} >= {"training", "committing", "fitting", "reporting"}


CLIENT = """
import sys
import expressivity as ex
from expressivity.sweeps import cluster
disc = ex.targets.norm_squared(ex.Ball(2))
sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), range(1, 7), disc, 1, ex.Recipe(300, 64, 0.01))
if __name__ == "__main__":
    with cluster.connect("local:2", platform="cpu", cache=sys.argv[2]):
        ex.run(sweep, sys.argv[1], order=12)
"""


@pytest.mark.slow
def test_a_client_of_a_cluster_that_is_killed_is_started_again(tmp_path):
    """The client dies when its first cell is there; the next run, without a cluster, finds it and ends the same."""
    pytest.importorskip("distributed")
    script, folder = tmp_path / "client.py", tmp_path / "run"
    script.write_text(CLIENT)
    command = [sys.executable, str(script), str(folder), str(tmp_path / "cache")]
    where = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, env=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        until = time.monotonic() + 120
        while not list(folder.glob("cells/*.cell")) and client.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        client.send_signal(signal.SIGKILL)
        client.wait()
    kept = {path.name: path.read_bytes() for path in folder.glob("cells/*.cell")}
    assert kept
    disc = ex.targets.norm_squared(ex.Ball(2))
    sweep = ex.Sweep(ex.MLP(2, hidden_layers=1), range(1, 7), disc, 1, ex.Recipe(300, 64, 0.01))
    ex.run(sweep, folder, order=12)
    ex.run(sweep, tmp_path / "whole", order=12)
    assert (folder / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert all((folder / "cells" / name).read_bytes() == content for name, content in kept.items())
    assert not list(folder.rglob("*.part"))
