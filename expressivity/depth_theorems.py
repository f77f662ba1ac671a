"""Statements about depth, as rows (key, number, page, explicit, statement) of the table in `theorems`."""

_HERE = "expressivity"

ROWS: tuple[tuple[str, str, str, bool, str], ...] = (
    (
        "eldan_shamir2016",
        "Theorem 1",
        "papers/eldan_shamir2016",
        False,
        """For every large d some radial function of bounded support is computed with two hidden layers of width
        poly(d), while every network with one hidden layer of width at most c exp(c d) has squared error at least c, in
        the measure of density phi^2; c is universal but not given.""",
    ),
    (
        "eldan_shamir2016",
        "Proposition 17",
        "papers/eldan_shamir2016",
        True,
        """Two hidden layers of width (8 c / delta) alpha^(3/2) N d^(11/4) + 1 come within
        sqrt(3) / (alpha d^(1/4)) + delta of the function of N shells in L2 of the measure, for large d.""",
    ),
    (
        _HERE,
        "radial network",
        "papers/eldan_shamir2016",
        True,
        """A piecewise-linear function G of |x|^2 with K knots and Lipschitz constant L is computed by two hidden layers
        of widths 2 d (m + 1) and K up to L d h^2 / 4 on all of R^d, h = R / m, R the radius of the support.""",
    ),
    (
        _HERE,
        "tube certificate",
        "papers/eldan_shamir2016",
        True,
        """A sum of k functions of one linear form each (or of q of them) has squared L2 error at least
        ||G||^2 - int m(rho) min(1, k tau(rho / R_d)) drho against a radial G with spectrum m, in the measure of
        density phi^2.""",
    ),
    (
        "safran_shamir2017",
        "Theorem 1",
        "papers/safran_shamir2017",
        False,
        """Indicators of ellipsoids need width exponential in d with one hidden layer for squared error c / d^4 under
        some continuous distribution, and polynomial width with two.""",
    ),
    (
        _HERE,
        "ball indicator",
        "papers/safran_shamir2017",
        True,
        """Two hidden layers of widths 2 d (m + 1) and 2 equal the indicator of the unit ball except where
        1 - e < |x|^2 < 1 + ramp, e = d h^2 / 4, with values in [0, 1] there.""",
    ),
    (
        "safran_eldan_shamir2019",
        "Theorem 1",
        "papers/safran_eldan_shamir2019",
        False,
        """A 1-Lipschitz radial function is approximated to epsilon on the unit ball by one hidden layer of width
        exp(O(epsilon^-9 log(d / epsilon))), polynomial in d for constant epsilon.""",
    ),
    (
        _HERE,
        "ridge average",
        "papers/safran_eldan_shamir2019",
        True,
        """The mean of <u, x>^(2j) / kappa over directions u of the sphere is |x|^(2j), so a polynomial of |x|^2 is a
        mean of ridge functions.""",
    ),
    (
        "daniely2017",
        "Theorem 1",
        "papers/daniely2017",
        True,
        """One hidden layer of width r with weights at most B has squared error at least
        A (A - (2 r B max|sigma| + 2 B) / sqrt(N_n)) against f(<x, x'>) on the product of two spheres, A the distance of
        f to polynomials of degree n - 1.""",
    ),
    (
        _HERE,
        "inner-product network",
        "papers/daniely2017",
        True,
        """A function f(<x, x'>) is computed on pairs of unit vectors by two hidden layers of widths 2 d m and m' + 1 up
        to L d h^2 / 8 + sup|f''| (2 / m')^2 / 8 with h = 2 / m.""",
    ),
    (
        _HERE,
        "rank certificate",
        "papers/daniely2017",
        True,
        """A sum of r functions of (<w, x>, <w', x'>) has squared error at least sum_n a_n^2 max(0, 1 - r / N_n) against
        f(<x, x'>) on the product of two spheres, a_n the coefficients of f in zonal harmonics and N_n their number.""",
    ),
    (
        "telgarsky2015",
        "Theorem 1.1",
        "papers/telgarsky2016",
        True,
        """Some 2^k labelled points are classified without error by 2 k layers of 2 nodes, while l layers of at most
        2^((k - 3) / l - 1) nodes err on at least a sixth of them.""",
    ),
    (
        "telgarsky2016",
        "Theorem 1.1",
        "papers/telgarsky2016",
        True,
        """A network of 2 k^3 + 8 layers and 3 k^3 + 12 nodes is at L1 distance at least 1/64 from every network of at
        most k layers and 2^k nodes.""",
    ),
    (
        _HERE,
        "alternating runs",
        "papers/telgarsky2016",
        True,
        """A classifier with at most c constant runs errs on at least ceil((n - c) / 2) of n points of alternating
        labels, and c is at most the number of affine pieces plus one.""",
    ),
    (
        _HERE,
        "sawtooth in L1",
        "papers/telgarsky2016",
        True,
        """A function whose classification at 1/2 has c constant runs is at L1 distance at least (1 - 2 c / 2^k) / 8
        from the k-fold tent on the unit interval.""",
    ),
    (
        "yarotsky2017",
        "Proposition 2",
        "papers/yarotsky2017",
        True,
        """The interpolant of x^2 at the multiples of 2^-m is a network of m hidden layers, at most 2^(-2m-2) above
        x^2 on the unit interval.""",
    ),
    (
        _HERE,
        "one-sided product",
        "papers/yarotsky2017",
        True,
        """The product made of three interpolated squares satisfies -M^2 4^-m <= F(x, y) - x y <= 0 for |x|, |y| <= M,
        and the lower end is attained.""",
    ),
    (
        "venturi2022",
        "abstract",
        "papers/venturi2022",
        False,
        """Functions with piecewise oscillatory structure are separated as radial ones are, and functions of constant
        oscillation on a domain of constant radius are not.""",
    ),
    (
        _HERE,
        "oscillation of a hidden layer",
        "papers/venturi2022",
        True,
        """The oscillation cos(2 pi omega H(x)) of a network H with one hidden layer and values in [-B, B] is computed
        by one more hidden layer of m + 1 units up to (2 pi omega)^2 (2 B / m)^2 / 8.""",
    ),
    (
        "arora2018",
        "Theorem 2.1",
        "papers/arora2018",
        True,
        """Every continuous piecewise-linear function on R^n is a network with at most ceil(log2(n + 1)) hidden
        layers.""",
    ),
    (
        "montufar2014",
        "Theorem 4",
        "papers/montufar2014",
        True,
        """Some network with hidden widths n_l >= n_0 has at least
        prod_{l < L} floor(n_l / n_0)^{n_0} sum_{j <= n_0} C(n_L, j) linear regions.""",
    ),
    (
        "serra2018",
        "Theorem 1",
        "papers/montufar2014",
        True,
        """No network with n_0 inputs and hidden widths n_l has more linear regions than the sum of prod_l C(n_l, j_l)
        over all j with 0 <= j_l <= min{n_0, n_1 - j_1, ..., n_{l-1} - j_{l-1}, n_l}.""",
    ),
    (
        "serra2018",
        "Theorem 5",
        "papers/montufar2014",
        True,
        """On a line the largest number of linear regions of hidden widths n_l >= 3 is prod (n_l + 1).""",
    ),
)
