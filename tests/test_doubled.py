"""Twice rounded coefficients: a part that lacks the first saving is found where that can be known, and nothing is said elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import camtrace.tampering.doubled as doubled
import camtrace.tampering.localization as localization
from camtrace.photo import decode_photo
from camtrace.tampering.doubled import NEEDED, read_doubled
from camtrace.tampering.fusion import find_reasons
from camtrace.tampering.localization import locate
from made import encode, noise
from made_splices import MEASURED, known_net

Pixels = NDArray[np.uint8]
PIECE = (slice(101, 261), slice(133, 325))  # off any grid


def scene(seed: int = 0) -> Pixels:
    """Textured pixels (384, 448, 3) that were never saved."""
    coarse, fine = (Image.fromarray(noise(384 // cut, 448 // cut, seed=seed + cut, low=40, high=210)) for cut in (16, 4))
    parts = (np.asarray(part.resize((448, 384), Image.Resampling.BICUBIC), float) for part in (coarse, fine))
    return np.clip(sum(parts) / 2, 0, 255).astype(np.uint8)


def saved(pixels: Pixels, quality: int) -> tuple[Pixels, tuple[int, ...]]:
    """Saved and decoded, and the luma's steps."""
    photo = decode_photo(encode(pixels, "JPEG", quality=quality), "saved")
    assert photo.quantization is not None
    return photo.pixels, photo.quantization[0]


@pytest.mark.parametrize("first", [75, 85])
def test_a_piece_that_was_never_on_the_first_grid_stands_out(first: int) -> None:
    pixels = saved(scene(), first)[0].copy()
    pixels[PIECE] = scene(seed=50)[PIECE]
    found = read_doubled(*saved(pixels, 92))
    assert found.certainty > 3
    cells = found.to_cells((24, 28), cell=16, origin=(0, 0))
    outside = np.ones(cells.shape, bool)
    outside[3:20, 5:24] = False  # areas of 72 pixels are pooled
    assert cells[8:15, 10:19].min() > 0 > cells[outside].max()


def test_a_photo_saved_once_has_no_trace() -> None:
    found = read_doubled(*saved(scene(), 92))
    assert found.certainty < NEEDED
    assert np.isnan(found.to_cells((24, 28), cell=16, origin=(0, 0))).all()


def test_the_same_steps_twice_leave_hardly_a_trace() -> None:
    other, same = (read_doubled(*saved(saved(scene(), first)[0], 90)).certainty for first in (85, 90))
    assert same < 2 < 3 < other


def test_files_without_tables_and_tiny_ones_say_nothing() -> None:
    twice, steps = saved(saved(scene(), 75)[0], 92)
    assert read_doubled(twice, steps).certainty > NEEDED
    assert read_doubled(twice, None).certainty == 0
    for tiny in (twice[:15, :15], twice[:8], twice[:, :9]):
        assert np.isnan(read_doubled(tiny, steps).to_cells((1, 1), cell=16, origin=(0, 0))).all()
    flat = np.full((128, 128, 3), 90, np.uint8)
    assert read_doubled(flat, steps).certainty == 0


def test_strips_make_no_difference_to_the_own_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, steps = saved(saved(scene(), 75)[0], 92)
    whole = read_doubled(pixels, steps)
    monkeypatch.setattr(doubled, "_STRIP", 7)
    strips = read_doubled(pixels, steps)
    # moved grids lose the last blocks of a strip, so that only what they are compared with differs a little
    assert strips.certainty == pytest.approx(whole.certainty, rel=0.2)
    assert np.corrcoef(strips.blocks.ravel(), whole.blocks.ravel())[0, 1] > 0.98


def test_cells_begin_at_the_origin() -> None:
    found = doubled.Doubled(2.0, np.arange(24, dtype=np.float32).reshape(4, 6))  # 32x48 pixels
    assert found.to_cells((1, 2), cell=16, origin=(0, 0)).tolist() == [[7, 9]]  # the blocks at pixels (8, 8) and (8, 24)
    assert found.to_cells((1, 2), cell=16, origin=(5, 9)).tolist() == [[8, 10]]  # (13, 17) and (13, 33)
    assert found.to_cells((3, 1), cell=16, origin=(0, 0)).ravel().tolist() == [7, 19, 19]  # the last row again beyond the photo


def test_a_part_without_the_first_saving_is_said_and_takes_no_part_in_the_fused_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localization, "read_measured", lambda: MEASURED)
    pixels = saved(scene(), 75)[0].copy()
    pixels[PIECE] = scene(seed=50)[PIECE]
    photo = decode_photo(encode(pixels, "JPEG", quality=92), "twice")
    found = locate(photo, bundle=known_net())
    assert found.layers is not None
    assert found.doubled_map()[144:224, 176:280].min() > 0 > np.median(found.doubled_map()[320:, :])
    assert np.array_equal(found.heat(), found.consistency_map())
    area = np.zeros(found.layers.doubled.shape, bool)
    area[9:15, 11:17] = True
    assert "it lacks the trace of an earlier JPEG that the rest has" in list(find_reasons(area, found.layers, MEASURED))
    assert not any("earlier JPEG" in reason for reason in find_reasons(~area, found.layers, MEASURED))
    never_saved = locate(replace(photo, quantization=None), bundle=known_net())
    assert np.isnan(never_saved.doubled_map()).all()
