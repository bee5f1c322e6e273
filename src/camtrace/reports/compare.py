"""Two reports compared: their data field by field, their pages line by line and picture by picture; what differs is said in words.

Numbers count as equal within SMALL, since other machines add in another order. Only where some differ at all may the last digit of a
number in words differ as well.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

SMALL = 1e-3
"""Numbers that differ by less, or by less than this share of them, are the same."""

_MOST_LINES = 5  # of the page that are shown where it differs
_LONGEST = 200  # of a value in words
_PICTURE_NOISE = 2.0  # mean difference, of 255, that other decoders and encoders make
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")
_URI = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]*)")
_DATA = re.compile(r'<script type="application/json" id="camtrace">.*?</script>', re.DOTALL)
_TAGS = re.compile(r"<[^>]*>")


def differ(stated: object, found: object, where: str, *, noisy: bool = False) -> Iterator[str]:
    """What differs between two plain JSON values, in words; `noisy` allows the last digits of numbers in texts to differ."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for name in dict.fromkeys((*stated, *found)):
            if name in stated and name in found:
                yield from differ(stated[name], found[name], f"{where}, {name}", noisy=noisy)
            else:
                yield f"{where}, {name}: {'only the report has it' if name in stated else 'the report lacks it'}"
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for number, (one, other) in enumerate(zip(stated, found, strict=True), 1):
            yield from differ(one, other, f"{where} {number}", noisy=noisy)
    elif not _equal(stated, found, noisy=noisy):
        yield f"{where}: the report says {_shown(stated)}, now it is {_shown(found)}"


def is_noisy(stated: object, found: object) -> bool:
    """Whether some numbers differ, by so little that they count as equal."""
    if isinstance(stated, dict) and isinstance(found, dict):
        return any(is_noisy(stated[name], found[name]) for name in stated.keys() & found.keys())
    if isinstance(stated, list) and isinstance(found, list):
        return any(is_noisy(one, other) for one, other in zip(stated, found, strict=False))
    return isinstance(stated, float) and isinstance(found, float) and stated != found and _near(stated, found)


def same_words(first: str, second: str) -> bool:
    """Whether two texts differ at most in the last digit of their numbers."""
    if _NUMBER.sub("#", first) != _NUMBER.sub("#", second):
        return False
    return all(_last_digit(one, other) for one, other in zip(_NUMBER.findall(first), _NUMBER.findall(second), strict=True))


def differ_in_text(stated: str, found: str, *, noisy: bool = False) -> Iterator[str]:
    """What differs between the texts of two pages, in words; their data and pictures are left out."""
    pages = [_DATA.sub("", _URI.sub("picture", text)).replace("\r\n", "\n").split("\n") for text in (stated, found)]
    pairs = [pair for pair in zip(*pages, strict=False) if pair[0] != pair[1] and not (noisy and same_words(*pair))]
    for one, other in pairs[:_MOST_LINES]:
        yield f"the page's text: it says {_line(one, other)}, it should say {_line(other, one)}"
    if len(pairs) > _MOST_LINES or len(pages[0]) != len(pages[1]):
        yield f"the page's text: more lines differ; it has {len(pages[0])} lines, it should have {len(pages[1])}"


def same_pictures(stated: str, found: str) -> bool:
    """Whether two pages show the same pictures, but for the noise of encoders."""
    one, other = (_URI.findall(text) for text in (stated, found))
    return len(one) == len(other) and all(map(_alike, one, other))


def _equal(stated: object, found: object, *, noisy: bool) -> bool:
    if isinstance(stated, float) and isinstance(found, float):
        return _near(stated, found)
    if isinstance(stated, str) and isinstance(found, str):
        return stated == found or (noisy and same_words(stated, found))
    return type(stated) is type(found) and stated == found


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= SMALL * max(1.0, abs(first), abs(second))


def _last_digit(first: str, second: str) -> bool:
    one, other = (float(text.replace(",", "")) for text in (first, second))
    unit = 10.0 ** -len(first.partition(".")[2])
    return abs(one - other) <= max(1.001 * unit, SMALL * abs(one))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _line(line: str, other: str) -> str:
    """A line of a page without its tags, unless only these differ."""
    bare, beside = (" ".join(_TAGS.sub(" ", text).split()) for text in (line, other))
    return _shown(line.strip() if bare == beside else bare)


def _alike(first: str, second: str) -> bool:
    if first == second:
        return True
    try:
        one, other = (Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB") for text in (first, second))
    except Exception:  # hostile bytes make Pillow raise nearly anything
        return False
    if one.size != other.size:
        return False
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean()) <= _PICTURE_NOISE
