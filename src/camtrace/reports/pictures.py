"""The pictures of a report: the photo with its patches drawn over it, and its tamper map, small enough to be embedded.

What agrees and what disagrees differs in shape as well as in colour, so that a black-and-white print says the same.
"""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw

from camtrace.inspection import Inspection
from camtrace.tampering.heatmap import draw_heat
from camtrace.tampering.localization import Localization
from camtrace.types import Photo

LONGEST = 1200
"""Longer sides of a photo are reduced to this in a report."""

_AGREES, _DISAGREES, _HALO = (0, 90, 181), (213, 94, 0), (255, 255, 255)  # apart for colour-blind people too
_QUALITY = 88


def draw_patches(photo: Photo, found: Inspection) -> bytes:
    """The photo as JPEG, a square for each patch asked: plain for those that vote for the closest camera, crossed for the others."""
    factor = -(-max(photo.size) // LONGEST)
    picture = Image.fromarray(photo.pixels).reduce(factor)
    pen = ImageDraw.Draw(picture)
    width = max(2, picture.width // 400)
    for patch in sorted(found.patches, key=lambda patch: patch.camera == found.verdict.best):  # those that agree on top
        left, top = patch.column / factor, patch.row / factor
        side = found.patch_size / factor
        _draw_square(pen, (left, top, left + side, top + side), crossed=patch.camera != found.verdict.best, width=width)
    return _jpeg(picture)


def _draw_square(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], *, crossed: bool, width: int) -> None:
    left, top, right, bottom = box
    outline = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top), (right, top)]
    lines = [outline, [(left, top), (right, bottom)], [(left, bottom), (right, top)]] if crossed else [outline]
    for colour, thick in ((_HALO, width + 2), (_DISAGREES if crossed else _AGREES, width)):
        for line in lines:
            pen.line(line, fill=colour, width=thick)


def draw_map(photo: Photo, found: Localization) -> bytes:
    """The tamper map over the photo with its legend, as JPEG. Raises CamtraceError where the photo was not judged."""
    with Image.open(io.BytesIO(draw_heat(photo, found))) as heat:
        picture = heat.convert("RGB")
    return _jpeg(picture)


def data_uri(picture: bytes) -> str:
    """A JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()
