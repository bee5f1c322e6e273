"""The arithmetic behind the figures about devices, and that the calibration which ships is the one they give."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from camtrace.devices.device import CALIBRATION
from camtrace.devices.fingerprint import Sums
from camtrace.lab.devices import Row, bootstrap, calibrate, read_rows, resaved, summarise, total_of, variants, write_rows
from camtrace.lab.devices_made import equal_error, made_study
from made import noise

COMPARISONS = Path(__file__).parents[1] / "docs" / "results" / "devices" / "comparisons.csv"


def rows(variant: str = "as is", kind: str = "nat") -> list[Row]:
    """Two devices, three photos each: matches at 100, 50 and 20, others at 5, one of them at 30."""
    found = []
    for device, other in (("a", "b"), ("b", "a")):
        for number, pce in enumerate((100.0, 50.0, 20.0)):
            name = f"{device}{number}"
            found.append(Row(variant, name, kind, device, device, pce, 10 ** (-pce / 5)))
            found.append(Row(variant, name, kind, device, other, 30.0 if name == "a2" else 5.0, 0.01 if name == "a2" else 0.3))
    return found


def test_equal_error_by_hand() -> None:
    assert equal_error(np.array([3.0, 4, 5]), np.array([0.0, 1, 2])) == 0
    assert equal_error(np.array([1.0, 3, 5, 7]), np.array([0.0, 2, 4, 6])) == pytest.approx(0.5, abs=0.13)
    assert equal_error(np.array([5.0, 6, 7, 1]), np.array([0.0, 0, 0, 6.5])) == pytest.approx(0.25)


def test_summary_by_hand() -> None:
    (line,) = summarise(rows())
    assert (line["photos"], line["others"], line["others_named"]) == (6, 6, 0)
    assert (line["highest_other"], line["lowest_match"]) == (30, 20)
    assert line["median_match"][0] == 50  # type: ignore[index]
    assert line["named"][0] == pytest.approx(4 / 6)  # type: ignore[index]
    assert line["auc"][0] == pytest.approx(34 / 36)  # type: ignore[index]
    assert line["ranked_first"] == pytest.approx(1)  # a2's p-value is the smaller one


def test_bootstrap_covers_the_value() -> None:
    value, low, high = bootstrap(np.arange(100.0), np.mean)
    assert value == 49.5
    assert 40 < low < value < high < 60


def test_calibration_rises_and_counts_photos() -> None:
    both = [*rows(), *rows("crop 512"), *(replace(row, photo=row.photo + "f") for row in rows(kind="flat")), *rows("resize 0.8")]
    cases = calibrate(both)["cases"]
    assert isinstance(cases, dict)
    assert set(cases) == {"one place", "searched"}
    one = cases["one place"]
    assert one["slope"] > 0 > one["intercept"]
    assert (one["ordinary_photos_matching"], one["photos_not_matching"]) == (6, 12)
    assert (one["low"], one["high"]) == (-0.3, 0.6)
    assert (one["non_matching"], one["false_alarms"], one["rate_at_most"]) == (12, 0, 0.25)
    assert cases["searched"]["non_matching"] == 12  # resized photos count as searched


def test_comparisons_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_rows(rows(), tmp_path / "rows.csv")
    assert read_rows(tmp_path / "rows.csv") == [replace(row, p_value=float(f"{row.p_value:.5g}")) for row in rows()]


def test_the_calibration_that_ships_follows_from_the_comparisons() -> None:
    shipped = json.loads(resources.files("camtrace.devices").joinpath(CALIBRATION).read_text("utf-8"))
    again = json.loads(json.dumps(calibrate(read_rows(COMPARISONS))))
    for name, case in shipped["cases"].items():
        assert again["cases"][name] == pytest.approx(case, abs=0.02)


def test_real_matches_are_above_all_others_twins_included() -> None:
    whole = [row for row in read_rows(COMPARISONS) if row.variant == "as is"]
    assert len(whole) == 48 * 6
    for kind in ("flat", "nat"):
        own, other = ([row.pce for row in whole if row.matching is matching and row.kind == kind] for matching in (True, False))
        assert min(own) > max(other)


def test_variants_are_cut_where_they_say() -> None:
    pixels = noise(1024, 1024)
    made = dict(variants(pixels, np.random.default_rng(0)))
    assert len(made) == 11
    for side in (512, 256):
        piece, area, _ = made[f"piece {side}"]
        np.testing.assert_array_equal(piece, pixels[area])
        assert piece.shape == (side, side, 3)
    assert made["resize 0.8, no --scales"][0].shape == (819, 819, 3)
    assert made["resize 0.8, no --scales"][2].scales == ()


def test_sums_of_several_photos() -> None:
    parts = [Sums.of(noise(128, 128, seed=seed)) for seed in range(3)]
    np.testing.assert_allclose(total_of(parts).squares, sum(part.squares for part in parts), rtol=1e-5)
    assert resaved(noise(64, 64), 70).shape == (64, 64, 3)


def test_made_devices_are_told_apart_better_with_more_photos() -> None:
    lines = made_study(lambda _: None, devices=2, questioned=1, counts=(2, 5), qualities=(97,))
    assert [line["enrolment_photos"] for line in lines] == [2, 5]
    assert lines[1]["median_match"] > lines[0]["median_match"]  # type: ignore[operator]
    assert lines[1]["first_full"] == 1
