"""Patches of two made 'cameras' that differ only in how their noise is correlated: enough to train on, and no photo is needed."""

from __future__ import annotations

import numpy as np

from camtrace.lab.store import PatchStore

PER_PHOTO = 4


def two_textures(photos: int, *, size: int = 64, seed: int = 0, swapped: bool = False) -> PatchStore:
    """`PER_PHOTO` patches of each photo; even photos are by camera 0, odd ones by camera 1, or `swapped`."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 8, (photos * PER_PHOTO, size + 1, size + 1, 3))
    smooth = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[:, :-1, :-1]) / 2
    photo = np.repeat(np.arange(photos), PER_PHOTO).astype(np.int32)
    patches = np.where((photo % 2 == 0)[:, None, None, None], noise[:, 1:, 1:], smooth) + 128
    return PatchStore(patches.clip(0, 255).astype(np.uint8), photo, (photo + swapped) % 2)
