"""Verdicts for a court file: one page that says what was asked, what was found, how sure that is, and how to check it.

The page is self-contained HTML without scripts; a PDF is made of it. The same findings lie in it as data (`read_document`), so that
`verify` can judge the photos anew and compare. Same photos, clock, versions and place of the bundle: same bytes.

    sources ──inspect, localize, match──▶ Entry a photo ──▶ document (plain JSON values) and page
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import camtrace
from camtrace.bundle import DEFAULT, Bundle
from camtrace.crosscheck import match_beside
from camtrace.devices.store import Database, DeviceError, open_database
from camtrace.identification import BundleLike, ready
from camtrace.inspection import inspect
from camtrace.manifest import MANIFEST
from camtrace.photo import Source, describe, read_bytes, read_photo
from camtrace.reports.page import Entry
from camtrace.reports.pictures import draw_map, draw_patches
from camtrace.tampering.localization import localize as localize_photo
from camtrace.types import CamtraceError, Mode, PhotoError

if TYPE_CHECKING:
    from camtrace.manifest import Manifest

SCHEMA_VERSION = 1
WHAT = "camtrace report"
ATTACHMENT = "camtrace.json"
"""What the data are called that a PDF carries."""

_PACKAGE = Path(camtrace.__file__).parent
_LIBRARIES = ("numpy", "onnxruntime", "pillow", "simplejpeg", "scipy", "pywavelets", "jinja2")

Clock = Callable[[], datetime]
Document = dict[str, Any]


class MissingExtraError(CamtraceError):
    """Something was asked for that needs an extra which is not installed; the message names it."""


@dataclass(frozen=True)
class Report:
    """A finished report: the page, and what it says as plain JSON values."""

    html: str
    document: Document
    failures: int  # photos that could not be judged

    def to_pdf(self) -> bytes:
        """The page as PDF, with the data attached.

        Raises
        ------
        MissingExtraError
            WeasyPrint is not installed, or lacks the libraries of the system that it needs.
        """
        weasyprint = check_pdf()
        made = datetime.fromisoformat(self.document["made"])
        about = {"name": ATTACHMENT, "description": "The findings as data", "created": made, "modified": made}
        data = weasyprint.Attachment(string=dump(self.document), relationship="Data", **about)
        fetcher = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
        identifier = hashlib.sha256(self.html.encode()).digest()[:16]
        page = weasyprint.HTML(string=self.html, url_fetcher=fetcher)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file of its colour profile open
            pdf = page.write_pdf(attachments=[data], pdf_identifier=identifier, pdf_tags=True, pdf_variant="pdf/a-3a")
        return cast("bytes", pdf)


def make_report(
    photos: Iterable[Source] | Source,
    *,
    bundle: BundleLike = None,
    mode: Mode = "balanced",
    device_db: Database | str | os.PathLike[str] | None = None,
    localize: bool = True,
    case: str | None = None,
    examiner: str | None = None,
    question: str | None = None,
    names: Sequence[str] | None = None,
    modified: Sequence[datetime | None] | None = None,
    clock: Clock = lambda: datetime.now(UTC),
    on_photo: Callable[[str], object] = lambda _: None,
    circumstances: Mapping[str, Any] | None = None,
) -> Report:
    """Judge photos and write a report of them.

    Parameters
    ----------
    photos
        Paths, bytes of files, or binary streams; or a single one.
    bundle, mode
        As for `identify`. A bundle given by its folder, or none, is recorded with the hash of its manifest.
    device_db
        Also match the photos with this database of devices.
    localize
        Also look for parts that come from elsewhere.
    case, examiner, question
        What the report says of them, as given.
    names
        What to call the photos; their paths by default.
    modified
        When the files were last changed; of paths it is read by default.
    clock
        Says what time it is, called once for the report and once for each photo.
    on_photo
        Called with the name of each photo that is done, for progress.
    circumstances
        What `describe_circumstances` gave when a report was made that is now made again.

    Raises
    ------
    BundleError, DeviceError
        The bundle or the database cannot be used.
    CamtraceError
        There is no photo.
    """
    sources = [cast("Source", photos)] if isinstance(photos, str | bytes | os.PathLike) or hasattr(photos, "read") else [*photos]
    if not sources:
        raise CamtraceError("no photo was given, expected at least one to report on")
    loaded, database = ready(bundle), _open(device_db)
    facts = circumstances or describe_circumstances(bundle, loaded, database)
    made = _stamp(clock())
    called = list(names) if names is not None else [describe(source) for source in sources]
    times = list(modified) if modified is not None else [_changed(source) for source in sources]
    entries = []
    for source, name, changed in zip(sources, called, times, strict=True):
        file = {"name": name, "read": _stamp(clock()), "modified": None if changed is None else _stamp(changed)}
        entries.append(_examine(source, file, loaded, mode=mode, database=database, localize=localize))
        on_photo(name)
    asked = {"mode": mode, "localize": localize, "device_db": database is not None}
    document = {
        **{"schema_version": SCHEMA_VERSION, "what": WHAT, "made": made},
        **{"case": case, "examiner": examiner, "question": question, "options": asked},
        **facts,
        "photos": [entry.to_dict() for entry in entries],
    }
    failures = sum(entry.inspection.verdict.status != "ok" for entry in entries)
    return Report(_render(document, entries, loaded.manifest), document, failures)


def _examine(source: Source, file: Document, bundle: Bundle, *, mode: Mode, database: Database | None, localize: bool) -> Entry:
    """All that is found of one photo; a file that cannot be read has its reason in the verdict."""
    name, data = file["name"], None
    with suppress(PhotoError):  # the verdict says so
        source = data = read_bytes(source, name)
    found = inspect(source, bundle=bundle, mode=mode, name=name)
    size = None if data is None else len(data)
    file = {"name": name, "size": size, "sha256": None if data is None else hashlib.sha256(data).hexdigest(), **file}
    if found.verdict.status != "ok":
        return Entry(file, found, None, None, None, None)
    photo = read_photo(source, name=name)
    where = localize_photo(source, bundle=bundle, name=name) if localize else None
    heat = draw_map(photo, where) if where is not None and where.status == "ok" else None
    device = None if database is None else match_beside(found.verdict, source, database, bundle, name=name)
    return Entry(file, found, where, device, draw_patches(photo, found), heat)


def describe_circumstances(bundle: BundleLike, loaded: Bundle, database: Database | None) -> Document:
    """Program, libraries, bundle and database as plain JSON values, each with its hash; `bundle` is as it was given."""
    devices = None if database is None else {"folder": str(database.folder), "manifest_sha256": database.stamp}
    return {
        "software": describe_software(),
        "program": {"sha256": hash_program()},
        "bundle": describe_bundle(bundle, loaded),
        "device_db": devices,
    }


def describe_software() -> Document:
    """The versions of program, libraries and platform."""
    from camtrace import __version__

    libraries = {name: _version(name) for name in _LIBRARIES}
    return {"camtrace": __version__, "python": platform.python_version(), **libraries, "platform": platform.platform()}


def describe_bundle(bundle: BundleLike, loaded: Bundle) -> Document:
    """Which bundle it is, and the SHA-256 of each of its files; of one that was given loaded, of those that it keeps."""
    folder = _folder_of(bundle)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in loaded.files.items()}
    stamp = None
    if folder is not None:
        manifest = (folder / MANIFEST).read_bytes()
        stamp = hashlib.sha256(manifest).hexdigest()
        hashes = {str(name): str(value) for name, value in json.loads(manifest)["files"].items()}
    shown = os.fspath(cast("os.PathLike[str]", bundle)) if isinstance(bundle, str | os.PathLike) else None
    return {**asdict(loaded.id), "folder": shown, "manifest_sha256": stamp, "files": hashes}


def _folder_of(bundle: BundleLike) -> Path | None:
    if isinstance(bundle, Bundle):
        return _PACKAGE / "models" / DEFAULT if bundle is ready(None) else None
    return _PACKAGE / "models" / DEFAULT if bundle is None else Path(bundle)


@cache
def hash_program() -> str:
    """SHA-256 of a list of the program's files: for each its SHA-256, two spaces, its path, a line feed; sorted, without bundles."""
    kept = (path.relative_to(_PACKAGE) for path in _PACKAGE.rglob("*") if path.is_file())
    paths = sorted(path.as_posix() for path in kept if path.parts[0] != "models" and "__pycache__" not in path.parts)
    lines = (f"{hashlib.sha256((_PACKAGE / path).read_bytes()).hexdigest()}  {path}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def command_of(document: Mapping[str, Any]) -> str:
    """The command line that makes this report again, for a POSIX shell."""
    options = document["options"]
    words = ["camtrace", "report", "--out", "report.html", "--mode", options["mode"]]
    words += ["--localize" if options["localize"] else "--no-localize"]
    if document["bundle"]["folder"] is not None:
        words += ["--bundle", document["bundle"]["folder"]]
    if document["device_db"] is not None:
        words += ["--device-db", document["device_db"]["folder"]]
    for name in ("case", "examiner", "question"):
        words += [f"--{name}={document[name]}"] if document[name] else []
    names = [photo["file"]["name"] for photo in document["photos"]]
    return shlex.join([*words, *(["--"] if any(name.startswith("-") for name in names) else []), *names])


def dump(document: Mapping[str, Any]) -> str:
    """The data as JSON text that is safe within a page: nothing in it can end the element or begin another."""
    text = json.dumps(document, indent=1)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def check_pdf() -> Any:
    """WeasyPrint, which makes the PDF. Raises MissingExtraError as `Report.to_pdf` does."""
    try:
        return import_module("weasyprint")
    except ImportError as error:
        raise MissingExtraError("a PDF is made by WeasyPrint; install it with: pip install 'camtrace[pdf]', or write HTML") from error
    except OSError as error:  # its libraries are those of the system
        raise MissingExtraError(f"WeasyPrint lacks a library of the system ({error}); see its guide, or write HTML") from error


def _render(document: Document, entries: Sequence[Entry], manifest: Manifest) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from camtrace.reports.page import as_data, lay_out, readable

    environment = Environment(
        loader=PackageLoader("camtrace.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=readable,
    )
    page = lay_out(document, entries, manifest, command=command_of(document))
    return environment.get_template("report.html").render(page=page, data=as_data(dump(document)))


def _open(device_db: Database | str | os.PathLike[str] | None) -> Database | None:
    if device_db is None:
        return None
    database = device_db if isinstance(device_db, Database) else open_database(device_db)
    if not database.devices:
        raise DeviceError(f"{database.folder}: no device is enrolled here; enroll one with `camtrace device enroll`")
    return database


def _changed(source: Source) -> datetime | None:
    """When a file was last changed; None of what is no file, or not there."""
    try:
        return datetime.fromtimestamp(Path(source).stat().st_mtime, UTC) if isinstance(source, str | os.PathLike) else None
    except (OSError, ValueError, OverflowError):  # a path with a null byte, a year that no calendar has
        return None


def _stamp(time: datetime) -> str:
    """Whole seconds in UTC; a time without a zone is local."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
