"""Enrolment with worker processes: the same bundle, and a worker that dies costs its photo alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import camtrace
import made_workers
from camtrace import enrolment
from camtrace.batches import enrolling
from camtrace.batches.enrolling import embed_with, packed, set_up
from camtrace.batches.pool import Limits, Pool
from camtrace.bundle import open_bundle
from camtrace.manifest import BundleError
from camtrace.runtime import cores
from camtrace.simulator import MadeCamera
from camtrace.types import CamtraceError, PhotoError
from made import run_cli, write_album


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    """Two albums of two small photos, a copy of one of them and a file that is no photo."""
    root = tmp_path_factory.mktemp("albums")
    for camera in cameras[:2]:
        write_album(root / camera.name, camera, range(100, 102), size=256)
    first = sorted((root / cameras[0].name).iterdir())[0]
    shutil.copy(first, first.with_name("copy.jpg"))
    (root / cameras[1].name / "bad.jpg").write_bytes(b"text")
    return root


def of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_number_of_processes_changes_nothing(folder: Path, tmp_path: Path, bundle: camtrace.Bundle) -> None:
    seen: dict[int, list[Path]] = {1: [], 2: []}
    alone, many = (
        camtrace.enroll(folder, out=tmp_path / str(jobs) / "x", bundle=bundle, only=True, on_photo=seen[jobs].append, jobs=jobs)
        for jobs in (1, 2)
    )
    assert len(alone.failures) == 1
    assert any("are the same file" in warning for warning in alone.warnings)
    assert (many.photos, many.failures, many.warnings) == (alone.photos, alone.failures, alone.warnings)
    assert seen[1] == seen[2]
    assert of(tmp_path / "2" / "x") == of(tmp_path / "1" / "x")


@pytest.mark.parametrize(("words", "jobs"), [((), 1), (("--jobs", 3), 3), (("--jobs", 0), cores())])
def test_the_command_passes_the_number_on(
    folder: Path, tmp_path: Path, words: tuple[object, ...], jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*_: object, **options: Any) -> None:
        raise CamtraceError(f"asked for {options['jobs']}")

    monkeypatch.setattr(enrolling, "enroll", told)
    run = run_cli("enroll", folder, "--out", tmp_path / "x", *words)
    assert run.code != 0
    assert f"asked for {jobs}" in run.err


def test_a_worker_that_dies_costs_its_photo(folder: Path, tmp_path: Path, bundle: camtrace.Bundle) -> None:
    root = Path(shutil.copytree(folder, tmp_path / "in"))
    album = sorted(root.iterdir())[0]
    expected = camtrace.enroll(root, out=tmp_path / "expected" / "x", bundle=bundle, only=True)
    for number, name in enumerate(("dies.jpg", "hangs.jpg")):  # no copies of the others
        (album / name).write_bytes((album / "copy.jpg").read_bytes() + bytes([number]))
    with Pool(made_workers.moody_enrolling, packed(bundle), workers=1, limits=Limits(2)) as pool:
        found = enrolment.enroll(root, out=tmp_path / "found" / "x", bundle=bundle, only=True, embed=partial(embed_with, pool))
    assert of(tmp_path / "found" / "x") == of(tmp_path / "expected" / "x")
    assert found.photos == expected.photos
    reasons = {Path(path).name: reason for path, reason in found.failures.items()}
    assert set(reasons) == {"bad.jpg", "dies.jpg", "hangs.jpg"}
    assert f"{album / 'dies.jpg'}: the process that judged it died" in reasons["dies.jpg"]
    assert "took longer than the time limit of 2 s" in reasons["hangs.jpg"]


class InThisProcess:
    """A pool whose only worker is this process."""

    def __init__(self, work: Callable[..., bytes]) -> None:
        self.work = work

    def run_named(self, jobs: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        for name, job in jobs:
            yield name, self.work(job, None)


def embed(base: camtrace.Bundle, *paths: Path) -> list[Any]:
    pool = cast("Pool", InThisProcess(set_up(packed(base))))
    return list(embed_with(pool, [(path, 2) for path in paths]))


def test_what_crosses_between_the_processes_is_what_was_there(folder: Path, bundle: camtrace.Bundle) -> None:
    first, bad = sorted(folder.rglob("*0.jpg"))[0], next(folder.rglob("bad.jpg"))
    found, failure = embed(bundle, first, bad)
    expected = enrolment.embed_photo(first, bundle, copies=2)
    assert found.sha256 == expected.sha256
    assert len(found.features) == len(expected.features) == 3
    assert [*found.features] == [*expected.features] == [0, 1, 2]
    for one, other in zip(found.features.values(), expected.features.values(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
    assert isinstance(failure, PhotoError)
    assert f"{bad}: not a photo" in str(failure)


def test_a_worker_gets_the_bundle_that_is_loaded(bundle: camtrace.Bundle) -> None:
    again = open_bundle(packed(bundle))
    assert (again.manifest, again.files) == (bundle.manifest, bundle.files)


def test_a_bundle_that_gives_no_numbers_ends_it(folder: Path, bundle: camtrace.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BundleError("made 1: features.onnx gives no numbers")

    monkeypatch.setattr(enrolling, "embed_photo", broken)
    with pytest.raises(BundleError, match=r"features\.onnx gives no numbers"):
        embed(bundle, next(folder.rglob("*.jpg")))


@pytest.mark.parametrize(("head", "counts"), [("experts", {"a": 6, "b": 2}), ("one-vs-one", {"a": 0, "b": 0})])
def test_cameras_with_many_photos_are_taught_fewer_copies_of_each(bundle: camtrace.Bundle, head: Any, counts: dict[str, int]) -> None:
    base = replace(bundle, manifest=replace(bundle.manifest, head=head))
    albums = {"a": [f"a{number}" for number in range(16)], "b": [f"b{number}" for number in range(50)]}
    asked: list[tuple[object, int]] = []

    def look_only(shots: Iterable[tuple[Any, int]]) -> Iterator[PhotoError]:
        for shot in shots:
            asked.append(shot)
            yield PhotoError("no photo")

    with pytest.raises(CamtraceError, match="not one usable photo"):
        enrolment.teach(albums, base=base, name="x", only=True, embed=look_only)
    assert asked == [(photo, counts[camera]) for camera, photos in albums.items() for photo in photos]
