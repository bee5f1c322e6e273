"""Real photos from ../shared: users do not have them, so these tests skip aloud elsewhere."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import camtrace

SHARED = Path(__file__).parents[2] / "shared" / "cameras"
CAMERAS = ("Apple iPhone 7 Plus", "Canon EOS REBEL T5i", "Nikon D5300", "Samsung GT-I9300", "Sony XQ-CT72")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real photos are not here: {SHARED}"),
]


@pytest.fixture(scope="module")
def photos() -> dict[str, list[Path]]:
    """Ten photos to teach and five to ask of each camera, first and last by scene. The shipped network was trained on all of them."""
    rows = defaultdict(list)
    with (SHARED / "photos.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            rows[row["camera"]].append((row["scene"], SHARED / row["file"]))
    chosen = {}
    for camera in CAMERAS:
        ordered = [path for _, path in sorted(rows[camera])]
        chosen[camera] = ordered[:10] + ordered[-5:]
    return chosen


def test_enrolled_real_cameras_are_told_apart(photos: dict[str, list[Path]], tmp_path: Path) -> None:
    for camera, paths in photos.items():
        folder = tmp_path / "album" / camera.replace(" ", "_")
        folder.mkdir(parents=True)
        for path in paths[:10]:
            shutil.copy(path, folder)
    bundle = camtrace.enroll(tmp_path / "album", out=tmp_path / "bundle", only=True).bundle
    right = [camtrace.identify(path, bundle=bundle).best == camera for camera, paths in photos.items() for path in paths[10:]]
    assert np.mean(right) >= 0.9


def test_default_bundle_knows_the_photos_that_taught_it(photos: dict[str, list[Path]]) -> None:
    verdicts = {path: camtrace.identify(path) for paths in photos.values() for path in paths}
    right = [verdicts[path].best == camera for camera, paths in photos.items() for path in paths]
    assert np.mean(right) >= 0.95, "these photos were trained on: anything less means that pixels or patches changed on the way"
    assert all(verdict.status == "ok" and verdict.claim.model is None for verdict in verdicts.values())
