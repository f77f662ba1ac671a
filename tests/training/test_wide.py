"""One network over many devices, and over two processes: the one of a single device, to rounding."""

import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, Mesh
from ports import free_port

import expressivity as ex
from expressivity import training
from expressivity.training import program, wide
from expressivity.training.states import OtherRun

FAMILY, TARGET = ex.MLP(2, hidden_layers=3), ex.targets.norm_squared(ex.Ball(2))
THREE = training.TableTask(np.ones((9, 2)), np.ones((9, 3)))
RECIPE = ex.Recipe(70, 32, 1e-3)  # two calls of the program
WIDTH = 21  # neither 2, 4 nor 8 divides it
# float32: 70 steps of Adam, each at most 1e-3, on sums in another order
TOLERANCE = 1e-4
SCRIPT = """
import sys
import jax
import numpy as np
out, port, processes, rank, count = sys.argv[1], *map(int, sys.argv[2:])
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank, initialization_timeout=60)
import expressivity as ex
from expressivity import training
assert (jax.device_count(), jax.local_device_count()) == (processes * count, count)
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("units",))
family, target = ex.MLP(2, hidden_layers=3), ex.targets.norm_squared(ex.Ball(2))
result = training.train_wide(family, 21, target, 5, ex.Recipe(70, 32, 1e-3), mesh)
(w0, _), (w, _), (w1, _) = result.parameters
assert w0.addressable_shards[0].data.shape == (1, 24 // mesh.size, 2)
assert w.addressable_shards[0].data.shape == (2, 1, 24 // mesh.size, 24)
assert w1.addressable_shards[0].data.shape == (1, 1, 24 // mesh.size)
np.savez(out, *jax.tree.leaves(result.network()), loss=result.loss)
"""


@pytest.fixture(scope="module")
def alone():
    return training.train(FAMILY, (WIDTH,), TARGET, (5,), RECIPE, devices=1)


def assert_close(leaves, loss, alone):
    expected = jax.tree.leaves(alone.networks[WIDTH, 5])
    assert len(leaves) == len(expected)
    for a, b in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
    assert loss == pytest.approx(alone.loss[WIDTH, 5], rel=TOLERANCE)


def test_eight_devices_and_two_processes_make_the_network_of_one(tmp_path, alone):
    port = free_port()
    started = []
    for name, processes, rank, count in (("8", 1, 0, 8), ("4a", 2, 0, 2), ("4b", 2, 1, 2)):
        arguments = map(str, (tmp_path / f"{name}.npz", port, processes, rank, count))
        flags = f"--xla_force_host_platform_device_count={count}"
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        command = [sys.executable, "-c", SCRIPT, *arguments]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for process in started:
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
    found = {name: np.load(tmp_path / f"{name}.npz") for name in ("8", "4a", "4b")}
    for name, file in found.items():
        leaves = [file[key] for key in file.files if key != "loss"]
        assert_close(leaves, float(file["loss"]), alone)
        # both processes hold the same network, bit for bit
        if name == "4b":
            assert all(np.array_equal(file[key], found["4a"][key]) for key in file.files)


def test_two_devices_in_double_precision():
    """Sums in another order: rounding only."""
    mesh = Mesh(np.array(jax.local_devices()), ("any",))
    with jax.enable_x64(True):
        one = training.train(FAMILY, (5,), TARGET, (0,), ex.Recipe(9, 32, 1e-2, weight_decay=0.1), devices=1)
        seen = []
        two = training.train_wide(
            FAMILY, 5, TARGET, 0, ex.Recipe(9, 32, 1e-2, weight_decay=0.1), mesh, progress=lambda *now: seen.append(now)
        )
        pairs = zip(jax.tree.leaves(one.networks[5, 0]), jax.tree.leaves(two.network()), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
        assert two.loss == pytest.approx(one.loss[5, 0], rel=1e-12)
    assert seen[0][:2] == (9, 9)


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "noisy"])
@pytest.mark.parametrize(("width", "hidden_layers"), [(5, 1), (4, 3)])
def test_going_on_from_any_state_is_the_same_run(optimiser, width, hidden_layers, monkeypatch):
    """Bit for bit, also with an optimiser whose state holds a random key (which moves units that are filled up)."""
    monkeypatch.setattr(wide, "CHUNK", 4)
    if optimiser == "noisy":
        optimiser, width = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.sgd(1.0)), 4
    mesh, family = Mesh(np.array(jax.local_devices()), ("units",)), ex.MLP(2, hidden_layers=hidden_layers)
    recipe, kept = ex.Recipe(11, 16, 0.01, optimiser, weight_decay=0.1), []
    whole = training.train_wide(family, width, TARGET, 3, recipe, mesh, keep=lambda make: kept.append(make()))
    assert [snapshot.step for snapshot in kept] == [4, 8, 11]
    for snapshot in kept:
        again = training.train_wide(family, width, TARGET, 3, recipe, mesh, resume=snapshot)
        assert again.loss == whole.loss
        pairs = zip(jax.tree.leaves(again.parameters), jax.tree.leaves(whole.parameters), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    with pytest.raises(OtherRun, match="another run"):
        training.train_wide(family, width + 2, TARGET, 3, recipe, mesh, resume=kept[0])


def test_no_process_draws_more_than_the_rows_of_its_devices(monkeypatch):
    """The first weights are those of `train`, drawn by rows; no call asks for more than a device holds."""
    asked, rows = [], ex.MLP.rows
    monkeypatch.setattr(ex.MLP, "rows", lambda self, *at: asked.append(at[2:]) or rows(self, *at))
    monkeypatch.setattr(ex.MLP, "init", None)
    devices = jax.local_devices()
    mesh, each = Mesh(np.array(devices), ("units",)), -(-9 // len(devices))
    none = ex.Recipe(1, 4, 1e-30, "sgd")
    result = training.train_wide(ex.MLP(2, 3, hidden_layers=3), 9, THREE, 5, none, mesh)
    assert all(last - first <= each for layer, first, last in asked if layer < 3)
    monkeypatch.undo()
    expected, _ = ex.MLP(2, 3, hidden_layers=3).init(jax.random.fold_in(jax.random.key(0), 5), 9)
    for a, b in zip(jax.tree.leaves(result.network()), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-25)  # a step of length 1e-30 changes no weight
    assert result.size == expected.size
    points = np.random.default_rng(0).standard_normal((5000, 2))
    np.testing.assert_allclose(result.outputs(points), ex.evaluate(expected, points), rtol=1e-12, atol=1e-12)


def test_a_warm_start_is_padded():
    mesh = Mesh(np.array(jax.local_devices()), ("units",))
    given, _ = ex.MLP(2, hidden_layers=2).init(jax.random.key(1), 3)
    result = training.train_wide(
        ex.MLP(2, hidden_layers=3), 5, TARGET, 0, ex.Recipe(1, 4, 1e-30, "sgd"), mesh, start=given
    )
    points = np.random.default_rng(0).standard_normal((9, 2))
    # the padded layer passes the outputs on in float32
    np.testing.assert_allclose(result.outputs(points), ex.evaluate(given, points), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_program_of_four_devices_lowers_for_accelerators(platform):
    shape = program.Shape(2, 1, 8, 3, nets=1, batch=16, chunk=4, optimiser="adam")
    function, arguments, _ = wide.sharded(shape, AbstractMesh((4,), ("units",)))
    assert jax.export.export(function, platforms=[platform])(*arguments).nr_devices == 4


def test_bad_input_is_named():
    devices = np.array(jax.local_devices())
    mesh, recipe = Mesh(devices, ("units",)), ex.Recipe(1, 8, 1e-2)
    with pytest.raises(ValueError, match=r"one axis; got the axes \('a', 'b'\)"):
        training.train_wide(FAMILY, 4, TARGET, 0, recipe, Mesh(devices[None], ("a", "b")))
    with pytest.raises(TypeError, match="got 2"):
        training.train_wide(FAMILY, 4, TARGET, 0, recipe, 2)
    with pytest.raises(ValueError, match="maps 3 numbers to 1"):
        training.train_wide(ex.MLP(3), 4, TARGET, 0, recipe, mesh)
    noisy = optax.chain(optax.add_noise(0.1, 0.0, jax.random.key(0)), optax.sgd(1.0))
    with pytest.raises(ValueError, match="2 divides, not 3"):
        training.train_wide(FAMILY, 3, TARGET, 0, ex.Recipe(1, 8, 1e-2, noisy), mesh)
