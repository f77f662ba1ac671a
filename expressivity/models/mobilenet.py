"""MobileNet v1: depthwise and pointwise convolutions under one width multiplier."""

import dataclasses
import math
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import LayerSpec
from expressivity.models.walk import ACTIVATIONS, PADDINGS
from expressivity.width import Width

STEM = 32
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
SHALLOW = BLOCKS[:6] + BLOCKS[11:]


@dataclasses.dataclass(frozen=True)
class MobileNet(ConvNet):
    """MobileNet v1 (`howard2017`): a 3x3 stem of stride 2 and 13 pairs of depthwise 3x3 and pointwise 1x1.

    The bases of a width rule are all channel counts, the stem's too: `Width(0.25)` is MobileNet 0.25. How a fractional
    count is rounded is a matter of the `Width`: `rounding="floor"` cuts, with `at_least=8` as TensorFlow's slim model,
    `divisor=8, rounding="divisible"` takes multiples of 8 that lose at most 10 %.

    The initialisation "original" is a normal distribution of standard deviation 0.09 cut at two of them, approximated
    by a normal one of the same variance, as in TensorFlow's slim model; the paper does not say.

    Args:
        classes: Number of outputs.
        shallow: Without the five equal blocks of 512 channels.
        padding: "same_tf" (ceil(n / stride) outputs, the odd zero at the end), "pad01" (the stem so, the depthwise
            layers of stride 2 with one zero at the end: Keras), or "symmetric" (one on each side: PyTorch). All give
            equal shapes where the image is a multiple of 32, but different numbers.
        epsilon: Constant of batch norm; 1e-3 in TensorFlow and Keras, 1e-5 in PyTorch.
        activation: "relu6" or "relu".
        full_convolution: One full 3x3 convolution in place of each pair.
        dropout: Rate before the dense layer.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.MobileNet(), ex.Width(0.25)), ex.macs(ex.MobileNet(), ex.Width(0.25), 224)
    (470072, 41030272)
    """

    classes: int = 1000
    shallow: bool = False
    padding: str = "same_tf"
    epsilon: float = 1e-3
    activation: str = "relu6"
    full_convolution: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        checked_choice("padding", self.padding, PADDINGS)
        checked_choice("activation", self.activation, [name for name in ACTIVATIONS if name != "crelu"])
        object.__setattr__(self, "classes", checked_classes(self.classes))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"A dropout rate is at least 0 and below 1, not {self.dropout}.")
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ValueError(f"The epsilon of batch norm is a positive number, not {self.epsilon}.")

    @staticmethod
    def resolution(multiplier: float, base: int = 224) -> int:
        """The image size round(multiplier * base) of a resolution multiplier.

        >>> [MobileNet.resolution(rho) for rho in (1, 0.857, 0.714, 0.571)]
        [224, 192, 160, 128]
        """
        return Width(multiplier)(base)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of every block at width 1."""
        return SHALLOW if self.shallow else BLOCKS

    @property
    def input_size(self) -> InputSize:
        return 224

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        return {"stem": rule(STEM)} | {f"block{l}": rule(base) for l, (base, _) in enumerate(self.blocks, 1)}

    def forward(self, net: Any, x: Any) -> Any:
        def norm(name: str, x: Any) -> Any:
            return net.activate(net.batch_norm(name, x, self.epsilon, decay=0.99), self.activation)

        stem_padding = "same_tf" if self.padding == "pad01" else self.padding
        x = norm("stem_bn", net.conv("stem", x, net.dims["stem"], 3, 2, stem_padding))
        for l, (_, stride) in enumerate(self.blocks, 1):
            channels = net.dims[f"block{l}"]
            if self.full_convolution:
                x = norm(f"block{l}_bn", net.conv(f"block{l}", x, channels, 3, stride, self.padding))
                continue
            inputs = net.channels(x)
            x = net.conv(f"block{l}_depthwise", x, inputs, 3, stride, self.padding, groups=inputs)
            x = norm(f"block{l}_depthwise_bn", x)
            x = norm(f"block{l}_pointwise_bn", net.conv(f"block{l}_pointwise", x, channels, 1))
        return net.dense("fc", net.dropout(net.global_pool(x), self.dropout), self.classes)

    def original(self, spec: LayerSpec) -> tuple[str, float]:
        # the standard deviation of a standard normal number cut at +-2 is 0.8796
        return "normal", 0.09 * 0.8796256610342398
