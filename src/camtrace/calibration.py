"""Evidence of a whole photo -> probabilities and a likelihood ratio (METHOD section 6).

Patches of a photo depend on each other, so it is the evidence of the photo that is calibrated, on photos whose cameras were judged
by heads that had not seen them:

    evidence * n / (n + half)          few patches say less than many
    softmax(scale * evidence)          which camera, if it is one of those the bundle knows;
                                       a share `lapse` is spread over all of them alike
    sigmoid(bias + weights . (nearness, how far ahead the evidence is))    whether it is one of them at all

Without the lapse (a term of psychometrics) the few photos that are named wrongly however clear their evidence is would hold the scale
down, and all the others would be surer than is said. Nearness is how near the photo lies to what taught the nearest camera
(`camtrace.comparison.nearness`), or the largest evidence where a bundle cannot compare: evidence tells cameras from each other, not
from the rest of the world.

The probability of a camera is the product. It holds where a share PRIOR_KNOWN of the photos asked about comes from cameras that
the bundle knows, each equally often; what is left of 1 is for all the other cameras in the world. The likelihood ratio is
what the evidence did to the odds of one camera against any other: unknown ones with that same share, the bundle's with the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from camtrace.types import Level, Mode

MODES: tuple[Mode, ...] = get_args(Mode)
NAMING: tuple[Level, ...] = ("model", "family", "maker")
"""The levels at which something is named, finest first."""

PRIOR_KNOWN = 0.5
CAREFUL_RATE = 0.0007
"""In careful mode this share of the held-out shots of unknown cameras is named. Far less than the 2 % that it is to keep to: most of
these shots are degraded or have few patches, and untouched photos are named more often."""

FEWEST_PHOTOS = 30
"""Held-out photos below which nothing is calibrated: a probability needs something to stand on."""

_HALVES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_LARGEST_LAPSE = 0.3

Floats = NDArray[np.float64]
Groups = Mapping[Level, Sequence[str]]
"""What each camera of a bundle is called at each level of NAMING, in label order: its own name, its family's, its maker's."""


@dataclass(frozen=True)
class Calibration:
    """How the evidence of a photo becomes probabilities, what that stands on, and from which probability on a name is given."""

    half: float  # patches of which the evidence counts half
    scale: float  # of the evidence, before the softmax
    bias: float
    weights: tuple[float, float]  # of the nearness and of how far the largest evidence is ahead
    photos: int  # held-out photos of known cameras behind it
    foreign: int  # photos of cameras that were not taught behind it
    modes: dict[Mode, dict[Level, float]]  # smallest probability that is named, by mode and level
    lapse: float = 0.0  # share of photos of known cameras whose evidence is for just any camera

    @property
    def limit(self) -> float:
        """The largest log10 likelihood ratio that so many photos can support."""
        return math.log10(max(1, min(self.photos, self.foreign)))

    def probabilities(self, evidence: Floats, n_patches: int, nearness: float | None = None) -> Floats:
        """(n_cameras,) evidence of a photo -> (n_cameras,) probabilities; their sum falls short of 1 by the unknown."""
        near = None if nearness is None else np.array([nearness])
        chances: Floats = probabilities(self, evidence[None], np.array([n_patches]), near)[0]
        return chances

    def log10_lr(self, probability: float, n_cameras: int) -> float:
        """log10 of P(evidence | this camera) / P(evidence | another camera), cut off at what the calibration photos support."""
        return float(np.clip(likelihood_ratios(np.array([probability]), n_cameras)[0], -self.limit, self.limit))


@dataclass(frozen=True)
class Measured:
    """Evidence of photos that no head had seen."""

    evidence: Floats  # (n, n_cameras)
    cameras: NDArray[np.int64]  # (n,) the camera of each, -1 where it was not taught
    n_patches: NDArray[np.int64]  # (n,)
    photos: NDArray[np.int64]  # (n,) which photo; degraded copies share the number of theirs
    nearness: Floats | None = None  # (n,)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether the photo's camera was taught."""
        known: NDArray[np.bool_] = self.cameras >= 0
        return known


def read_calibration(document: dict[str, Any] | None) -> Calibration | None:
    """A calibration as a manifest has it; raises KeyError, TypeError or ValueError where it is none."""
    if document is None:
        return None
    if not isinstance(document, dict):
        raise TypeError(f"calibration is {document!r}")
    first, second = document["weights"]
    modes: dict[Mode, dict[Level, float]] = {mode: {level: float(document["modes"][mode][level]) for level in NAMING} for mode in MODES}
    numbers = {name: float(document[name]) for name in ("half", "scale", "bias")}
    counts = {name: int(document[name]) for name in ("photos", "foreign")}
    lapse = float(document.get("lapse", 0.0))  # older bundles have none
    return Calibration(**{**document, **numbers, **counts, "weights": (float(first), float(second)), "modes": modes, "lapse": lapse})


def probabilities(calibration: Calibration, evidence: Floats, n_patches: NDArray[np.int64], nearness: Floats | None = None) -> Floats:
    """As `Calibration.probabilities` for many photos: (n, n_cameras)."""
    weighed = _weigh_down(evidence, n_patches, calibration.half)
    known = calibration.bias + _traits(weighed, nearness) @ np.array(calibration.weights)
    found: Floats = _chances(weighed, calibration.scale, calibration.lapse) * np.exp(-np.logaddexp(0, -known))[:, None]  # sigmoid
    return found


def likelihood_ratios(probability: Floats, n_cameras: int) -> Floats:
    """Posterior odds over prior odds as log10, any shape; not cut off."""
    prior = PRIOR_KNOWN / n_cameras
    sure = np.clip(probability, 1e-12, 1 - 1e-12)
    ratios: Floats = np.log10(sure / (1 - sure)) - math.log10(prior / (1 - prior))
    return ratios


def fit_calibration(measured: Measured, groups: Groups) -> Calibration | None:
    """Fit on held-out photos; None where there are fewer than FEWEST_PHOTOS of known or of foreign cameras, or less than 3 cameras."""
    return fit_together([(measured, groups)])


def fit_together(parts: Sequence[tuple[Measured, Groups]]) -> Calibration | None:
    """One calibration for several heads, each measured by itself, with the names of its own cameras; as `fit_calibration`."""
    known, foreign = (sum(counts) for counts in zip(*(_photos(measured) for measured, _ in parts), strict=True))
    if min(known, foreign) < FEWEST_PHOTOS or min(measured.evidence.shape[1] for measured, _ in parts) < 3:
        return None
    fits = [_fit([measured for measured, _ in parts], half) for half in _HALVES]
    best = min(fits, key=lambda fit: sum(_loss(fit, measured) for measured, _ in parts))
    best = replace(best, photos=known, foreign=foreign)
    return replace(best, modes={mode: _thresholds(best, parts, mode) for mode in MODES})


def _photos(measured: Measured) -> tuple[int, int]:
    """How many photos of known cameras there are, and how many of others; copies of a photo do not count."""
    known = measured.known
    return len(np.unique(measured.photos[known])), len(np.unique(measured.photos[~known]))


def _fit(parts: Sequence[Measured], half: float) -> Calibration:
    from scipy.optimize import minimize
    from sklearn.linear_model import LogisticRegression

    weighed = [_weigh_down(measured.evidence, measured.n_patches, half) for measured in parts]

    def surprise(at: Floats) -> float:
        return float(np.mean([_surprise(own, part, math.exp(at[0]), at[1]) for own, part in zip(weighed, parts, strict=True)]))

    spread = float(np.mean([own.std(axis=1).mean() for own in weighed]))  # evidence has no unit: where to begin, and how far to go
    begin = -math.log(spread + 1e-6)
    bounds = [(begin - 5, begin + 5), (0, _LARGEST_LAPSE)]
    log_scale, lapse = minimize(surprise, (begin, _LARGEST_LAPSE / 10), method="L-BFGS-B", bounds=bounds).x.tolist()
    known = np.concatenate([measured.known for measured in parts])
    traits = np.concatenate([_traits(own, part.nearness) for own, part in zip(weighed, parts, strict=True)])
    spread = traits.std(axis=0) + 1e-6  # nor must the regularisation depend on that unit
    detector = LogisticRegression(C=10, class_weight="balanced").fit(traits / spread, known)
    first, second = (float(weight) for weight in detector.coef_[0] / spread)
    return Calibration(half, math.exp(log_scale), float(detector.intercept_[0]), (first, second), 0, 0, {}, lapse)


def _surprise(weighed: Floats, measured: Measured, scale: float, lapse: float) -> float:
    """Mean negative log probability of the true cameras of known photos."""
    chance = _chances(weighed[measured.known], scale, lapse)[np.arange(measured.known.sum()), measured.cameras[measured.known]]
    return float(-np.log(chance + 1e-12).mean())


def _loss(calibration: Calibration, measured: Measured) -> float:
    """Mean surprise at what was so, known and foreign photos counting equally."""
    found = probabilities(calibration, measured.evidence, measured.n_patches, measured.nearness)
    known = measured.known
    named = found[known, measured.cameras[known]]
    other = 1 - found[~known].sum(axis=1)
    return float(-np.log(named + 1e-12).mean() - np.log(other + 1e-12).mean())


def _thresholds(calibration: Calibration, parts: Sequence[tuple[Measured, Groups]], mode: Mode) -> dict[Level, float]:
    """Guess always names a model, balanced what is more likely than not, careful what is hardly ever said of a foreign photo."""
    if mode == "guess":
        return dict.fromkeys(NAMING, 0.0)
    if mode == "balanced":
        return dict.fromkeys(NAMING, 0.5)
    foreign = [(_of(measured, ~measured.known), groups) for measured, groups in parts]
    found = [(probabilities(calibration, own.evidence, own.n_patches, own.nearness), groups) for own, groups in foreign]
    return {
        level: _rarely(np.concatenate([group_share(chances, groups[level]) for chances, groups in found]), CAREFUL_RATE)
        for level in NAMING
    }


def _of(measured: Measured, keep: NDArray[np.bool_]) -> Measured:
    near = None if measured.nearness is None else measured.nearness[keep]
    return Measured(measured.evidence[keep], measured.cameras[keep], measured.n_patches[keep], measured.photos[keep], near)


def group_share(found: Floats, names: Sequence[str]) -> Floats:
    """(n,) the probability of everything in each photo that is called as its best camera is; `names` (n_cameras,) of one level."""
    members = _members(tuple(names))
    share: Floats = np.where(members[None] == members[found.argmax(axis=1)][:, None], found, 0).sum(axis=1)
    return share


@cache
def _members(names: tuple[str, ...]) -> NDArray[np.int64]:
    """(n_cameras,) a number for each name."""
    return np.unique(names, return_inverse=True)[1]


def _rarely(values: Floats, rate: float) -> float:
    """A threshold that at most `rate` of the values reach; at least one half."""
    allowed = math.floor(rate * len(values))
    return max(0.5, float(np.nextafter(np.sort(values)[::-1][allowed], 1)))


def _weigh_down(evidence: Floats, n_patches: NDArray[np.int64], half: float) -> Floats:
    weighed: Floats = evidence * (n_patches / (n_patches + half))[:, None]
    return weighed


def _traits(weighed: Floats, nearness: Floats | None) -> Floats:
    """(n, 2): the nearness, or the largest evidence without one, and how far the largest evidence is ahead of the next."""
    second, first = np.sort(weighed, axis=1)[:, -2:].T
    return np.stack([first if nearness is None else nearness, first - second], axis=1)


def _chances(weighed: Floats, scale: float, lapse: float) -> Floats:
    """(n, n_cameras) of known photos: which camera it is."""
    chances: Floats = (1 - lapse) * _softmax(scale * weighed) + lapse / weighed.shape[1]
    return chances


def _softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
