"""Teach a head its cameras, and find out by cross-validation over the photos how far it can be trusted.

Two kinds of heads: one-vs-one SVMs (`camtrace.classify`, the way of Bondi et al. 2017) and experts (`camtrace.experts`). Both vote on
the features of one photo, and both can leave a camera out as if it had never been taught: how an unknown one looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from camtrace.calibration import Measured
from camtrace.classify import C_GRID, fit_duels, head_onnx, run_duels
from camtrace.comparison import Comparison, centres_of, nearness
from camtrace.experts import C_ALONG, OF_A_COPY, TOGETHER, C, Gate, experts_onnx, fit_experts, run_experts
from camtrace.types import References, Votes, VotingWay
from camtrace.vote import WAYS, weigh

_FOLDS = 4


class Voter(Protocol):
    """A fitted head: features (n, dimension) of one photo -> its votes, on demand with one camera left out."""

    def __call__(self, features: NDArray[np.float32], /, *, without: int | None = None) -> Votes:
        """Vote."""


Teach = Callable[[References], Voter]


@dataclass(frozen=True)
class Fit:
    """A fitted head as ONNX, and what cross-validation over the photos said about its like."""

    head: bytes
    held_out: HeldOut
    regularisation: float  # C of the SVMs or regressions


@dataclass(frozen=True)
class HeldOut:
    """What cross-validation says about a head: every photo judged by one that was fitted without it."""

    cameras: NDArray[np.int64]  # (n_photos,) the camera that took it
    best: NDArray[np.int64]  # (n_photos,) the raw winner by summed evidence
    known: dict[VotingWay, NDArray[np.float64]]  # by way of voting, (n_photos,) evidence for the best camera
    foreign: dict[VotingWay, NDArray[np.float64]]  # the same with the photo's own camera never taught; empty for two cameras
    measured: Measured  # summed evidence of the photos and of their copies, known first, then foreign

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n_photos,) whether the raw winner is the camera that took the photo."""
        right: NDArray[np.bool_] = self.best == self.cameras
        return right

    def of(self, cameras: Sequence[int]) -> HeldOut:
        """Only the photos of some cameras; `measured` stays whole."""
        keep = np.isin(self.cameras, cameras)
        known, foreign = (
            {way: values[keep] if len(values) else values for way, values in side.items()} for side in (self.known, self.foreign)
        )
        return HeldOut(self.cameras[keep], self.best[keep], known, foreign, self.measured)

    def thresholds(self) -> dict[VotingWay, float]:
        """For each way of voting, where as many known photos are refused as foreign ones are named."""
        return {way: equal_error_threshold(self.known[way], self.foreign[way]) for way in WAYS}


def fit_duel_head(references: References, n_cameras: int, *, grid: Sequence[float] = C_GRID) -> Fit:
    """One-vs-one SVMs: choose C by cross-validation over photos, then fit on everything."""

    def teach(taught: References, *, c: float) -> Voter:
        return partial(run_duels, fit_duels(taught.features, taught.cameras, n_cameras, c=c))

    tried = [cross_validate(references, n_cameras, partial(teach, c=c)) for c in grid]
    best = int(np.argmax([held_out.right.sum() for held_out in tried]))
    duels = fit_duels(references.features, references.cameras, n_cameras, c=grid[best])
    return Fit(head_onnx(duels), tried[best], grid[best])


def fit_expert_head(references: References, n_cameras: int, gate: Gate, comparison: Comparison | None = None) -> Fit:
    """Experts behind a gate; the references are means of patches, as `camtrace.experts.join` makes them.

    With a comparison, that of a base, they look along its directions.
    """
    directions = None if comparison is None else comparison.directions

    def teach(taught: References) -> Voter:
        return partial(run_experts, fit_experts(taught, n_cameras, gate, directions=directions))

    head = experts_onnx(fit_experts(references, n_cameras, gate, directions=directions))
    held_out = cross_validate(references, n_cameras, teach, patches_a_row=(TOGETHER, OF_A_COPY), comparison=comparison)
    return Fit(head, held_out, C if directions is None else C_ALONG)


def cross_validate(
    references: References,
    n_cameras: int,
    teach: Teach,
    *,
    patches_a_row: tuple[int, int] = (1, 1),
    comparison: Comparison | None = None,
) -> HeldOut:
    """Judge every photo by a head that was fitted without it, once as it is and once with its own camera unknown.

    The only photo of a camera cannot be left out; it is taught and not judged. Degraded copies go where their photo goes. A row of
    features stands for so many patches of an untouched photo, or of a copy.
    """
    photos, first = np.unique(references.photos, return_index=True)
    cameras = references.cameras[first]
    judged = np.bincount(cameras)[cameras] > 1
    always, photos, cameras = photos[~judged], photos[judged], cameras[judged]
    folds = _folds(cameras)
    copies = np.zeros_like(references.photos) if references.copies is None else references.copies
    shots: list[_Shot] = []
    for fold in np.unique(folds):
        taught = references.of(np.isin(references.photos, np.concatenate([always, photos[folds != fold]])))
        voter, near = teach(taught), _nearness(comparison, taught, n_cameras)
        for photo, camera in zip(photos[folds == fold], cameras[folds == fold], strict=True):
            own = references.photos == photo
            for copy in np.unique(copies[own]):
                features = references.features[own & (copies == copy)]
                stranger = voter(features, without=int(camera)) if n_cameras > 2 else None
                count = len(features) * patches_a_row[int(copy > 0)]
                nearby = near(features, None), near(features, int(camera))
                shots.append(_Shot(int(photo), int(camera), int(copy), count, voter(features), stranger, *nearby))
    return _held_out(shots, n_cameras)


def _nearness(comparison: Comparison | None, taught: References, n_cameras: int) -> Callable[[NDArray[np.float32], int | None], float]:
    """What tells how near the features of a photo are to the nearest camera, on demand with one left out."""
    if comparison is None or n_cameras < 3:
        return lambda _features, _without: float("nan")
    centres = centres_of(taught, n_cameras)
    return lambda features, without: nearness(comparison, centres, features, without=without)


@dataclass(frozen=True)
class _Shot:
    photo: int
    camera: int
    copy: int
    n_patches: int
    known: Votes
    stranger: Votes | None
    near: float  # to the nearest camera; NaN without a comparison
    near_others: float


def _held_out(shots: Sequence[_Shot], n_cameras: int) -> HeldOut:
    untouched = [shot for shot in shots if shot.copy == 0]
    strangers = [shot for shot in shots if shot.stranger is not None]
    evidence = [weigh(shot.known, "summed") for shot in shots] + [weigh(shot.stranger, "summed") for shot in strangers if shot.stranger]
    near = np.array([shot.near for shot in shots] + [shot.near_others for shot in strangers], np.float64)
    measured = Measured(
        np.array(evidence).reshape(-1, n_cameras),
        np.array([shot.camera for shot in shots] + [-1] * len(strangers), np.int64),
        np.array([shot.n_patches for shot in (*shots, *strangers)], np.int64),
        np.array([shot.photo for shot in (*shots, *strangers)], np.int64),
        None if np.isnan(near).any() else near,
    )
    return HeldOut(
        np.array([shot.camera for shot in untouched], np.int64),
        np.array([weigh(shot.known, "summed").argmax() for shot in untouched], np.int64),
        {way: np.array([weigh(shot.known, way).max() for shot in untouched], np.float64) for way in WAYS},
        {way: np.array([weigh(shot.stranger, way).max() for shot in untouched if shot.stranger], np.float64) for way in WAYS},
        measured,
    )


def equal_error_threshold(known: NDArray[np.float64], foreign: NDArray[np.float64]) -> float:
    """Evidence at which as many `known` photos are refused as `foreign` ones named, in shares; 0 where there are none of a kind."""
    if not len(known) or not len(foreign):
        return 0.0
    candidates = np.unique(np.concatenate([known, foreign]))
    refused = np.searchsorted(np.sort(known), candidates) / len(known)
    named = 1 - np.searchsorted(np.sort(foreign), candidates) / len(foreign)
    return float(candidates[np.abs(refused - named).argmin()])


def _folds(cameras: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold of every photo, dealt in turn within its camera, so that every camera is taught in every fold."""
    folds = np.empty(len(cameras), np.int64)
    for camera in np.unique(cameras):
        members = np.flatnonzero(cameras == camera)
        folds[members] = np.arange(len(members)) % _FOLDS
    return folds
