"""The state of a training run in one safetensors file: weights, running average, best weights, optimiser, and how far it got.

No pickle: PyTorch's own checkpoints can run code when they are loaded.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Progress:
    """How far a run got."""

    step: int = 0
    best_loss: float = math.inf  # the smallest validation loss
    best_step: int = 0
    since_best: int = 0  # validations after the best one

    @property
    def is_best(self) -> bool:
        """Whether this step is the best so far."""
        return self.best_step == self.step

    def is_stale(self, patience: int | None) -> bool:
        """Whether too many validations brought nothing."""
        return patience is not None and self.since_best >= patience

    def after(self, step: int) -> Progress:
        """One step further."""
        return replace(self, step=step)

    def judged(self, loss: float) -> Progress:
        """After a validation."""
        if loss < self.best_loss:
            return replace(self, best_loss=loss, best_step=self.step, since_best=0)
        return replace(self, since_best=self.since_best + 1)


def save_checkpoint(
    path: Path | None, progress: Progress, trainee: nn.Module, kept: nn.Module, best: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write everything at once: a run killed while it writes keeps its last checkpoint."""
    if path is None:
        return
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().contiguous().clone()
        for part, module in (("trainee", trainee), ("kept", kept), ("best", best))
        for name, tensor in module.state_dict().items()
    }
    tensors |= {f"optimiser/{key}": tensor for key, tensor in _flat(optimiser).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})
    partial.replace(path)


def peek(path: Path | None) -> Progress:
    """How far the run of a checkpoint got; not at all where there is none."""
    if path is None or not path.is_file():
        return Progress()
    with safe_open(path, "pt") as file:
        return Progress(**json.loads(file.metadata()["progress"]))


def load_checkpoint(
    path: Path | None, trainee: nn.Module, kept: nn.Module, best: nn.Module, optimiser: torch.optim.Optimizer
) -> Progress:
    """Take up a run where its checkpoint is; without one, nothing changes and it begins at step 0."""
    progress = peek(path)
    if path is None or not path.is_file():
        return progress
    parts: dict[str, dict[str, Tensor]] = {"trainee": {}, "kept": {}, "best": {}, "optimiser": {}}
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - no iterator
            part, name = key.split("/", 1)
            parts[part][name] = file.get_tensor(key)
    for part, module in (("trainee", trainee), ("kept", kept), ("best", best)):
        module.load_state_dict(parts[part])
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in parts["optimiser"].items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress


def _flat(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by parameter number and name."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": value.detach().cpu().contiguous().clone()
        for number, tensors in state.items()
        for name, value in tensors.items()
        if isinstance(value, Tensor)
    }
