"""A folder of work belongs to one plan, kept in it as JSON: patches, nets or answers of another would be taken for its own."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from camtrace.types import CamtraceError


def keep_plan(path: Path, plan: dict[str, Any], *, writing: bool = True) -> bool:
    """Write the plan of a folder to `path` in it, or compare it with the one that is there; returns whether one was.

    A setting that came to camtrace after the folder was begun may be off (0, False, None): that is what was done without it.

    Of several processes one is `writing`; all check, so that none waits for one that gave up.

    Raises
    ------
    CamtraceError
        The folder was begun by another plan; the message names what differs.
    """
    if path.is_file():
        old, new = (flatten(_strict(given)) for given in (json.loads(path.read_text("utf-8")), json.loads(json.dumps(_strict(plan)))))
        later = {key for key in new if key not in old and not new[key]}
        differing = [key for key in sorted({*old, *new} - later) if old.get(key) != new.get(key)]
        changed = [f"{key} {old.get(key)} -> {new.get(key)}" for key in differing]
        if changed:
            raise CamtraceError(f"{path.parent}: holds other work ({', '.join(changed)}); choose another folder")
        return True
    if writing:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, plan)
    return False


def write_json(path: Path, content: dict[str, Any]) -> None:
    """JSON, all of it or nothing: work may be killed at any time."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(_strict(content), indent=1, allow_nan=False), "utf-8")
    partial.replace(path)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, shortened."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def flatten(plan: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in plan.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _strict(value: Any) -> Any:
    """The same without infinite numbers, which JSON has not: None instead."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
