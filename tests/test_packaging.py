"""What is in the wheel, what CI and the image install, what the workflows may do, and how the command helps who mistypes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import camtrace
from camtrace.bundle import load_bundle
from camtrace.web.vendor import is_vendored
from made import encode, noise, run_cli
from made_wheels import ROOT, build_wheel, install, run_with

SOURCE = ROOT / "src" / "camtrace"
KINDS = {
    ".py",
    ".json",
    ".typed",
    ".md",
    ".onnx",
    ".safetensors",
    ".svg",
    ".html",
    ".css",
    ".js",
    ".wasm",
    ".txt",
    ".jinja",
    ".csv",
    ".webmanifest",
}
PACKED, UNPACKED = 12_000_000, 26_000_000
"""Bytes; docs/packaging.md states them."""

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    ("docs.yml", "publish"): {"pages": "write", "id-token": "write"},
    ("release.yml", "pypi"): {"id-token": "write"},
    ("release.yml", "github"): {"contents": "write"},
}
"""The only jobs that may write anything."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, int]:
    """Path in the wheel -> bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def tool(name: str) -> ModuleType:
    """One of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_wheel_holds_the_package_and_nothing_else(contents: dict[str, int]) -> None:
    modules = {name for name in contents if name.endswith(".py")}
    assert modules == {f"camtrace/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*.py")}
    assert {name.partition("/")[0] for name in contents} == {"camtrace", f"camtrace-{camtrace.__version__}.dist-info"}
    assert {Path(name).suffix for name in contents if ".dist-info/" not in name} <= KINDS  # so no photos, and nothing compiled
    assert not [name for name in contents if "test" in name.lower()]


def test_the_wheel_holds_what_is_no_code(contents: dict[str, int]) -> None:
    bundle = load_bundle()
    files = json.loads((SOURCE / "models" / "default" / "manifest.json").read_text("utf-8"))["files"]
    assert len(files) >= len(bundle.files)
    wanted = {f"models/default/{name}" for name in (*files, "manifest.json")}
    wanted |= {
        "py.typed",
        "verdict.schema.json",
        "likeness.schema.json",
        "names.json",
        "devices/calibration.json",
        "tampering/localization.json",
    }
    wanted |= {"reports/templates/report.html", "lab/templates/experiment.html", "web/package-lock.json"}
    wanted |= {f"web/page/{path.relative_to(SOURCE / 'web' / 'page').as_posix()}" for path in (SOURCE / "web" / "page").rglob("*.js")}
    assert wanted <= {name.removeprefix("camtrace/") for name in contents}
    assert f"camtrace-{camtrace.__version__}.dist-info/licenses/LICENSE" in contents


def test_the_wheel_holds_the_packages_of_the_static_page(contents: dict[str, int]) -> None:
    if not is_vendored():
        pytest.skip(
            "the npm registry was not reached when the wheel was built, so it has no static page: python -m camtrace.web.vendor"
        )
    vendored = {name for name in contents if name.startswith("camtrace/web/page/vendor/")}
    assert {Path(name).suffix for name in vendored} == {".js", ".wasm", ".txt", ".json"}
    assert sum("LICENCE" in name for name in vendored) == 2


def test_the_wheel_is_no_larger_than_is_said(wheel: Path, contents: dict[str, int]) -> None:
    assert wheel.stat().st_size <= PACKED
    assert sum(contents.values()) <= UNPACKED
    page = (ROOT / "docs" / "packaging.md").read_text("utf-8")
    assert f"{PACKED // 1_000_000} MB" in page
    assert f"{UNPACKED // 1_000_000} MB" in page


def test_what_the_wheel_says_of_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        about = archive.read(f"camtrace-{camtrace.__version__}.dist-info/METADATA").decode()
        points = archive.read(f"camtrace-{camtrace.__version__}.dist-info/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0\n" in about
    assert "Requires-Python: >=3.11\n" in about
    extras = set(re.findall(r"^Provides-Extra: (.*)$", about, re.MULTILINE))
    assert extras == set(project()["optional-dependencies"]) >= {"heic", "lab", "pdf", "ray", "web"}
    assert points == "[console_scripts]\ncamtrace = camtrace.cli:main\n"


def test_the_installed_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    target = install(wheel, tmp_path / "target")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode(noise(130, 200, low=60, high=190), "JPEG", quality=95))
    code = (
        "import camtrace, sys; print(camtrace.__file__); print(camtrace.identify(sys.argv[1]).status); "
        "import camtrace.reports.report, camtrace.web.export; print(len(camtrace.load_bundle().manifest.cameras))"
    )
    run = run_with(target, "-c", code, photo)
    assert run.returncode == 0, run.stderr
    where, status, cameras = run.stdout.splitlines()
    assert Path(where).is_relative_to(target)
    assert (status, int(cameras)) == ("ok", len(load_bundle().manifest.cameras))


LOCKED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^ \\;]+)(?: ; (?P<marker>[^\\]+))? \\\n(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.M,
)


def locked(name: str) -> dict[str, list[str]]:
    """Package -> the versions that a lock file pins, one or one for each kind of system; all lines must be such pins."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    plain = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    found: dict[str, list[str]] = {}
    for match in LOCKED.finditer(plain):
        found.setdefault(canonicalize_name(match["name"]), []).append(match["version"])
    assert LOCKED.sub("", plain).strip() == ""
    return found


@pytest.mark.parametrize(("name", "extras"), [("ci.txt", ("heic", "pdf", "ray", "web", "test")), ("image.txt", ("web",))])
def test_lock_files_pin_all_that_is_asked_for(name: str, extras: tuple[str, ...]) -> None:
    pinned = locked(name)
    about = project()
    asked = [
        Requirement(line)
        for line in (*about["dependencies"], *(one for extra in extras for one in about["optional-dependencies"][extra]))
    ]
    for wanted in asked:
        if wanted.name == "camtrace":
            continue
        versions = pinned.get(canonicalize_name(wanted.name), [])
        assert versions, f"{wanted} is not pinned; docs/packaging.md says how to lock again"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted}: pinned is {versions}"
    assert not [one for one in pinned if one.startswith(("nvidia-", "cuda-")) or one in ("torch", "torchvision", "camtrace")]


def test_tools_of_ci_are_pinned_too() -> None:
    lines = (ROOT / "requirements" / "tools.in").read_text("utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {canonicalize_name(one.name) for one in wanted} <= set(locked("ci.txt"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_ask_for_little(path: Path) -> None:
    text = path.read_text("utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses or path.name != "test.yml"
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses), uses
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == WRITES.get((path.name, name), {"contents": "read"}), name
        assert job["timeout-minutes"] <= 45
    assert "secrets." not in text
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_there_are_workflows_for_all_four_ends() -> None:
    assert [path.stem for path in WORKFLOWS] == ["build", "docs", "release", "test"]


def test_the_image_is_nobody_s_and_says_whether_it_is_well() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "--require-hashes -r /requirements.txt" in last
    assert "TOKEN=" not in text
    command = json.loads(re.findall(r"CMD (\[.*])", last)[0])
    assert healthcheck(command, status=200) == 0
    assert healthcheck(command, status=503) != 0
    words = json.loads(re.findall(r"^CMD (\[.*])", last, re.MULTILINE)[-1])
    run = run_cli(*words)  # outside of the image too it must not start without a token
    assert run.code == 2
    assert "needs a token" in run.err


def healthcheck(command: list[str], *, status: int) -> int:
    """The exit status of the image's health check against a service that answers so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        words = [sys.executable, *(word.replace(":8000/", f":{server.server_port}/") for word in command[1:])]
        try:
            return subprocess.run(words, capture_output=True, check=False).returncode
        finally:
            server.shutdown()


def test_compose_serves_this_computer_only_and_may_little() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["camtrace"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["environment"]["CAMTRACE_TOKEN"].startswith("${CAMTRACE_TOKEN:?")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == camtrace.__version__
    assert citation["license"] == project()["license"]


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("MIT AND Zlib", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-or-later OR Apache-2.0", True),
        ("(AGPL-3.0-only OR GPL-3.0-only)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("", False),
    ],
)
def test_licences_are_met_or_not(expression: str, answer: bool) -> None:
    assert tool("licences").is_allowed(expression) is answer


def test_the_licences_of_all_that_is_installed_are_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool("licences").main([]) == 0, capsys.readouterr().out
    assert "NOT ALLOWED" not in capsys.readouterr().out


def test_the_bill_of_materials_names_what_the_wheel_holds(wheel: Path) -> None:
    parts = [{"name": name, "bom-ref": f"{name}==1", "version": "1", "type": "library"} for name in ("camtrace", "numpy", "pip")]
    parts[0]["externalReferences"] = "file:///a/path/of/the/builder"
    depends = [{"ref": "camtrace==1", "dependsOn": ["numpy==1"]}, {"ref": "numpy==1"}, {"ref": "pip==1"}]
    bill = tool("sbom").complete({"components": parts, "dependencies": depends, "specVersion": "1.6"}, wheel)
    assert bill["metadata"]["component"]["name"] == "camtrace"
    assert "externalReferences" not in bill["metadata"]["component"]
    names = {one["name"] for one in bill["components"]}
    assert names == {"numpy", "onnxruntime-web", "@cornerstonejs/codec-libjpeg-turbo-8bit"} if is_vendored() else {"numpy"}
    refs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert "pip==1" not in refs
    assert set(refs["camtrace==1"]) == {one["bom-ref"] for one in bill["components"]}


def test_known_holes_are_told_one_a_line() -> None:
    holes = [{"id": "PYSEC-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-2", "fix_versions": []}]
    report = {
        "dependencies": [
            {"name": "a", "version": "2.0", "vulns": holes},
            {"name": "b", "version": "1", "vulns": []},
            {"name": "c", "skip_reason": "x"},
        ]
    }
    assert tool("audit").holes(report) == ["a 2.0: PYSEC-1, mended in 2.1", "a 2.0: PYSEC-2, mended in no version yet"]


def test_advisories_that_cannot_be_reached_are_no_failure_but_are_told_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = subprocess.CompletedProcess(["pip-audit"], 1, "", "warning\nconnection refused\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: silent)
    assert tool("audit").main([]) == 0
    assert (
        capsys.readouterr().out
        == "::warning title=pip-audit::NOTHING WAS CHECKED: the advisories cannot be reached: connection refused\n"
    )


def test_without_a_command_it_helps() -> None:
    run = run_cli()
    assert re.search(r"Usage: .*camtrace", run.out + run.err)
    assert all(command in run.out + run.err for command in ("identify", "compare", "enroll", "localize", "device", "doctor"))


@pytest.mark.parametrize(
    ("words", "meant"),
    [(("identfy", "x.jpg"), "identify"), (("localise", "x.jpg"), "localize"), (("identify", "x.jpg", "--bundel", "b"), "--bundle")],
)
def test_typing_mistakes_are_answered_with_what_was_meant(words: tuple[str, ...], meant: str) -> None:
    run = run_cli(*words)
    assert (run.code, run.out) == (2, "")
    assert re.search(rf"(Did you mean|Possible options:?) .?{meant}", " ".join(run.err.split())), run.err


def test_the_shell_completes_commands_that_are_imported_late() -> None:
    asked = os.environ | {"_CAMTRACE_COMPLETE": "complete_bash", "COMP_WORDS": "camtrace lo", "COMP_CWORD": "1"}
    script = "import sys; sys.argv = ['camtrace']; from camtrace.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", script], env=asked, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["localize"], run.stderr
