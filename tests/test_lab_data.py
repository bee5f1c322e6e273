"""The lab's readers and patch caches, on made photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from camtrace.lab.datasets import read_dataset
from camtrace.lab.protocols import device_or_scene_of
from camtrace.types import CamtraceError
from lab_helpers import make_dataset

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab.evaluate import eager, embed, interval, of_photos  # noqa: E402
from camtrace.lab.methods.trace_net import TraceNet  # noqa: E402
from camtrace.lab.sources import make_source  # noqa: E402
from camtrace.lab.store import PER_COPY, PER_SHOT_COPY, Cut, PatchStore, cache_copies, cache_made, cache_photos, open_store  # noqa: E402
from camtrace.mishaps import COPIES, copies_of  # noqa: E402
from camtrace.photo import read_photo  # noqa: E402
from camtrace.simulator import make_cameras  # noqa: E402


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def test_manifest_and_folders_are_read(manifest: Path) -> None:
    records = read_dataset(manifest.parent)
    assert len(records) == 24
    assert records[0].device == f"{records[0].camera}/d0"
    assert {record.camera for record in records} == {path.name.replace("_", " ") for path in manifest.parent.iterdir() if path.is_dir()}


def test_folder_reader_takes_devices_from_subfolders(tmp_path: Path) -> None:
    for name in ("Nikon_D90/body1/a.jpg", "Nikon_D90/body2/b.jpg", "Sony_X/c.JPG", "Sony_X/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [(record.camera, record.device) for record in read_dataset(tmp_path)]
    assert found == [("Nikon D90", "Nikon D90/body1"), ("Nikon D90", "Nikon D90/body2"), ("Sony X", "Sony X/0")]


def test_faulty_manifests_say_what_is_wrong(tmp_path: Path) -> None:
    faulty = tmp_path / "photos.csv"
    for text, message in (
        ("file,camera,scene\na.jpg,X,s\n", "no column device"),
        ("file,camera,device,scene\na.jpg,X,d,s\n", "1 photos are not there"),
        ("file,camera,device,scene\n", "names no photo"),
    ):
        faulty.write_text(text, "utf-8")
        with pytest.raises(CamtraceError, match=message):
            read_dataset(faulty)


def test_photo_store_keeps_photo_and_camera(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)
    names = sorted({record.camera for record in records})
    labels = [names.index(record.camera) for record in records]
    store = cache_photos(records, tmp_path / "real", labels=labels, jobs=1)
    assert store.patches.shape[1:] == (64, 64, 3)
    assert all(labels[photo] == label for photo, label in zip(store.photos, store.labels, strict=True))
    again = cache_photos(records, tmp_path / "real", labels=labels, jobs=1)
    assert np.array_equal(store.photos, again.photos)

    references = embed(eager(TraceNet()), store, count=3)
    cut = np.unique(store.photos, return_counts=True)[1]
    assert references.features.shape == (np.minimum(cut, 3).sum(), 128)
    assert set(of_photos(references, [0, 5]).photos) <= {0, 5}


def test_the_copies_that_teach_a_head_are_those_of_enroll(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)[:2]
    store = cache_copies(records, tmp_path / "copies", labels=[5, 7], jobs=1)
    assert store.copies is not None
    for number, record in enumerate(records):
        photo = read_photo(record.path)
        for copy, patches in copies_of(photo, (0, 0), rule="mid-tone", size=64):
            own = (store.photos == number) & (store.copies == copy)
            assert np.array_equal(store.patches[own], patches.pixels)
            assert set(store.labels[own]) == {(5, 7)[number]}
    assert set(store.copies) == set(range(1, COPIES + 1))
    again = cache_copies([], tmp_path / "copies", labels=[])
    assert len(again) == len(store), "kept"


def test_made_store_shows_scenes_of_given_photos(manifest: Path, tmp_path: Path) -> None:
    scenes = [record.path for record in read_dataset(manifest)][:5]
    store = cache_made(make_cameras(3, seed=2), scenes, tmp_path / "made", per_camera=12, seed=0, jobs=1)
    assert set(store.photos) <= set(range(5))
    assert set(store.labels) == {0, 1, 2}


def blocks_of(store: PatchStore) -> list[tuple[int, int, int]]:
    """Photo, camera and copy of each run of patches, in the order of the store."""
    assert store.copies is not None
    rows = list(zip(store.photos.tolist(), store.labels.tolist(), store.copies.tolist(), strict=True))
    return [row for index, row in enumerate(rows) if index == 0 or row != rows[index - 1]]


def test_copies_follow_their_photo(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)[:5]
    cut = Cut(count=7)
    store = cache_photos(records, tmp_path / "copied", labels=[0, 0, 1, 1, 2], cut=cut, photos=[4, 0, 2], copies=3, jobs=1)
    plain = cache_photos(records, tmp_path / "plain", labels=[0, 0, 1, 1, 2], cut=cut, photos=[4, 0, 2], jobs=1)
    assert blocks_of(store) == [(photo, label, copy) for photo, label in ((0, 0), (2, 1), (4, 2)) for copy in range(4)]
    assert store.copies is not None
    assert np.bincount(store.copies)[1:].max() <= 3 * PER_COPY
    np.testing.assert_array_equal(store.patches[store.copies == 0], plain.patches)
    np.testing.assert_array_equal(np.diff(store.shots()), (np.diff(store.photos) != 0) | (np.diff(store.copies) != 0))
    assert store.ranks()[np.flatnonzero(np.diff(store.shots())) + 1].tolist() == [0] * 11
    untouched = {patch.tobytes() for patch in plain.patches}
    assert not any(patch.tobytes() in untouched for patch in store.patches[store.copies > 0][::5])


def test_copies_are_the_same_under_a_seed_whoever_else_is_cached(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)[:4]

    def cached(name: str, photos: list[int], seed: int = 0) -> PatchStore:
        return cache_photos(records, tmp_path / name, labels=[0, 0, 1, 1], cut=Cut(count=3), photos=photos, copies=2, seed=seed, jobs=1)

    both, alone, other = cached("both", [1, 3]), cached("alone", [3]), cached("other", [3], seed=1)
    np.testing.assert_array_equal(both.patches[both.photos == 3], alone.patches)
    assert alone.copies is not None
    assert other.copies is not None
    assert not np.array_equal(alone.patches[alone.copies > 0][:5], other.patches[other.copies > 0][:5])


def test_made_photos_have_copies_too(manifest: Path, tmp_path: Path) -> None:
    scenes = [record.path for record in read_dataset(manifest)][:5]
    store = cache_made(make_cameras(2, seed=2), scenes, tmp_path / "made", per_camera=3, seed=0, copies=2, jobs=1)
    assert [(label, copy) for _, label, copy in blocks_of(store)] == [
        (label, copy) for label in (0, 1) for _ in range(3) for copy in range(3)
    ]
    assert np.bincount(store.shots()).max() <= PER_SHOT_COPY
    assert store.patches.shape[1:] == (64, 64, 3)


def test_a_store_of_two_columns_still_opens(tmp_path: Path) -> None:
    """Written before there were copies: all of its patches are of photos as they came."""
    np.save(tmp_path / "patches.npy", np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3))
    np.save(tmp_path / "index.npy", np.array([[3, 1], [3, 1], [8, 0]], np.int32))
    store = open_store(tmp_path)
    assert len(store) == 3
    assert (store.photos.tolist(), store.labels.tolist(), store.copies) == ([3, 3, 8], [1, 1, 0], None)
    assert (store.shots().tolist(), store.ranks().tolist()) == ([0, 0, 1], [0, 1, 0])
    assert make_source(store).n_classes == 2


def test_photos_that_cannot_be_read_leave_no_trace(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)[:2]
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    broken = [replace(records[0], path=bad), records[1]]
    store = cache_photos(broken, tmp_path / "store", labels=[0, 1], cut=Cut(count=2), copies=1, jobs=1)
    assert set(store.photos.tolist()) == {1}
    nothing = cache_photos(broken[:1], tmp_path / "nothing", labels=[0], cut=Cut(count=2), copies=1, jobs=1)
    assert len(nothing) == len(nothing.shots()) == 0


def test_sources_draw_cameras_evenly_and_only_chosen_photos(manifest: Path, tmp_path: Path) -> None:
    records = read_dataset(manifest)
    names = sorted({record.camera for record in records})
    store = cache_photos(records, tmp_path / "real", labels=[names.index(record.camera) for record in records], jobs=1)
    present = sorted(set(store.photos.tolist()))
    first_camera = [photo for photo in present if records[photo].camera == names[0]]
    uneven = [*first_camera[:1], *(photo for photo in present if photo not in first_camera)]
    source = make_source(store, photos=uneven, groups=device_or_scene_of(records))
    assert set(store.photos[source.chosen]) == set(uneven)
    labels = source.labels[source.pick(4000, np.random.default_rng(0)).ravel()]
    shares = np.bincount(labels, minlength=len(names)) / 4000
    assert np.abs(shares - 1 / len(names)).max() < 0.04


def test_interval_covers_the_mean_and_narrows_with_photos() -> None:
    few, many = interval(np.r_[np.ones(8), np.zeros(2)]), interval(np.r_[np.ones(800), np.zeros(200)])
    assert few is not None
    assert many is not None
    assert few[0] == many[0] == pytest.approx(0.8)
    assert interval(np.empty(0)) is None
    assert few[1] < many[1] < 0.8 < many[2] < few[2]
