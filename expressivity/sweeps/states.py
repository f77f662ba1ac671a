"""States of cells at work in the folder of a run: written now and then, read when an earlier process was killed."""

import time
from collections.abc import Callable
from typing import TypeVar

from expressivity.sweeps.store import Record, Store
from expressivity.training.states import OtherRun

Result = TypeVar("Result")


class PartialState:
    """The state of one cell at work.

    Args:
        store: The folder, or None to keep no states.
        label: Of the cell.
        key: Of the cell.
        seconds: Between two states; what a kill may cost.
    """

    def __init__(self, store: Store | None, label: str, key: str, seconds: float) -> None:
        self.store, self.label, self.key, self.seconds = store, label, key, seconds
        self.last = time.monotonic()

    def keep(self, state: Callable[[], Record]) -> None:
        """Writes the state if it is time to; it is made only then."""
        if self.store is not None and time.monotonic() - self.last >= self.seconds:
            now = state()
            self.store.write_partial(self.label, self.key, Record({**now.facts, "key": self.key}, now.arrays))
            self.last = time.monotonic()

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
