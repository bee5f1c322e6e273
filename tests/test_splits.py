"""Splits as such: overlap is refused, and the manifests they are kept in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camtrace.lab.datasets import Record
from camtrace.lab.protocols import (
    PROTOCOLS,
    Split,
    check_disjoint,
    check_split,
    draw_device_scene,
    draw_random_photo,
    load_splits,
    save_splits,
)
from camtrace.types import CamtraceError
from record_sets import ROOT, drawn, own_scenes, record


def test_overlap_is_an_error_that_names_one() -> None:
    records = own_scenes([2], scenes=2, photos=2)
    check_disjoint(records, [0, 1, 2, 3], [4, 5])
    with pytest.raises(CamtraceError, match="train and test share the device C00/0 and 0 more"):
        check_disjoint(records, [0, 1], [2, 3])
    twins = [record("A", 0, "beach", 0), record("B", 0, "beach", 0)]
    with pytest.raises(CamtraceError, match="share the scene beach"):
        check_disjoint(twins, [0], [1])
    with pytest.raises(CamtraceError, match=r"share the photo .*0\.jpg"):
        check_disjoint(records, [0], [0])
    with pytest.raises(CamtraceError, match="validation and left_out share the camera C00"):
        check_disjoint(records, [0], [7], promise=["camera"], sides=("validation", "left_out"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": (0,)}, "train and validation share the photo"),
        ({"validation": (1,)}, "train and validation share the scene o0-0-0"),
        ({"test": (2,)}, "train and test share the device C00/0"),
        ({"validation": (4,), "test": (5,)}, "validation and test share the scene o0-1-0"),
        ({"left_out": (4,)}, "train and left_out share the camera C00"),
        ({"test": (8,), "left_out": (10,)}, "test and left_out share the camera C01"),
    ],
)
def test_check_split_looks_at_all_sides(changes: dict[str, tuple[int, ...]], message: str) -> None:
    records = own_scenes([2, 2], scenes=2, photos=2)
    split = replace(Split((0,), (), (), (), "device-or-scene", 0, 0), **changes)  # type: ignore[arg-type]
    with pytest.raises(CamtraceError, match=message):
        check_split(records, split)


def test_a_protocol_has_no_other_sides() -> None:
    with pytest.raises(CamtraceError, match="protocol scene has no side left_out, found 1 photos there"):
        check_split(own_scenes([1, 1], scenes=2), Split((0,), (), (4,), (8,), "scene", 0, 0))


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_saved_splits_come_back(name: str, tmp_path: Path) -> None:
    records = own_scenes([2, 3, 1, 1], scenes=5)
    splits = drawn(name, records)
    manifest = tmp_path / "new" / "splits.json"
    save_splits(manifest, records, splits, ROOT)
    assert load_splits(manifest, records, ROOT) == splits
    moved = [replace(photo, path=tmp_path / photo.path.relative_to(ROOT)) for photo in records]  # the set lies elsewhere today
    (tmp_path / "photos.csv").touch()
    assert load_splits(manifest, moved, tmp_path / "photos.csv") == splits
    turned = load_splits(manifest, records[::-1], ROOT)
    last = len(records) - 1
    assert [{last - index for index in split.train} for split in turned] == [set(split.train) for split in splits]


def test_the_manifest_is_plain_and_says_when_it_leaks(tmp_path: Path) -> None:
    records = own_scenes([2], scenes=2)
    save_splits(tmp_path / "a.json", records, draw_random_photo(records, count=1, seed=9), ROOT)
    found = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert (found["format"], found["protocol"], found["leaky"], found["seed"], found["photos"]) == (1, "random-photo", True, 9, 16)
    assert set(found["splits"][0]) == {"number", "train", "validation", "test", "left_out"}
    assert "C00/0/o0-0-0/" in {re.sub(r"\d\.jpg$", "", name) for name in found["splits"][0]["train"]}


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, list[Record]]:
    """A manifest of honest splits and its records."""
    records = own_scenes([3, 3], scenes=3)
    save_splits(tmp_path / "splits.json", records, draw_device_scene(records, count=2, seed=0), ROOT)
    return tmp_path / "splits.json", records


def test_splits_of_another_data_set_are_refused(kept: tuple[Path, list[Record]]) -> None:
    manifest, records = kept
    for others in (
        records[1:],
        [*records[1:], replace(records[0], scene="another")],
        [*records[1:], replace(records[0], device="C00/9")],
        [*records[1:], replace(records[0], camera="C01")],
        [*records[1:], replace(records[0], path=ROOT / "renamed.jpg")],
    ):
        with pytest.raises(CamtraceError, match=f"of another data set than data: 72 photos there and {len(others)} here"):
            load_splits(manifest, others, ROOT)


def _edit(manifest: Path, **changes: Any) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text("utf-8")) | changes), "utf-8")


def test_a_manifest_edited_to_overlap_is_refused(kept: tuple[Path, list[Record]]) -> None:
    manifest, records = kept
    first, second = json.loads(manifest.read_text("utf-8"))["splits"]
    _edit(manifest, splits=[first, second | {"train": second["train"] + second["test"][:1]}])
    with pytest.raises(CamtraceError, match=r"splits\.json: train and test share the photo"):
        load_splits(manifest, records, ROOT)


def test_a_leaky_manifest_renamed_to_honest_is_refused(tmp_path: Path) -> None:
    records = own_scenes([3, 3], scenes=3)
    save_splits(tmp_path / "s.json", records, draw_random_photo(records, count=1, seed=0), ROOT)
    _edit(tmp_path / "s.json", protocol="device-scene", leaky=False)
    with pytest.raises(CamtraceError, match=r"s\.json: train and validation share the scene o\d-\d-\d and \d+ more"):
        load_splits(tmp_path / "s.json", records, ROOT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "splits of format 2, expected 1"),
        ({"protocol": "best"}, "unknown protocol 'best', expected one of device-scene"),
        ({"protocol": ["scene"]}, "no manifest of splits; expected an object with format, protocol"),
        ({"splits": {}}, "no manifest of splits"),
        ({"splits": [3]}, "damaged manifest of splits: TypeError"),
        ({"splits": [{"number": 0, "train": []}]}, "damaged manifest of splits: KeyError 'validation'"),
        ({"splits": [{"number": 0, "train": ["x.jpg"]}]}, r"damaged manifest of splits: KeyError 'x\.jpg'"),
    ],
)
def test_damaged_manifests_say_what_is_wrong(kept: tuple[Path, list[Record]], changes: dict[str, Any], message: str) -> None:
    manifest, records = kept
    _edit(manifest, **changes)
    with pytest.raises(CamtraceError, match=rf"splits\.json: {message}"):
        load_splits(manifest, records, ROOT)


def test_files_that_are_no_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match="cannot be read: No such file"):
        load_splits(tmp_path / "none.json", [], ROOT)
    for text in ("{", "[]", '"scene"', "\xff"):
        (tmp_path / "s.json").write_text(text, "latin-1")
        with pytest.raises(CamtraceError, match=r"s\.json: no manifest of splits"):
            load_splits(tmp_path / "s.json", [], ROOT)


def test_what_may_not_be_saved(tmp_path: Path) -> None:
    records = own_scenes([3, 3], scenes=3)
    honest, leaky = draw_device_scene(records, count=1, seed=0), draw_random_photo(records, count=1, seed=0)
    manifest = tmp_path / "s.json"
    broken = replace(honest[0], test=honest[0].train[:1])
    stranger = [replace(records[0], path=Path("elsewhere/0.jpg")), *records[1:]]
    for case, splits, message in (
        (records, honest + leaky, r"found device-scene with seed 0 and random-photo \(leaky\) with seed 0"),
        (records, [], "one protocol and seed, found none"),
        (records, [broken], "train and test share the photo"),
        (stranger, honest, "a photo lies elsewhere: .*elsewhere"),
        ([*records, records[0]], honest, r"the photo C00/0/o0-0-0/0\.jpg is listed 2 times"),
    ):
        with pytest.raises(CamtraceError, match=message):
            save_splits(manifest, case, splits, ROOT)
    assert not manifest.exists()
