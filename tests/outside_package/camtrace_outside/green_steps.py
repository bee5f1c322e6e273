"""A method: how often green pixels side by side differ by 0, 1, ... 7 levels or more, across and down."""

from __future__ import annotations

import torch
from torch import Tensor

from camtrace.lab.methods import Features, Method

LEVELS = 8


class GreenSteps(Features):
    """Nothing is trained here, so the method has no recipe; what has weights is an `nn.Module` with a `camtrace.lab.recipe.Recipe`."""

    dimension = 2 * LEVELS

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (n, 3, size, size), float32 on the scale 0..255 -> features (n, 16), in what torch.onnx can export."""
        green = patches[:, 1]
        across, down = green[:, :, 1:] - green[:, :, :-1], green[:, 1:] - green[:, :-1]
        return torch.cat([_shares(across), _shares(down)], dim=1)


def _shares(steps: Tensor) -> Tensor:
    """Differences (n, h, w) -> the share of each size (n, LEVELS)."""
    sizes = steps.abs().clamp(max=LEVELS - 1)
    return torch.stack([(sizes == level).float().mean(dim=(1, 2)) for level in range(LEVELS)], dim=1)


METHOD = Method(name="green-steps", source="an example", make=GreenSteps, heads=("svm", "fisher"))
