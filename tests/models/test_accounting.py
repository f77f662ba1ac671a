import math
from itertools import pairwise

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import accounting

from .golden import VISION, family

COUNTS = VISION["counts"]


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: row["key"].replace(" ", "_"))
def test_counts_equal_the_published_and_independently_counted_ones(row):
    net, width = family(row)
    assert ex.parameters(net, width) == row["parameters"]
    assert ex.models.batch_norm_parameters(net, width) == row["batch_norm"]
    size = row["size"] or net.input_size
    assert ex.macs(net, width, size) == row["macs"]


@pytest.mark.parametrize("point", VISION["multiplier_curve"], ids=lambda point: str(point["width"]))
def test_every_point_of_the_published_multiplier_curve(point):
    width = ex.Width(point["width"], divisor=8, rounding="divisible")
    assert ex.macs(ex.MobileNet(), width, 224) // 10**6 == point["megaflops"]


def test_the_curve_has_all_its_points():
    assert len(VISION["multiplier_curve"]) == 31
    assert len(COUNTS) > 140


@pytest.mark.parametrize("groups", [10, 100])
@pytest.mark.parametrize(("depth", "k"), [(10, 1), (16, 4), (28, 10), (40, 2)])
def test_the_closed_form_of_wide_residual_networks(depth, k, groups):
    n, c = (depth - 4) // 6, (16, 16 * k, 32 * k, 64 * k)
    total = 432 + 2 * c[3] + c[3] * groups + groups
    for before, after in pairwise(c):
        total += 9 * before * after + 9 * (2 * n - 1) * after**2 + 2 * (before + (2 * n - 1) * after)
        total += before * after if before != after else 0
    assert ex.parameters(ex.WideResNet(depth, groups), ex.Width(k)) == total


@pytest.mark.parametrize("variant", range(9))
@pytest.mark.parametrize("size", [32, 100, 224])
def test_the_closed_form_of_allconv6(variant, size):
    net = ex.AllConv6(variant)
    c, side, total, cost = (3, *net.base_channels), size, 20 * (net.base_channels[-1] + 1), 20 * net.base_channels[-1]
    for before, after in pairwise(c):
        side = (side + 2 - 3) // 2 + 1
        total += 9 * before * after + after
        cost += 9 * before * after * side**2
    assert ex.parameters(net, ex.Width()) == total
    assert ex.macs(net, ex.Width(), size) == cost


def test_macs_of_the_layers_of_allconv6():
    macs = [spec.macs for spec in ex.AllConv6().layers(ex.Width(), 224)]
    assert macs == [21676032, 115605504, 57802752, 28901376, 14450688, 5120]


def test_layers_of_mobilenet():
    specs = [spec for spec in ex.MobileNet().layers(ex.Width(), 224) if spec.kind != "batch_norm"]
    pairs = [(math.prod(spec.shapes["kernel"]), spec.macs) for spec in specs]
    assert pairs[0] == (864, 10838016)
    assert pairs[1:3] == [(288, 3612672), (2048, 25690112)]
    assert pairs[7:9] == [(1152, 903168), (32768, 25690112)]
    assert pairs[13:15] == pairs[21:23] == [(4608, 903168), (262144, 51380224)]
    assert pairs[25:27] == [(9216, 451584), (1048576, 51380224)]
    total, weights = sum(macs for _, macs in pairs), sum(weight for weight, _ in pairs)
    pointwise = [pair for pair, spec in zip(pairs, specs, strict=True) if spec.shapes["kernel"][:2] == (1, 1)]
    assert round(100 * sum(macs for _, macs in pointwise) / total, 2) == 94.86
    assert round(100 * sum(weight for weight, _ in pointwise) / (weights + 1000), 2) == 74.57
    assert round(100 * pairs[0][1] / total, 2) == 1.91


def test_the_slim_model_without_norm_and_dense_layer():
    convolutions = [spec for spec in ex.MobileNet().layers(ex.Width(0.75), 128) if spec.kind == "conv"]
    assert sum(math.prod(spec.shapes["kernel"]) for spec in convolutions) == 1800144
    assert sum(spec.macs for spec in convolutions) == 106002432


@pytest.mark.parametrize(
    ("alpha", "macs", "parameters"), [(0.75, 1.941, 1.713), (0.5, 1.928, 1.668), (0.25, 1.897, 1.585)]
)
def test_exponents_of_the_multiplier(alpha, macs, parameters):
    row = ex.cost_table(ex.MobileNet(), [ex.Width(alpha)], 224).iloc[0]
    assert (round(row["macs_exponent"], 3), round(row["parameters_exponent"], 3)) == (macs, parameters)
    assert row["width"] == f"{alpha}x"


@pytest.mark.parametrize("size", [96, 128, 192])
def test_macs_scale_with_the_square_of_the_resolution_apart_from_the_dense_layer(size):
    net = ex.MobileNet()
    dense = 1024 * 1000
    assert (ex.macs(net, ex.Width(), size) - dense) * 224**2 == (ex.macs(net, ex.Width(), 224) - dense) * size**2


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in COUNTS
        if row["key"]
        in {
            "allconv6_4+bn@224/20",
            "mobilenet_v1 a=0.25@224",
            "wrn-16-1/10",
            "preresnet-164-bottleneck/10",
            "resnet-20 optA/10",
            "resnet18@224",
            "densenet-bc-40-12/10",
            "shufflenet_v2 0.5x@224",
            "shufflenet_v1 g8 1x@224",
            "efficientnet_b0@224",
            "convpool-cnn-c crelu half/10",
        }
    ],
    ids=lambda row: row["key"],
)
def test_init_makes_what_was_counted_and_apply_its_logits(row):
    net, width = family(row)
    size = row["size"] or net.input_size
    model, state = jax.eval_shape(lambda key: net.init(key, width, size), jax.random.key(0))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model)) == row["parameters"]
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)) == row["batch_norm"]
    images = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
    for training in (False, True):
        logits, after = jax.eval_shape(
            lambda m, s, x, t=training: net.apply(m, s, x, t, jax.random.key(1)), model, state, images
        )
        assert logits.shape == (2, net.classes)
        assert jax.tree.structure(after) == jax.tree.structure(state)


def test_an_mlp_is_counted_too():
    assert ex.parameters(ex.MLP(4, 2, hidden_layers=3), "n+4") == 4 * 8 + 8 + 2 * (64 + 8) + 16 + 2
    assert ex.macs(ex.MLP(4, 2, hidden_layers=3), "n+4") == 4 * 8 + 2 * 64 + 16


def test_with_tensors_gives_back_what_tensors_took():
    net = ex.AllConv6(1, classes=3, batch_norm=True)
    model, state = net.init(jax.random.key(0), ex.Width(0.25), 32)
    arrays = [np.full(array.shape, float(i)) for i, (_, array) in enumerate(ex.models.tensors(model, state))]
    again = ex.models.tensors(*ex.models.with_tensors(model, state, arrays))
    assert [float(array.flat[0]) for _, array in again] == list(range(len(arrays)))
    assert [name for name, _ in again] == [name for name, _ in ex.models.tensors(model, state)]
    assert jax.tree.structure(ex.models.with_tensors(model, state, arrays)) == jax.tree.structure((model, state))


def test_tensors_that_do_not_fit_are_refused():
    model, state = ex.AllConv6(1).init(jax.random.key(0), ex.Width(), 32)
    arrays = [array for _, array in ex.models.tensors(model, state)]
    with pytest.raises(ValueError, match="has 12 tensors; got 11"):
        ex.models.with_tensors(model, state, arrays[1:])
    arrays[0] = np.zeros((3, 3, 3, 17))
    with pytest.raises(ValueError, match=r"conv1/kernel has the shape \(3, 3, 3, 16\); got .* \(3, 3, 3, 17\)"):
        ex.models.with_tensors(model, state, arrays)


def test_tensors_of_a_model_of_another_kind():
    model, state = ex.MLP(2).init(jax.random.key(0), "n+1")
    arrays = [np.asarray(array) + 1 for _, array in accounting.tensors(model, state)]
    shifted, _ = accounting.with_tensors(model, state, arrays)
    np.testing.assert_array_equal(jax.tree.leaves(shifted)[0], np.asarray(jax.tree.leaves(model)[0]) + 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_parameters_and_costs_are_of_the_images_that_are_read(channels):
    """Counted again from the arrays of a network made for such images."""
    family, size = ex.AllConv6(1, classes=10), (32, 32, channels)
    model, _ = family.init(jax.random.key(0), "0.5x", size)
    assert ex.parameters(family, "0.5x", size) == sum(leaf.size for leaf in jax.tree.leaves(model))
    table = ex.cost_table(family, ["0.5x"], size)
    assert table["parameters"].tolist() == [ex.parameters(family, "0.5x", size)]
