"""Bounds of region counts against tables and against brute force."""

import itertools
import math

import numpy as np
import pytest

from expressivity.certificates import montufar_lower, montufar_upper, serra, zaslavsky, zonotope_regions


@pytest.mark.parametrize(("dim", "m", "count"), [(1, 5, 6), (2, 5, 16), (3, 5, 26), (5, 3, 8), (10, 20, 616666)])
def test_zaslavsky(dim, m, count):
    assert zaslavsky(m, dim) == count


@pytest.mark.parametrize(
    ("n", "widths", "upper", "weaker", "lower"),
    [
        (1, (3, 3, 3), 64, 64, 36),
        (2, (4, 4), 121, 121, 44),
        (2, (6, 6), 484, 484, 198),
        (3, (9, 9), 16900, 16900, 3510),
        (10, (5, 5), 638, 1024, None),
        (2, (3, 1, 3), 35, 56, None),
        (4, (16, 16, 16), 15945922413, 15945922413, 164954112),
    ],
)
def test_deep_bounds(n, widths, upper, weaker, lower):
    assert (serra(n, widths), montufar_upper(n, widths)) == (upper, weaker)
    if lower is None:
        with pytest.raises(ValueError, match=str(n)):
            montufar_lower(n, widths)
    else:
        assert montufar_lower(n, widths) == lower


@pytest.mark.parametrize(("dim", "m", "count"), [(2, 3, 6), (2, 5, 10), (3, 4, 14), (3, 6, 32), (4, 2, 4)])
def test_zonotopes(dim, m, count):
    assert zonotope_regions(m, dim) == count


def test_serra_by_the_sum_over_all_dimensions():
    n, widths = 3, (4, 2, 3)
    total = 0
    for dims in itertools.product(*[range(w + 1) for w in widths]):
        caps = [min([n, *(w - j for w, j in zip(widths[:l], dims[:l], strict=True)), widths[l]]) for l in range(3)]
        if all(j <= cap for j, cap in zip(dims, caps, strict=True)):
            total += math.prod(math.comb(w, j) for w, j in zip(widths, dims, strict=True))
    assert serra(n, widths) == total


def test_order_of_the_bounds():
    for n in (1, 2, 3):
        for widths in ((4,), (4, 5), (6, 3, 4)):
            assert montufar_lower(n, widths) <= serra(n, widths) <= montufar_upper(n, widths)


def test_vertices_of_a_random_zonotope():
    rng = np.random.default_rng(0)
    generators = rng.standard_normal((5, 3))
    directions = rng.standard_normal((200000, 3))
    assert len(np.unique(np.sign(directions @ generators.T), axis=0)) == zonotope_regions(5, 3)


def test_refusals():
    for call in (lambda: zaslavsky(-1, 2), lambda: zaslavsky(2, 0), lambda: serra(0, (2,)), lambda: serra(2, (0,))):
        with pytest.raises(ValueError, match="at least"):
            call()
    with pytest.raises(TypeError, match=r"2\.5"):
        serra(2.5, (2,))
