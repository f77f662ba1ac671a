"""The network of width n + 4: closed form, widths, layers, bounds that hold and bounds that are sharp."""

import itertools
import math
import re
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import lu2017
from expressivity.relu import exact

BOTH = pytest.mark.parametrize("pipelined", [False, True])
BUILDERS = pytest.mark.parametrize("build", [lu2017.step_network, lu2017.single_sum_network])


def pyramids(lower, upper, heights, ramp, points):
    """sum_j c_j phi_j by its formula."""
    total, lower, upper = np.zeros(len(points)), np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    for a, b, c in zip(lower, upper, heights, strict=True):
        cut = np.maximum(points - b + ramp, 0) + np.maximum(a + ramp - points, 0)
        total += c * np.maximum(1 - cut.sum(1) / ramp, 0)
    return total


def tent(measure):
    norm = lambda x: jnp.sqrt(jnp.sum(x**2))  # noqa: E731
    return ex.Target(lambda x: jnp.maximum(1.0 - norm(x), 0.0), measure, lipschitz=1.0, name="tent")


@BUILDERS
@BOTH
def test_one_interval_exactly(build, pipelined):
    net = build([[0.0]], [[1.0]], [2.0], ramp=0.25, half_width=2.0, pipelined=pipelined)
    assert net.width == (5 if build is lu2017.step_network else 4)
    assert net.hidden_layers == (3 if pipelined else 5)
    points = [-0.5, 0, 0.125, 0.25, 0.5, 0.875, 1, 1.5, -100, 100]
    values = [0, 0, 1, 2, 2, 1, 0, 0, 0, 0]
    assert ex.evaluate(net, np.array(points)[:, None])[:, 0].tolist() == values
    assert [exact.evaluate_exactly(net, [Fraction(p)])[0] for p in points] == values


@BUILDERS
@BOTH
def test_two_rectangles(build, pipelined):
    net = build([[0, 0], [-1, -0.5]], [[1, 1], [0, 0.5]], [1.0, -3.0], ramp=0.25, half_width=2.0, pipelined=pipelined)
    assert net.hidden_layers == (9 if pipelined else 18)
    points = [
        (0.5, 0.5),
        (0.125, 0.125),
        (0.125, 0.5),
        (0.2, 0.2),
        (-0.5, 0),
        (-0.1, -0.4),
        (0.2, 0.9),
        (5, 5),
        (-3, 0),
    ]
    points.append((-0.125, 0.375))
    values = [1, 0, 0.5, 0.6, -3, 0, 0.2, 0, 0, 0]
    np.testing.assert_allclose(ex.evaluate(net, points)[:, 0], values, rtol=0, atol=1e-14)


@BOTH
def test_a_box_in_three_dimensions(pipelined):
    net = lu2017.step_network([[0, 0, 0]], [[1, 1, 2]], [4.0], ramp=0.125, half_width=2.0, pipelined=pipelined)
    assert (net.width, net.hidden_layers) == (7, 7 if pipelined else 13)
    points = [(0.5, 0.5, 1), (0.0625, 0.5, 1), (0.1, 0.1, 1), (0.1, 0.11, 0.115), (0.95, 0.95, 1.95), (0.97, 0.5, 0.05)]
    np.testing.assert_allclose(ex.evaluate(net, points)[:, 0], [4, 2, 2.4, 2.4, 0, 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("sides", "ramp", "value"),
    [
        ([1.0], 0.25, 0.75),
        ([1.0, 1.0], 0.25, 13 / 24),
        ([1.0, 1.0], 0.05, 0.9016666666666667),
        ([1.0, 1.0, 1.0], 0.25, 0.3802083333333333),
        ([1.0, 2.0, 0.5], 0.1, 0.6736666666666667),
        ([0.5, 0.5, 0.5], 0.05, 0.0900416666666667),
        ([2.0], 0.3, 1.7),
    ],
)
def test_bump_integral(sides, ramp, value):
    assert lu2017.bump_integral(sides, ramp) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("sides", [(0.5,), (0.5, 0.75), (0.25, 0.5, 0.75)])
def test_bump_integral_is_the_integral_of_the_network(sides):
    n, ramp = len(sides), 0.125
    net = lu2017.step_network([[0.0] * n], [list(sides)], [1.0], ramp=ramp, half_width=1.0)
    # midpoint rule with k points a ramp: its error is of order 1 / k^2, so two of them are extrapolated
    sums = []
    for k in (6, 12):
        axes = [(np.arange(round(k * side / ramp)) + 0.5) * ramp / k for side in sides]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, n)
        sums.append(ex.evaluate(net, points)[:, 0].sum() * (ramp / k) ** n)
    assert lu2017.bump_integral(sides, ramp) == pytest.approx((4 * sums[1] - sums[0]) / 3, rel=2e-3)
    assert abs(lu2017.bump_integral(sides, ramp) - sums[1]) <= abs(lu2017.bump_integral(sides, ramp) - sums[0]) + 1e-15


@pytest.mark.parametrize(
    ("cells", "error", "bound"),
    [(8, 0.155819, 0.194338), (16, 0.101988, 0.122169), (32, 0.075708, 0.086084), (64, 0.062769, 0.068042)],
)
def test_tent_on_the_line(cells, error, bound):
    result = lu2017.approximate(tent(ex.Box(1)), cells=cells, ramp=2 / cells / 20)
    points = (-1 + (np.arange(10**6) + 0.5) / 500_000)[:, None]
    difference = ex.evaluate(result.network, points, chunk=50_000)[:, 0] - result.target.values(points)
    assert 2 * np.abs(difference).mean() == pytest.approx(error, abs=2e-5)
    assert 2 * result.error_bound == pytest.approx(bound, abs=1e-6)
    assert np.sqrt((difference**2).mean()) <= result.l2_bound


@pytest.mark.parametrize(
    ("cells", "boxes", "error", "bound"),
    [(8, 52, 0.254970, 0.511848), (16, 208, 0.176379, 0.307156), (32, 812, 0.139174, 0.205054)],
)
def test_tent_in_the_plane(cells, boxes, error, bound):
    result = lu2017.approximate(tent(ex.Box(2)), cells=cells, ramp=2 / cells / 20, pipelined=False)
    assert (result.network.width, result.network.hidden_layers) == (6, 9 * boxes)
    assert 4 * result.error_bound == pytest.approx(bound, abs=1e-6)
    # the midpoint grid of 2000 x 2000 points, one quadrant of it, by the closed form that the network equals
    axis = (np.arange(1000) + 0.5) / 1000
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    step = 2.0 / cells
    index = np.floor(points / step)
    centers = (index + 0.5) * step
    ramp = step / 20
    heights = np.maximum(1 - np.linalg.norm(centers, axis=1), 0)
    cut = np.maximum(points - (index + 1) * step + ramp, 0) + np.maximum(index * step + ramp - points, 0)
    values = heights * np.maximum(1 - cut.sum(1) / ramp, 0)
    measured = 4 * np.abs(values - result.target.values(points)).mean()
    assert measured == pytest.approx(error, abs=1e-4)
    assert measured <= 4 * result.error_bound
    few = points[:: max(1, len(points) // 3000)]
    np.testing.assert_allclose(
        ex.evaluate(result.network, few)[:, 0], values[:: max(1, len(points) // 3000)], rtol=0, atol=1e-12
    )


def random_boxes(rng, n, count):
    """`count` disjoint boxes in [-1, 1]^n and a ramp that fits into all of them."""
    per_axis = 1
    while per_axis**n < 2 * count:
        per_axis += 1
    chosen = rng.choice(per_axis**n, size=count, replace=False)
    index = np.stack(np.unravel_index(chosen, (per_axis,) * n), 1)
    lower = -1 + 2 * (index + rng.uniform(0, 0.25, index.shape)) / per_axis
    upper = -1 + 2 * (index + rng.uniform(0.75, 1.0, index.shape)) / per_axis
    return lower, upper, rng.standard_normal(count), rng.uniform(0.05, 0.5) * (upper - lower).min()


@pytest.mark.parametrize("seed", range(8))
@BUILDERS
@BOTH
def test_the_network_is_the_sum_of_pyramids(build, pipelined, seed):
    rng = np.random.default_rng(seed)
    n, count = int(rng.integers(1, 5)), int(rng.integers(1, 12))
    lower, upper, heights, ramp = random_boxes(rng, n, count)
    net = build(lower, upper, heights, ramp=ramp, half_width=1.0, pipelined=pipelined)
    points = rng.uniform(-1.5, 1.5, (4000, n))
    # half of the points on the ramps, where mistakes would hide
    edge = np.where(rng.random((2000, n)) < 0.5, lower[0], upper[0]) + ramp * rng.uniform(-1.2, 1.2, (2000, n))
    points[:2000] = np.where(rng.random((2000, n)) < 0.6, edge, points[:2000])
    values = ex.evaluate(net, points)[:, 0]
    tolerance = 1e-15 * (1.0 / ramp) * np.abs(heights).sum() * (4 if build is lu2017.single_sum_network else 1)
    np.testing.assert_allclose(values, pyramids(lower, upper, heights, ramp, points), rtol=0, atol=tolerance)
    outside = np.abs(points).max(1) > 1
    assert np.abs(values[outside]).max(initial=0.0) <= tolerance
    assert net.width == n + (4 if build is lu2017.step_network else 3)
    assert net.hidden_layers == (2 * n * count + 1 if pipelined else (4 * n + 1) * count)
    if build is lu2017.step_network and not pipelined:
        h = (4 * n + 1) * count
        assert net.size == (n + 1) * (n + 4) + (h - 1) * (n + 4) * (n + 5) + n + 5


dyadic = st.integers(-16, 16).map(lambda i: i / 16)


@hypothesis.given(
    corners=st.lists(st.tuples(dyadic, dyadic, dyadic, dyadic, dyadic), min_size=1, max_size=4),
    point=st.tuples(dyadic, dyadic),
    far=st.sampled_from([1, 64, 4096]),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_overlapping_dyadic_boxes_exactly(corners, point, far):
    lower = [(min(a, b), min(c, d)) for a, b, c, d, _ in corners]
    upper = [(max(a, b) + 0.25, max(c, d) + 0.25) for a, b, c, d, _ in corners]
    heights = [e for *_, e in corners]
    x = (point[0] * far, point[1])
    expected = pyramids(np.array(lower), np.array(upper), heights, 0.125, np.array([x]))[0]
    for build, pipelined in itertools.product((lu2017.step_network, lu2017.single_sum_network), (False, True)):
        net = build(lower, upper, heights, ramp=0.125, half_width=2.0, pipelined=pipelined)
        assert exact.evaluate_exactly(net, [Fraction(v) for v in x])[0] == Fraction(expected)


def test_vanishes_to_infinity():
    result = lu2017.approximate(ex.targets.norm_squared(ex.Ball(2)), cells=8)
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (2000, 2))
    axis = rng.integers(0, 2, 2000)
    points[np.arange(2000), axis] = rng.choice([-1, 1], 2000) * 10 ** rng.uniform(0.001, 9, 2000)
    assert np.all(ex.evaluate(result.network, points) == 0)


@BOTH
def test_few_registers_change_in_a_layer(pipelined):
    lower, upper, heights, ramp = random_boxes(np.random.default_rng(1), 3, 6)
    net = lu2017.step_network(lower, upper, heights, ramp=ramp, half_width=1.0, pipelined=pipelined)
    hidden = list(net.layers)[1:-1]
    changed = [int(np.any((w != np.eye(net.width)) | (b[:, None] != 0), axis=1).sum()) for w, b in hidden]
    assert max(changed) <= (3 if pipelined else 2)


TARGETS = [
    lambda: ex.targets.norm_squared(ex.Ball(2)),
    lambda: ex.targets.product(ex.Box(2, 0.25, 1.0)),
    lambda: ex.targets.ball_indicator(ex.Ball(2)),
    lambda: ex.targets.ball_indicator(ex.Box(2)),
    lambda: ex.targets.cosine_norm(ex.Box(2, -2.0, -1.0)),
    lambda: ex.targets.ridge(ex.Ball(3, 0.5)),
    lambda: ex.targets.max_affine(ex.Box(1)),
]


@pytest.mark.parametrize("make", TARGETS)
@pytest.mark.parametrize("cells", [1, 3, 8])
def test_errors_stay_within_the_bounds(make, cells):
    target = make()
    for part in (0.5, 0.05, None):
        low, high = target.measure.box
        side = (high[0] - low[0]) / cells
        result = lu2017.approximate(target, cells=cells, ramp=None if part is None else part * side)
        for norm in ("L1", "L2"):
            measured = ex.error(result, target, norm, order={1: 2000, 2: 80, 3: 20}[target.dim])
            assert measured.value - measured.half_width <= result.bound(norm)
        assert result.network.width in (0, target.dim + 4)


def test_cells_of_value_zero_are_dropped_and_nothing_may_remain():
    zero = ex.Target(lambda x: 0.0 * x[0], ex.Box(2), lipschitz=0.0)
    result = lu2017.approximate(zero, cells=4)
    assert (result.network.width, result.error_bound) == (0, 0.0)
    half = ex.Target(lambda x: jnp.maximum(x[0], 0.0), ex.Box(1), lipschitz=1.0)
    assert lu2017.approximate(half, cells=8, pipelined=False).network.hidden_layers == 5 * 4


def test_the_discretisation_bound_is_nearly_attained():
    # a linear function on one cell has mean error L h / 4 against L h / sqrt(12) of the bound
    slope = ex.Target(lambda x: x[0], ex.Box(1, 0.0, 1.0), lipschitz=1.0)
    result = lu2017.approximate(slope, cells=64, ramp=2.0**-20)
    points = (np.arange(64 * 400)[:, None] + 0.5) / (64 * 400)
    measured = np.abs(ex.evaluate(result.network, points)[:, 0] - slope.values(points)).mean()
    assert measured == pytest.approx(1 / 256, rel=1e-3)
    assert measured / result.error_bound == pytest.approx(math.sqrt(12) / 4, rel=1e-2)


def test_default_ramp_is_dyadic_and_small():
    target = ex.targets.norm_squared(ex.Box(2, 0.0, 1.0))
    bounds = [lu2017.approximate(target, cells=m).error_bound for m in (4, 8, 16, 32)]
    assert all(b <= 0.62 * a for a, b in itertools.pairwise(bounds))


def test_both_precisions():
    net = lu2017.step_network([[0, 0], [-1, -0.5]], [[1, 1], [0, 0.5]], [1.0, -3.0], ramp=0.25, half_width=2.0)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (200, 2))
    expected = pyramids([[0, 0], [-1, -0.5]], [[1, 1], [0, 0.5]], [1.0, -3.0], 0.25, points)
    np.testing.assert_allclose(jax.vmap(net)(points.astype(np.float32))[:, 0], expected, rtol=0, atol=2e-5)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.vmap(net)(points)[:, 0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("n", "k"), [(1, 3), (2, 6)])
def test_wide_target(n, k):
    net = lu2017.wide_target(n, k, jax.random.key(3))
    assert (net.input_dim, net.hidden_widths, net.depth, net.output_dim) == (n, (2 * k * k,) * 2, 3, 1)
    with jax.enable_x64(True):
        again = lu2017.wide_target(n, k, jax.random.key(3))
    seeded = lu2017.wide_target(n, k, 3)
    for (w, b), (v, c), (u, d) in zip(net.layers, again.layers, seeded.layers, strict=True):
        assert np.array_equal(w, v)
        assert np.array_equal(b, c)
        assert np.array_equal(w, u)
        assert np.array_equal(b, d)
        assert w.dtype == np.float64
        assert np.all((b >= -1) & (b < 1))
    weights = np.concatenate([w.ravel() for w, _ in net.layers])
    # mean and variance of N(0, 1) within four standard errors
    assert abs(weights.mean()) <= 4 / math.sqrt(weights.size)
    assert abs(weights.var() - 1) <= 4 * math.sqrt(2 / weights.size)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=0.6, half_width=1.0), "0.6 is wider .* 0.5"),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=0.0, half_width=1.0), "not 0.0"),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=-0.1, half_width=1.0), "not -0.1"),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=math.nan, half_width=1.0), "not nan"),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=0.1, half_width=0.5), "0.5"),
        (dict(lower=[[0.0]], upper=[[0.0]], heights=[1.0], ramp=0.1, half_width=0.5), "from 0.0 to 0.0"),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0, 2.0], ramp=0.1, half_width=1.0), re.escape("(2,)")),
        (dict(lower=[[0.0]], upper=[[1.0, 1.0]], heights=[1.0], ramp=0.1, half_width=1.0), re.escape("(1, 2)")),
        (
            dict(lower=np.zeros((0, 2)), upper=np.zeros((0, 2)), heights=[], ramp=0.1, half_width=1.0),
            re.escape("(0, 2)"),
        ),
        (dict(lower=[[0.0]], upper=[[1.0]], heights=[1.0], ramp=1e-15, half_width=1.0), "1e-15 is below"),
        (dict(lower=[[math.nan]], upper=[[1.0]], heights=[1.0], ramp=0.1, half_width=1.0), "NaN"),
    ],
)
@BUILDERS
def test_bad_boxes(build, arguments, found):
    with pytest.raises(ValueError, match=found):
        build(**arguments)


def test_bad_requests():
    target = ex.targets.norm_squared(ex.Ball(2))
    with pytest.raises(ValueError, match=r"0\.3 is wider .* 0\.125"):
        lu2017.approximate(target, cells=8, ramp=0.3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        lu2017.approximate(target, cells=0)
    with pytest.raises(TypeError, match=r"2\.5"):
        lu2017.approximate(target, cells=2.5)
    with pytest.raises(ValueError, match="compact"):
        lu2017.approximate(ex.targets.norm_squared(ex.Gaussian(2)), cells=4)
    with pytest.raises(ValueError, match="neither a Lipschitz"):
        lu2017.approximate(ex.Target(lambda x: x[0], ex.Box(1)), cells=4)
    with pytest.raises(TypeError, match="int"):
        lu2017.approximate(3, cells=4)
    with pytest.raises(ValueError, match="cells"):
        lu2017.approximate(ex.targets.norm_squared(ex.Ball(4)), cells=100)
    with pytest.raises(ValueError, match="finite"):
        lu2017.approximate(ex.Target(lambda x: 1 / x[0], ex.Box(1), lipschitz=1.0), cells=3)
    with pytest.raises(ValueError, match="ramp"):
        lu2017.bump_integral([1.0, 0.25], 0.2)
    with pytest.raises(ValueError, match="positive sides"):
        lu2017.bump_integral([1.0, -1.0], 0.2)
    with pytest.raises(TypeError, match="'a box'"):
        lu2017.step_network("a box", [[1.0]], [1.0], ramp=0.1, half_width=1.0)
    with pytest.raises(TypeError, match="not None"):
        lu2017.wide_target(2, 3, None)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        lu2017.wide_target(2, 0, jax.random.key(0))
