"""States of runs: what is kept of a training that is not finished, so that it can go on, bit for bit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


class OtherRun(ValueError):
    """A snapshot does not belong to the run that is to go on from it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a run needs to go on.

    Args:
        step: Optimiser steps done.
        arrays: Parameters, the optimiser's state, losses and flags, by name; NumPy, and copies.
        curve: For images, the rows of the curve so far.
    """

    step: int
    arrays: dict[str, np.ndarray]
    curve: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def to_numpy(leaf: Any) -> np.ndarray:
    """A copy of an array, or of the numbers of a random key.

    A copy, since a program may overwrite the memory that a view of its arguments shows.

    >>> to_numpy(jax.random.key(3)).tolist()
    [0, 3]
    """
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.array(jax.random.key_data(leaf) if is_key else leaf)


def like(array: np.ndarray, leaf: Any) -> Any:
    """What `to_numpy` made into `array`, as a JAX array in memory of its own, where `leaf` lies and of its kind."""
    made = jax.numpy.array(array, copy=True)
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        made = jax.random.wrap_key_data(made, impl=jax.random.key_impl(leaf))
    return jax.device_put(made, leaf.sharding)


def checked(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The array of that name.

    Raises:
        OtherRun: If it is missing or of another shape or dtype.
    """
    found = arrays.get(name)
    if found is None:
        raise OtherRun(f"The snapshot is of another run: it holds no array {name!r}; start afresh.")
    if found.shape != tuple(shape) or found.dtype != dtype:
        raise OtherRun(
            f"The snapshot is of another run: its array {name!r} is {found.dtype} of shape {found.shape}, not "
            f"{np.dtype(dtype)} of shape {tuple(shape)}; start afresh."
        )
    return found


def checked_step(step: Any, steps: int) -> int:
    """The number of steps that a snapshot says are done.

    Raises:
        OtherRun: If it is no number of steps of a run of `steps`.
    """
    if isinstance(step, bool) or not hasattr(step, "__index__") or not 0 <= step <= steps:
        raise OtherRun(f"The snapshot is of another run: it was taken at step {step!r} of {steps}; start afresh.")
    return int(step)


def varying_axes(one: Any, other: Any) -> Any:
    """For every leaf of two trees of shapes the first axis along which they differ, or -1.

    >>> varying_axes([np.zeros((3, 2)), np.zeros(5)], [np.zeros((3, 4)), np.zeros(5)])
    [1, -1]
    """

    def first(a: Any, b: Any) -> int:
        return next((axis for axis, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n), -1)

    return jax.tree.map(first, one, other)
