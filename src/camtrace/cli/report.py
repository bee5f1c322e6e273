"""`camtrace report`: verdicts as a report for a court file, and whether such a report still holds.

Heavy imports wait until the command needs them. Exit status: 0 all judged, or the report holds; 1 some photo could not be judged, or
something differs; 2 wrong usage, or an extra is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camtrace.cli.localize import check_targets
from camtrace.cli.parts import choose, counting, expand, open_all, report_empty, write_output

if TYPE_CHECKING:
    from camtrace.reports.report import Report

FORMATS = (".html", ".htm", ".pdf")


def _check_mode(value: str) -> str:
    from camtrace.calibration import MODES

    return choose(value, MODES)


def _check_out(value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{value} ends in none of {', '.join(FORMATS)}")
    return value


PhotosArgument = Annotated[
    list[str] | None, typer.Argument(metavar="PHOTO...", help="Photos, folders of photos, or - for standard input.")
]
OutOption = Annotated[Path | None, typer.Option("--out", callback=_check_out, help="The file to write: .html, or .pdf.")]
VerifyOption = Annotated[
    Path | None, typer.Option("--verify", help="Judge the photos of this report anew, and say what differs; writes nothing.")
]
BundleOption = Annotated[Path | None, typer.Option("--bundle", help="Bundle folder to judge with; the one that ships if not given.")]
ModeOption = Annotated[
    str, typer.Option(callback=_check_mode, help="careful, balanced or guess: how sure it must be to name a camera.")
]
DevicesOption = Annotated[Path | None, typer.Option("--device-db", help="Also say which device of this database took it.")]
LocalizeOption = Annotated[bool, typer.Option("--localize/--no-localize", help="Also look for parts that come from elsewhere.")]
QuestionOption = Annotated[str | None, typer.Option(help="What was asked, where it is not which camera model took the photos.")]


def report(
    photos: PhotosArgument = None,
    out: OutOption = None,
    verify: VerifyOption = None,
    bundle: BundleOption = None,
    mode: ModeOption = "balanced",
    device_db: DevicesOption = None,
    localize: LocalizeOption = True,
    case: Annotated[str | None, typer.Option(help="What the report is for: a number, a name.")] = None,
    examiner: Annotated[str | None, typer.Option(help="Who answers for the report.")] = None,
    question: QuestionOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Write a report of verdicts for a court file, as one HTML page or PDF, or check one with --verify.

    It says what was asked and found in words, how sure that is, how often such findings are wrong, and how to check it.
    """
    if verify is not None:
        if out is not None:
            raise typer.BadParameter("--verify writes nothing; leave out --out")
        _verify(verify, photos or [], bundle, device_db)
    if out is None:
        raise typer.BadParameter("--out is missing: the file to write, .html or .pdf")
    found, empty = expand(photos or [])
    report_empty(empty)
    _check_before_work(out, found, force=force)
    asked = {"mode": mode, "localize": localize, "case": case, "examiner": examiner, "question": question}
    made = _make(found, {**asked, "bundle": bundle, "device_db": device_db})
    _write(out, made, force=force)
    typer.echo(f"{out}: a report on {len(found)} photo(s), {made.failures} of them not judged")
    raise typer.Exit(1 if made.failures or empty else 0)


def _check_before_work(out: Path, photos: list[str], *, force: bool) -> None:
    """Refuse what cannot end well."""
    if not photos:
        raise typer.BadParameter("no photo was given, expected at least one")
    if photos.count("-") > 1:
        raise typer.BadParameter("- stands for standard input, which can be read only once")
    for photo in photos:
        check_targets([out], photo, force=force)
    from camtrace.reports.report import MissingExtraError, check_pdf

    try:
        if out.suffix.lower() == ".pdf":
            check_pdf()
    except MissingExtraError as error:
        raise typer.BadParameter(str(error)) from error


def _make(photos: list[str], options: dict[str, Any]) -> Report:
    from camtrace.reports.report import make_report

    names = ["<stdin>" if photo == "-" else photo for photo in photos]
    with counting(len(photos), "reporting") as advance:
        return make_report(open_all(photos), names=names, on_photo=advance, **options)


def _write(out: Path, made: Report, *, force: bool) -> None:
    """Write the file; one that came to be since the check is not written over either."""
    write_output(out, made.to_pdf() if out.suffix.lower() == ".pdf" else made.html.encode(), force=force)


def _verify(path: Path, photos: list[str], bundle: Path | None, device_db: Path | None) -> None:
    """Print what a comparison gave, and exit."""
    from camtrace.reports.verify import verify

    if not path.is_file():
        raise typer.BadParameter(f"{path}: no such file, expected a report")
    found, _ = expand(photos)
    result = verify(path, [Path(photo) for photo in found], bundle=bundle, device_db=device_db)
    typer.echo(f"{path}: {'holds' if result.same else 'DIFFERS'}")
    for title, lines in (("Checked:", result.checked), ("Differs:", result.differences), ("Note:", result.notes)):
        for line in lines:
            typer.echo(f"  {title:<9} {line}")
    raise typer.Exit(0 if result.same else 1)
