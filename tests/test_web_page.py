"""The page in a real browser, in front of a real service: what people do with it, and what must never happen."""

# ruff: noqa: F401, F811 - fixtures are imported to be used by name

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import camtrace
from camtrace.outputs import write_csv
from camtrace.simulator import MadeCamera
from camtrace.types import Verdict
from made import made_photo, write_album
from web_fixtures import CHROMIUM, LIMITS, PATIENCE, browser, choose, download, expect, photos, relabel, service, tabs

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not there; get it with: apt-get install chromium")

HOSTILE = "<img src=x onerror=document.title='owned'>\u202egpj.exe"


def told(verdict: Verdict) -> Any:
    """The verdict as JSON has it."""
    return json.loads(verdict.to_json())


def held(page: Any, address: str = "**/api/inspect") -> list[Any]:
    """Requests of this kind wait from now on, in the list that is given back."""
    waiting: list[Any] = []
    page.route(address, lambda route: waiting.append(route))
    return waiting


def test_one_photo_gets_the_verdict_of_python_words_first(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    page.get_by_label("Guess").check()
    choose(page, photos["lying.jpg"])
    expected = camtrace.inspect(photos["lying.jpg"], name="lying.jpg", mode="guess")
    assert expected.verdict.claim_agrees is False
    card = page.locator("#card")
    expect(card.get_by_role("heading", level=2)).to_have_text(re.compile(f"At a guess an? {re.escape(expected.verdict.answer)}\\."))
    expect(card.locator(".claim")).to_have_text("The EXIF says Apple iPhone 5s: these disagree.")
    assert json.loads(download(page, "Verdict as JSON")) == told(expected.verdict)
    assert expected.verdict.sha256 is not None
    expect(card.locator(".hash")).to_have_text(expected.verdict.sha256)
    expect(card.locator("dd")).to_contain_text(["Apple", "iPhone 5s", "lying.jpg"])
    expect(page.locator("#said")).to_contain_text("these disagree")


def test_patches_lie_where_they_were_cut_and_say_for_whom_they_vote(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    choose(page, photos["A100.jpg"])
    expected = camtrace.inspect(photos["A100.jpg"])
    marks = page.locator(".frame .patch")
    expect(marks).to_have_count(len(expected.patches))
    places = marks.locator("rect.mark").evaluate_all("all => all.map(one => [+one.getAttribute('y'), +one.getAttribute('x')])")
    assert places == [[vote.row, vote.column] for vote in expected.patches]
    agreeing = [vote.camera == expected.verdict.best for vote in expected.patches]
    assert marks.evaluate_all("all => all.map(one => one.classList.contains('agrees'))") == agreeing
    crosses = marks.evaluate_all("all => all.map(one => one.querySelectorAll('path.mark').length)")
    assert crosses == [int(not agrees) for agrees in agreeing]
    expect(page.locator(".legend li").first).to_contain_text(f"{sum(agreeing)} patch")
    box = page.locator(".frame").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert page.locator(".frame img").evaluate("image => getComputedStyle(image).imageOrientation") == "none"


def test_unknown_is_explained_and_its_shares_make_up_the_whole(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    choose(page, photos["A100.jpg"])
    expected = camtrace.identify(photos["A100.jpg"])
    assert expected.answer == "unknown"
    card = page.locator("#card")
    expect(card.get_by_role("heading", level=2)).to_have_text("Unknown camera.")
    expect(card.locator(".meaning")).to_contain_text("a common and honest answer")
    expect(card.locator(".share-name").first).to_have_text(expected.ranking[0].camera)
    expect(card.locator(".share-name").last).to_have_text("Cameras that the bundle does not know")
    widths = card.locator(".bar-fill").evaluate_all("all => all.map(one => parseFloat(one.style.inlineSize))")
    assert sum(widths) == pytest.approx(100, abs=4)  # slivers are drawn a little wider
    page.get_by_label("Guess").check()  # one photo is judged again at once
    expect(card.get_by_role("heading", level=2)).to_contain_text("At a guess")


def test_many_photos_make_a_table_that_sorts_and_can_be_taken_along(tabs: Any, photos: dict[str, Path], tmp_path: Path) -> None:
    page = tabs().open()
    names = ["A100.jpg", "B101.jpg", "lying.jpg", "none.jpg"]
    choose(page, *[photos[name] for name in names])
    rows = page.locator(".photos tbody tr")
    expect(rows).to_have_count(4)
    expect(page.locator("td.state")).to_have_count(0)
    expect(rows.nth(3)).to_contain_text("This file cannot be read as a photo.")
    expect(page.locator(".progress")).to_be_hidden()
    verdicts = [camtrace.identify(photos[name], name=name) for name in names]
    assert json.loads(download(page, "Verdicts as JSON")) == [told(verdict) for verdict in verdicts]
    text = io.StringIO()
    write_csv(verdicts, text)
    assert list(csv.reader(io.StringIO(download(page, "Table as CSV").decode()))) == list(csv.reader(io.StringIO(text.getvalue())))
    page.get_by_role("button", name="Photo", exact=True).click()
    page.get_by_role("button", name="Photo", exact=True).click()
    expect(page.get_by_role("columnheader", name="Photo")).to_have_attribute("aria-sort", "descending")
    assert rows.locator(".name").all_inner_texts() == sorted(names, key=str.lower, reverse=True)
    rows.nth(0).locator(".opener").click()
    expect(page.locator("#card .eyebrow")).to_have_text("none.jpg")
    page.get_by_role("button", name="Remove none.jpg").click()
    expect(rows).to_have_count(3)


def test_formulas_in_names_stay_text_in_a_spreadsheet(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    data = photos["A100.jpg"].read_bytes()
    choose(page, *[{"name": name, "mimeType": "image/jpeg", "buffer": data} for name in ("=1+1.jpg", "b.jpg")])
    expect(page.locator(".photos .claim")).to_have_count(2)
    rows = list(csv.DictReader(io.StringIO(download(page, "Table as CSV").decode())))
    assert [row["source"] for row in rows] == ["'=1+1.jpg", "b.jpg"]


def test_a_wrong_file_is_told_in_words(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    choose(page, photos["none.jpg"])
    card = page.locator("#card")
    expect(card.get_by_role("heading", level=2)).to_have_text("This file cannot be read as a photo.")
    expect(card.locator(".meaning")).to_have_text(camtrace.identify(photos["none.jpg"], name="none.jpg").reason)
    expect(page.get_by_role("button", name="Report")).to_have_count(0)


@pytest.mark.parametrize("known", [True, False], ids=["before it is sent", "by the service"])
def test_a_huge_file_is_refused_in_words(tabs: Any, known: bool) -> None:
    tab = tabs()
    if not known:
        tab.page.route("**/api/bundles", lambda route: route.fulfill(json={"bundles": []}))
    page = tab.open()
    choose(page, {"name": "huge.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8" + bytes(LIMITS.upload)})
    expect(page.locator("#card h2")).to_have_text("This is larger than the service takes.")
    expect(page.locator("#card .detail")).to_contain_text("1 MB")
    assert any("api/inspect" in url for url in tab.requested) is not known


def test_work_can_be_cancelled_and_tried_again(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    waiting = held(page)
    choose(page, photos["A100.jpg"], photos["B101.jpg"])
    expect(page.locator(".progress")).to_contain_text("0 of 2 photos judged")
    with page.expect_event("requestfailed", lambda request: "inspect" in request.url):
        page.get_by_role("button", name="Cancel all").click()
    expect(page.locator(".photos td.state")).to_have_text(["Cancelled."] * 2)
    expect(page.locator("#card h2")).to_have_text("Cancelled.")
    page.unroute_all(behavior="ignoreErrors")
    assert waiting
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#card h2")).to_have_text("Unknown camera.")


def test_a_photo_that_is_removed_while_it_is_judged_stays_away(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    held(page)
    choose(page, photos["A100.jpg"], photos["B101.jpg"])
    page.get_by_role("button", name="Remove A100.jpg").click()
    expect(page.locator(".photos tbody tr")).to_have_count(0)  # one photo needs no table
    expect(page.locator("#card .eyebrow")).to_have_text("B101.jpg")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#card h2")).to_have_text("Cancelled.")


def test_a_busy_service_is_asked_again(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    busy = {"status": 429, "json": {"error": "9 photos wait already"}, "headers": {"Retry-After": "0.5"}}
    page.route("**/api/inspect", lambda route: route.fulfill(**busy), times=1)
    choose(page, photos["A100.jpg"])
    expect(page.locator("#card")).to_contain_text("The service is busy; trying again in 0.5 s.")
    expect(page.locator("#card h2")).to_have_text("Unknown camera.")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (415, "does not take this kind"),
        (422, "cannot work with this"),
        (503, "overloaded or shutting down"),
        (500, "its fault"),
        (418, "(status 418)"),
    ],
)
def test_refusals_are_told_in_words(tabs: Any, photos: dict[str, Path], status: int, words: str) -> None:
    page = tabs().open()
    page.route("**/api/inspect", lambda route: route.fulfill(status=status, json={"error": "no <b>teapot</b>"}))
    choose(page, photos["A100.jpg"])
    expect(page.locator("#card h2")).to_contain_text(words)
    expect(page.locator("#card .detail")).to_have_text("no <b>teapot</b>")


def test_a_lost_connection_is_told_in_words(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    page.route("**/api/inspect", lambda route: route.abort())
    choose(page, photos["A100.jpg"])
    expect(page.locator("#card h2")).to_contain_text("The service cannot be reached")


def test_hostile_names_and_facts_are_text(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    data = relabel(
        photos["A100.jpg"].read_bytes(), "<b>Apple</b>", "<script>alert(1)</script>", software="<img src=x onerror=alert(1)>"
    )
    for name in (HOSTILE, "second.jpg"):
        choose(page, {"name": name, "mimeType": "image/jpeg", "buffer": data})
    expect(page.locator(".photos .claim")).to_have_count(2)
    shown = HOSTILE.replace("\u202e", "\ufffd")
    expect(page.locator("#card .eyebrow")).to_have_text(shown)
    expect(page.locator(".photos .name").first).to_have_text(shown)
    expect(page.locator("#card .claim")).to_contain_text("<b>Apple</b> <script>alert(1)</script>")
    expect(page.locator("#card dd").nth(2)).to_have_text("<img src=x onerror=alert(1)>")
    assert page.title() == "Identify \u2013 camtrace"
    assert page.locator("img[onerror], main b, main script").count() == 0


def test_photos_can_be_dropped_pasted_and_taken_from_a_folder(tabs: Any, photos: dict[str, Path], tmp_path: Path) -> None:
    page = tabs().open()
    give = """([kind, name, data]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(data)], name, { type: "image/jpeg" }));
      if (kind === "paste") document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
      else document.querySelector("#identify .drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    }"""
    data = list(photos["A100.jpg"].read_bytes())
    page.evaluate(give, ["drop", "dropped.jpg", data])
    expect(page.locator("#card .eyebrow")).to_have_text("dropped.jpg")
    page.evaluate(give, ["paste", "pasted.jpg", data])
    (tmp_path / "album" / "deep").mkdir(parents=True)
    (tmp_path / "album" / "deep" / "in.jpg").write_bytes(bytes(data))
    (tmp_path / "album" / "notes.txt").write_text("no photo")
    page.locator("#identify input[webkitdirectory]").set_input_files(tmp_path / "album")
    expect(page.locator(".photos .name")).to_have_text(["dropped.jpg", "pasted.jpg", "album/deep/in.jpg"])
    page.get_by_role("button", name="pasted.jpg", exact=True).click()
    expect(page.locator("#card")).to_contain_text("the clipboard holds pixels, not the file")


def test_the_tamper_map_comes_when_asked_for_and_fits_the_photo(tabs: Any, photos: dict[str, Path]) -> None:
    tab = tabs()
    page = tab.open()
    choose(page, photos["A100.jpg"])
    expect(page.locator(".frame .patch").first).to_be_visible()
    assert not any("localize" in url for url in tab.requested)
    page.get_by_label("Tamper map").check()
    page.get_by_label("Strength of the map").fill("0.25")
    assert page.locator("canvas.map").evaluate("map => [map.width, map.height, +getComputedStyle(map).opacity]") == [256, 256, 0.25]
    found = camtrace.localize(photos["A100.jpg"])
    words = "Alarm: part of this photo" if found.alarm else "No alarm: nothing is claimed"
    expect(page.locator(".below-photo")).to_contain_text(words)
    expect(page.locator(".below-photo")).to_contain_text("no alarm no proof that a photo is genuine")
    page.get_by_label("Patches").check()
    expect(page.locator("canvas.map")).to_have_count(0)


def test_two_photos_are_compared(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open("#compare")
    choose(page, photos["A100.jpg"], view="compare")
    page.locator("#compare .slot").nth(1).locator("input").set_input_files(photos["B101.jpg"])
    found = camtrace.compare(photos["A100.jpg"], photos["B101.jpg"], names=("A100.jpg", "B101.jpg"))
    assert found.words is not None
    expect(page.locator("#compare .result h2")).to_have_text(re.compile(re.escape(found.words), re.IGNORECASE))
    expect(page.locator("#compare .result .meaning")).to_have_text(found.reason)


def test_cameras_are_taught_and_then_known(tabs: Any, cameras: tuple[MadeCamera, ...], tmp_path: Path) -> None:
    page = tabs().open("#teach")
    for camera in cameras[:2]:
        album = write_album(tmp_path / "albums" / camera.name.replace(" ", "_"), camera, range(100, 102), size=128)
        page.locator("#teach input[webkitdirectory]").set_input_files(album)
    expect(page.locator(".album")).to_have_count(2)
    assert [page.get_by_label("Name of the camera").nth(number).input_value() for number in (0, 1)] == [one.name for one in cameras[:2]]
    expect(page.locator(".album").first).to_contain_text("2 photos. Five at least are better.")
    page.get_by_label("Know only these cameras").check()
    page.get_by_label("Name of the new bundle").fill("no such name")
    page.get_by_role("button", name="Teach", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("letters without accents")
    page.get_by_label("Name of the new bundle").fill("by-hand")
    page.get_by_role("button", name="Teach", exact=True).click()
    expect(page.get_by_role("heading", name="The bundle by-hand is ready.")).to_be_visible(timeout=4 * PATIENCE)
    expect(page.locator("#teach .result")).to_contain_text("It knows 2 cameras.")
    page.get_by_role("link", name="Identify photos with it").click()
    expect(page.get_by_label("Bundle", exact=True)).to_have_value("by-hand")
    page.get_by_label("Guess").check()
    choose(page, {"name": "b.jpg", "mimeType": "image/jpeg", "buffer": made_photo(cameras[1], 900, size=256)})
    expect(page.locator("#card h2")).to_have_text(re.compile("The patches speak for"))
    assert json.loads(download(page, "Verdict as JSON"))["bundle"]["name"] == "by-hand"
    page.get_by_role("link", name="Cameras").click()
    expect(page.locator("#cameras tbody tr")).to_have_count(2)


def test_the_report_is_downloaded(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    choose(page, photos["lying.jpg"])
    downloads: list[Any] = []
    page.on("download", lambda one: downloads.append(one))
    page.get_by_role("button", name="Report (HTML)").click()
    expect(page.locator(".card-foot [role=status]")).to_have_text("The report is downloaded.")
    assert [one.suggested_filename for one in downloads] == ["lying.report.html"]
    report = Path(downloads[0].path()).read_text("utf-8")
    assert "iPhone 5s" in report
    assert camtrace.identify(photos["lying.jpg"]).sha256 in report  # type: ignore[operator]


def test_the_cameras_can_be_searched(tabs: Any) -> None:
    page = tabs().open("#cameras")
    rows = page.locator("#cameras tbody tr")
    expect(rows).to_have_count(len(camtrace.load_bundle().manifest.cameras))
    page.get_by_label("Search").fill("d90")
    expect(rows.filter(visible=True)).to_have_count(1)
    expect(rows.filter(visible=True)).to_contain_text("Nikon D90")
