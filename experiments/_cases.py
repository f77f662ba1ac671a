"""The targets of the main experiment, and the networks that theorems construct for them."""

from typing import Any, NamedTuple

import numpy as np

import expressivity as ex
from expressivity import theorems
from expressivity.constructions import hanin_sellke2017, kim2024, lu2017

PIECES = 8


def target(name: str, n: int) -> ex.Target:
    """The target of that name in n dimensions.

    Raises:
        ValueError: If there is none of that name, or not in so few dimensions.
    """
    ball, cube = ex.Ball(n), ex.Box(n)
    makers = {
        "norm_squared": lambda: ex.targets.norm_squared(ball),
        "norm_squared_cube": lambda: ex.targets.norm_squared(cube),
        "product": lambda: ex.targets.product(cube),
        "cosine_norm": lambda: ex.targets.cosine_norm(ball),
        "ball_indicator": lambda: ex.targets.ball_indicator(ball),
        "random_network": lambda: ex.targets.random_network(cube, k=3),
        "ridge": lambda: ex.targets.ridge(cube),
        "parabola_ridge": lambda: ex.targets.parabola_ridge(cube),
        "max_affine": lambda: ex.targets.max_affine(ball, *planes(n)),
    }
    if name not in makers:
        raise ValueError(f"There is no target {name!r}; choose from {', '.join(makers)}.")
    return makers[name]()


_TITLES = {
    "norm_squared": "$|x|^2$",
    "product": "$x_1 x_2$",
    "cosine_norm": r"$\cos\,2\pi|x|$",
    "ball_indicator": "ball indicator",
    "ridge": r"$2\,w\cdot x$ cut at $\pm 1$",
    "parabola_ridge": "$x_1 + x_2^2$",
    "max_affine": f"max of {PIECES} affine functions",
}


def title(target: ex.Target) -> str:
    """The target as a figure names it."""
    name = "random network" if target.name.startswith("random_network") else _TITLES.get(target.name, target.name)
    n, ball = target.dim, isinstance(target.measure, ex.Ball)
    where = ("unit disc" if n == 2 else f"unit ball, $n = {n}$") if ball else f"$[-1, 1]^{n}$"
    return f"{name} on the {where}" if ball else f"{name} on {where}"


def planes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and offsets of the target "max_affine": tangent planes of |x|^2 at random points of the unit ball."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((PIECES, n))
    points *= rng.uniform(0.2, 0.9, (PIECES, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    return 2 * points, -(points**2).sum(1)


class Built(NamedTuple):
    """A construction, and how much of the measure lies on ramps too thin for a quadrature rule to see."""

    name: str
    construction: ex.Construction
    unseen: float = 0.0


def constructions(target: ex.Target, most_layers: int) -> list[Built]:
    """What theorems build for the target; the finer the more hidden layers are allowed.

    A construction whose hypotheses the target lacks is left out.
    """
    n, found = target.dim, []
    measure: Any = target.measure
    if target.network is not None and target.network.width <= 4 * n:
        theorem = theorems.find("expressivity", "targets that are networks")
        found.append(Built("the target itself", ex.Construction(target.network, target, theorem, 0.0, "sup", 4 * n)))
    if target.quadratic is not None and np.linalg.eigvalsh(target.quadratic.matrix).min() > 0:
        found.append(Built("tangent planes", tangent_planes(target, min(most_layers, 64) + 1)))
    if target.name == "max_affine":
        slopes, offsets = planes(n)
        network = hanin_sellke2017.max_affine(slopes, offsets, half_width=1.0)
        theorem = theorems.find("expressivity", "string of maxima and minima")
        found.append(Built("max string", ex.Construction(network, target, theorem, 0.0, "sup", n + 1)))
    if n >= 2:
        levels = max(m for m in range(2, 65) if m == 2 or 2 * sum(m**s - 1 for s in range(1, n + 1)) <= most_layers)
        ramp = 2.0**-20 if levels ** (n - 1) < 100 else 2.0**-17  # dyadic, so that rounding stays small
        share = n * (levels - 1) * ramp * float(np.prod(measure.box[1] - measure.box[0])) / measure.volume
        found += _attempt("coding", share, kim2024.coding_network, target, levels=levels, ramp=ramp)
    meshes = [d for d in (0.05, 0.1, 0.2, 0.3, 0.4) if n == 2 and 2 * 5.93 * d**-3 <= 6 * most_layers]
    found += _attempt("cap string", 0.0, hanin_sellke2017.cap_string, target, mesh=[*meshes, 0.5][0])
    cells = max(m for m in range(2, 65) if m == 2 or 2 * n * m**n + 1 <= 2 * most_layers)
    found += _attempt("step", 0.0, lu2017.approximate, target, cells=cells)
    return found


def _attempt(name: str, unseen: float, build: Any, *args: Any, **kwargs: Any) -> list[Built]:
    try:
        return [Built(name, build(*args, **kwargs), unseen)]
    except ValueError:
        return []


def tangent_planes(target: ex.Target, count: int) -> ex.Construction:
    r"""The maximum of `count` tangent planes of a convex quadratic target, lifted by half its largest error.

    With $f(x) = x^T A x + b \cdot x + c$ the tangent plane at p is $f(x) - |A^{1/2}(x - p)|^2$, so the maximum over
    points $p_i$ is below f by $\min_i |A^{1/2}(x - p_i)|^2 \le \rho^2$, and half of $\rho^2$ is the error in the sup
    norm. $\rho$ is bounded from a grid: the distance changes by at most $\|A\|^{1/2}$ times the distance of points.
    """
    assert target.quadratic is not None
    matrix, slope, offset = target.quadratic.matrix, target.quadratic.slope, target.quadratic.offset
    measure: Any = target.measure
    n = target.dim
    root = np.linalg.cholesky(matrix).T
    sample, weights = measure.quadrature({1: 400, 2: 40, 3: 16, 4: 9}[n])
    points = _centres(sample @ root.T, weights, count) @ np.linalg.inv(root).T

    per_axis = {1: 4000, 2: 400, 3: 60, 4: 24}[n]
    low, high = measure.box
    side = (high - low) / per_axis
    middles = np.stack(np.meshgrid(*[(np.arange(per_axis) + 0.5) / per_axis] * n, indexing="ij"), -1).reshape(-1, n)
    middles = low + (high - low) * middles
    near = middles[np.linalg.norm(measure.project(middles) - middles, axis=1) <= np.linalg.norm(side) / 2 + 1e-12]
    distance = _distances(near @ root.T, points @ root.T).min(1)
    radius = distance.max() + np.linalg.norm(root, 2) * np.linalg.norm(side) / 2
    slopes = 2 * points @ matrix + slope
    offsets = offset - np.einsum("pi,ij,pj->p", points, matrix, points)
    network = hanin_sellke2017.max_affine(slopes, offsets + radius**2 / 2, half_width=float(np.abs(high).max()))
    theorem = theorems.find("expressivity", "string of maxima and minima")
    return ex.Construction(network, target, theorem, float(radius**2 / 2) * (1 + 1e-9), "sup", n + 1)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum((x**2).sum(1)[:, None] - 2 * x @ y.T + (y**2).sum(1), 0.0))


def _centres(points: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Lloyd's algorithm for the mean fourth power of the distance, from points farthest from each other."""
    chosen = [points[np.argmin((points**2).sum(1))]]
    while len(chosen) < count:
        chosen.append(points[_distances(points, np.array(chosen)).min(1).argmax()])
    centres = np.array(chosen)
    for _ in range(60):
        distance = _distances(points, centres)
        owner = distance.argmin(1)
        pull = weights * distance.min(1) ** 2 + 1e-300
        total = np.bincount(owner, pull, count)
        moved = np.stack([np.bincount(owner, pull * points[:, i], count) for i in range(points.shape[1])], 1)
        centres = np.where(total[:, None] > 0, moved / np.maximum(total, 1e-300)[:, None], centres)
    return centres
