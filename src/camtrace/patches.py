"""Photo -> patches: which 64x64 pieces of a photo are asked (Bondi et al. 2017, section III; METHOD section 1).

Patches lie on a non-overlapping grid, so that the 8x8 JPEG and 2x2 Bayer phases are the same in all of them; a partial border is
dropped. The grid starts at the first pixel, or where the caller found the photo's JPEG blocks to start (`camtrace.history`). The one
exception is RESIZED, a published way that gives up the grid. Statistics are taken over the whole photo at once, on uint8, without a
float copy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from camtrace.types import Patches, Photo, PhotoError

Score = NDArray[np.float64]

PATCH_SIZE = 64
PATCH_COUNT = 32


def select_patches(
    photo: Photo, *, rule: str = "mid-tone", count: int = PATCH_COUNT, size: int = PATCH_SIZE, origin: tuple[int, int] = (0, 0)
) -> Patches:
    """Cut the `count` best patches by a rule of RULES, fewer where the photo has fewer usable ones; or, by the rule
    RESIZED, the whole photo as one patch, its sides stretched to `size`. The grid of patches starts at `origin` (row, column).

    Raises
    ------
    PhotoError
        `too_small`: not even one patch fits. `no_usable_patches`: every patch is excluded by the rule.
    """
    if rule == RESIZED:
        return Patches(_resize(photo.pixels, size)[None], np.zeros((1, 2), np.int64))
    pixels = photo.pixels[origin[0] :, origin[1] :]
    height, width = pixels.shape[:2]
    if height < size or width < size:
        behind = f" behind row {origin[0]}, column {origin[1]}" if any(origin) else ""
        raise PhotoError(f"{photo.source}: {width}x{height} pixels{behind}, expected at least {size}x{size}", status="too_small")
    scores = RULES[rule](np.ascontiguousarray(pixels), size)  # (rows, columns), -inf = excluded
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    order = order[np.isfinite(scores.ravel()[order])]
    if not len(order):
        raise PhotoError(f"{photo.source}: all {scores.size} patches are saturated", status="no_usable_patches")
    positions = np.stack(np.unravel_index(order, scores.shape), axis=1) * size + np.array(origin)
    return Patches(_cut(photo.pixels, positions, size), positions)


def mid_tone(pixels: NDArray[np.uint8], size: int) -> Score:
    """The paper's text: no saturated sample, then the mean closest to half the dynamic range."""
    brightest = _reduce(np.maximum, pixels, size, np.uint8).max(axis=2)
    mean = _reduce(np.add, pixels, size, np.uint32).sum(axis=2) / (3 * size * size)
    return np.where(brightest < 255, -np.abs(mean - 127.5), -np.inf)


def quality(pixels: NDArray[np.uint8], size: int) -> Score:
    """The rule used with the authors' released weights: mid-tones and texture, no saturation test."""
    samples = size * size
    mean = _reduce(np.add, pixels, size, np.uint32) / (255 * samples)
    mean_square = _sum_of_squares(pixels, size) / (255 * 255 * samples)
    deviation = np.sqrt(np.maximum(mean_square - mean * mean, 0))
    mid_tones = (4 * mean - 4 * mean * mean).mean(axis=2)
    texture = (1 - 10 ** (-2 * deviation)).mean(axis=2)
    score: Score = 0.7 * mid_tones + 0.3 * texture
    return score


RULES: dict[str, Callable[[NDArray[np.uint8], int], Score]] = {"mid-tone": mid_tone, "quality": quality}
RESIZED = "resized"
"""Calderon et al. 2025 shrink the whole photo: the traces of processing go with it. There to measure what that costs."""


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _rows(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """View (h, w, 3) as (grid rows, size, samples of a line), partial rows dropped."""
    rows = pixels.shape[0] // size
    return pixels[: rows * size].reshape(rows, size, -1)


def _reduce(ufunc: np.ufunc, pixels: NDArray[np.uint8], size: int, dtype: type) -> NDArray[np.integer]:
    """Reduce every patch to one value a channel: (grid rows, grid columns, 3).

    First down the lines, which runs along contiguous memory; a sum of `size` <= 257 bytes fits uint16.
    """
    narrow = np.uint8 if ufunc is np.maximum else np.uint16
    lines = ufunc.reduce(_rows(pixels, size), axis=1, dtype=narrow)
    return _reduce_columns(ufunc, lines, size, dtype)


def _sum_of_squares(pixels: NDArray[np.uint8], size: int) -> NDArray[np.integer]:
    """Sum of squared samples of every patch and channel, a grid row at a time to stay in cache."""
    rows = _rows(pixels, size)
    lines = np.stack([np.square(row, dtype=np.uint16).sum(axis=0, dtype=np.uint32) for row in rows])
    return _reduce_columns(np.add, lines, size, np.uint64)


def _reduce_columns(ufunc: np.ufunc, lines: NDArray[np.integer], size: int, dtype: type) -> NDArray[np.integer]:
    columns = lines.shape[1] // (3 * size)
    cells = lines[:, : columns * size * 3].reshape(len(lines), columns, size, 3)
    reduced: NDArray[np.integer] = ufunc.reduce(cells, axis=2, dtype=dtype)
    return reduced


def _cut(pixels: NDArray[np.uint8], positions: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """(n, 2) corners -> (n, size, size, 3), one gather for all patches."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size, 3))[:, :, 0]
    return windows[positions[:, 0], positions[:, 1]]
