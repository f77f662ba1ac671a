from typing import Any

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import Slimmable, narrowed
from expressivity.models.objective import cross_entropy, objective
from expressivity.models.slimmable import soft_cross_entropy

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
    for index in (0, 1):  # in training each width keeps the moments of its own pass
        _, own = family.apply(*slim.at(model, state, index), x, training=True)
        for moved, expected in zip(jax.tree.leaves(after[index]), jax.tree.leaves(own), strict=True):
            np.testing.assert_array_equal(moved, expected)
    narrow, narrow_state = slim.at(model, after, 1)
    assert after[0]["bn1"].mean.shape == (16,)
    assert narrow_state["bn1"].mean.shape == (8,)
    assert slim.apply(model, after, x)[1] is after
    np.testing.assert_array_equal(narrow["conv2"].kernel, model.shared["conv2"].kernel[:, :, :8, :8])
    assert logits.shape == family.apply(narrow, narrow_state, x)[0].shape == (4, 5)
    gradient = jax.jit(jax.grad(lambda m: family.apply(*slim.at(m, state, 1), x)[0].sum()))(model)
    dense = abs(np.asarray(gradient.shared["fc"].kernel))
    assert dense[32:].max() == 0 < dense[:32].max()


def test_what_cannot_be_cut():
    uncut: tuple[Any, ...] = (ex.DenseNet(10), ex.ShuffleNet(2), ex.MLP(3))
    for family in uncut:
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


FAMILY = ex.AllConv6(classes=5, channels=(8, 12), batch_norm=True)
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(6, 8, 8, 3)), np.arange(6) % 5


def perturbed(slim: Slimmable, dtype: type = np.float64):
    """A slimmable network whose scales, shifts and biases are no longer those of the start, with images."""
    model, state = slim.init(jax.random.key(0), None, 16)
    moved = [dtype(leaf) + dtype(0.1 * RNG.normal(size=leaf.shape)) for leaf in jax.tree.leaves(model)]
    tree = jax.tree.structure(model)
    return tree.unflatten(moved), jax.tree.map(dtype, state), dtype(IMAGES)


@pytest.mark.parametrize(
    ("sandwich", "distilled"),
    [(None, False), (None, True), (0, False)],
    ids=["switchable", "distilled", "shared norms"],
)
def test_the_loss_is_the_sum_of_those_of_stand_alone_networks(sandwich, distilled):
    slim = Slimmable(FAMILY, WIDTHS, sandwich, distilled)
    with jax.enable_x64(True):
        model, state, x = perturbed(slim)
        loss, after = jax.jit(lambda m: objective(slim, m, state, x, LABELS, None, None))(model)
        used = range(4) if sandwich is None else (0, 3)
        total, teacher = 0.0, None
        for index in used:
            alone, moments = FAMILY.init(jax.random.key(1), WIDTHS[index], 8)
            arrays = ex.models.tensors(*slim.at(model, state, index))
            alone, moments = ex.models.with_tensors(alone, moments, [np.asarray(array) for _, array in arrays])
            logits, moved = FAMILY.apply(alone, moments, x, training=True)
            if index and distilled:
                total += float(soft_cross_entropy(logits, teacher).mean())
            else:
                total += float(cross_entropy(logits, LABELS).mean())
            teacher = jax.nn.softmax(logits) if teacher is None else teacher
            for new, expected in zip(jax.tree.leaves(after[index]), jax.tree.leaves(moved), strict=True):
                np.testing.assert_allclose(new, expected, rtol=1e-12, atol=1e-15)
        assert float(loss) == pytest.approx(total, rel=1e-12)
        for index in set(range(4)) - set(used):  # taken anew after training
            assert after[index] is state[index] or jax.tree.all(
                jax.tree.map(lambda a, b: bool((a == b).all()), after[index], state[index])
            )


def test_what_lies_outside_a_narrow_width_learns_from_the_wide_ones_alone():
    slim, wide = Slimmable(FAMILY, WIDTHS[::3]), Slimmable(FAMILY, WIDTHS[:1])
    with jax.enable_x64(True):
        model, state, x = perturbed(slim)

        def gradient(family, model, state):
            return jax.jit(jax.grad(lambda m: family.objective(m, state, x, LABELS, None, None)[0]))(model)

        both = gradient(slim, model, state).shared
        first = gradient(wide, type(model)(model.shared, model.norms[:1]), state[:1]).shared
        narrow = jax.jit(
            jax.grad(lambda m: cross_entropy(FAMILY.apply(*slim.at(m, state, 1), x, True)[0], LABELS).mean())
        )(model)
    for name, layer in narrow.shared:
        inside = np.zeros(layer.kernel.shape, bool)
        cut = {spec.name: spec.shapes["kernel"] for spec in FAMILY.layers(WIDTHS[3], 8) if spec.kind != "batch_norm"}
        inside[tuple(map(slice, cut[name]))] = True
        assert np.all(np.asarray(layer.kernel)[~inside] == 0)
        assert np.asarray(layer.kernel)[inside].any()
        scale = abs(np.asarray(first[name].kernel)).max()
        np.testing.assert_allclose(both[name].kernel, first[name].kernel + layer.kernel, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(
            np.asarray(both[name].kernel)[~inside], np.asarray(first[name].kernel)[~inside], rtol=0, atol=1e-13 * scale
        )
    for number in (0, 1):
        assert all(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(narrow.norms[number])) == (number == 1)


def test_no_gradient_flows_through_the_teacher():
    slim = Slimmable(FAMILY, WIDTHS[::3], distilled=True)
    with jax.enable_x64(True):
        model, state, x = perturbed(slim)
        found = jax.jit(jax.grad(lambda m: slim.objective(m, state, x, LABELS, None, None)[0]))(model)
        wide, _ = FAMILY.apply(*slim.at(model, state, 0), x, True)

        def by_hand(m):
            logits = [FAMILY.apply(*slim.at(m, state, index), x, True)[0] for index in (0, 1)]
            soft = -(jax.nn.softmax(wide) * jax.nn.log_softmax(logits[1])).sum(1).mean()  # `wide` is a constant here
            return cross_entropy(logits[0], LABELS).mean() + soft

        expected = jax.jit(jax.grad(by_hand))(model)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


ZEROS = [
    (ex.AllConv6(classes=5, channels=(8, 12), batch_norm=True), 8, "nhwc"),
    (ex.AllConv6(classes=5, channels=(8, 12)), 8, "batch_last"),
    pytest.param(ex.MobileNet(classes=5, shallow=True), 16, "nhwc", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("family", "size", "layout"), ZEROS, ids=lambda value: repr(value)[:32])
def test_a_masked_network_is_the_narrow_one(family, size, layout):
    slim = Slimmable(family, (ex.Width(0.5), ex.Width(0.25), ex.Width(0.125)), sandwich=1)
    with jax.enable_x64(True):
        model, state, _ = perturbed(slim)
        x = RNG.normal(size=(3, size, size, 3))
        masked = jax.jit(lambda share: family.apply(slim.masked(model, share), state[0], x, True, layout=layout)[0])
        for index, share in ((1, 1 / 3), (2, 0.0)):
            narrow, _ = family.apply(*slim.at(model, state, index), x, True, layout=layout)
            np.testing.assert_allclose(masked(share), narrow, rtol=0, atol=1e-9 * float(abs(narrow).max()))


def test_a_sandwich_draws_widths_by_its_key():
    slim = Slimmable(FAMILY, WIDTHS, sandwich=2)
    assert slim.parameters == ex.parameters(FAMILY, WIDTHS[0])
    model, state, x = perturbed(slim, np.float32)
    step = jax.jit(lambda key: slim.objective(model, state, x, LABELS, key, None)[0])
    losses = [float(step(jax.random.key(seed))) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    none = float(Slimmable(FAMILY, WIDTHS, sandwich=0).objective(model, state, x, LABELS, None, None)[0])
    assert min(losses) > none
    with pytest.raises(ValueError, match="2 random widths needs a key"):
        slim.objective(model, state, x, LABELS, None, None)


def test_sandwiches_that_are_refused():
    with pytest.raises(TypeError, match="whole number; got True"):
        Slimmable(FAMILY, WIDTHS, sandwich=True)
    with pytest.raises(ValueError, match="at least 0 random widths, not -1"):
        Slimmable(FAMILY, WIDTHS, sandwich=-1)
    with pytest.raises(ValueError, match="the last width is the narrowest"):
        Slimmable(FAMILY, (WIDTHS[0], WIDTHS[3], WIDTHS[2]), sandwich=1)
    doubled = ex.AllConv6(1, activation="crelu")
    with pytest.raises(ValueError, match="CReLU cannot be cut"):
        Slimmable(doubled, WIDTHS)
    with pytest.raises(ValueError, match="CReLU cannot be cut"):
        ex.models.narrowed(doubled, *doubled.init(jax.random.key(0), "1x", 32), "0.5x")
    for family in (ex.CifarResNet(8, 5), ex.WideResNet(10, 5)):  # a shortcut reads the stem, which never narrows
        with pytest.raises(ValueError, match=f"a {type(family).__name__} cannot be switched off by zeros: its layer"):
            Slimmable(family, WIDTHS, sandwich=1)


@pytest.mark.parametrize("sandwich", [None, 1])
def test_the_engine_trains_every_width_at_once(sandwich):
    sets = [ex.data.fashion_mnist(split).first(20) for split in ("train", "test")]
    task = ex.training.ImageTask(sets[0], sets[1])
    slim = Slimmable(ex.AllConv6(classes=10, channels=(8, 16), batch_norm=True), WIDTHS[::2], sandwich, True)
    recipe = ex.Recipe(150, 50, 1e-2, schedule="cosine", statistics="recomputed")
    result = ex.training.train_images(slim, WIDTHS[0], task, (0,), recipe)
    model, state = result.networks[0]
    pipe = task.pipe
    assert pipe is not None
    x = pipe(task.test.images)
    for index in (0, 1):
        logits, _ = slim.family.apply(*slim.at(model, state, index), x)
        # of 200 images guessing tells 20 +- 4.2 right; 50 is 7 standard deviations away
        assert int((np.asarray(logits).argmax(1) == task.test.labels).sum()) > 50
