import jax
import numpy as np
import pytest

from expressivity import data
from expressivity.data import pipes

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 12, 12, 3), np.uint8)


def test_evaluation_takes_the_middle_and_nothing_random():
    pipe = data.Pipe(crop=8, pad=3, mirror=True, mean=(1.0, 2.0, 3.0), deviation=2.0)
    expected = (IMAGES[:, 2:10, 2:10].astype(np.float32) - np.float32([1, 2, 3])) / 2
    np.testing.assert_array_equal(pipe(IMAGES), expected)


def test_blue_first():
    x = data.Pipe(mean=(104.0, 117.0, 124.0), order="BGR")(IMAGES)
    np.testing.assert_array_equal(x[..., 0], IMAGES[..., 2].astype(np.float32) - 104)
    np.testing.assert_array_equal(x[..., 2], IMAGES[..., 0].astype(np.float32) - 124)


def test_one_program_serves_every_mean_and_deviation():
    pipe = data.Pipe(crop=8, mirror=True, mean=(1.0, 2.0, 3.0), deviation=2.0, order="BGR")
    traces, key = [], jax.random.key(0)

    @jax.jit
    def one(scale):
        traces.append(0)
        return pipe.unscaled(IMAGES, key, scale)

    for own in (pipe, data.Pipe(crop=8, mirror=True, mean=7.0, deviation=(3.0, 4.0, 5.0), order="BGR")):
        np.testing.assert_allclose(one(own.scale(3)), own(IMAGES, key), rtol=1e-6)  # one rounding of a division
    assert len(traces) == 1


def test_means_are_one_or_as_many_as_channels():
    with pytest.raises(ValueError, match="Images of 1 channels need one mean and deviation, or 1; got"):
        pipes.CAFFE(IMAGES[..., :1].repeat(20, 1).repeat(20, 2))


@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_every_window_is_one_of_the_padded_image(mode):
    pipe = data.Pipe(crop=12, pad=2, pad_mode=mode, mirror=True)
    x = np.asarray(pipe(IMAGES, jax.random.key(1)))
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect" if mode == "reflect" else "constant")
    places = []
    for image, whole in zip(x, padded, strict=True):
        found = [
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if np.array_equal(whole[top : top + 12, left : left + 12][:, :: -1 if mirrored else 1], image)
        ]
        assert len(found) == 1
        places += found
    # 40 draws of 25 places, and of two sides: all borders are met, the sides within four deviations
    assert {top for top, _, _ in places} == {left for _, left, _ in places} == set(range(5))
    assert abs(sum(mirrored for *_, mirrored in places) - 20) < 4 * np.sqrt(10)


def test_a_batch_is_a_function_of_key_and_step():
    labels = np.arange(40) % 10
    pipe = data.Pipe(crop=8, mirror=True)
    one = jax.jit(lambda key, step: pipes.batch(IMAGES, labels, pipe, key, step, 8))
    x, y = one(jax.random.key(0), 7)
    again = pipes.batch(IMAGES, labels, pipe, jax.random.key(0), 7, 8)
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(x, one(jax.random.key(0), 12)[0])
    assert not np.array_equal(x, one(jax.random.key(1), 7)[0])


@pytest.mark.parametrize(("count", "size"), [(40, 8), (41, 8), (5, 5)])
def test_an_epoch_reads_every_image_at_most_once(count, size):
    places = jax.jit(lambda step: pipes.batch_places(jax.random.key(3), step, count, size))
    steps = count // size
    for epoch in range(3):
        seen = np.concatenate([places(epoch * steps + step) for step in range(steps)])
        assert len(set(seen.tolist())) == len(seen) == steps * size
    if steps > 1:
        assert not np.array_equal(places(0), places(steps))


def test_batches_larger_than_the_set():
    places = np.asarray(pipes.batch_places(jax.random.key(0), 0, 3, 50))
    assert places.shape == (50,)
    assert set(places.tolist()) == {0, 1, 2}


def test_standard_channels():
    images = data.ImageSet(IMAGES, np.arange(40) % 4, tuple("abcd"))
    for order in ("RGB", "BGR"):
        x = np.asarray(pipes.standard(images, order=order)(IMAGES), np.float64)
        # float32 images of about two units, averaged over 5,760 numbers
        np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-6)
        np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-6)


def test_pipes_check_their_settings():
    for options, message in (
        ({"order": "GBR"}, "got 'GBR'"),
        ({"pad_mode": "edge"}, "got 'edge'"),
        ({"crop": 0}, "got 0 and 0"),
        ({"deviation": (1.0, 0.0, 1.0)}, "is positive"),
    ):
        with pytest.raises(ValueError, match=message):
            data.Pipe(**options)
    with pytest.raises(ValueError, match="12x12 pixels are too small for a crop of 13"):
        data.Pipe(crop=13)(IMAGES)
