"""Training: all seeds of a width, or of several widths, in one program."""

import concurrent.futures
import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from expressivity.models.mlp import MLP
from expressivity.relu.calculus import pad_depth, pad_width
from expressivity.relu.network import ReLUNetwork
from expressivity.training import ensemble, program
from expressivity.training.recipes import Recipe
from expressivity.training.task import as_task

NETS_A_PROGRAM = 16  # on CPU; more nets leave its cache
CHUNK = 128  # steps a call; the minibatches of so many steps are in memory at once
LOSS_STEPS = 100  # the loss reported is the mean over so many last steps

Net = tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training gave, by (width, seed).

    Args:
        networks: The trained networks that are finite ("ok"), each of its own width, weights in NumPy.
        status: "ok", or "diverged" where a loss or a weight became NaN or infinite.
        loss: The mean of the squared error over the last minibatches (100, or all steps if there are fewer).
        compile_seconds: Time spent in compiling programs; 0 where they were there.
        run_seconds: The rest of the time.
    """

    networks: dict[Net, ReLUNetwork]
    status: dict[Net, str]
    loss: dict[Net, float]
    compile_seconds: float
    run_seconds: float


def train(
    family: MLP,
    widths: Sequence[int],
    task: Any,
    seeds: Sequence[int],
    recipe: Recipe,
    *,
    start: Mapping[Net, ReLUNetwork] | None = None,
    driver: str = "auto",
    progress: Callable[[int, int, np.ndarray], None] | None = None,
    root: int = 0,
) -> TrainingResult:
    """Trains a network of the family for every width and every seed, on the same minibatches."""
    widths, seeds = _whole("width", widths, 1), _whole("seed", seeds, 0)
    task = as_task(task)
    if (family.input_dim, family.output_dim) != (task.input_dim, task.output_dim):
        raise ValueError(
            f"The networks map {family.input_dim} numbers to {family.output_dim}, task {task.name!r} maps "
            f"{task.input_dim} to {task.output_dim}."
        )
    if driver not in ("auto", "scan", "step"):
        raise ValueError(f'A driver is "auto", "scan" or "step", not {driver!r}.')
    begun = time.perf_counter()
    key = jax.random.key(root)
    nets = [(width, seed) for width in widths for seed in seeds]
    rates = np.tile(recipe.rates(len(seeds)), len(widths))
    double = bool(jax.config.jax_enable_x64)
    dtype = np.float64 if double else np.float32
    begin = [_start(family, net, key, start or {}) for net in nets]

    cpu = jax.default_backend() == "cpu"
    lanes = min(2, os.cpu_count() or 1) if cpu else 1
    size = max(2, min(NETS_A_PROGRAM, math.ceil(len(nets) / lanes))) if cpu else len(nets)
    groups = [range(first, min(first + size, len(nets))) for first in range(0, len(nets), size)]
    shape = program.Shape(
        inputs=family.input_dim,
        outputs=family.output_dim,
        width=max(widths),
        hidden_layers=family.hidden_layers,
        nets=size,
        batch=recipe.batch_size,
        chunk=CHUNK,
        optimiser=recipe.optimiser,
        double=double,
    )
    compiled, compile_seconds = program.compiled(shape)
    parameters, states, group_rates = [], [], []
    for group in groups:
        rows = [*group, *[group[0]] * (size - len(group))]
        packed = jax.tree.map(jax.numpy.asarray, ensemble.pack([begin[i] for i in rows], shape.width, dtype))
        parameters.append(packed)
        states.append(compiled.start(packed))
        group_rates.append(rates[rows])
    factors = recipe.factors()
    history = np.zeros((0, len(nets)))
    healthy = np.ones(len(nets), dtype=bool)
    batch_key = jax.random.fold_in(key, 2**32 - 1)

    def advance(number: int, x: Any, y: Any, rate: Any, count: int) -> np.ndarray:
        calls = [(0, count)] if driver != "step" else [(i, 1) for i in range(count)]
        result = np.zeros((count, size))
        with jax.enable_x64(double):
            for first, steps in calls:
                out = compiled.run(parameters[number], states[number], x, y, rate, np.int32(first), np.int32(steps))
                parameters[number], states[number] = out[0], out[1]
                result[first : first + steps] = np.asarray(out[2])[first : first + steps]
        return result

    with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
        for first in range(0, recipe.steps, CHUNK):
            count = min(CHUNK, recipe.steps - first)
            x, y = program.sample(task, batch_key, first, recipe.batch_size, CHUNK)
            factor = np.zeros(CHUNK)
            factor[:count] = factors[first : first + count]
            futures = [
                pool.submit(advance, i, x, y, np.asarray(factor[:, None] * group_rates[i], dtype), count)
                for i in range(len(groups))
            ]
            found = [f.result()[:, : len(g)] for f, g in zip(futures, groups, strict=True)]
            losses = np.concatenate(found, axis=1)
            healthy &= np.isfinite(losses).all(0)
            history = np.concatenate([history, losses])[-LOSS_STEPS:]
            if progress is not None:
                progress(first + count, recipe.steps, losses[-1])

    networks, status, loss = {}, {}, {}
    for group, final in zip(groups, parameters, strict=True):
        final = jax.tree.map(np.asarray, final)
        for row, i in enumerate(group):
            finite = healthy[i] and all(np.isfinite(leaf[row]).all() for leaf in jax.tree.leaves(final))
            status[nets[i]] = "ok" if finite else "diverged"
            loss[nets[i]] = float(history[:, i].mean()) if finite else math.nan
            if finite:
                networks[nets[i]] = ensemble.unpack(final, row, nets[i][0])
    seconds = time.perf_counter() - begun
    return TrainingResult(networks, status, loss, compile_seconds, seconds - compile_seconds)


def _whole(what: str, numbers: Sequence[int], least: int) -> tuple[int, ...]:
    if isinstance(numbers, int | str) or not len(numbers):
        raise TypeError(f"Training needs a sequence of {what}s; got {numbers!r}.")
    for number in numbers:
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise TypeError(f"A {what} is a whole number, not {number!r}.")
        if number < least:
            raise ValueError(f"A {what} is at least {least}, not {number}.")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"Every {what} is given once; got {tuple(numbers)}.")
    return tuple(int(number) for number in numbers)


def _start(family: MLP, net: Net, key: Any, start: Mapping[Net, ReLUNetwork]) -> ReLUNetwork:
    width, seed = net
    if net not in start:
        return family.init(jax.random.fold_in(key, seed), width)[0]
    given = start[net]
    if (given.input_dim, given.output_dim) != (family.input_dim, family.output_dim):
        raise ValueError(
            f"The warm start of width {width} and seed {seed} maps {given.input_dim} numbers to {given.output_dim}; "
            f"the family maps {family.input_dim} to {family.output_dim}."
        )
    return pad_width(pad_depth(given, family.hidden_layers + 1), width)
