"""What the tests of training share (they need PyTorch): one thread for all, a small run, and what a run folder holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from camtrace.lab.heads import SoftmaxHead
from camtrace.lab.methods import METHODS, Features, Method
from camtrace.lab.methods.trace_net import TraceNet
from camtrace.lab.runs import fit_features
from camtrace.lab.sources import make_source
from camtrace.lab.train import Schedule
from made_patches import two_textures

SMALL = replace(METHODS["trace-net"], make=lambda: TraceNet((4, 4, 4)))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On batches so small, threads mostly wait for each other; and sums are always taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit(folder: Path, method: Method = SMALL, **options: Any) -> tuple[Features, SoftmaxHead]:
    """A run on made patches, of four steps with two validations if not said otherwise."""
    source = make_source(two_textures(8, size=32))
    defaults: dict[str, Any] = {
        "config": {"data": "two textures"},
        "schedule": Schedule(4, validate_every=2),
        "validation": make_source(two_textures(4, size=32, seed=1), cameras=source.cameras),
    }
    return fit_features(folder, method, [(source, 4)], **{**defaults, **options})


def read(path: Path) -> Any:
    """JSON as others read it: without NaN and infinity, which it has not."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path}: {name} is not JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: steps and values by name."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def date_back(folder: Path) -> None:
    """TensorBoard reads its files in the order of their names, which begin with the second: a kill takes longer in life."""
    for path in (folder / "tensorboard").iterdir():
        path.rename(path.with_name(path.name.replace(".tfevents.", ".tfevents.0")))


def same_net(first: Path, second: Path) -> bool:
    """Whether two runs gave the same weights, bit for bit."""
    one, other = (load_file(folder / "net.safetensors") for folder in (first, second))
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
