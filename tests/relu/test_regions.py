"""Regions against every sign pattern tried one by one, against counts in closed form, and against exact pieces."""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize

import expressivity as ex
from expressivity.relu.gadgets import random_network

TENT = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])


def cube(n, size=1.0):
    return np.full(n, -size), np.full(n, size)


def brute_force(network, box):
    """Tries all patterns: is there a point with a margin in every inequality?"""
    layers, count = list(network.layers)[:-1], 0
    sizes = [len(b) for _, b in layers]
    for pattern in itertools.product((False, True), repeat=sum(sizes)):
        w, b = np.eye(network.input_dim), np.zeros(network.input_dim)
        rows, limits, start = [], [], 0
        for (weight, bias), size in zip(layers, sizes, strict=True):
            signs = np.array(pattern[start : start + size])
            start += size
            w, b = weight @ w, weight @ b + bias
            for slope, height, sign in zip(w, b, signs, strict=True):
                rows.append(-slope if sign else slope)
                limits.append(height if sign else -height)
            w, b = w * signs[:, None], b * signs
        lengths = np.linalg.norm(rows, axis=1)
        found = scipy.optimize.linprog(
            [*[0] * network.input_dim, -1],
            np.column_stack([rows, lengths]),
            limits,
            bounds=[*zip(*box, strict=True), (None, 1)],
        )
        count += found.status == 0 and found.x[-1] > 1e-8
    return count


@pytest.mark.parametrize(
    ("dim", "widths", "seed"), [(1, (3, 3), 0), (1, (4, 2), 1), (2, (4, 3), 2), (2, (3, 2, 2), 3), (3, (4, 2), 4)]
)
def test_counts_equal_brute_force_over_all_patterns(dim, widths, seed):
    network = random_network(dim, widths, seed)
    assert ex.relu.count_regions(network, cube(dim)) == brute_force(network, cube(dim))


@pytest.mark.parametrize(("dim", "units", "count"), [(1, 5, 6), (2, 5, 16), (3, 5, 26), (2, 8, 37)])
def test_one_generic_layer_has_zaslavskys_number(dim, units, count):
    rng = np.random.default_rng(dim)
    network = ex.ReLUNetwork.from_layers(
        [(rng.standard_normal((units, dim)), rng.standard_normal(units)), (np.ones((1, units)), [0.0])]
    )
    assert count == sum(math.comb(units, j) for j in range(dim + 1))
    # the box is so large that every vertex of the arrangement lies inside
    assert ex.relu.count_regions(network, cube(dim, 1000.0)) == count


def fold(units):
    """p x^+ + 2 p sum over j of (-1)^j (x - j / p)^+: [0, 1] onto [0, 1], `units` times."""
    knots = np.arange(units) / units
    jumps = units * np.array([1.0, *(2.0 * (-1) ** j for j in range(1, units))])
    return ex.ReLUNetwork.from_layers([(np.ones((units, 1)), -knots), (jumps[None], [0.0])])


@pytest.mark.parametrize(("units", "times", "count"), [(2, 3, 8), (2, 5, 32), (4, 2, 16)])
def test_iterated_folds(units, times, count):
    network = fold(units)
    for _ in range(times - 1):
        network = fold(units) @ network
    assert ex.relu.count_regions(network, ([0], [1]), affine_pieces=True) == count
    assert ex.relu.pieces(network, [0], [1]).pieces == count


@pytest.mark.parametrize("seed", range(4))
def test_affine_pieces_on_an_interval_are_the_exact_ones(seed):
    network = random_network(1, (5, 4, 3), seed)
    exact = ex.relu.pieces(network, [-2.0], [2.0]).pieces
    assert ex.relu.count_regions(network, ([-2.0], [2.0]), affine_pieces=True) == exact
    assert ex.relu.count_regions(network, ([-2.0], [2.0])) >= exact


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_an_affine_map_in_two_layers_has_one_piece(dim):
    network = ex.identity(dim, depth=3)
    assert ex.relu.count_regions(network, cube(dim)) == 2**dim
    assert ex.relu.count_regions(network, cube(dim), affine_pieces=True) == 1


def test_equal_maps_that_do_not_touch_in_a_face_stay_apart():
    # a hat in x: 0, up, down, 0; the two flat parts carry one map
    hat = ex.ReLUNetwork.from_layers(
        [([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [0.5, 0.0, -0.5]), ([[1.0, -2.0, 1.0]], [0.0])]
    )
    assert ex.relu.count_regions(hat, cube(2), affine_pieces=True) == 4


def test_duplicate_units_cut_once():
    network = ex.ReLUNetwork.from_layers(
        [([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]], [0.5, 1.0, -0.5]), ([[1.0] * 3], [0.0])]
    )
    assert ex.relu.count_regions(network, cube(2)) == 2


def test_lines_through_one_point_leave_no_false_region():
    angles = np.pi * np.arange(7) / 7
    network = ex.ReLUNetwork.from_layers(
        [(np.column_stack([np.cos(angles), np.sin(angles)]), np.zeros(7)), (np.ones((1, 7)), [0.0])]
    )
    assert ex.relu.count_regions(network, cube(2)) == 14


@pytest.mark.parametrize(("dim", "widths"), [(1, (4, 3)), (2, (4, 3)), (3, (3, 2))])
def test_a_region_carries_its_pattern_and_its_affine_map(dim, widths):
    network = random_network(dim, widths, 5)
    found = ex.relu.activation_regions(network, cube(dim))
    assert len({region.pattern.tobytes() for region in found}) == len(found)
    for region in found:
        h, pattern = region.center, []
        for weight, bias in list(network.layers)[:-1]:
            z = weight @ h + bias
            pattern += (z > 0).tolist()
            h = np.maximum(z, 0)
        assert region.pattern.tolist() == pattern
        value = ex.evaluate(network, region.center[None])[0]
        # the largest entries are of order 10, the sums of about ten terms
        assert region.weight @ region.center + region.bias == pytest.approx(value, abs=1e-12)
        assert np.all(region.normals @ region.center + region.radius <= region.offsets + 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_polygons_fill_the_box(seed):
    found = ex.relu.activation_regions(random_network(2, (5, 3), seed), ([-1, 0], [2, 1]))
    areas = []
    for region in found:
        x, y = region.polygon().T
        areas.append(0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    assert min(areas) > 0
    # parts thinner than 3e-9 may be missing
    assert sum(areas) == pytest.approx(3.0, abs=1e-7)


def test_budget_and_bad_boxes():
    network = random_network(2, (6, 6), 0)
    with pytest.raises(ValueError, match="more than 5 linear programs"):
        ex.relu.count_regions(network, cube(2), budget=5)
    with pytest.raises(ValueError, match="4 inputs"):
        ex.relu.count_regions(random_network(4, (2,), 0), cube(4))
    for box in (([0, 0], [1, 0]), ([0], [1]), ([0, 0], [1, np.nan]), 3, "box"):
        with pytest.raises(ValueError, match="box"):
            ex.relu.count_regions(network, box)
    with pytest.raises(ValueError, match="dimension 1"):
        ex.relu.activation_regions(TENT, ([0], [1]))[0].polygon()


def test_a_box_may_be_a_domain():
    assert ex.relu.count_regions(TENT, ex.Box(1)) == 3


def test_what_is_no_network_or_no_budget_is_refused():
    with pytest.raises(TypeError, match="str"):
        ex.relu.count_regions("net", ex.Box(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'many'"):
        ex.relu.count_regions(ex.identity(2, 1), ex.Box(2), budget="many")  # type: ignore[arg-type]
