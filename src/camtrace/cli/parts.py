"""What the commands share: paths and standard input as photos, and a progress bar where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from camtrace.photo import Source


def expand(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Photos to judge, folders replaced by the photos in them, and the folders that hold none."""
    from camtrace.photo import find_photos

    photos: list[str] = []
    empty: list[str] = []
    for path in paths:
        if is_folder(path):
            found = [str(photo) for photo in find_photos(Path(path))]
            photos += found
            if not found:
                empty.append(path)
        else:
            photos.append(path)
    return photos, empty


def report_empty(folders: Sequence[str]) -> None:
    """Say of folders that they hold no photos."""
    from camtrace.screening import visible

    for folder in folders:
        typer.echo(f"camtrace: {visible(folder)}: no photos in this folder", err=True)


def choose(value: str, allowed: Collection[str]) -> str:
    """A word of the command line that must be one of several."""
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(allowed)}")
    return value


def is_folder(path: str) -> bool:
    """Whether a word of the command line names a folder."""
    try:
        return path != "-" and Path(path).is_dir()
    except OSError:  # a name too long, a folder that may not be entered: reading it will say so
        return False


def open_all(photos: Sequence[str]) -> Iterator[Source]:
    """The photos as sources; - stands for standard input."""
    for photo in photos:
        yield sys.stdin.buffer if photo == "-" else photo


def need(module: str, extra: str) -> None:
    """End with status 2 and the line that installs it, where an optional package is not there."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        sys.stderr.write(f"camtrace: this needs {module}; install it with: pip install 'camtrace[{extra}]'\n")
        raise SystemExit(2)


def write_output(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that the user asked for, whole or not at all; over one that is there only by `force`. Raises CamtraceError."""
    from camtrace.safe_files import write_output as write
    from camtrace.types import CamtraceError

    try:
        write(path, data, force=force)
    except OSError as error:
        raise CamtraceError(f"{path}: cannot be written: {error.strerror or error}; choose another place") from error


@contextmanager
def progress(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal's standard error, nothing elsewhere; yields what to call with the steps done and those there are."""
    if not shown or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[object], None]]:
    """A progress bar on a terminal's standard error, nothing elsewhere; yields what to call after each of `total` steps."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda _: bar.advance(task)
