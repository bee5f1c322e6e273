"""Daxing Smartphone Identification Dataset (Tian et al., IEEE Access 2019): 90 phones of 22 models.

    root/image/1101-1104/1101/90/IMG_0001.jpg     device 1101, held at 90 degrees
    root/image/1105/90/IMG_0001.jpg               device 1105
    root/Huawei_P20_01/90/IMG_0001.jpg            or by hand: one folder a device, named brand and model

Users of the set describe folders of devices named by four digits, some of them within a folder of several, with a folder for each
angle that the phone was held at (0, 90 and 180 degrees) inside. That 1101 to 1105 are Huawei P20 is all that is public of the
digits. We assume that the first two are the model and the last two the device; compare with the 22 models and 90 devices published.
Cameras whose names we do not know are called Daxing and these two digits. Where no folder has four digits, folders are read as
SOCRatES is: an ending `_d1`, or a number that starts with zero, is the device.
The scenes were the same eight for every phone, but no folder says which: each device counts as one scene. The angle is a tag.
"""

from __future__ import annotations

import re
from pathlib import Path

from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.lab.datasets.trees import read_bodies, required, subfolders
from camtrace.photo import find_photos

TREE = "image/1101-1104/1101/90/IMG_0001.jpg"
_CODE = re.compile(r"\d{4}")
_CODES = re.compile(r"\d{4}(-\d{4})?")
_CAMERAS = {"11": "Huawei P20"}
_ANGLES = {"0", "90", "180"}


def read(root: Path) -> list[Record]:
    """Read devices by their four digits, or else folders by their names; CamtraceError where there is no photo."""
    found = [_record(photo, photo.relative_to(root).parts[:-1]) for photo in find_photos(root)]
    records = [record for record in found if record] or read_bodies(root)
    return required(records, root, name="Daxing", tree=TREE)


def _record(photo: Path, folders: tuple[str, ...]) -> Record | None:
    code = next((name for name in reversed(folders) if _CODE.fullmatch(name)), None)
    if code is None:
        return None
    camera = _CAMERAS.get(code[:2], f"Daxing {code[:2]}")
    device = f"{camera}/{code}"
    return Record(photo, camera, device, scene=device, tags=tuple(f"{name} degrees" for name in folders[-1:] if name in _ANGLES))


def _recognises(root: Path) -> bool:
    """Folders of four digits within `image`, there or one level below; or `daxing` in the root's own name."""
    images = [folder / "image" for folder in (root, *subfolders(root))]
    by_name = root.is_dir() and "daxing" in root.resolve().name.lower()
    return by_name or any(_CODES.fullmatch(folder.name) for image in images for folder in subfolders(image))


LAYOUT = Layout(
    name="daxing",
    read=read,
    recognises=_recognises,
    tree=TREE,
    how_to_get=(
        "By hand: the authors announce it at https://github.com/xyhcn/Daxing. Unpack it in DATA/daxing and give that folder,\n"
        f"so that DATA/daxing/{TREE} is there."
    ),
    licence="research",
    published=Published(photos=43_400, cameras=22, devices=90),
)
