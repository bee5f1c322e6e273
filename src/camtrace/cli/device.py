"""`camtrace device`: enroll devices by their sensors' fingerprints, and say which of them took a photo.

Heavy imports wait until a command needs them.

Exit status: 0 all done, 1 some file failed (the others are still reported), 2 wrong usage.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camtrace.cli.parts import choose, expand, is_folder, need, open_all, progress, report_empty
from camtrace.screening import visible

if TYPE_CHECKING:
    from camtrace.devices.device import DeviceMatch, DeviceRanked, Pair
    from camtrace.devices.matching import Search

Show = Callable[[int, int], None]  # steps done, and those there are

app = typer.Typer(
    name="device",
    help="Tell which single device took a photo, by its sensor's fingerprint.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RANKED = 5
_GUESS = "auto"


def _check_format(value: str) -> str:
    return choose(value, ("text", "json"))


def _check_scales(value: str | None) -> str | None:
    """Wrong usage where the scales are no scales."""
    read_scales(value)
    return value


PhotosArgument = Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos, folders of photos, or - for standard input.")]
DatabaseOption = Annotated[Path, typer.Option("--db", help="Folder of the database of devices.")]
ToOption = Annotated[str, typer.Option("--to", callback=_check_format, help="text or json.")]
EverywhereOption = Annotated[bool, typer.Option("--everywhere", help="Try all shifts even where photo and fingerprint have one size.")]
StraightOption = Annotated[bool, typer.Option("--straight", help="Do not try quarter turns.")]


def read_scales(value: str | None) -> tuple[float, ...]:
    """`auto`, numbers with commas between, or FIRST:LAST:STEP, as scales that a photo may have been resized by.

    Raises
    ------
    typer.BadParameter
        It is none of these, or a scale is not between 0.05 and 20.
    """
    if value is None:
        return ()
    if value == _GUESS:
        from camtrace.devices.matching import SCALES

        return SCALES
    try:
        numbers = [float(part) for part in value.replace(":", ",").split(",")]
        if ":" in value:
            first, last, step = numbers
            count = int((last - first) / step + 1e-9) + 1
            numbers = [round(first + number * step, 6) for number in range(count)]
    except (ValueError, ZeroDivisionError, OverflowError):
        numbers = []
    if not numbers or len(numbers) > 10_000 or not all(0.05 <= number <= 20 for number in numbers):
        raise typer.BadParameter(f"{value!r} is not auto, scales with commas between, or FIRST:LAST:STEP, between 0.05 and 20")
    return tuple(numbers)


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="What to call the device.")],
    photos: PhotosArgument,
    db: DatabaseOption,
    add: Annotated[bool, typer.Option("--add", help="Continue the estimate of a device that is enrolled.")] = False,
) -> None:
    """Learn a device's fingerprint from 5 or more of its photos of one size; 20 or more, or flat fields, are better.

    Only hashes of the photos are kept. With --add, photos given before are not counted again.
    """
    from camtrace.devices.enrolment import enroll as run

    sources, empty = expand(photos)
    report_empty(empty)
    steps = itertools.count(1)
    with progress("enrolling") as show:
        enrolled = run(db, name, open_all(sources), add=add, on_photo=lambda _: show(next(steps), len(sources)))
    for warning in enrolled.warnings:
        typer.echo(f"camtrace: warning: {warning}", err=True)
    for reason in enrolled.failures.values():
        typer.echo(f"camtrace: left out: {reason}", err=True)
    if enrolled.repeated:
        typer.echo(f"camtrace: given before and not counted again: {len(enrolled.repeated)} photos", err=True)
    sizes = ", ".join(f"{len(one.photos)} of {one.width}x{one.height}, {one.kind}" for one in enrolled.device.prints)
    typer.echo(f"{name}: {enrolled.used} photos used now; the fingerprint rests on {sizes}")
    raise typer.Exit(1 if enrolled.failures or empty else 0)


@app.command()
def match(
    photos: PhotosArgument,
    db: DatabaseOption,
    to: ToOption = "text",
    scales: Annotated[
        str | None,
        typer.Option(callback=_check_scales, help="Also look for resized photos: auto, numbers like 0.5,0.8, or FIRST:LAST:STEP."),
    ] = None,
    everywhere: EverywhereOption = False,
    straight: StraightOption = False,
    shortlist: Annotated[
        int, typer.Option(min=0, help="Compare in full only so many devices, chosen by their sketches; 0 compares all.")
    ] = 0,
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0 = none, one photo after the other in this process.")] = 0,
    engine: Annotated[str, typer.Option(callback=_check_engine, help="local, or ray for a cluster (extra camtrace[ray]).")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster that is there already.")] = None,
) -> None:
    """Say which device of a database took each photo, with the numbers: PCE, p-value and likelihood ratio for each device.

    `--to json` gives one object for a single photo and a list for several paths or a folder.
    """
    if address and engine != "ray":
        raise typer.BadParameter("--address is that of a Ray cluster: --engine ray")
    sources, empty = expand(photos)
    if (jobs or engine == "ray") and "-" in sources:
        raise typer.BadParameter("workers read files, not standard input: leave out --jobs and --engine")
    report_empty(empty)
    search = _search(scales, everywhere=everywhere, straight=straight)
    found = []
    failures = len(empty)
    # where the results themselves scroll by on the terminal, a bar would only be in their way
    with progress("matching", shown=to == "json" or not sys.stdout.isatty() or bool(scales)) as show:
        for one in _matches(sources, db, search, shortlist, jobs=jobs, address=address, ray=engine == "ray", show=show):
            failures += one.status != "ok"
            found.append(one)
            if to == "text":
                typer.echo(("\n" if len(found) > 1 else "") + to_text(one))
    if to == "json":
        _print_json([one.to_dict() for one in found], single=len(photos) == 1 and not is_folder(photos[0]))
    raise typer.Exit(1 if failures else 0)


def _matches(
    sources: list[str], db: Path, search: Search, shortlist: int, *, jobs: int, address: str | None, ray: bool, show: Show
) -> Iterator[DeviceMatch]:
    """Results by the engine asked for."""
    from camtrace.devices.device import match as run
    from camtrace.devices.store import open_database

    database = open_database(db)
    if not ray and not jobs:
        for source in open_all(sources):
            yield run(source, database, search=search, shortlist=shortlist, on_step=show)
        return
    from camtrace.batches.devices import Task, match_in_pool, match_on_cluster

    task = Task(str(db), search, shortlist)
    if ray:
        need("ray", "ray")
        from camtrace.batches.cluster import Cluster

        found = match_on_cluster(sources, task, Cluster(address=address, actors=jobs or None))
    else:
        found = match_in_pool(sources, task, jobs=jobs)
    for number, one in enumerate(found, 1):
        show(number, len(sources))
        yield one


def _check_engine(value: str) -> str:
    return choose(value, ("local", "ray"))


def _search(scales: str | None, *, everywhere: bool, straight: bool) -> Search:
    from camtrace.devices.matching import ROTATIONS, Search

    numbers = read_scales(scales)
    return Search((0,) if straight else ROTATIONS, numbers, exact_scale=scales is not None, everywhere=everywhere)


@app.command("list")
def list_devices(db: DatabaseOption, to: ToOption = "text") -> None:
    """List the devices of a database: how many photos taught each, of which sizes and kinds."""
    from camtrace.devices.store import open_database

    database = open_database(db)
    if to == "json":
        devices = [
            {"device": one.name, "photos": one.photos, "claims": one.claims, "prints": [vars(part) for part in one.prints]}
            for one in database.devices.values()
        ]
        typer.echo(json.dumps({"db": str(db), "devices": devices}, indent=2))
        return
    width = max(map(len, database.devices), default=0)
    for device in database.devices.values():
        sizes = ", ".join(f"{len(one.photos)} photos of {one.width}x{one.height} ({one.kind})" for one in device.prints)
        claims = f"; EXIF claims {', '.join(device.claims)}" if device.claims else ""
        typer.echo(f"{device.name:<{width}}  {sizes}{claims}")
    if not database.devices:
        typer.echo("no device is enrolled here")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The device.")],
    db: DatabaseOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a device out of a database. Its estimate cannot be had back without its photos."""
    from camtrace.devices.enrolment import remove as run
    from camtrace.devices.store import open_database

    device = open_database(db).find(name)
    if not yes:
        typer.confirm(f"Remove {name!r}, taught by {device.photos} photos, from {db}?", abort=True, err=True)
    run(db, name)
    typer.echo(f"{name}: removed from {db}")


@app.command()
def same(photos: PhotosArgument, to: ToOption = "text", everywhere: EverywhereOption = False, straight: StraightOption = False) -> None:
    """Compare photos with each other, each pair once, to see whether two come from one sensor.

    Weak: a single photo is a poor fingerprint, so that a low PCE says nothing. Enroll a device where you can.
    """
    from camtrace.devices.device import same as run

    sources, empty = expand(photos)
    report_empty(empty)
    if len(sources) < 2:
        raise typer.BadParameter(f"at least two photos are compared with each other, found {len(sources)}")
    pairs = list(run(open_all(sources), search=_search(None, everywhere=everywhere, straight=straight)))
    if to == "json":
        typer.echo(json.dumps([pair.to_dict() for pair in pairs], indent=2))
    else:
        for pair in pairs:
            typer.echo(_pair_text(pair))
        typer.echo("\nA low PCE between single photos says nothing: their fingerprints are weak.")
    raise typer.Exit(1 if empty else 0)


def to_text(match: DeviceMatch) -> str:
    """One result in words: never a name without its numbers."""
    lines = [visible(match.source)]
    if match.status != "ok":
        return "\n".join([*lines, f"  not judged ({match.status}): {match.reason}"])
    if match.answer == match.best:
        lines.append(f"  Device:    {match.answer}")
    else:
        lines.append("  Unknown: the evidence does not suffice to name a device of this database.")
    lines.append(f"  Why:       {match.reason}")
    lines += [f"  {'Ranking:' if not number else '':<10} {_line(one)}" for number, one in enumerate(match.ranking[:_RANKED])]
    if len(match.ranking) > _RANKED:
        lines.append(f"  {'':<10} and {len(match.ranking) - _RANKED} more")
    lines.append(f"  Threshold: {_rates(match.threshold)}")
    searched = match.searched
    turns = ", ".join(map(str, searched["rotations"]))
    scales = len(searched["scales"])
    lines.append(f"  Searched:  {searched['places']} places: shifts {searched['shifts']}, turns of {turns} degrees, {scales} scale(s)")
    lines += [f"  {'Not searched:' if not number else '':<13} {one}" for number, one in enumerate(searched["not_searched"])]
    return "\n".join([*lines, *(f"  Warning:   {warning}" for warning in match.warnings)])


def _line(one: DeviceRanked) -> str:
    ratio = "likelihood ratio not calibrated for this case" if one.log10_lr is None else f"log10 LR {one.log10_lr:+.1f}"
    row, column = one.shift
    place = f", at row {row}, column {column}" if any(one.shift) else ""
    return f"{one.device}: PCE {one.pce:.1f}, p {one.p_value:.1e}, {ratio}{place}"


def _rates(threshold: dict[str, Any]) -> str:
    alarms, compared = threshold["false_alarms"], threshold["non_matching"]
    return (
        f"PCE {threshold['pce']:g} ({threshold['case']}); {alarms} of {compared} measured comparisons with other devices reached it "
        f"(95 % limit {threshold['rate_at_most']:.2%}), the highest was {threshold['highest_other']:g}"
    )


def _pair_text(pair: Pair) -> str:
    if pair.found is None:
        return f"{visible(pair.first)} - {visible(pair.second)}: not compared, neither photo fits within the other"
    return f"{visible(pair.first)} - {visible(pair.second)}: PCE {pair.found.pce:.1f}, p {pair.found.p_value:.1e}"


def _print_json(documents: list[dict[str, Any]], *, single: bool) -> None:
    typer.echo(json.dumps(documents[0] if single and documents else documents, indent=2))
