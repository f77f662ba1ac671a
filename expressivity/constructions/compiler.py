"""Programs on registers that compute a wide network with few units a layer."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from expressivity.relu.network import Layer, ReLUNetwork

Registers = np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Bound:
    r"""The functions $K_i |x|_1 + C_i$, one for each of several units: limits of their values, or offsets of sums."""

    norm: np.ndarray
    constant: np.ndarray

    def __getitem__(self, units: slice | np.ndarray) -> "Bound":
        return Bound(self.norm[units], self.constant[units])


class Tape:
    r"""The layers of a program, written one after the other; the last one is open.

    On the cube $[-R, R]^n$ the point is held as $x + R$ in n registers; on $\mathbb R^n$ (`half_width` None) as
    $x^+, x^-$ in 2 n, so that $|x|_1$ is linear in the registers. Either way every affine function of x is affine in
    the registers. The other registers are 0 at first; a register that a layer does not set keeps its value.
    """

    def __init__(self, dim: int, half_width: float | None, width: int) -> None:
        self.dim, self.half_width, self.width = dim, half_width, width
        self.base = dim if half_width is not None else 2 * dim
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        if half_width is None:
            self.weights.append(np.concatenate([np.eye(dim), -np.eye(dim), np.zeros((width - 2 * dim, dim))]))
            self.biases.append(np.zeros(width))

    def begin(self) -> None:
        """Opens a layer that keeps all registers."""
        bias = np.zeros(self.width)
        if not self.weights:
            bias[: self.dim] = self.half_width
        self.weights.append(np.eye(self.width, self.width if self.weights else self.dim))
        self.biases.append(bias)

    def load(self, registers: Registers, weight: np.ndarray, bias: np.ndarray) -> None:
        """registers <- weight x + bias."""
        rows = np.zeros((len(bias), self.weights[-1].shape[1]))
        rows[:, : self.dim] = weight
        if len(self.weights) > 1 and self.half_width is None:
            rows[:, self.dim : self.base] = -weight
        elif len(self.weights) > 1:
            bias = bias - self.half_width * weight.sum(1)
        self.weights[-1][registers], self.biases[-1][registers] = rows, bias

    def reset(self, registers: Registers, offset: Bound) -> None:
        """registers <- offset."""
        rows = np.zeros((len(offset.constant), self.weights[-1].shape[1]))
        if self.half_width is None:
            rows[:, : self.base] = offset.norm[:, None]
        self.weights[-1][registers], self.biases[-1][registers] = rows, offset.constant

    def add(self, registers: Registers, factors: np.ndarray, sources: Registers) -> None:
        """registers <- registers + factors sources."""
        self.weights[-1][np.ix_(registers, sources)] += factors

    def total(self, sums: Registers, factors: np.ndarray, sources: Registers, bias: np.ndarray, offset: Bound) -> Layer:
        """Rows and biases of sums + factors sources + bias - offset."""
        rows = np.zeros((len(bias), self.width))
        rows[np.arange(len(bias)), sums] = 1.0
        rows[:, sources] += factors
        if self.half_width is None:
            rows[:, : self.base] -= offset.norm[:, None]
        return rows, bias - offset.constant

    def put(self, registers: Registers, layer: Layer) -> None:
        """registers <- these rows and biases."""
        self.weights[-1][registers], self.biases[-1][registers] = layer

    def end(self, last: Layer) -> ReLUNetwork:
        weights, biases = np.zeros((0, self.width, self.width)), np.zeros((0, self.width))
        if len(self.weights) > 1:
            weights, biases = np.stack(self.weights[1:]), np.stack(self.biases[1:])
        return ReLUNetwork.from_stacked((self.weights[0], self.biases[0]), weights, biases, last)

    def registers(self, *counts: int) -> list[Registers]:
        """The numbers of the free registers, in groups of these sizes."""
        ends = self.base + np.cumsum([0, *counts])
        return [np.arange(a, b) for a, b in pairwise(ends)]

    def first_limit(self, weight: np.ndarray, bias: np.ndarray) -> Bound:
        """Limits of the units of a first hidden layer."""
        if self.half_width is None:
            return Bound(np.abs(weight).max(1), np.maximum(bias, 0.0))
        constant = np.maximum(bias + self.half_width * np.abs(weight).sum(1), 0.0)
        return Bound(np.zeros(len(bias)), constant)


def one_hidden(tape: Tape, layers: list[Layer], inner: int) -> ReLUNetwork:
    """One hidden layer, `inner` units at a time."""
    (w, b), (u, c) = layers
    offset = _offset(u, tape.first_limit(w, b))
    slots, sums = tape.registers(inner, len(c))
    before = np.arange(0)
    for group in _groups(len(b), inner):
        tape.begin()
        if group[0] == 0:
            tape.reset(sums, offset)
        else:
            tape.add(sums, u[:, before], slots[: len(before)])
        tape.load(slots[: len(group)], w[group], b[group])
        before = group
    return tape.end(tape.total(sums, u[:, before], slots[: len(before)], c, offset))


def two_hidden(tape: Tape, layers: list[Layer], inner: int, outer: int) -> ReLUNetwork:
    """Two hidden layers, `inner` units of the first and `outer` of the second at a time."""
    (w, b), (v, d), (u, c) = layers
    first = tape.first_limit(w, b)
    middle, offset = _offset(v, first), _offset(u, _limit(v, d, first))
    slots, holds, sums = tape.registers(inner, outer, len(c))
    done = before = np.arange(0)
    for block in _groups(len(d), outer):
        hold = holds[: len(block)]
        for group in _groups(len(b), inner):
            tape.begin()
            if group[0] == 0:
                # the finished units of the block before are read while their registers begin anew
                if block[0] == 0:
                    tape.reset(sums, offset)
                else:
                    tape.add(sums, u[:, done], holds[: len(done)])
                tape.reset(hold, middle[block])
            else:
                tape.add(hold, v[np.ix_(block, before)], slots[: len(before)])
            tape.load(slots[: len(group)], w[group], b[group])
            before = group
        tape.begin()
        rest = v[np.ix_(block, before)]
        tape.put(hold, tape.total(hold, rest, slots[: len(before)], d[block], middle[block]))
        done = block
    return tape.end(tape.total(sums, u[:, done], holds[: len(done)], c, offset))


def deep(tape: Tape, layers: list[Layer]) -> ReLUNetwork:
    """Any number of hidden layers, one unit at a time: a unit is computed again for every unit that reads it."""
    *hidden, (u, c) = layers
    limits = [tape.first_limit(*hidden[0])]
    for v, d in hidden[1:]:
        limits.append(_limit(v, d, limits[-1]))
    offsets = [_offset(v, limit) for (v, _), limit in zip(layers[1:], limits, strict=True)]
    slot, *partial, sums = tape.registers(1, *[1] * (len(hidden) - 1), len(c))
    waiting: list[Callable[[], None]] = [lambda: tape.reset(sums, offsets[-1])]

    def open_layer() -> None:
        tape.begin()
        for action in waiting:
            action()
        waiting.clear()

    def unit(level: int, j: np.ndarray) -> None:
        """Puts unit j of hidden layer `level` (from 0) into the slot."""
        w, b = hidden[level]
        if level == 0:
            open_layer()
            tape.load(slot, w[j], b[j])
            return
        own, offset = partial[level - 1], offsets[level - 1][j]
        waiting.append(lambda: tape.reset(own, offset))
        for i in range(w.shape[1]):
            unit(level - 1, np.array([i]))
            if i < w.shape[1] - 1:
                waiting.append(lambda i=i: tape.add(own, w[j, i : i + 1], slot))
        open_layer()
        tape.put(slot, tape.total(own, w[j, -1:], slot, b[j], offset))

    for j in range(u.shape[1]):
        unit(len(hidden) - 1, np.array([j]))
        if j < u.shape[1] - 1:
            waiting.append(lambda j=j: tape.add(sums, u[:, j : j + 1], slot))
    return tape.end(tape.total(sums, u[:, -1:], slot, c, offsets[-1]))


def _limit(weight: np.ndarray, bias: np.ndarray, before: Bound) -> Bound:
    """Limits of units that read units with the limits `before`."""
    positive = np.maximum(weight, 0.0)
    return Bound(positive @ before.norm, np.maximum(bias + positive @ before.constant, 0.0))


def _offset(weight: np.ndarray, limit: Bound) -> Bound:
    """What has to be added to sums of `weight` times units so that no partial sum is below 0."""
    negative = np.maximum(-weight, 0.0)
    return Bound(negative @ limit.norm, negative @ limit.constant)


def _groups(count: int, size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
