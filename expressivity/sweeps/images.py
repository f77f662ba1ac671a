"""Cells about images: their training with states to resume from, their rows, and how their networks are kept."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from expressivity.models.accounting import parameters
from expressivity.sweeps.result import NetworkKey, family_label
from expressivity.sweeps.states import PartialState
from expressivity.sweeps.store import Record, Store
from expressivity.sweeps.sweep import Cell
from expressivity.training.images import ImageTrainingResult, cross_entropies, train_images
from expressivity.training.states import OtherRun, Snapshot

TOP = 5


def train_cell(cell: Cell, progress: Callable[[int, int, np.ndarray], None], store: Store) -> Record:
    """Trains one cell, from where an earlier process was killed if there is a state, and describes it for the store."""
    assert cell.width is not None
    state = PartialState(store, cell.label, cell.key)

    def keep(snapshot: Callable[[], Snapshot]) -> None:
        def record() -> Record:
            now = snapshot()
            return Record({"step": now.step, "steps": cell.recipe.steps, "curve": now.curve}, now.arrays)

        state.keep(record)

    def work(partial: Record | None) -> ImageTrainingResult:
        return train_images(
            cell.family,
            cell.width or 1,
            cell.task,
            cell.seeds,
            cell.recipe,
            evaluations=cell.evaluations,
            batching=cell.batching,
            progress=progress,
            resume=None if partial is None else _snapshot(partial),
            keep=keep,
            root=cell.root,
        )

    result = state.go_on(work)
    begun = time.perf_counter()
    place = {"family": family_label(cell.family), "task": cell.task.name}
    ((units, rule),) = cell.rules.items()
    facts = {
        "settings": cell.settings,
        "rows": list(_rows(cell, result)),
        "curve": [{**place, "width_rule": rule, "width": units, **row} for row in result.curve],
        "networks": list(result.networks),
        "batching": result.batching,
        "driver": result.driver,
        "compile_seconds": result.compile_seconds,
        "run_seconds": result.run_seconds,
        "measure_seconds": time.perf_counter() - begun,
    }
    arrays = {
        f"{seed}/{number}": np.asarray(leaf)
        for seed, network in result.networks.items()
        for number, leaf in enumerate(jax.tree.leaves(network))
    }
    return Record(json.loads(json.dumps(facts)), arrays)


def _snapshot(partial: Record) -> Snapshot:
    curve = partial.facts.get("curve")
    if not isinstance(curve, list):
        raise OtherRun(f"It holds no curve but {curve!r}.")
    return Snapshot(partial.facts.get("step", -1), partial.arrays, curve)


def networks(cell: Cell, record: Record) -> dict[NetworkKey, Any]:
    """The (model, state) of every seed of a finished cell."""
    empty = jax.eval_shape(lambda: cell.family.init(jax.random.key(0), cell.width, cell.task.input_size))
    leaves, tree = jax.tree.flatten(empty)
    (units,) = cell.rules
    return {
        (family_label(cell.family), units, None, seed): tree.unflatten(
            [record.arrays[f"{seed}/{number}"] for number in range(len(leaves))]
        )
        for seed in record.facts["networks"]
    }


def _rows(cell: Cell, result: ImageTrainingResult) -> Iterator[dict[str, Any]]:
    assert cell.width is not None
    ((units, rule),) = cell.rules.items()
    inner = getattr(cell.family, "family", cell.family)
    count = parameters(inner, cell.width, cell.task.input_size)
    if inner is not cell.family:  # batch norms of further widths
        count += cell.family.parameters - parameters(inner, cell.width)
    for seed in cell.seeds:
        row = {
            "family": family_label(cell.family),
            "task": cell.task.name,
            "base": None,
            "width_rule": rule,
            "width": units,
            "hidden_layers": None,
            "seed": seed,
            "origin": cell.origin,
            "steps": cell.recipe.steps,
            "status": result.status[seed],
            "fvu": float("nan"),
            "loss": result.loss[seed],
            "parameters": count,
        }
        found = measured(result.logits[seed], cell.task.test.labels) if seed in result.logits else None
        for norm in norms_of(cell.task.classes):
            error, half_width = (float("nan"),) * 2 if found is None else found[norm]
            yield {**row, "norm": norm, "error": error, "half_width": half_width}


def norms_of(classes: int) -> tuple[str, ...]:
    """What is measured on images of so many classes."""
    return ("top-1", "top-5", "cross-entropy") if classes > TOP else ("top-1", "cross-entropy")


def measured(logits: np.ndarray, labels: np.ndarray) -> dict[str, tuple[float, float]]:
    """(value, half-width) of every norm: the half-width contains the interval of 95 % for further images.

    For the parts of images told wrong that is the exact binomial interval (`clopper1934`), for the cross-entropy the
    normal one. An image whose right class shares the last place among the best five counts as wrong there.

    >>> found = measured(np.eye(3), np.array([0, 1, 0]))
    >>> round(found["top-1"][0], 4), round(found["top-1"][1], 4)
    (0.3333, 0.5724)
    """
    count = len(labels)
    own = logits[np.arange(count), labels]
    above = (logits >= own[:, None]).sum(1)  # itself included
    found = {"top-1": _binomial(int((logits.argmax(1) != labels).sum()), count)}
    if logits.shape[1] > TOP:
        found["top-5"] = _binomial(int((above > TOP).sum()), count)
    losses = cross_entropies(logits, labels)
    spread = float(losses.std(ddof=1)) if count > 1 else float("inf")
    return found | {"cross-entropy": (float(losses.mean()), 1.959963984540054 * spread / count**0.5)}


def _binomial(wrong: int, count: int) -> tuple[float, float]:
    low, high = binomial_interval(wrong, count)
    value = wrong / count
    return value, max(value - low, high - value)


def binomial_interval(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval for a probability (`clopper1934`).

    >>> [round(end, 4) for end in binomial_interval(0, 100)], [round(end, 4) for end in binomial_interval(94, 100)]
    ([0.0, 0.0362], [0.874, 0.9777])
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, count - successes + 1))
    high = 1.0 if successes == count else float(beta.ppf(1 - tail, successes + 1, count - successes))
    return low, high
