"""Cross-validation must judge every photo by a head that never saw it, nor any copy of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from camtrace.classify import fit_duels, run_duels
from camtrace.comparison import fit_comparison
from camtrace.experts import C_ALONG, OF_A_COPY, TOGETHER, C, Gate, fit_experts, join, run_experts
from camtrace.teaching import HeldOut, cross_validate, equal_error_threshold, fit_duel_head, fit_expert_head
from camtrace.types import References, Votes
from camtrace.vote import WAYS
from made import clusters

NO_GATE = Gate(np.zeros((3, 8), np.float32), np.zeros(3, np.float32))


def by_duels(references: References, n_cameras: int, *, c: float) -> HeldOut:
    def teach(taught: References) -> partial[Votes]:
        return partial(run_duels, fit_duels(taught.features, taught.cameras, n_cameras, c=c))

    return cross_validate(references, n_cameras, teach)


def copied(references: References, *, copies: int = 2, noise: float = 0.0) -> References:
    """The same with copies of every photo, nearly identical to it."""
    rng = np.random.default_rng(1)
    features = [references.features + rng.normal(0, noise, references.features.shape) for _ in range(copies)]
    return References(
        np.concatenate([references.features, *features]).astype(np.float32),
        np.tile(references.cameras, copies + 1),
        np.tile(references.photos, copies + 1),
        np.repeat(np.arange(copies + 1), len(references.photos)),
    )


def traceless(n_cameras: int = 3, photos: int = 8) -> References:
    """Photos that have features of their own, and no trace of their camera."""
    placed = clusters([photos] * n_cameras)
    anywhere = np.random.default_rng(0).normal(size=(n_cameras * photos, 24)).astype(np.float32)
    return replace(placed, features=anywhere[placed.photos])


# ---- the same heads as ever


def test_cross_validation_judges_every_photo_that_can_be_left_out() -> None:
    held_out = by_duels(clusters([5, 1, 4, 2]), 4, c=0.01)
    assert sorted(held_out.cameras.tolist()) == [0] * 5 + [2] * 4 + [3] * 2  # the only photo of camera 1 was taught, not judged
    assert held_out.right.mean() > 0.8
    for way in WAYS:
        assert np.isfinite(held_out.known[way]).all()
        assert np.isfinite(held_out.foreign[way]).all()
        assert held_out.known[way].mean() > held_out.foreign[way].mean()
    assert set(held_out.thresholds()) == set(WAYS)


def test_cross_validation_of_single_photos_says_nothing() -> None:
    held_out = by_duels(clusters([1, 1, 1]), 3, c=0.01)
    assert len(held_out.cameras) == 0
    assert held_out.thresholds() == dict.fromkeys(WAYS, 0.0)
    assert held_out.measured.evidence.shape == (0, 3)


def test_two_cameras_have_no_foreign_photos() -> None:
    held_out = by_duels(clusters([3, 3]), 2, c=0.01)
    assert held_out.right.all()
    assert all(len(evidence) == 0 for evidence in held_out.foreign.values())
    assert held_out.thresholds() == dict.fromkeys(WAYS, 0.0)
    assert held_out.measured.known.all()


def test_figures_of_some_cameras() -> None:
    held_out = by_duels(clusters([5, 4, 2]), 3, c=0.01)
    some = held_out.of([0, 2])
    keep = np.isin(held_out.cameras, [0, 2])
    assert sorted(some.cameras.tolist()) == [0] * 5 + [2] * 2
    np.testing.assert_array_equal(some.best, held_out.best[keep])
    for way in WAYS:
        np.testing.assert_array_equal(some.known[way], held_out.known[way][keep])
        np.testing.assert_array_equal(some.foreign[way], held_out.foreign[way][keep])
    assert some.measured is held_out.measured


def test_equal_error_threshold_refuses_as_many_known_as_it_names_foreign() -> None:
    rng = np.random.default_rng(3)
    known, foreign = rng.normal(1, 0.5, 4000), rng.normal(-1, 0.5, 1000)
    threshold = equal_error_threshold(known, foreign)
    assert abs(threshold) < 0.1  # half way between two distributions of the same width
    assert abs((known < threshold).mean() - (foreign >= threshold).mean()) < 0.002


def test_equal_error_threshold_on_separated_and_on_missing_evidence() -> None:
    known, foreign = np.array([0.7, 0.9, 0.8]), np.array([0.1, 0.3, 0.2])
    threshold = equal_error_threshold(known, foreign)
    assert 0.3 < threshold <= 0.7
    assert equal_error_threshold(known, np.empty(0)) == 0.0
    assert equal_error_threshold(np.empty(0), foreign) == 0.0


# ---- leakage


def test_cross_validation_never_judges_a_photo_that_taught() -> None:
    """Photos without any trace of their camera are guessed by chance, unless a photo sits on both sides."""
    references = traceless()
    duels = fit_duels(references.features, references.cameras, 3, c=1.0)
    assert (run_duels(duels, references.features).labels == references.cameras).all()  # learnt by heart
    assert by_duels(references, 3, c=1.0).right.mean() < 0.6


def test_copies_of_a_photo_never_teach_its_judge() -> None:
    references = copied(traceless(), noise=0.01)
    gate = Gate(np.zeros((3, 24), np.float32), np.zeros(3, np.float32))
    experts = fit_experts(references, 3, gate, c=10.0)
    votes = run_experts(experts, references.features)
    assert (votes.labels == references.cameras).mean() > 0.9  # learnt by heart
    held_out = cross_validate(references, 3, lambda taught: partial(run_experts, fit_experts(taught, 3, gate, c=10.0)))
    assert held_out.right.mean() < 0.6
    named = held_out.measured.evidence[held_out.measured.known].argmax(axis=1)
    assert (named == held_out.measured.cameras[held_out.measured.known]).mean() < 0.6


@dataclass(frozen=True)
class Witness:
    """A teacher whose heads note what they were taught and asked; the features are the photo's number and its copy's."""

    n_cameras: int
    asked: list[tuple[int, int, int | None, int]] = field(default_factory=list)  # photo, copy, camera left out, patches

    def teach(self, references: References) -> Head:
        return Head(self, references)


@dataclass(frozen=True)
class Head:
    witness: Witness
    taught: References

    def __call__(self, features: NDArray[np.float32], /, *, without: int | None = None) -> Votes:
        (photo,), (copy,) = np.unique(features[:, 0]).astype(int), np.unique(features[:, 1]).astype(int)
        assert photo not in self.taught.photos
        assert set(self.taught.cameras.tolist()) == set(range(self.witness.n_cameras)), "every camera is taught in every fold"
        self.witness.asked.append((photo, copy, without, len(features)))
        scores = np.zeros((len(features), self.witness.n_cameras), np.float32)
        scores[:, 0], scores[:, 1], scores[:, 2] = photo, copy, -1 if without is None else without
        return Votes(scores.argmax(axis=1), scores)


def numbered(counts: list[int]) -> References:
    references = copied(clusters(counts, patches=3))
    assert references.copies is not None
    return replace(references, features=np.stack([references.photos, references.copies], axis=1).astype(np.float32))


def test_every_photo_and_copy_is_judged_once_as_it_is_and_once_as_a_stranger() -> None:
    references, witness = numbered([5, 1, 2, 9]), Witness(4)
    measured = cross_validate(references, 4, witness.teach, patches_a_row=(TOGETHER, OF_A_COPY)).measured
    camera = dict(zip(references.photos.tolist(), references.cameras.tolist(), strict=True))
    photos = [photo for photo in camera if camera[photo] != 1]  # the only photo of camera 1 is always taught
    shots = [(photo, copy) for photo in photos for copy in range(3)]
    wanted = [(*shot, without, 3) for shot in shots for without in (None, camera[shot[0]])]
    assert sorted(witness.asked, key=str) == sorted(wanted, key=str)
    assert len(measured.photos) == 2 * len(shots)
    for row in range(len(measured.photos)):
        photo, copy, left_out = (int(value) for value in measured.evidence[row, :3])
        assert photo == measured.photos[row]
        assert measured.cameras[row] == (camera[photo] if left_out == -1 else -1)
        assert (photo, copy) in shots
        assert measured.n_patches[row] == 3 * (OF_A_COPY if copy else TOGETHER)
    foreign = measured.photos[~measured.known]
    assert sorted(foreign) == sorted(photo for photo, _ in shots)


def test_figures_are_of_the_photos_as_they_came() -> None:
    references, witness = numbered([4, 4, 4]), Witness(3)
    held_out = cross_validate(references, 3, witness.teach)
    assert sorted(held_out.cameras) == [0] * 4 + [1] * 4 + [2] * 4
    assert len(held_out.best) == len(held_out.known["summed"]) == len(held_out.foreign["summed"]) == 12
    assert sorted(held_out.known["summed"]) == list(range(12))  # the evidence of a witness is the photo's number


# ---- whole heads


def test_duel_head_takes_the_regularisation_that_cross_validates_best() -> None:
    references = clusters([4, 4, 4])
    fit = fit_duel_head(references, 3, grid=(1e-9, 0.1))
    tried = {c: by_duels(references, 3, c=c).right.sum() for c in (1e-9, 0.1)}
    assert fit.regularisation == max(tried, key=lambda c: tried[c])
    assert fit.held_out.right.sum() == max(tried.values())
    labels, scores = run_onnx(fit.head, references.features)
    votes = run_duels(fit_duels(references.features, references.cameras, 3, c=fit.regularisation), references.features)
    np.testing.assert_array_equal(labels, votes.labels)
    np.testing.assert_allclose(scores, votes.scores, atol=1e-5)
    assert (labels == references.cameras).mean() > 0.95


def test_expert_head_is_the_experts_fitted_on_everything() -> None:
    references = join(copied(clusters([5, 4, 6]), noise=0.5))
    fit = fit_expert_head(references, 3, NO_GATE)
    labels, scores = run_onnx(fit.head, references.features)
    votes = run_experts(fit_experts(references, 3, NO_GATE), references.features)
    np.testing.assert_array_equal(labels, votes.labels)
    np.testing.assert_allclose(scores, votes.scores, atol=1e-5)
    assert fit.regularisation == C
    assert fit.held_out.right.mean() > 0.8
    assert set(fit.held_out.measured.n_patches) == {8}, "as many as there are of every photo and copy: two rows of 4, one of 8"


def test_with_a_comparison_the_expert_head_looks_along_its_directions() -> None:
    references = join(copied(clusters([5, 4, 6]), noise=0.5))
    comparison = fit_comparison(references.features.astype(np.float64), references.cameras)
    fit = fit_expert_head(references, 3, NO_GATE, comparison)
    votes = run_experts(fit_experts(references, 3, NO_GATE, directions=comparison.directions), references.features)
    np.testing.assert_allclose(run_onnx(fit.head, references.features)[1], votes.scores, atol=1e-5)
    assert fit.regularisation == C_ALONG
    assert fit.held_out.right.mean() > 0.8


def run_onnx(head: bytes, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(head, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(["labels", "scores"], {"features": features})
    return found
