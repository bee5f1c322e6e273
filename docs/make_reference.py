"""The reference pages that follow from the program itself: every command with its options, and every field of the JSON forms.

`python docs/make_reference.py` writes them; `tests/test_docs.py` compares the committed pages with fresh ones. The pages are made of
the commands' own parameters, not of the text of `--help`, which is drawn differently by each version of typer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "src" / "camtrace"

_MADE = "<!-- Written by docs/make_reference.py: do not edit. -->\n"
_OF_EVERY_SHELL = {"install_completion", "show_completion"}  # typer's own, worded by each version anew
_COMMANDS = """# Commands

Every command and every option, as the program itself has them; `--help` after any command says the same.
`camtrace --install-completion` sets up completion for your shell. Exit status, where nothing else is said: 0 all done, 1 some photo or
file failed (the others are still reported), 2 wrong usage or a missing extra.
"""
_LAB_COMMANDS = """# Commands of the lab

`camtrace lab` needs `pip install 'camtrace[lab]'`. What they are for, in order of use: [the lab](../lab.md).
"""
_FIELDS = """# Fields of the JSON forms

From the schemas that ship with the package. `a[].b` is field `b` of each element of the list `a`. A required field is always there;
it may be null where its type says so. Forms without a schema file are in [other JSON forms](json.md).
"""
_PLAIN = {
    "ranking[].camera": "The camera's name: make and model.",
    "claim.make": "Of the EXIF, as it stands there.",
    "claim.model": "Of the EXIF, as it stands there.",
    "bundle.name": "Its name.",
    "bundle.version": "Its version.",
    "calibrated_on.photos": "How many photos.",
    "calibrated_on.cameras": "How many cameras they are of.",
}
"""Meanings of fields that their schema leaves to their name."""


def write_commands() -> str:
    """The page of all commands but those of the lab."""
    from camtrace.cli import app

    group = typer.main.get_command(app)
    return _MADE + _COMMANDS + "".join(_sections(group, "camtrace", 2))


def write_lab_commands() -> str:
    """The page of the lab's commands. Needs the extra `lab`."""
    from camtrace.lab.cli import app

    return _MADE + _LAB_COMMANDS + "".join(_sections(typer.main.get_command(app), "camtrace lab", 2))


def write_fields() -> str:
    """The page of JSON fields, one table a schema.

    Raises
    ------
    KeyError
        A field has no description.
    """
    pages = [_MADE + _FIELDS]
    for path in sorted(PACKAGE.glob("*.schema.json")):
        schema = json.loads(path.read_text("utf-8"))
        pages.append(f"\n## {schema['title']}\n\n{schema['description']}\n\n| field | type | what it says |\n|---|---|---|\n")
        pages += [f"| `{name}` | {_cell(kind)} | {_cell(words)} |\n" for name, kind, words in list_fields(schema)]
    return "".join(pages)


PAGES: dict[str, Callable[[], str]] = {"commands.md": write_commands, "lab-commands.md": write_lab_commands, "fields.md": write_fields}
"""What is written, by file in docs/reference."""


def find_commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command with its full name, and all below it, by name."""
    yield name, group
    if hasattr(group, "list_commands"):
        context = group.make_context(name, [], resilient_parsing=True)
        for word in sorted(group.list_commands(context)):  # typer has changed its own order
            yield from find_commands(group.get_command(context, word), f"{name} {word}")


def _sections(group: Any, name: str, level: int) -> Iterator[str]:
    for full, command in find_commands(group, name):
        deeper = len(full.split()) - len(name.split())
        yield f"\n{'#' * (level + max(deeper - 1, 0))} {full}\n\n    {_usage(full, command)}\n\n{_help(command)}\n"
        lines = [_line(parameter) for parameter in command.params if _shown(parameter)]
        if lines:
            yield "\n| argument or option | if not given | what it is |\n|---|---|---|\n" + "".join(lines)


def _shown(parameter: Any) -> bool:
    return not getattr(parameter, "hidden", False) and parameter.name not in _OF_EVERY_SHELL


def _usage(name: str, command: Any) -> str:
    """The line that shows how it is called."""
    arguments = [_called(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
    options = ["[OPTIONS]"] if any(parameter.param_type_name == "option" for parameter in command.params) else []
    below = ["COMMAND ..."] if hasattr(command, "list_commands") else []
    return " ".join([name, *arguments, *options, *below])


def _called(parameter: Any) -> str:
    return _value(parameter) if parameter.required else f"[{_value(parameter)}]"


def _value(parameter: Any) -> str:
    """What stands for its value."""
    name: str = parameter.metavar or str(parameter.name).replace("_", "-").upper()
    return name


def _help(command: Any) -> str:
    """The help in Markdown: its lines flow, its paragraphs stay."""
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _line(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        names = f"`{_called(parameter)}`"
    else:
        value = "" if parameter.is_flag else f" {_value(parameter)}"
        names = ", ".join(f"`{word}{value}`" for word in (*parameter.opts, *parameter.secondary_opts))
    return f"| {names} | {_cell(_default(parameter))} | {_cell(_plain(parameter.help or ''))} |\n"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    if parameter.default is None or parameter.default is False or parameter.default == ():
        return ""
    if parameter.default is True:
        return f"`{parameter.opts[0]}`"
    values = parameter.default if isinstance(parameter.default, list | tuple) else [parameter.default]
    return " ".join(f"`{value}`" for value in values)


def _plain(text: str) -> str:
    """A help text without what only the terminal needs: escaped brackets, and defaults that stand beside it."""
    return re.sub(r"\s*\[default: ([^\]]*)\]", r" Default: \1.", text.replace("\\[", "["))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def list_fields(schema: dict[str, Any], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of every field of a JSON schema, nested ones too."""
    for name, field in schema.get("properties", {}).items():
        full = above + name
        yield full, _type(field), field["description"] if "description" in field else _PLAIN[full]
        yield from list_fields(field, f"{full}.")
        yield from list_fields(field.get("items", {}), f"{full}[].")


def _type(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"always `{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    return " or ".join(kinds)


def main() -> None:
    """Write all pages."""
    for name, write in PAGES.items():
        (DOCS / "reference" / name).write_text(write(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
