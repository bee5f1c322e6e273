"""A zip -> its files in a folder, and nowhere else."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from camtrace.lab.download.addresses import beneath
from camtrace.lab.download.transfer import check_room
from camtrace.types import CamtraceError

_ENCRYPTED = 0x1
_CHUNK = 1 << 20


def unpack(zipped: Path, folder: Path) -> tuple[Path, ...]:
    """Write the files of a zip beneath a folder and return their paths; the zip is kept.

    Every name is checked before anything is written. A file that is there already with the same bytes is left as it is.

    Raises
    ------
    CamtraceError
        It is no zip or a damaged one, an entry would leave the folder, is a link, is encrypted or comes twice, a file that is
        there is another one, or the disk has no room.
    """
    try:
        with zipfile.ZipFile(zipped) as archive:
            entries = _checked(archive, zipped, folder)
            folder.mkdir(parents=True, exist_ok=True)
            new = [(info, target) for info, target in entries if not _is_there(info, target, zipped)]
            check_room(folder, sum(info.file_size for info, _ in new))
            for info, target in new:
                _write(archive, info, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CamtraceError(f"{zipped}: damaged, or not a zip that can be read: {error}; delete it and fetch it again") from error
    except OSError as error:
        raise CamtraceError(f"{zipped}: cannot be unpacked: {error}; check the free space and your right to write there") from error
    return tuple(target for _, target in entries)


def _checked(archive: zipfile.ZipFile, zipped: Path, folder: Path) -> list[tuple[zipfile.ZipInfo, Path]]:
    """Entries that are files, with where they go."""
    entries: dict[str, tuple[zipfile.ZipInfo, Path]] = {}
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CamtraceError(f"{zipped}: {info.filename!r} is a link or a device; expected files and folders")
        if info.flag_bits & _ENCRYPTED:
            raise CamtraceError(f"{zipped}: {info.filename!r} is encrypted; unpack it yourself with the password, beside the zip")
        try:
            path = beneath(info.orig_filename.removesuffix("/"))
        except CamtraceError as error:
            raise CamtraceError(f"{zipped}: {error}") from error
        if info.is_dir():
            continue
        if str(path).casefold() in entries:
            raise CamtraceError(f"{zipped}: {info.filename!r} is there twice; unpack it yourself, beside the zip")
        entries[str(path).casefold()] = (info, folder / path)
    return list(entries.values())


def _is_there(info: zipfile.ZipInfo, target: Path, zipped: Path) -> bool:
    if not target.exists():
        return False
    if not target.is_file() or target.stat().st_size != info.file_size or _crc32(target) != info.CRC:
        raise CamtraceError(f"{target}: is there already and is not the file that {zipped} holds; move one of them away")
    return True


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write one entry under another name first, so that a file cut short never looks whole; zipfile checks its CRC-32."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    try:
        with archive.open(info) as source, partial.open("wb") as stream:
            shutil.copyfileobj(source, stream, _CHUNK)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
