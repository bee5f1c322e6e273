"""What the benchmarks share: two ways timed in turns, the photos they are timed on, and facts of the machine.

Seconds are those of the processor for this process (`time.process_time`), the smallest of many rounds: other processes on the machine
still slow memory and caches, and so only ratios of one run mean anything.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.simulator import draw_scene, make_cameras, save, shoot

SIZES = {8: (2448, 3264), 12: (3000, 4000), 24: (4000, 6000)}
"""Megapixels -> height and width."""

BITS_A_PIXEL = 2.0
"""Size of the made JPEG files. 1,449 photos of 46 cameras have 2.05 on average, half of them less than 1.93."""

_TILE = 512
_PACKAGES = ("numpy", "onnxruntime", "simplejpeg", "Pillow", "openvino", "torch", "scikit-learn")


def in_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Smallest processor seconds of each way, A B A B ..., after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            started = time.process_time()
            work()
            if turn:
                taken[name].append(time.process_time() - started)
    return {name: min(times) for name, times in taken.items()}


def clock(ways: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, dict[str, float]]:
    """Smallest and median seconds on the wall, in turns: for work that is done in other processes."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return {name: {"smallest_s": round(min(times), 3), "median_s": round(statistics.median(times), 3)} for name, times in taken.items()}


def made_photo(height: int, width: int, *, bits: float = BITS_A_PIXEL) -> bytes:
    """A JPEG (4:2:0) of tiles that made cameras shot, at the quality that comes nearest to so many bits a pixel."""
    pixels = made_pixels(height, width)
    files = [_as_jpeg(pixels, quality) for quality in (80, 85, 88, 90, 92, 94, 95, 96, 97)]
    return min(files, key=lambda data: abs(8 * len(data) / (height * width) - bits))


def made_pixels(height: int, width: int) -> NDArray[np.uint8]:
    """Tiles that made cameras shot, dealt at random: (height, width, 3)."""
    tiles, rng = _tiles(), np.random.default_rng(0)
    down, across = -(-height // _TILE), -(-width // _TILE)
    pixels = np.empty((height, width, 3), np.uint8)
    for place, number in enumerate(rng.integers(len(tiles), size=down * across)):
        row, column = (part * _TILE for part in divmod(place, across))
        part = pixels[row : row + _TILE, column : column + _TILE]
        part[...] = tiles[number][: part.shape[0], : part.shape[1]]
    return pixels


@cache
def _tiles() -> list[NDArray[np.uint8]]:
    cameras = make_cameras(6, seed=3)
    shots = [save(shoot(draw_scene(_TILE, _TILE, seed=n), camera, seed=n), camera, seed=n) for n, camera in enumerate(cameras)]
    opened = [np.asarray(Image.open(io.BytesIO(shot)).convert("RGB").resize((_TILE, _TILE))) for shot in shots]
    return [tile.copy() for tile in opened]


def _as_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=2)
    return stream.getvalue()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **versions,
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    known = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if f" {name}" in flags]
    return f"{names[0] if names else platform.processor()} ({', '.join(known)})"
