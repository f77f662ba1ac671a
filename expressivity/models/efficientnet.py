"""EfficientNet: width, depth and resolution scaled together."""

import dataclasses
import math
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import LayerSpec, he_fan_out
from expressivity.width import Width

STEM, HEAD = 32, 1280
# (expansion, kernel, stride, channels, repeats)
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# variant -> (width, depth, image size)
VARIANTS = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
    "b5": (1.6, 2.2, 456),
    "b6": (1.8, 2.6, 528),
    "b7": (2.0, 3.1, 600),
}
SQUEEZE = Width(0.25, rounding="floor")


def compound(
    phi: float, depth: float = 1.2, width: float = 1.1, resolution: float = 1.15
) -> tuple[float, float, float]:
    """(width^phi, depth^phi, resolution^phi): one budget made into three multipliers; cost grows by about 2^phi.

    >>> compound(0)
    (1.0, 1.0, 1.0)
    """
    return width**phi, depth**phi, resolution**phi


@dataclasses.dataclass(frozen=True)
class EfficientNet(ConvNet):
    """EfficientNet-B0 .. B7 (`tan_le2019`): inverted bottlenecks with a gate on the channels.

    The bases of a width rule are the published channel counts of the variant (those of B0 times the variant's width, in
    multiples of 8), so `Width()` is the variant itself.

    Args:
        variant: "b0" .. "b7", or 0 .. 7.
        classes: Number of outputs.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If there is no such variant.

    >>> import expressivity as ex
    >>> ex.parameters(ex.EfficientNet("b0"), ex.Width()), ex.macs(ex.EfficientNet("b0"), ex.Width(), 224)
    (5288548, 385814752)
    """

    variant: str | int = "b0"
    classes: int = 1000

    def __post_init__(self) -> None:
        name = str(self.variant).lower()
        name = name if name.startswith("b") else f"b{name}"
        object.__setattr__(self, "variant", checked_choice("variant of EfficientNet", name, VARIANTS))
        object.__setattr__(self, "classes", checked_classes(self.classes))

    @property
    def input_size(self) -> InputSize:
        return VARIANTS[str(self.variant)][2]

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        published = Width(VARIANTS[str(self.variant)][0], divisor=8, rounding="divisible")
        stages = {f"stage{s}": rule(published(base)) for s, (*_, base, _) in enumerate(STAGES, 1)}
        return {"stem": rule(published(STEM))} | stages | {"head": rule(published(HEAD))}

    def forward(self, net: Any, x: Any) -> Any:
        def convolve(name: str, x: Any, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Any:
            return net.batch_norm(f"{name}_bn", net.conv(name, x, channels, kernel, stride, groups=groups))

        x = net.activate(convolve("stem", x, net.dims["stem"], 3, 2), "silu")
        for s, (expansion, kernel, first_stride, _, repeats) in enumerate(STAGES, 1):
            for b in range(1, math.ceil(repeats * VARIANTS[str(self.variant)][1]) + 1):
                name, stride, inputs, y = f"stage{s}_{b}", first_stride if b == 1 else 1, net.channels(x), x
                inner = Width(expansion)(inputs)
                if expansion > 1:
                    y = net.activate(convolve(f"{name}_expand", y, inner), "silu")
                y = net.activate(convolve(f"{name}_depthwise", y, inner, kernel, stride, inner), "silu")
                gate = net.conv(f"{name}_squeeze", net.global_pool(y, keep=True), SQUEEZE(inputs), 1, bias=True)
                gate = net.conv(f"{name}_excite", net.activate(gate, "silu"), inner, 1, bias=True)
                y = net.multiply(y, net.activate(gate, "sigmoid"))
                y = convolve(f"{name}_project", y, net.dims[f"stage{s}"])
                x = net.add(y, x) if stride == 1 and inputs == net.dims[f"stage{s}"] else y
        x = net.activate(convolve("head", x, net.dims["head"]), "silu")
        return net.dense("fc", net.global_pool(x), self.classes)

    def original(self, spec: LayerSpec) -> tuple[str, float]:
        return he_fan_out(spec)
