"""Fetch what the static page takes from npm, as `package-lock.json` pins it: `python -m camtrace.web.vendor`.

Two packages: onnxruntime-web, of which only the plain WebAssembly build is kept, and libjpeg-turbo as WebAssembly. Each tarball is
checked against the lock's SHA-512 before anything of it is used; no script of it is run, and npm itself is not needed. The files go to
`page/vendor/`, which tells git to ignore it and which the wheel holds. Nothing is fetched where they are there already.

This module needs the standard library alone, since the build of a wheel runs it before anything is installed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "page" / "vendor"
STAMP, LICENCE = "vendored.json", "LICENCE.txt"
_SECONDS = 60

Fetch = Callable[[str], bytes]


class VendorError(Exception):
    """What could not be fetched, and why."""


@dataclass(frozen=True)
class Package:
    """A package of npm: which of its files are kept, and under which names.

    Names end in `.js`, whatever npm calls them: many a static host does not know `.mjs` as a script. `export` is added to a script
    that was not written as a module: the name that it then exports.
    """

    name: str
    folder: str
    files: dict[str, str]  # path in the package -> name in the folder
    export: str | None = None


PACKAGES = (
    Package(
        "onnxruntime-web",
        "onnxruntime-web",
        {
            "dist/ort.wasm.min.mjs": "ort.wasm.min.js",
            "dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
            "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
        },
    ),
    Package(
        "@cornerstonejs/codec-libjpeg-turbo-8bit",
        "codec-libjpeg-turbo-8bit",
        {
            "dist/libjpegturbowasm_decode.js": "libjpegturbowasm_decode.js",
            "dist/libjpegturbowasm_decode.wasm": "libjpegturbowasm_decode.wasm",
        },
        export="libjpegturbowasm_decode",
    ),
)


def fetch(url: str) -> bytes:
    """The bytes at an address."""
    with urllib.request.urlopen(url, timeout=_SECONDS) as response:
        return bytes(response.read())


def vendor(target: Path = TARGET, *, packages: tuple[Package, ...] = PACKAGES, fetch: Fetch = fetch) -> bool:
    """Put the pinned files of the packages into the folder `target`, which is theirs alone; False where they were there already.

    Raises
    ------
    VendorError
        A package cannot be fetched, is not the pinned one, or lacks a file.
    """
    if is_vendored(target, packages=packages):
        return False
    unpacked = [(package, _unpack(package, _fetch_checked(package.name, fetch))) for package in packages]
    try:
        shutil.rmtree(target, ignore_errors=True)
        for package, contents in unpacked:
            _write(target / package.folder, contents)
        (target / ".gitignore").write_text("*\n", "utf-8")
        (target / STAMP).write_text(json.dumps(_stamp(packages), indent=1) + "\n", "utf-8")  # last: without it nothing counts as there
    except OSError as error:
        raise VendorError(
            f"{target}: cannot be written: {error.strerror or error}; check the free space and your right to write there"
        ) from error
    return True


def is_vendored(target: Path = TARGET, *, packages: tuple[Package, ...] = PACKAGES) -> bool:
    """Whether the files are there as the lock pins them."""
    try:
        if json.loads((target / STAMP).read_text("utf-8")) != _stamp(packages):
            return False
    except (OSError, ValueError):
        return False
    return all((target / package.folder / name).is_file() for package in packages for name in package.files.values())


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """The files of a package; its licence from our own folder where the package brings no text of it."""
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    if LICENCE not in contents:
        shutil.copyfile(HERE / "licences" / f"{folder.name}.txt", folder / LICENCE)


def _stamp(packages: tuple[Package, ...]) -> dict[str, str]:
    return {package.name: _pinned(package.name)[1] for package in packages}


def _pinned(name: str) -> tuple[str, str]:
    """Address and integrity of a package, as the lock has them."""
    entry = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"][f"node_modules/{name}"]
    return entry["resolved"], entry["integrity"]


def _fetch_checked(name: str, fetch: Fetch) -> bytes:
    url, integrity = _pinned(name)
    try:
        tarball = fetch(url)
    except (urllib.error.URLError, OSError) as error:
        raise VendorError(f"{name}: {url} cannot be fetched: {error}; the static page needs it once, then it is kept") from error
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    if found != integrity:
        raise VendorError(f"{name}: {url} is not the pinned package: {found[:20]}..., expected {integrity[:20]}...")
    return tarball


def _unpack(package: Package, tarball: bytes) -> dict[str, bytes]:
    """The wanted files by their new names."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for path, name in package.files.items():
            try:
                member = archive.extractfile(f"package/{path}")
            except KeyError:
                member = None
            if member is None:
                raise VendorError(f"{package.name}: the package has no {path}; see the pinned version in package-lock.json")
            found[name] = _as_module(member.read(), package) if name.endswith(".js") else member.read()
    return found


def _as_module(script: bytes, package: Package) -> bytes:
    return script if package.export is None else script + f"\nexport default {package.export};\n".encode()


def main(words: list[str] | None = None) -> int:
    """`python -m camtrace.web.vendor`: fetch what the page needs, unless it is there."""
    about = "Fetch what the static page takes from npm."
    argparse.ArgumentParser(prog="python -m camtrace.web.vendor", description=about).parse_args(words)
    try:
        done = vendor()
    except VendorError as error:
        sys.stderr.write(f"camtrace.web.vendor: {error}\n")
        return 1
    sys.stdout.write(f"{TARGET}: {'fetched' if done else 'already there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
