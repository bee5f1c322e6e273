"""Demosaicing: one Bayer plane (h, w) float32 in, RGB (h, w, 3) float32 out.

Each public function is one published way to fill in the two colours that a sensor pixel did not measure; METHODS lists
them by name. `phase` (row, col) in {0, 1}^2 says where the red pixel of the 2x2 cell lies.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from camtrace.simulator.filters import Plane, box, correlate

Phase = tuple[int, int]

_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
_ROW_GREEN = np.array([[-1, 2, 2, 2, -1]]) / 4
_ROW_GRADIENT = np.array([[-1, 0, 2, 0, -1]])
_ROW_SLOPE = np.array([[-1, 0, 1]])


def masks(shape: tuple[int, int], phase: Phase) -> NDArray[np.bool_]:
    """Where each colour was measured: (3, h, w) bool, in the order red, green, blue."""
    rows, cols = np.indices(shape)
    row_of_red = (rows - phase[0]) % 2 == 0
    col_of_red = (cols - phase[1]) % 2 == 0
    red, blue = row_of_red & col_of_red, ~row_of_red & ~col_of_red
    return np.stack([red, ~(red | blue), blue])


def mosaic(rgb: Plane, phase: Phase) -> Plane:
    """What a Bayer sensor measures of an RGB image: (h, w, 3) -> (h, w)."""
    red, green, blue = masks(rgb.shape[:2], phase)
    raw: Plane = rgb[..., 0] * red + rgb[..., 1] * green + rgb[..., 2] * blue
    return raw


def bilinear(raw: Plane, phase: Phase) -> Plane:
    """Mean of the nearest measured neighbours, colour by colour."""
    red, green, blue = masks(raw.shape, phase)
    green_plane = np.where(green, raw, correlate(raw * green, _CROSS))
    return np.stack([correlate(raw * red, _SQUARE), green_plane, correlate(raw * blue, _SQUARE)], axis=-1)


def smooth_hue(raw: Plane, phase: Phase) -> Plane:
    """Bilinear green, then red and blue so that the ratio to green varies smoothly (Cok 1987)."""
    red, green, blue = masks(raw.shape, phase)
    green_plane = np.where(green, raw, correlate(raw * green, _CROSS)) + np.float32(0.02)
    ratio = raw / green_plane
    return np.stack(
        [
            correlate(ratio * red, _SQUARE) * green_plane,
            green_plane - np.float32(0.02),
            correlate(ratio * blue, _SQUARE) * green_plane,
        ],
        axis=-1,
    )


def malvar(raw: Plane, phase: Phase) -> Plane:
    """Bilinear corrected by the Laplacian of the colour that was measured (Malvar, He and Cutler 2004)."""
    red, green, blue = masks(raw.shape, phase)
    green_kernel = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
    same_row = np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]) / 8
    diagonal = np.array([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]) / 8
    at_green, along_row, along_col, across = (correlate(raw, kernel) for kernel in (green_kernel, same_row, same_row.T, diagonal))
    in_red_row = np.broadcast_to(red.any(axis=1, keepdims=True), raw.shape)

    def chroma(own: NDArray[np.bool_], other: NDArray[np.bool_], own_row: NDArray[np.bool_]) -> Plane:
        return np.where(own, raw, np.where(other, across, np.where(own_row, along_row, along_col)))

    return np.stack([chroma(red, blue, in_red_row), np.where(green, raw, at_green), chroma(blue, red, ~in_red_row)], axis=-1)


def edge_directed(raw: Plane, phase: Phase) -> Plane:
    """Green along the direction of the smaller gradient, colour differences after it (Hamilton and Adams 1997)."""
    across, down = _directional_gradients(raw)
    row_wise, col_wise = correlate(raw, _ROW_GREEN), correlate(raw, _ROW_GREEN.T)
    chosen = np.where(across < down, row_wise, np.where(across > down, col_wise, (row_wise + col_wise) / 2))
    return _fill_from_green(raw, phase, chosen)


def directional(raw: Plane, phase: Phase) -> Plane:
    """Green as a soft mix of both directions, weighted by gradients summed over 5x5 (in the spirit of Menon et al. 2007)."""
    across, down = (np.square(box(gradient, 2)) + np.float32(1e-8) for gradient in _directional_gradients(raw))
    mixed: Plane = (down * correlate(raw, _ROW_GREEN) + across * correlate(raw, _ROW_GREEN.T)) / (across + down)
    return _fill_from_green(raw, phase, mixed)


def binned(raw: Plane, phase: Phase) -> Plane:
    """Wide, soft interpolation on a smoothed mosaic: a cheap phone pipeline, or a sensor read in binned groups."""
    rgb = bilinear(raw, phase)
    return correlate(rgb, _SQUARE / 4)


def _directional_gradients(raw: Plane) -> tuple[Plane, Plane]:
    across = np.abs(correlate(raw, _ROW_GRADIENT)) + np.abs(correlate(raw, _ROW_SLOPE))
    down = np.abs(correlate(raw, _ROW_GRADIENT.T)) + np.abs(correlate(raw, _ROW_SLOPE.T))
    return across, down


def _fill_from_green(raw: Plane, phase: Phase, green_estimate: Plane) -> Plane:
    red, green, blue = masks(raw.shape, phase)
    green_plane = np.where(green, raw, green_estimate)
    difference = raw - green_plane
    return np.stack(
        [green_plane + correlate(difference * red, _SQUARE), green_plane, green_plane + correlate(difference * blue, _SQUARE)],
        axis=-1,
    )


METHODS: dict[str, Callable[[Plane, Phase], Plane]] = {
    method.__name__: method for method in (bilinear, smooth_hue, malvar, edge_directed, directional, binned)
}
