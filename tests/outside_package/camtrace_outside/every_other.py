"""A protocol: every other device of each camera is asked about, the rest teach."""

from __future__ import annotations

from collections.abc import Sequence

from camtrace.lab.datasets import Record
from camtrace.lab.splits import Split


def draw_every_other_device(records: Sequence[Record], *, count: int, seed: int) -> list[Split]:
    """Splits that keep the promise "device", to which camtrace holds them: no device of the test teaches.

    There is nothing random in them but which half comes first, by the seed and the split's number.
    """
    devices = sorted({(record.camera, record.device) for record in records})
    turn: dict[str, int] = {}
    place = {}
    for camera, device in devices:
        place[device] = turn[camera] = turn.get(camera, -1) + 1
    splits = []
    for number in range(count):
        asked = {device for device, at in place.items() if at % 2 == (seed + number) % 2}
        train = tuple(i for i, record in enumerate(records) if record.device not in asked)
        test = tuple(i for i, record in enumerate(records) if record.device in asked)
        splits.append(Split(train, (), test, (), protocol="device", seed=seed, number=number))
    return splits
