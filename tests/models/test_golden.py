"""Logits that other programs computed from the same weights, in float64."""

import jax
import numpy as np
import pytest

import expressivity as ex

from .golden import VISION, family, fill, uniform


def test_the_generator():
    # the first numbers of tensors 0 and 1, from an independent implementation
    expected = [0.8833108082136426, 0.43152799704850997, 0.026433771592597743, 0.9708819781538285]
    np.testing.assert_array_equal(uniform(0, (4,)), expected)
    assert uniform(1, (1,))[0] == 0.9828777890922614


@pytest.mark.parametrize("row", VISION["golden"], ids=lambda row: row["key"])
def test_golden_logits(row):
    net, width = family(row)
    size = row["size"]
    with jax.enable_x64(True):
        model, state = net.init(jax.random.key(0), width, size)
        model, state = ex.models.with_tensors(model, state, fill(ex.models.tensors(model, state)))
        x = 2 * uniform(0, (2, size, size, 3)) - 1
        logits = np.asarray(net.apply(model, state, x)[0])
    # the reference is printed to ten decimals
    np.testing.assert_allclose(logits[0, :4], row["logits"], rtol=0, atol=1e-10)
    np.testing.assert_allclose([logits.sum(), np.linalg.norm(logits)], [row["sum"], row["norm"]], rtol=0, atol=1e-9)
