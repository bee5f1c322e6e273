"""From the command line to the first verdict: each command in a process of its own, in turns, Python itself beside them.

    OMP_NUM_THREADS=1 python benchmarks/start_up.py [--rounds 5]

Seconds are those of the processor, of the whole process (the smallest of all rounds), and do not count what was read from disk.
`imported` lists the heavy modules that judging a photo loads. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sides import SIZES, machine, made_photo

HEAVY = ("onnx", "scipy", "sklearn", "torch", "matplotlib", "ray", "pyarrow", "pydantic", "pywt", "fastapi", "jinja2", "rich")
WATCH = """
import sys
from camtrace.cli import main
sys.argv = ["camtrace", "identify", sys.argv[1], "--to", "jsonl"]
try:
    main()
finally:
    print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def processor_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(made_photo(*SIZES[12]))
        camtrace = [sys.executable, "-m", "camtrace"]
        ways = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "camtrace --version": [*camtrace, "--version"],
            "camtrace identify (12 MP)": [*camtrace, "identify", str(photo), "--to", "jsonl"],
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, command in ways.items():
                taken[name].append(processor_seconds(command))
        watched = subprocess.run([sys.executable, "-c", WATCH, str(photo)], capture_output=True, text=True, check=False)
    loaded = set(watched.stderr.split())
    rows: list[dict[str, Any]] = [{"command": name, "processor_s": round(min(times), 3)} for name, times in taken.items()]
    print(
        json.dumps({"machine": machine(), "rounds": asked.rounds, "imported": [name for name in HEAVY if name in loaded], "rows": rows})
    )


if __name__ == "__main__":
    main()
