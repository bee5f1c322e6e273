"""The reference way, written plainly: Pillow decodes, numpy scores patch by patch, a net runs in PyTorch, eagerly.

The benchmarks hold camtrace against it. Nothing here is tuned and nothing is made slow on purpose.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
Net = Callable[[Pixels], NDArray[np.float32]]


def decode(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def mid_tone(patch: Pixels) -> float:
    samples = patch.astype(np.float64)
    return -np.inf if samples.max() >= 255 else -abs(float(samples.mean()) - 127.5)


def quality(patch: Pixels) -> float:
    samples = patch.astype(np.float64) / 255
    mean, deviation = samples.mean(axis=(0, 1)), samples.std(axis=(0, 1))
    return float(0.7 * (4 * mean - 4 * mean**2).mean() + 0.3 * (1 - 10 ** (-2 * deviation)).mean())


RULES = {"mid-tone": mid_tone, "quality": quality}


def choose(pixels: Pixels, *, rule: str, count: int, size: int, origin: tuple[int, int] = (0, 0)) -> NDArray[np.int64]:
    """(n, 2) corners of the best patches, the first of the grid among equals."""
    height, width = pixels.shape[:2]
    scored = [
        (-RULES[rule](pixels[row : row + size, column : column + size]), row, column)
        for row in range(origin[0], height - size + 1, size)
        for column in range(origin[1], width - size + 1, size)
    ]
    best = sorted(entry for entry in scored if np.isfinite(entry[0]))[:count]
    return np.array([(row, column) for _, row, column in best], np.int64).reshape(-1, 2)


def cut(pixels: Pixels, positions: NDArray[np.int64], size: int) -> Pixels:
    return np.stack([pixels[row : row + size, column : column + size] for row, column in positions])


def in_floats(model: bytes) -> bytes:
    """The network of a bundle without its 8 bits: the same weights as floats, and maps that are not rounded."""
    import onnx
    from onnx import numpy_helper

    found = onnx.load_from_string(model)
    held = {tensor.name: tensor for tensor in found.graph.initializer}
    same: dict[str, str] = {}  # names of values that are now one
    kept = []
    for node in found.graph.node:
        first = same.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            node.input[:] = [same.get(name, name) for name in node.input]
            kept.append(node)
        elif node.op_type == "DequantizeLinear" and first in held:
            values, scale, zero = (numpy_helper.to_array(held[name]).astype(np.float64) for name in (first, *node.input[1:3]))
            sides = (-1, *[1] * (values.ndim - 1))  # weights by output map, biases one by one
            held[node.output[0]] = numpy_helper.from_array(
                ((values - zero.reshape(sides)) * scale.reshape(sides)).astype(np.float32).reshape(values.shape), node.output[0]
            )
        else:
            same[node.output[0]] = first
    used = {name for node in kept for name in node.input}
    for field, values in ((found.graph.node, kept), (found.graph.initializer, [held[name] for name in held if name in used])):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(found)
    return bytes(found.SerializeToString())


def eager_net(model: bytes, *, channels_last: bool = False) -> Net:
    """The network of a bundle, node by node in PyTorch, in floats."""
    import onnx
    import torch
    from onnx import helper, numpy_helper

    graph = onnx.load_from_string(in_floats(model)).graph
    constants = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    nodes = [
        (node.op_type, list(node.input), node.output[0], {one.name: helper.get_attribute_value(one) for one in node.attribute})
        for node in graph.node
    ]

    if channels_last:
        layout = torch.channels_last
        constants = {name: value.contiguous(memory_format=layout) if value.ndim == 4 else value for name, value in constants.items()}

    def run(patches: Pixels) -> NDArray[np.float32]:
        known = dict(constants, **{graph.input[0].name: torch.from_numpy(patches)})
        with torch.inference_mode():
            for kind, inputs, output, options in nodes:
                known[output] = _step(kind, [known[name] for name in inputs], options, channels_last)
        found: NDArray[np.float32] = known[graph.output[0].name].numpy()
        return found

    return run


def _step(kind: str, given: list[Tensor], options: dict[str, Any], channels_last: bool) -> Tensor:
    import torch
    from torch.nn import functional

    one = given[0]
    if kind == "Conv":
        bias = given[2] if len(given) > 2 else None
        return functional.conv2d(one, given[1], bias, options["strides"], options["pads"][:2], groups=options["group"])
    if kind == "Gemm":
        return functional.linear(one, given[1] if options.get("transB") else given[1].T, given[2])
    if kind == "ReduceMean":
        return one.mean(dim=given[1].tolist(), keepdim=bool(options["keepdims"]))
    if kind == "Unsqueeze":
        for axis in sorted(given[1].tolist()):
            one = one.unsqueeze(axis)
        return one
    simple: dict[str, Callable[[], Tensor]] = {
        "Transpose": lambda: one.permute(options["perm"]),  # of bytes: in the order of memory channels come last
        "Cast": lambda: one.float() if channels_last else one.float().contiguous(),
        "Clip": lambda: torch.clamp(one, given[1], given[2]),
        "Relu": lambda: torch.relu(one),
        "Sqrt": lambda: torch.sqrt(one),
        "Concat": lambda: torch.cat(given, dim=options["axis"]),
        "Mul": lambda: one * given[1],
        "Add": lambda: one + given[1],
        "Sub": lambda: one - given[1],
        "Pow": lambda: one ** given[1],
    }
    return simple[kind]()
