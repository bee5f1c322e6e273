"""EfficientNetV2-M of torchvision (Calderon et al. 2025; METHOD section 4), on crops at full resolution that vote.

The second paper shrinks each photo to 512x512, which destroys the pixel traces and lets the net read the scene: that is the method
`efficient-net-resized`. Crops on the 8x8 JPEG grid keep the traces: that is `efficient-net`.
"""

from __future__ import annotations

import pickle
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

    net, address = cast("nn.Module", efficientnet_v2_m(weights=None)), EfficientNet_V2_M_Weights.IMAGENET1K_V1.url
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name
    if weights == "imagenet" and not kept.is_file():
        _download(address, kept)
    if weights != "none" and kept.is_file():
        try:
            net.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True))  # tensors only: nothing in it is run
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise CamtraceError(
                f"{kept}: not the ImageNet weights of EfficientNetV2-M ({error}); delete it to fetch it again"
            ) from error
    return net


def _download(address: str, kept: Path) -> None:
    """Fetch the weights and check the hash that is part of their name."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(kept), hash_prefix=kept.stem.rpartition("-")[2], progress=True)
    except (OSError, RuntimeError) as error:
        raise CamtraceError(
            f"{kept}: the ImageNet weights are not there and {address} cannot be fetched ({error}); "
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
