"""Staircases: knots, coefficients, and the lowest partial sum, against brute force."""

import hypothesis
import hypothesis.strategies as st
import numpy as np

from expressivity.constructions.staircase import Staircase, digit_ramps


@hypothesis.given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), initial=st.floats(-2, 2), beyond=st.floats(0, 2))
@hypothesis.settings(max_examples=80, deadline=None)
def test_partial_sums(seed, steps, initial, beyond):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.random(2 * steps)) + 0.01 * np.arange(2 * steps)
    stairs = Staircase(ends[0::2], ends[1::2], rng.standard_normal(steps))
    end = ends[-1] + beyond
    t = np.concatenate([np.linspace(0, end, 2001), stairs.knots])
    terms = stairs.coefficients * np.maximum(t[:, None] - stairs.knots, 0)
    sums = initial + np.concatenate([np.zeros((len(t), 1)), np.cumsum(terms, axis=1)], axis=1)
    lowest = stairs.lowest(initial, end)
    assert lowest <= sums.min() + 1e-9
    assert lowest >= sums.min() - 1e-9
    levels = initial + np.repeat(np.concatenate([[0.0], np.cumsum(stairs.jumps)]), 2)[1:-1]
    np.testing.assert_allclose(sums[:, -1], np.interp(t, stairs.knots, levels), rtol=0, atol=1e-10)


def test_digit_ramps_separate_the_cells():
    codes, levels, ramp, scale = 3, 4, 0.05, 0.5
    starts, ends = digit_ramps(codes, levels, ramp, scale)
    assert len(starts) == codes * levels - 1
    assert np.all(starts < ends)
    assert np.all(ends[:-1] < starts[1:])
    # points of cell (q, i), off the ramps, lie behind q m + i ramps and before all others
    y = (np.arange(levels)[:, None] + np.array([0.0, 0.5, 1 - levels * ramp])) / levels
    for q in range(codes):
        u = q + scale * y
        before = (u[..., None] >= ends - 1e-12).sum(-1)
        assert np.array_equal(before, np.repeat((q * levels + np.arange(levels))[:, None], 3, axis=1))
        assert np.array_equal((u[..., None] > starts + 1e-12).sum(-1), before)
