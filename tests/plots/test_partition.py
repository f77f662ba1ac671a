"""The polygons are the regions, and every line is one on which a unit of its layer vanishes."""

import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import montufar2014
from expressivity.relu.gadgets import random_network

SQUARE = ex.Box(2, -2.0, 2.0)


@pytest.fixture(autouse=True)
def close():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def artists(ax):
    return {artist.get_gid(): artist for artist in ax.collections}


def area(polygon):
    x, y = polygon.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def segments(collection):
    return np.array([path.vertices for path in collection.get_paths()])


@pytest.mark.parametrize(("widths", "seed"), [((5,), 0), ((4, 3), 1)])
def test_the_polygons_are_the_regions_and_fill_the_box(widths, seed):
    network = random_network(2, widths, seed)
    found = artists(ex.plots.partition(network, SQUARE))
    polygons = [path.vertices[:-1] for path in found["regions"].get_paths()]
    assert len(polygons) == ex.relu.count_regions(network, SQUARE)
    assert sum(area(polygon) for polygon in polygons) == pytest.approx(16.0, rel=1e-9)


@pytest.mark.parametrize(("widths", "seed"), [((5,), 0), ((4, 3), 1), ((3, 3, 2), 2)])
def test_on_a_line_a_unit_of_its_layer_vanishes_and_none_before(widths, seed):
    network = random_network(2, widths, seed)
    found = artists(ex.plots.partition(network, SQUARE))
    assert "layer-1" in found
    for number in range(1, len(widths) + 1):
        if f"layer-{number}" not in found:
            continue
        values = segments(found[f"layer-{number}"]).mean(axis=1)
        for layer, (weight, bias) in enumerate(list(network.layers)[:number], start=1):
            before = values @ weight.T + bias
            nearest = np.abs(before).min(axis=1)
            if layer == number:
                assert nearest.max() < 1e-6
            else:
                assert nearest.min() > 1e-7
            values = np.maximum(before, 0.0)


def test_lines_of_the_first_layer_have_the_length_of_the_hyperplanes():
    # x1 = 0, x2 = 1/2 and the diagonal x1 = x2 of the square
    layer = (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]), np.array([0.0, -0.5, 0.0]))
    network = ex.ReLUNetwork.from_layers([layer, (np.ones((1, 3)), np.zeros(1))])
    found = segments(artists(ex.plots.partition(network, SQUARE))["layer-1"])
    assert np.linalg.norm(found[:, 1] - found[:, 0], axis=1).sum() == pytest.approx(8 + 4 * 2**0.5, rel=1e-9)


def test_darker_regions_have_more_positive_units():
    network = random_network(2, (4, 3), 1)
    shades = artists(ex.plots.partition(network, SQUARE))["regions"].get_array()
    regions = ex.relu.activation_regions(network, SQUARE)
    assert np.allclose(shades, [region.pattern.sum() / 7 for region in regions])


def test_a_construction_and_given_axes():
    import matplotlib.pyplot as plt

    one = montufar2014.fold(3, 1)
    _, ax = plt.subplots()
    assert ex.plots.partition(ex.stack(one, one), ([0, 0], [1, 1]), ax) is ax
    assert len(artists(ax)["regions"].get_paths()) == 9
    assert ax.get_legend() is None  # one layer needs no name
    affine = ex.ReLUNetwork.from_layers([(np.ones((1, 2)), np.zeros(1))])
    assert list(artists(ex.plots.partition(affine, SQUARE))) == ["regions"]


@pytest.mark.parametrize(
    ("network", "box", "error", "words"),
    [
        (random_network(3, (2,), 0), ex.Box(3), ValueError, "3 inputs"),
        ("net", SQUARE, TypeError, "str"),
        (random_network(2, (2,), 0), ([0, 0], [0, 1]), ValueError, "below its upper one"),
        (random_network(2, (2,), 0), 3, ValueError, "got 3"),
    ],
)
def test_refusals(network, box, error, words):
    with pytest.raises(error, match=words):
        ex.plots.partition(network, box)


def test_the_budget_is_kept():
    with pytest.raises(ValueError, match="more than 3 linear programs"):
        ex.plots.partition(random_network(2, (8, 8), 0), SQUARE, budget=3)
