"""Multilayer perceptrons of one width: the trainable counterpart of what the theorems construct."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.models.family import WidthLike, as_width
from expressivity.relu.network import ReLUNetwork, is_traced

# Numbers are drawn in blocks of this length, so that one small program serves networks of every size.
_BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class MLP:
    r"""ReLU networks $\mathbb R^n \to \mathbb R^m$ with `hidden_layers` hidden layers of one width.

    The base of a width rule is the input dimension n: `Width.parse("n+4")` gives n + 4 units in every hidden layer.
    A model is a [`ReLUNetwork`](#expressivity.ReLUNetwork); its state is empty.

    Initialisation (`He2015`, "fan in"): every weight of every layer, the last included, is drawn from
    $\mathcal N(0, 2/\mathrm{fan\ in})$ independently, and every bias is 0.

    Args:
        input_dim: n.
        output_dim: m.
        hidden_layers: Number of hidden layers; the depth is one more.

    Raises:
        TypeError: If one of them is not a whole number.
        ValueError: If one of them is below 1.

    >>> import expressivity as ex, jax
    >>> family = ex.MLP(3, hidden_layers=2)
    >>> net, state = family.init(jax.random.key(0), ex.Width.parse("n+4"))
    >>> net.hidden_widths, net.size
    ((7, 7), 92)
    """

    input_dim: int
    output_dim: int = 1
    hidden_layers: int = 2

    def __post_init__(self) -> None:
        for name in ("input_dim", "output_dim", "hidden_layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"The {name} of an MLP is a whole number, not {value!r}.")
            if value < 1:
                raise ValueError(f"The {name} of an MLP is at least 1, not {value}.")
            object.__setattr__(self, name, int(value))

    def units(self, width: WidthLike) -> int:
        """The number of units of a hidden layer.

        >>> MLP(3).units("2n")
        6
        """
        return as_width(width)(self.input_dim)

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        """The number of units of every hidden layer, by name.

        >>> MLP(3, hidden_layers=2).width_dims("n+1")
        {'hidden_1': 4, 'hidden_2': 4}
        """
        units = self.units(width)
        return {f"hidden_{number}": units for number in range(1, self.hidden_layers + 1)}

    def init(self, key: Any, width: WidthLike, input_size: Any = None) -> tuple[ReLUNetwork, tuple[()]]:
        """A network with fresh weights, and the empty state.

        The normal numbers are drawn in float32 whatever precision JAX is set to, so that a key gives one network.

        Args:
            key: A JAX random key; may be traced.
            width: A `Width`, its text, or a number of units.
            input_size: The input dimension again, where a caller has it: n or (n,).

        Raises:
            ValueError: If `input_size` is not the input dimension.
        """
        n, m, w, layers = self.input_dim, self.output_dim, self.units(width), self.hidden_layers - 1
        if input_size is not None and tuple(np.atleast_1d(input_size)) != (n,):
            raise ValueError(f"This MLP reads {n} numbers; got input_size={input_size!r}.")
        shapes = ((w, n), (layers, w, w), (m, w))
        sizes = [int(np.prod(shape)) for shape in shapes]
        numbers = _numbers(key, 0, sum(sizes))
        traced = is_traced(numbers)
        xp = jnp if traced else np
        weights, start = [], 0
        for shape, size in zip(shapes, sizes, strict=True):
            weights.append(xp.asarray(_scale(shape[-1]) * numbers[start : start + size].reshape(shape), _real()))
            start += size
        first, middle, last = weights
        zeros = [np.zeros(shape[:-1], first.dtype) for shape in shapes]
        if traced:
            stack = [(middle[layer], zeros[1][layer]) for layer in range(layers)]
            network = ReLUNetwork.from_layers([(first, jnp.asarray(zeros[0])), *stack, (last, jnp.asarray(zeros[2]))])
        else:
            network = ReLUNetwork.from_stacked((first, zeros[0]), middle, zeros[1], (last, zeros[2]))
        return network, ()

    def rows(self, key: Any, width: WidthLike, layer: int, first: int, last: int) -> np.ndarray:
        """The rows `first` to `last` - 1 of one of the weight matrices that `init` makes, and no others.

        Args:
            key: As in `init`.
            width: As in `init`.
            layer: Number of the matrix, from 0, which reads the input, to `hidden_layers`, which gives the output.
            first: The first row, from 0.
            last: The row after the last one.

        Raises:
            ValueError: If there is no such layer or row.

        >>> import expressivity as ex, jax
        >>> family = ex.MLP(3, hidden_layers=2)
        >>> net, _ = family.init(jax.random.key(0), 7)
        >>> bool((family.rows(jax.random.key(0), 7, 1, 2, 5) == list(net.layers)[1][0][2:5]).all())
        True
        """
        n, m, w = self.input_dim, self.output_dim, self.units(width)
        if not 0 <= layer <= self.hidden_layers:
            raise ValueError(f"The weight matrices of this MLP are numbered 0 to {self.hidden_layers}; got {layer}.")
        columns, height = n if layer == 0 else w, m if layer == self.hidden_layers else w
        if not 0 <= first <= last <= height:
            raise ValueError(f"Layer {layer} has the rows 0 to {height - 1}; got {first} to {last - 1}.")
        before = 0 if layer == 0 else w * n + (layer - 1) * w * w
        numbers = _numbers(key, before + first * columns, before + last * columns)
        return np.asarray(_scale(columns) * numbers.reshape(-1, columns), _real())

    def apply(
        self, model: ReLUNetwork, state: Any, x: Any, training: bool = False, key: Any = None
    ) -> tuple[jax.Array, Any]:
        """The outputs (batch, m) at points `x` (batch, n), and the state, which stays as it is.

        Raises:
            ValueError: If `x` has another shape.
        """
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.input_dim:
            raise ValueError(f"This MLP reads batches of shape (batch, {self.input_dim}); got {x.shape}.")
        return jax.vmap(model)(x), state


def _scale(fan_in: int) -> np.float32:
    return np.float32(np.sqrt(2.0 / fan_in))


def _real() -> Any:
    return jnp.result_type(float)


def _numbers(key: Any, first: int, last: int) -> Any:
    """The normal numbers `first` to `last` - 1 that belong to a key; NumPy unless the key is traced."""
    start = first // _BLOCK
    blocks = [_normal(key, number) for number in range(start, -(-last // _BLOCK))]
    if not blocks:
        return np.zeros(0, np.float32)
    traced = is_traced(blocks[0])
    numbers = jnp.concatenate(blocks) if traced else np.concatenate([np.asarray(block) for block in blocks])
    return numbers[first - start * _BLOCK : last - start * _BLOCK]


@jax.jit
def _normal(key: Any, number: Any) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(key, number), (_BLOCK,), jnp.float32)
