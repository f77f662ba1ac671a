"""Counts: affine pieces on a line, effective parameters, and the numbers behind width-efficiency."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from expressivity.certificates.constant_directions import checked_width


def pieces_bound(widths: Sequence[int]) -> int:
    r"""$\prod_l (w_l + 1)$: the most affine pieces on a line of a network with these hidden widths.

    Args:
        widths: Units of each hidden layer; none gives 1.

    Raises:
        TypeError: If a width is not a whole number.
        ValueError: If a width is below 1.

    >>> pieces_bound([2, 2, 2])
    27
    """
    if not hasattr(widths, "__iter__"):
        raise TypeError(f"The bound on pieces takes a sequence of hidden widths, such as (2, 2); got {widths!r}.")
    return math.prod(checked_width(width) + 1 for width in widths)


def effective_parameters(n: int, width: int, depth: int) -> int:
    r"""$P - (\mathrm{depth} - 1)\,\mathrm{width}$: the parameters left after one rescaling a hidden unit.

    $P = (n + 1) w + (D - 2)(w^2 + w) + w + 1$ is the number of dense parameters of a scalar network with D - 1 hidden
    layers of w units. The functions of such networks form a set of at most this dimension.

    Args:
        n: Input dimension.
        width: Units of every hidden layer.
        depth: Number of affine maps, at least 2.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If it is too small.

    >>> effective_parameters(1, 18, 3), effective_parameters(1, 16, 5)
    (361, 801)
    """
    return _parameters(n, width, depth) - (depth - 1) * width


def _parameters(n: int, width: int, depth: int) -> int:
    n, w = checked_width(n), checked_width(width)
    if isinstance(depth, bool) or not hasattr(depth, "__index__"):
        raise TypeError(f"A depth is a whole number of affine maps, not {depth!r}.")
    if depth < 2:
        raise ValueError(f"A network with hidden layers has a depth of at least 2, not {depth}.")
    return (n + 1) * w + (depth - 2) * (w * w + w) + w + 1


class WidthEfficiency(NamedTuple):
    """Parameter counts of a wide target and of the narrow networks that cannot represent it."""

    target_parameters: int
    target_effective: int
    narrow_parameters: int
    narrow_effective: int
    largest_excluded_depth: int


def width_efficiency(n: int, k: int) -> WidthEfficiency:
    r"""The dimension count behind Theorem 4 of Lu et al.: width $2k^2$, depth 3, against $\lfloor k^{3/2} \rfloor$.

    The narrow networks have depth k + 2; `largest_excluded_depth` is the largest depth at which networks of that width
    have fewer effective parameters than the target, so that almost no target near one whose parameters are locally
    independent is represented. The count says nothing about approximation.

    Args:
        n: Input dimension.
        k: The theorem itself asks for k >= n + 4.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If n or k is below 1.

    >>> width_efficiency(1, 5)
    WidthEfficiency(target_parameters=2701, target_effective=2601, narrow_parameters=694, narrow_effective=628,
    largest_excluded_depth=23)
    """
    n, k = checked_width(n), checked_width(k)
    wide, narrow = 2 * k * k, math.isqrt(k**3)
    effective = effective_parameters(n, wide, 3)
    # linear in the depth: n w + (D - 2) w^2 + w + 1
    largest = 2 + (effective - 1 - effective_parameters(n, narrow, 2)) // (narrow * narrow)
    return WidthEfficiency(
        _parameters(n, wide, 3),
        effective,
        _parameters(n, narrow, k + 2),
        effective_parameters(n, narrow, k + 2),
        largest,
    )
