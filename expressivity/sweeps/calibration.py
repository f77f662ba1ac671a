"""Which way of batching is faster here: measured for a few steps, remembered in the folder of the run."""

import dataclasses
import json
from typing import Any

import numpy as np

from expressivity.sweeps.store import Store, digest, write_atomically
from expressivity.sweeps.sweep import Cell, Sweep
from expressivity.training import ImageTask, Recipe, TargetTask, train
from expressivity.training.images import train_images

FILE = "calibration.json"
STEPS = 8  # of a timed call for images
LANES = 2


def choose(sweep: Sweep, store: Store) -> Sweep:
    """The sweep with "measure" replaced by what is faster here: `packed` for MLPs, `batching` for images.

    A choice is made once for a folder and a platform and kept in `calibration.json`, so that a run that goes on, or
    that another machine goes on with, batches as it began: the ways agree to rounding only. Whatever is given
    explicitly is taken as it is.

    >>> import expressivity as ex, tempfile
    >>> target, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(10, 8, 0.01)
    >>> sweep = Sweep(ex.MLP(2), ["n", "2n"], target, 2, recipe, packed=True)
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
    ...     choose(sweep, store).packed
    True
    """
    if isinstance(sweep.task, ImageTask):
        if sweep.batching != "measure":
            return sweep
        cell = max((cell for cell in sweep.cells()), key=lambda cell: max(cell.widths))
        facts = _remembered(store, "batching", sweep, lambda: _measure_images(cell))
        return dataclasses.replace(sweep, batching=facts["choice"])
    if sweep.packed != "measure":
        return sweep
    facts = _remembered(store, "packed", sweep, lambda: _measure_packing(sweep))
    return dataclasses.replace(sweep, packed=facts["choice"] == "packed")


def _remembered(store: Store, question: str, sweep: Sweep, measure: Any) -> dict[str, Any]:
    import jax

    address = digest(
        {
            "question": question,
            "families": [repr(family) for family in sweep.family],
            "widths": [str(width) for width in sweep.widths],
            "task": sweep.task.fingerprint,
            "seeds": len(sweep.seeds),
            "recipe": sweep.recipe.fingerprint,
            "platform": jax.default_backend(),
        }
    )
    path = store.folder / FILE

    def known() -> dict[str, Any]:
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def found() -> dict[str, Any] | None:
        facts = known().get(address)
        good = isinstance(facts, dict) and facts.get("question") == question and "choice" in facts
        return facts if good else None

    def make() -> dict[str, Any]:
        facts = {"question": question, **measure()}
        write_atomically(path, (json.dumps(known() | {address: facts}, indent=2, sort_keys=True) + "\n").encode())
        return facts

    return store.once("calibration", found, make)


def _measure_images(cell: Cell) -> dict[str, Any]:
    """Seconds a step of all seeds, one after the other and side by side, at the widest width."""
    seconds = {}
    for batching in ("loop", "vmap"):
        recipe = dataclasses.replace(cell.recipe, steps=STEPS, learning_rate=_one(cell.recipe))
        times = []
        for _ in range(2):  # the first call compiles
            found = train_images(cell.family, cell.width or 1, cell.task, cell.seeds, recipe, batching=batching)
            times.append(found.run_seconds / STEPS)
        seconds[batching] = times[-1]
    return {"choice": min(seconds, key=lambda name: seconds[name]), "seconds_a_step": seconds}


def _measure_packing(sweep: Sweep) -> dict[str, Any]:
    """Compilation and steps of one program for all widths against one a width, by a straight line through two widths.

    The packed program costs one compilation and the steps of the widest network for each width; apart, each width costs
    a compilation and its own steps.
    """
    family = max(sweep.family, key=lambda one: one.hidden_layers)
    given: Any = sweep.task
    widths = sorted({width(given.dim) for width in sweep.widths})
    if len(widths) == 1 or sweep.starts is not None:
        return {"choice": "apart", "seconds": {}}
    task = TargetTask(given) if hasattr(given, "measure") else _rows(sweep)
    steps, seeds = sweep.recipe.steps, len(sweep.seeds)
    compiling, stepping = {}, {}
    for width in (widths[0], widths[-1]):
        recipe = dataclasses.replace(sweep.recipe, steps=256, learning_rate=_one(sweep.recipe))
        first = train(family, (width,), task, sweep.seeds[:1], recipe)
        second = train(family, (width,), task, sweep.seeds[:1], recipe)
        compiling[width] = max(first.compile_seconds, first.run_seconds + first.compile_seconds - second.run_seconds)
        stepping[width] = second.run_seconds / 256 / LANES
    each = np.interp(widths, list(stepping), list(stepping.values()))
    compile_each = np.interp(widths, list(compiling), list(compiling.values()))
    packed = compiling[widths[-1]] + len(widths) * seeds * steps * stepping[widths[-1]]
    apart = float(compile_each.sum() + seeds * steps * each.sum())
    return {"choice": "packed" if packed < apart else "apart", "seconds": {"packed": packed, "apart": apart}}


def _rows(sweep: Sweep) -> Any:
    from expressivity.training import TableTask

    rows = sweep.task.split(sweep.seeds[0])  # pyright: ignore[reportAttributeAccessIssue]
    return TableTask(rows.train_features, rows.train_values, sweep.task.name)


def _one(recipe: Recipe) -> float:
    rate = recipe.learning_rate
    return rate[0] if isinstance(rate, tuple) else rate
