"""A database of devices is a folder: what it holds, how it is checked, read and written.

    manifest.json                    format version; of each device its name, sizes, kinds, photo hashes, claims, file and SHA-256
    devices/NAME-HASH.safetensors    for each size WxH of a device: fingerprint.WxH, estimate.WxH, weight.WxH
    devices/NAME-HASH.sketch         its sketches (safetensors too), for a quick search over many devices (camtrace.sketch)

`fingerprint` (h, w) float16 is what photos are compared with. `estimate` (sum of residual x photo over sum of squares) and `weight`
(mean of (photo / 255)^2), float16 each, are what later photos continue from, without those that came before: 6 bytes a pixel in all,
60 MB a device of 10 megapixels.

Files are named by their content, written first and then named by the manifest, which is replaced in one step: a write that was cut
short leaves the database as it was. Nothing in it is executable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from camtrace.fingerprint import Plane, Sums, estimate
from camtrace.sketch import BYTES, to_bits
from camtrace.types import CamtraceError

FORMAT_VERSION = 1
MANIFEST, FOLDER = "manifest.json", "devices"
_FULL_SCALE = np.float32(255)

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
            raise DeviceError(f"{self.folder}: no device {name!r} here; it holds {known}")
        return self.devices[name]

    def owner(self, sha256: str) -> str | None:
        """The device that a photo of this hash taught, if any did."""
        return next((name for name, device in self.devices.items() if any(sha256 in one.photos for one in device.prints)), None)

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensors of a device, once its file's hash was checked."""
        device = self.find(name)
        return _read_tensors(self.folder / FOLDER / device.file, device.sha256)

    def fingerprint(self, name: str, size: Size) -> Plane:
        """The fingerprint (h, w) of a device's photos of one size."""
        return self.tensors(name)[f"fingerprint.{_label(size)}"].astype(np.float32)

    def sums(self, name: str, one: Print) -> Sums:
        """The sums that later photos continue."""
        tensors = self.tensors(name)
        squares = tensors[f"weight.{_label(one.size)}"].astype(np.float32) * (_FULL_SCALE**2 * len(one.photos))
        return Sums(tensors[f"estimate.{_label(one.size)}"].astype(np.float32) * (squares + 1), squares, len(one.photos))

    def all_sketches(self, size: Size) -> tuple[list[str], NDArray[np.uint8]]:
        """The devices that have photos of a size, and their sketches (n, BYTES) in the same order."""
        names = [name for name, device in self.devices.items() if device.find(size)]
        if not names:
            return [], np.zeros((0, BYTES), np.uint8)
        found = (self.devices[name] for name in names)
        rows = [_read_tensors(self.folder / FOLDER / one.sketch_file, one.sketch_sha256)[_label(size)] for one in found]
        return names, np.stack(rows)


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
    path = folder / MANIFEST
    try:
        if create and (not folder.exists() or not any(folder.iterdir())):
            return Database(folder)
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DeviceError(f"{folder}: no database of devices here ({MANIFEST}: {reason}); expected a folder made by enroll") from error
    return _parse(folder, data)


def _parse(folder: Path, data: bytes) -> Database:
    path = folder / MANIFEST
    try:
        document = json.loads(data)
    except ValueError as error:
        raise DeviceError(f"{path}: not JSON: {error}") from error
    found = document.get("format") if isinstance(document, dict) and document.get("what") == "devices" else None
    if not isinstance(found, int):
        raise DeviceError(f"{path}: not the manifest of a database of devices")
    if found > FORMAT_VERSION:
        raise DeviceError(f"{path}: database format {found}, this camtrace reads up to {FORMAT_VERSION}; upgrade camtrace")
    try:
        devices = [_parse_device(entry) for entry in document["devices"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(f"{path}: not a valid manifest: {error}") from error
    return Database(folder, {device.name: device for device in devices}, hashlib.sha256(data).hexdigest())


def _parse_device(entry: Mapping[str, Any]) -> Device:
    prints = tuple(Print(**{**one, "photos": tuple(one["photos"])}) for one in entry["prints"])
    files = {which: _plain_name(entry[which]) for which in ("file", "sketch_file")}
    return Device(**{**entry, "prints": prints, "claims": tuple(entry["claims"]), **files})


def _plain_name(name: object) -> str:
    """A manifest may not point out of its folder."""
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"file {name!r} is not a plain name")
    return name


def _read_tensors(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{path}: a file of the database cannot be read: {error.strerror or error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DeviceError(f"{path}: changed since it was written: SHA-256 {found[:12]}..., expected {sha256[:12]}...")
    try:
        return load(data)
    except SafetensorError as error:
        raise DeviceError(f"{path}: not a safetensors file: {error}") from error


def store(database: Database, device: Device, sums: Mapping[Size, Sums]) -> Database:
    """Write a device, new or with more photos; `sums` are those of the sizes that changed. Returns the database as it is then.

    Raises
    ------
    DeviceError
        It cannot be written, or another process wrote meanwhile.
    """
    before = database.devices.get(device.name)
    tensors = dict(database.tensors(device.name)) if before else {}
    sketches = dict(_read_tensors(database.folder / FOLDER / before.sketch_file, before.sketch_sha256)) if before else {}
    for size, one in sums.items():
        tensors |= _pack(size, one)
        sketches[_label(size)] = to_bits(tensors[f"fingerprint.{_label(size)}"].astype(np.float32))
    data, sketch = (save({name: some[name] for name in sorted(some)}) for some in (tensors, sketches))
    device = replace(device, sha256=hashlib.sha256(data).hexdigest(), sketch_sha256=hashlib.sha256(sketch).hexdigest())
    names = f"{_safe(device.name)}-{device.sha256[:12]}.safetensors", f"{_safe(device.name)}-{device.sketch_sha256[:12]}.sketch"
    device = replace(device, file=names[0], sketch_file=names[1])
    return _commit(database, {**database.devices, device.name: device}, dict(zip(names, (data, sketch), strict=True)))


def drop(database: Database, name: str) -> Database:
    """Take a device out; returns the database as it is then."""
    database.find(name)
    return _commit(database, {other: device for other, device in database.devices.items() if other != name}, {})


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


def _commit(database: Database, devices: dict[str, Device], files: dict[str, bytes]) -> Database:
    """Write new files, then the manifest that names them in one step, then delete what no manifest names."""
    document = {"what": "devices", "format": FORMAT_VERSION, "devices": [asdict(device) for device in devices.values()]}
    data = (json.dumps(document, indent=1) + "\n").encode()
    folder = database.folder
    try:
        _check_unchanged(database)
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            _write(folder / FOLDER / file, content)
        _check_unchanged(database)
        _write(folder / MANIFEST, data)
        for name in _files_of(database.devices) - _files_of(devices):  # others in the folder may belong to somebody
            (folder / FOLDER / name).unlink(missing_ok=True)
    except OSError as error:
        raise DeviceError(f"{folder}: the database cannot be written: {error.strerror or error}") from error
    return Database(folder, devices, hashlib.sha256(data).hexdigest())


def _files_of(devices: Mapping[str, Device]) -> set[str]:
    return {name for device in devices.values() for name in (device.file, device.sketch_file)}


def _write(path: Path, data: bytes) -> None:
    """All of a file or nothing of it."""
    handle, aside = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    finally:
        Path(aside).unlink(missing_ok=True)


def _check_unchanged(database: Database) -> None:
    """Refuse to write over what another process wrote since the manifest was read."""
    path = database.folder / MANIFEST
    stamp = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    if stamp != database.stamp:
        raise DeviceError(f"{database.folder}: somebody else changed the database meanwhile; nothing was written, start again")
