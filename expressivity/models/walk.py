"""Two ways to walk through one network description: `Outline` writes its shapes down, `Forward` computes it.

A family describes its network once, as a function `forward(net, x)` that calls the operations below on `net`. With an
`Outline` the values `x` are shapes of one image, with a `Forward` they are batches of images (batch, height, width,
channels).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from expressivity.models.layers import BatchNorm, Conv, Dense, Layers, LayerSpec, Moments

Padding = str | int
PADDINGS = ("same_tf", "pad01", "symmetric")
ACTIVATIONS = ("relu", "relu6", "crelu", "silu", "sigmoid", "identity")


def pads(size: int, kernel: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Zeros before and after an axis of length `size`.

    "symmetric" is (kernel - 1) // 2 on both sides, whatever the stride; "same_tf" makes ceil(size / stride) outputs
    with the odd zero at the end; "pad01" is "symmetric" at stride 1 and otherwise one zero less in front (for a 3x3
    kernel (0, 1)); a number is that many on both sides.

    >>> [pads(8, 3, 2, rule) for rule in ("symmetric", "same_tf", "pad01", 0)]
    [(1, 1), (0, 1), (0, 1), (0, 0)]
    >>> pads(7, 3, 2, "same_tf"), pads(7, 3, 2, "pad01")
    ((1, 1), (0, 1))
    """
    if isinstance(padding, int):
        return padding, padding
    if padding == "same_tf":
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2
    both = (kernel - 1) // 2
    return (both - 1 if padding == "pad01" and stride > 1 else both), both


def _extent(size: int, kernel: int, stride: int, padding: Padding, what: str) -> int:
    before, after = pads(size, kernel, stride, padding)
    out = (size + before + after - kernel) // stride + 1
    if out < 1:
        raise ValueError(
            f"The image is too small: {what} with a {kernel}x{kernel} window has {size} pixels left on a side; "
            "give larger images."
        )
    return out


class _Shape(tuple):
    """A shape that remembers the convolution whose output has it."""

    source: str

    def __new__(cls, sizes: tuple[int, ...], source: str) -> "_Shape":
        shape = super().__new__(cls, sizes)
        shape.source = source
        return shape


class Outline:
    """Walks through a network on shapes alone and lists its layers in forward order."""

    def __init__(self, dims: dict[str, int]) -> None:
        self.dims = dims
        self.specs: list[LayerSpec] = []
        self._readers: dict[str, list[str]] = {}

    def finish(self) -> tuple[LayerSpec, ...]:
        """The layers, each batch norm that is the only reader of a convolution knowing its name."""
        alone = {readers[0]: name for name, readers in self._readers.items() if len(readers) == 1}
        return tuple(dataclasses.replace(spec, norm_of=alone.get(spec.name, "")) for spec in self.specs)

    def _add(self, spec: LayerSpec) -> "_Shape":
        self.specs.append(spec)
        return _Shape(spec.output, spec.name if spec.kind == "conv" else "")

    def _read(self, x: Any, reader: str = "") -> tuple[int, ...]:
        """The numbers of the shape `x`; notes that the layer `reader` (a batch norm, or "") reads it."""
        if getattr(x, "source", ""):
            self._readers.setdefault(x.source, []).append(reader)
        return tuple(x)

    def channels(self, x: Any) -> int:
        return x[-1]

    def conv(
        self,
        name: str,
        x: Any,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: Padding = "symmetric",
        groups: int = 1,
        bias: bool = False,
    ) -> Any:
        x = self._read(x)
        inputs = x[-1]
        if inputs % groups or channels % groups:
            raise ValueError(
                f"Layer {name} has {groups} groups, but {inputs} inputs and {channels} outputs; both must be multiples "
                f"of {groups}. Give the Width a divisor."
            )
        height, width = (_extent(size, kernel, stride, padding, f"layer {name}") for size in x[:2])
        shapes = {"kernel": (kernel, kernel, inputs // groups, channels)} | ({"bias": (channels,)} if bias else {})
        macs = kernel * kernel * (inputs // groups) * channels * height * width
        return self._add(LayerSpec(name, "conv", shapes, (height, width, channels), macs, groups))

    def batch_norm(self, name: str, x: Any, epsilon: float = 1e-5, decay: float = 0.9) -> Any:
        x = self._read(x, name)
        shapes = {"scale": (x[-1],), "shift": (x[-1],)}
        return self._add(LayerSpec(name, "batch_norm", shapes, x, epsilon=epsilon))

    def dense(self, name: str, x: Any, features: int) -> Any:
        inputs = math.prod(self._read(x))
        shapes = {"kernel": (inputs, features), "bias": (features,)}
        return self._add(LayerSpec(name, "dense", shapes, (features,), inputs * features))

    def activate(self, x: Any, activation: str) -> Any:
        x = self._read(x)
        return (*x[:-1], 2 * x[-1]) if activation == "crelu" else x

    def max_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        x = self._read(x)
        return *(_extent(size, window, stride, padding, "a pooling") for size in x[:2]), x[-1]

    def average_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        return self.max_pool(x, window, stride, padding)

    def global_pool(self, x: Any, keep: bool = False) -> Any:
        x = self._read(x)
        return (1, 1, x[-1]) if keep else (x[-1],)

    def dropout(self, x: Any, rate: float) -> Any:
        return self._read(x)

    def add(self, x: Any, y: Any) -> Any:
        x, y = self._read(x), self._read(y)
        if x != y:
            raise ValueError(f"A residual sum needs equal shapes; got {x} and {y}.")
        return x

    def multiply(self, x: Any, gate: Any) -> Any:
        self._read(gate)
        return self._read(x)

    def concat(self, parts: Sequence[Any]) -> Any:
        shapes = [self._read(part) for part in parts]
        return *shapes[0][:-1], sum(shape[-1] for shape in shapes)

    def split(self, x: Any) -> tuple[Any, Any]:
        x = self._read(x)
        if x[-1] % 2:
            raise ValueError(
                f"A channel split needs an even number of channels, not {x[-1]}; give the Width divisor 2."
            )
        return (*x[:-1], x[-1] // 2), (*x[:-1], x[-1] // 2)

    def shuffle(self, x: Any, groups: int) -> Any:
        return self._read(x)

    def subsample(self, x: Any, channels: int, stride: int) -> Any:
        x = self._read(x)
        return -(-x[0] // stride), -(-x[1] // stride), channels


class Forward:
    """Computes a network on a batch (batch, height, width, channels) with the arrays of `model` and `state`.

    Convolutions are `lax.conv_general_dilated` in NHWC with HWIO kernels, the right call on accelerators. In training,
    batch norm uses the moments of the batch and `moments` collects the updated running ones: `decay` times the old
    plus (1 - decay) times the batch's, the variance taken without bias (n - 1), as PyTorch and Caffe keep it.
    """

    def __init__(
        self, dims: dict[str, int], model: Layers, state: Layers, training: bool = False, key: Any = None
    ) -> None:
        self.dims, self.training, self.key = dims, training, key
        self.layers, self.running = dict(iter(model)), dict(iter(state))
        self.moments: dict[str, Moments] = {}
        self.drops = 0

    def state(self, old: Layers) -> Layers:
        """The running moments after this walk."""
        moments: dict[str, Any] = self.moments
        return Layers(old.names, tuple(moments.get(name, layer) for name, layer in old), old.width)

    def channels(self, x: Any) -> int:
        return x.shape[-1]

    def conv(
        self,
        name: str,
        x: Any,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: Padding = "symmetric",
        groups: int = 1,
        bias: bool = False,
    ) -> Any:
        layer = find_layer(self.layers, name, Conv)
        rows, columns = (pads(size, kernel, stride, padding) for size in x.shape[1:3])
        y = lax.conv_general_dilated(
            x,
            layer.kernel.astype(x.dtype),
            (stride, stride),
            (rows, columns),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        return y if layer.bias is None else y + _channelwise(layer.bias, y)

    def batch_norm(self, name: str, x: Any, epsilon: float = 1e-5, decay: float = 0.9) -> Any:
        layer, running = find_layer(self.layers, name, BatchNorm), self.running[name]
        if not self.training:
            mean, variance = running.mean, running.variance
        else:
            # moments in float32 at least: a mean over 100,000 numbers is lost in bfloat16
            wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            axes = tuple(range(x.ndim - 1))
            mean = wide.mean(axes)
            variance = jnp.square(wide - _channelwise(mean, wide)).mean(axes)
            count = math.prod(x.shape[:-1])
            unbiased = variance * (count / max(count - 1, 1))
            self.moments[name] = Moments(blend(running.mean, mean, decay), blend(running.variance, unbiased, decay))
        gain = layer.scale * lax.rsqrt(variance + epsilon)
        offset = layer.shift - mean * gain
        return x * _channelwise(gain, x) + _channelwise(offset, x)

    def dense(self, name: str, x: Any, features: int) -> Any:
        layer = find_layer(self.layers, name, Dense)
        y = x.reshape(x.shape[0], -1) @ layer.kernel.astype(x.dtype)
        return y if layer.bias is None else y + _channelwise(layer.bias, y)

    def activate(self, x: Any, activation: str) -> Any:
        if activation == "crelu":
            return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=-1)
        return getattr(jax.nn, activation)(x)

    def max_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        around = [pads(size, window, stride, padding) for size in x.shape[1:3]]
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), ((0, 0), *around, (0, 0))
        )

    def average_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        """Mean over the window; zeros of the padding count."""
        around = [pads(size, window, stride, padding) for size in x.shape[1:3]]
        total = lax.reduce_window(
            x, 0.0, lax.add, (1, window, window, 1), (1, stride, stride, 1), ((0, 0), *around, (0, 0))
        )
        return total / window**2

    def global_pool(self, x: Any, keep: bool = False) -> Any:
        return x.mean((1, 2), keepdims=keep)

    def dropout(self, x: Any, rate: float) -> Any:
        if not self.training or rate == 0:
            return x
        if self.key is None:
            raise ValueError(
                f"Training with dropout {rate} needs a key: apply(..., training=True, key=jax.random.key(0))."
            )
        key = jax.random.fold_in(self.key, self.drops)
        self.drops += 1
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), jnp.zeros_like(x))

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def multiply(self, x: Any, gate: Any) -> Any:
        return x * gate

    def concat(self, parts: Sequence[Any]) -> Any:
        return jnp.concatenate(parts, axis=-1)

    def split(self, x: Any) -> tuple[Any, Any]:
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]

    def shuffle(self, x: Any, groups: int) -> Any:
        """Channels (groups, rest) written as (rest, groups)."""
        split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
        return jnp.swapaxes(split, -1, -2).reshape(x.shape)

    def subsample(self, x: Any, channels: int, stride: int) -> Any:
        """Every `stride`-th pixel; channels cut off, or filled up with zeros."""
        x = x[:, ::stride, ::stride, :channels]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


def find_layer(layers: dict[str, Any], name: str, kind: type) -> Any:
    """The layer `name`, where there is one of that kind.

    Raises:
        ValueError: If not.
    """
    layer = layers.get(name)
    if not isinstance(layer, kind):
        raise ValueError(
            f"The model has no {kind.__name__} layer {name!r}; it was made by another family, or by one with other "
            "settings."
        )
    return layer


def _channelwise(values: Any, like: Any) -> Any:
    return values.astype(like.dtype).reshape((1,) * (like.ndim - 1) + values.shape)


def blend(old: Any, new: Any, decay: float) -> Any:
    """decay old + (1 - decay) new, in the precision of `old`."""
    return decay * old + (1 - decay) * new.astype(old.dtype)
