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
from expressivity.training.batches import minibatches, sampler
from expressivity.training.devices import chosen, is_default, shared, shares
from expressivity.training.groups import LOSS_STEPS as LOSS_STEPS
from expressivity.training.groups import Groups, in_precision, nets_a_program
from expressivity.training.recipes import Recipe
from expressivity.training.states import Snapshot
from expressivity.training.task import as_task

CHUNK = 256  # steps a call; the minibatches of so many steps are in memory at once
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
    resume: Snapshot | None = None,
    keep: Callable[[Callable[[], Snapshot]], None] | None = None,
    devices: Any = None,
    root: int = 0,
) -> TrainingResult:
    r"""Trains one network for every width and every seed, all on the same minibatches, by the mean squared error.

    The network of seed s and width w starts as `family.init(fold_in(key(root), s), w)`; step t reads the minibatch of
    `(root, t)`. On CPU the result of a seed does not depend on which other seeds are trained with it, bit for bit, and
    a run that goes on from a snapshot is the same run, bit for bit. Several widths are one program: narrow networks are
    padded by zeros to the widest, which they stay, exactly, since a padded unit outputs 0 and receives gradient 0; the
    results agree with those of the width alone to rounding. It saves compilations and costs the time of the widest net
    for each; [`programs`](#expressivity.training.programs) groups widths well. The precision is the one JAX is set to.

    Args:
        family: The networks.
        widths: Numbers of units.
        task: A `Target`, which is trained on fresh points at every step, or a task.
        seeds: Whole numbers.
        recipe: Steps, batch size, learning rate (one, or one a seed), optimiser and schedule.
        start: Networks to start from, by (width, seed), instead of fresh ones; narrower and shallower ones are padded.
        driver: "scan" takes many steps in one call, "step" one in each, with the same program and the same numbers;
            "auto" is "scan".
        progress: Called with (steps done, steps, losses of the last step) after each chunk of steps; the losses are in
            the order (width, seed) of the product.
        resume: A snapshot to go on from.
        keep: Called after each chunk of steps with a function that makes a snapshot.
        devices: The devices of this process that train, each its own nets: a number, a sequence of JAX devices, or None
            for all. On CPU several are used once there are more nets than one program holds, and the result does not
            depend on how many: bit for bit with every named optimiser that treats each weight by itself (Adam and 18
            more were compared), to rounding with others, whose sums over weights the compiler may fuse otherwise.
        root: Randomness of the whole run.

    Raises:
        TypeError: If the family is no MLP, or an argument is not of its type.
        ValueError: If shapes do not fit, a width or seed is given twice, devices are not there, the optimiser does not
            leave padded weights at zero, or a snapshot is of another run.

    >>> import expressivity as ex
    >>> from expressivity import training
    >>> target, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(20, 64, 1e-2)
    >>> result = training.train(ex.MLP(2), (3, 4), target, seeds=(0, 1), recipe=recipe)
    >>> result.networks[4, 1].width, result.status[4, 1]
    (4, 'ok')
    """
    begun = time.perf_counter()
    if not isinstance(family, MLP):
        raise TypeError(f"This loop trains an expressivity.MLP; got {family!r}.")
    widths, seeds, task = whole_numbers("width", widths, 1), whole_numbers("seed", seeds, 0), as_task(task)
    if (family.input_dim, family.output_dim) != (task.input_dim, task.output_dim):
        raise ValueError(
            f"The networks map {family.input_dim} numbers to {family.output_dim}, task {task.name!r} maps "
            f"{task.input_dim} to {task.output_dim}."
        )
    if driver not in ("auto", "scan", "step"):
        raise ValueError(f'A driver is "auto", "scan" or "step", not {driver!r}.')
    nets = [(width, seed) for width in widths for seed in seeds]
    for field, only in (("initialisation", "original"), ("parametrisation", None), ("precision", "float32")):
        if getattr(recipe, field) != only:
            raise ValueError(f"For an MLP the {field} of a Recipe is {only!r}, not {getattr(recipe, field)!r}.")
    for net in start or {}:
        if net not in nets:
            raise ValueError(f"There is a warm start for (width, seed) = {net}, which is not trained.")
    key = jax.random.key(root)
    networks = [_start(family, net, key, start or {}) for net in nets]

    there = chosen(devices)
    cpu = there[0].platform == "cpu"
    each, used = shares(len(nets), there, nets_a_program(max(widths), recipe.batch_size) if cpu else None)
    used, source = ((), None) if is_default(used) else (used, used[0])
    lanes = min(2, os.cpu_count() or 1) if cpu and len(used) < 2 else 1
    shape = program.Shape(
        inputs=family.input_dim,
        outputs=family.output_dim,
        width=max(widths),
        hidden_layers=family.hidden_layers,
        nets=each,
        batch=recipe.batch_size,
        chunk=CHUNK,
        optimiser=recipe.optimiser,
        decays=decays(recipe),
        double=jax.numpy.result_type(float) == np.float64,
    )
    compiled, compile_seconds = program.compiled(shape, used)
    compile_seconds += sampler(task, recipe.batch_size, CHUNK, source)[1]
    rates = np.tile(recipe.rates(len(seeds)), len(widths))
    run = Groups(shape, compiled, networks, rates, recipe.weight_decay)
    if resume is not None:
        run.restore(resume, recipe.steps)
    factors, begin = recipe.factors(), run.step
    with concurrent.futures.ThreadPoolExecutor(lanes + 1) as pool:

        def made(first: int) -> Any:
            needed = min(CHUNK, recipe.steps - first)
            found = minibatches(task, root, first, recipe.batch_size, CHUNK, needed, source)
            return shared(found, compiled.whole)

        def batches(first: int) -> concurrent.futures.Future[Any]:
            return pool.submit(in_precision, shape.double, made, first)

        coming = batches(begin) if begin < recipe.steps else None
        for first in range(begin, recipe.steps, CHUNK):
            assert coming is not None
            (x, y), count = coming.result(), min(CHUNK, recipe.steps - first)
            if first + CHUNK < recipe.steps:
                coming = batches(first + CHUNK)
            factor = np.zeros(CHUNK)
            factor[:count] = factors[first : first + count]
            calls = [(i, 1) for i in range(count)] if driver == "step" else [(0, count)]
            losses = run.advance(pool, lanes, x, y, factor, calls)
            if (first == begin or run.step == recipe.steps) and len(widths) > 1:
                run.check_padding([width for width, _ in nets])
            if progress is not None:
                progress(run.step, recipe.steps, losses[-1])
            if keep is not None:
                keep(run.snapshot)

    found: dict[Net, ReLUNetwork] = {}
    status, loss = {}, {}
    for group in run.groups:
        final, finite_rows = jax.tree.map(np.asarray, group.parameters), group.finite()
        for row, i in enumerate(group.rows):
            finite = bool(run.healthy[i] and finite_rows[row])
            status[nets[i]] = "ok" if finite else "diverged"
            loss[nets[i]] = float(run.history[:, i].mean()) if finite else math.nan
            if finite:
                found[nets[i]] = ensemble.unpack(final, row, nets[i][0])
    return TrainingResult(found, status, loss, compile_seconds, time.perf_counter() - begun - compile_seconds)


def decays(recipe: Recipe) -> tuple[bool, bool]:
    """Whether weights, and biases, take part in weight decay."""
    return recipe.weight_decay > 0, recipe.weight_decay > 0 and recipe.decay in ("all", "caffe")


def programs(widths: Sequence[int]) -> list[tuple[int, ...]]:
    """The widths in groups that are worth one program each: those up to 4 units, up to 8, up to 16, and so on.

    Below 8 units the time of a step hardly depends on the width, and every program costs a compilation.

    >>> programs((1, 2, 3, 5, 6, 12))
    [(1, 2, 3), (5, 6), (12,)]
    """
    groups: dict[int, list[int]] = {}
    for width in sorted(set(whole_numbers("width", widths, 1))):
        groups.setdefault(max(4, 2 ** (width - 1).bit_length()), []).append(width)
    return [tuple(group) for group in groups.values()]


def whole_numbers(what: str, numbers: Sequence[int], least: int) -> tuple[int, ...]:
    """The numbers as ints.

    Raises:
        TypeError: If they are no sequence of whole numbers, or none.
        ValueError: If one is below `least` or given twice.

    >>> whole_numbers("seed", range(3), 0)
    (0, 1, 2)
    """
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
