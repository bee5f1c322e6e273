"""Heads: what turns the features of a patch into its vote. All have one shape, all are written as `head.onnx`.

`svm` is one-vs-one linear SVMs (Bondi et al. 2017), `fisher` the ensemble of Fisher discriminants (Chen & Stamm 2015), `softmax`
the linear classifier that a net was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from camtrace.classify import Duels, fit_duels, head_onnx, run_duels
from camtrace.lab.fisher import Fisher, fisher_onnx, fit_fisher, run_fisher
from camtrace.lab.methods import Method
from camtrace.lab.store import ranks_within
from camtrace.types import References, Votes

C_GRID = (0.001, 0.01, 0.1)
_ENSEMBLE = 12  # patches of each photo that the ensemble is fitted on: the out-of-bag choice tries hundreds of learners
_CHOOSING = 8  # patches of each photo that C is chosen with: the time of a fit grows with their square


class Head(Protocol):
    """A fitted head; label k stands for the k-th camera that it was taught."""

    def vote(self, features: NDArray[np.float32]) -> Votes:
        """Features (n, dimension) -> labels (n,) and scores (n, n_cameras)."""

    def to_onnx(self) -> bytes:
        """The same as ONNX: `features` -> `labels`, `scores`."""


@dataclass(frozen=True)
class SvmHead:
    """One-vs-one linear SVMs."""

    duels: Duels

    def vote(self, features: NDArray[np.float32]) -> Votes:
        """See Head."""
        return run_duels(self.duels, features)

    def to_onnx(self) -> bytes:
        """See Head."""
        return head_onnx(self.duels)


@dataclass(frozen=True)
class FisherHead:
    """An ensemble of Fisher discriminants."""

    ensemble: Fisher

    def vote(self, features: NDArray[np.float32]) -> Votes:
        """See Head."""
        return run_fisher(self.ensemble, features)

    def to_onnx(self) -> bytes:
        """See Head."""
        return fisher_onnx(self.ensemble)


@dataclass(frozen=True)
class SoftmaxHead:
    """The last linear layer of a net; its scores are the softmax, which is no probability until it is calibrated."""

    weights: NDArray[np.float32]  # (n_cameras, dimension)
    biases: NDArray[np.float32]  # (n_cameras,)

    def vote(self, features: NDArray[np.float32]) -> Votes:
        """See Head."""
        from scipy.special import softmax

        scores = softmax(features @ self.weights.T + self.biases, axis=1).astype(np.float32)
        return Votes(scores.argmax(axis=1), scores)

    def to_onnx(self) -> bytes:
        """See Head."""
        return softmax_onnx(self.weights, self.biases)


@dataclass(frozen=True)
class Taught:
    """A head and the cameras that its labels stand for."""

    head: Head
    cameras: NDArray[np.int64]  # (n_labels,) index of the camera, in label order


def teach(references: References, method: Method, *, c: float, seed: int = 0) -> Taught:
    """Fit the method's head for the cameras present in the references: SVMs too where a net has a classifier, which knows others."""
    present, labels = np.unique(references.cameras, return_inverse=True)
    if method.head == "fisher":
        some = _first_of_each_photo(References(references.features, labels, references.photos), _ENSEMBLE)
        return Taught(FisherHead(fit_fisher(some.features, some.cameras, len(present), photos=some.photos, seed=seed)), present)
    return Taught(SvmHead(fit_duels(references.features, labels, len(present), c=c)), present)


def choose_c(taught: References, asked: References, *, grid: Sequence[float] = C_GRID) -> float:
    """The C of the SVMs with which most patches of the validation photos are named rightly (Bondi et al. 2017, section IV)."""
    some = _first_of_each_photo(taught, _CHOOSING)
    return max(grid, key=lambda c: _share_right(some, asked, c))


def _first_of_each_photo(references: References, count: int) -> References:
    keep = ranks_within(references.photos) < count
    return References(references.features[keep], references.cameras[keep], references.photos[keep])


def _share_right(taught: References, asked: References, c: float) -> float:
    present, labels = np.unique(taught.cameras, return_inverse=True)
    votes = run_duels(fit_duels(taught.features, labels, len(present), c=c), asked.features)
    return float((present[votes.labels] == asked.cameras).mean())


def softmax_onnx(weights: NDArray[np.float32], biases: NDArray[np.float32]) -> bytes:
    """A linear layer and softmax as `head.onnx`: weights (n_cameras, dimension), biases (n_cameras,)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["features", "weights", "biases"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["labels"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "linear classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(weights)]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(a, np.float32), n) for n, a in (("weights", weights), ("biases", biases))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())
