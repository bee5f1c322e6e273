"""The documentation against the program: references are current, commands exist and run, examples hold, figures are the card's."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import camtrace
from camtrace.devices.device import DeviceMatch, DeviceRanked, Pair
from camtrace.doctor import Finding, to_dict
from camtrace.identification import ready
from camtrace.inspection import Inspection, Vote
from camtrace.manifest import Camera
from camtrace.tampering.localization import Region
from camtrace.types import BundleId
from made import different_cameras, made_photo, run_cli, write_album
from made_devices import encoded, scene_pixels, write_flats
from test_house import load_script

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WRITTEN = [path for path in PAGES if path.parent.name != "reference"]
GUIDES = [DOCS / "start.md", *sorted((DOCS / "guides").glob("*.md"))]
PUBLISHED = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "LAB_BOOK.md", ROOT / "CONTRIBUTING.md", *WRITTEN]
MISSPELT = "identfy"
"""A command that the transcript gets wrong on purpose."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def maker() -> ModuleType:
    return load_script("make_reference")


def check_current(page: str) -> None:
    committed = (DOCS / "reference" / page).read_text("utf-8")
    assert committed == maker().PAGES[page](), "write it anew with: python docs/make_reference.py"


@pytest.mark.parametrize("page", ["commands.md", "fields.md"])
def test_reference_pages_are_current(page: str) -> None:
    check_current(page)


@pytest.mark.lab
def test_the_reference_of_the_lab_is_current() -> None:
    check_current("lab-commands.md")


def test_every_command_and_option_says_what_it_is() -> None:
    from camtrace.cli import app

    text = (DOCS / "reference" / "commands.md").read_text("utf-8")
    found = dict(maker().find_commands(typer.main.get_command(app), "camtrace"))
    assert {"camtrace identify", "camtrace enroll", "camtrace device match", "camtrace localize"} <= set(found)
    for name, command in found.items():
        assert f"# {name}\n" in text
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.opts}"


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "python.md").read_text("utf-8")
    listed = re.findall(r"^\.\. (?:auto\w+:: camtrace\.|py:data:: )(\w+)$", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(camtrace.__all__)


def documented(form: str) -> set[str]:
    """Fields that a section of docs/reference/json.md lists."""
    text = (DOCS / "reference" / "json.md").read_text("utf-8")
    section = text.partition(f"\n## {form}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def below(prefix: str, kind: Any) -> set[str]:
    return {prefix} | {f"{prefix}[].{field.name}" for field in fields(kind)}


def test_every_field_without_a_schema_is_documented() -> None:
    who = BundleId("default", "2")
    localization = camtrace.Localization("a.jpg", None, "unreadable", "why", False, None, None, who).to_dict()
    assert documented("`camtrace localize --to json`") == set(localization) | below("regions", Region)
    verdict = camtrace.identify(b"no photo")
    inspection = Inspection(verdict, None, None, 64, (), (), {}).to_dict()
    assert documented("`camtrace.inspect(...).to_dict()`") == set(inspection) | below("patches", Vote)
    match = DeviceMatch("a.jpg", None, "ok", "unknown", None, "why").to_dict()
    assert documented("`camtrace device match --to json`") == set(match) | below("ranking", DeviceRanked)
    pair = set(Pair("a.jpg", "b.jpg", None).to_dict()) | {"rotation", "shift"}
    assert documented("`camtrace device same --to json`") == pair
    assert documented("`camtrace doctor --to json`") == set(to_dict(())) | below("findings", Finding)
    assert documented("`camtrace cameras --to json`") == {"bundle"} | below("cameras", Camera)


def commands(path: Path) -> Iterator[str]:
    """Lines that call camtrace, as they stand in a page's code: within fences, or indented."""
    fenced = False
    for line in path.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        found = re.match(r"(?:\$ )?(camtrace [a-z].*)$", line.strip())
        if found and (fenced or line.startswith("    ")) and MISSPELT not in line:
            yield found[1]


def parse(words: list[str]) -> None:
    """Read a command line as the program does, without running it."""
    from camtrace.cli import app

    command, name = typer.main.get_command(app), "camtrace"
    parent = None
    if words[1:2] == ["lab"]:
        from camtrace.lab.cli import app as lab

        command, name, words = typer.main.get_command(lab), "camtrace lab", words[1:]
    rest = words[1:]
    while rest and hasattr(command, "get_command"):
        parent = command.make_context(name, [], parent=parent, resilient_parsing=True)
        assert command.get_command(parent, rest[0]) is not None, f"no such command: {rest[0]}"
        command, name, rest = command.get_command(parent, rest[0]), rest[0], rest[1:]
    if rest or not hasattr(command, "get_command"):
        command.make_context(name, rest, parent=parent)


def check_commands(path: Path, *, lab: bool) -> None:
    for line in commands(path):
        words = shlex.split(line.split(" > ")[0].split(" < ")[0], comments=True)
        if (words[1] == "lab") == lab and "..." not in words:
            parse(words)


@pytest.mark.parametrize("path", [path for path in PUBLISHED if any(commands(path))], ids=named)
def test_commands_on_the_pages_exist_with_their_options(path: Path) -> None:
    check_commands(path, lab=False)


@pytest.mark.lab
def test_commands_of_the_lab_on_the_pages_exist_with_their_options() -> None:
    for path in PUBLISHED:
        check_commands(path, lab=True)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the guides speak of."""
    folder = tmp_path_factory.mktemp("desk")
    first, second, third, _ = different_cameras()
    for camera in (first, second):
        write_album(folder / "suspects" / camera.name.replace(" ", "_"), camera, range(100, 102), size=256)
    for number in (1, 2):
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "photos" / f"{number}.jpg").write_bytes(made_photo(third, number, size=256))
    for name, camera, number in (("questioned", first, 900), ("anonymous", second, 901), ("posted", third, 902), ("other", third, 903)):
        (folder / f"{name}.jpg").write_bytes(made_photo(camera, number, size=320 if name == "posted" else 256))
    write_flats(folder / "phone", 1, range(5))
    for name, number in (("found", 7), ("twin", 8)):
        (folder / f"{name}.jpg").write_bytes(encoded(scene_pixels(1, number)))
    return folder


@pytest.fixture
def desk(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these, and the working directory within."""
    monkeypatch.chdir(shutil.copytree(furnished, tmp_path / "desk"))
    return tmp_path / "desk"


def blocks(path: Path, language: str) -> list[str]:
    """The code of a page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("desk")
def test_commands_of_the_guides_run() -> None:
    """One after the other, as a reader of all guides would; a line that stands in two guides once."""
    lines = [line for path in GUIDES for block in blocks(path, "console") for line in block.splitlines()]
    assert len(lines) > 20
    for line in dict.fromkeys(lines):
        assert line.startswith("$ camtrace ")
        ran = run_cli(*shlex.split(line)[2:])
        assert ran.code == 0, f"{line}\n{ran.err}"
        assert ran.out or ran.err


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, "pycon")], ids=named)
def test_examples_hold(path: Path) -> None:
    examples = doctest.DocTestParser().get_doctest(path.read_text("utf-8"), {}, named(path), str(path), 0)
    assert examples.examples
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert result.failed == 0, "".join(said)


def accuracy() -> dict[str, Any]:
    manifest = json.loads((ROOT / "src/camtrace/models/default/manifest.json").read_text("utf-8"))
    measured: dict[str, Any] = manifest["accuracy"]
    return measured


def flat(path: str) -> str:
    return " ".join((DOCS / path).read_text("utf-8").split())


def test_figures_of_modes_are_those_of_the_bundle() -> None:
    text = flat("concepts.md")
    modes = accuracy()["modes"]
    right = {mode: sum(modes[mode]["known"][f"{level} right"] for level in ("model", "family", "maker")) for mode in modes}
    balanced = modes["balanced"]
    named_wrong = balanced["foreign"]["model wrong"] + balanced["foreign"]["family wrong"]
    assert f"| {right['careful']:.0%} get a right answer".replace("%", " %") in text
    assert f"| {right['balanced']:.0%} right".replace("%", " %") in text
    assert f"{balanced['known']['unknown']:.0%} `unknown`".replace("%", " %") in text
    assert f"{named_wrong:.0%} get a wrong model or family".replace("%", " %") in text
    assert f"{balanced['foreign']['unknown']:.0%} are `unknown`".replace("%", " %") in text
    assert f"| {modes['careful']['foreign']['model wrong']:.1%} get a wrong model".replace("%", " %") in text
    assert f"| {right['guess']:.0%} right".replace("%", " %") in text


def test_figures_of_a_stream_of_unknown_cameras_follow_from_the_bundle() -> None:
    """Of 1,000 photos, 900 by cameras that it does not know: how many get a model or family, and how many of these are right."""
    text = flat("concepts.md")
    modes = accuracy()["modes"]
    given, right = {}, {}
    for mode in ("careful", "balanced"):
        right[mode] = 100 * sum(modes[mode]["known"][f"{level} right"] for level in ("model", "family"))
        wrong = [
            weight * modes[mode][who][f"{level} wrong"]
            for who, weight in (("known", 100), ("foreign", 900))
            for level in ("model", "family")
        ]
        given[mode] = right[mode] + sum(wrong)
    assert f"a model or family for {given['balanced']:.0f}, and {right['balanced']:.0f} of these" in text
    assert f"`careful` names {given['careful']:.0f}, and {right['careful']:.0f} of these are right" in text


def test_figures_of_degraded_photos_and_of_enrolment_are_those_of_the_bundle() -> None:
    text, measured = flat("guides/analyst.md"), accuracy()
    after = {name: f"{measured['degraded'][name]['right'][0]:.0%}".replace("%", " %") for name in ("jpeg 90", "jpeg 70", "resize 0.8")}
    whole = f"{measured['photos']['summed']['all'][0]:.0%}".replace("%", " %")
    assert f"rightly in {whole} of cases, it names {after['jpeg 90']} after JPEG 90, {after['jpeg 70']} after JPEG 70 and" in text
    assert f"{after['resize 0.8']} after a resize to 0.8" in text
    assert f"{measured['few_shot']['10'][0]:.0%} of other photos".replace("%", " %") in text
    assert f"{measured['few_shot']['1'][0]:.0%} with one".replace("%", " %") in text
    assert f"It knows {len(ready(None).manifest.cameras)} cameras" in flat("index.md")


@pytest.mark.parametrize("path", PUBLISHED, ids=named)
def test_links_between_files_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\((?!\w+:)([^)#\s]+)", text)
    assert [link for link in found if not (path.parent / link).exists()] == []
