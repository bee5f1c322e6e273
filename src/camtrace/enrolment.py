"""Teach a bundle new cameras from a folder of reference photos (Bondi et al. 2017, section III-B).

The network stays as it is; only the classifiers are fitted anew, on its features of the reference photos (and of degraded copies of
them, where the bundle's head has experts). A few photos a camera do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.bundle import FEATURES, Bundle, check_target, load_bundle, pack_bundle, write_files
from camtrace.bundle_check import LONGEST_NAME, check_name
from camtrace.calibration import FEWEST_PHOTOS, fit_calibration
from camtrace.card import enrolled_card
from camtrace.claim import camera_of, canonical
from camtrace.experts import join
from camtrace.history import cut_patches, examine, origin_of
from camtrace.identification import BundleLike, ready
from camtrace.manifest import Camera, Manifest
from camtrace.mishaps import copies_each, copies_of
from camtrace.photo import Source, describe, find_photos, read_photo
from camtrace.screening import as_text, visible
from camtrace.teaching import Fit, fit_duel_head, fit_expert_head
from camtrace.types import CamtraceError, PhotoError, References

FEW_PHOTOS = 5
PROTOCOL = "photos left out by turns (cross-validation); they may share scenes and devices with the photos that taught"

Step = Callable[[Any], object]  # is told each photo, as it was given
Shots = dict[int, NDArray[np.float32]]
"""Features (n_patches, dimension) of a photo, 0, and of its degraded copies by their numbers."""

Taught = dict[str, list[Shots]]
"""What each usable photo taught, by camera."""


@dataclass(frozen=True)
class Embedded:
    """What a photo teaches."""

    sha256: str
    features: Shots


Embed = Callable[[Iterable[tuple[Source, int]]], Iterable[Embedded | PhotoError]]
"""Photos, each with the number of degraded copies that are wanted of it -> what each teaches or why it cannot, in their order."""


@dataclass(frozen=True)
class Enrolment:
    """What `enroll` did: the bundle it wrote, what it could not read, and what to be careful about."""

    bundle: Bundle
    photos: dict[str, int]  # photos taught now, by camera
    failures: dict[str, str]  # photo -> why it was left out
    warnings: tuple[str, ...]


def enroll(
    folder: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    bundle: BundleLike = None,
    only: bool = False,
    force: bool = False,
    on_photo: Step = lambda _: None,
    embed: Embed | None = None,
) -> Enrolment:
    """Teach the cameras of `folder`, which holds one sub-folder of photos for each, and write the new bundle to `out`.

    The new cameras join those of the base `bundle`, unless `only` makes a bundle of just these. A sub-folder named as a camera
    that the base knows adds photos to it. `on_photo` is called after each photo, for progress; `embed` replaces what reads the
    photos, one after the other in this process (`camtrace.enroll` has processes for it).

    Raises
    ------
    CamtraceError
        There is nothing to teach, `only` with fewer than two cameras, a base without reference features and not `only`, or `out`
        exists and `force` was not given.
    """
    base, target = ready(bundle), Path(out)
    check_target(target, force=force)
    albums = find_albums(Path(folder))
    lesson = teach(albums, base=base, name=_name_of(target), only=only, where=str(folder), on_photo=on_photo, embed=embed)
    write_files(target, lesson.files, force=force)
    return Enrolment(load_bundle(target), lesson.photos, lesson.failures, lesson.warnings)


@dataclass(frozen=True)
class Lesson:
    """A bundle that was taught, not yet written."""

    manifest: Manifest
    files: dict[str, bytes]  # as `camtrace.bundle.open_bundle` and `write_files` take them
    photos: dict[str, int]
    failures: dict[str, str]
    warnings: tuple[str, ...]


def teach(
    albums: Mapping[str, Sequence[Source]],
    *,
    base: Bundle,
    name: str,
    only: bool = False,
    where: str = "albums",
    on_photo: Step = lambda _: None,
    embed: Embed | None = None,
) -> Lesson:
    """What `enroll` does, without a folder: photos by camera -> the files of a bundle called `name`; `where` begins messages.

    Raises
    ------
    CamtraceError
        As `enroll`.
    """
    old, joined = ((), None) if only else (base.manifest.cameras, _references(base))
    copies = base.manifest.head == "experts"
    taught, failures, twice = _teach(_as_known(albums, old), embed or partial(embed_here, base=base), on_photo, copies=copies)
    if not taught:
        raise CamtraceError(f"{where}: not one usable photo in it; the first problem: {next(iter(failures.values()))}")
    if only and len(taught) < 2:
        raise CamtraceError(f"{where}: {len(taught)} camera with usable photos, --only needs at least 2 to tell apart")
    names = [camera.name for camera in old]
    names += [camera for camera in taught if camera not in names]
    references = _join(base, joined, taught, names)
    gate = base.gate() if base.manifest.head == "experts" else None
    fit = fit_duel_head(references, len(names)) if gate is None else fit_expert_head(references, len(names), gate, base.neighbours())
    manifest = _manifest(base, name, old, taught, names, fit)
    warnings = (*twice, *_warn(taught, manifest))
    files = pack_bundle(
        manifest,
        features=base.files[FEATURES],
        head=fit.head,
        references=references,
        gate=gate,
        comparison=base.comparison(),
        neighbours=base.neighbours(),
        card=enrolled_card(manifest, base.id, warnings),
    )
    return Lesson(manifest, files, {camera: len(photos) for camera, photos in taught.items()}, failures, warnings)


def _warn(taught: Taught, manifest: Manifest) -> Iterator[str]:
    for name, photos in taught.items():
        if len(photos) < FEW_PHOTOS:
            yield f"{name}: {len(photos)} photo{'s' if len(photos) > 1 else ''}, at least {FEW_PHOTOS} are better"
    if len(manifest.cameras) == 2:
        yield "with two cameras there is no telling what an unknown one looks like: one of the two is always named"
    elif manifest.calibration is None and manifest.vote == "summed":
        yield f"too few photos for probabilities and likelihood ratios: at least {FEWEST_PHOTOS} of three cameras or more are needed"
    if licence := manifest.training.get("licence"):
        yield visible(str(licence))


def _name_of(target: Path) -> str:
    """What the bundle is called: as its folder, which may have any name."""
    return visible(as_text(target.resolve().name), longest=LONGEST_NAME).strip() or "bundle"


def _references(base: Bundle) -> References:
    """The features that new ones join; imported weights come without any."""
    references = base.references()
    if not len(references.features):
        raise CamtraceError(
            f"{base.id.name} {base.id.version}: this bundle came without reference features, so no camera can join those it knows; "
            "use --only to make a bundle of just the new ones"
        )
    return references


def find_albums(folder: Path) -> dict[str, list[Path]]:
    """Photos by camera: one sub-folder a camera, its name the camera's, underscores standing for spaces."""
    if not folder.is_dir():
        raise CamtraceError(f"{folder}: not a folder; expected one that holds a sub-folder of photos for each camera")
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    albums: dict[str, list[Path]] = {}
    for path in subfolders:
        if photos := find_photos(path):
            albums.setdefault(_camera_of(path), []).extend(photos)  # Nikon_D90 and "Nikon D90" are one camera
    if not albums:
        raise CamtraceError(f"{folder}: no sub-folder with photos in it; expected {folder / 'Make_Model' / 'photo.jpg'}")
    return albums


def _camera_of(folder: Path) -> str:
    """The camera of a folder; CamtraceError where its name is none that a bundle may hold."""
    name = camera_of(folder.name)
    try:
        check_name("the folder's name", name)
    except ValueError as error:
        raise CamtraceError(f"{folder}: {error}; a sub-folder is called by make and model, such as Nikon_D90") from error
    return name


def _as_known(albums: Mapping[str, Sequence[Source]], old: Iterable[Camera]) -> dict[str, list[Source]]:
    """Albums under the names that the base knows: a folder cannot be called `Samsung ES90/ ES91`, but `Samsung_ES90_ES91`."""
    known = {canonical(camera.name): camera.name for camera in old}
    named: dict[str, list[Source]] = {}
    for name, photos in albums.items():
        named.setdefault(known.get(canonical(name), name), []).extend(photos)
    return named


def _teach(
    albums: Mapping[str, Sequence[Source]], embed: Embed, on_photo: Step, *, copies: bool
) -> tuple[Taught, dict[str, str], list[str]]:
    """Features of every usable photo, by camera, the reasons why others were left out, and warnings of photos given twice."""
    taught: Taught = {}
    failures: dict[str, str] = {}
    first: dict[str, tuple[str, str]] = {}  # camera and photo by SHA-256
    twice: list[str] = []
    shots = [(name, source, copies_each(len(photos)) if copies else 0) for name, photos in albums.items() for source in photos]
    for (name, source, _), found in zip(shots, embed((source, count) for _, source, count in shots), strict=True):
        path = describe(source)
        if isinstance(found, PhotoError):
            failures[path] = str(found)
        else:
            taught.setdefault(name, []).append(found.features)  # here the album begins: one without a usable photo is none
            camera, other = first.setdefault(found.sha256, (name, path))
            if other != path:
                twice.append(_say_twice(other, path, camera, name))
        on_photo(source)
    return taught, failures, twice


def _say_twice(first: str, second: str, camera: str, other: str) -> str:
    why = f"two cameras, {camera} and {other}, cannot have taken one photo" if camera != other else "one photo teaches nothing twice"
    return f"{first} and {second} are the same file: {why}"


def embed_here(shots: Iterable[tuple[Source, int]], *, base: Bundle) -> Iterator[Embedded | PhotoError]:
    """One photo after the other, in this process; see `Embed`."""
    for source, copies in shots:
        try:
            yield embed_photo(source, base, copies=copies)
        except PhotoError as error:
            yield error


def embed_photo(source: Source, base: Bundle, *, copies: int) -> Embedded:
    """Features of the photo's patches and of those of so many degraded copies of it; raises PhotoError where it cannot be used."""
    photo, manifest = read_photo(source), base.manifest
    history = examine(photo)
    patches = cut_patches(photo, history, rule=manifest.rule, count=manifest.patch_count, size=manifest.patch_size)
    origin = origin_of(photo.pixels, history.grid, size=manifest.patch_size)
    degraded = copies_of(photo, origin, rule=manifest.rule, size=manifest.patch_size, count=copies)
    return Embedded(photo.sha256, {number: base.extract(chosen) for number, chosen in ((0, patches), *degraded)})


def _join(base: Bundle, old: References | None, taught: Taught, names: list[str]) -> References:
    """Old and new references as one; new photos are numbered on from the old ones."""
    number = 0 if old is None else int(old.photos.max()) + 1
    parts = [] if old is None else [old]
    for name, album in taught.items():
        for photo in album:
            copies = np.repeat([*photo], [len(features) for features in photo.values()])
            label, shot = np.full_like(copies, names.index(name)), np.full_like(copies, number)
            new = References(np.concatenate([*photo.values()]), label, shot, copies)
            parts.append(join(new) if base.manifest.head == "experts" else new)
            number += 1
    numbers = [np.zeros_like(part.photos) if part.copies is None else part.copies for part in parts]
    return References(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.cameras for part in parts]),
        np.concatenate([part.photos for part in parts]),
        np.concatenate(numbers) if base.manifest.head == "experts" else None,
    )


def _manifest(base: Bundle, name: str, old: Sequence[Camera], taught: Taught, names: list[str], fit: Fit) -> Manifest:
    """The new bundle's manifest.

    Thresholds and accuracy come from the cameras taught now, which are mostly new to the network; the base's own, whose photos
    trained it, would flatter it.
    """
    cameras = {camera.name: camera for camera in old}
    for camera, photos in taught.items():
        known, judged = cameras.get(camera), fit.held_out.of([names.index(camera)])
        cameras[camera] = Camera(
            name=camera,
            make=known.make if known else camera.split()[0],
            photos=len(photos) + (known.photos if known else 0),
            accuracy=float(judged.right.mean()) if len(judged.right) else None,
            tested=len(judged.right),
            protocol=PROTOCOL if len(judged.right) else "",
        )
    judged = fit.held_out.of([names.index(camera) for camera in taught])
    terms = {key: value for key, value in base.manifest.training.items() if key == "licence"}  # of the network, which stays
    manifest = replace(
        base.manifest,
        name=name,
        version="1",
        cameras=tuple(cameras[camera] for camera in names),
        thresholds=(judged if len(judged.right) else fit.held_out).thresholds(),
        regularisation=fit.regularisation,
        vote="summed" if base.manifest.head == "experts" else base.manifest.vote,
        families=_families(base.manifest, names),
        training={
            "base": {"name": base.id.name, "version": base.id.version},
            "enrolled": {n: len(p) for n, p in taught.items()},
            **terms,
        },
        accuracy={"protocol": PROTOCOL, "photos": len(judged.right), "right": int(judged.right.sum())},
    )
    if old and base.manifest.calibration is not None:
        return manifest  # the base's own, from devices and scenes that it had never seen, says more than photos of one album
    return replace(manifest, calibration=fit_calibration(fit.held_out.measured, manifest.groups) if manifest.vote == "summed" else None)


def _families(base: Manifest, names: list[str]) -> dict[str, tuple[str, ...]]:
    """The base's families, of whose cameras at least two are left."""
    left = {name: tuple(camera for camera in members if camera in names) for name, members in base.families.items()}
    return {name: members for name, members in left.items() if len(members) > 1}
