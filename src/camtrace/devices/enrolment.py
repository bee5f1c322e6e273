"""Enroll devices: photos -> sums -> fingerprint -> database (Chen et al., IEEE TIFS 2008).

Sums are kept beside the fingerprint, so that later photos continue the estimate without the earlier ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from camtrace.bundle_check import check_name
from camtrace.devices.fingerprint import Pixels, Sums, to_grey
from camtrace.devices.matching import check_size, claim_warnings
from camtrace.devices.store import LONGEST_NAME, Database, Device, DeviceError, Print, Size, drop, open_database, store
from camtrace.photo import Source, describe, read_photo
from camtrace.screening import as_text
from camtrace.types import Photo, PhotoError

MIN_PHOTOS, GOOD_PHOTOS = 5, 20
_CELL, _FLAT_STEP = 32, 6.0


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True)
class DeviceEnrolment:
    """What an enrolment used and what it did not."""

    device: Device
    used: int  # photos that are new in the estimate
    repeated: tuple[str, ...]  # photos given before, counted once
    failures: dict[str, str]  # photos left out, and why
    warnings: tuple[str, ...]


def enroll(
    folder: str | Path, name: str, sources: Iterable[Source], *, add: bool = False, on_photo: Callable[[object], None] = _ignore
) -> DeviceEnrolment:
    """Enroll a device, or with `add` continue the estimate of one that is there; photos that cannot be used are left out and said.

    Photos are grouped by size; a size with fewer than MIN_PHOTOS, those of before included, is left out.

    Raises
    ------
    DeviceError
        The name is taken (without `add`) or unknown (with it), no size has enough photos, or the database cannot be used.
    """
    database = open_database(folder, create=not add)
    _check_name(name)
    if add:
        database.find(name)
    elif name in database.devices:
        known = database.devices[name]
        raise DeviceError(f"{folder}: {name!r} is already enrolled, with {known.photos} photos; --add continues its estimate")
    gathered = _gather(database, name, sources, on_photo)
    before = database.devices.get(name, Device(name, ()))
    prints, sums = _merge(database, before, gathered)
    if not sums:
        if add and gathered.repeated and not gathered.failures:
            return DeviceEnrolment(before, 0, tuple(gathered.repeated), {}, ())
        raise DeviceError(f"{name}: {_too_few(gathered)}")
    claims = tuple(sorted({*before.claims, *gathered.claims}))
    device = replace(before, prints=prints, claims=claims)
    stored = store(database, device, sums).devices[name]
    used = stored.photos - before.photos
    return DeviceEnrolment(stored, used, tuple(gathered.repeated), gathered.failures, tuple(_warnings(stored, gathered, sums)))


def _check_name(name: str) -> None:
    """A name must be one that can be shown, and read again from the database."""
    if not name.strip():
        raise DeviceError("a device needs a name")
    try:
        check_name("the device's name", name, longest=LONGEST_NAME)
    except ValueError as error:
        raise DeviceError(str(error)) from error
    if as_text(name) != name:
        raise DeviceError(f"the device's name {name!a} is no text; give it a name in Unicode")


@dataclass
class _Gathered:
    """What came out of reading photos, by size."""

    sums: dict[Size, Sums] = field(default_factory=dict)
    hashes: dict[Size, list[str]] = field(default_factory=dict)
    flat: Counter[Size] = field(default_factory=Counter)
    sources: dict[Size, list[str]] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)
    repeated: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def _gather(database: Database, name: str, sources: Iterable[Source], on_photo: Callable[[object], None]) -> _Gathered:
    gathered = _Gathered()
    for source in sources:
        try:
            photo = read_photo(source)
            check_size(photo)
            _gather_one(gathered, photo, owner=database.owner(photo.sha256), name=name)
        except PhotoError as error:
            gathered.failures[describe(source)] = str(error)
        on_photo(source)
    return gathered


def _gather_one(gathered: _Gathered, photo: Photo, *, owner: str | None, name: str) -> None:
    size = photo.size
    if owner not in (None, name):
        raise PhotoError(f"{photo.source}: this photo already taught {owner!r}; one photo has one device; leave it out of one")
    if owner == name or photo.sha256 in gathered.hashes.get(size, ()):
        gathered.repeated.append(photo.source)
        return
    sums = Sums.of(photo.pixels)
    gathered.sums[size] = gathered.sums[size] + sums if size in gathered.sums else sums
    gathered.hashes.setdefault(size, []).append(photo.sha256)
    gathered.sources.setdefault(size, []).append(photo.source)
    gathered.flat[size] += is_flat(photo.pixels)
    if photo.claim.model:
        gathered.claims.add(" ".join(part for part in (photo.claim.make, photo.claim.model) if part))


def is_flat(pixels: Pixels) -> bool:
    """Whether a photo (h, w, 3) shows nothing: neighbouring 32x32 cells hardly differ in brightness."""
    rows, columns = (side // _CELL for side in pixels.shape[:2])
    cells = to_grey(pixels)[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL).mean(axis=(1, 3))
    steps = np.concatenate([np.abs(np.diff(cells, axis=axis)).ravel() for axis in (0, 1)])
    return bool(np.percentile(steps, 98) < _FLAT_STEP)


def _merge(database: Database, before: Device, gathered: _Gathered) -> tuple[tuple[Print, ...], dict[Size, Sums]]:
    """The device's fingerprints with the new photos in them, and the sums of those that changed."""
    prints = {one.size: one for one in before.prints}
    sums: dict[Size, Sums] = {}
    for size, fresh in gathered.sums.items():
        old = prints.get(size)
        if fresh.photos + (len(old.photos) if old else 0) < MIN_PHOTOS:
            reason = f"only {fresh.photos} of {size[0]}x{size[1]} pixels, at least {MIN_PHOTOS} photos of one size are needed"
            gathered.failures |= {source: f"{source}: {reason}" for source in gathered.sources[size]}
            continue
        sums[size] = database.sums(before.name, old) + fresh if old else fresh
        kind = {0: "ordinary", fresh.photos: "flat"}.get(gathered.flat[size], "mixed")
        kind = kind if old is None or old.kind == kind else "mixed"
        prints[size] = Print(*size, kind, (*(old.photos if old else ()), *gathered.hashes[size]))
    return tuple(prints.values()), sums


def _too_few(gathered: _Gathered) -> str:
    found = ", ".join(f"{len(hashes)} of {size[0]}x{size[1]}" for size, hashes in gathered.hashes.items()) or "none"
    reasons = "".join(f"\n  {reason}" for reason in list(gathered.failures.values())[:3])
    return f"at least {MIN_PHOTOS} usable photos of one size are needed, found {found}{reasons}"


def _warnings(device: Device, gathered: _Gathered, sums: Iterable[Size]) -> Iterator[str]:
    for size in sums:
        one = device.find(size)
        if one and len(one.photos) < GOOD_PHOTOS and one.kind != "flat":
            found = f"{len(one.photos)} photos of {size[0]}x{size[1]}, {one.kind}"
            yield f"{found}: {GOOD_PHOTOS} or more, or flat fields, give a fingerprint that finds weaker traces"
    if len(device.claims) > 1:
        yield f"the photos claim several cameras: {', '.join(device.claims)}; a device is one body"
    yield from {warning for claim in gathered.claims for warning in claim_warnings(claim)}


def remove(folder: str | Path, name: str) -> None:
    """Take a device out of a database; DeviceError where it is not in it."""
    drop(open_database(folder), name)
