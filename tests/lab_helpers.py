"""A tiny data set of made photos on disk, with a manifest, for the lab's tests."""

from __future__ import annotations

import csv
from pathlib import Path

from camtrace.simulator import draw_scene, make_cameras, save, shoot


def make_dataset(root: Path, *, cameras: int = 4, devices: int = 2, photos: int = 3, size: int = 384) -> Path:
    """Write photos and photos.csv; every device shoots scenes of its own. Returns the manifest."""
    rows = []
    for number, camera in enumerate(make_cameras(cameras, seed=5)):
        folder = root / camera.name.replace(" ", "_")
        folder.mkdir(parents=True)
        for device in range(devices):
            for shot in range(photos):
                seed = (number * devices + device) * photos + shot
                photo = save(shoot(draw_scene(size, size, seed=seed), camera, device=device, seed=seed), camera, seed=seed)
                name = f"d{device}_{shot}.jpg"
                (folder / name).write_bytes(photo)
                rows.append([f"{folder.name}/{name}", camera.name, f"d{device}", f"s{number}{device}{shot % 2}"])
    with (root / "photos.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "camera", "device", "scene"])
        writer.writerows(rows)
    return root / "photos.csv"
