"""Verdicts -> text, JSON, JSON lines, CSV or Parquet: one writer each, streaming, no arithmetic beyond the layout.

`WRITERS` maps the name of `--to` to its function; a writer takes verdicts and a text stream. `to_line` gives one verdict as a line of
a file that grows, and `write_parquet` turns such lines into a table with the fields of `verdict.schema.json`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from camtrace import plugins
from camtrace.claim import agrees
from camtrace.screening import visible
from camtrace.types import UNKNOWN, BundleId, Claim, Level, Ranked, Verdict

if TYPE_CHECKING:
    import pyarrow

_RUNNERS_UP = 3
_NEXT_LINE = "\n" + " " * 15
_AGREED: dict[Level, str] = {"model": "the same camera", "family": "one of these cameras", "maker": "the same maker"}
_NOTHING_FOLLOWS = "the pixels name none, so nothing follows for or against it"
_DISAGREEMENT = (
    "It may be a changed EXIF, another program or device that saved the file, a photo of a screen, or a wrong verdict"
    " (see the card for how often); it is no proof of forgery."
)
_CSV_FIELDS = (
    *("source", "sha256", "status", "answer", "answer_level", "best", "best_votes", "n_patches", "probability", "log10_lr"),
    *("claim_make", "claim_model", "claim_agrees", "reason", "bundle_name", "bundle_version"),
)
_ROWS_AT_ONCE = 1000  # of a Parquet file, so that memory stays small; some megabytes


def write_text(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """What a person wants to read: the answer, how sure, what the EXIF claims, the runners-up."""
    for number, verdict in enumerate(verdicts):
        out.write(("\n" if number else "") + to_text(verdict))
        out.flush()


def write_json(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """A JSON list of verdicts."""
    out.write("[")
    for number, verdict in enumerate(verdicts):
        out.write(("," if number else "") + "\n" + verdict.to_json())
    out.write("\n]\n")


def write_one_json(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """The verdict of a single photo as one JSON object."""
    for verdict in verdicts:
        out.write(verdict.to_json() + "\n")


def write_jsonl(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """One verdict a line."""
    for verdict in verdicts:
        out.write(to_line(verdict, "jsonl"))
        out.flush()


def write_csv(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """One row a verdict, without the ranking beyond its first line."""
    out.write(HEADERS["csv"])
    for verdict in verdicts:
        out.write(to_line(verdict, "csv"))


def to_line(verdict: Verdict, form: str) -> str:
    """One verdict as a line of a file in JSON lines or CSV, its end of line included; a CSV line may hold more, within quotes."""
    return _csv_line(_csv_row(verdict).values()) if form == "csv" else verdict.to_json(indent=None) + "\n"


def read_verdict(document: dict[str, Any]) -> Verdict:
    """What `Verdict.to_dict` gave, as a verdict again; raises TypeError or KeyError where it is none."""
    fields = {name: value for name, value in document.items() if name != "schema_version"}
    ranking = tuple(Ranked(**line) for line in fields["ranking"])
    return Verdict(**{**fields, "ranking": ranking, "claim": Claim(**fields["claim"]), "bundle": BundleId(**fields["bundle"])})


def write_parquet(documents: Iterable[dict[str, Any]], path: Path) -> None:
    """Verdicts as `Verdict.to_dict` gives them -> one Parquet file, some at a time. Needs pyarrow."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, parquet_schema()) as writer:
        for rows in _in_parts(documents, _ROWS_AT_ONCE):
            writer.write_table(to_table(rows))


def to_table(documents: Iterable[dict[str, Any]]) -> pyarrow.Table:
    """Verdicts as `Verdict.to_dict` gives them -> an Arrow table. Needs pyarrow."""
    import pyarrow

    return pyarrow.Table.from_pylist([_as_text(document) for document in documents], schema=parquet_schema())


def parquet_schema() -> pyarrow.Schema:
    """The fields of a verdict, nested as in JSON: `claim`, `bundle` and `ranking` are structs. Needs pyarrow."""
    import pyarrow as pa

    text = pa.string()
    words = dict.fromkeys(("source", "sha256", "status", "answer", "answer_level", "best", "reason"), text)
    ranked = pa.struct({"camera": text, "probability": pa.float64(), "votes": pa.int32()})
    return pa.schema(
        {
            "schema_version": pa.int32(),
            **words,
            "ranking": pa.list_(ranked),
            "n_patches": pa.int32(),
            "log10_lr": pa.float64(),
            "claim": pa.struct({"make": text, "model": text}),
            "claim_agrees": pa.bool_(),
            "bundle": pa.struct({"name": text, "version": text}),
        }
    )


Writer = Callable[[Iterable[Verdict], TextIO], None]
_BUILT_IN: dict[str, Writer] = {"text": write_text, "json": write_json, "jsonl": write_jsonl, "csv": write_csv}

WRITERS = plugins.extend(_BUILT_IN, plugins.OUTPUTS)
"""Form by name -> function(verdicts, text stream), those of plug-ins too."""

FORMS = plugins.extend(dict.fromkeys((*_BUILT_IN, "parquet")), plugins.OUTPUTS)
"""The names that `--to` offers; Parquet goes to files only, the forms of plug-ins to standard output only."""

HEADERS = {"jsonl": "", "csv": ",".join(_CSV_FIELDS) + "\n"}
"""What stands before the first line of a file that grows, by form."""


def to_text(verdict: Verdict) -> str:
    """One verdict in words."""
    lines = [visible(verdict.source)]
    if verdict.status != "ok":
        return "\n".join([*lines, f"  not judged ({verdict.status}): {verdict.reason}", ""])
    first = verdict.ranking[0]
    lines.append(f"  {answer_in_words(verdict)}")
    lines.append(f"  {'Closest:    ' if verdict.answer != first.camera else 'Evidence:   '} {evidence_in_words(verdict)}")
    runners_up = [f"{line.camera} ({_share_in_words(line, verdict)})" for line in verdict.ranking[1 : 1 + _RUNNERS_UP]]
    lines.append(f"  Runners-up:  {', '.join(runners_up)}")
    lines.append(f"  EXIF claims: {claim_in_words(verdict)}")
    lines.append(f"  Why:         {verdict.reason}")
    lines.append(f"  Bundle:      {verdict.bundle.name} {verdict.bundle.version}")
    return "\n".join([*lines, ""])


def answer_in_words(verdict: Verdict) -> str:
    """The answer, and what its level means."""
    if verdict.answer_level == "unknown":
        return "Unknown: the evidence does not suffice to name a camera that this bundle knows."
    if verdict.answer_level == "family":
        return f"Camera:      {verdict.answer}; which of them cannot be told"
    if verdict.answer_level == "maker":
        return f"Maker:       {verdict.answer}; which model cannot be told"
    return f"Camera:      {verdict.answer}"


def evidence_in_words(verdict: Verdict) -> str:
    """How strongly the patches speak for the best camera."""
    first = verdict.ranking[0]
    named = "" if verdict.answer == first.camera else f"{first.camera}, "
    if first.probability is None or verdict.log10_lr is None:
        return f"{named}{first.votes} of {verdict.n_patches} patches vote for it; not calibrated into a probability"
    ratio = 10 ** abs(verdict.log10_lr)
    more = "more" if verdict.log10_lr >= 0 else "less"
    return (
        f"{named}probability {first.probability:.0%}; what the patches show is {ratio:,.{0 if ratio >= 10 else 1}f} times {more} "
        "likely from this model than from another"
    )


def _share_in_words(line: Ranked, verdict: Verdict) -> str:
    return f"{line.votes} of {verdict.n_patches}" if line.probability is None else f"{line.probability:.1%}"


def claim_in_words(verdict: Verdict) -> str:
    """What the EXIF claims, whether the verdict bears it out, and what that means and does not mean; one or two lines."""
    claimed = " ".join(part for part in (verdict.claim.make, verdict.claim.model) if part)
    if not claimed:
        return "nothing"
    if verdict.claim.model and verdict.answer == UNKNOWN:
        known = any(agrees(verdict.claim, line.camera) for line in verdict.ranking)
        return f"{claimed} - a camera that this bundle {'knows' if known else 'does not know'}; {_NOTHING_FOLLOWS}"
    if verdict.claim_agrees is None:
        return f"{claimed} - this names no camera to compare, so nothing follows"
    if verdict.claim_agrees:
        return f"{claimed} - this names {_AGREED[verdict.answer_level]} (no proof: anyone can write it)"
    return f"{claimed} - DISAGREES: the pixels speak for {verdict.answer}{_NEXT_LINE}{_DISAGREEMENT}"


def _csv_row(verdict: Verdict) -> dict[str, object]:
    fields = verdict.to_dict()
    first = verdict.ranking[0] if verdict.ranking else None
    nested = {
        "best_votes": first.votes if first else None,
        "probability": first.probability if first else None,
        "claim_make": verdict.claim.make,
        "claim_model": verdict.claim.model,
        "bundle_name": verdict.bundle.name,
        "bundle_version": verdict.bundle.version,
    }
    return {name: nested.get(name, fields.get(name)) for name in _CSV_FIELDS}


def _csv_line(values: Iterable[object]) -> str:
    # with the line end of RFC 4180 the writer quotes both of its characters: a file's name may hold either
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _in_parts(documents: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    feed = iter(documents)
    while part := list(islice(feed, size)):
        yield part


def _as_text(document: dict[str, Any]) -> dict[str, Any]:
    """A file's name may hold bytes that are no text, which Parquet refuses; such a name may stand in the reason as well."""
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    return document | {name: value.encode("utf-8", "backslashreplace").decode() for name, value in texts.items()}
