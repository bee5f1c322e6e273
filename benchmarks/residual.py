"""The noise residual of a photo: camtrace's float32 in tiles against the plain way in float64, alternately in one run.

    python benchmarks/residual.py

Prints JSON; only the ratios mean anything from machine to machine. Run on one core with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy import ndimage

from camtrace.devices.fingerprint import SIGMA, residual, to_grey

ROUNDS = 3
HEIGHT, WIDTH = 2736, 3648  # 10 megapixels
WINDOWS = (3, 5, 7, 9)


def plain_mean(plane: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean over a square window, from sums along both axes."""
    padded = np.pad(plane, window // 2, mode="symmetric")
    down = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    rows = down[window:] - down[:-window]
    across = np.cumsum(np.pad(rows, ((0, 0), (1, 0))), axis=1)
    mean: NDArray[np.float64] = (across[:, window:] - across[:, :-window]) / window**2
    return mean


def plain_denoised(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published filter step by step: denoise all bands, keep the coarse one, transform back."""
    coarse, *levels = pywt.wavedec2(plane, "db4", mode="symmetric", level=4)
    clean = [coarse]
    for level in levels:
        bands = []
        for band in level:
            signal = np.min([np.maximum(plain_mean(band**2, window) - SIGMA**2, 0) for window in WINDOWS], axis=0)
            bands.append(band * signal / (signal + SIGMA**2))
        clean.append(tuple(bands))
    restored: NDArray[np.float64] = pywt.waverec2(clean, "db4", mode="symmetric")
    return restored[: plane.shape[0], : plane.shape[1]]


def plain(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """One residual a channel, weighted to grey, as is customary."""
    weights = (0.299, 0.587, 0.114)
    channels = (pixels[..., number].astype(np.float64) for number in range(3))
    return sum(
        (weight * (one - plain_denoised(one)) for weight, one in zip(weights, channels, strict=True)), np.zeros(pixels.shape[:2])
    )


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def picture() -> NDArray[np.uint8]:
    """Soft shapes with grain."""
    rng = np.random.default_rng(0)
    shapes = ndimage.zoom(rng.uniform(20, 230, (20, 26, 3)), (HEIGHT / 20, WIDTH / 26, 1), order=1)
    pixels: NDArray[np.uint8] = np.clip(shapes + rng.normal(0, 3, shapes.shape), 0, 255).astype(np.uint8)
    return pixels


def main() -> None:
    pixels = picture()
    grey = to_grey(pixels)
    reference = grey - plain_denoised(grey.astype(np.float64))
    largest = float(np.abs(residual(grey) - reference).max())
    if largest > 0.01:
        raise SystemExit(f"the two ways do not agree: they differ by up to {largest:.4f} levels")
    ways: dict[str, Callable[[], object]] = {
        "camtrace": lambda: residual(to_grey(pixels)),
        "plain_grey": lambda: plain_denoised(to_grey(pixels).astype(np.float64)),
        "plain_three_channels": lambda: plain(pixels),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            taken[name].append(seconds(work))
    medians = {f"{name}_s": round(statistics.median(times), 3) for name, times in taken.items()}
    ratios = {f"ratio_{name}": round(medians[f"{name}_s"] / medians["camtrace_s"], 1) for name in list(ways)[1:]}
    print(
        json.dumps({"megapixels": HEIGHT * WIDTH / 1e6, "rounds": ROUNDS, "largest_difference": largest, **medians, **ratios}, indent=1)
    )


if __name__ == "__main__":
    main()
