"""What is known about the least width, one row a result: domain and norm, activation, bounds, and how we know it."""

import dataclasses
from collections.abc import Callable

SPACE, COMPACT, UNIFORM, GIVEN = "Lp on all of space", "Lp on a compact set", "sup on a compact set", "a given network"
DOMAINS = (SPACE, COMPACT, UNIFORM, GIVEN)
SOURCES = {
    "paper": "read in the paper",
    "abstract": "read in its abstract",
    "second hand": "read in a later paper that states it",
}

Rule = Callable[[int, int], int]


@dataclasses.dataclass(frozen=True)
class Result:
    """A published statement about width, for n inputs and m outputs.

    Args:
        key: BibTeX key.
        place: The theorem, where it is known.
        domain: Which functions, in which norm.
        activation: Of the networks.
        statement: In our words.
        known: A key of `SOURCES`.
        least: No smaller width is enough, or None where the result does not say so.
        enough: This width is enough, or None.
        scalar: Whether the rules apply to one output.
    """

    key: str
    place: str
    domain: str
    activation: str
    statement: str
    known: str
    least: Rule | None = None
    enough: Rule | None = None
    scalar: bool = True

    @property
    def relu(self) -> bool:
        """Whether the result is about ReLU networks."""
        return "ReLU" in self.activation.split(", ")


RESULTS = (
    Result(
        "lu2017",
        "Theorem 1",
        SPACE,
        "ReLU",
        "width n + 4 is enough in L1, m = 1",
        "second hand",
        enough=lambda n, m: n + 4,
    ),
    Result(
        "lu2017",
        "Theorem 2",
        SPACE,
        "ReLU",
        "a network of width n that is integrable is 0",
        "second hand",
        least=lambda n, m: n + 1,
    ),
    Result(
        "kidger_lyons2020",
        "Theorem 4.16",
        SPACE,
        "ReLU",
        "width n + m + 1 is enough",
        "paper",
        enough=lambda n, m: n + m + 1,
    ),
    Result(
        "park2021",
        "",
        SPACE,
        "ReLU",
        "the least width is max(n + 1, m)",
        "abstract",
        least=lambda n, m: max(n + 1, m),
        enough=lambda n, m: max(n + 1, m),
    ),
    Result(
        "lu2017",
        "Theorem 3",
        COMPACT,
        "ReLU",
        "width n - 1 fails in L1 for functions constant along no direction, m = 1",
        "second hand",
        least=lambda n, m: n,
    ),
    Result(
        "cai2023",
        "",
        COMPACT,
        "any",
        "at least max(n, m) whatever the activations; leaky ReLU attains it unless n = m = 1",
        "abstract",
        least=lambda n, m: max(n, m),
        enough=lambda n, m: max(n, m, 2),
    ),
    Result(
        "kim2024",
        "",
        COMPACT,
        "ReLU",
        "the least width is max(n, m, 2), also for GELU, softplus and others of the kind",
        "abstract",
        least=lambda n, m: max(n, m, 2),
        enough=lambda n, m: max(n, m, 2),
    ),
    Result(
        "liu_chen2024",
        "",
        COMPACT,
        "ReLU",
        "width n + 1 is enough for the optimal rate in the number of parameters, m = 1",
        "abstract",
        enough=lambda n, m: n + 1,
    ),
    Result(
        "rochau2024",
        "",
        COMPACT,
        "two leaky ReLUs",
        "width max(n, m) is enough with the slopes a and -a",
        "abstract",
        enough=lambda n, m: max(n, m),
    ),
    Result(
        "shin2025",
        "",
        COMPACT,
        "squashable",
        "the least width is max(n, m, 2) unless n = m = 1",
        "abstract",
        least=lambda n, m: max(n, m, 2) if n * m > 1 else 1,
        enough=lambda n, m: max(n, m, 2),
    ),
    Result(
        "hanin_sellke2017",
        "",
        UNIFORM,
        "ReLU",
        "the least width is between n + 1 and n + m",
        "abstract",
        least=lambda n, m: n + 1,
        enough=lambda n, m: n + m,
    ),
    Result(
        "hanin2019",
        "",
        UNIFORM,
        "ReLU",
        "width n + 2 is enough, n + 1 for convex functions, with depths at n + 3; m = 1",
        "abstract",
        enough=lambda n, m: n + 2,
    ),
    Result(
        "johnson2019",
        "",
        UNIFORM,
        "ReLU, limits of injective functions",
        "width n fails: level sets have unbounded components; m = 1",
        "abstract",
        least=lambda n, m: n + 1,
    ),
    Result(
        "kidger_lyons2020",
        "Proposition 4.9",
        UNIFORM,
        "nonpolynomial",
        "width n + m + 1 is enough if somewhere continuously differentiable with derivative not 0",
        "paper",
        enough=lambda n, m: n + m + 1,
    ),
    Result(
        "kidger_lyons2020",
        "Proposition 4.11",
        UNIFORM,
        "nonaffine polynomial",
        "width n + m + 2 is enough, n + m + 1 where the derivative vanishes and the second does not",
        "paper",
        enough=lambda n, m: n + m + 2,
    ),
    Result(
        "park2021",
        "",
        UNIFORM,
        "ReLU and step",
        "the least width is max(n + 1, m)",
        "abstract",
        least=lambda n, m: max(n + 1, m),
        enough=lambda n, m: max(n + 1, m),
    ),
    Result(
        "park2021",
        "",
        UNIFORM,
        "ReLU",
        "for n = 1 and m = 2 the least width is 3, above max(n + 1, m)",
        "second hand",
        scalar=False,
    ),
    Result(
        "li2023",
        "third version",
        UNIFORM,
        "leaky ReLU",
        "the least width is max(n, m) + D(n, m) with a topological D; the conference abstract says max(n + 1, m), and "
        "one more for m = n + 1",
        "abstract",
        scalar=False,
    ),
    Result(
        "hwang2023",
        "",
        UNIFORM,
        "ReLU, leaky ReLU, others",
        "width max(2 n + 1, m) + a is enough, a from 0 to 2 by activation; 4 is the least for n = m = 2",
        "abstract",
        enough=lambda n, m: max(2 * n + 1, m) + 2,
    ),
    Result(
        "kim2024",
        "",
        UNIFORM,
        "limits of injective functions",
        "at least m + 1 if n < m <= 2 n",
        "abstract",
        scalar=False,
    ),
    Result(
        "rochau2024",
        "",
        UNIFORM,
        "continuous monotone",
        "at least max(n, m) + 1 if m <= 2 n",
        "abstract",
        least=lambda n, m: max(n, m) + 1,
    ),
    Result(
        "liu_chen2024",
        "",
        UNIFORM,
        "ReLU",
        "width n + 11 is enough for the optimal rate in the number of parameters, m = 1",
        "abstract",
        enough=lambda n, m: n + 11,
    ),
    Result(
        "vardi2022",
        "Theorem 5",
        GIVEN,
        "ReLU",
        "a network is approximated, off a small set, at width max(n + 2, 10) with polynomially many parameters; m = 1",
        "paper",
        enough=lambda n, m: max(n + 2, 10),
    ),
    Result(
        "vardi2022",
        "Lemma 16, as corrected here",
        GIVEN,
        "ReLU",
        "one hidden layer is represented on all of space at width 2 n + 2; m = 1",
        "paper",
        enough=lambda n, m: 2 * n + 2,
    ),
)


def thresholds(n: int) -> dict[str, int]:
    """The least width for ReLU networks with one output, by domain, as the results together give it.

    Raises:
        RuntimeError: If two results contradict each other, or leave a gap.

    >>> thresholds(2)
    {'Lp on all of space': 3, 'Lp on a compact set': 2, 'sup on a compact set': 3}
    """
    found = {}
    for domain in (SPACE, COMPACT, UNIFORM):
        rows = [r for r in RESULTS if r.domain == domain and r.relu and r.scalar]
        least = max(r.least(n, 1) for r in rows if r.least is not None)
        enough = min(r.enough(n, 1) for r in rows if r.enough is not None)
        if least != enough:
            raise RuntimeError(f"{domain}: results for n = {n} say at least {least} and {enough} is enough.")
        found[domain] = least
    return found
