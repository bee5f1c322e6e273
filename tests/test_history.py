"""The JPEG grid of made photos, found wherever a crop moved it, and what is said about a photo's history."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import camtrace
from camtrace.degrade import correct_gamma, degradation, save_again
from camtrace.history import Grid, History, cut_patches, examine, find_grid, origin_of, standard_quality
from camtrace.patches import RESIZED, select_patches
from camtrace.photo import decode_photo
from camtrace.simulator import MadeCamera, make_cameras, save, shoot
from camtrace.types import Photo
from made import different_cameras, encode, made_photo, noise, scene

Pixels = NDArray[np.uint8]


@cache
def unsaved(number: int = 900, size: int = 320) -> Pixels:
    """A photo that never was a JPEG."""
    return shoot(scene(number, size), different_cameras()[number % 4], device=2, seed=number)


@cache
def saved(quality: int = 90, subsampling: str = "4:2:0", number: int = 900) -> Pixels:
    return save_again(unsaved(number), quality=quality, subsampling=subsampling)


def as_photo(pixels: Pixels) -> Photo:
    return decode_photo(encode(pixels, "PNG"), "made.png")


def place(grid: Grid | None) -> tuple[int, int] | None:
    return (grid.row, grid.column) if grid else None


def place_in_block(grid: Grid | None) -> tuple[int, int] | None:
    return (grid.row % 8, grid.column % 8) if grid else None


def test_every_crop_is_found() -> None:
    pixels = saved()[:280, :280]
    for row in range(16):
        for column in range(row % 3, 16, 3):  # every column with five or six of the rows
            grid = find_grid(pixels[row:, column:])
            assert grid is not None
            assert (grid.row, grid.column, grid.period) == (-row % 16, -column % 16, (16, 16))


@pytest.mark.parametrize("quality", [60, 75, 90])
@pytest.mark.parametrize(("subsampling", "period"), [("4:4:4", (8, 8)), ("4:2:2", (8, 16)), ("4:2:0", (16, 16))])
@pytest.mark.parametrize("number", [900, 901, 902, 903])
def test_the_period_is_that_of_the_chroma(quality: int, subsampling: str, period: tuple[int, int], number: int) -> None:
    grid = find_grid(saved(quality, subsampling, number)[3:, 13:])
    assert grid is not None
    assert (grid.row % 8, grid.column % 8) == (5, 3)
    assert grid.period in (period, (8, 8))  # what is claimed is true; chroma without detail claims nothing
    assert (grid.row, grid.column) == (-3 % grid.period[0], -13 % grid.period[1])


def test_chroma_is_found_in_most_photos() -> None:
    grids = [find_grid(saved(quality, "4:2:0", number)) for quality in (75, 90, 98) for number in (900, 901, 902, 903)]
    assert np.mean([grid is not None and grid.period == (16, 16) for grid in grids]) >= 0.75


@pytest.mark.parametrize("change", ["resize 0.5", "resize 0.8", "resize 0.95", "resize 1.3", "resize 1.5", "resize 2.0"])
@pytest.mark.parametrize("number", [900, 901, 902, 903])
def test_no_grid_survives_a_resize(change: str, number: int) -> None:
    assert find_grid(degradation(change)(saved(90, number=number))) is None


def test_no_grid_where_there_never_was_one() -> None:
    for number in (900, 901, 902, 903):
        assert find_grid(unsaved(number)) is None
    for flat in (0, 90, 255):
        assert find_grid(np.full((300, 300, 3), flat, np.uint8)) is None
    assert find_grid(noise(300, 300, high=256)) is None
    assert find_grid(np.broadcast_to(np.arange(300, dtype=np.uint16)[:, None, None] // 2, (300, 300, 3)).astype(np.uint8)) is None


def test_a_grid_survives_gamma() -> None:
    assert place(find_grid(correct_gamma(saved()[3:, 5:], gamma=0.8))) == (13, 11)


def test_the_last_of_two_grids_is_found() -> None:
    again = save_again(np.ascontiguousarray(saved(90)[3:, 5:]), quality=85)
    assert place(find_grid(again)) == (0, 0)
    assert place(find_grid(again[2:, 9:])) == (14, 7)


def test_a_much_finer_second_saving_leaves_the_first_grid() -> None:
    assert place_in_block(find_grid(save_again(np.ascontiguousarray(saved(75)[3:, 5:]), quality=100))) == (5, 3)


@pytest.mark.parametrize("corner", [(0, 0), (300, 0), (411, 507), (260, 333)])
def test_the_window_with_detail_is_looked_at(corner: tuple[int, int]) -> None:
    pixels = np.full((749, 903, 3), 90, np.uint8)
    pixels[corner[0] : corner[0] + 320, corner[1] : corner[1] + 320] = unsaved()
    assert place(find_grid(save_again(pixels, quality=90)[1:, 4:])) == (15, 12)


def test_a_busy_piece_without_a_grid_does_not_hide_it() -> None:
    pixels = save_again(np.tile(unsaved(), (2, 2, 1)), quality=90)[7:, 2:]
    pixels[:240, :240] = noise(240, 240)  # the busiest window by far
    assert place_in_block(find_grid(pixels)) == (1, 6)


def test_small_photos() -> None:
    pixels = saved()[99:, 101:]
    assert place_in_block(find_grid(pixels[:64, :64])) == (-99 % 8, -101 % 8)
    assert find_grid(pixels[:63, :100]) is None
    assert find_grid(pixels[:100, :63]) is None
    assert find_grid(degradation("resize 0.8")(saved())[:64, :64]) is None


@pytest.mark.parametrize("quality", [1, 10, 24, 49, 50, 51, 75, 90, 95, 99, 100])
def test_the_quality_is_read_from_the_tables(quality: int) -> None:
    photo = decode_photo(encode(unsaved()[:64, :64], "JPEG", quality=quality), "made.jpg")
    assert photo.quantization is not None
    assert examine(photo).last_quality == standard_quality(photo.quantization) == quality


def test_other_tables_have_no_quality() -> None:
    photo = decode_photo(encode(unsaved()[:64, :64], "JPEG", quality=90), "made.jpg")
    luma, chroma = (photo.quantization or {})[0], (photo.quantization or {})[1]
    assert standard_quality({0: luma, 1: chroma, 2: chroma}) == 90
    assert standard_quality({0: (luma[0] + 1, *luma[1:]), 1: chroma}) is None
    assert standard_quality({0: chroma, 1: luma}) is None
    assert standard_quality({0: luma, 1: luma}) is None
    assert standard_quality({0: luma, 1: chroma, 2: luma}) is None
    assert standard_quality({0: luma}) is None
    assert standard_quality({1: chroma}) is None
    assert standard_quality({}) is None


def test_an_original_is_not_worth_a_word() -> None:
    for number, camera in enumerate(make_cameras(6, seed=3)):
        history = examine(decode_photo(save(shoot(scene(number, 256), camera, seed=number), camera, seed=number), "made.jpg"))
        assert history.words() == ()
        assert (history.cropped, history.once_jpeg, history.no_grid, history.last_quality) == (False, False, False, None)
        assert place(history.grid) in ((0, 0), None)


def test_a_crop_in_words() -> None:
    history = examine(as_photo(saved()[3:, 5:]))
    assert (history.cropped, history.once_jpeg, history.no_grid, history.last_quality) == (True, True, False, None)
    assert history.words() == ("its JPEG grid starts at row 13, column 11: it was cropped or turned after it was saved as a JPEG",)


def test_a_jpeg_as_png_is_once_jpeg() -> None:
    history = examine(as_photo(saved()))
    assert (place(history.grid), history.cropped, history.once_jpeg, history.no_grid) == ((0, 0), False, True, False)
    assert history.words() == ()


def test_a_resized_photo_in_words() -> None:
    resized = degradation("resize 0.8")(saved())
    history = examine(as_photo(resized))
    assert (history.grid, history.cropped, history.once_jpeg, history.no_grid) == (None, False, False, True)
    assert history.words() == ("no JPEG grid: it was resized or filtered, or never was a JPEG",)
    again = examine(decode_photo(encode(resized, "JPEG", quality=80), "made.jpg"))
    assert (again.no_grid, again.last_quality) == (False, 80)
    assert again.words() == ("saved with the standard tables at quality 80, as editors and messengers do and few cameras",)


def test_no_grid_is_not_claimed_where_none_was_looked_for_or_a_jpeg_hides_it() -> None:
    assert not examine(as_photo(noise(63, 200))).no_grid
    assert not examine(decode_photo(encode(noise(200, 200, high=256), "JPEG", quality=100), "made.jpg")).no_grid


def test_fine_standard_tables_are_those_of_many_cameras() -> None:
    assert examine(decode_photo(encode(unsaved(), "JPEG", quality=95), "made.jpg")).words() == ()


EDITED = (
    "Adobe Photoshop CS6 (Windows)",
    "GIMP 2.10.34",
    "Picasa",
    "Snapseed 2.0",
    "Photos 4.0",
    "paint.net 5.0.3",
    "Windows Photo Editor 10.0",
)
FIRMWARE = (
    "Ver.1.01",
    "14.4.2",
    "I9300XXEMG4",
    "HDR+ 1.0.345618096zd",
    "Digital Camera X-A2 Ver1.10",
    "COOLPIX L840V1.3",
    "Windows Phone",
)


@pytest.mark.parametrize("software", EDITED)
def test_editors_are_named(software: str) -> None:
    assert examine(replace(as_photo(saved()), software=software)).words() == (f"edited with {software}, as its EXIF says",)


@pytest.mark.parametrize("software", [*FIRMWARE, None])
def test_the_firmware_of_a_camera_is_no_trace(software: str | None) -> None:
    assert examine(replace(as_photo(saved()), software=software)).words() == ()


def test_words_come_together() -> None:
    history = History(Grid(3, 5, 0.4), cropped=True, last_quality=90, once_jpeg=False, no_grid=False, software="GIMP 3")
    assert [word[:12] for word in history.words()] == ["its JPEG gri", "saved with t", "edited with "]


@pytest.mark.parametrize(("row", "column"), [(3, 5), (0, 1), (8, 0), (15, 15)])
def test_patches_of_a_crop_are_patches_of_the_original(row: int, column: int) -> None:
    pixels = saved()
    patches = cut_patches(as_photo(pixels[row:, column:]))
    assert len(patches) == (5 if row == 0 else 4) * (5 if column == 0 else 4)
    for (down, across), patch in zip(patches.positions + np.array([row, column]), patches.pixels, strict=True):
        assert (down % 16, across % 16) == (0, 0)
        np.testing.assert_array_equal(patch, pixels[down : down + 64, across : across + 64])


def test_an_uncropped_photo_is_cut_as_ever(cameras: tuple[MadeCamera, ...]) -> None:
    for camera in cameras:
        photo = decode_photo(made_photo(camera, 900), "made.jpg")
        for rule in ("mid-tone", "quality", RESIZED):
            ours, plain = cut_patches(photo, rule=rule, count=9), select_patches(photo, rule=rule, count=9)
            np.testing.assert_array_equal(ours.positions, plain.positions)
            np.testing.assert_array_equal(ours.pixels, plain.pixels)


def test_a_grid_behind_which_no_patch_fits_is_left_alone() -> None:
    pixels = np.zeros((70, 64, 3), np.uint8)
    assert origin_of(pixels, Grid(6, 0, 0.4), size=64) == (6, 0)
    assert origin_of(pixels, Grid(7, 0, 0.4), size=64) == (0, 0)
    assert origin_of(pixels, Grid(0, 1, 0.4), size=64) == (0, 0)
    assert origin_of(pixels, None, size=64) == (0, 0)
    assert cut_patches(as_photo(saved()[3:67, 5:69])).positions.tolist() == [[0, 0]]


def test_a_crop_is_identified_as_the_same_patches_uncropped_and_says_so(
    bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]
) -> None:
    pixels = save_again(shoot(scene(900, 384), cameras[0], device=2, seed=900), quality=90)
    cropped = camtrace.identify(encode(pixels[59:, 53:], "PNG"), bundle=bundle, patches=25)
    aligned = camtrace.identify(encode(pixels[64:, 64:], "PNG"), bundle=bundle, patches=25)
    assert cropped.n_patches == 25
    assert cropped.ranking == aligned.ranking
    assert cropped.reason == (
        f"{aligned.reason}; its JPEG grid starts at row 5, column 11: it was cropped or turned after it was saved as a JPEG"
    )


def test_reference_photos_are_cut_on_their_grid_too(tmp_path: Path, cameras: tuple[MadeCamera, ...]) -> None:
    for name, start in (("cropped", (59, 53)), ("aligned", (64, 64))):
        for camera in cameras[:2]:
            folder = tmp_path / name / camera.name.replace(" ", "_")
            folder.mkdir(parents=True)
            for number in (900, 901):
                pixels = save_again(shoot(scene(number, 256), camera, device=2, seed=number), quality=90)
                (folder / f"{number}.png").write_bytes(encode(pixels[start[0] :, start[1] :], "PNG"))
    cropped, aligned = (camtrace.enroll(tmp_path / name, out=tmp_path / f"{name}.out", only=True) for name in ("cropped", "aligned"))
    first, second = (one.bundle.references() for one in (cropped, aligned))
    assert first.copies is not None
    assert second.copies is not None  # degraded copies depend on the file, and are left out here
    np.testing.assert_array_equal(first.features[first.copies == 0], second.features[second.copies == 0])


@pytest.mark.lab
def test_the_lab_cuts_on_the_grid_too(tmp_path: Path) -> None:
    pytest.importorskip("tqdm", reason="the lab needs its extra: pip install 'camtrace[lab]'")
    from camtrace.lab.datasets import Record
    from camtrace.lab.store import Cut, cache_photos

    pixels = saved()
    (tmp_path / "a.png").write_bytes(encode(pixels, "PNG"))
    record = Record(tmp_path / "a.png", "Aurora A100", "Aurora A100/0", "s0")
    store = cache_photos([record], tmp_path / "store", labels=[0], cut=Cut(degradation="shift 3"), jobs=1)
    whole = {pixels[row : row + 64, column : column + 64].tobytes() for row in range(0, 257, 16) for column in range(0, 257, 16)}
    assert len(store.patches) == 16
    assert all(patch.tobytes() in whole for patch in store.patches)
