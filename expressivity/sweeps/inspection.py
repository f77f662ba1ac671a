"""Looking at the folder of a run: what is finished, at work, missing or damaged, without taking its lock."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from expressivity.sweeps.party import held
from expressivity.sweeps.store import Store, decode, write_atomically

PLAN = "plan.json"
FAILED = "failed.json"


@dataclasses.dataclass(frozen=True)
class CellState:
    """One cell of a run.

    Args:
        name: Label and key, as its file is named.
        state: "finished", "failed" (the last run could not train it), "partial" (there is a state to go on from),
            "missing" or "damaged".
        steps: Optimiser steps of all its networks; 0 where the plan does not say.
        done: How many of them are taken.
        reason: Why it failed or is damaged.
    """

    name: str
    state: str
    steps: int
    done: int
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class RunState:
    """The folder of a run.

    Args:
        folder: Where.
        cells: Planned cells in their order, then further files in `cells/`.
        process: Id of the process that works in the folder now, or None.
        set_aside: Files in `set_aside/`.
        seconds_a_step: Of the finished cells, compilation included; None without one.
    """

    folder: pathlib.Path
    cells: tuple[CellState, ...]
    process: str | None
    set_aside: int
    seconds_a_step: float | None

    @property
    def damaged(self) -> tuple[CellState, ...]:
        """The cells that cannot be believed."""
        return tuple(cell for cell in self.cells if cell.state == "damaged")

    @property
    def seconds_to_go(self) -> float | None:
        """The steps that are left at the pace of the finished cells; None without a finished cell."""
        left = sum(cell.steps - cell.done for cell in self.cells if cell.state != "finished")
        return None if self.seconds_a_step is None else left * self.seconds_a_step


def plan(store: Store, cells: Sequence[tuple[str, str, int]]) -> None:
    """Writes what is planned (label, key, steps) beside what earlier sweeps in this folder planned."""
    path = store.folder / PLAN
    known = _plan(store.folder)
    wanted = known | {f"{label}-{key}": steps for label, key, steps in cells}
    if wanted != known or not path.is_file():
        write_atomically(path, (json.dumps(wanted, indent=1) + "\n").encode())


def note_failures(store: Store, failures: Mapping[str, str], tried: Sequence[str]) -> None:
    """Writes why cells failed, by name; what is known of others is kept, and of those that were tried replaced."""
    path = store.folder / FAILED
    before = _failed(store.folder)
    now = {name: reason for name, reason in before.items() if name not in tried} | dict(failures)
    if now:
        if now != before:
            write_atomically(path, (json.dumps(now, indent=1) + "\n").encode())
    else:
        path.unlink(missing_ok=True)


def _failed(folder: pathlib.Path) -> dict[str, str]:
    try:
        found = json.loads((folder / FAILED).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def inspect(folder: Any) -> RunState:
    """The state of the run in `folder`; every cell is read, and nothing is changed.

    Raises:
        ValueError: If it is not the folder of a run.

    >>> import expressivity as ex, tempfile
    >>> sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], ex.targets.norm_squared(ex.Ball(2)), 2, ex.Recipe(5, 16, 0.01))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ex.run(sweep, folder, order=16)
    ...     [cell.state for cell in inspect(folder).cells]
    ['finished', 'finished']
    """
    folder = pathlib.Path(folder)
    if not (folder / "cells").is_dir():
        raise ValueError(f"{str(folder)!r} is not the folder of a run: it has no folder 'cells'.")
    planned, failed = _plan(folder), _failed(folder)
    files = {path.stem: path for path in sorted((folder / "cells").glob("*.cell"))}
    partial: dict[str, list[pathlib.Path]] = {}
    for path in sorted((folder / "partial").glob("*.cell")):
        partial.setdefault(_PART.sub("", path.stem), []).append(path)
    cells, seconds, steps_done = [], 0.0, 0
    for name in [*planned, *(name for name in files if name not in planned)]:
        steps = planned.get(name, 0)
        if name in files:
            facts, reason = _facts(files[name], name)
            if reason == _GONE:
                cells.append(CellState(name, "missing", steps, 0))
                continue
            if reason:
                cells.append(CellState(name, "damaged", steps, 0, reason))
                continue
            cells.append(CellState(name, "finished", steps, steps))
            if steps:
                steps_done += steps
                seconds += sum(facts.get(part, 0.0) for part in ("compile_seconds", "run_seconds", "measure_seconds"))
        elif name in partial:
            read = [_facts(path, path.stem) for path in partial[name]]
            good = [facts for facts, reason in read if not reason]
            whole = partial[name][0].stem == name
            if good or not whole or read[0][1] == _GONE:
                share = max((facts.get("step", 0) / max(facts.get("steps", 0), 1) for facts in good), default=0.0)
                state = "failed" if name in failed else "partial" if good else "missing"
                cells.append(CellState(name, state, steps, round(min(share, 1.0) * steps), failed.get(name, "")))
            else:
                cells.append(CellState(name, "damaged", steps, 0, read[0][1]))
        elif name in failed:
            cells.append(CellState(name, "failed", steps, 0, failed[name]))
        else:
            cells.append(CellState(name, "missing", steps, 0))
    seen = {cell.name for cell in cells if cell.state in ("partial", "failed", "damaged")}
    for path in (path for paths in partial.values() for path in paths if path.stem not in seen):
        reason = _facts(path, path.stem)[1]
        if reason and reason != _GONE:
            cells.append(CellState(path.stem, "damaged", 0, 0, f"has a state that {reason}"))
    if (folder / PLAN).is_file() and _plan(folder) is _NO_PLAN:
        cells.append(CellState(PLAN, "damaged", 0, 0, "is no list of cells and their steps"))
    aside = len(list((folder / "set_aside").glob("*"))) if (folder / "set_aside").is_dir() else 0
    return RunState(folder, tuple(cells), _holder(folder), aside, seconds / steps_done if steps_done else None)


def repair(folder: Any) -> tuple[CellState, ...]:
    """Moves every damaged cell to `set_aside/`, deleting nothing; returns what was moved.

    Raises:
        FolderInUse: If a process is working in the folder.
        ValueError: If it is not the folder of a run.
    """
    found = inspect(folder).damaged
    with Store(folder) as store:
        for cell in found:
            for path in (store.cells / f"{cell.name}.cell", store.folder / "partial" / f"{cell.name}.cell"):
                if path.is_file() and _facts(path, cell.name)[1]:
                    store.set_aside(path, cell.reason)
            if cell.name == PLAN:
                store.set_aside(store.folder / PLAN, cell.reason)
    return found


def merge_folders(sources: Sequence[Any], into: Any) -> int:
    """Copies the finished cells of several folders of one sweep into a third; returns how many were new there.

    Cells are addressed by their settings, so a cell that several folders hold is the same work; it is kept once. Run
    the sweep in the new folder to train what is missing and to write the tables.

    Raises:
        ValueError: If a source is not the folder of a run or holds a damaged cell, or two cells of one address say
            different things.
        FolderInUse: If a process is working in the new folder.
    """
    new = 0
    states = [inspect(source) for source in sources]
    for state in states:
        if state.damaged:
            raise ValueError(
                f"The cell {state.damaged[0].name} in {str(state.folder)!r} {state.damaged[0].reason}; repair that "
                "folder first."
            )
    with Store(into) as store:
        for state in states:
            for cell in (cell for cell in state.cells if cell.state == "finished"):
                content = (state.folder / "cells" / f"{cell.name}.cell").read_bytes()
                place = store.cells / f"{cell.name}.cell"
                if not place.is_file():
                    write_atomically(place, content)
                    new += 1
                elif reason := _facts(place, cell.name)[1]:
                    raise ValueError(
                        f"The cell {cell.name} in {str(store.folder)!r} {reason}; repair that folder first."
                    )
                elif _rows(place.read_bytes()) != _rows(content):
                    raise ValueError(
                        f"The cell {cell.name} in {str(state.folder)!r} says something else than the one in "
                        f"{str(store.folder)!r}; they were made on different machines or versions. Keep one of them."
                    )
        everything: dict[str, int] = {}
        for state in states:
            everything |= _plan(state.folder)
        write_atomically(store.folder / PLAN, (json.dumps(_plan(store.folder) | everything, indent=1) + "\n").encode())
    return new


def text(state: RunState) -> str:
    """The state of a run in words, one line a cell that is not finished."""
    counts = {word: sum(cell.state == word for cell in state.cells) for word in _WORDS}
    lines = [
        f"{state.folder}: "
        + ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "finished")
    ]
    lines.append(f"at work: process {state.process}" if state.process else "at work: nobody")
    if state.set_aside:
        lines.append(f"set aside: {state.set_aside} files")
    if state.seconds_to_go is not None and any(cell.state != "finished" for cell in state.cells):
        lines.append(f"to go: about {state.seconds_to_go:.0f} s at the pace of the finished cells")
    for cell in state.cells:
        if cell.state != "finished":
            share = f", {cell.done} of {cell.steps} steps" if cell.state == "partial" else ""
            why = f" ({cell.reason})" if cell.state == "failed" else f" {cell.reason}" if cell.reason else ""
            lines.append(f"  {cell.state}: {cell.name}{share}{why}")
    return "\n".join(lines)


_PART = re.compile(
    r"-p\d+-\d(?=-[0-9a-f]+$)"
)  # in the name of the state that one process keeps of a spread-out network
_GONE = "is not there any more"
_NO_PLAN: dict[str, int] = {}
_WORDS = ("finished", "partial", "failed", "missing", "damaged")


def _plan(folder: pathlib.Path) -> dict[str, int]:
    try:
        known = json.loads((folder / PLAN).read_text())
    except (OSError, ValueError):
        return _NO_PLAN
    good = isinstance(known, dict) and all(isinstance(steps, int) for steps in known.values())
    return known if good else _NO_PLAN


def _facts(path: pathlib.Path, name: str) -> tuple[dict[str, Any], str]:
    """The facts of a cell file, and what is wrong with it."""
    try:
        facts = decode(path.read_bytes()).facts
    except FileNotFoundError:  # its process was faster
        return {}, _GONE
    except (ValueError, KeyError, OSError) as error:
        return {}, str(error)
    key = facts.get("key")
    if not isinstance(key, str) or not name.endswith(f"-{key}"):
        return {}, "belongs to other settings than its name says"
    return facts, ""


def _rows(content: bytes) -> Any:
    return json.dumps(decode(content).facts.get("rows"), sort_keys=True)


def _holder(folder: pathlib.Path) -> str | None:
    """The process that works in a folder, if one does: its leader, or a member of a run of several processes."""
    holder = _locked_by(folder / ".lock")
    members = sorted(folder.glob(".lock.*")) if holder is None else []
    return next((found for path in members if (found := _locked_by(path))), holder)


def _locked_by(path: pathlib.Path) -> str | None:
    """The process that holds the lock of a file, as it says itself; None if nobody does.

    Read off the kernel's list where there is one, so that nobody who wants the lock finds it taken.
    """
    try:
        place, text = f":{path.stat().st_ino} ", path.read_text()
        locks = pathlib.Path("/proc/locks").read_text().splitlines() if pathlib.Path("/proc/locks").is_file() else None
    except OSError:
        return None
    found = held(path) if locks is None else any(place in line and "FLOCK" in line for line in locks)
    return _pid(text) if found else None


def _pid(text: str) -> str:
    """The process id in a lock file: alone, or among the facts of a member."""
    try:
        facts = json.loads(text)
    except ValueError:
        facts = text.strip()
    found = facts.get("pid") if isinstance(facts, dict) else facts
    return str(found) if found else "unknown"
