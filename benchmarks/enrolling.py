"""Enrolling 1,000 photos of 20 cameras: what a photo costs beyond its decoding, and what the head costs once.

    OMP_NUM_THREADS=1 python benchmarks/enrolling.py [--rounds 5]

A photo costs the features of its own patches and, for a bundle with experts, those of its degraded copies; the head is fitted and
cross-validated on the features of 1,000 made photos, alone and together with the base's own. Seconds are those of one core; the sum is
`photos x per photo + head`, since a full run would only repeat itself. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from sides import SIZES, in_turns, machine, made_photo

from camtrace.bundle import Bundle, load_bundle
from camtrace.history import cut_patches, examine, origin_of
from camtrace.mishaps import copies_of
from camtrace.photo import decode_photo
from camtrace.teaching import fit_expert_head
from camtrace.types import Photo, References

PHOTOS, CAMERAS = 1000, 20


def own(photo: Photo, bundle: Bundle) -> None:
    bundle.extract(cut_patches(photo, examine(photo), rule=bundle.manifest.rule))


def copies(photo: Photo, bundle: Bundle) -> list[object]:
    history, manifest = examine(photo), bundle.manifest
    origin = origin_of(photo.pixels, history.grid, size=manifest.patch_size)
    return list(copies_of(photo, origin, rule=manifest.rule, size=manifest.patch_size))


def made_references(base: References) -> References:
    """Photos of the base, moved a little and dealt to other cameras."""
    rng, shots = np.random.default_rng(0), np.unique(base.photos)
    spread = base.features.std(axis=0)
    shift = rng.normal(0, 0.7, (CAMERAS, base.features.shape[1])) * spread
    parts = []
    for number in range(PHOTOS):
        rows = np.flatnonzero(base.photos == shots[number % len(shots)])
        features = base.features[rows] + shift[number % CAMERAS] + rng.normal(0, 0.2, (len(rows), len(spread))) * spread
        kind = np.zeros(len(rows), np.int64) if base.copies is None else base.copies[rows]
        parts.append((features.astype(np.float32), np.full(len(rows), number % CAMERAS), np.full(len(rows), number), kind))
    return References(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def joined(base: References, new: References) -> References:
    known, shots = int(base.cameras.max()) + 1, int(base.photos.max()) + 1
    kinds = [np.zeros_like(part.photos) if part.copies is None else part.copies for part in (base, new)]
    return References(
        np.concatenate([base.features, new.features]),
        np.concatenate([base.cameras, new.cameras + known]),
        np.concatenate([base.photos, new.photos + shots]),
        np.concatenate(kinds),
    )


def fit_seconds(references: References, bundle: Bundle) -> float:
    started = time.process_time()
    fit_expert_head(references, int(references.cameras.max()) + 1, bundle.gate(), bundle.neighbours())
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    facts, bundle = machine(), load_bundle(threads=1)
    data = made_photo(*SIZES[12])
    photo = decode_photo(data, "photo")
    chosen = copies(photo, bundle)
    taken = in_turns(
        {
            "decode": lambda: decode_photo(data, "photo"),
            "own patches": lambda: own(photo, bundle),
            "making copies": lambda: copies(photo, bundle),
            "features of copies": lambda: [bundle.extract(patches) for patches in chosen],  # type: ignore[arg-type]
        },
        rounds=asked.rounds,
    )
    base = bundle.references()
    new = made_references(base)
    heads = {"20 cameras alone": fit_seconds(new, bundle), "20 cameras beside the base's": fit_seconds(joined(base, new), bundle)}
    beyond = PHOTOS * sum(seconds for name, seconds in taken.items() if name != "decode")
    rows = [
        {"step": name, "ms_a_photo": round(1000 * seconds, 1), "s_in_all": round(PHOTOS * seconds, 1)}
        for name, seconds in taken.items()
    ]
    rows += [{"step": f"head of {name}", "ms_a_photo": "", "s_in_all": round(seconds, 1)} for name, seconds in heads.items()]
    rows += [
        {"step": f"beyond decoding, {name}", "ms_a_photo": "", "s_in_all": round(beyond + head, 1)} for name, head in heads.items()
    ]
    print(json.dumps({"machine": facts, "photos": PHOTOS, "cameras": CAMERAS, "rows": rows}))


if __name__ == "__main__":
    main()
