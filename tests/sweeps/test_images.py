"""Sweeps over image families: rows, curves, laws between families, and the intervals."""

import numpy as np
import pytest
from scipy.stats import binom

import expressivity as ex
from expressivity import data, sweeps, training
from expressivity.sweeps import images as cells

RECIPE = ex.Recipe(6, 16, 0.05, "momentum", initialisation="he")
SMALL = ex.AllConv6(classes=10, channels=(8, 8))


@pytest.fixture(scope="module")
def task():
    return training.ImageTask(*(data.fashion_mnist(split).first(5) for split in ("train", "test")))


@pytest.fixture(scope="module")
def swept(task, tmp_path_factory):
    halved = ex.AllConv6(classes=10, channels=(4, 4))
    sweep = ex.Sweep([SMALL, halved], ["0.5x", "1x", "0.5x"], task, 2, RECIPE, evaluations=2)
    folder = tmp_path_factory.mktemp("images")
    return sweep, folder, ex.run(sweep, folder)


def test_one_row_a_network_and_norm(swept):
    _, _, result = swept
    assert len(result.table) == 2 * 2 * 2 * 3
    assert set(result.table["norm"]) == {"top-1", "top-5", "cross-entropy"}
    assert set(result.table["width_rule"]) == {"0.5x", "1x"}
    assert set(result.table["status"]) == {"ok"}
    assert len(result.curves) == 2 * 2 * 2 * 2


def test_half_of_a_family_is_the_family_of_half_the_channels(swept):
    """The same network by two names: `Width(0.5)` of 8-8 and `Width(1)` of 4-4 start and train alike, bit for bit."""
    _, _, result = swept
    table = result.table[result.table["width"] == 4]
    by_rule = [table[table["width_rule"] == rule] for rule in ("0.5x", "1x")]
    for column in ("error", "half_width", "loss", "parameters"):
        assert by_rule[0][column].tolist() == by_rule[1][column].tolist()


def test_rows_are_those_of_the_networks(swept, task):
    _, _, result = swept
    for (family, width, _, seed), (model, state) in result.networks.items():
        described = SMALL if "(8, 8)" in family else ex.AllConv6(classes=10, channels=(4, 4))
        logits, _ = described.apply(model, state, task.pipe(task.test.images), layout="nhwc")
        rows = result.table[
            (result.table["family"] == family) & (result.table["width"] == width) & (result.table["seed"] == seed)
        ].set_index("norm")
        wrong = (np.asarray(logits).argmax(1) != task.test.labels).mean()
        best = np.argsort(-np.asarray(logits), axis=1)[:, :5]
        assert rows.loc["top-1", "error"] == pytest.approx(wrong)
        assert rows.loc["top-5", "error"] == pytest.approx(1 - (best == task.test.labels[:, None]).any(1).mean())
        assert rows.loc["top-1", "parameters"] == sum(leaf.size for _, layer in model for leaf in arrays(layer))


def arrays(layer):
    return [leaf for name in ("kernel", "bias", "scale", "shift") if (leaf := getattr(layer, name, None)) is not None]


def test_a_second_run_trains_nothing_and_says_the_same(swept):
    sweep, folder, result = swept
    before = (folder / "table.csv").read_bytes(), (folder / "curves.csv").read_bytes()
    again = ex.run(sweep, folder)
    assert not again.timings["trained_now"].any()
    assert ((folder / "table.csv").read_bytes(), (folder / "curves.csv").read_bytes()) == before
    key = next(iter(result.networks))
    for a, b in zip(arrays_of(result.networks[key]), arrays_of(again.networks[key]), strict=True):
        assert np.array_equal(a, b)


def arrays_of(network):
    import jax

    return jax.tree.leaves(network)


@pytest.mark.parametrize(("wrong", "count"), [(0, 20), (3, 20), (20, 20), (57, 500)])
def test_the_interval_is_that_of_the_binomial_law(wrong, count):
    """Its ends are where so few, and so many, have the probability 2.5 %."""
    low, high = sweeps.binomial_interval(wrong, count)
    if wrong:
        assert binom.sf(wrong - 1, count, low) == pytest.approx(0.025, abs=1e-9)
    else:
        assert low == 0
    if wrong < count:
        assert binom.cdf(wrong, count, high) == pytest.approx(0.025, abs=1e-9)
    else:
        assert high == 1


def test_ties_count_as_wrong_among_the_best_five():
    found = cells.measured(np.zeros((4, 10)), np.zeros(4, int))
    assert found["top-5"][0] == 1.0
    assert found["cross-entropy"][0] == pytest.approx(np.log(10))
    assert "top-5" not in cells.measured(np.zeros((4, 5)), np.zeros(4, int))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"family": ex.MLP(2)}, TypeError, "image family"),
        ({"family": ex.AllConv6(classes=3)}, ValueError, "classes=10"),
        ({"packed": True}, ValueError, "packed"),
        ({"task": 3}, TypeError, "ImageTask"),
        ({"task": ex.targets.norm_squared(ex.Ball(2))}, TypeError, "reads images"),
        ({"family": ex.ShuffleNet(1, 10, groups=3), "widths": ["0.26x"]}, ValueError, "groups"),
    ],
)
def test_sweeps_that_cannot_be_are_refused(task, changes, error, text):
    given = {"family": SMALL, "widths": ["1x"], "task": task, "seeds": 1, "recipe": RECIPE} | changes
    with pytest.raises(error, match=text):
        ex.Sweep(**given)


def test_a_set_of_images_is_a_task(task):
    sweep = ex.Sweep(SMALL, ["1x"], data.fashion_mnist().first(10), 1, RECIPE)
    assert len(sweep.task.test) == 20
    (cell,) = sweep.cells()
    assert (cell.label, cell.rules) == ("allconv6-w8", {8: "1x"})
