"""An output: one line of a Markdown table for each verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from camtrace import Verdict


def write_markdown(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """Verdicts come as they are judged: write each at once, and never hold them all."""
    out.write("| photo | camera |\n|---|---|\n")
    for verdict in verdicts:
        out.write(f"| {_cell(verdict.source)} | {_cell(verdict.answer or verdict.status)} |\n")


def _cell(text: str) -> str:
    """File names are strangers' text: nothing of it may end the cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
