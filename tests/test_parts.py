"""What the commands share: progress is shown to people and to nobody else, and what is missing is named with its remedy."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from camtrace.cli.parts import counting, need, progress, write_output
from camtrace.types import CamtraceError


class Terminal(io.StringIO):
    """A standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> io.StringIO:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = watched(monkeypatch, Terminal())
    with progress("localizing") as show:
        show(3, 4)
    assert "localizing" in stream.getvalue()
    assert "75%" in stream.getvalue()


def test_steps_are_counted_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = watched(monkeypatch, Terminal())
    with counting(2, "enrolling") as advance:
        advance("one photo")
        advance("another")
    assert "enrolling" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_nothing_is_shown_to_a_file_or_for_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = watched(monkeypatch, io.StringIO())
    with progress("localizing") as show, counting(5, "enrolling") as advance:
        show(1, 2)
        advance(None)
    assert stream.getvalue() == ""
    stream = watched(monkeypatch, Terminal())
    with progress("localizing", shown=False) as show, counting(1, "enrolling") as advance:
        show(1, 2)
        advance(None)
    assert stream.getvalue() == ""


def test_a_missing_package_is_named_with_the_line_that_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    need("json", "parquet")
    with pytest.raises(SystemExit) as ended:
        need("no_such_package_anywhere", "parquet")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "camtrace: this needs no_such_package_anywhere; install it with: pip install 'camtrace[parquet]'\n"
    )


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CamtraceError, match=r"below: cannot be written: .*; choose another place"):
        write_output(tmp_path / "file" / "below", b"", force=False)
