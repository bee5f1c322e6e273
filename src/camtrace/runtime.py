"""What the machine gives: its cores, shared among processes, and ONNX Runtime, told to keep to itself what it is used for.

Its official builds report to their makers by default (found in 1.31, on Linux): models, hardware, and an id that they keep in the
user's home. A tool for evidence tells nobody anything, and writes nothing that it was not asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SILENCE = "ORT_DISABLE_TELEMETRY"
"""Its `Privacy.md`: set before it starts, no uploader, no events and no persistent id are made. Older versions know nothing of it."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
"""Environment of a worker process: it does its linear algebra in one thread, since the workers are the parallel part. When each took
all cores, two workers on two of them judged 11 photos a second, less than the 14 of one process; with this they judge 27."""


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started within have ONE_THREAD in their environment, but for what the user has set."""
    added = {name: value for name, value in ONE_THREAD.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def onnx_runtime() -> Any:
    """The module `onnxruntime`, which must be imported nowhere else: its telemetry starts with the import."""
    os.environ[SILENCE] = "1"
    import onnxruntime

    return onnxruntime


def open_session(model: bytes, *, threads: int = 0) -> InferenceSession:
    """A model, ready to run on the processor, in so many threads (0 = ONNX Runtime's choice); raises its own family of errors."""
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session: InferenceSession = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session
