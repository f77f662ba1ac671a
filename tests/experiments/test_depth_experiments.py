"""The experiments on depth, in this process: verdict, files, and a second run that computes nothing."""

import importlib

import pandas as pd
import pytest

FILES = {"table.csv", "timings.csv", "figure.png", "figure.pdf", "config.json", "environment.json", "report.html"}


@pytest.mark.parametrize(
    "name", [pytest.param("three_against_two", marks=pytest.mark.slow), "inner_product_separation", "sawtooth_depth"]
)
def test_smoke_holds_and_a_second_run_computes_nothing(name, tmp_path, capsys, monkeypatch):
    module = importlib.import_module(f"experiments.{name}")
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)  # the tests run where they are
    options = module.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert module.experiment(options) == 0
    assert "The claim holds." in capsys.readouterr().out
    assert {path.name for path in options.out.iterdir()} >= FILES
    table = (options.out / "table.csv").read_bytes()
    columns = set(pd.read_csv(options.out / "table.csv").columns)
    assert {"family", "width", "hidden_layers", "seed", "status", "norm", "error"} <= columns
    assert not any("second" in column for column in columns)

    def never(*arguments, **more):
        raise AssertionError("a finished cell was computed again")

    monkeypatch.setattr(module, "students", never)
    assert module.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == table


@pytest.mark.parametrize("name", ["three_against_two", "inner_product_separation", "sawtooth_depth"])
def test_bad_numbers_of_seeds_are_refused(name, tmp_path):
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(ValueError, match="--seeds is at least 1; got 0"):
        module.experiment(module.Options(preset="smoke", out=tmp_path, seeds=0))


def test_students_are_bounded():
    import numpy as np

    from experiments import _depth

    rng = np.random.default_rng(0)
    parameters = [
        (rng.standard_normal((5, 2)), rng.standard_normal(5)),
        (rng.standard_normal((4, 5)), rng.standard_normal(4)),
        (rng.standard_normal(4), np.float64(0.3)),
    ]
    x = 10.0 ** rng.uniform(0, 6, (200, 1)) * rng.standard_normal((200, 2))
    values = np.asarray(_depth.forward(parameters, x))
    assert np.abs(values).max() <= np.abs(parameters[-1][0]).sum() + 0.3 + 1e-5


@pytest.mark.parametrize(("error", "holds"), [(0.08, True), (0.05, False)])
def test_a_student_below_the_floor_of_the_sawtooth_fails_though_others_have_no_floor(error, holds):
    from experiments import sawtooth_depth

    teeth = pd.DataFrame([{"least_width_not_excluded": 6, "growth": 8.0, "deep_exact": True}])
    parabolas = pd.DataFrame([{"m": 3, "measured": 1.0, "bound": 1.0, "units": 8, "one_layer_floor": 0.1}])
    trained = pd.DataFrame([{"error": error, "floor": 0.07}, {"error": 0.01, "floor": 0.0}])
    *others, (sentence, held) = sawtooth_depth.check(teeth, parabolas, trained, 0.02)
    assert held is holds
    assert "1 of 2 have one" in sentence
    assert all(held for _, held in others)


def test_students_of_the_same_seed_do_not_depend_on_how_many_there_are():
    import jax
    import jax.numpy as jnp

    from experiments import _depth

    def draw(key, count):
        return jax.random.uniform(key, (count, 1)), jnp.ones(count)

    few, many = (
        _depth.train(1, [4], draw, lambda x: x[:, 0] ** 2, 1.0, _depth.Students(300, 32, 1e-2, 10_000, seeds))
        for seeds in (1, 2)
    )
    assert few[0] == many[0] != many[1]
    # training beats the best constant, whose error is the variance 4/45
    assert max(many) < 4 / 45 / 2
