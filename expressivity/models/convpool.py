"""ConvPool-CNN-C, the network in which concatenated ReLU was measured."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.walk import ACTIVATIONS


@dataclasses.dataclass(frozen=True)
class ConvPoolCNNC(ConvNet):
    """ConvPool-CNN-C: 3 x 96, pool, 3 x 192, pool, 192 (3x3, no padding), 192 (1x1), classes (1x1), mean.

    All convolutions have a bias and are 3x3 with padding 1 where nothing else is said; pools take the largest of 3x3
    with stride 2. The base of a width rule is each channel count.

    Args:
        classes: Number of outputs.
        activation: "relu", or "crelu" after every convolution but the last.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> [ex.parameters(ex.ConvPoolCNNC(10, activation), ex.Width()) for activation in ("relu", "crelu")]
    [1369738, 2735626]
    """

    classes: int
    activation: str = "relu"

    def __post_init__(self) -> None:
        checked_choice("activation", self.activation, ACTIVATIONS)
        object.__setattr__(self, "classes", checked_classes(self.classes))

    @property
    def input_size(self) -> InputSize:
        return 32

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        return {f"conv{l}": rule(96 if l <= 3 else 192) for l in range(1, 9)}

    def forward(self, net: Any, x: Any) -> Any:
        for l in range(1, 9):
            kernel = 1 if l == 8 else 3
            padding = 1 if l <= 6 else 0
            x = net.conv(f"conv{l}", x, net.dims[f"conv{l}"], kernel, padding=padding, bias=True)
            x = net.activate(x, self.activation)
            if l in (3, 6):
                x = net.max_pool(x, 3, 2)
        x = net.conv("conv9", x, self.classes, 1, bias=True)
        return net.global_pool(x)
