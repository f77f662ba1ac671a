"""MuP: coordinates that stay put as the width grows, the two published forms, factors by layer."""

import functools

import jax
import numpy as np
import optax
import pytest
from jax import lax

import expressivity as ex
from expressivity.data import Pipe
from expressivity.training import MuP
from expressivity.training import image_program as program

OPTIMISED = True  # trainings here take longer than their compiling
SIZE, CLASSES, BATCH = (8, 8, 1), 4, 16
BASE = ex.AllConv6(classes=CLASSES, channels=(8, 16, 16))
WIDTHS = (4, 16)
SEEDS = 12
RATES = {"sgd": 0.2, "momentum": 0.05, "adam": 0.01}
PIPE = Pipe(mean=127.5, deviation=74.0)  # noise of deviation 1


@functools.cache
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, *SIZE)).astype(np.uint8)
    return images, rng.integers(0, CLASSES, BATCH).astype(np.int32)


def plain(arrays, x, multiplier=1.0):
    """Outputs of every layer, by `lax.conv`; the last kernel is multiplied by the multiplier."""
    outputs = []
    for kernel, bias in arrays[:-1]:
        x = lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = x + bias.reshape(1, 1, 1, -1)
        outputs.append(x)
        x = jax.nn.relu(x)
    kernel, bias = arrays[-1]
    return [*outputs, x.mean((1, 2)) @ (multiplier * kernel) + bias.reshape(1, -1)]


def pairs(model):
    return [(layer.kernel, layer.bias) for _, layer in model]


def shape_of(width, optimiser, double=False):
    return program.ImageShape(
        BASE, ex.Width(width), SIZE, PIPE, BATCH, 1, optimiser, "kernels", "float32", "nhwc", "step", 0, double
    )


@functools.cache
def compiled(width, optimiser, rule):
    """(shape, factors by layer, one step, outputs of all layers), the last two as compiled programs."""
    shape, x = shape_of(width, optimiser), PIPE(batch()[0])
    step = jax.jit(program.step_function(shape))
    return shape, shape.factors(rule), step, jax.jit(lambda model: plain(pairs(model), x))


@functools.cache
def slopes(optimiser, mup, initialisation="he", steps=3):
    """Exponents in the width of the mean |output - output at the start| of every layer, (steps + 1, layers).

    In the row of step 0, of the mean |output| itself.
    """
    table, key = [], jax.random.key(1)
    for width in WIDTHS:
        shape, factors, step, outputs = compiled(width, optimiser, MuP(BASE) if mup else None)
        seen = []
        for seed in range(SEEDS):
            model, state = program.fresh(shape, jax.random.key(seed), initialisation, factors)
            constants = program.constants(shape, PIPE, model, factors)
            carry, start = (model, state, program.start_function(shape)(model)), outputs(model)
            sizes = [[float(abs(np.asarray(one)).mean()) for one in start]]
            for _ in range(steps):
                carry, _ = step(carry, *batch(), key, key, RATES[optimiser], 0.0, constants)
                now = outputs(carry[0])
                sizes.append(
                    [float(abs(np.asarray(b) - np.asarray(a)).mean()) for a, b in zip(start, now, strict=True)]
                )
            seen.append(sizes)
        table.append(np.mean(seen, 0))
    return np.log(table[1] / table[0]) / np.log(WIDTHS[1] / WIDTHS[0])


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_coordinates_stay_put_with_mup(optimiser):
    """Every layer moves by an amount that does not depend on the width, at each of three steps."""
    found = slopes(optimiser, True)
    assert np.abs(found[0, :-1]).max() < 0.12  # at the start
    assert np.abs(found[1:]).max() < 0.12


def test_the_output_at_the_start_falls_as_the_root_of_the_width():
    """Against the standard form, whose draws are the same: 1/sqrt(m) of it."""
    assert slopes("sgd", True)[0, -1] - slopes("sgd", False)[0, -1] == pytest.approx(-0.5, abs=1e-4)


def test_standard_adam_moves_more_the_wider():
    """A step of Adam moves every weight alike, and a sum over m times as many inputs m times as far."""
    found = slopes("adam", False)
    np.testing.assert_allclose(found[1, :2], [0.0, 1.0], atol=0.12)
    assert found[1, -1] > 1.2
    assert found[2:, 1].min() > 0.5


def test_the_first_step_of_standard_sgd_has_the_exponents_of_theory():
    """At one learning rate: the first layer moves as width^(-1/2), inner ones as width^(1/2), the output as width."""
    np.testing.assert_allclose(slopes("sgd", False)[1], [-0.5, 0.5, 0.5, 1.0], atol=0.2)


def test_the_original_deviation_grows_with_the_width_at_the_start():
    """Deviation 0.01 at every width multiplies by sqrt(width) a layer, from conv2 on."""
    found = slopes("sgd", False, "original", 0)[0]
    np.testing.assert_allclose(found[:3], [0.0, 0.5, 1.0], atol=0.12)


# --- the published form: a multiplier 1/m in front of the output, other spreads and rates ---


def published_rates(specs, base, adaptive):
    """(kernel, bias) rates by layer as the package `mup` has them: its optimisers scale by the ratios of dimensions."""
    rates = []
    for number, (spec, old) in enumerate(zip(specs, base, strict=True)):
        ratio_in, ratio_out = (spec.shapes["kernel"][axis] / old.shapes["kernel"][axis] for axis in (-2, -1))
        infinite_in, infinite_out = number > 0, number < len(specs) - 1
        if infinite_in and infinite_out:  # matrix-like
            kernel = 1 / ratio_in if adaptive else ratio_out / ratio_in
        else:  # vector-like: one dimension grows
            kernel = 1.0 if adaptive else ratio_out * ratio_in
        bias = ratio_out if infinite_out and not adaptive else 1.0
        rates.append((kernel, bias))
    return rates


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
def test_both_forms_are_the_same_training(optimiser):
    width, m = 4, 4.0
    with jax.enable_x64(True):
        specs = BASE.layers(ex.Width(width), SIZE)
        rates = published_rates(specs, BASE.layers(ex.Width(), SIZE), optimiser == "adam")
        shape = shape_of(width, optimiser, double=True)
        factors = shape.factors(MuP(BASE))
        model, state = program.fresh(shape, jax.random.key(0), "he", factors)
        constants = program.constants(shape, PIPE, model, factors)
        # theirs: spread times sqrt(m) of the usual, where ours has 1/sqrt(m) of it
        arrays = pairs(model)
        arrays[-1] = (m * arrays[-1][0], arrays[-1][1])
        images, labels = batch()
        x = PIPE(images).astype(float)

        def loss(arrays):
            logits = plain(arrays, x, 1 / m)[-1]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        made = {"sgd": optax.sgd(1.0), "momentum": optax.sgd(1.0, momentum=0.9), "adam": optax.adam(1.0)}[optimiser]
        memory = made.init(arrays)
        carry = (model, state, program.start_function(shape)(model))
        step, slope, key = jax.jit(program.step_function(shape)), jax.jit(jax.grad(loss)), jax.random.key(1)
        for _ in range(3):
            carry, _ = step(carry, images, labels, key, key, RATES[optimiser], 0.0, constants)
            updates, memory = made.update(slope(arrays), memory)
            scaled = jax.tree.map(lambda u, factor: RATES[optimiser] * factor * u, updates, rates)
            arrays = optax.apply_updates(arrays, scaled)
        ours, theirs = plain(pairs(carry[0]), x)[-1], plain(arrays, x, 1 / m)[-1]
        start = plain(pairs(model), x)[-1]
    assert np.abs(ours - start).max() > 1e-2  # it moved
    np.testing.assert_allclose(ours, theirs, rtol=1e-4 if optimiser == "adam" else 1e-9, atol=1e-6)


# --- factors by layer ---


@pytest.mark.parametrize("optimiser", ["momentum", "adam", "rmsprop"])
@pytest.mark.parametrize(
    ("family", "size"),
    [
        (ex.AllConv6(3), 32),
        (ex.AllConv6(1, batch_norm=True), 32),
        (ex.MobileNet(classes=10), 32),
        (ex.WideResNet(10, 10), 32),
        (ex.DenseNet(10, 4, 10), 32),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_base_network_is_left_as_it_is(family, size, optimiser):
    factors = MuP(family).factors(family, ex.Width(), size, optimiser)
    assert set(factors) == {spec.name for spec in family.layers(ex.Width(), size)}
    assert {(f.spread, f.kernel_rate, f.other_rate) for f in factors.values()} == {(1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("optimiser", "first", "depthwise", "inner", "scale"),
    [
        ("momentum", 2.0, 2.0, 1.0, 2.0),
        ("adam", 1.0, 1.0, 0.5, 1.0),
    ],
)
def test_factors_of_a_mobilenet_of_twice_the_width(optimiser, first, depthwise, inner, scale):
    family = ex.MobileNet(classes=10)
    factors = MuP(family, ex.Width(0.25)).factors(family, ex.Width(0.5), 32, optimiser)
    specs = [spec for spec in family.layers(ex.Width(0.5), 32)]
    kernels = [spec for spec in specs if "kernel" in spec.shapes]
    assert factors[kernels[0].name].kernel_rate == first
    assert {factors[s.name].kernel_rate for s in kernels if s.groups > 1} == {depthwise}
    assert {factors[s.name].kernel_rate for s in kernels[1:-1] if s.groups == 1} == {inner}
    assert {factors[s.name].other_rate for s in specs if "scale" in s.shapes} == {scale}
    last = factors[kernels[-1].name]
    assert (last.spread, last.kernel_rate, last.other_rate) == (2**-0.5, 0.5, 1.0)


def test_unequal_ratios_of_the_variants():
    """allconv6_4 against allconv6_1: only conv5 is wider, twice."""
    rule = MuP(ex.AllConv6(1))
    found = rule.factors(ex.AllConv6(4), ex.Width(), 32, "momentum")
    rates = {name: (f.kernel_rate, f.other_rate) for name, f in found.items()}
    assert rates == {
        **{f"conv{l}": (1.0, 1.0) for l in range(1, 5)},
        "conv5": (2.0, 2.0),
        "fc": (0.5, 1.0),
    }
    adam = rule.factors(ex.AllConv6(4), ex.Width(), 32, "adam")
    assert [f.kernel_rate for f in adam.values()] == [1, 1, 1, 1, 1, 0.5]


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match="same layers"):
        MuP(ex.AllConv6(1)).factors(ex.AllConv6("allconv5"), ex.Width(), 32, "adam")
    with pytest.raises(TypeError, match="image family"):
        MuP(ex.MLP(2))  # type: ignore[arg-type]
