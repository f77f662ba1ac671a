"""Tables as compact columns of JSON, and numbers as the page writes them."""

import json
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

DIGITS = 8  # significant digits of a measured number in the page
SHOWN = 5  # of which a table shows so many


def number_text(value: float, *, whole: bool = False) -> str:
    """The number as a table shows it: five significant digits, a whole number in full.

    >>> number_text(0.123456), number_text(2e-13), number_text(123456, whole=True), number_text(float("inf"))
    ('0.12346', '2e-13', '123456', '∞')
    """
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if whole and abs(value) < 2**53:
        return str(int(value))
    return f"{value:.{SHOWN}g}"


def value_text(value: Any) -> str:
    """Any value of a settings file in words: lists and mappings without brackets, nothing for `None`.

    >>> value_text({"jax": "0.7", "numpy": [1, 2]}), value_text(True), value_text(None)
    ('jax 0.7; numpy 1, 2', 'yes', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {value_text(item)}".strip() for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(value_text(item) for item in value)
    return str(value)


def encode_column(name: str, values: Any) -> dict[str, Any]:
    """One column: "number" (with "whole"), or "text" as a list of words and the place of each row's word in it.

    NaN, None and infinities are null; `plus` and `minus` list the rows of the infinities. Measured numbers keep
    eight significant digits, which never puts two numbers in the wrong order. A column of one value is `same`.

    >>> encode_column("width", [1, 2, 2])
    {'name': 'width', 'kind': 'number', 'whole': True, 'values': [1, 2, 2]}
    >>> encode_column("error", [0.5, float("nan"), float("inf")])
    {'name': 'error', 'kind': 'number', 'values': [0.5, None, None], 'plus': [2]}
    >>> encode_column("status", ["ok", "diverged", "ok"])
    {'name': 'status', 'kind': 'text', 'words': ['ok', 'diverged'], 'values': [0, 1, 0]}
    """
    cells = [_plain(value) for value in values]
    present = [cell for cell in cells if cell is not None]
    column: dict[str, Any] = {"name": str(name), "kind": "number"}
    if present and all(_is_number(cell) for cell in present):
        if all(isinstance(cell, int) for cell in present):
            column["whole"] = True
        encoded = [None if cell is None else _rounded(cell) for cell in cells]
    else:
        column["kind"] = "text"
        words = {cell: None for cell in map(value_text, present)}
        places = {word: place for place, word in enumerate(words)}
        column["words"] = list(words)
        encoded = [None if cell is None else places[value_text(cell)] for cell in cells]
    if len(set(encoded)) == 1 and len(encoded) > 1 and encoded[0] is not None:
        column["same"] = encoded[0]
    else:
        column["values"] = encoded
    for key, infinite in (("plus", math.inf), ("minus", -math.inf)):
        rows = [row for row, cell in enumerate(cells) if isinstance(cell, float) and cell == infinite]
        if rows:
            column[key] = rows
    return column


def encode_frame(frame: Any) -> dict[str, Any]:
    """A DataFrame as its number of rows and its encoded columns.

    >>> import pandas as pd
    >>> encode_frame(pd.DataFrame({"width": [3]}))
    {'rows': 1, 'columns': [{'name': 'width', 'kind': 'number', 'whole': True, 'values': [3]}]}
    """
    columns = [encode_column(name, frame.iloc[:, place].tolist()) for place, name in enumerate(frame.columns)]
    return {"rows": len(frame), "columns": columns}


def cell_text(column: Mapping[str, Any], row: int) -> str:
    """What a table shows in this row of an encoded column.

    >>> cell_text(encode_column("status", ["ok", "diverged"]), 1)
    'diverged'
    """
    if row in column.get("plus", ()):
        return number_text(math.inf)
    if row in column.get("minus", ()):
        return number_text(-math.inf)
    value = column["same"] if "same" in column else column["values"][row]
    if value is None:
        return ""
    return column["words"][value] if column["kind"] == "text" else number_text(value, whole=column.get("whole", False))


def script_json(content: Any) -> str:
    r"""The content as strict JSON that can stand inside a script element, whatever its texts are.

    >>> script_json({"task": "</script><b>"})
    '{"task":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _plain(value: Any) -> Any:
    """A cell as None, bool, int, float or something to be written out; integers that float64 cannot hold are texts."""
    if type(value) is float:
        return value if value == value else None
    if type(value) in (str, bool):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) < 10**300 else str(value)
    if isinstance(value, numbers.Real):
        value = float(value)
        return None if math.isnan(value) else value
    return value


def _rounded(cell: int | float) -> int | float | None:
    if isinstance(cell, int):
        return cell
    return float(f"{cell:.{DIGITS}g}") if math.isfinite(cell) else None
