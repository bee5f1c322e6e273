"""What was measured across folds as files: tables, and the part of a page between two marks that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camtrace.card import markdown_table
from camtrace.lab.page import write_table
from camtrace.lab.splicing_fit import exact_interval
from camtrace.lab.splicing_folds import Crossed
from camtrace.types import CamtraceError

FOLDS, LARGE = "folds", "large photos"
TABLE, AS_SHIPPED, LARGE_TABLE = "folds", "folds-as-shipped", "large"

_HEAD = (
    *(
        "asked about",
        "made of",
        "splices",
        "genuine",
        "pixel AUC, fused",
        "consistency alone",
        "noise",
        "JPEG grid",
        "doubled JPEG",
        "F1 at 0 / best",
    ),
    *("MCC", "IoU", "photo AUC", "found", "false alarms"),
)


def write_crossed(crossed: Crossed, out: Path) -> None:
    """Both tables as CSV and JSON."""
    lines = [{"fold": fold, **line} for fold, table in crossed.tables.items() for line in table]
    write_table(lines, out / TABLE)
    write_table(crossed.lines, out / AS_SHIPPED)


def to_markdown(crossed: Crossed) -> str:
    """Tables and how many genuine photos alarm, as Markdown."""
    rows = [(f"fold {fold}", line) for fold, table in crossed.tables.items() for line in table]
    alarms, genuine = (sum(counts) for counts in zip(*crossed.alarms.values(), strict=True))
    low, high = exact_interval(alarms, genuine)
    each = ", ".join(f"{count} of {total} of fold {fold}" for fold, (count, total) in crossed.alarms.items())
    thresholds = ", ".join(f"{fit.threshold:.2f} for fold {fold}" for fold, fit in crossed.fits.items())
    shipped, (few, many) = crossed.shipped, crossed.alarms_as_shipped
    return "\n".join(
        [
            "Each fold by weights and threshold of the other:",
            "",
            _table(rows),
            "",
            f"Genuine photos that alarm, all treatments together: {each}; {alarms} of {genuine} = {alarms / genuine:.1%} ({low:.1%} to "
            f"{high:.1%}, 95 %, exact binomial). Thresholds: {thresholds}.",
            "",
            f"By what ships (threshold {shipped.threshold:.2f}), fitted on {shipped.genuine} genuine photos of these folds and of "
            f"the bundle that ships: {few} of {many} genuine photos alarm, which is no independent figure.",
            "",
            _table([(f"fold {line['fold']}", line) for line in crossed.lines]),
        ]
    )


def _table(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    return markdown_table(_HEAD, ([name, *_cells(line)] for name, line in rows))


def _cells(line: dict[str, Any]) -> list[str]:
    aucs = [_number(line[name], 3) for name in ("pixel_auc", "auc_consistency", "auc_noise", "auc_grid", "auc_doubled")]
    f1 = f"{_number(line['f1'], 2)} / {_number(line['f1_best'], 2)}"
    rest = [_number(line["mcc"], 2), _number(line["iou"], 2), _number(line["photo_auc"], 3)]
    found = "-" if line["found"] is None else f"{line['found']:.0%}"
    alarms = f"{line['false_alarms']} of {line['genuine']}"
    return [line["kind"], str(line["splices"]), str(line["genuine"]), *aucs, f1, *rest, found, alarms]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write_large(lines: Sequence[dict[str, Any]], out: Path) -> None:
    """The table as CSV and JSON."""
    write_table(lines, out / LARGE_TABLE)


def large_to_markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    head = ("made photos", "splices", "genuine", "pixel AUC, fused", "median", "photo AUC", "found", "false alarms")
    rows = []
    for line in lines:
        aucs = [_number(line[name], 3) for name in ("pixel_auc", "pixel_auc_median", "photo_auc")]
        found = "-" if line["found"] is None else f"{line['found']:.0%}"
        rows.append(
            [line["kind"], str(line["splices"]), str(line["genuine"]), *aucs, found, f"{line['false_alarms']} of {line['genuine']}"]
        )
    return markdown_table(head, rows)


def marks(part: str) -> tuple[str, str]:
    """The lines of a page between which a part stands that is written by a command."""
    return f"<!-- {part}: written by camtrace.lab.splicing -->", f"<!-- end of {part} -->"


def put_into(page: Path, text: str, part: str) -> None:
    """Replace what stands between the two marks of a page; CamtraceError where it has not both."""
    begin, end = marks(part)
    old = page.read_text("utf-8")
    before, found, rest = old.partition(begin)
    if not found or end not in rest:
        raise CamtraceError(f"{page}: no place for the tables; expected the lines {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", "utf-8", newline="\n")
