"""The evaluation of localization: which splices are made, what truth they carry, and how figures and threshold come from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from camtrace.lab.datasets import Record, read_dataset
from camtrace.lab.splicing import (
    Forgery,
    Row,
    app,
    choose_threshold,
    draw,
    fit_probability,
    forge,
    read_rows,
    summarise,
    write_rows,
)
from camtrace.types import CamtraceError
from lab_helpers import make_dataset

pytestmark = pytest.mark.lab

ROW = Row("b", "1", "Aurora A100", "", "native", False, "ok", 1.0, 512, 1.0)


def record(camera: str, number: int = 0) -> Record:
    return Record(Path(f"{camera}{number}.jpg"), camera, "d0", "s0")


def rows(scores: Sequence[float], *, donor: str = "", **changes: str) -> list[Row]:
    return [replace(ROW, score=score, donor=donor, **changes) for score in scores]  # type: ignore[arg-type]


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
    donors = {(one.host.camera, one.donor.camera) for one in draw(records, 30, genuine=0, seed=0, same_maker=True) if one.donor}
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
    threshold = choose_threshold([*rows(scores), *rows([9.0], donor="B 1")])
    assert threshold == pytest.approx(0.95)
    assert sum(score >= threshold for score in scores) == 5
    # each bundle and state keeps the promise, not only all of them together
    assert choose_threshold([*rows(scores), *rows([2.0, 1.5], state="jpeg 90")]) > 2.0
    with pytest.raises(CamtraceError, match="no genuine photo"):
        choose_threshold(rows([1.0], donor="B 1"))


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
    table = [ROW, replace(ROW, donor="B 1", aligned=True, auc=0.5, f1=0.25, iou=0.125)]
    write_rows(table, tmp_path / "t.csv")
    assert read_rows(tmp_path / "t.csv") == table


def test_the_commands_end_in_what_ships(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", cameras=2, devices=1, photos=2, size=320)
    assert len(read_dataset(tmp_path / "data")) == 4
    words = ["evaluate", "--data", tmp_path / "data", "--out", tmp_path / "out", "--count", 1, "--genuine", 2, "--side", 96]
    done = CliRunner().invoke(app, [*map(str, words), "--state", "jpeg 90"])
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert (summary["splices"], summary["genuine"], summary["state"]) == (1, 2, "jpeg 90")
    done = CliRunner().invoke(app, ["fit", str(tmp_path / "out" / "photos.csv"), "--out", str(tmp_path / "fitted.json")])
    assert done.exit_code == 0, done.output
    fitted = json.loads((tmp_path / "fitted.json").read_text("utf-8"))
    assert (fitted["genuine"], fitted["alarms"]) == (2, 0)
    assert fitted["threshold"] > max(row.score for row in read_rows(tmp_path / "out" / "photos.csv") if not row.donor)
