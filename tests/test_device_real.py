"""Flat fields and photos of six real bodies, two of each model: users do not have them, so these tests skip aloud elsewhere."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from camtrace.devices.device import DeviceMatch, match
from camtrace.devices.enrolment import enroll
from camtrace.devices.store import open_database

SHARED = Path(__file__).parents[2] / "shared" / "prnu"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real flat fields are not here: {SHARED}"),
]


def listed() -> dict[str, dict[str, list[Path]]]:
    """Photos by kind and device."""
    found: dict[str, dict[str, list[Path]]] = {"flat": defaultdict(list), "nat": defaultdict(list)}
    with (SHARED / "prnu.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found[row["kind"]][row["device"]].append(SHARED / row["file"])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six bodies, each taught by six of its seven flat fields."""
    folder = tmp_path_factory.mktemp("real") / "db"
    for device, flats in listed()["flat"].items():
        enroll(folder, device, flats[:-1])
    return folder


@pytest.fixture(scope="module")
def flat_matches(folder: Path) -> dict[str, DeviceMatch]:
    """The left-out flat field of each device, by full comparison."""
    database = open_database(folder)
    return {device: match(flats[-1], database) for device, flats in listed()["flat"].items()}


@pytest.fixture(scope="module")
def photo_matches(folder: Path, flat_matches: dict[str, DeviceMatch]) -> dict[str, list[DeviceMatch]]:
    """Ordinary photos, once the seventh flat field of each device continued its estimate."""
    assert flat_matches  # these were asked first
    photos = listed()
    for device, flats in photos["flat"].items():
        assert enroll(folder, device, flats, add=True).used == 1
    database = open_database(folder)
    return {device: [match(path, database) for path in paths] for device, paths in photos["nat"].items()}


def test_every_match_is_above_every_other_device_twins_included(
    flat_matches: dict[str, DeviceMatch], photo_matches: dict[str, list[DeviceMatch]]
) -> None:
    own: list[float] = []
    other: list[float] = []
    asked = [*flat_matches.items(), *((device, found) for device, results in photo_matches.items() for found in results)]
    for device, found in asked:
        assert found.best == device
        for line in found.ranking:
            (own if line.device == device else other).append(line.pce)
    assert (len(own), len(other)) == (12, 60)
    assert min(own) > max(other)


def test_named_devices_are_right_and_flat_fields_are_named(
    flat_matches: dict[str, DeviceMatch], photo_matches: dict[str, list[DeviceMatch]]
) -> None:
    for device, found in flat_matches.items():
        assert found.answer == device
        assert found.ranking[0].pce > 500
    answers = [(device, found.answer) for device, results in photo_matches.items() for found in results]
    assert all(answer in (device, "unknown") for device, answer in answers)
    assert sum(answer != "unknown" for _, answer in answers) >= 3


def test_sketches_pick_the_right_device(folder: Path, flat_matches: dict[str, DeviceMatch]) -> None:
    assert flat_matches
    database = open_database(folder)
    for device, flats in listed()["flat"].items():
        assert match(flats[-1], database, shortlist=1).answer == device
