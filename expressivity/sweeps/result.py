"""What a sweep found: one row a network and norm, and the networks themselves."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "family",
    "task",
    "base",
    "width_rule",
    "width",
    "hidden_layers",
    "seed",
    "origin",
    "steps",
    "status",
    "norm",
    "error",
    "half_width",
    "fvu",
    "loss",
    "parameters",
    "batching",
)
CELL = ("family", "task", "base", "width_rule", "width", "hidden_layers", "origin", "steps", "norm")

CURVE_COLUMNS = ("family", "task", "width_rule", "width", "seed", "step", "train_loss", "error", "cross_entropy")

NetworkKey = tuple[str, int, int | None, int]


def family_label(family: Any) -> str:
    """The family as the table names it: an MLP's depth has a column of its own, others name what is not usual.

    >>> import expressivity as ex
    >>> family_label(ex.MLP(3, hidden_layers=8)), family_label(ex.AllConv6(variant=1, classes=10))
    ('MLP', 'AllConv6(variant=1, classes=10)')
    """
    if hasattr(family, "hidden_layers") or not dataclasses.is_dataclass(family):
        return type(family).__name__
    given = [
        f"{field.name}={getattr(family, field.name)!r}"
        for field in dataclasses.fields(family)
        if field.default is dataclasses.MISSING or getattr(family, field.name) != field.default
    ]
    return f"{type(family).__name__}({', '.join(given)})"


def _no_curves() -> Any:
    import pandas as pd

    return pd.DataFrame(columns=list(CURVE_COLUMNS))


@dataclasses.dataclass(frozen=True, eq=False)
class SweepResult:
    """The table of a sweep and its networks.

    Args:
        table: A pandas DataFrame, one row a cell, seed and norm, with the columns family, task, base (n), width_rule,
            width (units), hidden_layers, seed, origin, steps, status ("ok" or "diverged"), norm ("L1", "L2", "sup"),
            error, half_width, fvu (the same in every norm), loss, parameters, and batching (how networks were trained
            together: widths "packed" or "apart"; for images seeds by "loop" or "vmap"). A diverged network has no
            error. For images the norms are "top-1" and "top-5" (part of the test images not told right; the half-width
            contains the binomial interval of 95 %) and "cross-entropy".
        networks: By (family, width, hidden_layers, seed), as in the table's columns; diverged ones are missing. For
            functions a `ReLUNetwork`, for images a pair (model, state).
        timings: A DataFrame, one row a cell: compile_seconds, run_seconds, and whether it was trained now.
        curves: For images a DataFrame, one row an evaluation and seed: family, task, width_rule, width, seed, step,
            train_loss, error and cross_entropy on the test set; empty for functions.

    >>> import expressivity as ex, tempfile
    >>> sweep = ex.Sweep(ex.MLP(2), ["n"], ex.targets.norm_squared(ex.Ball(2)), 2, ex.Recipe(5, 16, 0.01))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = ex.run(sweep, folder, order=16)
    >>> len(result.table), len(result.best()), result.network(width=2, seed=1).hidden_widths
    (6, 3, (2, 2))
    """

    table: Any
    networks: Mapping[NetworkKey, Any]
    timings: Any
    curves: Any = dataclasses.field(default_factory=_no_curves)

    def best(self) -> Any:
        """A DataFrame with the row of least error for each family, width, number of hidden layers and norm."""
        usable = self.table[self.table["status"] == "ok"]
        groups = usable.groupby(list(CELL), sort=False, dropna=False)
        return usable.loc[groups["error"].idxmin()].reset_index(drop=True)

    def quantiles(self, q: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0), collapsed: float = 0.99) -> Any:
        """A DataFrame with quantiles of the error over the seeds that did not diverge, a row for every cell and norm.

        Beside them: `seeds`, `diverged`, and `collapsed`, the fraction of finite networks with fvu above the limit
        given (no better than a constant).
        """
        import pandas as pd

        rows = []
        for cell, group in self.table.groupby(list(CELL), sort=False, dropna=False):
            usable = group[group["status"] == "ok"]
            row: dict[str, Any] = dict(zip(CELL, cell, strict=True))
            row |= {"seeds": len(group), "diverged": len(group) - len(usable)}
            row["collapsed"] = float((usable["fvu"] > collapsed).mean()) if len(usable) else float("nan")
            row |= {f"q{level:g}": usable["error"].quantile(level) if len(usable) else float("nan") for level in q}
            rows.append(row)
        return pd.DataFrame(rows)

    def fit(self, law: str = "power", **options: Any) -> Any:
        """A law of the error against the width, fitted to the logarithms of the errors, with intervals, or a refusal.

        Args:
            law: "power", "exponential", "broken power" or "threshold"; see `sweeps.laws`.
            options: norm, hidden_layers, family (needed where the table holds several), offset, statistic, confidence,
                resamples, seed, as in `sweeps.fits.fit_errors`.

        Returns:
            A `sweeps.fits.Fit`. Where the data do not carry the law, its `accepted` is False and `reason` says why.

        Raises:
            ValueError: If the table holds several norms, depths, families or tasks and none was chosen.

        >>> import pandas as pd
        >>> rows = [{"norm": "L2", "width": w, "hidden_layers": 2, "seed": 0, "status": "ok", "error": 0.1 + 1 / w}
        ...         for w in (1, 2, 4, 8, 16)]
        >>> fit = SweepResult(pd.DataFrame(rows), {}, None).fit("power", resamples=100)
        >>> {name: round(value, 3) for name, value in fit.parameters.items()}
        {'offset': 0.1, 'amplitude': 1.0, 'exponent': 1.0}
        """
        from expressivity.sweeps.fits import fit_table

        return fit_table(self.table, law, **options)

    def network(self, width: int, seed: int, hidden_layers: int | None = None) -> Any:
        """The one network of that width and seed (and depth, where several were trained).

        Raises:
            KeyError: If there is none, or more than one.
        """
        found = [
            net
            for (_, units, layers, number), net in self.networks.items()
            if (units, number) == (width, seed) and hidden_layers in (None, layers)
        ]
        if len(found) != 1:
            raise KeyError(
                f"{len(found)} networks have width {width}, seed {seed} and hidden_layers {hidden_layers}; name one of "
                f"{sorted({(k[1], k[2]) for k in self.networks})} (width, hidden_layers)."
            )
        return found[0]


def merge(results: Sequence[SweepResult]) -> SweepResult:
    """Several sweeps as one; of networks with the same key the first is kept, rows are all kept."""
    import pandas as pd

    networks: dict[NetworkKey, Any] = {}
    for result in results:
        networks = {**result.networks, **networks}

    def together(frames: list[Any]) -> Any:
        full = [frame for frame in frames if len(frame)]  # the columns of an empty one have no type
        return pd.concat(full or frames, ignore_index=True)

    return SweepResult(
        together([r.table for r in results]),
        networks,
        together([r.timings for r in results]),
        together([r.curves for r in results]),
    )
