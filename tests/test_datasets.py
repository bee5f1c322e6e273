"""The readers of data sets on made trees of tiny files: one contract for all, then what is particular to each."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import camtrace.lab.datasets as datasets
from camtrace.lab.datasets import LAYOUTS, Published, Record, read_dataset, recognise
from camtrace.lab.datasets.check import check_dataset, to_text
from camtrace.lab.datasets.sp_cup import read_test
from camtrace.types import CamtraceError
from dataset_trees import P20, TEXTS, TREES, build, seen
from made import encode

SHARED_SCENES = {"dresden", "floreview", "fodb", "manifest"}  # their cameras shot the same scenes
ONE_EACH = pytest.mark.parametrize("name", sorted(LAYOUTS))


def devices_of(records: list[Record]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[record.camera].add(record.device)
    return found


# --- the contract, over all layouts


def test_every_layout_has_a_tree_and_every_tree_a_layout() -> None:
    assert set(TREES) == set(LAYOUTS)


@ONE_EACH
def test_records_are_those_of_the_tree(name: str, tmp_path: Path) -> None:
    root = build(name, tmp_path)
    records = read_dataset(root, layout=name)
    assert seen(root, records) == {path: expected for path, expected in TREES[name].items() if expected}
    assert len({record.path for record in records}) == len(records)


@ONE_EACH
def test_a_tree_is_recognised_by_its_own_layout_alone(name: str, tmp_path: Path) -> None:
    root = build(name, tmp_path)
    assert [other for other, layout in LAYOUTS.items() if layout.recognises(root)] == ([] if name == "folders" else [name])
    assert recognise(root) == name
    assert read_dataset(root) == read_dataset(root, layout=name)


@ONE_EACH
def test_the_order_does_not_depend_on_the_disk(name: str, tmp_path: Path) -> None:
    here, there = build(name, tmp_path / "here"), build(name, tmp_path / "there", backwards=True)
    assert list(seen(here, read_dataset(here))) == list(seen(there, read_dataset(there)))


@ONE_EACH
def test_an_empty_folder_is_an_error_that_shows_the_wanted_tree(name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".DS_Store").touch()
    with pytest.raises(CamtraceError, match=re.escape(LAYOUTS[name].tree)) as error:
        read_dataset(empty, layout=name)
    assert str(empty) in str(error.value)


@ONE_EACH
def test_a_device_belongs_to_one_camera_and_scenes_are_shared_only_where_they_were(name: str, tmp_path: Path) -> None:
    records = read_dataset(build(name, tmp_path))
    cameras_of_device, cameras_of_scene = defaultdict(set), defaultdict(set)
    for record in records:
        cameras_of_device[record.device].add(record.camera)
        cameras_of_scene[record.scene].add(record.camera)
    assert all(len(cameras) == 1 for cameras in cameras_of_device.values())
    assert any(len(cameras) > 1 for cameras in cameras_of_scene.values()) == (name in SHARED_SCENES)


@ONE_EACH
def test_a_layout_says_how_to_get_the_set_and_its_module_draws_the_tree(name: str) -> None:
    modules = [importlib.import_module(f"{datasets.__name__}.{found.name}") for found in pkgutil.iter_modules(datasets.__path__)]
    [module] = [module for module in modules if getattr(module, "LAYOUT", None) is LAYOUTS[name]]
    layout = LAYOUTS[name]
    assert layout.tree in (module.__doc__ or "")
    assert len(layout.how_to_get.split()) > 5
    if name not in ("folders", "manifest"):
        assert f"DATA/{name}/{layout.tree}" in layout.how_to_get
        assert layout.licence
        assert layout.published != Published()


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"manifest"}))  # a manifest names a list, not a photo
def test_the_tree_that_a_layout_names_is_one_it_reads(name: str, tmp_path: Path) -> None:
    photo = tmp_path / name / LAYOUTS[name].tree
    photo.parent.mkdir(parents=True)
    photo.touch()
    assert [record.path for record in read_dataset(tmp_path / name)] == [photo]


@pytest.mark.parametrize("name", ["daxing", "dresden", "floreview", "fodb", "sp_cup", "vision"])
def test_a_set_may_lie_in_a_folder_of_its_own_below_the_root(name: str, tmp_path: Path) -> None:
    root = build(name, tmp_path)
    if name == "dresden":  # the list of scenes lies where the user points
        (root / "scenes.csv").rename(tmp_path / "scenes.csv")
    assert recognise(tmp_path) == name
    assert seen(root, read_dataset(tmp_path)) == {path: expected for path, expected in TREES[name].items() if expected}


def test_two_sets_side_by_side_are_asked_about(tmp_path: Path) -> None:
    build("vision", tmp_path)
    build("floreview", tmp_path)
    with pytest.raises(CamtraceError, match="like floreview and like vision; say which"):
        read_dataset(tmp_path)
    assert {record.scene for record in read_dataset(tmp_path, layout="floreview")} == {"floreview/L1S3", "floreview/L7S3"}


def test_a_manifest_beside_a_published_set_wins(tmp_path: Path) -> None:
    root = build("fodb", tmp_path)
    (root / "photos.csv").write_text("file,camera,device,scene\nD01_Motorola_E3_1/orig/D01_img_orig_0001.jpg,Mine,d,s\n", "utf-8")
    assert [record.camera for record in read_dataset(root)] == ["Mine"]


def test_unknown_layouts_and_missing_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match=r"'dresde' is not a layout.*dresden, "):
        read_dataset(tmp_path, layout="dresde")
    with pytest.raises(CamtraceError, match="no such file or folder"):
        read_dataset(tmp_path / "nowhere")


# --- Dresden


def test_dresden_without_scenes_takes_each_device_for_a_scene(tmp_path: Path) -> None:
    root = build("dresden", tmp_path)
    (root / "scenes.csv").unlink()
    records = read_dataset(root)
    assert all(record.scene == record.device for record in records)
    assert [record.path.name for record in records].count("Nikon_D200_0_14305.JPG") == 1
    assert devices_of(records)["Nikon D70"] == {"Nikon D70/0", "Nikon D70s/0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filename,position_num\na,1\n",
            r"scenes\.csv: no column motive_num; found filename, position_num; .* position_num, motive_num",
        ),
        ("filename,position_num,motive_num\na.jpg,1,2\nb.jpg,,2\n", "line 3 lacks a value"),
        ("", "no column filename, position_num, motive_num; found nothing"),
        (b"filename,position_num,motive_num\n\xff.jpg,1,1\n", "is no CSV in UTF-8"),
        ("filename,position_num,motive_num\nother.jpg,1,2\n", r"no photos of Dresden found; expected .* with its name in scenes\.csv"),
    ],
)
def test_faulty_lists_of_scenes_say_what_is_wrong(tmp_path: Path, text: str | bytes, message: str) -> None:
    root = build("dresden", tmp_path)
    (root / "scenes.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CamtraceError, match=message):
        read_dataset(root)


def test_of_two_lists_of_scenes_none_is_guessed_and_other_tables_are_passed_over(tmp_path: Path) -> None:
    root = build("dresden", tmp_path)
    before = read_dataset(root)
    (root / "prices.CSV").write_text("camera,price\nD200,9\n", "utf-8")
    (root / "._scenes.csv").write_bytes(b"\x00\xff")
    assert read_dataset(root) == before
    (root / "more.csv").write_text("filename,position_num,motive_num\n", "utf-8")
    with pytest.raises(CamtraceError, match=r"more\.csv and scenes\.csv both list scenes"):
        read_dataset(root)


# --- the others


def test_crops_of_the_sp_cup_come_with_tags_and_without_a_camera(tmp_path: Path) -> None:
    root = build("sp_cup", tmp_path)
    (root / "test" / "sample.tif").touch()
    crops = [(crop.path.name, crop.tags) for crop in read_test(root)]
    assert crops == [("img_0a1_manip.tif", ("manipulated",)), ("img_0a1_unalt.tif", ("unaltered",)), ("sample.tif", ())]
    assert read_test(tmp_path) == read_test(root)  # unpacked into a folder of its own
    with pytest.raises(CamtraceError, match="no crops of the SP Cup found; expected"):
        read_test(root / "train")


def test_daxing_without_codes_is_read_by_the_names_of_its_folders(tmp_path: Path) -> None:
    for name in ("Huawei_P20_01/a.jpg", "Huawei_P20_02/90/a.jpg", "Vivo_X9/a.jpg"):
        (tmp_path / "Daxing" / name).parent.mkdir(parents=True)
        (tmp_path / "Daxing" / name).touch()
    records = read_dataset(tmp_path / "Daxing")
    assert devices_of(records) == {P20: {f"{P20}/01", f"{P20}/02"}, "Vivo X9": {"Vivo X9/0"}}


def test_a_photo_and_its_copies_out_of_networks_share_the_scene(tmp_path: Path) -> None:
    for name in ("vision", "fodb"):
        records = read_dataset(build(name, tmp_path))
        copies = [record for record in records if record.quality != "original" and not record.scene.endswith("0143")]
        originals = {(record.device, record.scene) for record in records if record.quality == "original"}
        assert copies
        assert {(record.device, record.scene) for record in copies} <= originals


def test_the_mark_of_spreadsheets_before_a_manifest_is_no_part_of_its_first_column(tmp_path: Path) -> None:
    root = build("manifest", tmp_path)
    before = read_dataset(root)
    (root / "photos.csv").write_text("\ufeff" + TEXTS["photos.csv"], "utf-8")
    assert read_dataset(root) == before


# --- is a copy complete?


def test_a_check_counts_and_names_what_is_missing(tmp_path: Path) -> None:
    root = build("sp_cup", tmp_path)
    check = check_dataset(read_dataset(root), LAYOUTS["sp_cup"], root=root)
    assert (check.photos, check.cameras, check.devices, check.scenes) == (3, 2, 2, 2)
    assert check.per_camera == (("HTC-1-M7", 1), ("Motorola-Nexus-6", 2))
    assert "photos: 3 found, 2,750 published, 2,747 fewer" in check.differences
    assert "cameras: 2 found, 10 published, 8 fewer" in check.differences
    assert "photos by HTC-1-M7: 1 found, 275 published, 274 fewer" in check.differences
    assert "photos by iPhone-6: 0 found, 275 published, 275 fewer" in check.differences
    assert check.left_out == ()  # crops of unknown cameras are left out on purpose
    text = to_text(check)
    assert text.startswith("sp_cup: 3 photos by 2 cameras, 2 devices, 2 scenes\ndiffers from what is published:\n")
    assert "  Motorola-Nexus-6        2  of 275 published\n" in text


def test_a_complete_copy_agrees_until_a_photo_goes(tmp_path: Path) -> None:
    root = build("fodb", tmp_path)
    layout = replace(LAYOUTS["fodb"], published=Published(5, 2, 3, 2, (("Motorola E3", 4),)))
    check = check_dataset(layout.read(root), layout, root=root)
    assert check.differences == ()
    assert "agrees with all that is published of it" in to_text(check)
    (root / "D02_Motorola_E3_2/orig/D02_img_orig_0001.jpg").unlink()
    check = check_dataset(layout.read(root), layout, root=root)
    assert check.differences == (
        "photos: 4 found, 5 published, 1 fewer",
        "photos by Motorola E3: 3 found, 4 published, 1 fewer",
    )
    few = replace(layout, published=Published(photos=3))
    assert check_dataset(few.read(root), few).differences == ("photos: 4 found, 3 published, 1 more",)


def test_photos_that_the_reader_passed_over_are_named(tmp_path: Path) -> None:
    left_out = {
        "fodb": ["D02_img_orig_0001 (1).jpg"],
        "vision": ["D02_I_nat_0001.jpg"],
        "floreview": ["IMG_1.jpg"],
        "dresden": ["Nikon_D200_0_14305.JPG", "contact sheet.jpg", "Nikon_D200_0_14303.JPG"],
        "manifest": ["4.jpg"],
        "socrates": ["agreement.jpg"],
        "daxing": ["overview.jpg"],
        "folders": [],
        "sp_cup": [],
    }
    assert set(left_out) == set(LAYOUTS)
    for name, names in left_out.items():
        root = build(name, tmp_path)
        check = check_dataset(read_dataset(root), LAYOUTS[name], root=root)
        assert [path.name for path in check.left_out] == names
    many = replace(check, left_out=tuple(Path(f"{number}.jpg") for number in range(8)))
    assert "left out, 8 photos whose names or places are not the set's:\n  0.jpg\n" in to_text(many)
    assert "  4.jpg\n  and 3 more\n" in to_text(many)


def test_a_manifest_may_be_checked_by_its_own_path(tmp_path: Path) -> None:
    root = build("manifest", tmp_path)
    check = check_dataset(read_dataset(root / "photos.csv"), LAYOUTS["manifest"], root=root / "photos.csv")
    assert [path.name for path in check.left_out] == ["4.jpg"]
    assert "nothing is published to compare it with" in to_text(check)


def test_a_check_of_dresden_compares_with_the_list_of_scenes(tmp_path: Path) -> None:
    root = build("dresden", tmp_path)
    check = check_dataset(read_dataset(root), LAYOUTS["dresden"], root=root)
    assert check.remarks == (
        "1 photos of scenes.csv are not there, the first is Rollei_RCP-7325XS_0_1.JPG",
        "1 photos are not in scenes.csv and were left out, the first is Nikon_D200_0_14305.JPG",
    )
    assert "Rollei_RCP-7325XS_0_1.JPG" in to_text(check)
    (root / "scenes.csv").unlink()
    [remark] = check_dataset(read_dataset(root), LAYOUTS["dresden"], root=root).remarks
    assert "scenes are unknown" in remark


def test_damaged_photos_are_found_when_asked_for(tmp_path: Path) -> None:
    root = build("folders", tmp_path)
    (root / "Sony_X/c.jpeg").write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "JPEG"))
    records = read_dataset(root)
    assert check_dataset(records, LAYOUTS["folders"]).unreadable == ()
    asked: list[Record] = []
    check = check_dataset(records, LAYOUTS["folders"], decode=True, on_photo=asked.append)
    assert [path.name for path, _ in check.unreadable] == ["a.jpg", "b.JPG"]
    assert asked == records
    assert f"unreadable, 2 photos:\n  {root / 'Nikon_D90' / 'body1' / 'a.jpg'}: " in to_text(check)


def test_published_figures_are_whole() -> None:
    for layout in LAYOUTS.values():
        counted = [count for _, count in layout.published.per_camera]
        if counted and layout.published.cameras == len(counted):
            assert sum(counted) == layout.published.photos
        assert sum(counted) <= (layout.published.photos or 0)
