"""Verdicts -> text, JSON, JSON lines or CSV: one writer each, streaming, no arithmetic beyond the layout.

`WRITERS` maps the name of `--to` to its function; a writer takes verdicts and a text stream.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import TextIO

from camtrace.claim import agrees
from camtrace.types import UNKNOWN, Level, Ranked, Verdict

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
        out.write(verdict.to_json(indent=None) + "\n")
        out.flush()


def write_csv(verdicts: Iterable[Verdict], out: TextIO) -> None:
    """One row a verdict, without the ranking beyond its first line."""
    rows = csv.DictWriter(out, _CSV_FIELDS, lineterminator="\n")
    rows.writeheader()
    for verdict in verdicts:
        rows.writerow(_csv_row(verdict))


WRITERS: dict[str, Callable[[Iterable[Verdict], TextIO], None]] = {
    "text": write_text,
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
}


def to_text(verdict: Verdict) -> str:
    """One verdict in words."""
    lines = [f"{verdict.source}"]
    if verdict.status != "ok":
        return "\n".join([*lines, f"  not judged ({verdict.status}): {verdict.reason}", ""])
    first = verdict.ranking[0]
    lines.append(f"  {_answer_in_words(verdict)}")
    lines.append(f"  {'Closest:    ' if verdict.answer != first.camera else 'Evidence:   '} {_evidence_in_words(verdict)}")
    runners_up = [f"{line.camera} ({_share_in_words(line, verdict)})" for line in verdict.ranking[1 : 1 + _RUNNERS_UP]]
    lines.append(f"  Runners-up:  {', '.join(runners_up)}")
    lines.append(f"  EXIF claims: {_claim_in_words(verdict)}")
    lines.append(f"  Why:         {verdict.reason}")
    lines.append(f"  Bundle:      {verdict.bundle.name} {verdict.bundle.version}")
    return "\n".join([*lines, ""])


def _answer_in_words(verdict: Verdict) -> str:
    """The answer, and what its level means."""
    if verdict.answer_level == "unknown":
        return "Unknown: the evidence does not suffice to name a camera that this bundle knows."
    if verdict.answer_level == "family":
        return f"Camera:      {verdict.answer}; which of them cannot be told"
    if verdict.answer_level == "maker":
        return f"Maker:       {verdict.answer}; which model cannot be told"
    return f"Camera:      {verdict.answer}"


def _evidence_in_words(verdict: Verdict) -> str:
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


def _claim_in_words(verdict: Verdict) -> str:
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
