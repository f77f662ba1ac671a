"""The audit: every trained network against every certificate that speaks about it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from expressivity import certificates
from expressivity.certificates.base import Certificate
from expressivity.norms import default_rule, error
from expressivity.relu.evaluate import evaluate
from expressivity.relu.network import ReLUNetwork
from expressivity.sweeps.result import SweepResult
from expressivity.target import Target

COLUMNS = (
    "family",
    "task",
    "width",
    "hidden_layers",
    "seed",
    "origin",
    "steps",
    "norm",
    "error",
    "half_width",
    "floor",
    "margin",
    "holds",
    "scope",
    "theorem",
)
_SAME = ("family", "task", "width", "hidden_layers", "seed", "origin", "steps", "norm")


@dataclasses.dataclass(frozen=True)
class Floors:
    """The universal floors of one target, each found once.

    `floors(width, hidden_layers, norm)` is the best that applies.

    Args:
        target: The target.
        find: What finds one; by default `certificates.floor`.
    """

    target: Target
    find: Callable[..., Certificate] = dataclasses.field(default=lambda *given: certificates.floor(*given))
    _found: dict[Any, Certificate] = dataclasses.field(default_factory=dict, repr=False)

    def __call__(self, width: int, hidden_layers: int | None, norm: str) -> Certificate:
        key = (width, hidden_layers, norm)
        if key not in self._found:
            self._found[key] = self.find(self.target, width, hidden_layers, norm)
        return self._found[key]


def audit(result: SweepResult, target: Target, floors: Floors | None = None) -> Any:
    """A DataFrame with the highest floor for each finite network and norm, and whether the network respects it.

    Universal floors hold for every network of the width and depth. The kernel certificate reads the first layer of the
    network at hand, the path certificate (sup norm, width at most n) all of its layers. `margin` is
    error + half_width - floor; `holds` says that it is not negative. Before a violation in the sup norm is recorded,
    the error is measured again by a search, since a maximum over points is below the supremum.

    Args:
        result: A sweep on the target.
        target: The target.
        floors: The universal floors, where they were found before.
    """
    import pandas as pd

    floors = floors or Floors(target)
    rows = []
    table = result.table[result.table["status"] == "ok"]
    for row in table.to_dict("records"):
        depth = None if pd.isna(row["hidden_layers"]) else int(row["hidden_layers"])
        network = result.networks[row["family"], row["width"], depth, row["seed"]]
        best = floors(row["width"], depth, row["norm"])
        scope = "every network of this width"
        for certificate in own_certificates(network, target, row["norm"]):
            if certificate.value > best.value:
                best, scope = certificate, "this network"
        value, half_width = row["error"], row["half_width"]
        if row["norm"] == "sup" and value + half_width < best.value:
            value = max(value, float(error(network, target, "sup")))
        margin = value + half_width - best.value
        rows.append(
            {k: row[k] for k in _SAME}
            | {"error": value, "half_width": half_width, "floor": best.value, "margin": margin}
            | {"holds": bool(margin >= 0), "scope": scope, "theorem": str(best.theorem)}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def own_certificates(network: ReLUNetwork, target: Target, norm: str) -> Iterator[Certificate]:
    """The certificates that this network's own weights give in one norm, if its shape allows any."""
    first, _ = next(network.layers)
    if network.hidden_layers and np.linalg.matrix_rank(np.asarray(first, np.float64), rtol=1e-10) < target.dim:
        yield certificates.kernel(network, target, norm)
    if norm == "sup" and target.dim >= 2 and 0 < network.width <= target.dim:
        for start in path_starts(target):
            yield certificates.path(network, target, start)


def path_starts(target: Target) -> np.ndarray:
    """The centre of the domain, and the points of its quadrature where the target is largest and least."""
    rule = default_rule(target)
    fine = rule.values[: rule.bounds[0]]
    points = rule.points[[int(fine.argmax()), int(fine.argmin())]]
    center = getattr(target.measure, "center", None)
    return points if center is None else np.concatenate([center[None], points])


def error_on_path(network: ReLUNetwork, target: Target, points: np.ndarray) -> float:
    """The largest error at the corners of a path: what a path certificate predicts to be at least its value."""
    return float(np.abs(evaluate(network, points)[:, 0] - target.values(points)).max())
