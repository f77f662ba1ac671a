"""Halving by CReLU: published counts, the law on any weights, what breaks it, and a smoke run."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from experiments import crelu_halving
from expressivity.models.layers import Conv


def test_the_published_network_has_the_published_counts():
    chosen = crelu_halving.kinds(crelu_halving.PAPER, 10)
    layers = {name: family.layers(width, 32) for name, (family, width) in chosen.items()}
    counts = {name: sum(spec.parameters for spec in specs) for name, specs in layers.items()}
    assert counts == {"ReLU, c": 1_369_738, "CReLU, c": 2_735_626, "CReLU, c/2": 685_834}
    assert crelu_halving.halving_of_parameters(layers["ReLU, c"], layers["CReLU, c/2"]) == (1_369_738, 685_834, 1930)


@pytest.mark.parametrize("width", [0.125, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_parameters_halve_at_every_width(width, classes):
    settings = dataclasses.replace(crelu_halving.SMOKE, width=width)
    chosen = crelu_halving.kinds(settings, classes)
    relu, half = (family.layers(w, (28, 28, 1)) for family, w in (chosen["ReLU, c"], chosen["CReLU, c/2"]))
    whole, small, last = crelu_halving.halving_of_parameters(relu, half)
    assert 2 * small == whole + last
    with pytest.raises(ValueError, match="they must be the same"):
        crelu_halving.halving_of_parameters(relu, chosen["CReLU, c"][0].layers(chosen["CReLU, c"][1], (28, 28, 1)))


def random_layer(seed, inputs, filters):
    rng = np.random.default_rng(seed)
    return Conv(
        rng.standard_normal((3, 3, inputs, filters)).astype(np.float32), rng.standard_normal(filters).astype(np.float32)
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_law_holds_to_the_last_bit_for_any_weights(seed):
    assert crelu_halving.halving_to_the_bit(random_layer(seed, 1 + seed, 3 + seed), seed=seed)


def test_the_check_sees_sums_in_another_order(monkeypatch):
    """A bank that adds in an order of its own for the second half of its filters rounds otherwise."""
    right = crelu_halving.filter_bank

    def wrong(patches, kernel, bias):
        total = right(patches, kernel, bias)
        half = kernel.shape[1] // 2
        backwards = right(patches[:, ::-1], kernel[::-1], bias)
        return np.concatenate([total[:, :half], backwards[:, half:]], 1)

    assert crelu_halving.halving_to_the_bit(random_layer(0, 4, 6))
    monkeypatch.setattr(crelu_halving, "filter_bank", wrong)
    assert not crelu_halving.halving_to_the_bit(random_layer(0, 4, 6))


def test_a_filter_bank_is_a_product():
    rng = np.random.default_rng(1)
    patches, kernel, bias = rng.standard_normal((20, 18)), rng.standard_normal((18, 5)), rng.standard_normal(5)
    assert crelu_halving.filter_bank(patches, kernel, bias) == pytest.approx(patches @ kernel + bias[None], abs=1e-13)


@pytest.mark.parametrize("layout", ["nhwc", "batch_last"])
def test_a_crelu_network_is_a_relu_network_of_pairs(layout):
    crelu, relu = (ex.AllConv6(classes=3, channels=(4, 6), activation=name) for name in ("crelu", "relu"))
    model, state = crelu.init(jax.random.key(0), ex.Width(), (9, 9, 2), initialisation="he")
    x = np.random.default_rng(0).standard_normal((5, 9, 9, 2)).astype(np.float32)
    logits = np.asarray(crelu.apply(model, state, x, layout=layout)[0])
    twin = crelu_halving.paired(model, ex.Width(2))
    assert [np.shape(layer.kernel)[-1] for _, layer in twin] == [8, 12, 3]
    # sums of 72 terms in float32
    assert np.asarray(relu.apply(twin, state, x, layout=layout)[0]) == pytest.approx(logits, abs=1e-5)
    unpaired = dataclasses.replace(twin["conv2"], kernel=np.abs(twin["conv2"].kernel))
    other = type(twin)(twin.names, (twin["conv1"], unpaired, twin["fc"]), twin.width)
    assert np.abs(np.asarray(relu.apply(other, state, x, layout=layout)[0]) - logits).max() > 1e-2


def test_pairs_are_found_in_a_network_of_pairs_and_not_in_a_random_one():
    crelu = ex.AllConv6(classes=3, channels=(6, 10), activation="crelu")
    model, state = crelu.init(jax.random.key(0), ex.Width(), (9, 9, 3), initialisation="he")
    rows = crelu_halving.pairing_rows([(crelu_halving.paired(model, ex.Width(2)), state), (model, state)], 39)
    assert [row["word"] for row in rows] == ["paired"] * 2 + ["as random filters"] * 2
    assert [row["mean"] for row in rows[:2]] == pytest.approx([-1.0, -1.0], abs=1e-6)
    assert all(row["low"] < row["expected"] < row["high"] for row in rows)


@pytest.mark.slow
def test_smoke_holds_and_leaves_its_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    options = crelu_halving.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert crelu_halving.experiment(options) == 0
    assert list(pd.read_csv(options.out / "networks.csv")["network"]) == ["ReLU, c", "CReLU, c", "CReLU, c/2"]
    assert len(pd.read_csv(options.out / "pairing.csv")) == 5 * crelu_halving.SMOKE.seeds
    table = (options.out / "table.csv").read_bytes()
    monkeypatch.setattr("expressivity.sweeps.images.train_images", None)
    assert crelu_halving.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == table
