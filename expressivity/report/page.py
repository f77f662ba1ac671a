"""A run as one HTML file that needs nothing else: claim, verdict, checks, figure, tables, settings, sources."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from typing import Any

from expressivity.report import columns, explorer, sources, theme

STATIC_ROWS = 100  # rows of a table that are there without a script
_SCRIPTS = ("data.js", "table.js", "chart.js", "explore.js", "start.js")
_MARKS = {True: "M3 9.5l4 4 8-9", False: "M4 4l10 10M14 4L4 14"}


def page(
    title: str,
    claim: str,
    holds: bool,
    checks: Sequence[tuple[str, bool]],
    figure: bytes,
    figure_text: str,
    tables: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    results: Any = None,
    floors: Any = None,
    ceilings: Any = None,
    constants: Any = None,
    task: str | None = None,
    certificates: Sequence[Any] = (),
    environment: Mapping[str, Any] | None = None,
    documentation: str | None = None,
) -> str:
    """The page as one string of HTML; the figure is inside, nothing is loaded from elsewhere.

    The same arguments give the same bytes. Tables sort and filter, and of a long one only the rows in sight are in the
    page. Measured numbers have eight significant digits.

    Args:
        title: The heading.
        claim: What the run set out to show.
        holds: Whether it did.
        checks: Sentences, and whether each of them held.
        figure: A PNG file; may be empty.
        figure_text: What it shows, for readers who do not see it.
        tables: DataFrames by heading.
        facts: Settings, shown as two columns; without `environment` the environment is among them.
        results: Errors to explore in an interactive figure: a `SweepResult` or a table with columns norm, width, error,
            and if there are such family, width_rule, hidden_layers, seed, half_width, status, origin, steps. One of
            `tables`, or shown as a further table.
        floors, ceilings: Bounds to draw with them, in every form that `plots.error_against_width` reads; a table may
            have a column task.
        constants: The error of the best constant: by norm, or by (task, norm).
        task: The column of `results` that tells tasks apart; by default "task" if there is one.
        certificates: `Certificate`s or `Theorem`s to list, beside those that the tables name.
        environment: Where the run took place.
        documentation: Address of the documentation, for links; by default what the distribution names. Without one
            the pages are named.

    Raises:
        ValueError: If the results lack a column, or a bound belongs to no width or no task.
        TypeError: If one of the certificates has no theorem.

    >>> "<h1>A &amp; B</h1>" in page("A & B", "c", True, [("1 < 2", True)], b"", "dots", {}, {})
    True
    """
    text = html.escape
    address = sources.checked_address(sources.documentation() if documentation is None else documentation)
    shown = dict(tables)
    spec = None
    if results is not None:
        frame = getattr(results, "table", results)
        place = next((i for i, given in enumerate(shown.values()) if given is frame), len(shown))
        if place == len(shown):
            shown["Every network" if "Every network" not in shown else "Every network of the results"] = frame
        spec = explorer.specification(frame, place, floors, ceilings, constants, task)
    encoded = [columns.encode_frame(frame) for frame in shown.values()]
    parts = [
        f"<h1>{text(title)}</h1>",
        _verdict(holds),
        f"<p>{text(claim)}</p>",
        _checks(checks),
        _figure(figure, figure_text, interactive=spec is not None),
        '<div id="tables">',
        *(_table(number, heading, table) for number, (heading, table) in enumerate(zip(shown, encoded, strict=True))),
        "</div>",
        sources.facts_section("settings", "Settings and environment" if environment is None else "Settings", facts),
        "" if environment is None else sources.facts_section("environment", "Environment", environment),
        sources.certificates_section(
            certificates, [table for table in (*shown.values(), floors, ceilings) if hasattr(table, "columns")], address
        ),
    ]
    body = "\n".join(part for part in parts if part)
    depths = len(spec["depths"]) if spec else 1
    return _document(title, body, columns.script_json({"figure": spec, "tables": encoded}), theme.style(depths))


def _document(title: str, body: str, data: str, style: str) -> str:
    script = '(() => {\n"use strict";\n' + "\n".join(theme.package_text(name) for name in _SCRIPTS) + "})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    sections = (
        ("explore", "Figure"),
        ("tables", "Tables"),
        ("settings", "Settings"),
        ("environment", "Environment"),
        ("certificates", "Certificates"),
    )
    links = "".join(f'<a href="#{name}">{word}</a>' for name, word in sections if f'id="{name}"' in body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{style}</style>\n</head>\n'
        f'<body>\n<a class="skip" href="#main">Skip to the content</a>\n'
        f'<nav aria-label="Parts of the page">{links}</nav>\n<main id="main">\n{body}\n</main>\n'
        "<footer>Proved bounds, constructed networks and trained networks: expressivity. "
        "This page needs no other file.</footer>\n"
        f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _mark(holds: bool) -> str:
    kind = "mark" if holds else "mark no"
    return f'<svg class="{kind}" viewBox="0 0 18 18" aria-hidden="true"><path d="{_MARKS[holds]}"/></svg>'


def _verdict(holds: bool) -> str:
    word = "holds" if holds else "does not hold"
    return f'<p class="verdict{"" if holds else " no"}">{_mark(holds)}<span>The claim {word} in this run.</span></p>'


def _checks(checks: Sequence[tuple[str, bool]]) -> str:
    items = "\n".join(
        f"<li>{_mark(bool(held))}<b>{'holds' if held else 'FAILS'}:</b> {html.escape(sentence)}</li>"
        for sentence, held in checks
    )
    return f'<ul class="checks">\n{items}\n</ul>' if items else ""


def _figure(figure: bytes, figure_text: str, *, interactive: bool) -> str:
    if not figure and not interactive:
        return ""
    source = base64.b64encode(figure).decode()
    text = html.escape(figure_text)
    image = f'<p><img alt="{text}" src="data:image/png;base64,{source}"></p>' if figure else ""
    if not interactive:
        return f'<section id="explore">\n<h2>Figure</h2>\n{image}\n</section>'
    fallback = (
        f'<details id="picture" open><summary>The figure as a picture</summary>\n{image}</details>' if image else ""
    )
    return (
        '<section id="explore">\n<h2>Error against width</h2>\n'
        '<div id="explorer"><noscript><p>The interactive figure needs JavaScript.</p></noscript></div>\n'
        f"{fallback}\n</section>"
    )


def _table(number: int, heading: str, table: Mapping[str, Any]) -> str:
    text, listed = html.escape, table["columns"]
    kinds = [_kind(column) for column in listed]
    head = "".join(f'<th scope="col"{kind}>{text(c["name"])}</th>' for c, kind in zip(listed, kinds, strict=True))
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{k}>{text(columns.cell_text(c, row))}</td>" for c, k in zip(listed, kinds, strict=True))
        + "</tr>"
        for row in range(min(table["rows"], STATIC_ROWS))
    )
    left = table["rows"] - STATIC_ROWS
    cut = f'\n<p class="cut note">{left} more rows are shown where JavaScript runs.</p>' if left > 0 else ""
    return (
        f'<section id="table-{number}" data-table="{number}">\n<h2>{text(heading)}</h2>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(heading)}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>{cut}\n</section>"
    )


def _kind(column: Mapping[str, Any]) -> str:
    """The class of the cells of a column: numbers stand on the right, long texts have room."""
    if column["kind"] == "number":
        return ' class="number"'
    return ' class="prose"' if max(map(len, column["words"]), default=0) > 40 else ""
