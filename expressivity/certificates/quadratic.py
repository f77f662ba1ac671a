"""Closed forms: distances of quadratic polynomials on balls to the functions constant along a subspace."""

import math

import numpy as np
from jaxtyping import Float

from expressivity.measures import AbstractMeasure, Ball, Box
from expressivity.target import Quadratic, Target


def subspace_squared(quadratic: Quadratic, ball: Ball, basis: Float[np.ndarray, "n m"]) -> float:
    r"""$E^2 = \frac{2\operatorname{tr}(A_K^2) - \frac{2}{m+2}\operatorname{tr}(A_K)^2 + 4\|P_{K^\perp} A P_K\|_F^2}
    {(n+2)(n+4)} + \frac{|P_K b|^2}{n+2}$ on the unit ball, with K the span of the orthonormal columns of `basis`.

    The squared L2 distance of $x^T A x + b \cdot x + c$ to the functions constant along K; on a ball of radius R with
    $R^2 A$ for A and $R b$ for b.
    """
    n, m = basis.shape
    if m == 0:
        return 0.0
    a, b = ball.radius**2 * quadratic.matrix, ball.radius * quadratic.slope
    moved = a @ basis
    inner = basis.T @ moved
    across = moved - basis @ inner
    bracket = 2 * float((inner**2).sum()) - 2 * float(np.trace(inner)) ** 2 / (m + 2) + 4 * float((across**2).sum())
    return bracket / ((n + 2) * (n + 4)) + float(((basis.T @ b) ** 2).sum()) / (n + 2)


def universal_squared(quadratic: Quadratic, ball: Ball, kernel_dim: int) -> float:
    r"""A lower bound of `subspace_squared` over all subspaces of dimension m: $\frac1{n+2}\sum_{i \le m}\lambda_i(M)$.

    $\lambda_1 \le \lambda_2 \le \dots$ are the eigenvalues of $M = \frac{4 A^2}{(m+2)(n+4)} + b b^T$. It follows from
    $\operatorname{tr}(A_K)^2 \le m \operatorname{tr}(A_K^2)$ and the principle of Ky Fan, and is attained where A is a
    multiple of the identity or m = 1, both with b = 0.
    """
    n, m = len(quadratic.slope), kernel_dim
    if m <= 0:
        return 0.0
    a, b = ball.radius**2 * quadratic.matrix, ball.radius * quadratic.slope
    eigenvalues = np.linalg.eigvalsh(4 * a @ a / ((m + 2) * (n + 4)) + np.outer(b, b))
    return max(0.0, float(eigenvalues[:m].sum())) / (n + 2)


def isotropic_factor(target: Target) -> float | None:
    """The number a if the target is $a|x - x_0|^2 + c$ with $x_0$ the centre of its domain, else None."""
    q = target.quadratic
    if q is None or not isinstance(target.measure, Ball | Box):
        return None
    a = float(q.matrix[0, 0])
    if not np.array_equal(q.matrix, a * np.eye(target.dim)):
        return None
    return a if np.array_equal(q.slope, -2 * a * target.measure.center) else None


def isotropic(measure: AbstractMeasure, factor: float, kernel_dim: int, norm: str) -> float | None:
    r"""The least distance of $a|x - x_0|^2$ to functions constant along some subspace of dimension m >= 1; exact.

    On a ball of radius R all subspaces are alike: L2 squared $4 a^2 R^4 m/((m+2)(n+2)(n+4))$ (this function returns
    the root), L1 $|a| R^2 m (1 - 2^{-2/m})/(n+2)$, sup $|a| R^2/2$. On a cube of half side h only the sup norm has a
    closed form, $|a| h^2 m/2$: a vertex of the section of the cube with the subspace has at least m coordinates
    $\pm h$, and coordinate subspaces attain it. Other cases give None.
    """
    n, m, a = measure.dim, kernel_dim, abs(factor)
    if isinstance(measure, Ball):
        scale = a * measure.radius**2
        if norm == "L2":
            return scale * math.sqrt(4 * m / ((m + 2) * (n + 2) * (n + 4)))
        if norm == "L1":
            return scale * m * (1 - 2 ** (-2 / m)) / (n + 2)
        return scale / 2
    if isinstance(measure, Box) and norm == "sup":
        return a * ((measure.high - measure.low) / 2) ** 2 * m / 2
    return None
