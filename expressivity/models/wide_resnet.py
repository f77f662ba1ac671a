"""Wide residual networks on small images, and their thin ends: pre-activation and CIFAR ResNets."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.width import Width

STEM = 16
GROUPS = (16, 32, 64)
EXPANSION = Width(4)


def _blocks(depth: int, per_block: int, extra: tuple[int, ...], what: str) -> int:
    for more in extra:
        if depth > more and (depth - more) % per_block == 0:
            return (depth - more) // per_block
    forms = " or ".join(f"{per_block} N + {more}" for more in extra)
    raise ValueError(f"The depth of {what} is {forms} with N of at least 1; got {depth}.")


@dataclasses.dataclass(frozen=True)
class WideResNet(ConvNet):
    """WRN-d-k (`zagoruyko_komodakis2016`): a 3x3 stem, three groups of N pre-activation blocks, mean, dense layer.

    The bases of a width rule are the channels 16, 32, 64 of the three groups, so `Width(8)` is WRN-d-8; the stem keeps
    16. A block is x + conv2(relu(bn2(conv1(relu(bn1 x))))); one that changes the channels is
    conv2(..conv1 o) + projection(o) with o = relu(bn1 x), a 1x1 convolution of the block's stride.

    With block "basic" the depth is 6 N + 4 (which counts the projections) or 6 N + 2 (which does not: the
    pre-activation ResNet-110); with "bottleneck" (1x1, 3x3, 1x1 to four times the channels) it is 9 N + 2.

    Args:
        depth: d.
        classes: Number of outputs.
        block: "basic" or "bottleneck".
        dropout: Rate between the convolutions of a block, after the second batch norm.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If there is no such depth, or an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.WideResNet(40, 10), ex.Width(4))
    8949210
    >>> ex.WideResNet(28, 10).width_dims("10x")
    {'group1': 160, 'group2': 320, 'group3': 640}
    """

    depth: int
    classes: int = 10
    block: str = "basic"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        checked_choice("block", self.block, ("basic", "bottleneck"))
        object.__setattr__(self, "classes", checked_classes(self.classes))
        if isinstance(self.depth, bool) or not hasattr(self.depth, "__index__"):
            raise TypeError(f"The depth of a WideResNet is a whole number, not {self.depth!r}.")
        _ = self.blocks
        if not 0 <= self.dropout < 1:
            raise ValueError(f"A dropout rate is at least 0 and below 1, not {self.dropout}.")

    @property
    def blocks(self) -> int:
        """N, the blocks of a group.

        >>> WideResNet(28, 10).blocks, WideResNet(110, 10).blocks, WideResNet(164, 10, block="bottleneck").blocks
        (4, 18, 18)
        """
        if self.block == "basic":
            return _blocks(self.depth, 6, (4, 2), "a WideResNet")
        return _blocks(self.depth, 9, (2,), "a WideResNet of bottlenecks")

    @property
    def input_size(self) -> InputSize:
        return 32

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        return {f"group{g}": rule(base) for g, base in enumerate(GROUPS, 1)}

    def forward(self, net: Any, x: Any) -> Any:
        def norm(name: str, x: Any) -> Any:
            return net.activate(net.batch_norm(name, x), "relu")

        x = net.conv("stem", x, STEM)
        for g in (1, 2, 3):
            inner = net.dims[f"group{g}"]
            outer = inner if self.block == "basic" else EXPANSION(inner)
            for b in range(1, self.blocks + 1):
                name, stride = f"group{g}_{b}", 2 if g > 1 and b == 1 else 1
                o = norm(f"{name}_bn1", x)
                if self.block == "basic":
                    y = net.conv(f"{name}_conv1", o, inner, 3, stride)
                    y = net.dropout(norm(f"{name}_bn2", y), self.dropout)
                    y = net.conv(f"{name}_conv2", y, outer)
                else:
                    y = norm(f"{name}_bn2", net.conv(f"{name}_conv1", o, inner, 1))
                    y = net.dropout(norm(f"{name}_bn3", net.conv(f"{name}_conv2", y, inner, 3, stride)), self.dropout)
                    y = net.conv(f"{name}_conv3", y, outer, 1)
                keep = net.channels(x) == outer and stride == 1
                x = net.add(y, x if keep else net.conv(f"{name}_projection", o, outer, 1, stride))
        return net.dense("fc", net.global_pool(norm("bn", x)), self.classes)


@dataclasses.dataclass(frozen=True)
class CifarResNet(ConvNet):
    """The ResNet-20 .. 1202 for small images (`he2016`): 3x3 stem, three groups of N blocks, 16, 32, 64 channels.

    A block is relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut(x)). The depth is 6 N + 2. The bases of a width rule are
    the channels of the three groups; the stem keeps 16.

    Args:
        depth: 6 N + 2.
        classes: Number of outputs.
        shortcut: Where shapes change: "A" takes every second pixel and fills up with zero channels (or, in a network
            narrower than its stem, keeps the first channels), "B" is a 1x1 convolution with batch norm.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If there is no such depth, or an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.CifarResNet(20, 10), ex.Width())
    269722
    """

    depth: int
    classes: int = 10
    shortcut: str = "A"

    def __post_init__(self) -> None:
        checked_choice("shortcut", self.shortcut, ("A", "B"))
        object.__setattr__(self, "classes", checked_classes(self.classes))
        if isinstance(self.depth, bool) or not hasattr(self.depth, "__index__"):
            raise TypeError(f"The depth of a CifarResNet is a whole number, not {self.depth!r}.")
        _ = self.blocks

    @property
    def blocks(self) -> int:
        """N, the blocks of a group.

        >>> CifarResNet(110, 10).blocks
        18
        """
        return _blocks(self.depth, 6, (2,), "a CifarResNet")

    @property
    def input_size(self) -> InputSize:
        return 32

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        return {f"group{g}": rule(base) for g, base in enumerate(GROUPS, 1)}

    def forward(self, net: Any, x: Any) -> Any:
        x = net.activate(net.batch_norm("stem_bn", net.conv("stem", x, STEM)), "relu")
        for g in (1, 2, 3):
            channels = net.dims[f"group{g}"]
            for b in range(1, self.blocks + 1):
                name, stride = f"group{g}_{b}", 2 if g > 1 and b == 1 else 1
                y = net.batch_norm(f"{name}_bn1", net.conv(f"{name}_conv1", x, channels, 3, stride))
                y = net.conv(f"{name}_conv2", net.activate(y, "relu"), channels)
                y = net.batch_norm(f"{name}_bn2", y)
                if net.channels(x) != channels or stride > 1:
                    if self.shortcut == "A":
                        x = net.subsample(x, channels, stride)
                    else:
                        x = net.conv(f"{name}_projection", x, channels, 1, stride)
                        x = net.batch_norm(f"{name}_projection_bn", x)
                x = net.activate(net.add(y, x), "relu")
        return net.dense("fc", net.global_pool(x), self.classes)
