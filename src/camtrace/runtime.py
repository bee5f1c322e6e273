"""What the machine gives: its cores, and ONNX Runtime, told to keep to itself what it is used for.

Its official builds report to their makers by default (found in 1.31, on Linux): models, hardware, and an id that they keep in the
user's home. A tool for evidence tells nobody anything, and writes nothing that it was not asked for.
"""

from __future__ import annotations

import os
from typing import Any

SILENCE = "ORT_DISABLE_TELEMETRY"
"""Its `Privacy.md`: set before it starts, no uploader, no events and no persistent id are made. Older versions know nothing of it."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def onnx_runtime() -> Any:
    """The module `onnxruntime`, which must be imported nowhere else: its telemetry starts with the import."""
    os.environ[SILENCE] = "1"
    import onnxruntime

    return onnxruntime
