"""The best floor that applies to a class of networks, and which theorem it comes from."""

import dataclasses
import functools
from collections.abc import Callable

from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.certificates.bottlenecks import bottleneck
from expressivity.certificates.constant_directions import checked_width, first_layer
from expressivity.certificates.line_pieces import pieces_floor
from expressivity.certificates.moments import ball_packing, moment
from expressivity.certificates.monotone_ridges import isotonic
from expressivity.measures import Ball, Box
from expressivity.norms import NORMS, checked_norm
from expressivity.target import Target
from expressivity.theorems import find

_NOTHING = find("expressivity", "constant directions")
_RESOLUTIONS = {2: 201, 3: 41}


def floor(target: Target, width: int, hidden_layers: int | None = None, norm: str = "L2") -> Certificate:
    r"""The best proved lower bound of the error of every network of a width, of any or of limited depth.

    The largest of the certificates that apply: constant directions (width < n), the isotonic bound (width 1), the
    bottleneck (sup norm, width <= n, n >= 2), pieces on lines (a given number of hidden layers; L2 and sup), and those
    in weaker norms, since $\|g\|_1 \le \|g\|_2 \le \|g\|_{\sup}$
    under a probability measure. Its `theorem` says which it is. Where none applies the value is 0, and `assumptions`
    say why. Results are kept, so that repeated questions about one target cost nothing.

    Args:
        target: The target; measures other than `Box` and `Ball` have floor 0.
        width: Units of the widest hidden layer.
        hidden_layers: At most so many hidden layers; None for any depth.
        norm: "L1", "L2" or "sup".

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is below 1, or the norm is unknown.

    >>> import expressivity as ex
    >>> disc = ex.targets.norm_squared(ex.Ball(2))
    >>> ex.certificates.floor(disc, 2, norm="sup").value, ex.certificates.floor(disc, 2, norm="L2").value
    (0.5, 0.0)
    >>> round(ex.certificates.floor(disc, 1, norm="L2").value ** 2 * 12, 4)  # share of the variance, 1/12
    0.8709
    """
    checked_norm(norm)
    width = checked_width(width)
    if hidden_layers is not None:
        hidden_layers = _checked_layers(hidden_layers)
    return _floor(target, width, hidden_layers, norm)


def _checked_layers(hidden_layers: int) -> int:
    if isinstance(hidden_layers, bool) or not hasattr(hidden_layers, "__index__"):
        raise TypeError(f"hidden_layers is a whole number or None, not {hidden_layers!r}.")
    if hidden_layers < 1:
        raise ValueError(f"hidden_layers is at least 1, not {hidden_layers}.")
    return int(hidden_layers)


@functools.lru_cache(maxsize=4096)
def _floor(target: Target, width: int, hidden_layers: int | None, norm: str) -> Certificate:
    against = NetworkClass(width=width, hidden_layers=hidden_layers)
    if not isinstance(target.measure, Box | Ball):
        reason = f"no floor: certificates are for boxes and balls, not for the measure {target.measure.name}"
        return Certificate(0.0, norm, against, _NOTHING, (reason,))
    found: list[Certificate] = []
    for weaker in NORMS[: NORMS.index(norm) + 1]:
        found += [_in_norm(certificate, norm) for certificate in _candidates(target, width, hidden_layers, weaker)]
    best = max(found, key=lambda certificate: certificate.value, default=None)
    if best is not None and best.value > 0:
        return best
    return Certificate(0.0, norm, against, _NOTHING, (_why_nothing(target.dim, width, norm, bool(found)),))


@functools.lru_cache(maxsize=4096)
def _candidates(target: Target, width: int, hidden_layers: int | None, norm: str) -> tuple[Certificate, ...]:
    """The certificates for this norm itself; the floors in all stronger norms ask for them too."""
    n = target.dim
    tries: list[Callable[[], Certificate]] = []
    if width < n:
        tries.append(lambda: first_layer(target, width, norm))
        if n > 5:
            tries.append(lambda: moment(target, *ball_packing(target.measure, 2), norm))  # pyright: ignore[reportArgumentType]
    if width == 1:
        tries.append(lambda: isotonic(target, norm))
    if norm == "sup" and n >= 2 and width <= n:
        tries.append(lambda: bottleneck(target, _RESOLUTIONS.get(n, 201)))
    if hidden_layers is not None and norm != "L1":
        tries.append(lambda: pieces_floor(target, (width,) * hidden_layers, norm))
    found = []
    for attempt in tries:
        try:
            found.append(attempt())
        except ValueError:  # a dimension that this certificate does not reach
            continue
    return tuple(found)


def _in_norm(certificate: Certificate, norm: str) -> Certificate:
    """The same number in a stronger norm."""
    if certificate.norm == norm:
        return certificate
    note = f"the bound in {certificate.norm}, which is at most the error in {norm} under a probability measure"
    return dataclasses.replace(certificate, norm=norm, assumptions=(*certificate.assumptions, note))


def _why_nothing(n: int, width: int, norm: str, tried: bool) -> str:
    if width > n:
        return (
            f"no floor: networks of width {width} > n = {n} approximate every continuous function, given enough layers"
        )
    if width == n and n >= 2 and norm != "sup":
        return f"no floor: networks of width n = {n} are dense in {norm} on compact domains, given enough layers"
    if tried:
        return "no floor: every certificate that applies gave 0; some network of this width may represent the target"
    return f"no floor: no certificate covers width {width} in {norm} for dimension {n}"
