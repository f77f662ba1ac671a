"""The processes of one run in one folder: who is there, who still lives, and who has to write."""

import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import socket
import threading
import time
from typing import Any

from expressivity.sweeps.hosts import Host

POLL = 0.1  # seconds between two looks at the folder
BEAT = 5.0  # seconds between two signs of life
PATIENCE = 180.0  # seconds without one, after which a process counts as dead; file systems show changes late
_PROBES = 2.0  # seconds for which others' looks at a lock may keep its owner from taking it


class FolderInUse(RuntimeError):
    """Another process holds the lock of a folder."""


def lock(path: pathlib.Path, patience: float = 0.0) -> Any:
    """The open file, locked by this process alone until it is closed or the process ends; None if another has it.

    Raises:
        OSError: If the file cannot be opened, or its file system keeps no locks.
    """
    file = open(path, "a+")  # noqa: SIM115  closed by the caller
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= end:
                file.close()
                return None
            time.sleep(0.02)
        except OSError:
            file.close()
            raise


def held(path: pathlib.Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Party:
    """The processes of one run in one folder: each holds the lock of a file `.lock.K` while it works there.

    The locks are the kernel's, or those of the file server, so they end with their process; a sign of life every few
    seconds covers machines that vanish without giving their locks back. No clock of another machine is believed.

    Args:
        folder: What all of them see.
        host: Which of them this one is.
    """

    def __init__(self, folder: pathlib.Path, host: Host) -> None:
        self.folder, self.host = folder, host
        self.nonce = secrets.token_hex(8)
        self.members: dict[int, str] = {}
        self._seen: dict[int, tuple[int, float]] = {}
        self._file: Any = None
        self._over = threading.Event()

    def path(self, process: int) -> pathlib.Path:
        """The lock file of a process."""
        return self.folder / f".lock.{process}"

    def enter(self) -> None:
        """Takes the own lock and waits until all are in the folder.

        Raises:
            FolderInUse: If another run is at work in it.
            ValueError: If the others do not come.
        """
        self._file = lock(self.path(self.host.process), _PROBES)
        if self._file is None:
            raise in_use(self.path(self.host.process), self.folder)
        threading.Thread(target=self._beat, daemon=True).start()
        try:
            self._say("waiting")
            end = time.monotonic() + self.host.timeout
            self._gather(end) if self.host.process == 0 else self._report(end)
            self._say("working")
        except BaseException:
            self.leave("failed")
            raise

    def leave(self, state: str) -> None:
        """Gives the lock back, saying whether the work is "finished" or "failed"."""
        self._say(state)
        self._over.set()
        self._file.close()

    def lives(self, process: int) -> bool:
        """Whether a process is still at work in this run."""
        if process == self.host.process:
            return True
        facts = _facts(self.path(process))
        gone = facts.get("nonce", self.members.get(process)) != self.members.get(process)
        if gone or facts.get("state") in ("finished", "failed") or not held(self.path(process)):
            return False
        try:
            beat = self.path(process).stat().st_mtime_ns
        except OSError:
            return False
        last = self._seen.get(process)
        if last is None or last[0] != beat:
            self._seen[process] = beat, time.monotonic()
            return True
        return time.monotonic() - last[1] < PATIENCE

    def finished(self, process: int) -> bool:
        """Whether a process did all of its work in this run."""
        facts = _facts(self.path(process))
        return facts.get("nonce") == self.members.get(process) and facts.get("state") == "finished"

    def inherits(self) -> bool:
        """Waits for the processes with smaller numbers; whether all of them died, so that this one has to write."""
        lower = range(self.host.process)
        while any(self.lives(process) for process in lower):
            if any(self.finished(process) for process in lower):
                return False
            time.sleep(POLL)
        return not any(self.finished(process) for process in lower)

    def _gather(self, end: float) -> None:
        """Process 0: waits for all others and tells them that they were seen."""
        members = {0: self.nonce}
        while len(members) < self.host.processes:
            for process in set(range(self.host.processes)) - set(members):
                facts = _facts(self.path(process))
                fits = (facts.get("run"), facts.get("processes")) == (self.host.run, self.host.processes)
                if fits and facts.get("state") == "waiting" and held(self.path(process)):
                    members[process] = facts["nonce"]
            if len(members) < self.host.processes and time.monotonic() > end:
                absent = sorted(set(range(self.host.processes)) - set(members))
                raise ValueError(
                    f"Process {absent[0]} of {self.host.processes} did not come into {str(self.folder)!r} within "
                    f"{self.host.timeout:g} s; give all processes one --out that all of their machines see."
                )
            time.sleep(POLL / 4)
        self.members = members

    def _report(self, end: float) -> None:
        """The others: wait until process 0 has seen them."""
        strange = 0.0
        while True:
            facts = _facts(self.path(0))
            members = {int(number): nonce for number, nonce in facts.get("members", {}).items()}
            if members.get(self.host.process) == self.nonce:
                self.members = members
                return
            now = time.monotonic()
            foreign = held(self.folder / ".lock") and not (held(self.path(0)) and facts.get("state") == "waiting")
            strange = (strange or now) if foreign else 0.0
            if strange and now - strange > _PROBES:
                raise in_use(self.folder / ".lock", self.folder)
            if now > end:
                raise ValueError(
                    f"Process 0 did not come into {str(self.folder)!r} within {self.host.timeout:g} s; give all "
                    "processes one --out that all of their machines see."
                )
            time.sleep(POLL / 4)

    def _say(self, state: str) -> None:
        facts = {
            "pid": os.getpid(),
            "machine": socket.gethostname(),
            "run": self.host.run,
            "processes": self.host.processes,
            "nonce": self.nonce,
            "state": state,
            "members": self.members,
        }
        self._file.truncate(0)
        self._file.write(json.dumps(facts))
        self._file.flush()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path(self.host.process))


def busy(path: pathlib.Path, alone: bool) -> bool:
    """Whether the process of another run holds the lock file of a member.

    Args:
        path: The file.
        alone: Whether the own run is of one process; otherwise processes that wait may be its own.
    """

    def now() -> bool:
        return held(path) and (alone or _facts(path).get("state") == "working")

    if not now():
        return False
    time.sleep(0.5)  # it may just begin, and not have said so
    return now()


def in_use(path: pathlib.Path, folder: pathlib.Path) -> FolderInUse:
    """The refusal of a folder whose lock another process holds."""
    try:
        text = path.read_text().strip()
    except OSError:
        text = ""
    holder = _facts(path).get("pid") or text or "unknown"
    return FolderInUse(
        f"Another process (id {holder}) is working in {str(folder)!r}; wait for it to end or choose another output "
        "folder."
    )


def _facts(path: pathlib.Path) -> dict[str, Any]:
    """What a process says of itself; nothing if it cannot be read, also while it is being written."""
    for _ in range(5):
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            time.sleep(0.02)
        else:
            return found if isinstance(found, dict) else {}
    return {}
