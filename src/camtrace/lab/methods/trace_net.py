"""Networks that turn 64x64 patches into 128 features, and their export to ONNX.

Every net takes RGB patches (n, 3, 64, 64) float32 on the scale 0..255 and gives features (n, dimension) float32; what it needs
of scaling and filtering is inside, so that the exported file takes the raw bytes of a photo.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 128


class PatchCNN(nn.Module):
    """The paper's net, exactly (Bondi et al. 2017, Table I; METHOD section 1): no padding, no non-linearity between convolutions.

    Pooling rounds up, as Caffe does: 64-61-31-27-14-10-5-1. `mean` is the per-pixel training mean (3, 64, 64).
    """

    dimension = FEATURES
    mean: Tensor

    def __init__(self, mean: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 64, 64), 127.5) if mean is None else mean)
        layers: list[nn.Module] = []
        for inputs, outputs, size in ((3, 32, 4), (32, 48, 5), (48, 64, 5)):
            layers += [nn.Conv2d(inputs, outputs, size), nn.MaxPool2d(2, 2, ceil_mode=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, 128, 5), nn.Flatten(), nn.Linear(128, FEATURES), nn.ReLU())
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(cast("Tensor", module.bias), 0)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 128)."""
        return cast("Tensor", self.layers((patches - self.mean) * 0.0125))


class TraceNet(nn.Module):
    """A small residual net that sees only fine detail and pools statistics over the whole patch.

    A fixed high-pass removes the content (photo minus its [1 2 1] x [1 2 1] / 16 blur, cut off at +-20 levels), so that what is
    left is how the camera processed it; mean and standard deviation of the last maps do not depend on where things lie, while
    strides of 8 in all keep the 8x8 JPEG phase apart.
    """

    dimension = FEATURES
    CUT = 20.0
    high_pass: Tensor

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        blur = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
        high_pass = torch.zeros(3, 3)
        high_pass[1, 1] = 1
        self.register_buffer("high_pass", (high_pass - blur).expand(3, 1, 3, 3).clone())
        first, second, third, fourth = widths
        self.maps = nn.Sequential(
            _convolution(3, first),
            _convolution(first, second, stride=2),
            Residual(second),
            _convolution(second, third, stride=2),
            Residual(third),
            _convolution(third, fourth, stride=2),
            Residual(fourth),
        )
        self.embed = nn.Sequential(nn.Linear(2 * fourth, FEATURES, bias=False), nn.BatchNorm1d(FEATURES))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 128)."""
        detail = functional.conv2d(patches, self.high_pass, groups=3).clamp(-self.CUT, self.CUT)  # (n, 3, 62, 62)
        maps = self.maps(detail * (4 / self.CUT))  # (n, widths[3], 8, 8)
        mean = maps.mean(dim=(2, 3))
        variance = ((maps - mean[:, :, None, None]) ** 2).mean(dim=(2, 3))
        return cast("Tensor", self.embed(torch.cat([mean, (variance + 1e-4).sqrt()], dim=1)))


class Residual(nn.Module):
    """Input plus one convolution of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Keeps the shape."""
        return functional.relu(maps + self.branch(maps))


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


NETS: dict[str, type[PatchCNN] | type[TraceNet]] = {"patch-cnn": PatchCNN, "trace-net": TraceNet}


class _FromBytes(nn.Module):
    """Raw patches (n, 64, 64, 3) uint8 -> features."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.net(patches.permute(0, 3, 1, 2).float()))


def export_onnx(net: nn.Module) -> bytes:
    """The net as ONNX: `patches` uint8 (n, 64, 64, 3) -> `features` float32 (n, dimension)."""
    program = torch.onnx.export(
        _FromBytes(net).eval(),
        (torch.zeros((2, 64, 64, 3), dtype=torch.uint8),),
        dynamo=True,
        verbose=False,
        opset_version=18,
        input_names=["patches"],
        output_names=["features"],
        dynamic_shapes={"patches": {0: torch.export.Dim("n", min=1)}},
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
