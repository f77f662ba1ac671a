"""The experiment on MobileNet's multipliers: counts, words, resizing, photographs, a smoke run."""

import importlib.util
import pathlib

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from experiments import _mobilenet, mobilenet_multiplier
from expressivity.data import ImageSet

FILES = {"table.csv", "errors.csv", "published.csv", "exponents.csv", "figure.png", "figure.pdf", "report.html"}


@pytest.mark.slow
def test_smoke_holds_and_leaves_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)  # the tests run where they are
    monkeypatch.delenv("EXPRESSIVITY_DATA", raising=False)  # photographs have a test of their own
    options = mobilenet_multiplier.Options(preset="smoke", out=tmp_path / "run")
    assert mobilenet_multiplier.experiment(options) == 0
    assert {path.name for path in options.out.iterdir()} >= FILES
    errors = pd.read_csv(options.out / "errors.csv")
    assert errors[["alpha", "pixels", "macs"]].values.tolist() == [
        [0.25, 14, ex.macs(ex.MobileNet(10), ex.Width(0.25), (14, 14, 1))]
    ]


def test_published_numbers_are_the_counted_ones():
    table = _mobilenet.published()
    claims = _mobilenet.counted(table, None, False)
    assert [(claim.word, claim.required) for claim in claims] == [("holds", True)] * 3
    assert "1.897 to 1.941" in claims[1].sentence
    assert "1.585 to 1.713" in claims[1].sentence
    assert "5.9 % more" in claims[2].sentence
    place = table[(table["source"] == "slim checkpoints") & (table["alpha"] == 0.5) & (table["pixels"] == 160)]
    assert place["macs"].item() == 76524800
    assert len(table) == 4 + 3 + 1 + 16
    wrong = table.assign(macs=table["macs"] + 2 * 10**6)
    assert _mobilenet.counted(wrong, None, False)[0].word == "does not hold"


def test_resizing_is_an_average_of_the_stored_image():
    blocks = np.kron(np.arange(16).reshape(1, 4, 4), np.ones((1, 2, 2)))[..., None].astype(np.uint8) * 10
    images = ImageSet(np.repeat(blocks, 2, 0), np.array([0, 1]), ("a", "b"), "blocks")
    flat = ImageSet(np.full((2, 8, 8, 3), 77, np.uint8), np.array([0, 1]), ("a", "b"), "flat")
    assert (_mobilenet.resized(flat, 5).images == 77).all()
    small = _mobilenet.resized(images, 4).images
    assert small.shape == (2, 4, 4, 1)
    assert abs(float(small.mean()) - float(images.images.mean())) < 1  # rounding to whole numbers
    np.testing.assert_array_equal(small[0, ::-1, ::-1, 0].astype(int), 150 - small[0, :, :, 0].astype(int))
    assert _mobilenet.resized(images, 8) is images
    for pixels in (0, 9):
        with pytest.raises(ValueError, match=f"images of blocks have 8 pixels a side .* not to {pixels}"):
            _mobilenet.resized(images, pixels)


def test_one_set_of_images_at_every_size():
    made = mobilenet_multiplier.tasks(None, (28, 14))
    assert [task.input_size for task in made.values()] == [(28, 28, 1), (14, 14, 1)]
    np.testing.assert_array_equal(made[28].train.labels, made[14].train.labels)
    with pytest.raises(ValueError, match=r"28 pixels a side .* not to 224; give larger images with --data"):
        mobilenet_multiplier.tasks(None, (224, 128))


def errors_of(levels):
    """A table of errors: (alpha, pixels, shallow) -> one error a seed."""
    rows = []
    for (alpha, pixels, shallow), found in levels.items():
        macs = ex.macs(ex.MobileNet(10, shallow=shallow), ex.Width(alpha), pixels)
        place = {"alpha": alpha, "pixels": pixels, "shallow": shallow, "macs": macs}
        rows += [place | {"seed": seed, "error": error} for seed, error in enumerate(found)]
    return pd.DataFrame(rows)


def test_words_of_the_measured_claims():
    seeds = np.array([0.0, 0.001, 0.002, 0.003])
    levels = {
        (0.25, 32, False): 0.5 + seeds,
        (0.5, 32, False): 0.2 + seeds,
        (0.75, 32, False): 0.15 + seeds,
        (0.25, 16, False): 0.5 + seeds,
        (1.0, 32, True): 0.25 + seeds,
    }
    claims = _mobilenet.measured(errors_of(levels), 10000)
    words = {claim.sentence.split(":")[0]: claim.word for claim in claims}
    assert list(words.values()) == ["holds", "holds", "undetermined", "holds"]
    assert not any(claim.required for claim in claims)
    levels[0.75, 32, False] = 0.3 + seeds
    words = [claim.word for claim in _mobilenet.measured(errors_of(levels), 10000)]
    assert words == ["does not hold", "holds", "undetermined", "does not hold"]
    assert _mobilenet.all_of(["holds", "undetermined"]) == "undetermined"
    assert _mobilenet.all_of([]) == "undetermined"


def test_a_jump_is_a_change_of_slope():
    costs = [np.e, np.e**2, np.e**4]
    straight = [[0.5, 0.51], [0.4, 0.41], [0.2, 0.21]]  # a line in ln(cost)
    word, text = _mobilenet.jump(straight, costs, 10**9)
    assert word == "undetermined"
    assert text.startswith(("by 0.0 ±", "by -0.0 ±"))
    assert _mobilenet.jump([[0.9, 0.91], *straight[1:]], costs, 10000)[0] == "holds"
    assert _mobilenet.jump([straight[0], straight[0], straight[2]], costs, 10000)[0] == "does not hold"
    assert _mobilenet.jump([[0.9], [0.4], [0.2]], costs, 10000)[0] == "undetermined"


@pytest.mark.slow
def test_trained_networks_on_photographs(data_folder):
    pictures = _mobilenet.photograph_files(None)
    if not pictures:
        pytest.skip("the photographs are not here: install foolbox")
    weights = _mobilenet.weight_files(sorted((data_folder / "pretrained").glob("mobilenet_v1_*_quant.tflite")))
    spec = importlib.util.find_spec("nudity")
    if spec is not None and spec.origin is not None:
        weights.append(pathlib.Path(spec.origin).parent / "files" / "retrained_graph.pb")
    found = _mobilenet.on_photographs(weights, pictures)
    counts = list(zip(found["alpha"], found["top1"], found["top5"], strict=True))
    assert counts == [(0.25, 8, 15), (0.5, 13, 19), (0.75, 16, 20), (1.0, 17, 20)][: len(weights)]
    claim = _mobilenet.counted(_mobilenet.published(), found, _mobilenet.known(pictures))[-1]
    assert (claim.word, claim.required) == ("holds", True)


def test_what_is_no_photograph_or_weight_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no photographs called imagenet_NUMBER_CLASS\.jpg"):
        _mobilenet.photograph_files(tmp_path)
    (tmp_path / "imagenet_cat.jpg").touch()
    with pytest.raises(ValueError, match=r"imagenet_cat.jpg does not say its class"):
        _mobilenet.photograph_files(tmp_path)
    (tmp_path / "imagenet_cat.jpg").rename(tmp_path / "imagenet_00_243.jpg")
    assert not _mobilenet.known(_mobilenet.photograph_files(tmp_path))
    with pytest.raises(ValueError, match=r"Trained weights are read from mobilenet_v1_0.25_128.*got 'net.pb'"):
        _mobilenet.weight_files([tmp_path / "net.pb"])


def test_bad_numbers_of_seeds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--seeds is at least 1; got 0"):
        mobilenet_multiplier.experiment(mobilenet_multiplier.Options(preset="smoke", out=tmp_path, seeds=0))
