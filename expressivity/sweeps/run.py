"""Running a sweep: train what is missing, keep what is finished, and read the table off the finished cells."""

import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from expressivity.data.table import Table
from expressivity.relu.network import Block, ReLUNetwork
from expressivity.sweeps import measure
from expressivity.sweeps.result import COLUMNS, NetworkKey, SweepResult
from expressivity.sweeps.store import Record, Store, write_atomically
from expressivity.sweeps.sweep import Cell, Sweep
from expressivity.training import TableTask, TargetTask, train


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
    """`table.csv` (numbers only) and `timings.csv` in the folder of the store."""
    for name, frame in (("table.csv", result.table), ("timings.csv", result.timings)):
        write_atomically(store.folder / name, frame.to_csv(index=False, lineterminator="\n").encode())


def collect(sweep: Sweep, store: Store, *, order: int | None = None, title: str = "") -> SweepResult:
    """`run` in a folder that is open already, without writing tables."""
    import pandas as pd
    from tqdm import tqdm

    rows: list[dict[str, Any]] = []
    timings: list[dict[str, Any]] = []
    networks: dict[NetworkKey, ReLUNetwork] = {}
    cells = sweep.cells(order)
    best = float("inf")
    quiet = not sys.stderr.isatty()
    with tqdm(total=sum(c.steps for c in cells), unit="step", unit_scale=True, desc=title, disable=quiet) as bar:
        for cell in cells:
            key = cell.key
            record = store.read(cell.label, key)
            fresh = record is None
            if record is None:
                record = _train(cell, bar)
                store.write(cell.label, key, record)
            else:
                bar.update(cell.steps)
            rows += record.facts["rows"]
            networks |= _networks(cell, record)
            seconds = {k: record.facts[k] for k in ("compile_seconds", "run_seconds", "measure_seconds")}
            timings.append({"cell": f"{cell.label}-{key}", "trained_now": fresh, **seconds})
            best = min([best, *(row["error"] for row in rows if row["norm"] == "L2" and row["status"] == "ok")])
            bar.set_postfix_str(f"{cell.label}, best L2 error {best:.3g}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in ("hidden_layers", "parameters"):
        table[column] = table[column].astype("Int64")
    return SweepResult(table, networks, pd.DataFrame(timings))


def _train(cell: Cell, bar: Any) -> Record:
    """Trains one cell, measures its networks, and describes it for the store."""
    task, jobs = cell.task, []
    if isinstance(task, Table):
        for seed in cell.seeds:
            rows = task.split(seed)
            jobs.append((TableTask(rows.train_features, rows.train_values, task.name), (seed,)))
    else:
        jobs.append((TargetTask(task), cell.seeds))
    parts = []
    for batches, seeds in jobs:
        ticks = _Ticks(bar, cell.label, cell.recipe.steps * len(seeds) * len(cell.widths))
        recipe = dataclasses.replace(cell.recipe, learning_rate=_rate(cell, seeds))
        parts.append(
            train(cell.family, cell.widths, batches, seeds, recipe, start=cell.starts, progress=ticks, root=cell.root)
        )
    networks = {net: network for part in parts for net, network in part.networks.items()}
    status = {net: word for part in parts for net, word in part.status.items()}
    loss = {net: value for part in parts for net, value in part.loss.items()}

    begun = time.perf_counter()
    rows_found = list(_rows(cell, networks, status, loss))
    facts = {
        "settings": cell.settings,
        "rows": rows_found,
        "networks": [list(net) for net in networks],
        "compile_seconds": sum(part.compile_seconds for part in parts),
        "run_seconds": sum(part.run_seconds for part in parts),
        "measure_seconds": time.perf_counter() - begun,
    }
    arrays = {}
    for number, network in enumerate(networks.values()):
        for index, block in enumerate(network.blocks):
            arrays[f"{number}/{index}/weight"] = np.asarray(block.weight)
            arrays[f"{number}/{index}/bias"] = np.asarray(block.bias)
    return Record(facts, arrays)


def _rate(cell: Cell, seeds: tuple[int, ...]) -> float | tuple[float, ...]:
    """The learning rates of some of the cell's seeds."""
    rate = cell.recipe.learning_rate
    return tuple(rate[cell.seeds.index(seed)] for seed in seeds) if isinstance(rate, tuple) else rate


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


def _rows(cell: Cell, networks: Any, status: Any, loss: Any) -> Iterator[dict[str, Any]]:
    task = cell.task
    points = None if isinstance(task, Table) else measure.grid(task, cell.order)
    norms = measure.TABLE_NORMS if isinstance(task, Table) else measure.norms_of(task)
    for units, rule in cell.rules.items():
        for seed in cell.seeds:
            row = {
                "family": family_label(cell.family),
                "task": task.name if isinstance(task, Table) else f"{task.name} on {task.measure.name}",
                "base": task.dim,
                "width_rule": rule,
                "width": units,
                "hidden_layers": getattr(cell.family, "hidden_layers", None),
                "seed": seed,
                "origin": cell.origin,
                "steps": cell.recipe.steps,
                "status": status[units, seed],
                "loss": loss[units, seed],
            }
            network = networks.get((units, seed))
            if network is None:
                empty = {"error": float("nan"), "half_width": float("nan"), "fvu": float("nan"), "parameters": None}
                yield from ({**row, "norm": norm, **empty} for norm in norms)
                continue
            if isinstance(task, Table):
                found = measure.against_rows(network, task.split(seed))
            else:
                assert points is not None
                found = measure.against_target(network, task, points)
            yield from ({**row, **one, "parameters": network.size} for one in found)


def _networks(cell: Cell, record: Record) -> dict[NetworkKey, ReLUNetwork]:
    blocks: dict[int, dict[int, dict[str, np.ndarray]]] = {}
    for name, array in record.arrays.items():
        number, index, kind = name.split("/")
        blocks.setdefault(int(number), {}).setdefault(int(index), {})[kind] = array
    label, layers = family_label(cell.family), getattr(cell.family, "hidden_layers", None)
    return {
        (label, units, layers, seed): ReLUNetwork(
            tuple(Block(parts["weight"], parts["bias"]) for _, parts in sorted(blocks[number].items()))
        )
        for number, (units, seed) in enumerate(record.facts["networks"])
    }
