"""Slimmable networks: one set of weights run at several widths."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from expressivity.models.accounting import FIELDS
from expressivity.models.convnet import ConvNet, InputSize
from expressivity.models.densenet import DenseNet
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import BatchNorm, Layer, Layers, initial_moments
from expressivity.models.shufflenet import ShuffleNet
from expressivity.width import Width


def narrowed(family: ConvNet, model: Layers, state: Layers, width: WidthLike) -> tuple[Layers, Layers]:
    """The (model, state) of a narrower width made of the first channels of every layer of a wider one (`yu2019`).

    Kernels, biases, scales, shifts and moments are cut to their leading part, the outputs of the last layer stay whole.

    Raises:
        ValueError: If the family joins or groups channels, so that leading channels mean something else in a narrower
            network, or the width is not narrower in every dimension.

    >>> import expressivity as ex, jax
    >>> family = ex.AllConv6(variant=0)
    >>> model, state = family.init(jax.random.key(0), ex.Width(), 32)
    >>> ex.models.narrowed(family, model, state, ex.Width(0.25))[0]["conv5"].kernel.shape
    (3, 3, 32, 64)
    """
    _check(family)
    width = as_width(width)
    first = next(layer.kernel for _, layer in model if hasattr(layer, "kernel"))
    size = _size(family, int(first.shape[-2]))
    shapes = {spec.name: spec.shapes for spec in family.layers(width, size)}
    layers, moments = [], []
    for name, layer in model:
        if name not in shapes:
            raise ValueError(f"At width {width} the family has no layer {name!r}; its shortcuts are others there.")
        layers.append(_cut(layer, name, shapes[name]))
    for name, layer in state:
        channels = shapes[name]["scale"]
        moments.append(_cut(layer, name, {"mean": channels, "variance": channels}))
    if len(shapes) != len(layers):
        raise ValueError(f"At width {width} the family has layers that the model has not: other shortcuts.")
    return Layers(model.names, tuple(layers), width), Layers(state.names, tuple(moments), width)


class SlimmableModel(eqx.Module):
    """Shared weights at the widest width, and the batch norms of every width."""

    shared: Layers
    norms: tuple[Layers, ...]


@dataclasses.dataclass(frozen=True)
class Slimmable:
    """A family run at several widths from one set of weights, with batch norm of its own at each (switchable).

    A family itself: `init` makes the weights of the widest, `apply` runs the widest, and `at` gives the stand-alone
    (model, state) of any of the widths, so `family.apply(*slim.at(model, state, 2), x)` runs the third.

    Args:
        family: The family; one that neither groups nor joins channels.
        widths: The widths, widest first.

    Raises:
        ValueError: If the family cannot be cut, no width is given, or the first is not the widest.

    >>> import expressivity as ex, jax
    >>> slim = ex.models.Slimmable(ex.MobileNet(), tuple(ex.Width(a) for a in (1, 0.75, 0.5, 0.25)))
    >>> slim.parameters
    4264808
    """

    family: ConvNet
    widths: tuple[Width, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(map(as_width, self.widths)))
        if not self.widths:
            raise ValueError("A slimmable network has at least one width; got none.")
        _check(self.family)
        widest = self.family.width_dims(self.widths[0])
        for width in self.widths[1:]:
            wider = {n: d for n, d in self.family.width_dims(width).items() if d > widest[n]}
            if wider:
                raise ValueError(f"The first width is the widest; {width} has more channels than it in {wider}.")

    @property
    def parameters(self) -> int:
        """Trained numbers: the widest network's, and the batch norms of all others."""
        own = sum(spec.parameters for spec in self.family.layers(self.widths[0]))
        others = (spec for width in self.widths[1:] for spec in self.family.layers(width))
        return own + sum(spec.parameters for spec in others if spec.kind == "batch_norm")

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        """The dimensions of the family at `width`."""
        return self.family.width_dims(width)

    def init(
        self, key: Any, width: WidthLike | None = None, input_size: InputSize | None = None, **options: Any
    ) -> tuple[SlimmableModel, tuple[Layers, ...]]:
        """Fresh weights of the widest width, batch norms (1, 0) and moments (0, 1) of every width.

        Raises:
            ValueError: If a width is given that is not the widest.
        """
        if width is not None and as_width(width) != self.widths[0]:
            raise ValueError(f"A slimmable network is made at its widest width {self.widths[0]}, not at {width}.")
        model, _ = self.family.init(key, self.widths[0], input_size, **options)
        kept = [(name, layer) for name, layer in model if not isinstance(layer, BatchNorm)]
        shared = Layers(tuple(name for name, _ in kept), tuple(layer for _, layer in kept), self.widths[0])
        norms, moments = [], []
        for rule in self.widths:
            specs = self.family.layers(rule, input_size)
            running = initial_moments(specs, rule)
            scales = (BatchNorm(layer.variance, layer.mean) for _, layer in running)
            norms.append(Layers(running.names, tuple(scales), rule))
            moments.append(running)
        return SlimmableModel(shared, tuple(norms)), tuple(moments)

    def at(self, model: SlimmableModel, state: tuple[Layers, ...], index: int) -> tuple[Layers, Layers]:
        """The stand-alone (model, state) of width number `index`; differentiable in the weights."""
        specs = self.family.layers(self.widths[index], _size(self.family, self._inputs(model)))
        shared, norms = dict(iter(model.shared)), dict(iter(model.norms[index]))
        layers = [
            norms[spec.name] if spec.kind == "batch_norm" else _cut(shared[spec.name], spec.name, spec.shapes)
            for spec in specs
        ]
        return Layers(tuple(spec.name for spec in specs), tuple(layers), self.widths[index]), state[index]

    def apply(
        self, model: SlimmableModel, state: tuple[Layers, ...], x: Any, training: bool = False, key: Any = None
    ) -> tuple[jax.Array, tuple[Layers, ...]]:
        """The logits of the widest width, and the state afterwards."""
        logits, after = self.family.apply(*self.at(model, state, 0), x, training, key)
        return logits, (after, *state[1:])

    def _inputs(self, model: SlimmableModel) -> int:
        return int(model.shared[model.shared.names[0]].kernel.shape[-2])


def _size(family: ConvNet, channels: int) -> tuple[int, ...]:
    side = family.input_size
    return (*((side, side) if isinstance(side, int) else side[:2]), channels)


def _check(family: Any) -> None:
    if isinstance(family, DenseNet | ShuffleNet) or not isinstance(family, ConvNet):
        raise ValueError(
            f"A {type(family).__name__} cannot be cut to its first channels; image families that neither join nor "
            "group channels can."
        )


def _cut(layer: Layer, name: str, shapes: dict[str, tuple[int, ...]]) -> Layer:
    arrays = []
    for field in FIELDS[type(layer)]:
        array = getattr(layer, field)
        if array is not None:
            shape = shapes[field]
            if any(new > old for new, old in zip(shape, np.shape(array), strict=True)):
                raise ValueError(
                    f"The layer {name} has the shape {np.shape(array)}; a cut to {shape} would have to make it wider."
                )
            array = array[tuple(slice(size) for size in shape)]
        arrays.append(array)
    return type(layer)(*arrays)
