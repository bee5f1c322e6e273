"""`camtrace identify` on many photos: to a file that survives a kill, in several processes, or on a cluster; what is said meanwhile.

Heavy imports wait until they are needed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from camtrace.cli.parts import is_folder
from camtrace.runtime import cores

if TYPE_CHECKING:
    from camtrace.batches.batch import Earlier, Task
    from camtrace.batches.journal import Tally
    from camtrace.bundle import Bundle
    from camtrace.photo import Source
    from camtrace.types import Verdict


@dataclass(frozen=True)
class Request:
    """The command line, read."""

    paths: list[str]
    to: str
    bundle: Path | None
    task: Task
    out: str | None
    resume: bool
    force: bool
    jobs: int | None
    seconds: float | None
    memory: int | None  # MiB
    copies: str
    engine: str
    address: str | None

    @property
    def many(self) -> bool:
        """Whether it is run as a batch: anything that was said about many photos but about their copies."""
        said = (self.out, self.jobs, self.seconds, self.memory, self.address)
        return any(one is not None for one in said) or self.resume or self.force or self.engine != "local"


def writer(request: Request) -> Callable[[Iterable[Any], TextIO], None]:
    """What writes verdicts to standard output."""
    from camtrace.outputs import WRITERS, write_one_json

    single = request.to == "json" and len(request.paths) == 1 and not is_folder(request.paths[0])
    return write_one_json if single else WRITERS[request.to]


def judge_many(request: Request) -> bool:
    """To a file or standard output, in this process or in several; whether anything failed."""
    from camtrace.batches.batch import Earlier
    from camtrace.batches.journal import Tally
    from camtrace.bundle import load_bundle

    bundle = load_bundle(request.bundle, threads=1)
    missing: list[str] = []
    earlier = Earlier() if request.copies == "reuse" else Earlier(0)
    feed = _sources(request.paths, missing)
    if request.out in (None, "-"):
        tally = Tally()
        with _watching(request, shown=not sys.stdout.isatty()) as advance:
            writer(request)(_counted(_engine(request, bundle, earlier, feed), tally, advance), sys.stdout)
    else:
        tally = _judge_to_file(request, bundle, earlier, feed)
    for message in missing:
        typer.echo(f"camtrace: {message}", err=True)
    _report(tally, request, earlier.hits)
    return bool(tally.failed or missing)


def _judge_to_file(request: Request, bundle: Bundle, earlier: Earlier, feed: Iterator[str]) -> Tally:
    from camtrace import __version__
    from camtrace.batches.journal import Facts, open_journal

    task = request.task
    facts = Facts.of(bundle, request.to, version=__version__, patches=task.patches, vote=task.vote, mode=task.mode)
    with open_journal(Path(request.out or ""), facts, resume=request.resume, force=request.force) as journal:
        with _watching(request) as advance:
            journal.catch_up(feed, on_photo=advance)
            for verdict in _engine(request, bundle, earlier, feed):
                journal.append(verdict)
                advance(verdict)
        journal.finish()
        return journal.tally


def _engine(request: Request, bundle: Bundle, earlier: Earlier, feed: Iterable[str]) -> Iterator[Verdict]:
    """Verdicts on the photos, in their order."""
    from camtrace.batches.batch import TIME_LIMIT, judge_here, judge_in_pool
    from camtrace.batches.pool import Limits

    if request.jobs is request.seconds is request.memory is None:
        return judge_here(_opened(feed), bundle, task=request.task, earlier=earlier)
    limits = Limits(request.seconds or TIME_LIMIT, None if request.memory is None else request.memory * 2**20)
    jobs = cores() if request.jobs == 0 else request.jobs or 1
    return judge_in_pool(_opened(feed), bundle.id, task=request.task, jobs=jobs, limits=limits, earlier=earlier)


def _opened(feed: Iterable[str]) -> Iterator[Source]:
    for photo in feed:
        yield sys.stdin.buffer if photo == "-" else photo


def _sources(paths: Sequence[str], missing: list[str]) -> Iterator[str]:
    """Photos to judge, found as they are needed; what folders lacked goes to `missing`."""
    from camtrace.photo import walk

    for path in paths:
        if not is_folder(path):
            yield path
            continue
        found = False
        for photo in walk(Path(path), on_error=lambda error: missing.append(f"{error.filename}: cannot be read: {error.strerror}")):
            found = True
            yield photo
        if not found:
            missing.append(f"{path}: no photos in this folder")


def _counted(verdicts: Iterable[Verdict], tally: Tally, advance: Callable[[object], object]) -> Iterator[Verdict]:
    for verdict in verdicts:
        yield verdict
        tally.add(verdict.source, verdict.status, verdict.reason)
        advance(verdict)


@contextmanager
def _watching(request: Request, *, shown: bool = True) -> Iterator[Callable[[object], object]]:
    """A bar with rate and time left on a terminal's standard error, nothing elsewhere; yields what to call after each photo."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("identifying", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        def count() -> None:
            bar.update(task, total=sum(1 for _ in _sources(request.paths, [])))

        def advance(_: object) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} photos/s" if speed else "")

        threading.Thread(target=count, daemon=True).start()  # photos are judged before all of them are found
        yield advance


def judge_on_cluster(request: Request) -> bool:
    """With Ray, to a folder of parquet files; whether anything failed."""
    from camtrace.batches.batch import TIME_LIMIT
    from camtrace.batches.cluster import Cluster, judge
    from camtrace.batches.pool import Limits
    from camtrace.identification import ready

    ready(request.bundle)  # a bundle that cannot be used is better found here than there
    limits = Limits(request.seconds or TIME_LIMIT, None if request.memory is None else request.memory * 2**20)
    cluster = Cluster(request.address, request.jobs or None, limits, remember=request.copies == "reuse")
    tally, missing = judge(request.paths, request.out or "", task=request.task, cluster=cluster, force=request.force)
    for message in missing:
        typer.echo(f"camtrace: {message}", err=True)
    _report(tally, request, 0)
    return bool(tally.failed or missing)


def _report(tally: Tally, request: Request, copies: int) -> None:
    """What became of the photos, and the first of those that could not be judged."""
    from camtrace.screening import visible

    if request.out not in (None, "-"):
        again = f", {copies:,} of them copies of others" if copies else ""
        typer.echo(f"camtrace: {request.out}: verdicts on {tally.photos:,} photos{again}", err=True)
    if not tally.failed:
        return
    typer.echo(f"camtrace: {tally.failed:,} of {tally.photos:,} photos could not be judged:", err=True)
    for _, reason in tally.failures:
        typer.echo(f"  {visible(reason)}", err=True)
    if tally.failed > len(tally.failures):
        typer.echo(f"  and {tally.failed - len(tally.failures):,} more", err=True)
