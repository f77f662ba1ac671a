"""Growth as width: counts by an own formula, exponents, the pair, and a smoke run."""

import pandas as pd
import pytest

import expressivity as ex
from experiments import _growth, densenet_growth
from experiments._wide import cost


def by_hand(depth, k, bottleneck, size, inputs=1, classes=10):
    """(parameters, multiply-accumulates) of a small DenseNet, layer by layer from its published description."""
    c = 2 * k if bottleneck else 16
    parameters, macs, side = 9 * inputs * c, 9 * inputs * c * size**2, size
    for block in range(3):
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            weights = c * 4 * k + 9 * 4 * k * k if bottleneck else 9 * c * k
            parameters += weights + 2 * c + (8 * k if bottleneck else 0)
            macs += weights * side**2
            c += k
        if block < 2:
            out = c // 2 if bottleneck else c
            parameters += 2 * c + c * out
            macs += c * out * side**2
            c, side = out, side // 2
    return parameters + 2 * c + c * classes + classes, macs + c * classes


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("k", [4, 7, 12, 24])
def test_counts_are_those_of_the_description(bottleneck, k):
    net = densenet_growth.family_of(16, k, bottleneck, 10)
    assert (cost(net, "parameters", (14, 14, 1)), cost(net, "macs", (14, 14, 1))) == by_hand(16, k, bottleneck, 14)


@pytest.mark.parametrize(
    ("depth", "k", "bottleneck", "published"),
    [(40, 12, False, 1_019_722), (100, 12, False, 6_979_642), (100, 24, False, 27_249_082), (100, 12, True, 769_162)],
)
def test_the_formula_of_this_test_gives_the_published_sizes(depth, k, bottleneck, published):
    assert by_hand(depth, k, bottleneck, 32, inputs=3)[0] == published


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("by", [0, 1])
def test_costs_are_quadratic_in_multiples_of_four_and_exponents_their_slopes(bottleneck, by):
    assert _growth.quadratic(lambda k: by_hand(10, k, bottleneck, 14)[by])
    assert not _growth.quadratic(lambda k: by_hand(10, k, bottleneck, 14)[by] + (k == 16))
    rows = _growth.counts(10, bottleneck, (4, 8, 64), (14, 14, 1), 10)
    name = ("parameters", "macs")[by]
    for row in rows:
        k, value = row["growth"], by_hand(10, row["growth"], bottleneck, 14)[by]
        assert row[name] == value
        # the central difference of a quadratic polynomial is its derivative
        up, down = by_hand(10, k + 4, bottleneck, 14)[by], by_hand(10, max(k - 4, 1), bottleneck, 14)[by]
        if k > 4:
            assert row[f"{name}_exponent"] == pytest.approx((up - down) / 8 * k / value, rel=1e-9)
        assert 1 < row[f"{name}_exponent"] < 2
    assert rows[0][f"{name}_exponent"] < rows[1][f"{name}_exponent"] < rows[2][f"{name}_exponent"]


@pytest.mark.parametrize("preset", densenet_growth.PRESETS)
def test_the_pair_is_the_nearest_in_parameters(preset):
    settings = densenet_growth.PRESETS[preset]
    size = (14, 14, 1)
    pair = densenet_growth.pair_of(settings, size, 10)
    own = by_hand(*settings.thin, True, 14)[0]
    gaps = {k: by_hand(settings.depths[1], k, True, 14)[0] / own - 1 for k in range(1, 100)}
    best = min(gaps, key=lambda k: abs(gaps[k]))
    assert pair.wide.family == ex.DenseNet(settings.depths[1], best, 10)
    assert pair.gap == pytest.approx(gaps[best], rel=1e-12)
    assert abs(pair.gap) < settings.within


def test_a_pair_that_does_not_exist_is_refused():
    settings = densenet_growth.Settings(thin=(16, 1), within=1e-6)
    with pytest.raises(ValueError, match="No network of depth 10 has the parameters of DenseNet-BC 16, k=1"):
        densenet_growth.pair_of(settings, (14, 14, 1), 10)


@pytest.mark.slow
def test_smoke_holds_and_reads_finished_cells_again(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    options = densenet_growth.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert densenet_growth.experiment(options) == 0
    settings = densenet_growth.SMOKE
    assert set(pd.read_csv(options.out / "networks.csv")["growth"]) == {4, 6}
    assert len(pd.read_csv(options.out / "counts.csv")) == 2 * len(settings.counted)
    table = (options.out / "table.csv").read_bytes()
    monkeypatch.setattr("expressivity.sweeps.images.train_images", None)
    assert densenet_growth.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == table
