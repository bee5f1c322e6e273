"""How well two photos of cameras that nobody taught are told to be of one model or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.comparison import Comparison, calibrate
from camtrace.lab.evaluate import auroc
from camtrace.lab.folds import Fold


def fit_line(comparison: Comparison, folds: Sequence[Fold]) -> Comparison:
    """The comparison with the line that makes raw ratios of these folds' pairs mean what they say, degraded photos among them."""
    ratios, same = (np.concatenate([getattr(fold.pairs, part) for fold in folds]) for part in ("ratios", "same"))
    photos, cameras = (len(np.unique(np.concatenate([getattr(fold.pairs, part) for fold in folds]))) for part in ("photos", "cameras"))
    return calibrate(comparison, ratios, same, photos=photos, cameras=cameras)


def judge_pairs(folds: Sequence[Fold]) -> dict[str, Any]:
    """Pairs of untouched photos, and those with a degraded one, each fold by the line of the others (its own where there is one)."""
    nothing = Comparison(np.zeros(0), np.zeros((0, 0)), np.zeros(0))
    lines = [fit_line(nothing, [*folds[:number], *folds[number + 1 :]] or folds) for number in range(len(folds))]
    found = [(line.slope * fold.pairs.ratios + line.offset) / math.log(10) for line, fold in zip(lines, folds, strict=True)]
    ratio = np.concatenate([np.clip(values, -line.limit, line.limit) for line, values in zip(lines, found, strict=True)])
    same, native = (np.concatenate([getattr(fold.pairs, part) for fold in folds]) for part in ("same", "native"))
    return {"native": _judge(ratio[native], same[native] == 1), "degraded": _judge(ratio[~native], same[~native] == 1)}


def _judge(ratio: NDArray[np.float64], same: NDArray[np.bool_]) -> dict[str, Any]:
    cost = (np.log2(1 + 10.0 ** -ratio[same]).mean() + np.log2(1 + 10.0 ** ratio[~same]).mean()) / 2
    cuts = np.quantile(ratio, np.linspace(0, 1, 501))
    missed = np.searchsorted(np.sort(ratio[same]), cuts) / same.sum()
    alarmed = 1 - np.searchsorted(np.sort(ratio[~same]), cuts) / (~same).sum()
    return {
        "pairs": len(ratio),
        "same": int(same.sum()),
        "auroc": auroc(ratio[same], ratio[~same]),
        "equal_error": float(missed[np.abs(missed - alarmed).argmin()]),
        "cllr": float(cost),
    }
