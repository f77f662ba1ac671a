"""The rotation certificate: a covering of the directions and a Lipschitz constant make a grid minimum rigorous."""

import functools
import math

import numpy as np

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.constant_directions import spread_of_constant
from expressivity.certificates.fibres import fibres, oscillation, spread, values_on
from expressivity.measures import Ball
from expressivity.norms import checked_norm
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "rotations")
_ORDERS = {2: (32, 24), 3: (10, 8)}
_DIRECTIONS = {2: 720, 3: 4000}


@functools.lru_cache(maxsize=128)
def rotation(target: Target, norm: str = "L2", directions: int | None = None) -> Certificate:
    r"""A lower bound for every network whose first hidden layer has at most n - 1 units, on a ball, n = 2 or 3.

    With $d(v)$ the distance of f to the functions constant along v,
    $|d(v) - d(v')| \le \mathrm{Lip}(f)\,\angle(v, v')\,\|\,|x|\,\|$: a rotation that takes v to v' moves x by at most
    $\angle(v, v')\,|x|$ and keeps the ball. The value is the least d on a grid of directions that covers the half
    sphere within an angle $\delta$, less $\mathrm{Lip}(f)\,\delta\,\|\,|x|\,\|$. No search is involved.

    Args:
        target: On a `Ball` of dimension 2 or 3, with a Lipschitz constant.
        norm: "L1", "L2" or "sup".
        directions: About how many directions; 720 for n = 2 and 4,000 for n = 3 by default.

    Raises:
        TypeError: If the number of directions is not whole.
        ValueError: If the target has no Lipschitz constant, is on another domain, or the norm is unknown.

    >>> import expressivity as ex
    >>> value = rotation(ex.targets.norm_squared(ex.Ball(2)), "L1").value
    >>> 0.18 < value < 0.1875
    True
    """
    checked_norm(norm)
    domain = target.measure
    if not isinstance(domain, Ball) or domain.dim not in _DIRECTIONS:
        raise ValueError(f"The rotation certificate is for balls of dimension 2 and 3; got {domain.name}.")
    if target.lipschitz is None:
        raise ValueError(f"The rotation certificate needs a Lipschitz constant; target {target.name!r} has none.")
    count = _DIRECTIONS[domain.dim] if directions is None else directions
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"A number of directions is whole, not {count!r}.")
    if count < 4:
        raise ValueError(f"The rotation certificate needs at least 4 directions; got {count}.")
    vectors, angle = covering(domain.dim, count)
    n, radius = domain.dim, domain.radius
    if norm == "sup":
        # the centre and rings of base points: sampled oscillations are never above the true ones
        bases = np.concatenate([np.zeros((1, n)), domain.boundary(8) * 0.5])
        least = min(0.5 * oscillation(target, domain, v[:, None], bases, 17) for v in vectors)
        margin, moved = 0.0, radius
    else:
        found = [_distances(target, domain, vectors, order, norm) for order in _ORDERS[n]]
        rounding = 1e-12 * spread_of_constant(target, domain, norm)
        squares_apart = 2 * float(np.abs(found[0] - found[1]).max()) + rounding
        least = max(0.0, float(found[0].min()) - squares_apart)
        least = math.sqrt(least) if norm == "L2" else least
        margin = squares_apart
        moved = radius * (n / (n + 1) if norm == "L1" else math.sqrt(n / (n + 2)))
    off = target.lipschitz * angle * moved
    notes = (
        f"{len(vectors)} directions cover the half sphere within {angle:.4g}; {off:.4g} is taken off for those between",
        f"a margin of {margin:.3g} for quadrature along chords is taken off {'the square' if norm == 'L2' else 'each'}",
    )
    return Certificate(max(0.0, least - off), norm, NetworkClass(first_width=n - 1), _THEOREM, notes)


def covering(dim: int, count: int) -> tuple[np.ndarray, float]:
    r"""About `count` unit vectors of $\mathbb R^2$ or $\mathbb R^3$, and an angle within which they cover all lines.

    In polar coordinates the metric $d\theta^2 + \sin^2\theta\,d\varphi^2$ is at most the Euclidean one, so half the
    diagonal of a cell bounds the angle.

    >>> vectors, angle = covering(2, 90)
    >>> len(vectors), round(math.degrees(angle), 9)
    (90, 1.0)
    """
    if dim == 2:
        angles = math.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], 1), math.pi / (2 * count)
    rows = max(2, round(math.sqrt(count / 4)))
    columns = 4 * rows
    polar = (np.arange(rows) + 0.5) * (math.pi / 2) / rows
    azimuth = (np.arange(columns) + 0.5) * 2 * math.pi / columns
    theta, phi = (g.reshape(-1) for g in np.meshgrid(polar, azimuth, indexing="ij"))
    vectors = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    return vectors, 0.5 * math.hypot(math.pi / 2 / rows, 2 * math.pi / columns)


def _distances(target: Target, domain: Ball, vectors: np.ndarray, order: int, norm: str) -> np.ndarray:
    found = []
    for start in range(0, len(vectors), 64):
        rules = [fibres(domain, v[:, None], order, equal=norm == "L1") for v in vectors[start : start + 64]]
        values = values_on(target, np.stack([rule.points for rule in rules]))
        found += [spread(v, rule, norm) for v, rule in zip(values, rules, strict=True)]
    return np.array(found)
