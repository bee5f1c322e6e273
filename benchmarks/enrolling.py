"""Enrolling 1,000 photos of 20 cameras: `camtrace.enroll` as a whole, with one process and with two, against decoding them alone.

    OMP_NUM_THREADS=1 python benchmarks/enrolling.py [--photos 1000] [--cameras 20] [--jobs 1,2] [--megapixels 12]

Every photo has bytes of its own (a few behind the end of one of four pictures), so that nothing is taken for a copy and all is decoded
anew. Seconds are those of the clock, and of the processor for this process and its workers, on a machine that may do other work
meanwhile. `beyond decoding` is the whole less decoding by as many processes at their best (the seconds of one process divided by their
number). `only` knows just the new cameras, `joined` the base's as well. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sides import SIZES, machine, made_photo

import camtrace
from camtrace.bundle import load_bundle
from camtrace.mishaps import copies_each
from camtrace.photo import find_photos, read_photo

PICTURES = 4


def write_albums(root: Path, *, photos: int, cameras: int, megapixels: int) -> None:
    height, width = SIZES[megapixels]
    pictures = [made_photo(height - 16 * number, width) for number in range(PICTURES)]
    for number in range(photos):
        album = root / f"Made_M{number % cameras:02}"
        album.mkdir(exist_ok=True)
        (album / f"{number:05}.jpg").write_bytes(pictures[number % PICTURES] + number.to_bytes(4))


def seconds_of_family() -> float:
    """Processor seconds of this process and of the workers that ended."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


def timed(work: Callable[[], object]) -> tuple[float, float]:
    started, used = time.perf_counter(), seconds_of_family()
    work()
    return time.perf_counter() - started, seconds_of_family() - used


def decode_all(root: Path) -> None:
    for path in find_photos(root):
        read_photo(path)


def measure(root: Path, jobs: list[int]) -> list[dict[str, Any]]:
    decoding, decoding_cpu = timed(lambda: decode_all(root))
    rows: list[dict[str, Any]] = [
        {"step": "decoding alone", "processes": 1, "clock_s": round(decoding, 1), "processor_s": round(decoding_cpu, 1)}
    ]
    base = load_bundle(threads=1)
    for count in jobs:
        for only in (True, False):
            out = root.parent / "bundle"
            clock, processor = timed(lambda: camtrace.enroll(root, out=out, bundle=base, only=only, jobs=count))  # noqa: B023
            shutil.rmtree(out)
            rows.append(
                {
                    "step": f"enrolling, {'only' if only else 'joined'}",
                    "processes": count,
                    "clock_s": round(clock, 1),
                    "processor_s": round(processor, 1),
                    "beyond_decoding_clock_s": round(clock - decoding / count, 1),
                    "beyond_decoding_processor_s": round(processor - decoding_cpu, 1),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--megapixels", type=int, choices=list(SIZES), default=12)
    parser.add_argument("--jobs", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    asked = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "albums"
        root.mkdir()
        write_albums(root, photos=asked.photos, cameras=asked.cameras, megapixels=asked.megapixels)
        rows = measure(root, asked.jobs)
    each = copies_each(asked.photos // asked.cameras)
    print(json.dumps({"machine": facts, "photos": asked.photos, "cameras": asked.cameras, "copies_of_each": each, "rows": rows}))


if __name__ == "__main__":
    main()
