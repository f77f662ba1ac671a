"""allconv6 and its eight width variants: nothing but 3x3 convolutions of stride 2, ReLU, and one dense layer."""

import dataclasses
import math
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import LayerSpec
from expressivity.models.walk import ACTIVATIONS

CHANNELS: dict[str, tuple[int, ...]] = {
    "allconv6": (64, 64, 128, 128, 256),
    "allconv6_1": (16, 16, 32, 32, 64),
    "allconv6_2": (32, 32, 32, 32, 64),
    "allconv6_3": (16, 16, 64, 64, 64),
    "allconv6_4": (16, 16, 32, 32, 128),
    "allconv6_5": (32, 32, 64, 64, 128),
    "allconv6_6": (64, 64, 64, 64, 128),
    "allconv6_7": (32, 32, 128, 128, 128),
    "allconv6_8": (32, 32, 64, 64, 256),
    "allconv5": (64, 64, 128, 128),
    "allconv7_1": (64, 64, 128, 128, 256, 256),
    "allconv7_2": (64, 64, 128, 128, 256, 256),
    "allconv8_1": (64, 64, 128, 128, 256, 256, 256),
    "allconv8_2": (64, 64, 128, 128, 256, 256, 256),
    "allconv8_3": (64, 64, 128, 128, 256, 256, 256),
}
STRIDES: dict[str, tuple[int, ...]] = {
    "allconv5": (4, 2, 2, 2),
    "allconv7_1": (1, 2, 2, 2, 2, 2),
    "allconv7_2": (2, 2, 2, 2, 2, 1),
    "allconv8_1": (1, 1, 2, 2, 2, 2, 2),
    "allconv8_2": (1, 2, 2, 2, 2, 2, 1),
    "allconv8_3": (2, 2, 2, 2, 2, 1, 1),
}


@dataclasses.dataclass(frozen=True)
class AllConv6(ConvNet):
    """Five 3x3 convolutions of stride 2 with bias and ReLU, the mean over the map, and a dense layer.

    The base of a width rule is each channel count of the variant, so `Width(0.25)` of variant 0 is variant 1.
    Variants 1 to 8 are the published ones: 1 and 5 are a quarter and a half of variant 0, the others double one part of
    them. The relatives of other depth are named by text: "allconv5", "allconv7_1", "allconv7_2", "allconv8_1",
    "allconv8_2", "allconv8_3".

    The initialisation "original" draws every convolution with standard deviation 0.01 whatever the width, and the
    dense kernel uniformly on ±sqrt(3 / fan_in).

    Args:
        variant: 0 to 8, or a name.
        classes: Number of outputs.
        batch_norm: Batch norm between each convolution (which keeps its bias) and its activation.
        dropout: Rate of one dropout before the mean; 0.9 in the published dropout variant.
        activation: "relu", or "crelu", which doubles the inputs of the next layer.
        channels: Own channel counts in place of the variant's.
        strides: Own strides beside them; 2 everywhere if not given.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.AllConv6(variant=1), ex.Width()), ex.parameters(ex.AllConv6(), ex.Width(0.25))
    (36452, 36452)
    >>> ex.AllConv6(variant=5).width_dims("0.5x")
    {'conv1': 16, 'conv2': 16, 'conv3': 32, 'conv4': 32, 'conv5': 64}
    """

    variant: int | str = 0
    classes: int = 20
    batch_norm: bool = False
    dropout: float = 0.0
    activation: str = "relu"
    channels: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        checked_choice("variant of AllConv6", self.variant, (*range(9), *CHANNELS))
        checked_choice("activation", self.activation, ACTIVATIONS)
        object.__setattr__(self, "classes", checked_classes(self.classes))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"A dropout rate is at least 0 and below 1, not {self.dropout}.")
        for name in ("channels", "strides"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.base_channels) != len(self.base_strides):
            raise ValueError(
                f"Each convolution has a stride; got {len(self.base_channels)} channel counts and "
                f"{len(self.base_strides)} strides."
            )

    @property
    def name(self) -> str:
        """The published name of the variant.

        >>> AllConv6(3).name
        'allconv6_3'
        """
        if isinstance(self.variant, str):
            return self.variant
        return f"allconv6_{self.variant}" if self.variant else "allconv6"

    @property
    def base_channels(self) -> tuple[int, ...]:
        """The channel counts at width 1."""
        return CHANNELS[self.name] if self.channels is None else self.channels

    @property
    def base_strides(self) -> tuple[int, ...]:
        """The strides."""
        if self.strides is not None:
            return self.strides
        return STRIDES[self.name] if self.channels is None and self.name in STRIDES else (2,) * len(self.base_channels)

    @property
    def input_size(self) -> InputSize:
        return 224

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        return {f"conv{l}": rule(base) for l, base in enumerate(self.base_channels, 1)}

    def forward(self, net: Any, x: Any) -> Any:
        for l, stride in enumerate(self.base_strides, 1):
            kernel = 5 if stride == 4 else 3
            x = net.conv(f"conv{l}", x, net.dims[f"conv{l}"], kernel, stride, padding=1, bias=True)
            if self.batch_norm:
                x = net.batch_norm(f"bn{l}", x, epsilon=1e-5, decay=0.999)
            x = net.activate(x, self.activation)
        x = net.dropout(x, self.dropout)
        return net.dense("fc", net.global_pool(x), self.classes)

    def original(self, spec: LayerSpec) -> tuple[str, float]:
        return ("uniform", math.sqrt(3 / spec.fan_in)) if spec.kind == "dense" else ("normal", 0.01)
