"""Layers of image networks: what they are (`LayerSpec`), what they hold (`Layers`), and how they begin."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from expressivity.width import Width


class Conv(eqx.Module):
    """A convolution: kernel of shape (height, width, inputs / groups, outputs), bias of shape (outputs,) or None."""

    kernel: Float[Array | np.ndarray, "*batch h w in out"]
    bias: Float[Array | np.ndarray, "*batch out"] | None = None


class BatchNorm(eqx.Module):
    """The trained part of batch norm: y = scale (x - mean) / sqrt(variance + epsilon) + shift."""

    scale: Float[Array | np.ndarray, "*batch c"]
    shift: Float[Array | np.ndarray, "*batch c"]


class Moments(eqx.Module):
    """The running part of batch norm: mean and variance of every channel."""

    mean: Float[Array | np.ndarray, "*batch c"]
    variance: Float[Array | np.ndarray, "*batch c"]


class Dense(eqx.Module):
    """A dense layer x -> x @ kernel + bias, kernel of shape (inputs, outputs)."""

    kernel: Float[Array | np.ndarray, "*batch in out"]
    bias: Float[Array | np.ndarray, "*batch out"] | None = None


Layer = Conv | BatchNorm | Dense | Moments


class Layers(eqx.Module):
    """Named layers in forward order, with the `Width` they were made at.

    A pytree whose leaves are all arrays; the names and the width are static. `layers["conv1"]` finds one by name.

    >>> import numpy as np
    >>> layers = Layers(("fc",), (Dense(np.ones((2, 3)), np.zeros(3)),))
    >>> layers["fc"].kernel.shape
    (2, 3)
    """

    names: tuple[str, ...] = eqx.field(static=True)
    layers: tuple[Layer, ...]
    width: Width = eqx.field(static=True, default=Width())

    def __check_init__(self) -> None:
        if len(self.names) != len(self.layers):
            raise ValueError(f"Each layer has a name; got {len(self.names)} names and {len(self.layers)} layers.")

    def __getitem__(self, name: str) -> Layer:
        try:
            return self.layers[self.names.index(name)]
        except ValueError:
            raise KeyError(f"There is no layer {name!r}; the layers are {', '.join(self.names) or 'none'}.") from None

    def __iter__(self) -> Iterator[tuple[str, Layer]]:
        return iter(zip(self.names, self.layers, strict=True))

    def __len__(self) -> int:
        return len(self.layers)


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """One layer with trained numbers, as shapes alone.

    Args:
        name: Its name in `Layers`.
        kind: "conv", "batch_norm" or "dense".
        shapes: Field -> shape of every trained array.
        output: Shape of its output for one image, (height, width, channels) or (features,).
        macs: Multiply-accumulates for one image: those of the kernel, without bias, norm or activation.
        groups: Groups of a convolution.
        epsilon: The constant under the root of a batch norm.
    """

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    output: tuple[int, ...]
    macs: int = 0
    groups: int = 1
    epsilon: float = 0.0

    @property
    def parameters(self) -> int:
        """Trained numbers: kernel, bias, scale and shift; running statistics are not counted."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def activations(self) -> int:
        """Numbers in the output for one image."""
        return math.prod(self.output)

    @property
    def fan_in(self) -> int:
        """Inputs that one output reads; 0 for a batch norm."""
        return math.prod(self.shapes["kernel"][:-1]) if "kernel" in self.shapes else 0

    @property
    def fan_out(self) -> int:
        """Outputs of one tap area: kernel area times outputs per group; 0 for a batch norm."""
        if "kernel" not in self.shapes:
            return 0
        kernel = self.shapes["kernel"]
        return math.prod(kernel[:-2]) * kernel[-1] // self.groups


# A rule gives (distribution, spread) of a kernel: standard deviation of a "normal", half width of a "uniform" one.
Rule = Callable[[LayerSpec], tuple[str, float]]


def he(spec: LayerSpec) -> tuple[str, float]:
    """Variance 2 / fan_in, and 1 / fan_in for the dense layer, which no ReLU follows (Kaiming He's rule)."""
    return "normal", math.sqrt((1 if spec.kind == "dense" else 2) / spec.fan_in)


def he_fan_out(spec: LayerSpec) -> tuple[str, float]:
    """Variance 2 / fan_out for convolutions, 1 / fan_in for the dense layer."""
    return "normal", math.sqrt(1 / spec.fan_in if spec.kind == "dense" else 2 / spec.fan_out)


def caffe(spec: LayerSpec) -> tuple[str, float]:
    """Uniform on ±sqrt(3 / fan_in): the rule that Caffe calls "xavier"."""
    return "uniform", math.sqrt(3 / spec.fan_in)


def glorot(spec: LayerSpec) -> tuple[str, float]:
    """Uniform on ±sqrt(6 / (fan_in + fan_out))."""
    return "uniform", math.sqrt(6 / (spec.fan_in + spec.fan_out))


def torch_default(spec: LayerSpec) -> tuple[str, float]:
    """Uniform on ±1 / sqrt(fan_in), the default of PyTorch; biases are drawn from the same interval."""
    return "uniform", 1 / math.sqrt(spec.fan_in)


RULES: dict[str, Rule] = {
    "he": he,
    "he_fan_out": he_fan_out,
    "caffe": caffe,
    "glorot": glorot,
    "torch": torch_default,
}


def initial_layer(key: Array, spec: LayerSpec, rule: Rule) -> Layer:
    """The layer of `spec` with its kernel drawn by `rule`, biases and shifts 0, scales 1."""
    if spec.kind == "batch_norm":
        return BatchNorm(jnp.ones(spec.shapes["scale"]), jnp.zeros(spec.shapes["shift"]))
    kernel_key, bias_key = jax.random.split(key)
    distribution, spread = rule(spec)
    shape = spec.shapes["kernel"]
    if distribution == "normal":
        kernel = spread * jax.random.normal(kernel_key, shape)
    else:
        kernel = jax.random.uniform(kernel_key, shape, minval=-spread, maxval=spread)
    bias = None
    if "bias" in spec.shapes:
        bias = jnp.zeros(spec.shapes["bias"])
        if rule is torch_default:
            bias = jax.random.uniform(bias_key, spec.shapes["bias"], minval=-spread, maxval=spread)
    return (Dense if spec.kind == "dense" else Conv)(kernel, bias)


def initial_moments(specs: tuple[LayerSpec, ...], width: Width) -> Layers:
    """Mean 0 and variance 1 for every batch norm among `specs`."""
    norms = [spec for spec in specs if spec.kind == "batch_norm"]
    return Layers(
        tuple(spec.name for spec in norms),
        tuple(Moments(jnp.zeros(spec.shapes["shift"]), jnp.ones(spec.shapes["scale"])) for spec in norms),
        width,
    )
