"""EfficientNetV2-M of torchvision (Calderon et al. 2025; METHOD section 4), on crops at full resolution that vote.

The second paper shrinks each photo to 512x512, which destroys the pixel traces and lets the net read the scene: that is the method
`efficient-net-resized`. Crops on the 8x8 JPEG grid keep the traces: that is `efficient-net`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from camtrace.lab.methods.method import Features, Method
from camtrace.lab.recipe import CALDERON
from camtrace.types import CamtraceError

CROP = 256
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet, on the scale 0..255

Weights = Literal["cached", "imagenet", "none"]
"""ImageNet weights only if the user has them already, fetched if need be, or none at all."""


class EfficientNet(Features):
    """The trunk and the paper's hidden layers 1280-512-256, each with ReLU; everything is trained.

    Raises
    ------
    CamtraceError
        ImageNet weights are asked for, are not in torch's cache and cannot be downloaded.
    """

    dimension = 256
    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Weights = "cached") -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1))
        trunk = _trunk(weights)
        trunk.classifier = nn.Sequential(nn.Linear(1280, 512), nn.ReLU(), nn.Linear(512, self.dimension), nn.ReLU())
        self.trunk = trunk

    def forward(self, patches: Tensor) -> Tensor:
        """Crops (n, 3, size, size) -> features (n, 256)."""
        return cast("Tensor", self.trunk((patches - self.mean) / self.deviation))


def _trunk(weights: Weights) -> nn.Module:
    from torchvision.models import EfficientNet_V2_M_Weights, efficientnet_v2_m  # takes seconds to import

    imagenet = EfficientNet_V2_M_Weights.IMAGENET1K_V1
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(imagenet.url).name
    wanted = weights == "imagenet" or (weights == "cached" and kept.is_file())
    try:
        return cast("nn.Module", efficientnet_v2_m(weights=imagenet if wanted else None))
    except OSError as error:
        raise CamtraceError(
            f"{kept}: the ImageNet weights are not there and {imagenet.url} cannot be fetched ({error}); "
            "go online once, put the file there, or take --weights none"
        ) from error


METHOD = Method(
    name="efficient-net",
    source="Calderon et al. 2025, on crops",
    make=EfficientNet,
    pretrained={"imagenet": partial(EfficientNet, "imagenet"), "none": partial(EfficientNet, "none")},
    recipe=CALDERON,
    head="softmax",
    heads=("softmax", "svm"),
    size=CROP,
    count=8,
)
