"""Path, bytes or stream -> Photo: the pixels as the camera stored them, and what the file says about itself.

JPEG goes through simplejpeg at its accurate settings, bit-identical to Pillow and OpenCV; everything else through Pillow.
EXIF orientation and ICC profiles are not applied: both move pixel values away from the sensor grid (METHOD section 1). The one
exception is HEIC, whose decoder turns photos as the file says before anybody can ask it not to.
Photos without the traces of a colour sensor (grey, palette, CMYK, animations) are refused with a reason rather than guessed.

Files are hostile until shown otherwise: only regular files are read, up to MAX_BYTES, decoded up to MAX_PIXELS, once `screening`
found nothing in them that costs more than it can be worth. Decoding takes at most about 9 bytes of memory a pixel beside the file
(progressive JPEG keeps coefficients, Pillow its own copy), 3 for a large TIFF in strips or tiles; time has no limit but these: who
needs one kills the process.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from camtrace.safe_files import read_regular, read_stream
from camtrace.screening import MAX_EXIF, directories, find_burden, is_bloated, short_header, visible
from camtrace.types import Claim, Photo, PhotoError

Source = str | os.PathLike[str] | bytes | BinaryIO

MAX_PIXELS = 300_000_000
"""Photos larger than this are refused before they are decoded: a header can promise any size.

Formats other than JPEG, TIFF and PNG are bound by Pillow's own limit as well, 179 megapixels."""

LARGE_TIFF = 40_000_000
"""Pixels from which on a TIFF is decoded part by part, where its form allows."""

MAX_BYTES = 600_000_000
"""Files larger than this are refused before they are read: 179 megapixels without compression, and their metadata."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif"})
"""File names that a folder is searched for."""

_JPEG_START = b"\xff\xd8\xff"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_FORMATS = "JPEG, PNG, TIFF, WebP or HEIC"
_OPENED = ("PNG", "TIFF", "WEBP", "BMP", "GIF")  # Pillow's others stay shut: EPS runs a program, and none of them holds photos
_ROWS = 256  # decoded pixels are copied so many rows at a time
_LONGEST = 200  # characters of a claim; the longest make and model known have 40
_MOST_FRAMES = 100
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


def read_photo(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Photo:
    """Decode a photo.

    Parameters
    ----------
    source
        A path, the bytes of a file, or a binary stream.
    name
        What to call the photo in results and messages; by default its path, or `<bytes>`.
    max_pixels
        Refuse photos with more pixels than this.
    max_bytes
        Refuse files with more bytes than this, and give up streams behind them.

    Raises
    ------
    PhotoError
        The file cannot be read, is no photo, or carries no colour traces; the message says which.
    """
    name = name or describe(source)
    return decode_photo(read_bytes(source, name, most=max_bytes), name, max_pixels=max_pixels)


def find_photos(folder: Path) -> list[Path]:
    """Photos in a folder and the folders below it, by their file names' endings, in sorted order; hidden ones are left alone."""
    return [Path(path) for path in walk(folder)]


def walk(folder: Path, *, on_error: Callable[[OSError], object] = lambda _: None) -> Iterator[str]:
    """What `find_photos` finds, in its order, one folder after the other: memory is bounded by the largest folder.

    A folder that cannot be read is left out, and `on_error` is told.
    """
    stack = [iter(_listed(folder, on_error))]
    while stack:
        if (entry := next(stack[-1], None)) is None:
            stack.pop()
        elif entry.is_dir(follow_symlinks=False):
            stack.append(iter(_listed(Path(entry.path), on_error)))
        elif (path := Path(entry.path)).suffix.lower() in SUFFIXES and os.path.isfile(path):  # noqa: PTH113 - never raises
            yield str(path)


def _listed(folder: Path, on_error: Callable[[OSError], object]) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: os.path.normcase(one.name))
    except OSError as error:
        on_error(error)
        return []


def describe(source: Source) -> str:
    """The name of a source in results and messages."""
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "<stream>"))


def read_bytes(source: Source, name: str, *, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file or a stream, at most `most`, as `PhotoError` where they cannot be had."""
    try:
        if isinstance(source, bytes):
            return source if len(source) <= most else read_stream(io.BytesIO(source), most=most)
        if isinstance(source, str | os.PathLike):
            return read_regular(source, most=most)
        return read_stream(source, most=most)
    except (OSError, ValueError) as error:  # ValueError: a closed stream, a path with a null byte
        raise PhotoError(
            f"{visible(name)}: cannot be read: {getattr(error, 'strerror', None) or error}; check the path and your right to read it"
        ) from error


def decode_photo(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Bytes of a file -> Photo. Raises PhotoError as `read_photo` does."""
    sha256 = hashlib.sha256(data).hexdigest()
    shown = visible(name)
    try:
        if not data:
            raise PhotoError(f"{shown}: the file is empty, expected {_FORMATS}")
        is_jpeg = data.startswith(_JPEG_START)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs, where _check_size has the word, and of broken metadata
            pixels, header = (_decode_jpeg if is_jpeg else _decode_other)(data, shown, max_pixels)
    except PhotoError as error:
        error.sha256 = sha256
        raise
    except MemoryError as error:
        failure = PhotoError(f"{shown}: not enough memory to decode it")
        failure.sha256 = sha256
        raise failure from error
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


def _read_header(data: bytes) -> _Header:
    """EXIF claim and quantisation tables of a JPEG. One whose metadata is broken is still judged by its pixels."""
    try:
        # by its class: Image.open takes photos of 200 megapixels, which phones do take, for an attack
        return _read_metadata(JpegImageFile(io.BytesIO(short_header(data))))
    except Exception:  # Pillow's parsers raise many kinds on damaged files
        return _Header()


def read_tags(data: bytes) -> dict[int, object]:
    """The EXIF of a file by the numbers of its tags; none where there is none, it is broken, or it was made to do harm."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of every oddity of an EXIF
            image = JpegImageFile(io.BytesIO(short_header(data))) if data.startswith(_JPEG_START) else _open(data, "")
            if (exif := _exif_of(image)) is None:
                return {}
            deeper = ExifTags.IFD.Exif
            bloated = is_bloated(image.info.get("exif", data), most=MAX_EXIF, behind=deeper)  # a TIFF is its own EXIF
            return {**exif, **({} if bloated else exif.get_ifd(deeper))}
    except Exception:  # hostile bytes make Pillow raise nearly anything
        return {}


def promised_pixels(data: bytes) -> int:
    """How many pixels the header of a file promises; 0 where it has none that can be read, of which decoding it will say more."""
    try:
        if data.startswith(_JPEG_START):
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            return int(height * width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the count is what is asked for, large or not
            image = _open(data, "")
        return image.width * image.height
    except Exception:  # whatever it is, a decoder will find it again and say so
        return 0


def _exif_of(image: Image.Image) -> Image.Exif | None:
    """None where it is a bomb."""
    return None if is_bloated(image.info.get("exif", b""), most=MAX_EXIF) else image.getexif()


def _read_metadata(image: Image.Image) -> _Header:
    """The claim is absent where the EXIF is broken."""
    tables = getattr(image, "quantization", None)
    quantization = {number: tuple(table) for number, table in tables.items()} if tables else None
    try:
        if (exif := _exif_of(image)) is None:
            return _Header(quantization=quantization)
        claim = Claim(make=_text(exif.get(_EXIF_MAKE)), model=_text(exif.get(_EXIF_MODEL)))
        return _Header(claim, _text(exif.get(_EXIF_SOFTWARE)), quantization)
    except Exception:  # Pillow's EXIF parser raises whatever a hostile file provokes
        return _Header(quantization=quantization)


def _text(value: object) -> str | None:
    """An EXIF string without its padding and safe to show; anything else counts as absent."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    return visible(" ".join(value.replace("\0", " ").split()), longest=_LONGEST) or None


def _decode_jpeg(data: bytes, name: str, max_pixels: int) -> tuple[NDArray[np.uint8], _Header]:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, name, max_pixels)
        _check_colours(colours, name)
        if burden := find_burden(data, width, height):
            raise PhotoError(f"{name}: damaged JPEG, or one made to do harm: {burden}; get the file again from where it came")
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # ValueError from libjpeg, KeyError for chroma that simplejpeg has no name for
        reason = f"a form that is not read ({error})" if isinstance(error, KeyError) else error
        raise PhotoError(f"{name}: damaged JPEG: {reason}; get the file again from where it came") from error
    return pixels, _read_header(data)


def _decode_other(data: bytes, name: str, max_pixels: int) -> tuple[NDArray[np.uint8], _Header]:
    image = _open(data, name)
    _check_size(*image.size, name, max_pixels)
    _check_frames(image, data, name)
    _check_colours(image.mode, name)
    try:
        return _pixels_of(image, data, name), _read_metadata(image)
    except (PhotoError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # a TIFF that only Pillow can read
        raise _too_large(name, error) from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise PhotoError(f"{name}: damaged {image.format}: {error}; get the file again from where it came") from error


def _pixels_of(image: Image.Image, data: bytes, name: str) -> NDArray[np.uint8]:
    """(h, w, 3) as stored."""
    large = image.format == "TIFF" and image.width * image.height >= LARGE_TIFF
    if not large:
        return _to_array(_as_stored(image), name)
    from camtrace.large_tiff import parts_of

    if (parts := parts_of(image, data)) is None:
        return _to_array(_as_stored(image), name)
    pixels = np.empty((parts.height, parts.width, 3), np.uint8)
    for row, part in parts.rows:
        pixels[row : row + len(part)] = _opaque(part, name)
    return pixels


def _to_array(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Decoded RGB or RGBA -> (h, w, 3), in parts: `np.asarray` of the whole would make two copies more."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for row in range(0, image.height, _ROWS):
        part = np.asarray(image.crop((0, row, image.width, min(row + _ROWS, image.height))))
        pixels[row : row + _ROWS] = _opaque(part, name)
    return pixels


def _opaque(part: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if part.shape[2] == 4 and part[..., 3].min() < 255:
        raise PhotoError(f"{name}: partly transparent image, expected an opaque photo")
    return part[..., :3]


def _check_frames(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse several frames; counted up to a limit, since a few megabytes hold any number of them."""
    if image.format == "TIFF":
        frames = len(directories(data))
    elif image.format == "GIF":
        frames = _count_frames(image)
    else:
        frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        raise PhotoError(f"{name}: {image.format} with {frames} frames, expected a single photo")


def _count_frames(image: Image.Image) -> int:
    for number in range(1, _MOST_FRAMES):
        try:
            image.seek(number)
        except Exception:  # the end, or damage
            return number
    return _MOST_FRAMES


def _as_stored(image: Image.Image) -> Image.Image:
    """Decode to RGB or RGBA. Pillow turns TIFF files, and only these, as their orientation says: this turns them back."""
    orientation = image.getexif().get(_EXIF_ORIENTATION) if image.format == "TIFF" else None
    image.load()
    stored = image.transpose(_TURN_BACK[orientation]) if orientation in _TURN_BACK else image
    return stored.convert("RGB") if stored.mode == "YCbCr" else stored


def _open(data: bytes, name: str) -> Image.Image:
    """Let Pillow recognise the file, without decoding its pixels yet."""
    from PIL import GifImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - else Pillow would load every plugin it has

    formats: tuple[str, ...] = _OPENED
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        _enable_heif(name)
        formats = ("HEIF",)
    elif is_bloated(data):
        raise PhotoError(
            f"{name}: damaged TIFF, or one made to do harm: its first directory unfolds to more than the file; "
            "get the file again from where it came"
        )
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        raise PhotoError(f"{name}: not a photo (the file starts with {data[:8]!r}), expected {_FORMATS}") from error
    except Image.DecompressionBombError as error:
        from camtrace.large_tiff import open_large

        if (image := open_large(data)) is not None:
            return image
        raise _too_large(name, error) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise PhotoError(f"{name}: damaged file: {error}; get the file again from where it came") from error


def _too_large(name: str, error: Exception) -> PhotoError:
    return PhotoError(f"{name}: too large: {error}; at most 179 megapixels are read in this form")


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
