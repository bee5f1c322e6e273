"""What the folds say together: the figures that a manifest and its card carry, each with its interval over photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.classify import equal_error_threshold
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import Judged, auroc, interval
from camtrace.lab.protocols import has_several_devices
from camtrace.types import VotingWay
from camtrace.vote import WAYS

_COMMONEST = 12


@dataclass(frozen=True)
class Fold:
    """What one fold measured."""

    known: Judged  # test photos of cameras it was taught
    foreign: Judged  # photos of the cameras left out
    few_shot: dict[int, NDArray[np.float64]]  # photos taught of each camera left out -> (n_photos,) share of draws named rightly


def thresholds(folds: Sequence[Fold]) -> dict[VotingWay, float]:
    """For each way of voting, where as many known photos are refused as foreign ones named; the mean over folds."""
    each = [{way: equal_error_threshold(fold.known.strength[way], fold.foreign.strength[way]) for way in WAYS} for fold in folds]
    return {way: float(np.mean([threshold[way] for threshold in each])) for way in WAYS}


def summarise(records: Sequence[Record], names: Sequence[str], folds: Sequence[Fold]) -> dict[str, Any]:
    """All folds as plain JSON values: see `camtrace.card` for what each figure means.

    A photo that several folds asked about counts once, with the mean of what they said, so that intervals are over photos.
    """
    several = has_several_devices(records)
    cameras_of, makers = _joined(folds, "cameras"), np.array([name.split()[0] for name in names])
    photos = np.unique(_joined(folds, "photos"))
    cameras = np.array([names.index(records[photo].camera) for photo in photos])
    best = {way: np.concatenate([fold.known.best[way] for fold in folds]) for way in WAYS}
    right = {way: _once_a_photo(folds, best[way] == cameras_of) for way in WAYS}
    return {
        "tested": len(photos),
        "foreign": sum(len(fold.foreign.photos) for fold in folds),
        "left_out": sorted({names[camera] for fold in folds for camera in np.unique(fold.foreign.cameras)}),
        "photos": {
            way: {
                "all": interval(right[way]),
                "unseen device": interval(right[way][several[photos]]),
                "unseen scene": interval(right[way][~several[photos]]),
                "maker": interval(_once_a_photo(folds, makers[best[way]] == makers[cameras_of])),
            }
            for way in WAYS
        },
        "patches": interval(_once_a_photo(folds, _joined(folds, "patches_right"))),
        "few_shot": {str(n): interval(np.concatenate([fold.few_shot[n] for fold in folds])) for n in folds[0].few_shot},
        "unknown": {way: _unknown(folds, way) for way in WAYS},
        "confusions": _confusions(names, cameras_of, best["summed"]),
        "cameras": {
            names[camera]: [float(right["summed"][cameras == camera].mean()), int((cameras == camera).sum())]
            for camera in np.unique(cameras)
        },
    }


def _joined(folds: Sequence[Fold], part: str) -> NDArray[Any]:
    """One part of `Judged` over the test photos of all folds, one after the other."""
    return np.concatenate([getattr(fold.known, part) for fold in folds])


def _once_a_photo(folds: Sequence[Fold], values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as `_joined` orders them -> the mean for each photo, in the order of `np.unique`."""
    _, index, asked = np.unique(_joined(folds, "photos"), return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = np.bincount(index, weights=values) / asked
    return mean


def _unknown(folds: Sequence[Fold], way: VotingWay) -> dict[str, float]:
    """What the threshold does, each fold judged by the one that the other folds set (by its own where there is just one)."""
    parts = []
    for number, fold in enumerate(folds):
        threshold = thresholds([*folds[:number], *folds[number + 1 :]] or folds)[way]
        named, right = fold.known.strength[way] >= threshold, fold.known.best[way] == fold.known.cameras
        parts.append((named & right, named & ~right, ~named, fold.foreign.strength[way] >= threshold))
    rightly, wrongly, refused, foreign_named = (float(np.concatenate(side).mean()) for side in zip(*parts, strict=True))
    return {
        "auroc": float(np.mean([auroc(fold.known.strength[way], fold.foreign.strength[way]) for fold in folds])),
        "known named rightly": rightly,
        "known named wrongly": wrongly,
        "known refused": refused,
        "unknown named": foreign_named,
    }


def _confusions(names: Sequence[str], cameras: NDArray[np.int64], best: NDArray[np.int64]) -> list[list[Any]]:
    """The commonest mistakes: true camera, camera named, photos."""
    wrong, counts = np.unique(np.stack([cameras, best])[:, cameras != best], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return [[names[wrong[0, index]], names[wrong[1, index]], int(counts[index])] for index in order]
