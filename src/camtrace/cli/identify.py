"""`camtrace identify`: which camera model took each photo, of one photo or of very many.

Heavy imports wait until the command needs them. Exit status: 0 all judged, 1 some could not be, 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from camtrace.cli.batch import Request, judge_many, judge_on_cluster, writer
from camtrace.cli.parts import choose, counting, expand, need, open_all, report_empty

if TYPE_CHECKING:
    from camtrace.batches.batch import Task
    from camtrace.bundle import Bundle
    from camtrace.crosscheck import Crosscheck
    from camtrace.devices.store import Database
    from camtrace.photo import Source
    from camtrace.types import Mode, Verdict, VotingWay

BundleOption = Annotated[Path | None, typer.Option("--bundle", help="Bundle folder to judge with; the one that ships if not given.")]

ENGINES, COPIES = ("local", "ray"), ("reuse", "judge")
_MANY = "Many photos"


def _check_format(value: str) -> str:
    from camtrace.outputs import FORMS

    return choose(value, FORMS)


def _check_mode(value: str) -> str:
    from camtrace.calibration import MODES

    return choose(value, MODES)


def _check_vote(value: str | None) -> str | None:
    from camtrace.vote import WAYS

    return value if value is None else choose(value, WAYS)


def _many(*words: str, **options: Any) -> Any:
    """An option that only matters for many photos; they stand together in the help."""
    return typer.Option(*words, rich_help_panel=_MANY, **options)


PathsArgument = Annotated[list[str], typer.Argument(metavar="PATH...", help="Photos, folders of photos, or - for standard input.")]
ToOption = Annotated[str, typer.Option("--to", callback=_check_format, help="text, json, jsonl, csv or, with --out, parquet.")]
PatchesOption = Annotated[
    int | None,
    typer.Option("--patches", min=1, help="How many patches are asked at most. Else the bundle's number, mostly 64."),
]
VoteOption = Annotated[
    str | None, typer.Option("--vote", callback=_check_vote, help="majority or summed; else the bundle's better one.")
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode", callback=_check_mode, help="careful, balanced or guess: how sure it must be to name a camera; see the card."
    ),
]
DevicesOption = Annotated[
    Path | None,
    typer.Option("--device-db", help="Also say which device of this database took it; see camtrace device. Text only."),
]
OutOption = Annotated[
    str | None, _many("--out", help="Write jsonl, csv or parquet to this file, safe against a kill; with --engine ray a folder.")
]
ResumeOption = Annotated[bool, _many("--resume", help="Go on with the file at --out where a run like this was broken off.")]
ForceOption = Annotated[bool, _many("--force", help="Replace what is at --out.")]
JobsOption = Annotated[int | None, _many("--jobs", min=0, help="Worker processes; 0 = one for each core.")]
SecondsOption = Annotated[
    float | None, _many("--time-limit", min=0.1, help="Give a photo up after so many seconds; with --jobs 120 if not given.")
]
MemoryOption = Annotated[
    int | None, _many("--memory-limit", min=16, help="Give a photo up that needs more MiB than this beyond the bundle. Linux only.")
]
CopiesOption = Annotated[
    str,
    _many(
        "--duplicates",
        callback=lambda value: choose(value, COPIES),
        help="Copies of a photo, by the hash of their bytes: reuse the verdict, or judge each.",
    ),
]
EngineOption = Annotated[
    str, _many("--engine", callback=lambda value: choose(value, ENGINES), help="local, or ray: a cluster; needs camtrace\\[ray].")
]
AddressOption = Annotated[str | None, _many("--address", help="Ray cluster to use, for example auto; a local one if not given.")]


def identify(
    paths: PathsArgument,
    to: ToOption = "text",
    bundle: BundleOption = None,
    patches: PatchesOption = None,
    vote: VoteOption = None,
    mode: ModeOption = "balanced",
    device_db: DevicesOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    jobs: JobsOption = None,
    time_limit: SecondsOption = None,
    memory_limit: MemoryOption = None,
    duplicates: CopiesOption = "reuse",
    engine: EngineOption = "local",
    address: AddressOption = None,
) -> None:
    """Say which camera model took each photo.

    One result per photo, in input order. `--to json` gives one object for a single photo and a list for several paths or a folder.
    For very many photos see docs/batch.md.
    """
    from camtrace.batches.batch import Task

    task = Task(None if bundle is None else str(bundle), patches, cast("VotingWay | None", vote), cast("Mode", mode))
    request = Request(paths, to, bundle, task, out, resume, force, jobs, time_limit, memory_limit, duplicates, engine, address)
    _check(request, device_db)
    if request.engine == "ray":
        failed = judge_on_cluster(request)
    elif request.many:
        failed = judge_many(request)
    else:
        failed = _judge_few(request, device_db)
    raise typer.Exit(1 if failed else 0)


def _check(request: Request, devices: Path | None) -> None:
    """Refuse what does not go together, before any work."""
    for refused, message in (*_about_devices(request, devices), *_about_files(request), *_about_engines(request)):
        if refused:
            raise typer.BadParameter(message)
    if request.to == "parquet":
        need("pyarrow", "ray" if request.engine == "ray" else "parquet")
    if request.engine == "ray":
        need("ray", "ray")


def _about_devices(asked: Request, devices: Path | None) -> Iterator[tuple[bool, str]]:
    instead = "for devices use: camtrace device match --to json"
    yield devices is not None and asked.to != "text", f"--device-db adds to the text only, not to {asked.to}; {instead}"
    yield devices is not None and asked.many, "--device-db does not go with the options for many photos"


def _about_files(asked: Request) -> Iterator[tuple[bool, str]]:
    shown = asked.out in (None, "-")
    yield asked.resume and asked.force, "--resume goes on with a file, --force replaces it: only one of them"
    yield (asked.resume or asked.force) and shown, "--resume and --force are about a file: --out FILE"
    yield (
        not shown and asked.to not in ("jsonl", "csv", "parquet"),
        f"--out takes jsonl, csv or parquet, not {asked.to}: for example --to jsonl",
    )
    yield shown and asked.to == "parquet", "parquet is written to a file: --out FILE"
    yield asked.paths.count("-") > 1, "- stands for standard input, which can be read only once"
    yield asked.resume and "-" in asked.paths, "standard input cannot be read again: --resume needs files"


def _about_engines(asked: Request) -> Iterator[tuple[bool, str]]:
    ray = asked.engine == "ray"
    yield asked.memory is not None and sys.platform != "linux", "--memory-limit works on Linux only"
    yield asked.address is not None and not ray, "--address is that of a Ray cluster: --engine ray"
    yield ray and asked.to != "parquet", "--engine ray writes a folder of parquet files: --to parquet --out FOLDER"
    yield ray and asked.resume, "--resume goes on with a file of the local engine, not with a cluster's folder"
    yield ray and "-" in asked.paths, "--engine ray reads files, not standard input"


def _judge_few(request: Request, devices: Path | None) -> bool:
    """As it comes, in this process, to standard output; whether any photo failed."""
    from camtrace.identification import ready

    database = None if devices is None else _open_devices(devices)
    bundle = ready(request.bundle)
    photos, empty = expand(request.paths)
    report_empty(empty)
    judged = _judge_plainly(request.task, bundle, database, open_all(photos))
    failures = 0

    def counted(advance: Callable[[object], None]) -> Iterator[Any]:
        nonlocal failures
        for one in judged:
            failures += one.status != "ok"
            yield one
            advance(one)

    # where the results themselves scroll by on the terminal, a bar would only be in their way
    with counting(0 if sys.stdout.isatty() else len(photos), "identifying") as advance:
        (writer(request) if database is None else _write_both)(counted(advance), sys.stdout)
    return bool(failures or empty)


def _judge_plainly(
    task: Task, bundle: Bundle, database: Database | None, sources: Iterable[Source]
) -> Iterator[Verdict] | Iterator[Crosscheck]:
    if database is None:
        from camtrace.batches.batch import judge_here

        return judge_here(sources, bundle, task=task)
    from camtrace.crosscheck import crosscheck_many

    return crosscheck_many(sources, database, bundle=bundle, patches=task.patches, vote=task.vote, mode=task.mode)


def _open_devices(folder: Path) -> Database:
    from camtrace.devices.store import DeviceError, open_database

    database = open_database(folder)
    if not database.devices:
        raise DeviceError(f"{folder}: no device is enrolled here; enroll one with `camtrace device enroll`")
    return database


def _write_both(found: Iterable[Crosscheck], out: TextIO) -> None:
    from camtrace.crosscheck import write_text

    write_text(found, out)
