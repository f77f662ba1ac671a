"""The compiled programs of training: one that samples minibatches, one that takes optimiser steps."""

import dataclasses
import functools
import threading
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from expressivity.training import ensemble
from expressivity.training.recipes import Recipe
from expressivity.training.task import AbstractTask


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

    @property
    def dtype(self) -> Any:
        return jnp.float64 if self.double else jnp.float32


def step_function(shape: Shape) -> Any:
    """One optimiser step of all nets: (parameters, optimiser state, x, y, rates) -> (parameters, state, losses)."""
    import optax

    transformation = Recipe(1, 1, 1.0, shape.optimiser).transformation()

    def step(parameters: Any, state: Any, x: Any, y: Any, rates: Any) -> Any:
        losses, gradient = ensemble.value_and_gradient(parameters, x, y)
        updates, state = jax.vmap(transformation.update)(gradient, state, parameters)
        updates = jax.tree.map(lambda u: u * rates.reshape((-1,) + (1,) * (u.ndim - 1)), updates)
        return optax.apply_updates(parameters, updates), state, losses

    return step


def chunk_function(shape: Shape) -> Any:
    """`count` steps on the minibatches from `first` on: what is compiled.

    (parameters, state, x (chunk, n, batch), y (chunk, m, batch), rates (chunk, nets), first, count) ->
    (parameters, state, losses (chunk, nets)); the losses of steps not taken are 0.
    """
    step = step_function(shape)

    def chunk(parameters: Any, state: Any, x: Any, y: Any, rates: Any, first: Any, count: Any) -> Any:
        def body(i: Any, carry: Any) -> Any:
            parameters, state, losses = carry
            at = functools.partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
            parameters, state, loss = step(parameters, state, at(x), at(y), at(rates))
            return parameters, state, jax.lax.dynamic_update_index_in_dim(losses, loss, i, 0)

        return jax.lax.fori_loop(first, first + count, body, (parameters, state, jnp.zeros_like(rates)))

    return chunk


def state_function(shape: Shape) -> Any:
    """The optimiser's state for stacked parameters."""
    return jax.vmap(Recipe(1, 1, 1.0, shape.optimiser).transformation().init)


def arguments(shape: Shape) -> tuple[Any, ...]:
    """What `chunk_function` takes, as shapes and dtypes."""
    s, n, m, w, layers = shape.nets, shape.inputs, shape.outputs, shape.width, shape.hidden_layers - 1
    real = functools.partial(jax.ShapeDtypeStruct, dtype=shape.dtype)
    whole = jax.ShapeDtypeStruct((), jnp.int32)
    parameters = (
        (real((s, w, n)), real((s, w))),
        (real((s, layers, w, w)), real((s, layers, w))),
        (real((s, m, w)), real((s, m))),
    )
    state = jax.eval_shape(state_function(shape), parameters)
    x, y = real((shape.chunk, n, shape.batch)), real((shape.chunk, m, shape.batch))
    return parameters, state, x, y, real((shape.chunk, s)), whole, whole


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled training program, and the seconds that this took."""

    run: Any
    start: Any
    compile_seconds: float


_lock = threading.Lock()


@functools.lru_cache(maxsize=64)
def _compiled(shape: Shape) -> Program:
    begun = time.perf_counter()
    with jax.enable_x64(shape.double):
        shapes = arguments(shape)
        run = jax.jit(chunk_function(shape), donate_argnums=(0, 1)).lower(*shapes).compile()
        start = jax.jit(state_function(shape)).lower(shapes[0]).compile()
    return Program(run, start, time.perf_counter() - begun)


def compiled(shape: Shape) -> tuple[Program, float]:
    """The program of that shape, and the seconds that compiling it took now (0 if it was there)."""
    with _lock:
        begun = time.perf_counter()
        before = _compiled.cache_info().misses
        program = _compiled(shape)
        return program, time.perf_counter() - begun if _compiled.cache_info().misses > before else 0.0


@functools.partial(jax.jit, static_argnames=("static", "size", "count"))
def _sample(static: Any, arrays: Any, key: Any, first: Any, size: int, count: int) -> Any:
    task = eqx.combine(static, arrays)

    def one(step: Any) -> Any:
        x, y = task.batch(key, step, size)
        dtype = jnp.result_type(float)
        return x.T.astype(dtype), y.T.astype(dtype)

    return jax.lax.map(one, first + jnp.arange(count))


def sample(task: AbstractTask, key: Any, first: int, size: int, count: int) -> tuple[jax.Array, jax.Array]:
    """The minibatches of `count` steps from `first` on: x (count, n, size) and y (count, m, size)."""
    arrays, static = eqx.partition(task, eqx.is_array)
    return _sample(static, arrays, key, first, size, count)


def enable_compilation_cache(folder: Any) -> None:
    """Keeps compiled programs in `folder`, so that the next start finds them. Experiments call it; importing does not.

    It is a setting of the whole process.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
