"""What is trained: families, widths, a task, seeds and a recipe, cut into cells."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from expressivity.data.images import ImageSet
from expressivity.data.table import Table
from expressivity.models.family import as_width
from expressivity.relu.network import ReLUNetwork
from expressivity.sweeps.store import digest
from expressivity.target import Target
from expressivity.training import ImageTask, Recipe
from expressivity.training.image_task import halves
from expressivity.training.images import BATCHINGS
from expressivity.width import Width

Task = Target | Table | ImageTask


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
        width: For an image family the one rule of the cell, else None.
        evaluations: For images, how often the test set is read.
        batching: For images, "auto", "loop" or "vmap".
        spread: Devices that its one network is spread over, see `sweeps.spread`; 0 if it is not.
    """

    family: Any
    rules: dict[int, str]
    task: Any
    seeds: tuple[int, ...]
    recipe: Recipe
    origin: str
    starts: Mapping[tuple[int, int], ReLUNetwork] | None
    order: int | None
    root: int
    width: Width | None = None
    evaluations: int = 1
    batching: str = "auto"
    spread: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.rules)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the numbers in the cell depend on, except the machine and the versions of packages."""
        import jax

        starts = {f"{w}/{s}": fingerprint(net) for (w, s), net in (self.starts or {}).items()}
        images = {} if self.width is None else {"width": repr(self.width), "evaluations": self.evaluations}
        spread = {"spread": self.spread} if self.spread else {}
        return (
            images
            | spread
            | {
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
        )

    @property
    def key(self) -> str:
        return digest(self.settings)

    @property
    def label(self) -> str:
        """The readable part of the file's name."""
        widths = "-".join(str(w) for w in self.widths)
        depth = getattr(self.family, "hidden_layers", None)
        middle = f"-h{depth}" if depth is not None else ""
        if isinstance(self.task, ImageTask):
            variant = getattr(self.family, "name", type(self.family).__name__)
            return f"{str(variant).lower()}-w{widths}"
        seed = f"-s{self.seeds[0]}" if self.spread else ""
        return f"{type(self.family).__name__.lower()}{middle}-w{widths}{seed}"

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
        task: A `Target`, learned from fresh points and measured by quadrature; a `data.Table`, learned from its
            training rows and measured on its held-out rows, both drawn by the seed; or for image families a
            `training.ImageTask` (or a `data.ImageSet`, of which the last fifth of each class is held out).
        seeds: A number s for the seeds 0, ..., s - 1, or a sequence of seeds.
        recipe: How each network is trained.
        origin: A name for where the weights start.
        starts: For a warm start, a network by (units, seed); it is padded to the width and depth of its place.
        packed: Whether all widths of a family are trained in one program, by zero padding. It saves compilations and
            costs the arithmetic of the widest network for each; "measure" finds out what is faster here and remembers
            it in the folder of the run. Not for image families.
        root: Randomness of the whole run.
        evaluations: For images, how often the test set is read, at equal distances.
        batching: For images, whether seeds are trained one after the other ("loop") or in one program ("vmap"); "auto"
            chooses by the platform, "measure" by a short calibration.

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
    packed: bool | str = False
    root: int = 0
    evaluations: int = 1
    batching: str = "auto"

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
        if isinstance(self.task, ImageSet):
            put(self, "task", halves(self.task))
        if not isinstance(self.task, Target | Table | ImageTask):
            raise TypeError(
                f"A sweep needs an expressivity.Target, a data.Table, a data.ImageSet or a training.ImageTask; got "
                f"{self.task!r}."
            )
        if isinstance(self.task, ImageTask):
            _check_images(families, self.widths, self.task, self.starts, self.packed)
        else:
            for family in families:
                if not hasattr(family, "input_dim"):
                    raise TypeError(f"The family {family!r} reads images; {self.task.name!r} holds none.")
                if family.input_dim != self.task.dim:
                    raise ValueError(
                        f"The family {family!r} reads {family.input_dim} numbers; {self.task.name!r} has "
                        f"{self.task.dim}."
                    )
        if self.packed not in (True, False, "measure"):
            raise ValueError(f'packed is True, False or "measure"; got {self.packed!r}.')
        if self.batching not in (*BATCHINGS, "measure"):
            raise ValueError(f"A batching is one of {', '.join(BATCHINGS)}, measure; got {self.batching!r}.")
        if not isinstance(self.recipe, Recipe):
            raise TypeError(f"A sweep needs an expressivity.Recipe; got {self.recipe!r}.")
        put(self, "seeds", _seeds(self.seeds))
        self.recipe.rates(len(self.seeds))

    def cells(self, order: int | None = None) -> list[Cell]:
        """The cells, narrow and shallow first. `order` is the quadrature's, see `run`."""
        cells = []
        if isinstance(self.task, ImageTask):
            return [cell for family in self.family for cell in self._image_cells(family, order)]
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

    def _image_cells(self, family: Any, order: int | None) -> list[Cell]:
        """One cell for every width that differs in some dimension, narrow first."""
        found: dict[tuple[int, ...], tuple[Width, str]] = {}
        for width in self.widths:
            dims = tuple(family.width_dims(width).values())
            name = as_multiplier(width)
            if dims in found:
                known = found[dims][1]
                name = known if name in known.split(" = ") else f"{known} = {name}"
            found[dims] = (found[dims][0] if dims in found else width, name)
        return [
            Cell(
                family,
                {max(dims): name},
                self.task,
                self.seeds,
                self.recipe,
                self.origin,
                None,
                order,
                self.root,
                width,
                self.evaluations,
                self.batching,
            )
            for dims, (width, name) in sorted(found.items())
        ]


def as_multiplier(width: Width) -> str:
    """The text of a rule for channels, whose base is no input dimension: "1x" and "2x" for "n" and "2n".

    >>> [as_multiplier(Width(factor)) for factor in (1, 2, 0.25)]
    ['1x', '2x', '0.25x']
    """
    return re.sub(r"^(\d*)n(?=$| )", lambda found: f"{found[1] or 1}x", str(width))


def _check_images(families: Any, widths: Any, task: ImageTask, starts: Any, packed: bool | str) -> None:
    for family in families:
        inner = getattr(family, "family", family)
        if not callable(getattr(inner, "layers", None)):
            raise TypeError(f"The images of {task.name!r} need an image family such as AllConv6; got {family!r}.")
        if inner.classes != task.classes:
            raise ValueError(
                f"The family {family!r} tells {inner.classes} classes apart, {task.name!r} has {task.classes}; give "
                f"it classes={task.classes}."
            )
        for width in widths:
            inner.layers(width, task.input_size)
    if starts is not None or packed:
        raise ValueError("Warm starts and packed widths are for MLPs; image families have neither.")


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
