"""Teaching cameras from Python: what joins what, what is refused, and what the new bundle says about itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import camtrace
from camtrace.bundle import CARD, FEATURES, HEAD, write_bundle
from camtrace.card import measured
from camtrace.degrade import degradation
from camtrace.enrolment import FEW_PHOTOS, PROTOCOL, find_albums
from camtrace.experts import C_ALONG, TOGETHER, C, fit_gate
from camtrace.manifest import MANIFEST
from camtrace.mishaps import COPIES, copies_of
from camtrace.patches import select_patches
from camtrace.photo import decode_photo
from camtrace.simulator import MadeCamera, make_cameras
from camtrace.types import References
from made import TEACHING_SCENES, different_cameras, encode, made_photo, noise, write_album

TOO_FEW = "too few photos for probabilities and likelihood ratios: at least 30 of three cameras or more are needed"


@pytest.fixture(scope="module")
def newcomer() -> MadeCamera:
    return make_cameras(6, seed=21)[5]


@pytest.fixture(scope="module")
def joined(
    tmp_path_factory: pytest.TempPathFactory, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...], newcomer: MadeCamera
) -> camtrace.Enrolment:
    """The made bundle with one camera more, and more photos by one that it knows."""
    root = tmp_path_factory.mktemp("joined")
    write_album(root / "new" / newcomer.name.replace(" ", "_"), newcomer, range(200, 205))
    write_album(root / "new" / cameras[2].name.replace(" ", "_"), cameras[2], range(200, 202))
    return camtrace.enroll(root / "new", out=root / "bundle", bundle=bundle)


def test_enrolled_bundle_knows_the_cameras_of_the_folder(enrolment: camtrace.Enrolment, cameras: tuple[MadeCamera, ...]) -> None:
    manifest = enrolment.bundle.manifest
    assert manifest.labels == tuple(sorted(camera.name for camera in cameras))
    assert "Cygnus C 102" in manifest.labels  # from a folder called Cygnus_C_102
    assert enrolment.photos == {camera.name: 6 for camera in cameras}
    assert (enrolment.failures, enrolment.warnings) == ({}, (TOO_FEW,))
    assert manifest.name == "made"
    assert [camera.make for camera in manifest.cameras] == ["Aurora", "Borealis", "Cygnus", "Dorado"]


def test_accuracy_is_filled_in(enrolment: camtrace.Enrolment) -> None:
    manifest = enrolment.bundle.manifest
    for camera in manifest.cameras:
        assert (camera.photos, camera.tested, camera.protocol) == (6, 6, PROTOCOL)
        assert camera.accuracy is not None
        assert 0 <= camera.accuracy <= 1
    right = sum((camera.accuracy or 0) * camera.tested for camera in manifest.cameras)
    assert manifest.accuracy == {"protocol": PROTOCOL, "photos": 24, "right": round(right)}
    assert right / 24 >= 0.75  # chance: 0.25
    assert manifest.calibration is None
    assert manifest.regularisation == C_ALONG, "that of the base's experts"
    assert 0 < manifest.thresholds["majority"] <= 1
    assert manifest.thresholds["summed"] > 0


def test_card_names_cameras_base_and_accuracy(enrolment: camtrace.Enrolment) -> None:
    card = enrolment.bundle.files[CARD].decode()
    base = camtrace.load_bundle()
    assert f"Enrolled on the features of {base.id.name} {base.id.version}; 4 cameras" in card
    for camera in enrolment.bundle.manifest.cameras:
        assert f"| {camera.name} | 6 | {measured(camera)} | {PROTOCOL} |" in card
    assert card.count("Warning") == 1
    assert f"- Warning: {TOO_FEW}" in card


def test_network_stays_as_it_is(enrolment: camtrace.Enrolment) -> None:
    base = camtrace.load_bundle()
    assert enrolment.bundle.files[FEATURES] == base.files[FEATURES]
    assert enrolment.bundle.manifest.training["base"] == {"name": base.id.name, "version": base.id.version}


def test_joining_keeps_the_base_and_adds(
    joined: camtrace.Enrolment, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...], newcomer: MadeCamera
) -> None:
    manifest = joined.bundle.manifest
    assert manifest.labels == (*bundle.manifest.labels, newcomer.name)
    before = {camera.name: camera for camera in bundle.manifest.cameras}
    after = {camera.name: camera for camera in manifest.cameras}
    for camera in (cameras[0], cameras[1], cameras[3]):
        assert after[camera.name] == before[camera.name]
    assert after[cameras[2].name].photos == after[cameras[2].name].tested == 8
    assert after[newcomer.name].photos == 5
    assert joined.photos == {cameras[2].name: 2, newcomer.name: 5}
    assert joined.warnings == (f"{cameras[2].name}: 2 photos, at least {FEW_PHOTOS} are better",)
    assert "- Warning: Cygnus C 102: 2 photos" in joined.bundle.files[CARD].decode()


def test_joining_adds_references_and_numbers_photos_on(joined: camtrace.Enrolment, bundle: camtrace.Bundle) -> None:
    old, new = bundle.references(), joined.bundle.references()
    np.testing.assert_array_equal(new.features[: len(old.features)], old.features)
    np.testing.assert_array_equal(new.photos[: len(old.photos)], old.photos)
    per_camera = [len(np.unique(new.photos[new.cameras == camera])) for camera in range(5)]
    assert per_camera == [6, 6, 8, 6, 5]


def test_joined_bundle_names_old_and_new_cameras(
    joined: camtrace.Enrolment, cameras: tuple[MadeCamera, ...], newcomer: MadeCamera
) -> None:
    right = [
        camtrace.identify(made_photo(camera, number), bundle=joined.bundle).best == camera.name
        for camera in (*cameras, newcomer)
        for number in (900, 901)
    ]
    assert np.mean(right) >= 0.6  # chance: 0.2


def test_with_thirty_photos_there_are_probabilities(joined: camtrace.Enrolment, cameras: tuple[MadeCamera, ...]) -> None:
    calibration = joined.bundle.manifest.calibration
    assert calibration is not None
    assert (calibration.photos, calibration.foreign) == (31, 31)
    verdicts = [camtrace.identify(made_photo(camera, 900), bundle=joined.bundle) for camera in cameras]
    for verdict in verdicts:
        chances = [line.probability for line in verdict.ranking]
        assert None not in chances
        assert chances == sorted(chances, key=lambda chance: -(chance or 0))
        assert sum(chance or 0 for chance in chances) <= 1
        assert verdict.log10_lr is not None
        assert abs(verdict.log10_lr) <= np.log10(31) + 1e-3
        assert "calibrated on 31 photos of known cameras and 31 of others" in verdict.reason
    guessed = camtrace.identify(made_photo(cameras[0], 900), bundle=joined.bundle, mode="guess")
    assert (guessed.answer, guessed.answer_level) == (guessed.best, "model")


def test_families_stay_while_two_of_their_cameras_do(
    tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...], albums: Path
) -> None:
    first, second, third, fourth = bundle.manifest.labels
    families: dict[str, tuple[str, ...]] = {"one or two": (first, second), "three or four": (third, fourth)}
    base = replace(bundle, manifest=replace(bundle.manifest, families=families))
    write_album(tmp_path / "more" / cameras[0].name, cameras[0], range(300, 301), size=256)
    more = camtrace.enroll(tmp_path / "more", out=tmp_path / "all", bundle=base).bundle.manifest
    assert more.families == families
    for name in (first, second, third):
        shutil.copytree(albums / name.replace(" ", "_"), tmp_path / "three" / name.replace(" ", "_"))
    three = camtrace.enroll(tmp_path / "three", out=tmp_path / "some", bundle=base, only=True).bundle.manifest
    assert three.families == {"one or two": (first, second)}
    assert three.groups["family"] == ("one or two", "one or two", third)


# ---- heads of experts


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, bundle: camtrace.Bundle) -> camtrace.Bundle:
    """A base whose head is of experts: the network of the made bundle, and a gate that was taught on two photos."""
    base = replace(bundle, manifest=replace(bundle.manifest, head="experts"))
    parts = []
    for number, camera in enumerate(different_cameras()[:2]):
        photo = decode_photo(made_photo(camera, 950, size=256), "made")
        shots = [select_patches(photo), *(patches for _, patches in copies_of(photo, (0, 0), rule="mid-tone", size=64))]
        for copy, patches in enumerate(shots):
            features = bundle.extract(patches)
            parts.append((features, np.full(len(features), number), np.full(len(features), copy)))
    features, photos, copies = (np.concatenate(column) for column in zip(*parts, strict=True))
    references = References(features, photos, photos, copies)
    folder = tmp_path_factory.mktemp("gated") / "gated"
    head, card = bundle.files[HEAD], ""
    write_bundle(
        folder, base.manifest, features=bundle.files[FEATURES], head=head, references=references, card=card, gate=fit_gate(references)
    )
    return camtrace.load_bundle(folder)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory, gated: camtrace.Bundle, albums: Path) -> camtrace.Enrolment:
    """The four made cameras, taught to experts."""
    return camtrace.enroll(albums, out=tmp_path_factory.mktemp("expert") / "expert", bundle=gated, only=True)


def test_experts_learn_from_degraded_copies(expert: camtrace.Enrolment, gated: camtrace.Bundle) -> None:
    manifest, references = expert.bundle.manifest, expert.bundle.references()
    assert (manifest.head, manifest.vote, manifest.regularisation) == ("experts", "summed", C)
    assert references.copies is not None
    assert set(references.copies) == set(range(COPIES + 1))
    for photo in np.unique(references.photos):
        own = references.copies[references.photos == photo]
        assert len(np.unique(own)) >= COPIES - 1  # hardly a copy is without a usable patch
    untouched = np.bincount(references.photos[references.copies == 0])
    assert untouched.max() <= manifest.patch_count / TOGETHER
    np.testing.assert_array_equal(expert.bundle.gate().weights, gated.gate().weights)
    assert expert.warnings == (TOO_FEW,)
    assert manifest.accuracy["photos"] == 24
    assert manifest.accuracy["right"] / 24 >= 0.75  # chance: 0.25


def test_experts_name_photos_untouched_and_saved_again(expert: camtrace.Enrolment, cameras: tuple[MadeCamera, ...]) -> None:
    again = {"native": 0.7, "jpeg 80": 0.5}  # chance: 0.25
    for name, expected in again.items():
        right = []
        for camera in cameras:
            for number in (900, 901, 902):
                pixels = degradation(name)(decode_photo(made_photo(camera, number), "made").pixels)
                right.append(camtrace.identify(encode(pixels, "PNG"), bundle=expert.bundle).best == camera.name)
        assert np.mean(right) >= expected


@pytest.fixture(scope="module")
def expert_joined(
    tmp_path_factory: pytest.TempPathFactory, expert: camtrace.Enrolment, cameras: tuple[MadeCamera, ...], newcomer: MadeCamera
) -> camtrace.Enrolment:
    root = tmp_path_factory.mktemp("expert joined")
    write_album(root / "new" / newcomer.name.replace(" ", "_"), newcomer, range(200, 205))
    write_album(root / "new" / cameras[2].name.replace(" ", "_"), cameras[2], range(200, 202))
    return camtrace.enroll(root / "new", out=root / "bundle", bundle=expert.bundle)


def test_new_cameras_join_a_head_of_experts(
    expert_joined: camtrace.Enrolment, expert: camtrace.Enrolment, newcomer: MadeCamera
) -> None:
    old, new = expert.bundle.references(), expert_joined.bundle.references()
    assert expert_joined.bundle.manifest.labels == (*expert.bundle.manifest.labels, newcomer.name)
    assert old.copies is not None
    assert new.copies is not None
    for part in ("features", "cameras", "photos", "copies"):
        np.testing.assert_array_equal(getattr(new, part)[: len(old.photos)], getattr(old, part))
    assert [len(np.unique(new.photos[new.cameras == camera])) for camera in range(5)] == [6, 6, 8, 6, 5]
    assert set(new.copies[len(old.photos) :]) == set(range(COPIES + 1))
    named = [camtrace.identify(made_photo(newcomer, number), bundle=expert_joined.bundle).best for number in (900, 901, 902)]
    assert named.count(newcomer.name) >= 2


def test_photos_not_copies_make_a_head_of_experts_probable(expert_joined: camtrace.Enrolment, cameras: tuple[MadeCamera, ...]) -> None:
    calibration = expert_joined.bundle.manifest.calibration
    assert calibration is not None
    assert (calibration.photos, calibration.foreign) == (31, 31)
    assert TOO_FEW not in expert_joined.warnings
    verdict = camtrace.identify(made_photo(cameras[3], 900), bundle=expert_joined.bundle)
    assert verdict.ranking[0].probability is not None
    assert verdict.log10_lr is not None


def test_same_photos_same_experts(tmp_path: Path, gated: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    for camera in cameras[:2]:
        write_album(tmp_path / "in" / camera.name, camera, range(100, 102), size=256)
    first, again = (camtrace.enroll(tmp_path / "in", out=tmp_path / turn / "x", bundle=gated, only=True) for turn in ("one", "two"))
    assert again.bundle.manifest == first.bundle.manifest
    assert again.bundle.files == first.bundle.files
    assert again.bundle.manifest.head == "experts"


def test_only_needs_two_cameras(tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    write_album(tmp_path / "one" / "Aurora_A100", cameras[0], range(100, 102))
    with pytest.raises(camtrace.CamtraceError, match=r"one: 1 camera with usable photos, --only needs at least 2"):
        camtrace.enroll(tmp_path / "one", out=tmp_path / "out", bundle=bundle, only=True)
    assert not (tmp_path / "out").exists()


def test_folder_without_albums(tmp_path: Path, bundle: camtrace.Bundle) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    (folder / "loose.jpg").write_bytes(b"")
    (folder / "empty").mkdir()
    with pytest.raises(camtrace.CamtraceError, match=r"flat: no sub-folder with photos in it; expected .*Make_Model/photo\.jpg"):
        camtrace.enroll(folder, out=tmp_path / "out", bundle=bundle)
    for place in (tmp_path / "gone", folder / "loose.jpg"):
        with pytest.raises(camtrace.CamtraceError, match="not a folder; expected one that holds a sub-folder"):
            camtrace.enroll(place, out=tmp_path / "out", bundle=bundle)


def test_folder_without_one_usable_photo(tmp_path: Path, bundle: camtrace.Bundle) -> None:
    (tmp_path / "bad" / "A_B").mkdir(parents=True)
    (tmp_path / "bad" / "A_B" / "x.jpg").write_bytes(b"text")
    with pytest.raises(camtrace.CamtraceError, match=r"bad: not one usable photo in it; the first problem: .*x\.jpg: not a photo"):
        camtrace.enroll(tmp_path / "bad", out=tmp_path / "out", bundle=bundle)


def test_folder_names_that_mean_one_camera_are_one_camera(tmp_path: Path) -> None:
    for name in ("Nikon_D90/a.jpg", "Nikon D90/b.jpg", "Nikon__D90_/c.jpg", "Canon_EOS_M3/sub/d.jpg", "_/e.jpg", ".git/f.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    found = {name: [photo.name for photo in photos] for name, photos in find_albums(tmp_path).items()}
    assert {name: sorted(photos) for name, photos in found.items()} == {
        "Nikon D90": ["a.jpg", "b.jpg", "c.jpg"],
        "Canon EOS M3": ["d.jpg"],
        "_": ["e.jpg"],
    }


def test_unusable_photos_are_left_out_and_reported(tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    for camera in cameras[:2]:
        write_album(tmp_path / "in" / camera.name, camera, range(100, 102), size=256)
    bad = {
        tmp_path / "in" / cameras[0].name / "bad.jpg": (b"text", "not a photo"),
        tmp_path / "in" / cameras[1].name / "small.png": (encode(noise(20, 20), "PNG"), "expected at least 64x64"),
        tmp_path / "in" / "Only Bad" / "empty.jpg": (b"", "the file is empty"),
    }
    for path, (data, _) in bad.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    seen: list[Path] = []
    enrolment = camtrace.enroll(tmp_path / "in", out=tmp_path / "out", bundle=bundle, only=True, on_photo=seen.append)
    assert enrolment.photos == {cameras[0].name: 2, cameras[1].name: 2}
    assert enrolment.bundle.manifest.labels == (cameras[0].name, cameras[1].name)
    assert list(enrolment.failures) == [str(path) for path in sorted(bad)]
    for path, (_, reason) in bad.items():
        assert reason in enrolment.failures[str(path)]
    assert len(seen) == 7


def test_one_photo_a_camera_is_enough_but_untested(tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    for camera in cameras[:3]:
        write_album(tmp_path / "in" / camera.name, camera, range(100, 101), size=256)
    enrolment = camtrace.enroll(tmp_path / "in", out=tmp_path / "out", bundle=bundle, only=True)
    assert [(camera.accuracy, camera.tested) for camera in enrolment.bundle.manifest.cameras] == [(None, 0)] * 3
    assert enrolment.bundle.manifest.accuracy["photos"] == 0
    assert "not tested" in enrolment.bundle.files[CARD].decode()
    assert f"{cameras[0].name}: 1 photo, at least 5 are better" in enrolment.warnings


def test_a_folder_need_not_spell_a_known_camera_exactly(
    tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]
) -> None:
    write_album(tmp_path / "more" / "CYGNUS_c-102", cameras[2], range(300, 302))
    enrolment = camtrace.enroll(tmp_path / "more", out=tmp_path / "out", bundle=bundle)
    assert enrolment.photos == {"Cygnus C 102": 2}
    assert enrolment.bundle.manifest.labels == bundle.manifest.labels


def test_two_cameras_come_with_a_warning(tmp_path: Path, bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    for camera in cameras[:2]:
        write_album(tmp_path / "pair" / camera.model, camera, TEACHING_SCENES)
    enrolment = camtrace.enroll(tmp_path / "pair", out=tmp_path / "out", bundle=bundle, only=True)
    assert any("one of the two is always named" in warning for warning in enrolment.warnings)


def test_output_is_overwritten_only_by_force(tmp_path: Path, bundle_folder: Path, cameras: tuple[MadeCamera, ...]) -> None:
    out = Path(shutil.copytree(bundle_folder, tmp_path / "out"))
    for camera in cameras[:2]:
        write_album(tmp_path / "in" / camera.name, camera, range(100, 102), size=256)
    seen: list[Path] = []
    with pytest.raises(camtrace.BundleError, match="a bundle is already there"):
        camtrace.enroll(tmp_path / "in", out=out, bundle=bundle_folder, only=True, on_photo=seen.append)
    assert seen == []  # refused before the work, not after it
    assert len(json.loads((out / MANIFEST).read_text())["cameras"]) == 4
    camtrace.enroll(tmp_path / "in", out=out, bundle=out, only=True, force=True)  # even over its own base
    assert len(json.loads((out / MANIFEST).read_text())["cameras"]) == 2


def test_same_photos_same_bundle(tmp_path: Path, albums: Path, bundle_folder: Path) -> None:
    camtrace.enroll(albums, out=tmp_path / "made", only=True)
    for path in bundle_folder.iterdir():
        assert (tmp_path / "made" / path.name).read_bytes() == path.read_bytes()
