"""The static page: a folder that any host of static files serves, and that works without a network once it was opened.

    index.html ...            the page, its engine chosen to `local` and fenced by a content security policy
    local/                    the engine: the main path in JavaScript, run in a worker
    vendor/                   onnxruntime-web and libjpeg-turbo as WebAssembly, with their licences
    bundle/                   manifest, ONNX files, names of cameras; of the references only what comparisons need
    service-worker.js         keeps all this in the browser

Photos never leave the browser: there is nothing to send them to, and the policy forbids any other host. Addresses are relative, so
that the folder works below any path.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from camtrace.bundle import CARD, CENTRES, FEATURES, HEAD, REFERENCES, Bundle
from camtrace.comparison import COMPARISON, NEARNESS
from camtrace.identification import BundleLike, ready
from camtrace.manifest import FORMAT_VERSION, MANIFEST
from camtrace.patches import RULES
from camtrace.safe_files import write_folder
from camtrace.types import CamtraceError
from camtrace.web.vendor import STAMP, is_vendored

PAGE = Path(__file__).parent / "page"
TENSORS = "comparison.safetensors"
WORKER = "service-worker.js"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)

_INDEX = "index.html"
_ENGINE = re.compile(r'(<meta\s+name="camtrace-engine"\s+content=")http(")')
_OLD_POLICY = re.compile(r'\s*<meta\s+http-equiv="content-security-policy"[^>]*>', re.IGNORECASE)
_HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)
_KEPT = 'const [VERSION, FILES] = ["", []];'
_NOT_OFFLINE = (".txt", ".md", ".json.map")  # nobody needs them to judge a photo

Files = dict[str, bytes]  # path in the folder, with slashes -> contents


@dataclass(frozen=True)
class WebExport:
    """What was written: the folder, its files in sorted order, and how many bytes they have together."""

    folder: Path
    files: tuple[str, ...]
    size: int


def export_web(out: str | os.PathLike[str], *, bundle: BundleLike = None, force: bool = False) -> WebExport:
    """Write the static page to a new folder.

    Parameters
    ----------
    out
        The folder, new or empty.
    bundle
        A loaded bundle or its folder; the one that ships with camtrace if not given.
    force
        Replace a static page that is there already. Another folder is never replaced.

    Raises
    ------
    CamtraceError
        Something else is at `out`, it cannot be written, the vendored packages are not there, or the page cannot run this bundle.
    BundleError
        The bundle itself cannot be used.
    """
    folder = Path(out)
    _check_target(folder, force=force)
    found = collect(ready(bundle))
    try:
        write_folder(folder, found, check=lambda: _check_target(folder, force=force))
    except OSError as error:
        raise CamtraceError(
            f"{folder}: the page cannot be written: {error.strerror or error}; check the free space and your right to write there"
        ) from error
    return WebExport(folder, tuple(sorted(found)), sum(map(len, found.values())))


def collect(bundle: Bundle) -> Files:
    """All files of the static page."""
    if bundle.manifest.rule not in RULES.builtin:
        raise CamtraceError(
            f"{bundle.id.name} {bundle.id.version}: its patch rule {bundle.manifest.rule!r} is not known to the static page; "
            "choose a bundle whose rule is built in, with --bundle"
        )
    if not is_vendored(PAGE / "vendor"):
        raise CamtraceError(
            f"{PAGE / 'vendor'}: the packages of the static page are not there; `python -m camtrace.web.vendor` fetches them"
        )
    found = _page() | _notices() | {f"bundle/{name}": data for name, data in bundle_files(bundle).items()}
    worker = found.pop(f"local/{WORKER}").decode()
    return found | {WORKER: _offline(worker, found).encode()}


def bundle_files(bundle: Bundle) -> Files:
    """A bundle as the page wants it, with the table of camera names; its manifest carries the hashes of these files."""
    own = {name: bundle.files[name] for name in (FEATURES, HEAD, CARD)} | {TENSORS: _tensors(bundle)}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in own.items()}
    document = {"format": FORMAT_VERSION, **asdict(bundle.manifest), "files": hashes}
    names = (files("camtrace") / "names.json").read_bytes()
    return own | {MANIFEST: json.dumps(document, ensure_ascii=False).encode(), "names.json": names}


def _tensors(bundle: Bundle) -> bytes:
    """Of the references what comparisons need; the features of photos, most of the file, are for enrolling alone."""
    from safetensors.numpy import load, save

    tensors = load(bundle.files[REFERENCES])
    return save({name: tensor for name, tensor in tensors.items() if name == CENTRES or name.startswith((COMPARISON, NEARNESS))})


def _page() -> Files:
    paths = [path for path in PAGE.rglob("*") if path.is_file()]
    found = {path.relative_to(PAGE).as_posix(): path for path in paths if path.name != STAMP and not _is_hidden(path)}
    if _INDEX not in found:
        raise CamtraceError(f"{PAGE / _INDEX}: the page is not there; camtrace was not installed completely; install it anew")
    return {name: path.read_bytes() for name, path in sorted(found.items())} | {_INDEX: _fenced(found[_INDEX]).encode()}


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(PAGE).parts)


def _fenced(path: Path) -> str:
    """The page with the local engine and the policy, which must come before anything that it governs."""
    html, chosen = _ENGINE.subn(r"\1local\2", path.read_text("utf-8"))
    html, fenced = _HEAD.subn(
        lambda head: f'{head[0]}\n<meta http-equiv="content-security-policy" content="{POLICY}">', _OLD_POLICY.sub("", html), count=1
    )
    if (chosen, fenced) != (1, 1):
        raise CamtraceError(f'{path}: expected one <head> and one <meta name="camtrace-engine" content="http">')
    return html


def _notices() -> Files:
    """The notices of what ONNX Runtime contains, as its Python package brings them."""
    spec = importlib.util.find_spec("onnxruntime")
    path = Path(spec.origin).parent / "ThirdPartyNotices.txt" if spec and spec.origin else None
    return {"vendor/onnxruntime-web/ThirdPartyNotices.txt": path.read_bytes()} if path and path.is_file() else {}


def _offline(worker: str, found: Files) -> str:
    """The service worker, told what to keep; its text changes whenever a file does, which is how browsers notice."""
    kept = {name: data for name, data in found.items() if not name.endswith(_NOT_OFFLINE)}
    version = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for _, data in sorted(kept.items()))).hexdigest()[:16]
    if _KEPT not in worker:
        raise CamtraceError(f"{PAGE / 'local' / WORKER}: expected the line {_KEPT}")
    return worker.replace(_KEPT, f"const [VERSION, FILES] = {json.dumps([version, sorted(kept)])};")


def _check_target(folder: Path, *, force: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / WORKER).is_file() or not (folder / "bundle" / MANIFEST).is_file():
        raise CamtraceError(f"{folder}: exists and is no static page of camtrace; choose another place to write to")
    if not force:
        raise CamtraceError(f"{folder}: a static page is already there; --force replaces it")
