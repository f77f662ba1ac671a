"""Both layouts compute the same: logits, running moments and gradients of every family, in float64."""

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import winograd, winograd_rows

FAMILIES = [
    (ex.AllConv6(1, classes=4, dropout=0.5), 32),
    (ex.AllConv6("allconv5", classes=4, batch_norm=True, activation="crelu"), 42),
    (ex.ConvPoolCNNC(4), 17),
    pytest.param(ex.MobileNet(classes=4, shallow=True), 41, marks=pytest.mark.slow),
    (ex.WideResNet(10, 4), 12),
    (ex.CifarResNet(8, 4), 11),
    (ex.DenseNet(7, 12, 4, bottleneck=False), 8),
    pytest.param(ex.ShuffleNet(1, 4, groups=2), 32, marks=pytest.mark.slow),
    pytest.param(ex.ShuffleNet(2, 4), 32, marks=pytest.mark.slow),
    pytest.param(ex.ImageNetResNet(18, 4), 33, marks=pytest.mark.slow),
]
WIDTHS = {"ShuffleNet": ex.Width(0.5, divisor=8), "ConvPoolCNNC": ex.Width(0.1), "DenseNet": ex.Width(0.5)}


@pytest.mark.parametrize(("family", "size"), FAMILIES)
def test_both_layouts_compute_the_same(family, size):
    width = WIDTHS.get(type(family).__name__, ex.Width(0.25))
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        model, state = family.init(jax.random.key(0), width, size, initialisation="he")
        x, weights = rng.normal(size=(3, size, size + 1, 3)), rng.normal(size=(3, 4))

        def loss(model, layout):
            logits, after = family.apply(model, state, x, True, jax.random.key(1), layout)
            return (weights * logits).sum(), (logits, after)

        gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
        one, two = gradient(model, "nhwc"), gradient(model, "batch_last")
        still = [
            jax.jit(lambda model, layout=layout: family.apply(model, state, x, layout=layout)[0])(model)
            for layout in ("nhwc", "batch_last")
        ]
    # sums of up to 10^5 numbers in another order, through batch norms that amplify: 1e-10 of the largest
    for a, b in zip(jax.tree.leaves((one, still[0])), jax.tree.leaves((two, still[1])), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1.0, abs(a).max()))


# families of this test alone (one that is compiled already would not be traced again), width, size of the images, and
# the inputs of the convolutions that minimal filtering computes
FILTERED = [
    (winograd, ex.AllConv6(classes=3, channels=(64, 64, 65)), ex.Width(), 32, [(64, 16, 16, 32)]),
    (winograd_rows, ex.WideResNet(10, 3), ex.Width(2), 8, [(32, 8, 8, 32)]),
]


@pytest.mark.parametrize(("way", "family", "width", "size", "inputs"), FILTERED)
def test_both_layouts_compute_the_same_where_minimal_filtering_is_used(way, family, width, size, inputs, monkeypatch):
    used = []
    dense = way.dense
    monkeypatch.setattr(way, "dense", lambda window, x, kernel: used.append(x.shape) or dense(window, x, kernel))
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        model, state = family.init(jax.random.key(0), width, size, initialisation="he")
        x, weights = rng.normal(size=(32, size, size, 3)), rng.normal(size=(32, 3))
        gradients = [
            jax.grad(lambda model, layout=layout: (weights * family.apply(model, state, x, layout=layout)[0]).sum())(
                model
            )
            for layout in ("nhwc", "batch_last")
        ]
    assert used == inputs
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        largest = abs(np.asarray(a)).max()
        assert largest > 0
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * largest)  # sums of 10^3 numbers in another order


def test_a_layout_that_does_not_exist():
    family = ex.AllConv6(1)
    model, state = family.init(jax.random.key(0), ex.Width(), 32)
    with pytest.raises(ValueError, match="batch_last, nhwc; got 'nchw'"):
        family.apply(model, state, np.zeros((1, 32, 32, 3), np.float32), layout="nchw")
