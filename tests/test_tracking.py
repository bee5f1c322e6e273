"""What is logged while a net is trained: CSV, TensorBoard, and Weights & Biases offline."""

from __future__ import annotations

import builtins
import json
import struct
import zlib
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab.tracking import read_metrics, tracked  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_runs import date_back, fit, one_thread, scalars  # noqa: E402, F401

Rows = list[dict[str, float]]


def test_a_row_that_was_half_written_is_done_again(tmp_path: Path) -> None:
    with tracked(tmp_path, {}) as log:
        for step in (1, 2, 3):
            log(step, {"loss": 1 / step})
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"4,0.2")
    date_back(tmp_path)
    with tracked(tmp_path, {}, begin=2) as log:
        log(3, {"loss": 0.5, "validation_loss": 0.25})
    assert read_metrics(path) == [{"step": 1, "loss": 1}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.5, "validation_loss": 0.25}]
    assert scalars(tmp_path) == {"loss": [(1, 1), (2, 0.5), (3, 0.5)], "validation_loss": [(3, 0.25)]}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves the machine, and nothing is written but below the test's folder."""
    pytest.importorskip("wandb", reason="Weights & Biases: pip install 'camtrace[wandb]'")
    settings = {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}
    folders = {f"{name}_DIR": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    for name, value in {**settings, **folders}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)


BLOCK = 32 * 1024


def wandb_history(path: Path) -> Rows:
    """What an offline run keeps of every step. Its file is a log as LevelDB writes it: blocks of 32 KB, of records in pieces."""
    from wandb.proto import wandb_internal_pb2 as formats

    data, at, whole, rows = path.read_bytes(), 7, b"", []  # after 7 bytes that say what it is
    while at + 7 <= len(data):
        if (rest := -at % BLOCK) and rest < 7:  # no room for the head of a piece: the next block begins
            at += rest
        checksum, length, kind = struct.unpack_from("<IHB", data, at)
        piece = data[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + piece) == checksum
        at, whole = at + 7 + length, whole + piece
        if kind in (1, 4):  # a whole record, or the last piece of one
            items = cast("Any", formats).Record.FromString(whole).history.item
            rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
            whole = b""
    return [row for row in rows if row]


def test_weights_and_biases_gets_every_step(tmp_path: Path, offline: None) -> None:
    folder = tmp_path / "run"
    fit(folder, wandb=True)
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    history = wandb_history(path)
    rows = read_metrics(folder / "metrics.csv")
    assert [row["_step"] for row in history] == [row["step"] for row in rows] == [1, 2, 3, 4]
    for told, row in zip(history, rows, strict=True):
        assert {name: told[name] for name in row if name != "step"} == {name: value for name, value in row.items() if name != "step"}
        assert {"loss", "accuracy", "gradient_norm"} <= set(told)


def test_a_run_taken_up_again_is_one_run_of_weights_and_biases(tmp_path: Path, offline: None) -> None:
    for begin in (0, 2):
        with tracked(tmp_path, {}, begin=begin, wandb=True) as log:
            log(begin + 1, {"loss": 1.0})
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({path.name for path in files}) == 1, "the name of the file is that of the run"


def test_missing_weights_and_biases_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "wandb":
            raise ImportError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(CamtraceError, match=r"--wandb needs Weights & Biases: pip install 'camtrace\[wandb\]'"),
        tracked(tmp_path, {}, wandb=True),
    ):
        pass
