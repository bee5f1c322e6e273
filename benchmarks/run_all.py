"""Run the benchmarks and write docs/results/speed.md: a table for each question, and the facts of the machine.

    python benchmarks/run_all.py [--only one_photo,inference] [--photos FOLDER] [--out docs/results/speed.md]

Each runs in a process of its own on one core. Their JSON is kept beside the page's name (`speed.json`), so that `--only` renews some.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results" / "speed.md"
QUESTIONS = (
    *("one_photo", "inference", "patch_rules", "start_up", "large_photos"),
    *("enrolling", "svm", "training", "training_data", "residual"),
)
INTRODUCTION = """# Speed

Written by `python benchmarks/run_all.py`, not by hand. Times are those of the machine below and promised nowhere: ratios count.
Both sides of every ratio were measured in turns in one run, on one core. Milliseconds are the smallest of all rounds and, where the
text says so, of the processor and not of the clock: the machine did other work meanwhile.
"""


def run(name: str, photos: Path | None) -> dict[str, Any]:
    command = [sys.executable, str(HERE / f"{name}.py")]
    if name == "inference" and photos:
        command += ["--photos", str(photos)]
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, env={**os.environ, **alone}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Its rows; of a benchmark without any the dictionaries in it, one a row, or all it says as one row."""
    plain = {name: value for name, value in found.items() if not isinstance(value, dict | list)}
    inner = [{"": name, **value} for name, value in found.items() if isinstance(value, dict) and name != "machine"]
    return list(found.get("rows") or inner or [plain])


def table(rows: list[dict[str, Any]]) -> str:
    flat = [flattened(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[str(row.get(name, "")) for name in names] for row in flat]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def flattened(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}: {inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def section(name: str, found: dict[str, Any]) -> str:
    """The question and how it is asked, from the docstring of the benchmark; its facts; its table."""
    title, _, told = (ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or "").partition("\n")
    told = "\n".join(line if not line.startswith("    ") else f"`{line.strip()}`" for line in told.strip("\n").splitlines())
    facts = [
        f"{fact.replace('_', ' ')}: {value}" for fact, value in found.items() if "rows" in found and fact not in ("rows", "machine")
    ]
    load = found.get("machine", {}).get("load_before")
    facts += [f"load of the machine before it: {load}"] if load is not None else []
    return "\n\n".join(part for part in (f"## {title}", told, "; ".join(facts), table(rows_of(found))) if part)


def page(results: dict[str, dict[str, Any]]) -> str:
    facts = next((found["machine"] for found in results.values() if "machine" in found), {})
    machine = "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items() if name != "load_before")
    parts = [section(name, results[name]) for name in QUESTIONS if name in results]
    return "\n\n".join([INTRODUCTION.strip(), f"## The machine\n\n{machine}", *parts]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(QUESTIONS))
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args()
    kept = asked.out.with_suffix(".json")
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in asked.only:
        print(f"{name} ...", file=sys.stderr)
        results[name] = run(name, asked.photos)
        kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")  # at once: the next one may fail
    asked.out.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
