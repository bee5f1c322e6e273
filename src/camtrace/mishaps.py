"""Degraded copies of a reference photo, so that a head also learns what its camera looks like after a second saving or a resizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from camtrace.degrade import degrade_at_random
from camtrace.history import cut_patches
from camtrace.types import Patches, Photo, PhotoError

COPIES = 6
PATCHES_A_COPY = 16
WINDOW = 768
"""Side in pixels of the middle part that is degraded: more would take long and bring no more patches."""

_PERIOD = 16


def copies_of(photo: Photo, origin: tuple[int, int], *, rule: str, size: int) -> Iterator[Patches]:
    """Patches of COPIES random degradations of a photo's middle; `origin` is where its JPEG grid begins.

    They depend on the photo alone, by its SHA-256: teaching it twice gives the same. A copy without a usable patch is left out.
    """
    middle = replace(photo, pixels=_middle(photo, origin), quantization=None)
    for number in range(COPIES):
        rng = np.random.default_rng([int(photo.sha256[:12] or "0", 16), number])
        copy = replace(middle, pixels=np.ascontiguousarray(degrade_at_random(middle.pixels, rng, smallest=size)))
        try:
            yield cut_patches(copy, rule=rule, count=PATCHES_A_COPY, size=size)
        except PhotoError:
            continue


def _middle(photo: Photo, origin: tuple[int, int]) -> np.ndarray:
    """The middle of the photo, begun on its JPEG grid."""
    begins = [
        first + max(0, side - first - WINDOW) // 2 // _PERIOD * _PERIOD for side, first in zip(photo.pixels.shape, origin, strict=False)
    ]
    row, column = begins
    return photo.pixels[row : row + WINDOW, column : column + WINDOW]
