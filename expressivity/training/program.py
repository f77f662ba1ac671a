"""The compiled program of training, which takes optimiser steps of many networks."""

import dataclasses
import functools
import threading
import time
from typing import Any

import jax
import jax.numpy as jnp

from expressivity.training import devices as devices_
from expressivity.training import ensemble
from expressivity.training.recipes import RATE_INSIDE, Recipe
from expressivity.training.states import varying_axes


@dataclasses.dataclass(frozen=True)
class Shape:
    """All that a training program depends on. Targets, learning rates and the number of steps are arguments of it."""

    inputs: int
    outputs: int
    width: int
    hidden_layers: int
    nets: int
    batch: int
    chunk: int
    optimiser: Any
    double: bool = False
    decays: tuple[bool, bool] = (False, False)  # whether weights, biases take part in weight decay

    @property
    def dtype(self) -> Any:
        return jnp.float64 if self.double else jnp.float32


# Optimisers that treat every number by itself: no matter how the numbers of several networks are put together.
_ELEMENTWISE = {"adabelief", "adadelta", "adagrad", "adam", "adamax", "adamw", "amsgrad", "lion", "momentum", "nadam"}
_ELEMENTWISE |= {"nadamw", "radam", "rmsprop", "sgd", "yogi", "nesterov", "caffe", "caffe_nesterov", "rmsprop_momentum"}


def elementwise(optimiser: Any) -> bool:
    """Whether the optimiser is known to treat every number by itself; others see one network at a time."""
    return isinstance(optimiser, str) and optimiser in _ELEMENTWISE


def step_function(shape: Shape) -> Any:
    """One optimiser step of all nets: (parameters, state, x, y, rates, weight decay) -> (parameters, state, losses)."""
    import optax

    transformation = Recipe(1, 1, 1.0, shape.optimiser).transformation()

    def times_rates(tree: Any, rates: Any) -> Any:
        (w0, b0), (w, b), (w1, b1) = tree
        along = [rates.reshape((-1, *[1] * trailing)) for trailing in range(3)]
        middle = w * along[2][None], b * along[1][None]
        return (w0 * along[2], b0 * along[1]), middle, (w1 * along[2], b1 * along[1])

    def step(parameters: Any, state: Any, x: Any, y: Any, rates: Any, weight_decay: Any) -> Any:
        losses, gradient = ensemble.losses_and_gradients(parameters, x, y)
        if any(shape.decays):
            gradient = tuple(
                tuple(
                    g + weight_decay * w if decays else g for g, w, decays in zip(layer, at, shape.decays, strict=True)
                )
                for layer, at in zip(gradient, parameters, strict=True)
            )
        inside = isinstance(shape.optimiser, str) and shape.optimiser in RATE_INSIDE
        if inside:
            gradient = times_rates(gradient, rates)
        if elementwise(shape.optimiser):
            updates, state = transformation.update(gradient, state, parameters)
        else:
            one_net = ensemble.net_first(gradient), state, ensemble.net_first(parameters)
            updates, state = jax.vmap(transformation.update)(*one_net)
            updates = ensemble.layer_first(updates)
        updates = updates if inside else times_rates(updates, rates)
        return optax.apply_updates(parameters, updates), state, losses

    return step


def chunk_function(shape: Shape) -> Any:
    """`count` steps on the minibatches from `first` on: what is compiled.

    (parameters, state, x (chunk, n, batch), y (chunk, m, batch), rates (chunk, nets), first, count, weight decay) ->
    (parameters, state, losses (chunk, nets)); the losses of steps not taken are 0.
    """
    step = step_function(shape)

    def chunk(
        parameters: Any, state: Any, x: Any, y: Any, rates: Any, first: Any, count: Any, weight_decay: Any
    ) -> Any:
        def body(i: Any, carry: Any) -> Any:
            parameters, state, losses = carry
            at = functools.partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
            parameters, state, loss = step(parameters, state, at(x), at(y), at(rates), weight_decay)
            return parameters, state, jax.lax.dynamic_update_index_in_dim(losses, loss, i, 0)

        return jax.lax.fori_loop(first, first + count, body, (parameters, state, jnp.zeros_like(rates)))

    return chunk


def state_function(shape: Shape) -> Any:
    """The function that makes the optimiser's state for stacked parameters."""
    init = Recipe(1, 1, 1.0, shape.optimiser).transformation().init
    return init if elementwise(shape.optimiser) else lambda parameters: jax.vmap(init)(ensemble.net_first(parameters))


def arguments(shape: Shape) -> tuple[Any, ...]:
    """What `chunk_function` takes, as shapes and dtypes."""
    s, n, m = shape.nets, shape.inputs, shape.outputs
    real = functools.partial(jax.ShapeDtypeStruct, dtype=shape.dtype)
    whole = jax.ShapeDtypeStruct((), jnp.int32)
    pairs = ensemble.shapes(s, n, m, shape.width, shape.hidden_layers)
    parameters = tuple((real(weight), real(bias)) for weight, bias in pairs)
    state = jax.eval_shape(state_function(shape), parameters)
    x, y = real((shape.chunk, n, shape.batch)), real((shape.chunk, m, shape.batch))
    return parameters, state, x, y, real((shape.chunk, s)), whole, whole, real(())


@functools.lru_cache(maxsize=64)
def net_axes(shape: Shape) -> Any:
    """The axis along which the networks lie in every array of (parameters, state of the optimiser), -1 for none."""
    with jax.enable_x64(shape.double):
        few, many = (arguments(dataclasses.replace(shape, nets=nets))[:2] for nets in (1, 2))
    return varying_axes(few, many)


def sharded(shape: Shape, mesh: Any) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """The program of `shape` on every device of a mesh of the axis "nets", each for networks of its own.

    Returns:
        The function for `jax.jit`, already with its shardings; its arguments as shapes, for all networks; the shardings
        of the arguments. The mesh may be abstract, to lower the program for devices that are not here.
    """
    count = mesh.shape[devices_.NETS]
    parameters, state = devices_.specs(net_axes(shape), devices_.NETS)
    along, whole = devices_.spec(1, devices_.NETS), devices_.spec(-1, devices_.NETS)
    takes, gives = (parameters, state, whole, whole, along, whole, whole, whole), (parameters, state, along)
    function = jax.shard_map(chunk_function(shape), mesh=mesh, in_specs=takes, out_specs=gives, check_vma=False)
    takes, gives = devices_.shardings(mesh, takes), devices_.shardings(mesh, gives)
    jitted = jax.jit(function, in_shardings=takes, out_shardings=gives, donate_argnums=(0, 1))
    return jitted, arguments(dataclasses.replace(shape, nets=count * shape.nets)), takes


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled training program, and the seconds that this took.

    Args:
        run: The program.
        start: Makes the optimiser's state.
        compile_seconds: What compiling both took.
        nets: Networks on all devices.
        parameters: Shardings of the parameters; None where JAX places arrays by itself.
        state: Shardings of the optimiser's state.
        whole: The sharding of what every device reads all of.
    """

    run: Any
    start: Any
    compile_seconds: float
    nets: int
    parameters: Any = None
    state: Any = None
    whole: Any = None


_lock = threading.Lock()


@functools.lru_cache(maxsize=64)
def _compiled(shape: Shape, devices: tuple[Any, ...]) -> Program:
    begun = time.perf_counter()
    with jax.enable_x64(shape.double):
        if not devices:
            shapes = arguments(shape)
            run = jax.jit(chunk_function(shape), donate_argnums=(0, 1)).lower(*shapes).compile()
            start = jax.jit(state_function(shape)).lower(shapes[0]).compile()
            return Program(run, start, time.perf_counter() - begun, shape.nets)
        function, shapes, (parameters, state, whole, *_) = sharded(shape, devices_.mesh_of(devices, devices_.NETS))
        run = function.lower(*shapes).compile()
        start = jax.jit(state_function(shape), in_shardings=(parameters,), out_shardings=state)
        start = start.lower(shapes[0]).compile()
        nets = shape.nets * len(devices)
        return Program(run, start, time.perf_counter() - begun, nets, parameters, state, whole)


def compiled(shape: Shape, devices: tuple[Any, ...] = ()) -> tuple[Program, float]:
    """The program of that shape, and the seconds that compiling it took now (0 if it was there).

    With devices it trains `shape.nets` networks on each of them.
    """
    with _lock:
        begun = time.perf_counter()
        before = _compiled.cache_info().misses
        program = _compiled(shape, devices)
        return program, time.perf_counter() - begun if _compiled.cache_info().misses > before else 0.0


def enable_compilation_cache(folder: Any) -> None:
    """Keeps compiled programs in `folder`, so that the next start finds them. Experiments call it; importing does not.

    It is a setting of the whole process.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
