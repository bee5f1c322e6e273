"""Jobs for worker processes that may die: each job ends in an answer or in the reason why there is none, in the order given.

The pool of concurrent.futures breaks for good when one of its processes dies, and cannot stop one that takes too long. Here each
worker has a pipe of its own, and a worker that dies or overstays is replaced. Nothing but bytes crosses the pipes, so that a worker
taken over by a hostile file cannot send its parent a pickle. Workers are spawned, never forked: that works alike on all systems.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from camtrace.batches.child import death_in_words, limit_memory, set_alarm
from camtrace.runtime import one_thread_each
from camtrace.types import CamtraceError

Ask = Callable[[bytes], bytes]
"""How a worker asks its parent something in the middle of a job."""

Work = Callable[[bytes, Ask], bytes]
"""What does one job."""

STARTING_SECONDS = 120
MOST_WORKERS = 60 if sys.platform == "win32" else 1000  # Windows waits for 63 things at once
AHEAD = 16
"""Jobs in flight for each worker: so many may be done while one before them still runs."""

_READY, _REFUSED, _QUESTION, _ANSWER = b"R", b"X", b"?", b"A"
_GRACE = 5.0  # seconds: the parent stops a worker that overstays; where the parent is gone, its own alarm does, later
_LARGEST = 64 * 2**20  # bytes of one message


@dataclass(frozen=True)
class Limits:
    """What one job may take: seconds, and bytes of memory beyond what its worker holds anyway (Linux only). None: no limit."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Lost:
    """A job that has no answer: why, and what its worker had asked during it."""

    reason: str
    question: bytes = b""


@dataclass
class _Slot:
    """A job in flight."""

    job: bytes
    result: bytes | Lost | None = None


@dataclass
class _Worker:
    """A process, its end of the pipe, and what it is at."""

    process: Any
    pipe: Connection
    since: float = field(default_factory=time.monotonic)  # of what it is at now
    ready: bool = False
    slot: _Slot | None = None
    question: bytes = b""

    def give(self, slot: _Slot) -> bool:
        """Hand over a job; whether the worker lives to take it."""
        try:
            self.pipe.send_bytes(slot.job)
        except OSError:
            return False
        self.slot, self.since, self.question = slot, time.monotonic(), b""
        return True

    def end(self, *, dying: bool = False) -> int | None:
        """Stop the process; its exit code. One that is `dying` is given a moment to do so by itself, else the code would be ours."""
        self.pipe.close()
        if dying:
            self.process.join(_GRACE)
        self.process.kill()
        self.process.join()
        code: int | None = self.process.exitcode
        self.process.close()
        return code


class Pool:
    """Worker processes, started when there are jobs for them and kept until the pool is closed."""

    def __init__(self, setup: Callable[..., Work], *args: Any, workers: int, limits: Limits | None = None) -> None:
        """`setup(*args)` is called once in each of at most `workers` processes and gives what does a job; a function of a module."""
        self._most = min(workers, MOST_WORKERS)
        self._limits = limits or Limits()
        self._crew: list[_Worker] = []
        self._hire: Callable[[], _Worker] = partial(_hire, setup, args, self._limits)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, whatever they are at."""
        while self._crew:
            self._crew.pop().end()

    def run_named(
        self, jobs: Iterable[tuple[str, bytes]], *, reply: Callable[[bytes], bytes] = bytes
    ) -> Generator[tuple[str, bytes | Lost]]:
        """As `run`, for jobs with names: each result comes with the name of its job."""
        names: deque[str] = deque()

        def nameless() -> Generator[bytes]:
            for name, job in jobs:
                names.append(name)
                yield job

        for result in self.run(nameless(), reply=reply):
            yield names.popleft(), result

    def run(self, jobs: Iterable[bytes], *, reply: Callable[[bytes], bytes] = bytes) -> Generator[bytes | Lost]:
        """Do jobs; results come in the order of the jobs, which are fetched as they are needed.

        `reply` gives the answer to what a worker asks during a job. Nothing else may run in the pool meanwhile.

        Raises
        ------
        CamtraceError
            The workers cannot be set up.
        """
        feed, flight, more = iter(jobs), deque[_Slot](), True
        try:
            while flight or more:
                while more and len(flight) < AHEAD * self._most and (worker := self._free()):
                    if (job := next(feed, None)) is None:
                        more = False
                    else:
                        flight.append(_Slot(job))
                        self._give(worker, flight[-1])
                while flight and (result := flight[0].result) is not None:
                    flight.popleft()
                    yield result
                _listen(self._crew, reply, self._limits)
        finally:
            for worker in [one for one in self._crew if one.slot is not None]:  # given up in the middle
                self._crew.remove(worker)
                worker.end()

    def _free(self) -> _Worker | None:
        """A worker without a job, hired where there is none yet; None where all are at work."""
        for worker in self._crew:
            if worker.slot is None:
                return worker
        if len(self._crew) < self._most:
            self._crew.append(self._hire())
            return self._crew[-1]
        return None

    def _give(self, worker: _Worker, slot: _Slot) -> None:
        while not worker.give(slot):  # it died while it had nothing to do
            self._crew.remove(worker)
            worker.end()
            self._crew.append(worker := self._hire())


def _listen(crew: list[_Worker], reply: Callable[[bytes], bytes], limits: Limits) -> None:
    """Wait until a worker says something, dies or overstays, and see to it. Those that are lost leave the crew."""
    busy = {worker.pipe: worker for worker in crew if worker.slot is not None}
    if not busy:
        return
    ends = [end for worker in busy.values() if (end := _deadline(worker, limits)) is not None]
    heard = wait(list(busy), max(0.0, min(ends) - time.monotonic()) if ends else None)
    for pipe, worker in busy.items():
        if pipe in heard:
            try:
                _hear(worker, pipe.recv_bytes(_LARGEST), reply)
            except (EOFError, OSError):
                _lose(crew, worker, limits)
        elif (end := _deadline(worker, limits)) is not None and time.monotonic() >= end:
            _lose(crew, worker, limits, overstayed=True)


def _deadline(worker: _Worker, limits: Limits) -> float | None:
    if not worker.ready:
        return worker.since + STARTING_SECONDS
    return None if limits.seconds is None else worker.since + limits.seconds


def _hear(worker: _Worker, message: bytes, reply: Callable[[bytes], bytes]) -> None:
    """Each message begins a new stretch of time: what a worker waits for its parent is not its fault."""
    kind, said = message[:1], message[1:]
    if kind == _REFUSED:
        raise CamtraceError(said.decode("utf-8", "replace"))
    if kind == _QUESTION:
        worker.question = said
        worker.pipe.send_bytes(reply(said))
    elif kind == _ANSWER and worker.slot is not None:
        worker.slot.result, worker.slot = said, None
    worker.ready, worker.since = True, time.monotonic()


def _lose(crew: list[_Worker], worker: _Worker, limits: Limits, *, overstayed: bool = False) -> None:
    """Give up a worker's job. One that never began to work would only be replaced by others that do not."""
    crew.remove(worker)
    code = worker.end(dying=not overstayed)
    if not worker.ready:
        how = f"not ready after {STARTING_SECONDS} s" if overstayed else death_in_words(code)
        raise CamtraceError(f"a worker process could not be started: {how}; fewer workers need less memory")
    if overstayed or (hasattr(signal, "SIGALRM") and code == -signal.SIGALRM):
        reason = f"took longer than the time limit of {limits.seconds:g} s and was stopped"
    else:
        reason = f"the process that judged it died ({death_in_words(code)})"
    if worker.slot is not None:
        worker.slot.result = Lost(reason, worker.question)


def _hire(setup: Callable[..., Work], args: tuple[Any, ...], limits: Limits) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, setup, args, limits), daemon=True)
    with one_thread_each():
        process.start()
    theirs.close()  # else its end would never be seen
    return _Worker(process, ours)


def _serve(pipe: Connection, setup: Callable[..., Work], args: tuple[Any, ...], limits: Limits) -> None:
    """What a worker does all its life. It ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all processes; the parent decides
    try:
        work = setup(*args)
    except CamtraceError as error:
        pipe.send_bytes(_REFUSED + str(error).encode("utf-8", "replace"))
        return
    last = None if limits.seconds is None else limits.seconds + _GRACE
    if limits.memory is not None:
        limit_memory(limits.memory)

    def ask(question: bytes) -> bytes:
        set_alarm(None)
        pipe.send_bytes(_QUESTION + question)
        answer = pipe.recv_bytes()
        set_alarm(last)
        return answer

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send_bytes(_READY)
        while True:
            job = pipe.recv_bytes()
            set_alarm(last)
            result = work(job, ask)
            set_alarm(None)
            pipe.send_bytes(_ANSWER + result)
