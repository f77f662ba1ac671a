"""Nets in training: which programs take their steps, how far they are, and their states."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from expressivity.relu.network import ReLUNetwork
from expressivity.training import ensemble, program
from expressivity.training.devices import placed
from expressivity.training.states import OtherRun, Snapshot, checked, checked_step, like, to_numpy

LOSS_STEPS = 100  # the loss reported is the mean over so many last steps


def nets_a_program(width: int, batch_size: int) -> int:
    """How many nets one program trains on CPU: at most 8, fewer where their activations would leave the cache.

    It does not depend on how many nets there are: the same program, and so the same rounding, serves one seed and a
    thousand. Empty places are filled with copies.
    """
    fitting = max(1, 2**15 // (width * batch_size))
    return min(8, 2 ** (fitting.bit_length() - 1))


def in_precision(double: bool, function: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread, where the precision of the caller is not known."""
    with jax.enable_x64(double):
        return function(*arguments)


@dataclasses.dataclass(eq=False)
class Group:
    """Nets that one program trains together, and how far they are."""

    compiled: program.Program
    places: list[int]  # the net of every place; places at the end may hold copies of the first one
    count: int  # places that are no copies
    rates: np.ndarray
    parameters: Any
    state: Any
    losses: np.ndarray
    weight_decay: float

    @property
    def rows(self) -> list[int]:
        """The nets."""
        return self.places[: self.count]

    def finite(self) -> np.ndarray:
        """Whether all weights of each net are finite."""
        leaves = jax.tree.leaves(ensemble.net_first(jax.tree.map(np.asarray, self.parameters)))
        return np.array([all(np.isfinite(leaf[row]).all() for leaf in leaves) for row in range(self.count)])

    def advance(self, x: Any, y: Any, factor: np.ndarray, calls: list[tuple[int, int]]) -> None:
        """The steps `calls`, (first, how many), on the minibatches x, y."""
        rates = (factor[:, None] * self.rates).astype(x.dtype)
        weight_decay = np.asarray(self.weight_decay, x.dtype)
        losses = np.zeros((len(factor), self.count))
        for first, count in calls:
            self.parameters, self.state, found = self.compiled.run(
                self.parameters, self.state, x, y, rates, np.int32(first), np.int32(count), weight_decay
            )
            losses[first : first + count] = np.asarray(found)[first : first + count, : self.count]
        self.losses = losses


class Groups:
    """All nets of a run, in groups of one program.

    Args:
        shape: The program's.
        compiled: The program.
        networks: What the nets start from.
        rates: The learning rate of each.
        weight_decay: As in the recipe.
    """

    def __init__(
        self,
        shape: program.Shape,
        compiled: program.Program,
        networks: Sequence[ReLUNetwork],
        rates: np.ndarray,
        weight_decay: float,
    ) -> None:
        self.shape, self.size = shape, len(networks)
        self.step = 0
        self.history = np.zeros((0, self.size))
        self.healthy = np.ones(self.size, dtype=bool)
        self.groups: list[Group] = []
        for first in range(0, self.size, compiled.nets):
            rows = list(range(first, min(first + compiled.nets, self.size)))
            places = [*rows, *rows[:1] * (compiled.nets - len(rows))]
            packed = ensemble.pack([networks[i] for i in places], shape.width, shape.dtype)
            parameters = placed(packed, compiled.parameters)
            state, none = compiled.start(parameters), np.zeros((0, len(rows)))
            self.groups.append(Group(compiled, places, len(rows), rates[places], parameters, state, none, weight_decay))

    def advance(
        self, pool: Any, lanes: int, x: Any, y: Any, factor: np.ndarray, calls: list[tuple[int, int]]
    ) -> np.ndarray:
        """The steps `calls` of all nets, in so many threads; returns their losses, (steps, nets)."""
        count = sum(steps for _, steps in calls)

        def work(some: list[Group]) -> None:
            for group in some:
                group.advance(x, y, factor, calls)

        threads = [self.groups[number::lanes] for number in range(lanes)]
        done = [pool.submit(functools.partial(in_precision, self.shape.double, work, some)) for some in threads]
        for future in done:
            future.result()
        losses = np.concatenate([group.losses[:count] for group in self.groups], axis=1)
        self.healthy &= np.isfinite(losses).all(0)
        self.history = np.concatenate([self.history, losses])[-LOSS_STEPS:]
        self.step += count
        return losses

    def check_padding(self, widths: Sequence[int]) -> None:
        """Checks that nets narrower than the program stayed narrow; `widths` are those of the nets.

        Raises:
            ValueError: If one did not.
        """
        for group in self.groups:
            # in a net that diverged, NaN times 0 may stand anywhere
            rows = np.flatnonzero(group.finite())
            first = ensemble.net_first(jax.tree.map(np.asarray, group.parameters))
            kept = ensemble.layer_first(jax.tree.map(lambda leaf: leaf[rows], first))  # noqa: B023 - used at once
            if not ensemble.padding_is_zero(kept, [widths[group.places[row]] for row in rows]):
                raise ValueError(
                    f"The optimiser {self.shape.optimiser!r} moves weights whose gradient is zero, so narrow networks "
                    "would not stay narrow; train each width by itself."
                )

    def snapshot(self) -> Snapshot:
        """The run as it is now: of every array those parts that belong to nets, in their order.

        It does not depend on how the nets are grouped, so a run may go on in other groups.
        """
        arrays = {"history": self.history.copy(), "healthy": self.healthy.copy()}
        leaves = [[to_numpy(leaf) for leaf in jax.tree.leaves((g.parameters, g.state))] for g in self.groups]
        for place, axis in enumerate(jax.tree.leaves(program.net_axes(self.shape))):
            parts = [found[place] for found in leaves]
            kept = (
                [part.take(range(g.count), axis) for part, g in zip(parts, self.groups, strict=True)]
                if axis >= 0
                else parts[:1]
            )
            arrays[f"leaf/{place}"] = np.concatenate(kept, axis) if axis >= 0 else kept[0]
        return Snapshot(self.step, arrays)

    def restore(self, snapshot: Snapshot, steps: int) -> None:
        """Goes on from a snapshot of the same run of so many steps.

        Raises:
            OtherRun: If it is of another run.
        """
        step = checked_step(snapshot.step, steps)
        history = checked(snapshot.arrays, "history", (min(step, LOSS_STEPS), self.size), float)
        healthy = checked(snapshot.arrays, "healthy", (self.size,), bool)
        axes = jax.tree.leaves(program.net_axes(self.shape))
        if f"leaf/{len(axes)}" in snapshot.arrays:
            raise OtherRun(
                "The snapshot is of another run: its networks or its optimiser hold more arrays; start afresh."
            )
        restored = []
        for group in self.groups:
            leaves, tree = jax.tree.flatten((group.parameters, group.state))
            made = []
            for place, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
                now = to_numpy(leaf)
                shape = [self.size if number == axis else length for number, length in enumerate(now.shape)]
                found = checked(snapshot.arrays, f"leaf/{place}", tuple(shape), now.dtype)
                made.append(like(found.take(group.places, axis) if axis >= 0 else found, leaf))
            restored.append(tree.unflatten(made))
        for group, (parameters, state) in zip(self.groups, restored, strict=True):
            group.parameters, group.state = parameters, state
        self.step, self.history, self.healthy = step, history.copy(), healthy.copy()
