"""The central object: a ReLU network as a list of affine maps, stored in stacked blocks."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Layer = tuple[Any, Any]


class Block(eqx.Module):
    """Consecutive layers of one shape, stacked along the leading axis.

    A block of more than one layer is square (`out == in`), so that one `lax.scan` walks through it.
    """

    weight: Float[Array | np.ndarray, "*batch layers out in"]
    bias: Float[Array | np.ndarray, "*batch layers out"]

    def __check_init__(self) -> None:
        weight, bias = np.shape(self.weight), np.shape(self.bias)
        if len(weight) < 3 or weight[:-1] != bias:
            raise ValueError(
                f"A block holds weights of shape (layers, out, in) and biases of shape (layers, out); got {weight} and "
                f"{bias}."
            )
        if weight[-3] > 1 and weight[-2] != weight[-1]:
            raise ValueError(f"Only square layers are stacked; got {weight[-3]} layers of shape {weight[-2:]}.")

    @property
    def layers(self) -> int:
        return self.weight.shape[-3]

    @property
    def outputs(self) -> int:
        return self.weight.shape[-2]

    @property
    def inputs(self) -> int:
        return self.weight.shape[-1]


class ReLUNetwork(eqx.Module):
    r"""The function $F = A_D \circ \sigma \circ A_{D-1} \circ \dots \circ \sigma \circ A_1$, $\sigma(z) = \max(z, 0)$.

    Every $A_l(h) = W_l h + b_l$ is affine; the last one is not followed by $\sigma$. Depth $D$ counts the affine maps,
    so there are $D - 1$ hidden layers; the width is the size of the largest hidden layer.

    A network is a pytree whose leaves are all arrays, so `jax.jit`, `jax.grad`, `jax.vmap` and optax work on it as on
    any other. Layers of one square shape are stacked in blocks: a network of 100,000 layers has a handful of leaves and
    compiles as fast as one of ten. Weights given as NumPy float64 stay that; they are rounded to the precision that
    JAX is set to only when the network is called. For float64 values use [`evaluate`](#expressivity.evaluate).

    Build one with `ReLUNetwork.from_layers`. Networks can be composed (`f @ g`), added (`f + g`, `f - g`) and scaled
    (`2.0 * f`).

    >>> import numpy as np
    >>> hidden, output = (np.ones((2, 1)), np.array([0.0, -0.5])), (np.array([[2.0, -4.0]]), np.zeros(1))
    >>> hat = ReLUNetwork.from_layers([hidden, output])
    >>> hat.width, hat.depth, hat.hidden_layers, hat.size, hat.nonzeros
    (2, 2, 1, 7, 5)
    >>> float(hat(np.array([0.75]))[0])
    0.5
    """

    blocks: tuple[Block, ...]

    def __check_init__(self) -> None:
        if not self.blocks:
            raise ValueError("A network has at least one layer; got none.")
        for number, (before, after) in enumerate(pairwise(self.blocks)):
            if after.inputs != before.outputs:
                raise ValueError(
                    f"Block {number + 1} reads {after.inputs} numbers, but block {number} writes {before.outputs}."
                )
        if self.blocks[-1].layers != 1:
            raise ValueError("The last layer of a network, which has no ReLU, is a block of its own.")

    @classmethod
    def from_layers(cls, layers: Iterable[Layer]) -> "ReLUNetwork":
        """The network with these layers.

        Args:
            layers: Pairs `(W, b)` with `W` of shape (out, in) and `b` of shape (out,). NumPy float64 is kept as it is;
                integers become float64.

        Raises:
            ValueError: If there is no layer, shapes do not fit, or a weight is NaN or infinite.
            TypeError: If a weight is not a real number.
        """
        checked = [_checked_layer(number, layer) for number, layer in enumerate(layers, start=1)]
        if not checked:
            raise ValueError("A network has at least one layer; got none.")
        for number, ((before, _), (after, _)) in enumerate(pairwise(checked), start=1):
            if after.shape[1] != before.shape[0]:
                raise ValueError(
                    f"Layer {number + 1} reads {after.shape[1]} numbers, but layer {number} writes {before.shape[0]}."
                )
        runs: list[list[Layer]] = []
        for weight, bias in checked[:-1]:
            if runs and weight.shape[0] == weight.shape[1] and runs[-1][0][0].shape == weight.shape:
                runs[-1].append((weight, bias))
            else:
                runs.append([(weight, bias)])
        runs.append([checked[-1]])
        return cls(tuple(_stack(run) for run in runs))

    @classmethod
    def from_stacked(cls, first: Layer, weights: Any, biases: Any, last: Layer) -> "ReLUNetwork":
        """The network whose hidden layers after the first are given as one stack: the quick way to make a deep one.

        Args:
            first: `(W, b)` of the first layer, shapes (width, n) and (width,).
            weights: (layers, width, width); `layers` may be 0.
            biases: (layers, width).
            last: `(W, b)` of the output layer, shapes (m, width) and (m,).

        Raises:
            ValueError: If shapes do not fit or a weight is NaN or infinite.

        >>> import numpy as np
        >>> eye = np.broadcast_to(np.eye(2), (9, 2, 2))
        >>> first, last = (np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))
        >>> net = ReLUNetwork.from_stacked(first, eye, np.zeros((9, 2)), last)
        >>> net.depth, len(net.blocks)
        (11, 2)
        """
        head, tail = _checked_layer("first", first), _checked_layer("last", last)
        stack = Block(np.asarray(weights), np.asarray(biases))
        for what, values in (("weight", stack.weight), ("bias", stack.bias)):
            if not np.all(np.isfinite(values)):
                raise ValueError(f"A {what} of the stacked layers is NaN or infinite; a network needs finite numbers.")
        if head[0].shape == stack.weight.shape[1:]:
            stack = Block(np.concatenate([head[0][None], stack.weight]), np.concatenate([head[1][None], stack.bias]))
            return cls((stack, _stack([tail])))
        middle = (stack,) if stack.layers else ()
        return cls((_stack([head]), *middle, _stack([tail])))

    def __call__(self, x: Any) -> Float[Array, " outputs"]:
        """The value at one point `x` of shape (n,), as an array of shape (m,). Batches: `jax.vmap(net)(X)`.

        Raises:
            ValueError: If `x` is not of shape (n,).
        """
        h = jnp.asarray(x)
        if h.shape != (self.input_dim,):
            raise ValueError(
                f"This network reads one point of shape ({self.input_dim},); got shape {h.shape}. "
                "For many points use jax.vmap(network) or expressivity.evaluate."
            )
        for block in self.blocks[:-1]:
            if block.layers == 1:
                h = jax.nn.relu(_affine(block.weight[0], block.bias[0], h))
            else:
                h, _ = jax.lax.scan(
                    lambda h, layer: (jax.nn.relu(_affine(*layer, h)), None), h, (block.weight, block.bias)
                )
        return _affine(self.blocks[-1].weight[0], self.blocks[-1].bias[0], h)

    @property
    def layers(self) -> Iterator[Layer]:
        """Iterates over the pairs `(W, b)`, first layer first."""
        for block in self.blocks:
            for number in range(block.layers):
                yield block.weight[..., number, :, :], block.bias[..., number, :]

    @property
    def input_dim(self) -> int:
        """Numbers that the network reads, n."""
        return self.blocks[0].inputs

    @property
    def output_dim(self) -> int:
        """Numbers that it writes, m."""
        return self.blocks[-1].outputs

    @property
    def depth(self) -> int:
        """Number of affine maps; always `hidden_layers + 1`."""
        return sum(block.layers for block in self.blocks)

    @property
    def hidden_layers(self) -> int:
        """Number of layers that end in a ReLU: `depth - 1`."""
        return self.depth - 1

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(block.outputs for block in self.blocks[:-1] for _ in range(block.layers))

    @property
    def width(self) -> int:
        """Units of the largest hidden layer; 0 for an affine map, which has none. Input and output do not count."""
        return max((block.outputs for block in self.blocks[:-1]), default=0)

    @property
    def size(self) -> int:
        """Number of dense parameters, zeros included."""
        return sum(block.layers * block.outputs * (block.inputs + 1) for block in self.blocks)

    @property
    def nonzeros(self) -> int:
        """Number of parameters that are not zero."""
        return sum(int(np.count_nonzero(leaf)) for block in self.blocks for leaf in (block.weight, block.bias))

    def __matmul__(self, inner: "ReLUNetwork") -> "ReLUNetwork":
        from expressivity.relu import calculus

        return calculus.compose(self, inner) if isinstance(inner, ReLUNetwork) else NotImplemented

    def __add__(self, other: "ReLUNetwork") -> "ReLUNetwork":
        from expressivity.relu import calculus

        return calculus.add(self, other) if isinstance(other, ReLUNetwork) else NotImplemented

    def __sub__(self, other: "ReLUNetwork") -> "ReLUNetwork":
        return self + (-other) if isinstance(other, ReLUNetwork) else NotImplemented

    def __mul__(self, factor: float) -> "ReLUNetwork":
        from expressivity.relu import calculus

        return NotImplemented if isinstance(factor, ReLUNetwork) else calculus.scale(self, factor)

    def __rmul__(self, factor: float) -> "ReLUNetwork":
        return self * factor

    def __neg__(self) -> "ReLUNetwork":
        return self * -1.0

    def __repr__(self) -> str:
        shape = f"{self.input_dim} -> {self.output_dim}, width={self.width}, hidden_layers={self.hidden_layers}"
        return f"ReLUNetwork({shape}, size={self.size})"


def _affine(weight: Any, bias: Any, h: Any) -> Any:
    return jnp.matmul(weight, h, precision="highest") + bias


def _checked_layer(number: int | str, layer: Layer) -> Layer:
    try:
        weight, bias = layer
    except (TypeError, ValueError):
        raise ValueError(f"Layer {number} is a pair (W, b) of a matrix and a vector; got {layer!r}.") from None
    weight, bias = _real(number, "weight", weight), _real(number, "bias", bias)
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"Layer {number} needs a weight of shape (out, in) and a bias of shape (out,); got {weight.shape} and "
            f"{bias.shape}."
        )
    if 0 in weight.shape:
        raise ValueError(f"Layer {number} has shape {weight.shape}; a layer has at least one unit on either side.")
    return weight, bias


def _real(number: int | str, what: str, values: Any) -> Any:
    """As an array of real numbers, checked to be finite where its values are known."""
    if not isinstance(values, jax.Array):
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise ValueError(f"The {what} of layer {number} is not an array: {error}") from None
        if values.dtype.kind in "iub":
            values = values.astype(np.float64)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(f"The {what} of layer {number} holds {values.dtype}; a network holds real numbers.")
    if not is_traced(values) and not np.all(np.isfinite(np.asarray(values))):
        raise ValueError(f"The {what} of layer {number} is NaN or infinite; a network needs finite numbers.")
    return values


def is_traced(values: Any) -> bool:
    """Whether these are numbers that a JAX transformation stands for, so that their values are not known."""
    return isinstance(values, jax.core.Tracer)


def _stack(run: Sequence[Layer]) -> Block:
    weights, biases = zip(*run, strict=True)
    stack = jnp.stack if any(isinstance(leaf, jax.Array) for leaf in (*weights, *biases)) else np.stack
    return Block(stack(weights), stack(biases))
