"""The parts of one spread-out network that the devices of this process hold: drawn, kept and restored."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from expressivity.models.mlp import MLP
from expressivity.training.states import checked, to_numpy


def spread(array: Any, sharding: Any) -> Any:
    """An array that every process holds, as one that is spread out."""
    return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def fresh(family: MLP, key: Any, width: int, shapes: Any, where: Any) -> Any:
    """The parameters of `family.init(key, width)` for one network; each device's part is drawn by its own process."""

    def weight(layers: tuple[int, ...], like: Any, sharding: Any) -> Any:
        def part(index: Any) -> np.ndarray:
            spans = [range(*one.indices(length)) for one, length in zip(index, like.shape, strict=True)]
            rows, columns = spans[-2:]
            made = np.zeros([len(span) for span in spans], like.dtype)
            for place, layer in enumerate(layers):
                height = family.output_dim if layer == family.hidden_layers else width
                first = min(rows.start, height)
                drawn = family.rows(key, width, layer, first, max(first, min(rows.stop, height)))
                drawn = drawn[:, columns.start : columns.stop]
                at = made[place, 0] if made.ndim == 4 else made[0]
                at[: drawn.shape[0], : drawn.shape[1]] = drawn
            return made

        return jax.make_array_from_callback(like.shape, sharding, part)

    def zeros(like: Any, sharding: Any) -> Any:
        lengths = sharding.shard_shape(like.shape)
        return jax.make_array_from_callback(like.shape, sharding, lambda _: np.zeros(lengths, like.dtype))

    numbers = (0,), tuple(range(1, family.hidden_layers)), (family.hidden_layers,)
    return tuple(
        (weight(layers, *one), zeros(*other))
        for layers, (one, other) in zip(
            numbers, (tuple(zip(a, b, strict=True)) for a, b in zip(shapes, where, strict=True)), strict=True
        )
    )


def _name(index: tuple[slice, ...], shape: tuple[int, ...]) -> str:
    return "/".join(str(one.indices(length)[0]) for one, length in zip(index, shape, strict=True))


_data = jax.random.key_data


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def held(tree: Any) -> dict[str, np.ndarray]:
    """The parts of this process by name, as copies, since a program may overwrite its arguments."""
    arrays = {}
    for place, leaf in enumerate(jax.tree.leaves(tree)):
        if _is_key(leaf):  # every device holds it
            arrays[f"leaf/{place}"] = to_numpy(leaf)
            continue
        for shard in leaf.addressable_shards:
            name = f"leaf/{place}/{_name(shard.index, leaf.shape)}"
            if name not in arrays:
                arrays[name] = to_numpy(shard.data)
    return arrays


def restored(arrays: Mapping[str, np.ndarray], shapes: Any, where: Any) -> Any:
    """The tree that `held` was read from, spread out as it was.

    Args:
        arrays: What every process held itself.
        shapes: The shapes and dtypes of the tree's leaves.
        where: Their shardings.

    Raises:
        OtherRun: If a part is missing or does not fit.
    """
    leaves, tree = jax.tree.flatten(shapes)
    made = []
    for place, (like, sharding) in enumerate(zip(leaves, jax.tree.leaves(where), strict=True)):
        if _is_key(like):
            kinds: list[Any] = []
            numbers = jax.eval_shape(lambda key, to=kinds: to.append(jax.random.key_impl(key)) or _data(key), like)
            found = checked(arrays, f"leaf/{place}", numbers.shape, numbers.dtype)
            made.append(jax.random.wrap_key_data(spread(found, sharding), impl=kinds[0]))
            continue
        here = sharding.addressable_devices_indices_map(like.shape).values()
        names = {_name(index, like.shape) for index in here}
        lengths = sharding.shard_shape(like.shape)
        parts = {name: checked(arrays, f"leaf/{place}/{name}", lengths, like.dtype) for name in names}

        def part(index: Any, parts: Any = parts, shape: Any = like.shape) -> np.ndarray:
            return parts[_name(index, shape)].copy()

        made.append(jax.make_array_from_callback(like.shape, sharding, part))
    return tree.unflatten(made)
