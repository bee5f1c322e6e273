"""The static page's folder, and the packages from npm that go into it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import tarfile
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from camtrace.bundle import REFERENCES
from camtrace.identification import ready
from camtrace.patches import RESIZED
from camtrace.types import CamtraceError
from camtrace.web import export, vendor
from camtrace.web.export import POLICY, WebExport, export_web
from full_disk import full_disk

INDEX = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="camtrace-engine" content="http">\n</head></html>\n'
)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small page that stands in for the real one, its packages too."""
    folder = tmp_path / "page"
    for name, text in {
        "index.html": INDEX,
        "page.js": "start();\n",
        ".hidden": "",
        "local/engine.js": "// engine\n",
        "local/service-worker.js": (export.PAGE / "local" / "service-worker.js").read_text(),
        "vendor/vendored.json": "{}",
        "vendor/package/LICENCE.txt": "free\n",
        "vendor/package/package.wasm": "wasm",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    monkeypatch.setattr(export, "PAGE", folder)
    monkeypatch.setattr(export, "is_vendored", lambda _: True)
    return folder


@pytest.fixture
def exported(page: Path, tmp_path: Path) -> WebExport:
    return export_web(tmp_path / "out")


def test_the_folder_holds_page_engine_packages_and_bundle(exported: WebExport) -> None:
    found = {path.relative_to(exported.folder).as_posix(): path.stat().st_size for path in exported.folder.rglob("*") if path.is_file()}
    assert set(exported.files) == set(found)
    assert exported.size == sum(found.values())
    assert {"index.html", "page.js", "local/engine.js", "vendor/package/package.wasm", "vendor/package/LICENCE.txt"} < set(found)
    assert {"bundle/manifest.json", "bundle/features.onnx", "bundle/head.onnx", "bundle/names.json", "bundle/card.md"} < set(found)
    assert "vendor/onnxruntime-web/ThirdPartyNotices.txt" in found
    assert not {".hidden", "vendor/vendored.json", "local/service-worker.js"} & set(found)
    assert found["bundle/comparison.safetensors"] < 100_000


def test_the_bundle_is_the_same_but_for_the_references(exported: WebExport) -> None:
    bundle, folder = ready(None), exported.folder / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for name, wanted in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted
    assert (folder / "features.onnx").read_bytes() == bundle.files["features.onnx"]
    assert [camera["name"] for camera in manifest["cameras"]] == list(bundle.manifest.labels)
    kept, all_of_them = load((folder / "comparison.safetensors").read_bytes()), load(bundle.files[REFERENCES])
    assert {"centres", "nearness_mean", "comparison_line"} < set(kept)
    assert not {"features", "photos", "cameras", "copies"} & set(kept)
    assert all(np.array_equal(value, all_of_them[name]) for name, value in kept.items())


def test_the_page_uses_the_local_engine_behind_a_policy(exported: WebExport) -> None:
    html = (exported.folder / "index.html").read_text("utf-8")
    assert '<meta name="camtrace-engine" content="local">' in html
    assert html.index(POLICY) < html.index("<meta charset")
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY


def test_another_policy_of_the_page_gives_way(page: Path, tmp_path: Path) -> None:
    old = '<meta http-equiv="Content-Security-Policy" content="default-src *">'
    (page / "index.html").write_text(INDEX.replace("</head>", f"{old}</head>"))
    html = (export_web(tmp_path / "out").folder / "index.html").read_text("utf-8")
    assert html.lower().count("content-security-policy") == 1


@pytest.mark.parametrize("html", ["<html><head></head></html>", '<meta name="camtrace-engine" content="http">'])
def test_a_page_that_cannot_be_switched_is_refused(page: Path, tmp_path: Path, html: str) -> None:
    (page / "index.html").write_text(html)
    with pytest.raises(CamtraceError, match="camtrace-engine"):
        export_web(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_kept_offline(exported: WebExport) -> None:
    version, kept = _kept(exported)
    assert re.fullmatch("[0-9a-f]{16}", version)
    assert {"index.html", "page.js", "bundle/features.onnx", "vendor/package/package.wasm"} < set(kept)
    assert not [name for name in kept if name.endswith((".txt", ".md")) or name.startswith("/")]
    assert all((exported.folder / name).is_file() for name in kept)


def test_what_is_kept_offline_changes_with_any_file(page: Path, tmp_path: Path) -> None:
    first = _kept(export_web(tmp_path / "first"))
    assert _kept(export_web(tmp_path / "same")) == first
    (page / "page.js").write_text("begin();\n")
    assert _kept(export_web(tmp_path / "second"))[0] != first[0]


def _kept(exported: WebExport) -> tuple[str, list[str]]:
    text = (exported.folder / "service-worker.js").read_text("utf-8")
    version, kept = json.loads(re.findall(r"const \[VERSION, FILES\] = (.*);", text)[0])
    return version, kept


def test_nothing_is_overwritten_unasked(page: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_web(tmp_path / "out")  # an empty folder is as good as none
    with pytest.raises(CamtraceError, match="--force replaces it"):
        export_web(tmp_path / "out")
    (tmp_path / "out" / "old.js").touch()
    (page / "index.html").write_text(INDEX.replace("<html", "<html id=new"))
    export_web(tmp_path / "out", force=True)
    assert "id=new" in (tmp_path / "out" / "index.html").read_text()
    assert not (tmp_path / "out" / "old.js").exists()


def test_another_folder_is_never_replaced(page: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CamtraceError, match="no static page"):
        export_web(tmp_path / "mine", force=True)
    (tmp_path / "file").write_text("dear")
    with pytest.raises(CamtraceError, match="no static page"):
        export_web(tmp_path / "file", force=True)
    with pytest.raises(CamtraceError, match="cannot be written"):
        export_web(tmp_path / "file" / "below")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "page"]


def test_without_the_packages_it_says_how_to_get_them(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "is_vendored", lambda _: False)
    with pytest.raises(CamtraceError, match=r"python -m camtrace\.web\.vendor"):
        export_web(tmp_path / "out")


def test_a_rule_that_the_page_does_not_know_is_refused(page: Path, tmp_path: Path) -> None:
    bundle = ready(None)
    with pytest.raises(CamtraceError, match="patch rule 'resized'"):
        export_web(tmp_path / "out", bundle=replace(bundle, manifest=replace(bundle.manifest, rule=RESIZED)))


def test_scripts_of_the_engine_name_no_other_host_and_no_root() -> None:
    for path in (export.PAGE / "local").glob("*.js"):
        for address in re.findall(r"""["'`]([^"'`\s]*)["'`]""", path.read_text("utf-8")):
            assert not re.match(r"(https?:)?//|/[a-z]", address), f"{path.name}: {address}"


PACKAGE = vendor.Package("@some/package", "some", {"dist/a.mjs": "a.js", "dist/a.wasm": "a.wasm", "LICENSE": "LICENCE.txt"}, export="a")


def _tarball(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


GOOD = _tarball({"dist/a.mjs": b"var a", "dist/a.wasm": b"\0asm", "LICENSE": b"free", "../../evil.js": b"evil"})


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that pins PACKAGE as GOOD."""
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(GOOD).digest()).decode()
    entry = {"resolved": "https://registry.example/package.tgz", "integrity": integrity}
    (tmp_path / "package-lock.json").write_text(json.dumps({"packages": {"node_modules/@some/package": entry}}))
    monkeypatch.setattr(vendor, "HERE", tmp_path)


@pytest.mark.usefixtures("lock")
def test_packages_are_fetched_once(tmp_path: Path) -> None:
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return GOOD

    target = tmp_path / "target"
    assert not vendor.is_vendored(target, packages=(PACKAGE,))
    assert vendor.vendor(target, packages=(PACKAGE,), fetch=fetch)
    assert vendor.is_vendored(target, packages=(PACKAGE,))
    assert not vendor.vendor(target, packages=(PACKAGE,), fetch=fetch)
    assert asked == ["https://registry.example/package.tgz"]
    assert (target / "some" / "a.js").read_bytes() == b"var a\nexport default a;\n"
    assert (target / "some" / "a.wasm").read_bytes() == b"\0asm"
    assert (target / ".gitignore").read_text() == "*\n"
    assert not list(tmp_path.rglob("evil.js"))
    (target / "some" / "a.wasm").unlink()
    assert vendor.vendor(target, packages=(PACKAGE,), fetch=fetch)


def _offline(_: str) -> bytes:
    raise urllib.error.URLError("no network")


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize(
    ("fetch", "files", "message"),
    [
        (_offline, {}, "cannot be fetched: .*no network"),
        (lambda _: GOOD + b" ", {}, "is not the pinned package"),
        (lambda _: GOOD, {"dist/b.js": "b.js"}, "the package has no dist/b.js"),
    ],
)
def test_what_cannot_be_fetched_leaves_everything_as_it_was(
    tmp_path: Path, fetch: vendor.Fetch, files: dict[str, str], message: str
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old.js").touch()
    package = replace(PACKAGE, files=PACKAGE.files | files)
    with pytest.raises(vendor.VendorError, match=f"^@some/package: .*{message}"):
        vendor.vendor(tmp_path / "target", packages=(package,), fetch=fetch)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["old.js"]


@pytest.mark.skipif(os.name == "nt", reason="limits of file sizes are POSIX; run this on Linux or macOS")
@pytest.mark.parametrize("force", [False, True])
def test_a_disk_that_fills_up_leaves_the_page_that_was_there(page: Path, tmp_path: Path, force: bool) -> None:
    out = tmp_path / "site"
    before = set()
    if force:
        export_web(out)
        before = {path.relative_to(out) for path in out.rglob("*")}
    with full_disk(100_000), pytest.raises(CamtraceError, match=r"site: the page cannot be written: "):
        export_web(out, force=force)
    assert {path.relative_to(out) for path in out.rglob("*")} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".site")]


def test_the_command_tells_what_it_did(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(vendor, "vendor", lambda *_, **__: True)
    assert vendor.main([]) == 0
    assert capsys.readouterr().out == f"{vendor.TARGET}: fetched\n"

    def fail(*_: object, **__: object) -> bool:
        raise vendor.VendorError("package: no network")

    monkeypatch.setattr(vendor, "vendor", fail)
    assert vendor.main([]) == 1
    assert capsys.readouterr().err == "camtrace.web.vendor: package: no network\n"


def test_the_lock_pins_every_package_of_the_registry() -> None:
    lock = json.loads((vendor.HERE / "package-lock.json").read_text("utf-8"))
    wanted = json.loads((vendor.HERE / "package.json").read_text("utf-8"))
    assert {package.name for package in vendor.PACKAGES} == set(wanted["dependencies"])
    for name, version in wanted["dependencies"].items():
        entry = lock["packages"][f"node_modules/{name}"]
        assert entry["version"] == version
        assert entry["resolved"].startswith(f"https://registry.npmjs.org/{name}/-/")
        assert entry["integrity"].startswith("sha512-")
    for package in vendor.PACKAGES:
        assert (vendor.HERE / "licences" / f"{package.folder}.txt").is_file()
