"""The demo on fewer and smaller photos: it must end, be right more often than by chance, and leave nothing lying about."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import camtrace
from camtrace import demo
from made import run_cli


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CAMERAS": 3, "REFERENCE_PHOTOS": 5, "QUESTIONED_PHOTOS": 3, "SIZE": 384}.items():
        monkeypatch.setattr(demo, name, value)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that is the place for temporary files too."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_demo_is_right_and_cleans_up(elsewhere: Path) -> None:
    lines: list[str] = []
    share = demo.run_demo(echo=lines.append)
    assert share >= 0.6  # chance: 0.33
    assert list(elsewhere.iterdir()) == []
    text = "\n".join(lines)
    assert f"Best camera right: {share:.0%} of 9 photos" in text
    assert "Photos of the stranger answered unknown: " in text
    assert " of 3." in text


def test_demo_keeps_photos_and_bundle_where_it_is_told_and_only_there(elsewhere: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept" / "demo"
    run = run_cli("demo", "--out", out, "--seed", 2)
    assert (run.code, run.err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["bundle", "questioned", "reference"]
    assert len(list((out / "reference").rglob("*.jpg"))) == 15
    assert len(list((out / "questioned").rglob("*.jpg"))) == 12
    known = camtrace.load_bundle(out / "bundle").manifest.labels
    table = run.out[run.out.index("True camera") :]
    assert all(name in table for name in known)
    assert table.count("never enrolled") == 1
    assert list(elsewhere.iterdir()) == []


def test_demo_refuses_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(camtrace.CamtraceError, match="is already there; the demo writes to a new folder"):
        demo.run_demo(out=tmp_path, echo=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert run_cli("demo", "--out", tmp_path).code == 1
