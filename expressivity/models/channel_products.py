"""The costly operations of the layout (channels, height, width, batch), each with its own backward pass.

Automatic differentiation would give the same numbers, but not the same speed on CPUs: it adds padded slices up one
after the other, reads strided gradients pixel by pixel, and keeps more of the forward pass than is needed. Here every
gradient of a dense kernel is one matrix product, sums over pixels leave the batch to the end, and the gradient of an
input is read from slices in which the batch stays whole.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from expressivity.models.walk import Padding, pads

# Entries of a kernel up to which its transpose is best left to the product (measured on two cores).
_SMALL = 32768
# Pixels of a batch up to which the gradient of a kernel is better computed from a transposed copy (measured likewise).
_FEW = 256
# Pixels in a row of a loop that is written out when it adds up many arrays; twice as many for one or two (likewise).
_RUN = 8


class Window(NamedTuple):
    """A square window that moves over an image: which pixels each of its places sees."""

    kernel: int
    stride: int
    sizes: tuple[int, int]
    """Height and width of the image."""
    before: tuple[int, int]
    """Zeros above and to the left."""
    out: tuple[int, int]
    """Height and width of the result."""

    @classmethod
    def over(cls, x: Any, kernel: int, stride: int, padding: Padding) -> "Window":
        """The window on images `x` (channels, height, width, batch)."""
        sizes = x.shape[1:3]
        around = [pads(size, kernel, stride, padding) for size in sizes]
        out = [
            (size + before + after - kernel) // stride + 1 for size, (before, after) in zip(sizes, around, strict=True)
        ]
        return cls(kernel, stride, tuple(sizes), (around[0][0], around[1][0]), (out[0], out[1]))

    @property
    def whole(self) -> bool:
        """Whether the only place sees the image as it is."""
        return self.kernel == self.stride == 1 and self.before == (0, 0) and self.out == self.sizes

    def places(self) -> Iterator[tuple[int, int]]:
        """The places of the window, row by row."""
        return ((i, j) for i in range(self.kernel) for j in range(self.kernel))

    def shifts(self, axis: int) -> range:
        """All d for which an output q + d reads an input stride q + a along the axis, whatever the phase a."""
        low = -((self.kernel - 1 - self.before[axis]) // self.stride)
        return range(low, (self.stride - 1 + self.before[axis]) // self.stride + 1)

    def place(self, axis: int, phase: int, shift: int) -> int:
        """The place at which output q + shift sees input stride q + phase; outside of 0 .. kernel - 1 it does not."""
        return phase + self.before[axis] - self.stride * shift


def phases(window: Window, x: Any, fill: float = 0.0) -> Any:
    """The padded image as (channels, rows, stride, columns, stride, batch); pixels that no place sees are cut off."""
    reach = [size + (window.kernel - 1) // window.stride for size in window.out]
    ends = [
        extent * window.stride - size - before
        for extent, size, before in zip(reach, window.sizes, window.before, strict=True)
    ]
    steps = [(before, end, 0) for before, end in zip(window.before, ends, strict=True)]
    padded = lax.pad(x, jnp.asarray(fill, x.dtype), [(0, 0, 0), *steps, (0, 0, 0)])
    if window.kernel > 1:
        padded = lax.optimization_barrier(padded)  # or the padding is computed again in every tap
    return padded.reshape(x.shape[0], reach[0], window.stride, reach[1], window.stride, x.shape[3])


def taps(window: Window, split: Any) -> list[Any]:
    """For each place of the window, row by row, what it sees at every output pixel; `split` is that of `phases`."""
    (height, width), s = window.out, window.stride
    return [
        split[:, i // s : i // s + height, i % s, j // s : j // s + width, j % s]  #
        for i, j in window.places()
    ]


def _shifted(window: Window, dy: Any) -> Callable[[int, int], Any]:
    """(d, e) -> the output pixels (q + d, r + e) that belong to input pixels stride (q, r) + phase, 0 where none is."""
    steps, lows, lengths = [], [], []
    for axis in range(2):
        shifts, length = window.shifts(axis), -(-window.sizes[axis] // window.stride)
        steps.append((-shifts[0], length + shifts[-1] - window.out[axis], 0))
        lows.append(shifts[0])
        lengths.append(length)
    padded = lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *steps, (0, 0, 0)])
    if window.kernel > 1:
        padded = lax.optimization_barrier(padded)
    (top, left), (height, width) = lows, lengths
    return lambda d, e: padded[:, d - top : d - top + height, e - left : e - left + width]


def joined(window: Window, split: Any) -> Any:
    """(channels, rows, stride, columns, stride, batch) as the image (channels, height, width, batch)."""
    channels, rows, s, columns, _, batch = split.shape
    image = split.reshape(channels, rows * s, columns * s, batch)
    height, width = window.sizes
    return image if image.shape[1:3] == window.sizes else image[:, :height, :width]


def with_gradient(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[[Any], Any]:
    """Gives a function of (a constant, arrays) its own backward pass; layers of the same shapes are traced once.

    Args:
        forward: (constant, arrays) -> (the result, what is kept of it).
        backward: (constant, what was kept, the gradient of the result) -> the gradients of the arrays.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        own = jax.custom_vjp(function, nondiff_argnums=(0,))
        own.defvjp(forward, backward)
        return jax.jit(own, static_argnums=0)

    return decorate


def _dense_forward(window: Window, x: Any, kernel: Any) -> tuple[Any, Any]:
    seen = columns(window, x)
    y = _transposed_product(kernel, seen).reshape(kernel.shape[1], *window.out, x.shape[3])
    return y, (seen, kernel)


def _dense_backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any]:
    seen, kernel = saved
    return image_gradient(window, kernel, dy), outer(seen, dy.reshape(dy.shape[0], -1))


@with_gradient(_dense_forward, _dense_backward)
def dense(window: Window, x: Any, kernel: Any) -> Any:
    """The convolution of `x` (inputs, height, width, batch) with `kernel` (places x inputs, outputs)."""
    return _dense_forward(window, x, kernel)[0]


def columns(window: Window, x: Any, ones: int = 0) -> Any:
    """What the window sees, (places x channels, pixels x batch), and below it rows of ones.

    Joined in two stages, since long lists are copied serially. The ones are joined in the second, and not in a third,
    which would copy everything once more.
    """
    if window.whole and not ones:
        return x.reshape(x.shape[0], -1)
    seen, k = taps(window, phases(window, x)), window.kernel
    rows = [jnp.concatenate(seen[i * k : (i + 1) * k]) for i in range(k)]
    if ones:
        rows.append(jnp.ones((ones, *window.out, x.shape[3]), x.dtype))
    joined = jnp.concatenate([lax.optimization_barrier(row) for row in rows])
    return joined.reshape(joined.shape[0], -1)


def image_gradient(window: Window, kernel: Any, dy: Any) -> Any:
    """The gradient of the image from that of the result."""
    back = (kernel @ dy.reshape(dy.shape[0], -1)).reshape(-1, *dy.shape[1:])
    return back if window.whole else _added_back(window, back)


def _transposed_product(kernel: Any, columns: Any) -> Any:
    """kernel.T @ columns; the transpose of a large kernel is copied once before."""
    if kernel.size > _SMALL:
        return lax.optimization_barrier(kernel.T) @ columns
    return lax.dot_general(kernel, columns, (((0,), (0,)), ((), ())))


def outer(columns: Any, flat: Any) -> Any:
    """columns @ flat.T, with the longer factor on the left; over few pixels the transpose is copied once before."""
    if columns.shape[1] <= _FEW:
        return columns @ lax.optimization_barrier(flat.T)
    if columns.shape[0] < flat.shape[0]:
        return (flat @ columns.T).T
    return columns @ flat.T


def _added_back(window: Window, back: Any) -> Any:
    """The gradient of the image from that of the taps, `back` (places x channels, height, width, batch)."""
    s, k = window.stride, window.kernel
    shifted = [_shifted_part(window, part) for part in jnp.split(back, k * k)]
    zero = functools.partial(jnp.zeros, dtype=back.dtype)
    rows = []
    for a in range(s):
        row = []
        for b in range(s):
            terms = [
                shifted[i * k + j](d, e)
                for d in window.shifts(0)
                for e in window.shifts(1)
                if 0 <= (i := window.place(0, a, d)) < k and 0 <= (j := window.place(1, b, e)) < k
            ]
            shape = (back.shape[0] // k**2, *(-(-size // s) for size in window.sizes), back.shape[3])
            row.append(functools.reduce(jnp.add, terms) if terms else zero(shape))
        rows.append(jnp.stack(row, 3) if s > 1 else row[0])
    if s == 1:
        return rows[0]
    return joined(window, jnp.stack(rows, 2))


def _shifted_part(window: Window, part: Any) -> Callable[[int, int], Any]:
    """As `_shifted`, each shift padded by itself inside of the sum that reads it."""
    length = [-(-size // window.stride) for size in window.sizes]

    def shift(d: int, e: int) -> Any:
        steps = [(-by, extent + by - out, 0) for by, extent, out in zip((d, e), length, window.out, strict=True)]
        return lax.pad(part, jnp.zeros((), part.dtype), [(0, 0, 0), *steps, (0, 0, 0)])

    return shift


def _depthwise_forward(window: Window, x: Any, kernel: Any) -> tuple[Any, Any]:
    split = phases(window, x)
    terms = [channelwise(row, tap) * tap for row, tap in zip(kernel, taps(window, split), strict=True)]
    return functools.reduce(jnp.add, terms), (split, kernel)


def _depthwise_backward(window: Window, saved: Any, dy: Any) -> tuple[Any, Any]:
    split, kernel = saved
    gradient = jnp.stack(totals(*(_wide(tap) * _wide(dy) for tap in taps(window, split))))
    # every pixel of the input is a sum over shifts of dy, with the kernel's entry of its phase or 0
    s, k = window.stride, window.kernel
    shifted, square, terms = _shifted(window, dy), kernel.reshape(k, k, -1), []
    padded = jnp.pad(square, ((s, s), (s, s), (0, 0)))
    for d in window.shifts(0):
        for e in window.shifts(1):
            i, j = s + window.place(0, 0, d), s + window.place(1, 0, e)
            weights = padded[i : i + s, j : j + s].transpose(2, 0, 1)[:, None, :, None, :, None]
            terms.append(weights * shifted(d, e)[:, :, None, :, None])
    return joined(window, functools.reduce(jnp.add, terms)), gradient.astype(kernel.dtype)


@with_gradient(_depthwise_forward, _depthwise_backward)
def depthwise(window: Window, x: Any, kernel: Any) -> Any:
    """Each channel of `x` convolved with its own column of `kernel` (places, channels)."""
    return _depthwise_forward(window, x, kernel)[0]


@jax.custom_vjp
def add_bias(y: Any, bias: Any) -> Any:
    """y + bias, channel by channel."""
    return y + channelwise(bias, y)


def _add_bias_forward(y: Any, bias: Any) -> tuple[Any, Any]:
    return add_bias(y, bias), bias


def _add_bias_backward(bias: Any, dy: Any) -> tuple[Any, Any]:
    wide = _wide(dy)
    flat = wide.reshape(wide.shape[0], -1)
    return dy, (flat @ jnp.ones(flat.shape[1], flat.dtype)).astype(bias.dtype)


add_bias.defvjp(_add_bias_forward, _add_bias_backward)

# name -> (the function, where its slope is 1 and not 0); the empty name is no activation
RECTIFIERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "": (lambda z: z, lambda z: jnp.ones_like(z, bool)),
    "relu": (jax.nn.relu, lambda z: z > 0),
    "relu6": (jax.nn.relu6, lambda z: (z > 0) & (z < 6)),
}


@jax.jit
def moments(x: Any) -> tuple[Any, Any]:
    """Mean and variance of every channel, in float32 at least: a mean over 100,000 numbers is lost in bfloat16.

    Both in one pass: of the distances d to one of the channel's own numbers, the variance is mean(d²) - mean(d)². What
    is lost in this difference does not grow with the channel's distance from 0 (Chan, Golub and LeVeque 1983).
    """
    x = _wide(x)
    pivot = x[:, :1, :1, :1]
    first, second = (total / (x.size // x.shape[0]) for total in totals(x - pivot, jnp.square(x - pivot)))
    return pivot[:, 0, 0, 0] + first, jnp.maximum(second - jnp.square(first), 0)


def _affine(x: Any, gain: Any, offset: Any) -> Any:
    return x * channelwise(gain, x) + channelwise(offset, x)


def _normalised_forward(
    rectifier: str, x: Any, scale: Any, shift: Any, mean: Any, root: Any
) -> tuple[Any, tuple[Any, ...]]:
    y = RECTIFIERS[rectifier][0](_affine(x, scale * root, shift - mean * scale * root))
    return y, (x, scale, shift, mean, root)


def _normalised_backward(rectifier: str, saved: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
    given, scale, shift, mean, root = saved
    gain = scale * root
    x, dy = _wide(given), _wide(dy)
    if rectifier:
        # the sign is that of the forward pass, taken in the same precision
        slope = RECTIFIERS[rectifier][1](_affine(given, gain, shift - mean * gain))
        dy = jnp.where(slope, dy, jnp.zeros_like(dy))
    unit = (x - channelwise(mean, x)) * channelwise(root, x)
    first, second = totals(dy, dy * unit)
    count = x.size // x.shape[0]
    inner = dy - channelwise(first / count, x) - unit * channelwise(second / count, x)
    dx = (channelwise(gain, x) * inner).astype(given.dtype)
    zero = jnp.zeros_like(mean)
    return dx, second.astype(scale.dtype), first.astype(shift.dtype), zero, zero


@with_gradient(_normalised_forward, _normalised_backward)
def normalised(rectifier: str, x: Any, scale: Any, shift: Any, mean: Any, root: Any) -> Any:
    """The rectifier of scale (x - mean) root + shift, where mean and 1 / root² - epsilon are the moments of `x`.

    The gradient with respect to `x` takes into account that the moments depend on it; none is given to `mean` and
    `root` themselves.
    """
    return _normalised_forward(rectifier, x, scale, shift, mean, root)[0]


def totals(*terms: Any) -> list[Any]:
    """The sums of several arrays over all but the channels.

    In one loop for all of them, since XLA gives the sum of one array to a library for which it must first be written.
    Runs of pixels come first, short enough for the compiler to write them out: then it adds whole vectors along the
    batch, where the loop over all pixels adds number by number (four times the time). What is left is small.
    """
    channels, height, width, batch = terms[0].shape
    pixels, longest = height * width, _RUN if len(terms) > 2 else 2 * _RUN
    run = pixels if pixels <= longest else max(k for k in range(1, longest + 1) if width % k == 0)
    sums = list(terms)
    if run > 1:
        sums = added([term.reshape(channels, -1, run, batch) for term in sums], (2,))
    if pixels // run > _RUN:
        sums = added([term.reshape(channels, -1, batch) for term in sums], (1,))
    return added([term.reshape(channels, -1) for term in sums], (1,))


def added(terms: Sequence[Any], axes: tuple[int, ...]) -> list[Any]:
    """The sums of several arrays over the same axes, in one loop."""

    def add(some: Any, others: Any) -> Any:
        return [a + b for a, b in zip(some, others, strict=True)]

    return lax.reduce(list(terms), [jnp.zeros((), term.dtype) for term in terms], add, axes)


def _wide(x: Any) -> Any:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def channelwise(values: Any, like: Any) -> Any:
    """One value a channel, in the precision of `like` and ready to be added to it."""
    return values.astype(like.dtype).reshape(values.shape + (1,) * (like.ndim - 1))
