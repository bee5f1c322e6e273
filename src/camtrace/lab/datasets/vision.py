"""VISION (Shullani et al., EURASIP Journal on Information Security 2017): 35 phones and tablets, with copies out of networks.

    root/D01_Samsung_GalaxyS3Mini/images/nat/D01_I_nat_0001.jpg          original
    root/D01_Samsung_GalaxyS3Mini/images/natFBH/D01_I_natFBH_0001.jpg    facebook high
    root/D01_Samsung_GalaxyS3Mini/images/natFBL/D01_I_natFBL_0001.jpg    facebook low
    root/D01_Samsung_GalaxyS3Mini/images/natWA/D01_I_natWA_0001.jpg      whatsapp
    root/D01_Samsung_GalaxyS3Mini/images/flat/D01_I_flat_0001.jpg        original, tagged flat: walls and sky

Dxx is the device; two of one name (D01 and D26) are two devices of one camera. Folders of devices may lie deeper: root/dataset/D01_...
File names are trusted. Nothing is known of the scenes: the natural photos of a device count as one scene, with their copies out of
networks, and its flat ones as another.
"""

from __future__ import annotations

import re
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import ORIGINAL, Layout, Published, Record
from camtrace.lab.datasets.trees import has_phones_with, phones, photos_named, required

TREE = "D01_Samsung_GalaxyS3Mini/images/nat/D01_I_nat_0001.jpg"
_INDEX = "https://lesc.dinfo.unifi.it/VISION/VISION_files.txt"
_NAME = re.compile(r"(D\d+)_I_(flat|nat)(FBH|FBL|WA)?_\d+", re.IGNORECASE)
_QUALITIES = {"": ORIGINAL, "FBH": "facebook high", "FBL": "facebook low", "WA": "whatsapp"}
_OTHER = {"videos", "frames_for_prnu"}


def read(root: Path) -> list[Record]:
    """Read the photos of all devices and qualities; CamtraceError where there are none."""
    records = []
    for phone in phones(root):
        camera = camera_of(phone.name)
        device = f"{camera}/{phone.number}"
        for photo, match in photos_named(phone, _NAME):
            kind, quality = match[2].lower(), _QUALITIES[(match[3] or "").upper()]
            records.append(Record(photo, camera, device, f"{device}/{kind}", quality, ("flat",) if kind == "flat" else ()))
    return required(records, root, name="VISION", tree=TREE)


LAYOUT = Layout(
    name="vision",
    read=read,
    recognises=lambda root: has_phones_with(root, {"images"}),
    tree=TREE,
    how_to_get=(
        f"Every file is listed at {_INDEX}, videos too. With wget:\n"
        f"  curl -s {_INDEX} | grep /images/ > vision.txt\n"
        "  wget -c -x -nH --cut-dirs=2 -P DATA/vision -i vision.txt\n"
        f"and give DATA/vision, so that DATA/vision/{TREE} is there."
    ),
    licence="research; cite Shullani et al. 2017",
    index=_INDEX,
    published=Published(photos=34_427, cameras=29, devices=35),  # cameras: different names among its 35 folders
    ignores=lambda path: not _OTHER.isdisjoint(path.parts),
)
