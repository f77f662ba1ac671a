"""Slimmable networks: one set of weights run at several widths."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from expressivity.models.accounting import FIELDS
from expressivity.models.convnet import ConvNet, InputSize
from expressivity.models.densenet import DenseNet
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import BatchNorm, Layer, Layers, initial_moments
from expressivity.models.objective import cross_entropy
from expressivity.models.shufflenet import ShuffleNet
from expressivity.width import Width


def narrowed(family: ConvNet, model: Layers, state: Layers, width: WidthLike) -> tuple[Layers, Layers]:
    """The (model, state) of a narrower width made of the first channels of every layer of a wider one (`yu2019`).

    Kernels, biases, scales, shifts and moments are cut to their leading part, the outputs of the last layer stay whole.

    Raises:
        ValueError: If the family joins or groups channels or its activation is "crelu", so that leading channels mean
            something else in a narrower network, or the width is not narrower in every dimension.

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
    """Shared weights at the widest width, and the batch norms: one set a width, or one alone that is shared."""

    shared: Layers
    norms: tuple[Layers, ...]


@dataclasses.dataclass(frozen=True)
class Slimmable:
    r"""A family run at several widths from one set of weights.

    Without `sandwich` every width has batch norm of its own (switchable, `yu2019`) and a step of training minimises
    $\sum_w L_w$, the sum of the mean cross-entropies of all widths. With `sandwich=k` all widths share scales and
    shifts (universally slimmable, `yu2019universal`), and a step minimises $L_\mathrm{widest} + L_\mathrm{narrowest}
    + L_{u_1} + \dots + L_{u_k}$ at k widths drawn afresh: layer by layer $\mathrm{round}(a + u (b - a))$ channels,
    with $a$ and $b$ those of the narrowest and the widest and one uniform $u$ for all layers. The running moments are
    kept for the named widths in the first case, and for the widest and the narrowest in the second: there all are
    taken anew after training, by a recipe with `statistics="recomputed"`.

    A family itself: `init` makes the weights of the widest, `apply` runs the widest, and `at` gives the stand-alone
    (model, state) of any of the widths, so `family.apply(*slim.at(model, state, 2), x)` runs the third.

    Args:
        family: The family; one that neither groups nor joins channels.
        widths: The widths, widest first; with `sandwich` the last is the narrowest.
        sandwich: The number of random widths in a step, or None for all the named widths in every step.
        distilled: Whether all widths but the widest learn from its softmax, held fixed, in the place of the labels.

    Raises:
        TypeError: If `sandwich` is no whole number.
        ValueError: If the family cannot be cut, no width is given, the first is not the widest, or with `sandwich` the
            last is not the narrowest or channels cannot be switched off by zeros.

    >>> import expressivity as ex, jax
    >>> slim = ex.models.Slimmable(ex.MobileNet(), tuple(ex.Width(a) for a in (1, 0.75, 0.5, 0.25)))
    >>> slim.parameters
    4264808
    """

    family: ConvNet
    widths: tuple[Width, ...]
    sandwich: int | None = None
    distilled: bool = False

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
        if self.sandwich is None:
            return
        if isinstance(self.sandwich, bool) or not hasattr(self.sandwich, "__index__"):
            raise TypeError(f"The sandwich is a number of random widths, a whole number; got {self.sandwich!r}.")
        if self.sandwich < 0:
            raise ValueError(f"The sandwich has at least 0 random widths, not {self.sandwich}.")
        narrowest = self.family.width_dims(self.widths[-1])
        for width in self.widths[:-1]:
            narrower = {n: d for n, d in self.family.width_dims(width).items() if d < narrowest[n]}
            if narrower:
                raise ValueError(f"With a sandwich the last width is the narrowest; {width} has fewer in {narrower}.")
        _check_zeros(self.family, self.widths)

    @property
    def parameters(self) -> int:
        """Trained numbers: the widest network's, and the batch norms of all others where they have their own."""
        own = sum(spec.parameters for spec in self.family.layers(self.widths[0]))
        others = (spec for width in self._own[1:] for spec in self.family.layers(width))
        return own + sum(spec.parameters for spec in others if spec.kind == "batch_norm")

    @property
    def _own(self) -> tuple[Width, ...]:
        """The widths with scales and shifts of their own."""
        return self.widths if self.sandwich is None else self.widths[:1]

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        """The dimensions of the family at `width`."""
        return self.family.width_dims(width)

    def init(
        self, key: Any, width: WidthLike | None = None, input_size: InputSize | None = None, **options: Any
    ) -> tuple[SlimmableModel, tuple[Layers, ...]]:
        """Fresh weights of the widest width, batch norms (1, 0), and moments (0, 1) of every width.

        Raises:
            ValueError: If a width is given that is not the widest.
        """
        if width is not None and as_width(width) != self.widths[0]:
            raise ValueError(f"A slimmable network is made at its widest width {self.widths[0]}, not at {width}.")
        model, _ = self.family.init(key, self.widths[0], input_size, **options)
        kept = [(name, layer) for name, layer in model if not isinstance(layer, BatchNorm)]
        shared = Layers(tuple(name for name, _ in kept), tuple(layer for _, layer in kept), self.widths[0])
        moments = tuple(initial_moments(self.family.layers(rule, input_size), rule) for rule in self.widths)
        norms = []
        for rule, running in zip(self._own, moments, strict=False):
            scales = (BatchNorm(layer.variance, layer.mean) for _, layer in running)
            norms.append(Layers(running.names, tuple(scales), rule))
        return SlimmableModel(shared, tuple(norms)), moments

    def at(self, model: SlimmableModel, state: tuple[Layers, ...], index: int) -> tuple[Layers, Layers]:
        """The stand-alone (model, state) of width number `index`; differentiable in the weights."""
        specs = self.family.layers(self.widths[index], _size(self.family, self._inputs(model)))
        layers = dict(iter(model.shared)) | dict(iter(model.norms[index if self.sandwich is None else 0]))
        cut = tuple(_cut(layers[spec.name], spec.name, spec.shapes) for spec in specs)
        return Layers(tuple(spec.name for spec in specs), cut, self.widths[index]), state[index]

    def masked(self, model: SlimmableModel, share: Any) -> Layers:
        """The stand-alone model of the widest width that computes what a narrower one does: all else is set to 0.

        Its layers have round(a + share (b - a)) channels that are not 0, with a and b those of the last and the first
        width. A channel with kernel, scale and shift 0 gives 0 after batch norm and activation, so nothing reads it.

        Args:
            model: Of `init`.
            share: From 0 (the last width) to 1 (the first); may be traced.

        Raises:
            ValueError: If zeros do not switch channels off: the activation is "sigmoid", not 0 at 0, or a layer keeps
                its channels, so that a shortcut could carry them on.
        """
        _check_zeros(self.family, self.widths)
        size = _size(self.family, self._inputs(model))
        narrow = {spec.name: spec.shapes for spec in self.family.layers(self.widths[-1], size)}
        wide, _ = self.at(model, ({},) * len(self.widths), 0)  # pyright: ignore[reportArgumentType]
        layers = tuple(_masked(layer, narrow[name], share) for name, layer in wide)
        return Layers(wide.names, layers, wide.width)

    def apply(
        self,
        model: SlimmableModel,
        state: tuple[Layers, ...],
        x: Any,
        training: bool = False,
        key: Any = None,
        layout: str | None = None,
        decay: float | None = None,
    ) -> tuple[jax.Array, tuple[Layers, ...]]:
        """The logits of the widest width, and the state afterwards.

        In training the moments of every width are updated, each by its own pass; arguments as in
        [`ConvNet.apply`](#expressivity.models.ConvNet).
        """
        logits, after = self.family.apply(*self.at(model, state, 0), x, training, key, layout, decay)
        if not training:
            return logits, state
        others = range(1, len(self.widths))
        passed = (self.family.apply(*self.at(model, state, i), x, True, key, layout, decay)[1] for i in others)
        return logits, (after, *passed)

    def objective(
        self, model: SlimmableModel, state: tuple[Layers, ...], x: Any, labels: Any, key: Any, layout: str | None
    ) -> tuple[jax.Array, tuple[Layers, ...]]:
        """The loss of a step, a sum over widths as above, and the state afterwards.

        Args:
            model: Of `init`.
            state: Of `init`, or of an `objective` before.
            x: Images (batch, height, width, channels).
            labels: (batch,).
            key: Draws the random widths, and dropout.
            layout: As in [`ConvNet.apply`](#expressivity.models.ConvNet).

        Raises:
            ValueError: If widths are to be drawn without a key.
        """
        after = list(state)

        def logits(index: int) -> jax.Array:
            found, after[index] = self.family.apply(*self.at(model, state, index), x, True, key, layout)
            return found

        wide = logits(0)
        teacher = jax.lax.stop_gradient(jax.nn.softmax(wide.astype(jnp.promote_types(wide.dtype, jnp.float32))))

        def loss(found: jax.Array) -> jax.Array:
            return (soft_cross_entropy(found, teacher) if self.distilled else cross_entropy(found, labels)).mean()

        total = cross_entropy(wide, labels).mean()
        last = len(self.widths) - 1
        for index in range(1, last + 1) if self.sandwich is None else ([last] if last else []):
            total = total + loss(logits(index))
        if self.sandwich:
            if key is None:
                raise ValueError(f"A sandwich with {self.sandwich} random widths needs a key to draw them.")
            shares = jax.random.uniform(jax.random.fold_in(key, 2**32 - 5), (self.sandwich,), wide.dtype)
            for share in shares:
                total = total + loss(self.family.apply(self.masked(model, share), state[0], x, True, key, layout)[0])
        return total, tuple(after)

    def _inputs(self, model: SlimmableModel) -> int:
        return int(model.shared[model.shared.names[0]].kernel.shape[-2])


def soft_cross_entropy(logits: Any, probabilities: Any) -> jax.Array:
    r"""$-\sum_c p_c \log \mathrm{softmax}(z)_c$ for each image, shape (batch,), in float32 at least.

    >>> import numpy as np
    >>> found = soft_cross_entropy(np.zeros((1, 4), np.float32), np.full((1, 4), 0.25, np.float32))
    >>> bool(abs(found[0] - np.log(4)) < 1e-6)
    True
    """
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return -(probabilities * jax.nn.log_softmax(wide, axis=1)).sum(1)


def _size(family: ConvNet, channels: int) -> tuple[int, ...]:
    side = family.input_size
    return (*((side, side) if isinstance(side, int) else side[:2]), channels)


def _check(family: Any) -> None:
    if isinstance(family, DenseNet | ShuffleNet) or not isinstance(family, ConvNet):
        raise ValueError(
            f"A {type(family).__name__} cannot be cut to its first channels; image families that neither join nor "
            "group channels can."
        )
    if getattr(family, "activation", "") == "crelu":
        raise ValueError(
            f"A {type(family).__name__} with CReLU cannot be cut to its first channels: the negative halves follow all "
            "positive ones, so the leading inputs of the next layer are others in a narrower network."
        )


def _check_zeros(family: ConvNet, widths: tuple[Width, ...]) -> None:
    activation = getattr(family, "activation", "relu")
    if activation == "sigmoid":
        raise ValueError(f"Channels cannot be switched off by zeros where the activation is {activation}.")
    wide, narrow = ([s for s in family.layers(width) if s.kind == "conv"][:-1] for width in (widths[0], widths[-1]))
    kept = [a.name for a, b in zip(wide, narrow, strict=False) if a.output[-1] == b.output[-1]]
    if kept and len(kept) < len(wide):
        raise ValueError(
            f"Channels of a {type(family).__name__} cannot be switched off by zeros: its layer {kept[0]} has as many "
            "at every width, and a shortcut would carry them on."
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


def _masked(layer: Layer, narrow: dict[str, tuple[int, ...]], share: Any) -> Layer:
    arrays = []
    for field in FIELDS[type(layer)]:
        array = getattr(layer, field)
        if array is not None:
            for axis, (low, high) in enumerate(zip(narrow[field], array.shape, strict=True)):
                if low < high:
                    count = jnp.floor(low + share * (high - low) + 0.5)
                    kept = (jnp.arange(high) < count).reshape((high,) + (1,) * (array.ndim - 1 - axis))
                    array = jnp.where(kept, array, jnp.zeros((), array.dtype))
        arrays.append(array)
    return type(layer)(*arrays)
