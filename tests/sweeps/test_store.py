"""The store: what is written comes back, and nothing that is not exactly that."""

import logging
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from expressivity.sweeps.store import SCHEMA, FolderInUse, Record, Store, decode, digest, encode, write_atomically

RECORD = Record(
    {"rows": [{"error": 0.1, "norm": "L2"}], "nan": float("nan")}, {"0/0/weight": np.arange(6.0).reshape(2, 3)}
)


def test_a_record_comes_back_bit_for_bit():
    found = decode(encode(RECORD))
    assert found.facts["rows"] == RECORD.facts["rows"]
    assert np.isnan(found.facts["nan"])
    assert found.arrays["0/0/weight"].dtype == np.float64
    assert np.array_equal(found.arrays["0/0/weight"], RECORD.arrays["0/0/weight"])


def test_every_flipped_bit_and_every_truncation_is_noticed():
    """All cuts, and a flip in every byte: 8 positions, one each, cycle through the bits."""
    content = encode(RECORD)
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"truncated|begin|version"):
            decode(content[:end])
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(ValueError, match=r"damaged|truncated|begin|version"):
            decode(bytes(changed))


def test_the_order_of_settings_does_not_matter_but_their_values_do():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged"),
        (lambda content: b"", "does not begin like a cell file"),
        (lambda content: encode(RECORD, schema=SCHEMA + 1), f"version {SCHEMA + 1}"),
        (lambda content: encode(Record({"key": "another"}, {})), "other settings"),
    ],
)
def test_what_cannot_be_used_is_set_aside_and_kept(tmp_path, caplog, damage, sentence):
    with Store(tmp_path) as store:
        store.write("cell", "k", RECORD)
        path = store.path("cell", "k")
        bad = damage(path.read_bytes())
        path.write_bytes(bad)
        with caplog.at_level(logging.WARNING, "expressivity"):
            assert store.read("cell", "k") is None
        store.write("cell", "k", RECORD)
        assert store.read("cell", "k").facts["rows"] == RECORD.facts["rows"]
    assert sentence in caplog.text
    assert len(caplog.records) == 1
    assert [p.read_bytes() for p in (tmp_path / "set_aside").iterdir()] == [bad]


def test_files_set_aside_do_not_overwrite_each_other(tmp_path):
    with Store(tmp_path) as store:
        for content in (b"one", b"two", b"three"):
            store.path("cell", "k").write_bytes(content)
            assert store.read("cell", "k") is None
    assert sorted(p.read_bytes() for p in (tmp_path / "set_aside").iterdir()) == [b"one", b"three", b"two"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("here is a file")
    with (
        pytest.raises(ValueError, match=r"Cannot write to the output folder .*file/run'"),
        Store(tmp_path / "file/run"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="Cannot write to the output folder"), Store(tmp_path / "run"):
        pass


def test_a_second_opening_is_refused_and_the_first_goes_on(tmp_path):
    with Store(tmp_path) as store:
        with pytest.raises(FolderInUse, match=rf"id {os.getpid()}.*is working in"), Store(tmp_path):
            pass
        store.write("cell", "k", RECORD)
    with Store(tmp_path) as store:
        assert store.read("cell", "k") is not None


def test_the_lock_ends_with_a_killed_process_and_its_half_written_file_goes(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from expressivity.sweeps.store import Store\n"
        "with Store(sys.argv[1]) as store:\n"
        "    (store.cells / '.x.cell.1.part').write_bytes(b'half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "ready"
        with pytest.raises(FolderInUse, match=f"id {process.pid}"), Store(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    with Store(tmp_path) as store:
        assert list(store.cells.iterdir()) == []


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    """A writer alternates two contents while they are read: never a mixture, never a part."""
    path, contents = tmp_path / "file", (b"a" * 200_000, b"b" * 200_000)
    write_atomically(path, contents[0])
    code = (
        "import sys\nfrom expressivity.sweeps.store import write_atomically\n"
        "for i in range(60): write_atomically(sys.argv[1], (b'a', b'b')[i % 2] * 200_000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as process:
        seen = set()
        while process.poll() is None:
            seen.add(path.read_bytes())
            time.sleep(0.001)
    assert process.returncode == 0
    assert seen <= set(contents)


def test_what_the_disk_does_not_take_leaves_the_old_file_and_no_part(tmp_path):
    """The limit of the size of a file stands for a full disk: the kernel refuses in the middle of writing."""
    path = tmp_path / "table.csv"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Cannot write .*table.csv.*too large.*choose another output folder"):
            write_atomically(path, b"new" * 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match=r"Cannot write .*file/below.* \(Not a directory\)"):
        write_atomically(tmp_path / "file" / "below", b"x")


@pytest.mark.parametrize("times", [1, 3])
def test_a_state_is_written_although_others_remove_the_folder_that_was_empty(tmp_path, monkeypatch, times):
    left = [None] * times

    def late(path, content):
        if left:
            left.pop()
            store.drop_partial("other", "key")
        write_atomically(path, content)

    with Store(tmp_path) as store:
        monkeypatch.setattr("expressivity.sweeps.store.write_atomically", late)
        store.write_partial("cell", "key", RECORD)
        assert not left
        assert store.read_partial("cell", "key").facts["rows"] == RECORD.facts["rows"]


def test_a_state_that_cannot_be_written_is_not_tried_for_ever(tmp_path, monkeypatch):
    tried = []

    def never(path, content):
        tried.append(path)
        path.parent.rmdir()
        write_atomically(path, content)

    monkeypatch.setattr("expressivity.sweeps.store.write_atomically", never)
    with Store(tmp_path) as store, pytest.raises(OSError, match="No such file or directory"):
        store.write_partial("cell", "key", RECORD)
    assert len(tried) == 10
