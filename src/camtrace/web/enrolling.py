"""Enrolment without a folder: photos as bytes -> the files of a new bundle as bytes; and such files -> a bundle that judges.

The steps are those of `camtrace.enrolment.enroll`, which reads and writes folders; here nothing touches a disk.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from camtrace import bundle as bundles
from camtrace import enrolment
from camtrace.bundle import CARD, FEATURES, FORMAT_VERSION, HEAD, MANIFEST, REFERENCES, Bundle, Camera, Manifest
from camtrace.calibration import read_calibration
from camtrace.card import enrolled_card
from camtrace.claim import camera_of
from camtrace.teaching import Fit, fit_duel_head, fit_expert_head
from camtrace.types import CamtraceError, References

Files = dict[str, bytes]


class _Named(io.BytesIO):
    """An uploaded photo, with the name that messages call it."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name: str = name

    def __str__(self) -> str:
        return str(self.name)


def teach(photos: Iterable[tuple[str, str, bytes]], *, base: Bundle, name: str, only: bool = False) -> tuple[Files, dict[str, Any]]:
    """Teach a new bundle from photos (camera, file name, bytes); gives its files and what is to be told about it.

    The new cameras join those of `base`, unless `only` makes a bundle of just these, two of them at least.

    Raises
    ------
    CamtraceError
        No photo can be used, or as `camtrace.enroll`.
    """
    old, joined = ((), None) if only else (base.manifest.cameras, enrolment._references(base))
    albums: dict[str, list[Any]] = {}
    for camera, file, data in photos:
        albums.setdefault(camera_of(camera), []).append(_Named(file, data))
    taught, failures, twice = enrolment._teach(base, enrolment._as_known(albums, old), lambda _: None)
    if not taught:
        raise CamtraceError(f"not one usable photo; the first problem: {next(iter(failures.values()))}")
    if only and len(taught) < 2:
        raise CamtraceError(f"{len(taught)} camera with usable photos, a bundle of just these needs at least 2 to tell apart")
    names = [camera.name for camera in old]
    names += [camera for camera in taught if camera not in names]
    references = enrolment._join(base, joined, taught, names)
    fit = _fit(base, references, len(names))
    manifest = enrolment._manifest(base, name, old, taught, names, fit)
    warnings = (*twice, *enrolment._warn(taught, manifest))
    told = {
        "bundle": {"name": manifest.name, "version": manifest.version},
        "cameras": len(manifest.cameras),
        "photos": {camera: len(album) for camera, album in taught.items()},
        "failures": failures,
        "warnings": list(warnings),
        "accuracy": manifest.accuracy,
    }
    return _pack(base, manifest, references, fit, warnings), told


def _fit(base: Bundle, references: References, count: int) -> Fit:
    gate = base.gate() if base.manifest.head == "experts" else None
    return fit_duel_head(references, count) if gate is None else fit_expert_head(references, count, gate, base.neighbours())


def _pack(base: Bundle, manifest: Manifest, references: References, fit: Fit, warnings: tuple[str, ...]) -> Files:
    """As `camtrace.bundle.write_bundle` writes them."""
    gate = base.gate() if base.manifest.head == "experts" else None
    files = {
        FEATURES: base.files[FEATURES],
        HEAD: fit.head,
        REFERENCES: bundles._pack(references, gate, base.comparison(), base.neighbours()),
        CARD: enrolled_card(manifest, base.id, warnings).encode(),
    }
    hashes = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    document = {"format": FORMAT_VERSION, **asdict(manifest), "files": hashes}
    return {**files, MANIFEST: (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()}


def open_bundle(files: Files) -> Bundle:
    """A bundle that `teach` made, from its files. One from elsewhere goes through `camtrace.load_bundle`, which checks it."""
    manifest = read_manifest(files[MANIFEST])
    content = {name: data for name, data in files.items() if name != MANIFEST}
    return Bundle(manifest, content, _session(files[FEATURES]), _session(files[HEAD]))


def read_manifest(data: bytes) -> Manifest:
    """The manifest of a bundle that `teach` made."""
    document = json.loads(data)
    del document["format"], document["files"]
    cameras = tuple(Camera(**camera) for camera in document.pop("cameras"))
    families = {name: tuple(members) for name, members in document.pop("families").items()}
    calibration = read_calibration(document.pop("calibration"))
    return Manifest(cameras=cameras, families=families, calibration=calibration, **document)


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
