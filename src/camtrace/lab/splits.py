"""What a split of a data set is, what each protocol promises of it, and its file, a manifest in JSON.

Two photos of one scene, or by one device, are alike for reasons that have nothing to do with the camera model. An honest split
keeps them on one side (Bondi et al. 2017, section IV-A). The LEAKY ones, random photos and random patches, do not and flatter every
method; they are here to show by how much. The promise is checked when a split is drawn, saved and loaded.

    {"format": 1, "protocol": "device-scene", "leaky": false, "seed": 0, "photos": 1449, "sha256": "of the record list",
     "splits": [{"number": 0, "train": ["Nikon_D90/0123.jpg"], "validation": [], "test": [], "left_out": []}]}
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.datasets import Record
from camtrace.types import CamtraceError

Side = Literal["train", "validation", "test", "left_out"]
Shared = Literal["photo", "scene", "device", "camera"]

FORMAT = 1
_KEYS = {"format": int, "protocol": str, "seed": int, "photos": int, "sha256": str, "splits": list}

LEAKY = frozenset({"random-photo", "random-patch"})
"""Protocols whose figures flatter: report them only beside an honest one."""

PROMISES: Mapping[str, Mapping[Side, tuple[Shared, ...]]] = {
    "device-scene": {"validation": ("photo", "scene"), "test": ("photo", "scene", "device")},
    "device": {"validation": ("photo",), "test": ("photo", "device")},
    "scene": {"validation": ("photo", "scene"), "test": ("photo", "scene")},
    "leave-cameras-out": {"validation": ("photo", "scene"), "left_out": ("photo", "scene", "camera")},
    "device-or-scene": {
        "validation": ("photo", "scene", "device"),
        "test": ("photo", "scene", "device"),
        "left_out": ("photo", "scene", "camera"),
    },
    "random-photo": {"validation": ("photo",), "test": ("photo",)},
    "random-patch": {"test": ()},
}
"""By protocol: the sides it has beside train, and what each of them shares with no side that teaches it.

Validation is taught by train; test and the cameras left out, by train and validation."""

_TEACHING: tuple[tuple[Side, Side], ...] = (
    ("train", "validation"),
    *(("train", "test"), ("validation", "test")),
    *(("train", "left_out"), ("validation", "left_out")),
)


@dataclass(frozen=True)
class Split:
    """Indices of records, ascending: to train, validate and test on, and those of cameras left out whole (transfer, unknown)."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    left_out: tuple[int, ...]
    protocol: str  # one of PROMISES
    seed: int
    number: int  # of the splits drawn with this seed, from 0

    @property
    def leaky(self) -> bool:
        """Whether scenes, devices or even photos are on both sides."""
        return self.protocol in LEAKY

    @property
    def label(self) -> str:
        """The protocol as tables and figures must show it."""
        return f"{self.protocol} (leaky)" if self.leaky else self.protocol


def has_several_devices(records: Sequence[Record]) -> NDArray[np.bool_]:
    """(n_records,) whether the record's camera is there with more than one device."""
    devices: dict[str, set[str]] = defaultdict(set)
    for record in records:
        devices[record.camera].add(record.device)
    return np.array([len(devices[record.camera]) > 1 for record in records])


def device_or_scene_of(records: Sequence[Record]) -> list[str]:
    """What must not be shared, per record: the device where its camera has several, else the scene."""
    several = has_several_devices(records)
    return [record.device if many else f"{record.camera}/{record.scene}" for record, many in zip(records, several, strict=True)]


def check_disjoint(
    records: Sequence[Record],
    train: Sequence[int],
    test: Sequence[int],
    *,
    promise: Sequence[Shared] = ("photo", "scene", "device"),
    sides: tuple[str, str] = ("train", "test"),
) -> None:
    """Raise CamtraceError where a photo, scene, camera, or device of a camera with several devices is on both sides."""
    groups = device_or_scene_of(records) if "device" in promise else []
    for what in promise:
        both = ({_shown(records[i], what, groups[i] if what == "device" else "") for i in side} for side in (train, test))
        shared = set.intersection(*both)
        if shared:
            raise CamtraceError(
                f"{sides[0]} and {sides[1]} share the {what} {min(shared)} and {len(shared) - 1} more; "
                "draw the splits anew with `camtrace lab split`"
            )


def _shown(record: Record, what: Shared, group: str) -> str:
    return group or str({"photo": record.path, "scene": record.scene, "camera": record.camera}[what])


def check_split(records: Sequence[Record], split: Split) -> None:
    """Raise CamtraceError where a split breaks the promise of its protocol, naming one photo, scene, device or camera."""
    promises = PROMISES[split.protocol]
    for known, asked in _TEACHING:
        check_disjoint(records, getattr(split, known), getattr(split, asked), promise=promises.get(asked, ()), sides=(known, asked))
    check_disjoint(records, split.test, split.left_out, promise=("photo", "camera"), sides=("test", "left_out"))
    for side in get_args(Side):
        if side != "train" and side not in promises and getattr(split, side):
            raise CamtraceError(
                f"protocol {split.protocol} has no side {side}, found {len(getattr(split, side))} photos there; "
                "draw the splits anew with `camtrace lab split`"
            )


def save_splits(path: Path, records: Sequence[Record], splits: Sequence[Split], root: Path) -> None:
    """Write splits of one protocol and seed as a manifest; photos are named relative to `root`, the data set's folder or CSV.

    Raises
    ------
    CamtraceError
        There are no splits or several protocols, a split breaks its promise, or a photo is not below the root.
    """
    kinds = sorted({f"{split.label} with seed {split.seed}" for split in splits})
    if len(kinds) != 1:
        raise CamtraceError(
            f"{path}: a manifest holds the splits of one protocol and seed, found {' and '.join(kinds) or 'none'}; "
            "draw them anew with `camtrace lab split`"
        )
    for split in splits:
        check_split(records, split)
    names = _names(records, root)
    manifest = {
        "format": FORMAT,
        "protocol": splits[0].protocol,
        "leaky": splits[0].leaky,
        "seed": splits[0].seed,
        "photos": len(records),
        "sha256": _sha256(records, names),
        "splits": [
            {"number": split.number} | {side: [names[index] for index in getattr(split, side)] for side in get_args(Side)}
            for split in splits
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8", newline="\n")


def load_splits(path: Path, records: Sequence[Record], root: Path) -> list[Split]:
    """Read a manifest of splits of just these records; their order does not matter.

    Raises
    ------
    CamtraceError
        The file cannot be read, is no such manifest, belongs to another data set, or breaks the promise of its protocol.
    """
    manifest = _read_manifest(path)
    names = _names(records, root)
    if manifest["sha256"] != _sha256(records, names):
        raise CamtraceError(
            f"{path}: the splits are of another data set than {root}: {manifest['photos']} photos there and {len(records)} here, "
            "or other names, cameras, devices or scenes; give that one, or draw them anew with `camtrace lab split`"
        )
    numbers = {name: index for index, name in enumerate(names)}
    splits = []
    for entry in manifest["splits"]:
        try:
            sides = {side: tuple(sorted({numbers[name] for name in entry[side]})) for side in get_args(Side)}
            split = Split(**sides, protocol=manifest["protocol"], seed=int(manifest["seed"]), number=int(entry["number"]))
            check_split(records, split)
        except CamtraceError as error:
            raise CamtraceError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CamtraceError(
                f"{path}: damaged manifest of splits: {type(error).__name__} {error}; draw them anew with `camtrace lab split`"
            ) from error
        splits.append(split)
    return splits


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CamtraceError(f"{path}: the splits cannot be read: {error.strerror}; check the path and your right to read it") from error
    except ValueError as error:
        raise CamtraceError(f"{path}: no manifest of splits: {error}; write one with `camtrace lab split`") from error
    if not isinstance(manifest, dict) or any(not isinstance(manifest.get(key), kind) for key, kind in _KEYS.items()):
        raise CamtraceError(f"{path}: no manifest of splits; expected an object with {', '.join(_KEYS)}")
    if manifest["format"] != FORMAT:
        raise CamtraceError(f"{path}: splits of format {manifest['format']!r}, expected {FORMAT}")
    if manifest["protocol"] not in PROMISES:
        raise CamtraceError(f"{path}: unknown protocol {manifest['protocol']!r}, expected one of {', '.join(PROMISES)}")
    return manifest


def _names(records: Sequence[Record], root: Path) -> list[str]:
    """Each photo's path below the root, with forward slashes."""
    base = (root.parent if root.is_file() else root).absolute()
    try:
        names = [record.path.absolute().relative_to(base).as_posix() for record in records]
    except ValueError as error:
        raise CamtraceError(f"{root}: a photo lies elsewhere: {error}; give the folder that holds all photos") from error
    name, times = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise CamtraceError(f"{root}: the photo {name} is listed {times} times; list it once")
    return names


def _sha256(records: Sequence[Record], names: Sequence[str]) -> str:
    """Of all that a split rests on: names, cameras, devices and scenes, whatever their order."""
    rows = sorted([name, record.camera, record.device, record.scene] for name, record in zip(names, records, strict=True))
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()
