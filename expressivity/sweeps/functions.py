"""Cells about functions and tables: their training, their rows in the table, and how their networks are kept."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from expressivity.data.table import Table
from expressivity.relu.network import Block, ReLUNetwork
from expressivity.sweeps import measure
from expressivity.sweeps.result import NetworkKey, family_label
from expressivity.sweeps.store import Record
from expressivity.sweeps.sweep import Cell
from expressivity.training import TableTask, TargetTask, train

# called with optimiser steps taken of how many, and the losses of the last one
Progress = Callable[[int, int, np.ndarray], None]


def train_cell(cell: Cell, progress: Progress) -> Record:
    """Trains one cell, measures its networks, and describes it for the store."""
    task, jobs = cell.task, []
    if isinstance(task, Table):
        for seed in cell.seeds:
            rows = task.split(seed)
            jobs.append((TableTask(rows.train_features, rows.train_values, task.name), (seed,)))
    else:
        jobs.append((TargetTask(task), cell.seeds))
    parts = []
    for number, (batches, seeds) in enumerate(jobs):
        whole = len(jobs) * cell.recipe.steps

        def ticks(step: int, steps: int, losses: np.ndarray, done: int = number, whole: int = whole) -> None:
            progress(done * steps + step, whole, losses)

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


def networks(cell: Cell, record: Record) -> dict[NetworkKey, Any]:
    """The networks of a finished cell."""
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
