"""The artists hold the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from expressivity.theorems import find

DISC = ex.targets.norm_squared(ex.Ball(2))


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = [
        {"norm": norm, "width": w, "width_rule": rule, "hidden_layers": h, "seed": s, "status": "ok"}
        | {"error": float(rng.uniform(0.1, 1.0)) / w}
        for norm in ("L2", "sup")
        for w, rule in ((1, "1 = n-1"), (2, "n"), (4, "n+2 = 2n"))
        for h in (2, 8)
        for s in range(5)
    ]
    return pd.DataFrame(rows)


def lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


@pytest.fixture(autouse=True)
def close():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.mark.parametrize("norm", ["L2", "sup"])
@pytest.mark.parametrize("depth", [2, 8])
def test_dots_are_the_seeds_and_the_filled_one_is_the_best(table, norm, depth):
    ax = ex.plots.error_against_width(table, norm=norm)
    rows = table[(table["norm"] == norm) & (table["hidden_layers"] == depth)]
    (seeds,), (best,) = lines(ax, f"seeds-{depth}"), lines(ax, f"best-{depth}")
    assert sorted(seeds.get_ydata()) == sorted(rows["error"])
    assert best.get_ydata().tolist() == [rows[rows["width"] == w]["error"].min() for w in (1, 2, 4)]
    medians = [float(line.get_ydata()[0]) for line in lines(ax, f"median-{depth}")]
    assert medians == [rows[rows["width"] == w]["error"].median() for w in (1, 2, 4)]
    # every dot is in the slot of its width
    expected = {e: position for position, w in enumerate((1, 2, 4)) for e in rows[rows["width"] == w]["error"]}
    for x, y in zip(seeds.get_xdata(), seeds.get_ydata(), strict=True):
        assert abs(x - expected[y]) < 0.5


def test_floors_are_solid_ceilings_dashed_at_their_widths(table):
    ax = ex.plots.error_against_width(table, floors={1: 0.3, 2: 0.2}, ceilings={4: 0.01})
    floors, (ceiling,) = lines(ax, "floor"), lines(ax, "ceiling")
    assert [(line.get_xdata().mean(), line.get_ydata()[0]) for line in floors] == [(0, 0.3), (1, 0.2)]
    assert all(line.get_linestyle() == "-" for line in floors)
    assert (ceiling.get_xdata().mean(), ceiling.get_ydata()[0]) == (2, 0.01)
    assert ceiling.get_linestyle() == "--"
    assert ax.get_yscale() == "log"


def test_certificates_are_drawn_where_they_hold_and_in_their_norm(table):
    floors = [ex.certificates.floor(DISC, 2, norm="sup"), ex.certificates.floor(DISC, 1, norm="L2")]
    sup = ex.plots.error_against_width(table, floors=floors, norm="sup")
    assert [(line.get_xdata().mean(), line.get_ydata()[0]) for line in lines(sup, "floor")] == [(0, 0.5), (1, 0.5)]
    l2 = ex.plots.error_against_width(table, floors=floors, norm="L2")
    assert [line.get_xdata().mean() for line in lines(l2, "floor")] == [0]
    assert 12 * lines(l2, "floor")[0].get_ydata()[0] ** 2 == pytest.approx(0.870896, abs=1e-4)


def test_constructions_are_drawn_at_their_width_with_their_bound(table):
    made = ex.constructions.kim2024.coding_network(DISC, levels=4, ramp=0.01)
    ax = ex.plots.error_against_width(table, ceilings=[made], norm="L2")
    (line,) = lines(ax, "ceiling")
    assert (line.get_xdata().mean(), line.get_ydata()[0]) == (1, made.bound("L2"))
    assert lines(ex.plots.error_against_width(table, ceilings=[made], norm="sup"), "ceiling") == []


def test_the_highest_of_several_floors_is_drawn(table):
    frame = pd.DataFrame({"norm": "L2", "width": [1, 1, 2], "value": [0.1, 0.4, 0.0]})
    ax = ex.plots.error_against_width(table, floors=frame)
    assert [line.get_ydata()[0] for line in lines(ax, "floor")] == [0.4]  # a floor of 0 says nothing and is not drawn


def test_letters_mean_the_same_in_every_norm(table):
    frame = pd.DataFrame(
        {"norm": ["L2", "L2", "sup"], "width": [2, 4, 4], "value": [0.1, 0.2, 0.3], "label": ["one", "two", "two"]}
    )
    for norm, texts in (("L2", ["a", "b"]), ("sup", ["b"])):
        ax = ex.plots.error_against_width(table, ceilings=frame, norm=norm)
        assert [text.get_text() for text in ax.texts] == texts


def test_ticks_name_rule_and_units(table):
    ax = ex.plots.error_against_width(table)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["n\N{MINUS SIGN}1\n1", "n\n2", "n+2\n4"]


def test_it_draws_into_the_axes_given_and_returns_them(table):
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert ex.plots.error_against_width(table, ax=ax) is ax


def test_rows_without_an_error_are_left_out(table):
    table.loc[0, ["error", "status"]] = [float("nan"), "diverged"]
    (seeds,) = lines(ex.plots.error_against_width(table), "seeds-2")
    assert len(seeds.get_ydata()) == 14


def test_an_absent_norm_and_a_bound_without_width_are_refused(table):
    with pytest.raises(ValueError, match="no row in the norm 'L1'; it has L2, sup"):
        ex.plots.error_against_width(table, norm="L1")
    with pytest.raises(ValueError, match=r"A bound without a width .* 0\.5"):
        ex.plots.error_against_width(table, floors=0.5)


def test_a_certificate_about_one_network_is_no_floor_of_a_width(table):
    this = ex.Certificate(0.4, "L2", ex.NetworkClass(this=True), find("expressivity", "escape path"))
    assert lines(ex.plots.error_against_width(table, floors=[this]), "floor") == []


@pytest.fixture
def images():
    rows = [
        {"norm": norm, "width": w, "width_rule": rule, "hidden_layers": pd.NA, "seed": s, "status": "ok"}
        | {"family": family, "task": "set", "error": 0.1 * (s + 1) + 1 / w, "half_width": 0.02 * (s + 1)}
        for norm in ("top-1", "cross-entropy")
        for family, widths in (("A", ((16, "0.25x"), (64, "1x"))), ("B", ((16, "1x"), (32, "2x"))))
        for w, rule in widths
        for s in range(3)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("family", ["A", "B"])
def test_families_on_images_have_their_own_dots_and_bars(images, family):
    ax = ex.plots.error_against_width(images, by="family", bars=True)
    rows = images[(images["norm"] == "top-1") & (images["family"] == family)]
    (seeds,), (best,) = lines(ax, f"seeds-{family}"), lines(ax, f"best-{family}")
    assert sorted(seeds.get_ydata()) == sorted(rows["error"])
    assert best.get_ydata().tolist() == rows.groupby("width")["error"].min().tolist()
    (bars,) = [c for c in ax.collections if c.get_gid() == f"bars-{family}"]
    ends = sorted((float(s[0, 1]), float(s[1, 1])) for s in bars.get_segments())
    low, high = rows["error"] - rows["half_width"], rows["error"] + rows["half_width"]
    assert np.ravel(ends) == pytest.approx(np.ravel(sorted(zip(low, high, strict=True))))


@pytest.mark.parametrize(("norm", "label"), [(None, "top-1 error"), ("cross-entropy", "cross-entropy")])
def test_images_have_channels_and_multipliers(images, norm, label):
    ax = ex.plots.error_against_width(images, norm=norm)
    assert ax.get_ylabel() == label
    assert ax.get_xlabel() == "width (largest number of channels)"
    # two families with one width, but with different multipliers: only the number of channels is true of both
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["16", "2x\n32", "1x\n64"]
    (seeds,) = lines(ax, "seeds-None")
    assert len(seeds.get_ydata()) == 12


def test_an_unknown_grouping_and_bars_without_half_widths_are_refused(table):
    with pytest.raises(ValueError, match="hidden_layers, family, task; got 'colour'"):
        ex.plots.error_against_width(table, by="colour")
    with pytest.raises(ValueError, match="the table has none"):
        ex.plots.error_against_width(table, bars=True)


def test_a_floor_for_shallow_networks_is_not_drawn_under_deep_ones():
    """A certificate against one hidden layer forbids nothing to networks with two."""
    target = ex.targets.norm_squared(ex.Ball(2))
    theorem = ex.certificates.floor(target, 1, norm="L2").theorem
    against = ex.NetworkClass(width=4, hidden_layers=1)
    shallow = ex.Certificate(0.125, "L2", against, theorem, ())
    for depths, drawn in (((1,), 2), ((1, 2), 0), ((2,), 0)):
        rows = [
            {"norm": "L2", "width": w, "hidden_layers": h, "seed": 0, "status": "ok", "error": 0.5}
            for w in (2, 4)
            for h in depths
        ]
        ax = ex.plots.error_against_width(pd.DataFrame(rows), floors=[shallow], legend=False)
        assert sum(line.get_gid() == "floor" for line in ax.lines) == drawn
        ax.figure.clear()
