"""A head that asks first whether anything happened to the photo: two linear classifiers, and a gate that says which counts.

A photo that was saved again or resized lost some of its traces and gained others, so that the features of its patches lie elsewhere
than those of an untouched one. One softmax regression (an expert) is therefore taught on untouched photos alone, where traces
are clearest, another on these and on degraded copies of them; the gate, a regression on the mean features of all patches, says how
far each is heard (Jacobs, Jordan, Nowlan & Hinton, "Adaptive Mixtures of Local Experts", Neural Computation 1991). A light second
saving may pass the gate unseen, and a camera that it never met may look degraded, so that both are always heard a little. The gate
knows no camera and comes with the bundle; the experts are fitted anew whenever cameras are enrolled.

Where photos are few, as when cameras are enrolled, the experts are fitted in the directions in which cameras differ most, against how
photos of one camera vary (the linear discriminants of `camtrace.comparison`): that much the base has learnt from its own cameras.

The evidence of a patch is the mean of the experts' logits, whose sum over the cameras is 0; regressions are fitted on means of
TOGETHER patches of a photo, since a photo is judged by the mean of many.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.types import References, Votes

UNTOUCHED, DEGRADED = 0, 1
C = 1.0
C_ALONG = 0.3
"""C where directions are given: photos of one camera vary by 1 in each of them."""

LEAST = (0.05, 0.25)
"""How far the expert for untouched photos, and that for all, are heard at least; found on the folds of the default bundle."""

TOGETHER = 4
_ITERATIONS = 150
_WHOLE_PHOTO = 1 << 30

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Gate:
    """Says from the mean features of a photo's patches whether it was degraded; linear."""

    weights: Floats  # (dimension,)
    bias: float

    def degraded(self, features: Floats) -> float:
        """Features (n, dimension) of one photo's patches -> the probability that something happened to it since the camera."""
        return float(np.exp(-np.logaddexp(0, -(features.mean(axis=0) @ self.weights + self.bias))))  # sigmoid without overflow


@dataclass(frozen=True)
class Experts:
    """The gate, and a linear classifier each for untouched photos and for all."""

    gate: Gate
    weights: Floats  # (2, n_cameras, dimension)
    biases: Floats  # (2, n_cameras)


def fit_gate(references: References) -> Gate:
    """Fit the gate on photos and their degraded copies, as many counting as untouched as degraded."""
    whole = join(references, together=_WHOLE_PHOTO)
    weights, biases = _regress(whole.features, _degraded(whole).astype(np.int64), 2, c=1.0)
    return Gate(weights[1] - weights[0], float(biases[1] - biases[0]))


def fit_experts(
    references: References, n_cameras: int, gate: Gate, *, c: float | None = None, directions: NDArray[np.floating] | None = None
) -> Experts:
    """Fit one expert on the photos as they came, the other on these and their copies; references as `join` makes them.

    `directions` (dimension, n_directions) are all that the experts look at, if given; `c` is `C` or `C_ALONG` then.
    """
    c = c or (C if directions is None else C_ALONG)
    clean = references.of(~_degraded(references))
    untouched = _regress(clean.features, clean.cameras, n_cameras, c=c, directions=directions)
    everything = _regress(references.features, references.cameras, n_cameras, c=c, directions=directions)
    weights, biases = (np.stack(part) for part in zip(untouched, everything, strict=True))
    return Experts(gate, weights, biases)


def join(references: References, *, together: int = TOGETHER) -> References:
    """References whose rows are means of so many patches of one photo or copy, in their order; the last of each of what is left."""
    copies = np.zeros_like(references.photos) if references.copies is None else references.copies
    order = np.lexsort((copies, references.photos))
    photos, copies = references.photos[order], copies[order]
    begins = np.append(True, (photos[1:] != photos[:-1]) | (copies[1:] != copies[:-1]))
    rank = np.arange(len(order)) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
    first = np.flatnonzero(rank % together == 0)
    sums = np.add.reduceat(references.features[order], first, axis=0, dtype=np.float64)
    means = (sums / np.diff(np.append(first, len(order)))[:, None]).astype(np.float32)
    return References(means, references.cameras[order][first], photos[first], copies[first])


def run_experts(experts: Experts, features: Floats, *, without: int | None = None) -> Votes:
    """The same votes as `head.onnx`, in numpy; `features` are those of one photo. `without` leaves one camera out."""
    everything = LEAST[DEGRADED] + (1 - sum(LEAST)) * experts.gate.degraded(features)
    shares = np.array([1 - everything, everything], np.float32)
    scores = features @ np.tensordot(shares, experts.weights, axes=1).T + shares @ experts.biases
    if without is not None:
        others = np.delete(scores, without, axis=1)
        others -= others.mean(axis=1, keepdims=True)
        scores = np.insert(others, without, others.min() - 1, axis=1)
    return Votes(scores.argmax(axis=1), scores)


def experts_onnx(experts: Experts) -> bytes:
    """The head as ONNX: `features` (n, dimension) of one photo -> `labels` int64 (n,), `scores` float32 (n, n_cameras)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    _, n_cameras, dimension = experts.weights.shape
    numbers = {"gate_bias": experts.gate.bias, "one": 1, "least": LEAST[DEGRADED], "rest": 1 - sum(LEAST)}
    constants = {
        **{name: np.float32(number) for name, number in numbers.items()},
        "gate_weights": experts.gate.weights[:, None],
        "weights": experts.weights.reshape(2, n_cameras * dimension),
        "biases": experts.biases,
        "shape": np.array([n_cameras, dimension], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("MatMul", ["mean", "gate_weights"], ["projected"]),
        helper.make_node("Add", ["projected", "gate_bias"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["degraded"]),
        helper.make_node("Mul", ["degraded", "rest"], ["heard"]),
        helper.make_node("Add", ["heard", "least"], ["everything"]),
        helper.make_node("Sub", ["one", "everything"], ["untouched"]),
        helper.make_node("Concat", ["untouched", "everything"], ["shares"], axis=1),
        helper.make_node("MatMul", ["shares", "weights"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "shape"], ["mixed_weights"]),
        helper.make_node("MatMul", ["shares", "biases"], ["mixed_biases"]),
        helper.make_node("Gemm", ["features", "mixed_weights", "mixed_biases"], ["scores"], transB=1),
        helper.make_node("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "two softmax regressions and a gate",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", dimension])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", n_cameras]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _degraded(references: References) -> NDArray[np.bool_]:
    return np.zeros(len(references.photos), bool) if references.copies is None else references.copies > 0


def _regress(
    features: Floats, labels: NDArray[np.int64], n_labels: int, *, c: float, directions: NDArray[np.floating] | None = None
) -> tuple[Floats, Floats]:
    """Softmax regression, labels counting the same; centred so that the logits of every row sum to 0."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if directions is None:
        directions = np.diag(1 / (features.std(axis=0) + 1e-6))
    mean = features.mean(axis=0)
    machine = LogisticRegression(C=c, class_weight="balanced", max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is a choice, nothing a user could mend
        machine.fit((features - mean) @ directions, labels)
    weights, biases = np.zeros((n_labels, features.shape[1])), np.zeros(n_labels)
    found, offsets = machine.coef_ @ directions.T, machine.intercept_
    if len(machine.classes_) == 2:  # scikit-learn keeps one row for two
        found, offsets = np.concatenate([-found, found]) / 2, np.concatenate([-offsets, offsets]) / 2
    weights[machine.classes_], biases[machine.classes_] = found, offsets - found @ mean
    return weights.astype(np.float32), biases.astype(np.float32)
