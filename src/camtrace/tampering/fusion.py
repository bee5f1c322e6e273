"""The traces of one photo as layers of cells, fused into one map, with the words that say which of them a region rests on.

A trace has a part in the fused map only where that made the map better on photos that the weights were not fitted on
(docs/localize.md). All layers have one value a cell, (r, c), NaN = no data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.tampering.alarm import Measured
from camtrace.tampering.blocks import CELL, Blocks, Split, paint
from camtrace.tampering.doubled import Steps, read_doubled
from camtrace.tampering.grids import Grids
from camtrace.tampering.noise import read_noise
from camtrace.tampering.resampling import read_resampling

NOISIEST = 5.0
"""Deviations of the noise beyond this count no more."""
MOVED = 0.3
"""Share of windows with another grid that is a reason; windows that lie half outside a region count as well: of 20 pasted squares
the least had 0.44, 40 genuine photos 0."""
SINGLE = 0.01
"""Mean of the doubled map that is a reason: of 528 areas of genuine photos saved at 90 none has it, of 624 at 95 less than 1 %."""
FEWEST = 16
"""Cells of a region that a trace must know to be a reason."""

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Layers:
    """What each trace says of each cell."""

    consistency: Floats  # larger = more foreign, 0 = half way
    grid: Floats  # share of the windows over it that have another JPEG grid, 0..1
    noise: Floats  # above 0 noisier, below 0 cleaner than most of the photo
    resampling: Floats  # height of peaks that most of the photo has not
    doubled: Floats  # above 0 as if saved once where most of the photo was saved twice; all NaN where that does not show


def read_layers(pixels: NDArray[np.uint8], blocks: Blocks, split: Split, grids: Grids, *, steps: Steps | None) -> Layers:
    """Measure all traces of a photo (h, w, 3) on the cells of its blocks; `steps` are those of a JPEG's luma."""
    consistency = paint(blocks, split.excess)
    shape = (consistency.shape[0], consistency.shape[1])
    origin = (int(blocks.rows[0]), int(blocks.columns[0]))
    return Layers(
        consistency,
        grids.to_cells(shape, cell=CELL, origin=origin),
        read_noise(pixels, shape, cell=CELL, origin=origin),
        read_resampling(pixels, origin=origin).to_cells(shape, cell=CELL, origin=origin),
        read_doubled(pixels, steps).to_cells(shape, cell=CELL, origin=origin),
    )


def fuse(layers: Layers, measured: Measured) -> Floats:
    """The fused map: larger = more foreign, 0 = half way, NaN where the consistency is."""
    noise = np.minimum(np.abs(layers.noise), NOISIEST) - measured.usual_noise
    added = measured.noise * np.nan_to_num(noise) + measured.grid * np.nan_to_num(layers.grid)
    fused: Floats = (layers.consistency + added).astype(np.float32)
    return fused


def find_reasons(area: Flags, layers: Layers, measured: Measured) -> Iterator[str]:
    """What speaks for an area (r, c) being foreign, each trace only from a size on that genuine photos seldom have."""
    if _mean(layers.consistency, area) > 0:
        yield "the net's features of its blocks do not fit those of the rest"
    if _mean(layers.grid, area) >= MOVED:
        yield "its JPEG grid is another one"
    if abs(noise := _mean(layers.noise, area)) >= measured.noise_limit:
        yield f"it is {'noisier' if noise > 0 else 'cleaner'} than the rest at its brightness and texture"
    if _mean(layers.resampling, area) >= measured.resampling_limit:
        yield "it has traces of enlarging that the rest has not"
    if _mean(layers.doubled, area) >= SINGLE:
        yield "it lacks the trace of an earlier JPEG that the rest has"


def _mean(layer: Floats, area: Flags) -> float:
    """Mean over the area, where at least FEWEST cells of it are known; else NaN, which is no reason for anything."""
    known = layer[area & np.isfinite(layer)]
    return float(known.mean()) if len(known) >= FEWEST else float("nan")
