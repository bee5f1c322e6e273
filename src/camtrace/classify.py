"""Heads: linear one-vs-one SVMs on features, fitted with scikit-learn, run as ONNX (Bondi et al. 2017, section III-B).

For N cameras there are N (N - 1) / 2 duels; a duel's margin is positive where the patch looks more like the first camera of
the pair. A patch votes for the camera that wins most duels; its evidence for a camera is the mean of that camera's margins,
each cut off at +-1 so that no single duel outweighs the others.

Leaving a camera out of a one-vs-one head needs no new fit: its duels are dropped. That is how the threshold for unknown is set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.types import Votes

C_GRID = (0.001, 0.01, 0.1)


@dataclass(frozen=True)
class Duels:
    """One linear SVM for each pair of cameras, in the order of `np.triu_indices(n_cameras, 1)`."""

    weights: NDArray[np.float32]  # (n_pairs, dimension)
    biases: NDArray[np.float32]  # (n_pairs,)
    n_cameras: int


def fit_duels(features: NDArray[np.float32], cameras: NDArray[np.int64], n_cameras: int, *, c: float) -> Duels:
    """Fit all duels on patches (n, dimension) with the cameras (n,) they come from."""
    from sklearn.svm import SVC

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    machines = SVC(kernel="linear", C=c, class_weight="balanced", cache_size=1000)
    machines.fit((features - mean) / deviation, cameras)
    sign = -1 if n_cameras == 2 else 1  # scikit-learn turns the sign of a lone pair
    weights = sign * machines.coef_ / deviation
    biases = sign * machines.intercept_ - weights @ mean
    return Duels(weights.astype(np.float32), biases.astype(np.float32), n_cameras)


def run_duels(duels: Duels, features: NDArray[np.float32], *, without: int | None = None) -> Votes:
    """The same votes as `head.onnx`, in numpy; `without` leaves one camera out, as if it had never been taught."""
    incidence = _incidence(duels.n_cameras)
    rivals = duels.n_cameras - 1
    if without is not None:
        incidence[incidence[:, without] != 0] = 0
        rivals -= 1
    margins = features @ duels.weights.T + duels.biases
    wins = np.sign(margins) @ incidence
    scores = np.clip(margins, -1, 1) @ incidence / rivals
    if without is not None:
        wins[:, without] = scores[:, without] = -rivals
    return Votes((wins + scores / 2).argmax(axis=1), scores)


def head_onnx(duels: Duels) -> bytes:
    """The head as ONNX: `features` (n, dimension) -> `labels` int64 (n,), `scores` float32 (n, n_cameras)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    incidence = _incidence(duels.n_cameras)
    constants = {
        "weights": duels.weights.T,
        "biases": duels.biases,
        "incidence": incidence,
        "share": np.float32(1 / (duels.n_cameras - 1)),
        "minus_one": np.float32(-1),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "biases"], ["margins"]),
        helper.make_node("Clip", ["margins", "minus_one", "one"], ["cut"]),
        helper.make_node("MatMul", ["cut", "incidence"], ["summed"]),
        helper.make_node("Mul", ["summed", "share"], ["scores"]),
        helper.make_node("Sign", ["margins"], ["won"]),
        helper.make_node("MatMul", ["won", "incidence"], ["wins"]),
        helper.make_node("Mul", ["scores", "half"], ["tie_break"]),  # wins differ by 2 or more, or not at all
        helper.make_node("Add", ["wins", "tie_break"], ["order"]),
        helper.make_node("ArgMax", ["order"], ["labels"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "one-vs-one linear SVMs",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", duels.weights.shape[1]])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", duels.n_cameras]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _incidence(n_cameras: int) -> NDArray[np.float32]:
    """(n_pairs, n_cameras): +1 for the first camera of a pair, -1 for the second."""
    first, second = np.triu_indices(n_cameras, 1)
    matrix = np.zeros((len(first), n_cameras), np.float32)
    matrix[np.arange(len(first)), first] = 1
    matrix[np.arange(len(first)), second] = -1
    return matrix
