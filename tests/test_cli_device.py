"""`camtrace device`: what it prints where, in which form, and with which exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from camtrace.cli.device import app, read_scales
from camtrace.devices.device import match
from camtrace.devices.store import DeviceError, open_database
from made_devices import encoded, enroll_two, flat_pixels, scene_pixels, write_flats


def run(*words: object, stdin: bytes | str | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


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


def test_enroll_match_list_and_remove(tmp_path: Path, photo: Path) -> None:
    write_flats(tmp_path / "flats", 1, range(6))
    enrolled = run("enroll", "my camera", tmp_path / "flats", "--db", tmp_path / "db")
    assert (enrolled.exit_code, enrolled.stderr) == (0, "")
    assert enrolled.stdout == "my camera: 6 photos used now; the fingerprint rests on 6 of 256x256, flat\n"
    matched = run("match", photo, "--db", tmp_path / "db")
    assert matched.exit_code == 0
    lines = matched.stdout.splitlines()
    assert lines[0] == str(photo)
    assert lines[1] == "  Device:    my camera"
    assert "Ranking:   my camera: PCE" in matched.stdout
    assert "measured comparisons with other devices reached it (95 % limit" in matched.stdout
    listed = run("list", "--db", tmp_path / "db")
    assert listed.stdout == "my camera  6 photos of 256x256 (flat); EXIF claims Aurora A100\n"
    as_json = json.loads(run("list", "--db", tmp_path / "db", "--to", "json").stdout)
    assert as_json["devices"][0]["photos"] == 6
    assert len(as_json["devices"][0]["prints"][0]["photos"]) == 6
    assert run("remove", "my camera", "--db", tmp_path / "db", "--yes").exit_code == 0
    assert run("list", "--db", tmp_path / "db").stdout == "no device is enrolled here\n"


def test_removing_asks(db: Path) -> None:
    for answer in ("n\n", ""):
        assert run("remove", "first", "--db", db, stdin=answer).exit_code == 1
        assert "first" in open_database(db).devices
    assert run("remove", "first", "--db", db, stdin="y\n").exit_code == 0
    assert "first" not in open_database(db).devices


def test_one_photo_is_an_object_and_several_a_list(made: Path, photo: Path) -> None:
    one = json.loads(run("match", photo, "--db", made, "--to", "json").stdout)
    assert one == match(str(photo), open_database(made)).to_dict()
    assert json.loads(run("match", photo, photo, "--db", made, "--to", "json").stdout) == [one, one]
    assert json.loads(run("match", photo.parent, "--db", made, "--to", "json").stdout) == [one]


def test_photos_from_standard_input(made: Path, photo: Path) -> None:
    found = json.loads(run("match", "-", "--db", made, "--to", "json", stdin=photo.read_bytes()).stdout)
    assert (found["answer"], found["status"]) == ("first", "ok")


def test_a_bad_file_does_not_stop_the_others(made: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = run("match", tmp_path / "gone.jpg", photo, tmp_path / "none", "--db", made)
    assert result.exit_code == 1
    assert "not judged (unreadable)" in result.stdout
    assert "Device:    first" in result.stdout
    assert f"{tmp_path / 'none'}: no photos in this folder" in result.stderr


def test_enrolling_reports_what_it_left_out(tmp_path: Path) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(5))
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    result = run("enroll", "one", *paths, paths[0], tmp_path / "bad.jpg", "--db", tmp_path / "db")
    assert result.exit_code == 1
    assert f"left out: {tmp_path / 'bad.jpg'}: not a photo" in result.stderr
    assert "given before and not counted again: 1 photos" in result.stderr
    assert "5 photos used now" in result.stdout


def test_same_compares_every_pair(tmp_path: Path) -> None:
    paths = write_flats(tmp_path / "flats", 1, range(3))
    result = run("same", *paths)
    assert result.exit_code == 0
    assert result.stdout.count(": PCE ") == 3
    assert "A low PCE between single photos says nothing" in result.stdout
    assert len(json.loads(run("same", *paths, "--to", "json").stdout)) == 3
    alone = run("same", paths[0])
    assert alone.exit_code == 2
    assert "at least two photos" in alone.stderr


def test_a_resized_photo_on_the_command_line(made: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(flat_pixels(1, 20)).resize((205, 205), Image.Resampling.BICUBIC).save(small)
    found = json.loads(run("match", small, "--db", made, "--to", "json", "--scales", "0.8", "--straight").stdout)
    assert found["answer"] == "first"
    assert found["searched"]["scales"] == [1.0, 0.8, "that of the sizes"]
    assert found["searched"]["rotations"] == [0]


def test_scales_as_words() -> None:
    assert read_scales(None) == ()
    assert read_scales("0.5,0.8") == (0.5, 0.8)
    assert read_scales("0.5:0.7:0.1") == (0.5, 0.6, 0.7)
    assert len(read_scales("auto")) == 100


@pytest.mark.parametrize(
    "words",
    [
        ("match", "x.jpg"),
        ("match", "x.jpg", "--db", "db", "--to", "xml"),
        ("match", "x.jpg", "--db", "db", "--scales", "half"),
        ("match", "x.jpg", "--db", "db", "--scales", "0"),
        ("match", "x.jpg", "--db", "db", "--scales", "0.5:0.9:0"),
        ("match", "x.jpg", "--db", "db", "--shortlist", "-1"),
        ("enroll", "name", "--db", "db"),
        ("remove", "--db", "db"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_errors_of_the_database_reach_the_user(tmp_path: Path, photo: Path) -> None:
    result = run("match", photo, "--db", tmp_path / "gone")
    assert isinstance(result.exception, DeviceError)
    assert "no database of devices here" in str(result.exception)
