"""What the readers of all data sets share: one record for each photo, one description for each layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ORIGINAL = "original"


@dataclass(frozen=True)
class Record:
    """One photo of a data set. `device` and `scene` are unique over the whole set, not only within a camera.

    `quality` is "original" for a photo as the camera wrote it, else what it went through (a network's name, "whatsapp").
    """

    path: Path
    camera: str
    device: str
    scene: str  # shared by cameras only where they shot the same scene
    quality: str = ORIGINAL
    tags: tuple[str, ...] = ()  # what else the set says of the photo: "flat", "heic", "manipulated"


@dataclass(frozen=True)
class Published:
    """What the authors say that the set holds, to compare a copy with; None or empty where they do not say."""

    photos: int | None = None
    cameras: int | None = None
    devices: int | None = None
    scenes: int | None = None
    per_camera: tuple[tuple[str, int], ...] = ()  # camera, photos; it need not name every camera


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk, and how a user gets it."""

    name: str
    read: Callable[[Path], list[Record]]  # root -> records in a stable order; CamtraceError where there are none
    recognises: Callable[[Path], bool]  # a cheap look at the root: is it this set?
    how_to_get: str  # what to run and where to put it, for a person
    licence: str = ""
    index: str | None = None  # address of a plain list of addresses, one a line, where camtrace can download it
    published: Published = Published()
    tree: str = ""  # one path of the set below its root, as an example
    ignores: Callable[[Path], bool] = lambda _: False  # photos, relative to the root, that are on purpose no records
    remarks: Callable[[Path, Sequence[Record]], list[str]] = lambda *_: []  # what else the set tells of a copy, in sentences
