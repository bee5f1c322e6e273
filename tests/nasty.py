"""Files made to do harm: by code, the same for the same seed, out of small made pictures.

`corpus` gives one file or more of every kind that is known to have broken readers of photos; random damage is in `nasty_mutations.py`.
What they do to `identify` is in `test_nasty.py` and, by the hundred thousand, in `benchmarks/robustness.py`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOF, SOF_PROGRESSIVE, DHT, DQT, SOS, APP1 = 0xC0, 0xC2, 0xC4, 0xDB, 0xDA, 0xE1
PARTS = ("marker", "length", "body", "end")


@dataclass(frozen=True)
class Nasty:
    """One file: what it is, and to which kind it belongs."""

    kind: str
    name: str
    data: bytes


def picture(seed: int = 0, side: int = 256) -> Pixels:
    """Pixels (side, side, 3) of a made scene: smooth, with texture, mid-tones everywhere."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 190, (max(side // 32, 2), max(side // 32, 2), 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    pixels: Pixels = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 250).astype(np.uint8)
    return pixels


def jpeg(pixels: Pixels | Image.Image, **options: Any) -> bytes:
    """A JPEG as Pillow writes it."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, "JPEG", **{"quality": 90, **options})
    return stream.getvalue()


def segments(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, start and end of every segment of a sound JPEG, entropy-coded data left between them."""
    found, at = [], 2
    while at < len(data) - 1:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0, 0xFF) or 0xD0 <= marker <= 0xD7:
            at += 1
            continue
        end = at + 2 if marker == EOI[1] else at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.append((marker, at, end))
        at = end
    return found


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def after_soi(data: bytes, *inserted: bytes) -> bytes:
    return SOI + b"".join(inserted) + data[2:]


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def where(data: bytes, marker: int) -> int:
    """Where the first segment of a marker starts."""
    return next(start for found, start, _ in segments(data) if found == marker)


def exif(entries: list[tuple[int, int, int, int]], extra: bytes = b"", following: int = 0) -> bytes:
    """An EXIF body: one directory of (tag, type, count, value or offset), the offset of the next, and bytes behind it."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", following) + extra


@cache
def bases() -> tuple[bytes, ...]:
    """Sound JPEGs of every common form, 256x256, which mutations start from."""
    pixels, tags = picture(), Image.Exif()
    tags.update({0x010F: "Aurora", 0x0110: "A100", 0x0131: "Firmware 1.0", 0x0132: "2026:11:22 10:00:00"})
    return (
        jpeg(pixels, subsampling="4:2:0", exif=tags),
        jpeg(picture(1), subsampling="4:4:4", quality=97),
        jpeg(picture(2), subsampling="4:2:2", quality=75, optimize=True),
        jpeg(picture(3), progressive=True, exif=tags),
        jpeg(picture(4), restart_marker_blocks=4),
        simplejpeg.encode_jpeg(picture(5), quality=85, colorsubsampling="440"),
        simplejpeg.encode_jpeg(picture(6), quality=85, colorsubsampling="411"),
    )


def corpus() -> list[Nasty]:
    """Every kind of nasty file, a few megabytes in all."""
    return [Nasty(make.__name__.strip("_"), name, data) for make in _MAKERS for name, data in make()]


def _truncated() -> Iterator[tuple[str, bytes]]:
    for form, data in (("baseline", bases()[0]), ("progressive", bases()[3])):
        for number, (marker, start, end) in enumerate(segments(data)):
            for part, at in zip(PARTS, (start + 1, start + 3, (start + end) // 2, end), strict=True):
                yield f"{form} {number} {marker:02x} {part}", data[:at]
        yield f"{form} in its pixels", data[: len(data) * 2 // 3]
        yield f"{form} without end", data.removesuffix(EOI)


def _wrong_lengths() -> Iterator[tuple[str, bytes]]:
    data = bases()[0]
    for marker, start, end in segments(data):
        for length in (0, 1, 2, end - start - 3, end - start - 1, 0xFFFF) if marker != EOI[1] else ():
            yield f"{marker:02x} {length}", patched(data, start + 2, struct.pack(">H", length))


def _tables() -> Iterator[tuple[str, bytes]]:
    for form, data in (("baseline", bases()[0]), ("progressive", bases()[3])):
        for marker in (DHT, DQT):
            start, end = next((start, end) for found, start, end in segments(data) if found == marker)
            for name, body in (("zeros", 0), ("ones", 255), ("sixteens", 16)):
                yield f"{form} {marker:02x} {name}", patched(data, start + 5, bytes([body]) * (end - start - 5))
            yield f"{form} {marker:02x} number 15", patched(data, start + 4, b"\x0f")
            yield f"{form} {marker:02x} missing", data[:start] + data[end:]
        yield f"{form} table of 16 bits", patched(data, where(data, DQT) + 4, b"\x10")


def _coded() -> Iterator[tuple[str, bytes]]:
    data = bases()[0]
    frame = where(data, SOF)
    for marker in (0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF):
        yield f"frame {marker:02x}", patched(data, frame + 1, bytes([marker]))  # C9 to CB: arithmetic
    for bits in (0, 2, 12, 16, 255):
        yield f"{bits} bits", patched(data, frame + 4, bytes([bits]))
    for name, body in (("0 components", b"\0"), ("1 component", b"\1"), ("4 components", b"\4"), ("255 components", b"\xff")):
        yield name, patched(data, frame + 9, body)
    for factors in (0x00, 0x11, 0x14, 0x41, 0x44, 0x55, 0xFF):
        yield f"factors {factors:02x}", patched(data, frame + 11, bytes([factors]))
    for name, sound in zip(("4:2:0", "4:4:4", "4:2:2", "progressive", "restarts", "4:4:0", "4:1:1"), bases(), strict=True):
        yield f"sound {name}", sound
    yield "grey", jpeg(Image.fromarray(picture()).convert("L"))
    yield "RGB", jpeg(picture(), keep_rgb=True)


def _four_inks() -> Iterator[tuple[str, bytes]]:
    data = jpeg(Image.fromarray(picture()).convert("CMYK"))
    yield "CMYK", data
    adobe = data.index(b"Adobe") + 11
    for transform in (1, 2, 255):
        yield f"YCCK {transform}", patched(data, adobe, bytes([transform]))


def _restarts() -> Iterator[tuple[str, bytes]]:
    data = bases()[4]
    first = next(at for at in range(where(data, SOS), len(data)) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7)
    yield "one missing", data[:first] + data[first + 2 :]
    yield "wrong number", patched(data, first + 1, b"\xd5")
    yield "thousands in a row", data[:first] + b"\xff\xd0\xff\xd1" * 20_000 + data[first:]
    yield "interval of 1", patched(data, where(data, 0xDD) + 4, b"\0\1")


def _thumbnails() -> Iterator[tuple[str, bytes]]:
    large, data = jpeg(picture(9, 640), quality=40), bases()[1]
    offset = 8 + 2 + 4 + 2 + 36 + 4
    body = exif([], b"\3\0" + b"".join(struct.pack("<HHII", *row) for row in _thumbnail(offset, len(large))) + bytes(4) + large, 14)
    yield "larger than the photo", after_soi(data, segment(APP1, body))
    yield "of a gigabyte", after_soi(data, segment(APP1, exif(_thumbnail(26, 1 << 30))))
    yield "before all", after_soi(data, segment(0xE0, b"JFXX\0\x10" + large[:60_000]))


def _thumbnail(offset: int, length: int) -> list[tuple[int, int, int, int]]:
    return [(0x0103, 3, 1, 6), (0x0201, 4, 1, offset), (0x0202, 4, 1, length)]


def _exif() -> Iterator[tuple[str, bytes]]:
    data, sixty = bases()[1], 60_000
    many = [(number + 1, 7, sixty, 8) for number in range(5000)]
    bodies = {
        "ring": exif([(0x010F, 2, 4, 0x44434241)], following=8),
        "ring of two": exif([], b"\0\0\x08\0\0\0", following=14),
        "directory in itself": exif([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)]),
        "giant count": exif([(0x010F, 2, 0xFFFFFFFF, 26), (0x0110, 12, 0x20000000, 26)]),
        "offset beyond": exif([(0x010F, 2, 40, 0xFFFFFFF0)]),
        "unknown types": exif([(0x010F, 0, 4, 0), (0x0110, 255, 4, 0), (0x0131, 13, 1, 8)]),
        "one over another": exif(many, b"a" * 4000),
        "make of 60 KB": exif([(0x010F, 2, sixty, 26)], b"M" * sixty),
        "make that steers terminals": exif([(0x010F, 2, 30, 26)], b"\x1b[2J\x1b]0;owned\x07\xe2\x80\xae evil\r\nline\0"),
        "make of numbers": exif([(0x010F, 5, 3, 8), (0x0110, 11, 1, 0x7FC00000)]),
        "nothing": b"Exif\0\0",
        "not even a header": b"Exif\0\0II*\0",
        "far directory": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    }
    for name, body in bodies.items():
        yield name, after_soi(data, segment(APP1, body))
    yield "in 300 segments", after_soi(data, *[segment(APP1, exif([], bytes(sixty)))] * 300)
    ring_of_icc = segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(100))
    yield "broken profile", after_soi(data, ring_of_icc * 255)


def _several_pictures() -> Iterator[tuple[str, bytes]]:
    stream = io.BytesIO()
    images = [Image.fromarray(picture(seed, 128)) for seed in (1, 2)]
    images[0].save(stream, "MPO", save_all=True, append_images=images[1:])
    data = stream.getvalue()
    yield "MPO", data
    index = data.index(b"MPF\0") + 4
    for name, body in (("far", b"\xff" * 4), ("ring", b"\0\0\0\x08"), ("nothing", bytes(4))):
        yield f"MPO {name}", patched(data, index + 4, body)
    yield "MPO of 4 billion", patched(data, index + 20, b"\xff" * 12)
    yield "two in a row", bases()[0] + bases()[1]
    yield "with a film behind", bases()[0] + np.random.default_rng(0).bytes(300_000)


def scan_bomb(scans: int, side: int = 2048, *, sound: bool = True) -> bytes:
    """A progressive JPEG of one colour whose last scan comes many times over, 31 bytes each; each is a pass over all its blocks."""
    data = jpeg(Image.new("RGB", (side, side), (100, 120, 90)), progressive=True)
    starts = [start for marker, start, _ in segments(data) if marker == SOS]
    last = data[starts[-1] :].removesuffix(EOI)
    return data[: starts[-1]] + last * scans + (EOI if sound else b"")


def _scan_bombs() -> Iterator[tuple[str, bytes]]:
    for scans in (90, 101, 5000):
        yield f"{scans} scans", scan_bomb(scans, 1024 if scans == 90 else 4096)
    yield "5000 scans without end", scan_bomb(5000, 4096, sound=False)
    data = bases()[0]
    start = where(data, SOS)
    yield "baseline, 500 scans", data[:start] + data[start:].removesuffix(EOI) * 500 + EOI
    header = data[start : segments(data)[-2][2]]
    yield "scans of nothing", data[:start] + header * 20_000 + EOI
    tables = b"".join(data[start:end] for marker, start, end in segments(data) if marker == DHT)
    yield "tables without end", data[:start] + tables * 5000 + data[start:]
    yield "a million segments", after_soi(data, segment(0xE5, b"") * 1_000_000)
    yield "megabytes of fill", after_soi(data, b"\xff" * 4_000_000)
    yield "megabytes of nothing", after_soi(data, bytes(4_000_000))


def _promised_sizes() -> Iterator[tuple[str, bytes]]:
    for form, data in (("baseline", bases()[0]), ("progressive", bases()[3]), ("arithmetic", bases()[0])):
        frame = next(start for marker, start, _ in segments(data) if marker in (SOF, SOF_PROGRESSIVE))
        form_data = patched(data, frame + 1, b"\xc9") if form == "arithmetic" else data
        for height, width in ((65500, 65500), (17000, 17000), (0, 256), (256, 0), (1, 65500), (65500, 1), (63, 63)):
            yield f"{form} {width}x{height}", patched(form_data, frame + 5, struct.pack(">HH", height, width))
    yield "PNG", png(65500, 65500, b"")
    yield "TIFF", tiff([(256, 4, 1, 65500), (257, 4, 1, 65500)])
    webp = _saved("WEBP", lossless=True)
    yield "WebP", patched(webp, 21, b"\xff\xff\xff\x0f")
    yield "BMP", patched(_saved("BMP"), 18, struct.pack("<ii", 65500, 65500))
    yield "GIF", patched(_saved("GIF"), 6, struct.pack("<HH", 65500, 65500))


def _saved(form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(7, 128)).save(stream, form, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, lines: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def _png() -> Iterator[tuple[str, bytes]]:
    lines = b"".join(b"\0" + line.tobytes() for line in picture(8, 128))
    megabyte = zlib.compress(bytes(1_000_000), 9)
    yield "bomb", png(3000, 3000, bytes(9001 * 3000))
    yield "too much behind", png(128, 128, lines + bytes(20_000_000))
    yield "text bombs", png(128, 128, lines, *[chunk(b"zTXt", b"a\0\0" + megabyte)] * 90)
    yield "profile bomb", png(128, 128, lines, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(30_000_000), 9)))
    yield "EXIF bomb", png(128, 128, lines, chunk(b"eXIf", exif([(n + 1, 7, 60_000, 8) for n in range(9000)])[6:]))
    yield "animated", png(128, 128, lines, chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)))
    yield "giant chunk", patched(png(128, 128, lines), 33, b"\x7f\xff\xff\xff")
    yield "cut short", png(128, 128, lines)[:-500]
    yield "wrong filter", png(128, 128, b"\x09" * len(lines))
    yield "no pixels", png(128, 128, b"")


def tiff(entries: list[tuple[int, int, int, int]], *, behind: bytes = b"", following: int = 0) -> bytes:
    """A TIFF of one directory and the bytes behind it."""
    return exif(entries, behind, following)[6:]


def _tiff() -> Iterator[tuple[str, bytes]]:
    plain = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 64), (279, 4, 1, 4096)]
    size = 8 + 2 + 12 * len(plain) + 4
    yield "ring", tiff(plain, behind=bytes(5000), following=8)
    chain = b"".join(b"\0\0" + struct.pack("<I", size + 6 * (number + 1)) for number in range(50_000))
    yield "chain of 50,000", tiff(plain, behind=chain, following=size)
    yield "one over another", tiff([(number, 7, 500_000, 8) for number in range(60_000)], behind=bytes(1000))
    strips = 100_000
    yield (
        "strips over one another",
        tiff(
            [(256, 4, 1, 3000), (257, 4, 1, strips), (262, 3, 1, 2), (277, 3, 1, 3), (273, 4, strips, 122), (278, 4, 1, 1)],
            behind=struct.pack("<I", 8) * strips,
        ),
    )
    yield "directory of nothing", tiff([])
    yield "beyond", b"II*\0\xff\xff\xff\xff"
    yield "BigTIFF", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60) + bytes(100)
    for compression in (1, 5, 7, 8, 32773, 34712, 50000, 50001):
        yield f"compression {compression}", tiff([*plain, (259, 3, 1, compression)], behind=bytes(5000))
    bomb = zlib.compress(bytes(3 * 8000 * 8000), 9)
    rows = [(256, 4, 1, 8000), (257, 4, 1, 8000), (259, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3), (273, 4, 1, 98), (278, 4, 1, 8000)]
    yield "bomb", tiff([*rows[:2], (258, 3, 1, 8), *rows[2:-1], rows[-1], (279, 4, 1, len(bomb))], behind=bytes(8) + bomb)


def _other_formats() -> Iterator[tuple[str, bytes]]:
    webp = _saved("WEBP", quality=80)
    yield "WebP cut short", webp[: len(webp) // 2]
    yield "WebP that says 4 GB", patched(webp, 4, b"\xff\xff\xff\xff")
    still = Image.fromarray(picture(7, 64))
    stream = io.BytesIO()
    still.save(stream, "WEBP", save_all=True, append_images=[still.rotate(90)] * 50, lossless=True)
    yield "WebP film", stream.getvalue()
    stream = io.BytesIO()
    still.save(stream, "GIF", save_all=True, append_images=[still.rotate(90)] * 150)
    yield "GIF film", stream.getvalue()
    for brand in (b"heic", b"mif1", b"avif"):
        yield f"{brand.decode()} of nothing", struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(200)
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(hello) print\n"
    for name, start in (
        ("PDF", b"%PDF-1.7"),
        ("SVG", b"<svg xmlns='x'>"),
        ("HTML", b"<html>"),
        ("ZIP", b"PK\3\4"),
        ("ELF", b"\x7fELF"),
    ):
        yield name, start + bytes(300)
    for form in ("ICO", "TGA", "PPM", "PCX", "SGI", "DDS"):
        yield form, _saved(form)


def _hardly_files() -> Iterator[tuple[str, bytes]]:
    for length in range(1, 5):
        yield f"first {length} bytes", b"\xff\xd8\xff\xe0"[:length]
    yield "empty", b""
    yield "start and end", SOI + EOI
    yield "zeros", bytes(100_000)
    yield "noise", np.random.default_rng(1).bytes(100_000)
    yield "JPEG start, then noise", SOI + b"\xff" + np.random.default_rng(2).bytes(100_000)
    yield "text", b"\xff\xfeh\0e\0l\0l\0o\0"
    yield "white", jpeg(np.full((128, 128, 3), 255, np.uint8))
    yield "too small", jpeg(picture(0, 40))
    yield "one patch", jpeg(picture(0, 64))
    yield "narrow", jpeg(Image.new("RGB", (65, 3000), (90, 80, 70)))


_MAKERS: tuple[Callable[[], Iterator[tuple[str, bytes]]], ...] = (
    *(_truncated, _wrong_lengths, _tables, _coded, _four_inks, _restarts, _thumbnails, _exif, _several_pictures, _scan_bombs),
    *(_promised_sizes, _png, _tiff, _other_formats, _hardly_files),
)
KINDS = tuple(make.__name__.strip("_") for make in _MAKERS)
