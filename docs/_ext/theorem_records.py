"""The directive `records`: the theorem records that name the page on which it stands, or all of them with `:all:`.

Every row leads to the code that computes with the statement, as `expressivity.theorem_code` tells.
"""

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx import addnodes
from sphinx.application import Sphinx

from expressivity import theorem_code, theorems


class Records(Directive):
    has_content = False
    option_spec = {"all": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        page = self.state.document.settings.env.docname
        chosen = [t for t in theorems.THEOREMS if "all" in self.options or t.page == page]
        if not chosen:
            raise self.error(f"No theorem record names the page {page}.")
        head = ["Source", "Statement", "Constants", "Code"] + (["Page"] if "all" in self.options else [])
        rows = [[nodes.paragraph(text=word) for word in head]]
        for theorem in chosen:
            row: list[nodes.Node] = [
                nodes.paragraph(
                    text="derived here: " + theorem.number if theorem.key == "expressivity" else str(theorem)
                ),
                nodes.paragraph(text=theorem.statement),
                nodes.paragraph(text="explicit" if theorem.explicit else "existential"),
                _code(theorem, page),
            ]
            if "all" in self.options:
                link = addnodes.pending_xref(
                    "", refdomain="std", reftype="doc", reftarget=f"/{theorem.page}", refexplicit=True, refdoc=page
                )
                link += nodes.inline(text=theorem.page.removeprefix("papers/"))
                cell = nodes.paragraph()
                cell += link
                row.append(cell)
            rows.append(row)
        return [_table(rows, [18, 46, 10, 16, 10][: len(head)])]


def _code(theorem: theorems.Theorem, page: str) -> nodes.Node:
    """Links to what computes with the statement, or why nothing does."""
    address = (theorem.key, theorem.number)
    if address in theorem_code.QUOTED:
        return nodes.paragraph(text=f"none: {theorem_code.QUOTED[address]}")
    cell = nodes.paragraph()
    for number, name in enumerate(theorem_code.CODE[address]):
        if number:
            cell += nodes.Text(", ")
        target = f"expressivity.{name}"
        link = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refdoc=page, refwarn=True
        )
        link += nodes.literal(text=".".join(name.split(".")[-2:]))
        cell += link
    return cell


def _table(rows: list[list[nodes.Node]], widths: list[int]) -> nodes.table:
    table, group = nodes.table(), nodes.tgroup(cols=len(widths))
    table += group
    for width in widths:
        group += nodes.colspec(colwidth=width)
    parts = [nodes.thead(), nodes.tbody()]
    for number, cells in enumerate(rows):
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            entry += cell
            row += entry
        parts[min(number, 1)] += row
    group += parts
    return table


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("records", Records)
    return {"parallel_read_safe": True}
