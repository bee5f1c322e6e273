"""Data sets -> records: which photo was taken by which camera, device and in which scene.

Two layouts are read: a manifest (`photos.csv` beside the photos) and plain folders.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.photo import find_photos
from camtrace.types import CamtraceError

_WANTED = ("file", "camera", "device", "scene")


@dataclass(frozen=True)
class Record:
    """One photo of a data set. `device` and `scene` are unique over the whole set, not only within a camera."""

    path: Path
    camera: str
    device: str
    scene: str


def read_dataset(root: Path) -> list[Record]:
    """Records of a manifest file, of a folder with a `photos.csv`, or of a folder of folders."""
    if root.is_file():
        return read_manifest(root)
    return read_manifest(root / "photos.csv") if (root / "photos.csv").is_file() else read_folders(root)


def read_manifest(manifest: Path) -> list[Record]:
    """Read a CSV with the columns file, camera, device, scene; files are relative to the CSV.

        cameras/photos.csv
        cameras/Nikon_D90/0123.jpg

    Raises
    ------
    CamtraceError
        The CSV cannot be read, lacks a column or names a photo that is not there.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise CamtraceError(f"{manifest}: the manifest cannot be read: {error.strerror}") from error
    if not rows:
        raise CamtraceError(f"{manifest}: the manifest names no photo")
    missing = [column for column in _WANTED if column not in rows[0]]
    if missing:
        raise CamtraceError(f"{manifest}: no column {', '.join(missing)}; found {', '.join(rows[0])}")
    records = [Record(manifest.parent / row["file"], row["camera"], f"{row['camera']}/{row['device']}", row["scene"]) for row in rows]
    absent = [record.path for record in records if not record.path.is_file()]
    if absent:
        raise CamtraceError(f"{manifest}: {len(absent)} photos are not there, the first is {absent[0]}")
    return records


def read_folders(root: Path) -> list[Record]:
    """Read camera/device/photo or camera/photo; every device counts as one scene of its own, since nothing says more.

    root/Nikon_D90/body1/0123.jpg     device Nikon D90/body1
    root/Nikon_D90/0123.jpg           device Nikon D90/0
    """
    records = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        camera = camera_of(folder.name)
        for photo in find_photos(folder):
            inner = photo.relative_to(folder).parts
            device = f"{camera}/{inner[0] if len(inner) > 1 else '0'}"
            records.append(Record(photo, camera, device, scene=device))
    if not records:
        raise CamtraceError(f"{root}: no photos found; expected {root}/CAMERA/PHOTO or {root}/CAMERA/DEVICE/PHOTO")
    return records
