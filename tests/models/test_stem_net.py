"""The family whose first layer alone scales."""

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import folded


@pytest.mark.parametrize(
    ("kernel", "stride", "inputs", "side", "batch_norm", "activation", "body"),
    [
        (7, 2, 1, 28, True, "relu", (32, 64)),
        (11, 4, 3, 32, True, "crelu", (16, 24, 40)),
        (3, 1, 3, 32, False, "relu", (8,)),
    ],
)
def test_closed_forms_of_parameters_and_macs(kernel, stride, inputs, side, batch_norm, activation, body):
    net = ex.StemNet(kernel, 12, 10, batch_norm, stride, body, activation)
    for width, c in ((ex.Width(), 12), ("0.5x", 6), (3, 3)):
        read = 2 * c if activation == "crelu" else c
        extra = 2 if batch_norm else 1
        chain = [read, *body]
        expected = kernel**2 * inputs * c + extra * c + (body[-1] + 1) * 10
        expected += sum(9 * a * b + extra * b for a, b in zip(chain, body, strict=False))
        specs = net.layers(width, (side, side, inputs))
        assert sum(spec.parameters for spec in specs) == expected
        out = (side + 2 * ((kernel - 1) // 2) - kernel) // stride + 1
        cost = kernel**2 * inputs * c * out**2 + body[-1] * 10
        for a, b in zip(chain, body, strict=False):
            out = (out - 1) // 2 + 1
            cost += 9 * a * b * out**2
        assert ex.macs(net, width, (side, side, inputs)) == cost
    assert net.width_dims(5) == {"stem": 5}


def test_cost_is_linear_in_the_width():
    net = ex.StemNet()
    counts = [ex.parameters(net, width) for width in (8, 16, 24)]
    assert counts[2] - counts[1] == counts[1] - counts[0] == 8 * (49 + 2 + 9 * 32)


def test_folding_gives_the_same_outputs_and_the_first_layer():
    net = ex.StemNet(kernel=5, stem=6, body=(4,))
    model, state = net.init(jax.random.key(0), ex.Width())
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype(np.float32)
    logits, state = net.apply(model, state, x, training=True)  # running moments that are not 0 and 1
    assert logits.shape == (3, 10)
    kernel, bias = folded(net, model, state)["stem"]
    running, norm = state["stem_bn"], model["stem_bn"]
    gain = np.asarray(norm.scale) / np.sqrt(np.asarray(running.variance) + 1e-5)
    np.testing.assert_allclose(kernel, np.asarray(model["stem"].kernel) * gain, rtol=1e-6)
    assert bias is not None
    np.testing.assert_allclose(bias, -np.asarray(running.mean) * gain, rtol=1e-5, atol=1e-7)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="kernel of a StemNet is at least 1, not 0"):
        ex.StemNet(kernel=0)
    with pytest.raises(TypeError, match=r"body of a StemNet is a whole number, not 1\.5"):
        ex.StemNet(body=(1.5,))
    with pytest.raises(ValueError, match="activation is one of"):
        ex.StemNet(activation="tanh")
    with pytest.raises(ValueError, match="image is too small"):
        ex.StemNet(kernel=4).layers("1x", (1, 1, 1))
