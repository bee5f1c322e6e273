"""Check the licences of all that camtrace takes: `python tools/licences.py [--list]`, exit status 1 where one is not allowed.

Looked at are the packages that camtrace and its extras need, as they are installed here, with what those need in turn, and the npm
packages that the wheel holds. Extras that are not installed are named, not judged. What may be relied on stands in ALLOWED; a package
whose metadata says too little stands in SAID, with where its licence was read.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import json
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "src" / "camtrace" / "web" / "package-lock.json"

ALLOWED = frozenset(
    {
        *(
            "0BSD",
            "Apache-2.0",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSL-1.0",
            "CC0-1.0",
            "CNRI-Python",
            "HPND",
            "IJG",
            "ISC",
            "MIT",
            "MIT-0",
        ),
        *("MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib", "LGPL-2.1-or-later", "BlueOak-1.0.0"),
    }
)
"""SPDX. MPL and LGPL bind changes to their own files only, which camtrace does not make."""

SAID = {
    "axe-playwright-python": "MIT",  # its LICENSE file; tests only
    "pillow-heif": "BSD-3-Clause AND LGPL-2.1-or-later",  # its wheels hold libheif and libde265, LGPL
    "pyphen": "LGPL-2.1-or-later",  # one of three to choose from, says its LICENSE; for PDF only
    "protobuf": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",  # the field holds the text itself
    "jinja2": "BSD-3-Clause",
}
OF_NVIDIA = ("nvidia-", "cuda-")
"""NVIDIA's own terms: they come with PyTorch's CUDA build for Linux, for the extra lab alone; its CPU build does without."""

_FREE_TEXT = (
    (r"apache", "Apache-2.0"),
    (r"mozilla public license 2|mpl[- ]?2", "MPL-2.0"),
    (r"bsd[- ]2|2-clause", "BSD-2-Clause"),
    (r"bsd", "BSD-3-Clause"),
    (r"\bisc\b", "ISC"),
    (r"python software foundation|\bpsf", "PSF-2.0"),
    (r"historical permission|\bhpnd", "HPND"),
    (r"\bmit\b", "MIT"),
)
_NOT_OPERATORS = re.compile(r"[A-Za-z0-9.+-]+")


def needed(name: str) -> tuple[dict[str, metadata.Distribution], set[str]]:
    """What a package and all its extras need, and what of it is not installed here, both by normal name."""
    found: dict[str, metadata.Distribution] = {}
    absent: set[str] = set()
    todo = [(name, tuple(metadata.metadata(name).get_all("Provides-Extra") or ()))]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while todo:
        one, extras = entry = todo.pop()
        if entry in seen:
            continue
        seen.add(entry)
        try:
            distribution = found[canonicalize_name(one)] = metadata.distribution(one)
        except metadata.PackageNotFoundError:
            absent.add(canonicalize_name(one))
            continue
        for line in distribution.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                todo.append((wanted.name, tuple(sorted(wanted.extras))))
    return found, absent


def licence_of(distribution: metadata.Distribution) -> str:
    """The licence as SPDX, "" where its metadata says none that can be read; the shortest line of free text is taken at its word."""
    said = SAID.get(canonicalize_name(distribution.name))
    if said is not None:
        return said
    about = distribution.metadata
    if expression := _field(about, "License-Expression"):
        return expression
    text = _field(about, "License")
    if text and "\n" not in text and is_allowed(text):
        return text
    classifiers = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License :: ")]
    for line in (text if "\n" not in text else "", *classifiers):
        for pattern, spdx in _FREE_TEXT:
            if re.search(pattern, line, re.IGNORECASE):
                return spdx
    return ""


def _field(about: metadata.PackageMetadata, name: str) -> str:
    return str((about.get_all(name) or ("",))[0]).strip()


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met with ALLOWED: of an OR one side is enough, of an AND both must be."""
    plain = re.sub(r"[()]| WITH LLVM-exception", " ", expression)
    sides = [plain] if " AND " in plain else re.split(r"\s+OR\s+", plain)
    return any(all(word in ALLOWED for word in _NOT_OPERATORS.findall(side) if word != "AND") and side.strip() for side in sides)


def from_npm() -> dict[str, str]:
    """Licences of the npm packages that the lock of the page pins."""
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    return {name.removeprefix("node_modules/"): str(entry.get("license", "")) for name, entry in packages.items() if name}


def main(words: list[str] | None = None) -> int:
    """Say what is not allowed; with --list, everything."""
    options = argparse.ArgumentParser(prog="python tools/licences.py", description="Check the licences of all that camtrace takes.")
    options.add_argument("--list", action="store_true", help="Name every package.")
    shown = options.parse_args(words).list
    found, absent = needed("camtrace")
    licences = {f"{one.name} {one.version}": licence_of(one) for one in found.values()} | from_npm()
    wrong = {name: one for name, one in licences.items() if not is_allowed(one) and not name.startswith(OF_NVIDIA)}
    for name, licence in sorted((licences if shown else wrong).items(), key=lambda item: item[0].lower()):
        sys.stdout.write(f"{'NOT ALLOWED ' if name in wrong else ''}{name}: {licence or 'nothing that can be read'}\n")
    theirs = sum(name.startswith(OF_NVIDIA) for name in licences)
    sys.stdout.write(f"{len(licences)} packages, {len(wrong)} with a licence that is not allowed\n")
    if theirs:
        sys.stdout.write(f"{theirs} of them under NVIDIA's own terms: part of PyTorch's CUDA build, for the extra lab alone\n")
    if absent:
        sys.stdout.write(f"not installed here, so not judged: {', '.join(sorted(absent))}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
