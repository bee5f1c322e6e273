"""What the readers of data sets share: walking folders, reading tables, and saying what was expected."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from camtrace.claim import camera_of
from camtrace.lab.datasets.layout import Record
from camtrace.photo import SUFFIXES, find_photos
from camtrace.types import CamtraceError

_NUMBERED = re.compile(r"(D\d{2,3})_(.+)")
_DEEPEST = 3  # folders of devices lie at most this far below the folder that a user names
_GLANCE = 50  # folders that a quick look at a tree goes through
_BODY = re.compile(r"(.+?)_(d\d+|0\d+)")


@dataclass(frozen=True)
class Phone:
    """A folder `Dxx_NAME` of one device."""

    folder: Path
    number: str  # "D01"
    name: str  # what follows: "Samsung_GalaxyS3Mini"


def subfolders(folder: Path) -> list[Path]:
    """Folders directly within a folder, sorted, hidden ones left alone; none where it is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # unlike Path.iterdir it tells folders from photos without asking for each one's status
        return sorted(folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def phones(root: Path) -> list[Phone]:
    """Folders `Dxx_NAME` of the first level below the root that has any: a set may be unpacked into a folder of its own."""
    level = [root]
    for _ in range(_DEEPEST):
        level = [inner for folder in level for inner in subfolders(folder)]
        found = [(folder, _NUMBERED.fullmatch(folder.name)) for folder in level]
        if named := [Phone(folder, match[1], match[2]) for folder, match in found if match]:
            return named
    return []


def has_phones_with(root: Path, names: set[str]) -> bool:
    """Whether a folder `Dxx_NAME` holds a folder of one of these names."""
    return any(inner.name in names for phone in phones(root) for inner in subfolders(phone.folder))


def photos_named(phone: Phone, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    """Photos of a phone whose names, without their endings, fit the pattern; its first group must be the phone's number."""
    for photo in find_photos(phone.folder):
        match = pattern.fullmatch(photo.stem)
        if match and match[1].upper() == phone.number:
            yield photo, match


def glance(root: Path) -> list[Path]:
    """A photo out of each of the first folders of a tree, the outer ones first."""
    return [photo for folder in islice(_folders(root), _GLANCE) for photo in islice(_photos_in(folder), 1)]


def _folders(root: Path) -> Iterator[Path]:
    """The root and the folders below it, level by level."""
    level = [root]
    for _ in range(_DEEPEST):
        yield from level
        level = [inner for folder in level for inner in subfolders(folder)]
    yield from level


def _photos_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SUFFIXES:
                yield folder / entry.name


def read_bodies(root: Path) -> list[Record]:
    """Records of folders `Brand_Model/.../PHOTO`, one a device, where nothing is known of the scenes.

    Several devices of a camera are told apart by an ending: `Brand_Model_d1`, or a number that starts with zero, `Brand_Model_01`.
    Another number belongs to the model: `Apple_iPhone_6` is an iPhone 6, not the sixth iPhone.
    """
    records = []
    for folder in subfolders(root):
        match = _BODY.fullmatch(folder.name)
        camera = camera_of(match[1] if match else folder.name)
        device = f"{camera}/{match[2] if match else '0'}"
        records += [Record(photo, camera, device, scene=device) for photo in find_photos(folder)]
    return records


def required(records: list[Record], root: Path, *, name: str, tree: str) -> list[Record]:
    """The records; CamtraceError with the wanted tree where there are none."""
    if not records:
        raise CamtraceError(f"{root}: no photos of {name} found; expected {root}/{tree}")
    return records


def read_table(path: Path, wanted: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV (UTF-8, with or without its mark) that has at least the `wanted` columns; empty cells are "".

    Raises
    ------
    CamtraceError
        The file cannot be read, is no CSV in UTF-8, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            reader.fieldnames = columns = [name.strip() for name in reader.fieldnames or []]
            rows = [{key: (row[key] or "").strip() for key in columns} for row in reader]
    except OSError as error:
        raise CamtraceError(f"{path}: cannot be read: {error.strerror}; check the path and your right to read it") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CamtraceError(f"{path}: is no CSV in UTF-8: {error}; save it anew as UTF-8, with commas between") from error
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise CamtraceError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(columns) or 'nothing'}; "
            "give the first line of the file these names"
        )
    return rows
