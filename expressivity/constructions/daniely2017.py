r"""Daniely (2017): $f(\langle x, x'\rangle)$ on pairs of unit vectors, with two hidden layers and not with one.

The network adds the interpolants of $(x_i + x_i')^2$, which gives $\langle x, x'\rangle$, and applies a
piecewise-linear head. "Depth 3" in the paper means two hidden layers. Its counterpart is the certificate
`expressivity.certificates.rank`, which needs no bound on the weights; the paper's own bound does.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.measures import checked_dim
from expressivity.radial_measures import SphereProduct
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target


def harmonic_dim(degree: int, d: int) -> int:
    r"""$N_n = \binom{n+d-1}{n} - \binom{n+d-3}{n-2}$: how many spherical harmonics of degree n $S^{d-1}$ has.

    Raises:
        ValueError: If the degree is negative or d below 2.

    >>> harmonic_dim(20, 10)
    5328180
    """
    if isinstance(degree, bool) or degree != int(degree) or degree < 0:
        raise ValueError(f"A degree is a whole number of at least 0; got {degree}.")
    degree, d = int(degree), _checked_sphere(d)
    return math.comb(degree + d - 1, degree) - (math.comb(degree + d - 3, degree - 2) if degree >= 2 else 0)


def wave(d: int) -> Callable[[Any], Any]:
    r"""The function $t \mapsto \sin(\pi d^3 t)$ of the paper's Example 1, for NumPy and JAX arrays.

    >>> float(wave(2)(0.0625))
    1.0
    """
    frequency = math.pi * _checked_sphere(d) ** 3

    def sine(t: Any) -> Any:
        return jnp.sin(frequency * t) if isinstance(t, jax.Array) else np.sin(frequency * np.asarray(t))[()]

    return sine


def network(
    d: int,
    *,
    knots: int,
    head_knots: int,
    function: Callable[[Any], Any] | None = None,
    lipschitz: float | None = None,
    curvature: float | None = None,
) -> Construction:
    r"""Two hidden layers of widths $2dm$ and $m' + 1$ for $f(\langle x, x'\rangle)$, reading x, then x'.

    With $h = 2/m$ the first layer gives $\hat t \in [t, t + dh^2/8]$ and the head interpolates f at $m' + 1$ equal
    steps of [-1, 1], constant outside: the sup error is at most $L d h^2/8 + \sup|f''|\,(2/m')^2/8$.

    Args:
        d: Coordinates of each of the two points, at least 2.
        knots: m, cells of the interpolant of $u^2$ on [0, 2].
        head_knots: m', cells of the head.
        function: f on [-1, 1], for NumPy and JAX arrays; by default $\sin(\pi d^3 t)$.
        lipschitz, curvature: Bounds of $|f'|$ and $|f''|$; needed if `function` is given.

    Returns:
        A `Construction` in the sup norm, against `SphereProduct(d)`.

    Raises:
        ValueError: If a number is out of its range, or a function comes without its bounds.

    >>> made = network(3, knots=50, head_knots=267)
    >>> made.network.hidden_widths, round(made.error_bound, 9)
    ((300, 268), 0.101356997)
    """
    d = _checked_sphere(d)
    for what, count in (("knots", knots), ("head_knots", head_knots)):
        if isinstance(count, bool) or count != int(count) or count < 1:
            raise ValueError(f"{what} is a whole number of at least 1; got {count}.")
    if function is None:
        function, lipschitz, curvature = wave(d), math.pi * d**3, (math.pi * d**3) ** 2
    elif lipschitz is None or curvature is None or not 0 <= max(lipschitz, curvature) < math.inf:
        raise ValueError(
            "A function of its own needs bounds of its first two derivatives; got "
            f"lipschitz={lipschitz}, curvature={curvature}."
        )
    h = 2 / knots
    grid = h * np.arange(knots)
    coefficients = np.where(np.arange(knots) == 0, h, 2 * h)
    pairs = np.concatenate([np.eye(d), np.eye(d)], axis=1)  # u = x + x'
    first = np.repeat(np.concatenate([pairs, -pairs]), knots, axis=0)
    ends = np.linspace(-1.0, 1.0, head_knots + 1)
    with jax.enable_x64(True):
        values = np.asarray(function(ends), dtype=np.float64)
    jumps = np.diff(np.concatenate([[0.0], np.diff(values) / np.diff(ends), [0.0]]))
    second = np.broadcast_to(np.tile(coefficients / 2, 2 * d), (head_knots + 1, 2 * d * knots))
    net = ReLUNetwork.from_layers([(first, np.tile(-grid, 2 * d)), (second, -1.0 - ends), (jumps[None], values[:1])])
    chosen = function
    target = Target(
        lambda x: chosen(jnp.sum(x[:d] * x[d:])),
        SphereProduct(d),
        lipschitz=lipschitz * math.sqrt(2),  # on the spheres; |grad| = |f'| |(x', x)|
        name=f"inner_product_{d}",
    )
    return Construction(
        network=net,
        target=target,
        theorem=theorems.find("expressivity", "inner-product network"),
        error_bound=lipschitz * d * h**2 / 8 + curvature * (2 / head_knots) ** 2 / 8,
        norm="sup",
        width_bound=max(net.hidden_widths),
    )


def paper_bound(d: int) -> float:
    r"""The base-2 logarithm of the width that Example 1 excludes for $\sin(\pi d^3t)$ with weights at most $2^d$.

    $\sqrt{N_{d^2}} / (20e\pi\,2^{2d}(1 + \sqrt{4d}) + 20e\pi\,2^d)$: no network of one hidden layer below this width
    has squared error $1/(50e^2\pi^2)$. (The last term is printed as $2^{d+1}$.) Negative where nothing is excluded,
    up to d = 18.

    >>> round(2 ** paper_bound(20), 1)
    3.0
    """
    constant = 20 * math.e * math.pi
    # integers, since N_{d^2} exceeds a float from d = 170 on
    dimension = harmonic_dim(checked_dim(d) ** 2, d)
    return _log2(dimension) / 2 - math.log2(constant) - d - math.log2(2.0**d * (1 + math.sqrt(4 * d)) + 1)


def paper_width(d: int, lipschitz: float, accuracy: float) -> int:
    r"""The width $\lfloor16d^2L/\varepsilon\rfloor$ of the paper's Corollary 6 for two hidden layers.

    >>> paper_width(3, 27 * math.pi, 0.1014)
    120458
    """
    if not (lipschitz > 0 and accuracy > 0):
        raise ValueError(f"Lipschitz constant and accuracy are positive; got {lipschitz} and {accuracy}.")
    return math.floor(16 * _checked_sphere(d) ** 2 * lipschitz / accuracy)


def _log2(value: int) -> float:
    shift = max(0, value.bit_length() - 900)
    return math.log2(value >> shift) + shift


def _checked_sphere(d: int) -> int:
    if checked_dim(d) < 2:
        raise ValueError(f"Points on a sphere have at least 2 coordinates; got d={d}.")
    return int(d)
