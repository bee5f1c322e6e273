"""What happened to a photo after the camera: its JPEG grid, the tables that saved it, the program that wrote it.

A JPEG keeps the cosine coefficients of 8x8 blocks as multiples of steps, most of them zero. Cut on that grid, decoded pixels have
more coefficients near zero than on any other of the 64 grids (the idea of Fan and de Queiroz, "Identification of bitmap
compression history", IEEE TIP 12(2), 2003, who measure block borders). A crop moves the grid, a resize destroys it. Patches that
are cut on the grid look as those of the uncropped photo do. Nothing is said here that was not measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from camtrace.patches import PATCH_COUNT, PATCH_SIZE, select_patches
from camtrace.types import Patches, Photo

BLOCK = 8
SMALLEST = 64
"""Shorter sides than this are not searched: no patch fits into them either."""

WINDOW = 256
WINDOWS = 3
NEEDED = 0.07
"""Certainty from which on a grid is one: 1,446 of 1,449 originals reach it (46 cameras, crops of 512x512), 99 % have 0.13 or more;
of 200 resized in twelve ways none does (the highest has 0.06), unless pixels were simply repeated, which makes blocks of its own."""

NEEDED_CHROMA = 0.06
"""The same for halved chroma: 97 % of the originals (4:2:2 and 4:2:0) reach it, all at the right place; 240 photos with full chroma
do not."""

PROGRAMS_UP_TO = 92
"""Standard tables up to this quality are worth a word: 332 of the 1,449 originals have standard tables, 47 of them these."""

EDITORS = (
    *("photoshop", "lightroom", "adobe", "gimp", "picasa", "snapseed", "instagram", "vsco", "picsart", "photoscape", "polarr", "canva"),
    *("capture one", "darktable", "rawtherapee", "dxo", "affinity", "pixelmator", "luminar", "skylum", "acdsee", "paintshop", "corel"),
    *("irfanview", "xnview", "faststone", "imagemagick", "graphicsmagick", r"paint\.net", "digikam", "aperture", "iphoto"),
    *(
        "windows photo (viewer|editor|gallery)",
        "microsoft windows photo",
        "windows live photo",
        "(microsoft|google) photos",
        "photos [0-9]",
    ),
)
"""Programs known by the EXIF's Software, as patterns in small letters. Cameras write their firmware there: that is no trace."""

_NEAR_ZERO, _NEAR_ZERO_CHROMA = 0.6, 0.3  # found by trying: rounding to 8 bit adds about 0.35 and 0.3 (standard deviation)
_RIVALS = ((1, 0), (7, 0), (0, 1), (0, 7), (4, 0), (0, 4))  # grids that share rows or columns with the true one come nearest
LUMA = (0.299, 0.587, 0.114)
_CHROMA = ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF's Cb and Cr

# ITU-T T.81, tables K.1 and K.2, row by row: what libjpeg scales by quality
_LUMA_STEPS = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEPS = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Where the blocks of a JPEG begin: the first whole one at pixel (row, column), then every `period` pixels down and across.

    A period is 16 where the chroma was halved and its blocks were found, else 8; row and column lie within one period.
    """

    row: int
    column: int
    certainty: float  # lead in near-zero coefficients over the next grid, in deviations of a single coefficient
    period: tuple[int, int] = (BLOCK, BLOCK)


@dataclass(frozen=True)
class History:
    """What the file and the pixels say about the time after the camera."""

    grid: Grid | None
    cropped: bool  # the grid does not start at the first pixel
    last_quality: int | None  # of libjpeg's standard tables, if the file has exactly these
    once_jpeg: bool  # a grid in a file that is no JPEG
    no_grid: bool  # looked for in a file that is no JPEG, and not found
    software: str | None  # as the EXIF has it

    def words(self) -> tuple[str, ...]:
        """What is worth a word in a verdict's reason; nothing for an original JPEG of most cameras."""
        return tuple(_words(self))


def examine(photo: Photo) -> History:
    """Look for the traces of everything that `History` holds."""
    grid = find_grid(photo.pixels)
    is_jpeg = photo.quantization is not None
    return History(
        grid=grid,
        cropped=grid is not None and (grid.row, grid.column) != (0, 0),
        last_quality=standard_quality(photo.quantization or {}),
        once_jpeg=grid is not None and not is_jpeg,
        no_grid=grid is None and not is_jpeg and min(photo.size) >= SMALLEST,
        software=photo.software,
    )


def cut_patches(
    photo: Photo, history: History | None = None, *, rule: str = "mid-tone", count: int = PATCH_COUNT, size: int = PATCH_SIZE
) -> Patches:
    """`select_patches` on the photo's own JPEG grid: how patches are cut to be judged, to teach and to train alike.

    `history`, where it is known already, saves a second search. Raises PhotoError as `select_patches` does.
    """
    grid = history.grid if history else find_grid(photo.pixels)
    return select_patches(photo, rule=rule, count=count, size=size, origin=origin_of(photo.pixels, grid, size=size))


def origin_of(pixels: Pixels, grid: Grid | None, *, size: int) -> tuple[int, int]:
    """Row and column where patches begin: those of the grid, or (0, 0) where there is none or no patch would fit behind it."""
    fits = grid is not None and pixels.shape[0] - grid.row >= size and pixels.shape[1] - grid.column >= size
    return (grid.row, grid.column) if grid is not None and fits else (0, 0)


def find_grid(pixels: Pixels) -> Grid | None:
    """The JPEG grid in pixels (h, w, 3) uint8, the clearest where there are several, or None.

    A photo saved as a JPEG, cropped and saved again has two grids: up to a quality of about 95 the last one is found, above it
    sometimes the first. Takes 3 ms for a photo whose grid starts at its first pixel, 6 ms for a crop, up to 25 ms for one without a
    grid; the size of the photo matters little.
    """
    if min(pixels.shape[:2]) < SMALLEST:
        return None
    for down, across in _busiest_windows(pixels)[:WINDOWS]:
        window = pixels[down : down + WINDOW, across : across + WINDOW]
        if grid := _grid_of(window):
            return grid  # windows begin at multiples of 16: the grid of the window is that of the photo
    return None


def standard_quality(tables: dict[int, tuple[int, ...]]) -> int | None:
    """The quality 1..100 at which libjpeg writes exactly these tables (luma is number 0, all others chroma), else None."""
    chroma = {steps for number, steps in tables.items() if number}
    return _standard_tables().get((tables[0], *chroma)) if 0 in tables and len(chroma) == 1 else None


def _words(history: History) -> list[str]:
    words = []
    if history.grid and history.cropped:
        words.append(
            f"its JPEG grid starts at row {history.grid.row}, column {history.grid.column}: "
            "it was cropped or turned after it was saved as a JPEG"
        )
    if history.no_grid:
        words.append("no JPEG grid: it was resized or filtered, or never was a JPEG")
    if history.last_quality is not None and history.last_quality <= PROGRAMS_UP_TO:
        words.append(f"saved with the standard tables at quality {history.last_quality}, as editors and messengers do and few cameras")
    if history.software and re.search(rf"\b({'|'.join(EDITORS)})", history.software.lower()):
        words.append(f"edited with {history.software}, as its EXIF says")
    return words


def _busiest_windows(pixels: Pixels) -> list[tuple[int, int]]:
    """Corners of up to 16 windows, those with the most detail first: flat ones have zeros on every grid."""
    corners = [(down, across) for down in _starts(pixels.shape[0]) for across in _starts(pixels.shape[1])]
    detail = _detail([pixels[down : down + WINDOW, across : across + WINDOW] for down, across in corners])
    return [corners[place] for place in np.argsort(-detail, kind="stable").tolist()]


def _starts(side: int) -> list[int]:
    return sorted({max(side - WINDOW, 0) * part // 3 // 16 * 16 for part in range(4)})


def _detail(windows: list[Pixels]) -> NDArray[np.float64]:
    """(n,) mean step of green from pixel to pixel in every eighth line; a hard edge counts no more than a fine texture."""
    green = np.stack([window[::8, :, 1] for window in windows])
    left, right = green[:, :, :-1], green[:, :, 1:]
    steps = np.maximum(left, right) - np.minimum(left, right)  # in bytes
    mean: NDArray[np.float64] = np.minimum(steps, 16).mean(axis=(1, 2))
    return mean


def _grid_of(window: Pixels) -> Grid | None:
    """Ask the first pixel, where most grids start, and only then all 64 places, roughly."""
    luma = _weighted(window, LUMA)
    row, column, certainty = 0, 0, _certainty(luma, 0, 0)
    if certainty < NEEDED:
        every = 2 if luma.size > 128 * 128 else 1
        rough = [_near_zero(luma, *divmod(place, BLOCK), every=every) for place in range(BLOCK * BLOCK)]
        row, column = divmod(int(np.argmax(rough)), BLOCK)
        certainty = _certainty(luma, row, column)
    return _with_chroma(window, Grid(row, column, certainty)) if certainty >= NEEDED else None


def _weighted(pixels: Pixels, weights: tuple[float, float, float]) -> Plane:
    """(h, w): the three channels as one."""
    return np.asarray(pixels @ np.array(weights, np.float32), np.float32)


def _certainty(luma: Plane, row: int, column: int) -> float:
    own = _near_zero(luma, row, column)
    rivals = [_near_zero(luma, (row + down) % BLOCK, (column + across) % BLOCK) for down, across in _RIVALS]
    return _lead(own, max(rivals))


def _lead(share: float, rival: float) -> float:
    """How far one share is above another, in deviations of what is counted: 0.02 is much near 0 or 1, and little near 0.5."""
    return float((share - rival) / np.sqrt(max(rival * (1 - rival), 1e-4)))


def _near_zero(plane: Plane, row: int, column: int, *, lowest: int = 3, limit: float = _NEAR_ZERO, every: int = 1) -> float:
    """Share of coefficients u + v >= `lowest` that are below `limit`, of blocks that start at (row, column), or of every other one."""
    down, across = (plane.shape[0] - row) // BLOCK, (plane.shape[1] - column) // BLOCK
    lines = plane[row : row + BLOCK * down, column : column + BLOCK * across].reshape(down, BLOCK, across, BLOCK)
    blocks = lines[::every, :, ::every].transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK)
    coefficients = blocks @ _cosines(lowest)  # (blocks, kept coefficients)
    return float(np.count_nonzero(np.abs(coefficients) < limit) / coefficients.size)


@cache
def _cosines(lowest: int) -> Plane:
    """As `cosines`, the lowest frequencies left out."""
    order = np.arange(BLOCK)
    return cosines(tuple(np.flatnonzero(np.add.outer(order, order).ravel() >= lowest).tolist()))


@cache
def cosines(kept: tuple[int, ...]) -> Plane:
    """(64, kept): the orthonormal two-dimensional DCT of a block as one product; frequency (u, v) has the number BLOCK * u + v."""
    order = np.arange(BLOCK)
    basis = np.cos((2 * order + 1) * order[:, None] * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return np.ascontiguousarray(np.kron(basis, basis)[list(kept)].T, dtype=np.float32)


def _with_chroma(window: Pixels, grid: Grid) -> Grid:
    """The grid with its period of 16 down and across, where the blocks of halved chroma are there and not too few."""
    if min(window.shape[:2]) < WINDOW // 2:
        return grid
    shares = np.mean([_chroma_shares(window, grid, weights) for weights in _CHROMA], axis=0)  # (2, 2)
    down, down_period = _halved(shares.max(axis=1))
    across, across_period = _halved(shares.max(axis=0))
    return Grid(grid.row + down, grid.column + across, grid.certainty, (down_period, across_period))


def _halved(shares: NDArray[np.float64]) -> tuple[int, int]:
    """What to add to a start that is known modulo 8, and the period: from the shares (2,) of the two starts modulo 16."""
    if _lead(shares.max(), shares.min()) < NEEDED_CHROMA:
        return 0, BLOCK
    return BLOCK * int(shares.argmax()), 2 * BLOCK


def _chroma_shares(window: Pixels, grid: Grid, weights: tuple[float, float, float]) -> NDArray[np.float64]:
    """(2, 2) near-zero shares of one halved chroma plane, its blocks starting 0 or 8 pixels below and right of the grid's."""
    chroma = _halve(_weighted(window[grid.row % 2 :, grid.column % 2 :], weights))
    starts = [[(start // 2 + later) % BLOCK for later in (0, BLOCK // 2)] for start in (grid.row, grid.column)]
    shares = [[_near_zero(chroma, row, column, lowest=2, limit=_NEAR_ZERO_CHROMA) for column in starts[1]] for row in starts[0]]
    return np.array(shares)


def _halve(plane: Plane) -> Plane:
    """Undo the decoder's doubling of chroma: means of 2x2 pixels, then the blur that its triangle filter left (1 6 1) / 8."""
    height, width = (side // 2 for side in plane.shape)
    left, right = plane[: 2 * height, : 2 * width : 2], plane[: 2 * height, 1 : 2 * width : 2]
    rows = left + right
    half = np.asarray((rows[::2] + rows[1::2]) / 4, np.float32)  # ten times as fast as the mean over two axes, which adds in this order
    half[1:-1] -= (half[2:] - 2 * half[1:-1] + half[:-2]) / 8
    half[:, 1:-1] -= (half[:, 2:] - 2 * half[:, 1:-1] + half[:, :-2]) / 8
    return half


@cache
def _standard_tables() -> dict[tuple[tuple[int, ...], ...], int]:
    """Luma and chroma tables -> quality."""
    return {(_scaled(_LUMA_STEPS, quality), _scaled(_CHROMA_STEPS, quality)): quality for quality in range(1, 101)}


def _scaled(steps: tuple[int, ...], quality: int) -> tuple[int, ...]:
    """Steps as libjpeg scales them (jcparam.c), kept to one byte."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(min(max((step * percent + 50) // 100, 1), 255) for step in steps)
