"""The notebooks run from top to bottom as they stand, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_wheels import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEED_THE_LAB = {"experiment"}


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return found


def test_all_four_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["enroll", "experiment", "identify", "localize"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs_and_say_what_they_do(path: Path) -> None:
    found = cells(path)
    assert found[0]["cell_type"] == "markdown"
    assert found[0]["source"][0].startswith("# ")
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in found if cell["cell_type"] == "code")
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.lab] if path.stem in NEED_THE_LAB else []) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_they_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem in NEED_THE_LAB:
        pytest.importorskip("matplotlib", reason="it draws with matplotlib: pip install 'camtrace[lab]'")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    assert list(tmp_path.iterdir()) == []  # what they write they remove, or it lies in the system's temporary folder
    check(path.stem, names)


def check(name: str, names: dict[str, Any]) -> None:
    """What a reader is told that happens."""
    if name == "identify":
        assert names["verdict"].answer == "unknown"
        assert names["verdict"].claim_agrees is None
    if name == "enroll":
        assert not names["folder"].exists()
        assert names["right"] >= 4
    if name == "localize":
        assert names["found"].alarm
        assert names["found"].regions
    if name == "experiment":
        assert names["shares"][100] > 1 / 3
        assert len(names["asked"]) == 9
