"""`camtrace doctor`: is everything there, and does it work? Exit status: 0 it does, 1 something is broken, 2 wrong usage."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from camtrace.cli.parts import choose


def doctor(
    to: Annotated[str, typer.Option("--to", callback=lambda value: choose(value, ("text", "json")), help="text or json.")] = "text",
) -> None:
    """Look at versions, packages, the bundle, extras and plug-ins, and judge a made photo; say what to do where something is wrong.

    What it prints belongs into a report of a fault. Nothing is written, and nothing is asked of any network.
    """
    from camtrace.doctor import examine, healthy, to_dict, to_text

    findings = examine()
    typer.echo(json.dumps(to_dict(findings), indent=2) if to == "json" else to_text(findings), nl=to == "json")
    raise typer.Exit(0 if healthy(findings) else 1)
