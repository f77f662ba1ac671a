"""ShuffleNet v1 and v2: grouped or split channels, shuffled between the units."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.width import Width

STEM = 24
UNITS = (4, 8, 4)
STAGES_1 = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
# the published widths of version 2 are a table, not multiples of one of its rows: (stages, last convolution)
STAGES_2 = {
    0.5: ((48, 96, 192), 1024),
    1: ((116, 232, 464), 1024),
    1.5: ((176, 352, 704), 1024),
    2: ((244, 488, 976), 2048),
}
QUARTER, HALF, TWICE = Width(0.25, rounding="floor"), Width(0.5, rounding="floor"), Width(2)


@dataclasses.dataclass(frozen=True)
class ShuffleNet(ConvNet):
    """ShuffleNet v1 (`zhang2018`) and v2 (`ma2018`) for large images.

    Version 1: the bases of a width rule are the channels of the three stages, which depend on `groups`, and of the stem
    (24). The counts must stay multiples of four times the groups (and of the groups); a `Width` with that divisor does.
    Version 2: `Width(0.5)`, `Width(1)`, `Width(1.5)` and `Width(2)` are the published tables; other rules are
    applied to the channels 116, 232, 464 and made even. The stem keeps 24 and the last convolution 1024 (2048 at 2).

    Args:
        version: 1 or 2.
        classes: Number of outputs.
        groups: Groups of the pointwise convolutions of version 1: 1, 2, 3, 4 or 8.

    Raises:
        TypeError: If `classes` is not a whole number.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> ex.ShuffleNet(2, 1000).width_dims(ex.Width(0.5)), ex.parameters(ex.ShuffleNet(2, 1000), ex.Width(0.5))
    ({'stage1': 48, 'stage2': 96, 'stage3': 192, 'last': 1024}, 1366792)
    """

    version: int = 2
    classes: int = 1000
    groups: int = 3

    def __post_init__(self) -> None:
        checked_choice("version of ShuffleNet", self.version, (1, 2))
        checked_choice("number of groups", self.groups, STAGES_1)
        object.__setattr__(self, "classes", checked_classes(self.classes))

    @property
    def input_size(self) -> InputSize:
        return 224

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        rule = as_width(width)
        if self.version == 1:
            stages = {f"stage{s}": rule(base) for s, base in enumerate(STAGES_1[self.groups], 1)}
            return {"stem": rule(STEM)} | stages
        if rule.factor in STAGES_2 and rule == Width(rule.factor):
            stages, last = STAGES_2[rule.factor]
        else:
            stages, last = [TWICE(max(1, HALF(rule(base)))) for base in STAGES_2[1][0]], STAGES_2[1][1]
        return {f"stage{s}": channels for s, channels in enumerate(stages, 1)} | {"last": last}

    def forward(self, net: Any, x: Any) -> Any:
        stem = net.dims["stem"] if self.version == 1 else STEM
        x = net.activate(net.batch_norm("stem_bn", net.conv("stem", x, stem, 3, 2)), "relu")
        x = net.max_pool(x, 3, 2, padding=1)
        for s, units in enumerate(UNITS, 1):
            for u in range(1, units + 1):
                unit = self._unit_1 if self.version == 1 else self._unit_2
                x = unit(net, f"stage{s}_{u}", x, net.dims[f"stage{s}"], first=u == 1, ungrouped=s == u == 1)
        if self.version == 2:
            x = net.activate(net.batch_norm("last_bn", net.conv("last", x, net.dims["last"], 1)), "relu")
        return net.dense("fc", net.global_pool(x), self.classes)

    def _unit_1(self, net: Any, name: str, x: Any, channels: int, first: bool, ungrouped: bool) -> Any:
        inner, inputs, stride = QUARTER(channels), net.channels(x), 2 if first else 1
        y = net.conv(f"{name}_conv1", x, inner, 1, groups=1 if ungrouped else self.groups)
        y = net.shuffle(net.activate(net.batch_norm(f"{name}_bn1", y), "relu"), self.groups)
        y = net.batch_norm(f"{name}_bn2", net.conv(f"{name}_depthwise", y, inner, 3, stride, groups=inner))
        added = Width(offset=-inputs)(channels) if first else channels
        y = net.batch_norm(f"{name}_bn3", net.conv(f"{name}_conv2", y, added, 1, groups=self.groups))
        y = net.concat([y, net.average_pool(x, 3, 2, padding=1)]) if first else net.add(y, x)
        return net.activate(y, "relu")

    def _unit_2(self, net: Any, name: str, x: Any, channels: int, first: bool, ungrouped: bool) -> Any:
        half, stride = HALF(channels), 2 if first else 1

        def pointwise(part: str, x: Any) -> Any:
            return net.activate(net.batch_norm(f"{name}_{part}_bn", net.conv(f"{name}_{part}", x, half, 1)), "relu")

        def depthwise(part: str, x: Any) -> Any:
            inputs = net.channels(x)
            y = net.conv(f"{name}_{part}", x, inputs, 3, stride, groups=inputs)
            return net.batch_norm(f"{name}_{part}_bn", y)

        if first:
            kept = pointwise("kept_conv", depthwise("kept_depthwise", x))
            y = x
        else:
            kept, y = net.split(x)
        y = pointwise("conv2", depthwise("depthwise", pointwise("conv1", y)))
        return net.shuffle(net.concat([kept, y]), 2)
