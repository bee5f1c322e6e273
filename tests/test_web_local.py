"""The engine of the static page judges as Python does: in node for every kind of photo, in Chromium as users run it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from camtrace.identification import ready
from camtrace.web.export import POLICY, export_web
from camtrace.web.vendor import is_vendored
from golden_photos import photos, write_all

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(not is_vendored(), reason="the packages from npm are not there; get them with: python -m camtrace.web.vendor"),
]

_BARE = f"""<!doctype html>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="{POLICY}">
<title>bare</title>
<link rel="icon" href="icon.svg">
<input type="file" multiple>
"""
_ASK = """async ([mode]) => {
  const { createEngine } = await import("./local/engine.js");
  const engine = (globalThis.engine ??= await createEngine());
  const found = {};
  for (const file of document.querySelector("input").files) found[file.name] = await engine.inspect(file, { mode });
  return found;
}"""
_GIVE_UP = """async () => {
  const [file] = document.querySelector("input").files;
  const stop = new AbortController();
  const asked = engine.inspect(file, { signal: stop.signal }).catch((error) => error.name);
  setTimeout(() => stop.abort(), 50);
  return [await asked, (await engine.identify(file)).sha256];
}"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An exported page, and photos with what Python says of them."""
    root = tmp_path_factory.mktemp("static")
    folder = {"page": root / "some" / "where", "photos": root / "photos"}
    export_web(folder["page"])
    (folder["page"] / "package.json").write_text('{"type": "module"}')  # for node, which does not see that the scripts are modules
    (folder["page"] / "bare.html").write_text(_BARE)
    folder["photos"].mkdir()
    write_all(folder["photos"], ready(None))
    return folder


@pytest.fixture(scope="module")
def verdicts(folders: dict[str, Path]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folders["photos"] / "verdicts.json").read_text())
    return found


@pytest.mark.skipif(NODE is None, reason="node is not there; get it with: apt-get install nodejs")
def test_the_engine_in_node_agrees_with_python(folders: dict[str, Path]) -> None:
    places = {f"CAMTRACE_TEST_{name.upper()}": str(path) for name, path in folders.items()}
    tests = sorted(map(str, JS.glob("*.test.mjs")))
    done = subprocess.run(
        [str(NODE), "--test", "--test-reporter=tap", "--test-concurrency=1", *tests],
        env=os.environ | places,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = dict(line[2:].split(" ", 1) for line in done.stdout.splitlines() if line.startswith("# ") and line.count(" ") == 2)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert (told["fail"], told["skipped"], told["todo"]) == ("0", "0", "0")
    assert int(told["pass"]) > 60


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(folders: dict[str, Path]) -> Iterator[ThreadingHTTPServer]:
    """Serves the page's folder below a path, as a static host does."""
    handler = functools.partial(_Quiet, directory=str(folders["page"].parents[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not there; get it with: apt-get install chromium")
def test_the_engine_in_chromium(folders: dict[str, Path], verdicts: dict[str, Any], server: ThreadingHTTPServer) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="get it with: pip install playwright")
    asked = ("untouched.jpg", "off-grid.png", "truncated.jpg")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context()
        page = context.new_page()
        requested: list[str] = []
        complaints: list[str] = []
        context.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        address = f"http://127.0.0.1:{server.server_port}/some/where/"
        page.goto(f"{address}bare.html")
        page.set_input_files("input", [str(folders["photos"] / name) for name in asked])
        _check_same(page.evaluate(_ASK, ["balanced"]), {name: verdicts["inspected"][name]["balanced"] for name in asked})
        gave_up, sha256 = page.evaluate(_GIVE_UP)
        assert gave_up == "AbortError"
        assert sha256 == verdicts["inspected"][asked[0]]["balanced"]["verdict"]["sha256"]
        assert requested
        assert all(url.startswith(address) for url in requested)
        assert complaints == []
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        server.shutdown()
        context.set_offline(True)
        page.goto(f"{address}index.html")  # from what the service worker keeps
        page.evaluate("document.body.replaceChildren(Object.assign(document.createElement('input'), { type: 'file', multiple: true }))")
        page.set_input_files("input", [str(folders["photos"] / asked[0])])
        _check_same(page.evaluate(_ASK, ["guess"]), {asked[0]: verdicts["inspected"][asked[0]]["guess"]})
        browser.close()


def _check_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same in all but the last digits of probabilities, which are also in the reason's words."""
    assert list(found) == list(wanted)
    for name in wanted:
        mine, theirs = found[name], json.loads(json.dumps(wanted[name]))
        chances = [[line.pop("probability") for line in one["verdict"]["ranking"]] for one in (mine, theirs)]
        assert chances[0] == pytest.approx(chances[1], abs=1e-3)
        assert mine["verdict"].pop("log10_lr") == pytest.approx(theirs["verdict"].pop("log10_lr"), abs=1e-2)
        mine["verdict"].pop("reason"), theirs["verdict"].pop("reason")
        assert mine == theirs, name


def test_the_golden_photos_are_of_every_kind(folders: dict[str, Path], verdicts: dict[str, Any]) -> None:
    inspected = verdicts["inspected"]
    assert set(inspected) == set(photos())
    statuses = {one["balanced"]["verdict"]["status"] for one in inspected.values()}
    assert statuses == {"ok", "unreadable", "too_small", "no_usable_patches"}
    asked = [verdict["verdict"] for one in (*inspected.values(), *verdicts["other"].values()) for verdict in one.values()]
    judged = [verdict for verdict in asked if verdict["status"] == "ok"]
    assert {verdict["claim_agrees"] for verdict in judged} >= {False, None}
    assert {verdict["answer_level"] for verdict in judged} >= {"model", "unknown"}
    assert {verdict["ranking"][0]["probability"] is None for verdict in judged} == {True, False}
    for words in ("its JPEG grid starts at row", "no JPEG grid", "edited with Adobe", "standard tables at quality 80"):
        assert any(words in verdict["reason"] for verdict in judged), words
    grids = json.loads((folders["photos"] / "parts.json").read_text())["grids"]
    assert {tuple(grid["period"]) for grid in grids.values() if grid} == {(8, 8), (8, 16), (16, 16)}
    assert grids["grid-none.png"] is None
