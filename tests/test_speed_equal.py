"""What was made fast gives what the plain way gives: the patches, the grid, the features and the whole verdict, to the last digit."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from camtrace.bundle import load_bundle
from camtrace.history import _halve
from camtrace.identification import gather, identify, ready
from camtrace.patches import RULES, select_patches
from camtrace.screening import find_burden
from camtrace.simulator import draw_scene, make_cameras, shoot
from camtrace.types import Patches, Photo, Verdict

Pixels = NDArray[np.uint8]
SIZE = 64


def shot(height: int, width: int, *, seed: int) -> Pixels:
    return shoot(draw_scene(height, width, seed=seed), make_cameras(3, seed=3)[seed % 3], seed=seed)[:height, :width]


def as_file(pixels: Pixels, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def plain_score(patch: Pixels) -> float:
    samples = patch.astype(np.float64)
    return -math.inf if samples.max() >= 255 else -abs(float(samples.mean()) - 127.5)


def plain_positions(pixels: Pixels, origin: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """The best patches, each looked at by itself, those earlier in the grid first among equals."""
    scored = [
        (-plain_score(pixels[row : row + SIZE, column : column + SIZE]), row, column)
        for row in range(origin[0], pixels.shape[0] - SIZE + 1, SIZE)
        for column in range(origin[1], pixels.shape[1] - SIZE + 1, SIZE)
    ]
    return [(row, column) for score, row, column in sorted(scored) if score < math.inf][:count]


def plain_verdict(data: bytes, pixels: Pixels, origin: tuple[int, int]) -> tuple[NDArray[np.int64], Verdict]:
    """Pillow's pixels, patches looked at one by one and cut by hand, each run through the network alone; voting is the bundle's."""
    bundle = load_bundle(threads=1)
    positions = np.array(plain_positions(pixels, origin, bundle.manifest.patch_count), np.int64)
    cut = [
        Patches(pixels[None, row : row + SIZE, column : column + SIZE].copy(), np.zeros((1, 2), np.int64)) for row, column in positions
    ]
    features = np.concatenate([bundle.extract(patch) for patch in cut])
    votes = bundle.cast_votes(features)
    found = gather(data)
    assert found.votes is not None
    np.testing.assert_array_equal(votes.labels, found.votes.labels)
    np.testing.assert_array_equal(votes.scores, found.votes.scores)
    return positions, found.verdict


CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "4:2:0": ({"kind": "JPEG", "quality": 90, "subsampling": 2}, (0, 0)),
    "4:2:2, progressive": ({"kind": "JPEG", "quality": 95, "subsampling": 1, "progressive": True}, (0, 0)),
    "4:4:4, odd sides": ({"kind": "JPEG", "quality": 93, "subsampling": 0}, (0, 0)),
    "PNG, its grid moved": ({"kind": "PNG"}, (5, 3)),
    "TIFF": ({"kind": "TIFF"}, (0, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_main_path_gives_what_the_plain_way_gives(name: str) -> None:
    options, origin = CASES[name]
    pixels = shot(520, 648, seed=len(name))
    if "moved" in name:
        saved = Image.open(io.BytesIO(as_file(pixels, "JPEG", quality=92, subsampling=0)))
        pixels = np.asarray(saved)[8 - origin[0] :, 8 - origin[1] :]
    data = as_file(pixels[: 511 if "odd" in name else None, : 645 if "odd" in name else None], **options)
    decoded = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    positions, verdict = plain_verdict(data, decoded, origin)
    found = gather(data)
    assert found.patches is not None
    assert verdict.status == "ok"
    np.testing.assert_array_equal(found.patches.positions, positions)
    assert (found.verdict, identify(data)) == (verdict, verdict)


@given(data=st.data())
def test_sums_are_exact_wherever_the_samples_lie(data: st.DataObject) -> None:
    """Odd and even widths, starts and patch sizes, and views that are not contiguous: none of them may change a score."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = data.draw(st.sampled_from([7, 8, 33, 64]))
    whole = rng.integers(0, 256, (data.draw(st.integers(70, 140)), data.draw(st.integers(70, 140)), 3)).astype(np.uint8)
    whole[rng.random(whole.shape) < 0.5] = 254
    row, column = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    view = whole[row:, column:]
    for rule in RULES.builtin.values():
        np.testing.assert_array_equal(rule(view, size), rule(np.ascontiguousarray(view), size))
        np.testing.assert_array_equal(rule(np.asfortranarray(view), size), rule(view, size))
    means = [
        [view[down : down + size, across : across + size].mean() for across in starts(view.shape[1], size)]
        for down in starts(view.shape[0], size)
    ]
    expected = -np.abs(np.array(means) - 127.5)
    np.testing.assert_allclose(RULES["mid-tone"](view, size), expected, rtol=0, atol=1e-9)


def starts(side: int, size: int) -> range:
    return range(0, side - size + 1, size)


@pytest.mark.parametrize("size", [256, 257, 258, 512])
def test_sums_of_large_patches_do_not_overflow(size: int) -> None:
    pixels = np.full((size, size, 3), 254, np.uint8)
    assert RULES["mid-tone"](pixels, size).tolist() == [[-126.5]]
    assert RULES["quality"](pixels, size)[0, 0] == pytest.approx(0.7 * 4 * (254 / 255) * (1 / 255))


def test_patches_are_copies_and_not_views_of_the_photo() -> None:
    pixels = np.full((64, 128, 3), 100, np.uint8)
    patches = select_patches(Photo("made.png", "0" * 64, pixels))
    pixels[...] = 7
    assert np.unique(patches.pixels).tolist() == [100]
    assert patches.pixels.flags.c_contiguous


@pytest.mark.parametrize("count", [1, 7, 8, 9, 33])
def test_features_do_not_depend_on_which_patches_are_run_together(count: int) -> None:
    bundle = ready(None)
    pixels = np.random.default_rng(count).integers(0, 255, (count, SIZE, SIZE, 3)).astype(np.uint8)
    positions = np.zeros((count, 2), np.int64)
    together = bundle.extract(Patches(pixels, positions))
    alone = np.concatenate([bundle.extract(Patches(pixels[one : one + 1], positions[one : one + 1])) for one in range(count)])
    assert together.shape == (count, bundle.manifest.dimension)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5 * np.abs(alone).max())


@given(height=st.integers(4, 41), width=st.integers(4, 41), seed=st.integers(0, 2**32 - 1))
def test_halving_is_the_mean_of_four_and_a_blur_undone(height: int, width: int, seed: int) -> None:
    plane = np.random.default_rng(seed).normal(0, 50, (height, width)).astype(np.float32)
    rows, columns = height // 2, width // 2
    half = np.array(
        [[plane[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].astype(np.float64).mean() for c in range(columns)] for r in range(rows)]
    )
    down = half.copy()
    for row in range(1, rows - 1):
        down[row] = half[row] - (half[row + 1] - 2 * half[row] + half[row - 1]) / 8
    across = down.copy()
    for column in range(1, columns - 1):
        across[:, column] = down[:, column] - (down[:, column + 1] - 2 * down[:, column] + down[:, column - 1]) / 8
    np.testing.assert_allclose(_halve(plane), across, rtol=0, atol=1e-4)


@pytest.mark.parametrize("begins", [b"", b"\xff\xd8\xff\xe0\x00\x04ab"])
def test_scan_markers_are_counted_wherever_they_lie(begins: bytes) -> None:
    """Two such markers are looked at, one is not: here neither is a scan of the photo's own, so nothing is refused."""
    for content in (b"\xff\xda", b"\xff\xff\xda\xff\xda", b"\xff\xda" * 5, b"\xda\xff" * 5, b"\xff\xda" + b"\0" * 5000 + b"\xff\xda"):
        assert find_burden(begins + content, 8, 8) is None


def test_a_photo_keeps_its_pixels_while_it_is_judged() -> None:
    pixels = shot(256, 256, seed=1)
    photo = Photo("made.png", "0" * 64, pixels.copy())
    select_patches(photo, rule="quality", origin=(3, 5))
    select_patches(replace(photo, source="again"), rule="mid-tone", origin=(1, 1))
    np.testing.assert_array_equal(photo.pixels, pixels)
