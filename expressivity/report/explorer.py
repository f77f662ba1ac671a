"""What the interactive figure of error against width is told: choices, columns, bounds."""

from collections.abc import Mapping
from typing import Any

from expressivity.report import levels

_COLUMNS = {
    "family": "family",
    "width": "width",
    "rule": "width_rule",
    "depth": "hidden_layers",
    "seed": "seed",
    "norm": "norm",
    "error": "error",
    "half": "half_width",
    "status": "status",
    "origin": "origin",
    "steps": "steps",
}
_NEEDED = ("norm", "width", "error")


def specification(
    frame: Any, table: int, floors: Any = None, ceilings: Any = None, constants: Any = None, task: str | None = None
) -> dict[str, Any]:
    """The figure as JSON-ready dictionary; the errors stay in the columns of the table.

    Args:
        frame: The results as a DataFrame.
        table: Its place among the tables of the page.
        floors, ceilings: See `levels.rows_of`.
        constants: Errors of the best constant, by norm or by (task, norm).
        task: The column that tells tasks apart; by default "task" if there is one.

    Raises:
        ValueError: If a column is missing, or a bound fits no task.

    >>> import pandas as pd
    >>> spec = specification(pd.DataFrame({"norm": ["sup"], "width": [2], "error": [0.5]}), 0)
    >>> spec["norms"], spec["depths"], spec["columns"]
    (['sup'], [None], {'width': 'width', 'norm': 'norm', 'error': 'error'})
    """
    names = [str(name) for name in frame.columns]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise ValueError(
            f"The results have no column {missing[0]!r}, so errors cannot be drawn against widths; they have "
            f"{', '.join(names) or 'none'}."
        )
    if task is not None and task not in names:
        raise ValueError(f"The results have no column {task!r} to tell tasks apart; they have {', '.join(names)}.")
    found = {key: name for key, name in _COLUMNS.items() if name in names}
    if task is None and "task" in names:
        task = "task"
    if task is not None:
        found["task"] = task
    tasks = _distinct(frame, task)
    depths = _depths(frame)
    widths = sorted({int(width) for width in frame["width"].dropna()})
    upper = levels.rows_of(ceilings, [str(t) for t in tasks], widths, depths, what="ceilings")
    norms = [str(norm) for norm in _distinct(frame, "norm")]
    return {
        "table": table,
        "columns": found,
        "norms": norms,
        "norm": "L2" if "L2" in norms else (norms or [""])[0],
        "tasks": tasks,
        "families": [] if task == "family" else _distinct(frame, "family"),
        "origins": _distinct(frame, "origin"),
        "depths": depths,
        "floors": levels.rows_of(floors, [str(t) for t in tasks], widths, depths, what="floors"),
        "ceilings": upper,
        "names": list(dict.fromkeys(row["text"] for row in upper if row["text"])),
        "constants": _constants(constants),
    }


def _distinct(frame: Any, name: str | None) -> list[Any]:
    """The values of a column in the order of their first appearance, as text or number; nothing without it."""
    if name is None or name not in frame.columns:
        return []
    return list(dict.fromkeys(v if isinstance(v, (int, float)) else str(v) for v in frame[name].dropna().tolist()))


def _depths(frame: Any) -> list[int | None]:
    if "hidden_layers" not in frame.columns:
        return [None]
    depths: list[int | None] = [*sorted({int(depth) for depth in frame["hidden_layers"].dropna()})]
    return depths + [None] * bool(frame["hidden_layers"].isna().any()) or [None]


def _constants(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise ValueError(f"The errors of the best constant are a mapping from norms to numbers, not {given!r}.")
    rows = []
    for key, value in given.items():
        task, norm = key if isinstance(key, tuple) else (None, key)
        if 0 < value < float("inf"):
            rows.append({"task": task, "norm": str(norm), "value": float(value)})
    return rows
