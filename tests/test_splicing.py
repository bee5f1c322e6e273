"""The evaluation of localization: which splices are made, what truth they carry, and how figures and threshold come from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab.cli import app as lab  # noqa: E402
from camtrace.lab.datasets import Record, read_dataset  # noqa: E402
from camtrace.lab.experiments import splicing as experiment  # noqa: E402
from camtrace.lab.forging import Forgery, Way, draw, forge  # noqa: E402
from camtrace.lab.splice_metrics import Row  # noqa: E402
from camtrace.lab.splicing import app, count_pasted, read_rows, summarise, write_rows  # noqa: E402
from camtrace.lab.splicing_fit import choose_threshold, fit_measured, fit_probability, to_document  # noqa: E402
from camtrace.tampering.alarm import judge_photo, parse_measured  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_helpers import make_dataset  # noqa: E402

ROW = Row("b", "1", "Aurora A100", "", "native", False, "ok", 512, score=1.0, with_data=1.0)


def record(camera: str, number: int = 0) -> Record:
    return Record(Path(f"{camera}{number}.jpg"), camera, "d0", "s0")


def rows(scores: Sequence[float], *, donor: str = "", **changes: str) -> list[Row]:
    return [replace(ROW, score=score, donor=donor, **changes) for score in scores]  # type: ignore[arg-type]


def seen(separation: float, *, donor: str = "", likeness: float | None = 5.0) -> Row:
    return replace(ROW, donor=donor, separation=separation, likeness=likeness, compactness=0.5)


def test_splices_are_of_two_makers_and_genuine_photos_of_one_camera() -> None:
    records = [record(camera, number) for camera in ("A 1", "A 2", "B 1", "C 1") for number in range(3)]
    drawn = draw(records, 40, genuine=30, seed=1)
    assert [one.donor is None for one in drawn] == [False] * 40 + [True] * 30
    donors = [(one.host.camera, one.donor.camera) for one in drawn if one.donor]
    assert all(host[0] != donor[0] for host, donor in donors)
    assert len(set(donors)) > 6
    assert sum(one.aligned for one in drawn) == 20
    assert drawn == draw(records, 40, genuine=30, seed=1)
    assert drawn != draw(records, 40, genuine=30, seed=2)


def test_splices_of_one_maker_are_of_two_cameras() -> None:
    records = [record(camera) for camera in ("A 1", "A 2", "B 1")]
    donors = {(one.host.camera, one.donor.camera) for one in draw(records, 30, genuine=0, seed=0, relation="same") if one.donor}
    assert donors == {("A 1", "A 2"), ("A 2", "A 1")}
    with pytest.raises(CamtraceError, match="1 cameras, none of which"):
        draw([record("A 1")], 1, genuine=0, seed=0)


@pytest.mark.parametrize(("place", "taken"), [((0, 0), (0, 0)), (((1000), 1000), (1000, 1000)), ((333, 777), (123, 456))])
@pytest.mark.parametrize("aligned", [False, True])
def test_the_mask_is_where_the_donor_shows(place: tuple[int, int], taken: tuple[int, int], aligned: bool) -> None:
    host = np.zeros((100, 120, 3), np.uint8)
    down, across = np.indices((110, 90))
    donor = np.stack([down + 100, across + 100, np.full_like(down, 255)], axis=-1).astype(np.uint8)
    forgery = Forgery(record("A 1"), record("B 1"), place, taken, aligned)
    pasted, mask = forge(host, donor, forgery, side=32)
    assert mask.sum() == 32 * 32
    assert np.array_equal(pasted[..., 2] == 255, mask)
    assert not host.any()
    row, column = np.argwhere(mask)[0]
    phase = (pasted[row, column, 0] - 100 - row) % 16, (pasted[row, column, 1] - 100 - column) % 16
    assert not aligned or phase == (0, 0)
    inside = pasted[mask].reshape(32, 32, 3).astype(int)
    assert (np.diff(inside[..., 0], axis=0) == 1).all()
    assert (np.diff(inside[..., 1], axis=1) == 1).all()


def test_a_feathered_edge_fades() -> None:
    forgery = Forgery(record("A 1"), record("B 1"), (500, 500), (0, 0), False)
    pasted, mask = forge(np.zeros((96, 96, 3), np.uint8), np.full((96, 96, 3), 200, np.uint8), forgery, side=64, feather=8)
    line = pasted[48, :, 0].astype(int)
    begins = int(np.argmax(line > 0))
    assert line[begins : begins + 9].tolist() == [12, 38, 62, 88, 112, 138, 162, 188, 200]
    assert mask[48].sum() == 64 - 2 * 4
    with pytest.raises(CamtraceError, match="expected at least 80"):
        forge(np.zeros((79, 99, 3), np.uint8), np.zeros((99, 99, 3), np.uint8), forgery, side=64)


def test_at_most_a_twentieth_of_the_genuine_photos_reach_the_threshold() -> None:
    scores = [number / 100 for number in range(100)]  # 0.00 to 0.99
    threshold = choose_threshold({"all": scores})
    assert threshold == pytest.approx(0.94, abs=0.001)
    assert sum(score >= threshold for score in scores) == 5
    # every group keeps the promise, not only all of them together
    assert choose_threshold({"all": scores, "few": [2.0, 1.5]}) > 2.0
    with pytest.raises(CamtraceError, match="no genuine photo"):
        choose_threshold({})


def test_what_is_fitted_tells_splices_and_keeps_the_promise() -> None:
    rng = np.random.default_rng(0)
    genuine = [seen(float(np.exp(value)), likeness=float(other)) for value, other in rng.normal(0, 1, (200, 2)) * [0.3, 6] + [0, 8]]
    forged = [replace(row, donor="B 1", separation=row.separation * 2, likeness=-10.0) for row in genuine[:80] if row.separation]
    truth = rng.random(4000) < 0.2
    cells = np.stack([rng.normal(0, 1, 4000) + truth, 0.4 * truth, np.abs(rng.normal(0, 1, 4000)) + truth, truth], axis=1)
    windows = np.stack([np.linspace(-1, 1, 201), np.linspace(0, 2, 201)], axis=1)
    measured = fit_measured([*genuine, *forged], cells, windows)
    assert (measured.genuine, measured.bundles, measured.largest_side) == (200, [["b", "1"]], 512)
    assert measured.alarms <= 10
    assert measured.compared.separation > 0 > measured.compared.likeness
    for without in (False, True):
        founds = [row.found and replace(row.found, likeness=None if without else row.found.likeness) for row in (*genuine, *forged)]
        alarms = [found is not None and judge_photo(measured, found) >= measured.threshold for found in founds]
        assert sum(alarms[:200]) <= 10
        assert sum(alarms[200:]) > 40
    assert measured.noise > 0
    assert measured.grid > 0
    assert (measured.noise_limit, measured.resampling_limit) == pytest.approx((0.98, 1.96), abs=0.02)
    assert measured == parse_measured(json.dumps(to_document(measured))) or measured.noise == pytest.approx(
        parse_measured(json.dumps(to_document(measured))).noise, abs=1e-4
    )
    with pytest.raises(CamtraceError, match="splices or genuine photos are missing"):
        fit_measured(genuine, cells, windows)


def test_figures_of_a_table() -> None:
    forged = [replace(row, auc=auc, f1=0.5, iou=0.25) for row, auc in zip(rows([3.0, 1.0], donor="B 1"), (1.0, 0.5), strict=True)]
    forged[0] = replace(forged[0], aligned=True)
    summary = summarise([*forged, *rows([2.0, 0.5])], 2.0)
    assert summary["pixel_auc"] == {"all": 0.75, "aligned": 1.0, "anywhere": 0.5}
    assert summary["found"] == {"all": 0.5, "aligned": 1.0, "anywhere": 0.0}
    assert (summary["false_alarms"], summary["genuine"], summary["photo_auc"]) == (1, 2, 0.75)


def test_probability_is_calibrated_on_its_own_samples() -> None:
    rng = np.random.default_rng(0)
    excess = rng.normal(0, 2, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * excess - 2)))
    assert fit_probability(np.stack([excess, truth], axis=1)) == pytest.approx((1.5, -2), abs=0.1)


def test_tables_come_back(tmp_path: Path) -> None:
    table = [ROW, replace(ROW, donor="B 1", aligned=True, auc=0.5, f1=0.25, iou=0.125), seen(1.5, likeness=None)]
    write_rows(table, tmp_path / "t.csv")
    assert read_rows(tmp_path / "t.csv") == table
    assert [row.found is None for row in table] == [True, True, False]


def test_pasted_pixels_are_counted_by_cells() -> None:
    mask = np.zeros((40, 50), bool)
    mask[10:30, 20:40] = True
    counted = count_pasted(mask, (2, 2), (3, 5))  # cells from row 3 and column 5 on
    assert counted.tolist() == [[9 * 1, 9 * 16], [11 * 1, 11 * 16]]


@pytest.mark.parametrize("place", [(0, 0), (200, 700)])
def test_a_ragged_outline_is_one_irregular_piece(place: tuple[int, int]) -> None:
    forgery = Forgery(record("A 1"), record("B 1"), place, (0, 0), False)
    host, donor = np.zeros((160, 160, 3), np.uint8), np.full((160, 160, 3), 200, np.uint8)
    pasted, mask = forge(host, donor, forgery, side=128, outline="ragged")
    assert np.array_equal(pasted[..., 0] == 200, mask)
    assert label(mask)[1] == 1
    assert 0.05 < mask.sum() / 128**2 < 0.9
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask.sum() < 0.95 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_splices_of_one_camera_are_of_two_photos() -> None:
    records = [record(camera, number) for camera in ("A 1", "B 1") for number in range(3)] + [record("C 1")]
    drawn = draw(records, 30, genuine=0, seed=0, relation="camera")
    assert {one.host.camera for one in drawn} == {"A 1", "B 1"}
    for one in drawn:
        assert one.donor is not None
        assert one.donor.camera == one.host.camera
        assert one.donor.path != one.host.path


def test_the_commands_end_in_what_ships(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", cameras=2, devices=1, photos=2, size=256)
    assert len(read_dataset(tmp_path / "data")) == 4
    words = ["evaluate", "--data", tmp_path / "data", "--out", tmp_path / "out", "--count", 1, "--genuine", 2, "--side", 96]
    done = CliRunner().invoke(app, [*map(str, words), "--state", "jpeg 90", "--scale", "1.2"])
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert (summary["splices"], summary["genuine"], summary["state"], summary["scale"]) == (1, 2, "jpeg 90", 1.2)
    assert 0 <= summary["maps"]["auc_noise"] <= 1
    done = CliRunner().invoke(app, ["fit", str(tmp_path / "out" / "photos.csv"), "--out", str(tmp_path / "fitted.json")])
    assert done.exit_code == 0, done.output
    fitted = parse_measured((tmp_path / "fitted.json").read_text("utf-8"))
    assert (fitted.genuine, fitted.alarms) == (2, 0)


def test_one_command_gives_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"small": Way(side=96), "re-saved": Way(side=96, state="jpeg 90"), "one maker": Way(relation="same"), "huge": Way(side=900)}
    monkeypatch.setattr(experiment, "KINDS", kinds)
    monkeypatch.setattr(experiment, "PER_SPLIT", 1)
    make_dataset(tmp_path / "data", cameras=2, devices=1, photos=2, size=192)
    words = ["reproduce", "splicing", "--data", tmp_path / "data", "--out", tmp_path / "out", "--splits", 1]
    done = CliRunner().invoke(lab, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out" / "splicing.html").read_text("utf-8")
    assert "the bundle that ships is measured" in page
    assert "no two cameras stand as asked for: huge, one maker" in page
    assert "the better of map and inverse" in page
    figures = json.loads((tmp_path / "out" / "splicing.json").read_text("utf-8"))
    assert [(row["kind"], row["splices"], row["genuine"]) for row in figures] == [("small", 1, 1), ("re-saved", 1, 1)]
    assert (tmp_path / "out" / "splicing.svg").is_file()
    assert len(read_rows(tmp_path / "out" / "splicing-photos.csv")) == 4
