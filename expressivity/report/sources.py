"""What a run rests on: the certificates it used, the theorems its tables name, and where these are explained."""

import functools
import html
import importlib.metadata as metadata
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expressivity import theorems
from expressivity.report.columns import number_text, value_text
from expressivity.theorems import Theorem

_COLUMNS = ("theorem", "proof", "floor_proof", "label", "text")


@functools.cache
def documentation() -> str:
    """The address of the documentation that the installed distribution names, or nothing.

    >>> isinstance(documentation(), str)
    True
    """
    try:
        entries = metadata.metadata("width-expressivity").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    pairs = [tuple(part.strip() for part in str(entry).split(",", 1)) for entry in entries]
    return next((pair[-1] for pair in pairs if pair[0].lower() == "documentation"), "")


def checked_address(address: str) -> str:
    """The address of a documentation, ending in a slash; nothing stays nothing.

    Raises:
        ValueError: If it is neither http(s) nor a relative path.

    >>> checked_address("../docs/_build/html")
    '../docs/_build/html/'
    """
    if address and not re.fullmatch(r"(https?://|(?!//)(?![^/?#]*:))\S*", address):
        raise ValueError(f"The documentation is at an address with http(s) or at a relative path, not {address!r}.")
    return address.rstrip("/") + "/" if address else ""


def named_theorems(frames: Iterable[Any]) -> list[Theorem]:
    """The theorems that the columns theorem, proof, floor_proof, label and text of tables name, in order, each once.

    >>> import pandas as pd
    >>> [str(t) for t in named_theorems([pd.DataFrame({"theorem": ["lu2017, Theorem 1", "none"]})])]
    ['lu2017, Theorem 1']
    """
    texts: dict[str, None] = {}
    for frame in frames:
        for name in _COLUMNS:
            if name in frame.columns:
                texts |= {text: None for text in frame[name].tolist() if isinstance(text, str)}
    found: dict[Theorem, None] = {}
    for text in texts:
        found |= {theorem: None for theorem in theorems.THEOREMS if _begins(text, str(theorem))}
    return list(found)


def certificates_section(certificates: Sequence[Any], frames: Iterable[Any], address: str) -> str:
    """The part of the page on certificates and theorems: what each says, for which networks, and the page on it.

    Args:
        certificates: `Certificate`s, or anything with a `theorem`.
        frames: Tables whose texts may name theorems.
        address: Where the documentation is; without one the page is named and not linked.

    Returns:
        HTML, or nothing where the run rests on no theorem.
    """
    entries: dict[Theorem, list[str]] = {}
    for certificate in certificates:
        theorem = getattr(certificate, "theorem", certificate)
        if not isinstance(theorem, Theorem):
            raise TypeError(f"A certificate of a report has a theorem; got {certificate!r}.")
        entries.setdefault(theorem, [])
        if hasattr(certificate, "against"):
            value = f"{certificate.norm} error >= {number_text(certificate.value)} for {certificate.against}"
            entries[theorem].append("; ".join([value, *certificate.assumptions]))
    for theorem in named_theorems(frames):
        entries.setdefault(theorem, [])
    if not entries:
        return ""
    items = "\n".join(_entry(theorem, values, address) for theorem, values in entries.items())
    heading = "<h2>Certificates and theorems used</h2>"
    return f'<section id="certificates">\n{heading}\n<dl class="sources">\n{items}\n</dl>\n</section>'


def _entry(theorem: Theorem, values: list[str], address: str) -> str:
    text = html.escape
    page = f"{theorem.page}.html"
    link = f'<a href="{text(address + page)}">{text(page)}</a>' if address else f"<code>{text(page)}</code>"
    head = f"{text(theorem.key)}, {text(theorem.number)}" if theorem.key != "expressivity" else text(theorem.number)
    bounds = "".join(f'<dd class="bound">{text(value)}</dd>\n' for value in dict.fromkeys(values))
    kind = "" if theorem.explicit else " Its constants are only existential: it gives no number."
    where = f'<dd class="where">In the documentation: {link}</dd>'
    return f"<dt>{head}</dt>\n{bounds}<dd>{text(theorem.statement)}{kind}</dd>\n{where}"


def _begins(text: str, name: str) -> bool:
    """Whether the text is the name, or the name and then something that is no continuation of it."""
    return text.startswith(name) and re.match(r"\w|\.\d", text[len(name) :]) is None


def facts_section(name: str, heading: str, facts: Mapping[str, Any]) -> str:
    """Settings or environment as a list of terms and values.

    >>> "<dt>seeds</dt><dd>3</dd>" in facts_section("settings", "Settings", {"seeds": 3})
    True
    """
    rows = "\n".join(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(value_text(v))}</dd>" for k, v in facts.items())
    return f'<section id="{name}">\n<h2>{html.escape(heading)}</h2>\n<dl class="facts">\n{rows}\n</dl>\n</section>'
