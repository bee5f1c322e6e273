"""Every error that a user may meet says what to do next: a walk over all places that raise one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import camtrace

PACKAGE = Path(camtrace.__file__).parent
KINDS = {
    *("CamtraceError", "BundleError", "PhotoError", "DeviceError", "PluginError", "MissingExtraError"),
    *("SettingsError", "VendorError"),
}
USAGE = "BadParameter"  # typer adds the line with --help
STEP = re.compile(
    r"expected|at least|at most|\bneed(s|ed)?\b|pip install|python -m|--[a-z]|`camtrace|"
    r"is not one of|is not N or|is not auto|ends in none|"
    r"only once|called by make and model|[;,] ([\w']+ )*?"
    r"(begin|check|choose|correct|delete|draw|fetch|fewer|get|give|go|install|leave|list|make|move|put|raise|rename|restore|save|say|see|"
    r"serve|start|take|train|try|uninstall|unpack|update|upgrade|use|wait|write)\b"
)
SHARED = {"replaceable": "manifest.py"}
"""By name, where it is: any other function that a message calls says nothing of a step, whatever words are in it."""
WITHOUT = {  # what is raised -> why it has no step of its own
    "there is no map": "the verdict's reason follows",
    "no heat map": "the verdict's reason follows",
    "not one usable photo": "the first photo's reason follows",
    "a CSV here is taken": "lists the columns that are wanted",
    "cannot download this data set": "the data set's own how-to follows",
    "lists no files": "the data set's own how-to follows",
    "the Ray cluster at": "Ray's own words follow",
    "the cluster failed": "Ray's own words follow",
    "no such file system": "pyarrow's own words follow",
    "utf-8": "passes on what a worker process said",
    "these rows": "a fault of the lab's own script, not of its user",
    "nothing can be localized": "a fault of the lab's own script, not of its user",
    ": cannot be read: ": "the system's reason follows",
    "cannot be written: ": "the system's reason follows",
    "not written by this command": "it names the file and the record",
}


def raised(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Name and call of each error that is raised."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            function = node.exc.func
            yield (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")), node.exc


@cache
def shared() -> list[ast.FunctionDef]:
    """The functions that add the step to messages of several modules."""
    trees = [ast.parse((PACKAGE / module).read_text("utf-8")) for module in SHARED.values()]
    return [one for tree in trees for one in tree.body if isinstance(one, ast.FunctionDef) and one.name in SHARED]


def words(node: ast.AST, tree: ast.Module) -> str:
    """All text in it, and in the functions of this module or of SHARED that it calls."""
    called = {part.func.id for part in ast.walk(node) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
    helpers = [one for one in (*tree.body, *shared()) if isinstance(one, ast.FunctionDef) and one.name in called]
    parts = [part for root in (*getattr(node, "args", ()), *helpers) for part in ast.walk(root)]
    return "...".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def without_step(code: str) -> list[str]:
    """The messages of one module that do not say what to do; one that is only passed on was made elsewhere."""
    tree = ast.parse(code)
    found = [(name, words(call, tree)) for name, call in raised(tree) if name in {*KINDS, USAGE}]
    told = [text for _, text in found if re.search(r"[a-z]{2}", text) and not STEP.search(text)]
    return [text for text in told if not any(known in text for known in WITHOUT)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_error_says_what_to_do_next(path: Path) -> None:
    assert without_step(path.read_text("utf-8")) == []


def test_the_walk_finds_errors_and_their_steps() -> None:
    code = """
def later():
    return "somebody was faster; start again"
def check(path, error):
    raise types.CamtraceError(f"{path}: broken")
    raise PhotoError(f"{path}: broken; get the file again")
    raise CamtraceError(later())
    raise CamtraceError(str(error))
    raise ValueError("broken")
"""
    assert without_step(code) == [": broken"]
    count = sum(name in KINDS for path in PACKAGE.rglob("*.py") for name, _ in raised(ast.parse(path.read_text("utf-8"))))
    assert count > 200
