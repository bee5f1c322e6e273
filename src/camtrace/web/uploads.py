"""A multipart body -> photos and fields, in memory: nothing of an upload is ever written to a disk.

The parser is Starlette's, around python-multipart; it would spool larger files to a temporary file, and is told not to.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from camtrace.web.settings import Limits

PHOTOS = ("photos", "photo")
"""The names of the field that photos come in."""
UNNAMED = "photo"
"""What a photo is called that came without a name."""
_FIELDS = 512  # beside the photos
_FIELD_SIZE = 1024


@dataclass(frozen=True)
class Sent:
    """One uploaded photo: what the client calls it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Upload:
    """What came with one request."""

    photos: tuple[Sent, ...]
    fields: dict[str, tuple[str, ...]]

    def field(self, name: str, otherwise: str | None = None) -> str | None:
        """The value of a field that may be given once; an empty one counts as not given.

        Raises HTTPException 422 where it is given more often.
        """
        values = [value for value in self.fields.get(name, ()) if value]
        if len(values) > 1:
            raise HTTPException(422, f"the field {name} is given {len(values)} times, expected once")
        return values[0] if values else otherwise


class _InMemory(MultiPartParser):
    """Starlette's parser without files on the disk, and with an eye on how many photos there are and on the end."""

    spool_max_size = sys.maxsize
    most = 1
    complete = False

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_files > self.most:
            raise HTTPException(413, f"more than {self.most} photos, the most that one request may have")

    def on_end(self) -> None:
        self.complete = True

    def drop(self) -> None:
        """Let go of the bytes of all files, of those too that broke off."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(request: Request, *, limits: Limits) -> Upload:
    """Photos and fields of a request.

    Raises
    ------
    HTTPException
        415: not multipart; 413: too large or too many; 422: damaged, no photos, unknown files.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(
            415, f"photos are sent as multipart/form-data in the field {PHOTOS[0]}, found {kind[:80] or 'no Content-Type'!r}"
        )
    parser = _InMemory(request.headers, request.stream(), max_files=sys.maxsize, max_fields=_FIELDS, max_part_size=_FIELD_SIZE)
    parser.most = limits.files
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(422, f"not valid multipart/form-data: {error.message}") from None
    photos: list[Sent] = []
    fields: dict[str, tuple[str, ...]] = {}
    try:
        if not parser.complete:
            raise HTTPException(422, "not valid multipart/form-data: it ends before its last boundary")
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                photos.append(await _take(name, value))
            else:
                fields[name] = (*fields.get(name, ()), value)
    finally:
        parser.drop()
    if not photos:
        raise HTTPException(422, f"no photos: expected files in the field {PHOTOS[0]}")
    return Upload(tuple(photos), fields)


async def _take(field: str, file: UploadFile) -> Sent:
    if field not in PHOTOS:
        raise HTTPException(422, f"a file in the field {field[:80]!r}, expected {PHOTOS[0]}")
    data = await file.read()
    await file.close()  # at once: its copy of the bytes goes before the next photo is copied
    return Sent(file.filename or UNNAMED, data)
