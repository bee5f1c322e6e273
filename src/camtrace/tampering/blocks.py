"""Overlapping blocks of a whole photo: what the net says of each, which of them do not fit the others, and maps from them.

No camera need be known. After Bondi, Lameri, Guera, Bestagini, Delp & Tubaro, "Tampering detection and localization through clustering
of camera-based CNN features" (CVPR Workshops 2017), the features of all blocks are clustered. Here the dominant centre comes first, by
trimmed means, then the centre of what fits it worst. Blocks that are saturated, flat or dark carry no evidence and take no part.

Blocks are cut on the photo's JPEG grid, `batch` at a time, and maps are made of cells of CELL x CELL pixels: memory hardly grows
with the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.bundle import Bundle
from camtrace.types import Patches, Photo, PhotoError

CELL = 16
"""Side in pixels of the cells that maps are made of: two JPEG blocks, one where the chroma was halved."""
STRIDES = (16, 32, 48, 64)
MOST_BLOCKS = 12_000
"""The smallest stride that stays below this is taken: 10 to 15 seconds on one core."""

_BATCH = 64
_DARK, _BRIGHT, _FLAT = 16, 254, 0.7
_SATURATED = 0.1
_TRIMMED, _ROUNDS = 0.6, 10
_FURTHEST = 0.1

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
OnStep = Callable[[int, int], None]
"""Called with how many rows of blocks are done and how many there are."""


def ignore(_done: int, _total: int) -> None:
    """For who does not want to know how far it is."""


@dataclass(frozen=True)
class Blocks:
    """What the net says of every block, row by row; all zeros where it was not asked."""

    rows: NDArray[np.int64]  # (r,) first pixel of each row of blocks
    columns: NDArray[np.int64]  # (c,)
    features: Floats  # (r, c, dimension)
    usable: Flags  # (r, c) whether a block carries evidence
    size: int  # side of a block in pixels


@dataclass(frozen=True)
class Split:
    """Two clusters of blocks, the dominant one first."""

    excess: Floats  # (r, c) larger = more foreign, 0 = half way; NaN without data
    separation: float  # distance of the two centres, in deviations of a single feature


def choose_stride(shape: tuple[int, ...], *, size: int) -> int:
    """The smallest of STRIDES with at most MOST_BLOCKS blocks, the largest where none has."""
    counts = {stride: len(_starts(shape[0], size, stride)) * len(_starts(shape[1], size, stride)) for stride in STRIDES}
    return next((stride for stride, count in counts.items() if count <= MOST_BLOCKS), STRIDES[-1])


def gather(
    photo: Photo, bundle: Bundle, *, origin: tuple[int, int], stride: int, batch: int = _BATCH, on_step: OnStep = ignore
) -> Blocks:
    """Ask the net about every block that carries evidence, `batch` at a time: memory does not grow with the photo.

    Raises PhotoError where not even one block fits.
    """
    size = bundle.manifest.patch_size
    pixels = photo.pixels[origin[0] :, origin[1] :]
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        raise PhotoError(f"{photo.source}: {width}x{height} pixels, expected at least {size}x{size}", status="too_small")
    rows, columns = _starts(height, size, stride), _starts(width, size, stride)
    features = np.zeros((len(rows), len(columns), bundle.manifest.dimension), np.float32)
    usable = np.zeros(features.shape[:2], bool)
    for number, row in enumerate(rows):
        for first, cut in _cut_row(pixels[row : row + size], columns, batch):
            good = informative(cut)
            here = first + np.flatnonzero(good)
            usable[number, here] = True
            if len(here):
                positions = np.stack([np.full(len(here), row), columns[here]], axis=1)
                features[number, here] = bundle.extract(Patches(cut[good], positions))
        on_step(number + 1, len(rows))
    return Blocks(rows + origin[0], columns + origin[1], features, usable, size)


def _starts(side: int, size: int, stride: int) -> NDArray[np.int64]:
    """Every `stride` pixels, and the last place in whole cells, so that less than a cell is left over."""
    last = (side - size) // CELL * CELL
    return np.unique(np.append(np.arange(0, last + 1, stride), last)).astype(np.int64)


def _cut_row(strip: Pixels, columns: NDArray[np.int64], batch: int) -> Iterator[tuple[int, Pixels]]:
    """A strip (size, w, 3) -> the number of the first block and (n, size, size, 3), n <= `batch`."""
    size = len(strip)
    windows = np.lib.stride_tricks.sliding_window_view(strip, size, axis=1)  # (size, places, 3, size)
    for first in range(0, len(columns), batch):
        cut = windows[:, columns[first : first + batch]].transpose(1, 0, 3, 2)
        yield first, np.ascontiguousarray(cut)


def informative(blocks: Pixels) -> Flags:
    """(n, size, size, 3) -> (n,) whether a block is neither dark, nor saturated in a tenth, nor without any texture in green."""
    green = blocks[..., 1]
    saturated = (blocks.max(axis=3) >= _BRIGHT).mean(axis=(1, 2))
    texture = np.abs(np.diff(green.astype(np.int16), axis=2)).mean(axis=(1, 2))
    good: Flags = (saturated < _SATURATED) & (green.mean(axis=(1, 2)) >= _DARK) & (texture >= _FLAT)
    return good


def split_blocks(blocks: Blocks, *, smooth: bool) -> Split:
    """Find the dominant centre and that of what fits it worst; `smooth` averages each block with its eight neighbours first."""
    usable = blocks.usable
    values = _standardise(blocks.features, usable)
    if smooth:
        values = _average_neighbours(values, usable)
    points = values[usable]  # (n, dimension)
    first, second = find_centres(points)
    excess = np.full(usable.shape, np.nan, np.float32)
    excess[usable] = _squared(points, first) - _squared(points, second)
    return Split(excess, float(np.sqrt(_squared(first[None], second)[0])))


def find_centres(points: Floats) -> tuple[Floats, Floats]:
    """Points (n, dimension) -> the dominant centre and that of the rest, (dimension,) each.

    Trimmed means find the dominant one whatever the rest is; the tenth that fits it worst begins the other, then 2-means. The one
    with more points is the dominant one.
    """
    first = np.median(points, axis=0)
    for _ in range(_ROUNDS):
        distance = _squared(points, first)
        first = points[distance <= np.quantile(distance, _TRIMMED)].mean(axis=0)
    distance = _squared(points, first)
    second = points[distance >= np.quantile(distance, 1 - _FURTHEST)].mean(axis=0)
    foreign = np.zeros(len(points), bool)
    for _ in range(_ROUNDS):
        foreign = _squared(points, first) > _squared(points, second)
        if not foreign.any() or foreign.all():
            break
        first, second = points[~foreign].mean(axis=0), points[foreign].mean(axis=0)
    return (second, first) if foreign.mean() > 0.5 else (first, second)


def _squared(points: Floats, centre: Floats) -> Floats:
    """Mean squared distance over the features, (n,)."""
    distance: Floats = np.square(points - centre).mean(axis=1)
    return distance


def _standardise(features: Floats, usable: Flags) -> Floats:
    """Each feature less its median, by its deviation (from the median absolute one) over the photo's own usable blocks."""
    own = features[usable]
    middle = np.median(own, axis=0)
    deviation = 1.4826 * np.median(np.abs(own - middle), axis=0)
    typical = max(float(np.median(deviation)), 1e-6)  # a feature that is all but constant must not be blown up
    standardised: Floats = ((features - middle) / np.maximum(deviation, 0.1 * typical)).astype(np.float32, copy=False)
    return standardised


def _average_neighbours(values: Floats, usable: Flags) -> Floats:
    """Mean over the usable ones of 3x3 blocks, (r, c, dimension)."""
    weights = np.pad(usable.astype(np.float32), 1)
    padded = np.pad(np.where(usable[..., None], values, 0), ((1, 1), (1, 1), (0, 0)))
    rows, columns = usable.shape
    windows = [(slice(down, down + rows), slice(across, across + columns)) for down in range(3) for across in range(3)]
    total = np.sum([weights[window] for window in windows], axis=0)
    summed = padded[windows[0]].copy()
    for window in windows[1:]:
        summed += padded[window]
    averaged: Floats = summed / np.maximum(total, 1)[..., None]
    return averaged


def paint(blocks: Blocks, values: Floats) -> Floats:
    """One value a block (r, c), or several (r, c, k), -> cells: the mean of the usable blocks over each, NaN where there is none."""
    reach = blocks.size // CELL
    rows, columns = ((starts - starts[0]) // CELL for starts in (blocks.rows, blocks.columns))
    shape = (int(rows[-1]) + reach, int(columns[-1]) + reach)
    counts = np.zeros(shape, np.float32)
    sums = np.zeros((*shape, *values.shape[2:]), np.float32)
    usable = blocks.usable.astype(np.float32)
    known = np.where(blocks.usable.reshape(*usable.shape, *(1,) * (values.ndim - 2)), values, 0)
    for down in range(reach):
        for across in range(reach):
            place = np.ix_(rows + down, columns + across)
            counts[place] += usable
            sums[place] += known
    counts = counts.reshape(*shape, *(1,) * (values.ndim - 2))
    cells: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.float32(np.nan))
    return cells
