"""Small checks of the theorems: each builds one construction or certificate and compares bound and measurement."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from expressivity import certificates, checking, targets, width_checks
from expressivity.checking import Check as Check
from expressivity.constructions import (
    daniely2017,
    eldan_shamir2016,
    hanin_sellke2017,
    kim2024,
    lu2017,
    safran_eldan_shamir2019,
    safran_shamir2017,
    telgarsky2016,
    venturi2022,
    yarotsky2017,
)
from expressivity.measures import Ball, Box
from expressivity.norms import error
from expressivity.radial_measures import EldanShamir, SphereProduct
from expressivity.relu.evaluate import evaluate
from expressivity.relu.exact import pieces
from expressivity.relu.gadgets import random_network
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target
from expressivity.theorems import find


def step_network() -> Check:
    """The network of width n + 4 equals the sum of truncated pyramids."""
    rng = np.random.default_rng(0)
    lower = np.array([[-1.0, -1.0], [0.0, -0.5], [-0.5, 0.25]])
    upper, heights, ramp = lower + np.array([0.75, 0.5]), np.array([1.0, -2.0, 0.5]), 0.125
    network = lu2017.step_network(lower, upper, heights, ramp=ramp, half_width=1.0)
    x = rng.uniform(-1.5, 1.5, (4000, 2))
    outside = np.maximum(x[:, None] - upper + ramp, 0) + np.maximum(lower + ramp - x[:, None], 0)
    plain = np.maximum(1 - outside.sum(-1) / ramp, 0) @ heights
    difference = float(np.abs(evaluate(network, x)[:, 0] - plain).max())
    # one ramp after another, each rounded at the size half_width / ramp
    rounding = 64 * np.finfo(float).eps / ramp * float(np.abs(heights).sum())
    return checking.identity(
        find("expressivity", "step network"), "equals its formula, n = 2", network, difference, rounding
    )


def step_approximation() -> Check:
    """Cells over the disc, error in L1."""
    return checking.ceiling(lu2017.approximate(targets.norm_squared(Ball(2)), cells=16), "|x|^2 on the disc, L1")


def string() -> Check:
    """A string of maxima and minima at width n + 1 equals the plain recursion."""
    rng = np.random.default_rng(1)
    slopes, offsets = rng.standard_normal((20, 2)), rng.standard_normal(20)
    signs = rng.choice([-1, 1], 19)
    network = hanin_sellke2017.string_network(slopes, offsets, signs, half_width=1.0)
    x = rng.uniform(-1, 1, (4000, 2))
    affine = x @ slopes.T + offsets
    value = affine[:, 0]
    for i, sign in enumerate(signs, start=1):
        value = np.maximum(value, affine[:, i]) if sign > 0 else np.minimum(value, affine[:, i])
    difference = float(np.abs(evaluate(network, x)[:, 0] - value).max())
    rounding = 64 * 20 * np.finfo(float).eps * float(np.abs(slopes).sum(1).max() + np.abs(offsets).max())
    theorem = find("expressivity", "string of maxima and minima")
    return checking.identity(theorem, "equals the recursion, n = 2", network, difference, rounding)


def cap_string() -> Check:
    """Uniform approximation at width n + 1."""
    target = Target(lambda x: abs(x[0]) + x[1], Ball(2), lipschitz=math.sqrt(2), name="kink")
    return checking.ceiling(hanin_sellke2017.cap_string(target, mesh=0.3), "|x1| + x2 on the disc, sup")


def coding_network() -> Check:
    """Width max(n, 2) in L1 of the cube."""
    construction = kim2024.coding_network(targets.norm_squared(Box(2, 0.0, 1.0)), levels=8, ramp=1e-3)
    return checking.ceiling(construction, "|x|^2 on [0, 1]^2, L1")


def constant_directions() -> Check:
    """No network whose first layer has one unit comes below the floor in L2."""
    target = targets.norm_squared(Ball(2))
    networks = checking.fitted(target, (1, 8), 6)
    return checking.floor(certificates.first_layer(target, 1), target, networks, "|x|^2 on the disc, first layer 1, L2")


def own_kernel() -> Check:
    """One given network against the certificate from its own kernel."""
    target = targets.product(Box(2))
    network = checking.fitted(target, (1, 6, 6), 1)[0]
    return checking.floor(certificates.kernel(network, target), target, [network], "x1 x2 on the square, L2")


def moment() -> Check:
    """The certificate for all directions at once."""
    target = targets.product(Box(2))
    centers = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]])
    certificate = certificates.moment(target, centers, 0.5)
    return checking.floor(certificate, target, checking.fitted(target, (1, 8), 6), "x1 x2 on the square, L2")


def isotonic() -> Check:
    """No network of width 1 comes below the isotonic bound."""
    target = targets.norm_squared(Ball(2))
    certificate = certificates.floor(target, 1, norm="L2")
    return checking.floor(certificate, target, checking.fitted(target, (1, 1), 6), "|x|^2 on the disc, width 1, L2")


def bottleneck() -> Check:
    """No network of width n comes below 1/2 uniformly; the best constant is exactly there."""
    target = targets.norm_squared(Ball(2))
    constant = ReLUNetwork.from_layers([(np.zeros((2, 2)), np.zeros(2)), (np.zeros((1, 2)), np.array([0.5]))])
    networks = [*checking.fitted(target, (2, 2, 2), 6), constant]
    return checking.floor(certificates.bottleneck(target), target, networks, "|x|^2 on the disc, width 2, sup")


def escape_path() -> Check:
    """The network that is good in L1 is constant along a path from the centre to the boundary."""
    target = targets.norm_squared(Box(2, 0.0, 1.0))
    network = kim2024.coding_network(target, levels=8, ramp=1e-3).network
    return checking.floor(certificates.path(network, target, [0.5, 0.5]), target, [network], "the coding network, sup")


def number_of_pieces() -> Check:
    """On a line a network has at most prod(w + 1) pieces."""
    widths = (3, 2, 3)
    networks = [random_network(1, widths, seed) for seed in range(20)]
    counts = [len(pieces(network, [-4.0], [4.0]).slopes) for network in networks]
    bound, most = certificates.pieces_bound(widths), int(np.argmax(counts))
    theorem = find("expressivity", "pieces in one dimension")
    return checking.row(
        theorem, "20 networks of widths 3, 2, 3", networks[most], bound, counts[most], bound - counts[most]
    )


def radial_network() -> Check:
    """Two hidden layers for a wave of |x|, in L2 of the measure of Eldan and Shamir conditioned on its shell."""
    wave = eldan_shamir2016.profile(2, alpha=1.0, shells=6, ramp=0.25)
    made = eldan_shamir2016.three_layer_network(wave, knots=20)
    shell = EldanShamir(2).shell(math.sqrt(2), math.sqrt(8))
    found = error(made, eldan_shamir2016.target(wave, shell), "L2", 64)
    measured, bound = found.value * math.sqrt(shell.mass), made.bound("L2")
    margin = bound - (found.value - found.half_width) * math.sqrt(shell.mass)
    return checking.row(made.theorem, "6 shells, n = 2, L2", made.network, bound, measured, margin)


def tubes() -> Check:
    """Bounded ridge functions fitted to a wave of |x| do not come below the tube certificate."""
    wave = eldan_shamir2016.profile(2, alpha=1.0, shells=6, ramp=0.25)
    certificate = certificates.tube(wave, 2)
    points, weights = EldanShamir(2).quadrature(160)
    values, root = wave((points**2).sum(1)), np.sqrt(weights)
    knots = np.linspace(0.0, 5.0, 25)
    layers = [(np.repeat(np.eye(2), 24, axis=0) * sign, -np.tile(knots[:-1], 2)) for sign in (1, -1)]
    ramps = [np.maximum(points @ w.T + b, 0) - np.maximum(points @ w.T + b - knots[1], 0) for w, b in layers]
    design = np.column_stack([*ramps, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)
    measured = float(weights @ (design @ solution - values) ** 2)
    first = np.concatenate([w for w, _ in layers] * 2)
    bias = np.concatenate([b - shift for shift in (0.0, knots[1]) for _, b in layers])
    network = ReLUNetwork.from_layers([(first, bias), (np.tile(solution[:-1], 2)[None], solution[-1:])])
    margin = measured - certificate.value
    return checking.row(certificate.theorem, "2 directions, squared L2", network, certificate.value, measured, margin)


def ranks() -> Check:
    """Fitted networks with one hidden layer do not come below the rank certificate."""
    target = Target(lambda x: x[0] * x[3] + x[1] * x[4] + x[2] * x[5], SphereProduct(3), name="inner product")
    certificate = certificates.rank(lambda t: t, 3, 2)
    points, weights = target.measure.quadrature(6)
    network = random_network(6, (2,), 0)
    (w, b), _ = network.layers
    design = np.column_stack([np.maximum(points @ w.T + b, 0), np.ones(len(points))])
    root = np.sqrt(weights)
    solution, *_ = np.linalg.lstsq(design * root[:, None], target.values(points) * root, rcond=None)
    measured = float(weights @ (design @ solution - target.values(points)) ** 2)
    return checking.row(
        certificate.theorem, "2 units, squared L2", network, certificate.value, measured, measured - certificate.value
    )


def inner_product() -> Check:
    """Two hidden layers for a square of an inner product."""
    made = daniely2017.network(3, knots=8, head_knots=12, function=lambda t: t**2, lipschitz=2.0, curvature=2.0)
    return checking.ceiling(made, "<x, x'>^2 on two spheres, sup")


def ball() -> Check:
    """The indicator of the ball."""
    return checking.ceiling(safran_shamir2017.ball_indicator(2, knots=16, ramp=0.05), "the disc, L2")


def ridges() -> Check:
    """One hidden layer for a polynomial of |x|^2."""
    return checking.ceiling(
        safran_eldan_shamir2019.approximate([0.0, 1.0, -0.5], 2, knots=20), "degree 4 on the disc, sup"
    )


def square() -> Check:
    """The interpolant of the square attains its bound."""
    return checking.ceiling(yarotsky2017.square(5), "5 hidden layers, sup")


def product() -> Check:
    """The product attains its bound."""
    return checking.ceiling(yarotsky2017.product(4, 1.0), "5 hidden layers, sup")


def oscillation() -> Check:
    """A cosine of a hidden layer."""
    made = venturi2022.oscillation(random_network(2, (4,), 1), 0.5, head_knots=200, measure=Box(2))
    return checking.ceiling(made, "a random layer of 4 units, sup")


def alternating_labels() -> Check:
    """Random networks do not classify alternating points better than the certificate says."""
    certificate = telgarsky2016.classification_certificate(6, (3, 2))
    networks = [random_network(1, (3, 2), seed) for seed in range(20)]
    x, labels = np.arange(64)[:, None] / 64, np.arange(64) % 2
    outputs = [evaluate(network, x)[:, 0] for network in networks]
    errors = [int(np.sum((values >= np.median(values)) != labels)) for values in outputs]
    best = int(np.argmin(errors))
    margin = errors[best] - certificate.value
    return checking.row(
        certificate.theorem, "64 points, errors", networks[best], certificate.value, errors[best], margin
    )


def sawtooth() -> Check:
    """Fitted networks are not nearer to the sawtooth than the certificate says."""
    target = telgarsky2016.target(6)
    return checking.floor(
        telgarsky2016.l1_certificate(6, (4,)), target, checking.fitted(target, (4,), 6), "6 folds, width 4, L1"
    )


CHECKS: tuple[Callable[[], Check], ...] = (
    step_network,
    step_approximation,
    string,
    cap_string,
    coding_network,
    constant_directions,
    own_kernel,
    moment,
    isotonic,
    bottleneck,
    escape_path,
    number_of_pieces,
    radial_network,
    tubes,
    ranks,
    inner_product,
    ball,
    ridges,
    square,
    product,
    oscillation,
    alternating_labels,
    sawtooth,
    *width_checks.CHECKS,
)


def rows() -> Iterator[Check]:
    """The checks one after the other, each when it is asked for."""
    for check in CHECKS:
        yield check()


def table(checks: list[Check]) -> str:
    """The rows as text, one line each."""
    head = ("paper", "theorem", "width", "hidden", "bound", "measured", "margin", "page", "holds")
    cells = [head] + [
        (
            row.paper,
            row.theorem,
            str(row.width),
            str(row.hidden_layers),
            f"{row.bound:.6g}",
            f"{row.measured:.6g}",
            f"{row.margin:.3g}",
            row.page,
            "yes" if row.holds else "NO",
        )
        for row in checks
    ]
    sizes = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=True)).rstrip() for line in cells
    )
