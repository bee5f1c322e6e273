"""Which parts of a photo are noisier, or cleaner, than the rest at the same brightness and texture.

Sensors, their sensitivity and each maker's denoising leave noise of their own strength (Lyu, Pan & Zhang, "Exposing region splicing
forgeries with blind local noise estimation", IJCV 110(2), 2014). Here it is measured by Immerkaer's second differences ("Fast noise
variance estimation", CVIU 64(2), 1996) in the quietest quarter of the 8x8 blocks around each cell, where little but noise is left,
and compared with what most of the photo has at this brightness and this much coarse texture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
"""Side in pixels of the blocks that noise is measured in."""
AROUND = 64
"""Side in pixels of what is pooled around each cell."""

_STRIP, _LINES = 128, 64  # rows of blocks, and of cells, that are held in memory at a time
_CLIPPED = (2, 253)
_QUIET = 4  # the quietest one in so many
_FEWEST = 16  # usable blocks around a cell
_LEAST = 0.05  # added before the logarithm: one rounding error in twenty
_ROUNDS, _TRIMMED = 5, 0.7
_FEWEST_CELLS = 40

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def read_noise(pixels: Pixels, shape: tuple[int, int], *, cell: int, origin: tuple[int, int]) -> Floats:
    """How much stronger the noise around each cell is than most of the photo would have there, in robust deviations.

    Parameters
    ----------
    pixels
        (h, w, 3).
    shape
        Cells down and across.
    cell
        Side of a cell in pixels, a multiple of BLOCK.
    origin
        Row and column of the first cell's first pixel.

    Returns
    -------
    array
        (r, c): above 0 noisier, below 0 cleaner, NaN where too little could be measured.
    """
    scale = cell // BLOCK
    levels, means = measure_blocks(pixels[origin[0] :, origin[1] :, 1], (shape[0] * scale, shape[1] * scale))
    level, brightness, texture = _pool(levels, means, scale)
    return _against_the_rest(np.log2(level + _LEAST), brightness, np.log2(texture + 1))


def measure_blocks(green: Pixels, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """A plane (h, w) -> noise and mean of each of (r, c) blocks; noise is infinite where pixels are clipped."""
    levels, means = np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32)
    for first in range(0, shape[0], _STRIP):
        last = min(first + _STRIP, shape[0])
        # a pixel more on each side, so that blocks at the border of a strip are measured like all others
        top, bottom = max(0, first * BLOCK - 1), min(len(green), last * BLOCK + 1)
        strip = np.pad(green[top:bottom], ((int(first == 0), int(bottom < last * BLOCK + 1)), (1, 1)), mode="reflect")
        strip = strip[:, : shape[1] * BLOCK + 2].astype(np.int16)
        inner = strip[1:-1, 1:-1]
        across = strip[:, :-2] - 2 * strip[:, 1:-1] + strip[:, 2:]
        response = np.abs(across[:-2] - 2 * across[1:-1] + across[2:])
        means[first:last] = _block_means(inner)
        clipped = _block_means((inner < _CLIPPED[0]) | (inner > _CLIPPED[1])) > 0
        # of Gaussian noise with deviation s the mean of |response| is 6 s sqrt(2 / pi)
        levels[first:last] = np.where(clipped, np.inf, _block_means(response) * np.float32(np.sqrt(np.pi / 2) / 6))
    return levels, means


def _block_means(plane: NDArray[np.generic]) -> Floats:
    """(r * BLOCK, c * BLOCK) -> (r, c)."""
    rows, columns = (side // BLOCK for side in plane.shape)
    means: Floats = plane.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3), dtype=np.float32)
    return means


def _pool(levels: Floats, means: Floats, scale: int) -> tuple[Floats, Floats, Floats]:
    """Blocks -> for each cell the noise of the quietest blocks around it (NaN: too few), mean brightness, deviation of block means."""
    reach = AROUND // BLOCK
    before = (reach - scale) // 2
    padding = (before, reach - scale - before)
    around, bright = (
        np.lib.stride_tricks.sliding_window_view(np.pad(plane, padding, constant_values=fill), (reach, reach))[::scale, ::scale]
        for plane, fill in ((levels, np.inf), (means, np.nan))
    )
    parts = [_pool_rows(around[first : first + _LINES], bright[first : first + _LINES]) for first in range(0, len(around), _LINES)]
    level, brightness, texture = (np.concatenate(plane) for plane in zip(*parts, strict=True))
    return level, brightness, texture


def _pool_rows(around: Floats, bright: Floats) -> tuple[Floats, Floats, Floats]:
    """The same for some rows of cells, (r, c, reach, reach) each."""
    flat = around.reshape(*around.shape[:2], -1)
    usable = np.isfinite(flat).sum(axis=2)
    quiet = np.maximum(usable // _QUIET - 1, 0)
    level = np.take_along_axis(np.sort(flat, axis=2), quiet[..., None], axis=2)[..., 0]
    level = np.where(usable >= _FEWEST, level, np.float32(np.nan))
    return level, np.nanmean(bright, axis=(2, 3)), np.nanstd(bright, axis=(2, 3))


def _against_the_rest(level: Floats, brightness: Floats, texture: Floats) -> Floats:
    """Deviation from a plane through most of the cells, quadratic in brightness; in robust deviations."""
    known = np.isfinite(level)
    deviation = np.full(level.shape, np.nan, np.float32)
    if known.sum() < _FEWEST_CELLS:
        return deviation
    bright = brightness[known] / 128 - 1
    terms = np.stack([np.ones_like(bright), bright, bright**2, texture[known]], axis=1)
    values = level[known]
    kept = np.ones(len(values), bool)
    for _ in range(_ROUNDS):
        weights = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        residual = values - terms @ weights
        kept = np.abs(residual) <= np.quantile(np.abs(residual), _TRIMMED)
    spread = 1.4826 * float(np.median(np.abs(residual)))
    deviation[known] = residual / max(spread, 0.05)
    return deviation
