"""A file of verdicts that grows by one after the other and can be gone on with after a kill at any moment.

Each verdict is written whole by one call and in the order of the photos, so that a file holds the verdicts on the first photos and at
most one that is torn at its end. Going on cuts that off, checks that the photos are still those that were judged, and skips them: the
file becomes what it would have become without the kill, byte for byte. Beside it, `FILE.run.json` says what decides its content.
Parquet cannot grow: its verdicts are gathered in `FILE.part.jsonl`, from which the file is written at the end.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from camtrace.bundle import Bundle
from camtrace.outputs import HEADERS, to_line, write_parquet
from camtrace.safe_files import locked, write_file
from camtrace.types import CamtraceError, Mode, Verdict, VotingWay

FORMS = ("jsonl", "csv", "parquet")
RUN, PART = ".run.json", ".part.jsonl"
LISTED = 20
"""Failures that are remembered by name and reason; beyond these they are only counted."""

_FLUSH_SECONDS = 5.0  # a power cut costs so much at most; a kill of this process costs nothing that was written


@dataclass(frozen=True)
class Facts:
    """What decides the content of a file of verdicts, beside the photos."""

    camtrace: str  # version
    bundle: str  # name and version
    bundle_sha256: str
    form: str
    patches: int | None
    vote: VotingWay | None
    mode: Mode

    @classmethod
    def of(cls, bundle: Bundle, form: str, *, version: str, patches: int | None, vote: VotingWay | None, mode: Mode) -> Facts:
        """The facts of a run that is about to begin, by camtrace of some version."""
        name = f"{bundle.id.name} {bundle.id.version}"
        return cls(version, name, _hash(bundle), form, patches, vote, mode)


@dataclass
class Tally:
    """What came of the photos so far."""

    photos: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # source and reason of the first ones

    def add(self, source: str, status: str, reason: str) -> None:
        """Count one photo."""
        self.photos += 1
        if status != "ok":
            self.failed += 1
            if len(self.failures) < LISTED:
                self.failures.append((source, reason))


@dataclass
class Journal:
    """A file of verdicts, open to be gone on with; see `open_journal`."""

    out: Path
    form: str
    tally: Tally
    _file: BinaryIO | None  # unbuffered; None where a Parquet file is complete
    _flushed: float = field(default_factory=time.monotonic)

    def catch_up(self, feed: Iterator[str], *, on_photo: Callable[[object], object] = lambda _: None) -> None:
        """Skip the photos of `feed` whose verdicts are there, count these, and cut off what is torn.

        Raises
        ------
        CamtraceError
            The verdicts are not those on the first photos of `feed`.
        """
        end = 0
        for source, status, reason, behind in self._records():
            self._check(source, next(feed, None))
            self.tally.add(source, status, reason)
            on_photo(source)
            end = behind
        if self._file is None:
            self._check(None, next(feed, None))
        else:
            self._file.truncate(end)
            self._file.seek(end)
            if end == 0:
                self._write(HEADERS[_grown(self.form)])

    def append(self, verdict: Verdict) -> None:
        """Add one verdict. Raises CamtraceError where it cannot be written; what was written stays good."""
        self._write(to_line(verdict, _grown(self.form)))
        self.tally.add(verdict.source, verdict.status, verdict.reason)

    def finish(self) -> None:
        """Call once all photos are judged: only then a Parquet file is written."""
        if self._file is None or self.form != "parquet":
            return
        part, aside = _growing(self.out, self.form), self.out.with_name(f".{self.out.name}.writing")
        with part.open("rb") as lines:
            write_parquet(map(json.loads, lines), aside)
        aside.replace(self.out)
        self._file.close()
        part.unlink()

    def close(self) -> None:
        """Flush to the disk and close."""
        if self._file is not None and not self._file.closed:
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace")  # a file's name may hold bytes that are no text
        try:
            while data and self._file:
                data = data[self._file.write(data) :]
            if self._file and time.monotonic() - self._flushed > _FLUSH_SECONDS:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()
        except OSError as error:
            raise CamtraceError(f"{self.out}: cannot be written: {error.strerror or error}; --resume goes on from here") from error

    def _records(self) -> Iterator[tuple[str, str, str, int]]:
        """Source, status and reason of each verdict that is whole, and where it ends."""
        if self._file is None:
            yield from _parquet_records(self.out)
            return
        with _growing(self.out, self.form).open("rb") as stream:  # another file object: here a buffer is wanted
            yield from _line_records(stream, _grown(self.form), self.out)

    def _check(self, source: str | None, photo: str | None) -> None:
        """Whether a verdict is on this photo, as far as its name says."""
        found = None if photo is None else photo.encode("utf-8", "backslashreplace").decode()
        if source in (photo, found):
            return
        number, there = self.tally.photos + 1, "nothing" if source is None else repr(source)
        raise CamtraceError(
            f"{self.out}: its verdict number {number} is on {there}, but photo number {number} is now"
            f" {'none' if photo is None else repr(photo)}: the photos are not those of the run that wrote it; --force starts anew"
        )


@contextmanager
def open_journal(out: Path, facts: Facts, *, resume: bool = False, force: bool = False) -> Iterator[Journal]:
    """Open a file for verdicts, a new one or, with `resume`, one that an equal run began; no other process may write it meanwhile.

    Raises
    ------
    CamtraceError
        The file is there and neither `resume` nor `force` was given, it was begun by another kind of run, or cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out))
            journal = _open(out, facts, resume=resume, force=force)
        except OSError as error:
            raise CamtraceError(f"{out}: cannot be written: {error.strerror or error}") from error
        stack.callback(journal.close)
        yield journal


def _open(out: Path, facts: Facts, *, resume: bool, force: bool) -> Journal:
    growing = _growing(out, facts.form)
    found = out.exists() or growing.exists()
    if out.is_dir():
        raise CamtraceError(f"{out}: is a folder, expected a file")
    if found and not force:
        if not resume:
            raise CamtraceError(f"{out}: is there already; --resume goes on with it, --force replaces it")
        _check_facts(out, facts)
    if force or not found:
        for path in {out, growing}:
            path.unlink(missing_ok=True)
        write_file(_beside(out, RUN), (json.dumps(asdict(facts), indent=1) + "\n").encode())
    if growing != out and out.exists():
        growing.unlink(missing_ok=True)  # killed just before it would have gone
        return Journal(out, facts.form, Tally(), None)
    handle = os.open(growing, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    return Journal(out, facts.form, Tally(), os.fdopen(handle, "r+b", buffering=0))


def _check_facts(out: Path, facts: Facts) -> None:
    path = _beside(out, RUN)
    try:
        begun = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CamtraceError(f"{out}: {path.name}, which says how it was begun, cannot be read; --force starts anew") from error
    differing = [f"{name} {begun.get(name)}, now {value}" for name, value in asdict(facts).items() if begun.get(name) != value]
    if differing:
        raise CamtraceError(f"{out}: was begun with {'; '.join(differing)}; --resume goes on with the same only, --force starts anew")


def _line_records(stream: BinaryIO, form: str, out: Path) -> Iterator[tuple[str, str, str, int]]:
    end = 0
    header: list[str] | None = None if form == "csv" else []
    for number, record in enumerate(_whole(stream, form)):
        end += len(record)
        try:
            if header is None:
                header = _read_csv(record)
                if record.decode() != HEADERS[form]:
                    raise ValueError("another header")
                continue
            fields = dict(zip(header, _read_csv(record), strict=True)) if header else json.loads(record)
            yield fields["source"], fields["status"], fields["reason"], end
        except (ValueError, KeyError, TypeError) as error:
            raise CamtraceError(f"{out}: record {number + 1} is no verdict ({error}): not written by this command") from error


def _whole(stream: BinaryIO, form: str) -> Iterator[bytes]:
    """The records of a file without one that is torn at its end; in CSV a record may hold ends of lines within quotes."""
    record = b""
    for line in stream:
        record += line
        if line.endswith(b"\n") and (form != "csv" or record.count(b'"') % 2 == 0):
            yield record
            record = b""


def _read_csv(record: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(record.decode(), newline="")))


def _parquet_records(path: Path) -> Iterator[tuple[str, str, str, int]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["source", "status", "reason"]):
            for row in batch.to_pylist():
                yield row["source"], row["status"], row["reason"], 0


def _grown(form: str) -> str:
    """In which form verdicts are appended."""
    return "jsonl" if form == "parquet" else form


def _growing(out: Path, form: str) -> Path:
    """The file to which verdicts are appended."""
    return _beside(out, PART) if form == "parquet" else out


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def _hash(bundle: Bundle) -> str:
    """SHA-256 of all that a bundle judges by."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in bundle.files.items()}
    return hashlib.sha256(json.dumps([asdict(bundle.manifest), files], sort_keys=True).encode()).hexdigest()
