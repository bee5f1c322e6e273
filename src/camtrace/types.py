"""The words of camtrace: Photo, Patches, Votes and Verdict, as frozen data without logic beyond their JSON form.

A photo is decoded to pixels; patches are cut from it; a bundle's features and head turn each patch into a vote; the votes
become one verdict, the only result that the command line, JSON, Python and every later front end speak.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:  # what is imported first stays light
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
UNKNOWN: Final = "unknown"

Status = Literal["ok", "unreadable", "too_small", "no_usable_patches"]
Level = Literal["model", "family", "maker", "unknown"]
VotingWay = Literal["majority", "summed"]
Mode = Literal["careful", "balanced", "guess"]


class CamtraceError(Exception):
    """A message for the user: it names the file, what was found and what was wanted."""


class PhotoError(CamtraceError):
    """A photo that cannot be judged; `status` says which kind of failure it is."""

    def __init__(self, message: str, *, status: Status = "unreadable") -> None:
        super().__init__(message)
        self.status: Status = status
        self.sha256: str | None = None  # of the file, where it could at least be read


@dataclass(frozen=True)
class Claim:
    """What the EXIF says took the photo: anyone can write anything there."""

    make: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Photo:
    """A decoded photo: pixels exactly as stored, neither rotated nor colour-managed."""

    source: str
    sha256: str
    pixels: NDArray[np.uint8]  # (height, width, 3) RGB
    claim: Claim = Claim()
    software: str | None = None
    quantization: dict[int, tuple[int, ...]] | None = None  # JPEG tables by number, 64 steps each, natural order

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Patches:
    """The patches chosen from a photo, best first."""

    pixels: NDArray[np.uint8]  # (n, size, size, 3) RGB
    positions: NDArray[np.int64]  # (n, 2): row and column of the upper left pixel

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Votes:
    """What each patch says: one camera, and its evidence for every camera."""

    labels: NDArray[np.int64]  # (n,) index of the camera the patch votes for
    scores: NDArray[np.float32]  # (n, n_cameras), larger = more likely, on the head's own scale


@dataclass(frozen=True)
class References:
    """Features of the photos that taught a bundle its cameras."""

    features: NDArray[np.float32]  # (n, dimension), one row a patch
    cameras: NDArray[np.int64]  # (n,) index of the camera
    photos: NDArray[np.int64]  # (n,) which photo the patch came from
    copies: NDArray[np.int64] | None = None  # (n,) 0 = of the photo as it came, else which degraded copy; None: all 0

    def of(self, keep: NDArray[Any]) -> References:
        """Some of the patches: `keep` is (n,) bool, or positions."""
        copies = None if self.copies is None else self.copies[keep]
        return References(self.features[keep], self.cameras[keep], self.photos[keep], copies)


@dataclass(frozen=True)
class Ranked:
    """One line of the ranking. `probability` is None until the bundle is calibrated."""

    camera: str
    probability: float | None
    votes: int


@dataclass(frozen=True)
class BundleId:
    """Which trained bundle gave a verdict."""

    name: str
    version: str


@dataclass(frozen=True)
class Verdict:
    """The one result type. `best` is the raw winner, `answer` what camtrace dares to say."""

    source: str
    sha256: str | None
    status: Status
    answer: str
    answer_level: Level
    best: str | None
    reason: str
    ranking: tuple[Ranked, ...]
    n_patches: int
    log10_lr: float | None
    claim: Claim
    claim_agrees: bool | None
    bundle: BundleId

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values; its shape is `verdict.schema.json`."""
        fields = asdict(self)
        fields["ranking"] = list(fields["ranking"])
        return {"schema_version": SCHEMA_VERSION, **fields}

    def to_json(self, *, indent: int | None = 2) -> str:
        """The verdict as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)
