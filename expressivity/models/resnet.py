"""Residual networks on large images: ResNet, wide ResNet, and the thin ResNet in which every channel scales."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.width import Width

STEM = 64
STAGES = (64, 128, 256, 512)
EXPANSION = Width(4)
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclasses.dataclass(frozen=True)
class ImageNetResNet(ConvNet):
    """ResNet-18, 34, 50, 101, 152 (`he2016`) with the stride in the 3x3 of a bottleneck.

    At depth 18 and 34 the bases of a width rule are the channels of the four stages (WRN-18-2 is `Width(2)`); at 50 and
    above they are the inner 3x3 channels of each bottleneck alone (WRN-50-2 is `Width(2)`), the outer ones stay at
    four times the published inner ones. The stem keeps 64.

    Args:
        depth: 18, 34, 50, 101 or 152.
        classes: Number of outputs.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.ImageNetResNet(50, 1000), ex.Width(2))
    68883240
    """

    depth: int
    classes: int = 1000

    def __post_init__(self) -> None:
        checked_choice("depth of an ImageNetResNet", self.depth, BLOCKS)
        object.__setattr__(self, "classes", checked_classes(self.classes))

    @property
    def input_size(self) -> InputSize:
        return 224

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        part = "stage" if self.depth < 50 else "inner"
        return {f"{part}{s}": rule(base) for s, base in enumerate(STAGES, 1)}

    def forward(self, net: Any, x: Any) -> Any:
        if self.depth < 50:
            stages = [(net.dims[f"stage{s}"], net.dims[f"stage{s}"]) for s in range(1, 5)]
        else:
            stages = [(net.dims[f"inner{s}"], EXPANSION(base)) for s, base in enumerate(STAGES, 1)]
        return _resnet(net, x, self.depth, STEM, stages, self.classes)


@dataclasses.dataclass(frozen=True)
class SlimResNet(ConvNet):
    """A ResNet in which every channel count scales, the stem's too: the slimmable ResNet (`yu2019`).

    Args:
        depth: 18, 34, 50, 101 or 152.
        classes: Number of outputs.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.macs(ex.SlimResNet(50, 1000), ex.Width(0.25), 224)
    278085632
    """

    depth: int
    classes: int = 1000

    def __post_init__(self) -> None:
        checked_choice("depth of a SlimResNet", self.depth, BLOCKS)
        object.__setattr__(self, "classes", checked_classes(self.classes))

    @property
    def input_size(self) -> InputSize:
        return 224

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        dims = {"stem": rule(STEM)}
        for s, base in enumerate(STAGES, 1):
            if self.depth < 50:
                dims[f"stage{s}"] = rule(base)
            else:
                dims |= {f"inner{s}": rule(base), f"outer{s}": rule(EXPANSION(base))}
        return dims

    def forward(self, net: Any, x: Any) -> Any:
        parts = ("stage", "stage") if self.depth < 50 else ("inner", "outer")
        stages = [(net.dims[f"{parts[0]}{s}"], net.dims[f"{parts[1]}{s}"]) for s in range(1, 5)]
        return _resnet(net, x, self.depth, net.dims["stem"], stages, self.classes)


def _resnet(net: Any, x: Any, depth: int, stem: int, stages: list[tuple[int, int]], classes: int) -> Any:
    def convolve(name: str, x: Any, channels: int, kernel: int, stride: int = 1, active: bool = True) -> Any:
        y = net.batch_norm(f"{name}_bn", net.conv(name, x, channels, kernel, stride))
        return net.activate(y, "relu") if active else y

    x = net.max_pool(convolve("stem", x, stem, 7, 2), 3, 2, padding=1)
    for s, ((inner, outer), blocks) in enumerate(zip(stages, BLOCKS[depth], strict=True), 1):
        for b in range(1, blocks + 1):
            name, stride = f"stage{s}_{b}", 2 if s > 1 and b == 1 else 1
            if depth < 50:
                y = convolve(f"{name}_conv1", x, inner, 3, stride)
                y = convolve(f"{name}_conv2", y, outer, 3, active=False)
            else:
                y = convolve(f"{name}_conv1", x, inner, 1)
                y = convolve(f"{name}_conv2", y, inner, 3, stride)
                y = convolve(f"{name}_conv3", y, outer, 1, active=False)
            if stride > 1 or net.channels(x) != outer:
                x = convolve(f"{name}_projection", x, outer, 1, stride, active=False)
            x = net.activate(net.add(y, x), "relu")
    return net.dense("fc", net.global_pool(x), classes)
