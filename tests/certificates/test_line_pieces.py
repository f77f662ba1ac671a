"""Best approximation by few affine pieces: closed forms, brute force, and networks that stay above the floor."""

import itertools

import numpy as np
import pytest

import expressivity as ex
from expressivity.certificates.line_pieces import least_squares_pieces, pieces_floor, uniform_pieces
from expressivity.relu.gadgets import random_network

INTERVAL = ex.targets.norm_squared(ex.Box(1))


@pytest.mark.parametrize("widths", [(1,), (2,), (3,), (2, 2), (3, 3)])
def test_the_square_on_an_interval(widths):
    """P equal pieces, jumps allowed: L2 squared 32/(360 P^4), sup 1/(2 P^2); P - 1 of 512 cells count as 0."""
    pieces = np.prod([w + 1 for w in widths])
    l2, exact = pieces_floor(INTERVAL, widths).value, np.sqrt(32 / 360) / pieces**2
    assert exact * (1 - 3 * pieces / 512) ** 2 <= l2 <= exact
    sup = pieces_floor(INTERVAL, widths, "sup").value
    assert 0.96 / (2 * pieces**2) <= sup <= 1 / (2 * pieces**2) + 1e-15


def _affine_error(x, f):
    """Least sup error of one affine function, from the slopes of all pairs."""
    if len(x) < 3:
        return 0.0
    slopes = [(f[j] - f[i]) / (x[j] - x[i]) for i, j in itertools.combinations(range(len(x)), 2)]
    return min(np.ptp(f - s * x) / 2 for s in slopes)


@pytest.mark.parametrize("seed", range(5))
def test_uniform_pieces_against_all_partitions(seed):
    f, x = np.random.default_rng(seed).standard_normal(9), np.arange(9.0)
    for pieces in (1, 2, 3):
        best = min(
            max(_affine_error(x[a:b], f[a:b]) for a, b in itertools.pairwise((0, *cuts, 9)))
            for cuts in itertools.combinations(range(1, 9), pieces - 1)
        )
        assert uniform_pieces(f, pieces) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_pieces_against_all_partitions(seed):
    """Between the error with breakpoints at cell ends and that with the cells of the breakpoints left out."""
    rng = np.random.default_rng(seed)
    z, w = np.polynomial.legendre.leggauss(3)
    nodes, weights, cells = (z + 1) / 2, w / 2, 9
    x = (np.arange(cells)[:, None] + nodes) / cells
    f = np.sin(7 * x + seed) + rng.standard_normal() * x**2

    def error(a, b):
        if b <= a:
            return 0.0
        design = np.stack([np.ones_like(x[a:b]), x[a:b]], -1).reshape(-1, 2)
        mass = np.tile(weights, b - a) / cells
        fit = np.linalg.lstsq(design * np.sqrt(mass)[:, None], f[a:b].reshape(-1) * np.sqrt(mass), rcond=None)[0]
        return mass @ (f[a:b].reshape(-1) - design @ fit) ** 2

    for pieces in (1, 2, 3):
        skipping = min(
            sum(error(a, b) for a, b in zip((0, *(c + 1 for c in cuts)), (*cuts, cells), strict=True))
            for cuts in itertools.combinations(range(cells), pieces - 1)
        )
        found = least_squares_pieces(f[None], nodes, weights, pieces)[0]
        assert found == pytest.approx(skipping, abs=1e-13)


@pytest.mark.parametrize(
    "target",
    [
        INTERVAL,
        ex.targets.cosine_norm(ex.Box(1)),
        ex.targets.norm_squared(ex.Ball(2)),
        ex.targets.cosine_norm(ex.Box(2)),
    ],
    ids=lambda target: f"{target.name} {target.dim}",
)
@pytest.mark.parametrize("norm", ["L2", "sup"])
def test_no_network_is_below(target, norm):
    for widths in ((2,), (3,), (2, 2)):
        floor = pieces_floor(target, widths, norm).value
        assert floor > 0
        for seed in range(6):
            net = random_network(target.dim, widths, seed) * (0.2 if seed % 2 else 1.0)
            error = ex.error(net, target, norm)
            assert error.value >= floor - error.half_width


def test_what_has_few_pieces_has_no_floor():
    wedge = ex.targets.max_affine(ex.Box(1), [[1.0], [-1.0]], [0.0, 0.0])
    assert pieces_floor(wedge, (1,)).value == 0.0
    assert pieces_floor(wedge, (1,), "sup").value == 0.0
    assert pieces_floor(ex.targets.ball_indicator(ex.Ball(2)), (2,)).value == 0.0
    # an interpolant with P pieces, against its own floor: the bound is nearly attained
    knots = np.linspace(-1, 1, 5)
    slopes = np.diff(knots**2) / np.diff(knots)
    jumps = np.diff(slopes)
    hidden = (np.ones((4, 1)), -np.array([-1.0, *knots[1:-1]]))
    shift = 1 - 1 / 32
    net = ex.ReLUNetwork.from_layers([hidden, (np.array([[slopes[0], *jumps]]), np.array([shift]))])
    error = ex.error(net, INTERVAL, "sup")
    assert pieces_floor(INTERVAL, (3,), "sup").value <= error.value + 1e-12 == pytest.approx(1 / 32, abs=1e-9)


def test_floors_use_the_number_of_hidden_layers():
    disc = ex.targets.norm_squared(ex.Ball(2))
    found = ex.certificates.floor(disc, 3, 1)
    assert found.theorem.number == "pieces in one dimension"
    assert found.against.covers((3,))
    assert not found.against.covers((3, 3))
    assert ex.certificates.floor(disc, 3, 2).value < found.value
    assert ex.certificates.floor(disc, 3).value == 0.0


def test_refusals():
    with pytest.raises(ValueError, match="L1"):
        pieces_floor(INTERVAL, (2,), "L1")
    with pytest.raises(ValueError, match="normal"):
        pieces_floor(ex.targets.norm_squared(ex.Gaussian(2)), (2,))
    many = pieces_floor(INTERVAL, (10, 10, 10))
    assert many.value == 0.0
    assert "1331 pieces" in many.assumptions[0]


@pytest.mark.parametrize(("widths", "error"), [((2.7,), TypeError), ((0,), ValueError), ("ab", TypeError)])
def test_what_is_no_width_is_refused(widths, error):
    with pytest.raises(error):
        ex.certificates.pieces_floor(ex.targets.norm_squared(ex.Box(1)), widths)
