"""Recipes of the original runs, against the numbers of their sources."""

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity import training
from expressivity.training.originals import originals
from expressivity.training.parametrisation import leaf_factors

# name: (steps, batch size, rate, optimiser, weight decay, what decays)
PUBLISHED = {
    "allconv6": (100_000, 64, 0.01, "caffe", 0.005, "caffe"),
    "allconv6_step_369": (100_000, 64, 0.01, "caffe", 0.005, "caffe"),
    "wide_resnet": (78_000, 128, 0.1, "nesterov", 0.0005, "all"),
    "densenet": (234_300, 64, 0.1, "nesterov", 0.0001, "all"),
    "mobilenet": (4_003_600, 32, 0.045, "rmsprop_momentum", 0.00004, "no_depthwise"),
}
# name: {step: rate}, on both sides of every drop
RATES = {
    "allconv6": {0: 1e-2, 9_999: 1e-2, 10_000: 1e-3, 20_000: 1e-4, 99_999: 1e-11},
    "allconv6_step_369": {29_999: 1e-2, 30_000: 1e-3, 60_000: 1e-4, 99_999: 1e-5},
    "allconv6_fixed_0.001": {0: 1e-3, 99_999: 1e-3},
    "allconv6_exp": {0: 1e-2, 10_000: 1e-2 * 0.36786104643297046},  # 0.9999^10000
    "allconv6_inv": {0: 1e-2, 99_999: 1e-2 / 31.857},  # 101^0.75 = 31.86
    "allconv6_multistep": {9_999: 1e-2, 10_000: 5e-3, 30_000: 2.5e-3, 60_000: 1.25e-3},
    "allconv6_poly": {0: 1e-2, 50_000: 2.5e-3},
    "allconv6_momentum_0.8": {9_999: 1e-2, 10_000: 1e-3},
    "allconv6_adadelta": {0: 1.0, 99_999: 1.0},
    "allconv6_adam_1e-05": {0: 1e-5},
    "wide_resnet": {0: 0.1, 23_399: 0.1, 23_400: 0.02, 46_800: 0.004, 62_400: 0.0008, 77_999: 0.0008},
    "densenet": {117_149: 0.1, 117_150: 0.01, 175_725: 0.001},
    "mobilenet": {0: 0.045, 80_071: 0.045, 80_072: 0.0423, 160_144: 0.039762},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_the_sources(name):
    recipe = training.original_recipe(name)
    found = (recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.optimiser, recipe.weight_decay, recipe.decay)
    assert found == PUBLISHED[name]


@pytest.mark.parametrize("name", RATES)
def test_rates_at_steps(name):
    recipe = training.original_recipe(name)
    rates = recipe.learning_rate * recipe.factors()
    for step, rate in RATES[name].items():
        assert rates[step] == pytest.approx(rate, rel=1e-4), step


def test_epochs_of_allconv6():
    """100,000 batches of 64 out of 9,000 images."""
    recipe = training.original_recipe("allconv6")
    assert recipe.steps * recipe.batch_size / 9000 == pytest.approx(711, abs=0.5)


@pytest.mark.parametrize("name", originals())
def test_a_shorter_run_has_the_same_curve(name):
    whole = training.original_recipe(name)
    ratio = 20 if whole.steps % 20 == 0 else whole.steps // 1000
    short = training.original_recipe(name, whole.steps // ratio)
    assert short.steps == whole.steps // ratio
    places = np.arange(0, short.steps, max(1, short.steps // 97))
    if name != "mobilenet":  # its 50 drops do not fall on whole steps of the short run
        np.testing.assert_allclose(short.factors()[places], whole.factors()[places * ratio], rtol=1e-9)
    assert short.fingerprint != whole.fingerprint


def test_every_recipe_says_where_it_is_from_and_has_an_address_of_its_own():
    known = originals()
    assert len({one.recipe.fingerprint for one in known.values()}) == len(known)
    assert {one.source for one in known.values()} == {
        "longpeng2019",
        "zagoruyko_komodakis2016",
        "huang2017",
        "howard2017",
    }
    assert "no learning rate" in known["mobilenet"].note


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match="'alexnet'"):
        training.original_recipe("alexnet")


def leaves(family, size, decay):
    """{layer/field: (rate factor, share of decay)}"""
    model, _ = jax.eval_shape(lambda: family.init(jax.random.key(0), ex.Width(), size))
    names = [
        f"{name}/{field}"
        for name, layer in model
        for field in ("kernel", "bias", "scale", "shift")
        if getattr(layer, field, None) is not None
    ]
    rates, decays = leaf_factors(model, family.layers(ex.Width(), size), decay, None)
    assert len(names) == len(rates)
    return dict(zip(names, zip(rates, decays, strict=True), strict=True))


def test_caffe_factors_of_allconv6():
    """Kernels x1 x1, biases of convolutions x2 x0, the dense layer has no block of its own: x1 x1 for both."""
    found = leaves(ex.AllConv6(1), 32, "caffe")
    expected = {f"conv{l}/kernel": (1.0, 1.0) for l in range(1, 6)} | {f"conv{l}/bias": (2.0, 0.0) for l in range(1, 6)}
    assert found == expected | {"fc/kernel": (1.0, 1.0), "fc/bias": (1.0, 1.0)}


def test_caffe_decays_scales_and_shifts_of_batch_norm():
    found = leaves(ex.AllConv6(1, batch_norm=True), 32, "caffe")
    assert found["bn1/scale"] == found["bn1/shift"] == (1.0, 1.0)
    assert found["conv1/bias"] == (2.0, 0.0)


@pytest.mark.parametrize(
    ("decay", "depthwise", "pointwise", "scale"),
    [("all", 1.0, 1.0, 1.0), ("kernels", 1.0, 1.0, 0.0), ("no_depthwise", 0.0, 1.0, 0.0), ("caffe", 1.0, 1.0, 1.0)],
)
def test_what_decays_in_a_mobilenet(decay, depthwise, pointwise, scale):
    family = ex.MobileNet(classes=10)
    specs = {spec.name: spec for spec in family.layers(ex.Width(0.25), 32)}
    model, _ = jax.eval_shape(lambda: family.init(jax.random.key(0), ex.Width(0.25), 32))
    rates, shares = leaf_factors(model, tuple(specs.values()), decay, None)
    seen = {"depthwise": set(), "pointwise": set(), "scale": set()}
    places = iter(shares)
    for name, layer in model:
        for leaf in jax.tree.leaves(layer):
            share, spec = next(places), specs[name]
            if leaf.ndim == 4 and spec.groups > 1:
                seen["depthwise"].add(share)
            elif leaf.ndim == 4:
                seen["pointwise"].add(share)
            elif spec.kind == "batch_norm":
                seen["scale"].add(share)
    assert seen == {"depthwise": {depthwise}, "pointwise": {pointwise}, "scale": {scale}}
    assert set(rates) == {1.0}


def test_a_decayed_weight_shrinks_by_hand():
    """With a gradient of 0 a step of Caffe's solver is w (1 - rate * decay), and biases of convolutions stay."""
    from expressivity import data

    sets = [data.fashion_mnist(split).first(1) for split in ("train", "test")]
    task = training.ImageTask(*sets, pipe=data.Pipe(mean=0.0, deviation=1e30))  # images are 0 in effect
    family = ex.AllConv6(classes=10, channels=(3, 4))
    recipe = training.original_recipe("allconv6", 1)
    model, _ = training.train_images(family, ex.Width(), task, (0,), recipe).networks[0]
    start, _ = family.init(jax.random.fold_in(jax.random.key(0), 0), ex.Width(), task.input_size)
    for name, layer in start:
        after = np.asarray(next(one.kernel for other, one in model if other == name))
        np.testing.assert_allclose(after, np.asarray(layer.kernel) * (1 - 0.01 * 0.005), rtol=1e-6)
