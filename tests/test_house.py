"""Rules of the house that no other tool checks: light imports, public names, short files and functions."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import camtrace


def load_script(name: str) -> ModuleType:
    """A script of docs, which is no part of the package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SOURCES = sorted(Path(camtrace.__file__).parent.rglob("*.py"))
HEAVY = {
    *("torch", "torchvision", "sklearn", "scipy", "matplotlib", "onnx", "starlette", "fastapi", "uvicorn", "tqdm", "jinja2"),
    "camtrace.lab",
}
SIZES = load_script("make_sizes")


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(Path(camtrace.__file__).parent)))
def test_modules_are_documented(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("room", SIZES.ROOMS)
def test_files_and_functions_are_short(room: str) -> None:
    size = SIZES.measure(SIZES.ROOMS[room])
    assert [file for file in size.files if file[0] > SIZES.MAX_FILE] == []
    assert [function for function in size.functions if function[0] > SIZES.MAX_FUNCTION] == []


def test_the_page_of_sizes_is_not_old() -> None:
    """Within a tenth: an exact page would have to be written anew after every change."""
    committed, fresh = (table(text) for text in (SIZES.PAGE.read_text("utf-8"), SIZES.write_sizes()))
    assert list(committed) == list(fresh), "write it anew with: python docs/make_sizes.py"
    for room, numbers in fresh.items():
        assert committed[room] == pytest.approx(numbers, rel=0.1, abs=3), f"{room}: write it anew with: python docs/make_sizes.py"


def table(page: str) -> dict[str, list[int]]:
    """Files, lines and functions of each room."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")][2:]
    return {row[0]: [int(row[column] or 0) for column in (1, 2, 4)] for row in rows}


def test_the_walk_over_the_sources_finds_them() -> None:
    assert {"identification.py", "demosaic.py", "cli.py"} <= {path.name for path in SOURCES}
    measured = [path for pattern in chain(*SIZES.ROOMS.values()) for path in SIZES.ROOT.glob(pattern) if path.suffix == ".py"]
    assert set(SOURCES) <= set(measured), "a folder that is in no room: add it to docs/make_sizes.py"
    assert list(SIZES.functions(ast.parse('def f():\n    """Doc."""\n    return 1'))) == [("f", 2)]
