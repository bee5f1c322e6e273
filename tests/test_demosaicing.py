"""Demosaicing features against a slow reference, one error at a time; what leaves no error; what they tell apart; their ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from camtrace.classify import fit_duels, run_duels
from camtrace.photo import decode_photo
from camtrace.simulator import MadeCamera
from camtrace.simulator.demosaic import METHODS, mosaic
from camtrace.types import CamtraceError
from made import different_cameras, made_photo, noise

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

from camtrace.lab.export import export_onnx  # noqa: E402
from camtrace.lab.methods.demosaicing import Demosaicing  # noqa: E402

Pixels = NDArray[np.uint8] | NDArray[np.float32]
At = Callable[[int, int], float]  # the sample that the sensor has at a row and column
R, G, B = range(3)
TABLE = 343
CENTRE = 171  # of a table: no error at any of the three


def features_of(*patches: Pixels) -> NDArray[np.float32]:
    with torch.no_grad():
        features = Demosaicing()(torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float())
    assert features.dtype == torch.float32
    return np.asarray(features.numpy())


def measured(row: int, col: int) -> int:
    """Which colour a sensor with red at (0, 0) has there."""
    return {(0, 0): R, (1, 1): B}.get((row % 2, col % 2), G)


def cross(at: At, row: int, col: int, reach: int = 1) -> list[float]:
    return [at(row - reach, col), at(row + reach, col), at(row, col - reach), at(row, col + reach)]


def corners(at: At, row: int, col: int) -> list[float]:
    return [at(row + down, col + right) for down in (-1, 1) for right in (-1, 1)]


def in_row_of(colour: int, row: int) -> bool:
    return row % 2 == (0 if colour == R else 1)


def plain_bilinear(at: At, colour: int, row: int, col: int) -> float:
    """Mean of the neighbours of that colour."""
    if colour == G:
        return sum(cross(at, row, col)) / 4
    if measured(row, col) != G:
        return sum(corners(at, row, col)) / 4
    if in_row_of(colour, row):
        return (at(row, col - 1) + at(row, col + 1)) / 2
    return (at(row - 1, col) + at(row + 1, col)) / 2


def plain_malvar(at: At, colour: int, row: int, col: int) -> float:
    """Malvar, He and Cutler 2004, equations (2) to (4) and Fig. 2: bilinear plus a gain times the Laplacian of the own colour."""
    here, far = at(row, col), cross(at, row, col, reach=2)  # far: above, below, left, right
    if colour == G:
        return plain_bilinear(at, G, row, col) + (here - sum(far) / 4) / 2
    if measured(row, col) != G:
        return plain_bilinear(at, colour, row, col) + 3 / 4 * (here - sum(far) / 4)
    across, beside = (far[:2], far[2:]) if in_row_of(colour, row) else (far[2:], far[:2])
    return plain_bilinear(at, colour, row, col) + (5 * here - sum(beside) - sum(corners(at, row, col)) + sum(across) / 2) / 8


def plain_level(error: float) -> int:
    """In steps of 2, halves away from zero, cut off at 3."""
    steps = int(abs(error) / 2 + 0.5)
    return (1 if error > 0 else -1) * min(steps, 3)


def plain_tables(patch: Pixels, fill: Callable[[At, int, int, int], float]) -> Iterator[NDArray[np.float64]]:
    """One baseline: the table within channels, then the one across channels."""

    def at(row: int, col: int) -> float:
        return float(patch[row, col, measured(row, col)])

    def error(colour: int, row: int, col: int) -> int:
        return plain_level(float(patch[row, col, colour]) - fill(at, colour, row, col))

    within, across = np.zeros((7, 7, 7)), np.zeros((7, 7, 7))
    for y in range(2, patch.shape[0] - 3, 2):
        for x in range(2, patch.shape[1] - 3, 2):
            red = error(R, y, x + 1), error(R, y + 1, x + 1), error(R, y + 1, x)
            blue = error(B, y + 1, x), error(B, y, x), error(B, y, x + 1)
            for triple in (red, blue):
                within[tuple(level + 3 for level in triple)] += 1
            for triple in ((error(G, y, x), red[0], blue[2]), (error(G, y + 1, x + 1), blue[0], red[2])):
                across[tuple(level + 3 for level in triple)] += 1
    yield within / within.sum()
    yield across / across.sum()


def plain_features(patch: Pixels) -> NDArray[np.float64]:
    return np.concatenate([table.ravel() for fill in (plain_bilinear, plain_malvar) for table in plain_tables(patch, fill)])


def middle(photo: bytes, size: int = 64) -> NDArray[np.uint8]:
    return decode_photo(photo, "made").pixels[128 : 128 + size, 64 : 64 + size]


def test_features_are_those_of_the_slow_reference() -> None:
    faint, flat = noise(64, 64, seed=2, low=100, high=108), np.full((64, 64, 3), 90, np.uint8)
    patches = [noise(64, 64, seed=1), faint, flat, *(middle(made_photo(camera, 900)) for camera in different_cameras())]
    for patch, given in zip(patches, features_of(*patches), strict=True):
        np.testing.assert_allclose(given, plain_features(patch), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(6, 6), (7, 31), (22, 17)])
def test_patches_of_any_shape(shape: tuple[int, int]) -> None:
    """An odd last row or column belongs to no cell."""
    patch = noise(*shape, low=90, high=110)
    np.testing.assert_allclose(features_of(patch)[0], plain_features(patch), rtol=1e-6, atol=1e-9)


def test_1372_values_in_four_tables_that_each_sum_to_one() -> None:
    features = features_of(*(middle(made_photo(camera, 900)) for camera in different_cameras()))
    assert features.shape == (4, Demosaicing.dimension) == (4, 1372)
    np.testing.assert_allclose(features.reshape(4, 4, TABLE).sum(axis=2), 1, atol=1e-6)


@pytest.mark.parametrize(("method", "clean"), [("bilinear", (0, 1)), ("malvar", (2, 3))])
def test_a_photo_of_the_baseline_itself_has_no_error(method: str, clean: tuple[int, int]) -> None:
    raw = mosaic(noise(64, 64, low=60, high=190).astype(np.float32), (0, 0))
    tables = features_of(METHODS[method](raw, (0, 0)))[0].reshape(4, TABLE)
    assert [int(table) for table in np.flatnonzero(tables[:, CENTRE] == 1)] == list(clean)


def test_another_phase_of_the_sensor_is_seen() -> None:
    raw = noise(64, 64, low=60, high=190)[..., 0].astype(np.float32)
    for phase in ((0, 1), (1, 0), (1, 1)):
        assert features_of(METHODS["bilinear"](raw, phase))[0, CENTRE] < 0.5


def test_an_error_lies_in_its_own_bin() -> None:
    """One red value at a blue pixel is 4 too high: level 2 in the middle of the walk around the cell."""
    patch = np.full((8, 8, 3), 100, np.uint8)
    patch[3, 3, R] += 4
    tables = features_of(patch)[0].reshape(4, 7, 7, 7)
    cells = 4
    assert tables[0, 3, 5, 3] == tables[2, 3, 5, 3] == pytest.approx(1 / (2 * cells))
    assert tables[0, 3, 3, 3] == tables[2, 3, 3, 3] == pytest.approx(1 - 1 / (2 * cells))
    assert tables[1, 3, 3, 3] == tables[3, 3, 3, 3] == 1  # across channels only green pixels and measured ones are asked


def test_a_patch_too_small_is_refused() -> None:
    with pytest.raises(CamtraceError, match="64x5 pixels: demosaicing features need at least 6x6"):
        Demosaicing()(torch.zeros(1, 3, 5, 64))


def patches_of(camera: MadeCamera, scenes: range) -> NDArray[np.float32]:
    """Features of all patches of the photos of some scenes: (photos, 16, 1372)."""
    photos = [decode_photo(made_photo(camera, number, size=256), "made").pixels for number in scenes]
    cells = [photo.reshape(4, 64, 4, 64, 3).swapaxes(1, 2).reshape(16, 64, 64, 3) for photo in photos]
    return np.stack([features_of(*patches) for patches in cells])


def test_cameras_that_differ_in_demosaicing_alone_are_told_apart_on_new_scenes() -> None:
    twins = [replace(different_cameras()[0], demosaic=method) for method in ("bilinear", "malvar", "edge_directed")]
    taught, asked = (np.stack([patches_of(camera, scenes) for camera in twins]) for scenes in (range(100, 105), range(900, 904)))
    duels = fit_duels(taught.reshape(-1, 1372), np.repeat(np.arange(3), 5 * 16), 3, c=0.01)
    labels = run_duels(duels, asked.reshape(-1, 1372)).labels.reshape(3 * 4, 16)
    right = [np.bincount(votes, minlength=3).argmax() == number // 4 for number, votes in enumerate(labels)]
    assert np.mean(right) >= 0.8
    assert (labels == np.repeat(np.arange(3), 4)[:, None]).mean() > 0.7  # of single patches; chance is a third


def test_onnx_gives_the_same_features() -> None:
    session = onnxruntime.InferenceSession(export_onnx(Demosaicing()), providers=["CPUExecutionProvider"])
    for patches in ([noise(64, 64)], [noise(64, 64, low=80, high=90), *(middle(made_photo(c, 900)) for c in different_cameras())]):
        (given,) = session.run(["features"], {"patches": np.stack(patches)})
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, features_of(*patches))
