"""The third way to walk: the computation in the layout that is fast on CPUs, (channels, height, width, batch).

With the batch as the last axis every convolution is one matrix product of (outputs, taps x inputs) and (taps x inputs,
pixels x batch), every tap of a window is a slice of outer axes, and a depthwise convolution is a sum of shifted
multiples: no operation has short rows, and none is slow inside `lax.scan`. On accelerators `Forward` is the right one;
both compute the same numbers up to rounding.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from expressivity.models import channel_products as products
from expressivity.models import first_layer, winograd, winograd_rows
from expressivity.models.channel_products import Window, channelwise
from expressivity.models.layers import BatchNorm, Conv, Dense, Layers, Moments
from expressivity.models.walk import Padding, blend, find_layer


def _dense(window: Window, x: Any, kernel: Any) -> Any:
    ways = [way for way in (winograd, winograd_rows) if way.saves_time(window, x, kernel)]
    return (ways[0] if ways else products).dense(window, x, kernel)


class ChannelMajor:
    """Computes a network on a batch (channels, height, width, batch); the operations are those of `Forward`."""

    def __init__(
        self, dims: dict[str, int], model: Layers, state: Layers, training: bool = False, key: Any = None
    ) -> None:
        self.dims, self.training, self.key = dims, training, key
        self.layers, self.running = dict(iter(model)), dict(iter(state))
        self.moments: dict[str, Moments] = {}
        self.normalised: tuple[Any, tuple[Any, ...]] = None, ()
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
        weights, window = layer.kernel.astype(x.dtype), Window.over(x, kernel, stride, padding)
        outputs = weights.shape[-1]
        flat = weights.reshape(-1, outputs)
        if groups == 1 and first_layer.saves_time(x, flat):
            shift = jnp.zeros(outputs, x.dtype) if layer.bias is None else layer.bias.astype(x.dtype)
            return first_layer.dense(window, x, flat, shift)
        if groups == x.shape[0] == outputs and groups > 1:
            y = products.depthwise(window, x, flat)
        else:
            inputs, each = x.shape[0] // groups, outputs // groups
            parts: list[Any] = [
                _dense(
                    window,
                    x[g * inputs : (g + 1) * inputs],
                    weights[..., g * each : (g + 1) * each].reshape(-1, each),
                )
                for g in range(groups)
            ]
            y = jnp.concatenate(parts) if groups > 1 else parts[0]
        return y if layer.bias is None else products.add_bias(y, layer.bias)

    def batch_norm(self, name: str, x: Any, epsilon: float = 1e-5, decay: float = 0.9) -> Any:
        layer, running = find_layer(self.layers, name, BatchNorm), self.running[name]
        if not self.training:
            gain = layer.scale * lax.rsqrt(running.variance + epsilon)
            return x * channelwise(gain, x) + channelwise(layer.shift - running.mean * gain, x)
        mean, variance = products.moments(lax.stop_gradient(x))
        count = x.size // x.shape[0]
        unbiased = variance * (count / max(count - 1, 1))
        self.moments[name] = Moments(blend(running.mean, mean, decay), blend(running.variance, unbiased, decay))
        parts = (x, layer.scale, layer.shift, mean, lax.rsqrt(variance + epsilon))
        y = products.normalised("", *parts)
        # an activation that follows at once computes both as one; what is not read costs nothing
        self.normalised = y, parts
        return y

    def dense(self, name: str, x: Any, features: int) -> Any:
        layer = find_layer(self.layers, name, Dense)
        x = x if x.ndim == 2 else x.transpose(1, 2, 0, 3).reshape(-1, x.shape[-1])
        y = layer.kernel.astype(x.dtype).T @ x
        return y if layer.bias is None else products.add_bias(y, layer.bias)

    def activate(self, x: Any, activation: str) -> Any:
        y, parts = self.normalised
        if x is y and activation in products.RECTIFIERS:
            return products.normalised(activation, *parts)
        if activation == "crelu":
            return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)])
        return getattr(jax.nn, activation)(x)

    def max_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        return functools.reduce(jnp.maximum, self._taps(x, window, stride, padding, fill=-jnp.inf))

    def average_pool(self, x: Any, window: int, stride: int, padding: Padding = 0) -> Any:
        return sum(self._taps(x, window, stride, padding)) / window**2

    def _taps(self, x: Any, size: int, stride: int, padding: Padding, fill: float = 0.0) -> list[Any]:
        window = Window.over(x, size, stride, padding)
        return products.taps(window, products.phases(window, x, fill))

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
