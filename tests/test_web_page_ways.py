"""The ways to the page: keyboard, screen reader, phone, dark, other languages, a token, and no network at all.

`CAMTRACE_SCREENSHOTS=docs/pictures pytest tests/test_web_page_ways.py -k pictures` draws the pictures of docs/page.md anew.
"""

# ruff: noqa: F401, F811 - fixtures are imported to be used by name

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

import camtrace
from camtrace.simulator import MadeCamera
from camtrace.web.app import PAGE
from camtrace.web.export import export_web
from camtrace.web.settings import Settings
from camtrace.web.vendor import is_vendored
from made import made_photo, write_album
from made_service import running
from web_fixtures import CHROMIUM, PATIENCE, browser, choose, download, expect, photos, relabel, service, tabs

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not there; get it with: apt-get install chromium")

SCREENSHOTS = os.environ.get("CAMTRACE_SCREENSHOTS")
TOKEN = "the-token-of-these-tests"
VIEWS = ("#identify", "#compare", "#teach", "#cameras")
SOURCES = sorted(PAGE.glob("*.js"))
TEXTS = json.loads((PAGE / "texts.en.json").read_text("utf-8"))


def test_everything_can_be_done_with_the_keyboard(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    page.on("filechooser", lambda chooser: chooser.set_files([photos["A100.jpg"], photos["lying.jpg"]]))
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(page.locator("#main")).to_be_focused()
    press("Tab")
    expect(page.locator("#identify .drop input").first).to_be_focused()
    press("Enter")
    expect(page.locator(".photos .claim")).to_have_count(2)
    page.get_by_role("radio", name="Balanced").focus()
    press("ArrowRight")
    expect(page.get_by_role("radio", name="Guess")).to_be_checked()
    expect(page.locator(".photos")).to_contain_text("disagrees")
    _tab_to(page, "lying.jpg")
    press("Enter")
    expect(page.locator("#card .eyebrow")).to_have_text("lying.jpg")
    expect(page.locator("#card")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("radio", name="Patches")).to_be_focused()
    _tab_to(page, "Remove")
    press("Enter")
    expect(page.locator("#card .eyebrow")).to_have_text("A100.jpg")
    assert page.evaluate("document.activeElement !== document.body")


def _tab_to(page: Any, words: str) -> None:
    """Tab until what is focused says exactly this; whatever is focused shows it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const one = document.activeElement;
              const place = one.matches(".heard") ? one.parentElement : one.matches(".segment input") ? one.nextSibling : one;
              const style = getComputedStyle(place);
              return [one.textContent.trim(), style.outlineStyle, one.tagName];
            }"""
        )
        assert focused[2] == "BODY" or focused[1] != "none", focused
        if focused[0] == words:
            return
    raise AssertionError(f"no way to {words} by Tab")


@pytest.mark.parametrize(
    "options", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"width": 390, "height": 844}], ids=["light", "dark", "phone"]
)
def test_axe_finds_no_fault(tabs: Any, photos: dict[str, Path], options: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not there: pip install axe-playwright-python")
    page = tabs(**options).open()
    found = {}
    for view in VIEWS:
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.locator(f"{view} h1")).to_be_visible()
        found[view] = axe.Axe().run(page).response["violations"]
    page.evaluate("location.hash = '#identify'")
    choose(page, photos["A100.jpg"], photos["lying.jpg"], photos["none.jpg"])
    expect(page.locator("td.state")).to_have_count(0)
    page.get_by_text("What an answer can be").click()
    found["answers"] = axe.Axe().run(page).response["violations"]
    told = [(view, one["id"], one["impact"], one["nodes"][0]["html"][:150]) for view, faults in found.items() for one in faults]
    assert told == []


def test_headings_landmarks_and_news_are_there_for_screen_readers(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs().open()
    choose(page, photos["A100.jpg"])
    expect(page.locator("#said")).to_contain_text("Unknown camera. The EXIF says Aurora A100.")
    assert page.locator("#said").get_attribute("aria-live") == "polite"
    levels = page.locator(":is(h1, h2, h3):visible").evaluate_all("all => all.map(one => +one.tagName[1])")
    assert levels[0] in (1, 2)
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    drawing = page.get_by_role("img", name=re.compile(r"^\d+ patch(es were|s* was) asked: \d+ votes? for "))
    expect(drawing).to_be_visible()
    expect(page.get_by_alt_text("The photo, as it is stored in the file")).to_be_visible()


def test_dark_follows_the_system_and_the_switch_is_remembered(tabs: Any) -> None:
    page = tabs(color_scheme="dark").open()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    assert max(map(int, re.findall(r"\d+", dark))) < 60
    page.get_by_role("button", name="Switch to light").click()
    light = page.evaluate(ground)
    assert min(map(int, re.findall(r"\d+", light))) > 200
    page.reload()
    expect(page.get_by_role("button", name="Switch to dark")).to_be_visible()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Switch to dark").click()
    assert page.evaluate(ground) == dark
    page.emulate_media(color_scheme="light")  # the choice was the system's own, so it follows the system again
    assert page.evaluate(ground) == light


def test_a_phone_shows_all_views_without_scrolling_sideways(tabs: Any, photos: dict[str, Path]) -> None:
    page = tabs(320, 640, has_touch=True, is_mobile=True).open()
    name = "a-very-long-name-without-any-space-" * 4
    choose(page, {"name": name, "mimeType": "image/jpeg", "buffer": photos["A100.jpg"].read_bytes()})
    choose(page, photos["lying.jpg"])
    expect(page.locator(".photos .claim")).to_have_count(2)
    for view in VIEWS:
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.locator(f"{view} :is(h1, .drop)").first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view
    small = page.locator(":is(button, .drop-face, .top nav a):visible").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().height < 24).map(one => one.outerHTML)"
    )
    assert small == []


def test_nothing_moves_for_people_who_ask_for_that(tabs: Any) -> None:
    moving = "[...document.querySelectorAll('*')].some(one => parseFloat(getComputedStyle(one).transitionDuration) > 0)"
    assert tabs(reduced_motion="reduce").open().evaluate(moving) is False
    assert tabs(reduced_motion="no-preference").open().evaluate(moving) is True


def test_another_language_is_one_file(tabs: Any) -> None:
    tab = tabs(locale="de-CH")
    page = (PAGE / "index.html").read_text("utf-8")
    assert 'name="camtrace-texts" content="en"' in page
    page = page.replace('name="camtrace-texts" content="en"', 'name="camtrace-texts" content="en de"')
    tab.page.route(re.compile(r":\d+/$"), lambda route: route.fulfill(body=page, content_type="text/html"))
    german = {"identify.title": "Welche Kamera war es?", "view.teach": "Kamera lehren"}
    tab.page.route("**/texts.de.json", lambda route: route.fulfill(json=german))
    opened = tab.open()
    expect(opened.get_by_role("heading", level=1)).to_have_text(german["identify.title"])
    expect(opened.get_by_role("link", name=german["view.teach"])).to_be_visible()
    expect(opened.get_by_role("link", name=TEXTS["view.compare"])).to_be_visible()  # what is not translated is English
    assert opened.locator("html").get_attribute("lang") == "de"


def test_every_text_is_used_and_every_used_text_is_there() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (*SOURCES, PAGE / "index.html"))
    keys = {re.sub(r"\.(one|other)$", "", key) for key in TEXTS if not key.startswith("article.")}
    named = set(re.findall(r'"([a-z]+\.[\w.-]+)"', code)) | set(re.findall(r'\bt\("([^"]+)"', code)) | {"added", "removed"}
    said = {key for key in named if key.split(".")[0] in {key.split(".")[0] for key in keys} and not re.search(r"\.(js|css|svg)$", key)}
    assert said - keys - {"article.vowel", "article.other"} == set()
    parts = [re.split(r"\$\{.*?\}+", found) for found in re.findall(r"`([a-z]+\.\$\{[^`]*|[a-z.]+\.\$\{[^`]*)`", code)]
    families = [re.compile(r"[\w.-]+".join(map(re.escape, part))) for part in parts]
    unused = {key for key in keys - said if not any(family.fullmatch(key) for family in families)}
    assert unused == set()
    assert {key for key in TEXTS if re.search(r"[<>]", TEXTS[key])} == set()


def test_no_data_can_become_markup_and_files_are_short() -> None:
    for path in (*SOURCES, PAGE / "index.html", PAGE / "style.css", PAGE / "parts.css"):
        text = path.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://(?!www\.w3\.org)", text), path
        assert len(text.splitlines()) <= 400
    index = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)


def test_a_service_with_a_token_asks_for_it(tabs: Any) -> None:
    with running(Settings(port=0, workers=1, token=TOKEN)) as guarded:
        address = f"http://127.0.0.1:{guarded.port}/"
        page = tabs().open("#cameras", address)
        dialog = page.get_by_role("dialog", name="This service wants a token")
        for token, words in (("wrong", "Whoever started the service"), (TOKEN, "That was not it")):
            expect(dialog).to_contain_text(words)
            dialog.get_by_label("Token").fill(token)
            page.keyboard.press("Enter")
        expect(page.locator("#cameras tbody tr").first).to_be_visible()
        assert page.locator("dialog").count() == 0
        page.reload()
        expect(page.locator("#cameras tbody tr").first).to_be_visible()
        given = tabs().open(f"#token={TOKEN}", address)
        assert given.url == address
        given.get_by_role("link", name="Cameras").click()
        expect(given.locator("#cameras tbody tr").first).to_be_visible()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A host of static files with the static page below a path."""
    export_web(tmp_path / "host" / "some" / "where")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path / "host"))) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.skipif(not is_vendored(), reason="the packages from npm are not there; get them with: python -m camtrace.web.vendor")
def test_the_static_page_judges_without_a_network(tabs: Any, host: ThreadingHTTPServer, photos: dict[str, Path]) -> None:
    tab = tabs()
    address = f"http://127.0.0.1:{host.server_port}/some/where/"
    page = tab.open(address=address)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    host.shutdown()
    tab.context.set_offline(True)
    tab.requested.clear()
    page = tab.open(address=address)
    expect(page.locator("#where")).to_have_text("Photos never leave this computer: everything runs in this browser.")
    page.get_by_label("Guess").check()
    choose(page, photos["lying.jpg"])
    expected = camtrace.identify(photos["lying.jpg"], name="lying.jpg", mode="guess").to_dict()
    found = json.loads(download(page, "Verdict as JSON"))
    assert _without_chances(found) == _without_chances(json.loads(json.dumps(expected)))
    assert found["ranking"][0]["probability"] == pytest.approx(expected["ranking"][0]["probability"], abs=1e-3)
    expect(page.locator("#card .claim")).to_contain_text("iPhone 5s: these disagree")
    expect(page.locator(".frame .patch")).to_have_count(expected["n_patches"])
    for words in ("Tamper map", "Teach", "Report (HTML)"):
        assert page.get_by_text(words, exact=True).count() == 0
    expect(page.locator("#card")).to_contain_text("Reports need the service")
    assert all(url.startswith((address, "blob:", "data:")) for url in tab.requested)


def _without_chances(verdict: dict[str, Any]) -> dict[str, Any]:
    """All but the last digits of probabilities, which are also in the reason's words."""
    ranking = [{**line, "probability": None} for line in verdict["ranking"]]
    return {**verdict, "ranking": ranking, "log10_lr": None, "reason": None}


if SCREENSHOTS:  # only for the docs: enough photos for probabilities take a minute to teach

    @pytest.fixture(scope="module")
    def studio(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Iterator[tuple[str, list[Path]]]:
        """A service with a calibrated bundle of made cameras, and photos to show."""
        root = tmp_path_factory.mktemp("studio")
        for camera in cameras:
            write_album(root / "albums" / camera.name.replace(" ", "_"), camera, range(100, 109))
        camtrace.enroll(root / "albums", out=root / "made-cameras", only=True)
        files = {f"{camera.model} {number}.jpg": made_photo(camera, number, size=640) for camera in cameras for number in (900, 901)}
        files["sent-in.jpg"] = relabel(made_photo(cameras[0], 902, size=768), "Apple", "iPhone 5s")
        for name, data in files.items():
            (root / name).write_bytes(data)
        with running(Settings(port=0, workers=2, bundles=(root / "made-cameras", None))) as service:
            yield f"http://127.0.0.1:{service.port}/", [root / name for name in sorted(files)]

    def _keep(page: Any, name: str, height: int | None = None) -> None:
        """A picture of the page from its top, in few colours."""
        page.mouse.move(0, 0)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(300)
        size = page.viewport_size
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
        with Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))) as image:
            few = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        folder = Path(str(SCREENSHOTS))
        folder.mkdir(parents=True, exist_ok=True)
        few.save(folder / f"page-{name}.png", optimize=True)

    def test_pictures_for_the_docs(tabs: Any, studio: tuple[str, list[Path]]) -> None:
        address, files = studio
        sent = files[-1]
        page = tabs().open(address=address)
        _keep(page, "start")
        choose(page, sent)
        expect(page.locator(".frame .patch").first).to_be_visible()
        _keep(page, "answer", 1240)
        page.get_by_label("Tamper map").check()
        expect(page.locator("canvas.map")).to_be_visible(timeout=4 * PATIENCE)
        _keep(page, "tamper", 1400)
        page = tabs(color_scheme="dark").open(address=address)
        choose(page, *files)
        expect(page.locator("td.state")).to_have_count(0)
        _keep(page, "many")
        page = tabs(390, 844, device_scale_factor=1.5).open(address=address)
        choose(page, sent)
        expect(page.locator(".frame .patch").first).to_be_visible()
        _keep(page, "phone", 1100)
        page = tabs(color_scheme="dark").open(address=address)
        page.get_by_label("Bundle", exact=True).select_option("default")
        choose(page, files[3])
        expect(page.locator(".frame .patch").first).to_be_visible()
        _keep(page, "unknown", 1240)
        page = tabs().open("#compare", address)
        choose(page, *files[:2], view="compare")
        expect(page.locator(".scale")).to_be_visible()
        _keep(page, "compare")
