"""Tasks: where minibatches come from, as a function of a key and a step."""

import abc
import hashlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from expressivity.target import Target

Batch = tuple[jax.Array, jax.Array]


class AbstractTask(eqx.Module):
    """A source of minibatches for regression. Step t of a run reads `batch(key, t, size)`, whatever was read before."""

    name: eqx.AbstractVar[str]

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """A digest of what the task is; it addresses finished work."""

    @property
    @abc.abstractmethod
    def input_dim(self) -> int:
        """Numbers of one input."""

    @property
    @abc.abstractmethod
    def output_dim(self) -> int:
        """Numbers of one output."""

    @abc.abstractmethod
    def batch(self, key: Any, step: Any, size: int) -> Batch:
        """Inputs (size, n) and outputs (size, m): a function of `key` and `step`, traceable in both."""


class TargetTask(AbstractTask):
    """Fresh points of a target's measure at every step: training error is then error against the measure.

    >>> import expressivity as ex, jax
    >>> task = TargetTask(ex.targets.norm_squared(ex.Ball(2)))
    >>> [leaf.shape for leaf in task.batch(jax.random.key(0), 0, 8)]
    [(8, 2), (8, 1)]
    """

    target: Target = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, target: Target) -> None:
        if not isinstance(target, Target):
            raise TypeError(f"A TargetTask needs an expressivity.Target; got {target!r}.")
        self.target, self.name = target, target.name

    @property
    def fingerprint(self) -> str:
        return f"target:{self.target.fingerprint}"

    @property
    def input_dim(self) -> int:
        return self.target.dim

    @property
    def output_dim(self) -> int:
        return 1

    def batch(self, key: Any, step: Any, size: int) -> Batch:
        points = self.target.measure.sample(jax.random.fold_in(key, step), size)
        return points, self.target.batch(points)[:, None]


class TableTask(AbstractTask):
    """Rows of a table, drawn with replacement at every step.

    Args:
        x: Inputs, shape (rows, n).
        y: Outputs, shape (rows, m) or (rows,).
        name: A short name.

    Raises:
        ValueError: If shapes do not fit, there is no row, or a number is NaN or infinite.

    >>> import jax, numpy as np
    >>> task = TableTask(np.eye(3), np.arange(3.0), "toy")
    >>> [leaf.shape for leaf in task.batch(jax.random.key(0), 0, 8)]
    [(8, 3), (8, 1)]
    """

    x: np.ndarray
    y: np.ndarray
    name: str = eqx.field(static=True)

    def __init__(self, x: Any, y: Any, name: str = "table") -> None:
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in x.shape or 0 in y.shape:
            raise ValueError(f"A table has inputs (rows, n) and outputs (rows, m); got {x.shape} and {y.shape}.")
        if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
            raise ValueError(f"Table {name!r} holds a number that is NaN or infinite; remove or fill that row first.")
        self.x, self.y, self.name = x, y, name

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.name}|{self.x.shape}|{self.y.shape}|".encode())
        digest.update(self.x.tobytes())
        digest.update(self.y.tobytes())
        return f"table:{digest.hexdigest()[:16]}"

    @property
    def input_dim(self) -> int:
        return self.x.shape[1]

    @property
    def output_dim(self) -> int:
        return self.y.shape[1]

    def batch(self, key: Any, step: Any, size: int) -> Batch:
        rows = jax.random.randint(jax.random.fold_in(key, step), (size,), 0, len(self.x))
        return jnp.asarray(self.x)[rows], jnp.asarray(self.y)[rows]


def as_task(task: Any) -> AbstractTask:
    """A task as it is; a target as the task of learning it.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(task, Target):
        return TargetTask(task)
    if not isinstance(task, AbstractTask):
        raise TypeError(f"A task is an expressivity.Target or a training.AbstractTask; got {task!r}.")
    return task
