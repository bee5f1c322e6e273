"""A net whose answers are known, and photos with a foreign part that it tells from the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.bundle import Bundle
from camtrace.comparison import Comparison
from camtrace.manifest import Camera, Manifest
from camtrace.tampering.alarm import Line, Measured
from camtrace.types import Patches, Votes
from made import noise

PLAIN = Line(separation=1.0, likeness=0.0, compactness=0.0, offset=0.0)
MEASURED = Measured(0.41, 100, 4, 512, [["known", "1"]], compared=PLAIN, alone=PLAIN)  # clusters at least 1.5 apart
LABELS = ("Aurora A100", "Borealis B101")


@dataclass(frozen=True)
class KnownNet(Bundle):
    """A bundle whose features tell how many green samples of a block are odd, with a little of the content mixed in."""

    asked: list[int] = field(default_factory=list)  # blocks of each call of the head

    def extract(self, patches: Patches) -> NDArray[np.float32]:
        green = patches.pixels[..., 1].astype(np.int64)
        odd = (green % 2).mean(axis=(1, 2))[:, None]
        content = green.sum(axis=(1, 2))[:, None] * np.arange(3, 11) % 97 / 97
        features: NDArray[np.float32] = (10 * odd + content).astype(np.float32)
        return features

    def comparison(self) -> Comparison | None:
        """It never learned how two photos are compared."""
        return None

    def cast_votes(self, features: NDArray[np.float32]) -> Votes:
        self.asked.append(len(features))
        odd = features.mean(axis=1) - 5
        return Votes((odd > 0).astype(np.int64), np.stack([-odd, odd], axis=1).astype(np.float32))


def known_net() -> KnownNet:
    cameras = tuple(Camera(name, name.split()[0], 1) for name in LABELS)
    never: Any = None  # no session is ever run
    return KnownNet(Manifest("known", "1", cameras, {"summed": 0.0, "majority": 0.0}, dimension=8), {}, never, never)


def even(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """A noisy photo whose green samples are all even."""
    pixels = noise(height, width, seed=seed, low=60, high=190)
    pixels[..., 1] &= 254
    return pixels


def spliced(height: int = 320, width: int = 384) -> NDArray[np.uint8]:
    """The same with odd ones in rows 64 to 192 and columns 96 to 256."""
    pixels = even(height, width)
    pixels[64:192, 96:256, 1] |= 1
    return pixels
