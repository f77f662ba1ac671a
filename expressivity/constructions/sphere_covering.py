"""Finite sets of unit vectors with a proved covering angle."""

import math

import numpy as np

from expressivity.measures import Points


def circle_count(angle: float) -> int:
    """Equispaced unit vectors that cover the circle with covering angle `angle`: the least m with pi / m <= angle."""
    return max(1, math.ceil(math.pi / angle))


def covering(dim: int, angle: float) -> Points:
    r"""Unit vectors of R^dim such that every unit vector is within `angle` of one of them.

    In the plane they are equispaced. From dimension three on the sphere is cut into K bands of the polar angle
    $\varphi$ with centres $\varphi_j$ and half-height $\alpha = \pi / (2K) < \mathrm{angle}$, and band j gets a
    covering of the sphere of one dimension less with angle $\beta_j$. A point of the band with polar angle $\varphi$
    has distance d to the nearest vector with
    $$\cos d \ge \cos\varphi \cos\varphi_j + \sin\varphi \sin\varphi_j \cos\beta_j.$$
    As a function of $\varphi$ the right side is a sinusoid of period $2\pi$; if it is at least cos(angle) > 0 at both
    ends of an interval shorter than $\pi$, it is positive there, hence concave, hence at least cos(angle) throughout.
    So $\beta_j$ may be anything with $1 - \cos\beta_j \le (\cos\alpha - \cos\mathrm{angle}) / (\sin\varphi_j
    \max(\sin(\varphi_j + \alpha), \sin(\varphi_j - \alpha)))$; K is chosen to need few vectors.

    Args:
        dim: Dimension, at least 1.
        angle: Between 0 and pi / 2, both excluded.

    Raises:
        ValueError: If an argument is out of its range.

    >>> covering(2, 0.5).shape, covering(3, 0.5).shape
    ((7, 2), (32, 3))
    """
    if dim < 1 or not 0 < angle < math.pi / 2:
        raise ValueError(f"A covering of the sphere has dim >= 1 and an angle in (0, pi/2); got {dim} and {angle}.")
    return _covering(dim, angle)


def covering_count(dim: int, angle: float) -> int:
    """The number of vectors of `covering(dim, angle)`, without making them.

    >>> covering_count(3, 0.5)
    32
    """
    if dim == 1:
        return 2 if angle < math.pi else 1
    if dim == 2:
        return circle_count(angle)
    return 1 if angle >= math.pi else sum(covering_count(dim - 1, beta) for _, beta in _bands(dim, angle))


def _covering(dim: int, angle: float) -> Points:
    # an angle of pi or more is covered by one vector; the recursion asks for such
    if dim == 1:
        return np.array([[1.0], [-1.0]]) if angle < math.pi else np.ones((1, 1))
    if dim == 2:
        count = circle_count(angle)
        angles = 2 * np.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    if angle >= math.pi:
        return np.eye(dim)[:1]
    parts = []
    for polar, beta in _bands(dim, angle):
        ring = _covering(dim - 1, beta)
        parts.append(np.concatenate([math.sin(polar) * ring, np.full((len(ring), 1), math.cos(polar))], 1))
    return np.concatenate(parts)


def _bands(dim: int, angle: float) -> list[tuple[float, float]]:
    """Polar angle and beta of every band."""
    # beyond a right angle the argument above needs another form; a finer covering is one as well
    angle = min(angle, math.pi / 2 - 1e-6)
    least = math.floor(math.pi / (2 * angle)) + 1
    best: tuple[float, list[tuple[float, float]]] | None = None
    for count in sorted({least, *(math.ceil(math.pi / (2 * angle * part)) for part in (0.55, 0.65, 0.71, 0.78, 0.87))}):
        alpha = math.pi / (2 * count)
        if alpha >= angle:
            continue
        bands = []
        for j in range(count):
            polar = (2 * j + 1) * alpha
            sine = math.sin(polar) * max(math.sin(polar + alpha), math.sin(polar - alpha))
            allowed = (math.cos(alpha) - math.cos(angle)) / sine * (1 - 1e-12)
            bands.append((polar, math.acos(1 - allowed) if allowed < 2 else math.pi))
        cost = sum(math.ceil(math.pi / beta) ** (dim - 2) for _, beta in bands)
        if best is None or cost < best[0]:
            best = (cost, bands)
    assert best is not None
    return best[1]
