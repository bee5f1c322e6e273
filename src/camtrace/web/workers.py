"""A bounded queue, and worker processes that take jobs from it: each may be killed over a job without the service noticing much.

Each process belongs to a thread, which gives it one job after the other and waits for the answer. The first worker is the quick lane:
it leaves heavy jobs to the others, so that small photos always find a worker soon. The pool of `batches.pool` answers in the order of
the questions and hears of the next one before it gives an answer, which suits a batch and not a service.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from camtrace.batches.child import death_in_words
from camtrace.web.settings import Limits
from camtrace.web.shelf import Served
from camtrace.web.worker import Pipe, receive, send, work

QUICK_BYTES = 16_000_000
"""A job with more is heavy whatever it is; so is one with more than `tasks.QUICK_PIXELS`."""
HEAVY = frozenset({"localize", "heatmap", "enroll", "report"})

_FAREWELL = 0.5  # seconds


class WorkerFailedError(Exception):
    """A job that has no answer, and why: the photo took too long, or brought its worker down."""


class QueueFullError(Exception):
    """No room for so many jobs more."""


class ClosedError(Exception):
    """The service is ending."""


@dataclass
class Answer:
    """What a worker said: JSON values, and byte strings beside them."""

    head: dict[str, Any]
    blobs: list[bytes]


@dataclass(eq=False)
class Job:
    """One thing to do. `options` are plain JSON values, `limit` is in seconds."""

    task: str
    options: dict[str, Any]
    blobs: Sequence[bytes]
    bundle: Served
    limit: float
    future: Future[Answer] = field(default_factory=Future)
    begun: bool = False

    @property
    def is_heavy(self) -> bool:
        """Whether it is kept out of the quick lane; many pixels in few bytes are only seen later, by the worker."""
        return self.task in HEAVY or sum(map(len, self.blobs)) > QUICK_BYTES


class Pool:
    """The workers and their queue."""

    def __init__(self, count: int, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._quick: deque[Job] = deque()
        self._heavy: deque[Job] = deque()
        self._closing = False
        self._workers = [_Worker(limits) for _ in range(count)]
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def pids(self) -> list[int]:
        """The processes that live, for those who watch them."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def busy(self) -> int:
        """How many workers are at work."""
        return sum(worker.busy for worker in self._workers)

    @property
    def waiting(self) -> int:
        """Jobs that no worker has begun."""
        return len(self._quick) + len(self._heavy)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue all of these jobs or none; their futures tell what became of them.

        Raises
        ------
        QueueFullError, ClosedError
            None of them is queued.
        """
        with self._changed:
            if self._closing:
                raise ClosedError
            if self.waiting + len(jobs) > self._limits.queue:
                raise QueueFullError
            for job in jobs:
                (self._heavy if job.is_heavy else self._quick).append(job)
            self._changed.notify_all()

    def close(self) -> None:
        """Finish what is queued, then end the workers."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self, *, quick: bool) -> Job | None:
        """The job that a worker does next; waits for one, None once the service ends and nothing is left."""
        with self._changed:
            while not (found := self._take(quick=quick)):
                if self._closing:
                    return None
                self._changed.wait()
            return found

    def _take(self, *, quick: bool) -> Job | None:
        """Those that are no quick lane take heavy jobs first: these have no one else."""
        lanes = (self._quick,) if quick else (self._heavy, self._quick)
        return next((lane.popleft() for lane in lanes if lane), None)

    def _run(self, number: int) -> None:
        """The life of a thread, which outlives its processes."""
        quick = number == 0 and len(self._threads) > 1
        worker = self._workers[number]
        try:
            while True:
                with suppress(WorkerFailedError):  # the next job will tell
                    worker.ensure()
                if (job := self._next(quick=quick)) is None:
                    return
                if job.begun or job.future.set_running_or_notify_cancel():
                    job.begun = worker.busy = True
                    self._do(worker, job, quick=quick)
                    worker.busy = False
        finally:
            worker.end()

    def _do(self, worker: _Worker, job: Job, *, quick: bool) -> None:
        try:
            worker.ensure()
            answer = worker.ask(job, quick=quick)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            worker.end()
            job.future.set_exception(
                error if isinstance(error, WorkerFailedError) else WorkerFailedError(f"failed: {type(error).__name__}")
            )
            return
        if "heavy" in answer.head:
            with self._changed:
                self._heavy.append(job)
                self._changed.notify_all()
        elif "failed" in answer.head:
            job.future.set_exception(WorkerFailedError(str(answer.head["failed"])))
        else:
            job.future.set_result(answer)


class _Worker:
    """A process and the pipe to it; replaced by `ensure` when it is gone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pipe: Pipe | None = None
        self._process: Any = None
        self.pid: int | None = None
        self.busy = False

    def ensure(self) -> None:
        """Start the process unless it lives. Raises WorkerFailedError where that does not work."""
        if self._process is not None and self._process.is_alive():
            return
        self.end()
        context = multiprocessing.get_context("spawn")  # forking a process with threads is asking for trouble
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, self._limits.memory, self._limits.pixels), daemon=True)
        self._process.start()
        theirs.close()  # else its end would never be seen
        try:
            if not self._pipe.poll(self._limits.start):
                raise EOFError
            receive(self._pipe)
            self.pid = self._process.pid
        except (EOFError, OSError):
            self.end()
            raise WorkerFailedError("no worker could be started for it") from None

    def ask(self, job: Job, *, quick: bool) -> Answer:
        """Let the process do a job. Raises WorkerFailedError where it dies of it or takes too long."""
        assert self._pipe is not None
        bundle, files = job.bundle, job.bundle.files
        path = None if bundle.path is None else str(bundle.path)
        about = {"key": bundle.key, "path": path, "files": files is not None}
        watch = _Watch(self._process, job.limit)
        try:
            send(self._pipe, {"task": job.task, "options": job.options, "bundle": about, "quick": quick, "limit": job.limit}, job.blobs)
            answer = Answer(*receive(self._pipe))
            if "wants" in answer.head and files is not None:
                send(self._pipe, {"names": list(files)}, list(files.values()))
                answer = Answer(*receive(self._pipe))
            return answer
        except (EOFError, OSError):
            late = watch.stop()
            death = self.end()
            raise WorkerFailedError(
                f"took longer than {job.limit:g} s and was given up" if late else f"its worker died ({death})"
            ) from None
        finally:
            watch.stop()

    def end(self) -> str:
        """Kill the process, if there is one; how it ended, in words."""
        self.pid = None
        if self._pipe is not None:
            self._pipe.close()
        if self._process is None:
            return "not started"
        self._process.join(_FAREWELL)  # it may be about to die; of what, is worth knowing
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        self._pipe = self._process = None
        return death_in_words(code)


class _Watch:
    """Kills a process after some seconds, unless it is stopped before."""

    def __init__(self, process: Any, seconds: float) -> None:
        self._process, self._lock = process, threading.Lock()
        self._over = self._late = False
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def _kill(self) -> None:
        with self._lock:
            if not self._over:
                self._late = True
                self._process.kill()

    def stop(self) -> bool:
        """Whether it was too late."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            return self._late
