"""What every trainable family of networks offers, whatever is inside."""

from typing import Any, Protocol, runtime_checkable

from expressivity.width import Width

# A width as a person may give it: a rule, its text, or a number of units.
WidthLike = Width | str | int


@runtime_checkable
class Family(Protocol):
    """A hashable description of networks that exist at every width.

    `model` is a pytree of parameters, `state` a pytree of what training changes beside them (batch statistics; empty
    where there are none).
    """

    def init(self, key: Any, width: WidthLike, input_size: Any = None) -> tuple[Any, Any]:
        """A fresh (model, state) of that width; a function of the arguments alone."""
        ...

    def apply(self, model: Any, state: Any, x: Any, training: bool = False, key: Any = None) -> tuple[Any, Any]:
        """The outputs at a batch `x` of shape (batch, ...), and the state afterwards."""
        ...

    def width_dims(self, width: WidthLike) -> dict[str, int]:
        """Every dimension that scales with the width, by name."""
        ...


def as_width(width: WidthLike) -> Width:
    """The rule that was meant: a `Width` as it is, a text parsed, a whole number as that many units.

    Raises:
        TypeError: If it is none of these.

    >>> as_width(16)(3), as_width("n+4")(3)
    (16, 7)
    """
    if isinstance(width, Width):
        return width
    if isinstance(width, str):
        return Width.parse(width)
    if isinstance(width, bool) or not hasattr(width, "__index__"):
        raise TypeError(f'A width is an expressivity.Width, a text such as "n+4" or a number of units; got {width!r}.')
    return Width(factor=0, offset=int(width))
