"""Devices that nobody has to own: fifty bodies of one made model, and a crowd of ten thousand sketches around six real ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from camtrace.devices.fingerprint import Pixels, Plane, Sums, estimate
from camtrace.devices.matching import Questioned, Search, compare, placements
from camtrace.devices.sketch import BYTES, score_sketches, to_bits
from camtrace.lab.devices import Interval, Prints, Shot, resaved
from camtrace.simulator import MadeCamera, draw_scene, make_cameras, shoot

STRAIGHT = (0,)
PRNU = 0.007
SIZE, DEVICES = 256, 50


def equal_error(matches: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """The error rate at the threshold where as many matches fall below as others do not."""
    thresholds = np.sort(np.concatenate([matches, others]))
    misses = np.searchsorted(np.sort(matches), thresholds) / len(matches)
    alarms = 1 - np.searchsorted(np.sort(others), thresholds) / len(others)
    place = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[place] + alarms[place]) / 2)


def made_camera() -> MadeCamera:
    """The model that the made devices are of."""
    return replace(make_cameras(1, seed=5)[0], scale=1.0, shot_noise=0.01, read_noise=0.001)


def made_study(
    echo: Callable[[str], object],
    *,
    devices: int = DEVICES,
    questioned: int = 2,
    counts: tuple[int, ...] = (5, 10, 20),
    qualities: tuple[int, ...] = (97, 90, 70),
) -> list[dict[str, object]]:
    """Equal error rate against enrolment photos and JPEG quality, full and by sketch, for devices of one made model."""
    camera = made_camera()
    prints: dict[int, list[Plane]] = {count: [] for count in counts}
    asked: dict[int, list[tuple[int, Questioned]]] = {quality: [] for quality in qualities}
    for device in range(devices):
        echo(f"device {device + 1} of {devices}")
        taken = (_made_photo(camera, device, number) for number in range(max(counts) + questioned))
        total: Sums | None = None
        for number, pixels in enumerate(taken):
            if number >= max(counts):
                for quality in qualities:
                    asked[quality].append((device, Questioned.of_pixels(resaved(pixels, quality))))
                continue
            one = Sums.of(resaved(pixels, 97))
            total = one if total is None else total + one
            if number + 1 in prints:
                prints[number + 1].append(estimate(total))
    return [_made_line(asked[quality], prints[count], count, quality) for count in counts for quality in qualities]


def _made_photo(camera: MadeCamera, device: int, number: int) -> Pixels:
    seed = 1000 * device + number
    scene = draw_scene(SIZE, SIZE, seed=seed)
    return shoot(scene, camera, device=device, seed=seed, prnu=PRNU)


def _made_line(asked: Sequence[tuple[int, Questioned]], prints: Sequence[Plane], count: int, quality: int) -> dict[str, object]:
    places = placements(prints[0].shape, prints[0].shape, Search(STRAIGHT))
    pces = np.array([[compare(photo, sensor, places).pce for sensor in prints] for _, photo in asked])
    sketches = np.stack([to_bits(sensor) for sensor in prints])
    compact = np.array([score_sketches(photo.evidence, sketches) for _, photo in asked])
    own = np.arange(len(prints)) == np.array([device for device, _ in asked])[:, None]
    at = {"full": pces, "sketch": compact}
    line: dict[str, object] = {"enrolment_photos": count, "jpeg_quality": quality, "photos": len(asked), "devices": len(prints)}
    line |= {f"eer_{name}": _eer_interval(scores, own) for name, scores in at.items()}
    line |= {f"first_{name}": float((scores.argmax(axis=1) == own.argmax(axis=1)).mean()) for name, scores in at.items()}
    line |= {"median_match": float(np.median(pces[own])), "highest_other": float(pces[~own].max())}
    return line


def _eer_interval(scores: NDArray[np.floating], own: NDArray[np.bool_]) -> Interval:
    rng = np.random.default_rng(0)
    picks = [np.arange(len(scores)), *(rng.integers(len(scores), size=len(scores)) for _ in range(200))]
    values = [equal_error(scores[pick][own[pick]], scores[pick][~own[pick]]) for pick in picks]
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return values[0], float(low), float(high)


def compact_study(shots: Sequence[Shot], prints: Prints, *, devices: int = 10_000) -> list[dict[str, object]]:
    """The place of a photo's own device among many by sketch alone; an unrelated sensor's sketch is as good as random bits."""
    crowd = np.random.default_rng(3).integers(0, 256, (devices - len(prints.devices), BYTES), dtype=np.uint8)
    ranks: dict[str, list[int]] = {"flat": [], "nat": []}
    seconds = []
    for shot in shots:
        real = np.stack([to_bits(prints.of(device, shot)) for device in prints.devices])
        evidence = Questioned.of_pixels(shot.pixels).evidence
        started = time.perf_counter()
        scores = score_sketches(evidence, np.concatenate([real, crowd]))
        seconds.append(time.perf_counter() - started)
        own = scores[prints.devices.index(shot.device)]
        ranks[shot.kind].append(int((scores > own).sum()) + 1)
    return [
        {
            "kind": kind,
            "photos": len(found),
            "devices": devices,
            "megabytes": round(devices * BYTES / 1e6, 1),
            "seconds": float(np.median(seconds)),
            "worst_rank": max(found),
            **{f"within_{limit}": float(np.mean(np.array(found) <= limit)) for limit in (1, 10, 100, 1000)},
        }
        for kind, found in ranks.items()
    ]
