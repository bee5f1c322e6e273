"""A database of devices is a folder: what it holds, how it is checked, read and written.

    manifest.json                    format version; of each device its name, sizes, kinds, photo hashes, claims, file and SHA-256
    devices/NAME-HASH.safetensors    for each size WxH of a device: fingerprint.WxH, estimate.WxH, weight.WxH
    devices/NAME-HASH.sketch         its sketches (safetensors too), for a quick search over many devices (camtrace.devices.sketch)

`fingerprint` (h, w) float16 is what photos are compared with. `estimate` (sum of residual x photo over sum of squares) and `weight`
(mean of (photo / 255)^2), float16 each, are what later photos continue from, without those that came before: 6 bytes a pixel in all,
60 MB a device of 10 megapixels.

Files are named by their content, written first and then named by the manifest, which is replaced in one step: a write that was cut
short leaves the database as it was. One process writes at a time; two that enroll different devices both succeed. Nothing in it is
executable, and what a stranger may have put into it is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from camtrace.bundle_check import check_name, check_whole, parse_json
from camtrace.devices.fingerprint import Plane, Sums, estimate
from camtrace.devices.sketch import BYTES, to_bits
from camtrace.safe_files import locked, read_inside, write_file
from camtrace.screening import visible
from camtrace.types import CamtraceError

FORMAT_VERSION = 1
MANIFEST, FOLDER = "manifest.json", "devices"
MAX_MANIFEST, MAX_SIDE, MAX_PIXELS, LONGEST_NAME = 1 << 28, 1 << 16, 300_000_000, 1000
KINDS = ("flat", "ordinary", "mixed")
_FULL_SCALE = np.float32(255)
_HEADER = 1 << 20  # of a safetensors file, at most
_HASH = re.compile("[0-9a-f]{64}")

Size = tuple[int, int]
"""Width and height in pixels."""


class DeviceError(CamtraceError):
    """A database of devices that is missing, changed or made by a newer camtrace, or a device that is not in it."""


@dataclass(frozen=True)
class Print:
    """One fingerprint of a device: all its photos of one size."""

    width: int
    height: int
    kind: str  # flat, ordinary or mixed: what its photos were
    photos: tuple[str, ...]  # SHA-256 of each, in the order they came

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.width, self.height


@dataclass(frozen=True)
class Device:
    """One body, as the manifest knows it."""

    name: str
    prints: tuple[Print, ...]
    claims: tuple[str, ...] = ()  # makes and models that its photos' EXIF claimed
    file: str = ""
    sha256: str = ""
    sketch_file: str = ""
    sketch_sha256: str = ""

    @property
    def photos(self) -> int:
        """How many photos taught it."""
        return sum(len(one.photos) for one in self.prints)

    def find(self, size: Size) -> Print | None:
        """The fingerprint of this size, if there is one."""
        return next((one for one in self.prints if one.size == size), None)


@dataclass(frozen=True)
class Database:
    """What is in the folder; fingerprints are read when they are asked for."""

    folder: Path
    devices: dict[str, Device] = field(default_factory=dict)
    stamp: str = ""  # SHA-256 of the manifest that was read, empty for a new database

    def find(self, name: str) -> Device:
        """The device of this name, DeviceError where there is none."""
        if name not in self.devices:
            known = ", ".join(map(repr, sorted(self.devices))) or "no device"
            raise DeviceError(f"{self.folder}: no device {name!r} here; it holds {known}; `camtrace device list` shows them all")
        return self.devices[name]

    def owner(self, sha256: str) -> str | None:
        """The device that a photo of this hash taught, if any did."""
        return next((name for name, device in self.devices.items() if any(sha256 in one.photos for one in device.prints)), None)

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensors of a device, once its file's hash was checked."""
        device = self.find(name)
        most = _HEADER + 6 * sum(one.width * one.height for one in device.prints)
        return _read_tensors(self.folder / FOLDER, device.file, device.sha256, most=most)

    def fingerprint(self, name: str, size: Size) -> Plane:
        """The fingerprint (h, w) of a device's photos of one size."""
        return self._plane(name, self.tensors(name), "fingerprint", size)

    def sums(self, name: str, one: Print) -> Sums:
        """The sums that later photos continue."""
        tensors = self.tensors(name)
        squares = self._plane(name, tensors, "weight", one.size) * (_FULL_SCALE**2 * len(one.photos))
        return Sums(self._plane(name, tensors, "estimate", one.size) * (squares + 1), squares, len(one.photos))

    def _plane(self, name: str, tensors: Mapping[str, NDArray[Any]], what: str, size: Size) -> Plane:
        plane = tensors.get(f"{what}.{_label(size)}")
        if plane is None or plane.dtype != np.float16 or plane.shape != size[::-1] or not np.isfinite(plane).all():
            found = "nothing" if plane is None else f"{plane.shape} {plane.dtype}"
            raise DeviceError(
                _restorable(f"{self.folder}: {what} of {visible(name)!r}: {found}, expected {size[::-1]} finite numbers in float16")
            )
        return plane.astype(np.float32)

    def sketches(self, device: Device) -> dict[str, NDArray[np.uint8]]:
        """The sketches (BYTES,) of a device, by size."""
        most = _HEADER + BYTES * len(device.prints)
        found = _read_tensors(self.folder / FOLDER, device.sketch_file, device.sketch_sha256, most=most)
        wanted = {_label(one.size) for one in device.prints}
        if set(found) != wanted or any(one.shape != (BYTES,) or one.dtype != np.uint8 for one in found.values()):
            raise DeviceError(
                _restorable(f"{self.folder}: sketches of {visible(device.name)!r} that are not ({BYTES},) bytes for each of its sizes")
            )
        return found

    def all_sketches(self, size: Size) -> tuple[list[str], NDArray[np.uint8]]:
        """The devices that have photos of a size, and their sketches (n, BYTES) in the same order."""
        names = [name for name, device in self.devices.items() if device.find(size)]
        if not names:
            return [], np.zeros((0, BYTES), np.uint8)
        return names, np.stack([self.sketches(self.devices[name])[_label(size)] for name in names])


def _label(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def open_database(folder: str | os.PathLike[str], *, create: bool = False) -> Database:
    """Read the manifest of a database; with `create`, a folder that is not there or empty stands for a new one.

    Raises
    ------
    DeviceError
        There is no database, it is damaged, or it needs a newer camtrace.
    """
    folder = Path(folder)
    try:
        if create and (not folder.exists() or {entry.name for entry in folder.iterdir()} <= {FOLDER}):  # just now begun by another
            return Database(folder)
        data = read_inside(folder, MANIFEST, most=MAX_MANIFEST)
    except OSError as error:
        reason = error.strerror or error
        raise DeviceError(f"{folder}: no database of devices here ({MANIFEST}: {reason}); expected a folder made by enroll") from error
    return _parse(folder, data)


def _restorable(what: str) -> str:
    """What is wrong with a database, and what helps."""
    return f"{what}; restore the folder from a copy, or enroll its devices anew"


def _parse(folder: Path, data: bytes) -> Database:
    path = folder / MANIFEST
    try:
        document = parse_json(data)
    except ValueError as error:
        raise DeviceError(_restorable(f"{path}: not JSON: {error}")) from error
    found = document.get("format") if isinstance(document, dict) and document.get("what") == "devices" else None
    if not isinstance(found, int):
        raise DeviceError(f"{path}: not the manifest of a database of devices; give the folder that `camtrace device enroll` wrote")
    if found > FORMAT_VERSION:
        raise DeviceError(f"{path}: database format {found}, this camtrace reads up to {FORMAT_VERSION}; upgrade camtrace")
    try:
        devices = [_parse_device(entry) for entry in document["devices"]]
        if len({device.name for device in devices}) != len(devices):
            raise ValueError("two devices of one name")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DeviceError(_restorable(f"{path}: not a valid manifest: {error}")) from error
    return Database(folder, {device.name: device for device in devices}, hashlib.sha256(data).hexdigest())


def _parse_device(entry: Mapping[str, Any]) -> Device:
    prints = tuple(Print(**{**one, "photos": tuple(one["photos"])}) for one in entry["prints"])
    files = {which: _plain_name(entry[which]) for which in ("file", "sketch_file")}
    claims = tuple(visible(str(claim)) for claim in entry["claims"])
    device = Device(**{**entry, "prints": prints, "claims": claims, **files})
    check_name("device", device.name, longest=LONGEST_NAME)
    for one in prints:
        check_whole("width", one.width, least=1, most=MAX_SIDE)
        check_whole("height", one.height, least=1, most=MAX_SIDE)
        if one.width * one.height > MAX_PIXELS or one.kind not in KINDS or not one.photos:
            raise ValueError(f"a fingerprint of {one.width}x{one.height} pixels, {visible(str(one.kind))}, of {len(one.photos)} photos")
        if not all(isinstance(photo, str) and _HASH.fullmatch(photo) for photo in one.photos):
            raise ValueError("photos that are no SHA-256")
    if len({one.size for one in prints}) != len(prints):
        raise ValueError("two fingerprints of one size")
    return device


def _plain_name(name: object) -> str:
    """A manifest may not point out of its folder."""
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"file {name!r} is not a plain name")
    return name


def _read_tensors(folder: Path, name: str, sha256: str, *, most: int) -> dict[str, NDArray[Any]]:
    path = folder / name
    try:
        data = read_inside(folder, name, most=most)
    except OSError as error:
        raise DeviceError(_restorable(f"{path}: a file of the database cannot be read: {error.strerror or error}")) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DeviceError(_restorable(f"{path}: changed since it was written: SHA-256 {found[:12]}..., expected {sha256[:12]}..."))
    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # the others: kinds of numbers that numpy has not
        raise DeviceError(_restorable(f"{path}: not a safetensors file: {error}")) from error


def store(database: Database, device: Device, sums: Mapping[Size, Sums]) -> Database:
    """Write a device, new or with more photos; `sums` are those of the sizes that changed. Returns the database as it is then.

    Raises
    ------
    DeviceError
        It cannot be written, or another process wrote meanwhile.
    """
    before = database.devices.get(device.name)
    tensors = dict(database.tensors(device.name)) if before else {}
    sketches = database.sketches(before) if before else {}
    for size, one in sums.items():
        tensors |= _pack(size, one)
        sketches[_label(size)] = to_bits(tensors[f"fingerprint.{_label(size)}"].astype(np.float32))
    data, sketch = (save({name: some[name] for name in sorted(some)}) for some in (tensors, sketches))
    device = replace(device, sha256=hashlib.sha256(data).hexdigest(), sketch_sha256=hashlib.sha256(sketch).hexdigest())
    names = f"{_safe(device.name)}-{device.sha256[:12]}.safetensors", f"{_safe(device.name)}-{device.sketch_sha256[:12]}.sketch"
    device = replace(device, file=names[0], sketch_file=names[1])

    def added(now: Database) -> dict[str, Device]:
        others = [now.owner(photo) for one in device.prints for photo in one.photos] if now is not database else []
        if now.devices.get(device.name) != before or {*others} - {None, device.name}:
            raise DeviceError(_meanwhile(database))
        return {**now.devices, device.name: device}

    return _commit(database, added, dict(zip(names, (data, sketch), strict=True)))


def drop(database: Database, name: str) -> Database:
    """Take a device out; returns the database as it is then."""
    database.find(name)

    def without(now: Database) -> dict[str, Device]:
        if now is not database:
            raise DeviceError(_meanwhile(database))
        return {other: device for other, device in now.devices.items() if other != name}

    return _commit(database, without, {})


def _pack(size: Size, sums: Sums) -> dict[str, NDArray[Any]]:
    planes = {
        "fingerprint": estimate(sums),
        "estimate": sums.products / (sums.squares + 1),
        "weight": sums.squares / (_FULL_SCALE**2 * sums.photos),
    }
    return {f"{name}.{_label(size)}": np.ascontiguousarray(plane.astype(np.float16)) for name, plane in planes.items()}


def _safe(name: str) -> str:
    """A file name for any device name, on any system: what is readable of it, and a hash that tells it from others."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
    return f"{readable or 'device'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _commit(database: Database, change: Callable[[Database], dict[str, Device]], files: Mapping[str, bytes]) -> Database:
    """Write new files, then the manifest that names them in one step, then delete what no manifest names.

    `change` says what devices there are then, from the database as it is once nobody else writes: the same, or read again.
    """
    folder = database.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            now = _as_it_is(database)
            devices = change(now)
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                _write(folder / FOLDER / file, content)
            document = {"what": "devices", "format": FORMAT_VERSION, "devices": [asdict(device) for device in devices.values()]}
            data = (json.dumps(document, indent=1) + "\n").encode()
            _write(folder / MANIFEST, data)
            for name in _files_of(now.devices) - _files_of(devices):  # others in the folder may belong to somebody
                (folder / FOLDER / name).unlink(missing_ok=True)
    except OSError as error:
        raise DeviceError(
            f"{folder}: the database cannot be written: {error.strerror or error}; check the free space and your right to write there"
        ) from error
    return Database(folder, devices, hashlib.sha256(data).hexdigest())


def _as_it_is(database: Database) -> Database:
    """The database that was read, or, where another process wrote since, what it is now."""
    path = database.folder / MANIFEST
    stamp = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    return database if stamp == database.stamp else open_database(database.folder, create=True)


def _meanwhile(database: Database) -> str:
    return f"{database.folder}: somebody else changed the database meanwhile; nothing was written, start again"


def _files_of(devices: Mapping[str, Device]) -> set[str]:
    return {name for device in devices.values() for name in (device.file, device.sketch_file)}


def _write(path: Path, data: bytes) -> None:
    """All of a file or nothing of it."""
    write_file(path, data)
