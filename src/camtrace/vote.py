"""Votes -> what the photo says: a ranking of cameras, and whether the evidence is enough to name one.

Two ways to sum up the patches: `majority` counts the cameras the patches vote for (Bondi et al. 2017, section III-C), `summed`
averages their evidence for every camera, so that a sure patch counts more than a doubtful one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from camtrace.calibration import NAMING, Calibration, Groups
from camtrace.types import UNKNOWN, Level, Mode, Ranked, Votes, VotingWay

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
    log10_lr: float | None = None


def decide(
    votes: Votes,
    groups: Groups,
    *,
    way: VotingWay,
    threshold: float,
    mode: Mode = "balanced",
    calibration: Calibration | None = None,
    nearness: float | None = None,
) -> Decision:
    """Rank the cameras and say what the evidence carries: a model, its family, its maker, or unknown.

    With a calibration the finest level is named whose probability reaches what `mode` asks; without one the best camera is, if its
    evidence reaches `threshold`, or in any case where the mode is to guess.
    """
    cameras = groups["model"]
    evidence = weigh(votes, way)
    counts = np.bincount(votes.labels, minlength=len(cameras))
    order = np.lexsort((-weigh(votes, "summed"), -counts, -evidence))
    best = int(order[0])
    voting = f"{counts[best]} of {len(votes.labels)} patches vote for {cameras[best]}"
    if calibration is None:
        known = evidence[best] >= threshold or mode == "guess"
        answer, level = cameras[best] if known else UNKNOWN, NAMING[0] if known else UNKNOWN
        reason = f"{voting}; ranked by {MEANING[way]}, it reaches {evidence[best]:.3f}, "
        reason += f"{'at or above' if evidence[best] >= threshold else 'below'} the {threshold:.3f} needed to name a camera"
        ranking = tuple(Ranked(cameras[index], None, int(counts[index])) for index in order)
        return Decision(answer, level, cameras[best], reason, ranking)
    chances = calibration.probabilities(evidence, len(votes.labels), nearness)
    answer, level, why = _name(chances, best, groups, calibration.modes[mode], mode)
    return Decision(
        answer,
        level,
        cameras[best],
        f"{voting}; {why}; calibrated on {calibration.photos} photos of known cameras and {calibration.foreign} of others",
        tuple(Ranked(cameras[index], round(float(chances[index]), 6), int(counts[index])) for index in order),
        round(calibration.log10_lr(float(chances[best]), len(cameras)), 3),
    )


def _name(chances: NDArray[np.float64], best: int, groups: Groups, needed: Mapping[Level, float], mode: Mode) -> tuple[str, Level, str]:
    """The finest of model, family and maker that is probable enough, and why."""
    said = []
    for level in NAMING:
        name = groups[level][best]
        members = [index for index, other in enumerate(groups[level]) if other == name]
        if level == "family" and len(members) == 1:
            continue
        chance = float(chances[members].sum())
        enough = chance >= needed[level]
        side = "at or above" if enough else "below"
        said.append(f"the {level} {name} has a probability of {chance:.1%}, {side} the {needed[level]:.1%} needed in {mode} mode")
        if enough:
            return name, level, "; ".join(said)
    return UNKNOWN, UNKNOWN, "; ".join(said)


def weigh(votes: Votes, way: VotingWay) -> NDArray[np.float64]:
    """Evidence of the whole photo for every camera (n_cameras,): its share of the votes, or its mean score."""
    if way == "majority":
        return np.bincount(votes.labels, minlength=votes.scores.shape[1]) / len(votes.labels)
    mean: NDArray[np.float64] = votes.scores.mean(axis=0, dtype=np.float64)
    return mean
