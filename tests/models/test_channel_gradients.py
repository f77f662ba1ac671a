"""The hand-written backward passes against automatic differentiation of the plain formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from expressivity.models import channel_products as products
from expressivity.models import first_layer, winograd, winograd_rows
from expressivity.models.channel_products import Window
from expressivity.models.walk import pads

# (kernel, stride, padding, height, width, batch): every kernel, stride and rule, odd sizes, batches of one
GRID = [
    (1, 1, "symmetric", 5, 4, 3),
    (1, 2, 0, 5, 4, 1),
    (1, 4, "same_tf", 9, 6, 2),
    (3, 1, "symmetric", 6, 5, 2),
    (3, 1, 0, 6, 5, 1),
    (3, 1, 3, 4, 5, 2),
    (3, 2, "symmetric", 7, 8, 2),
    (3, 2, "same_tf", 8, 7, 2),
    (3, 2, "pad01", 8, 9, 1),
    (3, 4, "symmetric", 11, 9, 2),
    (5, 1, "same_tf", 6, 5, 2),
    (5, 4, 1, 13, 10, 2),
    (7, 2, "symmetric", 13, 12, 1),
    (11, 4, 2, 19, 17, 2),
]
# what minimal filtering takes: 3 x 3, even results; every rule of padding, at stride 2 sizes that are no multiple of 4
TILED = [
    (3, 2, "symmetric", 8, 12, 2),
    (3, 2, "symmetric", 7, 12, 1),
    (3, 2, "same_tf", 8, 4, 3),
    (3, 2, "pad01", 8, 12, 1),
    (3, 2, 0, 5, 10, 2),
    (3, 2, 2, 9, 6, 2),
    (3, 2, 3, 4, 8, 1),
]
PAIRED = [
    (3, 1, "symmetric", 6, 5, 2),
    (3, 1, "same_tf", 2, 8, 3),
    (3, 1, "pad01", 8, 4, 1),
    (3, 1, 0, 4, 3, 2),
    (3, 1, 2, 6, 3, 1),
    (3, 1, 3, 4, 5, 2),
    (3, 1, "symmetric", 8, 5, 2),
    (3, 1, 0, 10, 3, 2),
    (3, 1, 2, 6, 4, 1),
    (3, 1, 3, 12, 3, 1),
]
MINIMAL = [*((winograd, case) for case in TILED), *((winograd_rows, case) for case in PAIRED)]
TOLERANCES = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 5e-2}


def plain(x, kernel, stride, around, groups):
    """The convolution of JAX, on (channels, height, width, batch) and HWIO."""
    numbers = ("CHWN", "HWIO", "CHWN")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), around, dimension_numbers=numbers, feature_group_count=groups
    )


def compare(ours, theirs, tolerance):
    """Each array within the tolerance, relative to its largest entry."""
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
        np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * max(abs(two).max(), 1e-30))


@functools.partial(jax.jit, static_argnums=0)
def both(function, x, k, ct):
    """The value of function(x, k), and its gradients for the cotangent `ct`."""
    y, back = jax.vjp(function, x, k)
    return y, *back(ct)


def check(case, deep, dtype, dense=products.dense):
    """Value and gradients of one convolution, in `dtype`, against JAX in float64."""
    kernel, stride, padding, height, width, batch = case
    rng = np.random.default_rng(kernel + stride)
    inputs, outputs = (4, 4) if deep else (3, 5)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(inputs, height, width, batch))).astype(dtype)
        k = jnp.asarray(rng.normal(size=(kernel, kernel, 1 if deep else inputs, outputs))).astype(dtype)
        window = Window.over(x, kernel, stride, padding)
        ct = jnp.asarray(rng.normal(size=(outputs, *window.out, batch))).astype(dtype)
        around = [pads(size, kernel, stride, padding) for size in (height, width)]
        own = products.depthwise if deep else dense
        ours = both(lambda x, k: own(window, x, k.reshape(-1, outputs)), x, k, ct)
        other = functools.partial(plain, stride=stride, around=around, groups=inputs if deep else 1)
        compare(ours, both(other, *(array.astype(jnp.float64) for array in (x, k, ct))), TOLERANCES[dtype])


@pytest.mark.parametrize("case", GRID)
@pytest.mark.parametrize("deep", [False, True])
def test_convolutions_have_the_gradients_of_the_plain_ones(case, deep):
    check(case, deep, "float64")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("deep", [False, True])
def test_convolutions_in_low_precision(dtype, deep):
    check((3, 2, "symmetric", 7, 8, 2), deep, dtype)


@pytest.mark.parametrize("case", GRID[:10])
@pytest.mark.parametrize(("inputs", "outputs", "dtype"), [(3, 5, "float64"), (1, 17, "float64"), (4, 16, "float32")])
def test_the_convolution_of_images_has_the_gradients_of_the_plain_one(case, inputs, outputs, dtype):
    kernel, stride, padding, height, width, batch = case
    rng = np.random.default_rng(outputs)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(inputs, height, width, batch)), dtype)
        k = jnp.asarray(rng.normal(size=(kernel, kernel, inputs, outputs)), dtype)
        bias = jnp.asarray(rng.normal(size=outputs), dtype)
        window = Window.over(x, kernel, stride, padding)
        ct = jnp.asarray(rng.normal(size=(outputs, *window.out, batch)), dtype)
        around = [pads(size, kernel, stride, padding) for size in (height, width)]

        def own(x, weights):
            return first_layer.dense(window, x, weights[0].reshape(-1, outputs), weights[1])

        def formula(x, weights):
            return plain(x, weights[0], stride, around, 1) + weights[1][:, None, None, None]

        wide = [array.astype(jnp.float64) for array in (x, k, bias, ct)]
        compare(both(own, x, (k, bias), ct), both(formula, wide[0], (wide[1], wide[2]), wide[3]), TOLERANCES[dtype])


def test_the_gradient_of_the_first_kernel_is_one_product_for_eight_outputs():
    x, k, bias = jnp.ones((3, 8, 8, 2)), jnp.ones((27, 20)), jnp.ones(20)
    window = Window.over(x, 3, 2, "symmetric")
    value = functools.partial(first_layer.dense, window)
    gradient = jax.jit(jax.grad(lambda k, bias: (value(x, k, bias) ** 2).sum(), (0, 1)))
    # forward, and outputs 0-7, 8-15 and 16-19; the gradient of the images is not read and must be gone
    assert gradient.lower(k, bias).compile().as_text().count(" dot(") == 4
    # 27 rows and that of the bias, which needs no pass of its own
    assert multiplications(value, x, k, bias) == 28 * 20 * 16 * 2


def test_where_the_convolution_of_images_is_used():
    def used(inputs=3, kernel=3, dtype=jnp.float32, outputs=16):
        x = jax.ShapeDtypeStruct((inputs, 8, 8, 2), dtype)
        return first_layer.saves_time(x, jax.ShapeDtypeStruct((kernel**2 * inputs, outputs), dtype))

    assert used()
    assert not used(outputs=15)
    assert used(inputs=1)
    assert not used(inputs=5)
    assert not used(kernel=11)
    assert not used(dtype=jnp.bfloat16)


@pytest.mark.parametrize(("way", "case"), MINIMAL)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_minimal_filtering_has_the_gradients_of_the_plain_convolution(way, case, dtype):
    check(case, False, dtype, way.dense)


def adjoint(way, window, height, width, batch):
    """<A x, y> = <x, A' y>, and A is the convolution."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, k = jnp.asarray(rng.normal(size=(2, height, width, batch))), jnp.asarray(rng.normal(size=(18, 3)))
        ct = jnp.asarray(rng.normal(size=(3, *window.out, batch)))

        (y, dx, _), (expected, *_) = (
            both(functools.partial(dense, window), x, k, ct) for dense in (way.dense, products.dense)
        )
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)  # sums of 18 numbers of order 1
        left, right = float((y * ct).sum()), float((x * dx).sum())
        assert abs(left - right) <= 1e-11 * float(jnp.linalg.norm(y) * jnp.linalg.norm(ct) + 1)


@settings(max_examples=5)
@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 1), st.integers(1, 2))
def test_the_gradient_of_minimal_filtering_at_stride_2_is_the_adjoint(padding, down, across, odd, even, batch):
    # every size that leaves an even result
    height, width = (4 * tiles + 1 - 2 * padding + extra for tiles, extra in ((down, odd), (across, even)))
    assume(min(height, width) > 0)
    window = Window.over(np.empty((2, height, width, batch)), 3, 2, padding)
    assert window.out == (2 * down, 2 * across)
    adjoint(winograd, window, height, width, batch)


@settings(max_examples=5)
@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 2))
def test_the_gradient_of_minimal_filtering_at_stride_1_is_the_adjoint(padding, down, width, batch):
    height = 2 * down + 2 - 2 * padding
    assume(height > 0 and width + 2 * padding >= 3)
    window = Window.over(np.empty((2, height, width, batch)), 3, 1, padding)
    assert window.out[0] == 2 * down
    adjoint(winograd_rows, window, height, width, batch)


@pytest.mark.parametrize(
    ("way", "stride", "height", "most"), [(winograd, 2, 8, 2), (winograd_rows, 1, 6, 2), (winograd_rows, 1, 8, 3)]
)
def test_rounding_of_minimal_filtering_stays_near_that_of_the_plain_sum(way, stride, height, most):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, k = jnp.asarray(rng.normal(size=(64, height, 8, 4))), jnp.asarray(rng.normal(size=(576, 64)))
        window = Window.over(x, 3, stride, "symmetric")
        ct = jnp.asarray(rng.normal(size=(64, *window.out, 4)))

        def errors(own):
            exact, rounded = (
                both(functools.partial(own, window), *(array.astype(dtype) for array in (x, k, ct)))
                for dtype in (jnp.float64, jnp.float32)
            )
            return [float(jnp.sqrt(jnp.mean((a - b) ** 2))) for a, b in zip(rounded, exact, strict=True)]

        ratios = np.array(errors(way.dense)) / errors(products.dense)
    assert (ratios < most).all()


@given(st.lists(st.integers(-8, 8), min_size=3, max_size=6, unique=True))
def test_filtering_at_any_points_is_the_filter_of_three_taps(quarters):
    """The coefficient of w_j x_k in y_i is 1 where k = i + j, otherwise 0."""
    outputs, taps, inputs = winograd_rows.Filtering.at(*(number / 4 for number in quarters))
    found = np.einsum("ip,pj,pk->ijk", outputs, taps, inputs)
    i, j, k = np.indices(found.shape)
    # points at least 1/4 apart and at most 2: terms of up to 1e5, each of which is rounded to 1e-16 of it
    np.testing.assert_allclose(found, (k == i + j).astype(float), rtol=0, atol=1e-9)


def test_filtering_at_the_points_of_lavin_and_gray():
    """F(2, 3) as in their section 4.1; a product may carry its sign or a factor in either of its tables."""
    outputs, taps, inputs = map(np.array, winograd_rows.TWO)
    assert (outputs == [[1, 1, 1, 0], [0, 1, -1, 1]]).all()
    assert (abs(taps) == [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]]).all()
    assert (abs(inputs) == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]]).all()
    assert np.shape(winograd_rows.FOUR.inputs) == (6, 6)
    assert np.shape(winograd_rows.FOUR.outputs) == (4, 6)


def multiplications(function, *args):
    """Multiply-adds in the matrix products of a function."""
    found, queue = 0, [jax.make_jaxpr(function)(*args).jaxpr]
    while queue:
        for equation in queue.pop().eqns:
            queue += [value for value in equation.params.values() if hasattr(value, "eqns")]
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                inner = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
                found += int(inner * np.prod(equation.outvars[0].aval.shape))
    return found


@pytest.mark.parametrize(
    ("way", "stride", "height", "own", "plain"),
    [(winograd, 2, 16, 25, 36), (winograd_rows, 1, 18, 4, 6), (winograd_rows, 1, 16, 6, 12)],
)
def test_minimal_filtering_multiplies_less(way, stride, height, own, plain):
    x, kernel = jnp.ones((5, height, 8, 3)), jnp.ones((45, 7))
    window = Window.over(x, 3, stride, "symmetric")
    counts = [
        multiplications(jax.grad(lambda x, k, dense=dense: (dense(window, x, k) ** 2).sum(), (0, 1)), x, kernel)
        for dense in (way.dense, products.dense)
    ]
    assert counts[1] == 3 * 45 * 7 * (height // stride) * (8 // stride) * 3  # forward and two gradients
    assert counts[0] * plain == counts[1] * own


def test_minimal_filtering_is_used_where_it_saves_time():
    def used(kernel=3, stride=2, inputs=64, size=16, batch=32, channels=64, dtype=jnp.float32, way=winograd):
        x = jax.ShapeDtypeStruct((inputs, size, size, batch), dtype)
        weights = jax.ShapeDtypeStruct((kernel**2 * inputs, channels), dtype)
        return way.saves_time(Window.over(x, kernel, stride, "symmetric"), x, weights)

    assert used()
    assert not used(kernel=5)
    assert not used(stride=1)
    assert not used(size=18)  # 9 x 9 outputs
    assert not used(inputs=32)
    assert not used(channels=32)
    assert not used(batch=16)
    assert not used(dtype=jnp.bfloat16)

    rows = functools.partial(used, stride=1, size=8, inputs=32, channels=32, way=winograd_rows)
    assert rows()
    assert not rows(kernel=5)
    assert not rows(stride=2)
    assert not rows(size=9, batch=64)
    assert not rows(inputs=16)
    assert not rows(channels=16)
    assert not rows(batch=31)
    assert not rows(dtype=jnp.bfloat16)


@settings(max_examples=6)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(5, 9), st.integers(5, 9), st.integers(1, 2))
def test_the_gradient_of_the_input_is_the_adjoint(kernel, stride, padding, height, width, batch):
    # <A x, y> = <x, A' y> for the linear map A of a fixed kernel: no other formula is needed
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(2, height, width, batch)))
        window = Window.over(x, kernel, stride, padding)
        for own, rows in ((products.dense, 2), (products.depthwise, 1)):
            k = jnp.asarray(rng.normal(size=(kernel**2 * rows, 2)))
            ct = jnp.asarray(rng.normal(size=(2, *window.out, batch)))
            y, dx, _ = both(functools.partial(own, window), x, k, ct)
            left, right = float((y * ct).sum()), float((x * dx).sum())
            assert abs(left - right) <= 1e-11 * float(jnp.linalg.norm(y) * jnp.linalg.norm(ct) + 1)


@pytest.mark.parametrize("rectifier", ["", "relu", "relu6"])
@pytest.mark.parametrize(("dtype", "shape"), [("float64", (3, 5, 7, 1)), ("float32", (3, 4, 8, 2))])
def test_batch_norm_and_rectifier_have_the_gradients_of_the_plain_ones(rectifier, dtype, shape):
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        x = jnp.asarray(3 + rng.normal(size=shape), dtype)
        scale, shift = jnp.asarray(rng.normal(size=(2, 3)) * 4, dtype)
        ct = jnp.asarray(rng.normal(size=shape), dtype)

        def own(x, scale, shift):
            mean, variance = products.moments(lax.stop_gradient(x))
            return products.normalised(rectifier, x, scale, shift, mean, lax.rsqrt(variance + 1e-3))

        def formula(x, scale, shift):
            mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
            z = (x - mean) / jnp.sqrt(variance + 1e-3) * scale[:, None, None, None] + shift[:, None, None, None]
            return {"": z, "relu": jnp.maximum(z, 0), "relu6": jnp.clip(z, 0, 6)}[rectifier]

        y, back = jax.vjp(own, x, scale, shift)
        y_plain, back_plain = jax.vjp(formula, *(a.astype(jnp.float64) for a in (x, scale, shift)))
        compare((y, back(ct)), (y_plain, back_plain(ct.astype(jnp.float64))), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 1), (3, 2, 4, 3), (1, 17, 19, 2), (2, 5, 32, 1), (2, 32, 6, 3), (1, 3, 7, 40)]
)
@pytest.mark.parametrize("number", [1, 2, 9])
def test_sums_of_several_arrays_are_those_of_each(number, shape, dtype):
    with jax.enable_x64(True):
        terms = np.random.default_rng(number).normal(size=(number, *shape)).astype(dtype)
        sums = jnp.stack(products.totals(*map(jnp.asarray, terms)))
        expected = terms.astype(float).sum((2, 3, 4))
        assert sums.dtype == dtype
        assert sums.shape == (number, shape[0])
        most = np.abs(terms.astype(float)).sum((2, 3, 4))
        assert (np.abs(sums - expected) <= 8 * np.finfo(dtype).eps * most).all()


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.sampled_from([(1, 1, 2), (4, 4, 8), (5, 7, 3), (16, 32, 4)]),
    st.sampled_from([0.0, -1.0, 300.0, 1e4, -1e6]),
    st.sampled_from([1e-3, 1.0, 50.0]),
    st.sampled_from([0.0, 10.0, 1e4]),
)
def test_the_variance_in_one_pass_loses_only_what_its_pivot_costs(seed, sizes, away, deviation, outlier):
    # relative error of (1 + z^2) roundings, where the pivot is z standard deviations from the mean; z^2 < numbers
    x = np.random.default_rng(seed).normal(away, deviation, size=(2, *sizes))
    x[:, 0, 0, 0] += outlier * deviation
    for dtype in ("float32", "float64"):
        with jax.enable_x64(True):
            given = x.astype(dtype)
            mean, variance = (np.asarray(a, float) for a in products.moments(jnp.asarray(given)))
        exact = given.astype(np.longdouble)
        centre, square = exact.mean((1, 2, 3)), exact.var((1, 2, 3))
        eps, pivot = np.finfo(dtype).eps, exact[:, 0, 0, 0] - centre
        assert (variance >= 0).all()
        assert (np.abs(variance - square) <= 16 * eps * (square + pivot**2)).all()
        assert (np.abs(mean - centre) <= 16 * eps * (np.abs(centre) + np.sqrt(square) + np.abs(pivot))).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 3e-30])
def test_a_constant_channel_has_no_variance_at_all(value):
    mean, variance = products.moments(jnp.full((2, 8, 5, 3), value, jnp.float32))
    assert (mean == np.float32(value)).all()
    assert (variance == 0).all()


def test_a_bias_gets_the_sum_of_its_channel():
    dy = jnp.arange(24.0).reshape(2, 3, 2, 2)
    _, back = jax.vjp(products.add_bias, jnp.zeros_like(dy), jnp.zeros(2))
    assert back(dy)[1].tolist() == [66.0, 210.0]


def test_no_gradient_of_the_images_is_computed():
    # forward, gradient of the kernel: two products; the third, for the images, is not read and must be gone
    x, kernel = jnp.ones((3, 8, 8, 2)), jnp.ones((27, 5))
    window = Window.over(x, 3, 2, "symmetric")
    both = [
        jax.jit(jax.grad(lambda k, x: (products.dense(window, x, k) ** 2).sum(), which)).lower(kernel, x).compile()
        for which in (0, (0, 1))
    ]
    flops = [sum(line.count(" dot(") for line in program.as_text().split("\n")) for program in both]
    assert flops == [2, 3]


def test_layers_of_the_same_shapes_are_traced_once():
    traced = []

    def forward(factor, x):
        traced.append("forward")
        return factor * x, ()

    def backward(factor, _, dy):
        traced.append("backward")
        return (factor * dy,)

    times = products.with_gradient(forward, backward)(lambda factor, x: factor * x)
    gradient = jax.grad(lambda x: times(3.0, times(3.0, times(3.0, x))).sum())(jnp.ones(4))
    np.testing.assert_array_equal(gradient, np.full(4, 27.0, np.float32))
    assert traced == ["forward", "backward"]
    jax.grad(lambda x: times(2.0, times(3.0, x)).sum())(jnp.ones(4))
    assert traced == ["forward", "backward"] * 2
