r"""The activation regions of a network on a box in one, two or three dimensions.

A region is the open set on which every hidden unit has one sign: a polytope, on which the network is affine. Regions
are found layer by layer: a region of the first layers is cut by the zero sets of the next layer's units, and a part is
kept if a ball of positive radius fits into it. The ball is the largest one, found by a linear program (HiGHS), and its
radius is computed again from the centre, so an empty part is never taken for a region.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from expressivity.relu.network import ReLUNetwork, is_traced

MARGIN = 1e-9
"""A part whose largest inscribed ball has a radius below this share of the box's largest side is taken as empty."""


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    r"""One activation region: $\{x : A x \le c\}$ with its network $x \mapsto W x + b$.

    Args:
        pattern: For every hidden unit, first layer first, whether it is positive inside.
        weight: W, shape (m, n).
        bias: b, shape (m,).
        normals: A with rows of length 1, shape (faces, n); the box's faces come first, redundant ones are not removed.
        offsets: c.
        center: The centre of the largest ball inside.
        radius: Its radius.
    """

    pattern: Bool[np.ndarray, " units"]
    weight: Float[np.ndarray, "m n"]
    bias: Float[np.ndarray, " m"]
    normals: Float[np.ndarray, "faces n"]
    offsets: Float[np.ndarray, " faces"]
    center: Float[np.ndarray, " n"]
    radius: float

    def polygon(self) -> Float[np.ndarray, "corners 2"]:
        """The corners of a region in the plane, counter-clockwise.

        Raises:
            ValueError: If the region is not two-dimensional.
        """
        if self.normals.shape[1] != 2:
            raise ValueError(f"A polygon lies in the plane; this region has dimension {self.normals.shape[1]}.")
        return clip(self.normals, self.offsets)


def activation_regions(network: ReLUNetwork, box: Any, *, budget: int = 20_000) -> list[Region]:
    """All activation regions with interior on a box.

    Float64 with a margin: parts thinner than 1e-9 of the box's largest side are dropped, so two hyperplanes nearer than
    that to each other count as one. A unit whose weights and bias vanish on a region counts as not positive.

    Args:
        network: In one, two or three inputs.
        box: A `Box`, or two corners of n numbers each.
        budget: How many linear programs may be solved.

    Raises:
        ValueError: If the network has more than three inputs, the box does not fit, or the budget is used up.

    >>> import expressivity as ex
    >>> found = ex.relu.activation_regions(ex.identity(2, depth=2), ([-1, -1], [1, 1]))
    >>> len(found), found[0].weight.tolist()
    (4, [[1.0, 0.0], [0.0, 1.0]])
    """
    lower, upper = checked_box(network, box)
    n = network.input_dim
    scale = float((upper - lower).max())
    programs = _Programs(budget, MARGIN * scale)
    center = (lower + upper) / 2
    normals, offsets = np.concatenate([np.eye(n), -np.eye(n)]), np.concatenate([upper, -lower])
    start = Region(
        np.zeros(0, bool), np.eye(n), np.zeros(n), normals, offsets, center, float((upper - lower).min()) / 2
    )
    found = [start]
    layers = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in network.layers]
    for weight, bias in layers[:-1]:
        found = [part for region in found for part in _split(region, weight, bias, programs)]
    weight, bias = layers[-1]
    return [dataclasses.replace(r, weight=weight @ r.weight, bias=weight @ r.bias + bias) for r in found]


def count_regions(network: ReLUNetwork, box: Any, affine_pieces: bool = False, *, budget: int = 20_000) -> int:
    r"""The number of activation patterns that occur on an open subset of a box.

    With `affine_pieces` regions that touch in a common face and carry the same affine map (to 1e-9 relative) count
    once. On an interval that is the number of pieces.

    Args:
        network: In one, two or three inputs.
        box: A `Box`, or two corners of n numbers each.
        affine_pieces: Whether to count affine pieces instead of activation patterns.
        budget: How many linear programs may be solved.

    Raises:
        ValueError: As in [`activation_regions`](#expressivity.relu.activation_regions).

    >>> import expressivity as ex
    >>> ex.relu.count_regions(ex.identity(2, depth=2), ([-1, -1], [1, 1]))
    4
    >>> ex.relu.count_regions(ex.identity(2, depth=2), ([-1, -1], [1, 1]), affine_pieces=True)
    1
    """
    lower, upper = checked_box(network, box)
    found = activation_regions(network, (lower, upper), budget=budget)
    if not affine_pieces:
        return len(found)
    return len(set(_merged(found, MARGIN * float((upper - lower).max()), budget)))


def checked_box(network: ReLUNetwork, box: Any) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a box in the input space of a network of at most three inputs.

    Raises:
        ValueError: If the network has more inputs, or the corners do not fit.
        TypeError: If `network` is no `ReLUNetwork`, or the weights are traced by JAX.
    """
    if not isinstance(network, ReLUNetwork):
        raise TypeError(f"Regions are those of a ReLUNetwork; got {type(network).__name__}.")
    if any(is_traced(leaf) for block in network.blocks for leaf in (block.weight, block.bias)):
        raise TypeError("Regions need the values of the weights; inside jit or grad they are not known.")
    n = network.input_dim
    if n > 3:
        raise ValueError(f"Regions are counted in one, two or three dimensions; this network has {n} inputs.")
    corners = box.box if hasattr(box, "box") else box
    try:
        lower, upper = (np.asarray(corner, np.float64) for corner in corners)
    except (TypeError, ValueError):
        raise ValueError(f"A box is a Box or a pair of corners; got {box!r}.") from None
    if lower.shape != (n,) or upper.shape != (n,) or not (np.isfinite([lower, upper]).all() and np.all(lower < upper)):
        raise ValueError(
            f"A box has a finite lower corner below its upper one, {n} numbers each; got {lower.tolist()} and "
            f"{upper.tolist()}."
        )
    return lower, upper


def clip(normals: np.ndarray, offsets: np.ndarray) -> Float[np.ndarray, "corners 2"]:
    """The corners, counter-clockwise, of a bounded polygon whose first four half-planes are those of a box.

    >>> clip(np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 1]]), np.array([1.0, 1, 0, 0, 1])).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    (right, top), (left, bottom) = offsets[:2], 0.0 - offsets[2:4]
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    for normal, offset in zip(normals[4:], offsets[4:], strict=True):
        if len(corners) == 0:
            break
        height = corners @ normal - offset
        kept = []
        for point, after, h, k in zip(corners, np.roll(corners, -1, 0), height, np.roll(height, -1), strict=True):
            if h <= 0:
                kept.append(point)
            if (h < 0 < k) or (k < 0 < h):
                kept.append(point + h / (h - k) * (after - point))
        corners = np.array(kept).reshape(-1, 2)
    if len(corners) > 1:
        apart = np.any(corners != np.roll(corners, 1, 0), axis=1)
        corners = corners[apart]
    return corners


class _Programs:
    """Largest balls in polytopes, counted against a budget."""

    def __init__(self, budget: int, smallest: float) -> None:
        if isinstance(budget, bool) or not hasattr(budget, "__index__"):
            raise TypeError(f"A budget is a whole number of linear programs, not {budget!r}.")
        self.budget, self.smallest, self.solved = budget, smallest, 0

    def ball(self, normals: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Centre and radius of the largest ball, or None where it is too small."""
        n = normals.shape[1]
        if n == 1:
            high = np.min(offsets[normals[:, 0] > 0] / normals[normals[:, 0] > 0, 0])
            low = np.max(offsets[normals[:, 0] < 0] / normals[normals[:, 0] < 0, 0])
            radius = (high - low) / 2
            return (np.array([(low + high) / 2]), float(radius)) if radius > self.smallest else None
        from scipy.optimize import linprog

        self.spend()
        cost = np.append(np.zeros(n), -1.0)
        rows = np.concatenate([normals, np.ones((len(normals), 1))], axis=1)
        tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = linprog(cost, rows, offsets, bounds=(None, None), method="highs", options=tight)
        if found.status != 0:
            raise RuntimeError(f"HiGHS could not solve a linear program of {n + 1} unknowns: {found.message}")
        center = found.x[:n]
        radius = float(np.min(offsets - normals @ center))
        return (center, radius) if radius > self.smallest else None

    def spend(self) -> None:
        self.solved += 1
        if self.solved > self.budget:
            raise ValueError(
                f"The regions of this network need more than {self.budget} linear programs; give a larger budget, a "
                "smaller box, or count along segments with relu.pieces."
            )


def _split(region: Region, weight: np.ndarray, bias: np.ndarray, programs: _Programs) -> Iterable[Region]:
    """The parts of a region on which all units of the next layer have one sign; maps are those after the ReLU."""
    slopes, heights = weight @ region.weight, weight @ region.bias + bias
    parts = [(region, np.zeros(0, bool))]
    for row, slope, height in zip(weight, slopes, heights, strict=True):
        length = float(np.linalg.norm(slope))
        # what rounding can make of a slope that is 0
        noise = 1e-14 * float(np.linalg.norm(np.abs(row) @ np.abs(region.weight)))
        if length <= noise:
            parts = [(part, np.append(signs, height > 0)) for part, signs in parts]
            continue
        # (normal, offset) of the half-space where the unit is positive: -slope . x <= height
        normal, offset = -slope / length, height / length
        cut: list[tuple[Region, np.ndarray]] = []
        for part, signs in parts:
            for side, positive in ((1.0, True), (-1.0, False)):
                kept = _cut(part, side * normal, side * offset, programs)
                if kept is not None:
                    cut.append((kept, np.append(signs, positive)))
        parts = cut
    for part, signs in parts:
        yield dataclasses.replace(
            part,
            pattern=np.concatenate([region.pattern, signs]),
            weight=np.where(signs[:, None], slopes, 0.0),
            bias=np.where(signs, heights, 0.0),
        )


def _cut(part: Region, normal: np.ndarray, offset: float, programs: _Programs) -> Region | None:
    """The part where normal . x <= offset, or None if it has no interior."""
    n = len(normal)
    upper, lower = part.offsets[:n], -part.offsets[n : 2 * n]
    if float(np.maximum(normal * upper, normal * lower).sum()) <= offset:
        return part
    if float(np.minimum(normal * upper, normal * lower).sum()) >= offset:
        return None
    normals, offsets = np.concatenate([part.normals, normal[None]]), np.append(part.offsets, offset)
    ball = programs.ball(normals, offsets)
    return (
        None
        if ball is None
        else dataclasses.replace(part, normals=normals, offsets=offsets, center=ball[0], radius=ball[1])
    )


def _merged(found: list[Region], smallest: float, budget: int) -> list[int]:
    """For each region the number of the piece it belongs to."""
    owner = list(range(len(found)))

    def root(i: int) -> int:
        while owner[i] != i:
            owner[i] = owner[owner[i]]
            i = owner[i]
        return i

    programs = _Programs(budget, smallest)
    maps = np.array([np.append(r.weight.ravel(), r.bias) for r in found])
    size = np.abs(maps).max(initial=1.0)
    for i, first in enumerate(found):
        same = np.flatnonzero(np.all(np.abs(maps[i + 1 :] - maps[i]) <= MARGIN * size, axis=1)) + i + 1
        for j in same.tolist():
            if root(i) != root(j) and _touch(first, found[j], programs):
                owner[root(j)] = root(i)
    return [root(i) for i in range(len(found))]


def _touch(first: Region, second: Region, programs: _Programs) -> bool:
    """Whether the two closures share a face: a ball around a common point, flattened along one hyperplane, fits.

    Regions lie on different sides of some hyperplane that both have among theirs. With the two inequalities of it made
    an equation, the others must leave room for a ball of the hyperplane.
    """
    for normal, offset in zip(first.normals, first.offsets, strict=True):
        near = np.abs(second.offsets + offset) <= 10 * programs.smallest
        opposite = (np.abs(second.normals + normal).max(1) <= MARGIN) & near
        if opposite.any() and _facet(first, second, normal, offset, programs):
            return True
    return False


def _facet(first: Region, second: Region, normal: np.ndarray, offset: float, programs: _Programs) -> bool:
    normals = np.concatenate([first.normals, second.normals])
    offsets = np.concatenate([first.offsets, second.offsets])
    basis = np.linalg.svd(normal[None])[2][1:]  # an orthonormal basis of the hyperplane's directions
    foot = offset * normal
    if len(basis) == 0:
        return bool(np.all(normals @ foot <= offsets + 10 * programs.smallest))
    flat, room = normals @ basis.T, offsets - normals @ foot
    lengths = np.linalg.norm(flat, axis=1)
    parallel = lengths <= 1e-7
    if np.any(room[parallel] < -10 * programs.smallest):
        return False
    return programs.ball(flat[~parallel] / lengths[~parallel, None], room[~parallel] / lengths[~parallel]) is not None
