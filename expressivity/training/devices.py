r"""Devices: which ones a training takes, and how its arrays lie on them.

Networks that are trained together do not speak to each other, so the axis along which they lie is cut into equal parts,
one a device (`jax.sharding.NamedSharding` on a mesh of one axis, "nets"); every device takes the steps of its own part,
with the program that one device would run, and all read the same minibatches. No device waits for another within a
call. What limits the gain: the minibatches are made on one device and copied to every other, a call ends when the
slowest device ends, places are filled up with copies to the same number on each, and virtual devices of a CPU share its
cores. On two cores two virtual devices took 1.02 to 1.05 times as long as two threads that run the program of one
device (medians of five interleaved rounds; widths 4 and 16, six hidden layers, batch 512, 16 or 32 nets; the machine
also ran another training at low priority), so they gain nothing there.

How networks for images lie on devices says `expressivity.training.image_devices`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

NETS = "nets"


def chosen(devices: Any = None) -> tuple[Any, ...]:
    """The devices of this process that a training may take.

    JAX limits them by itself: by `JAX_CUDA_VISIBLE_DEVICES`, by `jax.config.update("jax_num_cpu_devices", n)` before
    its first use, and by `with jax.default_device(device):`, which leaves one.

    Args:
        devices: None for all, a number for the first so many, or a sequence of JAX devices.

    Raises:
        TypeError: If it is none of these.
        ValueError: If there are fewer, none is given, one is given twice, they are of several platforms, or one belongs
            to another process.

    >>> chosen(1) == (jax.local_devices()[0],), len(chosen()) == jax.local_device_count()
    (True, True)
    """
    there: Any = jax.local_devices()
    only: Any = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if only is not None:
        there = jax.local_devices(backend=only) if isinstance(only, str) else [only]
    if devices is None:
        return tuple(there)
    if isinstance(devices, bool | str) or not (hasattr(devices, "__index__") or isinstance(devices, Sequence)):
        raise TypeError(f"devices is a number or a sequence of JAX devices; got {devices!r}.")
    if not isinstance(devices, Sequence):
        if not 1 <= devices <= len(there):
            raise ValueError(
                f"This process has {len(there)} devices of {there[0].platform}, not {devices}; ask for 1 to "
                f"{len(there)}, or on CPU set jax_num_cpu_devices before JAX is used."
            )
        return tuple(there[: int(devices)])
    found = tuple(devices)
    if not found or not all(isinstance(device, jax.Device) for device in found):
        raise TypeError(f"devices is a number or a sequence of JAX devices; got {devices!r}.")
    away = [device for device in found if device.process_index != jax.process_index()]
    if away:
        raise ValueError(f"Seeds are trained on devices of this process; {away[0]} belongs to another one.")
    if len(set(found)) < len(found) or len({device.platform for device in found}) > 1:
        raise ValueError(f"Every device is given once, and all are of one platform; got {found}.")
    return found


def is_default(devices: Sequence[Any]) -> bool:
    """Whether these are the one device that JAX computes on if it is told nothing."""
    only = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return only is None and tuple(devices) == (jax.local_devices()[0],)


def shares(items: int, devices: Sequence[Any], a_device: int | None = None) -> tuple[int, tuple[Any, ...]]:
    """(items a device, devices that get some) for `items` that are spread evenly, or `a_device` at a time.

    >>> shares(5, ("a", "b", "c", "d")), shares(20, ("a", "b"), 8), shares(3, ("a", "b"), 8)
    ((2, ('a', 'b', 'c')), (8, ('a', 'b')), (8, ('a',)))
    """
    each = a_device or -(-items // len(devices))
    return each, tuple(devices)[: -(-items // each)]


def mesh_of(devices: Sequence[Any], axis: str) -> Mesh:
    """The mesh of one axis on these devices."""
    return Mesh(np.array(devices, dtype=object), (axis,))


def spec(axis: int, name: str) -> PartitionSpec:
    """The partition of an array along one axis, or of a whole one for -1.

    >>> tuple(spec(1, "nets")), tuple(spec(-1, "nets"))
    ((None, 'nets'), ())
    """
    return PartitionSpec(*[None] * axis, name) if axis >= 0 else PartitionSpec()


def specs(axes: Any, name: str) -> Any:
    """`spec` of every leaf of a tree of axes."""
    return jax.tree.map(lambda axis: spec(axis, name), axes)


def shardings(mesh: Mesh | AbstractMesh, tree: Any) -> Any:
    """The sharding on a mesh for every partition of a tree."""
    return jax.tree.map(lambda one: NamedSharding(mesh, one), tree, is_leaf=lambda one: isinstance(one, PartitionSpec))


def placed(tree: Any, where: Any) -> Any:
    """Copies of the arrays of a tree, which a program may overwrite, as a tree of shardings says (None: as JAX likes).

    >>> array = np.zeros(3)
    >>> placed(array, None).tolist(), placed(array, shardings(mesh_of(chosen(1), "nets"), spec(0, "nets"))).tolist()
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    """
    # a copy first: JAX may share the memory of NumPy arrays
    if where is None:
        return jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), tree)
    return jax.tree.map(lambda leaf, sharding: jax.device_put(leaf.copy(), sharding), tree, where)


def shared(tree: Any, where: Any) -> Any:
    """The arrays of a tree under one sharding (None: as they are)."""
    return tree if where is None else jax.device_put(tree, where)
