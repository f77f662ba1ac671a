import numpy as np
import optax
import pytest

import expressivity as ex


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [1, 0.75, 0.5, 0.25]), ("constant", [1, 1, 1, 1]), ("cosine", [1, 0.8535533905932737, 0.5, 0.1464466])],
)
def test_schedules(schedule, expected):
    np.testing.assert_allclose(ex.Recipe(4, 8, 0.1, schedule=schedule).factors(), expected, rtol=1e-6)


def test_rates_one_or_one_a_seed():
    assert ex.Recipe(4, 8, 0.1).rates(3).tolist() == [0.1, 0.1, 0.1]
    assert ex.Recipe(4, 8, (0.1, 0.2)).rates(2).tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="2 learning rates for 3 seeds"):
        ex.Recipe(4, 8, (0.1, 0.2)).rates(3)


def test_fingerprint_tells_recipes_apart():
    recipes = [
        ex.Recipe(4, 8, 0.1),
        ex.Recipe(5, 8, 0.1),
        ex.Recipe(4, 9, 0.1),
        ex.Recipe(4, 8, 0.2),
        ex.Recipe(4, 8, (0.1, 0.2)),
        ex.Recipe(4, 8, 0.1, "sgd"),
        ex.Recipe(4, 8, 0.1, schedule="cosine"),
        ex.Recipe(4, 8, 0.1, optax.sgd(1.0), name="mine"),
    ]
    assert len({recipe.fingerprint for recipe in recipes}) == len(recipes)
    assert ex.Recipe(4, 8, np.float64(0.1)).fingerprint == recipes[0].fingerprint
    assert ex.Recipe(4, 8, [0.1, 0.2]).fingerprint == recipes[4].fingerprint  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name it"):
        _ = ex.Recipe(4, 8, 0.1, optax.sgd(1.0)).fingerprint


@pytest.mark.parametrize(
    "optimiser", ["adam", "sgd", "momentum", "rmsprop", "adadelta", "adagrad", "adamw", "lion", "nadam", "radam"]
)
def test_named_optimisers_are_linear_in_the_learning_rate(optimiser):
    """The loop multiplies updates at learning rate 1; optax at that rate must give the same."""
    rate, gradient = 0.125, np.linspace(-1.0, 1.0, 5).astype(np.float32)
    made = optax.sgd(rate, momentum=0.9) if optimiser == "momentum" else getattr(optax, optimiser)(learning_rate=rate)
    unit = ex.Recipe(1, 1, 1.0, optimiser).transformation()
    weight = np.ones(5, np.float32)
    ours, theirs = unit.init(weight), made.init(weight)
    for _ in range(8):
        a, ours = unit.update(gradient, ours, weight)
        b, theirs = made.update(gradient, theirs, weight)
        np.testing.assert_allclose(rate * a, b, rtol=1e-6, atol=1e-8)
        weight = optax.apply_updates(weight, b)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((0, 8, 0.1), ValueError, "steps of a Recipe is at least 1, not 0"),
        ((4, 2.5, 0.1), TypeError, "2.5"),
        ((4, 8, -0.1), ValueError, "-0.1"),
        ((4, 8, float("nan")), ValueError, "nan"),
        ((4, 8, ()), TypeError, r"\(\)"),
        ((4, 8, "fast"), TypeError, "fast"),
        ((4, 8, 0.1, "adamm"), ValueError, "adamm"),
        ((4, 8, 0.1, "apply_updates"), ValueError, "apply_updates"),
        ((4, 8, 0.1, 3), TypeError, "not 3"),
        ((4, 8, 0.1, "adam", "step"), ValueError, "step"),
    ],
)
def test_bad_input_is_named(arguments, error, text):
    with pytest.raises(error, match=text):
        ex.Recipe(*arguments)
