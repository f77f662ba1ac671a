"""Theorems as records: where a bound comes from, in our words, and whether its constants are explicit.

A `Theorem` is attached to every `Construction` and `Certificate`. One whose constants are only existential
(`explicit=False`) can document a construction but can never carry a number.
"""

import dataclasses

from expressivity import depth_theorems


@dataclasses.dataclass(frozen=True)
class Theorem:
    """A published (or here derived) statement about networks.

    Args:
        key: BibTeX key in `docs/references.bib`, or `"expressivity"` for what is derived in this package.
        number: The number in the source, such as `"Theorem 1"`.
        statement: What it says, in one sentence of ours.
        explicit: Whether every constant in the statement can be computed.
        page: The page of the documentation that treats it.

    >>> from expressivity import theorems
    >>> theorems.find("lu2017", "Theorem 1").explicit
    False
    """

    key: str
    number: str
    statement: str
    explicit: bool
    page: str

    def __str__(self) -> str:
        return f"{self.key}, {self.number}"


def _record(key: str, number: str, page: str, explicit: bool, statement: str) -> Theorem:
    return Theorem(key=key, number=number, statement=" ".join(statement.split()), explicit=explicit, page=page)


_HERE = "expressivity"

_TABLE: tuple[Theorem, ...] = (
    _record(
        "lu2017",
        "Theorem 1",
        "papers/lu2017",
        False,
        """Every Lebesgue-integrable function on R^n is approximated in L1(R^n) to any accuracy by ReLU networks of
        width at most n + 4.""",
    ),
    _record(
        "lu2017",
        "Theorem 2",
        "papers/lu2017",
        True,
        """A ReLU network of width at most n that is integrable on R^n is identically zero; its L1(R^n) distance to
        any integrable f is therefore the norm of f or infinite.""",
    ),
    _record(
        "lu2017",
        "Theorem 3",
        "papers/lu2017",
        False,
        """For f continuous on the cube and constant along no direction there is a positive L1 error that no ReLU
        network whose first layer has at most n - 1 units can beat.""",
    ),
    _record(
        "lu2017",
        "Theorem 4",
        "papers/lu2017",
        False,
        """For k >= n + 4 some network of width 2 k^2 and two hidden layers is represented by no network of width at
        most k^(3/2) and depth at most k + 2 with bounded parameters.""",
    ),
    _record(
        _HERE,
        "step network",
        "papers/lu2017",
        True,
        """The network of width n + 4 built from boxes Q_j and heights c_j equals sum_j c_j phi_j exactly, with phi_j
        a truncated pyramid on Q_j; its L1 error against f is at most discretisation plus ramps.""",
    ),
    _record(
        "hanin_sellke2017",
        "Theorem 1",
        "papers/hanin_sellke2017",
        False,
        """The least width at which ReLU networks approximate every continuous scalar function uniformly on a compact
        subset of R^n is n + 1.""",
    ),
    _record(
        _HERE,
        "string of maxima and minima",
        "papers/hanin_sellke2017",
        True,
        """A string of N affine functions joined by max and min is computed exactly on a box by a ReLU network of
        width n + 1 with N - 1 hidden layers.""",
    ),
    _record(
        _HERE,
        "cap string",
        "papers/hanin_sellke2017",
        True,
        """A function with Lipschitz constant L on a ball is approximated uniformly to 2 L mesh by a max-min string,
        hence by a network of width n + 1.""",
    ),
    _record(
        "kim2024",
        "Theorem 1",
        "papers/kim2024",
        False,
        """The least width at which ReLU networks are dense in L^p of the unit cube of R^n, p finite, is max(n, 2) for
        scalar functions.""",
    ),
    _record(
        _HERE,
        "coding network on the cube",
        "papers/kim2024",
        True,
        """A network of width max(n, 2) that encodes the cell of a point in one register and memorises cell values
        has ||F - f||_p^p <= omega^p + osc^p n (levels - 1) ramp on the unit cube.""",
    ),
    _record(
        "park2021",
        "Theorem 1",
        "papers/park2021",
        False,
        """The least width at which ReLU networks are dense in L^p(R^n) with m outputs, p finite, is max(n + 1, m).""",
    ),
    _record(
        _HERE,
        "coding network on R^n",
        "papers/park2021",
        True,
        """A network of width n + 1 that clips, gates, quantises and memorises vanishes outside [-R, R]^n and differs
        from the cell values only on ramps of total length (levels + 2) ramp an axis.""",
    ),
    _record(
        "kidger_lyons2020",
        "Theorem 4.16",
        "papers/kidger_lyons2020",
        False,
        """ReLU networks of width n + m + 1 are dense in L^p(R^n) with m outputs, p finite.""",
    ),
    _record(
        _HERE,
        "register model with cut-off",
        "papers/kidger_lyons2020",
        True,
        """A network with one hidden layer of N units is computed on a cube at width n + m + 1 with N hidden layers,
        and with 4 n more it is cut off to a function of compact support.""",
    ),
    _record(
        "vardi2022",
        "Theorem 5",
        "papers/vardi2022",
        False,
        """A network of width N >= n and depth L is approximated, outside a set of small probability, by one of width
        max(n + 2, 10) whose depth is of the order N^2 L^2 up to logarithms.""",
    ),
    _record(
        "vardi2022",
        "Theorem 7",
        "papers/vardi2022",
        True,
        """A network of width N and depth L is represented exactly on R^n at width 2 (n + L - 1) and depth
        (2 N)^(L - 1) + 2.""",
    ),
    _record(
        "vardi2022",
        "Lemma 9",
        "papers/vardi2022",
        True,
        """The leading c bits of x in [0, 1] are found, outside a set of measure delta, by a network of width 5 with
        a number of layers proportional to c.""",
    ),
    _record(
        _HERE,
        "narrow compiler",
        "papers/vardi2022",
        True,
        """A network with one, two or three hidden layers is represented exactly at width n + 2, n + 3, n + 4 on a
        cube, and at width 2 n + 2, 2 n + 3, 2 n + 4 on R^n.""",
    ),
    _record(
        _HERE,
        "targets that are networks",
        "certificates",
        True,
        """A target that is itself a ReLU network is attained with error 0 by every class of networks that holds that
        network.""",
    ),
    _record(
        _HERE,
        "constant directions",
        "certificates",
        True,
        """A network is constant along the kernel of its first layer, so its error is at least the distance of the
        target to the functions constant along that kernel.""",
    ),
    _record(
        _HERE,
        "moment certificate",
        "certificates",
        True,
        """For disjoint balls and bumps on them, the smallest eigenvalue of the sum of the squared gradient moments
        bounds the distance to every function that is constant along some direction.""",
    ),
    _record(
        _HERE,
        "rotations",
        "certificates",
        True,
        """On a ball the distance of a Lipschitz function to the functions constant along v is Lipschitz in v; its
        least value on a covering of the directions, less the covering angle's share, bounds it for all directions.""",
    ),
    _record(
        _HERE,
        "isotonic ridge",
        "certificates",
        True,
        """A network whose hidden layers all have width 1 is a monotone function of one linear form; isotonic
        regression gives the least error of those.""",
    ),
    _record(
        _HERE,
        "escape path",
        "certificates",
        True,
        """From every point a network of width at most n is constant along a polyline that leaves every bounded
        domain; half the oscillation of the target along it bounds the sup error.""",
    ),
    _record(
        _HERE,
        "bottleneck",
        "certificates",
        True,
        """Every network of width at most n >= 2 has sup error at least half of the least oscillation of the target
        over the paths from a point to the boundary.""",
    ),
    _record(
        _HERE,
        "pieces in one dimension",
        "certificates",
        True,
        """On a line a ReLU network with hidden widths w_1..w_H has at most prod(w_l + 1) affine pieces.""",
    ),
)

THEOREMS: tuple[Theorem, ...] = (*_TABLE, *(_record(*row) for row in depth_theorems.ROWS))


def find(key: str, number: str) -> Theorem:
    """The record with this key and number.

    Raises:
        KeyError: If there is none; the message lists the numbers known under the key.

    >>> find("kim2024", "Theorem 1").page
    'papers/kim2024'
    """
    for theorem in THEOREMS:
        if (theorem.key, theorem.number) == (key, number):
            return theorem
    known = sorted(t.number for t in THEOREMS if t.key == key)
    raise KeyError(f"No theorem {number!r} under {key!r}; known there: {known}.")
