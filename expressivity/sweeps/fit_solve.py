r"""Least squares of laws on many data sets at once, in the logarithm of the error.

Every solver minimises $\sum_i m_i (y_i - f(w_i; \theta))^2$ for each row y of `values`, over all parameters or with one
of them held. What enters linearly is solved for; what does not is scanned on a grid and then refined (the two laws with
an offset) or found exactly among finitely many candidates (the two laws in pieces).
"""

from typing import Any

import numpy as np
from jaxtyping import Float

Held = tuple[int, Any] | None
Solution = tuple[Float[np.ndarray, "rows parameters"], Float[np.ndarray, "rows"]]

_SHARES = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97])
_RATES = np.logspace(-1.5, 2.2, 24)
_ITERATIONS = 80


def linear(design: Any, values: Any, weights: Any, held: Held = None) -> Solution:
    """Weighted linear least squares; the coefficient number `held[0]` is kept at `held[1]`, one value or one a row.

    >>> coefficients, squares = linear(np.eye(3)[:, :2], np.array([[1.0, 2.0, 3.0]]), np.ones(3))
    >>> coefficients.round(6).tolist(), squares.round(6).tolist()
    ([[1.0, 2.0]], [9.0])
    """
    coefficients = np.zeros((len(values), design.shape[1]))
    rest, free = values, np.ones(design.shape[1], bool)
    if held is not None:
        free[held[0]] = False
        coefficients[:, held[0]] = held[1]
        rest = values - coefficients[:, held[0], None] * design[:, held[0]]
    root = np.sqrt(weights)
    scaled = design[:, free] * root[:, None]
    norms = np.linalg.norm(scaled, axis=0)
    norms[norms == 0] = 1.0
    coefficients[:, free] = (rest * root) @ np.linalg.pinv(scaled / norms, rcond=1e-12).T / norms
    return coefficients, ((values - coefficients @ design.T) ** 2) @ weights


def line(x: Any, values: Any, weights: Any, held: Held = None) -> Solution:
    r"""$f = l - a x$, parameters (l, a)."""
    return linear(np.stack([np.ones_like(x), -x], 1), values, weights, held)


def decay(x: Any, values: Any, weights: Any, held: Held = None) -> Solution:
    r"""$f = \log(c + e^{l - a x})$ with $c \ge 0$ and $a > 0$, parameters (c, l, a).

    Started at the best point of a grid in a and in the share of the offset in the last value, or, with a parameter
    held, where the others fit best on a smaller grid; refined by Levenberg-Marquardt steps with analytic derivatives.
    """
    low, high = bounds(x)
    start = _free_start(x, values, weights) if held is None else _held_start(x, values, weights, held)
    start[:, 2] = start[:, 2] if held is not None and held[0] == 2 else np.clip(start[:, 2], low, high)
    return _refine(x, values, weights, start, None if held is None else held[0], low, high)


def bounds(x: Any) -> tuple[float, float]:
    """The rates a between which `decay` searches: almost constant, and gone after the first gap."""
    return 1e-4 / float(x[-1] - x[0]), 30.0 / float(x[1] - x[0])


def _shapes(x: Any, share: Any, rate: Any) -> np.ndarray:
    """log(r + exp(-a (x - x_k))), where the offset is the given share of the last value."""
    share = np.asarray(share)[..., None]
    return np.logaddexp(log(share / (1 - share)), -np.asarray(rate)[..., None] * (x - x[-1]))


def log(number: Any) -> np.ndarray:
    """The logarithm, -inf at 0 without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(number)


def _from_shape(x: Any, values: Any, weights: Any, share: Any, rate: Any, shape: Any) -> np.ndarray:
    level = ((values - shape) @ weights) / weights.sum()
    return np.stack([share / (1 - share) * np.exp(level), level + rate * x[-1], rate + 0 * level], 1)


def _free_start(x: Any, values: Any, weights: Any) -> np.ndarray:
    low, high = bounds(x)
    rates = np.clip(_RATES / (x[-1] - x[0]), low, high)
    share, rate = (grid.ravel() for grid in np.meshgrid(_SHARES, rates, indexing="ij"))
    shapes = _shapes(x, share, rate)
    center = shapes - (shapes @ weights)[:, None] / weights.sum()
    squares = (center**2) @ weights - 2 * (values * weights) @ center.T
    best = squares.argmin(1)
    return _from_shape(x, values, weights, share[best], rate[best], shapes[best])


def _held_start(x: Any, values: Any, weights: Any, held: Held) -> np.ndarray:
    assert held is not None
    number, given = held[0], np.broadcast_to(np.asarray(held[1], float), len(values))
    same = values.strides[0] == 0  # a profile: one row of data, broadcast
    free = np.broadcast_to(decay(x, values[:1] if same else values, weights)[0], (len(values), 3))
    if number == 2:
        shapes = _shapes(x, _SHARES[None, :], given[:, None])
        gap = values[:, None] - shapes
        gap -= (gap @ weights)[..., None] / weights.sum()
        best = ((gap**2) @ weights).argmin(1)
        chosen = shapes[np.arange(len(values)), best]
        return _from_shape(x, values, weights, _SHARES[best], given, chosen)
    low, high = bounds(x)
    if number == 0:  # the logarithm of what is left above the offset is a line; weights undo the change of scale
        errors = np.exp(values)
        rest = np.maximum(errors - given[:, None], 1e-3 * errors)
        share = (rest / errors) ** 2 * weights
        z, total = np.log(rest), share.sum(1)
        mean_x, mean_z = (share @ x) / total, (share * z).sum(1) / total
        spread = (share * (x - mean_x[:, None]) ** 2).sum(1)
        slope = (share * (x - mean_x[:, None]) * z).sum(1) / np.maximum(spread, 1e-300)
        rate = np.clip(-slope, low, high)
        candidates = [(given, mean_z + rate * mean_x, rate), (given, free[:, 1], free[:, 2])]
    else:  # amplitude: rates around the free one, each with the offset that meets the last value
        candidates = [(free[:, 0], given, free[:, 2])]
        for factor in np.logspace(-1, 1, 21):
            rate = np.clip(free[:, 2] * factor, low, high)
            last = np.exp(values[:, -1]) - np.exp(np.minimum(given - rate * x[-1], 500.0))
            candidates += [(np.maximum(last, 0.0), given, rate), (free[:, 0], given, rate)]
    starts = np.stack([np.stack(c, 1) for c in candidates])
    squares = np.stack([((values - _decay_values(x, s)) ** 2) @ weights for s in starts])
    return starts[squares.argmin(0), np.arange(len(values))]


def _decay_values(x: Any, theta: Any) -> np.ndarray:
    return np.logaddexp(log(theta[:, :1]), theta[:, 1:2] - theta[:, 2:3] * x)


def _refine(x: Any, values: Any, weights: Any, theta: Any, held: int | None, low: float, high: float) -> Solution:
    theta = theta.copy()
    squares = ((values - _decay_values(x, theta)) ** 2) @ weights
    damping = np.full(len(theta), 1e-3)
    active = np.arange(len(theta))
    for _ in range(_ITERATIONS):
        now, old, y = theta[active], squares[active], values[active]
        f = _decay_values(x, now)
        share = np.exp(now[:, 1:2] - now[:, 2:3] * x - f)
        jacobian = np.stack([np.exp(np.minimum(-f, 300.0)), share, -share * x], 2)
        weighted = jacobian * weights[:, None]
        gradient = np.einsum("bkp,bk->bp", weighted, y - f)
        hessian = np.einsum("bkp,bkq->bpq", weighted, jacobian)
        frozen = np.zeros(now.shape, bool)
        frozen[:, 0] = (now[:, 0] <= 0) & (gradient[:, 0] <= 0)
        frozen[:, 2] = ((now[:, 2] <= low) & (gradient[:, 2] <= 0)) | ((now[:, 2] >= high) & (gradient[:, 2] >= 0))
        if held is not None:
            frozen[:, held] = True
        scale = np.sqrt(np.einsum("bpp->bp", hessian))  # unit diagonal, so that the units of the error do not matter
        scale[(scale == 0) | frozen] = 1.0
        hessian = hessian / scale[:, :, None] / scale[:, None, :]
        hessian[frozen[:, :, None] | frozen[:, None, :]] = 0.0
        index = np.arange(3)
        hessian[:, index, index] = np.where(frozen, 1.0, hessian[:, index, index] + damping[active, None] + 1e-13)
        gradient = np.where(frozen, 0.0, gradient / scale)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0] / scale
        new = now + step
        new[:, 0] = np.maximum(new[:, 0], 0.0)
        if held != 2:
            new[:, 2] = np.clip(new[:, 2], low, high)
        if held is not None:
            new[:, held] = now[:, held]
        fresh = ((y - _decay_values(x, new)) ** 2) @ weights
        better = fresh <= old
        theta[active[better]], squares[active[better]] = new[better], fresh[better]
        damping[active] = np.where(better, damping[active] / 5, damping[active] * 6)
        gain = np.abs((gradient / scale * step).sum(1))  # what a step promises
        done = (gain <= 1e-9 * (old + 1e-300)) | (old <= 1e-28) | (damping[active] > 1e8)
        active = active[~done]
        if not len(active):
            break
    return theta, squares


def broken(x: Any, values: Any, weights: Any, held: Held = None) -> Solution:
    r"""$f = l - a \min(x, b) - a' \max(x - b, 0)$ with $x_2 \le b \le x_{k-1}$, parameters (l, a, a', b).

    Between two neighbouring widths the minimum is that of two separate lines, if they meet there; otherwise it lies at
    a width. So the minimum is the least of finitely many linear ones, without a search.
    """
    rows, count = len(values), len(x)
    best, squares = np.zeros((rows, 4)), np.full(rows, np.inf)

    def offer(theta: np.ndarray, found: np.ndarray) -> None:
        better = found < squares
        best[better], squares[better] = theta[better], found[better]

    def hinge(at: float, who: Any, keep: Held) -> None:
        design = np.stack([np.ones(count), -np.minimum(x, at), -np.maximum(x - at, 0.0)], 1)
        coefficients, found = linear(design, values[who], weights, keep)
        theta, least = np.zeros((rows, 4)), np.full(rows, np.inf)
        theta[who], least[who] = np.column_stack([coefficients, np.full(len(found), at)]), found
        offer(theta, least)

    if held is not None and held[0] == 3:
        given = np.broadcast_to(np.asarray(held[1], float), rows)
        for at in np.unique(given):
            hinge(float(at), given == at, None)
        return best, squares
    for at in x[1:-1]:
        hinge(float(at), np.ones(rows, bool), held)
    keep = None if held is None else ((0, 1, 3)[held[0]], held[1])
    for gap in range(2, count - 1):
        left = np.arange(count) < gap
        design = np.stack([left, -x * left, ~left, -x * ~left], 1)
        (l, a, right, steep), found = (c.T if c.ndim == 2 else c for c in linear(design, values, weights, keep))
        difference = np.where(steep == a, np.nan, steep - a)
        at = (right - l) / difference
        inside = (at >= x[gap - 1]) & (at <= x[gap])
        offer(np.stack([l, a, steep, at], 1), np.where(inside, found, np.inf))
    return best, squares


def threshold(x: Any, values: Any, weights: Any, held: Held = None) -> Solution:
    r"""$f = p$ on the first g widths and $f = l - a x$ after them, $1 \le g < k$, parameters (p, l, a, g).

    Linear for every g, so all of them are tried. With g = k - 1 the slope is not determined; the shortest solution is
    taken.
    """
    rows, count = len(values), len(x)
    best, squares = np.zeros((rows, 4)), np.full(rows, np.inf)
    keep = held if held is not None and held[0] < 3 else None
    given = np.broadcast_to(np.asarray(held[1], float), rows) if held is not None and held[0] == 3 else None
    for gap in range(1, count):
        left = np.arange(count) < gap
        design = np.stack([left, ~left, -x * ~left], 1).astype(float)
        coefficients, found = linear(design, values, weights, keep)
        if given is not None:
            found = np.where(given == gap, found, np.inf)
        better = found < squares
        best[better], squares[better] = np.column_stack([coefficients, np.full(rows, gap)])[better], found[better]
    return best, squares
