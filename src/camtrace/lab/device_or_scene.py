"""The protocol "device-or-scene", for photos from many owners: asked are unseen devices where a camera has several, else unseen scenes.

The figures of the bundle that ships rest on these very draws, so that they must stay what they are for a given seed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from camtrace.lab.datasets import Record
from camtrace.lab.splits import Split, check_split, device_or_scene_of
from camtrace.types import CamtraceError

LEFT_OUT_PHOTOS = 18
LEFT_OUT_GROUPS = 2
"""A camera left out needs enough photos for enrolling it and for asking, and is little missed where it had few scenes anyway."""


def splits_by_device_and_scene(
    records: Sequence[Record], *, count: int, seed: int, left_out: int = 0, test_share: float = 0.3, validation_share: float = 0.0
) -> list[Split]:
    """`count` splits that each leave out other cameras whole, and hold out about `test_share` of the rest by device, or by scene.

    This is "device-or-scene", for photos from many owners: a camera is asked about either unseen devices or unseen scenes. The
    cameras left out are those with the fewest devices and scenes, which can hardly be tested otherwise. A photo that would train
    on a scene of the other two sides is dropped. With a `validation_share`, about that share of the training photos, in whole
    devices and scenes, validates instead; test and left-out photos stay the same.

    Raises
    ------
    CamtraceError
        Too few cameras can be left out, no photo is left to train on (all scenes shared by many cameras: take "device-scene"), or
        none to validate on.
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
    splits = []
    for number in range(count):
        train, test, out = _hold_out_groups(records, groups, set(order[number::count]), rng, test_share)
        if not train:
            raise CamtraceError(
                f"protocol device-or-scene: of {len(records)} photos none is left to train on, since the scenes held out are those of "
                "the other photos too; take device-scene"
            )
        validation = _spare(records, train, np.random.default_rng([seed, number]), validation_share) if validation_share else set()
        train = [index for index in train if index not in validation]
        splits.append(Split(tuple(train), tuple(sorted(validation)), tuple(test), tuple(out), "device-or-scene", seed, number))
        check_split(records, splits[-1])
    return splits


def _hold_out_groups(
    records: Sequence[Record], groups: dict[str, dict[str, list[int]]], aside: set[str], rng: np.random.Generator, share: float
) -> tuple[list[int], list[int], list[int]]:
    """Train, test and left-out records."""
    test = [index for camera in sorted(set(groups) - aside) for index in _hold_out_camera(groups[camera], rng, share)]
    left_out = [index for camera in sorted(aside) for index in _flat(groups[camera])]
    asked = {*test, *left_out}
    scenes = {records[index].scene for index in asked}
    train = [index for index, record in enumerate(records) if index not in asked and record.scene not in scenes]
    return train, sorted(test), sorted(left_out)


def _hold_out_camera(groups: dict[str, list[int]], rng: np.random.Generator, share: float) -> list[int]:
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


def _spare(records: Sequence[Record], train: Sequence[int], rng: np.random.Generator, share: float) -> set[int]:
    """Training photos to validate on: whole parts that share no device and no scene with the rest, as many cameras as can spare one."""
    parts = _connected(records, train)
    photos = Counter(records[index].camera for index in train)
    held: Counter[str] = Counter()
    spared: set[int] = set()
    for part in rng.permutation(len(parts)):
        cameras = Counter(records[index].camera for index in parts[part])
        wanted = any(held[camera] < share * photos[camera] for camera in cameras)
        if wanted and all(held[camera] + more <= 0.6 * photos[camera] for camera, more in cameras.items()):
            held += cameras
            spared.update(parts[part])
    if not spared:
        raise CamtraceError(
            f"no photos to validate on: the {len(train)} training photos of {len(photos)} cameras hang together by device or scene; "
            "take more photos, or another protocol"
        )
    return spared


def _connected(records: Sequence[Record], indices: Sequence[int]) -> list[list[int]]:
    """Records in parts, so that records that share a device (of several) or a scene are in one part."""
    groups = device_or_scene_of(records)
    _, group = np.unique([groups[index] for index in indices], return_inverse=True)
    _, scene = np.unique([records[index].scene for index in indices], return_inverse=True)
    size = int(group.max() + scene.max()) + 2
    links = coo_array((np.ones(len(indices)), (group, group.max() + 1 + scene)), shape=(size, size))
    parts: dict[int, list[int]] = defaultdict(list)
    for index, part in zip(indices, connected_components(links, directed=False)[1][group], strict=True):
        parts[int(part)].append(index)
    return list(parts.values())
