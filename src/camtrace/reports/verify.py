"""Is a report still true: its photos judged anew, and files, findings and text compared with what it says.

The data that a report carries say which photos, bundle and options it was made with. The report is made again with these and with the
times that it states; then `compare` compares every field of the data, every line of the page and its pictures.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path, PureWindowsPath
from typing import Any

from camtrace.bundle import Bundle
from camtrace.devices.store import Database, DeviceError, open_database
from camtrace.identification import ready
from camtrace.manifest import BundleError
from camtrace.photo import read_bytes
from camtrace.reports.compare import differ, differ_in_text, is_noisy, same_pictures
from camtrace.reports.report import (
    SCHEMA_VERSION,
    WHAT,
    Document,
    Report,
    describe_bundle,
    describe_software,
    hash_program,
    make_report,
)
from camtrace.types import CamtraceError, PhotoError

_LARGEST = 256 * 2**20  # bytes that a stream of a PDF may unpack to
_STREAM = re.compile(rb"stream\r?\n")

OnPhoto = Callable[[str], object]


@dataclass(frozen=True)
class Verification:
    """What comparing a report with its photos gave, in words."""

    checked: tuple[str, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]  # what differs without making a finding wrong, and what could not be compared

    @property
    def same(self) -> bool:
        """Whether nothing speaks against the report."""
        return not self.differences


@dataclass
class _Notebook:
    """What was checked and found so far."""

    checked: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Places:
    """Where things may be: photos by their SHA-256, None for what cannot be read."""

    report: Path
    photos: Mapping[Path, str | None]
    bundle: Path | None
    device_db: Path | None


def verify(
    report: Path,
    photos: Sequence[Path] = (),
    *,
    bundle: Path | None = None,
    device_db: Path | None = None,
    on_photo: OnPhoto = lambda _: None,
) -> Verification:
    """Judge the photos of a report anew and compare.

    Parameters
    ----------
    report
        An HTML page or a PDF that `make_report` made.
    photos
        Where the photos are now; those that are not among them are looked for where they were, and beside the report.
    bundle, device_db
        Where the bundle and the database of devices are now; where they were by default.
    on_photo
        Called with the name of each photo that was judged anew, for progress.

    Raises
    ------
    CamtraceError
        The file cannot be read, or is no report.
    """
    page, document = _read(report)
    places = _Places(report, {path: _hash(path) for path in photos}, bundle, device_db)
    try:
        return _verify(page, document, places, on_photo)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise CamtraceError(
            f"{report}: its data are not those of a report: {type(error).__name__} {error}; get the report again from who made it"
        ) from error


class _Finder(HTMLParser):
    """Collects the text of the element that holds the data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag == "script" and dict(attrs).get("id") == "camtrace"

    def handle_endtag(self, tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            self.found.append(data)


def read_document(text: str) -> Document | None:
    """The data of a page; None where there are none."""
    finder = _Finder()
    finder.feed(text)
    return _parse("".join(finder.found))


def _read(report: Path) -> tuple[str | None, Document]:
    """The page, None of a PDF, and the data."""
    data = read_bytes(report, str(report))
    page = None if data.startswith(b"%PDF") else data.decode("utf-8", "replace")
    document = next(_attached(data), None) if page is None else read_document(page)
    if document is None:
        raise CamtraceError(f"{report}: no report of camtrace, expected an HTML page or a PDF that `camtrace report` wrote")
    if document["schema_version"] != SCHEMA_VERSION:
        found = document["schema_version"]
        raise CamtraceError(f"{report}: a report of version {found!r}, this camtrace reads {SCHEMA_VERSION}; use the one that made it")
    return page, document


def _parse(text: str | bytes) -> Document | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("what") == WHAT and "schema_version" in document else None


def _attached(pdf: bytes) -> Iterator[Document]:
    """The data that a PDF carries: the compressed stream that holds them."""
    for start in _STREAM.finditer(pdf):
        try:
            text = zlib.decompressobj().decompress(pdf[start.end() :], _LARGEST)
        except zlib.error:
            continue
        if text.startswith(b"{") and (document := _parse(text)) is not None:
            yield document


def _verify(page: str | None, document: Document, places: _Places, on_photo: OnPhoto) -> Verification:
    book = _Notebook()
    sources = [_locate(entry["file"], places, book) for entry in document["photos"]]
    photos = [source for source in sources if source is not None]
    book.checked.append(f"{len(photos)} of {len(sources)} files are as the report says, by their SHA-256")
    bundle = _find_bundle(document["bundle"], places, book)
    database = _find_database(document["device_db"], places, book)
    book.notes += _other_versions(document["software"])
    if bundle is None or len(photos) < len(sources) or (database is None and document["device_db"] is not None):
        book.differences.append("the findings were not made again, since something that they need is missing or another")
    else:
        judged = _judge(document, photos, bundle, database, on_photo)
        _compare(page, document, judged, book)
    return Verification(tuple(book.checked), tuple(book.differences), tuple(book.notes))


def _locate(file: Mapping[str, Any], places: _Places, book: _Notebook) -> str | None:
    """Where a photo is now; None where it is missing or another. What could not be read then is left where it was."""
    name, wanted = str(file["name"]), file["sha256"]
    last = PureWindowsPath(name).name
    own = [path for path in places.photos if path.name == last]
    tried = {path: places.photos[path] for path in (*own, *places.photos)}
    tried |= {path: _hash(path) for path in (Path(name), places.report.parent / last) if path not in tried}
    if wanted is None:
        if tried.get(Path(name)) is None:
            return name
        book.differences.append(f"{name}: could not be read when the report was made, and can now")
        return None
    if found := next((path for path, sha256 in tried.items() if sha256 == wanted), None):
        return str(found)
    for path, sha256 in tried.items():
        if sha256 is not None and path.name == last:
            book.differences.append(f"{path}: is another file, its SHA-256 is {sha256}, the report is about {wanted}")
            return None
    book.differences.append(f"{name}: not found; give its path after the report")
    return None


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_bytes(path, str(path))).hexdigest()
    except PhotoError:
        return None


def _find_bundle(recorded: Mapping[str, Any], places: _Places, book: _Notebook) -> Bundle | None:
    """The bundle of the report, None where it is missing or another."""
    folder = places.bundle or recorded["folder"]
    try:
        loaded = ready(folder)
        now = describe_bundle(folder, loaded)
    except (BundleError, OSError) as error:
        book.differences.append(f"the bundle cannot be used: {error}")
        return None
    whole = recorded["manifest_sha256"] is not None  # of a bundle that was handed over loaded, not all files are known
    names = sorted({*recorded["files"], *now["files"]} if whole else recorded["files"])
    changed = ["manifest.json"] if whole and now["manifest_sha256"] != recorded["manifest_sha256"] else []
    changed += [name for name in names if now["files"].get(name) != recorded["files"].get(name)]
    if not changed:
        return loaded
    whose = f"{recorded['name']} {recorded['version']}"
    book.differences.append(f"the bundle is not that of the report, {whose}: {', '.join(changed)} differ by SHA-256; see --bundle")
    return None


def _find_database(recorded: Mapping[str, Any] | None, places: _Places, book: _Notebook) -> Database | None:
    """The database of the report, None where there was none, or where it is missing or another."""
    if recorded is None:
        return None
    folder = places.device_db or recorded["folder"]
    try:
        database = open_database(folder)
    except DeviceError as error:
        book.differences.append(f"the database of devices cannot be used: {error}")
        return None
    if database.stamp != recorded["manifest_sha256"]:
        book.differences.append(f"{folder}: the database of devices is not that of the report, its manifest differs by SHA-256")
        return None
    return database


def _judge(document: Document, photos: Sequence[str], bundle: Bundle, database: Database | None, on_photo: OnPhoto) -> Report:
    """The report once more, with its own times and names."""
    files, options = [entry["file"] for entry in document["photos"]], document["options"]
    times = iter([document["made"], *(file["read"] for file in files)])
    return make_report(
        photos,
        bundle=bundle,
        mode=options["mode"],
        device_db=database,
        localize=options["localize"],
        **{name: document[name] for name in ("case", "examiner", "question")},
        names=[file["name"] for file in files],
        modified=[None if file["modified"] is None else datetime.fromisoformat(file["modified"]) for file in files],
        clock=lambda: datetime.fromisoformat(next(times)),
        on_photo=on_photo,
        circumstances={name: document[name] for name in ("software", "program", "bundle", "device_db")},
    )


def _compare(page: str | None, document: Document, judged: Report, book: _Notebook) -> None:
    """Note how the report differs from what its photos give now."""
    found = json.loads(json.dumps(judged.document))
    noisy = is_noisy(document, found)
    if noisy:
        book.notes.append("some numbers differ by less than a thousandth, as the arithmetic of other machines does")
    for number, (one, other) in enumerate(zip(document["photos"], found["photos"], strict=True), 1):
        book.differences += differ(one, other, f"photo {number}", noisy=noisy)
    stated, now = ({name: value for name, value in side.items() if name != "photos"} for side in (document, found))
    book.differences += differ(stated, now, "the report", noisy=noisy)
    book.checked.append(f"verdicts and other findings were made again with bundle {document['bundle']['name']} and compared")
    if page is None:
        book.notes.append("text and pictures of a PDF are not compared, only the data attached to it; keep the HTML page as well")
    else:
        _compare_page(page, document, judged, book, noisy=noisy)


def _compare_page(page: str, document: Document, judged: Report, book: _Notebook, *, noisy: bool) -> None:
    """Note how text and pictures differ; where another program wrote them that alone is no fault."""
    found = [*differ_in_text(page, judged.html, noisy=noisy)]
    found += [] if same_pictures(page, judged.html) else ["a picture of the page is not the one that its photo gives"]
    book.checked.append("text and pictures of the page were compared with what the findings give")
    if document["program"] == {"sha256": hash_program()}:
        book.differences += found
    elif found:
        whose = document["software"]["camtrace"]
        why = f"other program files wrote the page, of camtrace {whose}; whether that explains the following only these can tell"
        book.notes += [why, *found]


def _other_versions(stated: Mapping[str, Any]) -> list[str]:
    now = describe_software()
    pairs = [(name, stated.get(name), now.get(name)) for name in dict.fromkeys((*stated, *now))]
    changed = [f"{name} {then}, now {today}" for name, then, today in pairs if then != today]
    return [f"it was made with other versions: {'; '.join(changed)}"] if changed else []
