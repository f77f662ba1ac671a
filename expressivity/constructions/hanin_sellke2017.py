r"""Hanin and Sellke (2017): width n + 1 is enough, and needed, to approximate continuous functions uniformly.

The networks here are max-min strings of affine functions, one hidden layer a piece. The paper's own construction is
not reproduced; the cap string is derived in this package.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from expressivity import theorems
from expressivity.constructions.base import Construction
from expressivity.constructions.cells import compact_domain, positive_number, real_array
from expressivity.constructions.sphere_covering import circle_count, covering, covering_count
from expressivity.measures import Ball, Points
from expressivity.relu.network import ReLUNetwork
from expressivity.target import Target

_MOST_CAPS = 2_000_000
String = tuple[Points, Float[np.ndarray, " pieces"], Float[np.ndarray, " joints"]]


def string_network(slopes: Any, offsets: Any, signs: Any, *, half_width: float) -> ReLUNetwork:
    r"""The max-min string $y_N$ on $\{x : x_k \ge -R\}$, at width n + 1 with N - 1 hidden layers.

    With $\ell_i(x) = a_i \cdot x + b_i$ the string is $y_1 = \ell_1$, $y_i = \max(\ell_i, y_{i-1})$ where the sign
    $s_i$ is +1 and $y_i = \min(\ell_i, y_{i-1})$ where it is -1. One register holds
    $r_i = \sigma(s_i (y_{i-1} - \ell_i))$, so that $y_i = \ell_i + s_i r_i$; the others hold $x_k + R$.

    Args:
        slopes: The $a_i$, shape (N, n).
        offsets: The $b_i$, shape (N,).
        signs: $s_2, \dots, s_N$, shape (N - 1,), each +1 or -1; `None` for a maximum.
        half_width: R; every coordinate of a point has to be at least -R.

    Raises:
        TypeError: If an argument is no number or array of numbers.
        ValueError: If shapes do not fit, a number is not finite, or a sign is neither +1 nor -1.

    >>> net = string_network([[1.0], [-1.0], [0.0]], [0.0, 0.0, 0.5], [1, -1], half_width=1.0)  # min(|x|, 1/2)
    >>> net.width, net.hidden_layers, float(net([-0.25])[0]), float(net([0.75])[0])
    (2, 2, 0.25, 0.5)
    """
    slopes, offsets, signs = _string(slopes, offsets, signs)
    big = positive_number(half_width, "The half-width")
    pieces, n = slopes.shape
    if pieces == 1:
        return ReLUNetwork.from_layers([(slopes, offsets)])
    steps, drops = slopes[:-1] - slopes[1:], offsets[:-1] - offsets[1:]
    weights = np.tile(np.eye(n + 1), (pieces - 1, 1, 1))
    biases = np.zeros((pieces - 1, n + 1))
    weights[:, n, :n] = signs[:, None] * steps
    weights[1:, n, n] = signs[1:] * signs[:-1]
    biases[:, n] = signs * (drops - big * steps.sum(1))
    first_weight, first_bias = weights[0, :, :n], np.full(n + 1, big)
    first_bias[n] = signs[0] * drops[0]
    last = np.append(slopes[-1], signs[-1])[None]
    constant = offsets[-1:] - big * slopes[-1].sum()
    return ReLUNetwork.from_stacked((first_weight, first_bias), weights[1:], biases[1:], (last, constant))


def max_affine(slopes: Any, offsets: Any, *, half_width: float) -> ReLUNetwork:
    r"""The network $x \mapsto \max_i (a_i \cdot x + b_i)$ on $\{x : x_k \ge -R\}$: width n + 1, N - 1 hidden layers.

    Args:
        slopes: The $a_i$, shape (N, n).
        offsets: The $b_i$, shape (N,).
        half_width: R.

    Raises:
        TypeError, ValueError: As for `string_network`.

    >>> net = max_affine([[1.0], [-1.0]], [0.0, 0.0], half_width=1.0)  # |x|
    >>> net.width, net.hidden_layers, float(net([-0.25])[0])
    (2, 1, 0.25)
    """
    return string_network(slopes, offsets, None, half_width=half_width)


def max_affine_difference(
    slopes: Any, offsets: Any, minus_slopes: Any, minus_offsets: Any, *, half_width: float
) -> ReLUNetwork:
    r"""The network $x \mapsto \max_i (a_i \cdot x + b_i) - \max_j (a'_j \cdot x + b'_j)$ on the cube $[-R, R]^n$.

    Every continuous piecewise linear function is such a difference. Width n + 2: the first maximum is parked, shifted
    so that it is not negative, in one more register while the second is computed. N + N' - 2 hidden layers, and width
    n + 1 where N = 1 or N' = 1 (for both: an affine map).

    Args:
        slopes, offsets: Of the maximum with the plus sign, shapes (N, n) and (N,).
        minus_slopes, minus_offsets: Of the other one, shapes (N', n) and (N',).
        half_width: R.

    Raises:
        TypeError, ValueError: As for `string_network`; ValueError if the two have different dimensions.

    >>> net = max_affine_difference([[1.0], [-1.0]], [0.0, 0.0], [[2.0], [0.0]], [-1.0, 0.0], half_width=1.0)
    >>> net.width, net.hidden_layers, float(net([0.75])[0])  # 0.75 - 0.5
    (3, 2, 0.25)
    """
    a, b, _ = _string(slopes, offsets, None)
    c, d, _ = _string(minus_slopes, minus_offsets, None)
    if a.shape[1] != c.shape[1]:
        raise ValueError(f"The two maxima are functions of {a.shape[1]} and of {c.shape[1]} variables.")
    big, n = positive_number(half_width, "The half-width"), a.shape[1]
    if len(a) == 1:
        # an affine first maximum goes into the pieces of the second: a - max_j c_j = -max_j (c_j - a)
        return -1.0 * max_affine(c - a, d - b, half_width=big)
    if len(c) == 1:
        return max_affine(a - c, b - d, half_width=big)
    plus = list(max_affine(a, b, half_width=big).layers)
    minus = list(max_affine(c, d, half_width=big).layers)
    # on the cube every affine piece, hence the maximum, is at least the least value of the last piece there
    offset = max(0.0, float(big * np.abs(a[-1]).sum() - b[-1]))
    layers = plus[:-1]
    (w, v), (last, constant) = minus[0], plus[-1]
    # points are read from their registers from here on
    park = np.zeros((n + 2, n + 1))
    park[: n + 1, :n] = w
    park[n + 1] = last
    bias = np.append(v - w @ np.full(n, big), constant + offset)
    bias[:n] = 0.0
    layers.append((park, bias))
    for weight, shift in minus[1:-1]:
        wide = np.eye(n + 2)
        wide[: n + 1, : n + 1] = weight
        layers.append((wide, np.append(shift, 0.0)))
    weight, shift = minus[-1]
    layers.append((np.append(-weight, [[1.0]], axis=1), -shift - offset))
    return ReLUNetwork.from_layers(layers)


def cap_pieces(target: Target, *, mesh: float) -> String:
    r"""The affine functions and signs of the string behind `cap_string`, for `string_network` or for inspection.

    Returns:
        Slopes (N, n), offsets (N,) and signs (N - 1,), with N = 1 + 2 times the number of caps.

    Raises:
        TypeError, ValueError: As for `cap_string`.

    >>> import expressivity as ex
    >>> slopes, offsets, signs = cap_pieces(ex.targets.norm_squared(ex.Ball(1)), mesh=0.25)
    >>> slopes.shape, float(offsets[0]), signs.tolist()[:2]
    ((13, 1), 0.0, [1.0, -1.0])
    """
    domain, n = compact_domain(target), target.dim
    mesh = positive_number(mesh, "The mesh")
    if target.lipschitz is None:
        raise ValueError(f"A cap string needs a Lipschitz constant; target {target.name!r} has none.")
    outer = domain.diameter / 2
    shells = _shells(n, outer, mesh)
    directions = [covering(n, angle) for _, _, angle in shells]
    counts = [len(d) for d in directions]
    # inner shells first, and each shell from its last cap to its first
    unit = np.concatenate([d[::-1] for d in reversed(directions)]) if shells else np.zeros((0, n))
    radius = np.repeat([r for r, _, _ in reversed(shells)], counts[::-1])
    height = np.repeat([h for _, h, _ in reversed(shells)], counts[::-1])
    center = np.asarray(domain.center)
    tops = target.values(domain.project(center + radius[:, None] * unit)) if shells else np.zeros(0)
    middle = target.values(domain.project(center[None]))
    if not (np.all(np.isfinite(tops)) and np.all(np.isfinite(middle))):
        raise ValueError(f"Target {target.name!r} is not finite on its domain.")
    steep = target.lipschitz * mesh / height
    slope = steep[:, None] * unit
    shift = steep * radius + slope @ center
    slopes = np.concatenate([np.zeros((1, n)), np.stack([slope, -slope], 1).reshape(-1, n)])
    offsets = np.concatenate([middle, np.stack([tops - shift, tops + shift], 1).reshape(-1)])
    return slopes, offsets, np.tile([1.0, -1.0], len(tops))


def cap_string(target: Target, *, mesh: float) -> Construction:
    r"""A network of width n + 1 within $2 L\,\mathrm{mesh}$ of a target with Lipschitz constant L, uniformly.

    The ball around the domain is peeled: from a ball of radius $r > \delta$ caps $\{u_i \cdot x > r - h\}$ of height
    $h = \delta^2 / (2r)$ are cut off in directions $u_i$ with covering angle $\theta$, $\cos\theta = 1 - h/(2r)$; what
    is left lies in the ball of radius $(r - h)/\cos\theta < r$. The string starts with the constant f(center) and goes
    through the caps from the last one to the first, clamping to the interval between
    $f(p) \mp L\delta (r - u \cdot x) / h$, $p = r u$. On the cap both ends are within $2L\delta$ of f, since every
    point of it is within $\delta$ of p; on what was treated before, the interval contains f, so clamping moves no value
    away from f. At the center the string equals f.

    Each cap takes two hidden layers. In the plane there are about $5.92\,(R/\delta)^3$ caps, in n dimensions
    $\Theta((R/\delta)^{n+1})$. On a box, and on any compact convex domain, $f \circ \mathrm{proj}$ is approximated on
    the ball around it.

    Args:
        target: On a `Ball` or `Box`, with a Lipschitz constant.
        mesh: $\delta$.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the domain is not compact, the target has no Lipschitz constant, the mesh is not positive, or
            more than two million caps would be needed.

    >>> import expressivity as ex
    >>> result = cap_string(ex.targets.norm_squared(ex.Ball(2)), mesh=0.25)
    >>> result.network.width, result.norm, result.error_bound
    (3, 'sup', 1.0)
    """
    slopes, offsets, signs = cap_pieces(target, mesh=mesh)
    low, _ = target.measure.box  # type: ignore[attr-defined]
    half_width = float(target.measure.radius) if isinstance(target.measure, Ball) else max(float(-low.min()), mesh)
    assert target.lipschitz is not None
    return Construction(
        network=string_network(slopes, offsets, signs, half_width=half_width),
        target=target,
        theorem=theorems.find("expressivity", "cap string"),
        error_bound=2.0 * target.lipschitz * mesh,
        norm="sup",
        width_bound=target.dim + 1,
    )


def _shells(n: int, outer: float, mesh: float) -> list[tuple[float, float, float]]:
    """Radius, height of the caps and covering angle of every shell, outermost first."""
    shells, caps, radius = [], 0, outer
    while radius > mesh * (1 + 1e-12):
        if n == 1:
            height, angle, rest = mesh, math.pi / 4, outer - (len(shells) + 1) * mesh
        else:
            height = mesh**2 / (2 * radius)
            cosine = 1 - height / (2 * radius)
            angle = math.acos(cosine)
            rest = (radius - height) / (math.cos(math.pi / circle_count(angle)) if n == 2 else cosine)
        # a cap of angle t covers at most sin(t)^(n - 1) / 2 of the sphere, so the count is known to be large at once
        least = 2 / max(math.sin(angle), 1e-9) ** (n - 1) if n > 1 else 2 * (outer / mesh - 1)
        caps += covering_count(n, angle) if least <= _MOST_CAPS else _MOST_CAPS + 1
        if caps > _MOST_CAPS:
            raise ValueError(
                f"The mesh {mesh} needs more than {_MOST_CAPS} caps on a ball of radius {outer:g} in dimension {n}; "
                "take a coarser one."
            )
        shells.append((radius, height, angle))
        radius = rest
    return shells


def _string(slopes: Any, offsets: Any, signs: Any) -> String:
    slopes, offsets = real_array(slopes, "Slopes"), real_array(offsets, "Offsets")
    if slopes.ndim != 2 or 0 in slopes.shape or offsets.shape != slopes.shape[:1]:
        raise ValueError(
            f"N >= 1 affine functions have slopes of shape (N, n) and offsets of shape (N,); got {slopes.shape} and "
            f"{offsets.shape}."
        )
    signs = np.ones(len(slopes) - 1) if signs is None else real_array(signs, "Signs")
    if signs.shape != (len(slopes) - 1,):
        raise ValueError(f"A string of {len(slopes)} pieces has {len(slopes) - 1} signs; got shape {signs.shape}.")
    if not (np.all(np.isfinite(slopes)) and np.all(np.isfinite(offsets))):
        raise ValueError("Slopes and offsets are finite numbers; one of them is NaN or infinite.")
    wrong = signs[np.abs(signs) != 1]
    if len(wrong):
        raise ValueError(f"A sign is +1 (maximum) or -1 (minimum); got {wrong[0]}.")
    return slopes, offsets, signs
