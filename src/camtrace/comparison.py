"""Were two photos taken by cameras of the same model? Neither need be known.

The mean features of a photo are modelled as a Gaussian around its camera's own, and these as a Gaussian around all cameras'
(probabilistic linear discriminant analysis; Ioffe, ECCV 2006; Prince & Elder, ICCV 2007). In the space where photos of one
camera vary by 1 in every direction and cameras by `between`, the likelihood ratio of "same" against "different" is a sum over the
directions; a straight line, fitted on cameras that taught neither net nor model, makes it mean what it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camtrace.types import References

COMPARISON = "comparison_"
NEARNESS = "nearness_"
"""How the names of its tensors begin."""

_SHRINKAGE = 0.1  # of the variance within cameras, towards the same in all directions: photos are few, dimensions many
_DIRECTIONS = 40
_SMALLEST = 1e-3  # variance between cameras: what is estimated as less, or as none, says nothing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """How two photos are compared."""

    mean: Floats  # (dimension,) of all cameras
    directions: Floats  # (dimension, n_directions), what they are projected on
    between: Floats  # (n_directions,) variance of cameras where that of one camera's photos is 1
    slope: float = 1.0
    offset: float = 0.0
    photos: int = 0  # behind the line
    cameras: int = 0

    @property
    def limit(self) -> float:
        """The largest log10 likelihood ratio that so many photos can support."""
        return math.log10(max(1, self.photos))

    def log10_lr(self, first: Floats, second: Floats) -> float:
        """Mean features (dimension,) of two photos -> calibrated log10 likelihood ratio, cut off at what the photos support.

        Above 0 speaks for one camera model, below for two. Without calibration photos it is 0 always.
        """
        raw = raw_ratios(self, first[None], second[None])[0, 0]
        return float(np.clip((self.slope * raw + self.offset) / math.log(10), -self.limit, self.limit))


def mean_features(features: NDArray[np.floating]) -> Floats:
    """Features (n_patches, dimension) of one photo -> what of it is compared (dimension,)."""
    mean: Floats = features.mean(axis=0, dtype=np.float64)
    return mean


def fit_comparison(means: Floats, cameras: NDArray[np.int64]) -> Comparison:
    """Fit the two Gaussians on mean features (n, dimension) of photos and the cameras (n,) that took them; not yet calibrated.

    Every camera counts equally, however many photos it has.

    Raises
    ------
    ValueError
        There are fewer than two cameras, or none has two photos.
    """
    albums = [means[cameras == camera] for camera in np.unique(cameras)]
    several = [album for album in albums if len(album) > 1]
    if len(albums) < 2 or not several:
        raise ValueError(f"{len(albums)} cameras, {len(several)} with several photos; at least 2, and 1 with several, are needed")
    within = np.mean([_covariance(album) for album in several], axis=0)
    within = (1 - _SHRINKAGE) * within + _SHRINKAGE * np.eye(len(within)) * np.trace(within) / len(within)
    centres = np.stack([album.mean(axis=0) for album in albums])
    # the mean of n photos varies by a share 1/n of what they vary by: that much of the spread is not the cameras' own
    between = _covariance(centres) - within * np.mean([1 / len(album) for album in albums])
    whitening = np.linalg.cholesky(np.linalg.inv(within))
    variances, axes = np.linalg.eigh(whitening.T @ between @ whitening)
    kept = np.argsort(-variances)[: min(_DIRECTIONS, len(albums) - 1)]
    return Comparison(centres.mean(axis=0), whitening @ axes[:, kept], np.maximum(variances[kept], _SMALLEST))


def _covariance(rows: Floats) -> Floats:
    """(n, dimension) -> (dimension, dimension)."""
    return np.atleast_2d(np.cov(rows, rowvar=False)).astype(np.float64)


def raw_ratios(comparison: Comparison, first: Floats, second: Floats) -> Floats:
    """(n, dimension) and (m, dimension) -> (n, m) natural log likelihood ratios as the model has them.

    In each direction a photo varies by between + 1, and two of one camera share `between` of it: the ratio of the densities of
    N(0, [[between + 1, between], [between, between + 1]]) and of N(0, between + 1) twice, summed over the directions.
    """
    one, two = ((means - comparison.mean) @ comparison.directions for means in (first, second))
    between, total = comparison.between, comparison.between + 1
    determinant = total**2 - between**2
    alone = -0.5 * between**2 / (total * determinant)
    joint = (one * (between / determinant)) @ two.T
    constant = -0.5 * np.log(determinant / total**2).sum()
    ratios: Floats = constant + joint + (one**2 @ alone)[:, None] + (two**2 @ alone)[None]
    return ratios


def centres_of(references: References, n_cameras: int) -> Floats:
    """(n_cameras, dimension): mean features of each camera's untouched photos, photos counting the same; NaN where there are none."""
    untouched = references if references.copies is None else references.of(references.copies == 0)
    photos, first, index = np.unique(untouched.photos, return_index=True, return_inverse=True)
    means = np.zeros((len(photos), untouched.features.shape[1]))
    np.add.at(means, index, untouched.features)
    means /= np.bincount(index)[:, None]
    cameras = untouched.cameras[first]
    sums = np.zeros((n_cameras, means.shape[1]))
    np.add.at(sums, cameras, means)
    counts = np.bincount(cameras, minlength=n_cameras)[:, None]
    centres: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return centres


def nearness(comparison: Comparison, centres: Floats, features: NDArray[np.float32], *, without: int | None = None) -> float:
    """The largest raw ratio between a photo, by the features (n, dimension) of its patches, and the centres of the cameras."""
    ratios = raw_ratios(comparison, mean_features(features)[None], centres)[0]
    if without is not None:
        ratios[without] = np.nan
    return float(np.nanmax(ratios))


def pairs_of(cameras: NDArray[np.int64], photos: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of different photos: indices (2, n) into the arrays, and (n,) 1 where the camera is the same, else 0.

    Copies of a photo share its number in `photos`, and are not paired with each other.
    """
    pairs = np.stack(np.triu_indices(len(cameras), 1)).astype(np.int64)
    pairs = pairs[:, photos[pairs[0]] != photos[pairs[1]]]
    return pairs, (cameras[pairs[0]] == cameras[pairs[1]]).astype(np.int64)


def calibrate(comparison: Comparison, ratios: Floats, same: NDArray[np.int64], *, photos: int, cameras: int) -> Comparison:
    """Fit the line on raw ratios (n,) of pairs of photos whose cameras the model never saw; `same` (n,) is 1 or 0.

    `photos` and `cameras` are how many there are in these pairs.

    Raises
    ------
    ValueError
        The pairs are all of one kind, or pairs of one camera have no higher ratios than the others.
    """
    from sklearn.linear_model import LogisticRegression

    # both kinds of pairs weigh the same: what is left of the odds is then the likelihood ratio
    line = LogisticRegression(C=100, class_weight="balanced").fit(ratios[:, None], same)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    if slope <= 0:
        raise ValueError(f"slope {slope:.3g}: pairs of one camera have no higher ratios than the others; this comparison is of no use")
    return replace(comparison, slope=slope, offset=offset, photos=photos, cameras=cameras)


def to_tensors(comparison: Comparison, prefix: str = COMPARISON) -> dict[str, NDArray[np.float32]]:
    """As a safetensors file has it, every name begun with `prefix`."""
    line = np.array([comparison.slope, comparison.offset, comparison.photos, comparison.cameras])
    parts = {"mean": comparison.mean, "directions": comparison.directions, "between": comparison.between, "line": line}
    # in the order of C: safetensors writes memory as it lies, and a transposed matrix would come back as another one
    return {prefix + name: np.ascontiguousarray(value, np.float32) for name, value in parts.items()}


def from_tensors(tensors: dict[str, NDArray[np.float32]], prefix: str = COMPARISON) -> Comparison:
    """The reverse of `to_tensors`; KeyError where a part is missing."""
    mean, directions, between, line = (tensors[prefix + name].astype(np.float64) for name in ("mean", "directions", "between", "line"))
    slope, offset, photos, cameras = line.tolist()
    return Comparison(mean, directions, between, slope, offset, int(photos), int(cameras))
