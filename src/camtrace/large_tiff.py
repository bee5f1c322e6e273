"""Large TIFF photos part by part: a few strips or one row of tiles at a time, each decoded by Pillow as a small TIFF of its own.

Pillow keeps four bytes a pixel of a whole photo beside the three that are wanted, and refuses more than 179 megapixels. Here memory is
bounded by the pixels and one part. Forms whose parts do not stand alone, or that cameras' programs do not write, are left to Pillow.

Nothing here trusts the file: parts must lie in it, be no more than it holds together, and have the sizes that its header promises.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from camtrace.screening import MOST_PIXELS_A_BYTE

AT_ONCE = 4_000_000
"""Pixels of a part, where strips or tiles are smaller."""

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _PREDICTOR, _EXTRA = 256, 257, 258, 259, 262, 277, 284, 317, 338
_STRIPS, _ROWS, _STRIP_BYTES, _FILL_ORDER = 273, 278, 279, 266
_TILE_WIDTH, _TILE_LENGTH, _TILES, _TILE_BYTES, _FORMAT = 322, 323, 324, 325, 339
_MOST_PARTS = 1 << 21  # tiles of 16x16 pixels in 500 megapixels
_PLAIN = 1
_COMPRESSIONS = (_PLAIN, 5, 8, 32946, 32773)  # none, LZW, deflate under two numbers, PackBits: each strip or tile by itself
_RGB = 2
_SHORT, _LONG = 3, 4

Rows = tuple[int, NDArray[np.uint8]]
"""The number of the first row, and the rows (n, width, 3 or 4) from there on."""


@dataclass(frozen=True)
class Parts:
    """A photo as it is stored: Pillow's size is that of one that was turned as the file says."""

    height: int
    width: int
    rows: Iterator[Rows]  # from the first to the last


@dataclass(frozen=True)
class _Layout:
    """Where the pixels of a TIFF lie: strips are tiles as wide as the photo."""

    width: int
    height: int
    tile: tuple[int, int]  # rows and columns
    offsets: Sequence[int]
    sizes: Sequence[int]
    tags: dict[int, Any]  # what every part has in common
    striped: bool

    @property
    def across(self) -> int:
        return -(-self.width // self.tile[1])


def open_large(data: bytes) -> Image.Image | None:
    """A TIFF or PNG of more pixels than Pillow opens without being asked; None where it is neither, or too small for what it promises.

    By its class: `Image.open` takes photos of 200 megapixels, which are stitched and scanned, for an attack.
    """
    if data[:2] not in (b"II", b"MM", b"\x89P"):
        return None
    stream = io.BytesIO(data)
    image = PngImageFile(stream) if data[:2] == b"\x89P" else TiffImageFile(stream)
    return image if image.width * image.height <= len(data) * MOST_PIXELS_A_BYTE else None


def parts_of(image: Image.Image, data: bytes) -> Parts | None:
    """The parts of a TIFF that Pillow opened; None where its form is left to Pillow.

    Raises
    ------
    ValueError
        The file does not hold what its header promises; Pillow's own errors for what is damaged, both while the rows are read too.
    """
    tags = dict(image.tag_v2) if isinstance(image, TiffImageFile) else {}
    if _is_unusual(tags):
        return None
    layout = _layout(tags, len(data))
    plain = layout.striped and tags.get(_COMPRESSION, _PLAIN) == _PLAIN
    return Parts(layout.height, layout.width, _view(layout, data, len(image.getbands())) if plain else _decode(layout, data))


def _is_unusual(tags: dict[int, Any]) -> bool:
    bits, samples = tags.get(_BITS, ()), tags.get(_SAMPLES)
    usual = (
        tags.get(_COMPRESSION, _PLAIN) in _COMPRESSIONS
        and tags.get(_PHOTOMETRIC) == _RGB
        and samples in (3, 4)
        and bits == (8,) * samples
        and set(tags.get(_FORMAT, (1,))) == {1}
        and tags.get(_PLANAR, 1) == tags.get(_FILL_ORDER, 1) == 1
        and tags.get(_PREDICTOR, 1) in (1, 2)
        and (_STRIPS in tags) != (_TILES in tags)
        and len(tags.get(_STRIPS, tags.get(_TILES, ()))) <= _MOST_PARTS
    )
    return not usual


def _layout(tags: dict[int, Any], length: int) -> _Layout:
    """Where the pixels lie in a file of so many bytes; ValueError where that cannot be."""
    width, height, striped = tags[_WIDTH], tags[_LENGTH], _STRIPS in tags
    tile = (min(tags.get(_ROWS, height), height), width) if striped else (tags.get(_TILE_LENGTH, 0), tags.get(_TILE_WIDTH, 0))
    if min(tile) < 1 or (not striped and (tile[0] % 16 or tile[1] % 16 or tile[0] * tile[1] > max(AT_ONCE, 2 * width * height))):
        raise ValueError(f"strips or tiles of {tile[1]}x{tile[0]} pixels in a photo of {width}x{height}")
    offsets, sizes = (tags[_STRIPS], tags.get(_STRIP_BYTES, ())) if striped else (tags[_TILES], tags.get(_TILE_BYTES, ()))
    common = {name: tags[name] for name in (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR, _EXTRA) if name in tags}
    layout = _Layout(width, height, tile, offsets, sizes, common, striped)
    wanted = -(-height // tile[0]) * layout.across
    if not len(offsets) == len(sizes) == wanted:
        raise ValueError(f"{len(offsets)} strips or tiles, expected {wanted}")
    if sum(sizes) > length:
        raise ValueError("strips or tiles lie one over another")
    return layout


def _view(layout: _Layout, data: bytes, channels: int) -> Iterator[Rows]:
    """Strips without compression are the rows already; nothing is copied."""
    line, row = layout.width * layout.tags[_SAMPLES], 0
    for offset in layout.offsets:
        rows = min(layout.tile[0], layout.height - row)
        strip = np.frombuffer(data, np.uint8, rows * line, offset)  # ValueError where the file ends before it
        yield row, strip.reshape(rows, layout.width, -1)[..., :channels]
        row += rows


def _decode(layout: _Layout, data: bytes) -> Iterator[Rows]:
    """Parts that Pillow decodes."""
    down = -(-layout.height // layout.tile[0])
    at_once = max(1, AT_ONCE // (layout.width * layout.tile[0])) if layout.striped else 1
    for first in range(0, down, at_once):
        places = range(first * layout.across, min(first + at_once, down) * layout.across)
        row = first * layout.tile[0]
        rows = min(at_once * layout.tile[0], layout.height - row)
        yield row, _decode_part(_part(layout, data, places, rows), (rows, layout.width))


def _decode_part(part: bytes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    with TiffImageFile(io.BytesIO(part)) as image:
        rows = np.asarray(image)
    if rows.shape[:2] != shape or rows.ndim != 3:
        raise ValueError(f"a part of {rows.shape}, expected {shape}")
    return rows


def _part(layout: _Layout, data: bytes, places: range, rows: int) -> bytes:
    """Some strips or tiles as a TIFF of their own, of so many rows."""
    pieces = [data[layout.offsets[place] : layout.offsets[place] + layout.sizes[place]] for place in places]
    if any(len(piece) != layout.sizes[place] for piece, place in zip(pieces, places, strict=True)):
        raise ValueError("a strip or tile lies beyond the end of the file")
    sizes = [len(piece) for piece in pieces]
    tags: dict[int, Any] = {**layout.tags, _WIDTH: layout.width, _LENGTH: rows, _PLANAR: 1}
    if layout.striped:
        tags |= {_ROWS: layout.tile[0], _STRIP_BYTES: sizes, _STRIPS: [0] * len(sizes)}
    else:
        tags |= {_TILE_LENGTH: layout.tile[0], _TILE_WIDTH: layout.tile[1], _TILE_BYTES: sizes, _TILES: [0] * len(sizes)}
    begins = len(_header(tags))
    tags[_STRIPS if layout.striped else _TILES] = [begins + before for before in np.cumsum([0, *sizes[:-1]]).tolist()]
    return b"".join([_header(tags), *pieces])


def _header(tags: dict[int, Any]) -> bytes:
    """The header and the only directory of a TIFF (TIFF 6.0, section 2), little-endian, with the values of its tags."""
    entries, values = [], b""
    behind = 8 + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        numbers = list(value) if isinstance(value, list | tuple) else [value]
        kind = _SHORT if tag in (_BITS, _EXTRA) else _LONG
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == _SHORT else 'I'}", *numbers)
        if len(packed) > 4:
            values, packed = values + packed, struct.pack("<I", behind + len(values))
        entries.append(struct.pack("<HHI4s", tag, kind, len(numbers), packed))
    return b"".join([b"II*\0", struct.pack("<IH", 8, len(tags)), *entries, bytes(4), values])
