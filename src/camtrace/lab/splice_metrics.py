"""How well a map says which pixels were pasted: the figures that papers on splicing give, over pixels with data.

A map has one value a cell, so that each value comes with how many pixels of the cell were pasted and how many were not.

F1, MCC and IoU come twice: at the fixed threshold, which is the map's own 0, and at the best one of each photo, which nobody knows
beforehand. `inverted` figures follow the convention of that literature: the better of the map and its inverse, since methods that do
not say which part is foreign would be punished by chance. camtrace does say, so its own figures are those without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.tampering.alarm import Found

Floats = NDArray[np.floating]
Counts = NDArray[np.integer]


@dataclass(frozen=True)
class MapFigures:
    """Figures of one map against the truth."""

    auc: float
    f1: float  # at 0
    f1_best: float
    mcc: float
    mcc_best: float
    iou: float
    iou_best: float
    auc_inverted: float  # the better of the map and its inverse
    f1_inverted: float  # the same of the best F1


@dataclass(frozen=True)
class Row:
    """One photo judged. Figures of maps are None for a genuine one, and where it could not be judged."""

    bundle: str
    version: str
    photo: str
    donor: str
    state: str
    aligned: bool
    status: str
    side: int  # the photo's longer one
    score: float | None = None  # by what shipped
    separation: float | None = None
    likeness: float | None = None
    compactness: float | None = None
    with_data: float = 0.0  # share of the pixels
    auc: float | None = None  # pasted pixels against others, those with data; the fused map as it is, never inverted
    f1: float | None = None  # of the map above 0, whether the photo alarms or not
    f1_best: float | None = None
    mcc: float | None = None
    mcc_best: float | None = None
    iou: float | None = None
    iou_best: float | None = None
    auc_inverted: float | None = None
    f1_inverted: float | None = None
    auc_consistency: float | None = None  # of single traces; noise by its size
    auc_grid: float | None = None
    auc_noise: float | None = None
    auc_resampling: float | None = None
    auc_doubled: float | None = None  # only where the photo shows the trace

    @property
    def found(self) -> Found | None:
        """What was found of the photo as a whole; None where it was not judged."""
        if self.separation is None or self.compactness is None:
            return None
        return Found(self.separation, self.likeness, self.compactness)


def measure_map(values: Floats, pasted: Counts, others: Counts) -> MapFigures | None:
    """Values (n,) of cells with data, larger = more foreign, and their pixels (n,); None where all or none of these were pasted."""
    if not pasted.any() or not others.any():
        return None
    hits, alarms = (np.array([counts[values > 0].sum()], np.float64) for counts in (pasted, others))
    fixed = _scores(hits, alarms, float(pasted.sum()), float(others.sum()))
    best, other = (_best(sign * values, pasted, others) for sign in (1, -1))
    auc = area_under(values, pasted, others)
    f1, mcc, iou = (float(scores[0]) for scores in fixed)
    return MapFigures(
        auc=auc,
        f1=f1,
        f1_best=best[0],
        mcc=mcc,
        mcc_best=best[1],
        iou=iou,
        iou_best=best[2],
        auc_inverted=max(auc, 1 - auc),
        f1_inverted=max(best[0], other[0]),
    )


def area_under(values: Floats, pasted: Counts, others: Counts) -> float:
    """The area under the ROC curve: the chance that a pasted pixel has more than another one, ties counting half."""
    _, inside, outside = _by_value(values, pasted, others)
    below = np.cumsum(outside) - outside
    return float((inside * (below + outside / 2)).sum() / (inside.sum() * outside.sum()))


def _by_value(values: Floats, pasted: Counts, others: Counts) -> tuple[Floats, Floats, Floats]:
    """The different values, rising, and how many pixels of either kind have each."""
    places, index = np.unique(values, return_inverse=True)
    inside, outside = np.zeros(len(places)), np.zeros(len(places))
    np.add.at(inside, index, pasted)
    np.add.at(outside, index, others)
    return places, inside, outside


def _best(values: Floats, pasted: Counts, others: Counts) -> tuple[float, float, float]:
    """F1, MCC and IoU, each at the value that is best for it."""
    _, inside, outside = _by_value(values, pasted, others)
    hits, alarms = (np.cumsum(counts[::-1]) for counts in (inside, outside))
    f1, mcc, iou = (float(scores.max()) for scores in _scores(hits, alarms, inside.sum(), outside.sum()))
    return f1, mcc, iou


def _scores(hits: Floats, alarms: Floats, inside: float, outside: float) -> tuple[Floats, Floats, Floats]:
    """F1, MCC and IoU (n,) where so many of the `inside` pasted pixels are marked, and so many of the `outside` others."""
    marked = hits + alarms
    product = np.sqrt(marked * inside * outside * (inside + outside - marked))
    mcc: Floats = np.where(product > 0, (hits * (outside - alarms) - alarms * (inside - hits)) / np.maximum(product, 1e-12), 0.0)
    f1: Floats = 2 * hits / (marked + inside)
    iou: Floats = hits / (inside + alarms)
    return f1, mcc, iou
