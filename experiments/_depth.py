"""What the experiments on depth share: kept cells, bounded students, and the folder of a finished run."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from experiments import _run


class Cells:
    """Rows that are computed once and kept in the folder of a run.

    Args:
        store: An open `expressivity.sweeps.Store`.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.timings: list[dict[str, Any]] = []

    def rows(self, label: str, settings: Mapping[str, Any], compute: Callable[[], list[dict[str, Any]]]) -> list:
        """The rows at this address; computed and committed if they are not there."""
        from expressivity.sweeps.store import Record

        text = json.dumps({"label": label, **settings}, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        found = self.store.read(label, key)
        if found is None:
            begun = time.perf_counter()
            rows = compute()
            facts = {"rows": rows, "columns": list(rows[0]), "settings": text}
            found = Record({**facts, "seconds": time.perf_counter() - begun}, {})
            self.store.write(label, key, found)
        self.timings.append({"cell": f"{label}-{key}", "settings": text, "seconds": round(found.facts["seconds"], 3)})
        return [{column: row[column] for column in found.facts["columns"]} for row in found.facts["rows"]]


@dataclasses.dataclass(frozen=True)
class Students:
    """How bounded students are trained.

    Args:
        steps, batch: Adam steps and points a step.
        learning_rate: At the start; it falls linearly to 0.
        evaluation: Points of the measurement.
        seeds: Networks of every width, trained side by side.
    """

    steps: int = 3000
    batch: int = 512
    learning_rate: float = 1e-2
    evaluation: int = 100_000
    seeds: int = 4


def forward(parameters: Any, x: Any) -> Any:
    """A student: hidden layers of ReLU but the last, whose units are clipped to [0, 1], so that it is bounded.

    A clipped unit is a difference of two ReLUs in one direction.
    """
    import jax.numpy as jnp

    *hidden, (w, b), (v, c) = parameters
    for weight, bias in hidden:
        x = jnp.maximum(x @ weight.T + bias[None], 0.0)
    return jnp.clip(x @ w.T + b[None], 0.0, 1.0) @ v + c


def train(
    dim: int,
    widths: Sequence[int],
    draw: Callable[[Any, int], tuple[Any, Any]],
    function: Callable[[Any], Any],
    scale: float,
    students: Students,
) -> np.ndarray:
    r"""Squared errors $\sum w\,(F - f)^2$ of trained students, one a seed, measured on fresh points.

    Args:
        dim: Inputs.
        widths: Units of the hidden layers.
        draw: Maps a key and a count to points (count, dim) and weights (count,) of mean 1 in expectation.
        function: f at points (count, dim).
        scale: Typical size of a coordinate; inputs are divided by it.
        students: The recipe.
    """
    import jax
    import jax.numpy as jnp
    import optax

    sizes = [dim, *widths]
    rule = optax.adam(optax.linear_schedule(students.learning_rate, 0.0, students.steps))

    def initial(key: Any) -> Any:
        layers = []
        for fan_in, fan_out in pairwise(sizes):
            key, first, second = jax.random.split(key, 3)
            weight = jax.random.normal(first, (fan_out, fan_in)) * (2 / fan_in) ** 0.5
            layers.append((weight, jax.random.normal(second, (fan_out,))))
        return [*layers, (jax.random.normal(key, (sizes[-1],)) * sizes[-1] ** -0.5, jnp.zeros(()))]

    def loss(parameters: Any, key: Any, count: int) -> Any:
        x, weight = draw(key, count)
        return jnp.mean(weight * (forward(parameters, x / scale) - function(x)) ** 2)

    @jax.jit
    def run(key: Any) -> Any:
        parameters = initial(jax.random.fold_in(key, 0))

        def step(state: Any, number: Any) -> Any:
            parameters, moments = state
            gradient = jax.grad(loss)(parameters, jax.random.fold_in(key, number + 1), students.batch)
            change, moments = rule.update(gradient, moments)
            return (optax.apply_updates(parameters, change), moments), None

        (parameters, _), _ = jax.lax.scan(step, (parameters, rule.init(parameters)), jnp.arange(students.steps))
        parts = 20
        keys = jax.random.split(jax.random.fold_in(key, students.steps + 1), parts)
        return jnp.mean(jax.lax.map(lambda k: loss(parameters, k, students.evaluation // parts), keys))

    keys = [jax.random.fold_in(jax.random.key(0), seed) for seed in range(students.seeds)]
    return np.array([float(run(key)) for key in keys])


def finish(
    cells: Cells,
    options: Any,
    settings: Any,
    title: str,
    claim: str,
    checks: Sequence[tuple[str, bool]],
    tables: Mapping[str, Any],
    figure: Any,
    figure_text: str,
    begun: float,
) -> int:
    """Writes tables, figure, settings, environment and report, prints the verdict, and returns the exit status."""
    import pandas as pd

    from expressivity.report import page
    from expressivity.sweeps.store import write_atomically

    store = cells.store
    _run.write_frame(store.folder / "timings.csv", pd.DataFrame(cells.timings))
    config = {"preset": options.preset, **_run.settings(settings)}
    _run.write_json(store.folder / "config.json", config)
    for name, table in tables.items():
        _run.write_frame(store.folder / f"{name}.csv", table)
    picture = _run.save_figure(figure, store.folder / "figure")
    environment = _run.environment(wall_seconds=round(time.perf_counter() - begun, 2))
    _run.write_json(store.folder / "environment.json", environment)
    holds = all(held for _, held in checks)
    text = page(title, claim, holds, checks, picture, figure_text, dict(tables), {**config, **environment})
    write_atomically(store.folder / "report.html", text.encode())
    for sentence, held in checks:
        print(f"  {'holds' if held else 'FAILS'}: {sentence}")
    print(f"The claim {'holds' if holds else 'FAILS'}. Figure and tables are in {options.out}.")
    return _run.HELD if holds else _run.FAILED
