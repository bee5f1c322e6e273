"""The database of devices and its commands: what is kept, what is refused, and what a photo is answered."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camtrace.devices import store as device_store
from camtrace.devices.device import DeviceMatch, match, same, threshold
from camtrace.devices.enrolment import enroll, is_flat, remove
from camtrace.devices.fingerprint import Sums, estimate
from camtrace.devices.matching import Search
from camtrace.devices.store import Database, DeviceError, open_database
from camtrace.photo import read_photo
from made import encode, noise
from made_devices import SIZE, encoded, enroll_two, flat_pixels, scene_pixels, write_flats


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of two devices of one model, six flat fields each."""
    return enroll_two(tmp_path_factory.mktemp("made"))


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    """A copy of the database that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "db"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An ordinary photo by the first device."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(scene_pixels(1, 7)))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_photo_is_given_to_its_device_with_the_numbers(made: Path, photo: Path) -> None:
    found = match(photo, open_database(made))
    assert (found.status, found.answer, found.best) == ("ok", "first", "first")
    assert [line.device for line in found.ranking] == ["first", "second"]
    own, other = found.ranking
    assert own.pce > threshold(None)["pce"] > 30 > other.pce
    assert own.p_value < 1e-9 < 1e-3 < other.p_value
    assert own.log10_lr is not None
    assert other.log10_lr is not None
    assert own.log10_lr > 0 > other.log10_lr
    assert f"{own.pce:.1f}" in found.reason


def test_a_photo_of_another_device_of_the_model_is_unknown(made: Path) -> None:
    found = match(encoded(scene_pixels(3, 7)), open_database(made))
    assert found.answer == "unknown"
    assert found.best in ("first", "second")
    assert all(line.pce < 40 for line in found.ranking)
    assert "is below the threshold" in found.reason


def test_the_json_has_the_published_shape(made: Path, photo: Path) -> None:
    document = match(photo, open_database(made)).to_dict()
    assert {"source", "sha256", "answer", "best", "ranking", "searched"} <= set(document)
    assert document["sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert {"device", "pce", "log10_lr"} <= set(document["ranking"][0])
    assert document["searched"]["rotations"] == [0, 90, 180, 270]
    assert document["searched"]["scales"] == [1.0]
    assert document["searched"]["shifts"] == "none"
    assert json.loads(json.dumps(document)) == document


def test_later_photos_continue_the_estimate_without_the_earlier_ones(tmp_path: Path) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(9))
    enroll(tmp_path / "once", "one", paths)
    enroll(tmp_path / "steps", "one", paths[:5])
    for path in paths[:5]:
        path.unlink()
    added = enroll(tmp_path / "steps", "one", paths[5:], add=True)
    assert (added.used, added.device.photos) == (4, 9)
    once, steps = (open_database(tmp_path / folder).fingerprint("one", (SIZE, SIZE)) for folder in ("once", "steps"))
    assert np.corrcoef(once.ravel(), steps.ravel())[0, 1] > 0.9999
    short = open_database(tmp_path / "once").devices["one"].find((SIZE, SIZE))
    assert short is not None
    assert short.photos == open_database(tmp_path / "steps").devices["one"].prints[0].photos


def test_what_is_stored_is_the_estimate(made: Path) -> None:
    sums = Sums.of(read_photo(encoded(flat_pixels(1, 0))).pixels)
    for number in range(1, 6):
        sums += Sums.of(read_photo(encoded(flat_pixels(1, number))).pixels)
    database = open_database(made)
    np.testing.assert_allclose(database.fingerprint("first", (SIZE, SIZE)), estimate(sums), rtol=1e-3, atol=1e-6)
    kept = database.sums("first", database.devices["first"].prints[0])
    np.testing.assert_allclose(kept.squares, sums.squares, rtol=1e-3)
    np.testing.assert_allclose(kept.products, sums.products, rtol=2e-3, atol=0.5)
    size = sum(len(data) for name, data in contents(made).items() if "first" in name)
    assert size == pytest.approx(6 * SIZE * SIZE + 32768, abs=1500)


def test_a_photo_given_twice_counts_once(tmp_path: Path) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(6))
    copy = tmp_path / "copy.jpg"
    shutil.copy(paths[0], copy)
    first = enroll(tmp_path / "db", "one", [*paths, copy, paths[1]])
    assert (first.used, first.repeated) == (6, (str(copy), str(paths[1])))
    before = contents(tmp_path / "db")
    again = enroll(tmp_path / "db", "one", paths, add=True)
    assert (again.used, len(again.repeated), again.device.photos) == (0, 6, 6)
    assert contents(tmp_path / "db") == before


def test_photos_are_grouped_by_size(tmp_path: Path) -> None:
    small = write_flats(tmp_path / "flats", 1, range(5), height=192, width=160)
    few = write_flats(tmp_path / "flats", 1, range(2), height=160, width=192)
    enrolled = enroll(tmp_path / "db", "one", [*write_flats(tmp_path / "flats", 1, range(6)), *small, *few])
    assert [(one.size, len(one.photos), one.kind) for one in enrolled.device.prints] == [
        ((256, 256), 6, "flat"),
        ((160, 192), 5, "flat"),
    ]
    assert sorted(enrolled.failures) == sorted(map(str, few))
    assert "only 2 of 192x160 pixels, at least 5 photos" in enrolled.failures[str(few[0])]
    database = open_database(tmp_path / "db")
    for height, width in ((256, 256), (192, 160)):
        found = match(encoded(flat_pixels(1, 20, height=height, width=width)), database)
        assert found.answer == "one"
        assert found.ranking[0].size == (width, height)
        assert found.searched["places"] in (2, 4)


def test_sizes_completed_by_later_photos(tmp_path: Path) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(8))
    enroll(tmp_path / "db", "one", paths[:6])
    enrolled = enroll(tmp_path / "db", "one", paths[6:], add=True)
    assert (enrolled.used, enrolled.failures) == (2, {})


@pytest.mark.parametrize("count", [0, 4])
def test_too_few_photos_are_refused_and_leave_nothing(tmp_path: Path, count: int) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(count))
    with pytest.raises(DeviceError, match="at least 5 usable photos of one size are needed, found"):
        enroll(tmp_path / "db", "one", paths)
    assert not (tmp_path / "db").exists()


def test_a_name_that_is_taken_needs_add_and_add_needs_one_that_is(db: Path, tmp_path: Path) -> None:
    paths, before = write_flats(tmp_path / "flats", 1, range(6, 12)), contents(db)
    with pytest.raises(DeviceError, match="'first' is already enrolled, with 6 photos; --add continues"):
        enroll(db, "first", paths)
    with pytest.raises(DeviceError, match=r"no device 'third' here; it holds 'first', 'second'"):
        enroll(db, "third", paths, add=True)
    with pytest.raises(DeviceError, match="needs a name"):
        enroll(db, "  ", paths)
    assert contents(db) == before


def test_a_photo_has_one_device(db: Path, tmp_path: Path) -> None:
    theirs, ours = write_flats(tmp_path / "flats", 2, range(1)), write_flats(tmp_path / "flats", 3, range(6))
    enrolled = enroll(db, "third", [*theirs, *ours])
    assert enrolled.used == 6
    assert "already taught 'second'" in enrolled.failures[str(theirs[0])]


def test_bad_photos_are_left_out_with_a_reason(tmp_path: Path) -> None:
    bad, tiny = tmp_path / "bad.jpg", tmp_path / "tiny.png"
    bad.write_bytes(b"no photo")
    tiny.write_bytes(encode(noise(64, 64), "PNG"))
    enrolled = enroll(tmp_path / "db", "one", [bad, *write_flats(tmp_path / "flats", 1, range(5)), tiny])
    assert enrolled.used == 5
    assert set(enrolled.failures) == {str(bad), str(tiny)}
    assert "64x64 pixels, at least 128" in enrolled.failures[str(tiny)]


def test_kinds_and_warnings_of_an_enrolment(tmp_path: Path) -> None:
    assert is_flat(flat_pixels(1, 0))
    assert not is_flat(scene_pixels(1, 7))
    photos = [encoded(scene_pixels(1, number)) for number in range(5)]
    enrolled = enroll(tmp_path / "db", "one", photos)
    assert enrolled.device.prints[0].kind == "ordinary"
    assert enrolled.device.claims == ("Aurora A100",)
    assert enrolled.warnings == (
        "5 photos of 256x256, ordinary: 20 or more, or flat fields, give a fingerprint that finds weaker traces",
    )
    phone = [encode(flat_pixels(1, 30), "JPEG", quality=97, exif=_exif("samsung", "SM-G991B"))]
    mixed = enroll(tmp_path / "db", "one", phone, add=True)
    assert mixed.device.prints[0].kind == "mixed"
    assert any("claim several cameras: Aurora A100, samsung SM-G991B" in warning for warning in mixed.warnings)
    assert any("merge and process exposures" in warning for warning in mixed.warnings)


def _exif(make: str, model: str, software: str | None = None) -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = make, model
    if software:
        exif[0x0131] = software
    return exif


def test_warnings_of_a_match(made: Path) -> None:
    database = open_database(made)
    taught = match(encoded(flat_pixels(1, 2)), database)
    assert any("this very photo taught 'first'" in warning for warning in taught.warnings)
    edited = match(encode(flat_pixels(1, 20)[:200, :180], "JPEG", quality=97, exif=_exif("Google", "Pixel 7", "Editor 3")), database)
    text = " ".join(edited.warnings)
    assert all(part in text for part in ("Google Pixel 7", "'Editor 3'", "searched as a crop"))
    assert edited.answer == "first"
    turned = match(encode(np.rot90(flat_pixels(1, 20)), "PNG"), database)
    assert any("quarter turn of 270 degrees" in warning for warning in turned.warnings)
    assert match(encode(flat_pixels(1, 20), "PNG"), database).warnings == ()


def test_resized_photos_are_found_when_scales_are_asked_for(made: Path) -> None:
    from PIL import Image

    database = open_database(made)
    small = encode(Image.fromarray(flat_pixels(1, 20)).resize((205, 205), Image.Resampling.BICUBIC), "PNG")
    assert match(small, database).answer == "unknown"
    calls: list[tuple[int, int]] = []
    found = match(small, database, search=Search(exact_scale=True), on_step=lambda done, total: calls.append((done, total)))
    assert found.answer == "first"
    assert found.ranking[0].log10_lr is None  # no measured figures for resized photos
    assert any("at scale 0.8" in warning for warning in found.warnings)
    assert calls == [(number, len(calls)) for number in range(1, len(calls) + 1)]
    assert len(calls) == 16


def test_what_was_searched_is_told(made: Path) -> None:
    database, flat = open_database(made), flat_pixels(1, 20)
    as_is, crop = match(encode(flat, "PNG"), database), match(encode(flat[:200, :200], "PNG"), database)
    everywhere = match(encode(flat, "PNG"), database, search=Search((0,), everywhere=True))
    assert [found.searched["shifts"] for found in (as_is, crop, everywhere)] == ["none", "all that lie within", "all"]
    assert [found.searched["places"] for found in (as_is, crop, everywhere)] == [4, 4 * 57 * 57, 511 * 511]
    assert [len(found.searched["not_searched"]) for found in (as_is, crop, everywhere)] == [3, 2, 2]
    assert [found.threshold["case"] for found in (as_is, crop, everywhere)] == ["one place", "searched", "searched"]
    assert {found.answer for found in (as_is, crop, everywhere)} == {"first"}


def test_a_photo_that_fits_nowhere(made: Path) -> None:
    found = match(encode(noise(200, 300), "PNG"), open_database(made))
    assert (found.status, found.answer, found.best, found.ranking) == ("ok", "unknown", None, ())
    assert "fits on no fingerprint" in found.reason


@pytest.mark.parametrize(("data", "status"), [(b"no photo", "unreadable"), (encode(noise(100, 300), "PNG"), "too_small")])
def test_photos_that_cannot_be_judged(made: Path, data: bytes, status: str) -> None:
    found = match(data, open_database(made), name="given.jpg")
    assert (found.source, found.status, found.answer, found.ranking) == ("given.jpg", status, "unknown", ())
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.reason.startswith("given.jpg: ")


def test_shortlists_find_the_device_and_compare_few(db: Path, photo: Path, tmp_path: Path) -> None:
    for device in (3, 4):
        enroll(db, f"device {device}", write_flats(tmp_path / "flats", device, range(5)))
    database = open_database(db)
    found = match(photo, database, shortlist=2)
    assert found.answer == "first"
    assert len(found.ranking) == 2
    assert (found.searched["devices"], found.searched["compared"]) == (4, 2)
    assert match(encode(np.rot90(flat_pixels(4, 20)), "PNG"), database, shortlist=1).answer == "device 4"
    remove(db, "first")
    assert match(photo, open_database(db), shortlist=2).answer == "unknown"
    crop = match(encode(flat_pixels(1, 20)[:180, :200], "PNG"), database, shortlist=1)
    assert (crop.status, crop.answer, crop.best, crop.searched["compared"]) == ("ok", "unknown", None, 0)
    assert "no device has photos of this size" in crop.reason


def test_an_empty_database_has_no_answer(db: Path, photo: Path) -> None:
    remove(db, "first")
    remove(db, "second")
    with pytest.raises(DeviceError, match="no device is enrolled here"):
        match(photo, open_database(db))
    assert list((db / "devices").iterdir()) == []


@pytest.mark.parametrize("name", ["a/b\\c", "..", "CON", "Ü ber 📷", "x" * 300, "a:b*?", "con", "trailing. "])
def test_odd_names_are_safe(tmp_path: Path, name: str) -> None:
    enroll(tmp_path / "db", name, write_flats(tmp_path / "flats", 1, range(5)))
    enroll(tmp_path / "db", name.swapcase() + "2", write_flats(tmp_path / "flats", 2, range(5)))
    assert set(open_database(tmp_path / "db").devices) == {name, name.swapcase() + "2"}
    assert match(encoded(flat_pixels(1, 20)), open_database(tmp_path / "db")).answer == name
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "flats" not in path.parts]
    assert {path.parent for path in written} == {tmp_path / "db", tmp_path / "db" / "devices"}
    assert all(len(path.name) < 100 and path.name.isascii() for path in written)


def test_removing_deletes_the_file_and_leaves_others(db: Path) -> None:
    (db / "devices" / "notes.txt").write_text("mine")
    kept = open_database(db).devices["second"]
    remove(db, "first")
    assert set(open_database(db).devices) == {"second"}
    assert {path.name for path in (db / "devices").iterdir()} == {kept.file, kept.sketch_file, "notes.txt"}
    with pytest.raises(DeviceError, match="no device 'first' here"):
        remove(db, "first")


def test_a_changed_file_is_refused(db: Path, photo: Path) -> None:
    database = open_database(db)
    path = db / "devices" / database.devices["second"].file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DeviceError, match=r"Second|second.*changed since it was written: SHA-256"):
        match(photo, database)
    path.unlink()
    with pytest.raises(DeviceError, match="cannot be read"):
        match(photo, database)


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "database format 2, this camtrace reads up to 1; upgrade"),
        ({"format": "1"}, "not the manifest of a database"),
        ({"what": "bundle"}, "not the manifest of a database"),
        ({"devices": [{"name": "x"}]}, "not a valid manifest"),
        ({"devices": [{"name": "x", "prints": [], "claims": [], "file": "../secret", "sketch_file": "x"}]}, "not a plain name"),
        ({"devices": [{"name": "x", "prints": [], "claims": [], "file": "x", "sketch_file": "../secret"}]}, "not a plain name"),
        ({"devices": None}, "not a valid manifest"),
    ],
)
def test_bad_manifests_are_refused(db: Path, changes: dict[str, Any], message: str) -> None:
    _edit(db, **changes)
    with pytest.raises(DeviceError, match=message):
        open_database(db)


def test_folders_that_are_no_database(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no database of devices here"):
        open_database(tmp_path / "gone")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("mine")
    for create in (False, True):
        with pytest.raises(DeviceError, match="no database of devices here"):
            open_database(tmp_path / "photos", create=create)
    (tmp_path / "photos" / "manifest.json").write_text("{")
    with pytest.raises(DeviceError, match="not JSON"):
        open_database(tmp_path / "photos")


def test_a_write_cut_short_leaves_the_database_as_it_was(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (db / "manifest.json").read_bytes()
    write = device_store._write

    def cut_short(path: Path, data: bytes) -> None:
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(device_store, "_write", cut_short)
    with pytest.raises(DeviceError, match="cannot be written: No space left"):
        enroll(db, "third", write_flats(tmp_path / "flats", 3, range(5)))
    assert (db / "manifest.json").read_bytes() == before
    assert match(encoded(flat_pixels(2, 20)), open_database(db)).answer == "second"


def test_two_writers_do_not_lose_each_others_devices(db: Path, tmp_path: Path) -> None:
    stale = open_database(db)
    enroll(db, "third", write_flats(tmp_path / "flats", 3, range(5)))
    with pytest.raises(DeviceError, match="somebody else changed the database"):
        device_store.drop(stale, "first")
    assert set(open_database(db).devices) == {"first", "second", "third"}


def test_pairs_of_photos(tmp_path: Path) -> None:
    pairs = list(
        same([encoded(flat_pixels(1, 1)), encoded(flat_pixels(1, 2)), encoded(flat_pixels(2, 3)), encode(noise(150, 500), "PNG")])
    )
    assert len(pairs) == 6
    own, other = pairs[0].found, pairs[1].found
    assert own is not None
    assert other is not None
    assert own.pce > 100 > 20 > other.pce
    assert pairs[2].found is None
    assert pairs[2].to_dict() == {"first": "<bytes>", "second": "<bytes>", "pce": None, "p_value": None}


def test_results_are_plain_data(made: Path) -> None:
    assert isinstance(match(io.BytesIO(encoded(flat_pixels(2, 20))), open_database(made)), DeviceMatch)
    assert isinstance(open_database(made), Database)
