"""A method's features as ONNX, so that the light install runs them without PyTorch."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from camtrace.patches import PATCH_SIZE


class _FromBytes(nn.Module):
    """Raw patches (n, size, size, 3) uint8 -> features."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.net(patches.permute(0, 3, 1, 2).float()))


def export_onnx(net: nn.Module, *, size: int = PATCH_SIZE) -> bytes:
    """Features as ONNX: `patches` uint8 (n, size, size, 3) -> `features` float32 (n, dimension)."""
    program = torch.onnx.export(
        _FromBytes(net).eval(),
        (torch.zeros((2, size, size, 3), dtype=torch.uint8),),
        dynamo=True,
        verbose=False,
        opset_version=18,
        input_names=["patches"],
        output_names=["features"],
        dynamic_shapes={"patches": {0: torch.export.Dim("n", min=1)}},
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
