"""Regression tables: a person's own CSV file, or the embedded one, checked and split for training."""

import dataclasses
import functools
import hashlib
import importlib.resources
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float

LEAST_ROWS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A table in two parts, in units of the training part: every column has mean 0 and deviation 1 there."""

    train_features: Float[np.ndarray, "train n"]
    train_values: Float[np.ndarray, " train"]
    test_features: Float[np.ndarray, "test n"]
    test_values: Float[np.ndarray, " test"]


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A finite sample of a regression problem: rows of n features and one number to predict.

    No lower bound can be claimed for it: a wide enough network passes through every row.

    Args:
        features: Shape (rows, n).
        values: The column to predict, shape (rows,).
        columns: Names of the features.
        target_column: Name of the column to predict.
        name: A short name.

    Raises:
        ValueError: If shapes do not fit, a value is missing or infinite, a column is constant, there are fewer than 20
            rows, or not more rows than features.

    >>> table = diabetes()
    >>> table.rows, table.dim, table.target_column
    (442, 10, 'progression')
    """

    features: Float[np.ndarray, "rows n"]
    values: Float[np.ndarray, " rows"]
    columns: tuple[str, ...]
    target_column: str
    name: str = "table"

    def __post_init__(self) -> None:
        features, values = np.asarray(self.features, np.float64), np.asarray(self.values, np.float64)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "values", values)
        if features.ndim != 2 or values.shape != features.shape[:1] or features.shape[1:] != (len(self.columns),):
            raise ValueError(
                f"A table needs features (rows, {len(self.columns)}) and values (rows,); got {features.shape} and "
                f"{values.shape}."
            )
        if not self.columns:
            raise ValueError(f"Table {self.name!r} has no column besides {self.target_column!r} to predict it from.")
        for label, column in zip((*self.columns, self.target_column), (*features.T, values), strict=True):
            bad = np.flatnonzero(~np.isfinite(column))
            if len(bad):
                raise ValueError(
                    f"Column {label!r} of table {self.name!r} has {len(bad)} missing or infinite value(s), the first "
                    f"in data row {bad[0] + 1}; fill them in or remove the rows."
                )
        if self.rows < max(LEAST_ROWS, self.dim + 1):
            raise ValueError(
                f"Table {self.name!r} has {self.rows} rows; with {self.dim} features at least "
                f"{max(LEAST_ROWS, self.dim + 1)} are needed."
            )
        for label, column in zip((*self.columns, self.target_column), (*features.T, values), strict=True):
            if np.all(column == column[0]):
                raise ValueError(
                    f"Column {label!r} of table {self.name!r} is constant ({column[0]:g} in every row) and carries no "
                    "information; remove it."
                )

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """The number of features, to which width rules such as "n+4" refer."""
        return len(self.columns)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of names and values. It addresses finished work."""
        head = "|".join((self.name, self.target_column, *self.columns)).encode()
        return hashlib.sha256(head + self.features.tobytes() + self.values.tobytes()).hexdigest()[:16]

    def split(self, seed: int, held_out: float = 0.25) -> Split:
        """The rows in random order of `seed`, the last `held_out` of them kept for testing.

        Both parts are standardised by mean and deviation of the training part. A column that is constant within the
        training part alone is only centred.

        Raises:
            ValueError: If `held_out` is not strictly between 0 and 1.

        >>> diabetes().split(0).train_features.shape, diabetes().split(0).test_values.shape
        ((332, 10), (110,))
        """
        if not 0 < held_out < 1:
            raise ValueError(f"The held-out part of a table lies strictly between 0 and 1; got {held_out}.")
        order = np.random.default_rng(seed).permutation(self.rows)
        count = min(self.rows - 2, max(1, int(self.rows * held_out)))
        train, test = order[:-count], order[-count:]
        x, y = self.features, self.values
        shift, scale = x[train].mean(0), x[train].std(0)
        scale = np.where(scale > 0, scale, 1.0)
        mean, deviation = y[train].mean(), y[train].std()
        deviation = deviation if deviation > 0 else 1.0
        return Split(
            (x[train] - shift) / scale,
            (y[train] - mean) / deviation,
            (x[test] - shift) / scale,
            (y[test] - mean) / deviation,
        )


def read_csv(path: Any, target_column: str | None = None) -> Table:
    """The table in a CSV file with a header line; every column but `target_column` (by default the last) is a feature.

    Raises:
        ValueError: If the file is missing or no table in UTF-8 with commas and one name a column, the column unknown,
            or a value is missing, no number, or one of the things that `Table` refuses.
    """
    import pandas as pd

    path = pathlib.Path(path)
    try:
        frame: Any = pd.read_csv(path, skipinitialspace=True, encoding="utf-8-sig")
        # the first two lines as they are: pandas renames columns of one name, and takes what is too much for row labels
        raw = functools.partial(pd.read_csv, path, skipinitialspace=True, encoding="utf-8-sig", header=None, nrows=1)
        header: Any = raw(dtype=str)
        first: Any = raw(skiprows=1) if len(frame) else header
    except OSError as error:
        raise ValueError(f"Cannot read the table {str(path)!r}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The file {str(path)!r} is not a text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8."
        ) from None
    except (ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"The file {str(path)!r} is not a CSV table with a header line: {reason}.") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    for other, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(frame.columns) == 1 and other in frame.columns[0]:
            raise ValueError(
                f"The columns of the table {str(path)!r} are separated by {word}: {frame.columns[0]!r}; save it with "
                "commas, and with points in its numbers."
            )
    if first.shape[1] > header.shape[1]:
        raise ValueError(
            f"The rows of the table {str(path)!r} have more values than its header line, which names "
            f"{len(frame.columns)} columns; name every column."
        )
    labels = [str(c).strip() for c in header.iloc[0].dropna()]
    if labels and all(_is_number(label) for label in labels):
        raise ValueError(
            f"The first line of the table {str(path)!r} holds numbers ({labels[0]} ...); it has to name the columns."
        )
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"The table {str(path)!r} has two columns named {twice!r}; rename one.")
    target_column = str(frame.columns[-1]) if target_column is None else target_column
    if target_column not in frame.columns:
        raise ValueError(
            f"The table {str(path)!r} has no column {target_column!r}; its columns are {', '.join(frame.columns)}."
        )
    for label in frame.columns:
        column = frame[label]
        if column.isna().all() or not pd.api.types.is_numeric_dtype(column):
            numbers: Any = pd.to_numeric(column, errors="coerce")
            text = column[numbers.isna() & column.notna()]
            if len(text):
                raise ValueError(
                    f"Column {label!r} of table {str(path)!r} holds the text {str(text.iloc[0])!r} in data row "
                    f"{frame.index.get_loc(text.index[0]) + 1}; encode it as numbers or remove the column."
                )
            frame[label] = numbers
    features = [label for label in frame.columns if label != target_column]
    return Table(
        frame[features].to_numpy(np.float64),
        frame[target_column].to_numpy(np.float64),
        tuple(features),
        target_column,
        path.stem,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@functools.cache
def diabetes() -> Table:
    """442 patients, ten baseline variables, and the progression of their disease a year later (Efron et al. 2004).

    >>> diabetes().columns
    ('age', 'sex', 'bmi', 'bp', 's1', 's2', 's3', 's4', 's5', 's6')
    """
    source = importlib.resources.files("expressivity.data") / "diabetes.csv"
    with importlib.resources.as_file(source) as path:
        return read_csv(path, "progression")
