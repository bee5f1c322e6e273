"""Both rules of choosing patches against a slow reference that looks at one patch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from camtrace.patches import RULES, select_patches
from camtrace.types import Patches, Photo, PhotoError
from made import noise

Pixels = NDArray[np.uint8]


def as_photo(pixels: Pixels) -> Photo:
    return Photo("made.png", "0" * 64, pixels)


def slow_mid_tone(patch: Pixels) -> float:
    samples = [int(sample) for sample in patch.ravel()]
    return -math.inf if 255 in samples else -abs(sum(samples) / len(samples) - 127.5)


def slow_quality(patch: Pixels) -> float:
    channels = [patch[..., channel].astype(np.float64) / 255 for channel in range(3)]
    score = 0.0
    for channel in channels:
        mean, deviation = float(channel.mean()), float(channel.std())
        score += 0.7 * 4 * (mean - mean**2) + 0.3 * (1 - math.exp(-2 * math.log(10) * deviation))
    return score / 3


SLOW = {"mid-tone": slow_mid_tone, "quality": slow_quality}


def slow_select(pixels: Pixels, rule: str, count: int, size: int) -> list[tuple[int, int, float]]:
    """Row, column and score of the best patches; earlier patches of the grid first among equals."""
    height, width = pixels.shape[:2]
    scored = [
        (row, col, SLOW[rule](pixels[row : row + size, col : col + size]))
        for row in range(0, height - size + 1, size)
        for col in range(0, width - size + 1, size)
    ]
    usable = [entry for entry in scored if entry[2] > -math.inf]
    return sorted(usable, key=lambda entry: -entry[2])[:count]


@st.composite
def contents(draw: st.DrawFn) -> Pixels:
    """Photos with flat, dark, bright, noisy and saturated cells, a border that fits no patch, and equal neighbours."""
    height, width = draw(st.integers(64, 200)), draw(st.integers(64, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(0, draw(st.sampled_from([2, 128, 255, 256])), (height, width, 3)).astype(np.uint8)
    for row in range(0, height, 32):
        for col in range(0, width, 32):
            kind = rng.integers(5)
            cell = pixels[row : row + 32, col : col + 32]
            if kind < 2:
                cell[...] = rng.integers(0, 255)
            elif kind == 2:
                cell[...] = 120 + rng.integers(0, 9, cell.shape)
            elif kind == 3 and rng.random() < 0.3:
                cell[rng.integers(len(cell)), rng.integers(cell.shape[1]), rng.integers(3)] = 255
    return pixels


@pytest.mark.parametrize("rule", list(RULES))
@given(pixels=contents(), count=st.integers(1, 40), size=st.sampled_from([16, 32, 64]))
def test_chosen_patches_are_those_of_the_slow_reference(rule: str, pixels: Pixels, count: int, size: int) -> None:
    expected = slow_select(pixels, rule, count, size)
    if not expected:
        with pytest.raises(PhotoError):
            select_patches(as_photo(pixels), rule=rule, count=count, size=size)
        return
    patches = select_patches(as_photo(pixels), rule=rule, count=count, size=size)
    assert len(patches) == len(expected)
    found = [SLOW[rule](pixel) for pixel in patches.pixels]
    np.testing.assert_allclose(found, [score for _, _, score in expected], rtol=0, atol=1e-9)
    if rule == "mid-tone":  # exact arithmetic in both, so that ties are the same too
        assert patches.positions.tolist() == [[row, col] for row, col, _ in expected]
    assert len({tuple(position) for position in patches.positions.tolist()}) == len(patches)
    for (row, col), patch in zip(patches.positions, patches.pixels, strict=True):
        assert (row % size, col % size) == (0, 0)
        np.testing.assert_array_equal(patch, pixels[row : row + size, col : col + size])


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("origin", [(0, 5), (3, 0), (7, 15), (64, 1)])
def test_the_grid_starts_at_the_origin(rule: str, origin: tuple[int, int]) -> None:
    pixels = noise(64 * 3 + 9, 64 * 2 + 16, high=256)
    if rule == "mid-tone":
        pixels[pixels == 255] = 254
        pixels[: origin[0]], pixels[:, : origin[1]] = 255, 255  # what lies before the origin does not matter
    patches = select_patches(as_photo(pixels), rule=rule, origin=origin)
    down, across = origin
    beyond = slow_select(pixels[down:, across:], rule, 32, 64)
    assert len(beyond) == ((64 * 3 + 9 - down) // 64) * 2
    assert {tuple(position) for position in patches.positions.tolist()} == {(row + down, col + across) for row, col, _ in beyond}
    for (row, col), patch in zip(patches.positions, patches.pixels, strict=True):
        np.testing.assert_array_equal(patch, pixels[row : row + 64, col : col + 64])


def test_nothing_fits_behind_the_origin() -> None:
    pixels = noise(80, 80)
    assert select_patches(as_photo(pixels), origin=(16, 16)).positions.tolist() == [[16, 16]]
    with pytest.raises(PhotoError, match=r"made\.png: 80x63 pixels behind row 17, column 0, expected at least 64x64") as caught:
        select_patches(as_photo(pixels), origin=(17, 0))
    assert caught.value.status == "too_small"


@pytest.mark.parametrize("rule", list(RULES))
def test_a_partial_border_is_dropped(rule: str) -> None:
    pixels = noise(191, 129)
    patches = select_patches(as_photo(pixels), rule=rule)
    assert sorted(map(tuple, patches.positions.tolist())) == [(0, 0), (0, 64), (64, 0), (64, 64)]
    pixels[128:], pixels[:, 128:] = 255, 255  # what lies in the border does not matter
    np.testing.assert_array_equal(select_patches(as_photo(pixels), rule=rule).positions, patches.positions)


@pytest.mark.parametrize("rule", list(RULES))
def test_equal_patches_come_in_the_order_of_the_grid(rule: str) -> None:
    flat = np.full((192, 256, 3), 90, np.uint8)
    patches = select_patches(as_photo(flat), rule=rule, count=7)
    assert patches.positions.tolist() == [[0, 0], [0, 64], [0, 128], [0, 192], [64, 0], [64, 64], [64, 128]]


def levels(*means: int) -> Pixels:
    """A strip of flat patches."""
    return np.concatenate([np.full((64, 64, 3), mean, np.uint8) for mean in means], axis=1)


def columns(patches: Patches) -> list[int]:
    column: list[int] = (patches.positions[:, 1] // 64).tolist()
    return column


def test_mid_tone_prefers_half_the_range_and_leaves_saturated_patches_out() -> None:
    assert columns(select_patches(as_photo(levels(10, 127, 254, 200, 255, 128, 100)))) == [1, 5, 6, 3, 0, 2]


def test_one_saturated_sample_excludes_a_patch_from_mid_tone_only() -> None:
    pixels = levels(127, 20)
    pixels[63, 63, 2] = 255
    assert columns(select_patches(as_photo(pixels))) == [1]
    assert columns(select_patches(as_photo(pixels), rule="quality")) == [0, 1]


def test_quality_prefers_texture_among_equal_means() -> None:
    pixels = levels(100, 100)
    pixels[::2, 64:] += 20
    pixels[1::2, 64:] -= 20
    assert columns(select_patches(as_photo(pixels), rule="quality")) == [1, 0]


def test_fewer_patches_than_asked_for() -> None:
    pixels = noise(128, 192)
    pixels[:64] = 255
    assert len(select_patches(as_photo(pixels), count=32)) == 3
    assert len(select_patches(as_photo(pixels), count=2)) == 2


@pytest.mark.parametrize("shape", [(63, 200), (200, 63), (1, 1)])
def test_too_small(shape: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=rf"made\.png: {shape[1]}x{shape[0]} pixels, expected at least 64x64") as caught:
        select_patches(as_photo(noise(*shape)))
    assert caught.value.status == "too_small"


def test_no_usable_patches() -> None:
    with pytest.raises(PhotoError, match=r"made\.png: all 6 patches are saturated") as caught:
        select_patches(as_photo(np.full((128, 192, 3), 255, np.uint8)))
    assert caught.value.status == "no_usable_patches"


def test_largest_patches_do_not_overflow() -> None:
    pixels = np.full((256, 256, 3), 254, np.uint8)
    pixels[::2] = 250
    scores: dict[str, Any] = {rule: RULES[rule](pixels, 256) for rule in RULES}
    assert scores["mid-tone"].item() == -124.5
    assert scores["quality"].item() == pytest.approx(slow_quality(pixels))
