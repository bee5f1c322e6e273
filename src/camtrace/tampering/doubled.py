"""Where a photo saved as JPEG once more does not show that it had been one before: what was pasted in off the first grid.

Coefficients that were rounded to one step and then to another leave gaps and peaks in their histogram (Lukas & Fridrich, "Estimation
of primary quantization matrix in double compressed JPEG images", DFRWS 2003); what was pasted before the last saving, off the first
grid, has none (Lin, He, Tang & Tang, "Fast, automatic and fine-grained tampered JPEG image detection via DCT coefficient analysis",
Pattern Recognition 42(11), 2009). How a histogram would be without the first rounding is estimated from grids that are moved by a few
pixels, up to a smooth trend, which differs between grids anyway. The steps are those of the file's tables: it takes a JPEG.

It says nothing of a photo whose first steps were all 1 or equal to the last ones, of one saved once, and of pieces on the first grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.history import BLOCK, LUMA, cosines

NEEDED = 1.35
"""Mean chi-square a degree of freedom of the histograms from which on a photo counts as doubled (docs/localize.md)."""

_FREQUENCIES = tuple(BLOCK * row + column for row in range(BLOCK) for column in range(BLOCK) if 1 <= row + column <= 6)
_SHIFTS = ((4, 4), (3, 5), (5, 3), (2, 6))
_COUNTS = 15  # coefficients of 1 to so many steps; zeros and larger ones say nothing
_FEWEST = 100  # coefficients of a frequency
_DEGREE = 2  # of the trend in the logarithm of the count
_MOST = 3.0  # natural logarithm that one coefficient may add
_AROUND = 9  # blocks that are pooled, each way
_STEADY = 3.0  # coefficients without a say added to those of an area, so that few do not say much
_STRIP = 64  # rows of blocks at a time

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]
Steps = tuple[int, ...]


@dataclass(frozen=True)
class Doubled:
    """How clearly a photo was rounded twice, and where it does not look so."""

    certainty: float  # mean chi-square a degree of freedom; about 1 or less where there is no trace
    blocks: Floats  # (r, c) of 8x8 pixels: above 0 more as if rounded once, below 0 twice; natural log a coefficient

    def to_cells(self, shape: tuple[int, int], *, cell: int, origin: tuple[int, int]) -> Floats:
        """The value at the middle of each cell (r, c), whose first one begins at `origin`; NaN everywhere where there is no trace."""
        if self.certainty < NEEDED:
            return np.full(shape, np.nan, np.float32)
        places = [
            np.minimum((first + cell * np.arange(count) + cell // 2) // BLOCK, most - 1)
            for first, count, most in zip(origin, shape, self.blocks.shape, strict=True)
        ]
        cells: Floats = self.blocks[np.ix_(*places)]
        return cells


def read_doubled(pixels: Pixels, steps: Steps | None) -> Doubled:
    """A decoded JPEG (h, w, 3) and the 64 steps of its luma, row by row; without steps, or too small, there is no trace."""
    rows, columns = (side // BLOCK for side in pixels.shape[:2])
    if steps is None or min(rows, columns) < 2:
        return Doubled(0.0, np.zeros((rows, columns), np.float32))
    chosen = np.array([steps[place] for place in _FREQUENCIES], np.float32)
    counts, own, moved = _count(pixels, chosen)
    values, chi = _tell(own, moved)
    certainty = float(np.mean(chi)) if len(chi) else 0.0
    return Doubled(certainty, _pool(counts, values) if certainty >= NEEDED else np.zeros((rows, columns), np.float32))


def _count(pixels: Pixels, steps: Floats) -> tuple[NDArray[np.uint8], Counts, Counts]:
    """Each block's counts of steps (r, c, frequencies), and the histograms (frequencies, _COUNTS) of the own and of moved grids."""
    rows, columns = (side // BLOCK for side in pixels.shape[:2])
    counts = np.zeros((rows, columns, len(_FREQUENCIES)), np.uint8)
    own, moved = (np.zeros((len(_FREQUENCIES), _COUNTS), np.int64) for _ in range(2))
    for first in range(0, rows, _STRIP):
        last = min(first + _STRIP, rows)
        strip = np.asarray(pixels[BLOCK * first : BLOCK * last] @ np.array(LUMA, np.float32), np.float32) - 128
        counts[first:last] = _round(strip, steps)
        own += _histograms(counts[first:last])
        for down, across in _SHIFTS:
            if last - first > 1:
                moved += _histograms(_round(strip[down:, across:], steps))
    return counts, own, moved


def _round(luma: Floats, steps: Floats) -> NDArray[np.uint8]:
    """Blocks (r, c, frequencies) of a plane: how many steps each coefficient is, whatever its sign, _COUNTS + 1 at most."""
    rows, columns = (side // BLOCK for side in luma.shape)
    blocks = luma[: BLOCK * rows, : BLOCK * columns].reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    coefficients = blocks.reshape(rows, columns, BLOCK * BLOCK) @ cosines(_FREQUENCIES)
    counts: NDArray[np.uint8] = np.minimum(np.rint(np.abs(coefficients) / steps), _COUNTS + 1).astype(np.uint8)
    return counts


def _histograms(counts: NDArray[np.uint8]) -> Counts:
    """Counts (r, c, frequencies) -> how many coefficients are of 1 .. _COUNTS steps, (frequencies, _COUNTS)."""
    flat = counts.reshape(-1, counts.shape[-1])
    return np.stack([np.bincount(part, minlength=_COUNTS + 2)[1 : _COUNTS + 1] for part in flat.T])


def _tell(own: Counts, moved: Counts) -> tuple[Floats, list[float]]:
    """Histograms -> what each count says (frequencies, _COUNTS + 2), 0 for none and for too many steps, and chi-squares."""
    values = np.zeros((len(own), _COUNTS + 2), np.float32)
    chi = []
    for number, (here, there) in enumerate(zip(own.astype(np.float64), moved.astype(np.float64), strict=True)):
        if min(here.sum(), there.sum()) >= _FEWEST:
            ratio, spread = _without_trend(here, there)
            chi.append(float((ratio**2 / spread).sum() / (_COUNTS - _DEGREE - 1)))
            values[number, 1:-1] = np.clip(ratio, -_MOST, _MOST) * max(0.0, 1 - 1 / max(chi[-1], 1e-9))
    return values, chi


def _without_trend(here: Doubles, there: Doubles) -> tuple[Doubles, Doubles]:
    """Natural log of the moved grids' share against the own one's, less its trend (_COUNTS,), and its variance."""
    scale = here.sum() / there.sum()
    ratio = np.log((scale * there + 1) / (here + 1))
    spread = 1 / (here + 1) + scale / (scale * there + 1)  # of counts: a share 1/n each, and the moved ones are 1/scale as many
    terms = np.log(np.arange(1, _COUNTS + 1))[:, None] ** np.arange(_DEGREE + 1)
    weights = 1 / np.sqrt(spread)
    trend = np.linalg.lstsq(terms * weights[:, None], ratio * weights, rcond=None)[0]
    return ratio - terms @ trend, spread


def _pool(counts: NDArray[np.uint8], values: Floats) -> Floats:
    """Mean of what the coefficients of the blocks around each block say, (r, c)."""
    from scipy.ndimage import uniform_filter

    said = np.zeros(counts.shape[:2], np.float32)
    heard = np.zeros(counts.shape[:2], np.float32)
    for number in range(counts.shape[-1]):
        part = counts[..., number]
        said += values[number][part]
        heard += (part > 0) & (part <= _COUNTS)
    pooled: Floats = uniform_filter(said, _AROUND) / (uniform_filter(heard, _AROUND) + np.float32(_STEADY))
    return pooled
