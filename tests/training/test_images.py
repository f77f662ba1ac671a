"""Training of image networks: against a plain loop, resumed, batched in both ways, and lowered for accelerators."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import expressivity as ex
from expressivity import data, training
from expressivity.models.objective import cross_entropy
from expressivity.training import image_program as program
from expressivity.training.image_task import halves
from expressivity.training.images import Snapshot, train_images

FAMILY = ex.AllConv6(classes=10, channels=(4, 8))
NORMED = ex.AllConv6(classes=10, channels=(4, 8), batch_norm=True)
RECIPE = ex.Recipe(6, 8, 0.05, "momentum", initialisation="he")


@pytest.fixture(scope="module")
def task():
    small = [data.fashion_mnist(split).first(4) for split in ("train", "test")]
    return training.ImageTask(*small)


def plain(family, task, seed, recipe, augmented=False):
    """The same training written down step by step with optax and `lax.conv`."""
    key = jax.random.key(0)
    model, state = family.init(jax.random.fold_in(key, seed), ex.Width(), task.input_size, initialisation="he")
    optimiser = optax.sgd(1.0, momentum=0.9)
    memory, factors, losses = optimiser.init(model), recipe.factors(), []
    for step in range(recipe.steps):
        places = task.places(0, step, 1, recipe.batch_size)[0]
        x, y = task.pipe(task.train.images[places]).astype(float), jnp.asarray(task.train.labels[places])

        def loss_of(model, x=x, y=y, state=state):
            logits, after = family.apply(model, state, x, training=True, layout="nhwc")
            return cross_entropy(logits, y).mean(), after

        (loss, state), gradient = jax.value_and_grad(loss_of, has_aux=True)(model)
        losses.append(float(loss))
        updates, memory = optimiser.update(gradient, memory, model)
        rate = recipe.learning_rate * factors[step]
        model = optax.apply_updates(model, jax.tree.map(lambda u, rate=rate: rate * u, updates))
    return model, state, losses


@pytest.mark.parametrize("family", [FAMILY, NORMED])
def test_training_is_that_of_a_plain_loop(task, family):
    with jax.enable_x64(True):
        result = train_images(family, "1x", task, (0, 3), RECIPE)
        for seed in (0, 3):
            model, state, losses = plain(family, task, seed, RECIPE)
            ours = jax.tree.leaves(result.networks[seed])
            for mine, theirs in zip(ours, jax.tree.leaves((model, state)), strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)
            assert result.loss[seed] == pytest.approx(np.mean(losses), rel=1e-9)


def leaves(result, seed):
    return jax.tree.leaves(result.networks[seed])


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_seed_does_not_depend_on_its_neighbours(task):
    together = train_images(NORMED, "1x", task, (0, 1, 2), RECIPE)
    alone = train_images(NORMED, "1x", task, (2,), RECIPE)
    assert equal(leaves(together, 2), leaves(alone, 2))
    assert not equal(leaves(together, 1), leaves(together, 2))


def test_seeds_side_by_side_and_one_after_the_other(task):
    loop = train_images(NORMED, "1x", task, (0, 1), RECIPE)
    side = train_images(NORMED, "1x", task, (0, 1), RECIPE, batching="vmap")
    assert (loop.batching, side.batching) == ("loop", "vmap")
    for seed in (0, 1):
        for a, b in zip(leaves(loop, seed), leaves(side, seed), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
        assert loop.loss[seed] == pytest.approx(side.loss[seed], rel=1e-4)


def test_inputs_initial_values_and_parametrisations_share_one_program(task):
    """They are arguments of it, and not lost on the way: all four trainings differ."""
    family = dataclasses.replace(FAMILY, channels=(4, 5))  # of no other test
    twice = dataclasses.replace(task, pipe=dataclasses.replace(task.pipe, deviation=2 * task.pipe.deviation[0]))
    mup = dataclasses.replace(RECIPE, parametrisation=training.MuP(FAMILY))
    drawn = dataclasses.replace(RECIPE, initialisation="caffe", weight_decay=0.01)
    runs = [(task, RECIPE), (twice, RECIPE), (task, mup), (task, drawn)]
    found = [train_images(family, "1x", read, (0,), recipe) for read, recipe in runs]
    assert [one.compile_seconds > 0 for one in found] == [True, False, False, False]
    assert len({one.loss[0] for one in found}) == 4
    assert not np.allclose(found[0].logits[0], found[1].logits[0], atol=1e-3)


def test_both_drivers_and_layouts_take_the_same_steps(task):
    scan = train_images(FAMILY, "1x", task, (0,), RECIPE)
    step = train_images(FAMILY, "1x", task, (0,), RECIPE, driver="step")
    other = train_images(FAMILY, "1x", task, (0,), RECIPE, layout="nhwc")
    assert (scan.driver, step.driver, other.driver) == ("scan", "step", "step")
    for found in (step, other):
        for a, b in zip(leaves(scan, 0), leaves(found, 0), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


def test_no_convolution_stands_in_a_loop_on_cpu(task):
    with pytest.raises(ValueError, match="30 to 70 times slower"):
        train_images(FAMILY, "1x", task, (0,), RECIPE, layout="nhwc", driver="scan")
    shape = shape_of(task)
    text = lowered(shape).as_text()
    assert "while" in text
    assert "convolution" not in text
    single = lowered(dataclasses.replace(shape, layout="nhwc", driver="step")).as_text()
    assert "convolution" in single


def shape_of(task, family=FAMILY, **changes):
    given = {
        "family": family,
        "width": ex.Width(),
        "input_size": task.train.input_size,
        "pipe": task.pipe,
        "batch": 8,
        "chunk": 2,
        "optimiser": "momentum",
        "decay": "kernels",
        "precision": "float32",
        "layout": "batch_last",
        "driver": "scan",
        "nets": 0,
    }
    return program.ImageShape(**(given | changes))


def lowered(shape):
    return jax.jit(program.chunk_function(shape)).lower(*program.arguments(shape, carry_of(shape)))


def carry_of(shape):
    model, state = jax.eval_shape(lambda: program.fresh(shape, jax.random.key(0), "original"))
    if shape.nets:
        stacked = jax.tree.map(lambda s: jax.ShapeDtypeStruct((shape.nets, *s.shape), s.dtype), (model, state))
        model, state = stacked
    return model, state, jax.eval_shape(program.start_function(shape), model)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize(
    "family",
    [
        ex.AllConv6(1, classes=10, batch_norm=True, dropout=0.5),
        ex.MobileNet(classes=10, shallow=True),
        ex.WideResNet(10, 10),
        ex.DenseNet(10, 4, 10),
        ex.ConvPoolCNNC(10, "crelu"),
        ex.ShuffleNet(2, 10),
    ],
    ids=lambda family: type(family).__name__,
)
def test_training_lowers_for_accelerators(task, family, platform):
    size = (32, 32, 3)
    changes = {"input_size": size, "pipe": data.pipes.UNIT, "layout": "nhwc", "nets": 2, "precision": "bfloat16"}
    shape = shape_of(task, family, **changes)
    exported = jax.export.export(jax.jit(program.chunk_function(shape)), platforms=[platform])(
        *program.arguments(shape, carry_of(shape))
    )
    assert exported.platforms == (platform,)
    assert "convolution" in exported.mlir_module()


def test_a_run_that_goes_on_is_the_same_run(task):
    """Bit for bit, from every snapshot on; batch norm, momentum and dropout have states of their own."""
    family = dataclasses.replace(NORMED, dropout=0.3)
    snapshots: list[Snapshot] = []
    recipe = dataclasses.replace(RECIPE, steps=9)
    whole = train_images(
        family, "1x", task, (0, 1), recipe, evaluations=3, keep=lambda snapshot: snapshots.append(snapshot())
    )
    assert [snapshot.step for snapshot in snapshots] == [3, 6, 9]
    for snapshot in snapshots:
        again = train_images(family, "1x", task, (0, 1), recipe, evaluations=3, resume=snapshot)
        assert equal(leaves(whole, 0), leaves(again, 0))
        assert equal(leaves(whole, 1), leaves(again, 1))
        assert (again.curve, again.loss) == (whole.curve, whole.loss)
        assert np.array_equal(again.logits[1], whole.logits[1])
    with pytest.raises(ValueError, match="another run"):
        train_images(FAMILY, "1x", task, (0, 1), recipe, resume=snapshots[0])


def test_curve_and_logits_are_those_of_the_networks(task):
    result = train_images(NORMED, "1x", task, (0, 1), RECIPE, evaluations=2)
    assert [(row["seed"], row["step"]) for row in result.curve] == [(0, 3), (1, 3), (0, 6), (1, 6)]
    for seed in (0, 1):
        logits, _ = NORMED.apply(*result.networks[seed], task.pipe(task.test.images), layout="nhwc")
        np.testing.assert_allclose(result.logits[seed], logits, rtol=1e-3, atol=1e-4)
        wrong = float((np.asarray(logits).argmax(1) != task.test.labels).mean())
        assert [row["error"] for row in result.curve if row["seed"] == seed][-1] == pytest.approx(wrong, abs=1e-12)
    losses = {seed: [r["train_loss"] for r in result.curve if r["seed"] == seed] for seed in (0, 1)}
    assert result.loss[0] == pytest.approx(np.mean(losses[0]), rel=1e-6)


def test_recomputed_moments_are_means_over_training_images(task):
    recipe = dataclasses.replace(RECIPE, statistics="recomputed", batch_size=40)
    result = train_images(NORMED, "1x", task, (0,), recipe)
    model, state = result.networks[0]
    _, once = NORMED.apply(model, state, task.pipe(task.train.images), training=True, layout="nhwc", decay=0.0)
    for mine, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(once), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_learning_rate_that_is_too_large_is_reported(task):
    result = train_images(FAMILY, "1x", task, (0, 1), dataclasses.replace(RECIPE, learning_rate=(1e30, 0.01)))
    assert result.status == {0: "diverged", 1: "ok"}
    assert set(result.networks) == {1}
    assert np.isnan(result.loss[0])


def test_bfloat16_keeps_weights_in_float32_and_learns_the_same(task):
    exact = train_images(NORMED, "1x", task, (0,), RECIPE)
    rough = train_images(NORMED, "1x", task, (0,), dataclasses.replace(RECIPE, precision="bfloat16"))
    assert all(leaf.dtype == np.float32 for leaf in leaves(rough, 0))
    assert rough.loss[0] == pytest.approx(exact.loss[0], rel=0.05)
    assert rough.loss[0] != exact.loss[0]


def test_weight_decay_shrinks_what_it_should(task):
    """The first step differs by exactly rate x decay x weight on the arrays that decay."""
    recipe = dataclasses.replace(RECIPE, steps=1, optimiser="sgd", schedule="constant")
    base = train_images(NORMED, "1x", task, (0,), recipe).networks[0][0]
    model, _ = NORMED.init(jax.random.fold_in(jax.random.key(0), 0), "1x", task.input_size, initialisation="he")
    for decay in ("kernels", "all"):
        other = dataclasses.replace(recipe, weight_decay=0.1, decay=decay)
        moved = train_images(NORMED, "1x", task, (0,), other).networks[0][0]
        for name, layer in moved:
            for field in ("kernel", "bias", "scale", "shift"):
                if getattr(layer, field, None) is None:
                    continue
                share = field == "kernel" or decay == "all"
                expected = getattr(base[name], field) - share * 0.05 * 0.1 * np.asarray(getattr(model[name], field))
                np.testing.assert_allclose(getattr(layer, field), expected, rtol=1e-5, atol=1e-7)


def test_batches_are_permutations_of_the_training_set(task):
    first = task.places(0, 0, 5, 8)
    assert sorted(first.ravel().tolist()) == list(range(40))
    assert np.array_equal(task.places(0, 3, 4, 8)[:2], task.places(0, 0, 5, 8)[3:])
    assert not np.array_equal(task.places(1, 0, 5, 8), first)
    assert task.places(0, 0, 2, 64).shape == (2, 64)


def test_a_set_is_cut_into_two_of_all_classes():
    images = data.fashion_mnist().first(10)
    cut = halves(images, 0.3)
    assert (len(cut.train), len(cut.test)) == (70, 30)
    assert np.bincount(cut.test.labels).tolist() == [3] * 10
    joined = np.concatenate([cut.train.images, cut.test.images]).sum(dtype=np.int64)
    assert joined == images.images.sum(dtype=np.int64)
    with pytest.raises(ValueError, match="too few to hold out"):
        halves(images.first(1))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"family": ex.AllConv6(classes=7)}, ValueError, "tells 7 classes apart"),
        ({"family": ex.MLP(2)}, TypeError, "image families"),
        ({"seeds": (1, 1)}, ValueError, "given once"),
        ({"seeds": ()}, TypeError, "sequence of seeds"),
        ({"task": data.fashion_mnist()}, TypeError, "ImageTask"),
        ({"driver": "fast"}, ValueError, "'fast'"),
        ({"batching": "both"}, ValueError, "'both'"),
        ({"evaluations": 0}, ValueError, "evaluations=0"),
        ({"recipe": 3}, TypeError, "Recipe"),
        ({"family": ex.MobileNet(classes=10), "task": "tiny"}, TypeError, "ImageTask"),
    ],
)
def test_what_cannot_be_trained_is_named(task, changes, error, text):
    given = {"family": FAMILY, "width": "1x", "task": task, "seeds": (0,), "recipe": RECIPE} | changes
    options = {name: given.pop(name) for name in ("driver", "batching", "evaluations") if name in given}
    with pytest.raises(error, match=text):
        train_images(*given.values(), **options)
