"""The third way to walk: the computation in the layout that is fast on CPUs, (channels, height, width, batch).

With the batch as the last axis every convolution is one matrix product of (outputs, taps x inputs) and (taps x inputs,
pixels x batch), every tap of a window is a slice of outer axes, and a depthwise convolution is a sum of shifted
multiples: no operation has short rows, and none is slow inside `lax.scan`. On accelerators `Forward` is the right one;
both compute the same numbers up to rounding.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from expressivity.models.layers import BatchNorm, Conv, Dense, Layers, Moments
from expressivity.models.walk import Padding, blend, find_layer, pads


class ChannelMajor:
    """Computes a network on a batch (channels, height, width, batch); the operations are those of `Forward`."""

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
        return x.shape[0]

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
        weights = layer.kernel.astype(x.dtype)
        taps = _taps(x, kernel, stride, padding)
        if groups == x.shape[0] and weights.shape[-1] == groups and groups > 1:
            y = _depthwise(weights.reshape(kernel * kernel, groups), *taps)
        elif groups == 1:
            y = _product(weights.reshape(-1, weights.shape[-1]), taps)
        else:
            size, outputs = x.shape[0] // groups, weights.shape[-1] // groups
            y = jnp.concatenate(
                [
                    _product(
                        weights[..., g * outputs : (g + 1) * outputs].reshape(-1, outputs),
                        [tap[g * size : (g + 1) * size] for tap in taps],
                    )
                    for g in range(groups)
                ]
            )
        return y if layer.bias is None else y + _channelwise(layer.bias, y)

    def batch_norm(self, name: str, x: Any, epsilon: float = 1e-5, decay: float = 0.9) -> Any:
        layer, running = find_layer(self.layers, name, BatchNorm), self.running[name]
        if not self.training:
            gain = layer.scale * lax.rsqrt(running.variance + epsilon)
            return x * _channelwise(gain, x) + _channelwise(layer.shift - running.mean * gain, x)
        normalised: Any = _normalised(epsilon, x, layer.scale, layer.shift)
        y, mean, variance = normalised
        count = x.size // x.shape[0]
        unbiased = variance * (count / max(count - 1, 1))
        self.moments[name] = Moments(blend(running.mean, mean, decay), blend(running.variance, unbiased, decay))
        return y

    def dense(self, name: str, x: Any, features: int) -> Any:
        layer = find_layer(self.layers, name, Dense)
        x = x if x.ndim == 2 else x.transpose(1, 2, 0, 3).reshape(-1, x.shape[-1])
        y = layer.kernel.astype(x.dtype).T @ x
        return y if layer.bias is None else y + _channelwise(layer.bias, y)

    def activate(self, x: Any, activation: str) -> Any:
        if activation == "crelu":
            return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)])
        return getattr(jax.nn, activation)(x)

    def max_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        return functools.reduce(jnp.maximum, _taps(x, window, stride, padding, fill=-jnp.inf))

    def average_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        return sum(_taps(x, window, stride, padding)) / window**2

    def global_pool(self, x: Any, keep: bool = False) -> Any:
        return x.mean((1, 2), keepdims=keep)

    def dropout(self, x: Any, rate: float) -> Any:
        if not self.training or rate == 0:
            return x
        if self.key is None:
            raise ValueError(f"Training with dropout {rate} needs a key: apply(..., training=True, key=...).")
        key = jax.random.fold_in(self.key, self.drops)
        self.drops += 1
        order = (3, 1, 2, 0) if x.ndim == 4 else (1, 0)  # drawn in the order of `Forward`, which is its own inverse
        kept = jax.random.bernoulli(key, 1 - rate, tuple(x.shape[axis] for axis in order)).transpose(order)
        return jnp.where(kept, x / (1 - rate), jnp.zeros_like(x))

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def multiply(self, x: Any, gate: Any) -> Any:
        return x * gate

    def concat(self, parts: Sequence[Any]) -> Any:
        return jnp.concatenate(parts)

    def split(self, x: Any) -> tuple[Any, Any]:
        half = x.shape[0] // 2
        return x[:half], x[half:]

    def shuffle(self, x: Any, groups: int) -> Any:
        return x.reshape(groups, x.shape[0] // groups, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    def subsample(self, x: Any, channels: int, stride: int) -> Any:
        x = x[:channels, ::stride, ::stride]
        return jnp.pad(x, ((0, channels - x.shape[0]), (0, 0), (0, 0), (0, 0)))


def _taps(x: Any, kernel: int, stride: int, padding: Padding, fill: float = 0.0) -> list[Any]:
    """For each place of the window, row by row, what it sees of the padded image at every output pixel."""
    if kernel == 1 and stride == 1 and padding in (0, "symmetric", "same_tf", "pad01"):
        return [x]
    around = [pads(size, kernel, stride, padding) for size in x.shape[1:3]]
    sizes = [
        (size + before + after - kernel) // stride + 1
        for size, (before, after) in zip(x.shape[1:3], around, strict=True)
    ]
    # up to a multiple of the stride that holds every tap; what is beyond is cut off
    reach = [(size - 1 + (kernel - 1) // stride + 1) * stride for size in sizes]
    ends = [extent - size - before for extent, size, (before, _) in zip(reach, x.shape[1:3], around, strict=True)]
    steps = [(0, 0, 0), *((before, end, 0) for (before, _), end in zip(around, ends, strict=True)), (0, 0, 0)]
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), steps)
    if kernel > 1:
        padded = lax.optimization_barrier(padded)  # or the padding is computed again in every tap
    phases = padded.reshape(x.shape[0], reach[0] // stride, stride, reach[1] // stride, stride, x.shape[3])
    return [
        phases[:, i // stride : i // stride + sizes[0], i % stride, j // stride : j // stride + sizes[1], j % stride]
        for i, j in _places(kernel)
    ]


def _places(kernel: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(kernel) for j in range(kernel))


def _product(weights: Any, taps: Sequence[Any]) -> Any:
    """weights (taps x inputs, outputs) against the taps, each (inputs, rows, columns, batch)."""
    columns = taps[0] if len(taps) == 1 else jnp.concatenate(taps)
    flat = columns.reshape(columns.shape[0], -1)
    return (weights.T @ flat).reshape(weights.shape[1], *columns.shape[1:])


@jax.custom_vjp
def _depthwise(weights: Any, *taps: Any) -> Any:
    """Sum over taps of weights[tap] (taps, channels) times the tap, channel by channel."""
    return sum(_channelwise(row, tap) * tap for row, tap in zip(weights, taps, strict=True))


def _depthwise_forward(weights: Any, *taps: Any) -> tuple[Any, Any]:
    return _depthwise(weights, *taps), (weights, taps)


def _depthwise_backward(saved: Any, dy: Any) -> tuple[Any, ...]:
    weights, taps = saved
    kernel = jnp.stack([_total(tap * dy) for tap in taps])
    return kernel.astype(weights.dtype), *(_channelwise(row, dy) * dy for row in weights)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalised(epsilon: float, x: Any, scale: Any, shift: Any) -> tuple[Any, Any, Any]:
    """Batch norm by the moments of the batch, and these moments; no gradient flows through the moments given back."""
    return _normalise(epsilon, x, scale, shift)[:3]


def _normalise(epsilon: float, x: Any, scale: Any, shift: Any) -> tuple[Any, Any, Any, Any]:
    # moments in float32 at least: a mean over 100,000 numbers is lost in bfloat16
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    count = math.prod(x.shape[1:])
    mean = _total(wide) / count
    variance = _total(jnp.square(wide - _channelwise(mean, wide))) / count
    root = lax.rsqrt(variance + epsilon)
    gain = scale * root
    y = x * _channelwise(gain, x) + _channelwise(shift - mean * gain, x)
    return y, mean, variance, root


def _normalised_forward(epsilon: float, x: Any, scale: Any, shift: Any) -> tuple[Any, Any]:
    y, mean, variance, root = _normalise(epsilon, x, scale, shift)
    return (y, mean, variance), (x, scale, mean, root)


def _normalised_backward(epsilon: float, saved: Any, cotangents: Any) -> tuple[Any, Any, Any]:
    x, scale, mean, root = saved
    dy = cotangents[0]
    wide = dy.astype(mean.dtype)
    unit = (x.astype(mean.dtype) - _channelwise(mean, x.astype(mean.dtype))) * _channelwise(root, wide)
    shift, gain = _total(wide), _total(wide * unit)
    count = math.prod(x.shape[1:])
    inner = wide - _channelwise(shift / count, wide) - unit * _channelwise(gain / count, wide)
    dx = (_channelwise(scale.astype(mean.dtype) * root, wide) * inner).astype(x.dtype)
    return dx, gain.astype(scale.dtype), shift.astype(scale.dtype)


_normalised.defvjp(_normalised_forward, _normalised_backward)


def _total(x: Any) -> Any:
    """The sum of every channel: over pixels first, where the batch is a long inner axis, then over the batch."""
    return x.sum((1, 2)).sum(-1)


def _channelwise(values: Any, like: Any) -> Any:
    return values.astype(like.dtype).reshape(values.shape + (1,) * (like.ndim - 1))
