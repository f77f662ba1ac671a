"""The moment certificate: one eigenvalue bounds the distance to functions constant along any direction."""

import math
from typing import Any

import numpy as np

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.fibres import domain_of
from expressivity.measures import AbstractDomain, Ball
from expressivity.norms import checked_norm
from expressivity.target import Target
from expressivity.theorems import find

_THEOREM = find("expressivity", "moment certificate")
_ORDERS = {1: (200, 120), 2: (48, 32), 3: (20, 14), 4: (12, 8)}


def moment(target: Target, centers: Any, radius: float, norm: str = "L2") -> Certificate:
    r"""A lower bound for every network whose first hidden layer has at most n - 1 units, for all directions at once.

    With disjoint balls $B(c_j, r)$ in the domain, $\varphi_j = 1 - |x - c_j|^2/r^2$ on them and
    $M_j = -\int f\,\nabla\varphi_j\,dx$ (the integral of $\varphi_j \nabla f$ where f has a gradient), let
    $\lambda$ be the least eigenvalue of $\sum_j M_j M_j^T$. A function that is constant along a unit vector v is
    orthogonal to $\partial_v\varphi_j$, hence on a domain of volume V, with $\omega$ the volume of the unit ball,

    - L2: $\|f - F\|_2^2 \ge \lambda (n + 2) / (4\,\omega\,r^{n-2}\,V)$,
    - L1: $\|f - F\|_1 \ge \tfrac r2 \sqrt\lambda / V$,
    - sup: $\|f - F\|_{\sup} \ge \sqrt{\lambda/k}\,/ \int|\partial_v\varphi|$ for k balls.

    The value is the root of the first, or the second or third. No search over directions is involved; the integrals
    over balls are Gauss rules, exact for polynomials.

    Args:
        target: On a `Box` or a `Ball`; it need not be continuous.
        centers: The $c_j$, shape (k, n).
        radius: r.
        norm: "L1", "L2" or "sup".

    Raises:
        ValueError: If the shape is wrong, the radius not positive, two balls overlap, a ball leaves the domain, or
            norm or measure are not covered.

    >>> import expressivity as ex
    >>> centers = [[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]]
    >>> certificate = ex.certificates.moment(ex.targets.norm_squared(ex.Box(2)), centers, 0.5)
    >>> round(certificate.value**2 * 64 / math.pi, 10)
    1.0
    """
    checked_norm(norm)
    domain = domain_of(target.measure, "The moment certificate")
    centers = _checked_balls(domain, centers, radius)
    n, r = target.dim, float(radius)
    against = NetworkClass(first_width=n - 1)
    orders = _ORDERS.get(n, (6, 4))
    fine, coarse = (_moments(target, centers, r, order) for order in orders)
    least = float(np.linalg.eigvalsh(fine.T @ fine)[0])
    change = 2 * float(np.linalg.norm(fine - coarse)) + 1e-15 * float(np.linalg.norm(fine))
    # singular values move by no more than the norm of a perturbation
    root = max(0.0, math.sqrt(max(0.0, least)) - change)
    volume, unit = domain.volume, Ball(n).volume
    if norm == "L2":
        value = root * math.sqrt((n + 2) / (4 * unit * r ** (n - 2) * volume))
    elif norm == "L1":
        value = r / 2 * root / volume
    else:
        mean = math.exp(math.lgamma(n / 2 + 1) - math.lgamma((n + 3) / 2)) / math.sqrt(math.pi)
        value = root / math.sqrt(len(centers)) / (2 * unit * r ** (n - 1) * mean)
    note = (
        f"{len(centers)} balls of radius {r:g}; moments by Gauss rules of order {orders[0]}, a margin of {change:.3g} "
        f"(twice the change from order {orders[1]}) is taken off the root of the eigenvalue"
    )
    return Certificate(value, norm, against, _THEOREM, (note,))


def _checked_balls(domain: AbstractDomain, centers: Any, radius: float) -> np.ndarray:
    centers = np.asarray(centers, dtype=np.float64)
    if centers.ndim != 2 or centers.shape[1] != domain.dim or not len(centers):
        raise ValueError(f"Centres of k balls have shape (k, {domain.dim}); got {centers.shape}.")
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"The radius of the balls is positive and finite, not {radius}.")
    room = 1e-12 * domain.diameter
    gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2) + 4 * radius * np.eye(len(centers))
    if gaps.min() < 2 * radius - room:
        raise ValueError(f"Two centres are {gaps.min():g} apart; balls of radius {radius:g} overlap there.")
    if isinstance(domain, Ball):
        reach = float((np.linalg.norm(centers, axis=1) + radius).max())
        if reach > domain.radius + room:
            raise ValueError(f"A ball reaches to {reach:g} from the centre of {domain.name}; it has to lie inside.")
    else:
        low, high = domain.box
        if np.any(centers - radius < low - room) or np.any(centers + radius > high + room):
            raise ValueError(f"A ball of radius {radius:g} leaves {domain.name}; all have to lie inside.")
    return centers


def _moments(target: Target, centers: np.ndarray, radius: float, order: int) -> np.ndarray:
    points, weights = Ball(target.dim, radius).quadrature(order)
    everywhere = (centers[:, None] + points[None]).reshape(-1, target.dim)
    values = target.values(everywhere).reshape(len(centers), -1)
    return (values * weights) @ (2 * points / radius**2) * Ball(target.dim, radius).volume


def ball_packing(domain: AbstractDomain, count: int) -> tuple[np.ndarray, float]:
    """Centres and radius of `count`^n balls on a grid in the domain's largest inscribed cube.

    >>> import expressivity as ex
    >>> ball_packing(ex.Box(2), 2)[1]
    0.5
    """
    low, high = domain.box
    half = (high - low) / 2
    if isinstance(domain, Ball):
        half = half / math.sqrt(domain.dim)
    axis = (2 * np.arange(count) + 1) / count - 1
    grid = np.stack(np.meshgrid(*[axis] * domain.dim, indexing="ij"), -1).reshape(-1, domain.dim)
    return domain.center + half * grid, float(half[0]) / count
