"""Distances against closed forms, rational identities, and a fine grid."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.relu.gadgets import random_network

ZERO1 = ex.ReLUNetwork.from_layers([([[0.0]], [0.0])])
ZERO2 = ex.ReLUNetwork.from_layers([([[0.0, 0.0]], [0.0])])


def line(*slopes, offset=0.0):
    return ex.ReLUNetwork.from_layers([([slopes], [offset])])


@pytest.mark.parametrize(("norm", "value"), [("L1", 0.5), ("L2", 3**-0.5), ("sup", 1.0)])
def test_the_identity_on_an_interval(norm, value):
    assert ex.relu.distance(line(1.0), ZERO1, ([-1.0], [1.0]), norm) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("slopes", "norm", "value"),
    [
        ((1.0, 0.0), "L1", 0.5),
        ((1.0, 0.0), "L2", 3**-0.5),
        ((1.0, 1.0), "L1", 2 / 3),
        ((1.0, 1.0), "L2", (2 / 3) ** 0.5),
        ((1.0, -1.0), "L1", 2 / 3),
        ((1.0, 2.0), "sup", 3.0),
    ],
)
def test_linear_functions_on_the_square(slopes, norm, value):
    assert ex.relu.distance(line(*slopes), ZERO2, ex.Box(2), norm) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("norm", ["L1", "L2", "sup"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_networks_in_the_plane_against_a_grid(norm, seed):
    f, g = random_network(2, (4, 3), seed), random_network(2, (3,), seed + 10)
    axis = (np.arange(800) + 0.5) / 400 - 1
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    gap = np.abs(ex.evaluate(f, grid) - ex.evaluate(g, grid))
    estimate = {"L1": gap.mean(), "L2": np.sqrt((gap**2).mean()), "sup": gap.max()}[norm]
    found = ex.relu.distance(f, g, ([-1, -1], [1, 1]), norm)
    # midpoint rule with cells of side 1/400; the supremum is attained in a corner that the grid misses
    assert found == pytest.approx(estimate, rel=2e-2 if norm == "sup" else 1e-4)
    assert norm != "sup" or found >= estimate - 1e-12


@pytest.mark.parametrize("seed", [0, 1])
def test_both_routes_agree_where_the_plane_is_cut_along_lines(seed):
    # a function of the first coordinate alone: the interval route (rational) and the polygon route (float64)
    f, lift = random_network(1, (4, 3), seed), line(1.0, 0.0)
    for norm in ("L1", "L2", "sup"):
        flat = ex.relu.distance(f, ZERO1, ([-1.0], [1.0]), norm)
        assert ex.relu.distance(f @ lift, ZERO2, ex.Box(2), norm) == pytest.approx(flat, rel=1e-9)


@pytest.mark.parametrize(("dim", "widths"), [(1, (3, 2)), (2, (3,))])
def test_laws_of_a_metric(dim, widths):
    f, g, h = (random_network(dim, widths, seed) for seed in (1, 2, 3))
    found = []
    for norm in ("L1", "L2", "sup"):
        there, back, on, both = (ex.relu.distance(a, b, ex.Box(dim), norm) for a, b in ((f, g), (g, f), (g, h), (f, h)))
        assert ex.relu.distance(f, f, ex.Box(dim), norm) == pytest.approx(0, abs=1e-12)
        assert there == pytest.approx(back, rel=1e-12)
        assert both <= (there + on) * (1 + 1e-12)
        found.append(there)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("f", "g", "norm", "words"),
    [
        (ZERO1, ZERO2, "L2", "1 -> 1 and 2 -> 1"),
        (ex.identity(2, 2), ex.identity(2, 2), "L2", "2 -> 2"),
        (line(1.0, 1.0, 1.0), line(1.0, 1.0, 1.0), "L2", "3 -> 1"),
        (ZERO1, ZERO1, "L3", "'L3'"),
    ],
)
def test_what_does_not_fit_is_refused(f, g, norm, words):
    with pytest.raises(ValueError, match=words):
        ex.relu.distance(f, g, ex.Box(f.input_dim), norm)
