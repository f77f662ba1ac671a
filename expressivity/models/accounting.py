"""What a network costs, in closed form from its shapes: parameters, multiply-accumulates, activations."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from expressivity.models.convnet import PUBLISHED, ConvNet
from expressivity.models.family import Family, WidthLike, as_width
from expressivity.models.layers import BatchNorm, Conv, Dense, Layers, Moments
from expressivity.relu.network import ReLUNetwork
from expressivity.width import Width

if TYPE_CHECKING:
    import pandas as pd

FIELDS = {
    Conv: ("kernel", "bias"),
    Dense: ("kernel", "bias"),
    BatchNorm: ("scale", "shift"),
    Moments: ("mean", "variance"),
}


def parameters(family: Family, width: WidthLike = PUBLISHED, input_size: Any = None) -> int:
    """The number of trained numbers: kernels, biases, scales and shifts; running statistics are not counted.

    Args:
        family: A family of networks.
        width: A `Width`, its text, or a number of units.
        input_size: As in `macs`. The channels of the images change the first layer, and the size of their map may
            change a dense layer.

    >>> import expressivity as ex
    >>> ex.parameters(ex.WideResNet(28, 10), ex.Width(10)), ex.parameters(ex.MLP(3), "n+4")
    (36479194, 92)
    """
    if isinstance(family, ConvNet):
        return sum(spec.parameters for spec in family.layers(width, input_size))
    return sum(math.prod(shape) for shape in _shapes(family, width))


def macs(family: Family, width: WidthLike = PUBLISHED, input_size: Any = None) -> int:
    """The multiply-accumulates of convolutions and dense layers for one image (or point).

    A convolution costs kernel area x inputs / groups x outputs x output pixels, a dense layer inputs x outputs; bias,
    batch norm, activation and pooling are not counted.

    Args:
        family: A family of networks.
        width: A `Width`, its text, or a number of units.
        input_size: A side length, (height, width) or (height, width, channels); the family's own if not given.

    >>> import expressivity as ex
    >>> ex.macs(ex.MobileNet(), ex.Width(0.5), 160), ex.macs(ex.MLP(3), "n+4")
    (76524800, 77)
    """
    if isinstance(family, ConvNet):
        return sum(spec.macs for spec in family.layers(width, input_size))
    return sum(math.prod(shape) for shape in _matrices(family, width))


def activations(family: ConvNet, width: WidthLike = PUBLISHED, input_size: Any = None) -> int:
    """The numbers in the outputs of convolutions and dense layers for one image.

    >>> import expressivity as ex
    >>> ex.models.activations(ex.AllConv6(variant=1), ex.Width(), 224)
    285396
    """
    return sum(spec.activations for spec in family.layers(width, input_size) if spec.kind != "batch_norm")


def batch_norm_parameters(family: ConvNet, width: WidthLike = PUBLISHED) -> int:
    """The part of `parameters` that is scales and shifts of batch norm.

    >>> import expressivity as ex
    >>> ex.models.batch_norm_parameters(ex.MobileNet(), ex.Width())
    21888
    """
    return sum(spec.parameters for spec in family.layers(width) if spec.kind == "batch_norm")


def cost_table(family: Family, widths: Iterable[WidthLike], input_size: Any = None) -> "pd.DataFrame":
    """One row a width: width, parameters, batch_norm_parameters, macs, activations, and their exponents.

    `macs_exponent` is ln(macs / base macs) / ln(factor) against the family at `Width()`, likewise
    `parameters_exponent`; they say how near cost is to the square of a multiplier, and are missing where the width is
    no multiplier.

    >>> import expressivity as ex
    >>> table = ex.cost_table(ex.MobileNet(), [ex.Width(a) for a in (1, 0.5, 0.25)], 224)
    >>> table["macs"].tolist(), [round(e, 3) for e in table["macs_exponent"][1:]]
    ([568740352, 149497088, 41030272], [1.928, 1.897])
    """
    import pandas as pd

    rows = []
    for width in widths:
        rule = as_width(width)
        row = {
            "width": str(rule),
            "parameters": parameters(family, rule, input_size),
            "macs": macs(family, rule, input_size),
        }
        if isinstance(family, ConvNet):
            row |= {
                "batch_norm_parameters": batch_norm_parameters(family, rule),
                "activations": activations(family, rule, input_size),
            }
        multiplier = float(rule.factor) if rule.offset == 0 and rule.factor not in (0, 1) else None
        for cost, base in (
            ("macs", lambda: macs(family, Width(), input_size)),
            ("parameters", lambda: parameters(family, Width(), input_size)),
        ):
            exponent = math.nan if multiplier is None else math.log(row[cost] / base()) / math.log(multiplier)
            row[f"{cost}_exponent"] = exponent
        rows.append(row)
    return pd.DataFrame(rows)


def tensors(model: Any, state: Any = ()) -> list[tuple[str, Any]]:
    """All arrays of a model and its state as (name, array) in forward order.

    A convolution gives kernel (height, width, inputs / groups, outputs) and bias, a dense layer kernel (inputs,
    outputs) and bias, a batch norm scale, shift, mean, variance. A model of another kind gives its leaves
    in pytree order.

    >>> import expressivity as ex, jax
    >>> model, state = ex.AllConv6(variant=1, batch_norm=True).init(jax.random.key(0), ex.Width(), 32)
    >>> [name for name, _ in ex.models.tensors(model, state)][:6]
    ['conv1/kernel', 'conv1/bias', 'bn1/scale', 'bn1/shift', 'bn1/mean', 'bn1/variance']
    """
    if not isinstance(model, Layers):
        leaves = jax.tree_util.tree_leaves_with_path((model, state))
        return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    running = dict(iter(state)) if isinstance(state, Layers) else {}
    found = []
    for name, layer in model:
        for part in (layer, *([running[name]] if name in running else [])):
            for field in FIELDS[type(part)]:
                if getattr(part, field) is not None:
                    found.append((f"{name}/{field}", getattr(part, field)))
    return found


def with_tensors(model: Any, state: Any, arrays: Sequence[Any]) -> tuple[Any, Any]:
    """The (model, state) whose tensors, in the order of [`tensors`](#expressivity.models.tensors), are `arrays`.

    Raises:
        ValueError: If there are more or fewer arrays, or one has another shape.

    >>> import expressivity as ex, jax, numpy as np
    >>> model, state = ex.AllConv6(variant=1).init(jax.random.key(0), ex.Width(), 32)
    >>> arrays = [np.zeros_like(array) for _, array in ex.models.tensors(model, state)]
    >>> model, state = ex.models.with_tensors(model, state, arrays)
    >>> float(abs(model["conv1"].kernel).max())
    0.0
    """
    named = tensors(model, state)
    arrays = [array[1] if isinstance(array, tuple) and isinstance(array[0], str) else array for array in arrays]
    if len(arrays) != len(named):
        raise ValueError(f"The model has {len(named)} tensors; got {len(arrays)} arrays.")
    for (name, old), new in zip(named, arrays, strict=True):
        if np.shape(old) != np.shape(new):
            raise ValueError(f"The tensor {name} has the shape {np.shape(old)}; got an array of shape {np.shape(new)}.")
    if not isinstance(model, Layers):
        return jax.tree.unflatten(jax.tree.structure((model, state)), arrays)
    new = dict(zip((name for name, _ in named), arrays, strict=True))

    def rebuilt(layers: Layers) -> Layers:
        parts = []
        for name, layer in layers:
            parts.append(type(layer)(*(new.get(f"{name}/{field}") for field in FIELDS[type(layer)])))
        return Layers(layers.names, tuple(parts), layers.width)

    return rebuilt(model), rebuilt(state) if isinstance(state, Layers) else state


def _shapes(family: Family, width: WidthLike) -> list[tuple[int, ...]]:
    model, _ = jax.eval_shape(lambda: family.init(jax.random.key(0), as_width(width)))
    return [leaf.shape for leaf in jax.tree.leaves(model)]


def _matrices(family: Family, width: WidthLike) -> list[tuple[int, ...]]:
    model, _ = jax.eval_shape(lambda: family.init(jax.random.key(0), as_width(width)))
    if not isinstance(model, ReLUNetwork):
        raise TypeError(f"Multiply-accumulates are counted for image families and MLPs, not for {family!r}.")
    return [block.weight.shape for block in model.blocks]
