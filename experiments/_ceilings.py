"""Random instances of the constructions, with what is proved of them at every point."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import expressivity as ex
from expressivity.constructions import (
    eldan_shamir2016,
    hanin_sellke2017,
    kidger_lyons2020,
    kim2024,
    lu2017,
    park2021,
    safran_shamir2017,
    vardi2022,
    yarotsky2017,
)
from expressivity.relu.gadgets import random_network

Points = np.ndarray
EDGE = 1e-12  # of a cell
ROUNDING = 1e-9  # of equalities, relative to the size of the values involved


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One network, and between which values it must lie at each point.

    Args:
        network: The network.
        what: What is proved, in words.
        limits: Maps points to the lower and upper end of the proved interval, and the rounding allowance.
        sample: Draws random points.
        special: Draws points on and beside ramps, kinks and corners.
        clip: Moves points back to where the statement holds.
    """

    network: ex.ReLUNetwork
    what: str
    limits: Callable[[Points], tuple[np.ndarray, np.ndarray, float]]
    sample: Callable[[np.random.Generator, int], Points]
    special: Callable[[np.random.Generator, int], Points]
    clip: Callable[[Points], Points]

    def reached(self, x: Points) -> tuple[np.ndarray, np.ndarray]:
        """The distance of F from the middle of the interval, over half its length with rounding; and its sign."""
        low, high, allowance = self.limits(x)
        gap = ex.evaluate(self.network, x)[:, 0] - (low + high) / 2
        return np.abs(gap) / ((high - low) / 2 + allowance), np.where(gap >= 0, 1.0, -1.0)


def ascend(case: Case, points: Points, steps: int) -> Points:
    """Points after gradient ascent on what is reached, by steps that grow where they help and shrink where not.

    The gradient is that of F, exact on each of its pieces; the limits, which may jump, are only evaluated.
    """
    import jax

    net = case.network
    with jax.enable_x64(True):
        slope = jax.jit(jax.vmap(jax.grad(lambda x: net(x)[0])))
    value, sign = case.reached(points)
    length = np.full(len(points), 0.1 * float(np.ptp(points, axis=0).max() + 1e-3))
    for _ in range(steps):
        with jax.enable_x64(True):
            gradient = np.asarray(slope(points)) * sign[:, None]
        size = np.linalg.norm(gradient, axis=1, keepdims=True)
        trial = case.clip(points + length[:, None] * gradient / np.where(size > 0, size, 1.0))
        reached, side = case.reached(trial)
        better = reached > value
        points = np.where(better[:, None], trial, points)
        value, sign = np.where(better, reached, value), np.where(better, side, sign)
        length = np.where(better, 1.2 * length, 0.5 * length)
    return points


def _box(n: int, radius: float = 1.0) -> tuple[Any, Any]:
    return lambda rng, k: rng.uniform(-radius, radius, (k, n)), lambda x: np.clip(x, -radius, radius)


def _beside(rng: np.random.Generator, base: Points, places: np.ndarray, scale: float) -> Points:
    """Points of which some coordinates are moved to `places`, exactly or up to distances from 1e-12 to `scale`."""
    k, n = base.shape
    moved = rng.choice(places, (k, n)) + rng.choice([-1.0, 0.0, 1.0], (k, n)) * scale * 10 ** rng.uniform(-6, 0, (k, n))
    return np.where(rng.random((k, n)) < 0.6, moved, base)


def _near(value: Callable[[Points], np.ndarray], bound: float, rounding: float) -> Any:
    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        f = value(x)
        return f - bound, f + bound, rounding

    return limits


def _target(rng: np.random.Generator, measure: Any) -> ex.Target:
    return [ex.targets.norm_squared, ex.targets.product, ex.targets.parabola_ridge, ex.targets.cosine_norm][
        rng.integers(4)
    ](measure)


def cap_string(rng: np.random.Generator) -> Case:
    target = _target(rng, ex.Ball(2) if rng.random() < 0.5 else ex.Box(2))
    made = hanin_sellke2017.cap_string(target, mesh=float(rng.uniform(0.25, 0.5)))
    domain: Any = target.measure
    slopes, _, _ = hanin_sellke2017.cap_pieces(target, mesh=float(made.error_bound / (2 * target.lipschitz)))  # type: ignore[operator]
    ways = slopes[1:] / np.linalg.norm(slopes[1:], axis=1, keepdims=True)

    def special(rng: np.random.Generator, k: int) -> Points:
        return domain.project(rng.choice(ways, k) * rng.uniform(0.0, 1.5, (k, 1)))

    box, _ = _box(2)
    return Case(
        made.network,
        "within 2 L mesh of the target",
        _near(target.values, made.error_bound, 1e-9),
        lambda rng, k: domain.project(box(rng, k)),
        special,
        domain.project,
    )


def maximum(rng: np.random.Generator) -> Case:
    n, count = int(rng.integers(1, 5)), int(rng.integers(2, 30))
    a, b = rng.standard_normal((count, n)), rng.standard_normal(count)
    c, d = rng.standard_normal((count, n)), rng.standard_normal(count)
    net = hanin_sellke2017.max_affine_difference(a, b, c, d, half_width=1.0)

    def value(x: Points) -> np.ndarray:
        return (x @ a.T + b).max(1) - (x @ c.T + d).max(1)

    return _equal(net, "equals the difference of two maxima on the cube", value, n)


def _equal(net: Any, what: str, value: Any, n: int, radius: float = 1.0, places: Any = (-1.0, 0.0, 1.0)) -> Case:
    """Equality up to rounding on a cube, as an interval of the width of the rounding."""
    sample, clip = _box(n, radius)
    size = float(np.abs(value(sample(np.random.default_rng(0), 500))).max()) + 1.0
    room = ROUNDING * size
    special = lambda rng, k: _beside(rng, sample(rng, k), radius * np.array(places), 1e-3 * radius)  # noqa: E731
    return Case(net, what, _near(value, room, 0.0), sample, special, clip)


def compiled(rng: np.random.Generator) -> Case:
    n = int(rng.integers(1, 5))
    widths = tuple(int(w) for w in rng.integers(2, 16, rng.integers(1, 3)))
    wide = random_network(n, widths, int(rng.integers(1 << 30)))
    everywhere = bool(rng.random() < 0.5)
    inner = int(rng.integers(1, widths[0] + 1))
    thin = vardi2022.narrow(wide, half_width=None if everywhere else 1.0, inner=inner)
    value = lambda x: ex.evaluate(wide, x)[:, 0]  # noqa: E731
    return _equal(thin, "equals the wide network", value, n, 1000.0 if everywhere else 1.0)


def cut_off(rng: np.random.Generator) -> Case:
    n = int(rng.integers(1, 4))
    wide, ramp = (
        random_network(n, (int(rng.integers(2, 20)),), int(rng.integers(1 << 30))),
        float(rng.uniform(0.01, 0.5)),
    )
    low, high = float(-rng.uniform(0, 3)), float(rng.uniform(0, 3))
    net = kidger_lyons2020.cut_off(wide, half_width=1.0, ramp=ramp, floor=low, ceiling=high)

    def value(x: Points) -> np.ndarray:
        inside = np.clip((1 - np.abs(x)) / ramp, 0.0, 1.0).min(1)
        g = ex.evaluate(wide, np.clip(x, -1, 1))[:, 0]
        return np.minimum(np.maximum(g, low * inside), high * inside)

    return _equal(net, "equals the cut-off function", value, n, 2.0, (-0.5, 0.5, 0.5 - ramp / 2, ramp / 2 - 0.5))


def step(rng: np.random.Generator) -> Case:
    n, cells = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    axis = np.linspace(-1, 1, cells + 1)
    lower = np.stack(np.meshgrid(*[axis[:-1]] * n, indexing="ij"), -1).reshape(-1, n)
    upper, heights, ramp = lower + 2 / cells, rng.standard_normal(cells**n), float(rng.uniform(0.05, 0.5)) / cells
    make = lu2017.step_network if rng.random() < 0.5 else lu2017.single_sum_network
    net = make(lower, upper, heights, ramp=ramp, half_width=1.0, pipelined=bool(rng.random() < 0.5))

    def value(x: Points) -> np.ndarray:
        over = np.maximum(x[:, None] - upper + ramp, 0) + np.maximum(lower + ramp - x[:, None], 0)
        return np.maximum(1 - over.sum(2) / ramp, 0) @ heights

    places = np.concatenate([axis, axis - ramp, axis + ramp]) / 3
    return _equal(net, "equals the sum of pyramids", value, n, 3.0, tuple(places))


def cube_code(rng: np.random.Generator) -> Case:
    n, levels = int(rng.integers(2, 4)), int(rng.integers(2, 7))
    target, ramp = _target(rng, ex.Box(n)), float(2.0 ** -rng.integers(5, 16))
    made = kim2024.coding_network(target, levels=levels, ramp=ramp)

    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        place = (x + 1) / 2 * levels
        cell = np.clip(np.floor(place), 0, levels - 1)
        # where float64 cannot tell an end of a ramp, points count as on it
        before = (place <= cell + 1 - levels * ramp - EDGE) | (cell == levels - 1)
        off = np.all(before & ((place >= cell + EDGE) | (cell == 0)), axis=1)
        centre = target.values((cell + 0.5) / levels * 2 - 1)
        return np.where(off, centre, values.min()), np.where(off, centre, values.max()), 1e-7

    axis = (np.arange(levels) + 0.5) / levels * 2 - 1
    values = target.values(np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n))
    sample, clip = _box(n)
    walls = np.arange(levels + 1) / levels * 2 - 1
    special = lambda rng, k: clip(_beside(rng, sample(rng, k), np.append(walls, walls - 2 * ramp), 4 * ramp))  # noqa: E731
    what = "the value of the cell off ramps, between the values on them"
    return Case(made.network, what, limits, sample, special, clip)


def space_code(rng: np.random.Generator) -> Case:
    n, levels = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    target, ramp = _target(rng, ex.Box(max(n, 2))), float(2.0 ** -rng.integers(6, 16))
    n = target.dim
    made = park2021.coding_network(target, levels=levels, radius=1.0, ramp=ramp)
    axis = (np.arange(levels) + 0.5) / levels * 2 - 1
    values = target.values(np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n))
    low, high = min(0.0, values.min()), max(0.0, values.max())

    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        inside = np.all(np.abs(x) < 1, axis=1)
        return np.where(inside, low, 0.0), np.where(inside, high, 0.0), 1e-7

    walls = np.append(np.arange(levels + 1) / levels * 2 - 1, [1 - ramp, 2 * ramp - 1, 1e3, -1e6])
    _, clip = _box(n, 1e6)
    sample = lambda rng, k: rng.uniform(-1.2, 1.2, (k, n))  # noqa: E731
    special = lambda rng, k: _beside(rng, sample(rng, k), walls, 2 * ramp)  # noqa: E731
    return Case(made.network, "zero outside the cube, between the values inside", limits, sample, special, clip)


def square(rng: np.random.Generator) -> Case:
    m = int(rng.integers(1, 9))
    made = yarotsky2017.square(m)
    bound = 4.0 ** -(m + 1)

    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        f = x[:, 0] ** 2
        return f, f + bound, 1e-13

    sample = lambda rng, k: rng.random((k, 1))  # noqa: E731
    grid = np.arange(2**m + 1) / 2**m
    special = lambda rng, k: np.clip(_beside(rng, sample(rng, k), np.append(grid, grid + 0.5 / 2**m), 1e-4), 0, 1)  # noqa: E731
    return Case(
        made.network, "at most 4^-(m + 1) above the square", limits, sample, special, lambda x: np.clip(x, 0, 1)
    )


def product(rng: np.random.Generator) -> Case:
    m, big = int(rng.integers(1, 7)), float(rng.uniform(0.5, 4))
    made = yarotsky2017.product(m, big)
    bound = big**2 * 4.0**-m

    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        f = x[:, 0] * x[:, 1]
        return f - bound, f, 1e-12 * big**2

    sample, clip = _box(2, big)
    grid = big * np.arange(-(2**m), 2**m + 1) / 2**m
    special = lambda rng, k: clip(_beside(rng, sample(rng, k), np.append(grid, grid + big / 2 ** (m + 1)), 1e-4))  # noqa: E731
    return Case(made.network, "at most M^2 4^-m below the product", limits, sample, special, clip)


def radial(rng: np.random.Generator) -> Case:
    d, shells = int(rng.integers(2, 6)), int(rng.integers(2, 8))
    wave = eldan_shamir2016.profile(d, alpha=1.0, shells=shells, ramp=float(rng.uniform(0.05, 0.5)))
    made = eldan_shamir2016.three_layer_network(wave, knots=int(rng.integers(4, 60)))
    radii = np.asarray(wave.radii)

    def value(x: Points) -> np.ndarray:
        return wave((x**2).sum(1))

    def sphere(rng: np.random.Generator, k: int, r: np.ndarray) -> Points:
        x = rng.standard_normal((k, d))
        return x / np.linalg.norm(x, axis=1, keepdims=True) * r[:, None]

    top = 1.3 * float(radii[-1])
    near = lambda rng, k: rng.choice(radii, k) * (1 + rng.choice([-1, 0, 1], k) * 10 ** rng.uniform(-9, -2, k))  # noqa: E731
    return Case(
        made.network,
        "within its sup bound on all of space",
        _near(value, made.error_bound, 1e-9),
        lambda rng, k: sphere(rng, k, rng.uniform(0, top, k)),
        lambda rng, k: sphere(rng, k, near(rng, k)),
        lambda x: np.clip(x, -top, top),
    )


def indicator(rng: np.random.Generator) -> Case:
    d, knots, ramp = int(rng.integers(2, 6)), int(rng.integers(4, 60)), float(rng.uniform(0.01, 0.5))
    made = safran_shamir2017.ball_indicator(d, knots=knots, ramp=ramp)
    excess = d * (1 + ramp) / knots**2 / 4

    def limits(x: Points) -> tuple[np.ndarray, np.ndarray, float]:
        z = (x**2).sum(1)
        inside, outside = z <= 1 - excess, z >= 1 + ramp
        return np.where(inside, 1.0, 0.0), np.where(outside, 0.0, 1.0), 1e-9

    def special(rng: np.random.Generator, k: int) -> Points:
        x = rng.standard_normal((k, d))
        z = rng.choice([1.0, 1 + ramp, max(0.0, 1 - excess)], k) * (
            1 + rng.choice([-1, 0, 1], k) * 10 ** rng.uniform(-9, -2, k)
        )
        return x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(z)[:, None]

    sample, clip = _box(d, 1.5)
    return Case(made.network, "the indicator off a shell, in [0, 1] on it", limits, sample, special, clip)


FAMILIES: dict[str, Callable[[np.random.Generator], Case]] = {
    "string of caps": cap_string,
    "difference of maxima": maximum,
    "narrow compiler": compiled,
    "register model, cut off": cut_off,
    "step network": step,
    "coding network on the cube": cube_code,
    "coding network on space": space_code,
    "square": square,
    "product": product,
    "radial network": radial,
    "ball indicator": indicator,
}
