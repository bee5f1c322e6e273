"""Reports: what the page says is what was found, in words that a court can weigh; nothing in it runs, asks the net, or hides."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

import camtrace
from camtrace.devices.device import match
from camtrace.devices.enrolment import enroll as enroll_device
from camtrace.devices.store import open_database
from camtrace.identification import ready
from camtrace.inspection import Inspection, Vote
from camtrace.reports.page import _map, readable
from camtrace.reports.pictures import draw_patches
from camtrace.reports.report import MissingExtraError, Report, command_of, dump, hash_program, make_report
from camtrace.reports.verify import read_document, verify
from camtrace.reports.words import error_rates
from camtrace.tampering.localization import Localization, Region
from camtrace.types import BundleId, CamtraceError, Photo
from made import encode, made_photo, noise
from made_devices import encoded, scene_pixels, write_flats
from test_report_words import verdict

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def make(*photos: Path | bytes, **options: object) -> Report:
    return make_report(photos, **{"clock": lambda: NOON, "localize": False, **options})  # type: ignore[arg-type]


class Page(HTMLParser):
    """What a page holds: its elements, its headings, the text that is read, and what it points at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[camtrace.simulator.MadeCamera, ...]) -> Report:
    """Two photos and a file that is none, with all that is drawn."""
    folder = tmp_path_factory.mktemp("questioned")
    paths = [folder / name for name in ("first.jpg", "second.jpg", "broken.jpg")]
    for path, data in zip(
        paths, (made_photo(cameras[0], 900, size=256), made_photo(cameras[1], 901, size=256), b"no photo"), strict=True
    ):
        path.write_bytes(data)
    return make(*paths, localize=True, case="17/26", examiner="A. Examiner")


def test_the_verdicts_are_those_of_identify(report: Report) -> None:
    for photo in report.document["photos"]:
        assert photo["verdict"] == camtrace.identify(photo["file"]["name"]).to_dict()
        assert photo["localization"] == (
            camtrace.localize(photo["file"]["name"]).to_dict() if photo["verdict"]["status"] == "ok" else None
        )
    assert report.failures == 1
    assert read_document(report.html) == json.loads(json.dumps(report.document))


def test_the_mode_reaches_the_verdict(photo: Path) -> None:
    guessed = make(photo, mode="guess")
    assert guessed.document["photos"][0]["verdict"] == camtrace.identify(photo, mode="guess").to_dict()
    assert "guess mode" in Page(guessed.html).words


def test_custody_names_file_hash_and_times(photo: Path) -> None:
    os.utime(photo, (0, 86400))
    file = make(photo).document["photos"][0]["file"]
    data = photo.read_bytes()
    assert file == {
        "name": str(photo),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "read": "2026-11-22T12:00:00Z",
        "modified": "1970-01-02T00:00:00Z",
    }
    words = Page(make(photo).html).words
    assert all(
        fact in words for fact in (str(photo), f"{len(data):,}", file["sha256"], "2026-11-22 12:00:00 UTC", "1970-01-02 00:00:00 UTC")
    )


def test_the_bundle_is_named_by_its_hashes(photo: Path) -> None:
    folder = Path(camtrace.__file__).parent / "models" / "default"
    manifest = (folder / "manifest.json").read_bytes()
    bundle = make(photo).document["bundle"]
    assert bundle["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert bundle["files"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "manifest.json"
    }
    assert make(photo, bundle=ready(None)).document["bundle"] == bundle
    other = make(photo, bundle=replace(ready(None))).document["bundle"]  # loaded from nobody knows where
    assert other["manifest_sha256"] is None
    assert other["files"]["head.onnx"] == bundle["files"]["head.onnx"]


def test_the_hash_of_the_program_can_be_had_without_it() -> None:
    package = Path(camtrace.__file__).parent
    names = sorted(
        path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    )
    lines = [
        f"{hashlib.sha256((package / name).read_bytes()).hexdigest()}  {name}\n" for name in names if not name.startswith("models/")
    ]
    assert hash_program() == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_same_photos_and_clock_make_the_same_bytes(photo: Path) -> None:
    assert make(photo).html == make(photo).html
    assert make(photo).html != make(photo, clock=lambda: NOON.replace(hour=13)).html


def test_bytes_and_streams_are_reported_by_the_names_given(photo: Path) -> None:
    data = photo.read_bytes()
    one, other = (make_report(source, names=["x.jpg"], clock=lambda: NOON, localize=False) for source in (data, io.BytesIO(data)))
    assert one.html == other.html
    assert one.document["photos"][0]["file"]["modified"] is None
    known = make_report([data], names=["x.jpg"], modified=[NOON], clock=lambda: NOON, localize=False)
    assert known.document["photos"][0]["file"]["modified"] == "2026-11-22T12:00:00Z"


def test_no_photo_is_an_error() -> None:
    with pytest.raises(CamtraceError, match="no photo was given"):
        make_report([])


def test_the_page_needs_nothing_else_and_runs_nothing(report: Report) -> None:
    page = Page(report.html)
    assert [script.get("type") for script in page.all("script")] == ["application/json"]
    assert not {"link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.tags}
    points = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "srcset", "action")]
    assert all(value and value.startswith(("data:image/jpeg;base64,", "#")) for value in points)
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert not re.search(r"@import|url\(|https?:", report.html)
    assert "default-src 'none'" in str(page.all("meta"))


def test_the_page_can_be_read_without_seeing_it(report: Report) -> None:
    page = Page(report.html)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("img")) == 4
    assert all(len(image["alt"] or "") > 20 for image in page.all("img"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {str(link["href"]).removeprefix("#") for link in page.all("a")} <= set(ids)


def test_the_page_says_what_was_asked_and_found(report: Report) -> None:
    words = Page(report.html).words
    assert "17/26" in words
    assert "Which camera model took each of the photographs?" in words
    assert "Photo 3 broken.jpg Not judged This photo could not be judged (unreadable)" in words
    assert "All photographs at a glance" in words
    assert "prosecutor" in words
    assert "ENFSI" in words
    for photo in report.document["photos"][:2]:
        verdict = photo["verdict"]
        assert f"The photo was taken by a camera of the model {verdict['best']}." in words
        assert verdict["reason"] in words
        assert photo["localization"]["reason"] in words
        own = sum(patch["camera"] == verdict["best"] for patch in photo["patches"])
        assert f"{own}, plain squares, vote for {verdict['best']}" in words


def test_a_question_of_ones_own_and_a_single_photo(photo: Path) -> None:
    words = Page(make(photo, question="Did a Nikon D90 take it?").html).words
    assert "1. What was asked Did a Nikon D90 take it? 2. What was found" in words
    assert "at a glance" not in words


def test_hostile_names_and_exif_stay_text(tmp_path: Path, cameras: tuple[camtrace.simulator.MadeCamera, ...]) -> None:
    exif = Image.Exif()
    exif.update({0x010F: "</script><script>alert(1)</script>", 0x0110: "<b>x</b>", 0x0131: "a & b <!-- <script>"})
    with Image.open(io.BytesIO(made_photo(cameras[0], 900, size=256))) as image:
        data = encode(image.copy(), "JPEG", exif=exif)
    name = "<img src=x onerror=alert(1)>\u202egpj.jpg"
    plain_page, hostile = (
        Page(make(data).html),
        make(data, names=[name], case="<script>alert(2)</script>\nsecond line", examiner='"><svg onload=x>'),
    )
    page = Page(hostile.html)
    kept = {"dl", "div", "dt", "dd", "span", "p"}  # of case and examiner themselves
    assert [tag for tag, _ in page.tags if tag not in kept] == [tag for tag, _ in plain_page.tags if tag not in kept]
    assert "<img src=x onerror=alert(1)>\\u202egpj.jpg" in page.text
    assert "\u202e" not in hostile.html
    document = read_document(hostile.html)
    assert document is not None
    assert document["photos"][0]["file"]["name"] == name
    assert document["photos"][0]["exif"]["Make"] == "</script><script>alert(1)</script>"


def test_a_name_that_is_no_text_can_be_written(photo: Path) -> None:
    made = make(photo.read_bytes(), names=["bad\udcff.jpg"])
    assert "bad\\udcff.jpg" in made.html.encode().decode()
    assert dump(made.document).isascii()
    assert readable("a\x1b[31m\nb\u00e9") == "a\\u001b[31m\nb\u00e9"


def test_error_rates_are_those_of_the_manifest(photo: Path) -> None:
    words = Page(make(photo).html).words
    accuracy = ready(None).manifest.accuracy
    known, foreign = (accuracy["modes"]["balanced"][side] for side in ("known", "foreign"))
    assert f"the right model {known['model right']:.1%} cannot be" in words
    assert f"a wrong model {known['model wrong']:.1%} {foreign['model wrong']:.1%}" in words
    native = accuracy["calibration"]["native"]
    assert f"as they came from the camera {native['ece']:.3f} {native['cllr']:.3f}" in words
    value, low, high = accuracy["degraded"]["jpeg 70"]["right"]
    assert f"saved again as JPEG of quality 70 {value:.1%} ({low:.1%} to {high:.1%})" in words


@pytest.mark.parametrize(
    "accuracy",
    [
        {},
        {"modes": "no", "calibration": [1], "degraded": {"jpeg 90": 3}, "confusions": 7, "left_out": "x"},
        {"modes": {"balanced": {"known": {}}}},
    ],
)
def test_what_a_manifest_does_not_hold_is_not_said(accuracy: dict[str, object], photo: Path) -> None:
    bundle = ready(None)
    poor = replace(bundle, manifest=replace(bundle.manifest, accuracy=accuracy))
    assert list(error_rates(poor.manifest, "balanced")) == []
    assert "holds no error rates" in Page(make(photo, bundle=poor).html).words


def test_without_a_calibration_there_is_no_percentage_and_no_ratio(photo: Path) -> None:
    bundle = ready(None)
    figures = {"photos": 15, "right": 12, "protocol": "left out by turns"}
    cameras = tuple(replace(camera, accuracy=None) for camera in bundle.manifest.cameras)
    manifest = replace(bundle.manifest, calibration=None, accuracy=figures, cameras=cameras)
    made = make(photo, bundle=replace(bundle, manifest=manifest))
    words = Page(made.html).words
    assert made.document["photos"][0]["verdict"]["log10_lr"] is None
    assert "%" not in words
    assert "This bundle is not calibrated" in words
    assert "verbal scale: what" not in words
    assert "left out by turns 12 of 15" in words


def test_the_claimed_camera_has_its_line_wherever_it_ranks(tmp_path: Path) -> None:
    bundle = ready(None)
    for line in camtrace.identify(encode(noise(256, 256), "JPEG")).ranking[-1:]:
        exif = Image.Exif()
        exif.update({0x010F: line.camera.split()[0], 0x0110: line.camera})
        made = make(encode(noise(256, 256), "JPEG", exif=exif), bundle=bundle)
        assert f"{len(bundle.manifest.cameras)}. {line.camera} (claimed by the EXIF)" in Page(made.html).words


def test_patches_that_disagree_are_crossed_and_of_another_colour() -> None:
    grey = Photo("x", "", noise(256, 256, low=127, high=129))
    found = Inspection(verdict(), 256, 256, 64, (Vote(0, 0, "Nikon D90"), Vote(128, 128, "Canon EOS M3")), (), {})
    with Image.open(io.BytesIO(draw_patches(grey, found))) as picture:
        agrees, crossed, inside, outside = (picture.getpixel(place) for place in ((32, 0), (160, 160), (32, 32), (200, 40)))
    assert isinstance(agrees, tuple)
    assert isinstance(crossed, tuple)
    assert agrees[2] > agrees[0] + 80
    assert crossed[0] > crossed[2] + 80
    assert all(isinstance(colour, tuple) and max(abs(value - 128) for value in colour) < 25 for colour in (inside, outside))


def test_a_device_is_reported_with_its_numbers(tmp_path: Path) -> None:
    enroll_device(tmp_path / "db", "my <camera>", write_flats(tmp_path / "flats", 1, range(6)))
    database, data = open_database(tmp_path / "db"), encoded(scene_pixels(1, 7))
    made = make(data, names=["x.jpg"], device_db=tmp_path / "db")
    device = made.document["photos"][0]["device"]
    assert device["match"] == match(data, database, name="x.jpg").to_dict()
    assert device["match"]["answer"] == "my <camera>"
    words = Page(made.html).words
    assert f"{device['match']['ranking'][0]['pce']:.1f}" in words
    assert device["match"]["reason"] in words
    assert made.document["device_db"]["manifest_sha256"] == database.stamp
    assert database.stamp in words


def test_the_command_line_makes_it_again(tmp_path: Path, photo: Path) -> None:
    made = make(photo.read_bytes(), names=["-it's <a> photo.jpg"], mode="careful", case="a b", examiner="-x", question="Who?")
    words = shlex.split(command_of(made.document))
    assert words[:2] == ["camtrace", "report"]
    assert words[-2:] == ["--", "-it's <a> photo.jpg"]
    assert {"--no-localize", "--case=a b", "--examiner=-x", "--question=Who?"} <= set(words)
    assert words[words.index("--mode") + 1] == "careful"


def test_an_alarm_is_reported_with_its_areas() -> None:
    area = Region((10, 20, 30, 60), ((10, 20), (30, 20), (30, 60), (10, 60)), 800, 2.0, 0.75, None, "it does not fit")
    found = Localization("x", None, "ok", "far apart", True, 2.0, 1.5, BundleId("b", "1"), regions=(area,), remarks=("careful",))
    shown = _map(found, b"jpeg")
    assert shown is not None
    assert (shown["headline"], shown["reason"], shown["remarks"]) == ("Alarm", "far apart", ("careful",))
    assert shown["regions"].rows == (("1", "x 10 to 30, y 20 to 60", "75%", "it does not fit"),)
    assert "One area is outlined." in shown["picture_text"]
    quiet = _map(replace(found, alarm=False, regions=()), b"jpeg")
    assert quiet is not None
    assert quiet["regions"] is None
    assert "without an alarm the colours are no finding" in quiet["picture_text"]


@pytest.fixture
def no_weasyprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)


def test_a_pdf_without_weasyprint_says_how_to_get_it(no_weasyprint: None, photo: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'camtrace\[pdf\]'"):
        make(photo).to_pdf()


def test_a_pdf_is_the_same_twice_and_carries_the_data(photo: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("weasyprint", reason="PDFs need camtrace[pdf]")
    made = make(photo)
    pdf = made.to_pdf()
    assert pdf.startswith(b"%PDF")
    assert pdf == made.to_pdf()
    path = photo.with_suffix(".pdf")
    path.write_bytes(pdf)
    found = verify(path)  # by the data that it carries
    assert found.same, found
    assert "keep the HTML page as well" in found.notes[0]
    assert not [record for record in caplog.records if record.name.startswith("weasyprint")]


def test_progress_is_told(photo: Path) -> None:
    told: list[str] = []
    note: Callable[[str], object] = told.append
    make(photo, photo.read_bytes(), names=["a", "b"], on_photo=note)
    assert told == ["a", "b"]
