"""Path, bytes or stream -> Photo: the pixels as the camera stored them, and what the file says about itself.

JPEG goes through simplejpeg at its accurate settings, bit-identical to Pillow and OpenCV; everything else through Pillow.
EXIF orientation and ICC profiles are not applied: both move pixel values away from the sensor grid (METHOD section 1). The one
exception is HEIC, whose decoder turns photos as the file says before anybody can ask it not to.
Photos without the traces of a colour sensor (grey, palette, CMYK, animations) are refused with a reason rather than guessed.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from camtrace.types import Claim, Photo, PhotoError

Source = str | os.PathLike[str] | bytes | BinaryIO

MAX_PIXELS = 300_000_000
"""Photos larger than this are refused before they are decoded: a header can promise any size.

Formats other than JPEG are bound by Pillow's own limit as well, 179 megapixels."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif"})
"""File names that a folder is searched for."""

_JPEG_START = b"\xff\xd8\xff"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_FORMATS = "JPEG, PNG, TIFF, WebP or HEIC"
_EXIF_MAKE, _EXIF_MODEL, _EXIF_ORIENTATION, _EXIF_SOFTWARE = 0x010F, 0x0110, 0x0112, 0x0131
_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def read_photo(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photo.

    Parameters
    ----------
    source
        A path, the bytes of a file, or a binary stream.
    name
        What to call the photo in results and messages; by default its path, or `<bytes>`.
    max_pixels
        Refuse photos with more pixels than this.

    Raises
    ------
    PhotoError
        The file cannot be read, is no photo, or carries no colour traces; the message says which.
    """
    name = name or describe(source)
    return decode_photo(read_bytes(source, name), name, max_pixels=max_pixels)


def find_photos(folder: Path) -> list[Path]:
    """Photos in a folder and the folders below it, by their file names' endings, in sorted order; hidden ones are left alone."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def describe(source: Source) -> str:
    """The name of a source in results and messages."""
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "<stream>"))


def read_bytes(source: Source, name: str) -> bytes:
    """The bytes of a file, as `PhotoError` where they cannot be had."""
    if isinstance(source, bytes):
        return source
    try:
        if isinstance(source, str | os.PathLike):
            return Path(source).read_bytes()
        return source.read()
    except (OSError, ValueError) as error:  # ValueError: a closed stream, a path with a null byte
        raise PhotoError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def decode_photo(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Bytes of a file -> Photo. Raises PhotoError as `read_photo` does."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if not data:
            raise PhotoError(f"{name}: the file is empty, expected {_FORMATS}")
        is_jpeg = data.startswith(_JPEG_START)
        header = _read_header(data, name, is_jpeg=is_jpeg)
        pixels = _decode_jpeg(data, name, max_pixels) if is_jpeg else _decode_other(data, name, max_pixels)
    except PhotoError as error:
        error.sha256 = sha256
        raise
    return Photo(
        source=name,
        sha256=sha256,
        pixels=pixels,
        claim=header.claim,
        software=header.software,
        quantization=header.quantization,
    )


@dataclass(frozen=True)
class _Header:
    claim: Claim = field(default_factory=Claim)
    software: str | None = None
    quantization: dict[int, tuple[int, ...]] | None = None


def _read_header(data: bytes, name: str, *, is_jpeg: bool) -> _Header:
    """EXIF claim and quantisation tables. A JPEG whose metadata is broken is still judged by its pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about broken metadata; the claim is then simply absent
        try:
            # JPEG by its class: Image.open takes photos of 200 megapixels, which phones do take, for an attack
            image = JpegImageFile(io.BytesIO(data)) if is_jpeg else _open(data, name)
        except PhotoError:
            raise
        except Exception:  # Pillow's parsers raise many kinds on damaged files
            return _Header()
        return _read_metadata(image)


def _read_metadata(image: Image.Image) -> _Header:
    tables = getattr(image, "quantization", None)
    quantization = {number: tuple(table) for number, table in tables.items()} if tables else None
    try:
        exif = image.getexif()
        claim = Claim(make=_text(exif.get(_EXIF_MAKE)), model=_text(exif.get(_EXIF_MODEL)))
        return _Header(claim, _text(exif.get(_EXIF_SOFTWARE)), quantization)
    except Exception:  # Pillow's EXIF parser raises whatever a hostile file provokes; the claim is then simply absent
        return _Header(quantization=quantization)


def _text(value: object) -> str | None:
    """An EXIF string without its padding; anything else counts as absent."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    return " ".join(value.replace("\0", " ").split()) or None


def _decode_jpeg(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, name, max_pixels)
        _check_colours(colours, name)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    except ValueError as error:
        raise PhotoError(f"{name}: damaged JPEG: {error}") from error
    return pixels


def _decode_other(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    image = _open(data, name)
    _check_size(*image.size, name, max_pixels)
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise PhotoError(f"{name}: {image.format} with {frames} frames, expected a single photo")
    _check_colours(image.mode, name)
    try:
        pixels = np.asarray(_as_stored(image))
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise PhotoError(f"{name}: damaged {image.format}: {error}") from error
    if image.mode == "RGBA":
        if pixels[..., 3].min() < 255:
            raise PhotoError(f"{name}: partly transparent image, expected an opaque photo")
        pixels = pixels[..., :3]
    return np.ascontiguousarray(pixels)


def _as_stored(image: Image.Image) -> Image.Image:
    """Decode to RGB or RGBA. Pillow turns TIFF files, and only these, as their orientation says: this turns them back."""
    orientation = image.getexif().get(_EXIF_ORIENTATION) if image.format == "TIFF" else None
    image.load()
    stored = image.transpose(_TURN_BACK[orientation]) if orientation in _TURN_BACK else image
    return stored.convert("RGB") if stored.mode == "YCbCr" else stored


def _open(data: bytes, name: str) -> Image.Image:
    """Let Pillow recognise the file, without decoding its pixels yet."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        _enable_heif(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _check_size has the word
            return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise PhotoError(f"{name}: not a photo (the file starts with {data[:8]!r}), expected {_FORMATS}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: too large: {error}") from error
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise PhotoError(f"{name}: damaged file: {error}") from error


def _enable_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: HEIC photo; install the reader with: pip install 'camtrace[heic]'") from error
    pillow_heif.register_heif_opener()


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PhotoError(f"{name}: {width}x{height} pixels, at most {max_pixels / 1e6:.0f} megapixels are read")


def _check_colours(colours: str, name: str) -> None:
    """Refuse what no camera wrote in colour: `colours` is simplejpeg's colour space or Pillow's mode."""
    if colours in ("RGB", "RGBA", "YCbCr"):
        return
    kind = {"GRAY": "greyscale", "L": "greyscale", "1": "black-and-white", "P": "palette", "LA": "greyscale"}
    found = kind.get(colours.upper(), "16-bit greyscale" if colours.startswith("I") else colours.upper())
    raise PhotoError(f"{name}: {found} image, expected an RGB colour photo: the colour traces of a camera are not in it")
