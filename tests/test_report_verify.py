"""Does a report still hold: every change of file, finding, text or picture is told, and what only moved is found."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import camtrace
from camtrace.devices.enrolment import enroll as enroll_device
from camtrace.reports.compare import differ, differ_in_text, is_noisy, same_words
from camtrace.reports.report import Report, dump, make_report
from camtrace.reports.verify import Verification, verify
from camtrace.simulator import MadeCamera
from camtrace.types import CamtraceError
from made import encode, made_photo, noise
from made_devices import encoded, flat_pixels, scene_pixels, write_flats

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
VERSION = camtrace.load_bundle().id.version  # of the one that ships
_DATA = re.compile(r'(<script type="application/json" id="camtrace">).*?(</script>)', re.DOTALL)


def fill(folder: Path, camera: MadeCamera) -> Path:
    """A photo and a file that is none."""
    (folder / "photo.jpg").write_bytes(made_photo(camera, 900, size=256))
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def report_on(folder: Path) -> Report:
    return make_report([folder / "photo.jpg", folder / "broken.jpg"], localize=False, case="1", clock=lambda: NOON)


@pytest.fixture
def folder(tmp_path: Path, cameras: tuple[MadeCamera, ...]) -> Path:
    """Photos that a test may change."""
    return fill(tmp_path, cameras[0])


@pytest.fixture
def made(folder: Path) -> Report:
    return report_on(folder)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Report:
    """A report on photos that no test changes."""
    return report_on(fill(tmp_path_factory.mktemp("still"), cameras[0]))


def write(folder: Path, html: str, name: str = "report.html") -> Path:
    path = folder / name
    path.write_text(html, "utf-8", newline="\n")
    return path


def changed(made: Report, change: Callable[[dict[str, Any]], object]) -> str:
    """The page with other data."""
    document = copy.deepcopy(made.document)
    change(document)
    return _DATA.sub(lambda found: f"{found[1]}\n{dump(document)}\n{found[2]}", made.html)


def said(found: Verification) -> str:
    return "\n".join(found.differences)


def test_a_report_holds_as_long_as_nothing_changes(tmp_path: Path, still: Report) -> None:
    found = verify(write(tmp_path, still.html))
    assert found.same
    assert (found.differences, found.notes) == ((), ())
    assert found.checked[0] == "2 of 2 files are as the report says, by their SHA-256"
    assert len(found.checked) == 3


def test_with_all_that_can_be_asked(tmp_path: Path) -> None:
    enroll_device(tmp_path / "db", "mine", write_flats(tmp_path / "flats", 1, range(6)))
    (tmp_path / "x.jpg").write_bytes(encoded(scene_pixels(1, 7)))
    options: dict[str, Any] = {"mode": "guess", "device_db": tmp_path / "db", "question": "Who?", "examiner": "E."}
    page = write(tmp_path, make_report(tmp_path / "x.jpg", **options).html)
    assert verify(page).same
    moved = (tmp_path / "db").rename(tmp_path / "moved")
    assert "the database of devices cannot be used" in said(verify(page))
    assert verify(page, device_db=moved).same
    extra = tmp_path / "flats" / "extra.jpg"
    extra.write_bytes(encoded(flat_pixels(1, 40)))
    enroll_device(moved, "mine", [extra], add=True)
    assert "is not that of the report, its manifest differs" in said(verify(page, device_db=moved))


def _set(*keys: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("photos", 0, "verdict", "answer", to="Nikon D90"), 'photo 1, verdict, answer: the report says "Nikon D90", now it is'),
        (_set("photos", 0, "verdict", "log10_lr", to=2.5), "photo 1, verdict, log10_lr: the report says 2.5, now it is"),
        (_set("photos", 0, "verdict", "ranking", 0, "probability", to=0.99), "verdict, ranking 1, probability: the report says 0.99"),
        (_set("photos", 0, "verdict", "ranking", 0, "votes", to=99), "photo 1, verdict, ranking 1, votes: the report says 99"),
        (_set("photos", 0, "verdict", "claim_agrees", to=True), "photo 1, verdict, claim_agrees: the report says true, now it is"),
        (_set("photos", 0, "exif", "Artist", to="me"), "photo 1, exif, Artist: only the report has it"),
        (_set("photos", 0, "patches", to=[]), "photo 1, patches: the report says [], now it is"),
        (_set("photos", 0, "file", "size", to=7), "photo 1, file, size: the report says 7"),
        (_set("photos", 1, "verdict", "status", to="ok"), 'photo 2, verdict, status: the report says "ok", now it is "unreadable"'),
        (_set("case", to="2"), "the page's text: it says"),
        (_set("options", "mode", to="guess"), "photo 1, verdict, reason: the report says"),
    ],
)  # fmt: skip
def test_changed_data_are_told_by_their_field(
    change: Callable[[dict[str, Any]], None], told: str, tmp_path: Path, still: Report
) -> None:
    found = verify(write(tmp_path, changed(still, change)))
    assert not found.same
    assert told in said(found)


def test_a_lacking_field_is_told(tmp_path: Path, still: Report) -> None:
    found = verify(write(tmp_path, changed(still, lambda document: document["photos"][0].pop("history"))))
    assert "photo 1, history: the report lacks it" in said(found)


def test_the_arithmetic_of_another_machine_is_no_difference(tmp_path: Path, still: Report) -> None:
    def nudge(document: dict[str, Any]) -> None:
        document["photos"][0]["verdict"]["ranking"][0]["probability"] += 1e-5

    found = verify(write(tmp_path, changed(still, nudge)))
    assert found.same
    assert "some numbers differ by less than a thousandth" in found.notes[0]


def test_changed_text_is_told(tmp_path: Path, still: Report) -> None:
    found = verify(write(tmp_path, still.html.replace("no proof", "proof", 1)))
    assert "the page's text: it says" in said(found)
    assert "it should say" in said(found)
    assert not verify(write(tmp_path, still.html.replace("</main>", "<p>Guilty.</p>\n</main>"))).same
    assert not verify(write(tmp_path, still.html.replace("<main>", '<main onclick="x()">'))).same


def test_a_changed_picture_is_told(tmp_path: Path, still: Report) -> None:
    picture = base64.b64encode(encode(noise(256, 256), "JPEG")).decode()
    for data in (picture, "AAAA"):
        found = verify(write(tmp_path, re.sub(r"(data:image/jpeg;base64,)[^\"]+", rf"\g<1>{data}", still.html)))
        assert found.differences == ("a picture of the page is not the one that its photo gives",)


def test_another_photo_is_told_by_its_hash(folder: Path, made: Report) -> None:
    page = write(folder, made.html)
    with (folder / "photo.jpg").open("ab") as photo:
        photo.write(b"x")
    found = verify(page)
    assert not found.same
    assert f"{folder / 'photo.jpg'}: is another file, its SHA-256 is" in said(found)
    assert "the findings were not made again" in said(found)


def test_photos_that_moved_are_found_beside_the_report_or_where_one_says(folder: Path, made: Report) -> None:
    page = write(folder, made.html)
    (folder / "away").mkdir()
    moved = (folder / "photo.jpg").rename(folder / "away" / "renamed.jpg")
    assert f"{folder / 'photo.jpg'}: not found; give its path after the report" in said(verify(page))
    assert verify(page, [moved]).same
    assert verify(page, [folder / "broken.jpg", moved]).same
    moved.rename(folder / "photo.jpg")
    (folder / "case").mkdir()
    carried = write(folder / "case", made.html)
    for name in ("photo.jpg", "broken.jpg"):
        (folder / name).rename(folder / "case" / name)
    assert verify(carried).same


def test_another_time_of_the_file_is_no_difference(folder: Path, made: Report) -> None:
    page = write(folder, made.html)
    os.utime(folder / "photo.jpg", (0, 0))
    assert verify(page).same


def test_a_file_that_was_not_there_must_not_be_there_now(folder: Path) -> None:
    page = write(folder, make_report([folder / "gone.jpg"], localize=False).html)
    assert verify(page).same
    (folder / "gone.jpg").write_bytes(b"x")
    assert "could not be read when the report was made, and can now" in said(verify(page))


@pytest.fixture
def other_bundle(tmp_path: Path) -> Path:
    """The bundle that ships, of another version."""
    folder = Path(shutil.copytree(Path(camtrace.__file__).parent / "models" / "default", tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": "other"}), "utf-8")
    return folder


def test_another_bundle_is_told_by_its_files(folder: Path, made: Report, other_bundle: Path) -> None:
    page = write(folder, made.html)
    assert f"the bundle is not that of the report, default {VERSION}: manifest.json differ by SHA-256; see --bundle" in said(
        verify(page, bundle=other_bundle)
    )
    assert "the bundle cannot be used" in said(verify(page, bundle=folder))
    own = write(folder, make_report(folder / "photo.jpg", bundle=other_bundle, localize=False).html, "own.html")
    assert verify(own).same
    with (other_bundle / "card.md").open("ab") as card:
        card.write(b"x")
    assert "the bundle cannot be used" in said(verify(own))


def test_of_a_bundle_that_was_given_loaded_the_files_are_compared(folder: Path, other_bundle: Path) -> None:
    loaded = make_report(folder / "photo.jpg", bundle=camtrace.load_bundle(other_bundle), localize=False)
    page = write(folder, loaded.html)
    assert f'photo 1, verdict, bundle, version: the report says "other", now it is "{VERSION}"' in said(verify(page))
    assert verify(page, bundle=other_bundle).same


def test_other_versions_are_noted_and_no_fault(tmp_path: Path, still: Report) -> None:
    def older(document: dict[str, Any]) -> None:
        document["software"]["numpy"] = "1.0"
        document["program"]["sha256"] = "0" * 64

    found = verify(write(tmp_path, changed(still, older)))
    assert found.same
    assert "it was made with other versions: numpy 1.0, now" in found.notes[0]
    assert "other program files wrote the page" in found.notes[1]
    assert "it should say" in found.notes[2]


@pytest.mark.parametrize(
    "text", ["", "<p>no report</p>", '<script id="camtrace">{"what": "else"}</script>', '<script id="camtrace">[[[</script>']
)
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match="no report of camtrace, expected an HTML page or a PDF"):
        verify(write(tmp_path, text))
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7\nstream\nnothing\nendstream")
    with pytest.raises(CamtraceError, match="no report of camtrace"):
        verify(tmp_path / "x.pdf")


@pytest.mark.parametrize(
    "change",
    [
        _set("photos", to=None),
        _set("photos", 0, to={}),
        _set("made", to="yesterday"),
        _set("options", to=[]),
        _set("bundle", to="default"),
        _set("software", to=None),
    ],
)
def test_data_that_are_damaged_are_refused(change: Callable[[dict[str, Any]], None], tmp_path: Path, still: Report) -> None:
    with pytest.raises(CamtraceError, match="its data are not those of a report"):
        verify(write(tmp_path, changed(still, change)))


def test_a_report_of_another_version_is_refused(tmp_path: Path, still: Report) -> None:
    with pytest.raises(CamtraceError, match="a report of version 2, this camtrace reads 1"):
        verify(write(tmp_path, changed(still, _set("schema_version", to=2))))


def test_values_are_compared_by_kind() -> None:
    assert list(differ({"a": [1, 0.5, "x", None]}, {"a": [1, 0.5004, "x", None]}, "it")) == []
    assert list(differ(1, True, "it")) == ["it: the report says 1, now it is true"]
    assert list(differ([1], [1, 2], "it")) == ["it: the report says [1], now it is [1, 2]"]
    assert next(differ("x" * 300, "y", "it")).count("x") == 199
    assert is_noisy({"a": [0.5]}, {"a": [0.5004]})
    assert not is_noisy({"a": [0.5]}, {"a": [0.5]})
    assert not is_noisy({"a": [0.5]}, {"a": [0.6]})


def test_the_last_digit_of_numbers_in_words() -> None:
    assert same_words("probability of 73.2%, 1,645 times", "probability of 73.3%, 1,646 times")
    assert not same_words("probability of 73.2%", "probability of 73.4%")
    assert not same_words("a 1 b", "c 1 b")
    assert not same_words("IMG_1.jpg", "IMG_2.jpg")
    assert list(differ_in_text("a 1.0\n", "a 1.1\n"))
    assert not list(differ_in_text("a 1.0\r\n", "a 1.1\n", noisy=True))
