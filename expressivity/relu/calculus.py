"""The calculus of networks: operations on functions that give networks again, and what each of them costs."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.relu.network import Layer, ReLUNetwork, is_traced


def _module(*arrays: Any) -> Any:
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def compose(outer: ReLUNetwork, inner: ReLUNetwork) -> ReLUNetwork:
    r"""The network $x \mapsto f(g(x))$, also written `f @ g`.

    The last affine map of `inner` and the first one of `outer` become one:
    $\mathrm{depth}(f \circ g) = \mathrm{depth}(f) + \mathrm{depth}(g) - 1$; the hidden layers are those of `inner`
    followed by those of `outer`.

    Raises:
        ValueError: If `outer` does not read as many numbers as `inner` writes.

    >>> import expressivity as ex
    >>> f = ex.identity(2, depth=3)
    >>> (f @ f).depth, (f @ f).hidden_widths
    (5, (4, 4, 4, 4))
    """
    if outer.input_dim != inner.output_dim:
        raise ValueError(
            f"Cannot compose: the outer network reads {outer.input_dim} numbers, the inner one writes "
            f"{inner.output_dim}."
        )
    before, after = list(inner.layers), list(outer.layers)
    (a, c), (w, b) = before[-1], after[0]
    xp = _module(a, c, w, b)
    return ReLUNetwork.from_layers([*before[:-1], (xp.matmul(w, a), xp.matmul(w, c) + b), *after[1:]])


def sparse_concat(outer: ReLUNetwork, inner: ReLUNetwork) -> ReLUNetwork:
    r"""The network $x \mapsto f(g(x))$ as $f \circ \mathrm{id} \circ g$, whose matrices are not multiplied.

    $\mathrm{depth} = \mathrm{depth}(f) + \mathrm{depth}(g)$. With $A$ the first matrix of `outer` and $(B, c)$ the last
    layer of `inner`, the nonzero parameters are
    $M(f) + M(g) + \lVert A\rVert_0 + \lVert B\rVert_0 + \lVert c\rVert_0 \le 2 M(f) + 2 M(g)$, while those of
    [`compose`](#expressivity.compose) can be many more, for a product of sparse matrices need not be sparse.

    Raises:
        ValueError: If `outer` does not read as many numbers as `inner` writes.

    >>> import expressivity as ex
    >>> tent = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
    >>> ex.relu.sparse_concat(tent, tent).nonzeros
    14
    """
    if outer.input_dim != inner.output_dim:
        raise ValueError(
            f"Cannot compose: the outer network reads {outer.input_dim} numbers, the inner one writes "
            f"{inner.output_dim}."
        )
    return compose(outer, compose(identity(inner.output_dim, 2), inner))


def scale(network: ReLUNetwork, factor: float) -> ReLUNetwork:
    r"""The network $x \mapsto c\,f(x)$, also written `c * f`; same shape, only the last layer changes.

    Raises:
        TypeError: If `factor` is not a real number.
        ValueError: If it is NaN or infinite.

    >>> import expressivity as ex
    >>> float((3.0 * ex.identity(1, depth=2))([2.0])[0])
    6.0
    """
    known = isinstance(factor, numbers.Real | np.ndarray | jax.Array) and not isinstance(factor, bool | np.bool_)
    if not known or np.ndim(factor) or not np.isrealobj(factor):
        raise TypeError(f"A network is scaled by one real number, not by {factor!r}.")
    if not is_traced(factor) and not np.isfinite(factor):
        raise ValueError(f"A network is scaled by a finite number, not by {factor!r}.")
    *hidden, (weight, bias) = network.layers
    return ReLUNetwork.from_layers([*hidden, (weight * factor, bias * factor)])


def identity(dim: int, depth: int) -> ReLUNetwork:
    r"""The network $x \mapsto x$ on $\mathbb R^{\mathrm{dim}}$, from $x = \sigma(x) - \sigma(-x)$.

    Width $2\,\mathrm{dim}$ and $2\,\mathrm{dim}\cdot\mathrm{depth}$ nonzero parameters (one affine map: width 0 and
    `dim` of them).

    Raises:
        ValueError: If `dim` or `depth` is below 1.

    >>> import expressivity as ex
    >>> ex.identity(3, depth=5).nonzeros
    30
    """
    if dim < 1 or depth < 1:
        raise ValueError(f"An identity network has dim and depth of at least 1; got dim={dim}, depth={depth}.")
    eye = np.eye(dim)
    if depth == 1:
        return ReLUNetwork.from_layers([(eye, np.zeros(dim))])
    split = np.concatenate([eye, -eye])
    keep = (np.eye(2 * dim), np.zeros(2 * dim))
    return ReLUNetwork.from_layers([(split, np.zeros(2 * dim)), *[keep] * (depth - 2), (split.T, np.zeros(dim))])


def pad_depth(network: ReLUNetwork, depth: int) -> ReLUNetwork:
    r"""The same function with `depth` affine maps and the same width.

    Layers $h \mapsto \sigma(h)$ are put behind the last hidden layer, where they change nothing because $h \ge 0$. An
    affine map has no hidden layer; it is composed with [`identity`](#expressivity.identity).

    Raises:
        ValueError: If the network is deeper than `depth` already.

    >>> import expressivity as ex
    >>> padded = ex.pad_depth(ex.identity(1, depth=2), 7)
    >>> padded.depth, padded.width
    (7, 2)
    """
    missing = depth - network.depth
    if missing < 0:
        raise ValueError(f"Cannot pad to depth {depth}: the network has depth {network.depth} already.")
    if missing == 0:
        return network
    if network.hidden_layers == 0:
        return compose(identity(network.output_dim, missing + 1), network)
    *hidden, last = network.layers
    units, dtype = last[0].shape[1], last[0].dtype
    return ReLUNetwork.from_layers([*hidden, *[(np.eye(units, dtype=dtype), np.zeros(units, dtype))] * missing, last])


def pad_width(network: ReLUNetwork, width: int) -> ReLUNetwork:
    r"""The same function with `width` units in every hidden layer; the new ones are zero, and so are their weights.

    Under gradient descent the new units stay zero: they output 0 and receive gradient 0.

    Raises:
        ValueError: If a hidden layer is wider than `width` already.

    >>> import expressivity as ex
    >>> ex.pad_width(ex.identity(1, depth=3), 5).hidden_widths
    (5, 5)
    """
    if network.width > width:
        raise ValueError(f"Cannot pad to width {width}: the network has a layer of {network.width} units already.")
    layers, depth = [], network.depth
    for number, (weight, bias) in enumerate(network.layers):
        rows = width - weight.shape[0] if number < depth - 1 else 0
        columns = width - weight.shape[1] if number > 0 else 0
        xp = _module(weight, bias)
        layers.append((xp.pad(weight, ((0, rows), (0, columns))), xp.pad(bias, (0, rows))))
    return ReLUNetwork.from_layers(layers)


def parallel(f: ReLUNetwork, g: ReLUNetwork) -> ReLUNetwork:
    r"""The network $x \mapsto (f(x), g(x))$: one input, shared. The shallower one is padded.

    Widths add layer by layer, depth is the larger one.

    Raises:
        ValueError: If the two read different numbers of inputs.

    >>> import expressivity as ex
    >>> f = ex.identity(2, depth=2)
    >>> ex.parallel(f, f).output_dim, ex.parallel(f, f).width
    (4, 8)
    """
    if f.input_dim != g.input_dim:
        raise ValueError(
            f"Networks in parallel share their input; got {f.input_dim} and {g.input_dim} inputs (for separate inputs "
            "use stack)."
        )
    return _side_by_side(f, g, shared=True)


def stack(f: ReLUNetwork, g: ReLUNetwork) -> ReLUNetwork:
    r"""The network $(x, y) \mapsto (f(x), g(y))$: inputs are kept apart. The shallower one is padded.

    >>> import expressivity as ex
    >>> ex.stack(ex.identity(2, depth=2), ex.identity(1, depth=4)).input_dim
    3
    """
    return _side_by_side(f, g, shared=False)


def add(f: ReLUNetwork, g: ReLUNetwork) -> ReLUNetwork:
    r"""The network $x \mapsto f(x) + g(x)$, also written `f + g`.

    The two in parallel with their output rows added: widths add, depth is the larger one.

    Raises:
        ValueError: If inputs or outputs do not agree in number.

    >>> import expressivity as ex
    >>> f = ex.identity(1, depth=2)
    >>> float((f + f)([3.0])[0])
    6.0
    """
    if (f.input_dim, f.output_dim) != (g.input_dim, g.output_dim):
        raise ValueError(
            f"Cannot add a network {f.input_dim} -> {f.output_dim} and a network {g.input_dim} -> {g.output_dim}."
        )
    eye = np.eye(f.output_dim)
    return compose(ReLUNetwork.from_layers([(np.hstack([eye, eye]), np.zeros(f.output_dim))]), parallel(f, g))


def _side_by_side(f: ReLUNetwork, g: ReLUNetwork, *, shared: bool) -> ReLUNetwork:
    depth = max(f.depth, g.depth)
    layers: list[Layer] = []
    pairs = zip(pad_depth(f, depth).layers, pad_depth(g, depth).layers, strict=True)
    for number, ((v, a), (w, b)) in enumerate(pairs):
        xp = _module(v, a, w, b)
        if shared and number == 0:
            weight = xp.concatenate([v, w])
        else:
            weight = xp.concatenate([xp.pad(v, ((0, 0), (0, w.shape[1]))), xp.pad(w, ((0, 0), (v.shape[1], 0)))])
        layers.append((weight, xp.concatenate([a, b])))
    return ReLUNetwork.from_layers(layers)
