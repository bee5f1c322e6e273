"""SPAM and demosaicing features: camtrace's batches against the plain way, patch by patch in numpy, alternately in one run.

    python benchmarks/baseline_features.py

Prints JSON: patches a second of processor time in one thread. Only the ratios mean anything from machine to machine.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from camtrace.lab.export import export_onnx
from camtrace.lab.methods.demosaicing import ACROSS, WITHIN, Demosaicing
from camtrace.lab.methods.spam import Spam
from camtrace.simulator import draw_scene, make_cameras, shoot
from camtrace.simulator.demosaic import bilinear, malvar, mosaic

BATCH = 128
ROUNDS = 5
Pixels = NDArray[np.uint8]
Table = NDArray[np.float64]


def levels(values: Table, step: float, limit: int) -> NDArray[np.int64]:
    rounded = np.sign(values) * np.floor(np.abs(values) / step + 0.5)
    whole: NDArray[np.int64] = np.clip(rounded, -limit, limit).astype(np.int64) + limit
    return whole


def table_of(indices: list[list[NDArray[np.int64]]], size: int) -> Table:
    table = np.zeros((size,) * len(indices[0]))
    for columns in indices:
        np.add.at(table, tuple(column.ravel() for column in columns), 1)
    shares: Table = table / table.sum()
    return shares


def plain_spam(patch: Pixels) -> Table:
    grey = patch.astype(np.float64) @ [299, 587, 114]
    across, down = (levels(g[:, :-3] - 3 * g[:, 1:-2] + 3 * g[:, 2:-1] - g[:, 3:], 3000, 2) for g in (grey, grey.T))
    halves = []
    for pair in ((across, down), (across.T, down.T)):
        table = table_of([[r[:, k : r.shape[1] - 3 + k] for k in range(4)] for r in pair], 5)
        merged: dict[tuple[int, ...], float] = {}
        for pattern in product(range(-2, 3), repeat=4):
            negative = tuple(-level for level in pattern)
            kind = min(pattern, pattern[::-1], negative, negative[::-1])
            merged[kind] = merged.get(kind, 0) + table[tuple(level + 2 for level in pattern)]
        halves += [merged[kind] for kind in sorted(merged)]
    return np.array(halves)


def plain_demosaicing(patch: Pixels) -> Table:
    photo, tables = patch.astype(np.float32), []
    for fill in (bilinear, malvar):
        error = levels((photo - fill(mosaic(photo, (0, 0)), (0, 0))).astype(np.float64), 2, 3)[2:-2, 2:-2]
        for geometry in (WITHIN, ACROSS):
            triples = [[error[row::2, col::2, channel] for channel, row, col in triple] for triple in geometry]
            tables.append(table_of(triples, 7).ravel())
    return np.concatenate(tables)


def made_patches() -> Pixels:
    photo = shoot(draw_scene(1024, 1024, seed=1), make_cameras(1, seed=5)[0])
    rows, columns = photo.shape[0] // 64, photo.shape[1] // 64
    cells = photo[: rows * 64, : columns * 64].reshape(rows, 64, columns, 64, 3).swapaxes(1, 2)
    return np.ascontiguousarray(cells.reshape(-1, 64, 64, 3)[:BATCH])


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(net: torch.nn.Module, plain: Callable[[Pixels], Table], patches: Pixels, photo: torch.Tensor) -> dict[str, float]:
    batch = torch.from_numpy(patches).permute(0, 3, 1, 2).float()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(export_onnx(net), options, providers=["CPUExecutionProvider"])
    if not np.allclose(net(batch).numpy(), [plain(patch) for patch in patches], atol=1e-6):
        raise SystemExit(f"{type(net).__name__}: the two ways do not agree")
    ways: dict[str, Callable[[], object]] = {
        "torch": lambda: net(batch),
        "onnxruntime": lambda: session.run(None, {"patches": patches}),
        "plain": lambda: [plain(patch) for patch in patches],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(seconds(way))
    per_second = {f"{name}_patches_per_s": round(len(patches) / statistics.median(times[name])) for name in ways}
    ratio = statistics.median(times["plain"]) / statistics.median(times["torch"])
    return {**per_second, "ratio": round(ratio, 1), "photo_s": round(seconds(lambda: net(photo)), 2)}


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    patches = made_patches()
    photo = torch.randint(0, 256, (1, 3, 3000, 4000), generator=torch.Generator().manual_seed(0)).float()  # 12 megapixels
    results: dict[str, Any] = {
        "batch": len(patches),
        "rounds": ROUNDS,
        "threads": 1,
        "photo_megapixels": 12,
    }
    for net, plain in ((Spam(), plain_spam), (Demosaicing(), plain_demosaicing)):
        results[type(net).__name__] = compare(net, plain, patches, photo)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
