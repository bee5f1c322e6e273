"""What the folds say together: calibration, families, and the figures that a manifest and its card carry, with intervals over photos.

A photo that several folds asked about counts once, with the mean of what they said. Every fold is judged by the calibration that
the other folds give (by its own where there is just one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from camtrace.calibration import MODES, NAMING, Calibration, Groups, fit_together, group_share, likelihood_ratios, probabilities
from camtrace.lab.comparing import judge_pairs
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import auroc, interval
from camtrace.lab.folds import NATIVE, STATES, Answers, Fold
from camtrace.lab.protocols import has_several_devices
from camtrace.types import Mode

_COMMONEST = 12
_SISTERS = 0.1
"""Cameras of a maker are a family when this share of their photos was named as the other."""

_FEWEST_MISTAKES = 3
_BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Calibrated answers of all folds about one state, photos of known cameras and of foreign ones."""

    chance: Floats  # (n,) probability of the best camera
    known: Floats  # (n,) probability that it is any camera of the bundle
    right: NDArray[np.bool_]  # (n,) whether the best camera is the true one; never for foreign photos
    foreign: NDArray[np.bool_]  # (n,)
    target: Floats  # log10 likelihood ratios of the true cameras
    other: Floats  # log10 likelihood ratios of other cameras, those of known photos first
    other_weights: Floats  # so that known and foreign photos count the same


def find_families(names: Sequence[str], makers: Sequence[str], folds: Sequence[Fold]) -> dict[str, tuple[str, ...]]:
    """Cameras of one maker that the folds mistake for each other, by the family's name."""
    counts = np.zeros((len(names), len(names)))
    for fold in folds:
        answers = fold.tested[NATIVE]
        np.add.at(counts, (fold.known[answers.cameras], fold.known[answers.best]), 1)
    mistakes, asked = counts + counts.T, counts.sum(axis=1)
    together = asked[:, None] + asked[None]
    alike = np.array(makers)[:, None] == np.array(makers)[None]
    sisters = alike & (mistakes >= np.maximum(_FEWEST_MISTAKES, _SISTERS * together)) & ~np.eye(len(names), dtype=bool)
    number, part = connected_components(coo_array(sisters), directed=False)
    families = [[names[index] for index in np.flatnonzero(part == family).tolist()] for family in range(number)]
    return {family_name(members): tuple(members) for members in families if len(members) > 1}


def family_name(members: Sequence[str]) -> str:
    """`Apple iPhone 7` and `Apple iPhone 7 Plus` -> `Apple iPhone 7 or iPhone 7 Plus`."""
    maker = members[0].split()[0]
    models = [name.removeprefix(f"{maker} ") for name in members]
    return f"{maker} {', '.join(models[:-1])} or {models[-1]}"


def calibrate_folds(folds: Sequence[Fold], groups: Groups) -> Calibration | None:
    """One calibration from the answers of some folds; None where they asked too few photos."""
    return fit_together([(fold.measured(), _some(groups, fold.known)) for fold in folds])


def summarise(records: Sequence[Record], names: Sequence[str], folds: Sequence[Fold], groups: Groups) -> dict[str, Any]:
    """All folds as plain JSON values: see `camtrace.card` for what each figure means."""
    several = has_several_devices(records)
    photos = np.unique(np.concatenate([fold.tested[NATIVE].photos for fold in folds]))
    cameras = np.array([names.index(records[photo].camera) for photo in photos])
    native = _right(folds, NATIVE)
    majority = _once_a_photo(folds, NATIVE, [fold.tested[NATIVE].majority == fold.tested[NATIVE].cameras for fold in folds])
    maker = _once_a_photo(folds, NATIVE, [_same_maker(fold, groups) for fold in folds])
    calibrations = calibrate_by_others(folds, groups)
    judged = {state: judge(folds, calibrations, state) for state in (NATIVE, *STATES) if calibrations}
    return {
        "tested": len(photos),
        "foreign": sum(len(fold.foreign[NATIVE].photos) for fold in folds),
        "left_out": sorted({records[photo].camera for fold in folds for photo in fold.foreign[NATIVE].photos}),
        "photos": {
            way: {
                "all": interval(right),
                "unseen device": interval(right[several[photos]]),
                "unseen scene": interval(right[~several[photos]]),
            }
            for way, right in (("summed", native), ("majority", majority))
        },
        "maker": interval(maker),
        "patches": interval(_once_a_photo(folds, NATIVE, [fold.tested[NATIVE].patches_right for fold in folds])),
        "degraded": {state: _degraded(folds, state, native) for state in STATES},
        "few_shot": {str(n): interval(np.concatenate([fold.few_shot[n] for fold in folds])) for n in folds[0].few_shot},
        "few_degraded": {state: interval(np.concatenate([fold.few_degraded[state] for fold in folds])) for state in STATES},
        "few_saved_again": interval(np.concatenate([fold.few_saved_again for fold in folds])),
        "calibration": {state: reliability(answers) for state, answers in judged.items()},
        "modes": {mode: _modes(folds, groups, calibrations, mode) for mode in MODES if calibrations},
        "comparison": judge_pairs(folds),
        "confusions": _confusions(names, folds),
        "cameras": {names[camera]: _accuracy(native, cameras == camera) for camera in np.unique(cameras)},
    }


def _accuracy(right: Floats, own: NDArray[np.bool_]) -> list[Any]:
    return [float(right[own].mean()), int(own.sum())]


def calibrate_by_others(folds: Sequence[Fold], groups: Groups) -> list[Calibration]:
    """For each fold the calibration that the others give, its own where there is just one; nothing where one cannot be calibrated."""
    found = [calibrate_folds([*folds[:number], *folds[number + 1 :]] or folds, groups) for number in range(len(folds))]
    calibrations = [calibration for calibration in found if calibration is not None]
    return calibrations if len(calibrations) == len(folds) else []


def judge(folds: Sequence[Fold], calibrations: Sequence[Calibration], state: str) -> Judged:
    """Every fold's answers in one state, by its calibration."""
    parts = [_judge(own, fold.tested[state], fold.foreign[state]) for own, fold in zip(calibrations, folds, strict=True)]
    return Judged(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _judge(calibration: Calibration, tested: Answers, foreign: Answers) -> tuple[Any, ...]:
    answers = [tested, foreign]
    found = np.concatenate([probabilities(calibration, each.evidence, each.n_patches, each.nearness) for each in answers])
    truth = np.concatenate([answer.cameras for answer in answers])
    ratios = np.clip(likelihood_ratios(found, found.shape[1]), -calibration.limit, calibration.limit)
    own = truth[:, None] == np.arange(found.shape[1])[None]
    strange = truth < 0
    others = [ratios[~own & ~strange[:, None]], ratios[strange].ravel()]
    weights = [np.full(len(part), 0.5 / len(part)) for part in others]
    best = found.argmax(axis=1)
    return (
        found[np.arange(len(found)), best],
        found.sum(axis=1),
        best == truth,
        strange,
        ratios[own],
        np.concatenate(others),
        np.concatenate(weights),
    )


def reliability(judged: Judged) -> dict[str, Any]:
    """How good the probabilities are, known and foreign photos counting the same; and how well unknown cameras are told."""
    weights = np.where(judged.foreign, 0.5 / judged.foreign.sum(), 0.5 / (~judged.foreign).sum())
    known, foreign = judged.known[~judged.foreign], judged.known[judged.foreign]
    cost_target = np.log2(1 + 10.0**-judged.target).mean()
    cost_other = np.average(np.log2(1 + 10.0**judged.other), weights=judged.other_weights)
    bins = np.minimum((judged.chance * _BINS).astype(int), _BINS - 1)
    table = []
    for number in range(_BINS):
        own = bins == number
        if own.any():
            said, so = np.average(judged.chance[own], weights=weights[own]), np.average(judged.right[own], weights=weights[own])
            table.append([float(said), float(so), int(own.sum()), float(weights[own].sum())])
    return {
        "ece": float(sum(abs(said - so) * weight for said, so, _, weight in table)),
        "cllr": float((cost_target + cost_other) / 2),
        "auroc": auroc(known, foreign),
        "fpr_at_95_tpr": float((foreign >= np.quantile(known, 0.05)).mean()),
        "bins": table,  # said, so, photos, weight
    }


def _degraded(folds: Sequence[Fold], state: str, native: Floats) -> dict[str, Any]:
    right = _right(folds, state)
    photos = [np.unique(np.concatenate([fold.tested[name].photos for fold in folds])) for name in (NATIVE, state)]
    same = native[np.isin(photos[0], photos[1])]  # a few photos have no patch left
    return {"right": interval(right), "of_native": float(right.mean() / same.mean())}


def _modes(folds: Sequence[Fold], groups: Groups, calibrations: Sequence[Calibration], mode: Mode) -> dict[str, Any]:
    """What each mode says of native photos: shares of known and of foreign photos by level and truth."""
    known, foreign = [], []
    for calibration, fold in zip(calibrations, folds, strict=True):
        own = _some(groups, fold.known)
        known.append(_levels(calibration, fold.tested[NATIVE], own, mode))
        foreign.append(_levels(calibration, fold.foreign[NATIVE], own, mode))
    return {"known": _shares(np.concatenate(known)), "foreign": _shares(np.concatenate(foreign))}


def _levels(calibration: Calibration, answers: Answers, groups: Groups, mode: Mode) -> NDArray[np.str_]:
    """(n,) "model right", "family wrong", "unknown" and so on."""
    found = probabilities(calibration, answers.evidence, answers.n_patches, answers.nearness)
    said = np.full(len(found), "unknown", "<U16")
    for level in reversed(NAMING):
        names = np.array(groups[level])
        best = names[found.argmax(axis=1)]
        alone = np.array([(names == name).sum() == 1 for name in best])
        named = group_share(found, groups[level]) >= calibration.modes[mode][level]
        if level == "family":
            named &= ~alone
        right = (answers.cameras >= 0) & (names[np.maximum(answers.cameras, 0)] == best)
        said[named] = np.where(right[named], f"{level} right", f"{level} wrong")
    return said


def _shares(said: NDArray[np.str_]) -> dict[str, float]:
    wanted = [f"{level} {truth}" for level in NAMING for truth in ("right", "wrong")]
    return {name: float((said == name).mean()) for name in (*wanted, "unknown")}


def _confusions(names: Sequence[str], folds: Sequence[Fold]) -> list[list[Any]]:
    """The commonest mistakes: true camera, camera named, photos."""
    truth = np.concatenate([fold.known[fold.tested[NATIVE].cameras] for fold in folds])
    best = np.concatenate([fold.known[fold.tested[NATIVE].best] for fold in folds])
    wrong, counts = np.unique(np.stack([truth, best])[:, truth != best], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return [[names[wrong[0, index]], names[wrong[1, index]], int(counts[index])] for index in order]


def _right(folds: Sequence[Fold], state: str) -> Floats:
    return _once_a_photo(folds, state, [fold.tested[state].best == fold.tested[state].cameras for fold in folds])


def _same_maker(fold: Fold, groups: Groups) -> NDArray[np.bool_]:
    makers, answers = np.array(groups["maker"])[fold.known], fold.tested[NATIVE]
    same: NDArray[np.bool_] = makers[answers.best] == makers[answers.cameras]
    return same


def _once_a_photo(folds: Sequence[Fold], state: str, values: Sequence[NDArray[Any]]) -> Floats:
    """Values of each fold's test photos -> the mean for each photo, in the order of `np.unique`."""
    photos = np.concatenate([fold.tested[state].photos for fold in folds])
    _, index, asked = np.unique(photos, return_inverse=True, return_counts=True)
    mean: Floats = np.bincount(index, weights=np.concatenate(values)) / asked
    return mean


def _some(groups: Groups, cameras: NDArray[np.int64]) -> Groups:
    return {level: [names[camera] for camera in cameras] for level, names in groups.items()}
