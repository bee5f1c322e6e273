"""The net on 64 patches of a photo: ONNX Runtime as camtrace uses it against other runtimes, precisions and sizes of batch.

    OMP_NUM_THREADS=1 python benchmarks/inference.py [--rounds 20] [--photos FOLDER]

One thread, all ways in turns; camtrace runs 8 patches at once, in 8 bits but for the first two layers. In floats are the same weights;
they need onnx, the others PyTorch or OpenVINO. Agreement with what camtrace says is counted over the photos in FOLDER and the folders
below it, with head and calibration as they are; without a folder over a few made photos, which says little. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
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
COUNT, OURS = 64, "ONNX Runtime, 8 bits, 8 at once"


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


def patches_of(folder: Path | None) -> list[NDArray[np.uint8]]:
    if folder is None:
        pixels = made_pixels(1536, 2048)
        photos = [
            Photo("made", "0" * 64, pixels[row : row + 512, col : col + 512]) for row in (0, 512, 1024) for col in range(0, 2048, 512)
        ]
        return [cut_patches(photo, count=COUNT).pixels for photo in photos]
    return [cut_patches(read_photo(path), count=COUNT).pixels for path in find_photos(folder) if identify(path).status == "ok"]


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
    ours = runtime_net(model)
    nets: dict[str, Net] = {f"ONNX Runtime, 8 bits, {size} at once": in_batches(ours, size) for size in (1, 8, 16, COUNT)}
    others: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        file, floats = Path(place) / FEATURES, Path(place) / "floats.onnx"
        file.write_bytes(model)
        if find_spec("onnx"):
            floats.write_bytes(plain_way.in_floats(model))
            others.append("ONNX Runtime, float32, 8 at once")
            nets[others[-1]] = in_batches(runtime_net(floats.read_bytes()), 8)
        if find_spec("torch") and find_spec("onnx"):
            nets["PyTorch eager, float32, channels last"] = channels_last_net(model)
            nets["PyTorch eager, float32"] = plain_way.eager_net(model)
        if find_spec("openvino"):
            nets["OpenVINO, 8 bits"] = openvino_net(file, "f32")
            others.append("OpenVINO, 8 bits")
        if find_spec("openvino") and floats.is_file():
            nets |= {f"OpenVINO, {name}": openvino_net(floats, hint) for name, hint in (("float32", "f32"), ("bfloat16", "bf16"))}
            others.append("OpenVINO, bfloat16")
        batch = np.concatenate(photos)[:COUNT]
        taken = in_turns({name: lambda net=net: net(batch) for name, net in nets.items()}, rounds=asked.rounds)  # type: ignore[misc]
        agreed = {name: agreement(nets[name], photos, bundle, ours) for name in others}
    rows = [
        {"net": name, "ms": round(1000 * seconds, 1), "to_camtrace": round(seconds / taken[OURS], 2), **agreed.get(name, {})}
        for name, seconds in taken.items()
    ]
    print(json.dumps({"machine": facts, "rounds": asked.rounds, "photos_compared": len(photos), "rows": rows}))


if __name__ == "__main__":
    main()
