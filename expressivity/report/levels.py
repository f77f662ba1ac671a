"""Floors and ceilings of a figure as rows: task, norm, width, value, and what they rest on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
_TEXTS = ("label", "proof", "theorem", "construction")


def rows_of(
    given: Any, tasks: Sequence[str], widths: Sequence[int], depths: Sequence[int | None], *, what: str
) -> list[Row]:
    """Every form in which floors or ceilings may be given, as rows to draw.

    Args:
        given: None; a table with columns width and value (or bound), and if wanted task, norm, hidden_layers
            (a floor then holds for at most so many), label, proof, theorem or construction; a
            mapping from widths to numbers, certificates or constructions; or certificates and constructions.
        tasks: The tasks of the figure. A bound that names no task needs that there is one at most.
        widths, depths: The widths and numbers of hidden layers of the figure. A certificate is shown at every width it
            covers, `layers` being the most hidden layers if not any number.
        what: "floors" or "ceilings", for the message.

    Returns:
        Dictionaries with task (None: the only one), norm (None: every one), width, value, text, layers (None: any).
        Values that are 0, negative or not finite say nothing and are left out.

    Raises:
        ValueError: If columns are missing, a width is no whole number, a bound belongs to no task, or a certificate
            speaks of one network only.

    >>> rows_of({2: 0.5}, ["disc"], [1, 2], [2], what="floors")
    [{'task': None, 'norm': None, 'text': '', 'layers': None, 'width': 2, 'value': 0.5}]
    """
    if given is None:
        return []
    rows = _from_table(given, what) if hasattr(given, "columns") else _from_objects(given, widths, depths, what)
    rows = [row for row in rows if 0 < row["value"] < math.inf]
    if len(tasks) > 1 and any(row["task"] is None for row in rows):
        raise ValueError(
            f"The {what} name no task, and the results have {len(tasks)} ({', '.join(tasks[:3])}, ...); give a table "
            "with a column 'task'."
        )
    return rows


def _from_table(table: Any, what: str) -> list[Row]:
    names = [str(name) for name in table.columns]
    value = next((name for name in ("value", "bound") if name in names), None)
    if "width" not in names or value is None:
        raise ValueError(f"A table of {what} has the columns width and value; got {', '.join(names) or 'none'}.")
    texts = [name for name in _TEXTS if name in names]

    def column(name: str) -> list[Any]:
        return table[name].tolist() if name in names else [None] * len(table)

    rows = []
    columns = zip(column("task"), column("norm"), table["width"].tolist(), table[value].tolist(), strict=True)
    notes = list(zip(*(column(name) for name in texts), strict=True)) if texts else [()] * len(table)
    for (task, norm, width, number), words, layers in zip(columns, notes, column("hidden_layers"), strict=True):
        text = next((str(word) for word in words if isinstance(word, str) and word), "")
        rows.append(
            {
                "task": str(task) if _filled(task) else None,
                "norm": str(norm) if _filled(norm) else None,
                "width": _width(width, what),
                "value": float(number),
                "text": text,
                "layers": int(layers) if what == "floors" and _filled(layers) else None,
            }
        )
    return rows


def _from_objects(given: Any, widths: Sequence[int], depths: Sequence[int | None], what: str) -> list[Row]:
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(given, Mapping):
        pairs = given.items()
    else:
        pairs = [(None, item) for item in (given if isinstance(given, Iterable) else [given])]
    rows: list[Row] = []
    for width, item in pairs:
        row: Row = {"task": None, "norm": None, "text": str(getattr(item, "theorem", "")), "layers": None}
        if hasattr(item, "against"):
            if item.against.this:
                raise ValueError(f"A certificate about one network is no floor of a width: {item}.")
            row |= {"norm": item.norm, "value": float(item.value), "text": f"{item.theorem}; {item.against}"}
            for at in widths if width is None else [_width(width, what)]:
                covered = [depth for depth in depths if item.against.covers((at,) * (depth or 1))]
                most = item.against.hidden_layers
                if width is not None or len(covered) == len(depths) > 0:
                    rows.append(row | {"width": at, "layers": most})
                elif covered and None not in covered:
                    rows.append(row | {"width": at, "layers": max(depth for depth in covered if depth is not None)})
        elif hasattr(item, "error_bound"):
            for norm in ("L1", "L2", "sup"):
                at = item.network.width if width is None else _width(width, what)
                rows.append(row | {"norm": norm, "width": at, "value": float(item.bound(norm))})
        elif width is None:
            raise ValueError(f"One of the {what} has no width and is no certificate and no construction: {item!r}.")
        else:
            rows.append(row | {"width": _width(width, what), "value": float(item)})
    return rows


def _filled(value: Any) -> bool:
    return value is not None and value == value and type(value).__name__ != "NAType"


def _width(value: Any, what: str) -> int:
    if not _filled(value) or int(value) != value or value < 1:
        raise ValueError(f"The width of one of the {what} is {value!r}; a width is a whole number from 1 on.")
    return int(value)
