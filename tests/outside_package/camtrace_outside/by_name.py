"""A data set whose files say everything in their names.

DATA/by-name/Nikon D90__body1__park__0123.jpg     camera, device, scene, number
"""

from __future__ import annotations

from pathlib import Path

from camtrace import CamtraceError
from camtrace.lab.datasets import Layout, Record

TREE = "Nikon D90__body1__park__0123.jpg"


def read(root: Path) -> list[Record]:
    """One record a photo, in a stable order; CamtraceError where there is none."""
    parts = [(path, path.stem.split("__")) for path in sorted(root.glob("*.jpg"))]
    records = [Record(path, part[0], f"{part[0]}/{part[1]}", scene=part[2]) for path, part in parts if len(part) == 4]
    if not records:
        raise CamtraceError(f"{root}: no photos found; expected names such as {TREE}")
    return records


LAYOUT = Layout(
    name="by-name",
    read=read,
    recognises=lambda _: False,
    tree=TREE,
    how_to_get=f"Name your photos CAMERA__DEVICE__SCENE__NUMBER.jpg and put them into DATA/by-name, such as DATA/by-name/{TREE}",
)
