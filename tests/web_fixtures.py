"""What the tests of the page share: one browser, one service, tabs that watch what a page asks for and complains about."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from camtrace.simulator import MadeCamera
from made import made_photo

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not there; get it with: pip install playwright")
pytest.importorskip("fastapi", reason="the service is not there; get it with: pip install 'camtrace[web]'")

from camtrace.web.settings import Limits, Settings  # noqa: E402
from made_service import Running, running  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 30_000  # milliseconds, for machines that are busy
LIMITS = Limits(upload=1_000_000, files=12)
_OURS = re.compile(r"(blob:)?http://127\.0\.0\.1:\d+/|data:")

expect = playwright.expect
expect.set_options(timeout=PATIENCE)


@dataclass
class Tab:
    """A page in a profile of its own, with all that it asked for and complained about."""

    context: Any
    page: Any
    address: str
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, view: str = "", address: str | None = None) -> Any:
        """Go to the page, or one of its views; gives the page once it is built."""
        self.page.goto((address or self.address) + view)
        expect(self.page.locator("main h1:visible")).to_have_count(1)
        return self.page

    def watch(self) -> None:
        """Note requests to anywhere, what is missing, and errors of scripts; a refusal of the service is no complaint."""
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.context.on("response", lambda one: self.complaints.append(f"404 {one.url}") if one.status == 404 else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)

    def check(self) -> None:
        """Whether all was well."""
        assert self.complaints == []
        assert [url for url in self.requested if not _OURS.match(url)] == []

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, one for a module."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """The service with the bundle that ships."""
    with running(Settings(port=0, workers=2, limits=LIMITS)) as service:
        yield service


@pytest.fixture
def tabs(browser: Any, service: Running) -> Iterator[Callable[..., Tab]]:
    """A function that makes tabs; at the end none of them may have complained or asked elsewhere."""
    made: list[Tab] = []

    def new(width: int = 1280, height: int = 900, **options: Any) -> Tab:
        context = browser.new_context(viewport={"width": width, "height": height}, locale=options.pop("locale", "en-GB"), **options)
        context.set_default_timeout(PATIENCE)
        made.append(Tab(context, context.new_page(), f"http://127.0.0.1:{service.port}/"))
        made[-1].watch()
        return made[-1]

    yield new
    for tab in made:
        tab.context.close()
    for tab in made:
        tab.check()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> dict[str, Path]:
    """Small photos of two cameras, one whose EXIF lies, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    made = {f"{camera.model}.jpg": made_photo(camera, 900, size=256) for camera in cameras[:2]}
    made["lying.jpg"] = relabel(made_photo(cameras[0], 901, size=256), "Apple", "iPhone 5s")
    made["none.jpg"] = b"no photo"
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in made}


def relabel(photo: bytes, make: str, model: str, *, software: str | None = None) -> bytes:
    """The same pixels with another EXIF."""
    with Image.open(io.BytesIO(photo)) as image:
        exif = image.getexif()
        for tag, value in ((0x010F, make), (0x0110, model), (0x0131, software)):
            if value is not None:
                exif[tag] = value
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality="keep", exif=exif)
    return stream.getvalue()


def choose(page: Any, *files: Any, view: str = "identify") -> None:
    """Choose photos as with the button."""
    page.locator(f"#{view} .drop input[type=file]").first.set_input_files([*files])


def download(page: Any, words: str) -> bytes:
    """What a button gives."""
    with page.expect_download() as waited:
        page.get_by_role("button", name=words).click()
    return Path(waited.value.path()).read_bytes()
