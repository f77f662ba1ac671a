"""Training: all seeds of a width, or of several widths, in one program."""

import concurrent.futures
import dataclasses
import functools
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
from expressivity.training.recipes import Recipe
from expressivity.training.task import as_task

CHUNK = 256  # steps a call; the minibatches of so many steps are in memory at once
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
    r"""Trains one network for every width and every seed, all on the same minibatches, by the mean squared error.

    The network of seed s and width w starts as `family.init(fold_in(key(root), s), w)`; step t reads the minibatch of
    `(root, t)`. On CPU the result of a seed does not depend on which other seeds are trained with it, bit for bit.
    Several widths are one program: narrow networks are padded by zeros to the widest, which they stay, exactly, since
    a padded unit outputs 0 and receives gradient 0; the results agree with those of the width alone to rounding. It
    saves compilations and costs the time of the widest net for each; [`programs`](#expressivity.training.programs)
    groups widths well. The precision is the one JAX is set to.

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
        root: Randomness of the whole run.

    Raises:
        TypeError: If the family is no MLP, or an argument is not of its type.
        ValueError: If shapes do not fit, a width or seed is given twice, or the optimiser does not leave padded weights
            at zero.

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

    cpu = jax.default_backend() == "cpu"
    lanes = min(2, os.cpu_count() or 1) if cpu else 1
    shape = program.Shape(
        inputs=family.input_dim,
        outputs=family.output_dim,
        width=max(widths),
        hidden_layers=family.hidden_layers,
        nets=nets_a_program(max(widths), recipe.batch_size) if cpu else len(nets),
        batch=recipe.batch_size,
        chunk=CHUNK,
        optimiser=recipe.optimiser,
        decays=_decays(recipe),
        double=jax.numpy.result_type(float) == np.float64,
    )
    compiled, compile_seconds = program.compiled(shape)
    compile_seconds += sampler(task, recipe.batch_size, CHUNK)[1]
    rates = np.tile(recipe.rates(len(seeds)), len(widths))
    groups = [
        _Group.make(
            shape, compiled, range(first, min(first + shape.nets, len(nets))), networks, rates, recipe.weight_decay
        )
        for first in range(0, len(nets), shape.nets)
    ]
    factors = recipe.factors()
    history = np.zeros((0, len(nets)))
    healthy = np.ones(len(nets), dtype=bool)
    with concurrent.futures.ThreadPoolExecutor(lanes + 1) as pool:

        def batches(first: int) -> concurrent.futures.Future[Any]:
            with_precision = functools.partial(in_precision, shape.double, minibatches)
            needed = min(CHUNK, recipe.steps - first)
            return pool.submit(with_precision, task, root, first, recipe.batch_size, CHUNK, needed)

        coming = batches(0)
        for first in range(0, recipe.steps, CHUNK):
            (x, y), count = coming.result(), min(CHUNK, recipe.steps - first)
            if first + CHUNK < recipe.steps:
                coming = batches(first + CHUNK)
            factor = np.zeros(CHUNK)
            factor[:count] = factors[first : first + count]
            calls = [(i, 1) for i in range(count)] if driver == "step" else [(0, count)]
            lane = [groups[number::lanes] for number in range(lanes)]
            done = [pool.submit(in_precision, shape.double, _advance, some, x, y, factor, calls) for some in lane]
            for future in done:
                future.result()
            losses = np.concatenate([group.losses[:count] for group in groups], axis=1)
            healthy &= np.isfinite(losses).all(0)
            history = np.concatenate([history, losses])[-LOSS_STEPS:]
            if (first == 0 or first + count == recipe.steps) and len(widths) > 1:
                _check_padding(groups, nets, recipe)
            if progress is not None:
                progress(first + count, recipe.steps, losses[-1])

    found: dict[Net, ReLUNetwork] = {}
    status, loss = {}, {}
    for group in groups:
        final, finite_rows = jax.tree.map(np.asarray, group.parameters), group.finite()
        for row, i in enumerate(group.rows):
            finite = bool(healthy[i] and finite_rows[row])
            status[nets[i]] = "ok" if finite else "diverged"
            loss[nets[i]] = float(history[:, i].mean()) if finite else math.nan
            if finite:
                found[nets[i]] = ensemble.unpack(final, row, nets[i][0])
    return TrainingResult(found, status, loss, compile_seconds, time.perf_counter() - begun - compile_seconds)


@dataclasses.dataclass(eq=False)
class _Group:
    """Nets that one program trains together, and how far they are."""

    compiled: program.Program
    rows: range  # the nets; further places hold copies of the first one
    rates: np.ndarray
    parameters: Any
    state: Any
    losses: np.ndarray
    weight_decay: float

    @classmethod
    def make(
        cls,
        shape: program.Shape,
        compiled: program.Program,
        rows: range,
        networks: list[ReLUNetwork],
        rates: Any,
        weight_decay: float,
    ) -> "_Group":
        places = [*rows, *[rows[0]] * (shape.nets - len(rows))]
        packed = ensemble.pack([networks[i] for i in places], shape.width, shape.dtype)
        # copies: the program overwrites its arguments, and JAX may share the memory of NumPy arrays
        parameters = jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), packed)
        state, losses = compiled.start(parameters), np.zeros((0, len(rows)))
        return cls(compiled, rows, rates[places], parameters, state, losses, weight_decay)

    def finite(self) -> np.ndarray:
        """Whether all weights of each net are finite."""
        leaves = jax.tree.leaves(ensemble.net_first(jax.tree.map(np.asarray, self.parameters)))
        return np.array([all(np.isfinite(leaf[row]).all() for leaf in leaves) for row in range(len(self.rows))])

    def advance(self, x: Any, y: Any, factor: np.ndarray, calls: list[tuple[int, int]]) -> None:
        rates = jax.numpy.asarray(factor[:, None] * self.rates, x.dtype)
        weight_decay = jax.numpy.asarray(self.weight_decay, x.dtype)
        losses = np.zeros((len(factor), len(self.rows)))
        for first, count in calls:
            self.parameters, self.state, found = self.compiled.run(
                self.parameters, self.state, x, y, rates, np.int32(first), np.int32(count), weight_decay
            )
            losses[first : first + count] = np.asarray(found)[first : first + count, : len(self.rows)]
        self.losses = losses


def _decays(recipe: Recipe) -> tuple[bool, bool]:
    return recipe.weight_decay > 0, recipe.weight_decay > 0 and recipe.decay in ("all", "caffe")


def _advance(groups: list[_Group], *arguments: Any) -> None:
    for group in groups:
        group.advance(*arguments)


def in_precision(double: bool, function: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread, where the precision of the caller is not known."""
    with jax.enable_x64(double):
        return function(*arguments)


def _check_padding(groups: list[_Group], nets: list[Net], recipe: Recipe) -> None:
    for group in groups:
        # in a net that diverged, NaN times 0 may stand anywhere
        rows = np.flatnonzero(group.finite())
        first = ensemble.net_first(jax.tree.map(np.asarray, group.parameters))
        kept = ensemble.layer_first(jax.tree.map(lambda leaf: leaf[rows], first))  # noqa: B023 - used at once
        if not ensemble.padding_is_zero(kept, [nets[group.rows[row]][0] for row in rows]):
            raise ValueError(
                f"The optimiser {recipe.optimiser!r} moves weights whose gradient is zero, so narrow networks would "
                "not stay narrow; train each width by itself."
            )


def nets_a_program(width: int, batch_size: int) -> int:
    """How many nets one program trains on CPU: at most 8, fewer where their activations would leave the cache.

    It does not depend on how many nets there are: the same program, and so the same rounding, serves one seed and a
    thousand. Empty places are filled with copies.
    """
    fitting = max(1, 2**15 // (width * batch_size))
    return min(8, 2 ** (fitting.bit_length() - 1))


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
