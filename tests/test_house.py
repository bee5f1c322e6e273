"""Rules of the house that no other tool checks: light imports, public names, short files and functions."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import camtrace

SOURCES = sorted(Path(camtrace.__file__).parent.rglob("*.py"))
HEAVY = {
    *("torch", "torchvision", "sklearn", "scipy", "matplotlib", "onnx", "starlette", "fastapi", "uvicorn", "tqdm", "jinja2"),
    "camtrace.lab",
}
MAX_FILE, MAX_FUNCTION = 400, 40


def modules_after(code: str) -> set[str]:
    """Modules that a fresh Python holds after some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_camtrace_loads_next_to_nothing() -> None:
    loaded = modules_after("import camtrace")
    assert "camtrace" in loaded
    assert not loaded & {*HEAVY, "numpy", "onnxruntime", "PIL", "typer", "rich"}


def test_the_command_line_loads_heavy_things_only_when_needed() -> None:
    loaded = modules_after("import camtrace.cli")
    assert "camtrace.cli" in loaded
    assert not loaded & {*HEAVY, "onnxruntime", "PIL"}


def test_commands_about_data_need_no_pytorch() -> None:
    loaded = modules_after("import camtrace.lab.cli_data")
    assert not loaded & {"torch", "torchvision", "lightning_fabric", "matplotlib", "onnx"}


def test_identifying_loads_no_training_code(photo: Path) -> None:
    loaded = modules_after(f"import camtrace\nassert camtrace.identify({str(photo)!r}).status == 'ok'")
    assert "onnxruntime" in loaded
    assert not loaded & HEAVY


def test_public_names() -> None:
    assert sorted(camtrace.__all__) == camtrace.__dir__()
    assert set(camtrace.__all__) == {
        *(
            "Bundle",
            "BundleError",
            "CamtraceError",
            "Claim",
            "Enrolment",
            "Inspection",
            "Likeness",
            "Localization",
            "PhotoError",
            "Ranked",
            "Verdict",
        ),
        *("__version__", "compare", "compare_many", "enroll", "identify", "identify_many", "inspect", "load_bundle", "localize"),
    }


@pytest.mark.parametrize("name", sorted(set(camtrace.__all__) - {"__version__"}))
def test_public_names_are_there_and_documented(name: str) -> None:
    value = getattr(camtrace, name)
    assert value.__name__ == name
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")  # what a dataclass without a docstring gets
    assert getattr(importlib.import_module(value.__module__), name) is value


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'camtrace' has no attribute 'identity'"):
        _ = camtrace.identity


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every function and its lines, the docstring not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                length -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            yield node.name, length


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(Path(camtrace.__file__).parent)))
def test_modules_are_documented_and_short(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MAX_FILE
    assert [(name, length) for name, length in functions(tree) if length > MAX_FUNCTION] == []


def test_the_walk_over_the_sources_finds_them() -> None:
    assert {"identification.py", "demosaic.py", "cli.py"} <= {path.name for path in SOURCES}
    assert list(functions(ast.parse('def f():\n    """Doc."""\n    return 1'))) == [("f", 2)]
