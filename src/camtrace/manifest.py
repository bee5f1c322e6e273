"""`manifest.json` of a bundle: what it says, and whether it may be believed.

It comes from strangers like the rest of a bundle: names must be fit to be shown, sizes of their size, choices known to this camtrace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from camtrace import bundle_check as check
from camtrace.calibration import Calibration, Groups, read_calibration
from camtrace.patches import RESIZED, RULES
from camtrace.safe_files import is_plain_name
from camtrace.types import CamtraceError, Level, VotingWay
from camtrace.vote import WAYS

MANIFEST = "manifest.json"
FORMAT_VERSION = 3  # 2: calibration, families, heads by condition; 3: three experts, nets in 8 bits
HeadKind = Literal["one-vs-one", "experts"]


class BundleError(CamtraceError):
    """A bundle that is missing, incomplete, changed or made by a newer camtrace."""


@dataclass(frozen=True)
class Camera:
    """A camera that a bundle knows.

    `accuracy` is the share of its `tested` photos whose raw winner was right, None if it could not be tested; `protocol` says how
    these photos differed from those that taught the camera.
    """

    name: str
    make: str
    photos: int
    accuracy: float | None = None
    tested: int = 0
    protocol: str = ""


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says; see the module's docstring for the other files."""

    name: str
    version: str
    cameras: tuple[Camera, ...]
    thresholds: dict[VotingWay, float]  # smallest evidence that still names a camera, by way of voting
    patch_size: int = 64
    patch_count: int = 32
    rule: str = "mid-tone"
    vote: VotingWay = "summed"
    dimension: int = 128
    regularisation: float | None = None  # C of the SVMs
    head: HeadKind = "one-vs-one"
    families: dict[str, tuple[str, ...]] = field(default_factory=dict)  # sister cameras that are easily mistaken for each other
    calibration: Calibration | None = None
    training: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Camera names in the order of the head's output."""
        return tuple(camera.name for camera in self.cameras)

    @cached_property
    def groups(self) -> Groups:
        """What each camera is called at each level; one without sisters is its own family."""
        family = {camera: name for name, members in self.families.items() for camera in members}
        return {
            "model": self.labels,
            "family": tuple(family.get(name, name) for name in self.labels),
            "maker": tuple(camera.make for camera in self.cameras),
        }

    def called(self, answer: str, level: Level) -> tuple[str, ...]:
        """The cameras that an answer stands for."""
        names = self.groups.get(level, ())
        return tuple(camera for camera, name in zip(self.labels, names, strict=False) if name == answer)


def read_manifest(data: bytes, path: Path) -> tuple[Manifest, dict[str, str]]:
    """The manifest, and the SHA-256 of each file of its bundle; `path` is what messages call it.

    Raises
    ------
    BundleError
        It is no manifest, one of a newer camtrace, or says what no bundle may say.
    """
    try:
        document = check.parse_json(data)
    except ValueError as error:
        raise BundleError(replaceable(f"{path}: not JSON: {error}")) from error
    found = document.pop("format", None) if isinstance(document, dict) else None
    if not isinstance(found, int):
        raise BundleError(f"{path}: no format version, expected {FORMAT_VERSION}")
    if found > FORMAT_VERSION:
        raise BundleError(f"{path}: bundle format {found}, this camtrace reads up to {FORMAT_VERSION}; upgrade camtrace")
    try:
        hashes = {name: str(value) for name, value in dict(document.pop("files")).items()}
        cameras = tuple(Camera(**camera) for camera in document.pop("cameras"))
        families = {name: tuple(members) for name, members in dict(document.pop("families", {})).items()}
        calibration = read_calibration(document.pop("calibration", None))
        manifest = Manifest(cameras=cameras, families=families, calibration=calibration, **document)
        _check_choices(manifest)
        _check_values(manifest, hashes)
        return manifest, hashes
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BundleError(replaceable(f"{path}: not a valid manifest: {error}")) from error


def replaceable(what: str) -> str:
    """What is wrong with a bundle, and what helps."""
    return f"{what}; get the bundle again, or make it anew with `camtrace enroll`"


def manifest_json(manifest: Manifest, hashes: Mapping[str, str]) -> bytes:
    """The manifest as its file has it; `hashes` are the SHA-256 of the bundle's other files, by name."""
    document = {"format": FORMAT_VERSION, **asdict(manifest), "files": dict(hashes)}
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _check_choices(manifest: Manifest) -> None:
    """Names in the manifest that this camtrace must know, else the error would come with the first photo."""
    if manifest.rule != RESIZED and manifest.rule not in RULES:
        raise ValueError(f"rule {manifest.rule!r} is not one of {', '.join((*RULES, RESIZED))}")
    for field_name, found, known in (("vote", manifest.vote, WAYS), ("head", manifest.head, get_args(HeadKind))):
        if found not in known:
            raise ValueError(f"{field_name} {found!r} is not one of {', '.join(known)}")
    if missing := set(WAYS) - set(manifest.thresholds):
        raise ValueError(f"no threshold for {', '.join(sorted(missing))}")


def _check_values(manifest: Manifest, hashes: Mapping[str, str]) -> None:
    """Names and numbers from a stranger: what is shown must be fit to be shown, what sizes things must be of their size."""
    for what, name in (("name", manifest.name), ("version", manifest.version), *(("family", name) for name in manifest.families)):
        check.check_name(what, name)
    check.check_whole("the number of cameras", len(manifest.cameras), least=1, most=check.MAX_CAMERAS)
    for camera in manifest.cameras:
        check.check_camera(camera)
    if not isinstance(manifest.training, dict) or not isinstance(manifest.accuracy, dict):
        raise ValueError("training or accuracy that is no object")
    if len(set(manifest.labels)) != len(manifest.labels):
        raise ValueError("two cameras of one name")
    if not {camera for members in manifest.families.values() for camera in members} <= set(manifest.labels):
        raise ValueError("a family with cameras that the bundle does not know")
    check.check_whole("patch_size", manifest.patch_size, least=8, most=check.MAX_PATCH)
    check.check_whole("patch_count", manifest.patch_count, least=1, most=check.MAX_PATCHES)
    check.check_whole("dimension", manifest.dimension, least=1, most=check.MAX_DIMENSION)
    check.check_finite("threshold", manifest.thresholds.values())
    if (known := manifest.calibration) is not None:
        levels = [value for mode in known.modes.values() for value in mode.values()]
        check.check_finite("calibration", (known.half, known.scale, known.bias, known.lapse, *known.weights, *levels))
        if len(manifest.cameras) < 2 or known.half < 0 or not 0 <= known.lapse < 1:
            raise ValueError("a calibration of less than two cameras, of less than no patches, or with a lapse that is no share")
    if strange := [name for name in hashes if not is_plain_name(name)]:
        raise ValueError(f"files: {strange[0]!r} is not a plain name")
