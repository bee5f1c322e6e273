"""The page of sizes: how many files, lines and functions each room has, and which is the longest of them.

`python docs/make_sizes.py` writes `docs/reference/sizes.md`; `tests/test_house.py` fails when the page is more than a tenth off, or
anything is longer than the house allows. A function's lines are counted without its docstring.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "sizes.md"
MAX_FILE, MAX_FUNCTION = 400, 40

_PACKAGE = "src/camtrace"
_FOLDERS = ("batches", "cli", "devices", "lab", "reports", "simulator", "tampering", "web")
ROOMS: dict[str, tuple[str, ...]] = {
    "the way of a photo: modules of `camtrace` itself": (f"{_PACKAGE}/*.py",),
    **{f"`{folder}/`": (f"{_PACKAGE}/{folder}/**/*.py",) for folder in _FOLDERS},
    "the page: `web/page/*.js`": (f"{_PACKAGE}/web/page/*.js",),
    "its engine: `web/page/local/*.js`": (f"{_PACKAGE}/web/page/local/**/*.js",),
    "tests": ("tests/**/*.py",),
    "docs, tools, benchmarks": ("docs/*.py", "tools/*.py", "benchmarks/*.py", "hatch_build.py"),
}
"""Room -> its files, as patterns from the root."""

_HEAD = """# Sizes

Each room in lines, as `python docs/make_sizes.py` counts them. Aimed at: no file above 400 lines, no function above 40, functions of
6 to 15 lines. Functions are those of Python, without their docstrings. A test holds this page to within a tenth, and the two limits
exactly.

| room | files | lines | longest file | functions | median, lines | longest function |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Size:
    """What a room holds; `functions` are (lines, where), `files` likewise."""

    files: list[tuple[int, str]]
    functions: list[tuple[int, str]]


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every function and its lines, the docstring not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                length -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            yield node.name, length


def measure(patterns: tuple[str, ...]) -> Size:
    """The files that match, from the root, and their functions."""
    found = Size([], [])
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        text = path.read_text("utf-8")
        found.files.append((len(text.splitlines()), path.name))
        if path.suffix == ".py":
            found.functions.extend((length, f"`{name}`") for name, length in functions(ast.parse(text)))
    return found


def row(room: str, size: Size) -> str:
    """One line of the table."""
    lines, longest = max(size.files)
    cells = [room, f"{len(size.files)}", f"{sum(count for count, _ in size.files)}", f"{lines} (`{longest}`)"]
    if size.functions:
        most, name = max(size.functions)
        middle = statistics.median_low(count for count, _ in size.functions)
        cells += [f"{len(size.functions)}", f"{middle}", f"{most} ({name})"]
    else:
        cells += ["", "", ""]
    return f"| {' | '.join(cells)} |\n"


def write_sizes() -> str:
    """The page."""
    return _HEAD + "".join(row(room, measure(patterns)) for room, patterns in ROOMS.items())


if __name__ == "__main__":
    PAGE.write_text(write_sizes(), encoding="utf-8", newline="\n")
