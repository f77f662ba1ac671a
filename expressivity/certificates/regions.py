"""Bounds on the largest number of linear regions of a ReLU network, and of the pieces of zonotope functions."""

import functools
import math
from collections.abc import Sequence

from expressivity.certificates.constant_directions import checked_width


def zaslavsky(hyperplanes: int, dim: int) -> int:
    r"""$\sum_{j \le d} \binom mj$: the most regions into which m hyperplanes cut $\mathbb R^d$.

    Attained in general position; it is the largest number of regions of one hidden layer of m units (Zaslavsky;
    `serra2018`).

    Args:
        hyperplanes: m, at least 0.
        dim: d, at least 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If it is out of range.

    >>> zaslavsky(5, 2), zaslavsky(20, 10)
    (16, 616666)
    """
    if isinstance(hyperplanes, bool) or not hasattr(hyperplanes, "__index__"):
        raise TypeError(f"A number of hyperplanes is a whole number, not {hyperplanes!r}.")
    if hyperplanes < 0:
        raise ValueError(f"A number of hyperplanes is at least 0, not {hyperplanes}.")
    return sum(math.comb(int(hyperplanes), j) for j in range(checked_width(dim) + 1))


def serra(input_dim: int, widths: Sequence[int]) -> int:
    r"""$\sum_J \prod_l \binom{n_l}{j_l}$ over $0 \le j_l \le \min\{n_0, n_1 - j_1, \dots, n_{l-1} - j_{l-1}, n_l\}$.

    No ReLU network with these hidden widths has more linear regions (Serra, Tjandraatmadja and Ramalingam,
    `serra2018`, Theorem 1); one hidden layer in general position has as many.

    Args:
        input_dim: $n_0$.
        widths: $n_1, n_2, \dots$, units of each hidden layer.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is below 1.

    >>> serra(2, (4, 4)), serra(2, (3, 1, 3))
    (121, 35)
    """
    sizes = _sizes(input_dim, widths)

    @functools.cache
    def count(layer: int, cap: int) -> int:
        if layer == len(sizes):
            return 1
        units = sizes[layer]
        return sum(math.comb(units, j) * count(layer + 1, min(cap, units - j)) for j in range(min(cap, units) + 1))

    return count(1, sizes[0])


def montufar_upper(input_dim: int, widths: Sequence[int]) -> int:
    r"""$\prod_l \sum_{j \le d_l} \binom{n_l}{j}$, $d_l = \min\{n_0, \dots, n_l\}$: a weaker bound than `serra`.

    No ReLU network with these hidden widths has more linear regions (`montufar2017`, as stated in `serra2018`).

    Args:
        input_dim: $n_0$.
        widths: Units of each hidden layer.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is below 1.

    >>> montufar_upper(2, (3, 1, 3))
    56
    """
    sizes = _sizes(input_dim, widths)
    return math.prod(zaslavsky(units, min(sizes[: layer + 1])) for layer, units in enumerate(sizes) if layer)


def montufar_lower(input_dim: int, widths: Sequence[int]) -> int:
    r"""$\bigl(\prod_{l < L} \lfloor n_l/n_0 \rfloor^{n_0}\bigr) \sum_{j \le n_0} \binom{n_L}{j}$ for $n_l \ge n_0$.

    Some ReLU network with these hidden widths has at least as many linear regions (Montufar, Pascanu, Cho and Bengio,
    `montufar2014`).

    Args:
        input_dim: $n_0$.
        widths: Units of each hidden layer, each at least $n_0$; one layer at least.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If there is no layer or one narrower than the input.

    >>> montufar_lower(2, (4, 4))
    44
    """
    n, *hidden = _sizes(input_dim, widths)
    if not hidden or min(hidden) < n:
        raise ValueError(
            f"This lower bound is for hidden layers at least as wide as the input, {n}; got {tuple(hidden)}."
        )
    return math.prod((units // n) ** n for units in hidden[:-1]) * zaslavsky(hidden[-1], n)


def zonotope_regions(generators: int, dim: int) -> int:
    r"""$2 \sum_{i < n} \binom{m - 1}{i}$: the vertices of a generic zonotope of m generators in $\mathbb R^n$.

    Its support function $\sum_j |\langle g_j, x\rangle|$, a network with one hidden layer of 2m units, has so many
    affine pieces. (Theorem 3.9 of `arora2018` prints it without the factor 2.)

    Args:
        generators: m, at least 1.
        dim: n, at least 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is below 1.

    >>> zonotope_regions(3, 2), zonotope_regions(6, 3)
    (6, 32)
    """
    return 2 * sum(math.comb(checked_width(generators) - 1, i) for i in range(checked_width(dim)))


def _sizes(input_dim: int, widths: Sequence[int]) -> tuple[int, ...]:
    return (checked_width(input_dim), *(checked_width(width) for width in widths))
