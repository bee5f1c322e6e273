"""The main path on made photos: right in most cases, the same every time, and never stopped by a bad file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import camtrace
from camtrace.bundle import load_bundle
from camtrace.calibration import MODES, NAMING, Calibration
from camtrace.photo import Source
from camtrace.simulator import MadeCamera, save, shoot
from camtrace.types import UNKNOWN, Level, Mode
from camtrace.vote import WAYS
from made import QUESTIONED_SCENES, encode, made_photo, noise, scene

WHITE = encode(np.full((128, 128, 3), 255, np.uint8), "JPEG")


def test_held_out_photos_of_other_devices_and_scenes_are_named(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    verdicts = {
        (camera.name, number): camtrace.identify(made_photo(camera, number), bundle=bundle)
        for camera in cameras
        for number in QUESTIONED_SCENES
    }
    best = [verdict.best == name for (name, _), verdict in verdicts.items()]
    named = [(name, verdict.answer) for (name, _), verdict in verdicts.items() if verdict.answer != UNKNOWN]
    assert np.mean(best) >= 0.75  # chance: 0.25
    assert len(named) >= len(verdicts) / 4
    assert np.mean([name == answer for name, answer in named]) >= 0.75


def test_a_verdict_is_whole(bundle: camtrace.Bundle, photo: Path, cameras: tuple[MadeCamera, ...]) -> None:
    verdict = camtrace.identify(photo, bundle=bundle)
    assert verdict.source == str(photo)
    assert verdict.status == "ok"
    assert {line.camera for line in verdict.ranking} == {camera.name for camera in cameras} == set(bundle.manifest.labels)
    assert verdict.best == verdict.ranking[0].camera
    assert verdict.answer in (verdict.best, UNKNOWN)
    assert sum(line.votes for line in verdict.ranking) == verdict.n_patches
    assert verdict.claim == camtrace.Claim(cameras[0].make, cameras[0].model)
    assert verdict.bundle == bundle.id
    assert verdict.log10_lr is None


def test_a_photo_with_few_patches_is_judged_by_these(bundle: camtrace.Bundle) -> None:
    few = camtrace.identify(encode(noise(100, 200), "PNG"), bundle=bundle)
    assert (few.status, few.n_patches) == ("ok", 3)
    assert camtrace.identify(encode(noise(64, 64), "PNG"), bundle=bundle).n_patches == 1


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", "unreadable", "the file is empty"),
        (b"just text", "unreadable", "not a photo"),
        (encode(noise(128, 128), "JPEG")[:3000], "unreadable", "damaged JPEG"),
        (encode(noise(128, 128), "PNG")[:3000], "unreadable", "damaged PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "unreadable", "<bytes>: "),
        (encode(noise(20, 20), "PNG"), "too_small", "20x20 pixels, expected at least 64x64"),
        (WHITE, "no_usable_patches", "all 4 patches are saturated"),
    ],
)
def test_what_cannot_be_judged_says_so(bundle: camtrace.Bundle, data: bytes, status: str, reason: str) -> None:
    verdict = camtrace.identify(data, bundle=bundle)
    assert verdict.status == status
    assert reason in verdict.reason
    assert (verdict.answer, verdict.answer_level, verdict.best) == (UNKNOWN, "unknown", None)
    assert (verdict.ranking, verdict.n_patches, verdict.claim_agrees) == ((), 0, None)
    assert verdict.sha256 is not None


def test_a_missing_file_has_no_hash(bundle: camtrace.Bundle) -> None:
    verdict = camtrace.identify("gone.jpg", bundle=bundle)
    assert (verdict.status, verdict.sha256, verdict.source) == ("unreadable", None, "gone.jpg")


def test_the_claim_of_a_photo_without_usable_patches_is_kept(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    verdict = camtrace.identify(save(np.full((128, 128, 3), 255, np.uint8), cameras[1]), bundle=bundle)
    assert verdict.status == "no_usable_patches"
    assert verdict.claim.model == cameras[1].model


def test_same_photo_same_verdict_with_any_number_of_threads(bundle_folder: Path, photo: Path) -> None:
    verdicts = [camtrace.identify(photo, bundle=load_bundle(bundle_folder, threads=threads)) for threads in (1, 1, 2, 0)]
    verdicts.append(camtrace.identify(photo, bundle=bundle_folder))
    assert all(verdict == verdicts[0] for verdict in verdicts)


def test_many_verdicts_come_in_order_and_as_one_by_one(bundle: camtrace.Bundle, photo: Path) -> None:
    sources: list[Source] = [b"bad", photo, WHITE, str(photo), "gone.jpg", photo.read_bytes()]
    verdicts = list(camtrace.identify_many(sources, bundle=bundle))
    assert verdicts == [camtrace.identify(source, bundle=bundle) for source in sources]
    assert [verdict.status for verdict in verdicts] == ["unreadable", "ok", "no_usable_patches", "ok", "unreadable", "ok"]


def test_many_asks_for_a_photo_only_when_it_is_its_turn(bundle: camtrace.Bundle, photo: Path) -> None:
    def sources() -> Iterator[Path]:
        yield photo
        raise AssertionError("asked too early")

    assert next(camtrace.identify_many(sources(), bundle=bundle)).status == "ok"


def test_claim_agrees_disagrees_or_is_absent(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    daring = replace(bundle, manifest=replace(bundle.manifest, thresholds={"majority": -1.0, "summed": -1e6}))
    pixels = shoot(scene(901, 256), cameras[0], device=2, seed=901)
    answer = camtrace.identify(save(pixels, cameras[0], exif=False), bundle=daring).answer
    make, model = answer.split(" ", 1)

    def agreement(make: str, model: str) -> bool | None:
        claiming = replace(cameras[0], make=make, model=model)
        return camtrace.identify(save(pixels, claiming), bundle=daring).claim_agrees

    assert agreement(make=make.upper() + " CORPORATION", model=f"{make} {model}") is True
    assert agreement(make=make, model="Other 7") is False
    assert camtrace.identify(save(pixels, cameras[0], exif=False), bundle=daring).claim_agrees is None
    timid = replace(bundle, manifest=replace(bundle.manifest, thresholds={"majority": 2.0, "summed": 1e6}))
    unknown = camtrace.identify(save(pixels, cameras[0]), bundle=timid)
    assert (unknown.answer, unknown.claim_agrees, unknown.best) == (UNKNOWN, None, answer)


@pytest.mark.parametrize("count", [1, 7, 100, 500])
def test_number_of_patches_is_honoured(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...], count: int) -> None:
    photo = encode(noise(640, 640), "PNG")
    assert camtrace.identify(photo, bundle=bundle, patches=count).n_patches == min(count, 100)
    assert camtrace.identify(photo, bundle=bundle).n_patches == bundle.manifest.patch_count == 64


def test_way_of_voting(bundle: camtrace.Bundle, photo: Path) -> None:
    reasons = {way: camtrace.identify(photo, bundle=bundle, vote=way).reason for way in WAYS}
    assert "share of the votes" in reasons["majority"]
    assert "mean score" in reasons["summed"]
    assert camtrace.identify(photo, bundle=bundle).reason == reasons[bundle.manifest.vote]


def calibrated(bundle: camtrace.Bundle, *, families: dict[str, tuple[str, ...]] | None = None, makers: bool = False) -> camtrace.Bundle:
    """The bundle with probabilities that follow its evidence: careful asks for 0.99, balanced for 0.5."""
    modes: dict[Mode, dict[Level, float]] = {
        mode: dict.fromkeys(NAMING, needed) for mode, needed in zip(MODES, (0.99, 0.5, 0.0), strict=True)
    }
    calibration = Calibration(0, 0.3, 60.0, (0.0, 0.0), 500, 400, modes)
    known = tuple(replace(camera, make="Aurora") if makers else camera for camera in bundle.manifest.cameras)
    return replace(bundle, manifest=replace(bundle.manifest, cameras=known, calibration=calibration, families=families or {}))


def test_a_calibrated_verdict_carries_probabilities_and_a_likelihood_ratio(bundle: camtrace.Bundle, photo: Path) -> None:
    plain, verdict = camtrace.identify(photo, bundle=bundle), camtrace.identify(photo, bundle=calibrated(bundle))
    assert [line.camera for line in verdict.ranking] == [line.camera for line in plain.ranking]
    assert [line.votes for line in verdict.ranking] == [line.votes for line in plain.ranking]
    chances = [line.probability or 0 for line in verdict.ranking]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    odds = chances[0] / (1 - chances[0])
    assert verdict.log10_lr == pytest.approx(np.log10(7 * odds), abs=0.01)  # four cameras: a prior of 1 in 8
    assert "calibrated on 500 photos of known cameras and 400 of others" in verdict.reason
    assert plain.log10_lr is None


def test_another_way_of_voting_is_not_calibrated(bundle: camtrace.Bundle, photo: Path) -> None:
    ready = calibrated(replace(bundle, manifest=replace(bundle.manifest, vote="summed")))
    verdict = camtrace.identify(photo, bundle=ready, vote="majority")
    assert verdict.log10_lr is None
    assert all(line.probability is None for line in verdict.ranking)
    assert camtrace.identify(photo, bundle=ready, vote="summed") == camtrace.identify(photo, bundle=ready)


def test_answers_at_every_level_and_what_the_claim_says_of_them(
    bundle: camtrace.Bundle, photo: Path, cameras: tuple[MadeCamera, ...]
) -> None:
    best = camtrace.identify(photo, bundle=bundle).best
    assert best == cameras[0].name  # which the EXIF claims too
    others = [name for name in bundle.manifest.labels if name != best]
    by_model = camtrace.identify(photo, bundle=calibrated(bundle), mode="guess")
    assert (by_model.answer, by_model.answer_level, by_model.claim_agrees) == (best, "model", True)
    refused = camtrace.identify(photo, bundle=calibrated(bundle), mode="careful")
    assert (refused.answer, refused.answer_level, refused.claim_agrees) == (UNKNOWN, "unknown", None)
    sisters = calibrated(bundle, families={"Aurora and all": (best, *others)})
    family = camtrace.identify(photo, bundle=sisters, mode="careful")
    assert (family.answer, family.answer_level, family.claim_agrees) == ("Aurora and all", "family", True)
    maker = camtrace.identify(photo, bundle=calibrated(bundle, makers=True), mode="careful")
    assert (maker.answer, maker.answer_level, maker.claim_agrees) == ("Aurora", "maker", True)
    assert maker.best == family.best == best


def test_modes_of_a_bundle_without_a_calibration(bundle: camtrace.Bundle, photo: Path) -> None:
    timid = replace(bundle, manifest=replace(bundle.manifest, thresholds={"majority": 2.0, "summed": 1e6}))
    answers = {mode: camtrace.identify(photo, bundle=timid, mode=mode).answer for mode in MODES}
    assert answers == {"careful": UNKNOWN, "balanced": UNKNOWN, "guess": camtrace.identify(photo, bundle=bundle).best}
    many = camtrace.identify_many([photo, photo], bundle=timid, mode="guess")
    assert [verdict.answer for verdict in many] == [answers["guess"]] * 2


def test_name_replaces_the_path(bundle: camtrace.Bundle, photo: Path) -> None:
    assert camtrace.identify(photo, bundle=bundle, name="evidence 7").source == "evidence 7"
    assert camtrace.identify(b"", bundle=bundle, name="evidence 8").reason.startswith("evidence 8: ")
    with photo.open("rb") as stream:
        assert camtrace.identify(stream, bundle=bundle).source == str(photo)
    assert camtrace.identify(io.BytesIO(photo.read_bytes()), bundle=bundle).source == "<stream>"


def test_a_missing_bundle_is_raised(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(camtrace.BundleError):
        camtrace.identify(photo, bundle=tmp_path / "none")
    with pytest.raises(camtrace.BundleError):
        next(camtrace.identify_many([photo], bundle=tmp_path / "none"))


def test_without_a_bundle_the_one_that_ships_is_used(photo: Path) -> None:
    assert camtrace.identify(photo).bundle.name == "default"
