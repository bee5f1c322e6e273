"""Votes -> what the photo says: a ranking of cameras, and whether the evidence is enough to name one.

Two ways to sum up the patches: `majority` counts the cameras the patches vote for (Bondi et al. 2017, section III-C), `summed`
averages their evidence for every camera, so that a sure patch counts more than a doubtful one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from camtrace.types import UNKNOWN, Level, Ranked, Votes, VotingWay

WAYS: tuple[VotingWay, ...] = get_args(VotingWay)
MEANING: dict[VotingWay, str] = {"majority": "share of the votes", "summed": "mean score of its patches"}


@dataclass(frozen=True)
class Decision:
    """The part of a verdict that follows from the votes."""

    answer: str
    answer_level: Level
    best: str
    reason: str
    ranking: tuple[Ranked, ...]


def decide(votes: Votes, cameras: tuple[str, ...], *, way: VotingWay, threshold: float) -> Decision:
    """Rank the cameras and name the best one if its evidence reaches `threshold`, else say unknown."""
    evidence = weigh(votes, way)
    counts = np.bincount(votes.labels, minlength=len(cameras))
    order = np.lexsort((-weigh(votes, "summed"), -counts, -evidence))
    best, strength = cameras[order[0]], float(evidence[order[0]])
    known = strength >= threshold
    return Decision(
        answer=best if known else UNKNOWN,
        answer_level="model" if known else "unknown",
        best=best,
        reason=(
            f"{counts[order[0]]} of {len(votes.labels)} patches vote for {best}; ranked by {MEANING[way]}, it reaches {strength:.3f}, "
            f"{'at or above' if known else 'below'} the {threshold:.3f} needed to name a camera"
        ),
        ranking=tuple(Ranked(cameras[index], None, int(counts[index])) for index in order),
    )


def weigh(votes: Votes, way: VotingWay) -> NDArray[np.float64]:
    """Evidence of the whole photo for every camera (n_cameras,): its share of the votes, or its mean score."""
    if way == "majority":
        return np.bincount(votes.labels, minlength=votes.scores.shape[1]) / len(votes.labels)
    mean: NDArray[np.float64] = votes.scores.mean(axis=0, dtype=np.float64)
    return mean
