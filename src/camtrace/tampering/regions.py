"""Connected areas of a map of cells, and their outlines in pixels: plain geometry, no evidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Point = tuple[int, int]


def find_areas(marked: Flags, *, smallest: int) -> list[Flags]:
    """Marked cells (r, c) -> each connected area (by sides) of at least `smallest` cells as (r, c) of its own, the largest first."""
    from scipy.ndimage import label

    numbers, count = label(marked)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    order = sorted(np.flatnonzero(sizes >= smallest).tolist(), key=lambda number: (-int(sizes[number]), number))
    return [numbers == number + 1 for number in order]


def largest_area(marked: Flags) -> Flags:
    """Marked cells (r, c) -> the largest connected area (by sides), nothing where nothing is marked."""
    from scipy.ndimage import label

    numbers, count = label(marked)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    area: Flags = numbers == 1 + int(sizes.argmax()) if count else np.zeros(marked.shape, bool)
    return area


def box_of(area: Flags, *, origin: tuple[int, int], cell: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of an area (r, c) in pixels, the last two just outside; `origin` is row and column of the first cell."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    left, right = (origin[1] + cell * int(place) for place in (columns[0], columns[-1] + 1))
    top, bottom = (origin[0] + cell * int(place) for place in (rows[0], rows[-1] + 1))
    return left, top, right, bottom


def outline_of(area: Flags, *, origin: tuple[int, int], cell: int) -> tuple[Point, ...]:
    """Corners (x, y) in pixels of the outer outline of one connected area (r, c), clockwise from the topmost left one; no holes."""
    steps = _border_steps(area)
    row, column = (int(place) for place in np.argwhere(area)[0])
    start = here = (column, row)
    heading, corners = (1, 0), [start]
    while True:
        here = (here[0] + heading[0], here[1] + heading[1])
        if here == start:
            break
        # where two cells touch by a corner there are two ways on: the right one stays with the same cell, so that it is one outline
        turned = next(way for way in ((-heading[1], heading[0]), heading, (heading[1], -heading[0])) if way in steps[here])
        if turned != heading:
            corners.append(here)
        heading = turned
    return tuple((origin[1] + cell * x, origin[0] + cell * y) for x, y in corners)


def _border_steps(area: Flags) -> dict[Point, set[Point]]:
    """From each corner of the border, in cells (x, y), the steps that keep the area on their right."""
    inside = np.pad(area, 1)
    steps: dict[Point, set[Point]] = {}
    # which neighbour is outside, where on the cell the step begins, and where it leads; y goes down
    for down, across, begin, step in (
        (-1, 0, (0, 0), (1, 0)),
        (0, 1, (1, 0), (0, 1)),
        (1, 0, (1, 1), (-1, 0)),
        (0, -1, (0, 1), (0, -1)),
    ):
        outside = ~np.roll(inside, (-down, -across), axis=(0, 1))
        for row, column in np.argwhere(inside & outside) - 1:
            steps.setdefault((int(column) + begin[0], int(row) + begin[1]), set()).add(step)
    return steps
