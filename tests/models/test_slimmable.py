import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import Slimmable, narrowed

WIDTHS = tuple(ex.Width(alpha) for alpha in (1, 0.75, 0.5, 0.25))


def test_counts_of_the_slimmable_mobilenet():
    slim = Slimmable(ex.MobileNet(), WIDTHS)
    assert slim.parameters == 4264808
    norms = sum(ex.models.batch_norm_parameters(ex.MobileNet(), width) for width in WIDTHS)
    assert norms == 54720
    model, _ = jax.eval_shape(lambda key: slim.init(key, None, 32), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(model)) == 4264808


FAMILIES = [
    (ex.AllConv6(1, classes=5, batch_norm=True), 32),
    (ex.MobileNet(classes=5, shallow=True), 32),
    (ex.CifarResNet(8, 5), 32),
    (ex.SlimResNet(18, 5), 32),
]


@pytest.mark.parametrize(("family", "size"), FAMILIES, ids=lambda value: type(value).__name__)
def test_a_cut_network_is_the_stand_alone_network_with_the_cut_weights(family, size):
    model, state = family.init(jax.random.key(0), ex.Width(0.5), size)
    small, moments = narrowed(family, model, state, ex.Width(0.25))
    alone, alone_state = jax.eval_shape(lambda key: family.init(key, ex.Width(0.25), size), jax.random.key(0))
    assert jax.tree.structure((small, moments)) == jax.tree.structure((alone, alone_state))
    shapes = [leaf.shape for leaf in jax.tree.leaves((alone, alone_state))]
    assert [leaf.shape for leaf in jax.tree.leaves((small, moments))] == shapes
    for (name, cut), (_, whole) in zip(ex.models.tensors(small, moments), ex.models.tensors(model, state), strict=True):
        np.testing.assert_array_equal(cut, whole[tuple(map(slice, cut.shape))], err_msg=name)


def test_each_width_has_its_own_norm_and_shares_the_weights():
    family = ex.AllConv6(1, classes=5, batch_norm=True)
    slim = Slimmable(family, WIDTHS[::2])
    model, state = slim.init(jax.random.key(0), None, 32)
    x = np.float32(np.random.default_rng(0).normal(size=(4, 32, 32, 3)))
    logits, after = slim.apply(model, state, x, training=True)
    narrow, narrow_state = slim.at(model, after, 1)
    np.testing.assert_array_equal(narrow_state["bn1"].mean, 0)  # the widest has moved, this one has not
    assert float(abs(after[0]["bn1"].mean).max()) > 0
    np.testing.assert_array_equal(narrow["conv2"].kernel, model.shared["conv2"].kernel[:, :, :8, :8])
    assert logits.shape == family.apply(narrow, narrow_state, x)[0].shape == (4, 5)
    gradient = jax.jit(jax.grad(lambda m: family.apply(*slim.at(m, state, 1), x)[0].sum()))(model)
    dense = abs(np.asarray(gradient.shared["fc"].kernel))
    assert dense[32:].max() == 0 < dense[:32].max()


def test_what_cannot_be_cut():
    for family in (ex.DenseNet(10), ex.ShuffleNet(2), ex.MLP(3)):
        with pytest.raises(ValueError, match=f"A {type(family).__name__} cannot be cut"):
            Slimmable(family, WIDTHS)
    with pytest.raises(ValueError, match="The first width is the widest"):
        Slimmable(ex.MobileNet(), WIDTHS[::-1])
    with pytest.raises(ValueError, match="at least one width"):
        Slimmable(ex.MobileNet(), ())
    family = ex.AllConv6(1)
    with pytest.raises(ValueError, match="would have to make it wider"):
        narrowed(family, *family.init(jax.random.key(0), ex.Width(), 32), ex.Width(2))
    with pytest.raises(ValueError, match="made at its widest width"):
        Slimmable(ex.MobileNet(), WIDTHS).init(jax.random.key(0), ex.Width(0.5))
