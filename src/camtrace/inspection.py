"""What a verdict rests on, for people who want to see it: the patches and their votes, the photo's history, facts of its EXIF.

The page draws the patches over the photo, the report prints them; both show the verdict that `identify` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import ExifTags

from camtrace.identification import BundleLike, Evidence, gather, ready
from camtrace.photo import Source, describe, read_bytes, read_tags
from camtrace.types import Mode, PhotoError, Verdict, VotingWay

_FACTS = (
    *("Make", "Model", "Software", "DateTime", "DateTimeOriginal", "DateTimeDigitized", "Artist", "Copyright", "ImageDescription"),
    *(
        "LensMake",
        "LensModel",
        "BodySerialNumber",
        "ExposureTime",
        "FNumber",
        "ISOSpeedRatings",
        "FocalLength",
        "FocalLengthIn35mmFilm",
    ),
    *("Flash", "WhiteBalance", "DigitalZoomRatio", "Orientation", "ExifImageWidth", "ExifImageHeight"),
)
_LONGEST = 200  # of a fact in characters: a comment of megabytes is nothing to read


@dataclass(frozen=True)
class Vote:
    """One patch: where its upper left pixel is, and the camera it votes for."""

    row: int
    column: int
    camera: str


@dataclass(frozen=True)
class Inspection:
    """A verdict and what can be shown of its evidence; sizes and patches are empty where the photo could not be judged."""

    verdict: Verdict
    width: int | None
    height: int | None
    patch_size: int
    patches: tuple[Vote, ...]  # best first, as they were asked
    history: tuple[str, ...]
    exif: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "verdict": self.verdict.to_dict(),
            "width": self.width,
            "height": self.height,
            "patch_size": self.patch_size,
            "patches": [{"row": vote.row, "column": vote.column, "camera": vote.camera} for vote in self.patches],
            "history": list(self.history),
            "exif": self.exif,
        }


def inspect(
    source: Source,
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
    name: str | None = None,
) -> Inspection:
    """Judge a photo as `identify` does, which has the same options, and show what the verdict rests on.

    Raises
    ------
    BundleError
        The bundle itself cannot be used.
    """
    bundle, name = ready(bundle), name or describe(source)
    try:
        source = read_bytes(source, name)  # once: a stream cannot be read again
        exif = read_exif(source)
    except PhotoError:  # the verdict says so
        exif = {}
    evidence = gather(source, bundle=bundle, patches=patches, vote=vote, mode=mode, name=name)
    return Inspection(
        verdict=evidence.verdict,
        width=evidence.photo.size[0] if evidence.photo else None,
        height=evidence.photo.size[1] if evidence.photo else None,
        patch_size=bundle.manifest.patch_size,
        patches=_votes(evidence, bundle.manifest.labels),
        history=evidence.history.words() if evidence.history else (),
        exif=exif,
    )


def read_exif(data: bytes) -> dict[str, str]:
    """The facts that an EXIF states, by their names in the standard, as text; none where there is none or it cannot be read.

    Anybody can write anything there. A position is only said to be there.
    """
    tags = read_tags(data)
    named = {ExifTags.TAGS.get(tag, ""): value for tag, value in tags.items()}
    facts = {name: _text(named[name]) for name in _FACTS if name in named}
    return facts | ({"GPSInfo": "present"} if ExifTags.IFD.GPSInfo in tags else {})


def _votes(evidence: Evidence, cameras: tuple[str, ...]) -> tuple[Vote, ...]:
    if evidence.patches is None or evidence.votes is None:
        return ()
    asked = zip(evidence.patches.positions.tolist(), evidence.votes.labels.tolist(), strict=True)
    return tuple(Vote(row, column, cameras[label]) for (row, column), label in asked)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    kept = "".join(letter for letter in str(value) if letter.isprintable()).strip()
    return kept if len(kept) <= _LONGEST else kept[:_LONGEST] + "..."
