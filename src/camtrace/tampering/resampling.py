"""Which parts of a photo were enlarged while the rest was not.

Interpolated pixels depend on their neighbours, more or less so with the period of the interpolation: the mean strength of second
differences along a line swings with it, and its spectrum has a peak (Gallagher, "Detection of linear and cubic interpolation in JPEG
compressed images", CRV 2005; Mahdian & Saic, "Blind authentication using periodic properties of interpolation", IEEE TIFS 3(3), 2008).
Peaks at multiples of an eighth come from JPEG and from the mosaic of the sensor; those that most of the photo has come from the camera:
neither says anything here. Found are parts that were enlarged, by a tenth or more, and not saved as JPEG since: docs/localize.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.history import LUMA

WINDOW = 128
STEPS = (32, 64, 128, 256, 512)
MOST_WINDOWS = 1600
"""The smallest step with at most so many windows is taken."""

_LOWEST, _BESIDE = 6, 1  # bins without meaning: content, and next to a multiple of an eighth
_NEAR = 9  # bins that a peak is compared with
_FLAT = 0.5  # mean difference of neighbours below which a window says nothing

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Resampling:
    """`strength` (r, c) of the clearest peak of each window that is none of most of the photo; in natural logarithms, NaN = no data."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    strength: Floats

    def to_cells(self, shape: tuple[int, int], *, cell: int, origin: tuple[int, int]) -> Floats:
        """The mean of the windows over each cell (r, c); NaN where there is none."""
        counts, sums = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for place in np.argwhere(~np.isnan(self.strength)):
            top, left = self.rows[place[0]] - origin[0], self.columns[place[1]] - origin[1]
            over = tuple(slice(max(0, first // cell), max(0, (first + WINDOW) // cell)) for first in (top, left))
            counts[over] += 1
            sums[over] += self.strength[tuple(place)]
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.float32(np.nan))


def read_resampling(pixels: Pixels, *, origin: tuple[int, int]) -> Resampling:
    """Look for traces of interpolation in windows all over a photo (h, w, 3), from `origin` on."""
    own = pixels[origin[0] :, origin[1] :]
    step = next((step for step in STEPS if np.prod([len(_starts(side, step)) for side in own.shape[:2]]) <= MOST_WINDOWS), STEPS[-1])
    rows, columns = (_starts(side, step) for side in own.shape[:2])
    spectra = np.full((len(rows), len(columns), 2, WINDOW // 2), np.nan, np.float32)
    for number, row in enumerate(rows):
        strip: Floats = (own[row : row + WINDOW] @ np.array(LUMA, np.float32)).astype(np.float32)
        for place, column in enumerate(columns):
            window = strip[:, column : column + WINDOW]
            if window.shape == (WINDOW, WINDOW) and np.abs(np.diff(window, axis=1)).mean() >= _FLAT:
                spectra[number, place] = [peaks(window), peaks(window.T)]
    return Resampling(rows + origin[0], columns + origin[1], _strongest(spectra))


def _strongest(spectra: Floats) -> Floats:
    """(r, c, 2, WINDOW / 2) -> the highest peak of each window (r, c) above what is usual in the photo, NaN = no data."""
    known = np.isfinite(spectra[..., 0, 0])
    strength = np.full(known.shape, np.nan, np.float32)
    if known.any():
        usual = np.maximum(np.median(spectra[known], axis=0), 0)
        strength[known] = (spectra[known] - usual)[..., _meaningful()].max(axis=(1, 2))
    return strength


def peaks(window: Floats) -> Floats:
    """A window (WINDOW, WINDOW) -> for each frequency along its rows how far it stands above those beside it, natural log."""
    from scipy.ndimage import median_filter

    second = np.abs(window[:, :-2] - 2 * window[:, 1:-1] + window[:, 2:])
    line = np.log(second.mean(axis=0) + 0.25)
    line = (line - line.mean()) * np.hanning(len(line))
    spectrum = np.abs(np.fft.rfft(line, WINDOW))[: WINDOW // 2]
    beside = median_filter(spectrum, _NEAR, mode="nearest")
    raised: Floats = np.log((spectrum + 1e-3) / (beside + 1e-3)).astype(np.float32)
    return raised


def _meaningful() -> NDArray[np.bool_]:
    """(WINDOW / 2,) which frequencies can tell interpolation."""
    bins = np.arange(WINDOW // 2)
    eighth = WINDOW // 8
    away = np.minimum(bins % eighth, eighth - bins % eighth)
    good: NDArray[np.bool_] = (bins >= _LOWEST) & (away > _BESIDE) & (bins < WINDOW // 2 - _BESIDE)
    return good


def _starts(side: int, step: int) -> NDArray[np.int64]:
    return np.arange(0, max(side - WINDOW, 0) + 1, step, dtype=np.int64)
