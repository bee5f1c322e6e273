"""Noise and resampling as maps of their own: what was put in is found, what was not is not, and tiles equal the whole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from camtrace.tampering.noise import measure_blocks, read_noise
from camtrace.tampering.resampling import read_resampling
from made import noise


def smooth_scene(height: int, width: int, *, seed: int = 0) -> NDArray[np.float64]:
    """A scene of soft blobs, 40 to 200, without any noise."""
    coarse = Image.fromarray(noise(height // 32, width // 32, seed=seed, low=40, high=200))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def noisy(deviation: NDArray[np.float64] | float, *, seed: int = 1) -> NDArray[np.uint8]:
    """The scene with Gaussian noise, whose deviation may be another in each place (h, w)."""
    scene = smooth_scene(384, 448)
    drawn = np.random.default_rng(seed).normal(0, 1, scene.shape)
    strength = np.broadcast_to(deviation, scene.shape[:2])[..., None]
    return np.clip(np.rint(scene + strength * drawn), 0, 255).astype(np.uint8)


def part(inside: float, outside: float) -> NDArray[np.float64]:
    deviation = np.full((384, 448), outside)
    deviation[96:224, 160:288] = inside
    return deviation


@pytest.mark.parametrize("deviation", [1.0, 3.0, 8.0])
def test_the_measured_noise_is_the_true_one(deviation: float) -> None:
    levels, means = measure_blocks(noisy(deviation)[..., 1], (48, 56))
    # rounding to whole numbers adds a variance of 1/12
    assert np.median(levels) == pytest.approx(np.sqrt(deviation**2 + 1 / 12), rel=0.06)
    assert means[3, 5] == pytest.approx(smooth_scene(384, 448)[24:32, 40:48, 1].mean(), abs=deviation)


@pytest.mark.parametrize(("inside", "outside"), [(4.0, 2.0), (1.0, 2.0)])
def test_a_noisier_and_a_cleaner_part_stand_out(inside: float, outside: float) -> None:
    cells = read_noise(noisy(part(inside, outside)), (24, 28), cell=16, origin=(0, 0))
    direction = np.sign(inside - outside)
    assert (direction * cells[8:12, 12:16]).min() > 4
    far = np.ones(cells.shape, bool)
    far[4:16, 8:20] = False
    assert np.abs(np.median(cells[far])) < 0.5
    assert np.quantile(np.abs(cells[far]), 0.95) < 4


def test_clipped_places_carry_no_noise() -> None:
    pixels = noisy(2.0)
    pixels[:192, :128] = 255
    cells = read_noise(pixels, (24, 28), cell=16, origin=(0, 0))
    assert np.isnan(cells[2:8, 2:4]).all()
    assert np.isfinite(cells[14:, 12:]).all()
    assert np.isnan(read_noise(np.full((384, 448, 3), 255, np.uint8), (24, 28), cell=16, origin=(0, 0))).all()


def test_blocks_of_a_tile_are_those_of_the_whole_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    green = noisy(part(4, 2))[..., 1]
    whole = measure_blocks(green, (48, 56))
    monkeypatch.setattr("camtrace.tampering.noise._STRIP", 5)
    monkeypatch.setattr("camtrace.tampering.noise._LINES", 3)
    for plane, other in zip(whole, measure_blocks(green, (48, 56)), strict=True):
        assert np.array_equal(plane, other)
    inner = measure_blocks(green[64:320, 80:400], (32, 40))
    for plane, other in zip(whole, inner, strict=True):
        assert np.array_equal(plane[9:39, 11:49], other[1:-1, 1:-1])
    cells = read_noise(noisy(part(4, 2)), (24, 28), cell=16, origin=(0, 0))
    monkeypatch.undo()
    assert np.array_equal(cells, read_noise(noisy(part(4, 2)), (24, 28), cell=16, origin=(0, 0)))


def enlarged(factor: float) -> NDArray[np.uint8]:
    """Noise with an enlarged piece of other noise in rows 96 to 288 and columns 128 to 320."""
    pixels = noise(384, 448, seed=3, low=60, high=190)
    side = round(320 * factor)
    other = Image.fromarray(noise(320, 320, seed=4, low=60, high=190)).resize((side, side), Image.Resampling.BICUBIC)
    pixels[96:288, 128:320] = np.asarray(other)[7:199, 5:197]
    return pixels


@pytest.mark.parametrize("factor", [1.2, 1.3, 1.5])
def test_an_enlarged_part_has_peaks_that_the_rest_has_not(factor: float) -> None:
    cells = read_resampling(enlarged(factor), origin=(0, 0)).to_cells((24, 28), cell=16, origin=(0, 0))
    assert cells[10:14, 12:16].min() > 1.5
    assert np.nanmax(cells[:, 25:]) < 1.5


def test_what_was_not_enlarged_or_all_of_it_has_none() -> None:
    for pixels in (enlarged(1.0), np.asarray(Image.fromarray(noise(320, 320)).resize((448, 448), Image.Resampling.BICUBIC))):
        strength = read_resampling(pixels, origin=(0, 0)).strength
        assert np.isfinite(strength).all()
        assert strength.max() < 2.2


def test_flat_and_small_photos_say_nothing_of_resampling() -> None:
    flat = read_resampling(np.full((256, 256, 3), 90, np.uint8), origin=(0, 0))
    assert np.isnan(flat.strength).all()
    small = read_resampling(noise(100, 300), origin=(0, 0))
    assert np.isnan(small.to_cells((6, 18), cell=16, origin=(0, 0))).all()


def test_windows_begin_at_the_origin() -> None:
    found = read_resampling(noise(300, 300), origin=(3, 5))
    assert (found.rows[0], found.columns[0]) == (3, 5)
    cells = found.to_cells((18, 18), cell=16, origin=(3, 5))
    assert np.isfinite(cells[:17, :17]).all()
