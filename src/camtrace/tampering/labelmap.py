"""The known camera that each place of a photo is closest to, drawn over the photo (Bondi et al., SPL 2017, Fig. 5).

The most frequent cameras have a colour each, of a palette that colour-blind people can tell apart (Okabe & Ito, 2008); the others
share grey. The paler a place, the less its camera leads over the others. What carries no data is hatched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from camtrace.tampering.heatmap import hatch, reduced, spread
from camtrace.tampering.localization import Localization
from camtrace.types import CamtraceError, Photo

PALETTE = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233), (240, 228, 66))
OTHERS = (150, 150, 150)

_PALEST, _STRONGEST = 0.2, 0.75  # share of the colour over the photo
_LINE, _MARGIN, _TEXT, _WIDTH = 22, 10, 14, 480

Flags = NDArray[np.bool_]


def draw_labels(photo: Photo, found: Localization) -> Image.Image:
    """The map over the photo, below it which colour is which camera and on what share of the map.

    Raises CamtraceError where the photo was not judged.
    """
    if found.labels is None or found.certainty is None:
        raise CamtraceError(f"{found.source}: there is no map: {found.reason}")
    plain = reduced(photo)
    size, factor = (plain.height, plain.width), -(-photo.size[0] // plain.width)
    labels, certainty = (spread(part, found.origin, size, factor) for part in (found.labels.astype(np.float32), found.certainty))
    known = np.isfinite(labels) & (labels >= 0)
    shown = rank_cameras(found)
    colours = np.full((*size, 3), OTHERS, np.float32)
    for colour, camera in zip(PALETTE, shown, strict=False):
        colours[labels == camera] = colour
    share = (_PALEST + (_STRONGEST - _PALEST) * np.clip(np.nan_to_num(certainty), 0, 1))[..., None]
    grey = np.asarray(plain.convert("L"), np.float32)[..., None]
    mixed = np.where(known[..., None], (1 - share) * grey + share * colours, hatch(np.asarray(plain)))
    return _with_legend(Image.fromarray(np.rint(mixed).astype(np.uint8)), found, shown)


def rank_cameras(found: Localization) -> list[int]:
    """Places in `cameras` of those in the map, the most frequent first."""
    assert found.labels is not None
    numbers, counts = np.unique(found.labels[found.labels >= 0], return_counts=True)
    return [int(numbers[place]) for place in np.lexsort((numbers, -counts))]


def _with_legend(picture: Image.Image, found: Localization, shown: list[int]) -> Image.Image:
    assert found.labels is not None
    known = found.labels >= 0
    lines: list[tuple[tuple[int, int, int] | None, str]] = [
        (colour, f"{found.cameras[camera]}, {(found.labels[known] == camera).mean():.0%}")
        for colour, camera in zip(PALETTE, shown, strict=False)
    ]
    if rest := shown[len(PALETTE) :]:
        lines.append((OTHERS, f"{len(rest)} others, {np.isin(found.labels[known], rest).mean():.0%}"))
    lines.append((None, "no data"))
    whole = Image.new("RGB", (max(picture.width, _WIDTH), picture.height + 2 * _MARGIN + _LINE * (len(lines) + 1)), "white")
    whole.paste(picture, (0, 0))
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(_TEXT)
    for number, (colour, words) in enumerate(lines):
        top = picture.height + _MARGIN + number * _LINE
        patch = Image.fromarray(hatch(np.full((_TEXT, _TEXT, 3), 128, np.uint8))) if colour is None else None
        whole.paste(patch if patch is not None else Image.new("RGB", (_TEXT, _TEXT), colour), (_MARGIN, top))
        pen.text((_MARGIN + 2 * _TEXT, top - 1), words, fill="black", font=font)
    note = "Closest of the known cameras, right or wrong; paler = less sure."
    pen.text((_MARGIN, picture.height + _MARGIN + len(lines) * _LINE), note, fill="black", font=font)
    return whole
