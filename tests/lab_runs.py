"""What the tests of training share: one thread for all, and what a run folder holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On batches so small, threads mostly wait for each other; and sums are always taken in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def read(path: Path) -> Any:
    """JSON as others read it: without NaN and infinity, which it has not."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path}: {name} is not JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: steps and values by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def same_net(first: Path, second: Path) -> bool:
    """Whether two runs gave the same weights, bit for bit."""
    one, other = (load_file(folder / "net.safetensors") for folder in (first, second))
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
