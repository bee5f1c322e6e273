"""What is done to photos by name: true sizes, values and tables, and names that are refused."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn, idctn

from camtrace.degrade import DEGRADATIONS, FORMS, SP_CUP, degradation, degrade_at_random
from camtrace.types import CamtraceError
from made import noise

PHOTO = noise(61, 83, seed=1, low=20, high=236)
SMOOTH = np.array(Image.fromarray(noise(9, 12, seed=2)).resize((96, 72), Image.Resampling.BICUBIC))


_LUMA_STEPS = np.array(  # ITU-T T.81, table K.1: what libjpeg scales to a quality
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def _save_by_hand(grey: NDArray[np.uint8], quality: int) -> NDArray[np.int64]:
    """A grey photo (h, w, 3), sides divisible by 8, through the JPEG of the standard in floating point: (h, w)."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((_LUMA_STEPS * scale + 50) // 100, 1, 255)
    height, width = grey.shape[:2]
    blocks = grey[..., 0].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3) - 128.0
    coefficients = np.round(dctn(blocks, axes=(2, 3), norm="ortho") / steps) * steps
    saved = idctn(coefficients, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(height, width) + 128
    values: NDArray[np.int64] = np.clip(np.rint(saved), 0, 255).astype(np.int64)
    return values


def test_the_list_has_the_eight_of_the_cup_and_what_users_meet() -> None:
    assert len(SP_CUP) == len(set(SP_CUP)) == 8
    assert set(DEGRADATIONS) - set(SP_CUP) == {"native", "jpeg 95", "jpeg 80", "shift 1", "shift 4", "shift 7", "messenger"}


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_each_gives_a_photo_the_same_every_time_and_leaves_its_input_alone(name: str) -> None:
    before = PHOTO.copy()
    first, second = DEGRADATIONS[name](PHOTO), DEGRADATIONS[name](PHOTO)
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert first.flags.c_contiguous
    assert np.array_equal(first, second)
    assert np.array_equal(PHOTO, before)
    assert np.array_equal(first, PHOTO) == (name == "native")


@pytest.mark.parametrize("name", [*DEGRADATIONS, "resize 0.5 + jpeg 80"])
def test_each_can_be_sent_to_other_processes(name: str) -> None:
    assert ForkingPickler.dumps(degradation(name))


@pytest.mark.parametrize("quality", [70, 75, 80, 90, 95, 98])
def test_jpeg_is_what_an_accurate_encoder_saves_with_the_standard_tables(quality: int) -> None:
    grey = SMOOTH[..., :1].repeat(3, axis=2)
    saved = degradation(f"jpeg {quality}")(grey)
    # 0.12 to 0.16 by rounding; another quality gives 0.28 to 0.83, a fast transform 0.47 to 0.82
    assert np.abs(saved - _save_by_hand(grey, quality)[..., None]).mean() < 0.25


def test_jpeg_keeps_one_colour_for_each_2x2_pixels() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (150, 60, 60)  # two colours of nearly the same luma, a column each
    stripes[:, 1::2] = (60, 104, 60)
    saved = degradation("jpeg 100")(stripes).astype(int)
    assert np.abs(saved[:, 4:-4:2, 0] - saved[:, 5:-4:2, 0]).max() <= 12  # 90 apart before
    pairs = stripes.repeat(2, axis=1)
    kept = degradation("jpeg 100")(pairs).astype(int)
    assert np.abs(kept[:, 8:-8:4, 0] - kept[:, 10:-8:4, 0]).min() > 40


def test_jpeg_keeps_odd_sizes_and_loses_more_at_lower_quality() -> None:
    odd = SMOOTH[:71, :93]
    losses = [np.abs(degradation(f"jpeg {q}")(odd).astype(int) - odd).mean() for q in (95, 80, 50, 10)]
    assert losses == sorted(losses)
    assert losses[0] < 0.5 * losses[-1]


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [("resize 0.5", 31, 42), ("resize 0.8", 49, 66), ("resize 1.5", 92, 125), ("resize 2.0", 122, 166), ("resize 2", 122, 166)],
)
def test_resize_gives_these_sizes(name: str, height: int, width: int) -> None:
    assert degradation(name)(PHOTO).shape == (height, width, 3)  # 61 x 83, halves up


def test_resize_keeps_an_even_grey_and_at_least_one_pixel() -> None:
    grey = np.full((40, 30, 3), 90, np.uint8)
    assert np.unique(degradation("resize 0.8")(grey)).tolist() == [90]
    assert degradation("resize 0.1")(grey[:3, :2]).shape == (1, 1, 3)


def test_resize_is_bicubic_and_smooths_before_it_shrinks() -> None:
    step = np.zeros((32, 32, 3), np.uint8)
    step[:, 16:] = 200
    assert degradation("resize 2.0")(step).max() > 200  # a bicubic kernel overshoots at an edge, a linear one does not
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = degradation("resize 0.5")(stripes)[:, 4:-4]
    assert np.abs(inner.astype(int) - 127).max() <= 2  # without smoothing, 0 or 255


def test_gamma_on_known_values() -> None:
    values = np.array([[[0, 64, 128], [192, 254, 255]]], np.uint8)
    assert degradation("gamma 0.8")(values).tolist() == [[[0, 84, 147], [203, 254, 255]]]
    assert degradation("gamma 1.2")(values).tolist() == [[[0, 49, 112], [181, 254, 255]]]
    assert np.array_equal(degradation("gamma 1")(PHOTO), PHOTO)


@given(by=st.integers(1, 7))
def test_shift_moves_pixels_and_changes_none(by: int) -> None:
    moved = degradation(f"shift {by}")(PHOTO)
    assert moved.shape == (61 - by, 83 - by, 3)
    assert np.array_equal(moved, PHOTO[by:, by:])
    assert np.array_equal(moved[0, 0], PHOTO[by, by])


def test_shift_of_a_photo_too_small_says_so() -> None:
    assert degradation("shift 7")(PHOTO[:8, :8]).shape == (1, 1, 3)
    with pytest.raises(CamtraceError, match="83x7 pixels cannot lose its first 7 rows"):
        degradation("shift 7")(PHOTO[:7])


def test_a_chain_is_its_steps_from_left_to_right() -> None:
    small, saved = degradation("resize 0.5"), degradation("jpeg 80")
    chain = degradation("resize 0.5 + jpeg 80")(SMOOTH)
    assert np.array_equal(chain, saved(small(SMOOTH)))
    assert not np.array_equal(chain, small(saved(SMOOTH)))
    assert np.array_equal(degradation("native + gamma 0.8")(SMOOTH), degradation("gamma 0.8")(SMOOTH))


def test_messenger_shrinks_and_saves_twice() -> None:
    messenger = degradation("messenger")(SMOOTH)
    assert messenger.shape == (54, 72, 3)
    assert np.array_equal(messenger, degradation("resize 0.75 + jpeg 75 + jpeg 80")(SMOOTH))
    assert np.array_equal(degradation("messenger + shift 4")(SMOOTH), messenger[4:, 4:])


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "blur 2",
            "jpeg",
            "jpeg 0",
            "jpeg 101",
            "jpeg 80.5",
            "jpeg 80.0",
            "jpeg -5",
            "JPEG 80",
            " jpeg 80",
            "jpeg  80",
            "jpeg ٨٠",
        ),
        *("resize 0", "resize 0.09", "resize 4.1", "resize nan", "resize inf", "resize 1e0", "gamma 0", "gamma 11"),
        *("shift 0", "shift 8", "shift 1.5", "jpeg 80 +", "jpeg 80 + ", "jpeg 80+gamma 1.2", "jpeg 80 + blur 2"),
    ],
)
def test_other_names_are_refused_with_the_forms_there_are(name: str) -> None:
    with pytest.raises(CamtraceError) as refusal:
        degradation(name)
    assert FORMS in str(refusal.value)
    assert all(kind in FORMS for kind in ("native", "messenger", "jpeg", "resize", "gamma", "shift"))


def test_numbers_out_of_range_say_the_range() -> None:
    with pytest.raises(CamtraceError, match=r"'jpeg 101': jpeg takes a whole number from 1 to 100"):
        degradation("resize 0.5 + jpeg 101")


# ---- at random


def at_random(pixels: NDArray[np.uint8], seed: int, *, smallest: int = 64) -> NDArray[np.uint8]:
    return degrade_at_random(pixels, np.random.default_rng(seed), smallest=smallest)


LARGE = np.array(Image.fromarray(noise(40, 30, seed=3, low=20, high=236)).resize((120, 160), Image.Resampling.BICUBIC))


def test_at_random_is_the_same_under_a_seed_and_leaves_its_input_alone() -> None:
    before = LARGE.copy()
    for seed in range(60):
        first = at_random(LARGE, seed)
        assert first.dtype == np.uint8
        assert first.ndim == 3
        assert first.shape[2] == 3
        assert np.array_equal(first, at_random(LARGE, seed))
        assert np.array_equal(LARGE, before)
    assert len({at_random(LARGE, seed).tobytes() for seed in range(60)}) == 60


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (70, 66), (100, 129)])
def test_at_random_no_side_becomes_smaller_than_asked(size: tuple[int, int]) -> None:
    shapes = [at_random(noise(*size), seed).shape for seed in range(120)]
    assert min(min(shape[:2]) for shape in shapes) >= 64
    assert len(set(shapes)) > 5


def test_at_random_nearly_every_photo_changes_in_one_of_many_ways() -> None:
    changed = [at_random(LARGE, seed) for seed in range(300)]
    assert np.mean([np.array_equal(photo, LARGE) for photo in changed]) < 0.01
    sizes = [photo.shape[0] / LARGE.shape[0] for photo in changed]
    resized = [size for size in sizes if size > 1 or size < 0.9]  # a crop takes 15 of 160 rows at most
    assert 0.25 < len(resized) / 300 < 0.55
    assert min(sizes) < 0.6
    assert max(sizes) > 1.7
    cropped = [size for size in sizes if 0.9 <= size < 1]
    assert 0.08 < len(cropped) / 300 < 0.4
    brighter = [photo.mean() / LARGE.mean() for photo in changed if photo.shape == LARGE.shape]
    assert max(brighter) > 1.05, "gamma below 1"
    assert min(brighter) < 0.95, "gamma above 1"


def test_at_random_most_are_jpegs_at_last() -> None:
    """Chroma that was halved is smooth: neighbours in a row of coloured noise then differ less."""
    coloured = noise(96, 96, seed=4, low=40, high=216)

    def roughness(photo: NDArray[np.uint8]) -> float:
        red_blue = photo[..., 0].astype(float) - photo[..., 2]
        return float(np.abs(np.diff(red_blue, axis=1)).mean())

    smoothed = [roughness(at_random(coloured, seed)) < 0.7 * roughness(coloured) for seed in range(150)]
    assert np.mean(smoothed) > 0.5
