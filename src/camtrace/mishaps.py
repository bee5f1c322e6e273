"""Degraded copies of a reference photo, so that a head also learns what its camera looks like after a second saving or a resizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from camtrace.degrade import change_at_random, save_again_at_random
from camtrace.experts import OF_A_COPY, SAVED_AGAIN, kinds_of
from camtrace.history import cut_patches
from camtrace.types import Patches, Photo, PhotoError

COPIES = 12
"""Copies of a photo at most, every other one only saved again: half as many name about a point fewer of degraded photos rightly, and
7 fewer of new cameras' resized ones (lab book)."""

COPIES_A_CAMERA = 100
"""Copies that a camera is taught at most, but for one of each kind of each photo: beyond 60 more of them help little.

With 20 photos each of 20 cameras that the net had never seen, 6, 3, 2 and 1 copies of each photo named 0.70, 0.68, 0.65 and 0.62 of
other photos rightly after JPEG 90, 0.83, 0.83, 0.82 and 0.78 after resizing to 0.8, 0.96 to 0.97 as they are (net of version 2)."""

WINDOW = 512
"""Side in pixels of the middle part that is degraded: that of the photos on which copies were tried; more would take long."""

_ALL = 1 << 16  # patches
_PERIOD = 16


def copies_each(photos: int) -> int:
    """How many copies of each photo teach a camera that has so many photos: COPIES, fewer beyond COPIES_A_CAMERA, as many of either
    kind, always two.
    """
    return min(COPIES, max(2, COPIES_A_CAMERA // max(1, photos) // 2 * 2))


def copies_of(photo: Photo, origin: tuple[int, int], *, rule: str, size: int, count: int = COPIES) -> Iterator[tuple[int, Patches]]:
    """Numbers, from 1, and patches of `count` random degradations of a photo's middle; `origin` is where its JPEG grid begins.

    They depend on the photo alone, by its SHA-256: teaching it twice gives the same, and of fewer copies the first ones. A copy without
    a usable patch is left out.
    """
    middle = replace(photo, pixels=_middle(photo, origin), quantization=None)
    for number in range(1, count + 1):
        rng = np.random.default_rng([int(photo.sha256[:12] or "0", 16), number])
        only_saved = kinds_of(np.array(number)) == SAVED_AGAIN
        pixels = save_again_at_random(middle.pixels, rng) if only_saved else change_at_random(middle.pixels, rng, smallest=size)
        copy = replace(middle, pixels=np.ascontiguousarray(pixels))
        try:
            usable = cut_patches(copy, rule=rule, count=_ALL, size=size)
        except PhotoError:
            continue
        spread = np.linspace(0, len(usable) - 1, min(OF_A_COPY, len(usable))).round().astype(int)  # good ones and worse ones
        yield number, Patches(usable.pixels[spread], usable.positions[spread])


def _middle(photo: Photo, origin: tuple[int, int]) -> np.ndarray:
    """The middle of the photo, begun on its JPEG grid."""
    begins = [
        first + max(0, side - first - WINDOW) // 2 // _PERIOD * _PERIOD for side, first in zip(photo.pixels.shape, origin, strict=False)
    ]
    row, column = begins
    return photo.pixels[row : row + WINDOW, column : column + WINDOW]
