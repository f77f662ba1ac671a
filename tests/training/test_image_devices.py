"""Networks for images on several devices: the same numbers, whatever is cut up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

import expressivity as ex
from expressivity import data, training
from expressivity.data import pipes
from expressivity.training import image_devices, image_program

FAMILY = ex.AllConv6(classes=10, channels=(4, 8), batch_norm=True, dropout=0.2)
RECIPE = ex.Recipe(5, 8, 0.05, "momentum", statistics="recomputed")


@pytest.fixture(scope="module")
def task():
    return training.ImageTask(data.fashion_mnist("train").first(4), data.fashion_mnist("test").first(3))


def trained(task, seeds, batching, devices, **more):
    with jax.enable_x64(True):
        return training.train_images(
            FAMILY, 1, task, seeds, RECIPE, batching=batching, devices=devices, evaluations=2, **more
        )


@pytest.mark.parametrize(("seeds", "batching", "along"), [((0, 1, 2), "vmap", "nets"), ((3,), "loop", "images")])
def test_two_devices_give_the_numbers_of_one(task, seeds, batching, along):
    """In float64, three seeds with a copy in the fourth place, or the batch of one seed cut up.

    To 1e-9: sums over a batch in another order differ by some 1e-16, which five steps through batch norms amplify.
    """
    found = image_devices.spread(2, batching, len(seeds), RECIPE.batch_size)
    assert found is not None
    assert found.along == along
    one, two = trained(task, seeds, batching, 1), trained(task, seeds, batching, 2)
    assert list(two.networks) == list(two.logits) == list(seeds)
    for seed in seeds:
        for a, b in zip(jax.tree.leaves(one.networks[seed]), jax.tree.leaves(two.networks[seed]), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * max(1.0, np.abs(a).max()))
        np.testing.assert_allclose(one.logits[seed], two.logits[seed], rtol=0, atol=1e-9)
    assert [row["error"] for row in one.curve] == [row["error"] for row in two.curve]


def test_a_state_does_not_know_how_many_devices_there_were(task):
    """Begun on two devices, killed, gone on from on one."""
    states = []
    whole = trained(task, (0, 1, 2), "vmap", 2, keep=lambda state: states.append(state()))
    state = next(state for state in states if 0 < state.step < RECIPE.steps)
    rest = trained(task, (0, 1, 2), "vmap", 1, resume=state)
    for a, b in zip(jax.tree.leaves(whole.networks), jax.tree.leaves(rest.networks), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_a_batch_is_cut_only_into_equal_parts():
    there = jax.local_devices() * 4  # as if there were so many
    cut = [image_devices.spread_on(there[:8], *how) for how in (("loop", 2, 12), ("loop", 2, 13), ("vmap", 9, 13))]
    assert [one and (one.along, len(one.devices), one.places) for one in cut] == [
        ("images", 6, 0),
        None,
        ("nets", 5, 10),
    ]


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("along", ["nets", "images"])
def test_lowers_for_four_devices(along, platform):
    there = jax.local_devices() * 2
    nets = 4 if along == "nets" else 0
    spread = image_devices.Spread(along, tuple(there), nets)
    shape = image_program.ImageShape(
        FAMILY, ex.Width(), (28, 28, 1), pipes.Pipe(), 8, 3, "momentum", "all", "bfloat16", "nhwc", "scan", nets
    )
    model, state = jax.eval_shape(lambda: image_program.fresh(shape, jax.random.key(0), "he"))
    if nets:
        model, state = jax.tree.map(lambda a: jax.ShapeDtypeStruct((nets, *a.shape), a.dtype), (model, state))
    memory = jax.eval_shape(image_program.start_function(shape), model)
    arguments = image_program.arguments(shape, (model, state, memory))
    mesh = AbstractMesh((4,), (along,))
    exported = jax.export.export(image_program.on_devices(shape, spread, mesh), platforms=[platform])(*arguments)
    assert exported.nr_devices == 4
    assert exported.out_avals[-1].dtype == jnp.float32
