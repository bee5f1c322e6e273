"""Devices of one made camera: their flat fields and photos, small enough for the tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camtrace.devices.enrolment import enroll
from camtrace.simulator import MadeCamera, draw_scene, save, shoot
from camtrace.simulator.filters import gaussian
from made import different_cameras

SIZE = 256


@cache
def sensor_camera() -> MadeCamera:
    """A camera that hides little of its sensor."""
    return replace(different_cameras()[0], make="Aurora", model="A100", shot_noise=0.006, read_noise=0.001, vignetting=0.1)


@cache
def flat_pixels(device: int, number: int, *, height: int = SIZE, width: int = SIZE) -> NDArray[np.uint8]:
    """A flat field, taken by a device."""
    scene = np.full((height, width, 3), 0.25, np.float32)
    return shoot(scene, sensor_camera(), device=device, seed=1000 + number)


@cache
def scene_pixels(device: int, number: int, *, height: int = SIZE, width: int = SIZE) -> NDArray[np.uint8]:
    """An ordinary photo, of a scene without the finest detail."""
    scene = gaussian(draw_scene(height, width, seed=number), 1.5) + np.float32(0.05)
    return shoot(scene, sensor_camera(), device=device, seed=number)


def encoded(pixels: NDArray[np.uint8], *, exif: bool = True) -> bytes:
    """The camera's JPEG of these pixels."""
    return save(np.ascontiguousarray(pixels), sensor_camera(), exif=exif)


def write_flats(folder: Path, device: int, numbers: range, *, height: int = SIZE, width: int = SIZE) -> list[Path]:
    """Flat fields of a device as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{device}-{number}-{width}.jpg" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        path.write_bytes(encoded(flat_pixels(device, number, height=height, width=width)))
    return paths


def enroll_two(root: Path) -> Path:
    """A database of two devices of one model, six flat fields each."""
    for device, name in ((1, "first"), (2, "second")):
        enroll(root / "db", name, write_flats(root / "flats", device, range(6)))
    return root / "db"
