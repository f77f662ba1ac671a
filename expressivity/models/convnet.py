"""What all families of image networks share: one description, initial values, forward pass, shapes."""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp

from expressivity.models.channel_major import ChannelMajor
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import RULES, Layers, LayerSpec, Rule, he, initial_layers, initial_moments
from expressivity.models.walk import Forward, Outline
from expressivity.width import Width

InputSize = int | tuple[int, ...]
PUBLISHED = Width()
LAYOUTS = ("batch_last", "nhwc")


def image_shape(input_size: InputSize) -> tuple[int, int, int]:
    """(height, width, channels) of an image given as a side length, (height, width) or all three; 3 channels if unsaid.

    Raises:
        ValueError: If it is none of these.

    >>> image_shape(224), image_shape((28, 28, 1))
    ((224, 224, 3), (28, 28, 1))
    """
    sizes = tuple(input_size) if isinstance(input_size, tuple | list) else (input_size, input_size)
    if len(sizes) not in (2, 3) or not all(
        hasattr(size, "__index__") and not isinstance(size, bool) and size > 0 for size in sizes
    ):
        raise ValueError(
            f"The size of an image is a side length, (height, width) or (height, width, channels); got {input_size!r}."
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2]) if len(sizes) == 3 else 3


class ConvNet(abc.ABC):
    """A family of image networks: `forward` describes it, `width_dims` says what scales, the rest follows.

    A concrete family is a frozen dataclass with a field `classes`; images are NHWC, kernels HWIO.
    """

    classes: int

    @property
    @abc.abstractmethod
    def input_size(self) -> InputSize:
        """The image size of the published network, taken where none is given."""

    @abc.abstractmethod
    def width_dims(self, width: WidthLike) -> dict[str, int]:
        """Every dimension that scales with the width, by name."""

    @abc.abstractmethod
    def forward(self, net: Any, x: Any) -> Any:
        """The network, as a walk: calls the operations of `net` (an `Outline` or a `Forward`) on `x`."""

    def original(self, spec: LayerSpec) -> tuple[str, float]:
        """The initial values of the published network; He's rule where nothing was published."""
        return he(spec)

    def layers(self, width: WidthLike = PUBLISHED, input_size: InputSize | None = None) -> tuple[LayerSpec, ...]:
        """All layers with trained numbers in forward order, as shapes.

        Raises:
            ValueError: If the images are too small or the width does not fit the network's groups.
        """
        size = self.input_size if input_size is None else input_size
        return _outline(self, as_width(width), image_shape(size))

    def init(
        self, key: Any, width: WidthLike, input_size: InputSize | None = None, initialisation: str = "original"
    ) -> tuple[Layers, Layers]:
        """A fresh (model, state): kernels drawn by the rule, biases and shifts 0, scales 1, running moments (0, 1).

        Args:
            key: A JAX random key; may be traced.
            width: A `Width`, its text, or a number of units.
            input_size: A side length, (height, width) or (height, width, channels).
            initialisation: "original" (that of the published network), "he", "he_fan_out", "caffe", "glorot", "torch".

        Raises:
            ValueError: If the rule is unknown or the images are too small.
        """
        if initialisation != "original" and initialisation not in RULES:
            raise ValueError(f"The initialisation is one of original, {', '.join(RULES)}; got {initialisation!r}.")
        rule: Rule = self.original if initialisation == "original" else RULES[initialisation]
        width = as_width(width)
        specs = self.layers(width, input_size)
        names = tuple(spec.name for spec in specs)
        return Layers(names, initial_layers(key, specs, rule), width), initial_moments(specs, width)

    def apply(
        self,
        model: Layers,
        state: Layers,
        x: Any,
        training: bool = False,
        key: Any = None,
        layout: str | None = None,
        decay: float | None = None,
    ) -> tuple[jax.Array, Layers]:
        """The logits (batch, classes) of images `x` (batch, height, width, channels), and the state afterwards.

        In training, batch norm uses the moments of the batch and the running ones are updated; otherwise the state
        comes back as it was. The computation runs in the precision of `x`.

        Args:
            model: Of `init`.
            state: Of `init`, or of an `apply` before.
            x: Images (batch, height, width, channels).
            training: Whether batch norm reads the batch, and dropout drops.
            key: A JAX random key; dropout in training needs one.
            layout: How it is computed: "batch_last", fast on CPUs, or "nhwc", right for accelerators; by the default
                platform of JAX if not given. Both give the same numbers up to rounding.
            decay: In training, what is kept of the running moments in place of the family's own share; with 0 the state
                afterwards holds the moments of this batch.

        Raises:
            ValueError: If `x` is not such a batch, or `model` is not of this family.
        """
        if not isinstance(model, Layers) or not isinstance(state, Layers):
            raise ValueError(f"A {type(self).__name__} reads models of its own init; got a {type(model).__name__}.")
        x = jnp.asarray(x)
        x = x.astype(jnp.result_type(float)) if jnp.issubdtype(x.dtype, jnp.integer) else x
        if x.ndim != 4:
            raise ValueError(f"Images come in a batch (batch, height, width, channels); got the shape {x.shape}.")
        first = next((layer.kernel for _, layer in model if hasattr(layer, "kernel")), None)
        if first is not None and first.shape[-2] != x.shape[-1]:
            raise ValueError(f"The model reads images of {first.shape[-2]} channels; got {x.shape[-1]}.")
        if layout is None:
            layout = "batch_last" if jax.default_backend() == "cpu" else "nhwc"
        checked_choice("layout", layout, LAYOUTS)
        logits, after = _walk(self, model, state, x, bool(training), key, layout, decay)
        return logits, after if training else state


@functools.partial(jax.jit, static_argnames=("family", "training", "layout", "decay"))
def _walk(
    family: ConvNet, model: Layers, state: Layers, x: Any, training: bool, key: Any, layout: str, decay: float | None
) -> tuple[jax.Array, Layers]:
    walker = ChannelMajor if layout == "batch_last" else Forward
    net: Any = walker(family.width_dims(model.width), model, state, training, key)
    if decay is not None:
        normalise = net.batch_norm
        net.batch_norm = lambda name, x, epsilon=1e-5, **_: normalise(name, x, epsilon, decay)
    logits = family.forward(net, x.transpose(3, 1, 2, 0)).T if layout == "batch_last" else family.forward(net, x)
    return logits, net.state(state) if training else state


@functools.lru_cache(maxsize=256)
def _outline(family: ConvNet, width: Width, shape: tuple[int, int, int]) -> tuple[LayerSpec, ...]:
    net = Outline(family.width_dims(width))
    family.forward(net, shape)
    specs = net.finish()
    assert len({spec.name for spec in specs}) == len(specs), "two layers of one name"
    return specs


def checked_classes(classes: Any) -> int:
    """`classes` as an int.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is below 1.
    """
    if isinstance(classes, bool) or not hasattr(classes, "__index__"):
        raise TypeError(f"The number of classes is a whole number, not {classes!r}.")
    if classes < 1:
        raise ValueError(f"A network has at least 1 class, not {classes}.")
    return int(classes)


def checked_choice(what: str, value: Any, choices: Any) -> Any:
    """`value`, where it is one of `choices`.

    Raises:
        ValueError: If not.
    """
    if value not in choices:
        raise ValueError(f"The {what} is one of {', '.join(map(str, choices))}; got {value!r}.")
    return value
