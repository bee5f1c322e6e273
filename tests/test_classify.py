"""Duels: the ONNX head, the numpy head and scikit-learn must agree; leaving a camera out must mean what it says."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.svm import SVC

from camtrace.classify import Duels, fit_duels, head_onnx, run_duels
from made import clusters


def random_duels(n_cameras: int, *, dimension: int = 8, seed: int = 0) -> Duels:
    rng = np.random.default_rng(seed)
    pairs = n_cameras * (n_cameras - 1) // 2
    return Duels(rng.normal(0, 0.5, (pairs, dimension)).astype(np.float32), rng.normal(0, 0.5, pairs).astype(np.float32), n_cameras)


def random_features(count: int, *, dimension: int = 8, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def slow_votes(duels: Duels, patch: NDArray[np.float32]) -> tuple[int, list[float]]:
    """One patch, one duel at a time: most duels won, then the larger evidence."""
    wins, evidence = [0] * duels.n_cameras, [0.0] * duels.n_cameras
    pairs = [(first, second) for first in range(duels.n_cameras) for second in range(first + 1, duels.n_cameras)]
    for (first, second), weights, bias in zip(pairs, duels.weights, duels.biases, strict=True):
        margin = float(patch @ weights + bias)
        wins[first if margin > 0 else second] += 1
        evidence[first] += min(max(margin, -1), 1) / (duels.n_cameras - 1)
        evidence[second] -= min(max(margin, -1), 1) / (duels.n_cameras - 1)
    return max(range(duels.n_cameras), key=lambda camera: (wins[camera], evidence[camera])), evidence


@pytest.mark.parametrize("n_cameras", [2, 3, 5, 12])
def test_numpy_head_is_a_tournament(n_cameras: int) -> None:
    duels, features = random_duels(n_cameras), random_features(50)
    votes = run_duels(duels, features)
    expected = [slow_votes(duels, patch) for patch in features]
    assert votes.labels.tolist() == [label for label, _ in expected]
    np.testing.assert_allclose(votes.scores, [evidence for _, evidence in expected], atol=1e-5)


@pytest.mark.parametrize("n_cameras", [2, 3, 5, 12])
def test_onnx_head_is_the_numpy_head(n_cameras: int) -> None:
    duels, features = random_duels(n_cameras), random_features(200)
    session = onnxruntime.InferenceSession(head_onnx(duels), providers=["CPUExecutionProvider"])
    labels, scores = session.run(["labels", "scores"], {"features": features})
    votes = run_duels(duels, features)
    np.testing.assert_array_equal(labels, votes.labels)
    np.testing.assert_allclose(scores, votes.scores, atol=1e-5)
    assert [str(array.dtype) for array in (labels, scores, votes.scores)] == ["int64", "float32", "float32"]


@pytest.mark.parametrize("n_cameras", [2, 3, 5])
def test_fitted_duels_decide_as_scikit_learn_does(n_cameras: int) -> None:
    references = clusters([4] * n_cameras, spread=4.0)
    questioned = clusters([4] * n_cameras, spread=4.0, seed=9).features
    duels = fit_duels(references.features, references.cameras, n_cameras, c=0.1)
    mean, deviation = references.features.mean(axis=0), references.features.std(axis=0) + 1e-6
    machines = SVC(kernel="linear", C=0.1, class_weight="balanced", decision_function_shape="ovo")
    machines.fit((references.features - mean) / deviation, references.cameras)
    margins = machines.decision_function((questioned - mean) / deviation).reshape(len(questioned), -1)
    if n_cameras == 2:
        margins = -margins  # scikit-learn gives a lone pair the sign of its second class
    np.testing.assert_allclose(questioned @ duels.weights.T + duels.biases, margins, atol=1e-4)
    predicted = machines.predict((questioned - mean) / deviation)
    votes = run_duels(duels, questioned)
    winner = np.sort(votes_won(duels, questioned), axis=1)
    clear = winner[:, -1] > winner[:, -2]  # scikit-learn breaks ties by order, the head by evidence
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(votes.labels[clear], predicted[clear])


def votes_won(duels: Duels, features: NDArray[np.float32]) -> NDArray[np.int64]:
    first, second = np.triu_indices(duels.n_cameras, 1)
    margins = features @ duels.weights.T + duels.biases
    won = np.zeros((len(features), duels.n_cameras), np.int64)
    for pair in range(len(first)):
        won[:, first[pair]] += margins[:, pair] > 0
        won[:, second[pair]] += margins[:, pair] <= 0
    return won


@pytest.mark.parametrize("without", [0, 2, 4])
def test_leaving_a_camera_out_is_the_head_without_its_duels(without: int) -> None:
    duels, features = random_duels(5), random_features(80)
    first, second = np.triu_indices(5, 1)
    kept = (first != without) & (second != without)
    smaller = run_duels(Duels(duels.weights[kept], duels.biases[kept], 4), features)
    others = np.delete(np.arange(5), without)
    votes = run_duels(duels, features, without=without)
    np.testing.assert_array_equal(votes.labels, others[smaller.labels])
    np.testing.assert_allclose(votes.scores[:, others], smaller.scores, atol=1e-6)
    assert votes.scores[:, without].max() < votes.scores[:, others].min()
