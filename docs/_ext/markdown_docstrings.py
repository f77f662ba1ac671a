"""Docstrings of the package are Markdown, autodoc reads reStructuredText: this extension translates the forms used.

`$x$` and `$$x$$` become mathematics, a single-backtick span becomes literal text, and a link such as
[`evaluate`](#expressivity.evaluate) becomes a reference, resolved to where the object is defined. A link to a name that
does not exist is a warning, hence an error of the build. Such links mean the same on the pages.
"""

import importlib
import re

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

_SPANS = re.compile(
    r"(?P<keep>``[^`]+``|:[\w:]+:`[^`]+`)"
    r"|\[`(?P<text>[^`\]]+)`\]\(#(?P<target>[\w.]+)\)"
    r"|`(?P<literal>[^`]+)`"
    r"|\$\$(?P<display>[^$]+)\$\$"
    r"|\$(?P<inline>[^$]+)\$"
)


_LINKS = re.compile(r"\[`?(?P<text>[^`\]]+)`?\]\(#(?P<target>expressivity[\w.]*)\)")


def resolve(name: str) -> str | None:
    """The full name under which the object that `name` reaches is documented, or None."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        home = found.__name__
        for number, part in enumerate(parts[cut:]):
            if not hasattr(found, part):
                return None
            owner, found = found, getattr(found, part)
            module, qualname = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
            if number == 0 and module and qualname:
                home = f"{module}.{qualname}"
            elif isinstance(owner, type):
                home = f"{home}.{part}"
        return home
    return None


def translate(text: str, where: str) -> str:
    """One paragraph or line of a docstring, in reStructuredText."""

    def span(match: re.Match[str]) -> str:
        if match["keep"]:
            return match["keep"]
        if match["text"]:
            home = resolve(match["target"])
            if home is None:
                logger.warning("docstring of %s links to %s, which does not exist", where, match["target"])
                return f"``{match['text']}``"
            return f":py:obj:`{match['text']} <{home}>`"
        if match["literal"]:
            return f"``{match['literal']}``"
        formula = " ".join((match["display"] or match["inline"]).split())
        return f":math:`{formula}`"

    pieces, end = [], 0
    for match in _SPANS.finditer(text):
        pieces += [_escaped(text[end : match.start()]), span(match)]
        end = match.end()
        if re.match(r"[\w^(]", text[end:]):  # markup ends at a space or at this sign
            pieces.append("\\ ")
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    """Prose in which a bar, a lone asterisk and a trailing underscore mean themselves."""
    text = re.sub(r"(\*{1,2})(?=\S)([^*\n]+?)(?<=\S)\1(?!\w)|\*", lambda m: m[0] if m[2] else r"\*", text)
    return re.sub(r"(?<=\w)_(?!\w)", r"\_", text.replace("|", r"\|"))


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    result: list[str] = []
    paragraph: list[str] = []
    example = False

    def flush() -> None:
        if paragraph:
            result.extend(translate("\n".join(paragraph), name).split("\n"))
            paragraph.clear()

    for line in lines:
        stripped = line.strip()
        if stripped.startswith(">>>"):
            flush()
            example = True
        elif not stripped:
            flush()
            example = False
        if example or not stripped:
            result.append(line)
        else:
            paragraph.append(line)
    flush()
    lines[:] = result


def link_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links of a page to names of the package become references."""

    def link(match: re.Match[str]) -> str:
        home = resolve(match["target"])
        if home is None:
            logger.warning("the page %s links to %s, which does not exist", docname, match["target"])
            return match["text"]
        return f"{{py:obj}}`{match['text']} <{home}>`"

    source[0] = _LINKS.sub(link, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    app.connect("source-read", link_page)
    return {"parallel_read_safe": True}
