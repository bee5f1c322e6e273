"""Made cameras must be what the tests and the training take them for: known truth."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from camtrace.photo import read_photo
from camtrace.simulator import MadeCamera, clean_scene, draw_scene, make_cameras, save, shoot
from camtrace.simulator.demosaic import METHODS, masks, mosaic
from camtrace.simulator.filters import Plane, box, correlate, gaussian, guided, range_weighted, split_luma
from made import different_cameras, noise

PHASES = [(0, 0), (0, 1), (1, 0), (1, 1)]
SCENE = draw_scene(96, 128, seed=4) * np.float32(0.3)


def raw_noise(height: int = 24, width: int = 32) -> Plane:
    return np.random.default_rng(2).random((height, width), np.float32)


def test_cameras_follow_from_the_seed() -> None:
    assert make_cameras(8, seed=3) == make_cameras(8, seed=3)
    assert make_cameras(3, seed=3) == make_cameras(8, seed=3)[:3]
    assert make_cameras(8, seed=3) != make_cameras(8, seed=4)
    names = [camera.name for camera in make_cameras(40, seed=3)]
    assert len(set(names)) == 40


def test_photos_follow_from_scene_camera_device_and_seed() -> None:
    first, second = make_cameras(2, seed=3)
    photo = shoot(SCENE, first, device=1, seed=5)
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(shoot(SCENE, first, device=1, seed=5), photo)
    assert save(photo, first, seed=2) == save(photo, first, seed=2)
    others = [
        shoot(SCENE, first, device=1, seed=6),
        shoot(SCENE, first, device=2, seed=5),
        shoot(SCENE, replace(second, scale=first.scale), device=1, seed=5),
        shoot(np.flip(SCENE, 0).copy(), first, device=1, seed=5),
    ]
    assert all(other.shape == photo.shape and (other != photo).mean() > 0.1 for other in others)


def test_shooting_leaves_the_scene_alone() -> None:
    before = SCENE.copy()
    shoot(SCENE, make_cameras(1, seed=3)[0])
    np.testing.assert_array_equal(SCENE, before)


@pytest.mark.parametrize("camera", make_cameras(12, seed=8), ids=lambda camera: str(camera.name))
def test_every_camera_shoots_every_scene_recognisably(camera: MadeCamera) -> None:
    photo = shoot(SCENE, replace(camera, scale=1.0))
    assert photo.shape == SCENE.shape
    content = box(split_luma(SCENE)[0], 3).ravel()
    pictured = box(split_luma(photo.astype(np.float32))[0], 3).ravel()
    assert np.corrcoef(content, pictured)[0, 1] > 0.8


def test_scale_changes_the_size() -> None:
    camera = replace(make_cameras(1, seed=3)[0], scale=1.25)
    assert shoot(SCENE, camera).shape == (120, 160, 3)


def residual(camera: MadeCamera, device: int, seeds: range) -> NDArray[np.floating]:
    """What stays when the content is smoothed away, averaged over photos of different scenes."""
    total = np.zeros((160, 160), np.float32)
    for seed in seeds:
        scene = gaussian(draw_scene(160, 160, seed=seed), 3) * np.float32(0.2) + np.float32(0.2)
        luma = split_luma(shoot(scene, camera, device=device, seed=seed).astype(np.float32))[0]
        total += luma - gaussian(luma, 1.5)
    return total.ravel()


def test_sensor_noise_pattern_belongs_to_the_device() -> None:
    camera = replace(different_cameras()[0], shot_noise=0.006)
    reference = residual(camera, 1, range(0, 6))

    def match(other: MadeCamera, device: int) -> float:
        return float(np.corrcoef(reference, residual(other, device, range(10, 16)))[0, 1])

    assert match(camera, 1) > 0.2
    assert abs(match(camera, 2)) < 0.05
    assert abs(match(replace(camera, model="other"), 1)) < 0.05  # device 1 of another model is another body


@pytest.mark.parametrize("phase", PHASES)
def test_every_pixel_measures_one_colour(phase: tuple[int, int]) -> None:
    measured = masks((8, 10), phase)
    np.testing.assert_array_equal(measured.sum(axis=0), np.ones((8, 10)))
    assert measured.mean(axis=(1, 2)).tolist() == [0.25, 0.5, 0.25]
    assert measured[0][phase]
    colours = np.broadcast_to(np.array([1, 2, 3], np.float32), (8, 10, 3))
    assert mosaic(colours, phase)[phase] == 1
    assert np.bincount(mosaic(colours, phase).astype(int).ravel()).tolist() == [0, 20, 40, 20]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("method", ["bilinear", "smooth_hue", "malvar", "edge_directed", "directional"])
def test_demosaicing_keeps_what_was_measured(method: str, phase: tuple[int, int]) -> None:
    raw = raw_noise()
    rgb = METHODS[method](raw, phase)
    np.testing.assert_allclose(mosaic(rgb, phase), raw, atol=1e-6)


def test_binned_does_not_keep_what_was_measured() -> None:
    raw = raw_noise()
    assert np.abs(mosaic(METHODS["binned"](raw, (0, 0)), (0, 0)) - raw).mean() > 0.05


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("colour", [(0.5, 0.5, 0.5), (0.7, 0.4, 0.2)])
def test_demosaicing_is_exact_on_flat_fields(method: str, phase: tuple[int, int], colour: tuple[float, float, float]) -> None:
    field = np.broadcast_to(np.array(colour, np.float32), (24, 32, 3))
    np.testing.assert_allclose(METHODS[method](mosaic(field, phase), phase), field, atol=1e-6)


def test_demosaicing_methods_differ() -> None:
    results = [METHODS[method](raw_noise(), (0, 0)) for method in METHODS]
    assert all(np.abs(one - other).mean() > 1e-3 for number, one in enumerate(results) for other in results[:number])


def test_saved_photo_carries_tables_and_claim() -> None:
    luma, chroma = tuple(range(1, 65)), tuple(range(2, 66))
    camera = replace(make_cameras(1, seed=3)[0], jpeg_tables=((luma, chroma), (chroma, luma)))
    rgb = noise(64, 80)
    first, second = (read_photo(save(rgb, camera, seed=seed)) for seed in (0, 1))
    assert first.quantization == {0: luma, 1: chroma}
    assert second.quantization == {0: chroma, 1: luma}
    assert (first.claim.make, first.claim.model) == (camera.make, camera.model)
    assert read_photo(save(rgb, camera, exif=False)).claim.model is None


def test_saved_photo_has_the_subsampling_of_its_camera() -> None:
    camera = make_cameras(1, seed=3)[0]
    factors = {}
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        image = Image.open(io.BytesIO(save(noise(64, 80), replace(camera, subsampling=subsampling))))
        factors[subsampling] = image.layer[0][1:3]  # type: ignore[attr-defined]
    assert factors == {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def test_tables_of_real_cameras_are_used_by_some() -> None:
    real = ((3,) * 64, (4,) * 64)
    using = [real in camera.jpeg_tables for camera in make_cameras(40, seed=3, tables=(real,))]
    assert 0.25 < np.mean(using) < 0.75


def test_drawn_scenes_are_light_in_range() -> None:
    scene = draw_scene(96, 130, seed=1)
    assert scene.shape == (96, 130, 3)
    assert scene.dtype == np.float32
    assert scene.min() >= 0.001
    assert scene.max() <= 1
    assert scene.std() > 0.05
    np.testing.assert_array_equal(scene, draw_scene(96, 130, seed=1))
    assert np.abs(scene - draw_scene(96, 130, seed=2)).mean() > 0.05


def test_clean_scene_halves_in_linear_light() -> None:
    assert clean_scene(noise(65, 131)).shape == (32, 65, 3)
    board = np.zeros((8, 8, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    np.testing.assert_allclose(clean_scene(board), np.full((4, 4, 3), 0.5), atol=1e-6)
    grey = np.full((8, 8, 3), 186, np.uint8)
    np.testing.assert_allclose(clean_scene(grey), np.full((4, 4, 3), (186 / 255) ** 2.2), atol=1e-6)


def test_correlate_is_that_of_scipy() -> None:
    kernel = np.random.default_rng(1).normal(size=(3, 5))
    np.testing.assert_allclose(
        correlate(raw_noise(), kernel), ndimage.correlate(raw_noise(), kernel.astype(np.float32), mode="mirror"), atol=1e-5
    )


def test_denoisers_smooth_noise_and_keep_edges() -> None:
    clean = np.zeros((40, 40), np.float32)
    clean[:, 20:] = 1
    noisy = clean + np.random.default_rng(0).normal(0, 0.02, clean.shape).astype(np.float32)
    for smoothed in (guided(noisy, radius=2, strength=0.06), range_weighted(noisy, radius=1, strength=0.06)):
        assert smoothed[:, :15].std() < 0.6 * noisy[:, :15].std()
        assert np.abs(smoothed - clean).max() < 0.2
    assert np.abs(box(noisy, 2) - clean).max() > 0.3  # what a plain mean does to the edge
