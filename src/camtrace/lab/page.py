"""The one-page summary of an experiment: a single HTML file that needs nothing else, the published numbers beside ours.

No scripts and no requests: figures are embedded, and the page's own policy forbids the rest. jinja2 is imported when a page is written.
"""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camtrace.types import CamtraceError

Cell = str | int | float | None
"""None is written "n/a"."""

NOT_AVAILABLE = "n/a"

_MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first column names what the row is about."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What an experiment was, what it found, and what a reader must know to judge it."""

    title: str
    paper: str  # what it follows: paper and figure or table
    name: str = ""
    command: str = ""  # as it was run
    date: str = ""
    data: str = ""  # what the photos were
    cut: tuple[str, ...] = ()  # what was cut against the paper, and why
    published: Table | None = None
    tables: tuple[Table, ...] = ()
    figures: tuple[tuple[str, Path], ...] = ()  # caption, SVG or PNG file
    says: tuple[str, ...] = ()  # conclusions


def write_page(experiment: Experiment, path: Path) -> None:
    """Write the experiment as one HTML file.

    Raises
    ------
    CamtraceError
        A figure cannot be read, or is neither SVG nor PNG.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("camtrace.lab"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    html = environment.get_template("experiment.html").render(
        experiment=experiment,
        figures=[(caption, _data_uri(figure)) for caption, figure in experiment.figures],
        tables=[_shown(table) for table in (experiment.published, *experiment.tables) if table is not None],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, "utf-8", newline="\n")


def percent(share: tuple[float, float, float] | None) -> str:
    """A share of 0 to 1 with its interval, as people read it: `75.2 % (71.3 to 79.1)`."""
    if share is None:
        return NOT_AVAILABLE
    value, low, high = (100 * part for part in share)
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def write_table(rows: Sequence[Mapping[str, Any]], stem: Path) -> None:
    """Write the same rows as `stem`.csv and `stem`.json.

    An interval (value, low, high) under `name` becomes `name`, `name_low` and `name_high`. None and numbers that are not finite are an
    empty cell and null.
    """
    intervals = {name for row in rows for name, value in row.items() if isinstance(value, tuple)}
    flat = [_flat(row, intervals) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    stem.parent.mkdir(parents=True, exist_ok=True)
    with stem.with_name(f"{stem.name}.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    text = json.dumps(flat, indent=1, ensure_ascii=False, allow_nan=False)
    stem.with_name(f"{stem.name}.json").write_text(f"{text}\n", "utf-8", newline="\n")


def _flat(row: Mapping[str, Any], intervals: set[str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name in intervals:
            parts = (None, None, None) if value is None else value
            flat |= {f"{name}{end}": _plain(part) for end, part in zip(("", "_low", "_high"), parts, strict=True)}
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """A value that JSON and CSV both know."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class _Shown:
    """A table as the template writes it."""

    title: str
    head: list[tuple[str, bool]]  # text, whether the column holds numbers
    rows: list[list[tuple[str, bool]]]
    note: str


def _shown(table: Table) -> _Shown:
    width = max(map(len, (table.head, *table.rows)))
    texts = [[_text(cell) for cell in row] + [""] * (width - len(row)) for row in (table.head, *table.rows)]
    numeric = [number > 0 and all(map(_reads_as_number, column[1:])) for number, column in enumerate(zip(*texts, strict=True))]
    head, *rows = ([*zip(row, numeric, strict=True)] for row in texts)
    return _Shown(table.title, head, rows, table.note)


def _text(cell: Cell) -> str:
    if cell is None:
        return NOT_AVAILABLE
    return f"{cell:.10g}" if isinstance(cell, float | np.floating) else str(cell)


def _reads_as_number(text: str) -> bool:
    """Whether a cell belongs in a column of numbers, which are set flush right."""
    return text in ("", NOT_AVAILABLE) or text.lstrip("+-")[:1].isdigit()


def _data_uri(figure: Path) -> str:
    media_type = _MEDIA_TYPES.get(figure.suffix.lower())
    if media_type is None:
        raise CamtraceError(f"{figure}: not a figure that a page can hold; expected .svg or .png")
    try:
        content = figure.read_bytes()
    except OSError as error:
        raise CamtraceError(
            f"{figure}: cannot be read as a figure: {error.strerror or error}; draw it again with `camtrace lab reproduce`"
        ) from error
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
