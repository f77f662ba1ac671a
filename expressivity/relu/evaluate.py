"""Values of a network at many points, in the precision that was asked for."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expressivity.relu.network import ReLUNetwork, is_traced
from expressivity.relu.program import program
from expressivity.relu.rounding import rounding_bound

_DEEP = 64
# bytes of registers in a chunk, from measured times per point
_SHALLOW, _DEEP_ROW, _DEEP_MATRIX = 1 << 18, 1 << 15, 3 << 15
_warm: set[Any] = set()


def evaluate(
    network: Any, points: Any, dtype: Any = np.float64, chunk: int | None = None, *, sparse: bool = True
) -> Float[np.ndarray, "points outputs"]:
    r"""The values $F(x_1), \dots, F(x_k)$ as an array of shape (k, m), in `dtype`, whatever precision JAX is set to.

    Points run along the fastest axis, in chunks that stay in the cache, on all cores. Layers of deep blocks that keep
    all registers but a few are evaluated row by row (`expressivity.relu.program`). Every value differs from the true
    one by [`rounding_bound`](#expressivity.relu.rounding_bound) at most, dense or not; memory does not grow with depth
    beyond the weights themselves.

    Args:
        network: A `ReLUNetwork` or a `Construction`.
        points: (k, n); k may be 0.
        dtype: `np.float64` or `np.float32`. Weights and points are rounded to it.
        chunk: Points evaluated together; chosen from width and depth by default.
        sparse: Whether kept registers are looked for.

    Raises:
        TypeError: If `network` is neither of the two or traced by JAX, or the points are not real numbers.
        ValueError: If the points are not of shape (k, n) or one is NaN or infinite, if `dtype` is another one, `chunk`
            is below 1, or a construction is asked for in float32 whose rounding there may exceed its `error_bound`.

    >>> import numpy as np
    >>> import expressivity as ex
    >>> ex.evaluate(ex.identity(2, depth=1000), np.array([[0.5, -3.0], [1.0, 2.0]]))
    array([[ 0.5, -3. ],
           [ 1. ,  2. ]])
    """
    dtype = _checked_dtype(dtype)
    net = _checked_network(network)
    points = _checked_points(points, net.input_dim, dtype)
    if net is not network and dtype == np.float32 and len(points):
        _refuse_coarse(network, points)
    found = program(net, dtype, sparse)
    outputs = np.empty((len(points), net.output_dim), dtype)
    with jax.enable_x64(dtype == np.float64):
        steps = jax.tree.map(jnp.asarray, found.steps)
    column = max(net.width, net.input_dim, net.output_dim) * dtype.itemsize
    cache = _SHALLOW if net.depth <= _DEEP else _DEEP_ROW if found.one_row else _DEEP_MATRIX

    def run(part: slice, columns: np.ndarray) -> None:
        outputs[part] = np.asarray(_run(steps, columns)).T[: part.stop - part.start]

    key = (tuple(leaf.shape for leaf in jax.tree.leaves(steps)), str(dtype))
    _in_lanes(run, points, _chunk(chunk, len(points), column, cache), dtype, key)
    return outputs


def evaluate_many(
    networks: ReLUNetwork, points: Any, dtype: Any = np.float64, chunk: int | None = None
) -> Float[np.ndarray, "nets points outputs"]:
    r"""The values of many networks of one architecture at the same points: shape (nets, k, m).

    Args:
        networks: A `ReLUNetwork` whose leaves have a leading axis: weights (nets, layers, out, in), as `jax.vmap` or
            `jax.tree.map(lambda *leaves: np.stack(leaves), *nets)` make them.
        points: (k, n), shared by all.
        dtype: `np.float64` or `np.float32`.
        chunk: Points evaluated together; chosen from the shapes by default.

    Raises:
        TypeError: If `networks` is not a `ReLUNetwork`.
        ValueError: If there is no leading axis, or as in [`evaluate`](#expressivity.evaluate).

    >>> import jax
    >>> import numpy as np
    >>> import expressivity as ex
    >>> nets = jax.tree.map(lambda leaf: np.stack([leaf, 2.0 * leaf]), ex.identity(1, depth=1))
    >>> ex.relu.evaluate_many(nets, [[1.0], [3.0]])[:, :, 0]
    array([[1., 3.],
           [2., 6.]])
    """
    dtype = _checked_dtype(dtype)
    if not isinstance(networks, ReLUNetwork):
        raise TypeError(f"evaluate_many takes one stacked ReLUNetwork; got {type(networks).__name__}.")
    shapes = [np.shape(block.weight) for block in networks.blocks]
    if any(len(shape) != 4 or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(
            f"Stacked networks have weights of shape (nets, layers, out, in) with one number of nets; got {shapes}."
        )
    points = _checked_points(points, networks.input_dim, dtype)
    outputs = np.empty((shapes[0][0], len(points), networks.output_dim), dtype)
    steps = tuple((np.asarray(block.weight, dtype), np.asarray(block.bias, dtype)) for block in networks.blocks)
    with jax.enable_x64(dtype == np.float64):
        steps = jax.tree.map(jnp.asarray, steps)
    column = max(networks.width, networks.input_dim, networks.output_dim) * dtype.itemsize
    cache = _SHALLOW if networks.depth <= _DEEP else _DEEP_MATRIX

    def run(part: slice, columns: np.ndarray) -> None:
        values = np.asarray(_run_many(steps, columns))
        outputs[:, part] = values.transpose(0, 2, 1)[:, : part.stop - part.start]

    key = ("many", tuple(shapes), str(dtype))
    _in_lanes(run, points, _chunk(chunk, len(points), column, cache), dtype, key)
    return outputs


def _feature_major(steps: Any, columns: Any) -> Any:
    """Values (m, points) of the steps of a program at points (n, points)."""
    h = columns
    for step in steps[:-1]:
        h = _rows(step, h) if len(step) == 3 else _dense(step, h)
    weight, bias = steps[-1]
    return _layer(weight[0], bias[0], h)


def _layer(weight: Any, bias: Any, h: Any) -> Any:
    return jnp.matmul(weight, h, precision="highest") + bias[:, None]


def _dense(step: Any, h: Any) -> Any:
    weight, bias = step
    if weight.shape[0] == 1:
        return jax.nn.relu(_layer(weight[0], bias[0], h))
    return jax.lax.scan(lambda h, layer: (jax.nn.relu(_layer(*layer, h)), None), h, (weight, bias))[0]


def _rows(step: Any, h: Any) -> Any:
    changed = step[0].shape[1]

    def update(h: Any, layer: Any) -> tuple[Any, None]:
        index, weight, bias = layer
        new = jax.nn.relu(_layer(weight, bias, h))
        for j in range(changed):
            h = jax.lax.dynamic_update_slice(h, new[j : j + 1], (index[j], jnp.int32(0)))
        return h, None

    return jax.lax.scan(update, h, step)[0]


_run: Callable[[Any, Any], Any] = jax.jit(_feature_major)
_run_many: Callable[[Any, Any], Any] = jax.jit(
    lambda steps, columns: jax.lax.map(lambda one: _feature_major(one, columns), steps)
)


def _in_lanes(
    run: Callable[[slice, np.ndarray], None], points: np.ndarray, size: int, dtype: np.dtype, key: Any
) -> None:
    """Calls `run` on all chunks of `size` points, the last one filled up, on as many threads as there are cores."""

    def one(part: slice) -> None:
        columns = np.zeros((points.shape[1], size), dtype)
        columns[:, : part.stop - part.start] = points[part].T
        with jax.enable_x64(dtype == np.float64):
            run(part, columns)

    parts = [slice(i, min(i + size, len(points))) for i in range(0, len(points), size)]
    if parts and (key, size) not in _warm:  # compiled once, before the lanes start
        one(parts.pop(0))
        _warm.add((key, size))
    if len(parts) <= 1 or _lanes() == 1:
        for part in parts:
            one(part)
        return
    with ThreadPoolExecutor(_lanes()) as pool:
        for _ in pool.map(one, parts):
            pass


def _lanes() -> int:
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunk(chunk: int | None, count: int, column: int, cache: int) -> int:
    """Points a chunk: `chunk` itself, or so many that registers of `column` bytes a point fill `cache` bytes.

    Sizes are rounded up to a 16th of a power of two, so that few programs are compiled.
    """
    if chunk is not None:
        if isinstance(chunk, bool) or not isinstance(chunk, int | np.integer) or chunk < 1:
            raise ValueError(f"A chunk holds at least one point; got chunk={chunk!r}.")
        return int(chunk)
    cpu = jax.default_backend() == "cpu"
    limit = min(4096, max(256, cache // column)) if cpu else max(1024, (1 << 28) // column)
    parts = math.ceil(count / limit)
    if parts > 8:
        return limit
    if parts > 1 or (cache != _SHALLOW and count >= 64 * _lanes()):
        parts = _lanes() * math.ceil(parts / _lanes())
    size = max(1, math.ceil(count / max(1, parts)))
    unit = max(1, (1 << size.bit_length() - 1) // 16)
    return unit * math.ceil(size / unit)


def _checked_dtype(dtype: Any) -> np.dtype:
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"Networks are evaluated in float64 or float32, not in {dtype!r}.") from None
    if found not in (np.float64, np.float32):
        raise ValueError(f"Networks are evaluated in float64 or float32, not in {found}.")
    return found


def _checked_network(network: Any) -> ReLUNetwork:
    found = getattr(network, "network", network)
    if not isinstance(found, ReLUNetwork):
        raise TypeError(f"evaluate takes a ReLUNetwork or a Construction; got {type(network).__name__}.")
    if any(is_traced(leaf) for leaf in jax.tree.leaves(found)):
        raise TypeError("evaluate works on known weights; inside jit or grad use jax.vmap(network)(points).")
    if any(np.ndim(block.weight) != 3 for block in found.blocks):
        raise ValueError(
            f"evaluate takes one network; the weights here have shape {np.shape(found.blocks[0].weight)}, "
            "so this is a stack of networks: use relu.evaluate_many."
        )
    return found


def _checked_points(points: Any, dim: int, dtype: np.dtype) -> np.ndarray:
    if is_traced(points):
        raise TypeError("evaluate works on known points; inside jit or grad use jax.vmap(network)(points).")
    try:
        given = np.asarray(points)
    except ValueError as error:
        raise ValueError(f"The points are not an array: {error}") from None
    if given.size == 0 and given.ndim < 2:
        given = np.zeros((0, dim))
    if given.dtype.kind not in "iufb":
        raise TypeError(f"Points are real numbers; got an array of {given.dtype}.")
    if given.ndim != 2 or given.shape[1] != dim:
        raise ValueError(f"This network reads points of shape (points, {dim}); got shape {given.shape}.")
    with np.errstate(over="ignore"):
        found = given.astype(dtype, copy=False)
    if not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found).all(1)))
        raise ValueError(f"Points are finite in {dtype}; point {row} is {given[row].tolist()}.")
    return found


def _refuse_coarse(construction: Any, points: np.ndarray) -> None:
    bound = rounding_bound(construction.network, points.min(0), points.max(0), points.dtype)
    if not bound <= construction.error_bound:
        raise ValueError(
            f"In {points.dtype} the values of this construction may be off by {bound:.3g}, more than its error bound "
            f"{construction.error_bound:.3g}; evaluate it in float64, or evaluate its network alone."
        )
