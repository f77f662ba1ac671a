"""Laws of the calculus in rational arithmetic, and what each operation costs."""

from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import expressivity as ex

TENT = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
value = ex.relu.evaluate_exactly


def network(draw, inputs, outputs):
    """Small dyadic weights, so that products of matrices are exact in float64."""
    widths = draw(st.lists(st.integers(1, 4), max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = [inputs, *widths, outputs]
    return ex.ReLUNetwork.from_layers(
        [(rng.integers(-4, 5, (b, a)) / 2.0, rng.integers(-4, 5, b) / 4.0) for a, b in pairwise(sizes)]
    )


@st.composite
def networks(draw, *shapes):
    return [network(draw, inputs, outputs) for inputs, outputs in shapes]


def rationals(count):
    return st.lists(st.fractions(-3, 3, max_denominator=12), min_size=count, max_size=count)


law = settings(deadline=None, max_examples=25)


@law
@given(networks((2, 3), (3, 2), (2, 1)), rationals(2))
def test_composition_is_associative_and_evaluates_inside_out(nets, x):
    inner, middle, outer = nets
    left, right = (outer @ middle) @ inner, outer @ (middle @ inner)
    assert value(left, x) == value(right, x) == value(outer, value(middle, value(inner, x)))
    assert left.depth == right.depth == outer.depth + middle.depth + inner.depth - 2
    assert left.hidden_widths == right.hidden_widths
    assert left.hidden_widths == inner.hidden_widths + middle.hidden_widths + outer.hidden_widths


@law
@given(networks((2, 2), (2, 2), (2, 2)), rationals(2))
def test_addition_commutes_and_is_associative(nets, x):
    f, g, h = nets
    assert value(f + g, x) == value(g + f, x) == tuple(a + b for a, b in zip(value(f, x), value(g, x), strict=True))
    assert value((f + g) + h, x) == value(f + (g + h), x)
    assert (f + g).depth == max(f.depth, g.depth)


@law
@given(networks((2, 2), (2, 2), (3, 2)), rationals(3))
def test_composition_distributes_over_addition_on_the_left(nets, x):
    f, g, h = nets
    assert value((f + g) @ h, x) == value((f @ h) + (g @ h), x)


@law
@given(networks((2, 3)), st.integers(-8, 8), rationals(2))
def test_scaling_changes_the_last_layer_only(nets, eighths, x):
    (f,), c = nets, eighths / 8
    assert value(c * f, x) == tuple(Fraction(c) * v for v in value(f, x))
    assert value(-f, x) == tuple(-v for v in value(f, x))
    assert value(f - f, x) == (0, 0, 0)
    assert (c * f).hidden_widths == f.hidden_widths
    assert (c * f).size == f.size


@law
@given(networks((2, 1), (2, 3)), rationals(2))
def test_parallel_shares_the_input(nets, x):
    f, g = nets
    both = ex.parallel(f, g)
    assert value(both, x) == value(f, x) + value(g, x)
    if f.depth == g.depth:
        assert both.nonzeros == f.nonzeros + g.nonzeros
        assert both.hidden_widths == tuple(a + b for a, b in zip(f.hidden_widths, g.hidden_widths, strict=True))


@law
@given(networks((1, 2), (2, 1)), rationals(3))
def test_stack_keeps_the_inputs_apart(nets, x):
    f, g = nets
    both = ex.stack(f, g)
    assert (both.input_dim, both.output_dim, both.depth) == (3, 3, max(f.depth, g.depth))
    assert value(both, x) == value(f, x[:1]) + value(g, x[1:])


@law
@given(networks((2, 2)), st.integers(0, 4), st.integers(0, 3), rationals(2))
def test_padding_keeps_the_function(nets, layers, units, x):
    (f,) = nets
    deep, wide = ex.pad_depth(f, f.depth + layers), ex.pad_width(f, f.width + units)
    assert value(deep, x) == value(wide, x) == value(f, x)
    assert deep.depth == f.depth + layers
    assert deep.width == f.width or f.hidden_layers == 0
    assert wide.hidden_widths == (f.width + units,) * f.hidden_layers
    assert wide.nonzeros == f.nonzeros


@law
@given(networks((3, 2), (2, 3)), rationals(2))
def test_sparse_concatenation_and_its_nonzeros(nets, x):
    outer, inner = nets
    joined = ex.relu.sparse_concat(outer, inner)
    first, (last, offset) = next(outer.layers)[0], list(inner.layers)[-1]
    extra = sum(int(np.count_nonzero(a)) for a in (first, last, offset))
    assert value(joined, x) == value(outer, value(inner, x))
    assert joined.depth == outer.depth + inner.depth
    assert joined.nonzeros == outer.nonzeros + inner.nonzeros + extra <= 2 * (outer.nonzeros + inner.nonzeros)


@law
@given(networks((2, 2)))
def test_size_and_nonzeros_count_every_parameter(nets):
    (f,) = nets
    parameters = np.concatenate([np.concatenate([w.ravel(), b]) for w, b in f.layers])
    assert f.size == len(parameters)
    assert f.nonzeros == np.count_nonzero(parameters)


@pytest.mark.parametrize(("dim", "depth", "nonzeros"), [(1, 2, 4), (3, 2, 12), (3, 5, 30), (3, 1, 3)])
def test_identity(dim, depth, nonzeros):
    f, x = ex.identity(dim, depth), [Fraction(k, 7) * (-1) ** k for k in range(dim)]
    assert value(f, x) == tuple(x)
    assert (f.depth, f.nonzeros, f.width) == (depth, nonzeros, 2 * dim if depth > 1 else 0)


@pytest.mark.parametrize(("times", "sizes"), [(1, (2, 2, 5)), (4, (5, 8, 20))])
def test_iterated_tent(times, sizes):
    f = TENT
    for _ in range(times - 1):
        f = TENT @ f
    assert (f.depth, sum(f.hidden_widths), f.nonzeros) == sizes


def test_small_facts_about_tents():
    assert ex.relu.sparse_concat(TENT, TENT).nonzeros == 14
    assert ex.parallel(TENT, TENT).nonzeros == 10


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ex.compose(ex.identity(3, 2), TENT), "reads 3 numbers, the inner one writes 1"),
        (lambda: ex.relu.sparse_concat(ex.identity(3, 2), TENT), "reads 3 numbers, the inner one writes 1"),
        (lambda: ex.add(ex.identity(2, 2), TENT), "2 -> 2 and a network 1 -> 1"),
        (lambda: ex.parallel(ex.identity(2, 2), TENT), "got 2 and 1"),
        (lambda: ex.pad_depth(TENT, 1), "depth 1"),
        (lambda: ex.pad_width(TENT, 1), "width 1"),
        (lambda: ex.identity(0, 2), "dim=0"),
        (lambda: ex.identity(2, 0), "depth=0"),
        (lambda: float("nan") * TENT, "nan"),
        (lambda: float("inf") * TENT, "inf"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("factor", [1j, True, "2", [1.0]])
def test_only_real_numbers_scale(factor):
    with pytest.raises(TypeError, match="one real number"):
        ex.relu.scale(TENT, factor)


@pytest.mark.parametrize("other", [3, "f", None])
def test_operators_know_networks_only(other):
    for operate in (lambda: TENT @ other, lambda: TENT + other, lambda: TENT - other):
        with pytest.raises(TypeError):
            operate()
