"""Where in a photo something does not fit: blocks, clusters, maps, regions and what is said, with a net whose answers are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import camtrace.tampering.localization as localization
from camtrace.bundle import load_bundle
from camtrace.photo import decode_photo
from camtrace.tampering.alarm import Measured, read_measured
from camtrace.tampering.blocks import CELL, Blocks, choose_stride, find_centres, gather, informative, paint, split_blocks
from camtrace.tampering.grids import read_grids
from camtrace.tampering.localization import Localization, localize, locate, name_cells
from camtrace.tampering.regions import box_of, find_areas, outline_of
from camtrace.types import BundleId, CamtraceError, Photo
from made import different_cameras, encode, made_photo, noise
from made_splices import MEASURED, KnownNet, even, known_net, spliced


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> KnownNet:
    monkeypatch.setattr(localization, "read_measured", lambda: MEASURED)
    return known_net()


def as_photo(pixels: NDArray[np.uint8]) -> Photo:
    return Photo("a photo", "", pixels)


def test_a_splice_alarms_and_its_region_is_where_it_was_pasted(bundle: KnownNet) -> None:
    found = locate(as_photo(spliced()), bundle=bundle)
    assert found.alarm
    [region] = found.regions
    assert np.abs(np.subtract(region.box, (96, 64, 256, 192))).max() <= 32
    truth = np.zeros((320, 384), bool)
    truth[64:192, 96:256] = True
    mask = found.mask() == 255
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7
    assert mask.sum() == region.area
    assert region.camera == "Borealis B101"
    assert "closest to Borealis B101, the rest to Aurora A100" in region.reason
    heat = found.heat()
    assert heat.dtype == np.float32
    assert heat.shape == (320, 384)
    assert heat[100:160, 140:220].min() > 0 > heat[250:, :].max()
    assert set(found.camera_map()[250:].ravel().tolist()) == {0}
    assert set(found.camera_map()[100:160, 140:220].ravel().tolist()) == {1}


def test_a_photo_of_one_piece_does_not_alarm_and_names_nothing(bundle: KnownNet) -> None:
    found = locate(as_photo(even(320, 384)), bundle=bundle)
    assert (found.status, found.alarm, found.regions) == ("ok", False, ())
    assert found.score is not None
    assert found.score < MEASURED.threshold
    assert not found.mask().any()
    assert "nothing is claimed" in found.reason


def test_the_larger_part_is_the_dominant_one(bundle: KnownNet) -> None:
    pixels = spliced()
    pixels[..., 1] ^= 1  # now the pasted part is even
    [region] = locate(as_photo(pixels), bundle=bundle).regions
    assert np.abs(np.subtract(region.box, (96, 64, 256, 192))).max() <= 32
    assert region.camera == "Aurora A100"


def test_places_without_evidence_are_no_data(bundle: KnownNet) -> None:
    pixels = spliced()
    pixels[224:320, :128] = 255
    pixels[224:320, 256:] = 3
    found = locate(as_photo(pixels), bundle=bundle)
    heat = found.heat()
    assert np.isnan(heat[304:320, :64]).all()
    assert np.isnan(heat[304:320, 320:]).all()
    assert np.isfinite(heat[:160]).all()
    assert (found.camera_map()[304:320, :64] == -1).all()
    assert any("without data" in remark for remark in found.remarks)
    assert found.alarm


def test_the_head_is_asked_about_the_whole_photo_at_once(bundle: KnownNet) -> None:
    found = locate(as_photo(even(320, 384)), bundle=bundle)
    assert found.stride == 16
    assert bundle.asked == [17 * 21]  # (320 - 64) / 16 + 1 rows, (384 - 64) / 16 + 1 columns


def test_blocks_do_not_depend_on_the_batch_and_tiles_equal_the_whole(bundle: KnownNet) -> None:
    photo = as_photo(spliced())
    steps: list[tuple[int, int]] = []
    whole = gather(photo, bundle, origin=(0, 0), stride=32, on_step=lambda *step: steps.append(step))
    assert steps == [(number, 9) for number in range(1, 10)]
    for batch in (1, 5):
        again = gather(photo, bundle, origin=(0, 0), stride=32, batch=batch)
        assert np.array_equal(again.features, whole.features)
    tile = gather(as_photo(photo.pixels[64:256, 32:256]), bundle, origin=(0, 0), stride=32)
    assert np.array_equal(tile.features, whole.features[2:7, 1:7])
    assert np.array_equal(tile.usable, whole.usable[2:7, 1:7])


def test_the_real_net_says_the_same_of_a_tile_as_of_the_whole() -> None:
    photo = decode_photo(made_photo(different_cameras()[0], 900), "made")
    bundle = load_bundle(threads=1)
    whole = gather(photo, bundle, origin=(0, 0), stride=64)
    tile = gather(as_photo(photo.pixels[64:256, 128:320]), bundle, origin=(0, 0), stride=64, batch=2)
    assert whole.usable.any()
    assert np.allclose(tile.features, whole.features[1:4, 2:5], atol=1e-4)


def test_the_real_net_finds_what_another_made_camera_took() -> None:
    aurora, borealis = different_cameras()[:2]
    pixels = decode_photo(made_photo(aurora, 900), "host").pixels.copy()
    pixels[128:288, 112:272] = decode_photo(made_photo(borealis, 901), "donor").pixels[128:288, 112:272]
    found = localize(encode(pixels, "PNG"), stride=32, name="made")
    assert found.status == "ok"
    heat = found.heat()
    outside = np.ones(heat.shape, bool)
    outside[128:288, 112:272] = False
    # the middle of what was pasted is more foreign than nearly all that was not
    assert np.nanmedian(heat[160:256, 144:240]) > np.nanquantile(heat[outside], 0.9)


def test_blocks_lie_on_the_grid_of_a_cropped_photo(bundle: KnownNet) -> None:
    whole = decode_photo(made_photo(different_cameras()[0], 902), "made").pixels
    found = locate(as_photo(np.ascontiguousarray(whole[3:, 5:])), bundle=bundle)
    row, column = found.origin
    assert (row % 8, column % 8) == (5, 3)
    heat = found.heat()
    assert heat.shape == (381, 379)
    assert np.isnan(heat[:row]).all()
    assert np.isnan(heat[:, :column]).all()
    assert found.cells is not None
    assert (381 - row) - CELL * found.cells.shape[0] < CELL  # less than a cell is left over
    assert any("JPEG grid starts" in remark for remark in found.remarks)


def jpeg(height: int, width: int, *, quality: int, seed: int = 0) -> NDArray[np.uint8]:
    """Textured pixels that were saved as JPEG."""
    picture = Image.fromarray(noise(height // 4, width // 4, seed=seed, low=60, high=190)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return decode_photo(encode(picture, "JPEG", quality=quality), "jpeg").pixels


def test_a_part_with_another_jpeg_grid_is_found_and_does_not_move_the_photos_own(bundle: KnownNet) -> None:
    pixels = jpeg(512, 512, quality=85).copy()
    donor = jpeg(512, 512, quality=85, seed=1)
    pixels[100:356, 200:456] = donor[3:259, 5:261]
    grids = read_grids(pixels)
    assert (grids.found, grids.origin) == (True, (0, 0))
    assert grids.others >= 9
    cells = grids.to_cells((32, 32), cell=CELL, origin=(0, 0))
    assert cells[10:18, 16:24].min() == 1  # in the middle of what was pasted
    assert cells[26:, :].max() == 0
    assert cells[:, :8].max() == 0
    found = locate(as_photo(pixels), bundle=bundle)
    assert found.origin == (0, 0)
    assert found.grid_map()[160:288, 260:380].min() == 1
    assert any("windows have another JPEG grid than most" in remark for remark in found.remarks)
    assert not any("cropped or turned" in remark for remark in found.remarks)


def test_a_photo_with_one_grid_or_none_has_no_other() -> None:
    whole = jpeg(512, 512, quality=90)
    assert read_grids(whole).others == 0
    cropped = read_grids(whole[3:, 13:])
    assert (cropped.origin[0] % 8, cropped.origin[1] % 8, cropped.others) == (5, 3, 0)
    none = read_grids(noise(300, 300))
    assert (none.found, none.origin, none.others) == (False, (0, 0), 0)
    assert np.isnan(none.to_cells((18, 18), cell=CELL, origin=(0, 0))).all()


def test_a_region_says_so_where_its_grid_is_another_one_too(bundle: KnownNet) -> None:
    pixels = jpeg(512, 512, quality=85).copy()
    pixels[100:356, 200:456] = jpeg(512, 512, quality=85, seed=1)[3:259, 5:261]
    pixels[..., 1] &= 254
    pixels[100:356, 200:456, 1] |= 1
    [region] = locate(as_photo(pixels), bundle=bundle).regions
    assert "its JPEG grid is another one" in region.reason
    [plain] = locate(as_photo(spliced()), bundle=bundle).regions
    assert "grid" not in plain.reason


def test_a_noisier_part_is_raised_in_the_fused_map_and_said_only_if_it_was_measured(
    bundle: KnownNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft = Image.fromarray(noise(10, 12, low=60, high=190)).resize((384, 320), Image.Resampling.BICUBIC)
    pixels = np.asarray(soft, np.int64) + np.random.default_rng(0).normal(0, 2, (320, 384, 3)).round().astype(np.int64)
    pixels[64:192, 96:256] += np.random.default_rng(1).normal(0, 6, (128, 160, 3)).round().astype(np.int64)
    pixels = pixels.clip(8, 250)
    pixels[..., 1] &= ~1
    pixels[64:192, 96:256, 1] |= 1
    photo = as_photo(pixels.astype(np.uint8))
    quiet = locate(photo, bundle=bundle)
    assert np.array_equal(quiet.heat(), quiet.consistency_map())
    assert "noisier" not in quiet.regions[0].reason
    monkeypatch.setattr(localization, "read_measured", lambda: replace(MEASURED, noise=0.5, usual_noise=1.0, noise_limit=2.5))
    found = locate(photo, bundle=bundle)
    assert found.noise_map()[112:144, 144:208].min() > 2.5
    raised = (found.heat() - found.consistency_map())[112:144, 144:208]
    assert np.allclose(raised, 0.5 * (np.minimum(found.noise_map()[112:144, 144:208], 5) - 1), atol=1e-4)
    assert "it is noisier than the rest at its brightness and texture" in found.regions[0].reason


def test_an_enlarged_part_is_said_and_takes_no_part_in_the_fused_map(bundle: KnownNet, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = even(384, 448)
    larger = np.asarray(Image.fromarray(noise(320, 320, seed=4, low=60, high=190)).resize((416, 416), Image.Resampling.BICUBIC))
    pixels[96:288, 128:320] = larger[7:199, 5:197]
    pixels[96:288, 128:320, 1] |= 1
    monkeypatch.setattr(localization, "read_measured", lambda: replace(MEASURED, resampling_limit=1.2))
    found = locate(as_photo(pixels), bundle=bundle)
    assert found.resampling_map()[176:208, 208:240].min() > 1.2
    assert "it has traces of enlarging that the rest has not" in found.regions[0].reason
    assert np.array_equal(found.heat(), found.consistency_map())
    plain = locate(as_photo(spliced()), bundle=bundle)
    assert "enlarging" not in plain.regions[0].reason


def test_stride_by_the_size_of_the_photo() -> None:
    assert choose_stride((512, 512, 3), size=64) == 16
    assert choose_stride((3000, 4000, 3), size=64) == 32
    assert choose_stride((4000, 6000, 3), size=64) == 48
    assert choose_stride((10_000, 10_000, 3), size=64) == 64


def test_flat_dark_and_saturated_blocks_are_not_informative() -> None:
    textured = noise(64, 64, low=60, high=190)
    sky = np.full_like(textured, 120)
    dark = textured // 16
    burnt = textured.copy()
    burnt[:8] = 255
    spot = textured.copy()
    spot[:4] = 255
    assert informative(np.stack([textured, sky, dark, burnt, spot])).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_centres_of_two_clusters(share: float) -> None:
    rng = np.random.default_rng(0)
    foreign = int(400 * share)
    points = rng.normal(0, 1, (400, 20)).astype(np.float32)
    points[:foreign] += 3
    first, second = find_centres(points)
    assert np.allclose(first, 0, atol=0.6)
    assert np.allclose(second, 3, atol=0.6)


def test_every_cell_is_the_mean_of_the_usable_blocks_over_it() -> None:
    starts = np.array([0, 16])
    usable = np.array([[True, True], [True, False]])
    blocks = Blocks(starts, starts, np.zeros((2, 2, 1), np.float32), usable, 32)
    cells = paint(blocks, np.array([[1, 3], [8, 99]], np.float32))
    expected = [[1, 2, 3], [4.5, 4, 3], [8, 8, np.nan]]
    assert np.array_equal(cells, np.array(expected, np.float32), equal_nan=True)
    several = paint(blocks, np.stack([np.array([[1, 3], [8, 99]])] * 2, axis=-1).astype(np.float32))
    assert np.array_equal(several[..., 1], cells, equal_nan=True)


def test_a_feature_that_never_changes_is_not_blown_up() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (10, 10, 16)).astype(np.float32)
    features[..., 0] = 5
    features[3, 3, 0] = 5.001
    blocks = Blocks(np.arange(10) * 64, np.arange(10) * 64, features, np.ones((10, 10), bool), 64)
    split = split_blocks(blocks, smooth=False)
    assert np.isfinite(split.separation)
    assert split.separation < 2


def test_what_cannot_be_judged_is_reported(bundle: KnownNet) -> None:
    cases = {
        "unreadable": b"no photo",
        "too_small": encode(noise(63, 200), "PNG"),
        "no_usable_patches": encode(np.full((300, 300, 3), 128, np.uint8), "PNG"),
    }
    for status, data in cases.items():
        found = localize(data, bundle=bundle, name="x.jpg")
        assert (found.status, found.alarm, found.score, found.regions) == (status, False, None, ())
        assert "x.jpg" in found.reason
        assert found.to_dict()["status"] == status
        with pytest.raises(CamtraceError, match=r"x\.jpg: there is no map"):
            found.heat()
    few = localize(encode(even(96, 128), "PNG"), bundle=bundle)
    assert few.status == "no_usable_patches"
    assert "15 of 15 blocks carry evidence, expected at least 40" in few.reason


def test_the_result_as_json(bundle: KnownNet) -> None:
    found = localize(encode(spliced(), "PNG"), bundle=bundle, name="x.png")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(document) == {
        *("schema_version", "source", "sha256", "status", "reason", "alarm", "score", "threshold", "regions", "maps", "remarks"),
        *("size", "stride", "bundle"),
    }
    assert document["size"] == [384, 320]
    assert document["maps"].keys() == {"fused", "consistency", "cameras", "jpeg_grid", "noise", "resampling", "doubled_jpeg"}
    [region] = document["regions"]
    assert set(region) == {"box", "polygon", "area", "score", "probability", "camera", "reason"}
    assert region["probability"] is None  # never a percentage that was not fitted


def test_probability_once_it_is_fitted(bundle: KnownNet, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = replace(MEASURED, slope=2.0, offset=-1.0)
    assert fitted.probability(np.array([0.5, 0.5], np.float32)) == pytest.approx(0.5)
    assert fitted.probability(np.array([1.5], np.float32)) == pytest.approx(1 / (1 + np.exp(-2)))
    monkeypatch.setattr(localization, "read_measured", lambda: fitted)
    [region] = locate(as_photo(spliced()), bundle=bundle).regions
    assert region.probability is not None
    assert 0.5 < region.probability <= 1


def test_what_the_threshold_was_not_measured_on_is_said(bundle: KnownNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def remarks(measured: Measured) -> str:
        monkeypatch.setattr(localization, "read_measured", lambda: measured)
        return " ".join(locate(as_photo(even(192, 192)), bundle=bundle).remarks)

    assert "threshold" not in remarks(MEASURED)
    assert "of 100 pixels a side, this one is larger" in remarks(replace(MEASURED, largest_side=100))
    assert "not measured with the bundle known 1" in remarks(replace(MEASURED, bundles=[["other", "1"]]))


def test_the_shipped_figures_keep_their_promise() -> None:
    measured = read_measured()
    assert measured.genuine >= 100
    assert measured.alarms / measured.genuine <= 0.05
    assert (measured.slope is None) == (measured.offset is None)


def test_labels_of_cells_without_data() -> None:
    starts = np.arange(2) * 64
    usable = np.array([[True, False], [True, True]])
    features = np.zeros((2, 2, 8), np.float32)
    features[1] = 10
    labels, scores = name_cells(known_net(), Blocks(starts, starts, features, usable, 64))
    assert labels[0, 0] == 0
    assert labels[0, 7] == -1
    assert labels[7, 7] == 1
    assert np.isnan(scores[0, 7]).all()


SHAPES = {
    "square": (["##", "##"], [(0, 0), (2, 0), (2, 2), (0, 2)]),
    "corner": (["##", "#."], [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]),
    "plus": (
        [".#.", "###", ".#."],
        [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1)],
    ),
    "ring": (["###", "#.#", "###"], [(0, 0), (3, 0), (3, 3), (0, 3)]),
    "pinched": (["##.", "#.#", "###"], [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (2, 2), (2, 1), (3, 1), (3, 3), (0, 3)]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_outlines(name: str) -> None:
    drawing, corners = SHAPES[name]
    area = np.array([[sign == "#" for sign in line] for line in drawing])
    assert list(outline_of(area, origin=(0, 0), cell=1)) == corners
    assert list(outline_of(area, origin=(5, 3), cell=16)) == [(3 + 16 * x, 5 + 16 * y) for x, y in corners]


def test_areas_are_connected_by_sides_and_not_too_small() -> None:
    marked = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]], bool)
    first, second = find_areas(marked, smallest=2)
    assert np.argwhere(first).tolist() == [[1, 2], [1, 3], [2, 2]]
    assert np.argwhere(second).tolist() == [[0, 0], [0, 1]]
    assert box_of(first, origin=(2, 1), cell=16) == (33, 18, 65, 50)
    assert find_areas(marked, smallest=4) == []


def test_a_result_without_arrays_still_has_its_words() -> None:
    found = Localization("x", None, "unreadable", "why", False, None, None, BundleId("a", "1"))
    assert found.to_dict()["reason"] == "why"


def test_photos_are_judged_as_stored(bundle: KnownNet) -> None:
    picture = Image.fromarray(spliced())
    exif = picture.getexif()
    exif[0x0112] = 6  # to be shown turned: boxes and maps are those of the stored pixels
    found = localize(encode(picture, "PNG", exif=exif.tobytes()), bundle=bundle)
    assert found.size == (384, 320)
    assert found.regions[0].box[2] <= 288
