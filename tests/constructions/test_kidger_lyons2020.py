"""The register model of width n + m + 1 and its cut-off."""

import math

import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions.kidger_lyons2020 import cut_off, register_model


def forward(network, points):
    """The network layer by layer in NumPy, without compilation."""
    h = np.asarray(points, dtype=np.float64)
    *hidden, (weight, bias) = network.layers
    for w, b in hidden:
        h = np.maximum(h @ w.T + b, 0.0)
    return h @ weight.T + bias


def gaussian(seed, n, units, outputs):
    rng = np.random.default_rng(seed)
    return ex.ReLUNetwork.from_layers(
        [
            (rng.standard_normal((units, n)), rng.standard_normal(units)),
            (rng.standard_normal((outputs, units)), rng.standard_normal(outputs)),
        ]
    )


CASES = pytest.mark.parametrize(("n", "units", "outputs"), [(1, 1, 1), (1, 7, 3), (2, 9, 2), (4, 30, 1), (3, 5, 5)])


@CASES
def test_register_model(n, units, outputs):
    net = gaussian(0, n, units, outputs)
    thin = register_model(net, half_width=2.0)
    assert (thin.width, thin.hidden_layers) == (n + outputs + 1, units)
    points = np.random.default_rng(1).uniform(-2, 2, (2000, n))
    np.testing.assert_allclose(forward(thin, points), forward(net, points), rtol=0, atol=1e-12)


@CASES
@pytest.mark.parametrize(("floor", "ceiling"), [(-1.0, 0.75), (0.0, 2.0), (-3.0, 0.0)])
def test_cut_off(n, units, outputs, floor, ceiling):
    big, ramp = 1.0, 0.25
    net = gaussian(2, n, units, outputs)
    cut = cut_off(net, half_width=big, ramp=ramp, floor=floor, ceiling=ceiling)
    assert (cut.width, cut.hidden_layers) == (n + outputs + 1, units + 4 * n)
    rng = np.random.default_rng(3)
    points = rng.uniform(-1.3, 1.3, (4000, n))
    points[:1500] = np.clip(points[:1500], -0.999, 0.999)
    trapezoid = np.clip((big - np.abs(points)) / ramp, 0, 1).min(1, keepdims=True)
    g = forward(net, points)
    expected = np.minimum(np.maximum(g, floor * trapezoid), ceiling * trapezoid)
    np.testing.assert_allclose(forward(cut, points), expected, rtol=0, atol=1e-12)
    far = rng.uniform(-1, 1, (2000, n))
    axis = rng.integers(0, n, 2000)
    far[np.arange(2000), axis] = rng.choice([-1, 1], 2000) * 10 ** rng.uniform(0.001, 9, 2000)
    assert np.all(ex.evaluate(cut, far) == 0)


def test_bad_requests():
    net = gaussian(0, 2, 3, 1)
    with pytest.raises(ValueError, match="has 2"):
        register_model(ex.identity(2, depth=3), half_width=1.0)
    with pytest.raises(TypeError, match="int"):
        register_model(3, half_width=1.0)
    with pytest.raises(ValueError, match=r"not nan"):
        register_model(net, half_width=math.nan)
    with pytest.raises(ValueError, match=r"2\.0 is wider than the half-width 1\.0"):
        cut_off(net, half_width=1.0, ramp=2.0, floor=-1.0, ceiling=1.0)
    with pytest.raises(ValueError, match="1e-15 is below"):
        cut_off(net, half_width=1.0, ramp=1e-15, floor=-1.0, ceiling=1.0)
    with pytest.raises(ValueError, match=r"floor=0\.5"):
        cut_off(net, half_width=1.0, ramp=0.5, floor=0.5, ceiling=1.0)


def test_ends_of_a_cut_off_are_numbers():
    net = ex.ReLUNetwork.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])])
    with pytest.raises(TypeError, match="The floor of a cut-off is a real number, not 'a'"):
        cut_off(net, half_width=1.0, ramp=0.5, floor="a", ceiling=1.0)  # type: ignore[arg-type]
