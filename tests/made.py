"""What the tests share: made cameras that differ clearly, their photos, and the command line called as users call it."""

from __future__ import annotations

import io
import os
import re
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.cli import main
from camtrace.simulator import MadeCamera, draw_scene, make_cameras, save, shoot
from camtrace.simulator.filters import Plane
from camtrace.types import References

_STYLING = re.compile(r"\x1b\[[0-9;]*m")  # colours, which some continuous integration machines switch on

TEACHING_DEVICE, QUESTIONED_DEVICE = 1, 2
TEACHING_SCENES, QUESTIONED_SCENES = range(100, 106), range(900, 904)

# Choices that leave traces so different that any sensible features tell these cameras apart.
_CHOICES: tuple[dict[str, Any], ...] = (
    {"demosaic": "malvar", "denoiser": "none", "chroma_blur": 0.0, "sharpen_amount": 0.0, "lens_blur": 0.2, "scale": 1.0},
    {"demosaic": "bilinear", "denoiser": "range", "denoise": 3.0, "sharpen_amount": 0.0, "lens_blur": 0.9, "scale": 1.25},
    {"demosaic": "edge_directed", "denoiser": "none", "sharpen_amount": 2.0, "sharpen_coring": 0.0, "sharpen_limit": 1.0, "scale": 1.0},
    {"demosaic": "binned", "denoiser": "guided", "denoise": 2.0, "sharpen_amount": 1.2, "sharpen_radius": 1.8, "scale": 0.8},
)
_NAMES = (("Aurora", "A100"), ("Borealis", "B101"), ("Cygnus", "C 102"), ("Dorado", "D103"))
_QUALITIES = (97, 85, 92, 80)


@cache
def different_cameras() -> tuple[MadeCamera, ...]:
    """Four cameras, each as different from the others as made cameras get."""
    plain = replace(make_cameras(1, seed=5)[0], contrast=0.0, local_contrast=0.0)
    cameras = zip(_NAMES, _CHOICES, _QUALITIES, strict=True)
    return tuple(
        replace(plain, make=make, model=model, jpeg_tables=(_tables(quality),), **choices)
        for (make, model), choices, quality in cameras
    )


def _tables(quality: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tables that libjpeg makes for a quality: luma and chroma."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=quality)
    tables = Image.open(stream).quantization  # type: ignore[attr-defined]
    return tuple(tables[0]), tuple(tables[1])


@cache
def scene(number: int, size: int) -> Plane:
    """The scene of this number, drawn once."""
    return draw_scene(size, size, seed=number)


@cache
def made_photo(camera: MadeCamera, number: int, *, device: int = QUESTIONED_DEVICE, size: int = 384) -> bytes:
    """The JPEG that a camera takes of a scene."""
    return save(shoot(scene(number, size), camera, device=device, seed=number), camera)


def write_album(folder: Path, camera: MadeCamera, numbers: range, *, device: int = TEACHING_DEVICE, size: int = 384) -> Path:
    """A folder of photos by one camera, one for each scene number."""
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number}.jpg").write_bytes(made_photo(camera, number, device=device, size=size))
    return folder


def noise(height: int, width: int, *, seed: int = 0, low: int = 0, high: int = 255) -> NDArray[np.uint8]:
    """Random pixels (height, width, 3) in [low, high)."""
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), dtype=np.uint8)


def encode(pixels: NDArray[Any] | Image.Image, file_format: str, **options: Any) -> bytes:
    """Bytes of an image file, written by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def clusters(counts: list[int], *, patches: int = 6, dimension: int = 8, spread: float = 1.0, seed: int = 0) -> References:
    """References of cameras whose features lie around one centre each: `counts` photos a camera, `patches` patches a photo."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, (len(counts), dimension))
    cameras = np.repeat(np.arange(len(counts)), np.multiply(counts, patches))
    features = centres[cameras] + rng.normal(0, spread, (len(cameras), dimension))
    return References(features.astype(np.float32), cameras, np.repeat(np.arange(sum(counts)), patches))


@dataclass(frozen=True)
class Run:
    """What a run of the command line left."""

    code: int
    out: str
    err: str


def run_cli(*words: object, stdin: bytes = b"") -> Run:
    """`camtrace WORDS` through the entry point, in this process."""
    source, out, err = (io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="") for data in (stdin, b"", b""))
    code: object = 0
    wide = mock.patch.dict(os.environ, COLUMNS="300")  # usage errors are drawn in a box as wide as the terminal
    with wide, mock.patch.multiple(sys, argv=["camtrace", *map(str, words)], stdin=source, stdout=out, stderr=err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    for stream in (out, err):
        stream.seek(0)
    return Run(code if isinstance(code, int) else 0, out.read(), _STYLING.sub("", err.read()))
