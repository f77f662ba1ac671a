r"""Parametrisations in which one learning rate serves networks of every width."""

import dataclasses
import math
from typing import Any

from expressivity.models.convnet import PUBLISHED, ConvNet
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import Layers, LayerSpec
from expressivity.width import Width

ADAPTIVE = {"adabelief", "adadelta", "adam", "adamax", "adamw", "amsgrad", "lion", "nadam", "nadamw", "radam", "yogi"}
ADAPTIVE |= {"adagrad", "rmsprop"}


@dataclasses.dataclass(frozen=True)
class Factors:
    """What one layer's rule is multiplied with: initial spread and learning rate of its kernel, rate of the rest."""

    spread: float
    kernel_rate: float
    other_rate: float


@dataclasses.dataclass(frozen=True)
class MuP:
    r"""The maximal update parametrisation (`yang2021`) of an image family, against a base network.

    With $m$ the number of channels over that of the base network, by layer:

    ========================= ================ ============================= ============================
    layer                     initial spread   rate, adaptive optimisers     rate, SGD and momentum
    ========================= ================ ============================= ============================
    inner kernels             1                $1/m_\mathrm{in}$             $m_\mathrm{out}/m_\mathrm{in}$
    first kernel              1                1                             $m_\mathrm{out}$
    depthwise kernels         1                1                             $m$
    biases, scales, shifts    -                1                             $m$
    last kernel               $m^{-1/2}$       $1/m$                         $1/m$
    last bias                 -                1                             1
    ========================= ================ ============================= ============================

    "Initial spread" multiplies that of a rule whose variance is 1 / fan in. The published form has a multiplier 1/m in
    front of the last layer, a spread that does not shrink, and other rates; the two are the same training. At the base
    network everything is 1.

    Args:
        family: The family of the base network.
        width: Its width.

    >>> import expressivity as ex
    >>> rule = MuP(ex.AllConv6(variant=1, classes=10))
    >>> wide = rule.factors(ex.AllConv6(variant=0, classes=10), ex.Width(), 32, "momentum")
    >>> wide["conv1"].kernel_rate, wide["conv2"].kernel_rate, wide["fc"].spread, wide["fc"].kernel_rate
    (4.0, 1.0, 0.5, 0.25)
    """

    family: ConvNet
    width: Width = PUBLISHED

    def __post_init__(self) -> None:
        if not isinstance(self.family, ConvNet):
            raise TypeError(
                f"The base of MuP is an image family such as expressivity.AllConv6(1); got {self.family!r}."
            )
        object.__setattr__(self, "width", as_width(self.width))

    def factors(self, family: ConvNet, width: WidthLike, input_size: Any, optimiser: Any) -> dict[str, Factors]:
        """The factors of every layer by name.

        Raises:
            ValueError: If the network has other layers than the base network.
        """
        specs, base = family.layers(width, input_size), self.family.layers(self.width, input_size)
        if [spec.name for spec in specs] != [spec.name for spec in base]:
            raise ValueError(
                f"MuP compares networks with the same layers; {family!r} at width {width} and its base {self!r} have "
                "others."
            )
        adaptive = isinstance(optimiser, str) and optimiser in ADAPTIVE
        last = max(number for number, spec in enumerate(specs) if "kernel" in spec.shapes)
        first = min(number for number, spec in enumerate(specs) if "kernel" in spec.shapes)
        found = {}
        for number, (spec, old) in enumerate(zip(specs, base, strict=True)):
            found[spec.name] = _factors(spec, old, number == first, number == last, adaptive)
        return found


def _factors(spec: LayerSpec, base: LayerSpec, first: bool, last: bool, adaptive: bool) -> Factors:
    if "kernel" not in spec.shapes:
        m = spec.shapes["scale"][0] / base.shapes["scale"][0]
        return Factors(1.0, 1.0, 1.0 if adaptive else m)
    kernel, old = spec.shapes["kernel"], base.shapes["kernel"]
    ratio_in, ratio_out = kernel[-2] / old[-2], kernel[-1] / old[-1]
    if last:
        return Factors(ratio_in**-0.5, 1 / ratio_in, 1.0)
    other = 1.0 if adaptive else ratio_out
    if first or (spec.groups > 1 and kernel[-2] == 1):
        return Factors(1.0, 1.0 if adaptive else ratio_out, other)
    return Factors(1.0, 1 / ratio_in if adaptive else ratio_out / ratio_in, other)


def scaled(model: Layers, factors: dict[str, Factors] | None) -> Layers:
    """The model with its kernels multiplied by the factors' spreads."""
    if factors is None or all(factor.spread == 1 for factor in factors.values()):
        return model
    layers = tuple(
        dataclasses.replace(layer, kernel=layer.kernel * factors[name].spread) if hasattr(layer, "kernel") else layer
        for name, layer in model
    )
    return Layers(model.names, layers, model.width)


def leaf_factors(model: Any, specs: tuple[LayerSpec, ...], decay: str, factors: Any) -> tuple[list[float], list[float]]:
    """(learning rate factor, share of the weight decay) of every array of a model, in the order of its leaves."""
    import jax

    kinds = {spec.name: spec for spec in specs}
    rates, decays = [], []

    def visit(name: str, field: str) -> None:
        spec = kinds.get(name)
        conv = spec is not None and spec.kind == "conv"
        rate = 1.0
        if factors is not None and spec is not None:
            rate = factors[name].kernel_rate if field == "kernel" else factors[name].other_rate
        depthwise = conv and spec is not None and spec.groups > 1 and spec.shapes["kernel"][-2] == 1
        share = {
            "all": True,
            "kernels": field == "kernel",
            "no_depthwise": field == "kernel" and not depthwise,
            "caffe": not (conv and field == "bias"),
        }[decay]
        rates.append(rate * (2.0 if decay == "caffe" and conv and field == "bias" else 1.0))
        decays.append(float(share))

    for path, _ in jax.tree_util.tree_flatten_with_path(model)[0]:
        holder, field = _holder(model, path)
        visit(holder, field)
    assert all(map(math.isfinite, rates))
    return rates, decays


def _holder(model: Any, path: tuple[Any, ...]) -> tuple[str, str]:
    """(layer name, field) of a leaf: the last `Layers` on its way names the layer."""
    at, name = model, ""
    for place, entry in enumerate(path):
        if isinstance(at, Layers):
            name = at.names[path[place + 1].idx]
        at = getattr(at, entry.name) if hasattr(entry, "name") else at[entry.idx]
    return name, str(path[-1].name)
