"""Ask for known holes in what the lock file pins: `python tools/audit.py [LOCK]`, exit status 1 where one is found.

`pip-audit` asks the advisories of PyPI. Where these cannot be reached nothing was checked: that is said aloud, as a warning that
GitHub shows too, and is no failure, since no commit could mend it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements" / "ci.txt"


def holes(report: dict[str, Any]) -> list[str]:
    """A line for each known hole in a report of `pip-audit`."""
    return [
        f"{one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in report["dependencies"]
        for hole in one.get("vulns", ())
    ]


def main(words: list[str] | None = None) -> int:
    """Check, and say what was found."""
    given = sys.argv[1:] if words is None else words
    lock = Path(given[0]) if given else LOCK
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
        run = subprocess.run([*command, "--format", "json", "--output", str(out)], check=False, capture_output=True, text=True)
        if not out.is_file():
            last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
            sys.stdout.write(f"::warning title=pip-audit::NOTHING WAS CHECKED: the advisories cannot be reached: {last}\n")
            return 0
        found = holes(json.loads(out.read_text("utf-8")))
    sys.stdout.write("".join(f"{line}\n" for line in found) + f"{len(found)} known holes\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
