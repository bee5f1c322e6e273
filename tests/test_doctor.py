"""`camtrace doctor`: all well here; each thing that can be wrong is found, named, and comes with what to do."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import camtrace
import camtrace.bundle
from camtrace import doctor, plugins
from camtrace.cli.doctor import doctor as command
from camtrace.doctor import Finding, Requirement, examine, healthy, is_at_least, requirements, to_dict, to_text
from camtrace.plugins import Plugin

Says = Callable[..., None]


def run(*words: str) -> Any:
    """The command by itself."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, words)


def of(topic: str, findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.topic == topic}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Lets the package's metadata name other requirements, and packages have other versions; None = not installed."""

    def change(*lines: str, **versions: str | None) -> None:
        def version(name: str) -> str:
            found = versions.get(name.replace("-", "_"), "1.0")
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(importlib.metadata, "requires", lambda _: list(lines))
        monkeypatch.setattr(importlib.metadata, "version", version)

    return change


@pytest.fixture(scope="module")
def findings() -> tuple[Finding, ...]:
    return examine()


def test_all_is_well_here(findings: tuple[Finding, ...]) -> None:
    assert [finding for finding in findings if finding.state == "problem"] == []
    assert healthy(findings)
    assert {finding.topic for finding in findings} >= {"System", "Packages", "Bundle", "Extras"}
    assert all(finding.advice for finding in findings if finding.state == "absent")


def test_what_is_needed_here_is_found(findings: tuple[Finding, ...]) -> None:
    assert (
        set(of("Packages", findings))
        == {one.package for one in requirements() if one.extra is None}
        >= {"numpy", "onnxruntime", "typer"}
    )
    assert of("Packages", findings)["numpy"].found == importlib.metadata.version("numpy")
    assert of("System", findings)["Python"].found.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    bundle = camtrace.load_bundle()
    assert of("Bundle", findings)["files"].found.startswith(
        f"{bundle.id.name} {bundle.id.version}: {len(bundle.manifest.cameras)} cameras"
    )
    assert of("Bundle", findings)["a made photo"].found == "judged"
    assert "CPUExecutionProvider" in of("Bundle", findings)["ONNX Runtime"].found


def test_as_text_and_as_json(monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    shown = run()
    assert (shown.exit_code, shown.output) == (0, to_text(findings))
    assert "camtrace works here.\n" in shown.output
    assert "camtrace --install-completion" in shown.output
    shown = run("--to", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.output) == to_dict(findings)
    assert json.loads(shown.output)["camtrace"] == camtrace.__version__
    assert run("--to", "xml").exit_code == 2


def test_one_problem_is_enough_for_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        Finding("Packages", "numpy", "problem", "not installed", "pip install numpy"),
        Finding("Extras", "web", "absent", "without x", "y"),
    )
    monkeypatch.setattr(doctor, "examine", lambda: found)
    shown = run()
    assert shown.exit_code == 1
    assert "  problem  numpy  not installed\n" in shown.output
    assert "-> pip install numpy" in shown.output
    assert "Not all is well: 1 of 2 lines tell of a problem." in shown.output
    assert healthy(found[1:])


def test_requirements_are_read_from_the_metadata(says: Says) -> None:
    says(
        "numpy>=1.26",
        "rich",
        "scipy<2,>=1.13.1",
        "torch>=2.8; extra == 'lab'",
        'uvicorn[standard]>=0.30; python_version > "3" and extra == "web"',
    )
    assert requirements() == (
        Requirement("numpy", "1.26", None),
        Requirement("rich", "", None),
        Requirement("scipy", "1.13.1", None),
        Requirement("torch", "2.8", "lab"),
        Requirement("uvicorn", "0.30", "web"),
    )


@pytest.mark.parametrize(
    ("version", "least", "answer"),
    [
        ("1.26.0", "1.26", True),
        ("1.26", "1.26.0", True),
        ("1.9", "1.10", False),
        ("2.0.0rc1", "2", True),
        ("2.13.0+cpu", "2.13", True),
        ("10.2.9", "10.3", False),
        ("0.10", "0.9.9", True),
    ],
)
def test_versions_compare_as_numbers(version: str, least: str, answer: bool) -> None:
    assert is_at_least(version, least) is answer


def test_packages_that_are_missing_old_or_broken(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        if name == "sklearn":
            raise ImportError("libgomp.so.1: no such file")
        return object()

    monkeypatch.setattr(importlib, "import_module", refuse)
    says("numpy>=1.26", "rich>=13.7", "scikit-learn>=1.5", "typer", numpy=None, rich="13.6.9", scikit_learn="1.6")
    found = of("Packages", tuple(doctor._packages()))
    assert {name: finding.state for name, finding in found.items()} == dict.fromkeys(("numpy", "rich", "scikit-learn"), "problem") | {
        "typer": "ok"
    }
    assert found["numpy"].advice == "pip install --upgrade 'numpy>=1.26'"
    assert found["rich"].found == "13.6.9, expected 13.7 or newer"
    assert found["scikit-learn"].found == "1.6, cannot be imported: ImportError: libgomp.so.1: no such file"


def test_extras_are_absent_whole_or_too_old(says: Says) -> None:
    lines = [
        "fastapi>=0.110; extra == 'web'",
        "uvicorn>=0.29; extra == 'web'",
        "pillow-heif>=0.18; extra == 'heic'",
        "ray>=2.40; extra == 'ray'",
    ]
    says(*lines, "pytest>=8; extra == 'test'", fastapi="0.111", uvicorn=None, pillow_heif="0.18", ray="2.9", pytest=None)
    found = of("Extras", tuple(doctor._extras()))
    assert {name: (finding.state, finding.found) for name, finding in found.items()} == {
        "web": ("absent", "without uvicorn"),
        "heic": ("ok", "pillow-heif 0.18"),
        "ray": ("problem", "too old: ray 2.9, expected 2.40"),
    }
    assert found["web"].advice == "pip install 'camtrace[web]'"


def test_from_its_source_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    [finding] = doctor._packages()
    assert (finding.state, finding.found) == ("problem", "runs from its source, it is not installed")
    assert list(doctor._extras()) == []


def test_a_bundle_that_was_changed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    shutil.copytree(Path(camtrace.__file__).parent / "models", models)
    head = models / "default" / "head.onnx"
    head.write_bytes(head.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(camtrace.bundle, "_MODELS", models)
    [finding] = doctor._bundle()
    assert finding.state == "problem"
    assert re.search(r"head\.onnx: changed since the bundle was made", finding.found)
    assert finding.advice


def test_a_photo_that_is_not_judged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(bundle: object) -> None:
        raise MemoryError("16 exabytes")

    monkeypatch.setattr(doctor, "_judge", broken)
    assert [(one.name, one.state, one.found) for one in doctor._bundle()][1] == ("a made photo", "problem", "MemoryError: 16 exabytes")


def test_plug_ins_are_loaded_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(name: str, value: str, package: str) -> Plugin:
        return Plugin(plugins.RULES, name, package, value, importlib.metadata.EntryPoint(name, value, plugins.RULES))

    found = (
        entry("bad", "nowhere_at_all:rule", "third 3.0"),
        entry("good", "json:dumps", "first 1.0"),
        entry("good", "json:loads", "second 2.0"),
    )
    monkeypatch.setattr(doctor, "find_plugins", lambda group: found if group == plugins.RULES else ())
    states = [(one.name, one.state, one.found.partition(" ")[0]) for one in doctor._plugins()]
    rule = "of camtrace.rules"
    assert states == [(f"bad {rule}", "problem", "third"), (f"good {rule}", "ok", "first"), (f"good {rule}", "problem", "second")]
