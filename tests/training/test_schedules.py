"""Policies of the learning rate against Caffe's formulas, and the two places where the rate can stand."""

import math

import numpy as np
import pytest

import expressivity as ex
from expressivity.training import Schedule


def caffe_rate(policy, step, *, base=0.01, gamma=0.0, power=0.0, size=0, values=(), total=0):
    """Caffe's SGDSolver::GetLearningRate, written down again from its description."""
    if policy == "step":
        return base * gamma ** (step // size)
    if policy == "exp":
        return base * gamma**step
    if policy == "inv":
        return base * (1 + gamma * step) ** -power
    if policy == "multistep":
        current = 0
        for value in values:
            if step >= value:
                current += 1
        return base * gamma**current
    assert policy == "poly"
    return base * (1 - step / total) ** power


@pytest.mark.parametrize(
    ("schedule", "policy", "numbers"),
    [
        (Schedule("step", gamma=0.1, every=7), "step", {"gamma": 0.1, "size": 7}),
        (Schedule("exp", gamma=0.9999), "exp", {"gamma": 0.9999}),
        (Schedule("inv", gamma=0.001, power=0.75), "inv", {"gamma": 0.001, "power": 0.75}),
        (Schedule("multistep", gamma=0.5, at=(3, 10, 20)), "multistep", {"gamma": 0.5, "values": (3, 10, 20)}),
        (Schedule("poly", power=2.0), "poly", {"power": 2.0, "total": 31}),
    ],
    ids=str,
)
def test_policies_are_those_of_caffe(schedule, policy, numbers):
    expected = [caffe_rate(policy, step, **numbers) for step in range(31)]
    np.testing.assert_allclose(0.01 * schedule.factors(31), expected, rtol=1e-12)


def test_the_drop_is_at_the_step_that_is_named():
    """Step t = every is the first with the lower rate, and so is every t of `at`."""
    assert Schedule("step", gamma=0.5, every=3).factors(7).tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert Schedule("multistep", gamma=0.5, at=(2, 3)).factors(5).tolist() == [1, 1, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("step", gamma=0.1, every=10),
        Schedule("multistep", gamma=0.2, at=(6, 12, 16)),
        Schedule("exp", gamma=0.9),
        Schedule("inv", gamma=0.1, power=0.75),
        Schedule("poly", power=2.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("ratio", [3, 5])
def test_stretched_is_the_same_curve(schedule, ratio):
    """Every ratio-th factor of the longer run is one of the shorter run."""
    np.testing.assert_allclose(schedule.stretched(ratio).factors(20 * ratio)[::ratio], schedule.factors(20), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kind": "stairs"}, "stairs"),
        ({"kind": "step", "gamma": 0.1}, "every"),
        ({"kind": "step", "gamma": -0.1, "every": 2}, "-0.1"),
        ({"kind": "exp"}, "gamma"),
        ({"kind": "inv", "gamma": 0.1}, "power"),
        ({"kind": "poly", "power": math.inf}, "inf"),
        ({"kind": "multistep", "gamma": 0.1}, r"\(\)"),
        ({"kind": "multistep", "gamma": 0.1, "at": (5, 3)}, "5, 3"),
    ],
)
def test_what_is_no_policy_is_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        Schedule(**arguments)


def run(optimiser, rates, gradients):
    """The weight after each step of `image_program`'s update, with the rate before or after the optimiser."""
    import jax.numpy as jnp
    import optax

    from expressivity.training.recipes import RATE_INSIDE

    transformation = ex.Recipe(1, 1, 1.0, optimiser).transformation()
    weight, weights = jnp.zeros(()), []
    memory = transformation.init(weight)
    for rate, gradient in zip(rates, gradients, strict=True):
        inside = optimiser in RATE_INSIDE
        update, memory = transformation.update(jnp.asarray(rate * gradient if inside else gradient), memory)
        weight = optax.apply_updates(weight, update if inside else rate * update)
        weights.append(float(weight))
    return weights


def test_caffe_and_momentum_part_after_a_drop_of_the_rate():
    """By hand, gradient 1, momentum 0.9, rates 1, 1, 0.1, 0.1.

    Caffe: v = 1, 1.9, 1.81, 1.729, so w = -1, -2.9, -4.71, -6.439: the old velocity rolls on.
    Rate outside: v = 1, 1.9, 2.71, 3.439 times the rate, so w = -1, -2.9, -3.171, -3.5149.
    """
    rates, gradients = [1.0, 1.0, 0.1, 0.1], [1.0] * 4
    np.testing.assert_allclose(run("caffe", rates, gradients), [-1, -2.9, -4.71, -6.439], rtol=1e-6)
    np.testing.assert_allclose(run("momentum", rates, gradients), [-1, -2.9, -3.171, -3.5149], rtol=1e-6)
    same = [0.5] * 4
    np.testing.assert_allclose(run("caffe", same, gradients), run("momentum", same, gradients), rtol=1e-6)


def test_nesterov_of_caffe_by_hand():
    """w -= (1 + m) v' - m v with v' = m v + rate g (Caffe): rates 1, 0.1, gradient 1."""
    first = 1.9 * 1.0
    second = first + 1.9 * (0.9 * 1.0 + 0.1) - 0.9 * 1.0
    np.testing.assert_allclose(run("caffe_nesterov", [1.0, 0.1], [1.0, 1.0]), [-first, -second], rtol=1e-6)


def test_the_training_loop_puts_the_rate_where_the_recipe_says():
    """The bias of the dense layer after steps 1, 2 and 3; the rate drops to a tenth at the third."""
    from expressivity import data, training

    sets = [data.fashion_mnist(split).first(1) for split in ("train", "test")]
    task = training.ImageTask(*sets)
    family = ex.AllConv6(classes=10, channels=(2,))
    schedule = Schedule("step", gamma=0.1, every=2)
    found = {}
    for optimiser in ("caffe", "momentum"):
        recipe, states = ex.Recipe(3, 10, 0.5, optimiser, schedule, initialisation="he"), []
        training.train_images(
            family, ex.Width(), task, (0,), recipe, evaluations=3, keep=lambda now, states=states: states.append(now())
        )
        found[optimiser] = [
            next(leaf for name, leaf in state.arrays.items() if name[:2] == "0/" and leaf.shape == (10,))
            for state in states
        ]
    for before in (0, 1):  # no drop yet
        np.testing.assert_allclose(found["caffe"][before], found["momentum"][before], atol=1e-6)
    # step 2 has a tenth of the rate: Caffe's step is 0.9 v + 0.05 g, the other a tenth of (0.9 v) + 0.05 g
    velocity = found["caffe"][0] - found["caffe"][1]
    apart = found["momentum"][2] - found["caffe"][2]
    np.testing.assert_allclose(apart, 0.9 * velocity * (1 - 0.1), rtol=1e-3, atol=1e-6)
