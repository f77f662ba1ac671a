"""Training of one network whose units are spread over many devices, also over several processes."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from expressivity.models.mlp import MLP
from expressivity.relu.calculus import pad_depth, pad_width
from expressivity.relu.network import ReLUNetwork
from expressivity.training import devices, ensemble, program
from expressivity.training.batches import minibatches
from expressivity.training.groups import LOSS_STEPS
from expressivity.training.loop import decays, whole_numbers
from expressivity.training.recipes import Recipe
from expressivity.training.states import Snapshot, checked, checked_step, varying_axes
from expressivity.training.task import as_task
from expressivity.training.wide_parts import fresh, held, restored, spread

CHUNK = 64  # steps a call
POINTS = 4096  # of an evaluation at once


@dataclasses.dataclass(frozen=True, eq=False)
class WideResult:
    """What training gave; the same on every process.

    Args:
        parameters: The weights, padded by zeros to a multiple of the devices and spread over them; see `ensemble`.
        width: Units of a hidden layer.
        status: "ok", or "diverged" where a loss or a weight became NaN or infinite.
        loss: The mean of the squared error over the last minibatches (100, or all steps if there are fewer).
        compile_seconds: Time spent in compiling.
        run_seconds: The rest of the time.
    """

    parameters: Any
    width: int
    status: str
    loss: float
    compile_seconds: float
    run_seconds: float

    @property
    def mesh(self) -> Any:
        """The mesh that the weights are spread over."""
        return jax.tree.leaves(self.parameters)[0].sharding.mesh

    @property
    def size(self) -> int:
        """Weights and biases, without those filled up."""
        (w0, _), (w, _), (w1, _) = self.parameters
        units, layers = self.width, w.shape[0]
        return units * (w0.shape[2] + 1) + layers * units * (units + 1) + w1.shape[1] * (units + 1)

    def network(self) -> ReLUNetwork:
        """The network, gathered into the memory of this process. Every process must call it."""
        whole = _gathering(self.mesh)(self.parameters)
        return ensemble.unpack(jax.tree.map(np.asarray, whole), 0, self.width)

    def outputs(self, points: np.ndarray) -> np.ndarray:
        """The outputs (points, m) at `points` (points, n), in float64; the weights stay where they are.

        Every process must call it, with the same points.
        """
        whole = devices.shardings(self.mesh, devices.spec(-1, ""))
        with jax.enable_x64(True):
            evaluate, found = _evaluation(self.mesh), []
            for first in range(0, len(points), POINTS):
                some = np.asarray(points[first : first + POINTS], np.float64).T
                count = some.shape[1]
                some = np.pad(some, ((0, 0), (0, POINTS - count)))
                found.append(np.asarray(evaluate(self.parameters, spread(some, whole)))[:, :count].T)
        return np.concatenate(found)


def train_wide(
    family: MLP,
    width: int,
    task: Any,
    seed: int,
    recipe: Recipe,
    mesh: Any,
    *,
    start: ReLUNetwork | None = None,
    progress: Callable[[int, int, np.ndarray], None] | None = None,
    resume: Snapshot | None = None,
    keep: Callable[[Callable[[], Snapshot]], None] | None = None,
    root: int = 0,
) -> WideResult:
    r"""The network that `train` makes of (width, seed), to rounding, with the units of each hidden layer spread out.

    Device d of D holds the rows $d w/D, \ldots, (d+1) w/D - 1$ of every hidden weight matrix, their biases and their
    part of the optimiser's state, and the columns of the last matrix that read them. The program is the one of `train`;
    the compiler adds what the devices tell each other: every layer gathers the outputs of the layer before it. Widths
    that the devices do not divide are filled up with units that stay zero.

    Over several processes, every one makes the mesh of `jax.devices()`, which are those of all processes, and calls
    this with the same arguments; `sweeps.spread` does it for whole sweeps. A process draws the first weights of its own
    devices only, so a network may be larger than a device, and than the memory of a machine.

    Args:
        family: The network.
        width: Units of a hidden layer.
        task: A `Target` or a task.
        seed: A whole number.
        recipe: Steps, batch size, learning rate, optimiser and schedule.
        mesh: A `jax.sharding.Mesh` with one axis.
        start: The network to start from instead of a fresh one, in the memory of every process; a narrower or shallower
            one is padded.
        progress: Called with (steps done, steps, losses of the last step) after each chunk of steps.
        resume: A snapshot of the part of this process to go on from; those of all processes must be of one step, and
            the devices as many.
        keep: Called after each chunk of steps with a function that makes a snapshot of the part of this process.
        root: Randomness of the whole run.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If the mesh has several axes, shapes do not fit, the optimiser moves the units filled up, or a
            snapshot is of another run.

    >>> import expressivity as ex, jax
    >>> from expressivity import training
    >>> target, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(5, 16, 1e-2)
    >>> mesh = jax.make_mesh((jax.device_count(),), ("units",), axis_types=(jax.sharding.AxisType.Auto,))
    >>> result = training.train_wide(ex.MLP(2), 9, target, 0, recipe, mesh)
    >>> result.status, result.network().width
    ('ok', 9)
    """
    begun = time.perf_counter()
    if not isinstance(family, MLP):
        raise TypeError(f"This loop trains an expressivity.MLP; got {family!r}.")
    if not isinstance(mesh, jax.sharding.Mesh):
        raise TypeError(f"The units are spread over a jax.sharding.Mesh; got {mesh!r}.")
    if len(mesh.axis_names) != 1:
        raise ValueError(f"The units are spread over a mesh of one axis; got the axes {mesh.axis_names}.")
    (width,), (seed,), task = whole_numbers("width", (width,), 1), whole_numbers("seed", (seed,), 0), as_task(task)
    if (family.input_dim, family.output_dim) != (task.input_dim, task.output_dim):
        raise ValueError(
            f"The network maps {family.input_dim} numbers to {family.output_dim}, task {task.name!r} maps "
            f"{task.input_dim} to {task.output_dim}."
        )
    shape = program.Shape(
        inputs=family.input_dim,
        outputs=family.output_dim,
        width=-(-width // mesh.size) * mesh.size,
        hidden_layers=family.hidden_layers,
        nets=1,
        batch=recipe.batch_size,
        chunk=CHUNK,
        optimiser=recipe.optimiser,
        decays=decays(recipe),
        double=jax.numpy.result_type(float) == np.float64,
    )
    compiling = time.perf_counter()
    run, begin_state, shapes, where = _compiled(shape, mesh)
    compile_seconds, whole = time.perf_counter() - compiling, where[-1]

    first_step, history, healthy, real = 0, np.zeros(0), True, np.dtype(shape.dtype).type
    if resume is not None:
        first_step = checked_step(resume.step, recipe.steps)
        history = checked(resume.arrays, "history", (min(first_step, LOSS_STEPS),), float)
        healthy = bool(checked(resume.arrays, "healthy", (), bool))
        parameters, state = restored(resume.arrays, shapes[:2], where[:2])
    else:
        if start is None:
            parameters = fresh(family, jax.random.fold_in(jax.random.key(root), seed), width, shapes[0], where[0])
        else:
            given = pad_width(pad_depth(start, family.hidden_layers + 1), width)
            parameters = jax.tree.map(spread, ensemble.pack([given], shape.width, shape.dtype), where[0])
        state = begin_state(parameters)
    factors = recipe.factors() * recipe.rates(1)[0]
    for first in range(first_step, recipe.steps, CHUNK):
        count = min(CHUNK, recipe.steps - first)
        x, y = (spread(np.asarray(a), whole) for a in minibatches(task, root, first, recipe.batch_size, CHUNK, count))
        rates = np.zeros((CHUNK, 1), real)
        rates[:count, 0] = factors[first : first + count]
        steps = np.int32(0), np.int32(count), real(recipe.weight_decay)
        parameters, state, losses = run(parameters, state, x, y, rates, *steps)
        losses = np.asarray(losses, float)[:count, 0]
        healthy &= bool(np.isfinite(losses).all())
        history = np.concatenate([history, losses])[-LOSS_STEPS:]
        if progress is not None:
            progress(first + count, recipe.steps, history[-1:])
        if keep is not None:
            keep(functools.partial(_snapshot, first + count, history, healthy, (parameters, state)))
    finite, zero = (bool(word) for word in _checking(mesh, width)(parameters))
    if finite and not zero:
        raise ValueError(
            f"The optimiser {recipe.optimiser!r} moves weights whose gradient is zero, so units filled up would not "
            f"stay zero; take a width that {mesh.size} divides, not {width}."
        )
    ok = finite and healthy
    loss = float(history.mean()) if ok else math.nan
    seconds = time.perf_counter() - begun - compile_seconds
    return WideResult(parameters, width, "ok" if ok else "diverged", loss, compile_seconds, seconds)


def sharded(shape: program.Shape, mesh: Any) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """The program of one network on a mesh of one axis, for `jax.jit`; its arguments as shapes, and their shardings."""
    (axis,) = mesh.axis_names
    shapes = program.arguments(shape)
    wider = program.arguments(dataclasses.replace(shape, width=shape.width + 1))
    parameters, state = devices.specs(varying_axes(shapes[:2], wider[:2]), axis)
    whole = devices.spec(-1, axis)
    takes = devices.shardings(mesh, (parameters, state, *(whole,) * 6))
    gives = devices.shardings(mesh, (parameters, state, whole))
    function = jax.jit(program.chunk_function(shape), in_shardings=takes, out_shardings=gives, donate_argnums=(0, 1))
    return function, shapes, takes


@functools.lru_cache(maxsize=64)
def _compiled(shape: program.Shape, mesh: Any) -> tuple[Any, Any, tuple[Any, ...], tuple[Any, ...]]:
    """What `sharded` gives, compiled, with the program that makes the optimiser's state."""
    with jax.enable_x64(shape.double):
        function, shapes, where = sharded(shape, mesh)
        state = jax.jit(program.state_function(shape), in_shardings=(where[0],), out_shardings=where[1])
        return function.lower(*shapes).compile(), state.lower(shapes[0]).compile(), shapes, where


def _snapshot(step: int, history: np.ndarray, healthy: bool, tree: Any) -> Snapshot:
    return Snapshot(step, {"history": history, "healthy": np.array(healthy), **held(tree)})


@functools.lru_cache(maxsize=16)
def _gathering(mesh: Any) -> Any:
    """A program that gives every device the whole of every array of a tree."""
    return jax.jit(lambda tree: tree, out_shardings=devices.shardings(mesh, devices.spec(-1, "")))


@functools.lru_cache(maxsize=16)
def _evaluation(mesh: Any) -> Any:
    """A program (parameters, x) -> outputs (m, points) of one network, in the precision of x."""

    def outputs(parameters: Any, x: Any) -> Any:
        return ensemble.outputs(jax.tree.map(lambda leaf: leaf.astype(x.dtype), parameters), x)[0]

    return jax.jit(outputs, out_shardings=devices.shardings(mesh, devices.spec(-1, "")))


@functools.lru_cache(maxsize=64)
def _checking(mesh: Any, width: int) -> Any:
    """A program that says whether all weights are finite, and whether those of units beyond `width` are zero."""

    def checks(tree: Any) -> Any:
        (w0, b0), (w, b), (w1, _) = tree
        outside = w0[:, width:], b0[:, width:], w[:, :, width:], w[..., width:], b[..., width:], w1[..., width:]
        finite = [jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
        return jax.numpy.stack([jax.numpy.stack(finite).all(), ~jax.numpy.stack([a.any() for a in outside]).any()])

    return jax.jit(checks, out_shardings=devices.shardings(mesh, devices.spec(-1, "")))
