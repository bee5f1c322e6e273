"""The net on the 32 patches of a photo: ONNX Runtime as camtrace uses it against other runtimes, precisions and sizes of batch.

    OMP_NUM_THREADS=1 python benchmarks/inference.py [--rounds 20] [--photos FOLDER]

One thread, all ways in turns; camtrace runs 8 patches at once. PyTorch, OpenVINO and the quantised net are measured where PyTorch,
OpenVINO and onnx are installed.
Quantised are all layers but the first two, activations and weights to 8 bits, weights by channel, on every tenth photo. Agreement with
float32 is counted over the other photos in FOLDER and the folders below it; without one over a few made photos, which says little.
Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import plain_way
from numpy.typing import NDArray
from sides import in_turns, machine, made_pixels

from camtrace.bundle import FEATURES, Bundle, load_bundle
from camtrace.history import cut_patches
from camtrace.identification import identify
from camtrace.photo import find_photos, read_photo
from camtrace.runtime import onnx_runtime
from camtrace.types import Photo
from camtrace.vote import Decision, decide

Net = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def runtime_net(model: bytes | str) -> Net:
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda patches: session.run(["features"], {"patches": patches})[0]


def in_batches(net: Net, size: int) -> Net:
    return lambda patches: np.concatenate([net(patches[first : first + size]) for first in range(0, len(patches), size)])


def openvino_net(model: Path, precision: str) -> Net:
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    return lambda patches: request.infer({0: patches})[0].copy()


def channels_last_net(model: bytes) -> Net:
    import torch

    torch.set_num_threads(1)
    return plain_way.eager_net(model, channels_last=True)


def quantised(model: Path, photos: list[NDArray[np.uint8]], folder: Path) -> Path:
    import onnx
    from onnxruntime import quantization

    logging.disable(logging.WARNING)

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.uint8]] = iter(photos)

        def get_next(self) -> dict[str, Any] | None:
            patches = next(self.left, None)
            return None if patches is None else {"patches": patches}

    prepared, target = folder / "prepared.onnx", folder / "int8.onnx"
    quantization.quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    layers = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Conv"]
    quantization.quantize_static(
        str(prepared),
        str(target),
        Photos(),
        op_types_to_quantize=["Conv", "Add", "Relu"],
        nodes_to_exclude=layers[:2],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
    )
    return target


def patches_of(folder: Path | None) -> list[NDArray[np.uint8]]:
    if folder is None:
        pixels = made_pixels(1536, 2048)
        photos = [
            Photo("made", "0" * 64, pixels[row : row + 512, col : col + 512]) for row in (0, 512, 1024) for col in range(0, 2048, 512)
        ]
        return [cut_patches(photo).pixels for photo in photos]
    return [cut_patches(read_photo(path)).pixels for path in find_photos(folder) if identify(path).status == "ok"]


def judge(features: NDArray[np.float32], bundle: Bundle) -> tuple[Decision, NDArray[np.int64]]:
    votes, manifest = bundle.cast_votes(features), bundle.manifest
    near = bundle.nearness(features)
    return (
        decide(votes, manifest.groups, way=manifest.vote, threshold=0.0, calibration=manifest.calibration, nearness=near),
        votes.labels,
    )


def agreement(net: Net, photos: list[NDArray[np.uint8]], bundle: Bundle, exact: Net) -> dict[str, Any]:
    same = {"patches": 0.0, "best": 0, "answers": 0}
    largest = 0.0
    for patches in photos:
        (ours, labels), (theirs, others) = judge(exact(patches), bundle), judge(net(patches), bundle)
        same["patches"] += float((labels == others).mean())
        same["best"] += ours.best == theirs.best
        same["answers"] += (ours.answer, ours.answer_level) == (theirs.answer, theirs.answer_level)
        largest = max(largest, abs((ours.log10_lr or 0) - (theirs.log10_lr or 0)))
    return {f"same_{what}": round(count / len(photos), 4) for what, count in same.items()} | {
        "log10_lr_differs_by_up_to": round(largest, 3)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--photos", type=Path)
    asked = parser.parse_args()
    facts, bundle = machine(), load_bundle(threads=1)
    photos = patches_of(asked.photos)
    model = bundle.files[FEATURES]
    exact = runtime_net(model)
    nets: dict[str, Net] = {"ONNX Runtime, float32, 32 at once": exact}
    nets |= {f"ONNX Runtime, float32, {size} at once": in_batches(exact, size) for size in (1, 8, 16)}
    others: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / FEATURES
        file.write_bytes(model)
        if find_spec("torch") and find_spec("onnx"):
            nets["PyTorch eager, float32, channels last"] = channels_last_net(model)
            nets["PyTorch eager, float32"] = plain_way.eager_net(model)
        if find_spec("onnx"):
            int8 = quantised(file, photos[::10], Path(place))
            nets["ONNX Runtime, int8"] = runtime_net(str(int8))
            others.append("ONNX Runtime, int8")
        if find_spec("openvino"):
            nets |= {f"OpenVINO, {name}": openvino_net(file, hint) for name, hint in (("float32", "f32"), ("bfloat16", "bf16"))}
            others.append("OpenVINO, bfloat16")
        batch = np.concatenate(photos)[:32]
        taken = in_turns({name: lambda net=net: net(batch) for name, net in nets.items()}, rounds=asked.rounds)  # type: ignore[misc]
        tested = [patches for number, patches in enumerate(photos) if number % 10]
        agreed = {name: agreement(nets[name], tested, bundle, exact) for name in others}
    ours = taken["ONNX Runtime, float32, 8 at once"]
    rows = [
        {"net": name, "ms": round(1000 * seconds, 1), "to_camtrace": round(seconds / ours, 2), **agreed.get(name, {})}
        for name, seconds in taken.items()
    ]
    print(json.dumps({"machine": facts, "rounds": asked.rounds, "photos_compared": len(tested), "rows": rows}))


if __name__ == "__main__":
    main()
