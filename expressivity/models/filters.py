"""How alike the filters of a layer are: redundancy, rank, merging, pairs of opposites, and what random filters give."""

import dataclasses
import math

import numpy as np

from expressivity.models.stems import PairingLaw, pairing


@dataclasses.dataclass(frozen=True, eq=False)
class Redundancy:
    r"""How alike n filters of fan-in d are; every statistic but `rank` is one of the filters at unit norm.

    C is the matrix of cosines, $s_i$ the singular values of the filters as rows.

    Args:
        filters: n.
        fan_in: d.
        rank: Numerical rank of the filters as they are: singular values above $\epsilon \max(n, d)$ times the largest.
        mean_cosine: Mean of |C| over pairs.
        alike: Share of pairs with |C| above 0.9.
        participation: $(\sum s_i^2)^2 / \sum s_i^4$, between 1 and min(n, d).
        entropy_rank: $\exp(-\sum p_i \ln p_i)$ with $p_i = s_i^2 / \sum s_j^2$, between 1 and min(n, d).
        least_cosines: For each filter the least cosine with another one, shape (n,).
    """

    filters: int
    fan_in: int
    rank: int
    mean_cosine: float
    alike: float
    participation: float
    entropy_rank: float
    least_cosines: np.ndarray


def redundancy(kernel: np.ndarray) -> Redundancy:
    """How alike the filters of a kernel are.

    Args:
        kernel: Of shape (..., filters), in which every filter is not 0; drop dead ones first.

    Raises:
        ValueError: If there are fewer than two filters, or one is 0 or not finite.

    >>> found = redundancy(np.eye(4)[:, None, None, :3])
    >>> found.rank, found.mean_cosine, round(found.participation, 12), round(found.entropy_rank, 12)
    (3, 0.0, 3.0, 3.0)
    """
    rows = _rows(kernel)
    least = pairing(kernel)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n, d = unit.shape
    cosines = np.abs(unit @ unit.T)[np.triu_indices(n, 1)]
    squares = np.linalg.svd(unit, compute_uv=False) ** 2
    shares = squares[squares > 0] / squares.sum()
    return Redundancy(
        n,
        d,
        int(np.linalg.matrix_rank(rows)),
        float(cosines.mean()),
        float((cosines > 0.9).mean()),
        float(squares.sum() ** 2 / (squares**2).sum()),
        float(np.exp(-(shares * np.log(shares)).sum())),
        least,
    )


def random_redundancy(filters: int, fan_in: int) -> dict[str, float]:
    r"""What n Gaussian filters of fan-in d have in expectation, exactly.

    $E|C| = \Gamma(d/2) / (\sqrt\pi\,\Gamma((d+1)/2))$, $P(|C| > 0.9) = I_{1-0.81}((d-1)/2, 1/2)$; the participation
    ratio is $n^2 / (n + \sum_{i \ne j} C_{ij}^2)$ with $E C^2 = 1/d$, so that `participation`, $nd/(n + d - 1)$, is a
    lower bound of its expectation (Jensen's inequality). The cosines of different pairs are independent two by two, so
    that the standard deviations of the two means are exact: `mean_cosine_std` and `alike_std`.

    Raises:
        ValueError: If a number is below 2.

    >>> round(random_redundancy(64, 27)["participation"], 2)
    19.2
    """
    from scipy.special import betainc, gammaln

    PairingLaw(filters, fan_in)
    pairs = filters * (filters - 1) / 2
    mean = math.exp(gammaln(fan_in / 2) - gammaln((fan_in + 1) / 2)) / math.sqrt(math.pi)
    alike = float(betainc((fan_in - 1) / 2, 0.5, 1 - 0.9**2))
    return {
        "mean_cosine": mean,
        "mean_cosine_std": math.sqrt(max(1 / fan_in - mean**2, 0) / pairs),
        "alike": alike,
        "alike_std": math.sqrt(alike * (1 - alike) / pairs),
        "participation": filters * fan_in / (filters + fan_in - 1),
    }


def merged(kernel: np.ndarray, cosine: float) -> np.ndarray:
    """The numbers of the filters that are left when each joins a larger one whose cosine with it is at least `cosine`.

    Filters are taken from the largest norm to the least; one that no kept filter is so near to is kept. Cosines have a
    sign: of two exact opposites ReLU makes two different units, so they are not merged. Kept filters are pairwise
    further apart than `cosine`, every other one is at least that near to a kept one. A filter that is 0 is dropped.

    Raises:
        ValueError: If the cosine is not above -1 and at most 1, or a filter is not finite.

    >>> merged(np.array([[[[1.0, 2.0, -3.0, 0.0]]]]), 0.99).tolist()
    [1, 2]
    """
    if not -1 < cosine <= 1:
        raise ValueError(f"Filters are merged at a cosine above -1 and at most 1; got {cosine}.")
    rows = _rows(kernel)
    norms = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(norms > 0, norms, 1)[:, None]
    kept: list[int] = []
    for i in np.argsort(-norms, kind="stable"):
        # equal filters have a cosine of 1 up to rounding
        if norms[i] > 0 and not (kept and (unit[kept] @ unit[i]).max() >= cosine - 1e-12):
            kept.append(int(i))
    return np.array(sorted(kept), int)


@dataclasses.dataclass(frozen=True, eq=False)
class PairingTest:
    r"""Pairing cosines of a layer beside the exact law of random filters (`shang2016`).

    Args:
        cosines: For each filter the least cosine with another one.
        law: The exact law of one of them for Gaussian filters of the same number and fan-in.
        mean: Their mean.
        expected: The exact mean of the law.
        bound: An upper bound of the probability that random filters have a mean this low, by Cantelli's inequality:
            $v/(v + (\mathrm{expected} - \mathrm{mean})^2)$ with v the variance of one cosine, which that of the mean
            does not exceed; 1 where the mean is not below. Nothing is sampled.
        p_value: The share of random layers, this one counted among them, with a mean as low: valid at any number of
            layers, and never below 1 / (layers + 1).
        paired: The share of filters below the 5 % quantile of the law.
    """

    cosines: np.ndarray
    law: PairingLaw
    mean: float
    expected: float
    bound: float
    p_value: float
    paired: float

    @property
    def word(self) -> str:
        """ "paired" where random filters reach the mean with probability at most 5 %, else "as random filters"."""
        return "paired" if min(self.bound, self.p_value) <= 0.05 else "as random filters"


def pairing_test(kernel: np.ndarray, layers: int = 199, seed: int = 0) -> PairingTest:
    """Whether the filters of a layer come in pairs of opposites more than Gaussian filters of that shape do.

    Args:
        kernel: Of shape (..., filters), no filter 0; drop dead ones first, since their directions are noise.
        layers: Random layers for the p-value.
        seed: Of their generator.

    Raises:
        ValueError: If there are fewer than two filters or inputs, a filter is 0, or `layers` is below 1.

    >>> rng = np.random.default_rng(0)
    >>> half = rng.standard_normal((3, 3, 3, 8))
    >>> test = pairing_test(np.concatenate([half, -half], -1))
    >>> round(test.mean, 12), test.paired, test.word
    (-1.0, 1.0, 'paired')
    """
    if layers < 1:
        raise ValueError(f"A p-value needs at least 1 random layer, not {layers}.")
    rows = _rows(kernel)
    cosines = pairing(kernel)
    law = PairingLaw(*rows.shape)
    mean, expected, variance = float(cosines.mean()), law.mean(), law.variance()
    rng = np.random.default_rng([seed, *rows.shape])
    random = [pairing(rng.standard_normal(rows.shape[::-1])).mean() for _ in range(layers)]
    bound = variance / (variance + (expected - mean) ** 2) if mean < expected else 1.0
    p_value = (1 + int(np.sum(np.array(random) <= mean))) / (1 + layers)
    return PairingTest(cosines, law, mean, expected, bound, p_value, float((cosines < law.quantile(0.05)).mean()))


def _rows(kernel: np.ndarray) -> np.ndarray:
    rows = np.asarray(kernel, np.float64).reshape(-1, np.shape(kernel)[-1]).T
    finite = np.isfinite(rows).all(1)
    if not finite.all():
        raise ValueError(f"The filters {np.flatnonzero(~finite).tolist()} hold NaN or infinity; drop them.")
    return rows
