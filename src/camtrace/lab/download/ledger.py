"""What came whole, and what it should be: the files by which a download knows what it need not fetch again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from camtrace.lab.download.addresses import Place
from camtrace.types import CamtraceError

LEDGER = "camtrace-downloads.jsonl"
Ledger = dict[str, dict[str, object]]  # path beneath the folder -> its last line


def note(folder: Path, place: Place, size: int, sha256: str | None) -> None:
    """Add a file that is whole to the ledger."""
    line = {"path": str(place.path), "address": place.address, "bytes": size, "sha256": sha256}
    with (folder / LEDGER).open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(json.dumps(line) + "\n")


def is_noted(ledger: Ledger, place: Place, target: Path, sha256: str | None) -> bool:
    """Whether an earlier run noted that the file came whole, and it still has that size; with a hash, that one too."""
    noted = ledger.get(str(place.path))
    if noted is None or noted.get("address") != place.address or (sha256 is not None and noted.get("sha256") != sha256):
        return False
    return target.is_file() and target.stat().st_size == noted.get("bytes")


def read_ledger(folder: Path) -> Ledger:
    """What came whole, by path; a line that a kill cut short is passed over, and its file is asked for again.

    Raises
    ------
    CamtraceError
        The folder is not there and cannot be made, or the ledger cannot be read.
    """
    noted: Ledger = {}
    path = folder / LEDGER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
    except OSError as error:
        raise CamtraceError(f"{folder}: cannot be used: {error}; expected a folder to download to") from error
    for line in lines:
        try:
            entry = json.loads(line)
            noted[entry["path"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return noted


def read_sums(sums: Mapping[str, str] | Path | None) -> dict[str, str]:
    """SHA-256 by path, in small letters.

    Raises
    ------
    CamtraceError
        The file cannot be read, or a line of it is not as `sha256sum` writes it.
    """
    if not isinstance(sums, Path):
        return {path: value.lower() for path, value in (sums or {}).items()}
    try:
        lines = sums.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CamtraceError(f"{sums}: cannot be read: {error}; expected SHA-256 and paths, as sha256sum writes them") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](?:\./)?(.+)", line)
            if match is None:
                raise CamtraceError(f"{sums}, line {number}: found {line!r}; expected a SHA-256 and a path, as sha256sum writes them")
            found[match[2]] = match[1].lower()
    return found
