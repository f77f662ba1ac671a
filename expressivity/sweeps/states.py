"""States of cells at work in the folder of a run: written now and then, read when an earlier process was killed."""

import time
from collections.abc import Callable
from typing import TypeVar

from expressivity.sweeps.store import Record, Store
from expressivity.training.states import OtherRun

Result = TypeVar("Result")

SHARE = 0.1  # of a cell's time that writing its states may take


class Pace:
    """When the next state is due, so that writing states takes at most its share of the time."""

    def __init__(self) -> None:
        self.due = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to write a state."""
        return time.monotonic() >= self.due

    def write(self, writing: Callable[[], None]) -> None:
        """Writes a state, and sees how long that takes."""
        begun = time.monotonic()
        writing()
        end = time.monotonic()
        self.due = end + (end - begun) * (1 / SHARE - 1)


class PartialState:
    """The state of one cell at work.

    It is written after every call of the program, so that a kill costs one call; where that would take more than a
    tenth of the time, because the state is large or the disk slow, as often as a tenth allows.

    Args:
        store: The folder, or None to keep no states.
        label: Of the cell.
        key: Of the cell.
    """

    def __init__(self, store: Store | None, label: str, key: str) -> None:
        self.store, self.label, self.key = store, label, key
        self.pace = Pace()

    def keep(self, state: Callable[[], Record]) -> None:
        """Writes the state if it is time to; it is made only then."""
        if self.store is not None and self.pace.is_due():
            self.pace.write(lambda: self._write(state()))

    def _write(self, now: Record) -> None:
        assert self.store is not None
        self.store.write_partial(self.label, self.key, Record({**now.facts, "key": self.key}, now.arrays))

    def go_on(self, work: Callable[[Record | None], Result]) -> Result:
        """`work(state)` if there is a state and it can be used, `work(None)` otherwise.

        A state that can be read, but that `work` finds to be of another run, is set aside with the reason.
        """
        found = None if self.store is None else self.store.read_partial(self.label, self.key)
        if found is None or self.store is None:
            return work(None)
        try:
            if found.facts.get("key") != self.key:
                raise OtherRun("It belongs to other settings than its name says.")
            return work(found)
        except OtherRun as error:
            self.store.set_aside(self.store.partial_path(self.label, self.key), f"cannot be gone on from ({error})")
        return work(None)
