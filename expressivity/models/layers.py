"""Layers of image networks: what they are (`LayerSpec`), what they hold (`Layers`), and how they begin."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from expressivity.relu.network import is_traced
from expressivity.width import Width

_BLOCK = 16384


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

    def __getitem__(self, name: str) -> Any:
        try:
            return self.layers[self.names.index(name)]
        except ValueError:
            raise KeyError(f"There is no layer {name!r}; the layers are {', '.join(self.names) or 'none'}.") from None

    def __iter__(self) -> Iterator[tuple[str, Any]]:
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
        norm_of: For a batch norm that alone reads the output of a convolution, the name of that convolution.
    """

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    output: tuple[int, ...]
    macs: int = 0
    groups: int = 1
    epsilon: float = 0.0
    norm_of: str = ""

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


def initial_layers(key: Array, specs: tuple[LayerSpec, ...], rule: Rule) -> tuple[Layer, ...]:
    """The layers of `specs`, kernels drawn by `rule` one after the other, biases and shifts 0, scales 1."""
    rules = [rule(spec) if "kernel" in spec.shapes else ("", 0.0) for spec in specs]
    drawn = [
        (number, field, rules[number])
        for number, spec in enumerate(specs)
        for field in ("kernel", "bias")
        if field in spec.shapes and (field == "kernel" or rule is torch_default)
    ]
    values: list[dict[str, Array]] = [{} for _ in specs]
    for stream, distribution in enumerate(("normal", "uniform")):
        wanted = [(number, field, spread) for number, field, (kind, spread) in drawn if kind == distribution]
        sizes = [math.prod(specs[number].shapes[field]) for number, field, _ in wanted]
        numbers = _stream(jax.random.fold_in(key, stream), sum(sizes), distribution)
        start = 0
        for (number, field, spread), size in zip(wanted, sizes, strict=True):
            shape = specs[number].shapes[field]
            part = np.float32(spread) * numbers[start : start + size].reshape(shape)
            values[number][field] = jnp.asarray(part, jnp.result_type(float))
            start += size
    layers = []
    for spec, found in zip(specs, values, strict=True):
        if spec.kind == "batch_norm":
            layers.append(BatchNorm(_full(spec.shapes["scale"], 1), _full(spec.shapes["shift"], 0)))
        else:
            bias = _full(spec.shapes["bias"], 0) if "bias" in spec.shapes else None
            layers.append((Dense if spec.kind == "dense" else Conv)(found["kernel"], found.get("bias", bias)))
    return tuple(layers)


def _stream(key: Array, count: int, distribution: str) -> Array | np.ndarray:
    """`count` standard numbers in float32, whatever precision JAX is set to, so that a key gives one network.

    They come in blocks of one length, so that one small program serves networks of every size.
    """
    sample = _normal if distribution == "normal" else _uniform
    blocks = -(-count // _BLOCK)
    if is_traced(key):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(blocks, dtype=np.uint32))
        return jax.vmap(sample)(keys).reshape(-1)[:count]
    parts = [np.asarray(sample(jax.random.fold_in(key, number))) for number in range(blocks)]
    return np.concatenate([*parts, np.zeros(0, np.float32)])[:count]


def _full(shape: tuple[int, ...], value: float) -> Array:
    return jnp.asarray(np.full(shape, value), jnp.result_type(float))


@jax.jit
def _normal(key: Array) -> Array:
    return jax.random.normal(key, (_BLOCK,), jnp.float32)


@jax.jit
def _uniform(key: Array) -> Array:
    return jax.random.uniform(key, (_BLOCK,), jnp.float32, -1.0, 1.0)


def initial_moments(specs: tuple[LayerSpec, ...], width: Width) -> Layers:
    """Mean 0 and variance 1 for every batch norm among `specs`."""
    norms = [spec for spec in specs if spec.kind == "batch_norm"]
    return Layers(
        tuple(spec.name for spec in norms),
        tuple(Moments(_full(spec.shapes["shift"], 0), _full(spec.shapes["scale"], 1)) for spec in norms),
        width,
    )
