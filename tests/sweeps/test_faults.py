"""What real faults do to a run: a full disk, a disk that becomes read-only, no memory, a clock that jumps back."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from experiments import _run, error_vs_width
from expressivity.sweeps import CellsFailed, Store, functions, inspection

RECIPE = ex.Recipe(20, 16, 0.01)


def sweep(widths=("n", "2n", "3n"), seeds=3):
    return ex.Sweep(ex.MLP(2), list(widths), ex.targets.norm_squared(ex.Ball(2)), seeds, RECIPE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    ex.run(sweep(), folder, order=16)
    return folder


FILLING = """
import os, pathlib, subprocess, sys
import expressivity as ex
target = ex.targets.norm_squared(ex.Ball(2))
sweep = ex.Sweep(ex.MLP(2), ["n", "2n", "3n"], target, 3, ex.Recipe(20, 16, 0.01))
folder = pathlib.Path(sys.argv[1]) / "run"

def attempt():
    try:
        ex.run(sweep, folder, order=16)
    except (OSError, ValueError) as error:
        print("refused:", error)
        return
    print("done")

filler = folder.parent / "filler"
free = os.statvfs(folder.parent)
filler.write_bytes(bytes(free.f_bsize * max(free.f_bavail - 3, 0)))
attempt()
print("finished cells:", len(list(folder.glob("cells/*.cell"))), "parts:", len(list(folder.rglob("*.part"))))
filler.unlink()
subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
attempt()
subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)
attempt()
print("parts:", len(list(folder.rglob("*.part"))))
pathlib.Path(sys.argv[2]).write_bytes((folder / "table.csv").read_bytes())
"""


def test_a_full_disk_and_a_read_only_one_are_refused_in_a_sentence_and_nothing_is_lost(whole, tmp_path):
    """On a file system of 256 KiB, of which a file leaves three blocks, then all but writing, then everything."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("file systems cannot be mounted here, not even in a namespace of one's own")
    disk, script = tmp_path / "disk", tmp_path / "filling.py"
    disk.mkdir()
    script.write_text(FILLING)
    command = (
        f"mount -t tmpfs -o size=256k tmpfs '{disk}' && exec '{sys.executable}' '{script}' '{disk}' '{tmp_path}/t'"
    )
    where = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], env=where, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    first, counts, second, third, parts = done.stdout.splitlines()
    assert first.startswith("refused: Cannot write")
    assert "No space left on device" in first
    assert "What was finished before is kept." in first
    assert counts.endswith("parts: 0")
    assert second.startswith("refused: Cannot write to the output folder")
    assert "Read-only file system" in second
    assert third == "done"
    assert parts == "parts: 0"
    assert (tmp_path / "t").read_bytes() == (whole / "table.csv").read_bytes()


def ask_too_much_of_numpy():
    np.empty(1 << 48)


def ask_too_much_of_jax():
    jax.jit(lambda: jnp.zeros((1 << 48,)) + 1)().block_until_ready()


@pytest.mark.parametrize("ask", [ask_too_much_of_numpy, ask_too_much_of_jax])
def test_a_cell_that_does_not_fit_into_memory_fails_with_its_reason_and_the_others_finish(
    ask, whole, tmp_path, monkeypatch, capsys
):
    """The allocations are real, of a pebibyte and more: no machine grants them."""
    inner = functions.train

    def train(family, widths, *arguments, **named):
        if max(widths) == 4:
            ask()
        return inner(family, widths, *arguments, **named)

    def experiment(options):
        ex.run(sweep(), options.out, order=16)
        return _run.HELD

    monkeypatch.setattr(functions, "train", train)
    with pytest.raises(CellsFailed, match="1 cells failed") as caught:
        ex.run(sweep(), tmp_path, order=16)
    argv = ["--out", str(tmp_path)]
    assert _run.main("error_vs_width", error_vs_width.Options, experiment, "Doc.", argv) == _run.REFUSED
    assert "llocat" in capsys.readouterr().err
    monkeypatch.setattr(functions, "train", inner)
    (reason,) = caught.value.failures.values()
    assert "llocat" in reason
    assert set(caught.value.result.table["width"]) == {2, 6}
    (failed,) = [cell for cell in inspection.inspect(tmp_path).cells if cell.state != "finished"]
    assert (failed.state, failed.reason) == ("failed", reason)
    assert f"failed: {failed.name} ({reason})" in inspection.text(inspection.inspect(tmp_path))
    ex.run(sweep(), tmp_path, order=16)
    assert (tmp_path / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_clock_that_jumps_back_changes_nothing(whole, tmp_path, monkeypatch):
    """Files of the future and a clock that runs backwards: a run goes on, and its table is the same."""
    now = [2e9]

    def backwards():
        now[0] -= 3600
        return now[0]

    ex.run(sweep(("n",)), tmp_path, order=16)
    for path in tmp_path.rglob("*"):
        os.utime(path, (4e9, 4e9))
    monkeypatch.setattr(time, "time", backwards)
    ex.run(sweep(), tmp_path, order=16)
    assert (tmp_path / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()


def test_a_seed_that_is_nan_is_a_row_that_says_so_and_the_others_are_untouched(whole, tmp_path):
    """Learning rate infinite for one seed: its weights are NaN after a step."""
    target = ex.targets.norm_squared(ex.Ball(2))
    recipe = ex.Recipe(20, 16, (0.01, float("1e38"), 0.01))
    found = ex.run(ex.Sweep(ex.MLP(2), ["n"], target, 3, recipe), tmp_path, order=16).table
    usual = ex.run(sweep(("n",)), tmp_path / "usual", order=16).table
    for seed, status in enumerate(("ok", "diverged", "ok")):
        mine, other = (table[table["seed"] == seed] for table in (found, usual))
        assert set(mine["status"]) == {status}
        same = np.array_equal(mine["error"], other["error"])
        assert same if status == "ok" else mine["error"].isna().all()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    path = pathlib.Path(tmp_path / "file")
    path.write_text("here first")
    with pytest.raises(ValueError, match="Cannot write to the output folder"), Store(path):
        pass
    assert path.read_text() == "here first"
