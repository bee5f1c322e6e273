"""One fold of a build: a net and a head that never saw some devices, scenes and cameras, and what they say about these.

The questioned photos are asked as they are, with few patches, and degraded in fixed ways; the head is taught on the training photos
and their random copies, so that no degradation that is asked about was tuned for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camtrace.calibration import Measured
from camtrace.comparison import Comparison, centres_of, fit_comparison, nearness, pairs_of, raw_ratios
from camtrace.experts import OF_A_COPY, TOGETHER, Experts, fit_experts, fit_gate, join, join_whole, run_experts
from camtrace.lab.evaluate import draw_few, of_photos
from camtrace.lab.store import ranks_within
from camtrace.mishaps import COPIES
from camtrace.types import References
from camtrace.vote import weigh

NATIVE = "native"
STATES = ("jpeg 90", "jpeg 70", "resize 0.8", "shift 3")
"""Degradations that the folds are asked about, as `camtrace.degrade` names them."""

REFERENCE_PATCHES = 960
"""Patches of untouched photos a camera that a head is taught on and that a bundle keeps, spread over its photos; those of copies come
on top. With half as many a closed set loses 3 points (lab book)."""

FEW_PATCHES = (2, 8)
"""Photos are also asked with so few patches, for the calibration alone."""

FEW_SHOT_PHOTOS = (1, 2, 5, 10)
FEW_SHOT_DRAWS = 5

SAVED_AGAIN, SAVED_AGAIN_PHOTOS = "jpeg 90", 7
"""Photos from a messenger, references and questioned ones alike: how they were saved, and how many teach a camera."""


@dataclass(frozen=True)
class Answers:
    """What a head said about photos."""

    photos: NDArray[np.int64]  # (n,)
    cameras: NDArray[np.int64]  # (n,) truth, as the fold numbers the cameras it knows; -1 for one it does not
    evidence: NDArray[np.float64]  # (n, n_cameras) summed
    majority: NDArray[np.int64]  # (n,) the camera most patches vote for
    patches_right: NDArray[np.float64]  # (n,) share
    n_patches: NDArray[np.int64]  # (n,)
    nearness: NDArray[np.float64]  # (n,) NaN where the head cannot compare

    @property
    def best(self) -> NDArray[np.int64]:
        """(n,) the raw winner."""
        best: NDArray[np.int64] = self.evidence.argmax(axis=1)
        return best


@dataclass(frozen=True)
class Pairs:
    """Pairs of photos, as they are and degraded, whose cameras neither net nor comparison met."""

    ratios: NDArray[np.float64]  # (n_pairs,) raw
    same: NDArray[np.int64]  # (n_pairs,) 1 where the camera is the same
    native: NDArray[np.bool_]  # (n_pairs,) whether both photos are as they were
    photos: NDArray[np.int64]  # which there are
    cameras: NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """What one fold measured."""

    known: NDArray[np.int64]  # cameras it was taught, in the order of its labels
    tested: dict[str, Answers]  # by state, the test photos of these
    foreign: dict[str, Answers]  # by state, photos of cameras it never met
    few_shot: dict[int, NDArray[np.float64]]  # photos taught of each foreign camera -> (n_photos,) share of draws named rightly
    few_degraded: dict[str, NDArray[np.float64]]  # the most of these taught untouched, the others asked in a state -> the same
    few_saved_again: NDArray[np.float64]  # SAVED_AGAIN_PHOTOS taught and the others asked, all SAVED_AGAIN
    pairs: Pairs  # of foreign photos

    def measured(self) -> Measured:
        """All answers, of all states, for a calibration."""
        answers = [*self.tested.values(), *self.foreign.values()]
        return Measured(
            np.concatenate([answer.evidence for answer in answers]),
            np.concatenate([answer.cameras for answer in answers]),
            np.concatenate([answer.n_patches for answer in answers]),
            np.concatenate([answer.photos for answer in answers]),
            np.concatenate([answer.nearness for answer in answers]),
        )


@dataclass(frozen=True)
class Head:
    """Experts for some cameras."""

    experts: Experts
    cameras: NDArray[np.int64]  # (n_labels,) the camera of each label
    neighbours: Comparison | None = None
    centres: NDArray[np.float64] | None = None  # (n_labels, dimension)


def teach_head(references: References, *, base: Head | None = None) -> Head:
    """Experts and a gate from the patches of photos and their copies; with a base, as `enroll` does, by its gate and directions."""
    gate = base.experts.gate if base else fit_gate(references)
    directions = base.neighbours.directions if base and base.neighbours else None
    cameras, labels = np.unique(references.cameras, return_inverse=True)
    joined = join(References(references.features, labels, references.photos, references.copies))
    return Head(fit_experts(joined, len(cameras), gate, directions=directions), cameras)


def comparing(head: Head, references: References) -> Head:
    """The head, with what tells how near a photo is to the cameras that these references taught it."""
    labels = np.searchsorted(head.cameras, references.cameras)
    centres = centres_of(References(references.features, labels, references.photos, references.copies), len(head.cameras))
    return replace(head, neighbours=near_by(references), centres=centres)


def thin(references: References) -> References:
    """What a head is taught on: the best patches of each photo, REFERENCE_PATCHES a camera, and OF_A_COPY of each copy."""
    assert references.copies is not None
    rank = ranks_within(references.photos * (COPIES + 1) + references.copies)
    keep = np.zeros(len(references.photos), bool)
    for camera in np.unique(references.cameras):
        own = references.cameras == camera
        each = max(TOGETHER, REFERENCE_PATCHES // len(np.unique(references.photos[own])) // TOGETHER * TOGETHER)
        keep |= own & (rank < np.where(references.copies == 0, each, OF_A_COPY))
    return references.of(keep)


def measure(
    native: References, copies: References, states: Mapping[str, References], *, train: Sequence[int], test: Sequence[int],
    left_out: Sequence[int], seed: int,
) -> Fold:  # fmt: skip
    """Teach on the photos `train` and ask about the others; all references are numbered alike."""
    taught = both(of_photos(native, train), of_photos(copies, train))
    head = comparing(teach_head(thin(taught)), taught)
    asked = {NATIVE: native, **states}
    tested = {state: ask(head, of_photos(references, test)) for state, references in asked.items()}
    foreign = {state: ask(head, of_photos(references, left_out)) for state, references in asked.items()}
    for count in FEW_PATCHES:
        tested[f"{count} patches"] = ask(head, of_photos(native, test), count=count)
        foreign[f"{count} patches"] = ask(head, of_photos(native, left_out), count=count)
    own, own_copies = of_photos(native, left_out), of_photos(copies, left_out)
    *fewer, most = FEW_SHOT_PHOTOS
    shots = {n: few_shot(own, own_copies, head, photos_each=n, seed=seed)[NATIVE] for n in fewer}
    later = {state: of_photos(references, left_out) for state, references in states.items()}
    degraded = few_shot(own, own_copies, head, photos_each=most, seed=seed, later=later)
    shots[most] = degraded.pop(NATIVE)
    saved_again = few_shot(later[SAVED_AGAIN], own_copies, head, photos_each=SAVED_AGAIN_PHOTOS, seed=seed)[NATIVE]
    pairs = pair_up(compare_by(taught), [of_photos(references, left_out) for references in asked.values()])
    return Fold(head.cameras, tested, foreign, shots, degraded, saved_again, pairs)


def pair_up(comparison: Comparison, states: Sequence[References]) -> Pairs:
    """All pairs of different photos; the first of `states` are the untouched ones."""
    parts = [photo_means(references) for references in states]
    means, cameras, photos = (np.concatenate(part) for part in zip(*parts, strict=True))
    degraded = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts]) > 0
    pairs, same = pairs_of(cameras, photos)
    ratios = raw_ratios(comparison, means, means)[pairs[0], pairs[1]]
    return Pairs(ratios, same, ~(degraded[pairs[0]] | degraded[pairs[1]]), np.unique(photos), np.unique(cameras))


def ask(head: Head, references: References, *, count: int | None = None) -> Answers:
    """What the head says about each photo, by its best `count` patches."""
    photos, first = np.unique(references.photos, return_index=True)
    features = [references.features[references.photos == photo][:count] for photo in photos]
    votes = [run_experts(head.experts, own) for own in features]
    places = np.searchsorted(head.cameras, references.cameras[first])
    known = head.cameras[np.minimum(places, len(head.cameras) - 1)] == references.cameras[first]
    cameras = np.where(known, places, -1)
    return Answers(
        photos,
        cameras,
        np.array([weigh(vote, "summed") for vote in votes]),
        np.array([weigh(vote, "majority").argmax() for vote in votes]),
        np.array([(vote.labels == camera).mean() for vote, camera in zip(votes, cameras, strict=True)]),
        np.array([len(own) for own in features]),
        np.array([_nearness(head, own) for own in features]),
    )


def _nearness(head: Head, features: NDArray[np.float32]) -> float:
    if head.neighbours is None or head.centres is None:
        return float("nan")
    return nearness(head.neighbours, head.centres, features)


def few_shot(
    native: References, copies: References, base: Head, *, photos_each: int, seed: int, later: Mapping[str, References] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Teach `photos_each` photos of every camera, ask the others: right or wrong per photo, averaged over draws; (n_photos,).

    The others are asked as they are, NATIVE, and as `later` has them, by state.
    """
    photos, states = np.unique(native.photos), {NATIVE: native, **(later or {})}
    right, times = ({state: np.zeros(len(photos)) for state in states} for _ in range(2))
    for taught, rest in draw_few(native, photos_each=photos_each, draws=FEW_SHOT_DRAWS, seed=seed):
        head = teach_head(both(taught, of_photos(copies, np.unique(taught.photos).tolist())), base=base)
        others = np.unique(rest.photos).tolist()
        for state, references in states.items():
            answers = ask(head, of_photos(references, others))
            places = np.searchsorted(photos, answers.photos)
            right[state][places] += answers.best == answers.cameras
            times[state][places] += 1
    return {state: (right[state] / np.maximum(times[state], 1))[times[state] > 0] for state in states}


def compare_by(references: References) -> Comparison:
    """How photos are compared, from the patches of photos and their copies."""
    means, cameras, _ = photo_means(references)
    return fit_comparison(means, cameras)


def near_by(references: References) -> Comparison:
    """How a photo is compared with the cameras, from untouched photos, which tell best who does not belong."""
    assert references.copies is not None
    return compare_by(references.of(references.copies == 0))


def photo_means(references: References) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Mean features of every photo or copy (n, dimension), with its camera and photo."""
    whole = join_whole(references)
    return whole.features.astype(np.float64), whole.cameras, whole.photos


def both(native: References, copies: References) -> References:
    """Photos and their copies as one, each photo's together."""
    assert copies.copies is not None
    every = References(
        np.concatenate([native.features, copies.features]),
        np.concatenate([native.cameras, copies.cameras]),
        np.concatenate([native.photos, copies.photos]),
        np.concatenate([np.zeros(len(native.photos), np.int64), copies.copies]),
    )
    assert every.copies is not None
    return every.of(np.lexsort((every.copies, every.photos)))
