"""The Gabor function that correlates most with each filter of a first layer."""

import math
from typing import NamedTuple

import numpy as np

from expressivity.models.gabor import ORIENTATIONS, SCALES, first_pictures, grid, squared_projections


class GaborFit(NamedTuple):
    r"""Gabor functions $e^{-a^2/(2\sigma^2) - b^2/(2\tau^2)} \cos(2\pi a/\lambda - \varphi)$, one a filter.

    a and b are the coordinates along and across the wave, from the centre (x0, y0), which is measured from the middle
    of the window, x to the right and y down.

    Args:
        x0: The centre, in pixels.
        y0: The centre, in pixels.
        orientation: Direction of the wave, in [0, pi).
        wavelength: In pixels; one far above the size of the window is that of an edge or a blob, and means no more.
        std_along: Standard deviation of the envelope along the wave, in pixels.
        std_across: Across it.
        phase: In radians, from -pi to pi.
        correlation: That of the fitted function with the filter, both without their means; NaN for constant filters.
    """

    x0: np.ndarray
    y0: np.ndarray
    orientation: np.ndarray
    wavelength: np.ndarray
    std_along: np.ndarray
    std_across: np.ndarray
    phase: np.ndarray
    correlation: np.ndarray

    def pictures(self, size: int) -> np.ndarray:
        """The functions on a grid, of shape (size, size, filters)."""
        x, y = (axis[..., None] for axis in grid(size))
        a = (x - self.x0) * np.cos(self.orientation) + (y - self.y0) * np.sin(self.orientation)
        b = (y - self.y0) * np.cos(self.orientation) - (x - self.x0) * np.sin(self.orientation)
        envelope = np.exp(-((a / self.std_along) ** 2) / 2 - (b / self.std_across) ** 2 / 2)
        return envelope * np.cos(2 * math.pi * a / self.wavelength - self.phase)


def fit_gabor(kernel: np.ndarray, starts: int = 3, steps: int = 60) -> GaborFit:
    """The Gabor functions that correlate most with the first pictures of the filters, by least squares.

    Amplitude and phase are solved for at every step of Levenberg and Marquardt's method; centre (inside the window),
    direction, wavelength (2 pixels to 4 sizes) and the two standard deviations (half a pixel to 4 sizes) are searched
    from the nearest entries of the bank. The function found is a local optimum, and correlates at least as much as the
    nearest entry. Seven numbers fit random 3x3 filters nearly as well as learned ones: read the correlation beside that
    of random filters of the same size.

    Args:
        kernel: Of shape (size, size, inputs, filters), size at least 3.
        starts: Of how many of the five scales the nearest entry is a start.
        steps: Of the search.

    Raises:
        ValueError: If it is no such array, or a number is below 1.

    >>> truth = GaborFit(*np.array([[1.0], [-0.5], [0.6], [5.0], [2.0], [3.0], [0.8], [1.0]]))
    >>> fit = fit_gabor(truth.pictures(11)[:, :, None])
    >>> round(float(fit.wavelength[0]), 3), round(float(fit.orientation[0]), 3), round(float(fit.correlation[0]), 6)
    (5.0, 0.6, 1.0)
    """
    for name, value in (("starts", starts), ("steps", steps)):
        if value < 1:
            raise ValueError(f"The {name} of a fit are at least 1, not {value}.")
    columns = first_pictures(kernel)
    usable = np.flatnonzero(~np.isnan(columns[0]))
    found = np.full((8, columns.shape[1]), math.nan)
    if len(usable):
        found[:, usable] = _fit(columns[:, usable].T, min(starts, SCALES), steps)
    return GaborFit(*found)


def _fit(pictures: np.ndarray, starts: int, steps: int) -> np.ndarray:
    """The eight numbers of each of the pictures (filters, pixels)."""
    size, filters = math.isqrt(pictures.shape[1]), len(pictures)
    squares = squared_projections(pictures.T).reshape(SCALES, ORIENTATIONS, filters)
    best, angles = squares.max(1), squares.argmax(1)
    scales = np.argsort(-best, axis=0)[:starts]
    length = np.log(4 * math.sqrt(2) ** scales)
    angle = math.pi * np.take_along_axis(angles, scales, 0) / ORIENTATIONS
    points = np.stack([0 * length, 0 * length, angle, length, length, length], -1).reshape(-1, 6)
    ends, amplitudes, correlations = _search(points, np.tile(pictures, (starts, 1)), size, steps)
    chosen = correlations.reshape(starts, filters).argmax(0) * filters + np.arange(filters)
    x0, y0, angle, length, along, across = ends[chosen].T
    cosine, sine = amplitudes[chosen].T
    phase = np.arctan2(sine, cosine) * np.where(np.floor(angle / math.pi) % 2, -1, 1)  # half a turn mirrors the phase
    return np.stack(
        [x0, y0, angle % math.pi, np.exp(length), np.exp(along), np.exp(across), phase, correlations[chosen]]
    )


def _search(
    points: np.ndarray, pictures: np.ndarray, size: int, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg and Marquardt's method on 1 - correlation^2, all pictures side by side; steps that lose are undone."""
    middle, longest = (size - 1) / 2, math.log(max(4 * size, 20))
    low = np.array([-middle, -middle, -np.inf, math.log(2), math.log(0.5), math.log(0.5)])
    high = np.array([middle, middle, np.inf, longest, longest, longest])
    damping = np.full(len(points), 1e-2)
    loss, amplitudes, rest, changes = _linearised(points, pictures, size)
    for _ in range(steps):
        normal = np.einsum("npi,npj->nij", changes, changes)
        weight = damping * np.trace(normal, axis1=1, axis2=2)
        descent = np.einsum("npi,np->ni", changes, rest)
        matrix = normal + (weight + 1e-30)[:, None, None] * np.eye(6)
        tried = np.clip(points + np.linalg.solve(matrix, descent[..., None])[..., 0], low, high)
        new = _linearised(tried, pictures, size)
        better = new[0] < loss
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-9, 1e6)
        points = np.where(better[:, None], tried, points)
        loss, amplitudes, rest, changes = (
            np.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(new, (loss, amplitudes, rest, changes), strict=True)
        )
    return points, amplitudes, np.sqrt(np.clip(1 - loss, 0, 1))


def _linearised(
    points: np.ndarray, pictures: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loss, best amplitudes, what they leave of the pictures, and how the waves change with the six numbers."""
    x, y = (axis.reshape(-1) for axis in grid(size))
    x0, y0, angle, length, along, across = points.T[..., None]
    c, s = np.cos(angle), np.sin(angle)
    a, b = (x - x0) * c + (y - y0) * s, (y - y0) * c - (x - x0) * s
    number = 2 * math.pi * np.exp(-length)
    envelope = np.exp(-((a * np.exp(-along)) ** 2) / 2 - (b * np.exp(-across)) ** 2 / 2)
    waves = np.stack([envelope * np.cos(number * a), envelope * np.sin(number * a)], -1)
    bases, triangle = np.linalg.qr(waves - waves.mean(1, keepdims=True))
    # where cosine and sine are the same picture up to rounding, one of them is enough
    size_1, size_2 = np.abs(triangle[:, 0, 0]), np.abs(triangle[:, 1, 1])
    bases[:, :, 1] *= (size_2 > 1e-9 * size_1)[:, None]
    triangle[:, 1, 1] = np.where(size_2 > 1e-9 * size_1, triangle[:, 1, 1], 1.0)
    triangle[:, 0, 0] = np.where(size_1 > 1e-200, triangle[:, 0, 0], 1.0)
    projected = np.einsum("npk,np->nk", bases, pictures)
    amplitudes = np.linalg.solve(triangle, projected[..., None])[..., 0]
    rest = pictures - np.einsum("npk,nk->np", bases, projected)
    wave, turned = (np.einsum("npk,nk->np", waves, z) for z in (amplitudes, amplitudes[:, ::-1] * [1.0, -1.0]))
    by_a = number * turned - a * np.exp(-2 * along) * wave
    by_b = -b * np.exp(-2 * across) * wave
    changes = np.stack(
        [
            -c * by_a + s * by_b,
            -s * by_a - c * by_b,
            b * by_a - a * by_b,
            -number * a * turned,
            (a * np.exp(-along)) ** 2 * wave,
            (b * np.exp(-across)) ** 2 * wave,
        ],
        -1,
    )
    changes -= changes.mean(1, keepdims=True)
    changes -= np.einsum("npk,nqk,nqi->npi", bases, bases, changes, optimize=True)
    return np.square(rest).sum(1), amplitudes, rest, changes
