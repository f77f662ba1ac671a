"""Running a sweep: train what is missing, keep what is finished, and read the table off the finished cells."""

import concurrent.futures
import functools
import pickle
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from expressivity.sweeps import cluster, functions, images, spread
from expressivity.sweeps.calibration import choose
from expressivity.sweeps.inspection import note_failures, plan
from expressivity.sweeps.party import POLL
from expressivity.sweeps.result import COLUMNS, CURVE_COLUMNS, NetworkKey, SweepResult, merge
from expressivity.sweeps.store import Record, Store, publish
from expressivity.sweeps.sweep import Cell, Sweep
from expressivity.training import ImageTask


class CellsFailed(RuntimeError):
    """Some cells could not be trained, for instance for want of memory; the others are finished and kept.

    `failures` says why, by cell; `result` holds what is there.
    """

    def __init__(self, failures: dict[str, str], result: SweepResult) -> None:
        self.failures, self.result = failures, result
        first = next(iter(failures.items()))
        super().__init__(
            f"{len(failures)} cells failed, the first is {first[0]} ({first[1]}); the others are finished. Run it "
            "again in the same folder to try only these, with fewer seeds or a smaller batch if memory was short."
        )


def run(sweep: Sweep, workdir: Any, *, order: int | None = None, executor: Any = None) -> SweepResult:
    """Trains the cells of `sweep` that are not finished in `workdir`, and returns what all of them hold.

    Every cell is one file, committed by rename, so a run may be killed at any moment and started again: finished cells
    are read, never trained twice, and the table comes out the same byte for byte. `table.csv` holds it,
    `timings.csv` the seconds. A cell that fails does not stop the others.

    Args:
        sweep: What to train.
        workdir: A folder, made if it is not there. One process at a time leads a run in it.
        order: Points an axis of the quadrature rule that measures the errors; by default about 100,000 points in all.
        executor: Any `concurrent.futures.Executor`, or one that is made like it (Dask's `client.get_executor()`); each
            cell that is missing is one task. Workers write finished cells into `workdir`, which all of them must see.

    Raises:
        FolderInUse: If another process is working in the folder.
        CellsFailed: If cells failed; after all others are finished and the tables are written.
        ValueError: If the folder cannot be written to.

    >>> import expressivity as ex, tempfile
    >>> sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], ex.targets.norm_squared(ex.Ball(2)), 2, ex.Recipe(5, 16, 0.01))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = ex.run(sweep, folder, order=16)
    >>> result.table[result.table.norm == "L2"][["width", "seed"]].values.tolist()
    [[2, 0], [2, 1], [3, 0], [3, 1]]
    """
    with Store(workdir) as store:
        try:
            result = collect(sweep, store, order=order, executor=executor)
        except CellsFailed as failed:
            write_tables(store, failed.result)
            raise
        write_tables(store, result)
    return result


def write_tables(store: Store, result: SweepResult) -> None:
    """`table.csv` (numbers only), `timings.csv`, and for images `curves.csv`, in the folder of the store."""
    frames = {"table.csv": result.table, "timings.csv": result.timings}
    if len(result.curves):
        frames["curves.csv"] = result.curves
    for name, frame in frames.items():
        publish(store.folder / name, frame.to_csv(index=False, lineterminator="\n").encode())


def collect(
    sweep: Sweep, store: Store, *, order: int | None = None, title: str = "", executor: Any = None
) -> SweepResult:
    """`run` in a folder that is open already, without writing tables."""
    return collect_all([sweep], store, order=order, title=title, executor=executor)[0]


def collect_all(
    sweeps: Iterable[Sweep], store: Store, *, order: int | None = None, title: str = "", executor: Any = None
) -> list[SweepResult]:
    """`collect` for sweeps that do not wait for each other: several processes, or workers, share the cells of all.

    A cell that two of them hold is trained once.

    Args:
        sweeps: What to train.
        store: A folder that is open.
        order, executor: As for `run`; the same for all sweeps.
        title: What the progress bar says.

    Returns:
        One result a sweep, in their order.

    Raises:
        CellsFailed: If cells failed; after all others, of every sweep, are finished. Its `result` merges what is there.

    >>> import expressivity as ex, tempfile
    >>> task, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(5, 16, 0.01)
    >>> both = [ex.Sweep(ex.MLP(2), ["n"], task, 2, recipe), ex.Sweep(ex.MLP(2), ["n", "2n"], task, 2, recipe)]
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
    ...     one, other = collect_all(both, store, order=16)
    >>> one.timings.trained_now.tolist(), other.timings.trained_now.tolist()
    ([True], [False, True])
    """
    from tqdm import tqdm

    executor, mesh = cluster.current() if executor is None else executor, spread.current()
    if mesh is None:
        parts = [choose(sweep, store).cells(order) for sweep in sweeps]
    else:
        parts, executor = [spread.split(sweep.cells(order), mesh) for sweep in sweeps], None
    cells = list({cell.key: cell for part in parts for cell in part}.values())
    if store.leads:
        plan(store, [(cell.label, cell.key, cell.steps) for cell in cells])
    quiet = not sys.stderr.isatty()
    with tqdm(total=sum(c.steps for c in cells), unit="step", unit_scale=True, desc=title, disable=quiet) as bar:
        trainer = _Trainer(cells, store, executor, mesh, bar)
        results = [_result(part, trainer) for part in parts]
    if store.leads:
        note_failures(store, trainer.failures, [_name(cell) for cell in cells])
    if trainer.failures:
        raise CellsFailed(trainer.failures, merge(results))
    return results


def _result(cells: list[Cell], trainer: "_Trainer") -> SweepResult:
    """What the cells of one sweep hold, but for those that failed."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    timings: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    networks: dict[NetworkKey, Any] = {}
    best = float("inf")
    for cell in cells:
        found = trainer.record(cell)
        if found is None:
            continue
        record, fresh = found
        rows += _rows(cell, record)
        curves += record.facts.get("curve", [])
        kind = images if isinstance(cell.task, ImageTask) else functions
        networks |= kind.networks(cell, record)
        seconds = {k: record.facts[k] for k in ("compile_seconds", "run_seconds", "measure_seconds")}
        timings.append({"cell": _name(cell), "trained_now": fresh, **seconds})
        best = min([best, *(row["error"] for row in rows if row["norm"] in ("L2", "top-1") and row["status"] == "ok")])
        trainer.bar.set_postfix_str(f"{cell.label}, best error {best:.3g}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in ("base", "hidden_layers", "parameters"):
        table[column] = table[column].astype("Int64")
    return SweepResult(table, networks, pd.DataFrame(timings), pd.DataFrame(curves, columns=list(CURVE_COLUMNS)))


class _Trainer:
    """The cells of a call: what is missing is trained, here, by other processes too, or by workers.

    Args:
        cells: All of them, each once.
        store, executor, mesh, bar: As in `collect_all`.
    """

    def __init__(self, cells: list[Cell], store: Store, executor: Any, mesh: Any, bar: Any) -> None:
        self.store, self.bar = store, bar
        self.failures: dict[str, str] = {}
        self.tasks = {} if executor is None else _submitted(cells, store, executor, bar)
        here = executor is None and mesh is None
        self.alone = here and store.party is None
        self.own = _Share(cells, store, bar) if here and store.party is not None else None
        self.together = (
            {} if mesh is None else spread.train_missing(cells, store, mesh, functools.partial(_Ticks.of, bar))
        )
        self._given: set[str] = set()

    def record(self, cell: Cell) -> tuple[Record, bool] | None:
        """The record of a cell, and whether it was trained now and is given for the first time; None if it failed."""
        key, name = cell.key, _name(cell)
        if name in self.failures:
            return None
        first = key not in self._given
        self._given.add(key)
        fresh = key in self.tasks or key in self.together or (self.own is not None and key in self.own.trained)
        try:
            if key in self.tasks:
                self.tasks[key].result()
            record = self.together.get(key) or self.store.read(cell.label, key)
            if record is None and self.own is not None and key in self.own.failures:
                self.failures[name] = self.own.failures[key]
                return None
            if record is None:
                return _trained(cell, self.store, _Ticks.of(self.bar, cell)), True
        except _failures() as error:
            self.failures[name] = _reason(error)
            return None
        self.store.drop_partial(cell.label, key)  # a process may have been killed between writing the cell and this
        if self.alone and first:
            self.bar.update(cell.steps)
        return record, fresh and first


def _name(cell: Cell) -> str:
    return f"{cell.label}-{cell.key}"


def _trained(cell: Cell, store: Store, progress: functions.Progress) -> Record:
    """Trains a cell and commits it."""
    key = cell.key
    if isinstance(cell.task, ImageTask):
        record = images.train_cell(cell, progress, store)
    else:
        record = functions.train_cell(cell, progress, store)
    store.write(cell.label, key, record)
    store.drop_partial(cell.label, key)
    return record


def work(cell: Cell, folder: str, key: str) -> str:
    """What a worker does: trains a cell into a folder that its leader holds open, and returns the cell's key.

    A cell that is there already is not trained again: a scheduler may send a task twice.

    Raises:
        ValueError: If the cell has another key here, because this worker computes on another platform.
    """
    if cell.key != key:
        raise ValueError(
            f"The cell {cell.label} is another one on this worker, which computes on "
            f"{cell.settings['platform']!r}; choose the same --platform for workers and client."
        )
    store = Store(folder)
    if store.read(cell.label, key) is None:
        _trained(cell, store, lambda step, steps, losses: None)
    return key


def _rows(cell: Cell, record: Record) -> list[dict[str, Any]]:
    """The rows of a cell for the table, with how its networks were trained together."""
    batching = record.facts.get("batching") or ("packed" if len(cell.rules) > 1 else "apart")
    return [{**row, "batching": batching} for row in record.facts["rows"]]


class _Share:
    """What one of several processes does for a sweep: trains cells until all of them are there.

    A process takes every N-th missing cell first, then what others have not begun. What another one is training it
    waits for; the claim of a process that dies is free.
    """

    def __init__(self, cells: list[Cell], store: Store, bar: Any) -> None:
        assert store.party is not None
        self.trained: set[str] = set()
        self.failures: dict[str, str] = {}
        missing = [cell for cell in cells if store.read(cell.label, cell.key) is None]
        bar.update(sum(cell.steps for cell in cells) - sum(cell.steps for cell in missing))
        host = store.party.host
        turns = [(host.process + turn) % host.processes for turn in range(host.processes)]
        todo = [cell for turn in turns for cell in missing[turn :: host.processes]]
        while todo:
            left = []
            for cell in todo:
                if store.path(cell.label, cell.key).exists():
                    bar.update(cell.steps)
                elif not self._try(cell, store, bar):
                    left.append(cell)
            if len(left) == len(todo):
                time.sleep(POLL)
            todo = left

    def _try(self, cell: Cell, store: Store, bar: Any) -> bool:
        """Trains a cell unless another process is at it; whether this process is done with it."""
        key = cell.key
        with store.claim(f"{cell.label}-{key}") as mine:
            if not mine or store.path(cell.label, key).exists():
                return False
            try:
                _trained(cell, store, _Ticks.of(bar, cell))
                self.trained.add(key)
            except _failures() as error:
                self.failures[key] = _reason(error)
        return True


def _submitted(cells: list[Cell], store: Store, executor: Any, bar: Any) -> dict[str, Any]:
    """A future by key for every cell that is not finished.

    Raises:
        TypeError: If the executor has no `submit`, or sends cells by pickle to other processes and one cannot be sent.
    """
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"An executor has a method submit, as concurrent.futures.Executor has; got {executor!r}.")
    missing = [cell for cell in cells if store.read(cell.label, cell.key) is None]
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        for cell in {id(cell.task): cell for cell in missing}.values():
            try:
                pickle.dumps(cell)
            except (AttributeError, TypeError, pickle.PicklingError) as error:
                raise TypeError(
                    f"The task {cell.task.name!r} cannot be sent to another process ({error}); use threads, or an "
                    "executor that sends functions by value, such as Dask's."
                ) from None
    bar.update(sum(cell.steps for cell in cells) - sum(cell.steps for cell in missing))
    tasks = {}
    for cell in missing:
        task = executor.submit(work, cell, str(store.folder.absolute()), cell.key)
        task.add_done_callback(lambda _, steps=cell.steps: bar.update(steps))
        tasks[cell.key] = task
    return tasks


def _failures() -> tuple[type[BaseException], ...]:
    """What may befall one cell without stopping the others: want of memory, or workers that are lost."""
    from concurrent.futures.process import BrokenProcessPool

    import jax

    found: tuple[type[BaseException], ...] = (MemoryError, jax.errors.JaxRuntimeError, BrokenProcessPool)
    if "distributed" in sys.modules:
        from distributed import KilledWorker

        found += (KilledWorker, concurrent.futures.CancelledError)
    return found


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"


class _Ticks:
    """Moves a progress bar by the optimiser steps that a call of `train` has taken, and shows its least loss."""

    def __init__(self, bar: Any, label: str, total: int) -> None:
        self.bar, self.label, self.total, self.done = bar, label, total, 0

    @classmethod
    def of(cls, bar: Any, cell: Cell) -> "_Ticks":
        return cls(bar, cell.label, cell.steps)

    def __call__(self, step: int, steps: int, losses: np.ndarray) -> None:
        now = self.total * step // steps
        self.bar.update(now - self.done)
        self.done = now
        finite = losses[np.isfinite(losses)]
        if len(finite):
            self.bar.set_postfix_str(f"{self.label}, least training loss {finite.min():.3g}")
