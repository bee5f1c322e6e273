"""The compact form of a fingerprint: signs of random projections, 32 KB a device, ten thousand searched in seconds.

After Valsesia, Coluccia, Bianchi and Magli, "Compressed Fingerprint Matching and Camera Identification via Random Projections" (IEEE
TIFS 2015). The projection here gives each pixel a random sign and adds pixels up into as many sums as there are bits, which keeps inner
products in expectation, as a dense one does, at the cost of one pass. A sketch has no shifts: it finds photos at the sensor's own
position and size alone, and it only picks candidates, which are then compared in full. What it finds depends on the number of bits and
on how strongly single pixels correlate, not on the photo's size: more pixels help the full comparison, not the sketch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from camtrace.devices.fingerprint import Plane

BITS = 2**18
BYTES = BITS // 8
_SEED = 20150311
_DEVICES_AT_ONCE = 32


def project(plane: Plane) -> NDArray[np.float32]:
    """Random sums (BITS,) of a plane (h, w); planes of one shape share the projection."""
    signs = np.random.default_rng([_SEED, *plane.shape]).bytes(-(-plane.size // 8))
    flips = np.unpackbits(np.frombuffer(signs, np.uint8), count=plane.size).astype(np.float32)
    flips *= 2
    flips -= 1
    flips *= plane.ravel()
    whole = plane.size // BITS * BITS
    sums: NDArray[np.float32] = flips[:whole].reshape(-1, BITS).sum(axis=0)
    sums[: plane.size - whole] += flips[whole:]
    return sums


def to_bits(plane: Plane) -> NDArray[np.uint8]:
    """The sketch (BYTES,) of a fingerprint: the signs of its random sums."""
    return np.packbits(project(plane) > 0)


def score_sketches(evidence: Plane, sketches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How well a photo's evidence (h, w) agrees with each of the sketches (n, BYTES): standard deviations above chance (n,)."""
    sums = project(evidence)
    norm = np.linalg.norm(sums) or np.float32(1)
    scores = np.empty(len(sketches), np.float32)
    for start in range(0, len(sketches), _DEVICES_AT_ONCE):
        rows = sketches[start : start + _DEVICES_AT_ONCE]
        bits = np.unpackbits(rows, axis=1).astype(np.float32)
        scores[start : start + len(rows)] = bits @ sums
    return np.asarray((2 * scores - sums.sum()) / norm, np.float32)
