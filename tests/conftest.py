"""Cameras, photos and one enrolled bundle, each made once a session."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

import camtrace
from camtrace.simulator import MadeCamera
from made import TEACHING_SCENES, different_cameras, write_album

# The same examples in every run, none remembered from the run before.
hypothesis.settings.register_profile("camtrace", derandomize=True, deadline=None, database=None, max_examples=40)
hypothesis.settings.load_profile("camtrace")


@pytest.fixture(scope="session")
def cameras() -> tuple[MadeCamera, ...]:
    return different_cameras()


@pytest.fixture(scope="session")
def albums(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    """A folder as `enroll` wants it: six photos by each of four cameras."""
    folder = tmp_path_factory.mktemp("albums")
    for camera in cameras:
        write_album(folder / camera.name.replace(" ", "_"), camera, TEACHING_SCENES)
    return folder


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory, albums: Path) -> tuple[Path, camtrace.Enrolment]:
    folder = tmp_path_factory.mktemp("bundles") / "made"
    return folder, camtrace.enroll(albums, out=folder, only=True)


@pytest.fixture(scope="session")
def enrolment(enrolled: tuple[Path, camtrace.Enrolment]) -> camtrace.Enrolment:
    return enrolled[1]


@pytest.fixture(scope="session")
def bundle(enrolment: camtrace.Enrolment) -> camtrace.Bundle:
    """A bundle that knows the four made cameras and no other."""
    return enrolment.bundle


@pytest.fixture(scope="session")
def bundle_folder(enrolled: tuple[Path, camtrace.Enrolment]) -> Path:
    """Where `bundle` lies; tests that change it work on a copy."""
    return enrolled[0]


@pytest.fixture
def photo(tmp_path: Path, cameras: tuple[MadeCamera, ...]) -> Path:
    """One questioned photo by the first camera."""
    return next(write_album(tmp_path / "photo", cameras[0], range(900, 901), device=2, size=256).iterdir())
