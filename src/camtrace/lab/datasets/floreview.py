"""FloreView (Baracchi et al., IEEE Access 2023): 46 phones that shot the same places and subjects of Florence.

    root/Dataset/D14_Apple_iPhone13mini/Nat/jpeg-h264/L1/S3/D14_L1S3C2.jpg

L is the location, S the subject, C the capture: a scene is location x subject, equal across cameras, since all of them shot
it. Dxx is the device. Names of files are trusted, names of the folders between are not needed: photos in HEIC, where the set
has them, are read the same and tagged heic.
"""

from __future__ import annotations

import re
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.lab.datasets.trees import has_phones_with, phones, photos_named, required

TREE = "Dataset/D14_Apple_iPhone13mini/Nat/jpeg-h264/L1/S3/D14_L1S3C2.jpg"
_INDEX = "https://lesc.dinfo.unifi.it/FloreView/FloreView_Dataset.txt"
_NAME = re.compile(r"(D\d+)_L(\d+)_?S(\d+)_?C\d+", re.IGNORECASE)
_HEIC = {".heic", ".heif"}


def read(root: Path) -> list[Record]:
    """Read the photos of all devices; CamtraceError where there are none."""
    records = []
    for phone in phones(root):
        camera = camera_of(phone.name)
        for photo, match in photos_named(phone, _NAME):
            scene = f"floreview/L{int(match[2])}S{int(match[3])}"
            tags = ("heic",) if photo.suffix.lower() in _HEIC else ()
            records.append(Record(photo, camera, f"{camera}/{phone.number}", scene, tags=tags))
    return required(records, root, name="FloreView", tree=TREE)


LAYOUT = Layout(
    name="floreview",
    read=read,
    recognises=lambda root: has_phones_with(root, {"Nat"}),
    tree=TREE,
    how_to_get=(
        f"Every file is listed at {_INDEX}, videos too. With wget:\n"
        f"  curl -s {_INDEX} | grep -iE '\\.(jpe?g|heic)' > floreview.txt\n"
        "  wget -c -x -nH --cut-dirs=1 -P DATA/floreview -i floreview.txt\n"
        f"and give DATA/floreview, so that DATA/floreview/{TREE} is there."
    ),
    licence="CC BY-SA 4.0",
    index=_INDEX,
    published=Published(photos=6_637, devices=46),
)
