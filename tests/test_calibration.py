"""Probabilities of photos whose truth is known must come true as often as they say, and stand on photos enough."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from camtrace.calibration import (
    CAREFUL_RATE,
    FEWEST_PHOTOS,
    MODES,
    NAMING,
    Calibration,
    Groups,
    Measured,
    fit_calibration,
    fit_together,
    group_share,
    likelihood_ratios,
    probabilities,
    read_calibration,
)

GROUPS: Groups = {
    "model": ("A1", "A2", "A3", "B1", "B2", "C1"),
    "family": ("A1 or A2", "A1 or A2", "A3", "B1", "B2", "C1"),
    "maker": ("A", "A", "A", "B", "B", "C"),
}
N = len(GROUPS["model"])
BY_HAND = Calibration(half=8.0, scale=2.0, bias=-1.0, weights=(1.0, 2.0), photos=400, foreign=50, modes={})
Floats = NDArray[np.float64]


def draw(
    known: int,
    seed: int,
    *,
    foreign: int | None = None,
    lead: float = 2.5,
    loudness: float = 1.0,
    patches: tuple[int, ...] = (32,),
    patch_noise: float = 0.0,
) -> Measured:
    """Photos of known and foreign cameras: normal evidence, `lead` ahead for the true camera, all on a scale `loudness` times as large.

    The noise has variance 1 a photo and `patch_noise` a patch, averaged over the patches.
    """
    rng = np.random.default_rng(seed)
    foreign = known if foreign is None else foreign
    n = known + foreign
    cameras = np.where(np.arange(n) < known, rng.integers(0, N, n), -1)
    n_patches = rng.choice(patches, n)
    evidence = rng.normal(0, 1, (n, N)) * np.sqrt(1 + patch_noise / n_patches)[:, None]
    evidence[np.arange(known), cameras[:known]] += lead
    evidence -= evidence.mean(axis=1, keepdims=True)
    return Measured(loudness * evidence, cameras, n_patches, np.arange(n))


def fitted(measured: Measured) -> Calibration:
    calibration = fit_calibration(measured, GROUPS)
    assert calibration is not None
    return calibration


def found_in(calibration: Calibration, measured: Measured) -> Floats:
    return probabilities(calibration, measured.evidence, measured.n_patches)


def expected_calibration_error(found: Floats, cameras: NDArray[np.int64], bins: int = 10) -> float:
    """How far the probability of the best camera is from how often it is right, a weighted mean over equal bins."""
    best, right = found.max(axis=1), found.argmax(axis=1) == cameras
    cell = np.minimum((best * bins).astype(int), bins - 1)
    gaps = [abs(best[cell == part].mean() - right[cell == part].mean()) * (cell == part).mean() for part in np.unique(cell)]
    return float(np.sum(gaps))


def cllr(log10_lr: Floats, same: NDArray[np.bool_]) -> float:
    """Cost of the log likelihood ratio (Brummer and du Preez 2006), in bits; 1 is what saying nothing costs."""
    ratios = 10**log10_lr
    return float((np.log2(1 + 1 / ratios[same]).mean() + np.log2(1 + ratios[~same]).mean()) / 2)


def own_camera(measured: Measured) -> NDArray[np.bool_]:
    """(n, N) whether the camera took the photo."""
    own: NDArray[np.bool_] = measured.cameras[:, None] == np.arange(N)
    return own


# ---- what a calibration computes


def test_probabilities_by_hand() -> None:
    evidence = np.array([-3.0, 2.0, 1.0])
    powers = [math.exp(value) for value in (-3.0, 2.0, 1.0)]  # 8 patches of half 8: half the evidence, at a scale of 2
    known = 1 / (1 + math.exp(-(-1 + 1.0 * 1.0 + 2.0 * 0.5)))  # largest 1.0, ahead by 0.5
    expected = [power / sum(powers) * known for power in powers]
    np.testing.assert_allclose(BY_HAND.probabilities(evidence, 8), expected, rtol=1e-12)
    many = probabilities(BY_HAND, np.stack([evidence, evidence[::-1]]), np.array([8, 8]))
    np.testing.assert_allclose(many, [expected, expected[::-1]], rtol=1e-12)


def test_a_lapse_is_spread_over_all_cameras_alike() -> None:
    evidence = np.array([-3.0, 2.0, 1.0])
    without, known = BY_HAND.probabilities(evidence, 8), BY_HAND.probabilities(evidence, 8).sum()
    lapsing = replace(BY_HAND, lapse=0.3).probabilities(evidence, 8)
    np.testing.assert_allclose(lapsing, 0.7 * without + 0.1 * known, rtol=1e-12)


def test_likelihood_ratio_by_hand() -> None:
    # Of 4 known cameras each has a prior of 1 in 8: odds of 1 to 7, and even odds afterwards are 7 times as much.
    assert BY_HAND.log10_lr(0.5, 4) == pytest.approx(math.log10(7))
    assert BY_HAND.log10_lr(1 / 8, 4) == pytest.approx(0, abs=1e-12)
    assert BY_HAND.log10_lr(0.05, 46) == pytest.approx(math.log10(0.05 / 0.95 * 91))
    np.testing.assert_allclose(10 ** likelihood_ratios(np.array([0.5, 0.75]), 4), [7, 21])


@pytest.mark.parametrize(("photos", "foreign", "limit"), [(400, 50, 50), (50, 400, 50), (1000, 1000, 1000), (1, 1, 1)])
def test_likelihood_ratio_never_exceeds_what_the_photos_support(photos: int, foreign: int, limit: int) -> None:
    calibration = replace(BY_HAND, photos=photos, foreign=foreign)
    assert calibration.limit == pytest.approx(math.log10(limit))
    for probability in (1.0, 1 - 1e-9, 0.9999):
        assert calibration.log10_lr(probability, 20) == pytest.approx(math.log10(limit))
    for probability in (0.0, 1e-9):
        assert calibration.log10_lr(probability, 20) == pytest.approx(-math.log10(limit))


def test_share_of_a_group_is_that_of_all_it_names() -> None:
    found = np.array([[0.3, 0.2, 0.1, 0.05, 0.05, 0.1], [0.1, 0.0, 0.2, 0.3, 0.25, 0.0]])
    np.testing.assert_allclose(group_share(found, GROUPS["model"]), [0.3, 0.3])
    np.testing.assert_allclose(group_share(found, GROUPS["family"]), [0.5, 0.3])
    np.testing.assert_allclose(group_share(found, GROUPS["maker"]), [0.6, 0.55])


evidences = st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=8).map(lambda values: np.array(values) - np.mean(values))
weights = st.tuples(st.floats(0, 50), st.floats(0, 50))
calibrations = st.builds(
    Calibration,
    half=st.sampled_from([0.0, 1.0, 8.0]),
    scale=st.floats(0.01, 100),
    bias=st.floats(-50, 50),
    weights=weights,
    photos=st.just(100),
    foreign=st.just(100),
    modes=st.just({}),
    lapse=st.sampled_from([0.0, 0.03, 0.3]),
)


@given(calibration=calibrations, evidence=evidences, n_patches=st.integers(1, 100))
def test_probabilities_are_shares_of_at_most_one_and_follow_the_evidence(
    calibration: Calibration, evidence: Floats, n_patches: int
) -> None:
    found = calibration.probabilities(evidence, n_patches)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum() <= 1 + 1e-9
    assert (np.diff(found[np.argsort(evidence)]) >= 0).all()
    assert np.isfinite(calibration.log10_lr(float(found.max()), len(found)))


@given(calibration=calibrations, evidence=evidences, fewer=st.integers(1, 50), more=st.integers(0, 50))
def test_fewer_patches_never_make_it_surer(calibration: Calibration, evidence: Floats, fewer: int, more: int) -> None:
    few, many = (calibration.probabilities(evidence, n).max() for n in (fewer, fewer + more))
    assert few <= many + 1e-12


@given(calibration=calibrations, evidence=evidences, more=st.floats(0, 10))
def test_more_evidence_for_the_best_camera_never_makes_it_less_probable(
    calibration: Calibration, evidence: Floats, more: float
) -> None:
    best = int(evidence.argmax())
    raised = evidence + more * (np.arange(len(evidence)) == best)
    assert calibration.probabilities(evidence, 32)[best] <= calibration.probabilities(raised, 32)[best] + 1e-12


# ---- what is fitted


def test_probabilities_come_true() -> None:
    calibration, fresh = fitted(draw(1500, 0, loudness=0.2)), draw(4000, 1, loudness=0.2)
    found = found_in(calibration, fresh)
    assert found.sum(axis=1).max() < 1
    assert expected_calibration_error(found, fresh.cameras) < 0.03
    assert found.sum(axis=1).mean() == pytest.approx(0.5, abs=0.03)  # half of them are of known cameras


def test_photos_with_the_evidence_of_another_camera_do_not_make_the_others_less_sure() -> None:
    """Of one photo in ten the evidence is for just any camera, as clear as that of the others."""

    def strayed(seed: int) -> Measured:
        measured, rng = draw(3000, seed, lead=8), np.random.default_rng(seed)
        stray = measured.known & (rng.random(len(measured.cameras)) < 0.1)
        return replace(measured, cameras=np.where(stray, rng.integers(0, N, len(stray)), measured.cameras))

    calibration, fresh = fitted(strayed(0)), strayed(1)
    assert calibration.lapse == pytest.approx(0.1, abs=0.02)
    assert fitted(draw(3000, 0, lead=8)).lapse < 0.005, "none where none strays"
    assert expected_calibration_error(found_in(calibration, fresh), fresh.cameras) < 0.03


def test_likelihood_ratios_say_more_than_nothing_and_more_than_raw_evidence() -> None:
    calibration, fresh = fitted(draw(1500, 0, loudness=5)), draw(4000, 1, loudness=5)
    same = own_camera(fresh)
    found = np.array([calibration.log10_lr(float(value), N) for value in found_in(calibration, fresh).ravel()]).reshape(same.shape)
    raw = fresh.evidence / math.log(10)  # as if it were the logarithm of a likelihood ratio
    assert cllr(found, same) < 0.5
    assert cllr(found, same) < 0.5 * cllr(raw, same)
    assert np.abs(found).max() <= math.log10(1500) + 1e-9


def test_the_scale_of_the_evidence_does_not_matter() -> None:
    quiet, loud = (found_in(fitted(draw(100, 0, loudness=by)), draw(500, 1, loudness=by)) for by in (0.05, 10))
    np.testing.assert_allclose(quiet, loud, atol=0.005)


def test_how_many_foreign_photos_there_were_does_not_matter() -> None:
    """The probabilities are for one known photo in two, whatever the share was in the data."""
    fresh = draw(1000, 9)
    even, uneven = fitted(draw(2000, 0)), fitted(draw(2000, 0, foreign=300))
    np.testing.assert_allclose(found_in(even, fresh), found_in(uneven, fresh), atol=0.06)


def test_few_patches_count_less_where_they_are_less_reliable() -> None:
    """Noise of variance 1 a photo and v a patch: the best weight of n patches is n / (n + v)."""
    noisy = fitted(draw(4000, 0, patches=(1, 4, 32), patch_noise=8))
    assert noisy.half in (4, 8)
    assert fitted(draw(4000, 0, patches=(1, 4, 32))).half == 0
    fresh = draw(4000, 1, patches=(1,), patch_noise=8)
    assert expected_calibration_error(found_in(noisy, fresh), fresh.cameras) < 0.05


def test_several_heads_share_one_calibration() -> None:
    """Each has its own cameras; the photos behind all of them count, and careful holds over all of them together."""
    fewer: Groups = {level: names[:4] for level, names in GROUPS.items()}
    first, last = draw(200, 0), draw(200, 1)
    second = Measured(last.evidence[:, :4], np.where(last.cameras < 4, last.cameras, -1), last.n_patches, last.photos)
    together = fit_together([(first, GROUPS), (second, fewer)])
    assert together is not None
    assert together.photos == 200 + second.known.sum()
    assert together.foreign == 200 + (~second.known).sum()
    for level in NAMING:
        shares = [
            group_share(found_in(together, only(part, ~part.known)), groups[level])
            for part, groups in ((first, GROUPS), (second, fewer))
        ]
        assert (np.concatenate(shares) >= together.modes["careful"][level]).mean() <= CAREFUL_RATE
    assert fit_together([(first, GROUPS)]) == fit_calibration(first, GROUPS)
    assert fit_together([(draw(20, 2), GROUPS)]) is None
    assert fit_together([(draw(20, 2), GROUPS), (draw(20, 3), GROUPS)]) is not None, "20 and 20 photos are enough"
    two = Measured(first.evidence[:, :2], np.minimum(first.cameras, 1), first.n_patches, first.photos)
    assert fit_together([(first, GROUPS), (two, {level: names[:2] for level, names in GROUPS.items()})]) is None


def only(measured: Measured, keep: NDArray[np.bool_]) -> Measured:
    return Measured(measured.evidence[keep], measured.cameras[keep], measured.n_patches[keep], measured.photos[keep])


@pytest.mark.parametrize("short_of", ["known", "foreign"])
def test_too_few_photos_give_no_calibration(short_of: str) -> None:
    numbers = {"known": (FEWEST_PHOTOS - 1, 100), "foreign": (100, FEWEST_PHOTOS - 1)}[short_of]
    few = draw(numbers[0], 0, foreign=numbers[1])
    assert fit_calibration(few, GROUPS) is None
    enough = draw(max(FEWEST_PHOTOS, numbers[0]), 0, foreign=max(FEWEST_PHOTOS, numbers[1]))
    assert fit_calibration(enough, GROUPS) is not None
    copied = Measured(*(np.concatenate([getattr(few, part)] * 7) for part in ("evidence", "cameras", "n_patches", "photos")))
    assert fit_calibration(copied, GROUPS) is None, "copies of a photo are no more photos"
    nothing = only(few, np.zeros(len(few.cameras), bool))
    assert fit_calibration(nothing, GROUPS) is None


def test_two_cameras_give_no_calibration() -> None:
    many = draw(200, 0)
    two = Measured(many.evidence[:, :2], np.minimum(many.cameras, 1), many.n_patches, many.photos)
    assert fit_calibration(two, {level: names[:2] for level, names in GROUPS.items()}) is None


def test_photos_behind_it_are_counted_once_with_all_their_copies() -> None:
    measured = draw(60, 0, foreign=40)
    copied = Measured(*(np.concatenate([getattr(measured, part)] * 3) for part in ("evidence", "cameras", "n_patches", "photos")))
    calibration = fitted(copied)
    assert (calibration.photos, calibration.foreign) == (60, 40)
    assert calibration.limit == pytest.approx(math.log10(40))


# ---- what each mode asks


@pytest.mark.parametrize("foreign", [37, 100, 1000, 1999])
def test_careful_names_hardly_any_foreign_photo(foreign: int) -> None:
    measured = draw(500, 4, foreign=foreign)
    calibration = fitted(measured)
    strangers = only(measured, ~measured.known)
    allowed = math.floor(CAREFUL_RATE * foreign)
    for level in NAMING:
        shares = group_share(found_in(calibration, strangers), GROUPS[level])
        needed = calibration.modes["careful"][level]
        assert (shares >= needed).sum() <= allowed
        assert needed == 0.5 or (shares >= needed - 1e-9).sum() > allowed, "and not a hair stricter than that"


def test_careful_holds_on_other_foreign_photos() -> None:
    calibration, fresh = fitted(draw(2000, 4)), draw(4000, 5)
    found = found_in(calibration, fresh)
    named = np.any([group_share(found, GROUPS[level]) >= calibration.modes["careful"][level] for level in NAMING], axis=0)
    assert named[~fresh.known].mean() <= 0.02
    assert named[fresh.known].mean() > 0.1, "it does name photos of known cameras"


def test_guess_asks_for_nothing_balanced_for_more_likely_than_not() -> None:
    calibration = fitted(draw(200, 0))
    assert set(calibration.modes) == set(MODES)
    assert calibration.modes["guess"] == dict.fromkeys(NAMING, 0.0)
    assert calibration.modes["balanced"] == dict.fromkeys(NAMING, 0.5)
    careful = calibration.modes["careful"]
    assert 0.5 <= careful["model"] <= careful["family"] <= careful["maker"] < 1


def test_careful_is_never_laxer_than_balanced() -> None:
    apart = draw(300, 0, lead=40)  # foreign photos hardly reach any probability
    assert fitted(apart).modes["careful"] == dict.fromkeys(NAMING, 0.5)


# ---- in a manifest


def test_round_trip_through_json() -> None:
    calibration = fitted(draw(200, 0))
    document = json.loads(json.dumps(asdict(calibration)))
    assert read_calibration(document) == calibration
    assert read_calibration(None) is None
    older = {name: value for name, value in document.items() if name != "lapse"}
    assert read_calibration(older) == replace(calibration, lapse=0.0), "bundles of earlier versions"


@pytest.mark.parametrize(
    "change",
    [
        {"half": "many"},
        {"scale": None},
        {"bias": [1]},
        {"weights": [1.0]},
        {"weights": 3},
        {"weights": ["a", "b"]},
        {"photos": "some"},
        {"modes": {"careful": dict.fromkeys(NAMING, 0.9)}},
        {"modes": {mode: {"model": 0.5} for mode in MODES}},
        {"modes": None},
        {"lapse": "a few"},
        {"temperature": 1.0},
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, Any]) -> None:
    document = asdict(fitted(draw(60, 0)))
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_calibration({**document, **change})


@pytest.mark.parametrize("document", [3, "x", [1, 2], {}])
def test_what_is_not_even_an_object_is_refused(document: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_calibration(document)
