"""Enrolment without a folder: uploaded photos -> the files of a new bundle, and what is to be told about it. Nothing touches a disk."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from camtrace.bundle import Bundle
from camtrace.claim import camera_of
from camtrace.enrolment import teach as teach_albums

Files = dict[str, bytes]


class _Named(io.BytesIO):
    """An uploaded photo, with the name that messages call it."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name: str = name


def teach(photos: Iterable[tuple[str, str, bytes]], *, base: Bundle, name: str, only: bool = False) -> tuple[Files, dict[str, Any]]:
    """Teach a new bundle from photos (camera, file name, bytes); gives its files and what is to be told about it.

    The new cameras join those of `base`, unless `only` makes a bundle of just these, two of them at least.

    Raises
    ------
    CamtraceError
        No photo can be used, or as `camtrace.enroll`.
    """
    albums: dict[str, list[Any]] = {}
    for camera, file, data in photos:
        albums.setdefault(camera_of(camera), []).append(_Named(file, data))
    lesson = teach_albums(albums, base=base, name=name, only=only, where="the uploaded photos")
    manifest = lesson.manifest
    return lesson.files, {
        "bundle": {"name": manifest.name, "version": manifest.version},
        "cameras": len(manifest.cameras),
        "photos": lesson.photos,
        "failures": lesson.failures,
        "warnings": list(lesson.warnings),
        "accuracy": manifest.accuracy,
    }
