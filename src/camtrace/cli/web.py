"""`camtrace serve`, the service and its page, and `camtrace export-web`, the page that needs no service.

Heavy imports wait until a command needs them. Exit status: 0 done, 1 it cannot be done, 2 wrong usage or a missing extra.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from camtrace.web.settings import Limits, Settings

TOKEN = "CAMTRACE_TOKEN"  # the name of a variable, not a token
_PARTS = ("fastapi", "starlette", "uvicorn", "h11", "python_multipart", "multipart")


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen at. Any but the loopback demands a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 8000,
    bundle: Annotated[
        list[Path] | None,
        typer.Option("--bundle", help="Bundle folder to judge with; may be given again. [default: the one that ships]"),
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", help=f"What requests must carry; better set {TOKEN}, which other users do not see.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A name that a proxy calls this service by; may be given again.")
    ] = None,
    keep: Annotated[Path | None, typer.Option("--keep", help="Write enrolled bundles to this folder. [default: memory only]")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes. [default: the processors, at least 2]")
    ] = None,
    max_upload: Annotated[int, typer.Option("--max-upload", min=1, help="Megabytes of one request.")] = 256,
    max_files: Annotated[int, typer.Option("--max-files", min=1, help="Photos in one request.")] = 64,
    max_pixels: Annotated[int, typer.Option("--max-pixels", min=1, help="Megapixels of one photo.")] = 150,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Photos that wait for a worker at most.")] = 256,
    time_limit: Annotated[float, typer.Option("--time-limit", min=0.1, help="Seconds that a worker gets for a photo.")] = 120.0,
) -> None:
    """Serve the page and the HTTP interface on this computer. Stop it with Ctrl+C: what was accepted is still answered.

    Photos stay in memory and are never written or logged.
    """
    with _extra():
        from camtrace.web.app import serve as run
        from camtrace.web.settings import Settings, count_workers
    limits = _limits(max_upload, files=max_files, pixels=max_pixels * 1_000_000, queue=queue, judging=time_limit)
    settings = Settings(host, port, bundles=tuple(bundle or (None,)), keep=keep, workers=workers or count_workers(), limits=limits)
    token = token or os.environ.get(TOKEN) or None
    _run(run, replace(settings, token=token, hosts=tuple(allow_host or ())))


def _limits(megabytes: int, **others: Any) -> Limits:
    from camtrace.web.settings import MEGABYTE, Limits

    return Limits(upload=megabytes * MEGABYTE, held=max(Limits.held, 4 * megabytes * MEGABYTE), **others)


def _run(run: Callable[..., None], settings: Settings) -> None:
    from camtrace.web.settings import SettingsError

    try:
        run(settings, on_listening=lambda address: _say(address, settings))
    except SettingsError as error:
        typer.echo(f"camtrace: {error}", err=True)
        raise typer.Exit(2) from error


def _say(address: str, settings: Settings) -> None:
    wanted = ", with the token" if settings.token else ""
    where = f"bundles enrolled by users are written to {settings.keep}" if settings.keep else "nothing is written to disk"
    typer.echo(f"camtrace: serving {address}{wanted}; {where}. Ctrl+C ends it.", err=True)


def export_web(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Bundle folder that the page judges with; the one that ships if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page that is at OUT.")] = False,
) -> None:
    """Write the page as a folder for any static host: it judges photos in the browser, which they never leave."""
    from camtrace.web.export import export_web as run

    run(out, bundle=bundle, force=force)
    typer.echo(f"{out}: written; serve it with any web server, for example: python -m http.server --directory {out}", err=True)


@contextmanager
def _extra() -> Iterator[None]:
    """Say how to get what is missing, where a part of the extra is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PARTS:
            raise
        typer.echo(f"camtrace: the service needs {error.name}; install it with: pip install 'camtrace[web]'", err=True)
        raise typer.Exit(2) from error
