import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import layers as module
from expressivity.models.layers import BatchNorm, Conv, Layers, Moments
from expressivity.models.walk import Forward, Outline, pads

SMALL = [
    (ex.AllConv6(1, classes=7), 32),
    (ex.AllConv6(1, classes=7, batch_norm=True, activation="crelu"), 32),
    (ex.AllConv6("allconv5", classes=7), 40),
    (ex.ConvPoolCNNC(7, "crelu"), 32),
    (ex.MobileNet(classes=7), 32),
    (ex.WideResNet(10, 7), 16),
    (ex.WideResNet(11, 7, block="bottleneck"), 16),
    (ex.CifarResNet(8, 7, "A"), 16),
    (ex.CifarResNet(8, 7, "B"), 16),
    (ex.DenseNet(10, 12, 7), 16),
    (ex.ShuffleNet(1, 7, groups=1), 32),
    (ex.ShuffleNet(2, 7), 32),
    (ex.ImageNetResNet(18, 7), 32),
    (ex.ImageNetResNet(50, 7), 32),
    (ex.SlimResNet(18, 7), 32),
    (ex.EfficientNet("b0", 7), 32),
]
NAMES = [f"{type(family).__name__}{number}" for number, (family, _) in enumerate(SMALL)]


@pytest.mark.parametrize(("family", "size"), SMALL, ids=NAMES)
def test_exactly_the_named_dimensions_scale(family, size):
    one, two = family.width_dims(ex.Width()), family.width_dims(ex.Width(2))
    assert one.keys() == two.keys()
    assert all(two[name] > one[name] for name in one)
    narrow, wide = ({spec.name: spec for spec in family.layers(w, size)} for w in (ex.Width(), ex.Width(2)))
    common = narrow.keys() & wide.keys()  # a shortcut may become a projection
    sizes = {size for name in common for size in _differences(narrow[name], wide[name])}
    assert sizes
    assert sizes.isdisjoint({7, 3}), "the classes or the colours scale"
    assert family.layers(ex.Width(), size) == family.layers("n", size)


def _differences(one, two):
    for field, shape in one.shapes.items():
        for a, b in zip(shape, two.shapes.get(field, shape), strict=True):
            if a != b:
                yield a


@pytest.mark.parametrize(("family", "size"), SMALL, ids=NAMES)
def test_shapes_of_the_outline_are_those_of_the_computation(family, size):
    width, shape = ex.Width(2), (size, size + 8, 1)
    try:
        specs = family.layers(width, shape)
    except ValueError:
        shape = (size, size, 1)
        specs = family.layers(width, shape)
    model, state = jax.eval_shape(lambda key: family.init(key, width, shape), jax.random.key(0))
    assert model.names == tuple(spec.name for spec in specs)
    seen = []

    def compute(model, state, x):
        seen.append(_Recorder(family.width_dims(width), model, state))
        return family.forward(seen[0], x)

    logits = jax.eval_shape(compute, model, state, jax.ShapeDtypeStruct((3, *shape), np.float32))
    assert logits.shape == (3, 7)
    assert seen[0].outputs == {spec.name: (3, *spec.output) for spec in specs}


class _Recorder:
    """A Forward that notes the shape of every layer's output."""

    def __init__(self, *arguments):
        self._forward, self.outputs, self.dims = Forward(*arguments), {}, arguments[0]

    def __getattr__(self, operation):
        function = getattr(self._forward, operation)

        def noted(*arguments, **options):
            y = function(*arguments, **options)
            if operation in ("conv", "batch_norm", "dense"):
                self.outputs[arguments[0]] = y.shape
            return y

        return noted


@pytest.mark.parametrize("variant", range(1, 9))
def test_width_one_reproduces_the_base_network(variant):
    base = ex.AllConv6(variant)
    again = ex.AllConv6(channels=base.base_channels)
    one = ex.models.tensors(*base.init(jax.random.key(0), ex.Width(), 32))
    two = ex.models.tensors(*again.init(jax.random.key(0), ex.Width(1.0), 32))
    for (name, a), (other, b) in zip(one, two, strict=True):
        assert name == other
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", range(5, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("padding", ["same_tf", "pad01", "symmetric", 0, 1])
def test_padding_rules(size, stride, kernel, padding):
    before, after = pads(size, kernel, stride, padding)
    out = (size + before + after - kernel) // stride + 1
    if padding == "same_tf":
        from jax import lax

        assert out == -(-size // stride)
        assert (before, after) == lax.padtype_to_pads((size,), (kernel,), (stride,), "SAME")[0]
    elif padding == "symmetric":
        assert before == after == kernel // 2
    elif padding == "pad01" and kernel == 3 and stride == 2:
        assert (before, after) == (0, 1)
    elif isinstance(padding, int):
        assert before == after == padding
    if stride == 1 and padding in ("same_tf", "pad01", "symmetric"):
        assert out == size


def test_padding_rules_agree_on_shapes_at_multiples_of_32_only():
    def shapes(padding, size):
        return [spec.output for spec in ex.MobileNet(padding=padding).layers(ex.Width(), size)]

    assert shapes("same_tf", 96) == shapes("pad01", 96) == shapes("symmetric", 96)
    assert shapes("pad01", 112)[-3][:2] == (3, 3)
    assert shapes("same_tf", 112)[-3][:2] == shapes("symmetric", 112)[-3][:2] == (4, 4)


def test_batch_norm_in_training_and_its_running_moments():
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(2, 3, (4, 5, 6, 2)))
    scale, shift = np.float32([1.5, 0.5]), np.float32([0.0, -1.0])
    model = Layers(("bn",), (BatchNorm(scale, shift),))
    old = Moments(np.float32([1, 1]), np.float32([2, 2]))
    state = Layers(("bn",), (old,))
    net = Forward({}, model, state, training=True)
    y = net.batch_norm("bn", x, epsilon=1e-3, decay=0.9)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3) * scale + shift, atol=2e-6)
    after = net.state(state)["bn"]
    np.testing.assert_allclose(after.mean, 0.9 * old.mean + 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(after.variance, 0.9 * old.variance + 0.1 * x.var((0, 1, 2), ddof=1), rtol=1e-6)
    still = Forward({}, model, state).batch_norm("bn", x, epsilon=1e-3)
    np.testing.assert_allclose(still, (x - old.mean) / np.sqrt(old.variance + 1e-3) * scale + shift, atol=2e-6)


def test_the_state_changes_in_training_alone():
    family = ex.AllConv6(1, classes=3, batch_norm=True)
    model, state = family.init(jax.random.key(0), ex.Width(), 32)
    x = np.ones((2, 32, 32, 3), np.float32)
    assert family.apply(model, state, x)[1] is state
    after = family.apply(model, state, x, training=True)[1]
    assert not np.array_equal(after["bn1"].mean, state["bn1"].mean)
    bare = ex.AllConv6(1, classes=3)
    _, empty = bare.init(jax.random.key(0), ex.Width(), 32)
    assert jax.tree.leaves(empty) == []


def test_dropout_needs_a_key_and_keeps_the_mean():
    net = Forward({}, Layers((), ()), Layers((), ()), training=True, key=jax.random.key(0))
    x = jnp.ones((100, 1000))
    y = np.asarray(net.dropout(x, 0.9))
    assert set(np.unique(y)) == {0.0, np.float32(1) / np.float32(0.1)} or len(np.unique(y)) == 2
    assert abs(y.mean() - 1) < 4 * 3 / np.sqrt(1e5)  # a kept unit is 10 with probability 0.1: deviation 3
    assert not np.array_equal(y, net.dropout(x, 0.9))
    family = ex.AllConv6(1, dropout=0.9)
    model, state = family.init(jax.random.key(0), ex.Width(), 32)
    with pytest.raises(ValueError, match=r"Training with dropout 0.9 needs a key"):
        family.apply(model, state, np.zeros((1, 32, 32, 3), np.float32), training=True)


def test_pools_and_shuffles_against_plain_loops():
    rng = np.random.default_rng(1)
    x = np.float32(rng.normal(size=(2, 7, 8, 6)))
    net = Forward({}, Layers((), ()), Layers((), ()))
    best, mean = net.max_pool(x, 3, 2, padding=1), net.average_pool(x, 3, 2, padding=1)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    zeros = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    assert best.shape[1:] == Outline({}).max_pool((7, 8, 6), 3, 2, padding=1) == (4, 4, 6)
    for i in range(4):
        for j in range(4):
            rows, columns = slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3)
            np.testing.assert_array_equal(best[:, i, j], padded[:, rows, columns].max((1, 2)))
            np.testing.assert_allclose(mean[:, i, j], zeros[:, rows, columns].mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(net.shuffle(x, 3)[0, 0, 0], x[0, 0, 0, [0, 2, 4, 1, 3, 5]])
    short = net.subsample(x, 9, 2)
    np.testing.assert_array_equal(short[..., :6], x[:, ::2, ::2])
    assert float(abs(short[..., 6:]).max()) == 0
    assert short.shape[1:] == Outline({}).subsample((7, 8, 6), 9, 2)


def test_a_convolution_against_plain_loops():
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(1, 5, 6, 4)), rng.normal(size=(3, 3, 2, 6))
    with jax.enable_x64(True):
        net = Forward({}, Layers(("c",), (Conv(kernel),)), Layers((), ()))
        y = np.asarray(net.conv("c", jnp.asarray(x), 6, 3, 2, groups=2))
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
    for i in range(3):
        for j in range(3):
            for c in range(6):
                window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3, 2 * (c // 3) : 2 * (c // 3) + 2]
                assert abs(y[0, i, j, c] - (window * kernel[..., c]).sum()) < 1e-13


@pytest.mark.parametrize(
    ("rule", "kind", "spread"),
    [
        ("original", "normal", lambda i, o: 0.01),
        ("he", "normal", lambda i, o: (2 / i) ** 0.5),
        ("he_fan_out", "normal", lambda i, o: (2 / o) ** 0.5),
        ("caffe", "uniform", lambda i, o: (3 / i) ** 0.5),
        ("glorot", "uniform", lambda i, o: (6 / (i + o)) ** 0.5),
        ("torch", "uniform", lambda i, o: i**-0.5),
    ],
)
def test_initial_values(rule, kind, spread):
    model, _ = ex.AllConv6(0).init(jax.random.key(5), ex.Width(), 32, initialisation=rule)
    kernel = np.asarray(model["conv3"].kernel).ravel()
    expected = spread(9 * 64, 9 * 128)
    deviation = expected if kind == "normal" else expected / 3**0.5
    # 73,728 numbers: the sample deviation is within 4 / sqrt(2 n) of the true one, the mean within 4 / sqrt(n)
    assert abs(kernel.std() / deviation - 1) < 4 / np.sqrt(2 * kernel.size)
    assert abs(kernel.mean()) < 4 * deviation / np.sqrt(kernel.size)
    if kind == "uniform":
        assert 0.99 < abs(kernel).max() / expected <= 1 + 1e-6
    bias = np.asarray(model["conv3"].bias)
    assert (abs(bias).max() > 0) == (rule == "torch")
    if rule == "original":
        dense = abs(np.asarray(model["fc"].kernel)).max()
        assert 0.99 * (3 / 256) ** 0.5 < dense <= (3 / 256) ** 0.5 * (1 + 1e-6)


def test_the_original_gain_depends_on_the_width():
    gains = [
        np.prod([0.01 * np.sqrt(9 * c / 2) for c in ex.AllConv6(variant).base_channels[:-1]]) for variant in (0, 1)
    ]
    assert gains[0] == pytest.approx(1.659e-3, rel=5e-4)
    assert gains[1] == pytest.approx(1.037e-4, rel=5e-4)
    # the published initial values begin with signals 16 times smaller in the narrow network, He's do not
    x = np.float32(60 * np.random.default_rng(0).normal(size=(16, 64, 64, 3)))
    for rule, low, high in (("original", 5, 40), ("he", 0.4, 2.5)):
        spread = []
        for variant in (0, 1):
            family = ex.AllConv6(variant)
            model, state = family.init(jax.random.key(3), ex.Width(), 64, initialisation=rule)
            spread.append(float(jnp.std(family.apply(model, state, x)[0])))
        assert low < spread[0] / spread[1] < high


def test_a_key_gives_one_network_in_both_precisions_and_under_transformations():
    family = ex.AllConv6(1, classes=3)

    def make(key):
        return family.init(key, ex.Width(), 32)[0]

    one = make(jax.random.key(7))
    with jax.enable_x64(True):
        wide = make(jax.random.key(7))
    keys = jax.random.split(jax.random.key(7), 2)
    stack = jax.jit(jax.vmap(make))(keys)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(wide), strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(a, np.float32(b))
    for a, b in zip(jax.tree.leaves(stack), jax.tree.leaves(make(keys[1])), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-5, atol=1e-7)  # compiled apart: the last bits may differ


def test_seeds_batched_by_vmap_compute_what_each_computes():
    family = ex.AllConv6(1, classes=3, batch_norm=True)
    keys = jax.random.split(jax.random.key(0), 2)
    models, states = jax.vmap(lambda key: family.init(key, ex.Width(), 32))(keys)
    x = np.float32(np.random.default_rng(0).normal(size=(4, 32, 32, 3)))
    apply = jax.jit(lambda m, s: family.apply(m, s, x, training=True))
    logits, after = jax.jit(jax.vmap(apply))(models, states)
    one, moved = apply(*jax.tree.map(lambda leaf: leaf[1], (models, states)))
    np.testing.assert_allclose(logits[1], one, atol=1e-5 * float(abs(one).max()))
    np.testing.assert_allclose(after["bn3"].variance[1], moved["bn3"].variance, rtol=1e-5)


def test_half_precision_images_give_half_precision_logits():
    family = ex.MobileNet(classes=3, shallow=True)
    model, state = jax.eval_shape(lambda key: family.init(key, ex.Width(0.25), 32), jax.random.key(0))
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.bfloat16)
    logits, after = jax.eval_shape(lambda m, s, x: family.apply(m, s, x, training=True), model, state, x)
    assert logits.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(after))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_training_gradient_lowers_for_accelerators(platform):
    from jax import export

    family = ex.MobileNet(classes=3, shallow=True)
    model, state = jax.eval_shape(lambda key: family.init(key, ex.Width(0.25), 32), jax.random.key(0))

    def loss(model, state, x):
        logits, after = family.apply(model, state, x, training=True)
        return (logits**2).sum(), after

    step = jax.jit(jax.grad(loss, has_aux=True))
    lowered = export.export(step, platforms=[platform])(model, state, jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32))
    assert lowered.platforms == (platform,)


BAD = [
    (lambda: ex.AllConv6(9), r"variant of AllConv6 is one of .*; got 9"),
    (lambda: ex.AllConv6(activation="gelu"), "got 'gelu'"),
    (lambda: ex.AllConv6(dropout=1.0), r"below 1, not 1.0"),
    (lambda: ex.AllConv6(classes=0), "at least 1 class, not 0"),
    (lambda: ex.AllConv6(channels=(8, 16), strides=(1,)), "got 2 channel counts and 1 strides"),
    (lambda: ex.MobileNet(padding="same"), "same_tf, pad01, symmetric; got 'same'"),
    (lambda: ex.MobileNet(epsilon=0.0), r"positive number, not 0.0"),
    (lambda: ex.WideResNet(17, 10), r"6 N \+ 4 or 6 N \+ 2 .*; got 17"),
    (lambda: ex.WideResNet(4, 10), "got 4"),
    (lambda: ex.WideResNet(28, 10, block="wide"), "got 'wide'"),
    (lambda: ex.CifarResNet(28, 10), r"6 N \+ 2 .*; got 28"),
    (lambda: ex.CifarResNet(20, 10, "C"), "got 'C'"),
    (lambda: ex.ImageNetResNet(51), "got 51"),
    (lambda: ex.DenseNet(41, 12), r"6 L \+ 4 .* or one of 121, .*; got 41"),
    (lambda: ex.DenseNet(40, 0), "at least 1, not 0"),
    (lambda: ex.ShuffleNet(3), "got 3"),
    (lambda: ex.ShuffleNet(1, groups=5), "got 5"),
    (lambda: ex.EfficientNet("b8"), "got 'b8'"),
    (lambda: ex.AllConv6().layers(ex.Width(), 0), "got 0"),
    (lambda: ex.AllConv6().layers(ex.Width(), (1, 2, 3, 4)), r"got \(1, 2, 3, 4\)"),
    (lambda: ex.ConvPoolCNNC(10).layers(ex.Width(), 8), "The image is too small"),
    (lambda: ex.ShuffleNet(1, groups=3).layers(ex.Width(0.7)), r"has 3 groups.*Give the Width a divisor"),
    (lambda: ex.AllConv6().init(jax.random.key(0), ex.Width(), 32, initialisation="zero"), "got 'zero'"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_kinds():
    for make in (
        lambda: ex.AllConv6(classes=2.0),
        lambda: ex.WideResNet(28.0, 10),
        lambda: ex.DenseNet(40, 12.0),
        lambda: ex.CifarResNet("20", 10),
    ):
        with pytest.raises(TypeError, match="is a whole number, not"):
            make()


def test_images_and_models_that_do_not_fit():
    family = ex.AllConv6(1)
    model, state = family.init(jax.random.key(0), ex.Width(), (32, 32, 1))
    with pytest.raises(ValueError, match="reads images of 1 channels; got 3"):
        family.apply(model, state, np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(batch, height, width, channels\); got the shape \(32, 32, 1\)"):
        family.apply(model, state, np.zeros((32, 32, 1), np.float32))
    with pytest.raises(ValueError, match="has no BatchNorm layer 'bn1'"):
        ex.AllConv6(1, batch_norm=True).apply(model, state, np.zeros((1, 32, 32, 1), np.float32))
    with pytest.raises(ValueError, match="reads models of its own init; got a dict"):
        family.apply({}, state, np.zeros((1, 32, 32, 1), np.float32))
    with pytest.raises(KeyError, match="no layer 'conv9'; the layers are conv1, "):
        model["conv9"]
    with pytest.raises(ValueError, match="got 1 names and 0 layers"):
        Layers(("a",), ())


def test_families_are_families_and_hashable():
    for family, _ in SMALL:
        assert isinstance(family, ex.models.Family)
        assert hash(family) == hash(type(family)(**vars(family)))
        assert family.input_size


def test_rules_are_named():
    assert set(module.RULES) == {"he", "he_fan_out", "caffe", "glorot", "torch"}
