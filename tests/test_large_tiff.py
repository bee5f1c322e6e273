"""Large TIFF photos: part by part the pixels are those of Pillow, nothing larger is decoded, and damage is refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camtrace import large_tiff, photo
from camtrace.history import cut_patches
from camtrace.photo import promised_pixels, read_photo
from camtrace.types import Photo, PhotoError
from made import encode, noise

HEIGHT, WIDTH = 203, 151
PIXELS = np.sort(noise(HEIGHT, WIDTH, seed=3), axis=0)  # something that LZW and deflate make smaller
OPAQUE = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
ORIENTATION, PREDICTOR = 274, 317
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "plain in strips": {"strip_size": 4000},
    "LZW": {"compression": "tiff_lzw", "strip_size": 4000},
    "LZW with predictor": {"compression": "tiff_lzw", "tiffinfo": {PREDICTOR: 2}, "strip_size": 4000},
    "deflate": {"compression": "tiff_adobe_deflate", "strip_size": 4000},
    "old deflate": {"compression": "tiff_deflate", "strip_size": 4000},
    "PackBits": {"compression": "packbits", "strip_size": 4000},
    "turned": {"compression": "tiff_lzw", "tiffinfo": {ORIENTATION: 6}, "strip_size": 4000},
    "JPEG": {"compression": "jpeg"},
}
Numbers = list[int]


def tiff(tags: dict[int, tuple[int, Numbers]], pieces: list[bytes], offsets: int, *, order: str = "<") -> bytes:
    """A TIFF of tags (SHORT is 3, LONG is 4) and pieces of data; the tag `offsets` says where these are."""
    tags = {**tags, offsets: (4, [0] * len(pieces))}
    for _ in range(2):  # once to know how long it is
        entries, values, behind = [], b"", 14 + 12 * len(tags)
        for tag, (kind, numbers) in sorted(tags.items()):
            packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
            if len(packed) > 4:
                values, packed = values + packed, struct.pack(f"{order}I", behind + len(values))
            entries.append(struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0"))
        start = behind + len(values)
        tags[offsets] = (4, (start + np.cumsum([0, *map(len, pieces[:-1])])).tolist())
    header = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    return b"".join([header, *entries, bytes(4), values, *pieces])


def described(compression: int, bits: int = 8) -> dict[int, tuple[int, Numbers]]:
    return {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [bits] * 3), 259: (3, [compression]), 262: (3, [2]), 277: (3, [3])}


def tiled(side: int = 48, *, order: str = "<", compressed: bool = True, **changed: tuple[int, Numbers]) -> bytes:
    """A TIFF in tiles, those at the edges filled up."""
    padded = np.pad(PIXELS, ((0, -HEIGHT % side), (0, -WIDTH % side), (0, 0)))
    tiles = [padded[r : r + side, c : c + side].tobytes() for r in range(0, HEIGHT, side) for c in range(0, WIDTH, side)]
    pieces = [zlib.compress(tile) for tile in tiles] if compressed else tiles
    tags = {**described(8 if compressed else 1), 322: (4, [side]), 323: (4, [side]), 325: (4, list(map(len, pieces)))}
    return tiff({**tags, **{int(name[1:]): value for name, value in changed.items()}}, pieces, 324, order=order)


def striped(rows: int = 20, **changed: tuple[int, Numbers]) -> bytes:
    """A TIFF in strips, packed by deflate."""
    pieces = [zlib.compress(PIXELS[row : row + rows].tobytes()) for row in range(0, HEIGHT, rows)]
    tags = {**described(8), 278: (4, [rows]), 279: (4, list(map(len, pieces)))}
    return tiff({**tags, **{int(name[1:]): value for name, value in changed.items()}}, pieces, 273)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every TIFF counts as large, and 6,000 pixels are decoded at once; the pixels of each part."""
    seen: list[int] = []
    decode = large_tiff._decode_part

    def watched(part: bytes, shape: tuple[int, int]) -> Any:
        with Image.open(io.BytesIO(part)) as image:
            seen.append(image.width * image.height)
        return decode(part, shape)

    monkeypatch.setattr(photo, "LARGE_TIFF", 0)
    monkeypatch.setattr(large_tiff, "AT_ONCE", 6000)
    monkeypatch.setattr(large_tiff, "_decode_part", watched)
    return seen


def whole(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Photo:
    """As Pillow reads it."""
    with monkeypatch.context() as plain:
        plain.setattr(photo, "LARGE_TIFF", 10**9)
        return read_photo(data)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opaque", [False, True])
def test_part_by_part_it_is_the_same_photo(form: str, opaque: bool, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    if opaque and form == "JPEG":
        return  # has no fourth channel
    image = Image.fromarray(OPAQUE if opaque else PIXELS)
    exif = Image.Exif()
    exif[271], exif[272] = "NIKON CORPORATION", "NIKON D90"
    data = encode(image, "TIFF", **(FORMS[form] if "tiffinfo" in FORMS[form] else {"exif": exif, **FORMS[form]}))
    found, expected = read_photo(data), whole(data, monkeypatch)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(cut_patches(found).pixels, cut_patches(expected).pixels)
    assert (found.claim, found.sha256) == (expected.claim, expected.sha256)
    if form == "JPEG" or "plain" in form:
        assert parts == []  # left to Pillow, or nothing to decode
    else:
        assert len(parts) > 3
        assert max(parts) <= 6000
        assert sum(parts) == HEIGHT * WIDTH


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("side", [16, 48, 208])
def test_tiles(order: str, compressed: bool, side: int, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiled(side, order=order, compressed=compressed)
    np.testing.assert_array_equal(read_photo(data).pixels, PIXELS)
    np.testing.assert_array_equal(whole(data, monkeypatch).pixels, PIXELS)
    assert len(parts) == -(-HEIGHT // side)


def test_strips_of_any_height(parts: list[int]) -> None:
    for rows in (1, 7, 39, 40, HEIGHT, 10**6):
        np.testing.assert_array_equal(read_photo(striped(rows)).pixels, PIXELS)


def test_transparent_ones_are_refused(parts: list[int]) -> None:
    seen_through = OPAQUE.copy()
    seen_through[-1, -1, 3] = 254
    for form in ("plain", "LZW"):
        with pytest.raises(PhotoError, match="partly transparent"):
            read_photo(encode(Image.fromarray(seen_through), "TIFF", **FORMS[form]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (striped()[:-100], "beyond the end of the file"),
        (encode(Image.fromarray(PIXELS), "TIFF")[: HEIGHT * WIDTH], "damaged"),
        (striped(_278=(4, [21])), "11 strips or tiles, expected 10"),
        (striped(_257=(4, [HEIGHT + 40])), "11 strips or tiles, expected 13"),
        (striped(_279=(4, [10**6] * 11)), "one over another"),
        (striped(_278=(4, [0])), "strips or tiles of 151x0"),
        (tiled(_322=(4, [0])), "strips or tiles of 0x48"),
        (tiled(_322=(4, [50])), "strips or tiles of 50x48"),
        (tiled(16, _322=(4, [1 << 30]), _323=(4, [1 << 30])), "strips or tiles of 1073741824x"),
        (tiff({**described(8), 278: (4, [HEIGHT]), 279: (4, [3])}, [b"abc"], 273), "damaged"),
    ],
)
def test_damage_is_refused_with_a_reason(data: bytes, reason: str, parts: list[int]) -> None:
    with pytest.raises(PhotoError, match=reason) as caught:
        read_photo(data, name="scan.tif")
    assert str(caught.value).startswith("scan.tif: damaged TIFF: ")


def test_16_bits_a_channel_are_left_to_pillow(parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = PIXELS.astype("<u2") * 256 + 77
    data = tiff({**described(1, bits=16), 278: (4, [HEIGHT]), 279: (4, [samples.nbytes])}, [samples.tobytes()], 273)
    np.testing.assert_array_equal(read_photo(data).pixels, whole(data, monkeypatch).pixels)
    np.testing.assert_array_equal(read_photo(data).pixels, PIXELS)
    assert parts == []


def test_changed_bytes_end_in_pixels_or_in_a_reason(parts: list[int]) -> None:
    rng = np.random.default_rng(7)
    ends = {"pixels": 0, "refused": 0}
    for base in (striped(), tiled(), encode(Image.fromarray(PIXELS), "TIFF", strip_size=4000)):
        for _ in range(60):
            data = bytearray(base)
            for place in rng.integers(0, 400, 3):  # header and directory
                data[place] = rng.integers(256)
            try:
                ends["pixels"] += read_photo(bytes(data), max_pixels=10**7).pixels.dtype == np.uint8
            except PhotoError:
                ends["refused"] += 1
    assert sum(ends.values()) == 180
    assert min(ends.values()) > 5


LARGER = {"TIFF": ("TIFF", {}), "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}), "PNG": ("PNG", {})}


def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """179 megapixels would take a while: Pillow is told to take less than those of PIXELS."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 3)
    monkeypatch.setattr(photo, "_ROWS", 20)
    monkeypatch.setattr(photo, "LARGE_TIFF", 1000)
    monkeypatch.setattr(large_tiff, "AT_ONCE", 6000)


@pytest.mark.parametrize("form", LARGER)
def test_more_than_pillow_takes(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, options = LARGER[form]
    data = encode(Image.fromarray(PIXELS), name, **options, **({"strip_size": 4000} if name == "TIFF" else {}))
    few_pixels(monkeypatch)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(read_photo(data).pixels, PIXELS)
    assert promised_pixels(data) == HEIGHT * WIDTH
    with pytest.raises(PhotoError, match="151x203 pixels, at most 0 megapixels"):
        read_photo(data, max_pixels=1000)
    monkeypatch.setattr(large_tiff, "MOST_PIXELS_A_BYTE", 0.1)
    with pytest.raises(PhotoError, match="too large"):
        read_photo(data)


@pytest.mark.parametrize("form", [("TIFF", {"compression": "jpeg"}), ("WEBP", {})])
def test_what_only_pillow_reads_keeps_its_limit(form: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.fromarray(PIXELS), form[0], **form[1])
    few_pixels(monkeypatch)
    with pytest.raises(PhotoError, match="too large"):
        read_photo(data)
