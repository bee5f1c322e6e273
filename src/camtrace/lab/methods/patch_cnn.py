"""The paper's net and one-vs-one linear SVMs on its features (Bondi et al. 2017, section III; METHOD section 1).

64x64 patches -> 128 features; 340,642 parameters with the classifier of 18 cameras.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camtrace.lab.methods.method import Features, Method
from camtrace.lab.recipe import PAPER


class PatchCNN(Features):
    """The paper's net, exactly (Bondi et al. 2017, Table I; METHOD section 1): no padding, no non-linearity between convolutions.

    Pooling rounds up, as Caffe does: 64-61-31-27-14-10-5-1. `mean` is the per-pixel training mean (3, 64, 64).
    """

    dimension = 128
    mean: Tensor

    def __init__(self, mean: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 64, 64), 127.5) if mean is None else mean)
        layers: list[nn.Module] = []
        for inputs, outputs, size in ((3, 32, 4), (32, 48, 5), (48, 64, 5)):
            layers += [nn.Conv2d(inputs, outputs, size), nn.MaxPool2d(2, 2, ceil_mode=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 128, 5), nn.Flatten(), nn.Linear(128, 128), nn.ReLU())
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(cast("Tensor", module.bias), 0)

    def prepare(self, sample: NDArray[np.uint8]) -> None:
        """Take the mean patch of the sample."""
        self.mean.copy_(torch.from_numpy(sample.mean(axis=0, dtype=np.float64).transpose(2, 0, 1).astype(np.float32)))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 128)."""
        return cast("Tensor", self.layers((patches - self.mean) * 0.0125))


METHOD = Method(name="patch-cnn", source="Bondi et al. 2017, IEEE SPL 24(3)", make=PatchCNN, recipe=PAPER)
