"""Reference values of everything about depth: `data/eldan_shamir.json`, one parametrised test a function.

The values were found apart from this package: in 30 to 40 digits for Bessel functions and Fourier densities, in exact
rationals for networks, in float64 at two resolutions for certificates.
"""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import expressivity as ex
from expressivity import certificates
from expressivity.constructions import (
    arora2018,
    daniely2017,
    eldan_shamir2016,
    montufar2014,
    safran_eldan_shamir2019,
    telgarsky2016,
    yarotsky2017,
)

ROWS = json.loads((Path(__file__).parent / "data" / "eldan_shamir.json").read_text())
TENT = ex.ReLUNetwork.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])


def rows(function):
    chosen = [row for row in ROWS if row["function"] == function]
    assert chosen
    names = ["-".join(f"{k}={v}" for k, v in row["arguments"].items()) for row in chosen]
    return pytest.mark.parametrize("row", chosen, ids=names)


def check(value, row):
    expected = row["expected"]
    if isinstance(expected, str):
        expected = float(Fraction(expected))
    if row.get("exact"):
        assert (list(value) if isinstance(expected, list) else value) == expected
    elif "relative" in row:
        assert value == pytest.approx(expected, rel=row["relative"], abs=0)
    else:
        assert np.max(np.abs(np.asarray(value, dtype=float) - np.asarray(expected))) <= row["absolute"]


def numbers(row, *names):
    return [float(Fraction(row["arguments"][name])) for name in names]


def profile(row):
    a = row["arguments"]
    if a.get("profile") == "ball":
        return eldan_shamir2016.ball_profile(a["d"], a["scale"] * math.sqrt(a["d"]))
    if a.get("profile") == "cone":
        return eldan_shamir2016.cone_profile(a["d"], a["scale"] * math.sqrt(a["d"]))
    return eldan_shamir2016.profile(a["d"], alpha=a["alpha"], shells=a["shells"], ramp=a.get("ramp", 0))


def test_all_rows_are_here():
    assert len(ROWS) == 274


@rows("ball_radius")
def test_ball_radius(row):
    check(eldan_shamir2016.ball_radius(**row["arguments"]), row)


@rows("phi")
def test_phi(row):
    for d in [row["arguments"].get("d")] if "d" in row["arguments"] else [1, 2, 3, 50, 1000]:
        check(eldan_shamir2016.phi(d, row["arguments"]["r"]), row)


@rows("radial_pdf")
def test_radial_pdf(row):
    check(ex.EldanShamir(row["arguments"]["d"]).radial_pdf(row["arguments"]["r"]), row)


@rows("radial_sf")
def test_radial_sf(row):
    check(ex.EldanShamir(row["arguments"]["d"]).radial_sf(row["arguments"]["r"]), row)


@rows("radial_ppf")
def test_radial_ppf(row):
    check(ex.EldanShamir(row["arguments"]["d"]).radial_ppf(row["arguments"]["q"]), row)


@rows("tail_coefficient")
def test_tail_coefficient(row):
    check(eldan_shamir2016.tail_coefficient(**row["arguments"]), row)


@rows("tube_fraction")
def test_tube_fraction(row):
    check(eldan_shamir2016.tube_fraction(**row["arguments"]), row)


@rows("shell_mass")
def test_shell_mass(row):
    check(eldan_shamir2016.shell_mass(**row["arguments"]), row)


@rows("fourier_density")
def test_fourier_density(row):
    check(profile(row).fourier_density(row["arguments"]["rho"]), row)


@rows("good_shells")
def test_good_shells(row):
    check(len(eldan_shamir2016.good_shells(**row["arguments"])), row)


@rows("norm_squared")
def test_norm_squared(row):
    check(profile(row).norm_squared(), row)


@rows("share_outside")
def test_mass_outside(row):
    g = profile(row)
    check(g.mass_outside(2 * eldan_shamir2016.ball_radius(g.dim)) / g.norm_squared(), row)


@rows("tube")
def test_tube(row):
    a, g = row["arguments"], profile(row)
    end = a["rho_max_over_radius"] * eldan_shamir2016.ball_radius(g.dim) if "rho_max_over_radius" in a else None
    certificate = certificates.tube(g, a["directions"], end)
    assert certificate.norm == "L2 squared"
    check(certificate.value, row)


@rows("first_layer_sum")
def test_first_layer_sum(row):
    a = row["arguments"]
    check(eldan_shamir2016.FactoredNetwork(profile(row), a["knots"]).first_layer_sum(a["x"]), row)
    # the same number from the weights of the dense network
    (w, b), (c, _), _ = eldan_shamir2016.three_layer_network(profile(row), knots=a["knots"]).network.layers
    check(c[0] @ np.maximum(w @ np.array(a["x"]) + b, 0.0), row)


@rows("three_layer_value")
def test_three_layer_value(row):
    a = row["arguments"]
    check(eldan_shamir2016.FactoredNetwork(profile(row), a["knots"])(a["x"]), row)
    made = eldan_shamir2016.three_layer_network(profile(row), knots=a["knots"])
    check(ex.evaluate(made.network, [a["x"]])[0, 0], row)


@rows("profile_value")
def test_profile_value(row):
    check(profile(row)(float(np.sum(np.square(row["arguments"]["x"])))), row)


@rows("three_layer_widths")
def test_three_layer_widths(row):
    check(eldan_shamir2016.FactoredNetwork(profile(row), row["arguments"]["knots"]).widths, row)


@rows("sup_bound")
def test_sup_bound(row):
    check(eldan_shamir2016.FactoredNetwork(profile(row), row["arguments"]["knots"]).sup_bound, row)


@rows("l2_bound")
def test_l2_bound(row):
    check(eldan_shamir2016.FactoredNetwork(profile(row), row["arguments"]["knots"]).l2_bound, row)


@rows("ramp_error_squared")
def test_ramp_error_squared(row):
    check(eldan_shamir2016.ramp_error_squared(profile(row)), row)


@rows("choose_knots")
def test_choose_knots(row):
    a = dict(row["arguments"])
    check(eldan_shamir2016.choose_knots(a.pop("d"), **a), row)


@rows("interpolant_width")
def test_interpolant_width(row):
    check(eldan_shamir2016.interpolant_width(**row["arguments"]), row)


@rows("harmonic_dim")
def test_harmonic_dim(row):
    check(daniely2017.harmonic_dim(**row["arguments"]), row)


@rows("rank")
def test_rank(row):
    a = row["arguments"]
    d = a["d"]
    function = {"wave": daniely2017.wave(d), "t": lambda t: t, "t^2-1/d": lambda t: t**2 - 1 / d}[a["function"]]
    check(certificates.rank(function, d, a["directions"]).value, row)


def inner_product_network(row):
    a = row["arguments"]
    return daniely2017.network(a["d"], knots=a["knots"], head_knots=a["head_knots"])


@rows("inner_product_value")
def test_inner_product_value(row):
    a = row["arguments"]
    check(ex.evaluate(inner_product_network(row).network, [[*a["x"], *a["y"]]])[0, 0], row)


@rows("inner_product_widths")
def test_inner_product_widths(row):
    check(inner_product_network(row).network.hidden_widths, row)


@rows("inner_product_bound")
def test_inner_product_bound(row):
    check(inner_product_network(row).error_bound, row)


@rows("sawtooth_value")
def test_sawtooth_value(row):
    k, x = row["arguments"]["k"], Fraction(row["arguments"]["x"])
    for everywhere in (False, True):
        network = telgarsky2016.sawtooth(k, everywhere=everywhere)
        assert ex.relu.evaluate_exactly(network, [x]) == (Fraction(row["expected"]),)
        check(ex.evaluate(network, [[float(x)]])[0, 0], row)


@rows("crossing_number")
def test_crossing_number(row):
    for everywhere in (False, True):
        check(telgarsky2016.crossing_number(telgarsky2016.sawtooth(row["arguments"]["k"], everywhere=everywhere)), row)


def integral(k, power, level):
    """The integral of |tent^k - level|^power over [0, 1], exactly: Simpson's rule on pieces where it is a parabola."""
    parts = ex.relu.pieces(telgarsky2016.sawtooth(k), [0], [1])
    ends = (Fraction(0), *parts.breakpoints, Fraction(1))
    total = Fraction(0)
    for a, b, u, v in zip(ends[:-1], ends[1:], parts.values[:-1], parts.values[1:], strict=True):
        u, v = u - level, v - level
        if power == 2:
            total += (b - a) * (u * u + u * v + v * v) / 3
        elif u * v >= 0:
            total += (b - a) * abs(u + v) / 2
        else:
            total += (b - a) * (u * u + v * v) / (2 * (abs(u) + abs(v)))
    return total


@rows("sawtooth_l1_to_half")
def test_sawtooth_l1_to_half(row):
    for k in row["arguments"]["k"]:
        assert integral(k, 1, Fraction(1, 2)) == Fraction(row["expected"])


@rows("sawtooth_l2_squared")
def test_sawtooth_l2_squared(row):
    for k in row["arguments"]["k"]:
        assert integral(k, 2, 0) == Fraction(row["expected"])


@rows("min_errors_alternating")
def test_min_errors_alternating(row):
    check(telgarsky2016.min_errors_alternating(row["arguments"]["count"], row["arguments"]["runs"]), row)


@rows("classification_certificate")
def test_classification_certificate(row):
    check(telgarsky2016.classification_certificate(**row["arguments"]).value, row)


@rows("max_width")
def test_max_width(row):
    check(telgarsky2016.max_width(**row["arguments"]), row)


@rows("sizes")
def test_sizes(row):
    check(telgarsky2016.sizes(**row["arguments"]), row)


@rows("l1_certificate")
def test_l1_certificate(row):
    check(telgarsky2016.l1_certificate(**row["arguments"]).value, row)


@rows("zaslavsky")
def test_zaslavsky(row):
    check(certificates.zaslavsky(row["arguments"]["hyperplanes"], row["arguments"]["input_dim"]), row)


@rows("serra")
def test_serra(row):
    check(certificates.serra(row["arguments"]["input_dim"], tuple(row["arguments"]["widths"])), row)


@rows("montufar_upper")
def test_montufar_upper(row):
    check(certificates.montufar_upper(row["arguments"]["input_dim"], tuple(row["arguments"]["widths"])), row)


@rows("montufar_lower")
def test_montufar_lower(row):
    check(certificates.montufar_lower(row["arguments"]["input_dim"], tuple(row["arguments"]["widths"])), row)


@rows("serra_lower")
def test_serra_lower(row):
    check(montufar2014.serra_lower(row["arguments"]["input_dim"], tuple(row["arguments"]["widths"])), row)


@rows("zonotope_regions")
def test_zonotope_regions(row):
    check(certificates.zonotope_regions(row["arguments"]["generators"], row["arguments"]["input_dim"]), row)


@rows("zigzag_value")
def test_zigzag_value(row):
    a = row["arguments"]
    check(ex.evaluate(montufar2014.zigzag(a["width"], a["layers"]), [numbers(row, "x")])[0, 0], row)


@rows("zigzag_pieces")
def test_zigzag_pieces(row):
    network = montufar2014.zigzag(row["arguments"]["width"], row["arguments"]["layers"])
    check(ex.relu.pieces(network, [0], [1]).pieces, row)
    check(ex.relu.pieces(network, [-0.5], [1.5]).pieces, row)


@rows("fold_value")
def test_fold_value(row):
    a = row["arguments"]
    check(ex.evaluate(montufar2014.fold(a["units"], a["layers"]), [numbers(row, "x")])[0, 0], row)


@rows("maximum_widths")
def test_maximum_widths(row):
    check(arora2018.maximum(row["arguments"]["count"]).hidden_widths, row)


@rows("sufficient_hidden_layers")
def test_sufficient_hidden_layers(row):
    check(arora2018.sufficient_hidden_layers(**row["arguments"]), row)


@rows("square_value")
def test_square_value(row):
    made = yarotsky2017.square(row["arguments"]["m"])
    assert ex.relu.evaluate_exactly(made.network, [Fraction(row["arguments"]["x"])]) == (Fraction(row["expected"]),)
    check(ex.evaluate(made.network, [numbers(row, "x")])[0, 0], row)


@rows("square_error")
def test_square_error(row):
    m = row["arguments"]["m"]
    made = yarotsky2017.square(m)
    check(made.error_bound, row)
    for odd in range(1, 2 ** (m + 1), 2):
        x = Fraction(odd, 2 ** (m + 1))
        check(float(ex.relu.evaluate_exactly(made.network, [x])[0] - x * x), row)


@rows("product_value")
def test_product_value(row):
    a = row["arguments"]
    check(ex.evaluate(yarotsky2017.product(a["m"], a["bound"]).network, [numbers(row, "x", "y")])[0, 0], row)


@rows("product_errors")
def test_product_errors(row):
    a = row["arguments"]
    made = yarotsky2017.product(a["m"], a["bound"])
    # the error is a sum of parabolas on the cells of this grid, whose corners and centres hold the extremes
    axis = a["bound"] * np.linspace(-1, 1, 4 * 2 ** a["m"] + 1)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    error = ex.evaluate(made.network, points)[:, 0] - points.prod(1)
    check([error.min(), error.max()], row)
    assert made.error_bound == -row["expected"][0]


@rows("square_size")
def test_square_size(row):
    network = yarotsky2017.square(row["arguments"]["m"]).network
    check((network.hidden_layers, sum(network.hidden_widths), network.nonzeros), row)


@rows("identity_nonzeros")
def test_identity_nonzeros(row):
    check(ex.identity(row["arguments"]["d"], row["arguments"]["depth"]).nonzeros, row)


@rows("sawtooth_size")
def test_sawtooth_size(row):
    composed = TENT
    for _ in range(row["arguments"]["k"] - 1):
        composed = TENT @ composed
    for network in (composed, telgarsky2016.sawtooth(row["arguments"]["k"])):
        check((network.depth, sum(network.hidden_widths), network.nonzeros), row)


@rows("sparse_concat_nonzeros")
def test_sparse_concat_nonzeros(row):
    check(ex.relu.sparse_concat(TENT, TENT).nonzeros, row)


@rows("parallel_nonzeros")
def test_parallel_nonzeros(row):
    check(ex.parallel(TENT, TENT).nonzeros, row)


@rows("kappa")
def test_kappa(row):
    check(safran_eldan_shamir2019.kappa(**row["arguments"]), row)


@rows("ridge_mean")
def test_ridge_mean(row):
    a = row["arguments"]
    directions, weights = safran_eldan_shamir2019.ridge_design(2, a["count"])
    mean = weights @ (directions @ np.array(a["x"])) ** (2 * a["j"])
    check(mean / safran_eldan_shamir2019.kappa(a["j"], 2), row)


def test_every_function_of_the_table_is_tested():
    source = Path(__file__).read_text()
    assert {row["function"] for row in ROWS} == {f for row in ROWS if f'@rows("{(f := row["function"])}")' in source}
