"""Verdicts in three words: what is proved possible or impossible at a width, and what is not known."""

from typing import Any

import numpy as np

from expressivity.norms import Rule

WORDS = ("impossible", "possible", "undetermined")
COLUMNS = ("norm", "width", "verdict", "threshold", "floor", "floor_proof", "reached", "network")


def best_constant(rule: Rule, norm: str) -> float:
    r"""$\min_c \|f - c\|$: the error of the best constant, by the fine quadrature rule.

    In L1 c is the median, in L2 the mean, in the sup norm the middle of the range.
    """
    count = rule.bounds[0]
    values, weights = rule.values[:count], rule.weights[0]
    if norm == "sup":
        return float(rule.values.max() - rule.values.min()) / 2
    if norm == "L2":
        return rule.variance**0.5
    order = np.argsort(values)
    median = values[order][np.searchsorted(np.cumsum(weights[order]), 0.5)]
    return float(weights @ np.abs(values - median))


def verdicts(widths: Any, thresholds: dict[str, float], floors: Any, networks: Any) -> Any:
    """For every width and norm one of "impossible", "possible" and "undetermined", with what proves it.

    "impossible": a floor above the threshold holds for every network of this width (or a larger one). "possible": a
    network of this width (or a smaller one, padded by zeros) has an error at or under the threshold, half-width
    included. Training that fails proves nothing, so everything else is "undetermined".

    Args:
        widths: The widths, in units.
        thresholds: What accuracy is asked for, by norm.
        floors: A table with columns norm, width, value and proof.
        networks: A table of networks, trained and constructed, with columns norm, width, error, half_width and name.

    Returns:
        A DataFrame with the columns norm, width, verdict, threshold, floor (the highest that holds), floor_proof,
        reached (the least error plus half-width of a network of at most this width) and network.

    Raises:
        RuntimeError: If a floor above the threshold and a network under it contradict each other: then a certificate or
            a measurement is wrong.

    >>> import pandas as pd
    >>> floors = pd.DataFrame([{"norm": "sup", "width": 2, "value": 0.5, "proof": "path"}])
    >>> networks = pd.DataFrame([{"norm": "sup", "width": 3, "error": 0.1, "half_width": 0.0, "name": "trained"}])
    >>> verdicts([1, 2, 3, 4], {"sup": 0.2}, floors, networks)["verdict"].tolist()
    ['impossible', 'impossible', 'possible', 'possible']
    """
    import pandas as pd

    rows = []
    for norm, threshold in thresholds.items():
        for width in sorted(widths):
            above = floors[(floors["norm"] == norm) & (floors["width"] >= width) & (floors["value"] > 0)]
            below = networks[(networks["norm"] == norm) & (networks["width"] <= width) & networks["error"].notna()]
            floor, proof, reached, name = 0.0, "", float("nan"), ""
            if len(above):
                top = above.loc[above["value"].idxmax()]
                floor, proof = float(top["value"]), str(top["proof"])
            if len(below):
                total = below["error"] + below["half_width"]
                reached, name = float(total.min()), str(below.loc[total.idxmin(), "name"])
            impossible, possible = floor > threshold, reached <= threshold
            if impossible and possible:
                raise RuntimeError(
                    f"Contradiction at width {width} in {norm}: {proof} puts every error above {floor:.6g}, but {name} "
                    f"was measured at {reached:.6g}."
                )
            word = WORDS[0] if impossible else WORDS[1] if possible else WORDS[2]
            rows.append(dict(zip(COLUMNS, (norm, width, word, threshold, floor, proof, reached, name), strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
