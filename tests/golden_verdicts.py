"""Golden verdicts: photos of made cameras, and what the bundle that ships says of them, for any runtime to meet.

    python tests/golden_verdicts.py      # writes tests/golden/verdicts.json anew, after a new default bundle

The photos are in the file, in base64: the simulator's last bits may differ from one processor to another, and other runtimes (the page
in the browser) have no simulator. `TOLERANCES` is how far a runtime may be off; what differs within it are sums in another order,
and patches of which such a sum made a map round to the next of its 256 steps: single features then differ by up to 0.03, those of a
photo by 0.0004.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import camtrace
from camtrace.history import cut_patches, examine
from camtrace.photo import read_photo
from camtrace.types import Votes

GOLDEN = Path(__file__).parent / "golden" / "verdicts.json"
TOLERANCES = {"features": 5e-2, "scores": 3e-1, "probability": 2e-3, "log10_lr": 2e-2}
RANKED, ROWS = 5, 2


def answered(data: bytes, bundle: camtrace.Bundle) -> dict[str, Any]:
    """What a runtime must give for a photo: the verdict's telling fields, the features of its first patches and their scores."""
    verdict = camtrace.identify(data, bundle=bundle)
    fields = {name: getattr(verdict, name) for name in ("sha256", "status", "answer", "answer_level", "best", "n_patches", "log10_lr")}
    ranking = [{"camera": line.camera, "probability": line.probability, "votes": line.votes} for line in verdict.ranking[:RANKED]]
    features, votes = numbers(data, bundle) if verdict.status == "ok" else (None, None)
    return {
        **fields,
        "ranking": ranking,
        "features": [] if features is None else features[:ROWS].astype(float).round(5).tolist(),
        "scores": [] if votes is None else votes.scores.mean(axis=0).astype(float).round(5).tolist(),
    }


def numbers(data: bytes, bundle: camtrace.Bundle) -> tuple[Any, Votes]:
    """Features (n, dimension) of a photo's patches, and their votes."""
    photo, manifest = read_photo(data), bundle.manifest
    patches = cut_patches(photo, examine(photo), rule=manifest.rule, count=manifest.patch_count, size=manifest.patch_size)
    features = bundle.extract(patches)
    return features, bundle.cast_votes(features)


def make() -> dict[str, Any]:
    """The golden file: photos of four made cameras, one of them saved again, one white, one too small."""
    from camtrace.bundle import load_bundle
    from made import different_cameras, encode, made_photo

    bundle = load_bundle(threads=1)
    photos = {camera.name: made_photo(camera, 900 + number, size=256) for number, camera in enumerate(different_cameras())}
    pixels = read_photo(photos["Aurora A100"]).pixels
    photos |= {"saved again": encode(pixels[3:, 5:], "JPEG", quality=70), "too small": encode(pixels[:60], "JPEG", quality=60)}
    photos["white"] = encode(pixels[:64, :64] * 0 + 255, "PNG")
    found = [{"name": name, "photo": base64.b64encode(data).decode(), **answered(data, bundle)} for name, data in photos.items()]
    return {"bundle": {"name": bundle.id.name, "version": bundle.id.version}, "tolerances": TOLERANCES, "photos": found}


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
