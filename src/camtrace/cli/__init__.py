"""The command line: thin commands, no arithmetic. Heavy imports wait until a command needs them.

Exit status: 0 all done, 1 some file failed (the others are still reported), 2 wrong usage.
"""

from __future__ import annotations

import importlib
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from camtrace.cli.identify import BundleOption, identify
from camtrace.cli.parts import choose, counting, expand, is_folder, open_all, progress, report_empty

if TYPE_CHECKING:
    from camtrace.likeness import Likeness

_ELSEWHERE = {
    "localize": ("localize", "localize"),
    "device": ("device", "app"),
    "report": ("report", "report"),
    "serve": ("web", "serve"),
    "export-web": ("web", "export_web"),
    "doctor": ("doctor", "doctor"),
}
"""Commands whose modules are imported only when they are asked for, and what is taken from them."""


class _Commands(TyperGroup):
    """All commands: importing some takes longer than saying the version may."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        late: dict[str, Any] = dict.fromkeys(_ELSEWHERE)
        self.commands.update(late)  # by name only: for help, completion and suggestions

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, imported if need be."""
        if cmd_name in _ELSEWHERE:
            module, name = _ELSEWHERE[cmd_name]
            return _as_command(getattr(importlib.import_module(f"{__name__}.{module}"), name), cmd_name)
        return super().get_command(ctx, cmd_name)


def _as_command(found: typer.Typer | Callable[..., object], name: str) -> Any:
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="camtrace",
    cls=_Commands,
    help="Tell which camera model took a photo, from its pixels alone, and say honestly when it cannot be told.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `camtrace` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold bytes that are no text
    try:
        app()
    except Exception as error:
        from camtrace.types import CamtraceError

        if not isinstance(error, CamtraceError):
            raise
        _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"camtrace: {message}", err=True)
    raise SystemExit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from camtrace import __version__

        typer.echo(f"camtrace {__version__}")
        raise typer.Exit


app.command()(identify)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _check_pair_format(value: str) -> str:
    return choose(value, ("text", "json", "jsonl"))


def _check_table_format(value: str) -> str:
    return choose(value, ("text", "json"))


@app.command()
def compare(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Two photos or more, folders of photos, or - for standard input once.")
    ],
    to: Annotated[str, typer.Option("--to", callback=_check_pair_format, help="text, json or jsonl.")] = "text",
    bundle: BundleOption = None,
) -> None:
    """Say whether two photos were taken by the same camera model, whichever it is; of more than two, every pair.

    `--to json` gives one object for two photos and a list for more or a folder. An answer is a likelihood ratio, not a decision.
    """
    from camtrace.identification import ready
    from camtrace.likeness import WRITERS, compare_many, write_one_json

    photos, empty = expand(paths)
    report_empty(empty)
    if len(photos) < 2:
        raise typer.BadParameter(f"at least two photos are compared with each other, found {len(photos)}")
    if photos.count("-") > 1:
        raise typer.BadParameter("- stands for standard input, which can be read only once")
    loaded = ready(bundle)
    failed = bool(empty)
    steps = itertools.count(1)

    def judged(pairs: Iterable[Likeness]) -> Iterator[Likeness]:
        nonlocal failed
        for likeness in pairs:
            failed |= likeness.log10_lr is None
            yield likeness

    single = to == "json" and len(paths) == 2 and not any(map(is_folder, paths))
    with progress("reading") as show:
        pairs = compare_many(open_all(photos), bundle=loaded, on_photo=lambda _: show(next(steps), len(photos)))
        (write_one_json if single else WRITERS[to])(judged(pairs), sys.stdout)
    raise typer.Exit(1 if failed else 0)


@app.command()
def enroll(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with one sub-folder of photos for each camera.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write.")],
    bundle: BundleOption = None,
    only: Annotated[bool, typer.Option("--only", help="Know just these cameras, not those of the base bundle.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is at --out.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes that read the photos; 0 = one for each core.")] = 1,
) -> None:
    """Teach new cameras from a few photos each, and write a bundle that knows them.

    The network stays as it is, only the classifiers on its features are fitted anew. A sub-folder's name becomes the camera's,
    underscores as spaces.
    """
    from camtrace.batches.enrolling import enroll as run
    from camtrace.enrolment import find_albums
    from camtrace.runtime import cores

    total = sum(map(len, find_albums(folder).values()))
    with counting(total, "enrolling") as advance:
        enrolment = run(folder, out=out, bundle=bundle, only=only, force=force, on_photo=advance, jobs=jobs or cores())
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
    """Train and evaluate: needs the extra lab of camtrace. `camtrace lab --help` lists its commands."""
    try:
        laboratory = importlib.import_module("camtrace.lab.cli_data")  # by name: only the lab may import the lab
        if context.args[:1] not in laboratory.ALONE:
            laboratory = importlib.import_module("camtrace.lab.cli")  # with PyTorch: seconds
        laboratory.app(context.args, prog_name="camtrace lab")
    except ModuleNotFoundError as error:
        _fail(f"the lab needs {error.name}; install it with: pip install 'camtrace[lab]'", 2)
