"""Feeding a net: camtrace's memory-mapped patches against a plain DataLoader that decodes the photo of every patch, each time anew.

    python benchmarks/training_data.py

Made photos are written to a temporary folder, and their patches cached once. Then both ways give the very same batches, alternately
in one run: picked at random, as float tensors. Prints JSON; only the ratios mean anything from machine to machine.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from camtrace.lab.datasets import Record
from camtrace.lab.sources import Source, make_source, to_tensor
from camtrace.lab.store import cache_photos
from camtrace.patches import select_patches
from camtrace.photo import read_photo
from camtrace.simulator import draw_scene, make_cameras, save, shoot

HEIGHT, WIDTH = 1536, 2048
CAMERAS, PHOTOS = 2, 4  # photos by each camera
BATCH, ROUNDS = 128, 3
SECONDS = 4.0  # how long each way is timed in a round
WORKERS = (0, 2)  # of the DataLoader: 0 = in the training process, as camtrace does it


class Plain(Dataset[tuple[Tensor, int]]):
    """Patches of photos: which one is known beforehand, all else is done when it is asked for."""

    def __init__(self, records: list[Record], labels: list[int]) -> None:
        self.records, self.labels = records, labels
        self.places = [(photo, row, column) for photo, record in enumerate(records) for row, column in places(record)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        photo, row, column = self.places[index]
        patch = read_photo(self.records[photo].path).pixels[row : row + 64, column : column + 64]
        return torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1).float(), self.labels[photo]


def places(record: Record) -> list[tuple[int, int]]:
    positions = select_patches(read_photo(record.path), count=64).positions
    return [(int(row), int(column)) for row, column in positions]


def write_photos(folder: Path) -> tuple[list[Record], list[int]]:
    records, labels = [], []
    for label, camera in enumerate(make_cameras(CAMERAS, seed=5)):
        for number in range(PHOTOS):
            path = folder / f"{label}_{number}.jpg"
            seed = label * PHOTOS + number
            path.write_bytes(save(shoot(draw_scene(HEIGHT, WIDTH, seed=seed), camera, device=0, seed=seed), camera, seed=seed))
            records.append(Record(path, camera.name, f"{camera.name}/0", f"s{seed}"))
            labels.append(label)
    return records, labels


def camtrace_batches(source: Source) -> Iterable[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(0)
    while True:
        picked = source.pick(BATCH, rng).ravel()
        yield to_tensor(source.take(picked)), torch.from_numpy(source.labels[picked])


def plain_batches(data: Plain, *, workers: int) -> Iterable[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    sampler = torch.utils.data.RandomSampler(data, replacement=True, num_samples=10**6, generator=generator)
    yield from DataLoader(data, BATCH, sampler=sampler, num_workers=workers)


def per_second(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Patches a second, from the second batch on: workers need a while to start."""
    feed = iter(batches)
    next(feed)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        count += len(next(feed)[1])
    return count / (time.perf_counter() - started)


def check_same(source: Source, data: Plain) -> None:
    for index in (0, len(data) // 2, len(data) - 1):
        if not torch.equal(to_tensor(source.take(np.array([index])))[0], data[index][0]):
            raise SystemExit(f"patch {index}: the two ways do not agree")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        records, labels = write_photos(Path(name))
        started = time.perf_counter()
        source, data = make_source(cache_photos(records, Path(name) / "store", labels=labels)), Plain(records, labels)
        check_same(source, data)
        ways: dict[str, Callable[[], Iterable[tuple[Tensor, Tensor]]]] = {"camtrace": lambda: camtrace_batches(source)}
        ways |= {f"plain, {workers} workers": lambda workers=workers: plain_batches(data, workers=workers) for workers in WORKERS}  # type: ignore[misc]
        caching = time.perf_counter() - started
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, batches in ways.items():
                speeds[way].append(per_second(batches()))
    middle = {way: statistics.median(values) for way, values in speeds.items()}
    results = {
        "megapixels": HEIGHT * WIDTH / 1e6,
        "photos": len(records),
        "batch": BATCH,
        "rounds": ROUNDS,
        "caching_s": round(caching, 1),
        "patches_per_second": {way: round(speed) for way, speed in middle.items()},
        "ratio": {way: round(middle["camtrace"] / speed, 1) for way, speed in middle.items() if way != "camtrace"},
    }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
