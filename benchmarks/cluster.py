"""Ray against the local engine: photos a second with 1 and 2 workers of each, in turns.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py [--photos 64,256] [--workers 1,2] [--rounds 2] [--megapixels 8]

Each way judges a small folder and a large one; `per_s` is how many photos more by how many seconds of the clock more, so that what it
takes to start does not count, and `first_s` the small folder, start included. The smallest times of all rounds. Ray runs as it does
for users, on a cluster of this machine alone. `to local` compares with as many local workers. Other work on the machine slows all of
them, and Ray's own processes share its cores, so that one machine says nothing about how a cluster scales. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sides import SIZES, clock, machine, made_photo

from camtrace.batches.batch import Task, judge_in_pool
from camtrace.batches.cluster import Cluster, judge
from camtrace.bundle import load_bundle
from camtrace.photo import find_photos


def write_photos(folder: Path, count: int, picture: bytes) -> None:
    """Photos of one picture, no two files alike."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(picture + number.to_bytes(4))


def locally(folder: Path, workers: int) -> None:
    for verdict in judge_in_pool(find_photos(folder), load_bundle(threads=1).id, task=Task(), jobs=workers):
        assert verdict.status == "ok", verdict.reason


def on_ray(folder: Path, workers: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        tally, _ = judge([str(folder)], out, task=Task(), cluster=Cluster(actors=workers))
    assert not tally.failed, tally


def measure(root: Path, counts: list[int], workers: list[int], rounds: int) -> list[dict[str, Any]]:
    engines: dict[str, Callable[[Path, int], None]] = {"local": locally, "Ray": on_ray}
    ways = {
        (engine, number, count): (lambda work=work, number=number, count=count: work(root / str(count), number))
        for number in workers
        for engine, work in engines.items()
        for count in counts
    }
    taken = {way: found["smallest_s"] for way, found in clock({str(way): work for way, work in ways.items()}, rounds=rounds).items()}
    rows = []
    for number in workers:
        rates = {}
        for engine in engines:
            few, many = (taken[str((engine, number, count))] for count in counts)
            rates[engine] = (counts[1] - counts[0]) / (many - few)
            rows.append(
                {
                    "engine": engine,
                    "workers": number,
                    "per_s": round(rates[engine], 2),
                    "to_local": round(rates[engine] / rates["local"], 2),
                    "first_s": round(few, 1),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=lambda text: [int(part) for part in text.split(",")], default=[64, 256])
    parser.add_argument("--workers", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--megapixels", type=int, choices=list(SIZES), default=8)
    asked = parser.parse_args()
    os.environ.setdefault("RAY_agent_register_timeout_ms", "100000")  # on a machine that is too busy
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    facts, picture = machine(), made_photo(*SIZES[asked.megapixels])
    with tempfile.TemporaryDirectory() as place:
        for count in asked.photos:
            write_photos(Path(place) / str(count), count, picture)
        rows = measure(Path(place), asked.photos, asked.workers, asked.rounds)
    print(json.dumps({"machine": facts, "photos": asked.photos, "megapixels": asked.megapixels, "rounds": asked.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
