"""Gabor functions and the filters of a first layer: a bank, and a score against it with the law of random filters."""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np

ORIENTATIONS, SCALES = 8, 5
SIGMA = 2 * math.pi  # envelope in units of 1 / wave number; at 2 pi its standard deviation is one wavelength


def gabor_bank(size: int, orientations: int = ORIENTATIONS, scales: int = SCALES) -> np.ndarray:
    r"""Complex Gabor functions on a grid, of shape (scales, orientations, size, size).

    $$\psi_{v,u}(z) = \frac{k^2}{s^2}\, e^{-k^2|z|^2/(2s^2)}\bigl(e^{i k\, z\cdot e_u} - e^{-s^2/2}\bigr)$$

    with $k = (\pi/2)\,2^{-v/2}$, $e_u = (\cos, \sin)(\pi u/8)$ and $s = 2\pi$: wavelengths 4, 5.66, 8, 11.3 and 16
    pixels, each with an envelope whose standard deviation is one wavelength. The origin is the middle of the window, x
    runs to the right (last axis) and y down. On an unbounded grid the L2 norm is $\sqrt\pi\,k/s$ and the mean is 0; a
    small window cuts the envelope off, so that neither holds there.

    Args:
        size: Side of the window, in pixels.
        orientations: Directions, spread evenly over half a turn.
        scales: Wave numbers, each smaller than the one before by a factor of the root of 2.

    Raises:
        ValueError: If a number is below 1.

    >>> bank = gabor_bank(129)
    >>> bank.shape, [round(float(np.linalg.norm(wave[0])), 6) for wave in bank]
    ((5, 8, 129, 129), [0.443113, 0.313329, 0.221557, 0.156664, 0.110778])
    """
    for name, value in (("size", size), ("orientations", orientations), ("scales", scales)):
        if value < 1:
            raise ValueError(f"The {name} of a Gabor bank is at least 1, not {value}.")
    x, y = grid(size)
    number = (math.pi / 2 / math.sqrt(2) ** np.arange(scales))[:, None, None, None]
    angle = (math.pi * np.arange(orientations) / orientations)[None, :, None, None]
    envelope = number**2 / SIGMA**2 * np.exp(-(number**2) * (x**2 + y**2) / (2 * SIGMA**2))
    return envelope * (np.exp(1j * number * (x * np.cos(angle) + y * np.sin(angle))) - math.exp(-(SIGMA**2) / 2))


class ColourSplit(NamedTuple):
    """Filters as sums of (picture) x (colour), by the singular values $s_1 \\ge s_2 \\ge \\dots$ of each.

    Args:
        spatial: The first picture of each filter, of unit norm, shape (size, size, filters).
        colours: Its colour, of unit norm and with a sum that is not negative, shape (inputs, filters).
        separable: $s_1^2 / \\sum s_i^2$: 1 where a filter is one picture times one colour.
        achromatic: $|\\langle v_1, (1, \\dots, 1)\\rangle| / \\sqrt{c}$ of the colour $v_1$: 1 for grey, 0 for a pure
            opposition of colours.
    """

    spatial: np.ndarray
    colours: np.ndarray
    separable: np.ndarray
    achromatic: np.ndarray


def colour_split(kernel: np.ndarray) -> ColourSplit:
    """The singular value decomposition of each filter as a matrix (pixels, inputs).

    A filter that is 0 has separable share NaN.

    Args:
        kernel: Of shape (size, size, inputs, filters).

    Raises:
        ValueError: If it is no such array.

    >>> grey = np.full((3, 3, 3, 1), 0.5)
    >>> split = colour_split(grey)
    >>> round(float(split.separable[0]), 12), round(float(split.achromatic[0]), 12)
    (1.0, 1.0)
    """
    kernel = checked_kernel(kernel)
    size, _, inputs, filters = kernel.shape
    left, values, right = np.linalg.svd(kernel.transpose(3, 0, 1, 2).reshape(filters, size**2, inputs), False)
    spatial, colours = left[:, :, 0], right[:, 0, :]
    sign = np.where(colours.sum(1) < 0, -1.0, 1.0)[:, None]
    total = (values**2).sum(1)
    separable = np.divide(values[:, 0] ** 2, total, out=np.full(filters, np.nan), where=total > 0)
    return ColourSplit(
        (sign * spatial).T.reshape(size, size, filters),
        (sign * colours).T,
        separable,
        np.abs(colours.sum(1)) / math.sqrt(inputs),
    )


class BankScore(NamedTuple):
    """How near each filter is to the bank.

    Args:
        score: From 0 to 1; NaN where a filter is constant.
        scale: The number of the scale of the nearest entry.
        orientation: The number of its direction.
    """

    score: np.ndarray
    scale: np.ndarray
    orientation: np.ndarray


def bank_score(kernel: np.ndarray) -> BankScore:
    r"""$\max_{v,u} \lVert P_{v,u}\, f\rVert$, f the first picture of a filter without its mean, of unit norm.

    $P_{v,u}$ projects onto the span of real and imaginary part of an entry of the bank, both without their means, so
    that the phase is free. A score means nothing beside those of random filters: see
    [`ScoreNull`](#expressivity.models.ScoreNull).

    Args:
        kernel: Of shape (size, size, inputs, filters), size at least 3.

    Raises:
        ValueError: If it is no such array.

    >>> wave = gabor_bank(11)[1, 3].real
    >>> found = bank_score(wave[:, :, None, None])
    >>> round(float(found.score[0]), 12), int(found.scale[0]), int(found.orientation[0])
    (1.0, 1, 3)
    """
    return BankScore(*_nearest(first_pictures(kernel)))


class Tail(NamedTuple):
    """The probability that a random filter scores above a value.

    Args:
        value: The probability.
        standard_error: Of the value, which is found by sampling.
        bound: An upper bound that is proved and not sampled.
    """

    value: float
    standard_error: float
    bound: float


@dataclasses.dataclass(frozen=True)
class ScoreNull:
    r"""The law of the bank score of a filter of independent Gaussian numbers.

    It does not depend on the number of input channels: the first left singular vector of a Gaussian matrix is uniform
    on the sphere. With $d = \mathrm{size}^2 - 1$ and f uniform on the unit sphere of mean-free pictures, the square of
    each projection has $P(\lVert P_{v,u} f\rVert > s) = (1 - s^2)^{(d-2)/2}$, so that

    $$P(\mathrm{score} > s) = 40\,(1 - s^2)^{(d-2)/2}\; E\bigl[1/N \mid \lVert P_{v,u} f\rVert > s\bigr],$$

    N the number of entries whose projection is above s and (v, u) drawn evenly. The first factor alone is a proved
    bound; the second lies between 1/40 and 1 and is sampled, so that tails far out are as precise as others.

    Args:
        size: Side of the filters, at least 3.

    Raises:
        ValueError: If the size is below 3.

    >>> null = ScoreNull(11)
    >>> round(float(null.quantile(0.95)), 2), null.tail(0.9).bound < 1e-40
    (0.32, True)
    """

    size: int

    def __post_init__(self) -> None:
        _planes(self.size)

    def sample(self, draws: int = 20_000, seed: int = 0) -> np.ndarray:
        """Scores of random filters, shape (draws,)."""
        rng = np.random.default_rng([seed, self.size])
        return _nearest(_unit(rng.standard_normal((self.size**2, draws))))[0]

    def quantile(self, q: float | np.ndarray, draws: int = 20_000, seed: int = 0) -> np.ndarray:
        """Quantiles, from samples."""
        return np.quantile(self.sample(draws, seed), q)

    def tail(self, score: float, draws: int = 2000, seed: int = 0) -> Tail:
        """The probability of a score above this one.

        Raises:
            ValueError: If the score is not between 0 and 1.
        """
        if not 0 <= score <= 1:
            raise ValueError(f"A score lies between 0 and 1; got {score}.")
        rng = np.random.default_rng([seed, self.size])
        planes = _planes(self.size)
        count, pixels, _ = planes.shape
        power = (pixels - 3) / 2
        one = (1 - score**2) ** power
        chosen = planes[rng.integers(count, size=draws)]
        # of a filter known to be above the score in one plane: its square there, its direction there, and the rest
        square = 1 - (1 - score**2) * rng.random(draws) ** (1 / power)
        turn = 2 * math.pi * rng.random(draws)
        inside = np.einsum("ndk,nk->dn", chosen, np.stack([np.cos(turn), np.sin(turn)], 1))
        rest = rng.standard_normal((pixels, draws))
        rest -= rest.mean(0)
        rest = _unit(rest - np.einsum("ndk,nek,en->dn", chosen, chosen, rest, optimize=True))
        f = np.sqrt(square) * inside + np.sqrt(1 - square) * rest
        above = np.maximum((squared_projections(f) > score**2).sum(0), 1)  # rounding may hide the one that is above
        shares = 1 / above
        return Tail(
            min(1.0, count * one * float(shares.mean())),
            count * one * float(shares.std()) / math.sqrt(draws),
            min(1.0, count * one),
        )


def scrambled(kernel: np.ndarray, seed: int = 0) -> np.ndarray:
    """First pictures with the amplitudes of their Fourier transforms kept and the phases drawn anew.

    A second null for a score: smooth filters beat white noise because they are smooth. One that is nearer to the bank
    than its scrambled copies has its wave in one place, which is what a Gabor function has beside its frequency.

    Args:
        kernel: Of shape (size, size, inputs, filters).
        seed: Of the phases, which are those of white noise.

    Returns:
        A kernel of shape (size, size, 1, filters).

    Raises:
        ValueError: If it is no such array.

    >>> kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 4))
    >>> before, after = (np.abs(np.fft.fft2(k, axes=(0, 1))) for k in (colour_split(kernel).spatial[:, :, None],
    ...                                                                scrambled(kernel)))
    >>> bool(np.allclose(before, after))
    True
    """
    pictures = np.fft.fft2(colour_split(kernel).spatial, axes=(0, 1))
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(pictures.shape), axes=(0, 1))
    return np.fft.ifft2(np.abs(pictures) * noise / np.abs(noise), axes=(0, 1)).real[:, :, None]


def checked_kernel(kernel: np.ndarray) -> np.ndarray:
    """The kernel in float64.

    Raises:
        ValueError: If it is not of shape (size, size, inputs, filters), or holds what is not finite.
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1] or 0 in kernel.shape:
        raise ValueError(
            f"The kernel of a first layer has the shape (size, size, inputs, filters); got {kernel.shape}."
        )
    if not np.isfinite(kernel).all():
        bad = np.flatnonzero(~np.isfinite(kernel).all(axis=(0, 1, 2))).tolist()
        raise ValueError(f"The filters {bad} hold numbers that are NaN or infinite; drop them.")
    return kernel


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x, to the right, and y, down, of every pixel, from the middle of the window; each of shape (size, size)."""
    axis = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    return x, y


def _unit(columns: np.ndarray) -> np.ndarray:
    """Each column without its mean and of unit norm; NaN where it is constant."""
    free = columns - columns.mean(0)
    norms = np.linalg.norm(free, axis=0)
    constant = norms <= 1e-12 * np.linalg.norm(columns, axis=0)
    return free / np.where(constant, np.nan, norms)


def first_pictures(kernel: np.ndarray) -> np.ndarray:
    """The first pictures of the filters, mean-free and of unit norm, as columns; NaN for constant filters."""
    kernel = checked_kernel(kernel)
    _planes(len(kernel))
    pictures = _unit(colour_split(kernel).spatial.reshape(-1, kernel.shape[-1]))
    return np.where(kernel.any(axis=(0, 1, 2)), pictures, np.nan)


@functools.lru_cache(maxsize=32)
def _planes(size: int) -> np.ndarray:
    """Orthonormal bases of the spans of the bank without means, shape (entries, pixels, 2)."""
    if size < 3:
        raise ValueError(f"Filters are scored from 3x3 upwards; got {size}x{size}.")
    bank = gabor_bank(size)
    parts = np.stack([np.real(bank), np.imag(bank)], -1).reshape(ORIENTATIONS * SCALES, -1, 2)
    bases, _ = np.linalg.qr(parts - parts.mean(1, keepdims=True))
    bases.setflags(write=False)
    return bases


def squared_projections(pictures: np.ndarray) -> np.ndarray:
    """Squared lengths of the projections of unit columns onto the planes of the bank, shape (entries, filters)."""
    planes = _planes(math.isqrt(len(pictures)))
    flat = planes.transpose(0, 2, 1).reshape(-1, len(pictures)) @ pictures
    return (flat.reshape(len(planes), 2, -1) ** 2).sum(1)


def _nearest(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    squares = squared_projections(pictures)
    first = np.argmax(np.nan_to_num(squares), axis=0)
    scores = np.sqrt(np.minimum(np.take_along_axis(squares, first[None], 0)[0], 1))
    return scores, first // ORIENTATIONS, first % ORIENTATIONS
