"""Does the whole of a photo lie on one JPEG grid? What was pasted in from another JPEG brings its own, unless a later saving hid it.

The search is that of `camtrace.history`, here of many small windows: the grid of most of them is the photo's, and windows that
clearly have another one are where something was moved. A photo saved as JPEG after it was put together has one grid everywhere; one
that was cropped and saved again at a quality near 100 shows here the one, there the other, so that no alarm follows from this alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.history import BLOCK, find_grid

WINDOW = 128
STEPS = (64, 128, 256, 512)
MOST_WINDOWS = 600
"""The smallest step with at most so many windows is taken: 1 to 5 seconds on one core where grids are hard to find."""
SAMPLED = 5
"""Windows down and across that the photo's own grid is taken from."""
PERIOD = 16

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Grids:
    """The photo's own grid, and where there is another.

    `foreign` (r, c) has one value a window, whose first pixels are `rows` and `columns`: 1 another grid, 0 the photo's own, NaN none
    found.
    """

    origin: tuple[int, int]  # of the photo's own grid, row and column; (0, 0) where none was found
    found: bool
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    foreign: NDArray[np.float32]

    @property
    def others(self) -> int:
        """How many windows have another grid."""
        return int((self.foreign == 1).sum())

    def to_cells(self, shape: tuple[int, int], *, cell: int, origin: tuple[int, int]) -> NDArray[np.float32]:
        """The share of windows with another grid among those over each cell (r, c) that have one; NaN where there is none."""
        counts, others = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for place in np.argwhere(~np.isnan(self.foreign)):
            top, left = self.rows[place[0]] - origin[0], self.columns[place[1]] - origin[1]
            over = tuple(slice(max(0, first // cell), max(0, (first + WINDOW) // cell)) for first in (top, left))
            counts[over] += 1
            others[over] += self.foreign[tuple(place)]
        return np.where(counts > 0, others / np.maximum(counts, 1), np.float32(np.nan))


def read_grids(pixels: Pixels) -> Grids:
    """Look for the grid in windows all over a photo (h, w, 3)."""
    origin = common_origin(pixels)
    found = origin is not None
    row, column = origin or (0, 0)
    own = pixels[row:, column:]
    step = next((step for step in STEPS if np.prod([len(_starts(side, step)) for side in own.shape[:2]]) <= MOST_WINDOWS), STEPS[-1])
    rows, columns = (_starts(side, step) for side in own.shape[:2])
    foreign = np.full((len(rows), len(columns)), np.nan, np.float32)
    for place in np.ndindex(foreign.shape) if found else ():
        down, across = int(rows[place[0]]), int(columns[place[1]])
        if grid := find_grid(own[down : down + WINDOW, across : across + WINDOW]):
            foreign[place] = (grid.row % BLOCK, grid.column % BLOCK) != (0, 0)
    return Grids((row, column), found, rows + row, columns + column, foreign)


def common_origin(pixels: Pixels) -> tuple[int, int] | None:
    """Row and column where the grid of most windows begins; None where no window has one."""
    counted: Counter[tuple[int, int]] = Counter()
    for down in _spread(pixels.shape[0]):
        for across in _spread(pixels.shape[1]):
            if grid := find_grid(pixels[down : down + 2 * WINDOW, across : across + 2 * WINDOW]):
                counted[grid.row % PERIOD, grid.column % PERIOD] += 1
    if not counted:
        return None
    # by the 8x8 phase first: where the 16x16 one was not found, a window says one of two at random
    phases: Counter[tuple[int, int]] = Counter()
    for (row, column), count in counted.items():
        phases[row % BLOCK, column % BLOCK] += count
    best = max(phases, key=lambda phase: (phases[phase], phase == (0, 0)))
    agreeing = [place for place in counted if (place[0] % BLOCK, place[1] % BLOCK) == best]
    return max(agreeing, key=lambda place: (counted[place], place == best))


def _starts(side: int, step: int) -> NDArray[np.int64]:
    """First pixels of windows, whole periods apart."""
    return np.arange(0, max(side - WINDOW, 0) + 1, step, dtype=np.int64)


def _spread(side: int) -> list[int]:
    """SAMPLED first pixels over a side, whole periods apart."""
    room = max(side - 2 * WINDOW, 0)
    return sorted({room * part // (SAMPLED - 1) // PERIOD * PERIOD for part in range(SAMPLED)})
