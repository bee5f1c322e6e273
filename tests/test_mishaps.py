"""Degraded copies of a reference photo: the same every time, begun on its grid, of a middle of bounded size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from camtrace import mishaps
from camtrace.degrade import save_again
from camtrace.experts import OF_A_COPY
from camtrace.history import cut_patches, find_grid
from camtrace.mishaps import COPIES, WINDOW, copies_each, copies_of
from camtrace.types import Claim, Patches, Photo
from made import noise

Pixels = NDArray[np.uint8]


def textured(height: int, width: int, *, seed: int = 0, quality: int = 90) -> Pixels:
    """A smooth texture, saved once as JPEG."""
    coarse = Image.fromarray(noise(height // 4 + 1, width // 4 + 1, seed=seed, low=60, high=190))
    return save_again(np.array(coarse.resize((width, height), Image.Resampling.BICUBIC)), quality=quality)


def as_photo(pixels: Pixels, sha256: str = "ab" * 32) -> Photo:
    return Photo("a.jpg", sha256, pixels)


def copies(photo: Photo, origin: tuple[int, int] = (0, 0), *, size: int = 64) -> list[Patches]:
    return [patches for _, patches in copies_of(photo, origin, rule="mid-tone", size=size)]


@pytest.fixture
def degraded(monkeypatch: pytest.MonkeyPatch) -> list[Pixels]:
    """What is given to be degraded; nothing happens to it."""
    seen: list[Pixels] = []

    def look_only(pixels: Pixels, _: np.random.Generator, *, smallest: int = 64) -> Pixels:
        assert smallest == 64
        seen.append(pixels)
        return pixels

    monkeypatch.setattr(mishaps, "change_at_random", look_only)
    monkeypatch.setattr(mishaps, "save_again_at_random", look_only)
    return seen


def same(first: list[Patches], second: list[Patches]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))


PHOTO = as_photo(textured(320, 256))


def test_each_copy_is_another_with_patches_of_its_own() -> None:
    found = copies(PHOTO)
    assert len(found) == COPIES
    for patches in found:
        assert 1 <= len(patches) <= OF_A_COPY
        assert patches.pixels.shape[1:] == (64, 64, 3)
        assert patches.pixels.dtype == np.uint8
    untouched = cut_patches(PHOTO).pixels
    bests = [patches.pixels[0].tobytes() for patches in found]
    assert len(set(bests)) >= COPIES - 2, "two may be saved at the same quality by chance"
    assert not {patch.tobytes() for patch in untouched} & set(bests)


def test_copies_depend_on_the_photo_alone_by_its_hash() -> None:
    first = copies(PHOTO)
    assert same(first, copies(PHOTO))
    renamed = replace(PHOTO, source="b.jpg", claim=Claim("Nikon", "D90"), software="GIMP", quantization={0: (1,) * 64})
    assert same(first, copies(renamed))
    assert not same(first, copies(replace(PHOTO, sha256="ac" * 32)))
    assert copies(replace(PHOTO, sha256="")), "a photo without a hash, made in memory, is no error"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_of_fewer_copies_the_first_ones_are_made(count: int) -> None:
    fewer = dict(copies_of(PHOTO, (0, 0), rule="mid-tone", size=64, count=count))
    assert [*fewer] == list(range(1, count + 1))
    assert same([*fewer.values()], copies(PHOTO)[:count])


def test_every_other_copy_is_only_saved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object, **__: object) -> Pixels:
        return np.full((64, 64, 3), 255, np.uint8)  # no usable patch

    monkeypatch.setattr(mishaps, "change_at_random", ended)
    assert [number for number, _ in copies_of(PHOTO, (0, 0), rule="mid-tone", size=64)] == [1, 3, 5, 7, 9, 11]


def test_a_camera_with_many_photos_needs_fewer_copies_of_each() -> None:
    counts = {1: 12, 5: 12, 8: 12, 9: 10, 10: 10, 12: 8, 16: 6, 20: 4, 25: 4, 33: 2, 50: 2, 100: 2, 5000: 2}
    assert {photos: copies_each(photos) for photos in counts} == counts
    assert COPIES == 12


def test_the_photo_itself_is_not_changed() -> None:
    pixels = textured(200, 200)
    before = pixels.copy()
    copies(as_photo(pixels))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("size", [(64, 64), (65, 200), (71, 64), (100, 100)])
def test_small_photos_survive(size: tuple[int, int]) -> None:
    found = copies(as_photo(textured(*size)))
    assert len(found) == COPIES
    assert min(len(patches) for patches in found) >= 1


@pytest.mark.parametrize("side", [48, 96])
def test_patches_have_the_size_asked_for(side: int) -> None:
    assert {patches.pixels.shape[1:] for patches in copies(PHOTO, size=side)} == {(side, side, 3)}


def test_copies_without_a_usable_patch_are_left_out() -> None:
    white = as_photo(np.full((128, 128, 3), 255, np.uint8))
    assert len(copies(white)) < COPIES  # those that gamma or noise made darker may be left


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 6), (5, 0), (7, 7)])
@pytest.mark.parametrize("side", [200, 1200])
def test_copies_begin_on_the_grid(row: int, column: int, side: int, degraded: list[Pixels]) -> None:
    whole = textured(side, side)
    cropped = whole[8 - row if row else 0 :, 8 - column if column else 0 :]  # the next block begins at (row, column)
    copies(as_photo(cropped), (row, column))
    grid = find_grid(degraded[0])
    assert grid is not None
    assert (grid.row % 8, grid.column % 8) == (0, 0)


@pytest.mark.parametrize(("shape", "expected"), [((3000, 1000), (WINDOW, WINDOW)), ((500, 2000), (500, WINDOW)), ((90, 70), (90, 70))])
def test_only_so_much_of_the_middle_is_degraded(shape: tuple[int, int], expected: tuple[int, int], degraded: list[Pixels]) -> None:
    rows, columns = np.indices(shape)
    copies(as_photo(np.stack([rows // 16, columns // 16, rows * 0 + 50], axis=2).astype(np.uint8)))
    assert {pixels.shape for pixels in degraded} == {(*expected, 3)}
    for axis in (0, 1):
        middle = degraded[0][:, :, axis].astype(int) * 16 + 8  # where it lies in the photo
        assert abs(middle.mean() - shape[axis] / 2) <= 16 + 8


def test_a_grid_at_the_edge_costs_pixels_not_copies(degraded: list[Pixels]) -> None:
    copies(as_photo(textured(80, 90)), (7, 15))
    assert {pixels.shape for pixels in degraded} == {(73, 75, 3)}


def test_degrading_gets_a_stream_of_its_own_for_each_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one degradation more or less would change all that come after it."""
    seen: list[float] = []

    def draw(pixels: Pixels, rng: np.random.Generator, *, smallest: int = 64) -> Pixels:
        seen.append(rng.random())
        rng.random(smallest * len(seen))
        return pixels

    monkeypatch.setattr(mishaps, "change_at_random", draw)
    monkeypatch.setattr(mishaps, "save_again_at_random", draw)
    copies(PHOTO)
    copies(PHOTO)
    assert len(set(seen)) == COPIES
    assert seen[:COPIES] == seen[COPIES:]
