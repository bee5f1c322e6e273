"""A localization drawn: the heat map over the photo (PNG), the mask (PNG), and a page with a slider (HTML).

The colours go from dark blue over grey to yellow, lighter and lighter, so that colour-blind people and grey prints keep the order. The
scale is fixed by the threshold, not by the photo: a photo without foreign parts does not look as if it had some. What carries no
data is hatched.
"""

from __future__ import annotations

import base64
import html
import io
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from camtrace.tampering.blocks import CELL
from camtrace.tampering.localization import Localization
from camtrace.types import CamtraceError, Photo

LONGEST = 1600
"""Longer sides of a photo are reduced to this in the picture, never in mask and raw map."""

_ANCHORS = ((8, 22, 78), (66, 78, 118), (128, 128, 124), (196, 178, 92), (255, 236, 66))
_SCALE = 5.0
_STRENGTH = 0.6  # of the colours over the photo
_HATCH = 10  # pixels from line to line
_OUTLINE = (214, 39, 90)
_LEGEND, _BAR, _MARGIN, _TEXT = 84, 240, 12, 14

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def colour(values: Floats) -> Pixels:
    """Values of any shape, 0 = fits .. 1 = foreign, cut off beyond -> colours (..., 3)."""
    stops = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(values, stops, channel) for channel in zip(*_ANCHORS, strict=True)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def draw_heat(photo: Photo, found: Localization) -> bytes:
    """The map over the photo with outlines, legend and scale, as PNG.

    Raises CamtraceError where the photo was not judged.
    """
    picture = _overlay(photo, found)
    whole = Image.new("RGB", (max(picture.width, 2 * _BAR), picture.height + _LEGEND), "white")
    whole.paste(picture, (0, 0))
    _draw_legend(ImageDraw.Draw(whole), picture.height, found)
    return _png(whole)


def draw_mask(found: Localization) -> bytes:
    """The mask in the size of the photo, 255 within a region, as PNG. Raises CamtraceError where the photo was not judged."""
    return _png(Image.fromarray(found.mask()))


def draw_page(photo: Photo, found: Localization) -> str:
    """One self-contained HTML page: a slider moves the border between photo and map; below it what was found.

    Raises CamtraceError where the photo was not judged.
    """
    plain, heat = reduced(photo), _overlay(photo, found)
    stream = io.BytesIO()
    plain.save(stream, "JPEG", quality=90)
    legend = Image.new("RGB", (2 * _BAR, _LEGEND), "white")
    _draw_legend(ImageDraw.Draw(legend), 0, found)
    rows = [
        (f"{number}", "{}, {} to {}, {}".format(*region.box), f"{region.area:,}", f"{region.score:.2f}", region.reason)
        for number, region in enumerate(found.regions, 1)
    ]
    cells = ("".join(f"<td>{html.escape(value)}</td>" for value in row) for row in rows)
    table = "".join(f"<tr>{row}</tr>" for row in cells) or '<tr><td colspan="5">none</td></tr>'
    return _PAGE.substitute(
        source=html.escape(found.source),
        verdict="Alarm" if found.alarm else "No alarm",
        reason=html.escape(found.reason),
        remarks="".join(f"<li>{html.escape(remark)}</li>" for remark in found.remarks),
        width=plain.width,
        plain=f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}",
        heat=f"data:image/png;base64,{base64.b64encode(_png(heat)).decode()}",
        legend=f"data:image/png;base64,{base64.b64encode(_png(legend)).decode()}",
        table=table,
        bundle=html.escape(f"{found.bundle.name} {found.bundle.version}"),
    )


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _factor(photo: Photo) -> int:
    """How many pixels a side become one in the picture."""
    return -(-max(photo.size) // LONGEST)


def reduced(photo: Photo) -> Image.Image:
    """The photo, small enough for a picture."""
    return Image.fromarray(photo.pixels).reduce(_factor(photo))


def _limit(found: Localization) -> float:
    """The value at both ends of the scale, the same for all photos: twice that of two clusters 1.6 apart, where most splices alarm."""
    return _SCALE


def _overlay(photo: Photo, found: Localization) -> Image.Image:
    if found.cells is None:
        raise CamtraceError(f"{found.source}: there is no map: {found.reason}")
    plain = reduced(photo)
    factor = _factor(photo)
    excess = spread(found.cells, found.origin, (plain.height, plain.width), factor)
    known = ~np.isnan(excess)
    grey = np.asarray(plain.convert("L"), np.float32)[..., None]
    colours = colour(np.where(known, excess / (2 * _limit(found)) + 0.5, 0).astype(np.float32))
    mixed = np.where(known[..., None], (1 - _STRENGTH) * grey + _STRENGTH * colours, hatch(np.asarray(plain)))
    picture = Image.fromarray(np.rint(mixed).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for region in found.regions:
        corners = [(x / factor, y / factor) for x, y in region.polygon]
        pen.line([*corners, *corners[:2]], fill=_OUTLINE, width=max(2, picture.width // 400))
    return picture


def spread(cells: Floats, origin: tuple[int, int], shape: tuple[int, int], factor: int) -> Floats:
    """Cells -> the picture (h, w), each pixel that of its middle; NaN outside the cells."""
    rows, columns = (((np.arange(side) + 0.5) * factor - begin) // CELL for side, begin in zip(shape, origin, strict=True))
    padded = np.pad(cells, 1, constant_values=np.nan)
    places = [np.clip(index + 1, 0, count + 1).astype(np.int64) for index, count in zip((rows, columns), cells.shape, strict=True)]
    spread: Floats = padded[np.ix_(*places)]
    return spread


def hatch(pixels: Pixels) -> Pixels:
    """The picture (h, w, 3) with diagonal lines, light and dark ones side by side: one of them shows on whatever is below."""
    phase = np.add.outer(np.arange(pixels.shape[0]), np.arange(pixels.shape[1])) % _HATCH
    hatched = pixels.copy()
    hatched[phase < 2] = 255
    hatched[(phase >= 2) & (phase < 4)] = 0
    return hatched


def _draw_legend(pen: ImageDraw.ImageDraw, top: int, found: Localization) -> None:
    """Colour bar with its scale, what hatching means, and the score; the pen's picture is at least 2 * _BAR wide."""
    font, limit = ImageFont.load_default(_TEXT), _limit(found)
    left, upper = _MARGIN, top + _MARGIN
    for step, (red, green, blue) in enumerate(colour(np.linspace(0, 1, _BAR, dtype=np.float32)).tolist()):
        pen.line([(left + step, upper), (left + step, upper + _TEXT)], fill=(red, green, blue))
    for share, word in ((0.0, f"{-limit:.1f} fits"), (0.5, "0"), (1.0, f"{limit:.1f} foreign")):
        anchor = {0.0: "la", 0.5: "ma", 1.0: "ra"}[share]
        pen.text((left + share * _BAR, upper + _TEXT + 4), word, fill="black", font=font, anchor=anchor)
    right = left + _BAR + 2 * _MARGIN
    hatched = hatch(np.full((_TEXT, 2 * _TEXT, 3), 128, np.uint8))[..., 0].tolist()
    for row, shades in enumerate(hatched):
        for column, shade in enumerate(shades):
            pen.point((right + column, upper + row), fill=(shade, shade, shade))
    pen.text((right + 2 * _TEXT + 6, upper - 1), "no data", fill="black", font=font)
    words = "ALARM" if found.alarm else "no alarm"
    score = f"{words}: score {found.score or 0:.2f}, threshold {found.threshold or 0:.2f}"
    pen.text((left, upper + 2 * _TEXT + 14), score, fill="black", font=font)


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>camtrace localize: $source</title>
<style>
body { font: 16px/1.4 sans-serif; margin: 1rem auto; max-width: ${width}px; padding: 0 1rem; overflow-wrap: anywhere }
.pair { position: relative; --at: 50% } .pair img { display: block; width: 100% }
.pair img + img { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--at)) }
input { width: 100% } td, th { text-align: left; padding: .2rem .6rem .2rem 0; vertical-align: top }
</style></head><body>
<h1>$verdict</h1><p>$source: $reason.</p><ul>$remarks</ul>
<div class="pair"><img src="$plain" alt="The photo"><img src="$heat" alt="The photo with the heat map over it"></div>
<label>Photo to the left, map to the right <input type="range" min="0" max="100" value="50" step="1"></label>
<p><img src="$legend" alt="From dark blue, which fits the rest, to yellow, which is foreign; hatched where there is no data"></p>
<table><caption>Regions</caption>
<tr><th>#</th><th>pixels (x, y)</th><th>area</th><th>score</th><th>why</th></tr>$table</table>
<p>An alarm is no proof of forgery, and no alarm no proof that a photo is genuine. Bundle $bundle.</p>
<script>
const pair = document.querySelector(".pair");
document.querySelector("input").addEventListener("input", event => pair.style.setProperty("--at", event.target.value + "%"));
</script></body></html>
""")
