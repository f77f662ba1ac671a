"""Weights that others trained: which file holds what, and loading them into the families."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from expressivity.models.accounting import tensors, with_tensors
from expressivity.models.convnet import ConvNet, InputSize
from expressivity.models.family import WidthLike
from expressivity.models.layers import Layers
from expressivity.models.protobuf import read_graph, read_onnx
from expressivity.models.tflite import read_tflite
from expressivity.models.torch_files import read_torch

LAYOUTS = ("HWIO", "OIHW")


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of an npz file; arrays of Python objects are refused.

    Raises:
        ValueError: If the file is no npz file, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is not an npz file of plain arrays, or is damaged: {error}.") from None


READERS: dict[str, tuple[Callable[..., dict[str, np.ndarray]], str]] = {
    ".npz": (read_npz, "HWIO"),
    ".pb": (read_graph, "HWIO"),
    ".tflite": (read_tflite, "HWIO"),
    ".onnx": (read_onnx, "OIHW"),
    ".pt": (read_torch, "OIHW"),
    ".pth": (read_torch, "OIHW"),
    ".bin": (read_torch, "OIHW"),
}


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of all weights in a file; its ending says how it is read: npz, pb, tflite, onnx, pt, pth or bin.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the ending is another, or the file is damaged.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"Weights are read from files ending in {', '.join(READERS)}; got {path.name!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} to read weights from.")
    return READERS[path.suffix.lower()][0](path)


@dataclasses.dataclass(frozen=True)
class Report:
    """What loading found: (ours, theirs) of what matched, and what did not.

    Args:
        matched: (our tensor, their tensor) for each that was loaded.
        missing: Ours that nothing was found for; they keep their initial values.
        unused: Theirs that nothing asked for.
        misshapen: (ours, its shape, theirs, its shape) where the shapes differ; ours keep their initial values.
    """

    matched: tuple[tuple[str, str], ...]
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, tuple[int, ...], str, tuple[int, ...]], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model was loaded."""
        return not self.missing and not self.misshapen

    def __str__(self) -> str:
        """One line of counts, then a line for each tensor that was not loaded.

        >>> print(Report((("fc/bias", "b"),), missing=("fc/kernel",)))
        1 tensors loaded, 1 missing, 0 of another shape, 0 of the file unused
        missing: fc/kernel
        """
        lines = [
            f"{len(self.matched)} tensors loaded, {len(self.missing)} missing, {len(self.misshapen)} of another shape, "
            f"{len(self.unused)} of the file unused"
        ]
        lines += [f"missing: {name}" for name in self.missing]
        lines += [f"{a} has the shape {s}, {b} the shape {t}" for a, s, b, t in self.misshapen]
        return "\n".join(lines)


Names = Callable[[str], str | None] | Mapping[str, str]


def load(
    family: ConvNet,
    arrays: Mapping[str, np.ndarray],
    width: WidthLike,
    input_size: InputSize | None = None,
    *,
    layout: str = "HWIO",
    names: Names | None = None,
    strict: bool = True,
) -> tuple[Layers, Layers, Report]:
    """The (model, state) of `family` with the weights in `arrays`, and a report of what matched.

    Args:
        family: The family to load into.
        arrays: Name -> array, as the readers give it.
        width: Width of the model.
        input_size: Image size; only its channels matter.
        layout: "HWIO" (TensorFlow, this package) or "OIHW" (PyTorch, ONNX; dense kernels are (outputs, inputs) there).
        names: Our tensor name -> theirs, as a function or a mapping; where not given, the kernels of convolutions,
            those of dense layers, and the vectors are matched in order.
        strict: Whether a tensor that was not loaded is an error.

    Raises:
        ValueError: If the layout is unknown, or, when strict, something was not loaded.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"The layout of kernels is one of {', '.join(LAYOUTS)}; got {layout!r}.")
    model, state = family.init(jax.random.key(0), width, input_size)
    ours = tensors(model, state)
    theirs = {name: np.asarray(array) for name, array in arrays.items() if np.ndim(array)}
    wanted = _in_order(ours, theirs) if names is None else _by_name(ours, theirs, names)
    loaded, matched, missing, misshapen = [], [], [], []
    for name, old in ours:
        source = wanted.get(name)
        array = old
        if source is None:
            missing.append(name)
        else:
            new = _turned(theirs[source], old.shape, layout)
            if new.shape == old.shape:
                matched.append((name, source))
                array = jax.numpy.asarray(new, old.dtype)
            else:
                misshapen.append((name, tuple(old.shape), source, theirs[source].shape))
        loaded.append(array)
    used = {source for source in wanted.values() if source}
    report = Report(tuple(matched), tuple(missing), tuple(n for n in theirs if n not in used), tuple(misshapen))
    if strict and not report.complete:
        raise ValueError(
            f"The weights do not fit this {type(family).__name__} of width {model.width}: {report}. Give the names, or "
            "strict=False to keep initial values there."
        )
    return *with_tensors(model, state, loaded), report


def load_folded(
    family: ConvNet, arrays: Mapping[str, np.ndarray], width: WidthLike, input_size: InputSize | None = None
) -> tuple[Layers, Layers, Report]:
    """The (model, state) with weights into whose convolutions batch norm was folded, such as those of TFLite.

    Kernels and biases (HWIO) are matched in order. The batch norm of a convolution gets the bias as its shift, scale 1,
    mean 0 and variance 1 - epsilon, so that it adds the bias and nothing else.

    Raises:
        ValueError: If the numbers of kernels differ, a shape does not fit, or a batch norm reads anything but the
            output of one convolution.
    """
    specs = family.layers(width, input_size)
    kernels = [(name, array) for name, array in arrays.items() if array.ndim > 1]
    biases = [(name, array) for name, array in arrays.items() if array.ndim == 1]
    ours = [spec for spec in specs if spec.kind != "batch_norm"]
    if not len(ours) == len(kernels) == len(biases):
        raise ValueError(
            f"This {type(family).__name__} has {len(ours)} layers; the file has {len(kernels)} kernels and "
            f"{len(biases)} biases."
        )
    filled: dict[str, np.ndarray] = {}
    sources: dict[str, str] = {}
    found = {spec.name: pair for spec, pair in zip(ours, zip(kernels, biases, strict=True), strict=True)}
    for spec in specs:
        if spec.kind != "batch_norm":
            for part, (source, array) in zip(("kernel", "bias"), found[spec.name], strict=True):
                if part in spec.shapes:
                    filled[f"{spec.name}/{part}"], sources[f"{spec.name}/{part}"] = array, source
        elif spec.norm_of:
            source, bias = found[spec.norm_of][1]
            channels = spec.shapes["scale"]
            kept = f"{spec.norm_of}/bias" in filled  # the convolution has a bias of its own; the norm adds nothing
            parts = (np.ones(channels), np.zeros(channels) if kept else bias, np.zeros(channels))
            for part, array in zip(("scale", "shift", "mean", "variance"), (*parts, 1 - spec.epsilon), strict=True):
                filled[f"{spec.name}/{part}"] = np.broadcast_to(array, channels)
                sources[f"{spec.name}/{part}"] = source
        else:
            raise ValueError(f"The batch norm {spec.name} does not follow a convolution alone, so it was not folded.")
    model, state, report = load(family, filled, width, input_size, names=lambda name: name)
    return model, state, Report(tuple((name, sources[name]) for name, _ in report.matched))


def fold_batch_norm(
    kernel: Any, bias: Any, scale: Any, shift: Any, mean: Any, variance: Any, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the convolution that equals a convolution followed by batch norm.

    kernel' = kernel g and bias' = (bias - mean) g + shift with g = scale / sqrt(variance + epsilon), for each output
    channel (the last axis of the kernel); computed in float64.

    >>> import numpy as np
    >>> one = np.ones(1)
    >>> fold_batch_norm(np.ones((1, 1, 1, 1)), None, 2 * one, one, 3 * one, 4 * one, 0.0)[1]
    array([-2.])
    """
    kernel, scale, shift, mean, variance = (np.asarray(a, np.float64) for a in (kernel, scale, shift, mean, variance))
    gain = scale / np.sqrt(variance + epsilon)
    offset = 0.0 if bias is None else np.asarray(bias, np.float64)
    return kernel * gain, (offset - mean) * gain + shift


def folded(
    family: ConvNet, model: Layers, state: Layers, input_size: InputSize | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Layer name -> (kernel, bias) with every batch norm that alone reads a convolution folded into it.

    >>> import expressivity as ex, jax
    >>> family = ex.MobileNet(classes=10)
    >>> model, state = family.init(jax.random.key(0), ex.Width(0.25), 32)
    >>> kernel, bias = ex.models.folded(family, model, state)["stem"]
    >>> kernel.shape, bias.shape
    ((3, 3, 3, 8), (8,))
    """
    found: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    size = family.input_size if input_size is None else input_size
    for spec in family.layers(model.width, size):
        layer = model[spec.name]
        if spec.kind != "batch_norm":
            bias = None if layer.bias is None else np.asarray(layer.bias)
            found[spec.name] = np.asarray(layer.kernel), bias
        elif spec.norm_of:
            running = state[spec.name]
            found[spec.norm_of] = fold_batch_norm(
                *found[spec.norm_of], layer.scale, layer.shift, running.mean, running.variance, spec.epsilon
            )
    return found


def dead_filters(kernel: Any, fraction: float = 0.01) -> np.ndarray:
    """The numbers of the filters whose norm is below `fraction` of the largest one; fold batch norm first.

    >>> import numpy as np
    >>> dead_filters(np.array([[[[1.0, 0.001, -2.0]]]]))
    array([1])
    """
    norms = np.sqrt(np.square(np.asarray(kernel, np.float64)).sum(axis=tuple(range(np.ndim(kernel) - 1))))
    return np.flatnonzero(norms < fraction * norms.max())


def mobilenet_slim_names(name: str) -> str:
    """The name of a tensor of [`MobileNet`](#expressivity.MobileNet) in the checkpoints of TensorFlow's slim model.

    >>> mobilenet_slim_names("block1_depthwise/kernel"), mobilenet_slim_names("stem_bn/scale")
    ('MobilenetV1/Conv2d_1_depthwise/depthwise_weights', 'MobilenetV1/Conv2d_0/BatchNorm/gamma')
    """
    layer, field = name.split("/")
    if layer == "fc":
        return f"MobilenetV1/Logits/Conv2d_1c_1x1/{'weights' if field == 'kernel' else 'biases'}"
    part = layer.removesuffix("_bn")
    place = "Conv2d_0" if part == "stem" else "Conv2d_" + part.removeprefix("block")
    if layer.endswith("_bn"):
        theirs = {"scale": "gamma", "shift": "beta", "mean": "moving_mean", "variance": "moving_variance"}
        return f"MobilenetV1/{place}/BatchNorm/{theirs[field]}"
    return f"MobilenetV1/{place}/{'depthwise_weights' if part.endswith('depthwise') else 'weights'}"


def _in_order(ours: Sequence[tuple[str, Any]], theirs: Mapping[str, np.ndarray]) -> dict[str, str | None]:
    waiting = {dims: iter([name for name, array in theirs.items() if array.ndim == dims]) for dims in (1, 2, 4)}
    return {name: next(waiting[array.ndim], None) for name, array in ours}


def _by_name(ours: Sequence[tuple[str, Any]], theirs: Mapping[str, np.ndarray], names: Names) -> dict[str, str | None]:
    find = names.get if isinstance(names, Mapping) else names
    return {name: source if (source := find(name)) in theirs else None for name, _ in ours}


def _turned(array: np.ndarray, shape: tuple[int, ...], layout: str) -> np.ndarray:
    """The array with our axes, where its layout or a 1x1 map beside a dense kernel says so."""
    if layout == "OIHW":
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    elif array.ndim == len(shape) == 4 and array.shape != shape and array.shape[2:] == shape[:1:-1]:
        array = array.transpose(0, 1, 3, 2)  # depthwise kernels of TensorFlow: (h, w, channels, 1)
    if array.ndim == 4 and len(shape) == 2 and array.shape[:2] == (1, 1):
        return array[0, 0]
    return array
