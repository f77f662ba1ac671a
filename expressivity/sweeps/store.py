"""The folder of a run: one file a finished cell, written so that a kill loses at most the cell at work."""

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import logging
import os
import pathlib
from typing import Any

import numpy as np

SCHEMA = 1
_MAGIC = "expressivity-cell"
_log = logging.getLogger("expressivity")


class FolderInUse(RuntimeError):
    """Another process holds the lock of a folder."""


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """What one file holds: facts that JSON can carry, and arrays by name."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


def digest(settings: Any) -> str:
    """The address of finished work: a hash of its settings and of the version of the file format.

    >>> digest({"width": 3, "seeds": [0, 1]}) == digest({"seeds": [0, 1], "width": 3})
    True
    """
    text = json.dumps({"schema": SCHEMA, "settings": settings}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def write_atomically(path: Any, content: bytes) -> None:
    """Writes a file so that readers and later runs see the old content or the new one, never a part of either.

    Raises:
        OSError: If it cannot be written, for instance because the disk is full; what was there before is unchanged.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(
            f"Cannot write {str(path)!r} ({error.strerror}); make room or choose another output folder. What was "
            "finished before is kept."
        ) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def encode(record: Record, schema: int = SCHEMA) -> bytes:
    """The bytes of a record: one line with version, checksum and length, then facts and arrays."""
    buffer = io.BytesIO()
    facts = np.frombuffer(json.dumps(record.facts, sort_keys=True).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, facts=facts, **{f"array/{k}": v for k, v in record.arrays.items()})
    body = buffer.getvalue()
    return f"{_MAGIC} {schema} {hashlib.sha256(body).hexdigest()} {len(body)}\n".encode() + body


def decode(content: bytes) -> Record:
    """The record that `encode` made into these bytes.

    Raises:
        ValueError: If a byte is missing or changed, or another version of the format wrote them.
    """
    head, _, body = content.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if len(words) != 4 or words[0] != _MAGIC or not words[1].isdigit():
        raise ValueError("does not begin like a cell file")
    if int(words[1]) != SCHEMA:
        raise ValueError(f"was written in version {words[1]} of the file format, this package reads version {SCHEMA}")
    if words[3] != str(len(body)):
        raise ValueError(f"is truncated or overlong: {len(body)} bytes where {words[3]} belong")
    if hashlib.sha256(body).hexdigest() != words[2]:
        raise ValueError("is damaged: its checksum does not fit its content")
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {k.removeprefix("array/"): file[k] for k in file.files if k != "facts"}
        return Record(json.loads(file["facts"].tobytes()), arrays)


class Store:
    """The folder of a run, locked while it is open.

    Finished cells lie in `cells/`, addressed by their settings. A file that cannot be used is moved to `set_aside/`
    with one sentence in the log (logger "expressivity"), never deleted.

    Raises:
        FolderInUse: On entering, if another process has it open. The lock is the kernel's: it ends with its process,
            however that ends.
        ValueError: On entering, if the folder cannot be made or written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
    ...     store.write("some", digest(1), Record({"width": 3}, {}))
    ...     store.read("some", digest(1)).facts["width"]
    3
    """

    def __init__(self, folder: Any) -> None:
        self.folder = pathlib.Path(folder)
        self.cells = self.folder / "cells"

    def __enter__(self) -> "Store":
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / ".lock", "a+")
        except OSError as error:
            raise ValueError(
                f"Cannot write to the output folder {str(self.folder)!r} ({error.strerror}); choose another one."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise FolderInUse(
                f"Another process (id {holder}) is working in {str(self.folder)!r}; wait for it to end or choose "
                "another output folder."
            ) from None
        try:
            self._lock.truncate(0)
            self._lock.write(str(os.getpid()))
            self._lock.flush()
            for part in [*self.folder.glob(".*.part"), *self.folder.glob("*/.*.part")]:
                part.unlink()  # what a killed process had begun to write
        except OSError as error:
            self._lock.close()
            raise ValueError(
                f"Cannot write to the output folder {str(self.folder)!r} ({error.strerror}); choose another one."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def path(self, label: str, key: str) -> pathlib.Path:
        return self.cells / f"{label}-{key}.cell"

    def read(self, label: str, key: str) -> Record | None:
        """The record at this address, or None if it is not there or had to be set aside."""
        path = self.path(label, key)
        try:
            record = decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, OSError) as error:
            self.set_aside(path, str(error))
            return None
        if record.facts.get("key", key) != key:
            self.set_aside(path, "belongs to other settings than its name says")
            return None
        return record

    def write(self, label: str, key: str, record: Record) -> None:
        """Commits a record: after this returns it survives a kill and a loss of power."""
        record = Record({**record.facts, "key": key}, record.arrays)
        write_atomically(self.path(label, key), encode(record))

    def partial_path(self, label: str, key: str) -> pathlib.Path:
        """Where the state of a cell at work lies."""
        return self.folder / "partial" / f"{label}-{key}.cell"

    def read_partial(self, label: str, key: str) -> Record | None:
        """How far a cell was when its process ended, or None."""
        path = self.partial_path(label, key)
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, OSError) as error:
            self.set_aside(path, str(error))
            return None

    def write_partial(self, label: str, key: str, record: Record) -> None:
        """Commits the state of a cell at work."""
        path = self.partial_path(label, key)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, encode(record))

    def drop_partial(self, label: str, key: str) -> None:
        """Forgets the state of a cell, which is finished."""
        path = self.partial_path(label, key)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or others are at work
            path.parent.rmdir()

    def set_aside(self, path: pathlib.Path, reason: str) -> None:
        """Moves a file that cannot be used to `set_aside/`, and says so in the log."""
        folder = self.folder / "set_aside"
        folder.mkdir(exist_ok=True)
        number = 1
        while (folder / f"{path.name}.{number}").exists():
            number += 1
        os.replace(path, folder / f"{path.name}.{number}")
        _log.warning("Cell file %s %s; it was moved to %s and is made again.", path.name, reason, folder)
