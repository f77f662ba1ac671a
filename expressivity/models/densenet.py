"""DenseNet: every layer reads all layers before it and adds its growth rate, which is its width."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.layers import LayerSpec, he_fan_out
from expressivity.width import Width

LARGE = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}
BASIC_STEM = 16
TWICE, BOTTLENECK, HALF = Width(2), Width(4), Width(0.5, rounding="floor")


@dataclasses.dataclass(frozen=True)
class DenseNet(ConvNet):
    """DenseNet and DenseNet-BC (`huang2017`).

    Layer l of a block computes H([x_0, .., x_{l-1}]) and adds `growth` channels: H is BN-ReLU-3x3, or with
    `bottleneck` BN-ReLU-1x1 to four times the growth, BN-ReLU-3x3. Between blocks: BN-ReLU-1x1 (to floor(m / 2) of m
    channels with `bottleneck`, else m) and 2x2 mean. At depth 121, 161, 169 and 201 it is the network for large images
    (7x7 stem of stride 2, BN-ReLU, 3x3 pool, four blocks); at other depths the one for small images (3x3 stem, three
    blocks of (depth - 4) / 3 layers, or (depth - 4) / 6 with `bottleneck`).

    The base of a width rule is the growth rate. The stem has twice the growth (after the rule), in a small network
    without bottleneck 16 channels.

    Args:
        depth: Number of layers.
        growth: Growth rate at width 1.
        classes: Number of outputs.
        bottleneck: DenseNet-BC, or the basic network.
        initial: Channels of the stem, whatever the width.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If there is no such depth, or an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.parameters(ex.DenseNet(100, 12, 10), ex.Width()), ex.parameters(ex.DenseNet(40, 12, 10, False), ex.Width())
    (769162, 1019722)
    """

    depth: int
    growth: int = 12
    classes: int = 10
    bottleneck: bool = True
    initial: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", checked_classes(self.classes))
        for name in ("depth", "growth", "initial"):
            value: Any = getattr(self, name)
            if name == "initial" and value is None:
                continue
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"The {name} of a DenseNet is a whole number, not {value!r}.")
            if int(value) < 1:
                raise ValueError(f"The {name} of a DenseNet is at least 1, not {value}.")
        _ = self.blocks

    @property
    def large(self) -> bool:
        """Whether this is one of the networks for large images."""
        return self.depth in LARGE and self.bottleneck

    @property
    def blocks(self) -> tuple[int, ...]:
        """Layers of every block.

        >>> DenseNet(40, 12, 10).blocks, DenseNet(121, 32, 1000).blocks
        ((6, 6, 6), (6, 12, 24, 16))
        """
        if self.large:
            return LARGE[self.depth]
        step = 6 if self.bottleneck else 3
        if self.depth <= 4 or (self.depth - 4) % step:
            raise ValueError(
                f"The depth of a DenseNet with bottleneck={self.bottleneck} is {step} L + 4 with L of at least 1"
                + (f", or one of {', '.join(map(str, LARGE))}" if self.bottleneck else "")
                + f"; got {self.depth}."
            )
        return ((self.depth - 4) // step,) * 3

    @property
    def input_size(self) -> InputSize:
        return 224 if self.large else 32

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        growth = as_width(width)(self.growth)
        dims = {"growth": growth}
        if self.bottleneck:
            dims["bottleneck"] = BOTTLENECK(growth)
        if self.initial is None and self.bottleneck:
            dims["stem"] = TWICE(growth)
        return dims

    def forward(self, net: Any, x: Any) -> Any:
        def norm(name: str, x: Any) -> Any:
            return net.activate(net.batch_norm(name, x), "relu")

        stem = self.initial or net.dims.get("stem", BASIC_STEM)
        if self.large:
            x = net.max_pool(norm("stem_bn", net.conv("stem", x, stem, 7, 2)), 3, 2, padding=1)
        else:
            x = net.conv("stem", x, stem)
        for b, layers in enumerate(self.blocks, 1):
            for l in range(1, layers + 1):
                name = f"block{b}_{l}"
                y = norm(f"{name}_bn1", x)
                if self.bottleneck:
                    y = net.conv(f"{name}_conv1", y, net.dims["bottleneck"], 1)
                    y = norm(f"{name}_bn2", y)
                x = net.concat([x, net.conv(f"{name}_conv{2 if self.bottleneck else 1}", y, net.dims["growth"])])
            if b < len(self.blocks):
                channels = HALF(net.channels(x)) if self.bottleneck else net.channels(x)
                x = net.conv(f"transition{b}", norm(f"transition{b}_bn", x), channels, 1)
                x = net.average_pool(x, 2, 2)
        return net.dense("fc", net.global_pool(norm("bn", x)), self.classes)

    def original(self, spec: LayerSpec) -> tuple[str, float]:
        return he_fan_out(spec)
