"""`camtrace localize` and what it draws: which files are written, what is never written over, and what pictures show."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

import camtrace.tampering.localization as localization
from camtrace.cli.localize import localize as command
from camtrace.tampering.heatmap import colour, draw_heat, draw_mask, draw_page
from camtrace.tampering.labelmap import PALETTE, draw_labels, rank_cameras
from camtrace.tampering.localization import Localization, lead, locate
from camtrace.types import CamtraceError, Photo
from made import encode
from made_splices import MEASURED, even, known_net, spliced

app = typer.Typer()
app.command()(command)


def run(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The net whose answers are known instead of the one that ships."""
    monkeypatch.setattr(localization, "read_measured", lambda: MEASURED)
    monkeypatch.setattr(localization, "ready", lambda _: known_net())


@pytest.fixture
def forged(tmp_path: Path) -> Path:
    path = tmp_path / "forged.png"
    path.write_bytes(encode(spliced(), "PNG"))
    return path


@pytest.fixture
def genuine(tmp_path: Path) -> Path:
    path = tmp_path / "genuine.png"
    path.write_bytes(encode(even(320, 384), "PNG"))
    return path


def judged(pixels: np.ndarray, source: str = "x") -> tuple[Photo, Localization]:
    photo = Photo(source, "", pixels)
    return photo, locate(photo, bundle=known_net())


def picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_text_says_what_was_found_and_with_which_numbers(forged: Path, genuine: Path) -> None:
    alarm = run(forged)
    assert (alarm.exit_code, alarm.stderr) == (0, "")
    lines = alarm.stdout.splitlines()
    assert lines[0] == str(forged)
    assert re.fullmatch(
        r"  ALARM: two clusters of its blocks lie \d+\.\d\d apart: score \d+\.\d\d, 0\.41 is asked for: 1 area\(s\) do not fit .*",
        lines[1],
    )
    assert re.fullmatch(r"  Region 1:  x \d+ to \d+, y \d+ to \d+, \d+\.\d% of the photo; not calibrated into a probability", lines[2])
    assert lines[-1] == "  Bundle:    known 1"
    quiet = run(genuine)
    assert quiet.exit_code == 0
    assert "  No alarm: " in quiet.stdout
    assert "Region" not in quiet.stdout


def test_all_outputs_at_once(forged: Path, tmp_path: Path) -> None:
    heat, mask, raw, cameras = (tmp_path / name for name in ("heat.png", "mask.png", "raw.npy", "cameras.png"))
    result = run(forged, "--to", "json", "--heatmap", heat, "--mask", mask, "--heatmap-raw", raw, "--camera-map", cameras)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    found = localization.localize(forged)
    assert document == found.to_dict()
    assert document["alarm"]
    assert np.array_equal(np.load(raw, allow_pickle=False), found.heat(), equal_nan=True)
    assert np.load(raw).dtype == np.float32
    assert np.array_equal(picture(mask.read_bytes()), found.mask())
    assert set(np.unique(picture(mask.read_bytes())).tolist()) == {0, 255}
    assert picture(heat.read_bytes()).shape[1] >= 384
    assert picture(cameras.read_bytes()).shape[0] > 320


def test_a_quiet_photo_has_an_empty_mask_and_no_regions(genuine: Path, tmp_path: Path) -> None:
    result = run(genuine, "--to", "json", "--mask", tmp_path / "mask.png")
    assert json.loads(result.stdout)["regions"] == []
    mask = picture((tmp_path / "mask.png").read_bytes())
    assert mask.shape == (320, 384)
    assert not mask.any()


def test_pictures_and_pages_on_standard_output(forged: Path) -> None:
    drawn = run(forged, "--to", "png")
    assert drawn.exit_code == 0
    assert picture(drawn.stdout_bytes).shape[0] > 320
    page = run(forged, "--to", "html")
    assert page.exit_code == 0
    assert page.stdout.startswith("<!doctype html>")


def test_a_photo_from_standard_input(forged: Path) -> None:
    document = json.loads(run("-", "--to", "json", stdin=forged.read_bytes()).stdout)
    assert (document["source"], document["alarm"]) == ("<stdin>", True)


def test_nothing_is_written_over_unless_forced(forged: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.png"
    kept.write_bytes(b"mine")
    refused = run(forged, "--mask", kept)
    assert isinstance(refused.exception, CamtraceError)
    assert f"{kept}: exists; --force writes over it" in str(refused.exception)
    assert kept.read_bytes() == b"mine"
    assert run(forged, "--mask", kept, "--force").exit_code == 0
    assert picture(kept.read_bytes()).shape == (320, 384)


def test_the_photo_itself_is_never_written_over(forged: Path, tmp_path: Path) -> None:
    before = forged.read_bytes()
    for words in (("--mask", forged, "--force"), ("--heatmap", tmp_path / "sub" / ".." / forged.name, "--force")):
        (tmp_path / "sub").mkdir(exist_ok=True)
        assert "is the photo itself" in str(run(forged, *words).exception)
    (tmp_path / "link.png").hardlink_to(forged)
    assert "is the photo itself" in str(run(forged, "--mask", tmp_path / "link.png", "--force").exception)
    assert forged.read_bytes() == before


def test_bad_targets_are_refused_before_any_work(forged: Path, tmp_path: Path) -> None:
    both = tmp_path / "one.png"
    assert "given for two outputs" in str(run(forged, "--mask", both, "--heatmap", both).exception)
    assert "there is no folder" in str(run(forged, "--mask", tmp_path / "gone" / "m.png").exception)
    assert not both.exists()


def test_what_cannot_be_judged_is_status_1_and_writes_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    small.write_bytes(encode(even(40, 40), "PNG"))
    for form in ("text", "json", "png", "html"):
        result = run(small, "--to", form, "--mask", tmp_path / "mask.png")
        assert result.exit_code == 1
        assert "too_small" in (result.stderr if form in ("png", "html") else result.stdout)
    gone = run(tmp_path / "gone.jpg")
    assert gone.exit_code == 1
    assert "not judged (unreadable)" in gone.stdout
    assert "gone.jpg: cannot be read" in gone.stdout
    assert json.loads(run(tmp_path / "gone.jpg", "--to", "json").stdout)["status"] == "unreadable"
    assert not (tmp_path / "mask.png").exists()


@pytest.mark.parametrize("words", [(), ("x.jpg", "--to", "xml"), ("x.jpg", "--stride", "20"), ("x.jpg", "y.jpg")])
def test_wrong_usage_is_status_2(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_stride_reaches_the_blocks(forged: Path) -> None:
    assert json.loads(run(forged, "--to", "json", "--stride", "32").stdout)["stride"] == 32


def test_colours_grow_lighter_from_fitting_to_foreign() -> None:
    colours = colour(np.linspace(0, 1, 101, dtype=np.float32)).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    # blue against yellow is what people with red-green blindness tell apart
    assert colours[0, 2] > colours[0, 0]
    assert colours[-1, 0] > colours[-1, 2]
    assert np.array_equal(colour(np.array([-3, 4], np.float32)), colour(np.array([0, 1], np.float32)))


def test_foreign_places_are_lighter_and_places_without_data_are_hatched() -> None:
    pixels = spliced()
    pixels[224:320, :128] = 128
    drawn = picture(draw_heat(*judged(pixels))).astype(int)
    foreign, fitting = drawn[110:150, 150:200], drawn[250:300, 300:380]
    assert foreign[..., 0].mean() > fitting[..., 0].mean() + 60
    hatched = drawn[304:320, :40]
    flat = (hatched == hatched[..., :1]).all(axis=2)
    assert flat.all()  # no colour of the map
    assert {0, 128, 255} == set(np.unique(hatched).tolist())


def test_a_large_photo_is_drawn_smaller_and_its_map_stays_in_place() -> None:
    pixels = even(128, 1700)
    pixels[:, 1200:1500, 1] |= 1
    photo, found = judged(pixels)
    drawn = picture(draw_heat(photo, found)).astype(int)
    assert drawn.shape[1] == 850
    columns = drawn[20:44, :, 0].mean(axis=0)
    assert columns[620:730].mean() > columns[100:560].mean() + 60
    assert picture(draw_mask(found)).shape == (128, 1700)


def test_the_scale_does_not_follow_the_photo() -> None:
    _, quiet = judged(even(320, 384))
    assert quiet.cells is not None
    drawn = picture(draw_heat(Photo("x", "", even(320, 384)), quiet)).astype(int)
    strongest = drawn[:320, :384, 0].max() - drawn[:320, :384, 2].min()
    loud = picture(draw_heat(*judged(spliced()))).astype(int)
    assert loud[110:150, 150:200, 0].mean() > drawn[:320, :384, 0].mean() + 30
    assert strongest < 255


def test_the_page_stands_alone_and_trusts_no_file_name() -> None:
    page = draw_page(*judged(spliced(), "<script>alert(1)</script>.png"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert page.count("data:image/") == 3
    assert 'type="range"' in page
    assert "no proof of forgery" in page


def test_a_photo_that_was_not_judged_cannot_be_drawn() -> None:
    found = localization.localize(b"no photo", name="x")
    with pytest.raises(CamtraceError, match="there is no map"):
        draw_heat(Photo("x", "", even(64, 64)), found)


def test_each_camera_has_its_colour_and_the_unsure_is_paler() -> None:
    pixels = spliced()
    pixels[224:320, :128] = 128
    photo, found = judged(pixels)
    drawn = np.asarray(draw_labels(photo, found)).astype(int)
    assert rank_cameras(found) == [0, 1]
    for colour_of, area in zip(PALETTE, (drawn[20:50, 300:380], drawn[110:150, 150:200]), strict=False):
        grey = np.asarray(Image.fromarray(area.astype(np.uint8)).convert("L"), float)
        cast = area.mean(axis=(0, 1)) - grey.mean()
        assert np.corrcoef(cast, np.array(colour_of) - np.mean(colour_of))[0, 1] > 0.9
    hatched = drawn[304:320, :40]
    assert (hatched == hatched[..., :1]).all()
    assert found.certainty is not None
    unsure = replace(found, certainty=np.zeros_like(found.certainty))
    pale = np.asarray(draw_labels(photo, unsure)).astype(int)
    assert np.ptp(pale[110:150, 150:200].mean(axis=(0, 1))) < np.ptp(drawn[110:150, 150:200].mean(axis=(0, 1)))
    with pytest.raises(CamtraceError, match="there is no map"):
        draw_labels(photo, replace(found, labels=None))


def test_the_lead_of_the_closest_camera() -> None:
    scores = np.array([[[0.0, 0.0, -1.0], [5.0, -5.0, 0.0], [np.nan] * 3]], np.float32)
    assert lead(scores)[0].tolist() == pytest.approx([0.0, np.tanh(2.5), np.nan], nan_ok=True)
    assert lead(scores[..., :1])[0].tolist() == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
