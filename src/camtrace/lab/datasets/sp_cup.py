"""The IEEE Signal Processing Cup 2018 on Kaggle: 10 cameras, 275 photos of one device each, and crops of unknown cameras.

    root/train/HTC-1-M7/(HTC-1-M7)148.jpg     camera HTC-1-M7, as the folder says: some file names are shortened
    root/test/img_0a1b2c3_unalt.tif           512x512 crop of a second device, as it was
    root/test/img_0a1b2c3_manip.tif           ... compressed, resized or with another gamma

`read` gives the photos of `train`. Nobody has said which cameras took the crops, so they are no records: `read_test` gives them
with tags. One device a camera and unknown scenes: each camera counts as one scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.lab.datasets.trees import required, subfolders
from camtrace.photo import find_photos
from camtrace.types import CamtraceError

TREE = "train/HTC-1-M7/(HTC-1-M7)148.jpg"
CAMERAS = (
    *("HTC-1-M7", "LG-Nexus-5x", "Motorola-Droid-Maxx", "Motorola-Nexus-6", "Motorola-X"),
    *("Samsung-Galaxy-Note3", "Samsung-Galaxy-S4", "Sony-NEX-7", "iPhone-4s", "iPhone-6"),
)
_TAGS = {"unalt": "unaltered", "manip": "manipulated"}


@dataclass(frozen=True)
class Crop:
    """A crop of the test set, whose camera is unknown. `tags` holds "unaltered" or "manipulated", or nothing."""

    path: Path
    tags: tuple[str, ...]


def read(root: Path) -> list[Record]:
    """Read the photos of `train`; CamtraceError where there are none."""
    records = [
        Record(photo, folder.name, f"{folder.name}/0", scene=f"{folder.name}/0")
        for folder in subfolders(_home(root) / "train")
        for photo in find_photos(folder)
    ]
    return required(records, root, name="the SP Cup", tree=TREE)


def read_test(root: Path) -> list[Crop]:
    """The crops of `test` in sorted order, with what their names say; CamtraceError where there are none."""
    crops = [Crop(path, _tags(path)) for path in find_photos(_home(root) / "test")]
    if not crops:
        raise CamtraceError(f"{root}: no crops of the SP Cup found; expected {root}/test/img_0a1b2c3_unalt.tif")
    return crops


def _tags(path: Path) -> tuple[str, ...]:
    ending = path.stem.rpartition("_")[2].lower()
    return (_TAGS[ending],) if ending in _TAGS else ()


def _home(root: Path) -> Path:
    """The folder with `train` in it: the root, or the one folder that the zip was unpacked into."""
    return next((folder for folder in (root, *subfolders(root)) if (folder / "train").is_dir()), root)


LAYOUT = Layout(
    name="sp_cup",
    read=read,
    recognises=lambda root: any(folder.name in CAMERAS for folder in subfolders(_home(root) / "train")),
    tree=TREE,
    how_to_get=(
        "Accept the rules of the competition in a browser. Then, with a token of Kaggle (kaggle.com/settings), run\n"
        "  kaggle competitions download -c sp-society-camera-model-identification -p DATA/sp_cup\n"
        f"Unpack the zips in DATA/sp_cup and give that folder, so that DATA/sp_cup/{TREE} is there."
    ),
    licence="the rules of the competition",
    published=Published(photos=2_750, cameras=10, devices=10, per_camera=tuple((camera, 275) for camera in CAMERAS)),
    ignores=lambda path: "test" in path.parts,
)
