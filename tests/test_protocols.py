"""Splits: what every protocol promises, on made record lists; and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from camtrace.lab.datasets import Record
from camtrace.lab.protocols import (
    LEAKY,
    PROTOCOLS,
    check_disjoint,
    device_or_scene_of,
    draw_device_scene,
    draw_leave_cameras_out,
    draw_random_patch,
    draw_random_photo,
    draw_scene,
    patch_side,
    splits_by_device_and_scene,
)
from camtrace.types import CamtraceError
from record_sets import assert_apart, devices_of, drawn, of, own_scenes, record, shared_scenes

HONEST = sorted(set(PROTOCOLS) - LEAKY)


def random_set(seed: int, *, cameras: int, devices: int, scenes: int, own: float, dense: float) -> list[Record]:
    """Cameras with 1 to `devices` devices; each shot a part of the common scenes, or with chance `own` scenes of its own."""
    rng = np.random.default_rng(seed)
    records = []
    for camera in range(cameras):
        for device in range(rng.integers(1, devices + 1)):
            prefix = f"o{camera}-{device}-" if rng.random() < own else "s"
            for scene in np.flatnonzero(rng.random(scenes) < dense):
                records += [record(f"C{camera}", device, f"{prefix}{scene}", photo) for photo in range(rng.integers(1, 9))]
    return records


def test_every_protocol_is_honest_or_marked() -> None:
    assert set(HONEST) == {"device-scene", "device", "scene", "leave-cameras-out", "device-or-scene"}
    assert set(LEAKY) == {"random-photo", "random-patch"}


@pytest.mark.parametrize("name", HONEST)
@given(
    seed=st.integers(0, 10**6),
    cameras=st.integers(2, 6),
    devices=st.integers(1, 5),
    scenes=st.integers(2, 9),
    own=st.sampled_from([0.0, 0.5, 1.0]),
    dense=st.sampled_from([0.5, 1.0]),
)
def test_honest_protocols_hold_their_promises(
    name: str, seed: int, cameras: int, devices: int, scenes: int, own: float, dense: float
) -> None:
    if name == "device-or-scene":
        own = max(own, 0.5)  # not for sets where all shot the same scenes
    records = random_set(seed, cameras=cameras, devices=devices, scenes=scenes, own=own, dense=dense)
    try:
        splits = drawn(name, records, seed=seed)
    except CamtraceError:
        reject()  # impossible in this set; what must be possible is tested below
    several = devices_of(records)
    for number, split in enumerate(splits):
        assert (split.protocol, split.seed, split.number, split.leaky, split.label) == (name, seed, number, False, name)
        assert split.train
        sides = (split.train, split.validation, split.test, split.left_out)
        assert_apart(records, "path", *sides)
        assert all(list(side) == sorted(side) for side in sides)
        if name != "device-or-scene":
            assert of(records, "camera", (*split.test, *split.validation)) <= of(records, "camera", split.train)
        if name != "device":
            assert_apart(records, "scene", split.train, split.validation, (*split.test, *split.left_out))
        if name in ("device", "device-scene", "device-or-scene"):
            assert split.test
            held = tuple(index for index in split.test if several[records[index].camera] > 1)
            assert_apart(records, "device", (*split.train, *split.validation), held)
        if name in ("device", "device-scene"):
            spared = tuple(index for index in split.validation if several[records[index].camera] > 2)
            assert_apart(records, "device", split.train, spared)
        if name == "device":
            assert all(several[records[index].camera] > 1 for index in split.test)
        if name == "leave-cameras-out":
            assert not split.test
            assert len(of(records, "camera", split.left_out)) == 1
            assert_apart(records, "camera", (*split.train, *split.validation), split.left_out)


@pytest.mark.parametrize(
    ("name", "records"),
    [(name, own_scenes([1, 2, 3], scenes=4)) for name in sorted(PROTOCOLS)]
    + [(name, shared_scenes([1, 2, 3], scenes=9, photos=3)) for name in sorted(PROTOCOLS) if name != "device-or-scene"],
)
def test_seeds_decide_and_fewer_splits_are_the_first_of_more(name: str, records: list[Record]) -> None:
    splits = drawn(name, records, count=3, seed=4)
    assert drawn(name, records, count=3, seed=4) == splits
    assert drawn(name, records, count=1, seed=4) == splits[:1]
    if name != "random-patch":
        other = drawn(name, records, count=3, seed=5)
        assert [split.train for split in other] != [split.train for split in splits]
    if name not in ("random-patch", "device-or-scene"):  # the latter must draw as it always did
        turned = drawn(name, records[::-1], count=3, seed=4)
        last = len(records) - 1
        assert [{last - index for index in split.train} for split in turned] == [set(split.train) for split in splits]


def test_device_scene_on_a_set_like_dresden_has_the_papers_shares() -> None:
    devices = [3 + camera % 3 for camera in range(18)]
    records = shared_scenes(devices, scenes=83)
    for split in draw_device_scene(records, count=2, seed=0):
        scenes = [len(of(records, "scene", side)) for side in (split.train, split.validation, split.test)]
        assert scenes == [62, 10, 11]
        assert len(split.test) == 18 * 1 * 11
        assert len(split.validation) == 18 * 1 * 10
        assert len(split.train) == sum(several - 2 for several in devices) * 62
        assert devices_of([records[index] for index in split.test]) == dict.fromkeys((f"C{c:02}" for c in range(18)), 1)
    for split in draw_device_scene(
        records, count=2, seed=0, validation_device=False
    ):  # as the paper: train and validation share devices
        assert len(split.train) == sum(several - 1 for several in devices) * 62
        assert of(records, "device", split.validation) == of(records, "device", split.train)


def test_a_camera_with_one_device_is_asked_about_scenes_or_not_at_all() -> None:
    records = shared_scenes([1, 3], scenes=10)
    (asked,) = draw_device_scene(records, count=1, seed=0)
    (taught,) = draw_device_scene(records, count=1, seed=0, single_device="train-only")
    assert of(records, "camera", asked.test) == {"C00", "C01"}
    assert of(records, "camera", taught.test) == {"C01"}
    with pytest.raises(CamtraceError, match='expected "scenes" or "train-only"'):
        draw_device_scene(records, count=1, seed=0, single_device="never")  # type: ignore[arg-type]


def test_devices_with_scenes_of_their_own_are_asked_about_whole() -> None:
    records = own_scenes([2, 3, 1], scenes=5)
    for split in draw_device_scene(records, count=4, seed=2):
        assert len({*split.train, *split.validation, *split.test}) == len(records)  # no photo is lost
        asked = Counter(records[index].device for index in split.test)
        assert sorted(asked.values()) == [4, 20, 20]  # two whole devices, and one scene of the lone one
        assert devices_of([records[index] for index in split.train]) == {"C00": 1, "C01": 1, "C02": 1}


def test_a_photo_is_dropped_only_where_its_scene_and_device_are_on_different_sides() -> None:
    records = shared_scenes([3, 3], scenes=12)
    (split,) = draw_device_scene(records, count=1, seed=0)
    sides = {
        name: (of(records, "device", side), of(records, "scene", side))
        for name, side in (("train", split.train), ("validation", split.validation), ("test", split.test))
    }
    for index, photo in enumerate(records):
        where = [name for name, (devices, scenes) in sides.items() if photo.device in devices and photo.scene in scenes]
        assert where == [name for name in sides if index in getattr(split, name)]


def test_a_device_that_holds_most_photos_of_its_camera_is_not_held_out() -> None:
    records = own_scenes([1], scenes=8) + [record("C00", "few", "few", photo) for photo in range(3)]
    for split in PROTOCOLS["device"](records, count=3, seed=0):
        assert of(records, "device", split.test) == {"C00/few"}


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("device-scene", shared_scenes([2, 3, 1], scenes=12)),
        ("device-scene", own_scenes([2, 3, 1], scenes=6)),
        ("device", own_scenes([2, 3, 4], scenes=2)),
        ("scene", shared_scenes([1, 2], scenes=10)),
        ("scene", own_scenes([1, 1], scenes=7)),
        ("leave-cameras-out", own_scenes([1] * 7, scenes=5)),
        ("device-or-scene", own_scenes([2, 3, 1], scenes=6)),
        ("random-photo", own_scenes([1, 2], scenes=4)),
    ],
)
def test_over_many_splits_nearly_every_photo_is_asked_about(name: str, records: list[Record]) -> None:
    splits = drawn(name, records, count=60)
    asked = {index for split in splits for index in (*split.test, *split.left_out)}
    assert len(asked) >= 0.97 * len(records)


def test_what_was_asked_about_least_has_its_turn_first() -> None:
    records = shared_scenes([3, 3], scenes=40)
    splits = draw_device_scene(records, count=8, seed=1)  # of 40 scenes 5 or 6 a split
    assert [len(set().union(*(of(records, "device", split.test) for split in splits[:n]))) for n in (1, 2, 3)] == [2, 4, 6]
    assert len(set().union(*(of(records, "scene", split.test) for split in splits))) == 40


@given(seed=st.integers(0, 10**6), seen=st.integers(2, 5))
def test_cameras_left_out_share_no_scene_even_where_all_shot_the_same(seed: int, seen: int) -> None:
    records = shared_scenes([1] * (seen + 2), scenes=30)
    (split,) = draw_leave_cameras_out(records, count=1, seed=seed, left_out=2)
    assert [len(of(records, "camera", side)) for side in (split.train, split.left_out)] == [seen, 2]
    assert len(of(records, "scene", split.left_out)) == 4  # 13 % of 30
    assert_apart(records, "scene", split.train, split.validation, split.left_out)


def test_random_photo_leaks_what_it_is_marked_for() -> None:
    records = own_scenes([2, 2], scenes=5, photos=10)
    (split,) = draw_random_photo(records, count=1, seed=0)
    assert split.leaky
    assert split.label == "random-photo (leaky)"
    assert_apart(records, "path", split.train, split.validation, split.test)
    assert len(split.train) + len(split.validation) + len(split.test) == len(records) == 200
    assert (len(split.validation), len(split.test)) == (24, 26)
    assert of(records, "device", split.test) == of(records, "device", split.train)
    assert len(of(records, "scene", split.test) & of(records, "scene", split.train)) > 10


def test_random_patch_has_every_photo_on_both_sides_and_deals_out_patches() -> None:
    first, second = draw_random_patch(own_scenes([1], scenes=2), count=2, seed=7)
    assert first.train == first.test == second.test == tuple(range(8))
    assert first.label == "random-patch (leaky)"
    asked = patch_side(1000, seed=first.seed, share=0.25, number=first.number)
    assert asked.dtype == np.bool_
    assert (asked.shape, asked.sum()) == ((1000,), 250)
    assert np.array_equal(asked, patch_side(1000, seed=7, share=0.25))
    for other in (patch_side(1000, seed=7, share=0.25, number=second.number), patch_side(1000, seed=8, share=0.25)):
        assert 30 < (asked & other).sum() < 100  # independent draws agree on about 62
    assert 90 < asked[:500].sum() < 160  # mixed, not one end
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(CamtraceError, match="leaves one side empty"):
            patch_side(10, seed=0, share=share)


@pytest.mark.parametrize(
    ("name", "records", "message"),
    [
        (
            "device-scene",
            own_scenes([1, 1], scenes=1),
            "wanted a camera with several devices or several scenes; found 8 photos of 2 cameras",
        ),
        ("device-scene", [], "found 0 photos of 0 cameras"),
        (
            "device",
            own_scenes([1, 1], scenes=3),
            "wanted a camera with several devices; found 24 .* 0 of them with several devices and 2 ",
        ),
        ("scene", own_scenes([1, 1], scenes=1), "wanted a camera with several scenes; found 8 .* and 0 with several scenes"),
        ("random-photo", own_scenes([1, 1], scenes=1, photos=1), "wanted a camera with several photos"),
        ("leave-cameras-out", own_scenes([1, 1], scenes=9), "wanted 1 cameras .* two others; found 2 cameras, 2 of them"),
        ("leave-cameras-out", own_scenes([1, 1, 1], scenes=1), "18 photos or more.* found 3 cameras, 0 of them"),
        ("device-or-scene", shared_scenes([2, 2], scenes=9), "of 36 photos none is left to train on, .* take device-scene"),
    ],
)
def test_what_is_impossible_says_what_is_missing(name: str, records: list[Record], message: str) -> None:
    with pytest.raises(CamtraceError, match=message):
        drawn(name, records)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (0.0, 0.5, 0.5), (1.0, 0.0, 0.0), (1.2, -0.4, 0.2), (0.8, float("nan"), 0.2)])
def test_shares_that_make_no_sense_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(CamtraceError, match="expected those of train, validation"):
        draw_scene(shared_scenes([2], scenes=9), count=1, seed=0, shares=shares)


def test_leaving_no_camera_out_is_refused() -> None:
    with pytest.raises(CamtraceError, match="0 cameras to leave out; expected 1 or more"):
        draw_leave_cameras_out(own_scenes([1] * 4, scenes=9), count=1, seed=0, left_out=0)


def test_shares_may_be_chosen_and_validation_left_away() -> None:
    records = shared_scenes([3, 3], scenes=20)
    (split,) = draw_device_scene(records, count=1, seed=0, shares=(0.6, 0.0, 0.4))
    assert not split.validation
    assert (len(split.train), len(split.test)) == (2 * 2 * 12, 2 * 8)


# The protocol that the shipped bundle was measured with.


@pytest.mark.parametrize(("devices", "scenes"), [(3, 2), (1, 5)])
def test_splits_share_neither_device_nor_scene(devices: int, scenes: int) -> None:
    records = own_scenes([devices] * 6, scenes=scenes)
    groups = device_or_scene_of(records)
    for split in splits_by_device_and_scene(records, count=3, seed=1):
        assert split.test
        assert not split.validation
        assert not {groups[i] for i in split.train} & {groups[i] for i in split.test}
        assert_apart(records, "scene", split.train, split.test)
        assert of(records, "camera", split.test) <= of(records, "camera", split.train)


def test_cameras_left_out_are_nowhere_else_and_differ_between_splits() -> None:
    records = own_scenes([3] * 4, scenes=1, photos=8) + [record(f"Single {c}", 0, f"single{c}", p) for c in range(4) for p in range(20)]
    first, second = splits_by_device_and_scene(records, count=2, seed=0, left_out=2)
    out = [of(records, "camera", split.left_out) for split in (first, second)]
    assert out[0] | out[1] == {f"Single {c}" for c in range(4)}
    assert_apart(records, "camera", first.left_out, second.left_out)
    assert_apart(records, "camera", first.left_out, (*first.train, *first.test))
    with pytest.raises(CamtraceError, match="want 6 cameras to leave out"):
        splits_by_device_and_scene(records, count=2, seed=0, left_out=3)


def _shipped_set() -> list[Record]:
    def one(path: str, camera: str, device: str, scene: str) -> Record:
        return Record(Path(path), camera, f"{camera}/{device}", scene)

    several = [
        one(f"{c}/{d}/{s}/{p}.jpg", f"Make C{c}", f"d{d}", f"o{c}{d}s{s}")
        for c in range(4)
        for d in range(3)
        for s in range(2)
        for p in range(5)
    ]
    return several + [
        one(f"single{c}/{p}.jpg", f"Single {c}", "d0", f"single{c}/{p % (1 + c % 2)}") for c in range(4) for p in range(20)
    ]


def test_the_draws_behind_the_shipped_bundle_stay_what_they_were() -> None:
    splits = splits_by_device_and_scene(_shipped_set(), count=2, seed=3, left_out=1)
    drawn_then = "849e5fe0eb5e1bd847dca741986e625bb07ebaf2d82822681296054cffa8c1fe"  # by the code that built it
    found = json.dumps([[split.train, split.test, split.left_out] for split in splits])
    assert hashlib.sha256(found.encode()).hexdigest() == drawn_then


def test_training_photos_that_hang_together_spare_none_for_validation() -> None:
    records = own_scenes([2, 2], scenes=1)
    splits_by_device_and_scene(records, count=1, seed=0)
    with pytest.raises(CamtraceError, match="no photos to validate on: the 8 training photos of 2 cameras hang together"):
        splits_by_device_and_scene(records, count=1, seed=0, validation_share=0.1)


def test_validation_is_taken_from_train_alone() -> None:
    records = own_scenes([4] * 6, scenes=2) + own_scenes([1] * 9, scenes=6)[24 * 6 :]
    plain = splits_by_device_and_scene(records, count=2, seed=3, left_out=0)
    split = splits_by_device_and_scene(records, count=2, seed=3, left_out=0, validation_share=0.2)
    for before, after in zip(plain, split, strict=True):
        assert (after.test, after.left_out) == (before.test, before.left_out)
        assert tuple(sorted(after.train + after.validation)) == before.train
        assert 0.15 < len(after.validation) / len(before.train) < 0.45  # whole devices of 8 photos
        assert of(records, "camera", after.validation) <= of(records, "camera", after.train)
        check_disjoint(records, after.train, after.validation)
