"""Experts behind a gate: ONNX, numpy and hand computation must agree; the gate must see what was degraded."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from camtrace.comparison import fit_comparison
from camtrace.experts import (
    CHANGED,
    LEAST,
    OF_A_COPY,
    SAVED_AGAIN,
    TOGETHER,
    UNTOUCHED,
    Experts,
    Gate,
    experts_onnx,
    fit_experts,
    fit_gate,
    join,
    kinds_of,
    run_experts,
)
from camtrace.types import References
from made import clusters

SHIFT = 4.0


def deaf(dimension: int, *, n_experts: int = 3) -> Gate:
    """A gate that knows nothing."""
    return Gate(np.zeros((n_experts, dimension), np.float32), np.zeros(n_experts, np.float32))


def random_experts(n_cameras: int, *, dimension: int = 8, seed: int = 0, n_experts: int = 3) -> Experts:
    rng = np.random.default_rng(seed)
    gate = Gate(rng.normal(size=(n_experts, dimension)).astype(np.float32), rng.normal(size=n_experts).astype(np.float32))
    weights = rng.normal(size=(n_experts, n_cameras, dimension)).astype(np.float32)
    biases = rng.normal(size=(n_experts, n_cameras)).astype(np.float32)
    return Experts(gate, weights - weights.mean(axis=1, keepdims=True), biases - biases.mean(axis=1, keepdims=True))


def random_features(count: int, *, dimension: int = 8, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def with_copies(counts: list[int], *, copies: int = 2, seed: int = 0, spread: float = 1.0) -> References:
    """Clusters of `clusters`, and copies of each photo: odd ones lie SHIFT further on in the last dimension, even ones twice as far."""
    clean = clusters(counts, seed=seed, spread=spread)
    noise = np.random.default_rng(seed + 1).normal(0, spread, (copies, *clean.features.shape))
    moved = clean.features + noise
    moved[..., -1] += SHIFT * kinds_of(1 + np.arange(copies))[:, None]
    return References(
        np.concatenate([clean.features, *moved]).astype(np.float32),
        np.tile(clean.cameras, copies + 1),
        np.tile(clean.photos, copies + 1),
        np.repeat(np.arange(copies + 1), len(clean.photos)),
    )


def anew(references: References) -> References:
    """Other photos of the same cameras: as much noise again."""
    noise = np.random.default_rng(5).normal(0, 1, references.features.shape)
    return replace(references, features=(references.features + noise).astype(np.float32))


# ---- the head


def test_one_photo_by_hand() -> None:
    gate = Gate(np.array([[0.0, 0.0], [1.0, 0.0]], np.float32), np.array([0.0, -1.0], np.float32))
    weights = np.array([[[1, 0], [0, 1], [-1, -1]], [[0, 2], [2, 0], [-2, -2]]], np.float32)
    biases = np.array([[0.5, -0.5, 0.0], [0.0, 1.0, -1.0]], np.float32)
    features = np.array(
        [[2.0, 1.0], [0.0, 3.0]], np.float32
    )  # mean (1, 2): the same odds; of 0.7 half each, and at least 0.05 and 0.25
    votes = run_experts(Experts(gate, weights, biases), features)
    untouched = np.array([[2.5, 0.5, -3.0], [0.5, 2.5, -3.0]])
    degraded = np.array([[2.0, 5.0, -7.0], [6.0, 1.0, -7.0]])
    np.testing.assert_allclose(votes.scores, 0.4 * untouched + 0.6 * degraded, atol=1e-6)
    assert votes.labels.tolist() == [1, 0]


@pytest.mark.parametrize("n_experts", [2, 3])
@pytest.mark.parametrize("n_cameras", [2, 3, 12])
@pytest.mark.parametrize("n_patches", [1, 7, 200])
def test_onnx_head_is_the_numpy_head(n_cameras: int, n_patches: int, n_experts: int) -> None:
    experts, features = random_experts(n_cameras, n_experts=n_experts), random_features(n_patches)
    session = onnxruntime.InferenceSession(experts_onnx(experts), providers=["CPUExecutionProvider"])
    labels, scores = session.run(["labels", "scores"], {"features": features})
    votes = run_experts(experts, features)
    np.testing.assert_array_equal(labels, votes.labels)
    np.testing.assert_allclose(scores, votes.scores, atol=1e-5)
    assert [str(array.dtype) for array in (labels, scores, votes.scores)] == ["int64", "float32", "float32"]
    assert scores.shape == (n_patches, n_cameras)


@pytest.mark.parametrize("n_experts", [2, 3])
@pytest.mark.parametrize("odds", [100.0, 1e4])
def test_a_photo_far_from_anything_known_is_judged_without_a_warning(odds: float, n_experts: int) -> None:
    for heard in range(n_experts):
        gate = replace(deaf(8, n_experts=n_experts), biases=np.where(np.arange(n_experts) == heard, odds, -odds).astype(np.float32))
        experts = replace(random_experts(3, n_experts=n_experts), gate=gate)
        votes = run_experts(experts, random_features(5))
        each = [random_features(5) @ experts.weights[one].T + experts.biases[one] for one in range(n_experts)]
        least = np.array(LEAST[n_experts])
        shares = np.where(np.arange(n_experts) == heard, 1 - least.sum() + least, least)
        expected = np.tensordot(shares, each, axes=1)
        np.testing.assert_allclose(votes.scores, expected, atol=1e-5)
        session = onnxruntime.InferenceSession(experts_onnx(experts), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(["scores"], {"features": random_features(5)})[0], expected, atol=1e-5)


# ---- leaving a camera out


@pytest.mark.parametrize("without", [0, 2, 4])
def test_leaving_a_camera_out_is_never_mentioning_it(without: int) -> None:
    experts, features = random_experts(5), random_features(40)
    others = np.delete(np.arange(5), without)
    fewer = [part[:, others] - part[:, others].mean(axis=1, keepdims=True) for part in (experts.weights, experts.biases)]
    smaller = run_experts(Experts(experts.gate, *fewer), features)
    votes = run_experts(experts, features, without=without)
    np.testing.assert_allclose(votes.scores[:, others], smaller.scores, atol=1e-5)
    np.testing.assert_array_equal(votes.labels, others[smaller.labels])
    assert (votes.scores[:, without] < votes.scores[:, others].min(axis=1)).all()
    np.testing.assert_allclose(votes.scores[:, others].sum(axis=1), 0, atol=1e-4)


def test_what_was_learnt_of_a_camera_left_out_does_not_show() -> None:
    experts, features = random_experts(4), random_features(10)
    changed = replace(experts, weights=experts.weights.copy(), biases=experts.biases.copy())
    changed.weights[:, 1] += 7
    changed.biases[:, 1] -= 3
    one, other = (run_experts(head, features, without=1) for head in (experts, changed))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


# ---- the gate


def test_the_gate_sees_what_happened() -> None:
    gate = fit_gate(with_copies([8, 8, 8]))
    fresh = anew(with_copies([8, 8, 8]))
    assert fresh.copies is not None
    for copy, kind in enumerate((UNTOUCHED, SAVED_AGAIN, CHANGED)):
        photos = [fresh.features[(fresh.photos == photo) & (fresh.copies == copy)] for photo in range(24)]
        assert np.mean([gate.shares(features).argmax() == kind for features in photos]) > 0.9


def test_the_gate_judges_the_photo_not_the_patch() -> None:
    gate = Gate(np.array([[0.0], [1.0]], np.float32), np.zeros(2, np.float32))
    assert gate.shares(np.array([[-3.0], [5.0]], np.float32)) == pytest.approx(gate.shares(np.array([[1.0]], np.float32)))


def test_the_kinds_count_alike_for_the_gate() -> None:
    """With twelve copies a photo it would else call nearly everything degraded: here nothing tells them apart."""
    alike = with_copies([10, 10], copies=12)
    alike = replace(alike, features=random_features(len(alike.photos)))
    least = np.array(LEAST[3])
    expected = least + (1 - least.sum()) / 3
    assert fit_gate(alike).shares(np.zeros((5, 8), np.float32)) == pytest.approx(expected, abs=0.12)


def test_the_number_of_a_copy_says_what_happened_to_it() -> None:
    assert kinds_of(np.arange(6)).tolist() == [UNTOUCHED, SAVED_AGAIN, CHANGED, SAVED_AGAIN, CHANGED, SAVED_AGAIN]


# ---- fitting


@pytest.mark.parametrize("counts", [[6, 6, 6, 6], [8, 8], [12, 1, 2], [1, 1, 1]])
def test_fitted_experts_name_fresh_photos_untouched_or_degraded(counts: list[int]) -> None:
    """Two cameras work as many do, and so does one of whom there is a single photo."""
    taught = with_copies(counts)
    experts = fit_experts(join(taught), len(counts), fit_gate(taught))
    assert experts.weights.shape == (3, len(counts), 8)
    assert experts.biases.shape == (3, len(counts))
    assert experts.weights.dtype == experts.biases.dtype == np.float32
    fresh = anew(taught)
    assert fresh.copies is not None
    for copy in range(3):
        right = []
        for photo in np.unique(fresh.photos):
            own = (fresh.photos == photo) & (fresh.copies == copy)
            scores = run_experts(experts, fresh.features[own]).scores.mean(axis=0)
            right.append(scores.argmax() == fresh.cameras[own][0])
        assert np.mean(right) > 0.9


@pytest.mark.parametrize("n_cameras", [2, 3, 7])
def test_evidence_sums_to_zero_over_the_cameras(n_cameras: int) -> None:
    taught = with_copies([4] * n_cameras)
    experts = fit_experts(join(taught), n_cameras, fit_gate(taught))
    votes = run_experts(experts, 3 * random_features(20))
    np.testing.assert_allclose(votes.scores.sum(axis=1), 0, atol=1e-3)


def test_each_expert_knows_nothing_of_what_had_more_happen_to_it() -> None:
    taught = join(with_copies([5, 5, 5]))
    assert taught.copies is not None
    full = fit_experts(taught, 3, deaf(8))
    for kind, (first, knows) in {SAVED_AGAIN: (1, [False, True, True]), CHANGED: (2, [False, False, True])}.items():
        changed = taught.features + np.where(taught.copies == first, 2, 0)[:, None].astype(np.float32) * random_features(1)
        other = fit_experts(replace(taught, features=changed), 3, deaf(8))
        moved = [float(np.abs(full.weights[expert] - other.weights[expert]).max()) > 0.01 for expert in range(3)]
        assert moved == knows, kind
        for expert in np.flatnonzero(~np.array(knows)):
            np.testing.assert_array_equal(full.weights[expert], other.weights[expert])
            np.testing.assert_array_equal(full.biases[expert], other.biases[expert])


def test_with_a_gate_of_format_2_the_second_expert_is_taught_on_all() -> None:
    taught = join(with_copies([5, 5, 5]))
    two, three = (fit_experts(taught, 3, deaf(8, n_experts=count)) for count in (2, 3))
    np.testing.assert_array_equal(two.weights, three.weights[[0, 2]])


def test_cameras_count_alike_however_many_photos_they_have() -> None:
    """Where nothing tells the cameras apart, the one of many photos is no likelier than the others."""
    crowd = clusters([60, 6, 6])
    crowd = replace(crowd, features=random_features(len(crowd.photos)))
    experts = fit_experts(join(crowd), 3, deaf(8))
    assert np.abs(run_experts(experts, np.zeros((1, 8), np.float32)).scores).max() < 0.3


def _album(centres: NDArray[np.float64], photos: int, seed: int) -> References:
    """Photos whose features vary ten times as much along half of all directions, none of them an axis, as along the others."""
    rng = np.random.default_rng(seed)
    n, dimension = centres.shape
    wild = np.where(np.arange(dimension) < dimension // 2, 10.0, 1.0)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(dimension, dimension)))[0]
    features = np.repeat(centres, photos, axis=0) + wild * rng.normal(size=(n * photos, dimension)) @ turn
    cameras = np.repeat(np.arange(n), photos)
    return References(features.astype(np.float32), cameras, np.arange(n * photos), np.zeros(n * photos, np.int64))


def test_along_the_directions_of_a_base_one_photo_of_each_new_camera_teaches_more() -> None:
    centres = np.random.default_rng(4).normal(0, 3, (40, 40))
    base = _album(centres[:30], 8, seed=1)
    along = fit_comparison(base.features.astype(np.float64), base.cameras).directions
    taught, asked = _album(centres[30:], 1, seed=2), _album(centres[30:], 20, seed=3)
    gate = deaf(40)
    plain, helped = fit_experts(taught, 10, gate), fit_experts(taught, 10, gate, directions=along)
    right = [(run_experts(experts, asked.features).labels == asked.cameras).mean() for experts in (plain, helped)]
    assert right[1] > right[0] + 0.2
    aside = np.linalg.svd(along)[0][:, along.shape[1] :]  # what the directions do not span
    assert np.abs(helped.weights @ aside).max() < 1e-4 * np.abs(helped.weights).max()


def test_features_on_very_different_scales_are_fitted_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    mixed = (rng.normal(size=(1500, 40)) * np.logspace(-3, 2, 40)) @ rng.normal(size=(40, 40))
    references = References(mixed.astype(np.float32), (mixed[:, 0] > 0).astype(np.int64), np.arange(1500), rng.integers(0, 2, 1500))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gate = fit_gate(references)
        experts = fit_experts(references, 2, gate)
    assert np.isfinite(experts.weights).all()
    assert np.isfinite(gate.weights).all()


# ---- joining patches


def test_join_by_hand() -> None:
    features = np.arange(11, dtype=np.float32)[:, None] ** 2
    photos = np.array([3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5])
    copies = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0])
    joined = join(References(features, photos * 10, photos, copies), together=2, of_a_copy=2)
    assert joined.features.ravel().tolist() == [0.5, 6.5, 16.0, 30.5, 56.5, 90.5]  # (0+1)/2, (4+9)/2, 16 alone, (25+36)/2, ...
    assert joined.photos.tolist() == [3, 3, 3, 3, 5, 5]
    assert joined.cameras.tolist() == [30, 30, 30, 30, 50, 50]
    assert joined.copies is not None
    assert joined.copies.tolist() == [0, 0, 0, 1, 0, 0]
    assert joined.features.dtype == np.float32


def test_join_sorts_photos_and_keeps_the_order_of_patches_within() -> None:
    photos = np.array([7, 2, 7, 2, 7, 2])
    features = np.array([[1], [10], [2], [20], [4], [40]], np.float32)
    joined = join(References(features, photos, photos), together=2)
    assert joined.features.ravel().tolist() == [15, 40, 1.5, 4]
    assert joined.photos.tolist() == [2, 2, 7, 7]
    assert joined.copies is not None
    assert not joined.copies.any(), "without copies all are of the photo itself"


def test_join_of_one_together_changes_nothing() -> None:
    references = with_copies([2, 3])
    assert references.copies is not None
    order = np.lexsort((references.copies, references.photos))
    joined = join(references, together=1, of_a_copy=1)
    np.testing.assert_array_equal(joined.features, references.features[order])
    np.testing.assert_array_equal(joined.cameras, references.cameras[order])


def test_join_takes_four_patches_of_a_photo_and_eight_of_a_copy_by_default() -> None:
    assert (TOGETHER, OF_A_COPY) == (4, 8)
    taught = with_copies([3], copies=1)
    assert len(join(taught).photos) == sum(
        -(-int(((taught.photos == photo) & (taught.copies == copy)).sum()) // each)
        for photo in range(3)
        for copy, each in ((0, 4), (1, 8))
    )
    assert len(join(clusters([3], patches=32)).photos) == 3 * 8
    assert len(join(clusters([3], patches=33)).photos) == 3 * 9
