"""The Forchheim Image Database (Hadwiger and Riess 2020, arXiv 2011.02241): 143 scenes x 27 phones x 6 qualities.

    root/D01_Motorola_E3_1/orig/D01_img_orig_0001.jpg             original, scene 1
    root/D01_Motorola_E3_1/whatsapp/D01_img_whatsapp_0001.jpg     what WhatsApp made of it; so for facebook, instagram, ...
    root/D15_Samsung_GalaxyA6_1, root/D16_Samsung_GalaxyA6_2      two devices of one camera

The last digit of a folder counts the devices of a camera, the number of a file is the scene, equal across cameras and
qualities, since every phone shot the same scenes. File names are trusted. The folder `inspection` is no part of the photos.
"""

from __future__ import annotations

import re
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import ORIGINAL, Layout, Published, Record
from camtrace.lab.datasets.trees import has_phones_with, phones, photos_named, required

TREE = "D01_Motorola_E3_1/orig/D01_img_orig_0001.jpg"
QUALITIES = ("orig", "facebook", "instagram", "telegram", "twitter", "whatsapp")
_FOLDER = "https://faui1-files.cs.fau.de/public/mmsec/datasets/fodb/"
_NAME = re.compile(r"(D\d+)_img_([^_]+)_(\d+)", re.IGNORECASE)
_BODY = re.compile(r"_\d+$")


def read(root: Path) -> list[Record]:
    """Read the photos of all devices and qualities; CamtraceError where there are none."""
    records = []
    for phone in phones(root):
        camera = camera_of(_BODY.sub("", phone.name))
        for photo, match in photos_named(phone, _NAME):
            network = match[2].lower()
            quality = ORIGINAL if network == "orig" else network
            records.append(Record(photo, camera, f"{camera}/{phone.number}", f"fodb/{int(match[3]):04d}", quality))
    return required(records, root, name="FODB", tree=TREE)


LAYOUT = Layout(
    name="fodb",
    read=read,
    recognises=lambda root: has_phones_with(root, set(QUALITIES)),
    tree=TREE,
    how_to_get=(
        f"The zips lie in a plain folder, {_FOLDER}. With wget:\n"
        f"  wget -c -r -np -nd -A zip -P DATA/fodb {_FOLDER}\n"
        f"Unpack them all in DATA/fodb and give that folder, so that DATA/fodb/{TREE} is there."
    ),
    licence="research",
    index=None,  # a folder of zips, not a list of files: camtrace.lab.download knows it as a listing
    published=Published(photos=23_106, cameras=25, devices=27, scenes=143),
    ignores=lambda path: "inspection" in path.parts,
)
