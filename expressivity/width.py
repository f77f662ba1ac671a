"""Width as a rule: from a base number of units or channels to an actual one."""

import dataclasses
import math
import re
from fractions import Fraction

_FORMS = '"16" (a number of units), "n", "n+4", "n-1", "2n", "2n+1" (relative to the base n), "0.25x" (a multiplier)'
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_AFFINE = re.compile(rf"(?P<factor>{_NUMBER})?\s*\*?\s*n\s*(?:(?P<sign>[+-])\s*(?P<offset>\d+))?")
_MULTIPLIER = re.compile(rf"(?P<factor>{_NUMBER})\s*x")
_UNITS = re.compile(r"\d+")
_ROUNDINGS = ("nearest", "floor", "divisible")


def _exact(number: float | int | Fraction) -> Fraction:
    """The decimal a person wrote: 0.35 is 35/100, not the nearest double."""
    return number if isinstance(number, Fraction) else Fraction(str(number))


@dataclasses.dataclass(frozen=True)
class Width:
    r"""The rule $\mathrm{actual} = \mathrm{round}(\mathrm{factor}\cdot\mathrm{base} + \mathrm{offset})$.

    One rule carries "width relative to the input dimension" and "width multiplier" alike: the base of an
    [`MLP`](#expressivity.MLP) is its input dimension, those of a convolutional network are its published channel
    counts. `factor` is read as the decimal that was written, so `Width(0.35)(100)` is 35.

    Args:
        factor: Multiplies the base; finite and not negative.
        offset: Added after it, a whole number.
        divisor: The result is a multiple of this.
        at_least: Lower limit of the result. Multipliers are raised to it silently; a rule with an offset whose value
            falls below 1 is an error, since "n-1" at n = 1 is a question and not an answer.
        rounding: `"nearest"` (halves up), `"floor"`, or `"divisible"`: the nearest multiple of `divisor`, one more
            where that would lose over 10 % (the rule of MobileNet; its least value is `max(at_least, divisor)`
            unless `at_least` is given as more than 1).

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If an argument is out of its range.

    >>> Width(offset=4)(3), Width(2)(3), Width(0.25)(32)
    (7, 6, 8)
    >>> Width.parse("n-1")(4)
    3
    >>> Width(0.35, divisor=8, rounding="divisible")(32)
    16
    """

    factor: float | int | Fraction = 1
    offset: int = 0
    divisor: int = 1
    at_least: int = 1
    rounding: str = "nearest"

    def __post_init__(self) -> None:
        if isinstance(self.factor, str | bool) or not math.isfinite(self.factor) or self.factor < 0:
            raise ValueError(f"The factor of a Width is a finite number that is not negative, not {self.factor!r}.")
        for name in ("offset", "divisor", "at_least"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"The {name} of a Width is a whole number, not {value!r}.")
        for name in ("divisor", "at_least"):
            if getattr(self, name) < 1:
                raise ValueError(f"The {name} of a Width is at least 1, not {getattr(self, name)}.")
        if self.rounding not in _ROUNDINGS:
            raise ValueError(f"The rounding of a Width is one of {', '.join(_ROUNDINGS)}, not {self.rounding!r}.")
        if self.factor == 0 and self.offset < 1:
            raise ValueError(f"A Width of {self.offset} units has no unit; the least is 1.")

    @classmethod
    def parse(cls, text: str) -> "Width":
        """The rule written as `text`: "16", "n", "n+4", "n-1", "2n", "2n+1" or "0.25x".

        Raises:
            TypeError: If `text` is not a string.
            ValueError: If it is none of these forms, or gives no unit.

        >>> [Width.parse(text)(8) for text in ("16", "n", "n+4", "2n", "0.25x")]
        [16, 8, 12, 16, 2]
        """
        if not isinstance(text, str):
            raise TypeError(f"Width.parse reads a text such as {_FORMS}; got {text!r}.")
        stripped = text.strip()
        if _UNITS.fullmatch(stripped):
            return cls(factor=0, offset=int(stripped))
        if match := _MULTIPLIER.fullmatch(stripped):
            factor = _number(match["factor"])
            if factor == 0:
                raise ValueError(f"The width {text!r} gives 0 units; the multiplier must be positive.")
            return cls(factor=factor)
        if match := _AFFINE.fullmatch(stripped):
            offset = int(match["sign"] + match["offset"]) if match["sign"] else 0
            factor = 1 if match["factor"] is None else _number(match["factor"])
            return cls(factor=factor, offset=offset)
        raise ValueError(f"Cannot read {text!r} as a width. Accepted forms: {_FORMS}.")

    def __call__(self, base: int) -> int:
        """The actual number of units for `base`.

        Raises:
            TypeError: If `base` is not a whole number.
            ValueError: If `base` is below 1, or a rule with an offset gives less than 1.
        """
        if isinstance(base, bool) or not hasattr(base, "__index__"):
            raise TypeError(f"A Width is applied to a whole number of units, not {base!r}.")
        base = int(base)
        if base < 1:
            raise ValueError(f"A Width is applied to at least 1 unit, not {base}.")
        raw = _exact(self.factor) * base + self.offset
        if self.offset != 0 and raw < 1:
            raise ValueError(f"The width rule {str(self)!r} at n = {base} gives {float(raw):g}; the least width is 1.")
        if self.rounding == "divisible":
            least = self.at_least if self.at_least > 1 else self.divisor
            actual = max(least, math.floor((raw + Fraction(self.divisor, 2)) / self.divisor) * self.divisor)
            return actual + self.divisor if actual < Fraction(9, 10) * raw else actual
        half = Fraction(1, 2) if self.rounding == "nearest" else 0
        return max(self.at_least, math.floor(raw / self.divisor + half) * self.divisor)

    def __str__(self) -> str:
        """The text that `Width.parse` reads back (divisor, bound and rounding are shown in brackets behind it)."""
        number = f"{float(self.factor):g}"
        if self.factor == 0:
            text = str(self.offset)
        elif self.offset == 0 and self.factor != 1 and float(self.factor) != int(self.factor):
            text = f"{number}x"
        else:
            text = ("" if self.factor == 1 else number) + "n" + (f"{self.offset:+d}" if self.offset else "")
        extra = [f"{k}={getattr(self, k)}" for k in ("divisor", "at_least") if getattr(self, k) != 1]
        if self.rounding != "nearest":
            extra.append(f"rounding={self.rounding}")
        return text + (f" [{', '.join(extra)}]" if extra else "")


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)
