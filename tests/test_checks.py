"""The table of `python -m expressivity`: every row holds, and a row fails where its inequality does."""

import dataclasses
import json
import math

import pytest

import expressivity as ex
from expressivity import __main__ as command
from expressivity import checking, checks, theorems
from expressivity.constructions import lu2017


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_every_row_holds(check):
    row = check()
    assert row.holds is True
    json.dumps(dataclasses.asdict(row), allow_nan=False)
    assert math.isfinite(row.bound)
    assert math.isfinite(row.measured)
    assert any(t.key == row.paper and row.theorem.startswith(t.number) for t in theorems.THEOREMS)
    assert row.page in {t.page for t in theorems.THEOREMS}


def test_a_ceiling_that_promises_too_much_fails():
    good = lu2017.approximate(ex.targets.norm_squared(ex.Ball(2)), cells=8)
    measured = ex.error(good, good.target, "L1")
    bad = dataclasses.replace(good, error_bound=0.99 * (measured.value - measured.half_width))
    assert checking.ceiling(good, "").holds
    assert not checking.ceiling(bad, "").holds


def test_a_floor_that_forbids_too_much_fails():
    target = ex.targets.norm_squared(ex.Ball(2))
    networks = checking.fitted(target, (1, 1), 3)
    good = ex.certificates.floor(target, 1, norm="L2")
    best = min(ex.error(network, target).value for network in networks)
    assert checking.floor(good, target, networks, "").holds
    assert not checking.floor(dataclasses.replace(good, value=1.01 * best), target, networks, "").holds
    # networks outside the class prove nothing about it
    assert not checking.floor(good, target, checking.fitted(target, (3,), 1), "").holds


def test_a_margin_that_is_no_number_fails():
    row = checks.Check("a", "b", 1, 1, bound=0.0, measured=math.nan, margin=math.nan, page="c")
    assert not row.holds


def test_the_command(monkeypatch, capsys):
    good = checks.Check("Theorem 1", "lu2017", 6, 9, bound=0.2, measured=0.1, margin=0.1, page="papers/lu2017")
    bad = dataclasses.replace(good, theorem="Theorem 9", margin=-0.1)
    monkeypatch.setattr(checks, "CHECKS", (lambda: good,))
    assert command.main([]) == 0
    text = capsys.readouterr().out
    assert "All 1 hold" in text
    assert ex.__version__ in text
    monkeypatch.setattr(checks, "CHECKS", (lambda: good, lambda: bad))
    assert command.main([]) == 1
    assert "1 of 2 FAILED: lu2017, Theorem 9" in capsys.readouterr().out
    assert command.main(["--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["holds"] for row in rows] == [True, False]
    worst = dataclasses.replace(good, margin=-math.inf, measured=math.nan)
    monkeypatch.setattr(checks, "CHECKS", (lambda: worst,))
    assert command.main(["--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (row["margin"], row["measured"], row["holds"]) == (None, None, False)
    assert {"theorem", "paper", "width", "hidden_layers", "bound", "measured", "margin", "holds"} <= set(rows[0])


def test_the_experiments_are_listed():
    found = dict(command.experiments())
    assert "error_vs_width" in found
    assert all(line and not name.startswith("_") for name, line in found.items())
