"""Ensemble of Fisher linear discriminants on random subspaces, which vote (Kodovsky, Fridrich & Holub 2012; Chen & Stamm 2015).

Each learner sees a bootstrap sample of the patches and a random choice of the features. The patches that a learner has not seen
judge it: their out-of-bag error chooses the size of the subspaces and the number of learners, as in Kodovsky, section II.

The original tells two classes apart; here each learner has one discriminant for every camera and votes for the largest.
All cameras count alike, however many patches they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camtrace.types import CamtraceError, Votes

SUBSPACES = (100, 200, 400, 800)
MOST_LEARNERS = 101
_SETTLED = 0.005  # Kodovsky's tube: the error has settled when its moving average stays within it
_SMOOTH, _WATCHED = 5, 15
_RIDGE = 1e-6  # of the variance of a feature; shares that sum to 1 are linearly dependent

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fisher:
    """One discriminant for every learner and camera, on the learner's own features."""

    weights: NDArray[np.float32]  # (learners, n_cameras, subspace)
    biases: NDArray[np.float32]  # (learners, n_cameras)
    subspaces: NDArray[np.int64]  # (learners, subspace) which features
    out_of_bag: NDArray[np.float32]  # (learners,) share of unseen patches that so many learners name wrongly; 1 if none is unseen
    dimension: int  # of the features it reads

    @property
    def n_cameras(self) -> int:
        """How many cameras it knows."""
        return int(self.biases.shape[1])


def fit_fisher(
    features: NDArray[np.float32],
    cameras: NDArray[np.int64],
    n_cameras: int,
    *,
    learners: int | None = None,
    subspace: int | Sequence[int] = SUBSPACES,
    photos: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Fisher:
    """Fit the ensemble on patches (n, dimension) with the cameras (n,) they come from.

    Of several sizes of `subspace` the one of the smallest out-of-bag error is kept, the smaller one if two are equal; `learners` None
    adds learners until that error settles. With `photos` (n,) the patches of one photo are drawn together, so that the error is
    of unseen photos; without it, it is of unseen patches, and too small where patches of one photo are alike.

    Raises
    ------
    CamtraceError
        A camera has no patch.
    """
    missing = np.flatnonzero(np.bincount(cameras, minlength=n_cameras) == 0)
    if len(missing):
        raise CamtraceError(
            f"camera {missing[0]} of {n_cameras} has no patch to learn from; give it more photos, or leave the camera out"
        )
    units = np.arange(len(cameras)) if photos is None else np.unique(photos, return_inverse=True)[1]
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64) + _RIDGE
    lesson = _Lesson((features - mean) / deviation, cameras, n_cameras, units)
    sizes = sorted({min(size, features.shape[1]) for size in ((subspace,) if isinstance(subspace, int) else subspace)})
    tried = [_grow(lesson, size, learners=learners, seed=seed) for size in sizes]
    return _unstandardise(min(tried, key=lambda fisher: float(fisher.out_of_bag[-1])), mean, deviation)


def run_fisher(fisher: Fisher, features: NDArray[np.float32]) -> Votes:
    """The same votes as `fisher_onnx`, in numpy: scores are the share of learners for each camera, ties go to the larger evidence."""
    tally = np.zeros((len(features), fisher.n_cameras))
    evidence, rows = np.zeros_like(tally), np.arange(len(features))
    for weights, biases, chosen in zip(fisher.weights, fisher.biases, fisher.subspaces, strict=True):
        _cast_votes(tally, evidence, rows, features[:, chosen] @ weights.T + biases)
    return Votes(_winners(tally, evidence), (tally / len(fisher.biases)).astype(np.float32))


def fisher_onnx(fisher: Fisher) -> bytes:
    """The head as ONNX: `features` (n, dimension) -> `labels` int64 (n,), `scores` float32 (n, n_cameras)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "weights": fisher.weights,
        "biases": fisher.biases[:, :, None],
        "subspaces": fisher.subspaces,
        "n_cameras": np.array([fisher.n_cameras], np.int64),
        "off_on": np.array([0, 1], np.float32),
        "never": np.float32(-np.inf),
    }
    nodes = [
        helper.make_node("Transpose", ["features"], ["by_feature"], perm=[1, 0]),
        helper.make_node("Gather", ["by_feature", "subspaces"], ["seen"], axis=0),  # (learners, subspace, n)
        helper.make_node("MatMul", ["weights", "seen"], ["products"]),  # (learners, n_cameras, n)
        helper.make_node("Add", ["products", "biases"], ["discriminants"]),
        helper.make_node("ArgMax", ["discriminants"], ["votes"], axis=1, keepdims=0),
        helper.make_node("OneHot", ["votes", "n_cameras", "off_on"], ["ballots"], axis=-1),  # (learners, n, n_cameras)
        helper.make_node("ReduceMean", ["ballots"], ["scores"], axes=[0], keepdims=0),
        helper.make_node("ReduceMean", ["discriminants"], ["mean"], axes=[0], keepdims=0),
        helper.make_node("Transpose", ["mean"], ["evidence"], perm=[1, 0]),
        helper.make_node("ReduceMax", ["scores"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Equal", ["scores", "most"], ["leading"]),
        helper.make_node("Where", ["leading", "evidence", "never"], ["order"]),
        helper.make_node("ArgMax", ["order"], ["labels"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "ensemble of Fisher linear discriminants",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", fisher.dimension])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", fisher.n_cameras]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def discriminant(features: Floats, cameras: NDArray[np.int64], n_cameras: int) -> tuple[Floats, Floats]:
    """Fisher's linear discriminant of every camera, all cameras equally likely: weights (n_cameras, dimension), biases (n_cameras,).

    The covariance within cameras is pooled before Ledoit and Wolf shrink it: scikit-learn's LinearDiscriminantAnalysis estimates it
    camera by camera, which fails for a camera of one patch.
    """
    from sklearn.covariance import ledoit_wolf

    means = np.stack([features[cameras == camera].mean(axis=0) for camera in range(n_cameras)])
    covariance, _ = ledoit_wolf(features - means[cameras], assume_centered=True)
    covariance.flat[:: len(covariance) + 1] += _RIDGE
    weights = np.linalg.solve(covariance, means.T).T
    return weights, -(weights * means).sum(axis=1) / 2


def _unstandardise(fisher: Fisher, mean: Floats, deviation: Floats) -> Fisher:
    """The same ensemble on features as they come."""
    weights = fisher.weights / deviation[fisher.subspaces][:, None, :]
    biases = fisher.biases - (weights * mean[fisher.subspaces][:, None, :]).sum(axis=2)
    return replace(fisher, weights=weights.astype(np.float32), biases=biases.astype(np.float32))


@dataclass(frozen=True)
class _Lesson:
    """What is to be learnt: standardised features (n, dimension), and the camera and the unit of the bootstrap of each row."""

    features: Floats
    cameras: NDArray[np.int64]
    n_cameras: int
    units: NDArray[np.int64]


def _grow(lesson: _Lesson, size: int, *, learners: int | None, seed: int) -> Fisher:
    """Add learners on subspaces of one size, each judged by what it has not seen."""
    rng = np.random.default_rng([seed, size])
    rows = np.arange(len(lesson.cameras))
    tally = np.zeros((len(rows), lesson.n_cameras))
    evidence = np.zeros_like(tally)
    subspaces, weights, biases = [], [], []
    errors: list[float] = []
    while len(errors) < (learners or MOST_LEARNERS) and (learners is not None or not _settled(errors)):
        chosen = np.sort(rng.choice(lesson.features.shape[1], size, replace=False))
        bag = _bag(lesson, rng)
        slopes, offsets = discriminant(lesson.features[np.ix_(bag, chosen)], lesson.cameras[bag], lesson.n_cameras)
        unseen = np.setdiff1d(rows, bag)
        _cast_votes(tally, evidence, unseen, lesson.features[np.ix_(unseen, chosen)] @ slopes.T + offsets)
        errors.append(_error(tally, evidence, lesson.cameras))
        subspaces.append(chosen)
        weights.append(slopes)
        biases.append(offsets)
    return Fisher(
        np.stack(weights).astype(np.float32),
        np.stack(biases).astype(np.float32),
        np.stack(subspaces),
        np.array(errors, np.float32),
        lesson.features.shape[1],
    )


def _bag(lesson: _Lesson, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a bootstrap sample: of each camera as many units as it has, drawn with replacement."""
    times = np.zeros(lesson.units.max() + 1, np.int64)
    for camera in range(lesson.n_cameras):
        own = np.unique(lesson.units[lesson.cameras == camera])
        np.add.at(times, rng.choice(own, len(own)), 1)
    return np.repeat(np.arange(len(lesson.units)), times[lesson.units])


def _cast_votes(tally: Floats, evidence: Floats, rows: NDArray[np.int64], margins: NDArray[np.floating]) -> None:
    """Add one learner's votes on some rows."""
    tally[rows, margins.argmax(axis=1)] += 1
    evidence[rows] += margins


def _winners(tally: Floats, evidence: Floats) -> NDArray[np.int64]:
    """Most votes; among cameras of equal votes the larger evidence."""
    leading = tally == tally.max(axis=1, keepdims=True)
    winners: NDArray[np.int64] = np.where(leading, evidence, -np.inf).argmax(axis=1)
    return winners


def _error(tally: Floats, evidence: Floats, cameras: NDArray[np.int64]) -> float:
    judged = tally.any(axis=1)
    return float((_winners(tally, evidence) != cameras)[judged].mean()) if judged.any() else 1.0


def _settled(errors: Sequence[float]) -> bool:
    """Whether the moving average of the last learners stays within Kodovsky's tube."""
    if len(errors) < _WATCHED + _SMOOTH - 1:
        return False
    smooth = np.convolve(errors[-(_WATCHED + _SMOOTH - 1) :], np.full(_SMOOTH, 1 / _SMOOTH), "valid")
    return bool(np.ptp(smooth) < _SETTLED)
