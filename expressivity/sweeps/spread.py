"""Sweeps of networks that no device, or no machine, can hold: all processes work at one network, each at its part.

Every weight matrix is cut over the devices of all processes (`training.train_wide`); a cell is one network. Processes
go through the cells in step, so nothing may make one of them leave the path of the others: whatever depends on the
clock or on a file is decided by process 0 and told to all. If a process dies, JAX ends the others; started again, all
go on from the last state that every one of them had written.
"""

import contextlib
import contextvars
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from expressivity.sweeps import functions, hosts
from expressivity.sweeps.party import POLL
from expressivity.sweeps.states import Pace
from expressivity.sweeps.store import Record, Store
from expressivity.sweeps.sweep import Cell
from expressivity.training import ImageTask
from expressivity.training.states import OtherRun, Snapshot
from expressivity.training.wide import WideResult, train_wide

KEEP_BYTES = 2**28  # larger networks are measured where they are, and not kept
LATE = 60.0  # seconds after which a file that process 0 has read must be seen by all
_MESH: contextvars.ContextVar[Any] = contextvars.ContextVar("mesh", default=None)


class ProcessLost(RuntimeError):
    """A process or a device failed while all worked at one network.

    JAX aborts the process that this is raised in when it ends; `os._exit` goes before that.
    """


def current() -> Any:
    """The mesh that `over` made, or None.

    >>> current() is None
    True
    """
    return _MESH.get()


@contextlib.contextmanager
def over(devices: Sequence[Any] | None = None) -> Iterator[Any]:
    """While this is open, sweeps spread every network over these devices, by default those of all processes.

    With several processes, `sweeps.join(..., stay=True)` comes first, and all run the same sweeps.

    Args:
        devices: JAX devices; of every process as many.

    >>> import expressivity as ex, tempfile
    >>> sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], ex.targets.norm_squared(ex.Ball(2)), 2, ex.Recipe(5, 16, 0.01))
    >>> with over(), tempfile.TemporaryDirectory() as folder:
    ...     result = ex.run(sweep, folder, order=16)
    >>> set(result.table.batching)
    {'spread'}
    """
    token = _MESH.set(jax.sharding.Mesh(np.array(devices or jax.devices(), dtype=object), ("units",)))
    try:
        yield _MESH.get()
    finally:
        _MESH.reset(token)


def split(cells: Sequence[Cell], mesh: Any) -> list[Cell]:
    """The same networks in cells of one network each, in the same order.

    Raises:
        ValueError: If they are networks for images.
    """
    found = []
    for cell in cells:
        if isinstance(cell.task, ImageTask):
            raise ValueError(
                f"Only MLPs can be spread over devices, and {cell.task.name!r} is for networks that read images; "
                "leave --spread away."
            )
        for units, rule in cell.rules.items():
            for place, seed in enumerate(cell.seeds):
                rate = cell.recipe.rates(len(cell.seeds))[place]
                recipe = dataclasses.replace(cell.recipe, learning_rate=float(rate))
                starts = {net: start for net, start in (cell.starts or {}).items() if net == (units, seed)}
                one = {"rules": {units: rule}, "seeds": (seed,), "recipe": recipe, "starts": starts or None}
                found.append(dataclasses.replace(cell, **one, spread=mesh.size))
    return found


def train_missing(cells: Sequence[Cell], store: Store, mesh: Any, ticks: Callable[[Cell], Any]) -> dict[str, Record]:
    """Trains the cells that are missing in the store, all processes together, and gives them by key.

    Args:
        cells: What `split` gave.
        store: The folder, open.
        mesh: What the networks are spread over.
        ticks: Makes for a cell what is told of its progress, see `functions.Progress`.

    Raises:
        ProcessLost: If a process or a device failed.
    """
    made = {}
    for cell in cells:
        key, progress, parts = cell.key, ticks(cell), Parts(store, cell)
        try:
            if agreed(store.leads and store.read(cell.label, key) is not None):
                await_cell(cell, store)
                progress(1, 1, np.zeros(0))
            else:
                made[key] = train_cell(cell, parts, mesh, progress)
                if store.leads:
                    store.write(cell.label, key, made[key])
                agreed(True)  # states are dropped when process 0 has written
        except jax.errors.JaxRuntimeError as error:
            raise ProcessLost(
                f"A process or a device failed while all worked at {cell.label} ({str(error).splitlines()[0]}); start "
                "all of them again, and they go on from the last state."
            ) from None
        parts.drop()
    return made


def train_cell(cell: Cell, parts: "Parts", mesh: Any, progress: functions.Progress) -> Record:
    """Trains the one network of a cell, from the state that an earlier run left, and describes it for the store."""
    ((task, (seed,)),), (width,) = functions.jobs_of(cell), cell.widths
    state = parts.found()
    try:
        result = train_wide(
            cell.family,
            width,
            task,
            seed,
            cell.recipe,
            mesh,
            start=(cell.starts or {}).get((width, seed)),
            progress=progress,
            resume=state,
            keep=parts.keep,
            root=cell.root,
        )
    except OtherRun as error:
        parts.set_aside(str(error))
        raise ValueError(f"The state of {cell.label} was of another run and was set aside; start again.") from None
    begun, net, ok = time.perf_counter(), (width, seed), result.status == "ok"
    outputs = {net: result.outputs} if ok else {}
    rows = list(functions.rows(cell, outputs, {net: result.size}, {net: result.status}, {net: result.loss}))
    networks = {net: result.network()} if ok and _fits(result) else {}
    facts = {
        "settings": cell.settings,
        "rows": rows,
        "networks": [list(one) for one in networks],
        "batching": "spread",
        "compile_seconds": result.compile_seconds,
        "run_seconds": result.run_seconds,
        "measure_seconds": time.perf_counter() - begun,
    }
    return Record(facts, functions.weights(networks))


def _fits(result: WideResult) -> bool:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(result.parameters)) <= KEEP_BYTES


def agreed(word: bool) -> bool:
    """What process 0 says. Every process must call it.

    >>> agreed(True), agreed(False)
    (True, False)
    """
    return bool(_everywhere(int(word))[0])


def _everywhere(*numbers: int) -> np.ndarray:
    """The numbers of every process, a row each."""
    from jax.experimental import multihost_utils

    return np.atleast_2d(multihost_utils.process_allgather(np.array(numbers, np.int32)))


def await_cell(cell: Cell, store: Store) -> None:
    """Waits until a cell that process 0 has read is seen here, too.

    Raises:
        ValueError: If that does not happen.
    """
    end = time.monotonic() + LATE
    while not store.path(cell.label, cell.key).exists():
        if time.monotonic() > end:
            raise ValueError(
                f"Process {hosts.here().process} does not see {cell.label} in {str(store.folder)!r}, which process 0 "
                "reads; give all processes one --out that all of their machines see."
            )
        time.sleep(POLL)


class Parts:
    """The states of a cell, of which every process keeps its own part.

    A process may have been killed when only some had written the last state; so each keeps two, and all go on from the
    last one that every process has.
    """

    def __init__(self, store: Store, cell: Cell) -> None:
        host = hosts.here()
        self.store, self.name, self.key, self.processes = store, cell.label, cell.key, host.processes
        self.labels = [f"{self.name}-p{host.process}-{turn}" for turn in range(2)]
        self.steps, self.turn, self.pace = cell.recipe.steps, 0, Pace()

    def found(self) -> Snapshot | None:
        """The state to go on from."""
        own: dict[int, tuple[int, Record]] = {}
        for turn, label in enumerate(self.labels):
            record = self.store.read_partial(label, self.key)
            facts = {} if record is None else record.facts
            if record is not None and (facts.get("key"), facts.get("processes")) == (self.key, self.processes):
                own[facts["step"]] = turn, record
        steps = [*own, -1, -1][:2]
        common = functools.reduce(set.intersection, map(set, _everywhere(*steps).reshape(-1, 2).tolist()))
        step = max(common - {-1}, default=-1)
        if step < 0:
            return None
        turn, record = own[step]
        self.turn = 1 - turn
        return Snapshot(step, record.arrays)

    def keep(self, snapshot: Callable[[], Snapshot]) -> None:
        """Writes a state if process 0 finds that it is time to."""
        if agreed(self.pace.is_due()):
            self.pace.write(lambda: self._write(snapshot()))

    def _write(self, now: Snapshot) -> None:
        facts = {"step": now.step, "steps": self.steps, "key": self.key, "processes": self.processes}
        self.store.write_partial(self.labels[self.turn], self.key, Record(facts, now.arrays))
        self.turn = 1 - self.turn

    def set_aside(self, reason: str) -> None:
        """Moves both states away."""
        for label in self.labels:
            self.store.set_aside(self.store.partial_path(label, self.key), f"cannot be gone on from ({reason})")

    def drop(self) -> None:
        """Forgets the states of a cell, which is finished; also those of a run of more processes."""
        ending = f"-{self.key}.cell"
        for path in (self.store.folder / "partial").glob(f"{self.name}-p*{ending}"):
            self.store.drop_partial(path.name.removesuffix(ending), self.key)
