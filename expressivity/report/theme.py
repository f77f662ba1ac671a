"""Colours of the page in the light, in the dark and on paper, and the style sheet they belong to."""

import functools
from collections.abc import Mapping
from importlib import resources

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f4f5f7",
    "ink": "#1b1f24",
    "soft": "#57606a",
    "line": "#d4d8dd",
    "edge": "#7d858e",
    "link": "#0a58b8",
    "focus": "#0a58b8",
    "yes": "#1a6b34",
    "no": "#a81f2b",
    "floor": "#b2182b",
    "ceiling": "#3c434b",
    "grid": "#e6e8eb",
}
DARK = {
    "paper": "#14171b",
    "raised": "#1e2228",
    "ink": "#e8eaed",
    "soft": "#a7afb9",
    "line": "#363c44",
    "edge": "#7f8894",
    "link": "#82b7ff",
    "focus": "#82b7ff",
    "yes": "#6cc98a",
    "no": "#ff8f94",
    "floor": "#ff7b80",
    "ceiling": "#c3c9d1",
    "grid": "#2a2f36",
}
PRINT = LIGHT | {"raised": "#ffffff", "ink": "#000000", "soft": "#333333", "line": "#999999"}

# Viridis at 0, 1/8, ..., 1: of one order in grey as well, and told apart by all common kinds of colour blindness.
_VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
_LIGHT_RANGE = (0.04, 0.54)  # its light end fades on white, its dark end on black
_DARK_RANGE = (0.46, 0.98)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21.

    >>> round(contrast("#ffffff", "#000000"), 6)
    21.0
    """
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour "#rrggbb", from 0 to 1.

    >>> luminance("#ffffff")
    1.0
    """

    def linear(level: float) -> float:
        return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(level / 255) for level in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def series(count: int, *, dark: bool = False) -> list[str]:
    """So many colours for what has an order, such as numbers of hidden layers; visible on paper or on black.

    >>> series(2)
    ['#450f60', '#239a88']
    """
    low, high = _DARK_RANGE if dark else _LIGHT_RANGE
    if count == 1:
        return [_at(0.75 if dark else 0.3)]
    return [_at(low + (high - low) * place / (count - 1)) for place in range(count)]


def style(depths: int) -> str:
    """The style sheet for a page with so many numbers of hidden layers in its figure.

    >>> "--s1:" in style(2), "--s2:" in style(2)
    (True, False)
    """
    light = _declarations(LIGHT, series(max(depths, 1)))
    dark = _declarations(DARK, series(max(depths, 1), dark=True))
    paper = _declarations(PRINT, series(max(depths, 1)))
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
        f":root[data-theme=light]{{color-scheme:light;{light}}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
        + "".join(f".s{place}{{--c:var(--s{place})}}\n" for place in range(max(depths, 1)))
        + package_text("page.css")
        + f"@media print{{:root,:root[data-theme]{{color-scheme:light;{paper}}}}}\n"
    )


@functools.cache
def package_text(name: str) -> str:
    """The text of a file that lies beside this module."""
    return resources.files("expressivity.report").joinpath(name).read_text(encoding="utf-8")


def _declarations(colours: Mapping[str, str], shades: list[str]) -> str:
    names = [*colours.items(), *((f"s{place}", shade) for place, shade in enumerate(shades))]
    return "".join(f"--{name}:{colour};" for name, colour in names)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _at(place: float) -> str:
    """Viridis at a place in [0, 1], linear between its knots."""
    steps = place * (len(_VIRIDIS) - 1)
    knot = min(int(steps), len(_VIRIDIS) - 2)
    share = steps - knot
    ends = zip(_channels(_VIRIDIS[knot]), _channels(_VIRIDIS[knot + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in ends)
