"""The cells of a sweep in one table: best, median, collapsed, and what embeddings make of them."""

from typing import Any

from expressivity.sweeps.result import SweepResult

NOT_CONVERGED = 0.1


def running_minimum(best: Any) -> list[float]:
    """For each row of a table with columns norm, width, hidden_layers and error, the least error at or below both.

    A narrow network padded by zeros and a shallow one continued by identity layers compute the same function, so the
    least error cannot grow with width or depth; where the measured one does, training failed.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"norm": "L2", "width": [1, 2, 2], "hidden_layers": [2, 2, 4], "error": [0.5, 0.2, 0.4]})
    >>> running_minimum(frame)
    [0.5, 0.2, 0.2]
    """
    return [
        float(
            best.loc[
                (best["norm"] == row.norm)
                & (best["width"] <= row.width)
                & (best["hidden_layers"] <= row.hidden_layers),
                "error",
            ].min()
        )
        for row in best.itertuples()
    ]


def summary(result: SweepResult, extended: SweepResult | None = None, warm: SweepResult | None = None) -> Any:
    """One row a width, depth and norm.

    Columns: best, median, collapsed (fraction of networks no better than a constant), diverged, seeds; running_minimum
    over function-preserving embeddings; extended_best and not_converged (the best of a longer training, and whether it
    is better by more than 10 %; empty where it was not tried); warm_best (the best from a warm start).

    Args:
        result: Random starts.
        extended: Some of its cells trained for longer.
        warm: Some of its cells started from a construction.
    """
    import pandas as pd

    quantiles = result.quantiles((0.0, 0.5)).rename(columns={"q0": "best", "q0.5": "median"})
    quantiles["running_minimum"] = running_minimum(quantiles.rename(columns={"best": "error"}))
    place = ["task", "width", "hidden_layers", "norm"]
    for name, other in (("extended_best", extended), ("warm_best", warm)):
        if other is None or other.table.empty:
            quantiles[name] = float("nan")
            continue
        least = other.best()[[*place, "error"]].groupby(place, sort=False, as_index=False).min()
        quantiles = quantiles.merge(least.rename(columns={"error": name}), how="left", on=place)
    better = quantiles["extended_best"] < (1 - NOT_CONVERGED) * quantiles["best"]
    quantiles["not_converged"] = better.astype(object).where(quantiles["extended_best"].notna(), "")
    columns = ["task", "norm", "width_rule", "width", "hidden_layers", "seeds", "best", "median", "running_minimum"]
    columns += ["collapsed", "diverged", "extended_best", "not_converged", "warm_best"]
    return pd.DataFrame(quantiles[columns])
