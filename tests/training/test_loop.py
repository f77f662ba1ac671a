import jax
import numpy as np
import optax
import pytest

import expressivity as ex
from expressivity import training
from expressivity.training.batches import minibatches
from expressivity.training.task import as_task

TARGET = ex.targets.norm_squared(ex.Ball(2))
FAMILY = ex.MLP(2, hidden_layers=2)
RECIPE = ex.Recipe(40, 32, 1e-2)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def close(a, b, tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def reference(family, width, seed, recipe, root=0):
    """The textbook loop: one net, its own call, automatic differentiation, optax as it comes."""
    network, _ = family.init(jax.random.fold_in(jax.random.key(root), seed), width)
    x, y = minibatches(as_task(TARGET), root, 0, recipe.batch_size, recipe.steps)
    factors = jax.numpy.asarray(recipe.learning_rate * recipe.factors(), float)

    def schedule(count):
        return factors[count]

    optimiser = (
        optax.sgd(schedule, momentum=0.9)
        if recipe.optimiser == "momentum"
        else getattr(optax, recipe.optimiser)(learning_rate=schedule)
    )

    def loss(network, x, y):
        return jax.numpy.mean((jax.vmap(network)(x.T) - y.T) ** 2)

    @jax.jit
    def step(network, state, x, y):
        value, gradient = jax.value_and_grad(loss)(network, x, y)
        updates, state = optimiser.update(gradient, state, network)
        return optax.apply_updates(network, updates), state, value

    network = jax.tree.map(jax.numpy.asarray, network)
    state, losses = optimiser.init(network), []
    for number in range(recipe.steps):
        network, state, value = step(network, state, x[number], y[number])
        losses.append(float(value))
    return network, np.array(losses)


@pytest.mark.parametrize("optimiser", ["adam", "momentum", "adamw"])
def test_training_equals_the_textbook_loop_in_double_precision(optimiser):
    family, recipe = ex.MLP(2, hidden_layers=3), ex.Recipe(30, 32, 1e-2, optimiser)
    with jax.enable_x64(True):
        result = training.train(family, (4,), TARGET, (0, 7), recipe)
        for seed in (0, 7):
            network, losses = reference(family, 4, seed, recipe)
            assert result.networks[4, seed].blocks[0].weight.dtype == np.float64
            # 30 steps on sums in another order
            close(result.networks[4, seed], network, 1e-10)
            assert abs(result.loss[4, seed] - losses.mean()) < 1e-10


def test_training_learns():
    result = training.train(FAMILY, (8,), TARGET, range(4), ex.Recipe(400, 128, 1e-2))
    # the variance of |x|^2 on the disc is 1/12; the loss of the best constant
    assert min(result.loss.values()) < 0.1 / 12
    best = result.networks[min(result.loss, key=lambda net: result.loss[net])]
    assert ex.fvu(best, TARGET).value < 0.1
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(best))


def test_a_seed_does_not_depend_on_the_others():
    many = training.train(FAMILY, (3,), TARGET, range(20), RECIPE)
    few = training.train(FAMILY, (3,), TARGET, (13, 2), RECIPE)
    for seed in (13, 2):
        assert equal(many.networks[3, seed], few.networks[3, seed])
        assert many.loss[3, seed] == few.loss[3, seed]


def test_drivers_give_the_same_numbers():
    scan, step = (training.train(FAMILY, (3,), TARGET, (0, 1), RECIPE, driver=d) for d in ("scan", "step"))
    assert all(equal(scan.networks[net], step.networks[net]) for net in scan.networks)
    assert scan.loss == step.loss


def test_a_run_is_repeated_and_roots_differ():
    one, again, other = (training.train(FAMILY, (3,), TARGET, (0,), RECIPE, root=root) for root in (0, 0, 1))
    assert equal(one.networks[3, 0], again.networks[3, 0])
    assert not equal(one.networks[3, 0], other.networks[3, 0])


@pytest.mark.parametrize("steps", [1, 255, 256, 257])
def test_ends_of_chunks(steps):
    recipe = ex.Recipe(steps, 8, 1e-2)
    calls = []
    result = training.train(FAMILY, (2,), TARGET, (0,), recipe, progress=lambda *args: calls.append(args))
    with jax.enable_x64(False):
        network, losses = reference(FAMILY, 2, 0, recipe)
    assert [call[0] for call in calls] == [min(256, steps)] + ([257] if steps == 257 else [])
    assert all(call[1] == steps and call[2].shape == (1,) for call in calls)
    # float32 over 257 steps of Adam, which divides by roots of small gradients
    close(result.networks[2, 0], network, 2e-3)
    np.testing.assert_allclose(result.loss[2, 0], losses[-100:].mean(), rtol=1e-3)


@pytest.mark.parametrize(
    "optimiser", ["sgd", "momentum", "adam", "adamw", "rmsprop", "adadelta", optax.adam(1.0, b1=0.5)]
)
def test_narrow_networks_in_a_wide_program_stay_narrow(optimiser):
    """They agree with the width trained alone, in double precision, to rounding; the padding is checked inside."""
    family, recipe = ex.MLP(2, hidden_layers=3), ex.Recipe(30, 32, 3e-3, optimiser)
    with jax.enable_x64(True):
        together = training.train(family, (1, 2, 5), TARGET, (0, 1), recipe)
        for width in (1, 2, 5):
            alone = training.train(family, (width,), TARGET, (0, 1), recipe)
            for seed in (0, 1):
                assert together.networks[width, seed].hidden_widths == (width,) * 3
                close(together.networks[width, seed], alone.networks[width, seed], 1e-9)


def test_an_optimiser_that_moves_zeros_is_refused_for_several_widths():
    noisy = optax.chain(optax.add_noise(0.1, 0.0, jax.random.key(0)), optax.sgd(1.0))
    recipe = ex.Recipe(5, 16, 1e-2, noisy)
    assert training.train(FAMILY, (3,), TARGET, (0,), recipe).status[3, 0] == "ok"
    with pytest.raises(ValueError, match="each width by itself"):
        training.train(FAMILY, (2, 3), TARGET, (0,), recipe)


def test_a_custom_optimiser_sees_one_network_at_a_time():
    """Clipping by the norm of the gradient: of each net alone, not of all together."""
    recipe = ex.Recipe(20, 32, 1e-1, optax.chain(optax.clip_by_global_norm(0.01), optax.sgd(1.0)))
    both = training.train(FAMILY, (4,), TARGET, (0, 1), recipe)
    alone = training.train(FAMILY, (4,), TARGET, (1,), recipe)
    assert equal(both.networks[4, 1], alone.networks[4, 1])
    start, _ = FAMILY.init(jax.random.fold_in(jax.random.key(0), 1), 4)
    moved = np.sqrt(
        sum(np.sum((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (start, both.networks[4, 1])), strict=True))
    )
    # no further than the sum of the steps
    assert 0 < moved <= 0.1 * 0.01 * recipe.factors().sum() * (1 + 1e-4)


def test_one_learning_rate_a_seed():
    rates = (1e-2, 3e-3)
    both = training.train(FAMILY, (3, 4), TARGET, (5, 6), ex.Recipe(40, 32, rates))
    for width in (3, 4):
        for seed, rate in zip((5, 6), rates, strict=True):
            alone = training.train(FAMILY, (3, 4), TARGET, (seed,), ex.Recipe(40, 32, rate))
            assert equal(both.networks[width, seed], alone.networks[width, seed])


def test_a_diverged_seed_disturbs_no_other():
    wild = training.train(FAMILY, (4,), TARGET, (0, 1, 2), ex.Recipe(40, 32, (1e-2, 1e38, 1e-2), "sgd"))
    calm = training.train(FAMILY, (4,), TARGET, (0, 1, 2), ex.Recipe(40, 32, 1e-2, "sgd"))
    assert wild.status == {(4, 0): "ok", (4, 1): "diverged", (4, 2): "ok"}
    assert set(wild.networks) == {(4, 0), (4, 2)}
    assert np.isnan(wild.loss[4, 1])
    for seed in (0, 2):
        assert equal(wild.networks[4, seed], calm.networks[4, seed])
        assert wild.loss[4, seed] == calm.loss[4, seed]


@pytest.mark.parametrize("steps", [1, 3, 40])
def test_a_diverged_seed_is_no_complaint_about_the_padding(steps):
    result = training.train(FAMILY, (2, 4), TARGET, (0, 1), ex.Recipe(steps, 32, (1e-2, 3e38), "momentum"))
    assert result.status[2, 0] == result.status[4, 0] == "ok"
    if steps == 40:
        assert result.status[4, 1] == "diverged"


def test_warm_starts_are_padded_and_used():
    exact = ex.ReLUNetwork.from_layers([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    target = ex.Target(lambda x: jax.numpy.maximum(x, 0).sum(), ex.Box(2), name="positive_parts")
    result = training.train(
        ex.MLP(2, hidden_layers=4), (3,), target, (0, 1), ex.Recipe(3, 64, 1e-12, "sgd"), start={(3, 0): exact}
    )
    # float32 rounding of the sum
    assert result.loss[3, 0] < 1e-12 < result.loss[3, 1]
    assert result.networks[3, 0].hidden_widths == (3,) * 4


def test_tables_are_learnt():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    task = training.TableTask(x, np.stack([x[:, 0] - x[:, 1], np.abs(x[:, 2])], 1), "toy")
    result = training.train(ex.MLP(3, 2, hidden_layers=2), (10,), task, (0, 1), ex.Recipe(600, 32, 1e-2))
    assert min(result.loss.values()) < 0.05
    assert result.networks[10, 0].output_dim == 2


def test_programs_group_widths():
    groups = training.programs((16, 1, 2, 3, 4, 6, 8, 9, 17, 64))
    assert groups == [(1, 2, 3, 4), (6, 8), (9, 16), (17,), (64,)]


def test_times_are_kept_apart():
    training.train(FAMILY, (3,), TARGET, (0,), RECIPE)
    second = training.train(FAMILY, (3,), TARGET, (4,), ex.Recipe(17, 32, 5e-3))
    assert second.compile_seconds == 0.0
    assert second.run_seconds > 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: training.train(ex.MLP(3), (3,), TARGET, (0,), RECIPE), ValueError, "map 3 numbers to 1"),
        (lambda: training.train(FAMILY, (), TARGET, (0,), RECIPE), TypeError, "widths"),
        (lambda: training.train(FAMILY, (0,), TARGET, (0,), RECIPE), ValueError, "width is at least 1, not 0"),
        (lambda: training.train(FAMILY, (3,), TARGET, (0, 0), RECIPE), ValueError, "seed is given once"),
        (lambda: training.train(FAMILY, (3,), TARGET, (-1,), RECIPE), ValueError, "-1"),
        (lambda: training.train(FAMILY, (3,), TARGET, 4, RECIPE), TypeError, "4"),  # type: ignore[arg-type]
        (lambda: training.train(FAMILY, (3,), "ball", (0,), RECIPE), TypeError, "ball"),
        (lambda: training.train(FAMILY, (3,), TARGET, (0,), RECIPE, driver="fast"), ValueError, "fast"),
        (lambda: training.train("mlp", (3,), TARGET, (0,), RECIPE), TypeError, "mlp"),  # type: ignore[arg-type]
        (
            lambda: training.train(FAMILY, (3,), TARGET, (0,), RECIPE, start={(3, 0): ex.identity(2, 2)}),
            ValueError,
            "2 numbers to 2",
        ),
        (
            lambda: training.train(FAMILY, (3,), TARGET, (0,), RECIPE, start={(3, 1): ex.identity(2, 2)}),
            ValueError,
            r"\(3, 1\)",
        ),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
