"""Minibatches sampled once and used by every program of a sweep."""

import collections
import contextlib
import threading
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from expressivity.training.task import AbstractTask

Batches = tuple[jax.Array, jax.Array]

BYTES = 128 * 2**20  # of minibatches are remembered; the oldest are dropped first
SAMPLERS = 64  # compiled programs are kept

_remembered: "collections.OrderedDict[Any, Batches]" = collections.OrderedDict()
_samplers: "collections.OrderedDict[Any, Any]" = collections.OrderedDict()
_lock = threading.Lock()


def _address(task: AbstractTask, size: int, count: int, device: Any) -> tuple[Any, ...]:
    try:
        hash(task)
        name: Any = task
    except TypeError:  # a task that holds arrays
        name = task.fingerprint
    return name, size, count, jnp.result_type(float), device


def _on(device: Any) -> Any:
    return contextlib.nullcontext() if device is None else jax.default_device(device)


def sampler(task: AbstractTask, size: int, count: int, device: Any = None) -> tuple[Any, float]:
    """The compiled program (arrays, key, first step, steps) -> batches, and the seconds that compiling took now."""
    address = _address(task, size, count, device)
    with _lock, _on(device):
        if address in _samplers:
            _samplers.move_to_end(address)
            return _samplers[address], 0.0
        begun = time.perf_counter()
        arrays, static = eqx.partition(task, eqx.is_array)

        def sample(arrays: Any, key: Any, first: Any, needed: Any) -> Batches:
            def one(number: Any, made: Batches) -> Batches:
                batch = eqx.combine(static, arrays).batch(key, first + number, size)
                return jax.tree.map(lambda all, new: all.at[number].set(new.T.astype(all.dtype)), made, batch)

            empty = tuple(jnp.zeros((count, dim, size), float) for dim in (task.input_dim, task.output_dim))
            return jax.lax.fori_loop(0, needed, one, empty)

        arguments = _arrays(arrays), jax.random.key(0), *(jnp.asarray(0, jnp.int32),) * 2
        _samplers[address] = jax.jit(sample).lower(*arguments).compile()
        if len(_samplers) > SAMPLERS:
            _samplers.popitem(last=False)
        return _samplers[address], time.perf_counter() - begun


def minibatches(
    task: AbstractTask, root: int, first: int, size: int, count: int, needed: int | None = None, device: Any = None
) -> Batches:
    """The minibatches of `count` steps from `first` on: x of shape (count, n, size) and y of shape (count, m, size).

    Only the first `needed` of them are filled; the others are 0. A function of the arguments alone. The last 128 MiB
    are remembered, since the widths and depths of a sweep train on the same ones. They are made on `device`, by default
    where JAX computes if it is told nothing.
    """
    needed = count if needed is None else needed
    address = (*_address(task, size, count, device), root, first, needed)
    with _lock:
        if address in _remembered:
            _remembered.move_to_end(address)
            return _remembered[address]
    program, _ = sampler(task, size, count, device)
    with _on(device):
        key = jax.random.fold_in(jax.random.key(root), 2**32 - 1)
        arrays = _arrays(eqx.filter(task, eqx.is_array))
        made = program(arrays, key, *(jnp.asarray(n, jnp.int32) for n in (first, needed)))
    with _lock:
        _remembered[address] = made
        while sum(x.nbytes + y.nbytes for x, y in _remembered.values()) > BYTES:
            _remembered.popitem(last=False)
    return made


def _arrays(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), tree)
