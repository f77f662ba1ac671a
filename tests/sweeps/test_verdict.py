"""Verdicts, running minima and audits on tables and networks made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

import expressivity as ex
from expressivity.norms import rule
from expressivity.sweeps.audit import Floors, audit, own_certificates
from expressivity.sweeps.result import COLUMNS, SweepResult
from expressivity.sweeps.summary import running_minimum, summary
from expressivity.sweeps.verdict import best_constant, verdicts

DISC = ex.targets.norm_squared(ex.Ball(2))


def floors(*rows):
    return pd.DataFrame(rows, columns=["norm", "width", "value", "proof"])


def networks(*rows):
    return pd.DataFrame(rows, columns=["norm", "width", "error", "half_width", "name"])


def words(frame, norm):
    return frame[frame["norm"] == norm]["verdict"].tolist()


def test_a_floor_forbids_narrower_widths_and_a_network_serves_wider_ones():
    found = verdicts(
        [1, 2, 3, 4, 8],
        {"L2": 0.1, "sup": 0.2},
        floors(("L2", 1, 0.3, "ridge"), ("sup", 2, 0.5, "path"), ("L2", 3, 0.05, "weak")),
        networks(("L2", 4, 0.09, 0.005, "trained"), ("sup", 3, 0.25, 0.0, "trained"), ("sup", 8, 0.1, 0.0, "string")),
    )
    assert words(found, "L2") == ["impossible", "undetermined", "undetermined", "possible", "possible"]
    assert words(found, "sup") == ["impossible", "impossible", "undetermined", "undetermined", "possible"]
    row = found[(found["norm"] == "sup") & (found["width"] == 1)].iloc[0]
    assert (row["floor"], row["floor_proof"]) == (0.5, "path")
    last = found.iloc[-1]
    assert (last["reached"], last["network"]) == (0.1, "string")


@pytest.mark.parametrize(
    ("half_width", "word"), [(0.0, "possible"), (0.011, "undetermined"), (math.inf, "undetermined")]
)
def test_the_half_width_counts_against_possible(half_width, word):
    found = verdicts([2], {"L2": 0.1}, floors(), networks(("L2", 2, 0.09, half_width, "trained")))
    assert words(found, "L2") == [word]


def test_training_that_fails_proves_nothing():
    found = verdicts([2], {"L2": 0.1}, floors(("L2", 2, 0.0, "none")), networks(("L2", 2, 5.0, 0.0, "trained")))
    assert words(found, "L2") == ["undetermined"]


def test_a_floor_at_the_threshold_does_not_forbid():
    assert words(verdicts([2], {"L2": 0.1}, floors(("L2", 2, 0.1, "equal")), networks()), "L2") == ["undetermined"]


def test_a_contradiction_is_an_error_and_names_both_sides():
    with pytest.raises(RuntimeError, match=r"width 2 in sup: path .* 0\.5, but trained .* 0\.1"):
        verdicts([2], {"sup": 0.2}, floors(("sup", 2, 0.5, "path")), networks(("sup", 1, 0.1, 0.0, "trained")))


@pytest.mark.parametrize(
    ("norm", "value"),
    [("sup", 0.5), ("L2", math.sqrt(1 / 12)), ("L1", 0.25)],  # |x|^2 is uniform on [0, 1] for x uniform in the disc
)
def test_best_constant_of_the_square_on_the_disc(norm, value):
    assert best_constant(rule(DISC, 64), norm) == pytest.approx(value, abs=2e-3 if norm == "L1" else 1e-12)


def test_running_minimum_is_what_padding_allows():
    """Second route: the networks themselves, padded to the larger shape, have exactly the smaller error."""
    rng = np.random.default_rng(0)
    nets = {
        (w, h): ex.relu.gadgets.random_network(2, (w,) * h, seed=int(rng.integers(99))) for w in (1, 2) for h in (1, 3)
    }
    errors = {shape: ex.error(net, DISC, "L2", order=16).value for shape, net in nets.items()}
    frame = pd.DataFrame([{"norm": "L2", "width": w, "hidden_layers": h, "error": e} for (w, h), e in errors.items()])
    for (w, h), value in zip(nets, running_minimum(frame), strict=True):
        padded = [
            ex.error(ex.pad_width(ex.pad_depth(net, h + 1), w), DISC, "L2", order=16).value
            for (v, g), net in nets.items()
            if v <= w and g <= h
        ]
        assert value == pytest.approx(min(padded), abs=1e-12)


def made(*nets: ex.ReLUNetwork, norms=("L1", "L2", "sup"), shift=0.0) -> SweepResult:
    """A result that claims these networks were trained; `shift` falsifies the errors."""
    rows, kept = [], {}
    for seed, net in enumerate(nets):
        kept["MLP", net.width, net.hidden_layers, seed] = net
        for norm in norms:
            found = ex.error(net, DISC, norm, order=32)
            row = dict.fromkeys(COLUMNS) | {"family": "MLP", "task": "t", "base": 2, "width_rule": "n", "steps": 1}
            row |= {"width": net.width, "hidden_layers": net.hidden_layers, "seed": seed, "origin": "random"}
            row |= {
                "status": "ok",
                "norm": norm,
                "error": found.value + shift,
                "half_width": found.half_width,
                "fvu": 0.5,
            }
            rows.append(row)
    return SweepResult(pd.DataFrame(rows, columns=list(COLUMNS)), kept, pd.DataFrame())


def random_nets(width, count=12):
    return [ex.relu.gadgets.random_network(2, (width,) * (1 + seed % 4), seed=seed) for seed in range(count)]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_random_networks_pass_the_audit(width):
    found = audit(made(*random_nets(width)), DISC)
    assert found["holds"].all()
    assert len(found) == 36
    if width <= 2:
        assert (found[found["norm"] == "sup"]["floor"] >= 0.5 - 1e-9).all()
    if width == 1:
        assert (found[found["norm"] == "L2"]["floor"] ** 2 * 12 >= 0.8708).all()


def test_perturbed_witnesses_pass_the_audit():
    """Adversaries: the best ridge and the coding network, their weights moved."""
    best = ex.constructions.kim2024.coding_network(DISC, levels=4, ramp=0.01).network
    rng = np.random.default_rng(1)
    moved = [
        ex.ReLUNetwork.from_layers([(w * (1 + s * rng.standard_normal(w.shape)), b) for w, b in best.layers])
        for s in (0.0, 1e-4, 1e-2)
    ]
    assert audit(made(*moved), DISC)["holds"].all()


def test_a_falsified_error_is_a_violation():
    found = audit(made(*random_nets(1, 2), norms=("L1", "L2"), shift=-10.0), DISC)
    assert not found["holds"].any()
    assert (found["margin"] < -9).all()


def test_a_supremum_missed_by_the_points_is_searched_for_again():
    found = audit(made(*random_nets(2, 2), norms=("sup",), shift=-10.0), DISC)
    assert found["holds"].all()


def test_a_singular_first_layer_gets_its_own_certificate():
    """Width 3 has no universal floor, but this first layer has rank 1: the network is a ridge function."""
    w = np.outer([1.0, -1.0, 0.5], [0.6, 0.8])
    net = ex.ReLUNetwork.from_layers([(w, np.array([0.1, 0.2, 0.0])), (np.ones((1, 3)), np.zeros(1))])
    (certificate,) = own_certificates(net, DISC, "L2")
    assert certificate.value**2 * 12 == pytest.approx(2 / 3, abs=1e-6)  # (n + 2) / (3 n) at n = 2
    found = audit(made(net, norms=("L2",)), DISC)
    assert found["scope"].tolist() == ["this network"]
    assert found["holds"].all()


def test_floors_are_found_once():
    calls = []
    floors = Floors(DISC, lambda *given: calls.append(given) or ex.certificates.floor(*given))
    audit(made(*random_nets(2, 8), norms=("L2",)), DISC, floors)
    assert len(calls) == len(set(calls)) == 4  # one a depth


def test_summary_marks_cells_that_training_longer_improves():
    first, longer = made(*random_nets(2, 2)), made(*random_nets(2, 2))
    for factor, mark in ((0.8, True), (0.95, False)):
        longer.table["error"] = first.table["error"] * factor
        found = summary(first, longer)
        assert found["not_converged"].tolist() == [mark] * len(found)
    assert set(summary(first)["not_converged"]) == {""}
