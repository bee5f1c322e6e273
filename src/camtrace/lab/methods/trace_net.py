"""TraceNet: camtrace's own small net, made to see how a camera processes a photo and not what the photo shows (METHOD section 10).

64x64 patches -> 128 features. Trained on real and made cameras together; see `camtrace.lab.build`.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from camtrace.lab.methods.method import Features, Method
from camtrace.lab.recipe import TRACES


class TraceNet(Features):
    """A small net that sees only fine detail and pools statistics over the whole patch.

    A fixed high-pass removes the content (photo minus its [1 2 1] x [1 2 1] / 16 blur, cut off at +-20 levels), so that what is
    left is how the camera processed it; mean and standard deviation of the last maps do not depend on where things lie, while
    strides of 8 in all keep the 8x8 JPEG phase apart. The first convolution already strides, with more maps than samples that it
    skips: half the time of the net of Bondi et al.
    """

    dimension = 128
    CUT = 20.0
    high_pass: Tensor

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        blur = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
        high_pass = torch.zeros(3, 3)
        high_pass[1, 1] = 1
        self.register_buffer("high_pass", (high_pass - blur).expand(3, 1, 3, 3).clone())
        first, second, third = widths
        self.maps = nn.Sequential(
            _halving(3, first, window=5),
            _halving(first, second),
            Residual(second),
            _halving(second, third),
        )
        self.embed = nn.Sequential(nn.Linear(2 * third, self.dimension, bias=False), nn.BatchNorm1d(self.dimension))
        self.widths = widths

    @torch.no_grad()
    def widened(self, third: int) -> TraceNet:
        """A copy with more maps in its last convolution that gives the same features: those that came are not heard yet.

        So that a net that has more to learn need not begin anew (Chen, Goodfellow & Shlens, "Net2Net", ICLR 2016).
        """
        first, second, before = self.widths
        wide = TraceNet((first, second, third))
        state = self.state_dict()
        mean, spread = state["embed.0.weight"][:, :before], state["embed.0.weight"][:, before:]
        unheard = torch.zeros(self.dimension, third - before)
        for name, value in wide.state_dict().items():
            if name == "embed.0.weight":
                value.copy_(torch.cat([mean, unheard, spread, unheard], dim=1))
            elif name.startswith("maps.3.") and value.ndim:
                value[:before] = state[name]
            else:
                value.copy_(state[name])
        return wide

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 128)."""
        detail = functional.conv2d(patches, self.high_pass, groups=3).clamp(-self.CUT, self.CUT)  # (n, 3, 62, 62)
        maps = self.maps(detail * (4 / self.CUT))  # (n, widths[-1], 8, 8)
        mean = maps.mean(dim=(2, 3))
        centred = maps - mean[:, :, None, None]
        variance = (centred * centred).mean(dim=(2, 3))  # a power of 2 would take ONNX Runtime three times as long
        return cast("Tensor", self.embed(torch.cat([mean, (variance + 1e-4).sqrt()], dim=1)))


class Residual(nn.Module):
    """Input plus one convolution of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Keeps the shape."""
        return functional.relu(maps + self.branch(maps))


def _halving(inputs: int, outputs: int, *, window: int = 3) -> nn.Sequential:
    """A convolution that leaves half as many rows and columns."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, window, stride=2, padding=window // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


METHOD = Method(name="trace-net", source="camtrace", make=TraceNet, recipe=TRACES)
