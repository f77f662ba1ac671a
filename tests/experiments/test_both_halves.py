"""Both halves in one figure: bounds, words, what is drawn, and a smoke run."""

import pandas as pd
import pytest

import expressivity as ex
from experiments import _images, both_halves

DISC = ex.targets.norm_squared(ex.Ball(2))


@pytest.fixture(scope="module")
def bounds():
    return both_halves.bounds(DISC, [1, 2, 3], 4)


def rows(norm, widths, errors, **more):
    return [
        {"norm": norm, "width": w, "width_rule": f"{w}x", "seed": s, "status": "ok", "error": e + 0.001 * s}
        | {"half_width": 0.0, "family": "F", "hidden_layers": pd.NA}
        | more
        for w, e in zip(widths, errors, strict=True)
        for s in range(2)
    ]


def test_the_floor_of_width_one_is_the_known_one_and_wider_networks_have_none(bounds):
    floors, ceilings, made = bounds
    floor = dict(zip(floors["width"], floors["value"], strict=True))
    assert 12 * floor[1] ** 2 == pytest.approx(0.870896, abs=1e-4)  # the variance of |x|^2 on the disc is 1/12
    assert floor[2] == 0
    assert (ceilings["width"].iloc[0], ceilings["value"].iloc[0]) == (2, made.bound("L2"))
    assert ex.error(made.network, DISC, "L2").value <= made.bound("L2")


def test_a_network_below_its_floor_fails_the_run(bounds):
    floors, ceilings, _ = bounds
    limit = floors["value"].iloc[0]
    images = pd.DataFrame(rows("top-1", (4, 8, 16), (0.6, 0.3, 0.299)))
    good = pd.DataFrame(rows("L2", (1, 2, 3), (1.001 * limit, 0.2, 0.1)))
    claims = both_halves.judge(good, images, floors, ceilings, 10_000)
    assert [(c.word, c.required) for c in claims] == [
        ("holds", True),
        ("does not hold", False),  # the network of 4 levels has a larger bound than 0.2
        ("holds", False),
        ("undetermined", False),
    ]
    bad = pd.DataFrame(rows("L2", (1, 2, 3), (0.99 * limit, 0.2, 0.1)))
    assert both_halves.judge(bad, images, floors, ceilings, 10_000)[0].word == "does not hold"
    bad["half_width"] = 0.02 * limit  # not proved to be below
    assert both_halves.judge(bad, images, floors, ceilings, 10_000)[0].word == "holds"


def test_both_tables_are_drawn_by_the_same_artists(bounds):
    import matplotlib.pyplot as plt

    floors, ceilings, _ = bounds
    functions = pd.DataFrame(rows("L2", (1, 2, 3), (0.3, 0.2, 0.1), family="MLP", hidden_layers=2))
    images = pd.DataFrame(rows("top-1", (4, 8), (0.6, 0.3)))
    figure = both_halves.draw(functions, images, floors, ceilings, 0.28, _images.task(None))
    left, right = figure.axes
    found = [{line.get_gid() for line in ax.lines} for ax in (left, right)]
    assert {"floor", "ceiling", "constant", "seeds-2", "best-2"} <= found[0]
    assert {"seeds-allconv6", "best-allconv6", "median-allconv6"} <= found[1]
    assert not {"floor", "ceiling"} & found[1]
    assert right.get_ylabel() == "top-1 error"
    plt.close(figure)


@pytest.mark.slow
def test_smoke_holds_and_reads_finished_cells_again(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments._run.start_jax", lambda where: None)
    options = both_halves.Options(preset="smoke", out=tmp_path / "run", platform="cpu")
    assert both_halves.experiment(options) == 0
    table = (options.out / "table.csv").read_bytes()
    assert set(pd.read_csv(options.out / "table.csv")["norm"]) >= {"L2", "top-1"}
    monkeypatch.setattr("expressivity.sweeps.images.train_images", None)
    monkeypatch.setattr("expressivity.sweeps.functions.train", None)
    assert both_halves.experiment(options) == 0
    assert (options.out / "table.csv").read_bytes() == table
