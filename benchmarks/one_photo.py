"""One photo, from its bytes to the verdict: camtrace against simplejpeg's decoding alone, and against the reference way.

    OMP_NUM_THREADS=1 python benchmarks/one_photo.py [--rounds 15] [--photo FILE ...]

All on one core. The reference way decodes with Pillow, scores patch by patch in numpy and runs the net in PyTorch, eagerly (in ONNX
Runtime where PyTorch is not installed); it is timed with the bundle's own rule, which is cheap, and with the rule of the weights that
Bondi et al. released. Both ways must choose the same patches and name the same camera. `decode and net to decode` is what would be left
if all else took no time, `with 32 patches` what `--patches 32` takes, as many as the paper asks. The goal is 1.6 for `camtrace to
decode` and 10 for the reference way to camtrace. Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import plain_way
import simplejpeg
from sides import SIZES, in_turns, machine, made_photo

from camtrace.bundle import FEATURES, Bundle, load_bundle
from camtrace.claim import agrees
from camtrace.history import cut_patches, examine, find_grid
from camtrace.identification import gather, identify
from camtrace.patches import PATCH_COUNT, select_patches
from camtrace.photo import decode_photo
from camtrace.screening import find_burden
from camtrace.types import Patches
from camtrace.vote import decide


def decoded(data: bytes) -> Any:
    return simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)


def reference(data: bytes, bundle: Bundle, net: plain_way.Net, rule: str) -> tuple[Any, str]:
    """Positions of the patches, and the best camera."""
    pixels = plain_way.decode(data)
    manifest = bundle.manifest
    positions = plain_way.choose(pixels, rule=rule, count=manifest.patch_count, size=manifest.patch_size)
    features = net(plain_way.cut(pixels, positions, manifest.patch_size))
    votes = bundle.cast_votes(features)
    return positions, bundle.manifest.labels[int(votes.scores.mean(axis=0).argmax())]


def check(data: bytes, bundle: Bundle, net: plain_way.Net) -> None:
    found = gather(data, bundle=bundle)
    positions, best = reference(data, bundle, net, bundle.manifest.rule)
    if found.patches is None or not np.array_equal(found.patches.positions, positions) or found.verdict.best != best:
        raise SystemExit("the two ways do not agree")


def parts(data: bytes, bundle: Bundle) -> dict[str, Callable[[], object]]:
    """What `identify` does, step by step."""
    photo = decode_photo(data, "photo")
    history = examine(photo)
    manifest = bundle.manifest
    chosen: Patches = cut_patches(photo, history, rule=manifest.rule, count=manifest.patch_count, size=manifest.patch_size)
    features = bundle.extract(chosen)
    votes = bundle.cast_votes(features)
    return {
        "hash": lambda: hashlib.sha256(data).hexdigest(),
        "screening": lambda: find_burden(data, *photo.size),
        "grid": lambda: find_grid(photo.pixels),
        "patches": lambda: select_patches(photo, rule=manifest.rule, count=manifest.patch_count),
        "net": lambda: bundle.extract(chosen),
        "head": lambda: bundle.cast_votes(features),
        "nearness": lambda: bundle.nearness(features),
        "decision": lambda: decide(
            votes, manifest.groups, way=manifest.vote, threshold=0.0, calibration=manifest.calibration, nearness=0.0
        ),
        "claim": lambda: agrees(photo.claim, manifest.labels[0], level="model", cameras=manifest.labels[:1]),
    }


def measure(name: str, data: bytes, bundle: Bundle, net: plain_way.Net, rounds: int) -> dict[str, Any]:
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    check(data, bundle, net)
    ways: dict[str, Callable[[], object]] = {"decode": lambda: decoded(data), "camtrace": lambda: identify(data, bundle=bundle)}
    ways["fewer"] = lambda: identify(data, bundle=bundle, patches=PATCH_COUNT)
    ways |= {f"part {part}": work for part, work in parts(data, bundle).items()}
    quick = in_turns(ways, rounds=rounds)
    slow = in_turns(
        {
            "camtrace": ways["camtrace"],
            **{f"reference {rule}": lambda rule=rule: reference(data, bundle, net, rule) for rule in plain_way.RULES},  # type: ignore[misc]
        },
        rounds=max(3, rounds // 4),
    )
    return {
        "photo": name,
        "megapixels": round(height * width / 1e6, 1),
        "bits_a_pixel": round(8 * len(data) / height / width, 2),
        "decode_ms": round(1000 * quick["decode"], 1),
        "camtrace_ms": round(1000 * quick["camtrace"], 1),
        "camtrace_to_decode": round(quick["camtrace"] / quick["decode"], 2),
        f"with_{PATCH_COUNT}_patches_to_decode": round(quick["fewer"] / quick["decode"], 2),
        "decode_and_net_to_decode": round((quick["decode"] + quick["part net"]) / quick["decode"], 2),
        **{
            f"reference_{rule}_to_camtrace": round(slow[f"reference {rule}"] / min(slow["camtrace"], quick["camtrace"]), 1)
            for rule in plain_way.RULES
        },
        "parts_ms": {part.removeprefix("part "): round(1000 * s, 2) for part, s in quick.items() if part.startswith("part ")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--photo", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    facts = machine()
    bundle = load_bundle(threads=1)
    eager = find_spec("torch") is not None and find_spec("onnx") is not None
    if eager:
        import torch

        torch.set_num_threads(1)
        net = plain_way.eager_net(bundle.files[FEATURES])
    else:
        net = lambda patches: bundle.extract(Patches(patches, np.zeros((len(patches), 2), np.int64)))  # noqa: E731
    photos = {path.name: path.read_bytes() for path in asked.photo} or {
        f"made {mp} MP": made_photo(*size) for mp, size in SIZES.items()
    }
    rows = [measure(name, data, bundle, net, asked.rounds) for name, data in photos.items()]
    print(json.dumps({"machine": facts, "rounds": asked.rounds, "reference_net": "PyTorch" if eager else "ONNX Runtime", "rows": rows}))


if __name__ == "__main__":
    main()
