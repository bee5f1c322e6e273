"""What both pools of worker processes need of a process: its limits, from within, and how it ended, in words."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path


def set_alarm(seconds: float | None) -> None:
    """Let the system end this process in a while, whatever holds it, or no more (None). Its parent is sooner, if it still lives."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else seconds)


def limit_memory(more: int) -> None:
    """From now on this process gets `more` bytes at most, where the system can limit it (Linux): then MemoryError, or it dies."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = pages * resource.getpagesize() + more
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))  # for good: nothing in this process can lift it again


def death_in_words(code: int | None) -> str:
    """An exit code of multiprocessing: the signal's name, or the status."""
    if code is None or code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
