"""What the folds say together: the figures that a manifest and its card carry, each with its interval over photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.classify import equal_error_threshold
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import Judged, auroc, interval
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
    """All folds as plain JSON values: see `camtrace.card` for what each figure means."""
    several = has_several_devices(records)
    photos = _joined(folds, lambda fold: fold.known.photos)
    cameras = _joined(folds, lambda fold: fold.known.cameras)
    makers = np.array([name.split()[0] for name in names])
    best = {way: _joined(folds, lambda fold, way=way: fold.known.best[way]) for way in WAYS}  # type: ignore[misc]
    return {
        "tested": len(photos),
        "foreign": sum(len(fold.foreign.photos) for fold in folds),
        "left_out": sorted({names[camera] for fold in folds for camera in np.unique(fold.foreign.cameras)}),
        "photos": {
            way: {
                "all": interval(best[way] == cameras),
                "unseen device": interval((best[way] == cameras)[several[photos]]),
                "unseen scene": interval((best[way] == cameras)[~several[photos]]),
                "maker": interval(makers[best[way]] == makers[cameras]),
            }
            for way in WAYS
        },
        "patches": interval(_joined(folds, lambda fold: fold.known.patches_right)),
        "few_shot": {str(n): interval(_joined(folds, lambda fold, n=n: fold.few_shot[n])) for n in folds[0].few_shot},  # type: ignore[misc]
        "unknown": {way: _unknown(folds, way) for way in WAYS},
        "confusions": _confusions(names, cameras, best["summed"]),
        "cameras": {
            names[camera]: [int((best["summed"] == camera)[cameras == camera].sum()), int((cameras == camera).sum())]
            for camera in np.unique(cameras)
        },
    }


def has_several_devices(records: Sequence[Record]) -> NDArray[np.bool_]:
    """(n_records,) whether the record's camera is there with more than one device."""
    devices: dict[str, set[str]] = {}
    for record in records:
        devices.setdefault(record.camera, set()).add(record.device)
    return np.array([len(devices[record.camera]) > 1 for record in records])


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


def _joined(folds: Sequence[Fold], part: Callable[[Fold], NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([part(fold) for fold in folds])
