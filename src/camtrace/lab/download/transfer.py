"""One file over HTTP -> disk: resumed where it stopped, and checked before it gets its name.

    photo.jpg.partial        what has come so far
    photo.jpg.partial.json   which version of the file that is: its size, ETag and Last-Modified
    photo.jpg                only ever the whole file: its size is what the server said, its SHA-256 what is known

A partial file goes on with `Range` and `If-Range` (RFC 9110, sections 13 and 14), and only if the server still has the version
that it was begun with.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPResponse
from pathlib import Path

from camtrace.lab.download.session import RANGE_NOT_THERE, Session, TransferError, ask, expected_size, patiently, read_some
from camtrace.types import CamtraceError


@dataclass(frozen=True)
class Version:
    """What tells one version of a file from another; None where the server does not say."""

    size: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def is_marked(self) -> bool:
        """Whether a change of the file would show."""
        return bool(self.etag or self.last_modified)


def fetch_file(
    session: Session, address: str, target: Path, *, sha256: str | None = None, on_bytes: Callable[[int], object] = lambda _: None
) -> None:
    """Fetch a file, going on with what is there of it; `on_bytes` hears how many bytes came.

    Raises
    ------
    TransferError
        It did not come, or is not what it should be. What came stays in `target`.partial for the next run.
    CamtraceError
        The disk has no room for it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)

    def attempt() -> None:
        version = _begun(target)
        if version is None or partial_size(target) != version.size:
            _receive(session, address, target, known_hash=sha256 is not None, on_bytes=on_bytes)
        if sha256 is not None and (found := digest(partial)) != sha256.lower():
            discard(target)
            raise TransferError(f"has the SHA-256 {found}; expected {sha256.lower()}")
        partial.replace(target)
        _note(target).unlink(missing_ok=True)

    patiently(attempt, session.manners, reached=lambda: partial_size(target))


def partial_size(target: Path) -> int:
    """Bytes that are there of a file whose download was cut short."""
    partial = _partial(target)
    return partial.stat().st_size if partial.is_file() else 0


def discard(target: Path) -> None:
    """Forget what is there of an unfinished file."""
    _partial(target).unlink(missing_ok=True)
    _note(target).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_room(folder: Path, needed: int) -> None:
    """Refuse what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CamtraceError(f"{folder}: {needed} bytes are needed and {free} are free; make room and run the same command again")


def _receive(session: Session, address: str, target: Path, *, known_hash: bool, on_bytes: Callable[[int], object]) -> None:
    """Ask for what is missing and append it; for the whole file where the parts would not belong together."""
    begun = _begun(target)
    start = partial_size(target) if begun and (begun.is_marked or known_hash) else 0
    try:
        response = ask(session, address, headers=_range(start, begun) if begun and start else None)
    except TransferError as error:
        if error.status != RANGE_NOT_THERE or begun is None:
            raise
        discard(target)
        raise TransferError(f"ends on the server at {start} bytes or before; it was said to have {begun.size}") from error
    with response:
        if response.status == 206:
            version = _continued(response, start, begun, target)
        else:
            start, version = 0, _version(response, expected_size(response, known_hash=known_hash))
            discard(target)
            _note(target).write_text(json.dumps(asdict(version)), "utf-8")
        check_room(target.parent, (version.size or 0) - start)
        with _partial(target).open("ab" if start else "wb") as stream:
            while chunk := read_some(response):
                stream.write(chunk)
                on_bytes(len(chunk))
    size = partial_size(target)
    if version.size is not None and size != version.size:
        if size > version.size:
            discard(target)
        raise TransferError(f"stopped at {size} of {version.size} bytes")


def _continued(response: HTTPResponse, start: int, begun: Version | None, target: Path) -> Version:
    """The version that an answer 206 goes on with; what is there is discarded unless it is the one that was begun."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
    version = _version(response, int(span[2]) if span else None)
    if begun is None or span is None or int(span[1]) != start or not _same(begun, version):
        discard(target)
        raise TransferError("has changed on the server since it was begun")
    return version


def _same(begun: Version, now: Version) -> bool:
    """Whether a part of `now` may join what was begun: a 206 always repeats the ETag, and may leave Last-Modified out."""
    pairs = ((begun.size, now.size), (begun.last_modified, now.last_modified))
    return (begun.etag is None or begun.etag == now.etag) and all(old is None or new is None or old == new for old, new in pairs)


def _range(start: int, begun: Version) -> dict[str, str]:
    """Headers that ask for the rest of a version; a weak ETag may not stand in If-Range."""
    marks = (begun.etag if begun.etag and not begun.etag.startswith("W/") else None, begun.last_modified)
    mark = next((mark for mark in marks if mark), None)
    return {"Range": f"bytes={start}-", **({"If-Range": mark} if mark else {})}


def _version(response: HTTPResponse, size: int | None) -> Version:
    return Version(size, response.headers.get("ETag"), response.headers.get("Last-Modified"))


def _begun(target: Path) -> Version | None:
    """The version that an unfinished file was begun with; None where that is not known."""
    try:
        return Version(**json.loads(_note(target).read_text("utf-8"))) if _partial(target).is_file() else None
    except (OSError, ValueError, TypeError):
        return None


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial.json")
