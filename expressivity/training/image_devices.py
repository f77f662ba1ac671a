"""Devices for networks that read images: their seeds side by side on several devices, or one network's batch cut up.

Seeds trained in one program are cut along their axis ("nets"), as networks about functions are, and do not speak to
each other. A network trained by itself has its batch cut along the images ("images"): every device computes the
gradient of its part, and the compiler adds what has to be summed (gradients, and the moments of batch norm, which stay
those of the whole batch). Sums are then taken in another order, so numbers agree to rounding only.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh

from expressivity.training.devices import NETS, chosen, mesh_of, shardings, shares, spec

IMAGES = "images"


@dataclasses.dataclass(frozen=True)
class Spread:
    """How a training lies on devices.

    Args:
        along: "nets" or "images".
        devices: Which.
        places: Networks in a program, those that fill up the last device included; 0 without a leading axis.
    """

    along: str
    devices: tuple[Any, ...]
    places: int

    @property
    def mesh(self) -> Mesh:
        """The mesh of one axis."""
        return mesh_of(self.devices, self.along)

    def partitions(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The partitions of the arguments and of the results of `image_program.chunk_function`."""
        whole = spec(-1, self.along)
        if self.along == IMAGES:
            part = spec(1, IMAGES)
            return (whole, part, part, *[whole] * 8), (whole, whole)
        own, along = spec(0, NETS), spec(1, NETS)
        return (own, whole, whole, whole, whole, own, along, *[whole] * 4), (own, along)

    def shardings(self, mesh: Mesh | AbstractMesh | None = None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """`partitions` on the devices, or on another mesh."""
        takes, gives = self.partitions()
        where = self.mesh if mesh is None else mesh
        return tuple(shardings(where, one) for one in takes), tuple(shardings(where, one) for one in gives)

    def filled(self, leaf: Any, count: int) -> Any:
        """An array of `count` networks with copies of the first one in the places that are left."""
        if self.along == IMAGES or self.places == count:
            return leaf
        leaf = jax.numpy.asarray(leaf)
        return jax.numpy.concatenate([leaf, *[leaf[:1]] * (self.places - count)])


def spread(devices: Any, batching: str, seeds: int, batch: int) -> Spread | None:
    """How a training lies on the devices that are asked for; None for one device.

    Seeds under `vmap` are spread, as many on each. Otherwise the batch is, on as many devices as divide it. On CPUs
    devices are taken only if they are asked for: they share the cores, and two threads use these as well.

    Args:
        devices: As `devices.chosen` takes them.
        batching: "loop" or "vmap".
        seeds: How many.
        batch: Images in a batch.

    >>> spread(1, "vmap", 4, 32) is None
    True
    >>> there = jax.local_devices() * 3  # as if there were three
    >>> [spread_on(there, *how).along for how in (("vmap", 4, 32), ("loop", 4, 32), ("vmap", 1, 32))]
    ['nets', 'images', 'images']
    """
    if devices is None and jax.default_backend() == "cpu":
        return None
    return spread_on(chosen(devices), batching, seeds, batch)


def spread_on(there: Sequence[Any], batching: str, seeds: int, batch: int) -> Spread | None:
    """`spread` on these devices."""
    if batching == "vmap" and seeds > 1:
        each, some = shares(seeds, there)
        return Spread(NETS, some, each * len(some)) if len(some) > 1 else None
    count = max(n for n in range(1, len(there) + 1) if batch % n == 0)
    return Spread(IMAGES, tuple(there[:count]), seeds if batching == "vmap" else 0) if count > 1 else None


def gathered(tree: Any, spread: Spread | None) -> Any:
    """The arrays of a tree on one device: the test set is read there."""
    return tree if spread is None else jax.tree.map(np.asarray, tree)
