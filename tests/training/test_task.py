import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity import training
from expressivity.training.batches import minibatches
from expressivity.training.task import as_task


def test_target_task_draws_fresh_points_of_the_measure():
    target = ex.targets.norm_squared(ex.Ball(3))
    task, key = training.TargetTask(target), jax.random.key(0)
    x, y = task.batch(key, 5, 4000)
    assert np.all(target.measure.contains(np.asarray(x, dtype=np.float64) * (1 - 1e-6)))
    np.testing.assert_allclose(y[:, 0], target.values(x), rtol=1e-5, atol=1e-6)
    # E|x|^2 = n / (n + 2); variance of |x|^2 is 4n / ((n + 2)^2 (n + 4)); five standard errors
    assert abs(float(y.mean()) - 3 / 5) < 5 * np.sqrt(12 / (25 * 7) / 4000)
    other, _ = task.batch(key, 6, 4000)
    assert not np.any(np.all(np.asarray(x) == np.asarray(other), axis=1))
    assert np.array_equal(x, task.batch(key, 5, 4000)[0])


def test_table_task_draws_rows():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    task = training.TableTask(x, y, "toy")
    assert (task.input_dim, task.output_dim) == (2, 1)
    batch, values = task.batch(jax.random.key(0), 0, 600)
    rows = np.asarray(values[:, 0]).astype(int)
    assert np.array_equal(batch, x[rows].astype(np.float32))
    # each row has probability 1/6: mean 100, standard deviation 9.1; five of them
    assert np.all(np.abs(np.bincount(rows, minlength=6) - 100) < 46)


def test_fingerprints():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    tables = [training.TableTask(x, y, "a"), training.TableTask(x, y, "b"), training.TableTask(x, y + 1, "a")]
    tables.append(training.TableTask(x.reshape(6, 2)[::-1].copy(), y, "a"))
    assert len({task.fingerprint for task in tables}) == 4
    assert training.TableTask(x.copy(), y.copy(), "a").fingerprint == tables[0].fingerprint
    ball = training.TargetTask(ex.targets.norm_squared(ex.Ball(2)))
    assert ball.fingerprint != training.TargetTask(ex.targets.norm_squared(ex.Box(2))).fingerprint
    assert ball.fingerprint == training.TargetTask(ex.targets.norm_squared(ex.Ball(2))).fingerprint


@pytest.mark.parametrize("kind", ["target", "table"])
def test_minibatches_are_a_function_of_root_and_step(kind):
    if kind == "target":
        task = as_task(ex.targets.product(ex.Box(2)))
    else:
        task = training.TableTask(np.random.default_rng(0).standard_normal((50, 2)), np.arange(50.0))
    x, y = minibatches(task, 0, 0, 16, 6)
    assert (x.shape, y.shape) == ((6, 2, 16), (6, 1, 16))
    later, _ = minibatches(task, 0, 4, 16, 6)
    assert np.array_equal(x[4:], later[:2])
    assert not np.array_equal(x, minibatches(task, 1, 0, 16, 6)[0])
    again = minibatches(task, 0, 0, 16, 6)[0]
    assert np.array_equal(again, x)
    key = jax.random.fold_in(jax.random.key(0), 2**32 - 1)
    np.testing.assert_allclose(x[3].T, task.batch(key, 3, 16)[0], rtol=1e-6, atol=1e-7)


def test_two_targets_of_one_name_are_not_taken_for_each_other():
    one, two = (ex.Target(lambda x, c=c: c * x[0], ex.Box(2), name="line") for c in (1.0, 2.0))
    y1, y2 = (minibatches(as_task(target), 0, 0, 16, 4)[1] for target in (one, two))
    np.testing.assert_allclose(2 * y1, y2, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: training.TableTask(np.ones((3, 2)), np.ones(4)), ValueError, r"\(3, 2\) and \(4, 1\)"),
        (lambda: training.TableTask(np.ones((0, 2)), np.ones(0)), ValueError, r"\(0, 2\)"),
        (lambda: training.TableTask([[np.nan, 1.0]], [1.0], "mine"), ValueError, "mine"),
        (lambda: training.TargetTask(3), TypeError, "3"),  # type: ignore[arg-type]
        (lambda: as_task("task"), TypeError, "task"),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
