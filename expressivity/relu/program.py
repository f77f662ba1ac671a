r"""Networks as straight-line programs on registers, found from the weights.

A hidden layer of constant width is a map on nonnegative registers. A row that is the unit vector $e_i$ with bias 0
keeps register i, because $\sigma(h_i) = h_i$ for $h_i \ge 0$. Constructed networks keep all registers but one or two in
most layers, and then three ways lead to the same values:

- *dense*: every layer is a product with its matrix;
- *rows*: every layer computes its k changed rows together and keeps the others;
- *serial*: the changed rows are written one after the other. This is the layer itself when every row is written before
  a register that it reads is overwritten, which is possible unless the reads form a cycle. A value that nobody reads
  before it is overwritten again is never computed.

All three compute the same sums of the same products; only the order in which a sum is added up may differ.
"""

import dataclasses
from typing import Any

import numpy as np

from expressivity.relu.network import ReLUNetwork

SHORTEST = 16
"""Blocks below this number of layers are not searched for kept rows."""

_ROWS = {0: 0.0, 1: 1.0, 2: 1.9, 3: 2.4}

Dense = tuple[np.ndarray, np.ndarray]
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Program:
    """The steps of a network: `(W, b)` of shapes (layers, out, in), (layers, out), or, for layers that change k rows of
    w registers, `(index, W, b)` of shapes (steps, k), (steps, k, w), (steps, k).

    Args:
        steps: All but the last are followed by ReLU in every layer; the last is the output layer.
    """

    steps: tuple[Dense | Rows, ...]

    @property
    def one_row(self) -> bool:
        """Whether the longest step writes one row at a time."""
        longest = max(self.steps, key=lambda step: len(step[0]))
        return len(longest) == 3 and longest[0].shape[1] == 1

    @property
    def row_updates(self) -> int:
        """How many rows are multiplied for one point: a measure of the work."""
        return sum(step[-1].size for step in self.steps)


def program(network: ReLUNetwork, dtype: Any = np.float64, sparse: bool = True) -> Program:
    """The cheapest of the three ways for every block; with `sparse=False` the dense one.

    >>> import expressivity as ex
    >>> len(program(ex.identity(2, depth=100)).steps[1][0])  # all 98 layers in between keep all registers
    0
    """
    steps: list[Dense | Rows] = []
    for number, block in enumerate(network.blocks):
        weight, bias = np.asarray(block.weight, dtype), np.asarray(block.bias, dtype)
        if not sparse or block.layers < SHORTEST:
            steps.append((weight, bias))
            continue
        if number == 0:  # its first layer reads the point, which may be negative: no row of it keeps anything
            steps.append((weight[:1], bias[:1]))
            weight, bias = weight[1:], bias[1:]
        read_later = np.any(np.asarray(network.blocks[number + 1].weight) != 0, axis=(0, 1))
        steps.append(_cheapest(weight, bias, read_later))
    return Program(tuple(steps))


def _cheapest(weight: np.ndarray, bias: np.ndarray, read_later: np.ndarray) -> Dense | Rows:
    layers, width = bias.shape
    changed = bias != 0
    for column, unit in enumerate(np.eye(width, dtype=weight.dtype)):
        changed |= weight[:, :, column] != unit
    counts = changed.sum(1)
    most = int(counts.max(initial=0))
    # measured times of a step in units of a single row
    dense, rows = layers * max(1.0, 0.66 * width), layers * _ROWS.get(most, np.inf)
    order = _order(weight, changed, counts) if counts.sum() <= 2 * min(dense, rows) else None
    if order is not None:
        found = _serial(weight, bias, order, read_later)
        if len(found[0]) <= min(dense, rows):
            return found
    return (weight, bias) if dense <= rows else _grouped(weight, bias, changed, most)


def _order(weight: np.ndarray, changed: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
    """For every layer and changed row the turn at which it is written, -1 for kept ones; None if there is a cycle.

    Row i goes before row j where i reads j and j is changed.
    """
    turn = np.where(changed, 0, -1).astype(np.int32)
    several = np.flatnonzero(counts > 1)
    if len(several) == 0:
        return turn
    width = changed.shape[1]
    reads = (weight[several] != 0) & ~np.eye(width, dtype=bool)
    waiting, turns = changed[several], turn[several]
    for number in range(min(width, int(counts.max()))):
        still_read = np.zeros_like(waiting)
        for row in range(width):
            still_read |= reads[:, row] & waiting[:, row, None]
        ready = waiting & ~still_read
        turns[ready] = number
        waiting &= ~ready
    turn[several] = turns
    return None if waiting.any() else turn


def _serial(weight: np.ndarray, bias: np.ndarray, turn: np.ndarray, read_later: np.ndarray) -> Rows:
    width = bias.shape[1]
    where, row = np.nonzero(turn >= 0)
    if turn.max(initial=0) > 0:
        by_turn = np.lexsort((turn[where, row], where))
        where, row = where[by_turn], row[by_turn]
    weights, biases = weight[where, row], bias[where, row]
    alive = np.ones(len(row), dtype=bool)
    read = np.zeros((len(row) + 1, width), dtype=np.int32)
    np.cumsum(weights != 0, axis=0, out=read[1:])
    for register in range(width):
        writes = np.flatnonzero(row == register)
        if len(writes) == 0:
            continue
        # reads of the register after a write, up to and including the step that writes it next
        alive[writes[:-1]] = read[writes[1:] + 1, register] > read[writes[:-1] + 1, register]
        alive[writes[-1]] = read_later[register] or read[-1, register] > read[writes[-1] + 1, register]
    return row[alive, None].astype(np.int32), weights[alive, None], biases[alive, None]


def _grouped(weight: np.ndarray, bias: np.ndarray, changed: np.ndarray, most: int) -> Rows:
    """Changed rows first; where there are fewer, some kept rows are written as they are."""
    index = np.argsort(~changed, axis=1, kind="stable")[:, :most]
    layer = np.arange(len(bias))[:, None]
    return index.astype(np.int32), weight[layer, index], bias[layer, index]
