import numpy as np
import pytest

import expressivity as ex
from expressivity.models import STEMS, PairingLaw, pairing

PUBLISHED = [
    ("alexnet", 96, 55, 363, 34848, 105415200),
    ("alexnet_one_tower", 64, 55, 363, 23232, 70276800),
    ("zfnet", 96, 110, 147, 14112, 170755200),
    ("vgg16", 64, 224, 27, 1728, 86704128),
    ("googlenet", 64, 112, 147, 9408, 118013952),
    ("inception_v3", 32, 149, 27, 864, 19181664),
    ("squeezenet1_0", 96, 109, 147, 14112, 167664672),
    ("squeezenet1_1", 64, 111, 27, 1728, 21290688),
    ("densenet161", 96, 112, 147, 14112, 177020928),
    ("mobilenet_v1", 32, 112, 27, 864, 10838016),
    ("mobilenet_v3", 16, 112, 27, 432, 5419008),
    ("shufflenet", 24, 112, 27, 648, 8128512),
    ("convnext_tiny", 96, 56, 48, 4608, 14450688),
    ("convnext_base", 128, 56, 48, 6144, 19267584),
    ("vit_b16", 768, 14, 768, 589824, 115605504),
    ("cifar_resnet", 16, 32, 27, 432, 442368),
    ("allconv6", 64, 112, 27, 1728, 21676032),
]


@pytest.mark.parametrize(("name", "channels", "output", "fan_in", "weights", "macs"), PUBLISHED)
def test_published_first_layers(name, channels, output, fan_in, weights, macs):
    stem = STEMS[name]
    assert (stem.channels, stem.output, stem.fan_in, stem.weights, stem.macs) == (
        channels,
        output,
        fan_in,
        weights,
        macs,
    )


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("mobilenet_v1", ex.MobileNet()),
        ("resnet", ex.ImageNetResNet(50)),
        ("densenet161", ex.DenseNet(161, 48, 1000)),
        ("shufflenet", ex.ShuffleNet(2)),
        ("efficientnet_b7", ex.EfficientNet("b7")),
        ("cifar_resnet", ex.WideResNet(16)),
        ("allconv6", ex.AllConv6()),
    ],
)
def test_stems_are_the_first_layers_of_the_families(name, family):
    first = family.layers()[0]
    stem = STEMS[name]
    assert first.shapes["kernel"] == (stem.kernel, stem.kernel, stem.inputs, stem.channels)
    assert first.macs == stem.macs


LAW = [
    (96, 363, -0.130309, -0.1707, -0.1280, -0.0979),
    (128, 1200, -0.074754, -0.0965, -0.0735, -0.0574),
    (384, 2304, -0.061515, -0.0758, -0.0606, -0.0504),
    (192, 1728, -0.065644, -0.0832, -0.0646, -0.0518),
    (64, 147, -0.191795, -0.2568, -0.1883, -0.1386),
    (64, 27, -0.436670, -0.5677, -0.4314, -0.3237),
    (64, 576, -0.097276, -0.1309, -0.0954, -0.0700),
    (32, 27, -0.388179, -0.5357, -0.3830, -0.2584),
    (24, 27, -0.365676, -0.5212, -0.3607, -0.2275),
    (16, 27, -0.330907, -0.4993, -0.3261, -0.1790),
]


@pytest.mark.parametrize(("filters", "fan_in", "mean", "low", "median", "high"), LAW)
def test_the_law_of_pairing_at_known_values(filters, fan_in, mean, low, median, high):
    law = PairingLaw(filters, fan_in)
    assert abs(law.mean() - mean) < 6e-7  # the table has six decimals, the quantiles four
    for q, expected in ((0.05, low), (0.5, median), (0.95, high)):
        assert abs(law.quantile(q) - expected) < 6e-5
        assert abs(law.cdf(law.quantile(q)) - q) < 1e-12


def test_the_law_of_pairing_against_random_filters():
    rng = np.random.default_rng(0)
    sample = np.concatenate([pairing(rng.normal(size=(3, 3, 3, 16))) for _ in range(400)])
    # filters of one layer depend on each other, so the error of the mean is at most that of 400 values
    assert abs(sample.mean() - PairingLaw(16, 27).mean()) < 4 * sample.std() / 20


def test_pairing_refuses_what_has_no_direction():
    with pytest.raises(ValueError, match=r"filters \[1\] are 0"):
        pairing(np.array([[[[1.0, 0.0, 2.0]]]]))
    with pytest.raises(ValueError, match="at least two filters; got 1"):
        pairing(np.ones((3, 3, 3, 1)))
    with pytest.raises(ValueError, match="fan_in of at least 2, not 1"):
        PairingLaw(4, 1)


def test_a_crelu_layer_is_a_relu_layer_of_exact_pairs():
    rng = np.random.default_rng(1)
    kernel, bias = np.float32(rng.normal(size=(3, 3, 3, 4))), np.float32(rng.normal(size=4))
    assert pairing(np.concatenate([kernel, -kernel], -1)) == pytest.approx(-1, abs=1e-15)
    x = np.float32(rng.normal(size=(2, 8, 8, 3)))
    from expressivity.models.layers import Conv, Layers
    from expressivity.models.walk import Forward

    def outputs(kernel, bias, activation):
        net = Forward({}, Layers(("c",), (Conv(kernel, bias),)), Layers((), ()))
        return np.asarray(net.activate(net.conv("c", x, kernel.shape[-1], stride=2, bias=True), activation))

    paired = outputs(np.concatenate([kernel, -kernel], -1), np.concatenate([bias, -bias]), "relu")
    joined = outputs(kernel, bias, "crelu")
    np.testing.assert_array_equal(paired, joined)
    linear = outputs(kernel, bias, "identity")
    np.testing.assert_array_equal(joined[..., :4] - joined[..., 4:], linear)
