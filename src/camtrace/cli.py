"""The command line: thin commands, no arithmetic. Heavy imports wait until a command needs them.

Exit status: 0 all done, 1 some file failed (the others are still reported), 2 wrong usage.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from camtrace.types import CamtraceError, VotingWay

if TYPE_CHECKING:
    from camtrace.photo import Source
    from camtrace.types import Verdict

app = typer.Typer(
    name="camtrace",
    help="Tell which camera model took a photo, from its pixels alone, and say honestly when it cannot be told.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BundleOption = Annotated[Path | None, typer.Option("--bundle", help="Bundle folder to judge with; the one that ships if not given.")]


def main() -> None:
    """Entry point of the `camtrace` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold bytes that are no text
    try:
        app()
    except CamtraceError as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"camtrace: {message}", err=True)
    raise SystemExit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from camtrace import __version__

        typer.echo(f"camtrace {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _choice(value: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    if value not in names:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}")
    return value


def _check_format(value: str) -> str:
    from camtrace.outputs import WRITERS

    return _choice(value, WRITERS)


def _check_table_format(value: str) -> str:
    return _choice(value, ("text", "json"))


def _check_vote(value: str | None) -> str | None:
    from camtrace.vote import WAYS

    return value if value is None else _choice(value, WAYS)


@app.command()
def identify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Photos, folders of photos, or - for standard input.")],
    to: Annotated[str, typer.Option("--to", callback=_check_format, help="text, json, jsonl or csv.")] = "text",
    bundle: BundleOption = None,
    patches: Annotated[int | None, typer.Option(min=1, help="How many patches are asked at most. [default: the bundle's, 32]")] = None,
    vote: Annotated[
        str | None, typer.Option(callback=_check_vote, help="majority or summed. [default: the bundle's better one]")
    ] = None,
) -> None:
    """Say which camera model took each photo.

    One result per photo, in input order. `--to json` gives one object for a single photo and a list for several paths or a folder.
    """
    from camtrace.identification import identify_many, ready
    from camtrace.outputs import WRITERS, write_one_json

    loaded = ready(bundle)
    photos, empty = _expand(paths)
    single = to == "json" and len(paths) == 1 and not _is_folder(paths[0])
    failures = len(empty)
    for folder in empty:
        typer.echo(f"camtrace: {folder}: no photos in this folder", err=True)

    def counted() -> Iterator[Verdict]:
        nonlocal failures
        for verdict in identify_many(_opened(photos), bundle=loaded, patches=patches, vote=_way(vote)):
            failures += verdict.status != "ok"
            yield verdict
            advance(verdict)

    writer = write_one_json if single else WRITERS[to]
    # where the results themselves scroll by on the terminal, a bar would only be in their way
    with _progress(0 if sys.stdout.isatty() else len(photos), "identifying") as advance:
        writer(counted(), sys.stdout)
    raise typer.Exit(1 if failures else 0)


@app.command()
def enroll(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with one sub-folder of photos for each camera.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write.")],
    bundle: BundleOption = None,
    only: Annotated[bool, typer.Option("--only", help="Know just these cameras, not those of the base bundle.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is at --out.")] = False,
) -> None:
    """Teach new cameras from a few photos each, and write a bundle that knows them.

    The network stays as it is, only the SVMs are fitted anew. A sub-folder's name becomes the camera's, underscores as spaces.
    """
    from camtrace.enrolment import enroll as run
    from camtrace.enrolment import find_albums

    total = sum(map(len, find_albums(folder).values()))
    with _progress(total, "enrolling") as advance:
        enrolment = run(folder, out=out, bundle=bundle, only=only, force=force, on_photo=advance)
    for warning in enrolment.warnings:
        typer.echo(f"camtrace: warning: {warning}", err=True)
    for reason in enrolment.failures.values():
        typer.echo(f"camtrace: left out: {reason}", err=True)
    manifest = enrolment.bundle.manifest
    added = ", ".join(f"{name} ({count} photos)" for name, count in enrolment.photos.items())
    typer.echo(f"{out} now knows {len(manifest.cameras)} cameras; taught now: {added}")
    judged = manifest.accuracy
    if judged["photos"]:
        typer.echo(f"Checked: {judged['right']} of {judged['photos']} photos named rightly; {judged['protocol']}")
    raise typer.Exit(1 if enrolment.failures else 0)


@app.command()
def cameras(
    bundle: BundleOption = None,
    to: Annotated[str, typer.Option("--to", callback=_check_table_format, help="text or json.")] = "text",
) -> None:
    """List the cameras that a bundle knows, with the accuracy measured for each."""
    from dataclasses import asdict

    from camtrace.card import measured
    from camtrace.identification import ready

    loaded = ready(bundle)
    known = loaded.manifest.cameras
    if to == "json":
        typer.echo(json.dumps({"bundle": asdict(loaded.id), "cameras": [asdict(camera) for camera in known]}, indent=2))
        return
    typer.echo(f"{loaded.id.name} {loaded.id.version} knows {len(known)} cameras. Named rightly, of the photos tested:\n")
    width = max(len(camera.name) for camera in known)
    for camera in known:
        typer.echo(f"  {camera.name:<{width}}  taught by {camera.photos:3} photos  {measured(camera)}")
    for protocol in sorted({camera.protocol for camera in known if camera.protocol}):
        typer.echo(f"\nTested on {protocol}.")


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="Keep the demo's photos and bundle in this new folder.")] = None,
    seed: Annotated[int, typer.Option(help="Other cameras and scenes.")] = 1,
) -> None:
    """Make photos with simulated cameras, enroll these, and identify questioned photos: the main job, in a minute."""
    from camtrace.demo import run_demo

    run_demo(out=out, seed=seed, echo=typer.echo)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def lab(context: typer.Context) -> None:
    """Train and evaluate: needs the extra camtrace[lab]. `camtrace lab --help` lists its commands."""
    try:
        laboratory = importlib.import_module("camtrace.lab.cli_data")  # by name: only the lab may import the lab
        if context.args[:1] not in laboratory.ALONE:
            laboratory = importlib.import_module("camtrace.lab.cli")  # with PyTorch: seconds
        laboratory.app(context.args, prog_name="camtrace lab")
    except ModuleNotFoundError as error:
        _fail(f"the lab needs {error.name}; install it with: pip install 'camtrace[lab]'", 2)


def _way(vote: str | None) -> VotingWay | None:
    return "majority" if vote == "majority" else "summed" if vote == "summed" else None


def _expand(paths: list[str]) -> tuple[list[str], list[str]]:
    """Photos to judge, and the folders that hold none."""
    from camtrace.photo import find_photos

    photos: list[str] = []
    empty: list[str] = []
    for path in paths:
        if _is_folder(path):
            found = [str(photo) for photo in find_photos(Path(path))]
            photos += found
            if not found:
                empty.append(path)
        else:
            photos.append(path)
    return photos, empty


def _is_folder(path: str) -> bool:
    try:
        return path != "-" and Path(path).is_dir()
    except OSError:  # a name too long, a folder that may not be entered: the verdict will say it
        return False


def _opened(photos: list[str]) -> Iterator[Source]:
    for photo in photos:
        yield sys.stdin.buffer if photo == "-" else photo


@contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[object], None]]:
    """A progress bar on a terminal's standard error, nothing elsewhere; yields what to call after each step."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda _: bar.advance(task)
