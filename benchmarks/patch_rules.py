"""Choosing patches: camtrace's one pass over uint8 against the plain way, patch by patch in float, alternately in one run.

    python benchmarks/patch_rules.py

Prints JSON; only the ratios mean anything from machine to machine.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from camtrace.patches import RULES

SIZE = 64
ROUNDS = 5
Pixels = NDArray[np.uint8]


def plain(pixels: Pixels, score: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
    rows, columns = pixels.shape[0] // SIZE, pixels.shape[1] // SIZE
    scores = np.empty((rows, columns))
    for row in range(rows):
        for column in range(columns):
            patch = pixels[row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE].astype(np.float64)
            scores[row, column] = score(patch)
    return scores


def plain_mid_tone(patch: NDArray[np.float64]) -> float:
    return -abs(float(patch.mean()) - 127.5)  # camtrace looks for saturated samples when it chooses, not when it scores


def plain_quality(patch: NDArray[np.float64]) -> float:
    mean, deviation = patch.mean(axis=(0, 1)) / 255, patch.std(axis=(0, 1)) / 255
    return float(0.7 * (4 * mean - 4 * mean**2).mean() + 0.3 * (1 - 10 ** (-2 * deviation)).mean())


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2736, 3648, 3), dtype=np.uint8)  # 10 megapixels
    results = {"megapixels": pixels.size / 3e6, "rounds": ROUNDS}
    for name, way in (("mid-tone", plain_mid_tone), ("quality", plain_quality)):
        if not np.allclose(RULES[name](pixels, SIZE), plain(pixels, way)):
            raise SystemExit(f"{name}: the two ways do not agree")
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda rule=RULES[name]: rule(pixels, SIZE)))  # type: ignore[misc]
            theirs.append(seconds(lambda way=way: plain(pixels, way)))  # type: ignore[misc]
        fast, slow = statistics.median(ours), statistics.median(theirs)
        results[name] = {"camtrace_s": round(fast, 4), "plain_s": round(slow, 4), "ratio": round(slow / fast, 1)}  # type: ignore[assignment]
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
