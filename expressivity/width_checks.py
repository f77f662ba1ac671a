"""Further checks: narrow networks that equal wide ones, maxima, counts, and the certificates beside the main ones."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from expressivity import certificates, targets
from expressivity.checking import Check, ceiling, fitted, floor, identity, row
from expressivity.constructions import (
    arora2018,
    hanin_sellke2017,
    kidger_lyons2020,
    lu2017,
    montufar2014,
    park2021,
    telgarsky2016,
    vardi2022,
)
from expressivity.measures import Ball, Box
from expressivity.relu.evaluate import evaluate
from expressivity.relu.exact import pieces
from expressivity.relu.gadgets import random_network
from expressivity.relu.network import ReLUNetwork
from expressivity.relu.regions import count_regions
from expressivity.target import Target
from expressivity.theorems import Theorem, find

_EPS = float(np.finfo(np.float64).eps)
_COMPILED = 1e-10  # relative


def single_sum() -> Check:
    """The network of width n + 3 equals that of width n + 4."""
    lower = np.array([[-1.0, -1.0], [0.0, -0.5]])
    upper, heights, ramp = lower + 0.5, np.array([1.0, -2.0]), 0.125
    wide, narrow = (
        make(lower, upper, heights, ramp=ramp, half_width=1.0)
        for make in (lu2017.step_network, lu2017.single_sum_network)
    )
    x = np.random.default_rng(0).uniform(-1.5, 1.5, (2000, 2))
    difference = float(np.abs(evaluate(narrow, x) - evaluate(wide, x)).max())
    rounding = 64 * _EPS / ramp * float(np.abs(heights).sum())
    return identity(find("expressivity", "step network"), "with one sum, width n + 3", narrow, difference, rounding)


def difference_of_maxima() -> Check:
    """A difference of two maxima of affine functions at width n + 2."""
    rng = np.random.default_rng(2)
    a, b, c, d = (rng.standard_normal(shape) for shape in ((6, 2), (6,), (5, 2), (5,)))
    network = hanin_sellke2017.max_affine_difference(a, b, c, d, half_width=1.0)
    x = rng.uniform(-1, 1, (2000, 2))
    plain = (x @ a.T + b).max(1) - (x @ c.T + d).max(1)
    difference = float(np.abs(evaluate(network, x)[:, 0] - plain).max())
    rounding = 64 * 11 * _EPS * float(np.abs(a).sum(1).max() + np.abs(c).sum(1).max() + np.abs([*b, *d]).max())
    theorem = find("expressivity", "string of maxima and minima")
    return identity(theorem, "difference of two maxima, width n + 2", network, difference, rounding)


def coding_on_space() -> Check:
    """Width n + 1 in L1, against a target with compact support."""
    construction = park2021.coding_network(targets.norm_squared(Ball(2)), levels=8, radius=1.0, ramp=1e-3)
    return ceiling(construction, "|x|^2 on the disc, L1")


def zero_far_out() -> Check:
    """The same network vanishes outside its cube, out to a million."""
    network = park2021.coding_network(targets.norm_squared(Ball(2)), levels=4, radius=1.0, ramp=1e-2).network
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 2))
    x[:, 0] = rng.choice([-1, 1], 2000) * 10.0 ** rng.uniform(0, 6, 2000)
    largest = float(np.abs(evaluate(network, x)).max())
    return identity(find("expressivity", "coding network on R^n"), "0 outside the cube", network, largest, 0.0)


def one_layer_on_a_cube() -> Check:
    """One hidden layer of 40 units at width n + 2."""
    wide, x = random_network(3, (40,), 0), np.random.default_rng(0).uniform(-2, 2, (1000, 3))
    return _compiled(wide, vardi2022.narrow(wide, half_width=2.0), x, "one hidden layer, cube")


def two_layers_on_space() -> Check:
    """Two hidden layers at width 2 n + 3 out to a thousand."""
    wide, x = random_network(2, (9, 7), 0), np.random.default_rng(0).standard_normal((1000, 2))
    x *= 1e3 / np.linalg.norm(x, axis=1, keepdims=True)
    return _compiled(wide, vardi2022.narrow(wide), x, "two hidden layers, |x| = 1000")


def three_layers_on_a_cube() -> Check:
    """Three hidden layers at width n + 4, two outputs."""
    base, x = random_network(2, (4, 4, 3), 0), np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    *hidden, _ = base.layers
    wide = ReLUNetwork.from_layers([*hidden, (np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]]), np.array([0.25, -1.0]))])
    return _compiled(wide, vardi2022.narrow(wide, half_width=1.0), x, "three hidden layers, two outputs")


def leading_bits() -> Check:
    """The first four binary digits, off the ramps."""
    bits, ramp = 4, 2.0**-10
    x = np.random.default_rng(0).uniform(0, 1, (2000, 1))
    x = x[np.mod(2.0**bits * x[:, 0], 1) <= 1 - ramp / 2]
    network = vardi2022.leading_bits(bits, ramp)
    difference = float(np.abs(evaluate(network, x)[:, 0] - np.floor(2.0**bits * x[:, 0])).max())
    return identity(find("vardi2022", "Lemma 9"), "4 bits", network, difference, 4.0 ** (bits + 1) * 8 * _EPS / ramp)


def cut_off() -> Check:
    """A network in the register model, clipped, and 0 outside a cube."""
    wide, big, ramp = random_network(2, (12,), 3), 2.0, 0.5
    network = kidger_lyons2020.cut_off(wide, half_width=big, ramp=ramp, floor=-1.0, ceiling=1.0)
    x = np.random.default_rng(0).uniform(-1.5 * big, 1.5 * big, (2000, 2))
    bump = np.clip((big - np.abs(x)) / ramp, 0, 1).min(1)
    plain = np.minimum(np.maximum(evaluate(wide, x)[:, 0], -bump), bump)
    difference = float(np.abs(evaluate(network, x)[:, 0] - plain).max())
    weights = sum(float(np.abs(w).sum()) for w, _ in wide.layers)
    theorem = find("expressivity", "register model with cut-off")
    return identity(theorem, "12 units, n = 2", network, difference, 64 * 12 * _EPS * weights * big / ramp)


def maximum() -> Check:
    """The maximum of five numbers by a tree."""
    network, x = arora2018.maximum(5), np.random.default_rng(0).standard_normal((2000, 5))
    difference = float(np.abs(evaluate(network, x)[:, 0] - x.max(1)).max())
    return identity(find("arora2018", "Theorem 2.1"), "five numbers", network, difference, 64 * _EPS)


def zigzag() -> Check:
    """A network that has as many pieces as its widths allow."""
    network = montufar2014.zigzag(3, 3)
    bound, found = certificates.pieces_bound((3, 3, 3)), pieces(network, [0.0], [1.0]).pieces
    return row(find("serra2018", "Theorem 5"), "attained by zigzags", network, bound, found, -abs(bound - found))


def many_pieces() -> Check:
    """The same network has at least as many as Montufar et al. promise."""
    network = montufar2014.zigzag(3, 3)
    bound, found = certificates.montufar_lower(1, (3, 3, 3)), pieces(network, [0.0], [1.0]).pieces
    return row(find("montufar2014", "Theorem 4"), "on a line", network, bound, found, found - bound)


def regions() -> Check:
    """Networks with two inputs have no more regions than the bounds allow."""
    widths = (4, 4)
    networks = [random_network(2, widths, seed) for seed in range(4)]
    found = [count_regions(network, Box(2, -8.0, 8.0)) for network in networks]
    most = int(np.argmax(found))
    bound = min(certificates.serra(2, widths), certificates.montufar_upper(2, widths))
    margin = bound - found[most]
    return row(find("serra2018", "Theorem 1"), "regions in the plane", networks[most], bound, found[most], margin)


def folds() -> Check:
    """The sawtooth of six folds has 64 pieces."""
    network = telgarsky2016.sawtooth(6)
    found = pieces(network, [0.0], [1.0]).pieces
    return row(find("telgarsky2016", "Theorem 1.1"), "six folds", network, 64, found, -abs(64 - found))


def rotations() -> Check:
    """The certificate from a grid of directions."""
    target = targets.norm_squared(Ball(2))
    certificate = certificates.rotation(target, "L2", 180)
    return floor(certificate, target, fitted(target, (1, 8), 4), "|x|^2 on the disc, L2")


def pieces_on_a_line() -> Check:
    """No network of widths 3, 1 has more than 8 pieces, so none comes nearer to a wave than eight pieces do."""
    target = Target(lambda x: jnp.sin(8 * x[0]), Box(1), lipschitz=8.0, name="wave")
    certificate = certificates.pieces_floor(target, (3, 1))
    return floor(certificate, target, fitted(target, (3, 1), 6), "sin 8x, widths 3 and 1, L2")


def rational_path() -> Check:
    """The certificate of an escape path in rational arithmetic."""
    target = targets.norm_squared(Ball(2))
    network = random_network(2, (2, 2, 2), 1)
    certificate = certificates.rational_path(network, target, [0, 0])
    return floor(certificate, target, [network], "in rationals, |x|^2 on the disc, sup")


def effective_parameters() -> Check:
    """The rank of a Jacobian does not exceed the number of effective parameters."""
    network = random_network(2, (4, 4), 3)
    found = certificates.dimension(network, np.random.default_rng(0).uniform(-3, 3, (300, 2)))
    bound = certificates.effective_parameters(2, 4, 3)
    return row(find("lu2017", "Theorem 4"), "effective parameters", network, bound, found.rank, bound - found.rank)


def _compiled(wide: ReLUNetwork, narrow: ReLUNetwork, x: np.ndarray, what: str) -> Check:
    """The largest difference over the largest value."""
    expected = evaluate(wide, x)
    difference = float(np.abs(evaluate(narrow, x) - expected).max() / np.abs(expected).max())
    theorem: Theorem = find("expressivity", "narrow compiler")
    return identity(theorem, what, narrow, difference, _COMPILED)


CHECKS: tuple[Callable[[], Check], ...] = (
    single_sum,
    difference_of_maxima,
    coding_on_space,
    zero_far_out,
    one_layer_on_a_cube,
    two_layers_on_space,
    three_layers_on_a_cube,
    leading_bits,
    cut_off,
    maximum,
    zigzag,
    many_pieces,
    regions,
    folds,
    rotations,
    pieces_on_a_line,
    rational_path,
    effective_parameters,
)
