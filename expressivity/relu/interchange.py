"""Networks from PyTorch and scikit-learn, and to ONNX. None of the three is imported before it is needed.

What comes in is read from attributes, checked, and turned into float64; a float32 weight is kept exactly.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expressivity.relu.network import Layer, ReLUNetwork

_PASSED = ("Identity", "Dropout")
_ONNX_LIMIT = 2_000_000_000


def from_torch(model: Any) -> ReLUNetwork:
    r"""The network of a `torch.nn.Sequential` of Linear and ReLU, or of the `state_dict` of such a chain.

    In a Sequential, Linear maps that follow each other without ReLU are multiplied together, a ReLU in front or at the
    end is kept, nested Sequentials are opened, and Identity and Dropout (which does nothing when a network is
    evaluated) are passed over. A state dict does not say what lies between its layers: it is read as Linear layers, in
    its order, with a ReLU after every one but the last.

    Args:
        model: A Sequential, or a mapping of names ending in `weight` (out, in) and `bias` (out,) to tensors or arrays.

    Raises:
        TypeError: If it is neither.
        ValueError: If it contains another activation, a convolution or any other module, if shapes do not fit, or a
            weight is NaN or infinite.

    >>> import numpy as np
    >>> state = {"0.weight": np.ones((3, 2)), "0.bias": np.zeros(3), "2.weight": np.ones((1, 3))}
    >>> from_torch(state)
    ReLUNetwork(2 -> 1, width=3, hidden_layers=1, size=13)
    """
    if isinstance(model, Mapping):
        return ReLUNetwork.from_layers(_state_layers(model))
    if type(model).__name__ == "Sequential" and isinstance(model, Iterable):
        return _chain(_modules(model))
    raise TypeError(
        f"from_torch reads a Sequential or a state dict; got {type(model).__name__}. If its forward pass is a chain of "
        "Linear and ReLU, give its state_dict()."
    )


def from_sklearn(estimator: Any) -> ReLUNetwork:
    r"""The network of a fitted `MLPRegressor` or `MLPClassifier`.

    It is the regressor's prediction, or the classifier's logits: what stands before the softmax, or, with two classes,
    before the logistic function. With `activation="identity"` it is one affine map.

    Args:
        estimator: Anything with `coefs_`, `intercepts_`, `activation` and `out_activation_`.

    Raises:
        TypeError: If it is not such an estimator.
        ValueError: If it is not fitted, its activation is another one, or a weight is NaN or infinite.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> weights = dict(coefs_=[np.ones((2, 3)), np.ones((3, 1))], intercepts_=[np.zeros(3), np.ones(1)])
    >>> from_sklearn(SimpleNamespace(activation="relu", out_activation_="identity", **weights)).hidden_widths
    (3,)
    """
    name = type(estimator).__name__
    activation = getattr(estimator, "activation", None)
    if activation is None:
        raise TypeError(
            f"from_sklearn reads an MLPRegressor or MLPClassifier; got {name}. Take the last step of a pipeline."
        )
    if not hasattr(estimator, "coefs_") or not hasattr(estimator, "intercepts_"):
        raise ValueError(f"This {name} has no coefs_: fit it first.")
    if activation not in ("relu", "identity"):
        raise ValueError(f"A ReLU network has activation 'relu'; this {name} has {activation!r}.")
    output = getattr(estimator, "out_activation_", "identity")
    if output not in ("identity", "softmax", "logistic"):
        raise ValueError(f"The output activation {output!r} of this {name} is not that of a ReLU network.")
    weights, biases = list(estimator.coefs_), list(estimator.intercepts_)
    if len(weights) != len(biases):
        raise ValueError(f"This {name} has {len(weights)} weights and {len(biases)} intercepts.")
    layers = [(_array(w, "weight").T, _array(b, "bias")) for w, b in zip(weights, biases, strict=True)]
    if activation == "relu":
        return ReLUNetwork.from_layers(layers)
    return _chain(("linear", *layer) for layer in layers)


def to_onnx(network: ReLUNetwork, path: str | os.PathLike[str], dtype: Any = np.float64) -> Path:
    r"""Writes the network as an ONNX file: Gemm and Relu nodes, input `x` (points, n), output `y` (points, m).

    Operator set 13. The file appears under its name when it is complete.

    Args:
        network: The network.
        path: Where to; a file that is there is replaced.
        dtype: `np.float64`, or `np.float32` for readers that know no other; weights are rounded to it.

    Returns:
        The path.

    Raises:
        ImportError: If the package onnx (extra `onnx`) is missing.
        TypeError: If `network` is not a `ReLUNetwork`.
        ValueError: If `dtype` is another one, a weight overflows in it, or the file would exceed the two gigabytes that
            the format allows.

    >>> import expressivity as ex
    >>> to_onnx(ex.identity(1, depth=2), "net.onnx", dtype=np.float16)
    Traceback (most recent call last):
    ValueError: An ONNX file is written in float64 or float32, not in float16.
    """
    found = getattr(network, "network", network)
    if not isinstance(found, ReLUNetwork):
        raise TypeError(f"to_onnx writes a ReLUNetwork; got {type(network).__name__}.")
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise ValueError(f"An ONNX file is written in float64 or float32, not in {np.dtype(dtype)}.")
    if found.size * np.dtype(dtype).itemsize > _ONNX_LIMIT:
        raise ValueError(f"An ONNX file holds two gigabytes at most; this network has {found.size} parameters.")
    try:
        from onnx import TensorProto, checker, helper, numpy_helper  # type: ignore[import-not-found]
    except ImportError:
        raise ImportError("to_onnx needs the package onnx: pip install 'width-expressivity[onnx]'.") from None
    number = TensorProto.DOUBLE if np.dtype(dtype) == np.float64 else TensorProto.FLOAT
    nodes, constants, value = [], [], "x"
    for layer, (weight, bias) in enumerate(found.layers, start=1):
        last = layer == found.depth
        for name, array in ((f"W{layer}", weight), (f"b{layer}", bias)):
            with np.errstate(over="ignore"):
                rounded = np.ascontiguousarray(np.asarray(array).astype(dtype))
            if not np.isfinite(rounded).all():
                raise ValueError(f"The parameter {name} does not fit into {np.dtype(dtype)}.")
            constants.append(numpy_helper.from_array(rounded, name))
        result = "y" if last else f"z{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"W{layer}", f"b{layer}"], [result], transB=1))
        if not last:
            value = f"h{layer}"
            nodes.append(helper.make_node("Relu", [result], [value]))
    graph = helper.make_graph(
        nodes,
        "ReLUNetwork",
        [helper.make_tensor_value_info("x", number, ["points", found.input_dim])],
        [helper.make_tensor_value_info("y", number, ["points", found.output_dim])],
        constants,
    )
    model = helper.make_model(graph, producer_name="expressivity", opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    checker.check_model(model)
    target = Path(path)
    partial = target.with_name(target.name + f".{os.getpid()}.partial")
    try:
        partial.write_bytes(model.SerializeToString())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _modules(model: Any) -> Iterator[tuple[Any, ...]]:
    """The steps of a Sequential: ("linear", W, b) or ("relu",)."""
    for number, module in enumerate(model):
        kind = type(module).__name__
        if kind == "Sequential":
            yield from _modules(module)
        elif kind == "ReLU":
            yield ("relu",)
        elif kind == "Linear":
            weight, bias = _array(module.weight, "weight"), getattr(module, "bias", None)
            yield "linear", weight, np.zeros(len(weight)) if bias is None else _array(bias, "bias")
        elif kind not in _PASSED:
            raise ValueError(
                f"Module {number} of the Sequential is {kind}; a ReLU network is made of Linear and ReLU alone."
            )


def _chain(steps: Iterable[tuple[Any, ...]]) -> ReLUNetwork:
    layers: list[Layer] = []
    open_end = False  # whether the last layer is still without ReLU
    leading = False
    for kind, *parts in steps:
        if kind == "relu":
            leading, open_end = leading or not layers, False
            continue
        weight, bias = parts
        if not layers and leading:
            layers.append((np.eye(weight.shape[-1]), np.zeros(weight.shape[-1])))
        if open_end and layers:
            before, offset = layers.pop()
            if weight.ndim != 2 or weight.shape[1] != len(offset):
                raise ValueError(f"A layer of shape {weight.shape} follows one that writes {len(offset)} numbers.")
            weight, bias = weight @ before, weight @ offset + bias
        layers.append((weight, bias))
        open_end = True
    if layers and not open_end:
        units = len(layers[-1][1])
        layers.append((np.eye(units), np.zeros(units)))
    return ReLUNetwork.from_layers(layers)


def _state_layers(state: Mapping[str, Any]) -> list[Layer]:
    stems: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in state.items():
        stem, _, what = str(name).rpartition(".")
        array = _array(tensor, str(name))
        if what not in ("weight", "bias"):
            raise ValueError(f"The state dict holds {name!r}; a chain of Linear layers has weights and biases alone.")
        if array.ndim != (2 if what == "weight" else 1):
            raise ValueError(
                f"{name!r} has shape {array.shape}; a Linear layer has a weight (out, in) and a bias (out,). "
                "Convolutions and normalisations cannot be read."
            )
        stems.setdefault(stem, {})[what] = array
    for stem, parts in stems.items():
        if "weight" not in parts:
            raise ValueError(f"The state dict holds a bias of {stem!r} without a weight.")
    return [(parts["weight"], parts.get("bias", np.zeros(len(parts["weight"])))) for parts in stems.values()]


def _array(tensor: Any, name: str) -> np.ndarray:
    """A tensor or array as float64."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = tensor.double() if tensor.is_floating_point() else tensor
        tensor = tensor.numpy()
    try:
        found = np.asarray(tensor)
    except ValueError as error:
        raise ValueError(f"{name!r} is not an array: {error}") from None
    if found.dtype.kind not in "fiu":
        raise TypeError(f"{name!r} holds {found.dtype}; a network holds real numbers.")
    return found.astype(np.float64)
