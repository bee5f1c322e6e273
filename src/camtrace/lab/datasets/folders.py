"""Photos of the user's own in plain folders: one a camera, with or without one a device inside.

    root/Nikon_D90/body1/0123.jpg     device Nikon D90/body1
    root/Nikon_D90/0123.jpg           device Nikon D90/0

Every device counts as one scene of its own, since nothing says more.
"""

from __future__ import annotations

from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import Layout, Record
from camtrace.lab.datasets.trees import subfolders
from camtrace.photo import find_photos
from camtrace.types import CamtraceError

TREE = "Nikon_D90/body1/0123.jpg"


def read(root: Path) -> list[Record]:
    """Read camera/device/photo or camera/photo; CamtraceError where there is no photo."""
    records = []
    for folder in subfolders(root):
        camera = camera_of(folder.name)
        for photo in find_photos(folder):
            inner = photo.relative_to(folder).parts
            device = f"{camera}/{inner[0] if len(inner) > 1 else '0'}"
            records.append(Record(photo, camera, device, scene=device))
    if not records:
        raise CamtraceError(f"{root}: no photos found; expected {root}/CAMERA/PHOTO or {root}/CAMERA/DEVICE/PHOTO, such as {TREE}")
    return records


LAYOUT = Layout(
    name="folders",
    read=read,
    recognises=lambda _: False,  # what is read when no other layout fits
    tree=TREE,
    how_to_get="Put your photos into one folder a camera, named as the camera, underscores standing for spaces.",
)
