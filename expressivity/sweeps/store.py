"""The folder of a run: one file a finished cell, written so that a kill loses at most the cell at work."""

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from expressivity.sweeps import hosts, party
from expressivity.sweeps.party import FolderInUse as FolderInUse

SCHEMA = 1
_MAGIC = "expressivity-cell"
_DEFERRED: dict[pathlib.Path, bytes] = {}  # what process 0 writes, kept here for the case that it dies
Made = TypeVar("Made")
_log = logging.getLogger("expressivity")


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
    part = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
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


def publish(path: Any, content: bytes) -> None:
    """`write_atomically` for what a run has once, such as its tables: where several processes work, process 0 writes.

    The others keep the content until it has done so, and write it themselves if it died.
    """
    if hosts.here().process == 0:
        write_atomically(path, content)
    else:
        _DEFERRED[pathlib.Path(path).absolute()] = content


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

    After `hosts.join` the folder belongs to all processes of the run: entering waits until all of them are there,
    other runs are refused, and leaving, for all but process 0, waits until process 0 has written, or died.

    Raises:
        FolderInUse: On entering, if another run has it open. The lock is the kernel's: it ends with its process,
            however that ends.
        ValueError: On entering, if the folder cannot be made, written to or locked, or other processes do not come.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
    ...     store.write("some", digest(1), Record({"width": 3}, {}))
    ...     store.read("some", digest(1)).facts["width"]
    3
    """

    def __init__(self, folder: Any) -> None:
        self.folder = pathlib.Path(folder)
        self.cells = self.folder / "cells"
        self.party: party.Party | None = None
        self._lock: Any = None

    def __enter__(self) -> "Store":
        host = hosts.here()
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            if host.process == 0:
                self._lead(alone=host.processes == 1)
            if host.processes > 1:
                here = party.Party(self.folder, host)
                here.enter()
                self.party = here
        except OSError as error:
            self._close()
            raise ValueError(
                f"Cannot write to the output folder {str(self.folder)!r} ({error.strerror}); choose another one."
            ) from None
        except BaseException:
            self._close()
            raise
        return self

    @property
    def leads(self) -> bool:
        """Whether this process writes what the run has once: it is alone, or number 0 of several."""
        return self.party is None or self.party.host.process == 0

    def _lead(self, alone: bool) -> None:
        path = self.folder / ".lock"
        self._lock = party.lock(path, 0.3)  # another process may be looking whether it is held
        if self._lock is None:
            raise party.in_use(path, self.folder)
        members = [path for path in self.folder.glob(".lock.*") if party.busy(path, alone)]
        if members:
            raise party.in_use(members[0], self.folder)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        for part in [*self.folder.glob(".*.part"), *self.folder.glob("*/.*.part")]:
            part.unlink(missing_ok=True)  # what a killed process had begun to write

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self.party is not None:
                worked = kind is None or issubclass(kind, RuntimeError)  # of which some cells may have failed
                here = self.folder.absolute()
                kept = {path: _DEFERRED.pop(path) for path in list(_DEFERRED) if path.is_relative_to(here)}
                if self.party.host.process and worked and self.party.inherits():
                    for path, content in kept.items():
                        write_atomically(path, content)
                elif self.party.host.process == 0:
                    shutil.rmtree(self.folder / ".claims", ignore_errors=True)
        finally:
            if self.party is not None:
                self.party.leave("finished" if kind is None else "failed")
                self.party = None
            self._close()

    def _close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether this process may do a piece of work now; while the block lasts no other process of the run may.

        A claim ends with its process, however that ends.
        """
        if self.party is None:
            yield True
            return
        path = self.folder / ".claims" / name
        path.parent.mkdir(exist_ok=True)
        file = party.lock(path)
        if file is None:  # of a process that vanished without giving it back?
            holder = path.read_text().strip() if path.is_file() else ""
            yield holder.isdigit() and not self.party.lives(int(holder))
            return
        with file:
            file.truncate(0)
            file.write(str(self.party.host.process))
            file.flush()
            yield True

    def once(self, name: str, found: Callable[[], Made | None], make: Callable[[], Made]) -> Made:
        """What `found` gives; if it gives None, one process of the run calls `make` while the others wait for it."""
        while True:
            with self.claim(name) as mine:
                known = found()
                if known is not None:
                    return known
                if mine:
                    return make()
            time.sleep(party.POLL)

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
        path, content = self.partial_path(label, key), encode(record)
        for more in reversed(range(10)):
            path.parent.mkdir(exist_ok=True)
            try:
                return write_atomically(path, content)
            except OSError as error:
                # whoever finishes a cell meanwhile removes the folder where it is empty
                if not (more and isinstance(error.__cause__, FileNotFoundError)):
                    raise

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
        try:
            os.replace(path, folder / f"{path.name}.{number}")
        except FileNotFoundError:  # another process of the run was faster
            return
        _log.warning("Cell file %s %s; it was moved to %s and is made again.", path.name, reason, folder)
