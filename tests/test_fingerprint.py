"""The arithmetic of sensor fingerprints against plain references, and the search over turns, crops and scales on made devices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import pywt
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from camtrace.devices.fingerprint import (
    MIN_SIDE,
    Plane,
    Span,
    Sums,
    correlate,
    estimate,
    fast_shape,
    find_peak,
    p_value,
    residual,
    to_grey,
    transform,
    usable,
    weigh,
    wiener,
    zero_mean,
)
from camtrace.devices.matching import Comparison, Placement, Questioned, Search, claim_warnings, compare, placements
from camtrace.devices.sketch import BITS, BYTES, project, score_sketches, to_bits
from camtrace.simulator import shoot
from camtrace.types import Photo, PhotoError
from made import noise
from made_devices import SIZE, flat_pixels, scene_pixels, sensor_camera


def white(*shape: int, seed: int = 0) -> Plane:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def textured(height: int, width: int) -> Plane:
    """A soft picture with grain, 0..255."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    plane: Plane = 120 + 60 * np.sin(rows / 17) * np.cos(columns / 23) + 4 * white(height, width)
    return plane.astype(np.float32)


def mirrored_mean(plane: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean over a window around each value, summed up one neighbour at a time."""
    reach = window // 2
    padded = np.pad(plane, reach, mode="symmetric")
    parts = [padded[row : row + plane.shape[0], column : column + plane.shape[1]] for row in range(window) for column in range(window)]
    mean: NDArray[np.float64] = np.mean(parts, axis=0)
    return mean


def plain_residual(grey: Plane, sigma: float) -> NDArray[np.float64]:
    """Photo less denoised photo, in float64, step by step as published."""
    bands = pywt.wavedec2(grey.astype(np.float64), "db4", mode="symmetric", level=4)

    def denoised(band: NDArray[np.float64]) -> NDArray[np.float64]:
        signal = np.min([np.maximum(mirrored_mean(band**2, window) - sigma**2, 0) for window in (3, 5, 7, 9)], axis=0)
        kept: NDArray[np.float64] = band * signal / (signal + sigma**2)
        return kept

    clean = pywt.waverec2([bands[0], *(tuple(map(denoised, level)) for level in bands[1:])], "db4", mode="symmetric")
    difference: NDArray[np.float64] = grey - clean[: grey.shape[0], : grey.shape[1]]
    return difference


@pytest.mark.parametrize("shape", [(128, 144), (131, 117)])
def test_residual_is_photo_less_denoised_photo(shape: tuple[int, int]) -> None:
    grey = textured(*shape)
    found = residual(grey)
    assert found.dtype == np.float32
    assert found.shape == shape
    np.testing.assert_allclose(found, plain_residual(grey, 5.0), atol=2e-3)
    assert np.abs(residual(grey, sigma=1.0)).mean() < np.abs(found).mean()


def test_residual_is_mostly_the_noise() -> None:
    grain = 4 * white(256, 256, seed=3)
    rows, columns = np.indices((256, 256), dtype=np.float32)
    found = residual(120 + 60 * np.sin(rows / 37) * np.cos(columns / 43) + grain)
    assert np.corrcoef(found.ravel(), grain.ravel())[0, 1] > 0.9
    assert np.abs(residual(np.full((128, 128), 90, np.float32))).max() < 1e-3


@pytest.mark.parametrize(("shape", "tile"), [((700, 900), 256), ((1200, 300), 400), ((130, 1000), 128)])
def test_tiles_change_nothing(shape: tuple[int, int], tile: int) -> None:
    grey = textured(*shape)
    tiled = residual(grey, tile=tile)
    assert tiled.shape == shape
    np.testing.assert_allclose(tiled, residual(grey, tile=10_000), atol=1e-3)
    assert np.abs(residual(grey, tile=tile, overlap=16) - tiled).max() > 0.01  # without the overlap it would


def test_grey_is_the_weighted_mean_of_the_channels() -> None:
    pixels = noise(9, 7)
    np.testing.assert_allclose(to_grey(pixels), pixels @ np.array([0.299, 0.587, 0.114]), rtol=1e-5)


def test_sums_of_photos_by_hand() -> None:
    photos = [noise(160, 128, seed=seed, low=40, high=255) for seed in (1, 2)]
    total = Sums.of(photos[0]) + Sums.of(photos[1])
    greys = [to_grey(photo) * (photo.max(axis=2) < 250) for photo in photos]
    np.testing.assert_allclose(total.squares, greys[0] ** 2 + greys[1] ** 2, rtol=1e-5)
    np.testing.assert_allclose(total.products, sum(residual(to_grey(p)) * g for p, g in zip(photos, greys, strict=True)), atol=1e-2)
    assert (total.photos, total.size) == (2, (128, 160))


def test_saturated_pixels_teach_nothing() -> None:
    pixels = noise(128, 128, low=40, high=200)
    pixels[10:30, 20:50, 1] = 250
    assert not usable(pixels)[10:30, 20:50].any()
    assert usable(pixels).sum() == 128 * 128 - 600
    sums = Sums.of(pixels)
    assert not sums.products[10:30, 20:50].any()
    assert not sums.squares[10:30, 20:50].any()
    assert not weigh(pixels)[10:30, 20:50].any()
    black_and_white = np.full((128, 128, 3), 255, np.uint8)
    assert not weigh(black_and_white).any()
    assert not estimate(Sums.of(black_and_white)).any()


def test_photos_of_two_sizes_have_no_common_sums() -> None:
    with pytest.raises(ValueError, match=r"\(128, 144\) and \(144, 128\)"):
        _ = Sums.of(noise(144, 128)) + Sums.of(noise(128, 144))


@pytest.mark.parametrize("shape", [(12, 20), (13, 21)])
def test_rows_and_columns_of_each_colour_phase_have_no_mean(shape: tuple[int, int]) -> None:
    plane: Plane = (white(*shape) + np.arange(shape[1]) + 3).astype(np.float32)
    centred = zero_mean(plane)
    for row in (0, 1):
        for column in (0, 1):
            for axis in (0, 1):
                np.testing.assert_allclose(centred[row::2, column::2].mean(axis=axis), 0, atol=1e-5)
    assert np.corrcoef(centred.ravel(), zero_mean(white(*shape)).ravel())[0, 1] > 0.99
    assert plane[0, -1] > 3  # the input is left alone


def test_wiener_takes_out_what_repeats_and_keeps_noise() -> None:
    grain, (rows, columns) = white(128, 128), np.indices((128, 128))
    pattern = np.cos(np.pi / 4 * rows).astype(np.float32) * np.cos(np.pi / 2 * columns).astype(np.float32)
    cleaned = wiener(grain + 2 * pattern)
    assert abs((cleaned * pattern).mean() / (pattern * pattern).mean()) < 0.3
    assert np.corrcoef(cleaned.ravel(), grain.ravel())[0, 1] > 0.9


def test_correlation_at_every_shift_by_hand() -> None:
    shape = (16, 24)
    sensor, photo = white(*shape, seed=1), white(9, 11, seed=2)
    surface = correlate(transform(photo, shape), transform(sensor, shape), shape)
    for row, column in ((0, 0), (3, 5), (7, 13)):
        by_hand = (photo * sensor[row : row + 9, column : column + 11]).sum()
        assert surface[row, column] == pytest.approx(by_hand, abs=1e-3)


def test_fast_shapes_hold_all_and_fit_the_grid() -> None:
    for shapes in (((1000, 301), (700, 500)), ((1024, 1024),), ((2592, 3872), (2000, 3008))):
        rows, columns = fast_shape(*shapes)
        assert rows % 8 == columns % 8 == 0
        assert rows >= max(shape[0] for shape in shapes)
        assert columns >= max(shape[1] for shape in shapes)
        assert rows * columns < 1.2 * max(shape[0] for shape in shapes) * max(shape[1] for shape in shapes)
    assert fast_shape((1024, 1024)) == (1024, 1024)


def test_pce_by_hand() -> None:
    surface = white(64, 64, seed=5)
    surface[20, 33] = 30
    peak = find_peak(surface, Span(0, 63), Span(0, 63))
    outside = np.ones((64, 64), bool)
    outside[15:26, 28:39] = False
    assert peak.shift == (20, 33)
    assert peak.pce == pytest.approx(900 / (surface[outside].astype(float) ** 2).mean(), rel=1e-5)
    others = surface[4::8, 1::8].astype(float) ** 2  # 20 = 4 and 33 = 1 modulo 8
    assert peak.score == pytest.approx(30 / np.sqrt((others.sum() - 900) / (others.size - 1)), rel=1e-4)


def test_peak_neighbourhood_goes_around_the_edges() -> None:
    surface = white(64, 64, seed=6)
    surface[62:, 61:] = surface[:3, :2] = 20
    surface[0, 0] = 40
    peak = find_peak(surface, Span(0, 0), Span(0, 0))
    outside = np.ones((64, 64), bool)
    outside[np.ix_(np.arange(-5, 6), np.arange(-5, 6))] = False
    assert peak.pce == pytest.approx(1600 / (surface[outside].astype(float) ** 2).mean(), rel=1e-5)


def test_only_shifts_within_the_spans_are_found_and_pce_keeps_its_sign() -> None:
    surface = white(64, 64, seed=5)
    surface[20, 33], surface[0, 0], surface[-3, 7] = 90, -30, 60
    assert find_peak(surface, Span(0, 0), Span(0, 0)).pce < -100
    assert find_peak(surface, Span(0, 0), Span(0, 0)).score < -10
    assert find_peak(surface, Span(-5, 5), Span(0, 10)).shift == (-3, 7)
    nothing = find_peak(np.zeros((64, 64), np.float32), Span(0, 0), Span(0, 0))
    assert (nothing.pce, nothing.score) == (0, 0)


def test_p_values_against_known_ones() -> None:
    assert p_value(0, 1) == pytest.approx(0.5)
    assert p_value(0, 2) == pytest.approx(0.75)
    assert p_value(6, 1) == pytest.approx(9.865876e-10, rel=1e-4)
    assert p_value(6, 1000) == pytest.approx(9.865876e-7, rel=1e-4)
    assert p_value(-9, 1) == pytest.approx(1)
    assert 0 < p_value(30, 10**6) < 1e-180


@pytest.mark.parametrize(("rows", "columns"), [(Span(0, 0), Span(0, 0)), (Span(0, 40), Span(-20, 20))])
def test_p_values_of_unrelated_noise_that_shares_a_grid_are_uniform(rows: Span, columns: Span) -> None:
    shape, grid = (128, 128), np.tile(np.outer(np.hanning(10)[1:-1], np.hanning(10)[1:-1]), (16, 16)).astype(np.float32)
    values = []
    for seed in range(200):
        photo, sensor = (transform(white(*shape, seed=2 * seed + which) * grid, shape) for which in (0, 1))
        values.append(p_value(find_peak(correlate(photo, sensor, shape), rows, columns).score, len(rows) * len(columns)))
    assert stats.kstest(values, "uniform").pvalue > 0.01


@cache
def device_print(device: int) -> Plane:
    sums = Sums.of(flat_pixels(device, 0))
    for number in range(1, 6):
        sums += Sums.of(flat_pixels(device, number))
    return estimate(sums)


def photo_of(pixels: NDArray[np.uint8]) -> Photo:
    return Photo("photo", "0" * 64, np.ascontiguousarray(pixels))


def search_one(pixels: NDArray[np.uint8], device: int, search: Search | None = None) -> Comparison:
    photo, sensor = Questioned.of(photo_of(pixels)), device_print(device)
    return compare(photo, sensor, placements(photo.shape, (SIZE, SIZE), search or Search()))


def test_a_photo_matches_its_own_device_alone() -> None:
    own, other = search_one(scene_pixels(1, 7), 1), search_one(scene_pixels(1, 7), 2)
    assert own.pce > 60 > 20 > other.pce
    assert own.p_value < 1e-9 < 0.001 < other.p_value
    assert (own.shift, own.rotation, own.scale, own.tried, own.one_shift) == ((0, 0), 0, 1.0, 4, True)


def test_weighing_down_noisy_places_finds_more() -> None:
    pixels = scene_pixels(1, 7).copy()
    pixels[:, :128] += noise(SIZE, 128, seed=9, high=40)  # a texture that no denoiser takes out
    grey, sensor = to_grey(pixels), device_print(1)
    plain = residual(grey) * grey
    plain -= plain.mean()
    weighed = weigh(pixels)
    peaks = [
        find_peak(correlate(transform(one, (SIZE, SIZE)), transform(sensor, (SIZE, SIZE)), (SIZE, SIZE)), Span(0, 0), Span(0, 0)).pce
        for one in (plain, weighed)
    ]
    assert peaks[1] > 2 * peaks[0]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_photos_are_found(turns: int) -> None:
    found = search_one(np.rot90(flat_pixels(1, 9), turns), 1)
    assert (found.rotation, found.shift) == (360 - 90 * turns, (0, 0))
    assert found.pce > 200
    straight = search_one(np.rot90(flat_pixels(1, 9), turns), 1, Search(rotations=(0,)))
    assert straight.pce < 20


def test_crops_are_found_where_they_were() -> None:
    found = search_one(flat_pixels(1, 9)[37:197, 51:230], 1)
    assert (found.shift, found.rotation) == ((37, 51), 0)
    assert not found.one_shift
    assert found.tried == 2 * (SIZE - 160 + 1) * (SIZE - 179 + 1) + 2 * (SIZE - 179 + 1) * (SIZE - 160 + 1)
    assert found.p_value < 1e-12


def test_a_photo_larger_than_the_fingerprint_is_found() -> None:
    large = Questioned.of(photo_of(flat_pixels(1, 9)))
    part = device_print(1)[30:200, 40:230]
    found = compare(large, part, placements((SIZE, SIZE), (170, 190), Search()))
    assert found.shift == (-30, -40)
    assert found.p_value < 1e-12


def test_moved_content_of_the_same_size_is_found_when_asked() -> None:
    moved = np.zeros((SIZE, SIZE, 3), np.uint8)
    moved[20:, :-30] = flat_pixels(1, 9)[:-20, 30:]
    assert search_one(moved, 1).pce < 30
    found = search_one(moved, 1, Search(rotations=(0,), everywhere=True))
    assert found.shift == (-20, 30)
    assert found.p_value < 1e-12


def test_resized_photos_are_found_by_scale() -> None:
    pixels = flat_pixels(1, 9)
    small = np.asarray(Image.fromarray(pixels).resize((205, 205), Image.Resampling.BICUBIC))
    assert search_one(small, 1).p_value > 1e-3
    by_size = search_one(small, 1, Search(exact_scale=True))
    assert by_size.scale == pytest.approx(0.8008)
    assert by_size.p_value < 1e-9
    assert by_size.one_shift
    part = small[20:190, 10:200]
    by_grid = search_one(part, 1, Search(scales=(0.7, 0.8, 0.9)))
    assert by_grid.scale == 0.8
    assert by_grid.p_value < 1e-6
    np.testing.assert_allclose(by_grid.shift, (25, 12.5), atol=1.5)


def test_what_is_tried() -> None:
    def tried(photo: tuple[int, int], sensor: tuple[int, int], search: Search) -> list[tuple[int, float, int]]:
        return [(one.rotation, one.scale, one.tried) for one in placements(photo, sensor, search)]

    assert tried((200, 300), (200, 300), Search()) == [(0, 1.0, 1), (180, 1.0, 1)]
    assert tried((300, 200), (200, 300), Search()) == [(90, 1.0, 1), (270, 1.0, 1)]
    assert tried((190, 290), (200, 300), Search()) == [(0, 1.0, 121), (180, 1.0, 121)]
    assert tried((250, 290), (200, 300), Search()) == []
    assert tried((400, 600), (200, 300), Search((0,), exact_scale=True)) == [(0, 1.0, 201 * 301), (0, 2.0, 1)]
    assert tried((200, 300), (200, 300), Search((0,), everywhere=True)) == [(0, 1.0, 399 * 599)]
    assert tried((160, 240), (200, 300), Search((0,), scales=(0.8, 1.0))) == [(0, 1.0, 41 * 61), (0, 0.8, 1)]


def test_scales_are_steps_of_the_search_and_can_be_followed() -> None:
    steps: list[Placement] = []
    photo = Questioned.of(photo_of(flat_pixels(1, 9)[:200, :200]))
    places = placements(photo.shape, (SIZE, SIZE), Search(scales=(0.8, 0.9)))
    found = compare(photo, device_print(1), places, on_step=lambda place: steps.append(place))  # type: ignore[arg-type]
    assert steps == places
    assert found.tried == sum(place.tried for place in places)


def test_stronger_made_sensors_leave_stronger_fingerprints() -> None:
    scene = np.full((SIZE, SIZE, 3), 0.25, np.float32)
    camera = sensor_camera()
    default = shoot(scene, camera, device=1, seed=50)
    np.testing.assert_array_equal(shoot(scene, camera, device=1, seed=50, prnu=0.012), default)
    weak, none = (search_one(shoot(scene, camera, device=1, seed=50, prnu=prnu), 1) for prnu in (0.004, 0))
    assert search_one(default, 1).pce > 2 * weak.pce
    assert weak.pce > 100 > 20 > none.pce


def test_small_photos_are_refused() -> None:
    with pytest.raises(PhotoError, match="200x100 pixels, at least 128") as raised:
        Questioned.of(photo_of(noise(100, 200)))
    assert raised.value.status == "too_small"
    assert MIN_SIDE == 128


@pytest.mark.parametrize("claim", ["samsung SM-G991B", "Google Pixel 7", "HUAWEI P30", "Apple iPhone 13 Pro", "Xiaomi Mi 11"])
def test_phones_that_compute_their_photos_are_warned_of(claim: str) -> None:
    assert claim in next(claim_warnings(claim))


@pytest.mark.parametrize("claim", ["", "NIKON CORPORATION NIKON D70", "Apple iPhone 4S", "Apple iPhone 6"])
def test_other_cameras_are_not(claim: str) -> None:
    assert list(claim_warnings(claim)) == []


def test_projection_keeps_inner_products() -> None:
    planes = [white(512, 640, seed=seed) for seed in range(2)]
    mixed = planes[0] + planes[1]
    sums = [project(plane) for plane in (*planes, mixed)]
    assert sums[0].shape == (BITS,)
    np.testing.assert_allclose(sums[2], sums[0] + sums[1], atol=1e-3)
    assert sums[0] @ sums[2] / planes[0].size == pytest.approx(1, abs=0.05)
    assert sums[0] @ sums[1] / planes[0].size == pytest.approx(0, abs=0.05)


def test_sketches_find_a_device_among_many() -> None:
    sensors = [white(300, 400, seed=seed) for seed in range(30)]
    sketches = np.stack([to_bits(sensor) for sensor in sensors])
    assert sketches.dtype == np.uint8
    assert sketches.shape == (30, BYTES)
    scores = score_sketches(sensors[17] + 10 * white(300, 400, seed=99), sketches)
    assert scores.argmax() == 17
    assert scores[17] == pytest.approx(np.sqrt(300 * 400 * 2 / np.pi) / np.sqrt(101), abs=3)
    others = np.delete(scores, 17)
    assert 0.6 < others.std() < 1.5
    assert np.abs(others).max() < 4
    assert not score_sketches(np.zeros((300, 400), np.float32), sketches).any()
