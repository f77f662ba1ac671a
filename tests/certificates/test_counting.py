"""Counts against published and worked-out tables."""

import pytest

import expressivity as ex
from expressivity.certificates.counting import effective_parameters, pieces_bound, width_efficiency
from expressivity.relu.gadgets import random_network


@pytest.mark.parametrize(
    ("n", "k", "row"),
    [
        (1, 5, (2701, 2601, 694, 628, 23)),
        (2, 6, (5545, 5401, 1317, 1219, 29)),
        (3, 7, (10193, 9997, 2485, 2341, 32)),
        (1, 100, (400080001, 400040001, 100103001, 100002001, 402)),
    ],
)
def test_width_efficiency(n, k, row):
    assert tuple(width_efficiency(n, k)) == row


@pytest.mark.parametrize(
    ("n", "k", "narrow", "counts"),
    [
        (1, 3, 16, (361, 801)),
        (1, 4, 24, (1089, 2353)),
        (1, 5, 34, (2601, 5849)),
        (2, 3, 16, (379, 817)),
        (2, 4, 24, (1121, 2377)),
        (2, 5, 34, (2651, 5883)),
    ],
)
def test_effective_parameters_of_published_experiments(n, k, narrow, counts):
    assert (effective_parameters(n, 2 * k * k, 3), effective_parameters(n, narrow, k + 2)) == counts


@pytest.mark.parametrize(("n", "width", "depth"), [(1, 1, 2), (2, 3, 2), (3, 4, 5)])
def test_effective_parameters_are_size_less_hidden_units(n, width, depth):
    net = random_network(n, (width,) * (depth - 1), 0)
    assert effective_parameters(n, width, depth) == net.size - sum(net.hidden_widths)


def test_the_largest_excluded_depth_is_the_largest():
    for n, k in ((1, 5), (3, 9), (2, 3)):
        row = width_efficiency(n, k)
        width = int(k**1.5)
        assert effective_parameters(n, width, row.largest_excluded_depth) < row.target_effective
        assert effective_parameters(n, width, row.largest_excluded_depth + 1) >= row.target_effective


@pytest.mark.parametrize("power", [1, 2, 3, 6])
def test_pieces_of_the_hat(power):
    hat = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
    net = hat
    for _ in range(power - 1):
        net = net @ hat
    assert len(ex.relu.pieces(net, [0.0], [1.0]).slopes) == 2**power <= pieces_bound(net.hidden_widths)


@pytest.mark.parametrize("seed", range(40))
def test_no_line_has_more_pieces_than_the_bound(seed):
    n, widths = 1 + seed % 3, [(3,), (2, 2), (4, 3), (2, 3, 2)][seed % 4]
    net = random_network(n, widths, seed)
    found = ex.relu.pieces(net, [-3.0] * n, [3.0] * n)
    assert len(found.slopes) <= pieces_bound(widths)


@pytest.mark.parametrize(
    "call", [lambda: pieces_bound([0]), lambda: effective_parameters(1, 2, 1), lambda: width_efficiency(0, 5)]
)
def test_refusals(call):
    with pytest.raises(ValueError, match="at least"):
        call()


def test_one_number_is_no_sequence_of_widths():
    with pytest.raises(TypeError, match=r"sequence of hidden widths.*3"):
        pieces_bound(3)
