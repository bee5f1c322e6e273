"""The sensor's fingerprint (PRNU): noise residual, maximum-likelihood estimate, and the correlation peak that tells devices apart.

Follows Lukas, Fridrich and Goljan, "Digital Camera Identification from Sensor Pattern Noise" (IEEE TIFS 2006) for the residual, Chen,
Fridrich, Goljan and Lukas, "Determining Image Origin and Integrity Using Sensor Noise" (IEEE TIFS 2008) for estimate and clean-up, and
Goljan, Fridrich and Filler, "Large Scale Test of Sensor Fingerprint Camera Identification" (SPIE 2009) for the PCE.

Planes are (height, width) float32 on the scale 0..255. Two things are not in the papers; both were measured on real photos
(docs/results/devices.md): a questioned photo's residual counts less where it is noisy, and the chance of a peak is judged against
the correlations at the same place of the 8x8 JPEG grid, since photo and fingerprint share that grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Self

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy import fft, ndimage, special

Plane = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SIGMA = 5.0
"""Standard deviation of the noise that the residual is made of, in levels of 255 (METHOD section 8)."""
SATURATED = 250
"""Pixels with a channel at or above this level carry no fingerprint."""
MIN_SIDE = 128
"""Photos with a shorter side are not compared: a peak needs enough other correlations to be judged against."""
TILE, OVERLAP = 2048, 160
"""Larger photos are filtered in tiles of this side, each with so many pixels around it; both are multiples of 2^4."""
NEIGHBOURHOOD = 5
"""The peak's own neighbourhood, 11x11, is no part of its correlation energy."""
GRID = 8
"""Side of the JPEG's blocks."""

_WAVELET, _LEVELS, _WINDOWS, _BORDER = "db4", 4, (3, 5, 7, 9), "symmetric"
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_NOISE_WINDOW, _NOISE_FLOOR = 17, np.float32(1.0)


def to_grey(pixels: Pixels) -> Plane:
    """RGB (h, w, 3) uint8 -> luma (h, w). One residual of it tells devices apart as well as three, one a channel, then weighted."""
    grey: Plane = pixels[..., 0] * _LUMA[0]
    for channel in (1, 2):
        grey += pixels[..., channel] * _LUMA[channel]
    return grey


def residual(grey: Plane, *, sigma: float = SIGMA, tile: int = TILE, overlap: int = OVERLAP) -> Plane:
    """What the wavelet-domain adaptive Wiener filter takes for noise: the photo less its denoised self (Lukas et al. 2006, Appendix A).

    A photo with a side beyond `tile` is filtered in tiles, which bounds the memory; the result is that in one piece to within 0.001
    levels, since a pixel is reached from no more than OVERLAP away. `tile` and `overlap` must be multiples of 16, the wavelets' step.
    """
    height, width = grey.shape
    if max(height, width) <= tile + 2 * overlap:
        return _residual_of_tile(grey, sigma)
    noise = np.empty_like(grey)
    for top, bottom in _stretches(height, tile):
        for left, right in _stretches(width, tile):
            above, before = min(top, overlap), min(left, overlap)
            piece = _residual_of_tile(grey[top - above : bottom + overlap, left - before : right + overlap], sigma)
            noise[top:bottom, left:right] = piece[above : above + bottom - top, before : before + right - left]
    return noise


def _stretches(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Beginnings and ends that cover a length; a rest shorter than half a step belongs to the one before it."""
    count = max(1, round(length / step))
    return pairwise([*(number * step for number in range(count)), length])


def _residual_of_tile(grey: Plane, sigma: float) -> Plane:
    coarse, *bands = pywt.wavedec2(grey, _WAVELET, mode=_BORDER, level=_LEVELS)
    variance = np.float32(sigma**2)
    noise = [tuple(_noise_part(band, variance) for band in level) for level in bands]
    plane: Plane = pywt.waverec2([np.zeros_like(coarse), *noise], _WAVELET, mode=_BORDER)
    return plane[: grey.shape[0], : grey.shape[1]]


def _noise_part(values: Plane, variance: np.float32) -> Plane:
    """The part of coefficients that is noise of this variance; the signal's variance is the least over four windows around each."""
    energy = values * values
    signal = reduce(np.minimum, (ndimage.uniform_filter(energy, window) for window in _WINDOWS))
    signal -= variance
    np.maximum(signal, 0, out=signal)
    signal += variance
    part: Plane = values * (variance / signal)
    return part


@dataclass(frozen=True)
class Sums:
    """Sums over the photos of one device and size, from which the estimate goes on without these photos."""

    products: Plane  # sum of residual x photo
    squares: Plane  # sum of photo^2
    photos: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.squares.shape[1], self.squares.shape[0]

    @classmethod
    def of(cls, pixels: Pixels) -> Self:
        """The sums of a single photo (h, w, 3); saturated pixels add nothing."""
        grey = to_grey(pixels)
        noise = residual(grey)
        grey[~usable(pixels)] = 0
        return cls(noise * grey, grey * grey, 1)

    def __add__(self, other: Self) -> Self:
        if self.size != other.size:
            raise ValueError(f"photos of {self.size} and {other.size} pixels have no common fingerprint")
        return type(self)(self.products + other.products, self.squares + other.squares, self.photos + other.photos)


def usable(pixels: Pixels) -> NDArray[np.bool_]:
    """Where no channel is saturated: (h, w)."""
    mask: NDArray[np.bool_] = pixels.max(axis=2) < SATURATED
    return mask


def estimate(sums: Sums) -> Plane:
    """The fingerprint K (h, w): maximum likelihood, then rid of what devices of a model share (Chen et al. 2008, section III)."""
    return wiener(zero_mean(sums.products / (sums.squares + 1)))


def zero_mean(plane: Plane) -> Plane:
    """Take the mean of each row and column out of each of the four phases of the 2x2 colour filter."""
    result = plane.copy()
    for row in (0, 1):
        for column in (0, 1):
            phase = result[row::2, column::2]
            phase -= phase.mean(axis=0, keepdims=True)
            phase -= phase.mean(axis=1, keepdims=True)
    return result


def wiener(plane: Plane) -> Plane:
    """Flatten the peaks of the spectrum, which repeat over the sensor and so belong to the processing rather than to the device."""
    spectrum = fft.rfft2(plane)
    strength = np.abs(spectrum) / np.float32(np.sqrt(plane.size))
    flat = _noise_part(strength, np.float32(max(plane.var(), np.finfo(np.float32).tiny)))
    spectrum *= np.divide(flat, strength, out=np.zeros_like(strength), where=strength > 0)
    result: Plane = fft.irfft2(spectrum, s=plane.shape)
    return result


def weigh(pixels: Pixels) -> Plane:
    """What of a questioned photo (h, w, 3) is correlated with a fingerprint: residual x photo, over the residual's local variance.

    Correlating it with K is correlating the residual W with I x K, each pixel by how much noise is around it: edges and textures, which
    no denoiser takes out whole, then weigh little. Maximum likelihood for noise whose variance changes from place to place.
    """
    grey = to_grey(pixels)
    noise = residual(grey)
    mask = usable(pixels)
    noise *= mask
    weighted: Plane = noise * grey / (ndimage.uniform_filter(noise * noise, _NOISE_WINDOW) + _NOISE_FLOOR)
    if mask.any():
        weighted -= weighted[mask].mean()
    weighted *= mask
    return weighted


@dataclass(frozen=True)
class Span:
    """The shifts that are tried along one axis: where the photo's edge may lie on the fingerprint, both ends included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    @classmethod
    def within(cls, photo: int, sensor: int) -> Self:
        """All shifts at which the shorter side lies wholly within the longer one; sides of one length lie on each other."""
        return cls(min(0, sensor - photo), max(0, sensor - photo))


@dataclass(frozen=True)
class Peak:
    """The best of the shifts tried."""

    pce: float  # peak-to-correlation energy, with the sign of the correlation
    score: float  # the peak in standard deviations of the correlations on the same place of the JPEG grid
    shift: tuple[int, int]  # row and column of the photo's upper left pixel on the fingerprint


def fast_shape(*shapes: tuple[int, int]) -> tuple[int, int]:
    """A size that holds all of these, is fast to transform, and is a multiple of the JPEG's blocks."""
    rows, columns = (GRID * fft.next_fast_len(-(-max(sides) // GRID)) for sides in zip(*shapes, strict=True))
    return rows, columns


def transform(plane: Plane, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """The spectrum of a plane with zeros around it."""
    spectrum: NDArray[np.complex64] = fft.rfft2(plane, s=shape)
    return spectrum


def correlate(photo: NDArray[np.complex64], sensor: NDArray[np.complex64], shape: tuple[int, int]) -> Plane:
    """Correlation of two planes, given as spectra, at every shift: entry (r, c) is that of the photo moved r down and c right."""
    surface: Plane = fft.irfft2(sensor * photo.conj(), s=shape)
    return surface


def find_peak(surface: Plane, rows: Span, columns: Span) -> Peak:
    """The largest correlation among the shifts allowed, as PCE (Goljan et al. 2009, equation 6) and as a score for `p_value`.

    The score divides by the root mean square at the other shifts that agree with this one modulo the 8x8 grid. On real JPEGs, photo and
    fingerprint correlate by chance more where their grids fall together, at twice the energy: the chance of a peak judged by all shifts
    would be understated.
    """
    energy = surface * surface
    by_phase = energy.reshape(energy.shape[0] // GRID, GRID, -1, GRID).sum(axis=(0, 2), dtype=np.float64)
    if not by_phase.all():
        return Peak(0.0, 0.0, (rows.first, columns.first))
    down, across = (np.arange(span.first, span.last + 1) for span in (rows, columns))
    place = np.ix_(down % surface.shape[0], across % surface.shape[1])
    around = np.maximum(by_phase[np.ix_(down % GRID, across % GRID)] - energy[place], np.finfo(np.float32).tiny)
    scores = surface[place] / np.sqrt(around / (energy.size / GRID**2 - 1))
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    shift = int(down[row]), int(across[column])
    height = float(surface[shift[0] % surface.shape[0], shift[1] % surface.shape[1]])
    return Peak(height * abs(height) / _energy_around(energy, shift), float(scores[row, column]), shift)


def _energy_around(energy: Plane, shift: tuple[int, int]) -> float:
    """Mean of the squared correlations outside the peak's neighbourhood."""
    near = np.arange(-NEIGHBOURHOOD, NEIGHBOURHOOD + 1)
    block = energy[np.ix_((shift[0] + near) % energy.shape[0], (shift[1] + near) % energy.shape[1])]
    return float((energy.sum(dtype=np.float64) - block.sum(dtype=np.float64)) / (energy.size - block.size))


def p_value(score: float, tried: int) -> float:
    """The chance that another device's photo scores as high somewhere among the shifts, rotations and scales `tried` (0..1).

    Correlations of unrelated noise are taken as Gaussian, as Goljan et al. 2009 take them.
    """
    return float(-np.expm1(tried * special.log_ndtr(score)))
