"""What is trained: families, widths, a task, seeds and a recipe, cut into cells."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from expressivity.data.table import Table
from expressivity.models.family import as_width
from expressivity.relu.network import ReLUNetwork
from expressivity.sweeps.store import digest
from expressivity.target import Target
from expressivity.training import Recipe
from expressivity.width import Width

Task = Target | Table


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """What one program trains and one file holds: all seeds of one family at some widths.

    Args:
        family: The family.
        rules: The rules that give each width, by number of units; several rules may give one width.
        task: A target or a table.
        seeds: The seeds.
        recipe: The recipe.
        origin: Where the weights start: "random", or the name of a warm start.
        starts: The networks of a warm start, by (units, seed).
        order: Points an axis of the quadrature that measures errors; None for the default rule.
        root: The random key of the run.
    """

    family: Any
    rules: dict[int, str]
    task: Task
    seeds: tuple[int, ...]
    recipe: Recipe
    origin: str
    starts: Mapping[tuple[int, int], ReLUNetwork] | None
    order: int | None
    root: int

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.rules)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the numbers in the cell depend on, except the machine and the versions of packages."""
        import jax

        starts = {f"{w}/{s}": fingerprint(net) for (w, s), net in (self.starts or {}).items()}
        return {
            "family": repr(self.family),
            "rules": {str(units): rule for units, rule in self.rules.items()},
            "task": f"{type(self.task).__name__.lower()}:{self.task.name}:{self.task.fingerprint}",
            "seeds": list(self.seeds),
            "recipe": self.recipe.fingerprint,
            "origin": self.origin,
            "starts": starts,
            "order": self.order,
            "root": self.root,
            "platform": jax.default_backend(),
        }

    @property
    def key(self) -> str:
        return digest(self.settings)

    @property
    def label(self) -> str:
        """The readable part of the file's name."""
        widths = "-".join(str(w) for w in self.widths)
        depth = getattr(self.family, "hidden_layers", None)
        middle = f"-h{depth}" if depth is not None else ""
        return f"{type(self.family).__name__.lower()}{middle}-w{widths}"

    @property
    def steps(self) -> int:
        """Optimiser steps of all its networks together: what it costs, roughly."""
        return self.recipe.steps * len(self.seeds) * len(self.rules)


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """Every combination of families, widths and seeds, trained on one task by one recipe.

    Args:
        family: A family of networks, or a sequence of them (for instance MLPs of several depths).
        widths: Rules: `Width`, a text such as "n+4", or a number of units. Rules that give one number of units are
            trained once.
        task: A `Target`, learned from fresh points and measured by quadrature, or a `data.Table`, learned from its
            training rows and measured on its held-out rows, both drawn by the seed.
        seeds: A number s for the seeds 0, ..., s - 1, or a sequence of seeds.
        recipe: How each network is trained.
        origin: A name for where the weights start.
        starts: For a warm start, a network by (units, seed); it is padded to the width and depth of its place.
        packed: Whether all widths of a family are trained in one program, by zero padding. It saves compilations and
            costs the arithmetic of the widest network for each.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If there is no width or seed, a seed comes twice, or the task does not fit the family.

    >>> import expressivity as ex
    >>> target, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(10, 8, 0.01)
    >>> sweep = Sweep(ex.MLP(2), ["n-1", "n", "n+2", "2n"], target, 4, recipe)
    >>> [cell.rules for cell in sweep.cells()]
    [{1: 'n-1'}, {2: 'n'}, {4: 'n+2 = 2n'}]
    """

    family: Any
    widths: Any
    task: Task
    seeds: Any
    recipe: Recipe
    origin: str = "random"
    starts: Mapping[tuple[int, int], ReLUNetwork] | None = None
    packed: bool = False
    root: int = 0

    def __post_init__(self) -> None:
        put = object.__setattr__
        families = tuple(self.family) if isinstance(self.family, list | tuple) else (self.family,)
        if not families:
            raise ValueError("A sweep needs at least one family of networks; got none.")
        for family in families:
            if not callable(getattr(family, "width_dims", None)):
                raise TypeError(f"A sweep needs families such as expressivity.MLP(2); got {family!r}.")
        put(self, "family", families)
        widths = (self.widths,) if isinstance(self.widths, Width | str | int) else tuple(self.widths)
        put(self, "widths", tuple(as_width(width) for width in widths))
        if not self.widths:
            raise ValueError("A sweep needs at least one width; got none.")
        if not isinstance(self.task, Target | Table):
            raise TypeError(f"A sweep needs an expressivity.Target or a data.Table; got {self.task!r}.")
        for family in families:
            if getattr(family, "input_dim", self.task.dim) != self.task.dim:
                raise ValueError(
                    f"The family {family!r} reads {family.input_dim} numbers; {self.task.name!r} has {self.task.dim}."
                )
        if not isinstance(self.recipe, Recipe):
            raise TypeError(f"A sweep needs an expressivity.Recipe; got {self.recipe!r}.")
        put(self, "seeds", _seeds(self.seeds))
        self.recipe.rates(len(self.seeds))

    def cells(self, order: int | None = None) -> list[Cell]:
        """The cells, narrow and shallow first. `order` is the quadrature's, see `run`."""
        cells = []
        for family in self.family:
            rules: dict[int, str] = {}
            for width in self.widths:
                units = width(self.task.dim)
                rules[units] = (
                    f"{rules[units]} = {width}" if units in rules and str(width) != rules[units] else str(width)
                )
            ordered = dict(sorted(rules.items()))
            groups = [ordered] if self.packed else [{units: rule} for units, rule in ordered.items()]
            for group in groups:
                starts = {k: net for k, net in (self.starts or {}).items() if k[0] in group}
                if self.starts is not None and not starts:
                    continue
                cells.append(
                    Cell(
                        family,
                        group,
                        self.task,
                        self.seeds,
                        self.recipe,
                        self.origin,
                        starts or None,
                        order,
                        self.root,
                    )
                )
        return cells


def _seeds(seeds: Any) -> tuple[int, ...]:
    if isinstance(seeds, bool | str):
        raise TypeError(f"Seeds are a number or a sequence of numbers; got {seeds!r}.")
    try:
        numbers = tuple(range(seeds)) if hasattr(seeds, "__index__") else tuple(int(s.__index__()) for s in seeds)
    except (TypeError, AttributeError):
        raise TypeError(f"Seeds are a number or a sequence of whole numbers; got {seeds!r}.") from None
    if not numbers:
        raise ValueError(f"A sweep needs at least one seed; got {seeds!r}.")
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ValueError(f"Seeds are different and not negative; got {seeds!r}.")
    return numbers


def fingerprint(network: ReLUNetwork) -> str:
    """A digest of the weights of a network."""
    import hashlib

    import numpy as np

    state = hashlib.sha256()
    for weight, bias in network.layers:
        for leaf in (np.asarray(weight), np.asarray(bias)):
            state.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return state.hexdigest()[:16]
