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
from expressivity.relu.network import ReLUNetwork
from expressivity.training import devices, ensemble, program
from expressivity.training.batches import minibatches
from expressivity.training.groups import LOSS_STEPS
from expressivity.training.loop import decays, whole_numbers
from expressivity.training.recipes import Recipe
from expressivity.training.states import varying_axes
from expressivity.training.task import as_task

CHUNK = 64  # steps a call


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

    def network(self) -> ReLUNetwork:
        """The network, gathered into the memory of this process. Every process must call it."""
        mesh = jax.tree.leaves(self.parameters)[0].sharding.mesh
        whole = jax.jit(lambda tree: tree, out_shardings=devices.shardings(mesh, devices.spec(-1, "")))
        return ensemble.unpack(jax.tree.map(np.asarray, whole(self.parameters)), 0, self.width)


def train_wide(
    family: MLP,
    width: int,
    task: Any,
    seed: int,
    recipe: Recipe,
    mesh: Any,
    *,
    progress: Callable[[int, int, np.ndarray], None] | None = None,
    root: int = 0,
) -> WideResult:
    r"""The network that `train` makes of (width, seed), to rounding, with the units of each hidden layer spread out.

    Device d of D holds the rows $d w/D, \ldots, (d+1) w/D - 1$ of every hidden weight matrix, their biases and their
    part of the optimiser's state, and the columns of the last matrix that read them. The program is the one of `train`;
    the compiler adds what the devices tell each other: every layer gathers the outputs of the layer before it. Widths
    that the devices do not divide are filled up with units that stay zero.

    Over several processes, every one calls `jax.distributed.initialize`, makes the mesh of `jax.devices()`, which are
    those of all processes, and calls this with the same arguments. A host makes the first weights in its own memory, so
    a network may be larger than a device but not, while it starts, than a host's memory. There are no states to resume
    from.

    Args:
        family: The network.
        width: Units of a hidden layer.
        task: A `Target` or a task.
        seed: A whole number.
        recipe: Steps, batch size, learning rate, optimiser and schedule.
        mesh: A `jax.sharding.Mesh` with one axis.
        progress: Called with (steps done, steps, losses of the last step) after each chunk of steps.
        root: Randomness of the whole run.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If the mesh has several axes, shapes do not fit, or the optimiser moves the units filled up.

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
    function, shapes, where = sharded(shape, mesh)
    whole = where[-1]
    compiling = time.perf_counter()
    run = function.lower(*shapes).compile()
    start = jax.jit(program.state_function(shape), in_shardings=(where[0],), out_shardings=where[1])
    start = start.lower(shapes[0]).compile()
    compile_seconds = time.perf_counter() - compiling

    def spread(array: Any, sharding: Any) -> Any:
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    network = family.init(jax.random.fold_in(jax.random.key(root), seed), width)[0]
    parameters = jax.tree.map(spread, ensemble.pack([network], shape.width, shape.dtype), where[0])
    state = start(parameters)
    factors, history, real = recipe.factors() * recipe.rates(1)[0], np.zeros(0), np.dtype(shape.dtype).type
    for first in range(0, recipe.steps, CHUNK):
        count = min(CHUNK, recipe.steps - first)
        x, y = (spread(np.asarray(a), whole) for a in minibatches(task, root, first, recipe.batch_size, CHUNK, count))
        rates = np.zeros((CHUNK, 1), real)
        rates[:count, 0] = factors[first : first + count]
        steps = np.int32(0), np.int32(count), real(recipe.weight_decay)
        parameters, state, losses = run(parameters, state, x, y, rates, *steps)
        history = np.concatenate([history, np.asarray(losses)[:count, 0]])
        if progress is not None:
            progress(first + count, recipe.steps, history[-1:])
    finite, zero = (bool(word) for word in _checks(parameters, width, whole))
    if finite and not zero:
        raise ValueError(
            f"The optimiser {recipe.optimiser!r} moves weights whose gradient is zero, so units filled up would not "
            f"stay zero; take a width that {mesh.size} divides, not {width}."
        )
    ok = finite and bool(np.isfinite(history).all())
    loss = float(history[-LOSS_STEPS:].mean()) if ok else math.nan
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


def _checks(parameters: Any, width: int, whole: Any) -> Any:
    """Whether all weights are finite, and whether those of units beyond `width` are zero."""

    @functools.partial(jax.jit, out_shardings=whole)
    def checks(tree: Any) -> Any:
        (w0, b0), (w, b), (w1, _) = tree
        outside = w0[:, width:], b0[:, width:], w[:, :, width:], w[..., width:], b[..., width:], w1[..., width:]
        finite = [jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
        return jax.numpy.stack([jax.numpy.stack(finite).all(), ~jax.numpy.stack([a.any() for a in outside]).any()])

    return checks(parameters)
