"""Breakpoints in float64 against the exact pieces and against the plain definition."""

from itertools import pairwise

import numpy as np
import pytest

import expressivity as ex
from expressivity.relu import breakpoints, pieces


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("widths", [(3,), (4, 3), (3, 3, 3)])
def test_breakpoints_hold_all_exact_ones_and_cut_into_affine_pieces(seed, widths):
    rng = np.random.default_rng(seed)
    sizes = [2, *widths, 1]
    net = ex.ReLUNetwork.from_layers(
        [(rng.standard_normal((o, i)), rng.standard_normal(o)) for i, o in pairwise(sizes)]
    )
    start, end = rng.standard_normal((2, 2)) * 2
    found = breakpoints(net, start, end)
    for exact in pieces(net, start, end).breakpoints:
        assert np.abs(found - float(exact)).min() < 1e-12  # a few roundings of numbers of size one
    knots = np.concatenate([[0.0], found, [1.0]])
    third = np.stack([knots[:-1], (2 * knots[:-1] + knots[1:]) / 3, knots[1:]], 1)
    values = ex.evaluate(net, start + third.reshape(-1, 1) * (end - start))[:, 0].reshape(-1, 3)
    scale = np.abs(values).max() + 1.0
    assert np.abs(values[:, 1] - (2 * values[:, 0] + values[:, 2]) / 3).max() < 1e-12 * scale


def test_a_folded_hat_has_its_dyadic_breakpoints():
    hat = ex.ReLUNetwork.from_layers([(np.ones((2, 1)), [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
    net = hat
    for _ in range(5):
        net = hat @ net
    assert breakpoints(net, [0.0], [1.0]).tolist() == [k / 64 for k in range(1, 64)]


def test_a_point_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"\(1,\).*\(2,\)"):
        breakpoints(ex.identity(1, 2), [0.0, 1.0], [1.0])
