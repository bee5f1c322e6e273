"""Photo -> patches: which 64x64 pieces of a photo are asked (Bondi et al. 2017, section III; METHOD section 1).

Patches lie on a non-overlapping grid, so that the 8x8 JPEG and 2x2 Bayer phases are the same in all of them; a partial border is
dropped. The grid starts at the first pixel, or where the caller found the photo's JPEG blocks to start (`camtrace.history`). The one
exception is RESIZED, a published way that gives up the grid. Statistics are taken in one pass over the uint8 samples, a row of patches
at a time: nothing as large as the photo is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from camtrace import plugins
from camtrace.types import Patches, Photo, PhotoError

Score = NDArray[np.float64]
Sums = NDArray[np.uint16 | np.uint32 | np.uint64]
Rule = Callable[[NDArray[np.uint8], int], Score]

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
    scores = RULES[rule](pixels, size)  # (rows, columns), -inf = excluded
    order = np.argsort(-scores, axis=None, kind="stable")
    order = order[np.isfinite(scores.ravel()[order])]
    corners = np.stack(np.unravel_index(order, scores.shape), axis=1) * size + np.array(origin)
    patches = _cut(photo.pixels, corners, size)
    if rule in UNSATURATED:
        patches = ((corner, patch) for corner, patch in patches if patch.max() < 255)
    chosen = list(islice(patches, count))
    if not chosen:
        raise PhotoError(
            f"{photo.source}: all {scores.size} patches are saturated; a photo that is not all burnt out or black is needed",
            status="no_usable_patches",
        )
    positions, cut = zip(*chosen, strict=True)
    return Patches(np.stack(cut), np.stack(positions))


def mid_tone(pixels: NDArray[np.uint8], size: int) -> Score:
    """The paper's text: the mean closest to half the dynamic range; it is one of UNSATURATED."""
    columns = pixels.shape[1] // size
    totals = [_sum_down(band).reshape(columns, -1).sum(axis=1, dtype=np.uint32) for band in _bands(pixels, size)]
    score: Score = -np.abs(np.array(totals) / (3 * size * size) - 127.5)
    return score


def quality(pixels: NDArray[np.uint8], size: int) -> Score:
    """The rule used with the authors' released weights: mid-tones and texture, no saturation test."""
    samples = size * size
    bands = [(_sum_down(band), _squares_down(band)) for band in _bands(pixels, size)]
    sums, squares = (_across(np.array(part), size) for part in zip(*bands, strict=True))  # (rows, columns, 3) each
    mean, mean_square = sums / (255 * samples), squares / (255 * 255 * samples)
    deviation = np.sqrt(np.maximum(mean_square - mean * mean, 0))
    mid_tones = (4 * mean - 4 * mean * mean).mean(axis=2)
    texture = (1 - 10 ** (-2 * deviation)).mean(axis=2)
    score: Score = 0.7 * mid_tones + 0.3 * texture
    return score


def _from_outside(found: object, label: str) -> Rule:
    """A rule of a plug-in, whose scores are those of the grid or an error that names its package."""
    rule = plugins.a_function(found, label)

    def checked(pixels: NDArray[np.uint8], size: int) -> Score:
        scores = np.asarray(rule(np.ascontiguousarray(pixels), size), np.float64)
        wanted = (pixels.shape[0] // size, pixels.shape[1] // size)
        if scores.shape != wanted:
            raise plugins.PluginError(f"{label} gave scores {scores.shape}, expected {wanted}, one for each patch; update this package")
        return scores

    return checked


RULES: plugins.Extended[Rule] = plugins.extend({"mid-tone": mid_tone, "quality": quality}, plugins.RULES, fit=_from_outside)
"""Rule by name -> function(pixels, size) -> scores of the grid; larger is better, -inf excludes. `RULES.builtin`: without plug-ins."""
UNSATURATED = frozenset({"mid-tone"})
"""Rules that pass over patches with a saturated sample. Patches are looked at for that from the best on, since most never need be."""
RESIZED = "resized"
"""Calderon et al. 2025 shrink the whole photo: the traces of processing go with it. There to measure what that costs."""


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _bands(pixels: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    """The rows of patches as views (size, samples of a line), partial patches dropped."""
    samples = pixels.shape[1] // size * size * 3
    for row in range(0, pixels.shape[0] - size + 1, size):
        yield pixels[row : row + size].reshape(size, -1)[:, :samples]


def _sum_down(band: NDArray[np.uint8]) -> Sums:
    """(lines, samples) -> (samples,) sums down the lines.

    Up to 257 lines two samples are summed as one number of 16 bits, which neither copies nor widens the samples: the sum of the
    upper ones is exact, and what it adds to the sum of both, modulo 2^16, is known.
    """
    lines, samples = band.shape
    if lines > 257 or samples % 2:
        widened: Sums = band.sum(axis=0, dtype=np.uint32)
        return widened
    pairs = band.view("<u2") if band.strides[0] % 2 == 0 else np.ascontiguousarray(band).view("<u2")
    upper = np.add.reduce(pairs >> 8, axis=0, dtype=np.uint16)
    sums = np.empty((len(upper), 2), np.uint16)
    sums[:, 0], sums[:, 1] = np.add.reduce(pairs, axis=0, dtype=np.uint16) - (upper << 8), upper
    return sums.ravel()


def _squares_down(band: NDArray[np.uint8]) -> Sums:
    """(lines, samples) -> (samples,) sums of squared samples down the lines."""
    squares: Sums = np.square(band, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    return squares


def _across(sums: Sums, size: int) -> Sums:
    """Sums down the lines (rows, samples) -> of every patch and channel (rows, columns, 3)."""
    summed: Sums = sums.reshape(len(sums), -1, size, 3).sum(axis=2, dtype=np.uint64)
    return summed


def _cut(pixels: NDArray[np.uint8], corners: NDArray[np.int64], size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """(n, 2) corners, each with its patch (size, size, 3), a view."""
    for corner in corners:
        row, column = corner.tolist()
        yield corner, pixels[row : row + size, column : column + size]
