"""A head that asks first what happened to the photo: a linear classifier for each answer, and a gate that says which counts.

A photo that was saved again or resized lost some of its traces and gained others, so that the features of its patches lie elsewhere
than those of an untouched one. One softmax regression (an expert) is therefore taught on untouched photos alone, where traces
are clearest, one on these and on copies that were saved again, one on all, copies to which more happened among them; the gate, a
regression on the mean features of all patches, says how far each is heard (Jacobs, Jordan, Nowlan & Hinton, "Adaptive Mixtures of
Local Experts", Neural Computation 1991). A light second saving may pass the gate unseen, and a camera that it never met may look
degraded, so that all are always heard a little. The gate knows no camera and comes with the bundle; the experts are fitted anew
whenever cameras are enrolled.

Where photos are few, as when cameras are enrolled, the experts are fitted in the directions in which cameras differ most, against how
photos of one camera vary (the linear discriminants of `camtrace.comparison`): that much the base has learnt from its own cameras.

The evidence of a patch is the mean of the experts' logits, whose sum over the cameras is 0; regressions are fitted on means of
TOGETHER patches of a photo, and of OF_A_COPY patches of a copy, since a photo is judged by the mean of many.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camtrace.types import References, Votes

UNTOUCHED, SAVED_AGAIN, CHANGED = 0, 1, 2
C = 3.0
C_ALONG = 0.3
"""C where directions are given: photos of one camera vary by 1 in each of them."""

LEAST = {2: (0.05, 0.25), 3: (0.1, 0.1, 0.05)}
"""How far each expert is heard at least, by how many there are: bundles of format 2 have two, for untouched photos and for all.
Found on the folds of the default bundle, as C and _SURER were."""

TOGETHER, OF_A_COPY = 4, 8
_SURER = 3.0
"""By how much the odds of the gate grow: it is taught on 8 patches of a copy, and asked about 64 of a photo."""

_ITERATIONS = 150
_WHOLE_PHOTO = 1 << 30

Floats = NDArray[np.float32]


def kinds_of(copies: NDArray[np.int64]) -> NDArray[np.int64]:
    """What happened to copies, by their numbers: 0 is the photo itself, odd ones were saved again, the others changed more."""
    return np.where(copies == 0, UNTOUCHED, np.where(copies % 2 == 1, SAVED_AGAIN, CHANGED))


@dataclass(frozen=True)
class Gate:
    """Says from the mean features of a photo's patches what happened to it; linear."""

    weights: Floats  # (n_experts, dimension)
    biases: Floats  # (n_experts,)

    def shares(self, features: Floats) -> Floats:
        """Features (n, dimension) of one photo's patches -> how far each expert is heard, (n_experts,), 1 in all."""
        odds = self.weights @ features.mean(axis=0) + self.biases
        likely = np.exp(odds - odds.max())
        least = np.array(LEAST[len(odds)])
        shares: Floats = (least + (1 - least.sum()) * likely / likely.sum()).astype(np.float32)
        return shares


@dataclass(frozen=True)
class Experts:
    """The gate, and a linear classifier for each of its answers."""

    gate: Gate
    weights: Floats  # (n_experts, n_cameras, dimension)
    biases: Floats  # (n_experts, n_cameras)


def fit_gate(references: References) -> Gate:
    """Fit the gate on photos and their degraded copies, as many counting of each kind."""
    whole = join_whole(references)
    weights, biases = _regress(whole.features, _kinds(whole), CHANGED + 1, c=1.0)
    return Gate(_SURER * weights, _SURER * biases)


def fit_experts(
    references: References, n_cameras: int, gate: Gate, *, c: float | None = None, directions: NDArray[np.floating] | None = None
) -> Experts:
    """Fit each expert on what it stands for and on all that had less happen to it; references as `join` makes them.

    `directions` (dimension, n_directions) are all that the experts look at, if given; `c` is `C` or `C_ALONG` then.
    """
    c = c or (C if directions is None else C_ALONG)
    last = len(gate.biases) - 1
    kinds = np.minimum(_kinds(references), last)
    fitted = []
    for expert in range(last + 1):
        own = references.of(kinds <= expert)
        fitted.append(_regress(own.features, own.cameras, n_cameras, c=c, directions=directions))
    weights, biases = (np.stack(part) for part in zip(*fitted, strict=True))
    return Experts(gate, weights, biases)


def join(references: References, *, together: int = TOGETHER, of_a_copy: int = OF_A_COPY) -> References:
    """References whose rows are means of so many patches of one photo or copy, in their order; the last of each of what is left."""
    copies = np.zeros_like(references.photos) if references.copies is None else references.copies
    order = np.lexsort((copies, references.photos))
    photos, copies = references.photos[order], copies[order]
    begins = np.append(True, (photos[1:] != photos[:-1]) | (copies[1:] != copies[:-1]))
    rank = np.arange(len(order)) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
    first = np.flatnonzero(rank % np.where(copies == 0, together, of_a_copy) == 0)
    sums = np.add.reduceat(references.features[order], first, axis=0, dtype=np.float64)
    means = (sums / np.diff(np.append(first, len(order)))[:, None]).astype(np.float32)
    return References(means, references.cameras[order][first], photos[first], copies[first])


def join_whole(references: References) -> References:
    """References with one row for each photo or copy, the mean of all its patches."""
    return join(references, together=_WHOLE_PHOTO, of_a_copy=_WHOLE_PHOTO)


def run_experts(experts: Experts, features: Floats, *, without: int | None = None) -> Votes:
    """The same votes as `head.onnx`, in numpy; `features` are those of one photo. `without` leaves one camera out."""
    shares = experts.gate.shares(features)
    scores = features @ np.tensordot(shares, experts.weights, axes=1).T + shares @ experts.biases
    if without is not None:
        others = np.delete(scores, without, axis=1)
        others -= others.mean(axis=1, keepdims=True)
        scores = np.insert(others, without, others.min() - 1, axis=1)
    return Votes(scores.argmax(axis=1), scores)


def experts_onnx(experts: Experts) -> bytes:
    """The head as ONNX: `features` (n, dimension) of one photo -> `labels` int64 (n,), `scores` float32 (n, n_cameras)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    n_experts, n_cameras, dimension = experts.weights.shape
    least = np.array(LEAST[n_experts], np.float32)
    constants = {
        "gate_weights": experts.gate.weights,
        "gate_biases": experts.gate.biases,
        "least": least,
        "rest": np.float32(1 - least.sum()),
        "weights": experts.weights.reshape(n_experts, n_cameras * dimension),
        "biases": experts.biases,
        "shape": np.array([n_cameras, dimension], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Gemm", ["mean", "gate_weights", "gate_biases"], ["odds"], transB=1),
        helper.make_node("Softmax", ["odds"], ["likely"], axis=1),
        helper.make_node("Mul", ["likely", "rest"], ["heard"]),
        helper.make_node("Add", ["heard", "least"], ["shares"]),
        helper.make_node("MatMul", ["shares", "weights"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "shape"], ["mixed_weights"]),
        helper.make_node("MatMul", ["shares", "biases"], ["mixed_biases"]),
        helper.make_node("Gemm", ["features", "mixed_weights", "mixed_biases"], ["scores"], transB=1),
        helper.make_node("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "softmax regressions and a gate",
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


def _kinds(references: References) -> NDArray[np.int64]:
    copies = np.zeros_like(references.photos) if references.copies is None else references.copies
    return kinds_of(copies)


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
