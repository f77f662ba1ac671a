"""Several devices: the numbers of one, tables byte for byte, and programs for devices that are not here."""

import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh

import expressivity as ex
from expressivity import training
from expressivity.training import devices, loop, program

OPTIMISED = True  # tables are compared byte for byte with those of other processes
DISC = ex.targets.norm_squared(ex.Ball(2))
FAMILY = ex.MLP(2, hidden_layers=3)
BATCH = 2048  # four nets of so few units are a program
SCRIPT = """
import sys
import jax
import expressivity as ex

assert jax.local_device_count() == 8
disc, recipe = ex.targets.norm_squared(ex.Ball(2)), ex.Recipe(3, 2048, 0.01)
sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], disc, 20, recipe, packed=True)
ex.run(sweep, sys.argv[1], order=12)
"""


def in_subprocess(code, *arguments, count=8, seconds=240):
    flags = f"--xla_force_host_platform_device_count={count}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def used_by(monkeypatch):
    """How many devices each program of a run was compiled for; 0 where JAX was left to choose."""
    found, real = [], program.compiled

    def compiled(shape, some=()):
        found.append(len(some))
        return real(shape, some)

    monkeypatch.setattr(program, "compiled", compiled)
    return found


def test_the_table_of_a_sweep_does_not_depend_on_the_number_of_devices(tmp_path, monkeypatch):
    """40 nets on 8 devices, in 2 programs of 32 places, on 2 devices, and on 1: the same bytes."""
    ran = in_subprocess(SCRIPT, tmp_path / "8")
    assert ran.returncode == 0, ran.stderr
    used = used_by(monkeypatch)
    sweep = ex.Sweep(ex.MLP(2), ["n", "n+1"], DISC, 20, ex.Recipe(3, BATCH, 0.01), packed=True)
    ex.run(sweep, tmp_path / "2", order=12)
    with jax.default_device(jax.local_devices()[1]):
        ex.run(sweep, tmp_path / "1", order=12)
    assert used == [2, 1]
    tables = [(tmp_path / name / "table.csv").read_bytes() for name in "821"]
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0].splitlines()) == 1 + 2 * 20 * 3


@pytest.mark.parametrize("own", [False, True])
def test_networks_and_states_are_those_of_one_device(own, monkeypatch):
    """Bit for bit, and to rounding where an optimiser sums over weights; a run may go on on other devices."""
    monkeypatch.setattr(loop, "CHUNK", 4)
    noise = optax.add_noise(0.1, 0.5, jax.random.key(3))  # its state holds random keys
    optimiser = optax.chain(optax.clip_by_global_norm(0.1), noise, optax.sgd(1.0)) if own else "adam"
    recipe, snapshots, used = ex.Recipe(6, BATCH, 0.01, optimiser), [], used_by(monkeypatch)
    given = FAMILY, (3,), DISC, range(9), recipe
    one = training.train(*given, devices=1)
    two = training.train(*given, keep=lambda make: snapshots.append(make()))
    other = training.train(*given, devices=jax.local_devices()[1:], resume=snapshots[0])
    assert used == [0, 2, 1]
    # six steps that round once more or less
    tolerance = 1e-5 if own else 0
    for result in (two, other):
        assert result.loss == pytest.approx(one.loss, rel=tolerance)
        for net, network in one.networks.items():
            for a, b in zip(jax.tree.leaves(network), jax.tree.leaves(result.networks[net]), strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_program_of_four_devices_lowers_for_accelerators(platform):
    shape = program.Shape(2, 1, 3, 4, nets=2, batch=16, chunk=4, optimiser="adam")
    function, arguments, _ = program.sharded(shape, AbstractMesh((4,), ("nets",)))
    exported = jax.export.export(function, platforms=[platform])(*arguments)
    assert exported.nr_devices == 4
    assert [leaf.shape for leaf in jax.tree.leaves(arguments[0])][:2] == [(8, 3, 2), (8, 3)]
    # no device waits for another
    text = exported.mlir_module()
    assert "dot_general" in text
    assert not any(word in text for word in ("all_reduce", "all_gather", "collective"))


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (3, ValueError, "has 2 devices of cpu, not 3"),
        (0, ValueError, "not 0"),
        ("all", TypeError, "'all'"),
        ([], TypeError, r"\[\]"),
        ([0, 1], TypeError, r"\[0, 1\]"),
    ],
)
def test_devices_that_are_not_there_are_named(given, error, text):
    with pytest.raises(error, match=text):
        training.train(FAMILY, (3,), DISC, (0,), ex.Recipe(1, 8, 0.01), devices=given)


def test_a_device_given_twice_is_named():
    with pytest.raises(ValueError, match="given once"):
        devices.chosen([jax.local_devices()[0]] * 2)
