"""Cells about functions and tables: their training, their rows in the table, and how their networks are kept."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from expressivity.data.table import Table
from expressivity.relu.evaluate import evaluate
from expressivity.relu.network import Block, ReLUNetwork
from expressivity.sweeps import measure
from expressivity.sweeps.result import NetworkKey, family_label
from expressivity.sweeps.states import PartialState
from expressivity.sweeps.store import Record, Store
from expressivity.sweeps.sweep import Cell
from expressivity.training import TableTask, TargetTask, TrainingResult, train
from expressivity.training.loop import Net
from expressivity.training.states import OtherRun, Snapshot

# called with optimiser steps taken of how many, and the losses of the last one
Progress = Callable[[int, int, np.ndarray], None]


def train_cell(cell: Cell, progress: Progress, store: Store | None = None) -> Record:
    """Trains one cell, measures its networks, and describes it for the store.

    With a store, its states are written there, and a cell goes on from the state that an earlier process left, to the
    same networks, bit for bit. On a table every seed has rows of its own, so it is a job of its own; the state says
    which job is at work and holds the results of those before it.
    """
    state = PartialState(store, cell.label, cell.key)
    parts = state.go_on(lambda partial: _trained(cell, progress, state, partial))
    networks = {net: network for part in parts for net, network in part.networks.items()}
    status = {net: word for part in parts for net, word in part.status.items()}
    loss = {net: value for part in parts for net, value in part.loss.items()}

    begun = time.perf_counter()
    outputs = {net: functools.partial(evaluate, network) for net, network in networks.items()}
    sizes = {net: network.size for net, network in networks.items()}
    rows_found = list(rows(cell, outputs, sizes, status, loss))
    facts = {
        "settings": cell.settings,
        "rows": rows_found,
        "networks": [list(net) for net in networks],
        "compile_seconds": sum(part.compile_seconds for part in parts),
        "run_seconds": sum(part.run_seconds for part in parts),
        "measure_seconds": time.perf_counter() - begun,
    }
    return Record(facts, weights(networks))


def jobs_of(cell: Cell) -> list[tuple[Any, tuple[int, ...]]]:
    """What is trained at once: (task, seeds)."""
    task = cell.task
    if not isinstance(task, Table):
        return [(TargetTask(task), cell.seeds)]
    splits = [(task.split(seed), (seed,)) for seed in cell.seeds]
    return [(TableTask(rows.train_features, rows.train_values, task.name), seeds) for rows, seeds in splits]


def _trained(cell: Cell, progress: Progress, state: PartialState, partial: Record | None) -> list[TrainingResult]:
    """The results of all jobs of a cell, from its state on."""
    jobs = jobs_of(cell)
    parts, begin, resume = ([], 0, None) if partial is None else _unpacked(cell, jobs, partial)
    whole = len(jobs) * cell.recipe.steps
    for number in range(begin, len(jobs)):
        batches, seeds = jobs[number]

        def ticks(step: int, steps: int, losses: np.ndarray, done: int = number) -> None:
            progress(done * steps + step, whole, losses)

        def keep(snapshot: Callable[[], Snapshot]) -> None:
            state.keep(lambda: _packed(parts, snapshot(), cell.recipe.steps, whole))

        recipe = dataclasses.replace(cell.recipe, learning_rate=_rate(cell, seeds))
        parts.append(
            train(
                cell.family,
                cell.widths,
                batches,
                seeds,
                recipe,
                start=cell.starts,
                progress=ticks,
                resume=resume if number == begin else None,
                keep=keep,
                root=cell.root,
            )
        )
    return parts


def _packed(parts: list[TrainingResult], now: Snapshot, steps: int, whole: int) -> Record:
    """The state of a cell: the results of its finished jobs, and a snapshot of the job at work.

    Every job has so many steps, which are `whole` together.
    """
    finished, arrays = [], {f"now/{name}": array for name, array in now.arrays.items()}
    for job, part in enumerate(parts):
        nets = [[*net, word, part.loss[net], net in part.networks] for net, word in part.status.items()]
        finished.append({"nets": nets, "compile_seconds": part.compile_seconds, "run_seconds": part.run_seconds})
        arrays |= {f"job/{job}/{name}": array for name, array in weights(part.networks).items()}
    return Record({"step": len(parts) * steps + now.step, "steps": whole, "finished": finished}, arrays)


def _unpacked(
    cell: Cell, jobs: list[tuple[Any, tuple[int, ...]]], partial: Record
) -> tuple[list[TrainingResult], int, Snapshot]:
    """What `_packed` was made of, and the number of the job at work.

    Raises:
        OtherRun: If it is no state of this cell.
    """
    finished, step = partial.facts.get("finished"), partial.facts.get("step")
    if not isinstance(finished, list) or len(finished) >= len(jobs):
        raise OtherRun(f"It says that these jobs are finished: {finished!r}; the cell has {len(jobs)}.")
    if not isinstance(step, int):
        raise OtherRun(f"It says that it was taken at step {step!r}.")
    parts = []
    for job, one in enumerate(finished):
        expected = [[width, seed] for width in cell.widths for seed in jobs[job][1]]
        try:
            if [row[:2] for row in one["nets"]] != expected:
                raise OtherRun(f"The results of job {job} are of other widths or seeds than {expected}.")
            status = {(width, seed): word for width, seed, word, _, _ in one["nets"]}
            loss = {(width, seed): value for width, seed, _, value, _ in one["nets"]}
            order = [(width, seed) for width, seed, _, _, there in one["nets"] if there]
            arrays = {name.removeprefix(f"job/{job}/"): a for name, a in partial.arrays.items()}
            found = _blocks({k: array for k, array in arrays.items() if not k.startswith(("job/", "now/"))})
            networks = {net: found[number] for number, net in enumerate(order)}
            parts.append(TrainingResult(networks, status, loss, one["compile_seconds"], one["run_seconds"]))
        except (KeyError, TypeError) as error:
            raise OtherRun(f"The results of job {job} are not complete ({error!r}).") from None
    now = {name.removeprefix("now/"): array for name, array in partial.arrays.items() if name.startswith("now/")}
    return parts, len(parts), Snapshot(step - len(parts) * cell.recipe.steps, now)


def weights(networks: Mapping[Any, ReLUNetwork]) -> dict[str, np.ndarray]:
    """The weights of networks by name: number of the network, number of the block, kind."""
    return {
        f"{number}/{index}/{kind}": np.asarray(getattr(block, kind))
        for number, network in enumerate(networks.values())
        for index, block in enumerate(network.blocks)
        for kind in ("weight", "bias")
    }


def _blocks(arrays: Mapping[str, np.ndarray]) -> dict[int, ReLUNetwork]:
    """The networks that `weights` was made of, by number."""
    blocks: dict[int, dict[int, dict[str, np.ndarray]]] = {}
    for name, array in arrays.items():
        number, index, kind = name.split("/")
        blocks.setdefault(int(number), {}).setdefault(int(index), {})[kind] = array
    return {
        number: ReLUNetwork(tuple(Block(kinds["weight"], kinds["bias"]) for _, kinds in sorted(parts.items())))
        for number, parts in blocks.items()
    }


def _rate(cell: Cell, seeds: tuple[int, ...]) -> float | tuple[float, ...]:
    """The learning rates of some of the cell's seeds."""
    rate = cell.recipe.learning_rate
    return tuple(rate[cell.seeds.index(seed)] for seed in seeds) if isinstance(rate, tuple) else rate


def rows(
    cell: Cell,
    outputs: Mapping[Net, measure.Function],
    sizes: Mapping[Net, int],
    status: Mapping[Net, str],
    loss: Mapping[Net, float],
) -> Iterator[dict[str, Any]]:
    """The rows of a cell for the table.

    Args:
        cell: The cell.
        outputs: What each network computes, by (units, seed); those that diverged are not there.
        sizes: Their weights and biases.
        status: "ok" or "diverged".
        loss: Of training.
    """
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
            function = outputs.get((units, seed))
            if function is None:
                empty = {"error": float("nan"), "half_width": float("nan"), "fvu": float("nan"), "parameters": None}
                yield from ({**row, "norm": norm, **empty} for norm in norms)
                continue
            if isinstance(task, Table):
                found = measure.against_rows(function, task.split(seed))
            else:
                assert points is not None
                found = measure.against_target(function, task, points)
            yield from ({**row, **one, "parameters": sizes[units, seed]} for one in found)


def networks(cell: Cell, record: Record) -> dict[NetworkKey, Any]:
    """The networks of a finished cell."""
    found = _blocks(record.arrays)
    label, layers = family_label(cell.family), getattr(cell.family, "hidden_layers", None)
    return {
        (label, units, layers, seed): found[number] for number, (units, seed) in enumerate(record.facts["networks"])
    }
