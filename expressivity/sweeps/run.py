"""Running a sweep: train what is missing, keep what is finished, and read the table off the finished cells."""

import sys
from typing import Any

import numpy as np

from expressivity.sweeps import functions, images
from expressivity.sweeps.result import COLUMNS, CURVE_COLUMNS, NetworkKey, SweepResult
from expressivity.sweeps.store import Store, write_atomically
from expressivity.sweeps.sweep import Sweep
from expressivity.training import ImageTask


def run(sweep: Sweep, workdir: Any, *, order: int | None = None) -> SweepResult:
    """Trains the cells of `sweep` that are not finished in `workdir`, and returns what all of them hold.

    Every cell is one file, committed by rename, so a run may be killed at any moment and started again: finished cells
    are read, never trained twice, and the table comes out the same byte for byte. `table.csv` holds it,
    `timings.csv` the seconds.

    Args:
        sweep: What to train.
        workdir: A folder, made if it is not there. One process at a time works in it.
        order: Points an axis of the quadrature rule that measures the errors; by default about 100,000 points in all.

    Raises:
        FolderInUse: If another process is working in the folder.
        ValueError: If the folder cannot be written to.

    >>> import expressivity as ex, tempfile
    >>> sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], ex.targets.norm_squared(ex.Ball(2)), 2, ex.Recipe(5, 16, 0.01))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = ex.run(sweep, folder, order=16)
    >>> result.table[result.table.norm == "L2"][["width", "seed"]].values.tolist()
    [[2, 0], [2, 1], [3, 0], [3, 1]]
    """
    with Store(workdir) as store:
        result = collect(sweep, store, order=order)
        write_tables(store, result)
    return result


def write_tables(store: Store, result: SweepResult) -> None:
    """`table.csv` (numbers only), `timings.csv`, and for images `curves.csv`, in the folder of the store."""
    frames = {"table.csv": result.table, "timings.csv": result.timings}
    if len(result.curves):
        frames["curves.csv"] = result.curves
    for name, frame in frames.items():
        write_atomically(store.folder / name, frame.to_csv(index=False, lineterminator="\n").encode())


def collect(sweep: Sweep, store: Store, *, order: int | None = None, title: str = "") -> SweepResult:
    """`run` in a folder that is open already, without writing tables."""
    import pandas as pd
    from tqdm import tqdm

    rows: list[dict[str, Any]] = []
    timings: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    networks: dict[NetworkKey, Any] = {}
    cells = sweep.cells(order)
    best = float("inf")
    quiet = not sys.stderr.isatty()
    with tqdm(total=sum(c.steps for c in cells), unit="step", unit_scale=True, desc=title, disable=quiet) as bar:
        for cell in cells:
            key = cell.key
            record = store.read(cell.label, key)
            fresh = record is None
            if record is None:
                ticks = _Ticks(bar, cell.label, cell.steps)
                if isinstance(cell.task, ImageTask):
                    record = images.train_cell(cell, ticks, store)
                else:
                    record = functions.train_cell(cell, ticks)
                store.write(cell.label, key, record)
                store.drop_partial(cell.label, key)
            else:
                bar.update(cell.steps)
            rows += record.facts["rows"]
            curves += record.facts.get("curve", [])
            kind = images if isinstance(cell.task, ImageTask) else functions
            networks |= kind.networks(cell, record)
            seconds = {k: record.facts[k] for k in ("compile_seconds", "run_seconds", "measure_seconds")}
            timings.append({"cell": f"{cell.label}-{key}", "trained_now": fresh, **seconds})
            best = min(
                [best, *(row["error"] for row in rows if row["norm"] in ("L2", "top-1") and row["status"] == "ok")]
            )
            bar.set_postfix_str(f"{cell.label}, best error {best:.3g}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in ("base", "hidden_layers", "parameters"):
        table[column] = table[column].astype("Int64")
    return SweepResult(table, networks, pd.DataFrame(timings), pd.DataFrame(curves, columns=list(CURVE_COLUMNS)))


class _Ticks:
    """Moves a progress bar by the optimiser steps that a call of `train` has taken, and shows its least loss."""

    def __init__(self, bar: Any, label: str, total: int) -> None:
        self.bar, self.label, self.total, self.done = bar, label, total, 0

    def __call__(self, step: int, steps: int, losses: np.ndarray) -> None:
        now = self.total * step // steps
        self.bar.update(now - self.done)
        self.done = now
        finite = losses[np.isfinite(losses)]
        if len(finite):
            self.bar.set_postfix_str(f"{self.label}, least training loss {finite.min():.3g}")


def family_label(family: Any) -> str:
    """The family as the table names it: its depth has a column of its own."""
    return type(family).__name__ if hasattr(family, "hidden_layers") else repr(family)
