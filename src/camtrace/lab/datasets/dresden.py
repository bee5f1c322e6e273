"""The Dresden Image Database (Gloe and Boehme, SAC 2010): 27 models, 74 devices and 83 scenes that all of them shot.

    root/scenes.csv                                                    the user's own, of any name; without it scenes are unknown
    root/Dresden_Exp/Nikon_D200_0/Nikon_D200_0_14303.JPG               camera Nikon D200, device Nikon D200/0
    root/Dresden_Exp/Nikon_D70s_1/Nikon_D70s_1_22980.JPG               camera Nikon D70, device Nikon D70s/1
    root/Dresden_Exp/FujiFilm_FinePixJ50_0/FujiFilm_FinePixJ50_1_8493.JPG   device FujiFilm FinePixJ50/1, whatever the folder says

File names are brand, model, instance and shot; they are trusted and folder names are not, since some of the copy that is still
to be had are wrong. A name that does not parse, and a second file of the same name, is left out. D70 and D70s are one camera, as in
Bondi et al. 2017, but their devices stay apart.

A scene is a position and a motive. They are only in a CSV with the columns filename, position_num and motive_num, which the user
brings. Scenes are equal across cameras, so that a split by scene keeps a scene from both sides for all cameras at
once. A photo that the CSV does not list is left out: nobody can say whose scene it shows. Without a CSV each device counts as one
scene of its own; cameras with one device cannot be tested honestly then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.lab.datasets.manifest import NAME as MANIFEST
from camtrace.lab.datasets.trees import glance, read_table, required
from camtrace.photo import SUFFIXES, find_photos
from camtrace.types import CamtraceError

TREE = "Dresden_Exp/Nikon_D200_0/Nikon_D200_0_14303.JPG"
COLUMNS = ("filename", "position_num", "motive_num")
_NAME = re.compile(r"([^_]+_.+)_(\d+)_(\d+)")
_BRANDS = "Agfa Canon Casio FujiFilm Kodak Nikon Olympus Panasonic Pentax Praktica Ricoh Rollei Samsung Sony"
_OF_THE_SET = re.compile(rf"({'|'.join(_BRANDS.split())})_.+_\d+_\d+", re.IGNORECASE)
_SAME_CAMERA = {"Nikon D70s": "Nikon D70"}


def read(root: Path) -> list[Record]:
    """Read the photos, with their scenes where the root holds a CSV of them.

    Raises
    ------
    CamtraceError
        There is no photo, or a CSV that is not a list of scenes.
    """
    table = find_scenes(root)
    scenes = read_scenes(table) if table else None
    records: dict[str, Record] = {}
    for photo in find_photos(root):
        match, key = _NAME.fullmatch(photo.stem), _key(photo.name)
        if match and key not in records and (scenes is None or key in scenes):
            model = camera_of(match[1])
            device = f"{model}/{int(match[2])}"
            records[key] = Record(photo, _SAME_CAMERA.get(model, model), device, device if scenes is None else scenes[key])
    where = f"{TREE} with its name in {table.name}" if table else TREE
    return required(list(records.values()), root, name="Dresden", tree=where)


def find_scenes(root: Path) -> Path | None:
    """The CSV of scenes in the root, by its columns; None where there is no CSV at all.

    Raises
    ------
    CamtraceError
        No CSV there has the columns, or several have.
    """
    tables = sorted(path for path in root.glob("*.*") if path.suffix.lower() == ".csv" and not path.name.startswith("."))
    tables = [path for path in tables if path.name != MANIFEST]
    faults: list[str] = []
    fitting = []
    for table in tables:
        try:
            read_table(table, COLUMNS)
            fitting.append(table)
        except CamtraceError as error:
            faults.append(str(error))
    if len(fitting) > 1:
        raise CamtraceError(f"{root}: {' and '.join(path.name for path in fitting)} both list scenes; expected one such CSV")
    if tables and not fitting:
        raise CamtraceError(f"{faults[0]}; a CSV here is taken for the list of scenes, with the columns {', '.join(COLUMNS)}")
    return fitting[0] if fitting else None


def read_scenes(table: Path) -> dict[str, str]:
    """File name (without ending, case folded) -> scene; CamtraceError where a row lacks its position or motive."""
    scenes = {}
    for number, row in enumerate(read_table(table, COLUMNS), start=2):
        filename, position, motive = (row[column] for column in COLUMNS)
        if not (filename and position and motive):
            raise CamtraceError(f"{table}: line {number} lacks a value; expected {', '.join(COLUMNS)}")
        scenes[_key(filename)] = f"dresden/position {position} motive {motive}"
    return scenes


def _key(filename: str) -> str:
    """What tells photos apart: the name without its ending, which a list may lack and which models (DCZ5.9) may seem to have."""
    name = Path(filename)
    return (name.stem if name.suffix.lower() in SUFFIXES else name.name).casefold()


def compare_with_scenes(root: Path, records: Sequence[Record]) -> list[str]:
    """What the CSV and the folders do not agree on, in sentences."""
    table = find_scenes(root)
    if table is None:
        return [f"no CSV with {', '.join(COLUMNS)} in {root}: scenes are unknown, and each device counts as one scene"]
    listed = {row["filename"] for row in read_table(table, COLUMNS)}
    there = {_key(photo.name): photo for photo in find_photos(root) if _NAME.fullmatch(photo.stem)}
    keys = {_key(filename) for filename in listed}
    absent = sorted(filename for filename in listed if _key(filename) not in there)
    unlisted = sorted(photo.name for key, photo in there.items() if key not in keys)
    return [
        f"{len(names):,} photos {words}, the first is {names[0]}"
        for names, words in ((absent, f"of {table.name} are not there"), (unlisted, f"are not in {table.name} and were left out"))
        if names
    ]


LAYOUT = Layout(
    name="dresden",
    read=read,
    recognises=lambda root: any(_OF_THE_SET.fullmatch(photo.stem) for photo in glance(root)),
    tree=TREE,
    how_to_get=(
        "The official host is dead. With a token of Kaggle (kaggle.com/settings), run\n"
        "  kaggle datasets download -d micscodes/dresden-image-database --unzip -p DATA/dresden\n"
        f"and give DATA/dresden, so that DATA/dresden/{TREE} is there. One photo of the Agfa Sensor530s is missing in that copy.\n"
        f"For scenes, put a CSV with the columns {', '.join(COLUMNS)} into DATA/dresden."
    ),
    licence="research only; never redistribute",
    published=Published(
        photos=16_961,
        cameras=26,  # 27 models, two of which are one camera here
        devices=74,
        scenes=83,
        # the cameras whose counts we could confirm: muntakimrafi/Application-of-DenseNet-in-Camera-Model-Identification issue 1
        per_camera=(
            ("Agfa DC-733s", 281),
            ("Agfa DC-830i", 363),
            ("Agfa Sensor530s", 373),
            ("Canon Ixus55", 224),
            ("FujiFilm FinePixJ50", 630),
            ("Kodak M1063", 2391),
            ("Nikon D200", 752),
            ("Panasonic DMC-FZ50", 931),
        ),
    ),
    remarks=compare_with_scenes,
)
