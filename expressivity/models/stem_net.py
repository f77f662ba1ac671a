"""A family in which only the first layer scales with the width; everything behind it is fixed."""

import dataclasses
from typing import Any

from expressivity.models.convnet import ConvNet, InputSize, checked_choice, checked_classes
from expressivity.models.family import WidthLike, as_width
from expressivity.models.walk import ACTIVATIONS


@dataclasses.dataclass(frozen=True)
class StemNet(ConvNet):
    r"""One wide first convolution of any size, then a small body of 3x3 convolutions whose channels do not scale.

    With a kernel of side k, c first channels, i inputs, a body of $b_1, \dots, b_m$ channels, n classes and batch norm
    it has $k^2 i c + 2c + 9 c\,b_1 + 2 b_1 + \sum_{j \ge 2} (9\,b_{j-1} b_j + 2 b_j) + (b_m + 1) n$ parameters. The
    first 3x3 convolution of the body reads all first channels, so its cost is linear in the width as well.

    Each convolution is followed by batch norm (or has a bias) and ReLU; those of the body have stride 2; then come the
    mean over the map and a dense layer. Images are grey and 28x28 unless a size is given.

    Args:
        kernel: Side of the first filters.
        stem: Their number at width 1.
        classes: Number of outputs.
        batch_norm: Batch norm after each convolution, in place of biases.
        stride: Of the first convolution; (kernel - 1) // 2 zeros are put around the image.
        body: Channels of the 3x3 convolutions behind it.
        activation: Of the first layer: "relu", or "crelu", which doubles what the body reads.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If an argument is out of its range.

    >>> import expressivity as ex
    >>> net = StemNet(kernel=7, stem=32)
    >>> net.width_dims("0.5x"), ex.parameters(net, ex.Width(0.5)), ex.parameters(net, ex.Width())
    ({'stem': 16}, 24698, 30122)
    """

    kernel: int = 7
    stem: int = 32
    classes: int = 10
    batch_norm: bool = True
    stride: int = 2
    body: tuple[int, ...] = (32, 64)
    activation: str = "relu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", checked_classes(self.classes))
        object.__setattr__(self, "body", tuple(self.body))
        checked_choice("activation", self.activation, ACTIVATIONS)
        named = [(name, getattr(self, name)) for name in ("kernel", "stem", "stride")]
        for name, value in (*named, *(("body", value) for value in self.body)):
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"The {name} of a StemNet is a whole number, not {value!r}.")
            if value < 1:
                raise ValueError(f"The {name} of a StemNet is at least 1, not {value}.")

    @property
    def input_size(self) -> InputSize:
        return (28, 28, 1)

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        return {"stem": as_width(width)(self.stem)}

    def forward(self, net: Any, x: Any) -> Any:
        x = self._block(net, "stem", x, net.dims["stem"], self.kernel, self.stride, self.activation)
        for number, channels in enumerate(self.body, 1):
            x = self._block(net, f"body{number}", x, channels, 3, 2, "relu")
        return net.dense("fc", net.global_pool(x), self.classes)

    def _block(self, net: Any, name: str, x: Any, channels: int, kernel: int, stride: int, activation: str) -> Any:
        x = net.conv(name, x, channels, kernel, stride, bias=not self.batch_norm)
        if self.batch_norm:
            x = net.batch_norm(f"{name}_bn", x)
        return net.activate(x, activation)
