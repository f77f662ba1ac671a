r"""What a check of a theorem is: a bound, a measurement, and by how much the inequality holds.

A ceiling holds if the measured error, less the half-width of the measurement, is at most the bound; a floor holds if
the error of every network it was tried on, plus the half-width, is at least the bound; an identity holds if the two
numbers agree to the rounding it states. The margin is what is left before it would fail.
"""

import dataclasses
import math

import numpy as np

from expressivity.certificates.base import Certificate
from expressivity.constructions.base import Construction
from expressivity.norms import error
from expressivity.relu.gadgets import random_network
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target
from expressivity.theorems import Theorem


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the table of `python -m expressivity`.

    Args:
        theorem: What was checked: the number in the paper or the name given here, and the instance.
        paper: The BibTeX key.
        width, hidden_layers: Of the network, or of the widest network that a floor was tried on.
        bound: The proved number.
        measured: The measured one.
        margin: By how much the inequality holds; negative if it fails.
        page: The page of the documentation.

    >>> row = Check("Theorem 1", "lu2017", 6, 100, bound=0.2, measured=0.1, margin=0.1, page="papers/lu2017")
    >>> row.holds
    True
    """

    theorem: str
    paper: str
    width: int
    hidden_layers: int
    bound: float
    measured: float
    margin: float
    page: str

    @property
    def holds(self) -> bool:
        """Whether the inequality holds: the margin is a number of at least 0."""
        return bool(self.margin >= 0)


def row(theorem: Theorem, what: str, net: ReLUNetwork, bound: float, measured: float, margin: float) -> Check:
    """The row of a theorem and an instance."""
    name = theorem.number + (f": {what}" if what else "")
    numbers = float(bound), float(measured), float(margin)
    return Check(name, theorem.key, net.width, net.hidden_layers, *numbers, page=theorem.page)


def ceiling(construction: Construction, what: str) -> Check:
    """Error at most the bound, in the norm of the construction."""
    found = error(construction, construction.target, construction.norm)
    margin = construction.error_bound - (found.value - found.half_width)
    if construction.network.width > construction.width_bound:
        margin = -math.inf
    return row(construction.theorem, what, construction.network, construction.error_bound, found.value, margin)


def floor(certificate: Certificate, target: Target, networks: list[ReLUNetwork], what: str) -> Check:
    """The least error of the networks, all of the class, is at least the bound."""
    found = [error(network, target, certificate.norm) for network in networks]
    number = min(range(len(found)), key=lambda i: found[i].value)
    margin = min(estimate.value + estimate.half_width - certificate.value for estimate in found)
    if not all(
        certificate.against.covers(network.hidden_widths) for network in networks if not certificate.against.this
    ):
        margin = -math.inf
    return row(certificate.theorem, what, networks[number], certificate.value, found[number].value, margin)


def identity(theorem: Theorem, what: str, network: ReLUNetwork, difference: float, rounding: float) -> Check:
    """Two sides that are equal in exact arithmetic differ by at most the rounding."""
    return row(theorem, what, network, rounding, difference, rounding - difference)


def fitted(target: Target, hidden: tuple[int, ...], count: int) -> list[ReLUNetwork]:
    """Random networks whose last layer is fitted to the target by least squares, and the best constant."""
    points, weights = target.measure.quadrature(40)
    values, root = target.values(points), np.sqrt(weights)
    found = []
    for seed in range(count):
        *layers, _ = random_network(target.dim, hidden, seed).layers
        features = points
        for weight, bias in layers:
            features = np.maximum(features @ weight.T + bias, 0.0)
        design = np.column_stack([features, np.ones(len(points))])
        solution, *_ = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)
        found.append(ReLUNetwork.from_layers([*layers, (solution[None, :-1], solution[-1:])]))
    return found
