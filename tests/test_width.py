import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import expressivity as ex

BASES = (1, 2, 3, 4, 8, 10, 32, 100)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("16", lambda n: 16),
        ("1", lambda n: 1),
        ("n", lambda n: n),
        (" n + 4 ", lambda n: n + 4),
        ("n+1", lambda n: n + 1),
        ("2n", lambda n: 2 * n),
        ("4n", lambda n: 4 * n),
        ("2*n", lambda n: 2 * n),
        ("2n+1", lambda n: 2 * n + 1),
        ("3n-2", lambda n: 3 * n - 2),
        ("2x", lambda n: 2 * n),
        ("0.5n", lambda n: (n + 1) // 2),  # halves go up
        (".5x", lambda n: (n + 1) // 2),
        ("0.25x", lambda n: max(1, (n + 2) // 4)),
        ("1.5n+1", lambda n: (3 * n + 1) // 2 + 1),
    ],
)
@pytest.mark.parametrize("base", BASES)
def test_parse(text, rule, base):
    assert ex.Width.parse(text)(base) == rule(base)


@pytest.mark.parametrize(
    "text", ["", "n+", "nn", "x", "-3", "n*2", "2m", "n+4.5", "1e3", "n++1", "0.25 y", "n + n", "²n", "nan", "infx"]
)
def test_unknown_text_names_itself_and_the_accepted_forms(text):
    with pytest.raises(ValueError, match="Accepted forms") as caught:
        ex.Width.parse(text)
    message = str(caught.value)
    assert repr(text) in message
    for form in ('"16"', '"n"', '"n+4"', '"n-1"', '"2n"', '"0.25x"'):
        assert form in message


@pytest.mark.parametrize("value", [16, None, 2.0, b"n"])
def test_parse_of_something_else_than_a_text(value):
    with pytest.raises(TypeError, match=r"reads a text such as") as caught:
        ex.Width.parse(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("text", ["0", "0n", "0x", "0.0x", "0n-3"])
def test_a_rule_that_gives_no_unit(text):
    with pytest.raises(ValueError, match=r"(0|-3) units"):
        ex.Width.parse(text)


def test_an_offset_rule_that_falls_below_one_raises():
    assert ex.Width.parse("n-1")(2) == 1
    with pytest.raises(ValueError, match=r"'n-1' at n = 1 gives 0; the least width is 1"):
        ex.Width.parse("n-1")(1)
    with pytest.raises(ValueError, match=r"'n-5' at n = 3 gives -2"):
        ex.Width.parse("n-5")(3)
    with pytest.raises(ValueError, match=r"gives 0"):  # also where at_least would lift it
        ex.Width(offset=-1, at_least=4)(1)


def test_multipliers_are_lifted_silently():
    assert ex.Width(0.01)(10) == 1
    assert ex.Width(0.01, at_least=5)(10) == 5
    assert ex.Width(1, at_least=5)(3) == 5


@pytest.mark.parametrize(
    ("factor", "base", "expected"), [(0.5, 1, 1), (0.5, 3, 2), (0.5, 5, 3), (2.5, 1, 3), (1.5, 3, 5)]
)
def test_halves_go_up_and_floor_goes_down(factor, base, expected):
    assert ex.Width(factor)(base) == expected
    assert ex.Width(factor, rounding="floor")(base) == max(1, math.floor(factor * base))


def test_factor_is_the_decimal_that_was_written():
    # in binary 0.35 * 10 = 3.5 falls on either side, and 1.1 * 10 lies above 11
    assert ex.Width(0.35)(10) == 4
    assert ex.Width(1.1, rounding="floor")(10) == 11
    assert ex.Width(0.29, rounding="floor")(100) == 29  # 0.29 * 100 == 28.999999999999996
    assert ex.Width(Fraction(1, 3))(9) == 3


def mobilenet(value, divisor=8):
    """The published rule, in binary floating point."""
    new = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * value else new


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75, 1.0, 1.25, 1.4, 2.0])
@pytest.mark.parametrize("channels", [16, 24, 32, 64, 96, 128, 160, 256, 320, 512, 1024, 1280])
def test_the_rule_of_mobilenet(alpha, channels):
    assert ex.Width(alpha, divisor=8, rounding="divisible")(channels) == mobilenet(alpha * channels)


def test_the_rule_of_mobilenet_at_its_edges():
    divisible = ex.Width(1, divisor=8, rounding="divisible")
    assert [divisible(c) for c in (1, 8, 11, 12, 13, 18, 19, 20)] == [8, 8, 16, 16, 16, 24, 24, 24]
    assert ex.Width(1, divisor=8, at_least=32, rounding="divisible")(8) == 32


@given(
    factor=st.fractions(Fraction(1, 100), 8, max_denominator=100),
    base=st.integers(1, 4096),
    divisor=st.sampled_from([1, 2, 8, 16]),
    rounding=st.sampled_from(["nearest", "floor", "divisible"]),
)
def test_laws(factor, base, divisor, rounding):
    width = ex.Width(factor, divisor=divisor, rounding=rounding)
    actual, raw = width(base), factor * base
    assert actual >= 1
    assert actual == 1 or actual % divisor == 0
    assert width(base + 1) >= actual  # monotone in the base
    if rounding == "divisible":
        assert 10 * actual >= 9 * raw
    elif raw >= divisor:
        assert abs(actual - raw) <= (Fraction(divisor, 2) if rounding == "nearest" else divisor)


@given(factor=st.sampled_from([0, 1, 2, 3, 0.5, 0.25, 1.5]), offset=st.integers(-3, 9), base=st.integers(8, 100))
def test_the_text_of_a_rule_is_read_back(factor, offset, base):
    if factor == 0 and offset < 1:
        with pytest.raises(ValueError, match="no unit"):
            ex.Width(factor, offset)
        return
    width = ex.Width(factor, offset)
    raw = Fraction(str(factor)) * base + offset
    if offset and raw < 1:
        return
    assert ex.Width.parse(str(width))(base) == width(base)


def test_the_text_shows_every_setting():
    text = str(ex.Width(0.25, divisor=8, at_least=16, rounding="divisible"))
    assert text == "0.25x [divisor=8, at_least=16, rounding=divisible]"


@pytest.mark.parametrize("factor", [-1, math.nan, math.inf, "2", True])
def test_bad_factor(factor):
    with pytest.raises((ValueError, TypeError), match=r"The factor of a Width is a finite number") as caught:
        ex.Width(factor)
    assert repr(factor) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"offset": 0.5}, TypeError, "offset of a Width is a whole number, not 0.5"),
        ({"offset": True}, TypeError, "not True"),
        ({"divisor": 0}, ValueError, "divisor of a Width is at least 1, not 0"),
        ({"at_least": 0}, ValueError, "at_least of a Width is at least 1, not 0"),
        ({"rounding": "up"}, ValueError, "one of nearest, floor, divisible, not 'up'"),
    ],
)
def test_bad_settings(arguments, error, words):
    with pytest.raises(error, match=words):
        ex.Width(**arguments)


@pytest.mark.parametrize(("base", "error"), [(0, ValueError), (-2, ValueError), (2.0, TypeError), (True, TypeError)])
def test_bad_base(base, error):
    with pytest.raises(error, match=f"{base!r}|{base}"):
        ex.Width()(base)
