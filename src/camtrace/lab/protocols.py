"""Which photos may teach and which may ask: splits that share neither device nor scene (Bondi et al. 2017, section IV-A).

A random split of photos leaves the same scene, lit the same way, on both sides, and flatters every method; it is not offered
here. Cameras with one device and one scene cannot be tested honestly in a closed set: they teach, or are left out whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.datasets import Record
from camtrace.types import CamtraceError

LEFT_OUT_PHOTOS = 18
LEFT_OUT_GROUPS = 2
"""A camera left out needs enough photos for enrolling it and for asking, and is little missed where it had few scenes anyway."""


@dataclass(frozen=True)
class Split:
    """Indices of records: to train on, to test on, and those of cameras left out whole (for transfer and unknown)."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    left_out: tuple[int, ...]


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


def splits_by_device_and_scene(
    records: Sequence[Record], *, count: int, seed: int, left_out: int = 0, test_share: float = 0.3
) -> list[Split]:
    """`count` splits that each leave out other cameras whole, and hold out about `test_share` of the rest by device, or by scene.

    The cameras left out are those with the fewest devices and scenes, which can hardly be tested otherwise. A photo that would
    train on a scene of the other two sides is dropped.
    """
    rng = np.random.default_rng(seed)
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (record, group) in enumerate(zip(records, device_or_scene_of(records), strict=True)):
        groups[record.camera][group].append(index)
    rare = [
        camera
        for camera in rng.permutation(sorted(groups))
        if len(groups[camera]) <= LEFT_OUT_GROUPS and len(_flat(groups[camera])) >= LEFT_OUT_PHOTOS
    ]
    if len(rare) < count * left_out:
        raise CamtraceError(
            f"{count} splits want {count * left_out} cameras to leave out; {len(rare)} have {LEFT_OUT_PHOTOS} photos or more "
            f"and at most {LEFT_OUT_GROUPS} devices or scenes"
        )
    order = sorted(rare, key=lambda camera: len(groups[camera]))[: count * left_out]
    return [_split(records, groups, set(order[k::count]), rng, test_share) for k in range(count)]


def _split(
    records: Sequence[Record], groups: dict[str, dict[str, list[int]]], aside: set[str], rng: np.random.Generator, share: float
) -> Split:
    test = [index for camera in sorted(set(groups) - aside) for index in _hold_out(groups[camera], rng, share)]
    left_out = [index for camera in sorted(aside) for index in _flat(groups[camera])]
    asked = {*test, *left_out}
    scenes = {records[index].scene for index in asked}
    train = [index for index, record in enumerate(records) if index not in asked and record.scene not in scenes]
    check_disjoint(records, train, test)
    return Split(tuple(train), tuple(sorted(test)), tuple(sorted(left_out)))


def check_disjoint(records: Sequence[Record], train: Sequence[int], test: Sequence[int]) -> None:
    """Raise CamtraceError where a photo, scene, or device of a camera with several devices is on both sides."""
    groups = device_or_scene_of(records)
    for what, key in (("photo", lambda i: records[i].path), ("scene", lambda i: records[i].scene), ("device", lambda i: groups[i])):
        shared = {key(index) for index in train} & {key(index) for index in test}
        if shared:
            raise CamtraceError(f"train and test share the {what} {sorted(map(str, shared))[0]} and {len(shared) - 1} more")


def _hold_out(groups: dict[str, list[int]], rng: np.random.Generator, share: float) -> list[int]:
    """Whole groups, in random order, until `share` of the photos is reached; the camera keeps at least 40 % to learn from."""
    photos = len(_flat(groups))
    held: list[int] = []
    for name in rng.permutation(sorted(groups)):
        if len(held) + len(groups[name]) <= 0.6 * photos:
            held += groups[name]
        if len(held) >= share * photos:
            break
    return held


def _flat(groups: dict[str, list[int]]) -> list[int]:
    return [index for members in groups.values() for index in members]
