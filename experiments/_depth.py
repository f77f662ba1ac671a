"""What the experiments on depth share: kept cells, bounded students, and the folder of a finished run."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from experiments import _run

_POINTS = 1 << 17  # points that are drawn at once


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

        def make() -> Record:
            begun = time.perf_counter()
            rows = compute()
            facts = {"rows": rows, "columns": list(rows[0]), "settings": text}
            made = Record({**facts, "seconds": time.perf_counter() - begun}, {})
            self.store.write(label, key, made)
            return made

        found = self.store.once(f"{label}-{key}", lambda: self.store.read(label, key), make)
        self.timings.append({"cell": f"{label}-{key}", "settings": text, "seconds": round(found.facts["seconds"], 3)})
        return [{column: row[column] for column in found.facts["columns"]} for row in found.facts["rows"]]


@dataclasses.dataclass(frozen=True)
class Students:
    """How bounded students are trained.

    Args:
        steps, batch: Adam steps and points a step.
        learning_rate: At the start; it falls linearly to 0.
        evaluation: Least number of points of the measurement.
        seeds: Networks of every width.
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
        draw: Maps a key and a count to points (count, dim) and weights (count,) of mean 1 in expectation. The same
            object in two calls is compiled once.
        function: f at points (count, dim).
        scale: Typical size of a coordinate; inputs are divided by it.
        students: The recipe.
    """
    import jax
    import jax.numpy as jnp
    import optax

    sizes = [dim, *widths]
    rule = optax.adam(optax.linear_schedule(students.learning_rate, 0.0, students.steps))
    # Points are drawn for many steps at once by one compiled function: compiling a sampler costs more than using it.
    # Steps beyond the last one have learning rate 0.
    blocks = math.ceil(students.steps * students.batch / _POINTS)
    block = math.ceil(students.steps / blocks)
    points = jax.jit(draw, static_argnums=1)

    def initial(seed: int) -> Any:
        rng = np.random.default_rng([0, seed])
        layers = [
            (rng.standard_normal((fan_out, fan_in)) * (2 / fan_in) ** 0.5, rng.standard_normal(fan_out))
            for fan_in, fan_out in pairwise(sizes)
        ]
        parameters = [*layers, (rng.standard_normal(sizes[-1]) * sizes[-1] ** -0.5, np.zeros(()))]
        return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), parameters)

    def loss(parameters: Any, x: Any, weight: Any) -> Any:
        return jnp.mean(weight * (forward(parameters, x / scale) - function(x)) ** 2)

    def batches(key: Any) -> Any:
        x, weight = points(key, block * students.batch)
        return x.reshape(block, students.batch, dim), weight.reshape(block, students.batch)

    @jax.jit
    def advance(state: Any, data: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            parameters, moments = state
            change, moments = rule.update(jax.grad(loss)(parameters, *batch), moments)
            return (optax.apply_updates(parameters, change), moments), None

        return jax.lax.scan(step, state, data)[0]

    @jax.jit
    def measure(parameters: Any, data: Any) -> Any:
        return jnp.mean(jax.lax.map(lambda batch: loss(parameters, *batch), data))

    def run(seed: int) -> float:
        key, parameters = jax.random.fold_in(jax.random.key(0), seed), initial(seed)
        state = parameters, rule.init(parameters)
        for number in range(blocks):
            state = advance(state, batches(jax.random.fold_in(key, number)))
        parts = math.ceil(students.evaluation / (block * students.batch))
        fresh = [batches(jax.random.fold_in(key, blocks + number)) for number in range(parts)]
        return float(np.mean([measure(state[0], data) for data in fresh]))

    return np.array([run(seed) for seed in range(students.seeds)])


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
    text = page(title, claim, holds, checks, picture, figure_text, dict(tables), config, environment=environment)
    _run.write_page(store.folder / "report.html", text)
    for sentence, held in checks:
        print(f"  {'holds' if held else 'FAILS'}: {sentence}")
    print(f"The claim {'holds' if holds else 'FAILS'}. Figure and tables are in {options.out}.")
    return _run.HELD if holds else _run.FAILED
