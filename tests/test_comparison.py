"""Comparing mean features: the ratio against densities computed in full, the fit and the calibration against known truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.linalg import eigh
from scipy.stats import multivariate_normal

from camtrace.comparison import (
    COMPARISON,
    Comparison,
    Floats,
    calibrate,
    fit_comparison,
    from_tensors,
    mean_features,
    pairs_of,
    raw_ratios,
    to_tensors,
)

MEAN = np.array([1.0, -2.0, 0.5])
WITHIN = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]])
BETWEEN = np.array([[4.0, -1.0, 0.0], [-1.0, 2.0, 0.5], [0.0, 0.5, 1.5]])


def known(mean: Floats = MEAN, within: Floats = WITHIN, between: Floats = BETWEEN) -> Comparison:
    """The comparison of two known Gaussians."""
    variances, directions = eigh(between, within)
    return Comparison(mean, directions, variances)


def drawn(
    counts: list[int], *, seed: int, mean: Floats = MEAN, within: Floats = WITHIN, between: Floats = BETWEEN
) -> tuple[Floats, np.ndarray]:
    """Mean features of photos, and their cameras, as the two Gaussians have them."""
    rng = np.random.default_rng(seed)
    cameras = np.repeat(np.arange(len(counts)), counts)
    centres = rng.multivariate_normal(mean, between, len(counts))
    return centres[cameras] + rng.multivariate_normal(np.zeros(len(mean)), within, len(cameras)), cameras


def densities(first: Floats, second: Floats) -> float:
    """The natural log likelihood ratio of two photos, from densities in twice the dimension."""
    total = WITHIN + BETWEEN
    together = multivariate_normal(np.tile(MEAN, 2), np.block([[total, BETWEEN], [BETWEEN, total]]))
    apart = multivariate_normal(MEAN, total)
    return float(together.logpdf(np.concatenate([first, second])) - apart.logpdf(first) - apart.logpdf(second))


def test_ratio_is_that_of_the_densities() -> None:
    first, second = (np.random.default_rng(seed).normal(0, 3, (5, 3)) for seed in (1, 2))
    expected = [[densities(one, two) for two in second] for one in first]
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(raw_ratios(known(), first, second), expected, atol=1e-9)


def test_ratio_does_not_depend_on_the_order() -> None:
    first, second = (np.random.default_rng(seed).normal(0, 3, (7, 3)) for seed in (3, 4))
    np.testing.assert_allclose(raw_ratios(known(), first, second), raw_ratios(known(), second, first).T, atol=1e-12)


def test_mean_features_are_kept_in_double_precision() -> None:
    features = np.array([[1, 2], [3, 5]], np.float32)
    assert mean_features(features).tolist() == [2.0, 3.5]
    assert mean_features(np.full((3, 1), 1 / 3, np.float16)).dtype == np.float64


def test_fit_finds_the_model_that_drew_the_photos() -> None:
    within = 2 * np.eye(3)  # alike in all directions, so that shrinking it changes nothing
    means, cameras = drawn([6] * 800, seed=5, within=within)
    fitted, truth = fit_comparison(means, cameras), known(within=within)
    np.testing.assert_allclose(np.sort(fitted.between), truth.between, rtol=0.15)
    fresh, _ = drawn([2] * 40, seed=6, within=within)
    np.testing.assert_allclose(raw_ratios(fitted, fresh, fresh), raw_ratios(truth, fresh, fresh), rtol=0.1, atol=0.2)


def test_few_photos_a_camera_do_not_look_like_differences_between_cameras() -> None:
    means, cameras = drawn([2] * 3000, seed=7, mean=np.zeros(2), within=np.eye(2), between=np.diag([1.0, 0.0]))
    between = fit_comparison(means, cameras).between
    assert between[0] == pytest.approx(1, abs=0.15)
    assert 0 < between[1] < 0.1  # 0.5 if what is left of the photos' own variance were not taken off


def test_every_camera_counts_equally() -> None:
    means = np.array([[0.0], [2.0], [11.0], [9.0], [10.0], [10.0], [10.0], [10.0]])
    assert fit_comparison(means, np.array([0, 0, 1, 1, 1, 1, 1, 1])).mean.tolist() == [5.5]


def test_directions_are_fewer_than_cameras() -> None:
    means, cameras = drawn([4, 4, 3], seed=8, mean=np.zeros(20), within=np.eye(20), between=np.eye(20))
    fitted = fit_comparison(means, cameras)
    assert fitted.directions.shape == (20, 2)
    assert np.isfinite(raw_ratios(fitted, means, means)).all()


@pytest.mark.parametrize("cameras", [[0, 0, 0], [0, 1, 2]])
def test_too_little_to_fit(cameras: list[int]) -> None:
    with pytest.raises(ValueError, match="at least 2, and 1 with several, are needed"):
        fit_comparison(np.eye(3), np.array(cameras))


def test_pairs_are_of_different_photos_and_given_once() -> None:
    photos = np.array([10, 10, 11, 12])  # the first two are copies of one photo
    pairs, same = pairs_of(np.array([0, 0, 0, 1]), photos)
    assert pairs.T.tolist() == [[0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert same.tolist() == [1, 0, 1, 0, 0]
    assert (photos[pairs[0]] != photos[pairs[1]]).all()


@pytest.fixture(scope="module")
def raw() -> tuple[Floats, np.ndarray]:
    """Ratios of pairs by the model that drew the photos, and whether the camera is the same."""
    means, cameras = drawn([3] * 150, seed=9)
    pairs, same = pairs_of(cameras, np.arange(len(cameras)))
    return raw_ratios(known(), means, means)[pairs[0], pairs[1]], same


def test_a_true_model_needs_no_calibration(raw: tuple[Floats, np.ndarray]) -> None:
    line = calibrate(known(), *raw, photos=450, cameras=150)
    assert line.slope == pytest.approx(1, abs=0.1)
    assert line.offset == pytest.approx(0, abs=0.15)
    assert (line.photos, line.cameras) == (450, 150)


def test_calibration_mends_a_model_that_is_too_sure(raw: tuple[Floats, np.ndarray]) -> None:
    ratios, same = raw
    line, plain = (calibrate(known(), given, same, photos=450, cameras=150) for given in (4 * ratios + 2, ratios))
    assert line.slope == pytest.approx(plain.slope / 4, rel=0.01)
    assert line.offset == pytest.approx(plain.offset - 2 * line.slope, abs=0.01)


def test_a_comparison_worse_than_chance_is_refused(raw: tuple[Floats, np.ndarray]) -> None:
    ratios, same = raw
    with pytest.raises(ValueError, match="pairs of one camera have no higher ratios than the others"):
        calibrate(known(), -ratios, same, photos=450, cameras=150)


def test_log10_lr_is_on_the_line_and_capped_by_the_photos() -> None:
    rare, opposite = MEAN + 20, MEAN - 20
    raw = densities(rare, rare)
    line = replace(known(), slope=0.5, offset=0.25)
    many, few = (replace(line, photos=photos) for photos in (10**9, 100))
    assert many.log10_lr(MEAN, MEAN) == pytest.approx((0.5 * densities(MEAN, MEAN) + 0.25) / math.log(10))
    assert raw / math.log(10) > 10
    assert (few.log10_lr(rare, rare), few.log10_lr(rare, opposite)) == (2, -2)
    assert few.log10_lr(MEAN, MEAN) == many.log10_lr(MEAN, MEAN)
    assert line.log10_lr(rare, rare) == line.log10_lr(rare, opposite) == 0  # nothing stands behind it


def test_round_trip_through_safetensors() -> None:
    comparison = replace(known(), slope=0.75, offset=-0.5, photos=1449, cameras=46)
    assert not comparison.directions.flags.c_contiguous  # safetensors would write it transposed
    tensors = load(save(to_tensors(comparison)))
    assert all(name.startswith(COMPARISON) for name in tensors)
    back = from_tensors({**tensors})
    np.testing.assert_allclose(raw_ratios(back, np.eye(3), np.eye(3)), raw_ratios(comparison, np.eye(3), np.eye(3)), atol=1e-5)
    assert (back.slope, back.offset, back.photos, back.cameras) == (0.75, -0.5, 1449, 46)
    del tensors[COMPARISON + "line"]
    with pytest.raises(KeyError, match="comparison_line"):
        from_tensors(tensors)
