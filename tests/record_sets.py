"""Made lists of records for the tests of splits: no photo behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from camtrace.lab.datasets import Record
from camtrace.lab.protocols import PROTOCOLS, Split

ROOT = Path("data")


def record(camera: str, device: object, scene: str, photo: object) -> Record:
    return Record(ROOT / f"{camera}/{device}/{scene}/{photo}.jpg", camera, f"{camera}/{device}", scene)


def shared_scenes(devices: Iterable[int], *, scenes: int, photos: int = 1) -> list[Record]:
    """As Dresden: cameras with so many devices, each of which shot all scenes."""
    return [
        record(f"C{camera:02}", device, f"s{scene:02}", photo)
        for camera, several in enumerate(devices)
        for device in range(several)
        for scene in range(scenes)
        for photo in range(photos)
    ]


def own_scenes(devices: Iterable[int], *, scenes: int, photos: int = 4) -> list[Record]:
    """Photos from many owners: every device has scenes of its own."""
    return [
        record(f"C{camera:02}", device, f"o{camera}-{device}-{scene}", photo)
        for camera, several in enumerate(devices)
        for device in range(several)
        for scene in range(scenes)
        for photo in range(photos)
    ]


def drawn(name: str, records: list[Record], *, count: int = 2, seed: int = 0) -> list[Split]:
    options: dict[str, dict[str, Any]] = {"leave-cameras-out": {"left_out": 1}, "device-or-scene": {"validation_share": 0.1}}
    return PROTOCOLS[name](records, count=count, seed=seed, **options.get(name, {}))


def of(records: list[Record], what: str, indices: Iterable[int]) -> set[str]:
    return {str(getattr(records[index], what)) for index in indices}


def devices_of(records: list[Record]) -> Counter[str]:
    return Counter(camera for camera, _ in {(record.camera, record.device) for record in records})


def assert_apart(records: list[Record], what: str, *sides: tuple[int, ...]) -> None:
    """No two of the sides share a path, scene, device or camera."""
    found = [of(records, what, side) for side in sides]
    assert sum(map(len, found)) == len(set().union(*found))
