"""The ensemble of Fisher discriminants: it learns, it votes as it says, and its ONNX is its numpy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from camtrace.lab.fisher import MOST_LEARNERS, SUBSPACES, Fisher, discriminant, fisher_onnx, fit_fisher, run_fisher
from camtrace.types import CamtraceError, References, Votes
from made import clusters

pytestmark = pytest.mark.lab


def random_fisher(learners: int, n_cameras: int, *, dimension: int = 20, subspace: int = 6) -> Fisher:
    rng = np.random.default_rng([learners, n_cameras])
    return Fisher(
        weights=rng.normal(size=(learners, n_cameras, subspace)).astype(np.float32),
        biases=rng.normal(size=(learners, n_cameras)).astype(np.float32),
        subspaces=np.stack([rng.choice(dimension, subspace, replace=False) for _ in range(learners)]),
        out_of_bag=np.zeros(learners, np.float32),
        dimension=dimension,
    )


def run_onnx(fisher: Fisher, features: NDArray[np.float32]) -> Votes:
    session = onnxruntime.InferenceSession(fisher_onnx(fisher), providers=["CPUExecutionProvider"])
    labels, scores = session.run(["labels", "scores"], {"features": features})
    return Votes(labels, scores)


def slow_vote(fisher: Fisher, patch: NDArray[np.float32]) -> tuple[int, list[float]]:
    """One patch, one learner and one camera at a time."""
    votes, evidence = [0] * fisher.n_cameras, [0.0] * fisher.n_cameras
    for learner, chosen in enumerate(fisher.subspaces):
        margins = [
            sum(float(w) * float(patch[k]) for w, k in zip(fisher.weights[learner, camera], chosen, strict=True))
            + float(fisher.biases[learner, camera])
            for camera in range(fisher.n_cameras)
        ]
        votes[margins.index(max(margins))] += 1
        evidence = [a + b for a, b in zip(evidence, margins, strict=True)]
    best = max(range(fisher.n_cameras), key=lambda camera: (votes[camera], evidence[camera]))
    return best, [count / len(fisher.biases) for count in votes]


def right(fisher: Fisher, references: References) -> float:
    return float((run_fisher(fisher, references.features).labels == references.cameras).mean())


@pytest.mark.parametrize(("learners", "n_cameras"), [(1, 2), (2, 2), (4, 3), (6, 7), (9, 12)])
def test_it_is_a_vote_of_the_learners_and_onnx_agrees(learners: int, n_cameras: int) -> None:
    fisher = random_fisher(learners, n_cameras)
    features = np.random.default_rng(1).normal(size=(60, 20)).astype(np.float32)
    votes, onnx = run_fisher(fisher, features), run_onnx(fisher, features)
    expected = [slow_vote(fisher, patch) for patch in features]
    assert votes.labels.tolist() == [label for label, _ in expected]
    np.testing.assert_allclose(votes.scores, [scores for _, scores in expected], atol=1e-6)
    np.testing.assert_array_equal(onnx.labels, votes.labels)
    np.testing.assert_allclose(onnx.scores, votes.scores, atol=1e-6)
    assert [str(array.dtype) for array in (votes.labels, votes.scores, onnx.labels, onnx.scores)] == ["int64", "float32"] * 2


def test_a_tie_goes_to_the_larger_evidence() -> None:
    weights = np.array([[[0], [0], [0]], [[0], [0], [0]]], np.float32)
    biases = np.array([[0, -1, 3], [0, 5, -9]], np.float32)  # one vote each for 2 and 1; in the mean camera 1 leads by far
    fisher = Fisher(weights, biases, np.zeros((2, 1), np.int64), np.zeros(2, np.float32), 1)
    for votes in (run_fisher(fisher, np.zeros((3, 1), np.float32)), run_onnx(fisher, np.zeros((3, 1), np.float32))):
        assert votes.labels.tolist() == [1, 1, 1]
        assert votes.scores[0].tolist() == [0, 0.5, 0.5]


def test_evidence_alone_does_not_win() -> None:
    weights = np.zeros((3, 2, 1), np.float32)
    biases = np.array([[0, 1], [0, 1], [90, 0]], np.float32)
    fisher = Fisher(weights, biases, np.zeros((3, 1), np.int64), np.zeros(3, np.float32), 1)
    for votes in (run_fisher(fisher, np.zeros((1, 1), np.float32)), run_onnx(fisher, np.zeros((1, 1), np.float32))):
        assert votes.labels.tolist() == [1]


@pytest.mark.parametrize("n_cameras", [2, 5])
def test_a_discriminant_is_scikit_learns(n_cameras: int) -> None:
    """Once there are so many patches that nothing needs to be shrunk."""
    rng = np.random.default_rng(2)
    cameras = np.repeat(np.arange(n_cameras), 2000)
    mixing = np.eye(8) + 0.2 * rng.normal(size=(8, 8))  # features that go together
    taught = (rng.normal(size=(n_cameras, 8))[cameras] + rng.normal(size=(len(cameras), 8))) @ mixing
    asked = rng.normal(size=(50, 8)) @ mixing
    machine = LinearDiscriminantAnalysis(solver="lsqr").fit(taught, cameras)
    weights, biases = discriminant(taught, cameras, n_cameras)
    ours = asked @ weights.T + biases
    theirs = machine.decision_function(asked).reshape(len(asked), -1)
    theirs = theirs if n_cameras > 2 else np.hstack([-theirs, theirs]) / 2
    ours, theirs = (margins - margins.mean(axis=1, keepdims=True) for margins in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=0.05 * theirs.std())


@pytest.mark.parametrize(("learners", "n_cameras"), [(1, 2), (1, 4), (15, 2), (15, 6)])
def test_it_learns_cameras(learners: int, n_cameras: int) -> None:
    taught = clusters([8] * n_cameras, dimension=24)
    asked = replace(taught, features=taught.features + np.random.default_rng(5).normal(size=taught.features.shape).astype(np.float32))
    fisher = fit_fisher(taught.features, taught.cameras, n_cameras, learners=learners, subspace=12, seed=3)
    assert fisher.weights.shape == (learners, n_cameras, 12)
    assert right(fisher, asked) > 0.9
    onnx = run_onnx(fisher, asked.features)
    np.testing.assert_array_equal(onnx.labels, run_fisher(fisher, asked.features).labels)


def test_features_of_any_scale_are_learnt() -> None:
    """Shares of rare patterns are a thousandth of those of common ones; discriminants must not care."""
    taught = clusters([8] * 4, dimension=24)
    scaled = (taught.features * np.logspace(-4, 2, 24) + 7).astype(np.float32)
    fisher = fit_fisher(scaled, taught.cameras, 4, learners=9, subspace=12)
    assert (run_fisher(fisher, scaled).labels == taught.cameras).mean() > 0.97


def test_learners_differ_in_features_and_together_beat_one() -> None:
    taught = clusters([40] * 6, dimension=40, spread=6.0)
    noise = np.random.default_rng(8).normal(0, 6.0, taught.features.shape).astype(np.float32)
    one, many = (fit_fisher(taught.features, taught.cameras, 6, learners=count, subspace=10, seed=1) for count in (1, 31))
    assert len(np.unique(many.subspaces, axis=0)) == 31
    assert all(len(np.unique(chosen)) == 10 for chosen in many.subspaces)
    noisy = replace(taught, features=taught.features + noise)
    assert right(many, noisy) > right(one, noisy) + 0.1


def test_the_same_seed_gives_the_same_ensemble() -> None:
    taught = clusters([4] * 3)
    first, second, other = (fit_fisher(taught.features, taught.cameras, 3, learners=5, subspace=4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.subspaces, second.subspaces)
    assert not np.array_equal(first.subspaces, other.subspaces)


def test_constant_and_dependent_features_do_no_harm() -> None:
    taught = clusters([6] * 3, dimension=6)
    columns = [taught.features, np.full((len(taught.features), 1), 0.25, np.float32), np.zeros((len(taught.features), 1), np.float32)]
    features = np.hstack([*columns, taught.features[:, :2].sum(axis=1, keepdims=True)])
    fisher = fit_fisher(features, taught.cameras, 3, learners=7, subspace=9)
    assert np.isfinite(fisher.weights).all()
    assert (run_fisher(fisher, features).labels == taught.cameras).mean() > 0.95
    moved = features.copy()
    moved[:, 7] = 1e-3  # never seen other than 0: says nothing
    np.testing.assert_array_equal(run_fisher(fisher, moved).labels, run_fisher(fisher, features).labels)


def test_out_of_bag_error_is_that_of_patches_never_seen() -> None:
    """Features without any trace of the camera: unseen, they are named by chance, while those that taught are not."""
    rng = np.random.default_rng(0)
    features, cameras = rng.normal(size=(300, 30)).astype(np.float32), np.arange(300) % 3
    fisher = fit_fisher(features, cameras, 3, learners=25, subspace=20)
    assert 0.55 < fisher.out_of_bag[-1] < 0.78
    assert (run_fisher(fisher, features).labels != cameras).mean() < fisher.out_of_bag[-1] - 0.15


def test_patches_of_one_photo_are_left_out_together() -> None:
    """Patches that tell their photo and nothing of its camera: only among unseen photos the error shows it."""
    placed = clusters([8, 8, 8])
    features = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)[placed.photos]
    features += np.random.default_rng(1).normal(0, 0.1, features.shape).astype(np.float32)
    flattering, honest = (fit_fisher(features, placed.cameras, 3, learners=15, subspace=20, photos=of) for of in (None, placed.photos))
    assert flattering.out_of_bag[-1] < 0.1
    assert honest.out_of_bag[-1] > 0.4


def test_the_subspace_of_the_smallest_out_of_bag_error_is_taken() -> None:
    """A weak trace in all features, and photos that differ more: few features miss it, all of them fit the photos that taught."""
    rng = np.random.default_rng(0)
    photos = np.repeat(np.arange(24), 6)
    cameras = photos % 2
    features = rng.normal(size=(24, 22))[photos] + 0.05 * rng.normal(size=(144, 22)) + 0.5 * cameras[:, None]
    fit = partial(fit_fisher, features.astype(np.float32), cameras, 2, learners=15, photos=photos)
    few, some, all_of_them = (fit(subspace=size) for size in (4, 16, 22))
    assert some.out_of_bag[-1] < min(few.out_of_bag[-1], all_of_them.out_of_bag[-1]) - 0.05
    np.testing.assert_array_equal(fit(subspace=(4, 16, 22)).weights, some.weights)


def test_subspaces_end_at_the_features_there_are() -> None:
    taught = clusters([3] * 3)
    fisher = fit_fisher(taught.features, taught.cameras, 3, learners=2)
    assert fisher.dimension == 8 < min(SUBSPACES)
    assert fisher.subspaces.tolist() == [list(range(8))] * 2


def test_learners_are_added_until_the_error_settles() -> None:
    easy = clusters([6] * 3)
    fisher = fit_fisher(easy.features, easy.cameras, 3, subspace=8)
    assert 15 <= len(fisher.out_of_bag) < 40
    rng = np.random.default_rng(4)
    hard = fit_fisher(rng.normal(size=(60, 30)).astype(np.float32), np.arange(60) % 6, 6, subspace=8)
    assert len(fisher.out_of_bag) < len(hard.out_of_bag) <= MOST_LEARNERS


def test_unequal_cameras_count_alike() -> None:
    """Where features say nothing, a camera of ten times the patches is not named ten times as often."""
    rng = np.random.default_rng(6)
    cameras = np.repeat([0, 1], [600, 60])
    fisher = fit_fisher(rng.normal(size=(660, 4)).astype(np.float32), cameras, 2, learners=15, subspace=2)
    named = run_fisher(fisher, rng.normal(size=(2000, 4)).astype(np.float32)).labels
    assert 0.2 < named.mean() < 0.8


def test_a_camera_of_one_patch_is_learnt() -> None:
    taught = clusters([6, 6, 1], patches=1)
    fisher = fit_fisher(taught.features, taught.cameras, 3, learners=5, subspace=8)
    assert run_fisher(fisher, taught.features).labels[-1] == 2


def test_single_photos_leave_nothing_out() -> None:
    taught = clusters([1, 1, 1])
    fisher = fit_fisher(taught.features, taught.cameras, 3, learners=3, subspace=8, photos=taught.photos)
    assert fisher.out_of_bag.tolist() == [1, 1, 1]
    assert right(fisher, taught) > 0.9


def test_a_camera_without_patches_is_named() -> None:
    with pytest.raises(CamtraceError, match="camera 1 of 3 has no patch"):
        fit_fisher(np.zeros((4, 2), np.float32), np.array([0, 0, 2, 2]), 3)
