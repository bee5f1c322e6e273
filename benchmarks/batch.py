"""Many photos: workers against one process, alternately in one run, and the memory of a long run.

    python benchmarks/batch.py [--photos 60] [--jobs 1,2] [--links 20000]

Prints JSON. Rates are steady ones, from the first verdict to the last; only their ratios mean anything from machine to machine, and on
a machine that does other work meanwhile not even these. `efficiency` is the rate over that of one process times the workers: 1 is the
goal. `efficiency_cpu` is the same from seconds of all cores, parent included, which other work disturbs less. These and the memory are
read from /proc, on Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camtrace.batches.batch import Earlier, Task, judge_here, judge_in_pool
from camtrace.bundle import load_bundle
from camtrace.photo import walk
from camtrace.types import Verdict

ROUNDS = 3
SIDE = (3000, 4000)


def make_photo(seed: int, shape: tuple[int, int]) -> bytes:
    """A JPEG that takes as long as a photo does: smooth structure with noise, its tiles not alike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    base = 120 + 50 * np.sin(rows / 97 + seed) * np.cos(columns / 61)
    pixels = base[..., None] + rng.normal(0, 6, (*shape, 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 250).astype(np.uint8)).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def family() -> list[str]:
    """Process ids of this one and its workers."""
    return [str(process.pid) for process in (multiprocessing.current_process(), *multiprocessing.active_children())]


def cpu() -> float:
    """Seconds of all cores that this process and its workers used; 0 where /proc is missing."""
    if not Path("/proc/self/stat").exists():
        return 0.0
    stats = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in family()]
    return sum(int(one[11]) + int(one[12]) for one in stats) / os.sysconf("SC_CLK_TCK")


def timed(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """Seconds to the first verdict; verdicts a second of the clock, and seconds of all cores a verdict, from there on."""
    started = time.perf_counter()
    feed = iter(verdicts)
    next(feed)
    first, first_cpu, counted = time.perf_counter(), cpu(), 1
    last, last_cpu = first, first_cpu
    for count, _ in enumerate(feed, 1):
        if count % 10 == 0:
            last, last_cpu, counted = time.perf_counter(), cpu(), count
    return {"first_s": first - started, "rate": counted / (last - first), "cpu_s": (last_cpu - first_cpu) / counted}


def throughput(folder: Path, photos: int, jobs: list[int]) -> dict[str, Any]:
    data = [make_photo(seed, SIDE) for seed in range(4)]
    for number in range(photos):
        (folder / f"{number:05}.jpg").write_bytes(data[number % 4] + number.to_bytes(4))  # bytes behind the end: no two files alike
    bundle, task = load_bundle(threads=1), Task()
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in (0, *jobs)}
    for _ in range(ROUNDS):
        runs[0].append(timed(judge_here(walk(folder), bundle, task=task)))
        for count in jobs:
            runs[count].append(timed(judge_in_pool(walk(folder), bundle.id, task=task, jobs=count)))
    middle = {count: {name: statistics.median(run[name] for run in some) for name in some[0]} for count, some in runs.items()}
    alone = middle.pop(0)
    found: dict[str, Any] = {
        "megapixels": SIDE[0] * SIDE[1] / 1e6,
        "megabytes": round(len(data[0]) / 1e6, 1),
        "photos": photos,
        "one_process": {"per_s": round(alone["rate"], 2), "cpu_ms": round(1e3 * alone["cpu_s"])},
    }
    for count, run in middle.items():
        found[f"workers_{count}"] = {
            "per_s": round(run["rate"], 2),
            "cpu_ms": round(1e3 * run["cpu_s"]),
            "efficiency": round(run["rate"] / alone["rate"] / count, 2),
            "efficiency_cpu": round(alone["cpu_s"] / run["cpu_s"], 2) if run["cpu_s"] else None,
            "first_s": round(run["first_s"], 2),
        }
    return found


def resident() -> list[float]:
    """Megabytes in memory of this process and of its workers."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family()]
    return [round(one * os.sysconf("SC_PAGE_SIZE") / 1e6, 1) for one in pages]


def memory(folder: Path, links: int) -> dict[str, Any]:
    """Memory of parent and worker over a long run on links to four small photos, one of them bad."""
    data = [make_photo(1, (256, 256)), make_photo(2, (256, 256)), b"no photo", make_photo(3, (200, 300))]
    first = []
    for number, content in enumerate(data):
        first.append(folder / f"a{number}.jpg")
        first[-1].write_bytes(content)
    for number in range(links):
        part = folder / f"{number // 1000:04}"
        part.mkdir(exist_ok=True)
        os.link(first[number % 4], part / f"{number:07}.jpg")
    marks = []

    def watched(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
        for number, verdict in enumerate(verdicts):
            if number % max(1, links // 10) == 0:
                marks.append(resident())
            yield verdict

    bundle = load_bundle(threads=1)
    run = timed(watched(judge_in_pool(walk(folder), bundle.id, task=Task(), jobs=1, earlier=Earlier())))
    return {"links": links, "per_s": round(run["rate"]), "resident_mb_parent_and_worker": marks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--jobs", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--links", type=int, default=20_000)
    asked = parser.parse_args()
    results: dict[str, Any] = {"cores": os.cpu_count(), "rounds": ROUNDS}
    with tempfile.TemporaryDirectory() as place:
        results["throughput"] = throughput(Path(place), asked.photos, asked.jobs)
    if asked.links and Path("/proc/self/statm").exists():
        with tempfile.TemporaryDirectory() as place:
            results["memory"] = memory(Path(place), asked.links)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
