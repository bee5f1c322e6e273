"""Files of strangers, read within limits; files of our own, written whole or not at all.

Reading: only regular files (a FIFO would wait for ever, `/dev/zero` never ends), only so many bytes, and from a folder that somebody
sent only what lies in it. Writing: aside first, flushed to the disk, then renamed, so that neither a full disk nor a kill leaves half
a file under the name that others read; a lock keeps two writers from doing it at once, and ends with the process that holds it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_AT_ONCE = 1 << 20
_PATIENCE, _PAUSE = 600, 0.05  # tries for a lock and seconds between them: half a minute in all
_KINDS = (
    (stat.S_ISDIR, "Is a directory"),
    (stat.S_ISFIFO, "a FIFO, expected a file; to read what a program writes, give - and pipe it to standard input"),
    (stat.S_ISCHR, "a device, expected a file"),
    (stat.S_ISBLK, "a device, expected a file"),
    (stat.S_ISSOCK, "a socket, expected a file"),
)


def read_regular(path: str | os.PathLike[str], *, most: int) -> bytes:
    """The bytes of a regular file, which may be at most `most`; links are followed.

    Everything is read through one opening of the file, so that one that is replaced or deleted meanwhile still gives one content.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or is larger. ValueError: the path holds a null byte.
    """
    _check_kind(os.stat(path).st_mode)  # before opening, which alone may have effects on a device  # noqa: PTH116
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as stream:
        found = os.fstat(stream.fileno())
        _check_kind(found.st_mode)  # again: it may have been swapped in between
        if found.st_size > most:
            raise OSError(_too_large(most, found.st_size))
        return read_stream(stream, most=most, expected=found.st_size)


def read_stream(stream: BinaryIO, *, most: int, expected: int = 0) -> bytes:
    """What is left in a binary stream, in pieces, so that an endless one is given up after `most` bytes.

    `expected` bytes are read at once, as a hint. Raises OSError where there is more, ValueError where it gives no bytes.
    """
    parts: list[bytes] = []
    size = 0
    while part := stream.read(min(max(expected + 1 - size, _AT_ONCE), most + 1 - size)):
        if not isinstance(part, bytes):
            raise ValueError(f"a stream of {type(part).__name__}, expected one of bytes")
        parts.append(part)
        size += len(part)
        if size > most:
            raise OSError(_too_large(most))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_inside(folder: Path, name: str, *, most: int) -> bytes:
    """A regular file that lies in a folder from a stranger: a plain name, and no link that leads out of the folder.

    Raises
    ------
    OSError
        The name or the link points elsewhere, or as `read_regular`.
    """
    if not is_plain_name(name):
        raise OSError(f"{name!r} is not a plain file name")
    path = folder / name
    if path.is_symlink() and path.resolve().parent != folder.resolve():
        raise OSError(f"a link to {os.readlink(path)!r}, out of its folder")  # noqa: PTH115 - as it stands, not resolved
    return read_regular(path, most=most)


def is_plain_name(name: object) -> bool:
    """Whether it names a file in a folder, on any system, and nothing beyond: no separator, drive, stream, null byte or dots alone."""
    return isinstance(name, str) and 0 < len(name) <= 255 and not set(name) & set('/\\:\0<>"|?*') and bool(name.strip(". "))


def _check_kind(mode: int) -> None:
    for is_kind, words in _KINDS:
        if is_kind(mode):
            raise OSError(words)


def _too_large(most: int, found: int | None = None) -> str:
    return f"{'more' if found is None else f'{found:,} bytes, more'} than the {most:,} bytes that are read at most"


def write_file(path: Path, data: bytes) -> None:
    """All of a file or nothing of it, over what is there. Raises OSError."""
    _write(path, data, lambda aside: aside.replace(path))


def write_output(path: Path, data: bytes, *, force: bool = False) -> None:
    """What a command writes for its user: all of a file or nothing of it; over a file that is there only by `force`. Raises OSError.

    What is there and no regular file, such as a device, is written to as it stands.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.write(data)
    elif force:
        write_file(path, data)
    else:
        _write(path, data, lambda aside: _name_anew(aside, path))


def _write(path: Path, data: bytes, place: Callable[[Path], object]) -> None:
    """Write a file beside `path`, flush it, and let `place` give it that name."""
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    aside = Path(name)
    try:
        _fill(os.fdopen(handle, "wb"), data)
        aside.chmod(0o644)
        place(aside)
        _flush_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _name_anew(aside: Path, path: Path) -> None:
    """Give a file another name. FileExistsError where something has it already."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # no links here, as on many a memory stick: take the name first
        path.open("xb").close()
        aside.replace(path)


def write_folder(folder: Path, files: Mapping[str, bytes], *, check: Callable[[], object] = lambda: None) -> None:
    """All of a folder's files or nothing of them, in place of the folder that is there; names may lead into folders in it.

    `check` is called once no other process writes the folder any more, just before it is replaced; what it raises stops the writing.
    A folder cannot be swapped for another in one step on every system: killed between the two steps, the old one is left beside,
    as `.NAME.before-...`, and the new one too, whole; neither is ever half written under its name. Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.parent))
    try:
        for name, data in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _fill(path.open("wb"), data)
        aside.chmod(0o755)
        _flush_folder(aside)
        with locked(folder):
            check()
            _swap(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swap(aside: Path, folder: Path) -> None:
    """The new folder under the name; the old one back, should that fail."""
    if not folder.exists():
        aside.rename(folder)
        _flush_folder(folder.parent)
        return
    before = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.before-", dir=folder.parent))
    old = before / "old"
    try:
        folder.rename(old)
        try:
            aside.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
        _flush_folder(folder.parent)
    finally:
        if folder.exists():  # else the old one is all there is
            shutil.rmtree(before, ignore_errors=True)


def _fill(stream: BinaryIO, data: bytes) -> None:
    with stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """So that a rename outlives a power cut; Windows neither needs nor allows it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(handle)
    os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a path, by a file `.NAME.lock` beside it that goes when it is released.

    The lock is the system's, not the file's being there: it ends with the process, however that ends.

    Raises
    ------
    OSError
        Another process has held it for half a minute.
    """
    place = path.parent / f".{path.name[:80]}.lock"
    stream = _acquire(place)
    try:
        yield
    finally:
        if os.name == "nt":  # Windows deletes no open file
            stream.close()
        with suppress(OSError):  # another process took the lock file over already
            place.unlink()
        stream.close()


def _acquire(place: Path) -> BinaryIO:
    for _ in range(_PATIENCE):
        stream = place.open("ab")
        if _try_lock(stream) and _is_same(stream, place):  # else its holder deleted it just now
            return stream
        stream.close()
        time.sleep(_PAUSE)
    raise OSError(f"another process is writing here and does not end ({place.name})")


def _try_lock(stream: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_same(stream: BinaryIO, place: Path) -> bool:
    try:
        found, own = place.stat(), os.fstat(stream.fileno())
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
