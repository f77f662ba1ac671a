import jax
import jax.export
import numpy as np
import pytest

from expressivity.training import program

SHAPE = program.Shape(2, 1, 3, 4, nets=2, batch=16, chunk=4, optimiser="adam")


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_the_program_lowers_for_every_platform(platform):
    exported = jax.export.export(jax.jit(program.chunk_function(SHAPE)), platforms=[platform])(
        *program.arguments(SHAPE)
    )
    assert exported.platforms == (platform,)
    assert "dot_general" in exported.mlir_module()


def test_one_compilation_for_equal_shapes_whatever_the_rates():
    first, _ = program.compiled(SHAPE)
    again, seconds = program.compiled(program.Shape(2, 1, 3, 4, nets=2, batch=16, chunk=4, optimiser="adam"))
    assert again is first
    assert seconds == 0.0


def test_the_text_of_the_program_is_the_same_when_it_is_made_again():
    """What a compilation cache on disk is addressed by."""
    texts = [jax.jit(program.chunk_function(SHAPE)).lower(*program.arguments(SHAPE)).as_text() for _ in range(2)]
    assert texts[0] == texts[1]


def test_steps_not_asked_for_change_nothing():
    compiled, _ = program.compiled(SHAPE)
    rng = np.random.default_rng(0)

    def fresh():
        return jax.tree.map(
            lambda s: jax.numpy.asarray(np.random.default_rng(1).standard_normal(s.shape), s.dtype),
            program.arguments(SHAPE)[0],
        )

    x, y = (jax.numpy.asarray(rng.standard_normal((4, d, 16)), np.float32) for d in (2, 1))
    rates, none = jax.numpy.full((4, 2), 1e-2, np.float32), np.float32(0)
    parameters = fresh()
    kept, state, losses = compiled.run(parameters, compiled.start(fresh()), x, y, rates, np.int32(2), np.int32(0), none)
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (kept, fresh())), strict=True))
    assert np.all(np.asarray(losses) == 0)
    moved, _, losses = compiled.run(kept, state, x, y, rates, np.int32(1), np.int32(2), none)
    assert np.all(np.asarray(losses)[1:3] > 0)
    assert np.all(np.asarray(losses)[[0, 3]] == 0)
    assert not np.array_equal(moved[0][0], fresh()[0][0])


@pytest.mark.slow
def test_a_second_process_finds_the_programs_of_the_first(tmp_path):
    import subprocess
    import sys

    code = """
import sys, jax, expressivity as ex
from expressivity import training
training.enable_compilation_cache(sys.argv[1])
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
recipe = ex.Recipe(2, 16, 1e-2)
training.train(ex.MLP(2), (3,), ex.targets.norm_squared(ex.Ball(2)), (0,), recipe)
print(sum(name.endswith("compilation_cache/cache_misses") for name in hits))
"""
    misses = []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        misses.append(int(run.stdout))
    assert misses[0] > 0
    assert misses[1] == 0
