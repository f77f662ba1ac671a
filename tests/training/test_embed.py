import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity import training
from expressivity.training import ensemble

NETWORK = ex.MLP(2, hidden_layers=3).init(jax.random.key(0), 4)[0]
POINTS = np.random.default_rng(0).uniform(-1, 1, (200, 2))


def gradient(network):
    x, y = POINTS.T, np.sum(POINTS**2, axis=1)[None]
    with jax.enable_x64(True):
        _, found = ensemble.losses_and_gradients(ensemble.pack([network], network.width, np.float64), x, y)
    return found


def test_widening_keeps_the_function_exactly():
    dead, live = training.widen(NETWORK, 7), training.widen(NETWORK, 7, jax.random.key(1))
    assert dead.hidden_widths == live.hidden_widths == (7, 7, 7)
    for wide in (dead, live):
        # new terms are products with 0; the order of the sum may differ
        np.testing.assert_allclose(ex.evaluate(wide, POINTS), ex.evaluate(NETWORK, POINTS), rtol=1e-13, atol=1e-14)
    assert live.nonzeros > dead.nonzeros == NETWORK.nonzeros


def test_gradients_reach_new_units_only_with_a_key():
    """Outgoing weights of a new unit are 0; they move only if the unit is alive."""
    dead, live = (gradient(training.widen(NETWORK, 7, key)) for key in (None, jax.random.key(1)))
    assert ensemble.padding_is_zero(dead, [4])
    (_, _), (middle, _), (last, _) = live
    for outgoing in (np.asarray(middle)[:, 0, :4, 4:], np.asarray(last)[0, :, 4:]):
        assert np.any(outgoing != 0)


@pytest.mark.parametrize("layers", [3, 4, 9])
def test_deepening_keeps_the_function(layers):
    deep = training.deepen(NETWORK, layers)
    assert deep.hidden_layers == layers
    np.testing.assert_allclose(ex.evaluate(deep, POINTS), ex.evaluate(NETWORK, POINTS), rtol=1e-13, atol=1e-14)
    assert np.any(np.asarray(gradient(deep)[1][0]) != 0)


@pytest.mark.parametrize("relative", [0.0, 1e-3, 0.1])
def test_perturbation_has_the_stated_size(relative):
    network = ex.ReLUNetwork.from_layers([(np.full((80, 80), 3.0), np.zeros(80)), (np.full((1, 80), -2.0), np.ones(1))])
    noisy = training.perturb(network, jax.random.key(0), relative)
    change = np.asarray(noisy.blocks[0].weight) / 3.0 - 1
    # five standard errors of a standard deviation of 6,400 numbers
    assert abs(change.std() - relative) <= 5 * relative / np.sqrt(2 * 6400)
    assert noisy.nonzeros == network.nonzeros
    assert noisy.blocks[0].weight.dtype == np.float64


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: training.widen(NETWORK, 3), "width 3"),
        (lambda: training.deepen(NETWORK, 2), "2 hidden layers"),
        (lambda: training.perturb(NETWORK, jax.random.key(0), -1.0), "-1"),
        (lambda: training.perturb(NETWORK, jax.random.key(0), float("nan")), "nan"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()
