"""Files become the pixels they store, or a message that names the file and what was wrong with it."""

from __future__ import annotations

import hashlib
import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from camtrace.photo import find_photos, read_photo
from camtrace.types import Claim, PhotoError
from made import encode, noise

PIXELS = noise(80, 96, high=256)
IMAGE = Image.fromarray(PIXELS)
MAKE, MODEL, ORIENTATION, SOFTWARE = 0x010F, 0x0110, 0x0112, 0x0131


def exif(tags: dict[int, Any]) -> Image.Exif:
    written = Image.Exif()
    for tag, value in tags.items():
        written[tag] = value
    return written


def by_pillow(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def refusal(data: bytes) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        read_photo(data, name="holiday.xyz")
    assert str(caught.value).startswith("holiday.xyz: ")
    return caught.value


def png(width: int, height: int, depth: int, colour: int, lines: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [50, 90, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_pixels_are_those_of_pillow(subsampling: str, quality: int, progressive: bool) -> None:
    odd = noise(77, 91, seed=quality)
    data = encode(odd, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(read_photo(data).pixels, by_pillow(data))


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_give_the_pixels_they_were_given(file_format: str, options: dict[str, Any]) -> None:
    photo = read_photo(encode(PIXELS, file_format, **options))
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    assert photo.size == (96, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", {}), ("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_orientation_is_not_applied(file_format: str, options: dict[str, Any], orientation: int) -> None:
    turned = encode(PIXELS, file_format, exif=exif({ORIENTATION: orientation}), **options)
    np.testing.assert_array_equal(read_photo(turned).pixels, read_photo(encode(PIXELS, file_format, **options)).pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_colour_profile_is_not_applied(file_format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with_profile = encode(PIXELS, file_format, icc_profile=profile)
    assert Image.open(io.BytesIO(with_profile)).info["icc_profile"] == profile
    np.testing.assert_array_equal(read_photo(with_profile).pixels, read_photo(encode(PIXELS, file_format)).pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_claim_and_software_are_read(file_format: str) -> None:
    tags = {MAKE: "NIKON  CORPORATION\0\0", MODEL: " NIKON D90 ", SOFTWARE: "Ver.1.00 "}
    photo = read_photo(encode(PIXELS, file_format, exif=exif(tags)))
    assert photo.claim == Claim("NIKON CORPORATION", "NIKON D90")
    assert photo.software == "Ver.1.00"


def test_no_exif_claims_nothing() -> None:
    photo = read_photo(encode(PIXELS, "JPEG"))
    assert photo.claim == Claim(None, None)
    assert photo.software is None


def test_blank_and_numeric_tags_count_as_absent() -> None:
    assert read_photo(encode(PIXELS, "PNG", exif=exif({MAKE: "  ", ORIENTATION: 1}))).claim == Claim(None, None)


def test_quantization_tables_are_those_written() -> None:
    luma, chroma = list(range(1, 65)), list(range(65, 129))
    assert read_photo(encode(PIXELS, "JPEG", qtables=[luma, chroma])).quantization == {0: tuple(luma), 1: tuple(chroma)}
    assert read_photo(encode(PIXELS, "PNG")).quantization is None


def test_sha256_is_of_the_file_and_refused_files_have_one_too() -> None:
    data = encode(PIXELS, "JPEG")
    assert read_photo(data).sha256 == hashlib.sha256(data).hexdigest()
    assert refusal(b"hello world").sha256 == hashlib.sha256(b"hello world").hexdigest()


def test_path_text_bytes_and_stream_are_one_photo(tmp_path: Path) -> None:
    data = encode(PIXELS, "JPEG", exif=exif({MODEL: "D90"}))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with path.open("rb") as stream:
        photos = [read_photo(source) for source in (path, str(path), data, io.BytesIO(data), stream)]
    assert [photo.source for photo in photos] == [str(path), str(path), "<bytes>", "<stream>", str(path)]
    for photo in photos[1:]:
        np.testing.assert_array_equal(photo.pixels, photos[0].pixels)
        assert (photo.sha256, photo.claim, photo.quantization) == (photos[0].sha256, photos[0].claim, photos[0].quantization)
    assert read_photo(data, name="evidence 7").source == "evidence 7"


@pytest.mark.parametrize(
    ("mode", "file_format", "reason"),
    [
        ("L", "JPEG", "greyscale"),
        ("L", "PNG", "greyscale"),
        ("LA", "PNG", "greyscale"),
        ("1", "PNG", "black-and-white"),
        ("P", "PNG", "palette"),
        ("P", "GIF", "palette"),
        ("I;16", "PNG", "16-bit greyscale"),
        ("I;16", "TIFF", "16-bit greyscale"),
        ("CMYK", "JPEG", "CMYK"),
        ("CMYK", "TIFF", "CMYK"),
        ("LAB", "TIFF", "LAB"),
    ],
)
def test_images_without_colour_traces_are_refused(mode: str, file_format: str, reason: str) -> None:
    source = IMAGE.convert("L") if mode == "I;16" else IMAGE
    error = refusal(encode(source.convert(mode), file_format))
    assert f"{reason} image, expected an RGB colour photo" in str(error)
    assert error.status == "unreadable"


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(file_format: str) -> None:
    data = encode(IMAGE, file_format, save_all=True, append_images=[IMAGE.transpose(Image.Transpose.ROTATE_180)])
    assert "with 2 frames, expected a single photo" in str(refusal(data))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_one_transparent_pixel_is_refused_and_opaque_alpha_is_not(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    alpha = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(read_photo(encode(alpha, file_format, **options)).pixels, PIXELS)
    alpha[40, 40, 3] = 254
    assert "partly transparent" in str(refusal(encode(alpha, file_format, **options)))


def test_16_bit_colour_png_is_read_at_8_bits() -> None:
    lines = b"".join(b"\0" + (line.astype(np.uint16) * 256 + 77).astype(">u2").tobytes() for line in PIXELS)
    np.testing.assert_array_equal(read_photo(png(96, 80, 16, 2, lines)).pixels, PIXELS)


def test_tiff_in_luma_and_chroma_becomes_rgb() -> None:
    red = np.full((80, 96, 3), (200, 10, 10), np.uint8)
    pixels = read_photo(encode(Image.fromarray(red).convert("YCbCr"), "TIFF")).pixels
    assert np.abs(pixels.astype(int) - red).max() <= 4


def test_first_photo_of_a_multi_picture_file_is_read() -> None:
    smooth = Image.linear_gradient("L").convert("RGB")
    data = encode(smooth, "MPO", save_all=True, append_images=[Image.new("RGB", (256, 256))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    np.testing.assert_array_equal(read_photo(data).pixels, by_pillow(data))
    assert read_photo(data).pixels.max() > 200


def heic() -> bytes:
    pillow_heif.register_heif_opener()
    smooth = Image.merge("RGB", [Image.linear_gradient("L")] * 3)
    return encode(smooth, "HEIF", quality=95, exif=exif({MAKE: "Apple", MODEL: "iPhone 8"}))


def test_heic_is_read() -> None:
    photo = read_photo(heic())
    assert photo.size == (256, 256)
    assert photo.claim == Claim("Apple", "iPhone 8")
    expected = np.asarray(Image.linear_gradient("L"), int)
    assert np.abs(photo.pixels.astype(int) - expected[..., None]).max() < 12


def test_heic_without_its_reader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install 'camtrace[heic]'" in str(refusal(data))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(file_format: str, part: float) -> None:
    data = encode(PIXELS, file_format)
    assert "damaged" in str(refusal(data[: int(len(data) * part)]))


def test_files_that_are_no_photos_are_refused() -> None:
    assert "the file is empty, expected JPEG" in str(refusal(b""))
    assert "not a photo (the file starts with b'hello wo')" in str(refusal(b"hello world"))
    assert "damaged JPEG" in str(refusal(b"\xff\xd8\xff"))


def test_missing_files_folders_and_impossible_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.jpg: cannot be read: No such file"):
        read_photo(tmp_path / "gone.jpg")
    with pytest.raises(PhotoError, match=r"cannot be read: Is a directory"):
        read_photo(tmp_path)
    with pytest.raises(PhotoError, match=r"cannot be read: File name too long"):
        read_photo("a" * 5000)
    with pytest.raises(PhotoError, match=r"cannot be read: embedded null (byte|character)"):
        read_photo("a\0b.jpg")
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(PhotoError, match=r"<stream>: cannot be read: .*closed file"):
        read_photo(closed)


def test_a_jpeg_header_may_not_promise_any_size() -> None:
    data = encode(PIXELS, "JPEG")
    size = data.index(b"\xff\xc0") + 5
    error = refusal(data[:size] + struct.pack(">HH", 65500, 65500) + data[size + 4 :])
    assert "65500x65500 pixels, at most 300 megapixels are read" in str(error)


def test_a_png_header_may_not_promise_any_size() -> None:
    assert "too large" in str(refusal(png(65500, 65500, 8, 2, b"")))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_the_limit_on_pixels_can_be_lowered(file_format: str) -> None:
    data = encode(PIXELS, file_format)
    assert read_photo(data, max_pixels=80 * 96).size == (96, 80)
    with pytest.raises(PhotoError, match="96x80 pixels, at most"):
        read_photo(data, max_pixels=80 * 96 - 1)


def test_claim_of_a_very_large_jpeg_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes more than 179 megapixels for an attack; phones take photos of 200."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_photo(encode(PIXELS, "JPEG", exif=exif({MODEL: "SM-S918B"}))).claim.model == "SM-S918B"


@pytest.mark.parametrize(
    "broken",
    [b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 30, b"Exif\0\0garbage garbage", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"],
)
def test_broken_exif_does_not_stop_decoding(broken: bytes) -> None:
    photo = read_photo(encode(PIXELS, "JPEG", exif=broken))
    assert photo.claim == Claim(None, None)
    np.testing.assert_array_equal(photo.pixels, read_photo(encode(PIXELS, "JPEG")).pixels)


def test_folders_are_searched_for_photos_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.heic", "notes.txt", ".hidden/d.jpg", ".e.jpg", "sub/.f.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [str(path.relative_to(tmp_path)) for path in find_photos(tmp_path)] == ["a.png", "b.JPG", "sub/c.heic"]
