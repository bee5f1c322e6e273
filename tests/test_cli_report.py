"""`camtrace report`: what it writes and never writes over, what it prints, and with which exit status."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import camtrace
from camtrace.cli.report import report as command
from camtrace.reports.verify import read_document
from camtrace.types import CamtraceError

app = typer.Typer()
app.command()(command)


def run(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def report(*words: object, stdin: bytes | None = None) -> Result:
    return run(*words, "--no-localize", stdin=stdin)


def test_a_report_is_written_and_holds(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    made = run(photo, "--out", out, "--mode", "guess", "--case", "7", "--examiner", "E", "--question", "Who?")
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout == f"{out}: a report on 1 photo(s), 0 of them not judged\n"
    document = read_document(out.read_text("utf-8"))
    assert document is not None
    assert document["photos"][0]["verdict"] == camtrace.identify(photo, mode="guess").to_dict()
    assert document["photos"][0]["localization"] is not None
    assert [document[name] for name in ("case", "examiner", "question")] == ["7", "E", "Who?"]
    holds = run("--verify", out)
    assert holds.exit_code == 0
    assert holds.stdout.splitlines()[0] == f"{out}: holds"


def test_a_report_that_differs_is_status_1(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert report(photo, "--out", out).exit_code == 0
    out.write_text(out.read_text("utf-8").replace("no proof", "proof"), "utf-8", newline="\n")
    differs = run("--verify", out)
    assert differs.exit_code == 1
    assert differs.stdout.splitlines()[0] == f"{out}: DIFFERS"
    assert "  Differs:  the page's text: it says" in differs.stdout
    moved = shutil.move(photo, tmp_path / "moved.jpg")
    assert "not found; give its path" in run("--verify", out).stdout
    assert "2 lines" not in run("--verify", out, moved).stdout


def test_a_bad_file_has_its_section_and_is_status_1(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    out = tmp_path / "report.html"
    made = report(photo, tmp_path / "bad.jpg", "--out", out)
    assert made.exit_code == 1
    assert "a report on 2 photo(s), 1 of them not judged" in made.stdout
    assert "This photo could not be judged (unreadable)" in out.read_text("utf-8")


def test_folders_and_standard_input(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "report.html"
    made = report(photo.parent, tmp_path / "empty", "-", "--out", out, stdin=photo.read_bytes())
    assert made.exit_code == 1
    assert "empty: no photos in this folder" in made.stderr
    document = read_document(out.read_text("utf-8"))
    assert document is not None
    names = [entry["file"]["name"] for entry in document["photos"]]
    assert names == [str(photo), "<stdin>"]
    assert len({entry["file"]["sha256"] for entry in document["photos"]}) == 1
    assert run("--verify", out, photo).exit_code == 0


def test_nothing_is_written_over_unless_forced(photo: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.html"
    kept.write_bytes(b"mine")
    refused = report(photo, "--out", kept)
    assert isinstance(refused.exception, CamtraceError)
    assert f"{kept}: exists; --force writes over it" in str(refused.exception)
    assert kept.read_bytes() == b"mine"
    assert report(photo, "--out", kept, "--force").exit_code == 0
    assert kept.read_bytes().startswith(b"<!doctype html>")


def test_a_photo_is_never_written_over(photo: Path) -> None:
    named = photo.rename(photo.with_suffix(".html"))
    before = named.read_bytes()
    assert "is the photo itself" in str(report(named, "--out", named, "--force").exception)
    assert named.read_bytes() == before


def test_a_folder_that_is_not_there_is_told_before_any_work(photo: Path, tmp_path: Path) -> None:
    assert "there is no folder" in str(report(photo, "--out", tmp_path / "gone" / "report.html").exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--out is missing"),
        (("x.jpg",), "--out is missing"),
        (("--out", "r.html"), "no photo was given"),
        (("x.jpg", "--out", "r.docx"), "ends in none of .html, .htm, .pdf"),
        (("x.jpg", "--out", "r.html", "--mode", "wild"), "'wild' is not one of"),
        (("--verify", "r.html", "--out", "s.html"), "leave out --out"),
        (("--verify", "none.html"), "no such file, expected a report"),
        (("-", "-", "--out", "r.html"), "read only once"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    result = run(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_pdf_without_weasyprint_is_status_2(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    monkeypatch.setenv("COLUMNS", "300")
    result = report(photo, "--out", tmp_path / "report.pdf")
    assert result.exit_code == 2
    assert "pip install 'camtrace[pdf]'" in result.stderr
    assert not (tmp_path / "report.pdf").exists()


def test_a_pdf_is_written(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camtrace.reports.report.check_pdf", lambda: None)
    monkeypatch.setattr(
        "camtrace.reports.report.Report.to_pdf", lambda self: b"%PDF of " + self.document["photos"][0]["file"]["name"].encode()
    )
    assert report(photo, "--out", tmp_path / "report.PDF").exit_code == 0
    assert (tmp_path / "report.PDF").read_bytes() == b"%PDF of " + str(photo).encode()


def test_what_is_no_report_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<p>x</p>")
    assert "no report of camtrace" in str(run("--verify", tmp_path / "x.html").exception)
