"""When does a photo as a whole alarm: what its two clusters of blocks say together, and the figures that were measured for it.

How far the clusters lie apart (`blocks`) is much in genuine photos too, where sky lies beside leaves. Whether they compare as
two photos of one camera or of two (`camtrace.comparison`) allows for that: photos of one camera differ in content as well; and what was
pasted is one piece, where content is scattered. A line through the three gives the score, as natural log-odds in a set of which half is
spliced. localization.json holds the line, the threshold and where they were measured.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.comparison import Comparison, mean_features, raw_ratios
from camtrace.tampering.blocks import Blocks, Split, paint
from camtrace.tampering.regions import largest_area

CALIBRATION = "localization.json"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """What is known of a photo as a whole."""

    separation: float  # of its two clusters
    likeness: float | None  # natural log ratio, not calibrated, of one camera against two behind them; None: not compared
    compactness: float  # of the largest foreign area, 1 = a square

    def terms(self) -> tuple[float, float, float]:
        """What the line weighs."""
        return math.log(max(self.separation, 1e-3)), flatten(self.likeness or 0.0), self.compactness


@dataclass(frozen=True)
class Line:
    """Score of a photo: the sum of its terms, each times its weight, and an offset."""

    separation: float
    likeness: float
    compactness: float
    offset: float

    def score(self, found: Found) -> float:
        """The log-odds."""
        weights = (self.separation, self.likeness, self.compactness)
        return sum(weight * term for weight, term in zip(weights, found.terms(), strict=True)) + self.offset


@dataclass(frozen=True)
class Measured:
    """What `python -m camtrace.lab.splicing` measured; see docs/localize.md."""

    threshold: float  # of the score
    genuine: int  # photos that it was set on
    alarms: int  # of these
    largest_side: int  # of these, in pixels
    bundles: list[list[str]]  # name and version of those that it was set with
    compared: Line  # for bundles that can compare two photos
    alone: Line  # for those that cannot
    noise: float = 0.0  # weight of the noise in the fused map
    usual_noise: float = 0.0  # its mean size in genuine photos
    grid: float = 0.0  # weight of the JPEG grid in the fused map
    noise_limit: float = math.inf  # mean size over a region from which on it is a reason
    resampling_limit: float = math.inf  # the same of the peaks of resampling
    slope: float | None = None  # of the log-odds that a cell is foreign, along its fused value; None: not fitted
    offset: float | None = None

    def probability(self, values: Floats) -> float | None:
        """Mean probability of cells to be foreign; None until it is fitted."""
        if self.slope is None or self.offset is None:
            return None
        return float(np.exp(-np.logaddexp(0, -(self.slope * values.astype(np.float64) + self.offset))).mean())


def flatten(likeness: float) -> float:
    """Large ratios count little more than middling ones: sign(x) ln(1 + |x|)."""
    return math.copysign(math.log1p(abs(likeness)), likeness)


def sum_up(blocks: Blocks, split: Split, comparison: Comparison | None) -> Found:
    """What the two clusters of a photo's blocks say of it as a whole."""
    return Found(split.separation, _compare(blocks, split, comparison), _compactness(paint(blocks, split.excess)))


def _compare(blocks: Blocks, split: Split, comparison: Comparison | None) -> float | None:
    foreign = split.excess[blocks.usable] > 0
    if comparison is None or not foreign.any() or foreign.all():
        return None
    features = blocks.features[blocks.usable]
    one, other = (mean_features(features[chosen])[None] for chosen in (~foreign, foreign))
    return float(raw_ratios(comparison, one, other)[0, 0])


def _compactness(cells: Floats) -> float:
    """16 x area / border^2 of the largest connected area above 0: 1 for a square, 0.8 for a disc, 0 if there is none."""
    area = largest_area(np.nan_to_num(cells, nan=-1) > 0)
    padded = np.pad(area, 1).astype(np.int8)
    border = sum(int(np.abs(np.diff(padded, axis=axis)).sum()) for axis in (0, 1))
    return 16 * int(area.sum()) / max(border, 1) ** 2


def judge_photo(measured: Measured, found: Found) -> float:
    """The photo's score."""
    return (measured.alone if found.likeness is None else measured.compared).score(found)


@cache
def read_measured() -> Measured:
    """What ships as localization.json."""
    return parse_measured(resources.files("camtrace.tampering").joinpath(CALIBRATION).read_text("utf-8"))


def parse_measured(text: str) -> Measured:
    """The text of such a file."""
    document = json.loads(text)
    values: dict[str, Any] = {name: document[name] for name in Measured.__dataclass_fields__}
    values |= {name: Line(**document[name]) for name in ("compared", "alone")}
    return Measured(**values)
