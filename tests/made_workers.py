"""What worker processes do in tests. They import this module, so it is light and changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from camtrace.batches.batch import Task, set_up
from camtrace.batches.cluster import set_up as set_up_ray
from camtrace.batches.enrolling import set_up as set_up_enrolling
from camtrace.batches.pool import Ask, Work
from camtrace.types import CamtraceError


def obey(_word: str = "") -> Work:
    """Does what the job says: `sleep 0.1`, `exit 3`, `signal 9`, `raise`, `hold 100` (MiB), `ask x`, `environment X`.

    The answer is the job itself, if it has no other.
    """

    def work(job: bytes, ask: Ask) -> bytes:
        verb, _, what = job.decode().partition(" ")
        if verb == "sleep":
            time.sleep(float(what))
        elif verb == "exit":
            os._exit(int(what))
        elif verb == "signal":
            os.kill(os.getpid(), int(what))
            time.sleep(60)
        elif verb == "hold":
            return f"{len(bytearray(int(what) * 2**20))}".encode()
        elif verb == "raise":
            raise ValueError(what)
        elif verb == "ask":
            return ask(what.encode())
        elif verb == "environment":
            return os.environ[what].encode()
        return job

    return work


def refuse(word: str) -> Work:
    raise CamtraceError(f"{word}: no such bundle")


def die(_word: str) -> Work:
    os._exit(5)


def moody(task: Task) -> Work:
    """A worker that photos named `dies.jpg` kill and that hangs at `hangs.jpg`, after it looked for its hash as for any other."""
    return _moody(set_up(task))


def moody_ray(task: Task, roots: list[str]) -> Work:
    """The same; a photo named `once.jpg` kills the Ray actor whose child this is, but only the first time."""
    return _moody(set_up_ray(task, roots))


def moody_enrolling(files: dict[str, bytes]) -> Work:
    """The same where photos are enrolled."""
    return _moody(set_up_enrolling(files))


def _moody(work: Work) -> Work:
    def moody_work(job: bytes, ask: Ask) -> bytes:
        result = work(job, ask)
        if b"dies.jpg" in job:
            os.kill(os.getpid(), signal.SIGSEGV if hasattr(signal, "SIGSEGV") else signal.SIGTERM)
        if b"hangs.jpg" in job:
            time.sleep(60)
        if b"once.jpg" in job:
            _kill_parent_once(Path(os.fsdecode(job[5:])).with_suffix(".killed"))
        return result

    return moody_work


def _kill_parent_once(mark: Path) -> None:
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
