"""CameraConvNet: 48x48 patches, three convolutions, 2,048 features.

Baroffio et al. 2016, arXiv 1603.01068; Calderon et al. 2025, Table 1; METHOD section 3.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from camtrace.lab.methods.method import Features, Method
from camtrace.lab.recipe import BAROFFIO

SIZE = 48


class CameraConvNet(Features):
    """Exactly the second paper's Table 1, up to the last linear layer; pooling rounds down: 48-42-20-14-6-1.

    The paper says nothing of how pixels are scaled; here they are centred and divided by 128.
    """

    dimension = 2048

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 128, 7), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(128, 512, 7), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(512, 2048, 6), nn.ReLU(inplace=True), nn.Flatten()),
            *(nn.Linear(2048, self.dimension), nn.Dropout(0.5), nn.ReLU(inplace=True)),
        )
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast("Tensor", module.bias))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (n, 3, 48, 48) -> features (n, 2048)."""
        return cast("Tensor", self.layers((patches - 127.5) / 128))


METHOD = Method(
    name="camera-conv-net",
    source="Baroffio et al. 2016, arXiv 1603.01068",
    make=CameraConvNet,
    recipe=BAROFFIO,
    head="softmax",
    heads=("softmax", "svm"),
    size=SIZE,
    count=20,  # the published 94.1 % is a vote of 20 patches
)
