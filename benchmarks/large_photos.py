"""Very large photos: the most memory that `identify` takes, by format, and whether the photo is judged at all.

    OMP_NUM_THREADS=1 python benchmarks/large_photos.py [--megapixels 50,200]

Every photo is judged in a process of its own, whose peak is read from /proc, so on Linux only. `bytes_a_pixel` is what the process
took beyond the loaded bundle, the file included, by the pixels of the photo. Prints JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from sides import machine, made_pixels

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": 92}),
    "JPEG progressive": ("JPEG", {"quality": 92, "progressive": True}),
    "TIFF plain": ("TIFF", {}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "PNG": ("PNG", {"compress_level": 1}),
}
ASPECT = 4 / 3

CHILD = """
import json, sys, time
from pathlib import Path
from camtrace.bundle import load_bundle
from camtrace.identification import identify

def memory(of):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(of))

bundle = load_bundle(threads=1)
before, started = memory("VmRSS"), time.process_time()
verdict = identify(sys.argv[1], bundle=bundle)
taken = time.process_time() - started
found = {"status": verdict.status, "said": verdict.reason, "n_patches": verdict.n_patches}
print(json.dumps({**found, "before": before, "peak": memory("VmHWM"), "seconds": taken}))
"""


def judged(path: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(megapixels: int, name: str, path: Path) -> dict[str, Any]:
    width = int((megapixels * 1e6 * ASPECT) ** 0.5) // 16 * 16
    height = int(megapixels * 1e6 / width) // 16 * 16
    kind, options = FORMATS[name]
    stream = io.BytesIO()
    Image.fromarray(made_pixels(height, width)).save(stream, kind, **options)
    path.write_bytes(stream.getvalue())
    del stream
    found = judged(path)
    row: dict[str, Any] = {"format": name, "megapixels": round(height * width / 1e6, 1), "file_mb": round(path.stat().st_size / 1e6, 1)}
    if found["status"] != "ok":
        return {**row, "answer": f"refused: {found['said'].partition(': ')[2]}"}
    beyond = found["peak"] - found["before"]
    return {
        **row,
        "answer": f"judged by {found['n_patches']} patches",
        "peak_mb_beyond_the_bundle": round(beyond / 1e6),
        "bytes_a_pixel": round(beyond / (height * width), 1),
        "processor_s": round(found["seconds"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=lambda text: [int(part) for part in text.split(",")], default=[50, 200])
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in asked.megapixels:
            rows += [measure(megapixels, name, Path(folder) / "photo") for name in FORMATS]
    print(json.dumps({"machine": machine(), "rows": rows}))


if __name__ == "__main__":
    main()
