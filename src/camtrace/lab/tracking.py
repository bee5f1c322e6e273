"""What a training run tells while it goes on: a CSV and TensorBoard by default, Weights & Biases when asked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camtrace.types import CamtraceError

METRICS = "metrics.csv"

Log = Callable[[int, dict[str, float]], None]


@contextmanager
def tracked(folder: Path, config: dict[str, Any], *, begin: int = 0, wandb: bool = False) -> Iterator[Log]:
    """A function that logs the metrics of a step everywhere; rows after step `begin`, left by a run that was killed, are dropped.

    Weights & Biases keeps to its own settings: WANDB_MODE=offline, say, writes into the run's folder and sends nothing.
    """
    sinks = [_wandb(folder, config)] if wandb else []
    sinks += [_csv(folder / METRICS, begin), _tensorboard(folder, begin)]

    def log(step: int, metrics: dict[str, float]) -> None:
        for write, _ in sinks:
            write(step, metrics)

    try:
        yield log
    finally:
        for _, close in sinks:
            close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics CSV; a value that was not measured at a step is not in its row."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]


_Sink = tuple[Log, Callable[[], object]]
_COLUMNS = ("step", "loss", "accuracy", "gradient_norm", "loss_1", "accuracy_1", "validation_loss", "validation_accuracy")


def _csv(path: Path, begin: int) -> _Sink:
    kept = [row for row in read_metrics(path) if row["step"] <= begin]
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows([{**row, "step": int(row["step"])} for row in kept])
    partial.replace(path)
    stream = path.open("a", newline="", encoding="utf-8", buffering=1)  # line by line: a kill loses nothing that was logged
    writer = csv.DictWriter(stream, _COLUMNS, extrasaction="ignore")
    return lambda step, metrics: writer.writerow({"step": step, **metrics}), stream.close


def _tensorboard(folder: Path, begin: int) -> _Sink:
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(folder / "tensorboard"), purge_step=begin + 1)

    def write(step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            board.add_scalar(name, value, step)
        board.flush()  # else a kill loses two minutes, and what lies before the checkpoint is not done again

    return write, board.close


def _wandb(folder: Path, config: dict[str, Any]) -> _Sink:
    try:
        import wandb
    except ImportError as error:
        raise CamtraceError("--wandb needs Weights & Biases: pip install 'camtrace[wandb]'") from error
    kept = folder / "wandb" / "id.txt"  # a run that was killed goes on as the same run
    known = kept.read_text("utf-8") if kept.is_file() else None
    run = wandb.init(project="camtrace", name=folder.name, dir=str(folder), config=config, id=known, resume="allow")
    kept.write_text(run.id, "utf-8")
    return lambda step, metrics: run.log(metrics, step=step), run.finish


def columns(rows: Sequence[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric."""
    having = [row for row in rows if name in row]
    return [row["step"] for row in having], [row[name] for row in having]
