"""A run as one HTML file that needs nothing else: claim, verdict, checks, figure, tables."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left; }
.wide { overflow-x: auto; }
.verdict { padding: 0.6rem 1rem; border-left: 0.4rem solid #1b7837; background: #f2f7f3; }
.verdict.no { border-color: #b2182b; background: #fbf1f1; }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #e6e6e6; } th, td { border-color: #444; } img { background: white; }
  .verdict { background: #18241b; } .verdict.no { background: #2b1718; }
}
"""


def page(
    title: str,
    claim: str,
    holds: bool,
    checks: Sequence[tuple[str, bool]],
    figure: bytes,
    figure_text: str,
    tables: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """The page as one string of HTML; the figure is inside, nothing is loaded from elsewhere.

    Args:
        title: The heading.
        claim: What the run set out to show.
        holds: Whether it did.
        checks: Sentences, and whether each of them held.
        figure: A PNG file.
        figure_text: What it shows, for readers who do not see it.
        tables: DataFrames by heading.
        facts: Settings and environment, shown as two columns.

    >>> "<h1>A &amp; B</h1>" in page("A & B", "c", True, [("1 < 2", True)], b"", "dots", {}, {})
    True
    """
    text = html.escape
    items = "\n".join(f"<li>{'holds' if ok else 'FAILS'}: {text(sentence)}</li>" for sentence, ok in checks)
    word = "holds" if holds else "does not hold"
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{text(claim)}</p>",
        f'<p class="verdict{"" if holds else " no"}">The claim {word} in this run.</p>',
        f"<ul>\n{items}\n</ul>",
        f'<p><img alt="{text(figure_text)}" src="data:image/png;base64,{base64.b64encode(figure).decode()}"></p>',
    ]
    for heading, frame in tables.items():
        rendered = frame.to_html(index=False, border=0, na_rep="", float_format=lambda v: f"{v:.5g}")
        parts.append(f'<h2>{text(heading)}</h2>\n<div class="wide">{rendered}</div>')
    rows = "\n".join(f"<tr><th>{text(str(k))}</th><td>{text(str(v))}</td></tr>" for k, v in facts.items())
    parts.append(f'<h2>Settings and environment</h2>\n<div class="wide"><table>\n{rows}\n</table></div>')
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )
