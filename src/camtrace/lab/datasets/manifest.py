"""A data set of the user's own with a manifest: a CSV beside the photos.

    cameras/photos.csv        file,camera,device,scene[,quality]
    cameras/Nikon_D90/0123.jpg

A device is named within its camera, a scene over the whole set: two cameras that shot one scene name it alike.
"""

from __future__ import annotations

from pathlib import Path

from camtrace.lab.datasets.layout import ORIGINAL, Layout, Record
from camtrace.lab.datasets.trees import read_table
from camtrace.types import CamtraceError

NAME = "photos.csv"
_WANTED = ("file", "camera", "device", "scene")


def read(root: Path) -> list[Record]:
    """Read a manifest, or the `photos.csv` of a folder; files are relative to it.

    Raises
    ------
    CamtraceError
        The CSV cannot be read, lacks a column or names a photo that is not there.
    """
    manifest = root if root.is_file() else root / NAME
    rows = read_table(manifest, _WANTED)
    if not rows:
        raise CamtraceError(f"{manifest}: the manifest names no photo; expected a line for each photo below {','.join(_WANTED)}")
    records = [_record(manifest.parent, row) for row in rows]
    absent = [record.path for record in records if not record.path.is_file()]
    if absent:
        raise CamtraceError(
            f"{manifest}: {len(absent)} photos are not there, the first is {absent[0]}; "
            "paths are relative to the manifest, correct them or fetch the photos"
        )
    return records


def _record(folder: Path, row: dict[str, str]) -> Record:
    camera = row["camera"]
    return Record(folder / row["file"], camera, f"{camera}/{row['device']}", row["scene"], row.get("quality") or ORIGINAL)


LAYOUT = Layout(
    name="manifest",
    read=read,
    recognises=lambda root: root.is_file() or (root / NAME).is_file(),
    tree=NAME,
    how_to_get=f"Write a {NAME} with the columns {', '.join(_WANTED)} beside your photos.",
)
