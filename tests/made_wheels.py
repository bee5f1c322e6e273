"""Wheels for tests: a project's folder built into one, and installed into a folder of its own, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(project: Path, out: Path) -> Path:
    """The wheel of a project that hatchling builds; needs hatchling here, since nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    [wheel] = out.glob("*.whl")
    return wheel


def install(wheel: Path, target: Path) -> Path:
    """What `pip install --no-deps --target` does with a wheel of Python files alone: unpack it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run_with(target: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """`python WORDS` in a process that finds what was installed into `target` too."""
    paths = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH", ""))))
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "300"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
