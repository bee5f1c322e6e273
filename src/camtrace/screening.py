"""A quick look at the bytes of a photo before a decoder sees them: what would cost far more time or memory than its size allows.

Each look is linear in the size of the file. What they are for:

    scans             a progressive JPEG may hold thousands, each of a few bytes and each a pass over all pixels: minutes in libjpeg
    promised pixels   a header of 1 KB may promise 300 megapixels
    segments          Pillow joins EXIF segments in quadratic time and looks for markers byte by byte; it gets the few that matter
    directories       entries of an EXIF or TIFF directory may all point at the same megabytes: thousands of copies
    frames            a TIFF may hold a chain, or a ring, of any number of directories
    text              names in EXIF, files and manifests may hold what steers a terminal or turns the reading direction
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

MAX_SCANS = 100
"""Scans of a JPEG that are decoded at most. Photos have 1, progressive ones 10 to 15."""

MAX_SCAN_PIXELS = 6_000_000_000
"""Scans times pixels, at most: about 6 s of decoding. 20 scans of 300 megapixels, 100 of 60."""

MAX_SEGMENTS = 10_000
"""Segments of a JPEG: 10,000 of them hold 650 MB of metadata."""

MAX_EXIF = 1 << 20
MAX_TAGS = 1 << 26
"""Bytes that all values of a directory may take together: in the EXIF of a JPEG, and in that of a TIFF or elsewhere."""

MOST_PIXELS_A_BYTE = 500
"""Pixels of a TIFF or PNG that a byte can stand for: deflate packs at most 344 of them that are alike, LZW 457."""

MAX_FRAMES = 1000
_PIXELS_A_BYTE = 2048  # at least a bit for every block of one component that may be halved both ways; photos have 2 to 10 pixels
_ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})  # slower than Huffman's, by less than this factor
_SLOWER = 10
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ONE_PASS = frozenset({0xC0, 0xC1})
_DQT, _APP1, _SOS, _EOI = 0xDB, 0xE1, 0xDA, 0xD9
_EXIF = b"Exif\0\0"
_SCAN = re.compile(rb"\xff\xda")  # three times as fast as bytes.find
_OTHER_THAN_FF = re.compile(rb"[^\xff]")
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart, which belong to a scan
_HALVES = re.compile("[\ud800-\udfff]")
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

Segment = tuple[int, int, int]
"""Marker, where the segment starts, its marker included, and where it ends."""


def header_segments(data: bytes) -> Iterator[Segment]:
    """The segments of a JPEG up to its first scan, whose own is the last; fewer where the header is damaged."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff" or not (found := _OTHER_THAN_FF.search(data, at)):
            return
        marker, length = found.group()[0], data[found.end() : found.end() + 2]
        if marker in (0, _EOI) or len(length) < 2:
            return
        end = found.end() + int.from_bytes(length)
        yield marker, found.start() - 1, end
        if marker == _SOS:
            return
        at = end


def short_header(data: bytes) -> bytes:
    """The same JPEG with nothing but what tells of it: its tables, its EXIF (if no bomb) and its frame; without any scan."""
    told, exif = [b"\xff\xd8"], [b""]
    for marker, start, end in header_segments(data):
        if marker == _APP1 and data[start + 4 : start + 10] == _EXIF:
            exif.append(data[start:end])
        elif marker in _SOF or marker in (_DQT, _SOS):
            told.append(data[start:end])
    joined = b"".join(part[10:] for part in exif)
    told[1:1] = [] if len(joined) > MAX_EXIF or is_bloated(joined, most=MAX_EXIF) else exif
    return b"".join(told)


def find_burden(data: bytes, width: int, height: int) -> str | None:
    """Why a JPEG of this size would cost more to decode than it can be worth; None where it is worth a try."""
    segments = list(header_segments(data))
    arithmetic = any(marker in _ARITHMETIC for marker, _, _ in segments)
    if len(data) * _PIXELS_A_BYTE < width * height:
        return f"{len(data)} bytes cannot hold the {width}x{height} pixels that its header promises"
    if _is_one_scan(data, segments):
        return None
    if next(islice(_SCAN.finditer(data), 1, None), None) is None:
        return None
    scans = count_scans(data)
    if scans > MAX_SCANS:
        return f"more than {MAX_SCANS} scans, expected one, or about ten of a progressive photo"
    if scans * width * height * (_SLOWER if arithmetic else 1) > MAX_SCAN_PIXELS:
        return f"{scans} scans of {width}x{height} pixels would take too long to decode"
    return None


def _is_one_scan(data: bytes, segments: Sequence[Segment]) -> bool:
    """Whether the first scan is the only one that libjpeg decodes, as in nearly all photos: not progressive, all colours in it.

    It refuses a second one. To find out how many others have, every byte must be looked at.
    """
    frames = [(marker, start) for marker, start, _ in segments if marker in _SOF]
    if len(frames) != 1 or frames[0][0] not in _ONE_PASS or segments[-1][0] != _SOS:
        return False
    frame, scan = frames[0][1], segments[-1][1]
    return data[frame + 9 : frame + 10] == data[scan + 4 : scan + 5]  # how many colours


def count_scans(data: bytes) -> int:
    """Scans of a JPEG up to its end marker; counting ends just above MAX_SCANS, where there are too many segments too."""
    *_, (marker, _, at) = [(0, 0, 0), *header_segments(data)]
    if marker != _SOS:
        return 0
    scans = 1
    for _ in range(MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, at)
        if not found or found.group()[1] == _EOI:
            return scans
        scans += found.group()[1] == _SOS
        at = found.end()
        if found.group()[1] not in (0x01, 0xD8):  # the markers without a length
            at += max(2, int.from_bytes(data[at : at + 2]))
        if scans > MAX_SCANS:
            return scans
    return MAX_SCANS + 1


def directories(data: bytes, *, most: int = MAX_FRAMES) -> list[int]:
    """Where the directories of a TIFF, or of the EXIF behind its first six bytes, lie: the chain up to its end, ring or `most`."""
    found: list[int] = []
    layout = _layout(data)
    if layout is None:
        return found
    order, big = layout
    offset = _number(data, 8 if big else 4, order + ("Q" if big else "I"))
    while offset and offset not in found[-1:] and len(found) < most:
        count = _number(data, offset, order + ("Q" if big else "H"))
        if count is None:
            break
        found.append(offset)
        behind = offset + (8 + 20 * count if big else 2 + 12 * count)
        offset = _number(data, behind, order + ("Q" if big else "I"))
    return list(dict.fromkeys(found))


def is_bloated(data: bytes, *, most: int = MAX_TAGS, behind: int | None = None) -> bool:
    """Whether the values of a TIFF's or EXIF's first directory take more than `most` bytes, or more than twice what there is.

    `behind` is the tag that points to a directory which is looked at instead. `data` may also begin with the six bytes before EXIF in
    a JPEG; nothing else is bloated.
    """
    data = data.removeprefix(_EXIF)
    layout, places = _layout(data), directories(data, most=1)
    if layout is None or not places:
        return False
    if behind is not None:
        places = [value for tag, _, _, value in _entries(data, places[0], layout) if tag == behind]
    return any(_weigh(data, place, layout) > min(most, 2 * len(data)) for place in places)


def _weigh(data: bytes, place: int, layout: tuple[str, bool]) -> int:
    """Bytes that the values of a directory take beyond its entries."""
    total = 0
    for _, kind, number, value in _entries(data, place, layout):
        size = _UNITS.get(kind, 0) * number
        total += min(size, max(0, len(data) - value)) if size > (8 if layout[1] else 4) else 0
    return total


def _entries(data: bytes, place: int, layout: tuple[str, bool]) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, number and value (or where it lies) of what a directory holds."""
    order, big = layout
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    start = place + (8 if big else 2)
    count = min(_number(data, place, order + ("Q" if big else "H")) or 0, (len(data) - start) // entry.size, 1 << 16)
    yield from entry.iter_unpack(data[start : start + max(count, 0) * entry.size])


def _layout(data: bytes) -> tuple[str, bool] | None:
    """Byte order, and whether it is a BigTIFF; None where it is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    kind = _number(data, 2, f"{order}H") if order else None
    return (order, kind == 43) if order and kind in (42, 43) else None


def _number(data: bytes, at: int, kind: str) -> int | None:
    size = struct.calcsize(kind)
    return int(struct.unpack_from(kind, data, at)[0]) if 0 <= at <= len(data) - size else None


def visible(text: str, *, longest: int = 1000) -> str:
    r"""Text from strangers, safe to show on one line: what steers a terminal, breaks lines or turns the reading direction as `\x..`.

    Spaces that are not plain stay; half characters of undecodable file names stay, as JSON and streams have ways to write them.
    """
    cut = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return cut if cut.isprintable() else "".join(map(_shown, cut))


def as_text(name: str) -> str:
    """A name that can be written as UTF-8: half characters, which stand for bytes of a file name that are no text, become U+FFFD."""
    return _HALVES.sub("\ufffd", name)


def _shown(character: str) -> str:
    unsafe = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
    return character.encode("unicode_escape").decode("ascii") if unsafe else character
