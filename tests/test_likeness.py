"""`compare` and `camtrace compare`: photos by one camera model against photos by two, in every form, with bad files between."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import jsonschema
import numpy as np
import pytest

import camtrace
from camtrace import likeness
from camtrace.bundle import FEATURES, HEAD, write_bundle
from camtrace.comparison import Floats, calibrate, fit_comparison, mean_features, pairs_of, raw_ratios
from camtrace.history import cut_patches
from camtrace.likeness import SCHEMA_VERSION, in_words
from camtrace.photo import read_photo
from camtrace.simulator import MadeCamera, make_cameras
from camtrace.types import Status
from made import encode, made_photo, noise, run_cli, write_album
from test_verdict import check_keys

SCHEMA: dict[str, Any] = json.loads((files("camtrace") / "likeness.schema.json").read_text("utf-8"))
JUDGE = jsonschema.Draft202012Validator(SCHEMA)


def mean_of(photo: bytes, bundle: camtrace.Bundle) -> Floats:
    return mean_features(bundle.extract(cut_patches(read_photo(photo), count=bundle.manifest.patch_count)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, bundle: camtrace.Bundle) -> Path:
    """The made bundle with a comparison: taught by six other cameras, calibrated on the photos of its own four."""
    taught = [
        (number, made_photo(one, 300 + shot, size=256)) for number, one in enumerate(make_cameras(6, seed=41)) for shot in range(3)
    ]
    comparison = fit_comparison(np.stack([mean_of(photo, bundle) for _, photo in taught]), np.array([number for number, _ in taught]))
    known = bundle.references()
    photos, first = np.unique(known.photos, return_index=True)
    means = np.stack([mean_features(known.of(known.photos == photo).features) for photo in photos])
    pairs, same = pairs_of(known.cameras[first], photos)
    comparison = calibrate(comparison, raw_ratios(comparison, means, means)[pairs[0], pairs[1]], same, photos=len(photos), cameras=4)
    out = tmp_path_factory.mktemp("comparing") / "comparing"
    write_bundle(
        out,
        replace(bundle.manifest, name="comparing"),
        features=bundle.files[FEATURES],
        head=bundle.files[HEAD],
        references=known,
        card="A card.",
        comparison=comparison,
        gate=bundle.gate(),
    )
    return out


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory, bundle: camtrace.Bundle) -> Path:
    """The made bundle as one that never learned to compare."""
    out = tmp_path_factory.mktemp("mute") / "mute"
    files, known = bundle.files, bundle.references()
    write_bundle(out, bundle.manifest, features=files[FEATURES], head=files[HEAD], references=known, gate=bundle.gate(), card="")
    return out


@pytest.fixture(scope="module")
def comparing(folder: Path) -> camtrace.Bundle:
    return camtrace.load_bundle(folder)


@pytest.fixture(scope="module")
def questioned(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> list[Path]:
    """Two photos each of the first two cameras, as files: a0, a1, b0, b1."""
    root = tmp_path_factory.mktemp("questioned")
    paths = []
    for name, camera in zip("ab", cameras, strict=False):
        for number in range(2):
            paths.append(root / f"{name}{number}.jpg")
            paths[-1].write_bytes(made_photo(camera, 900 + number))
    return paths


def test_pairs_of_one_model_have_higher_ratios(comparing: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    shots = [(camera.name, made_photo(camera, number)) for camera in cameras for number in range(900, 903)]
    pairs = list(camtrace.compare_many([photo for _, photo in shots], bundle=comparing, names=[name for name, _ in shots]))
    assert len(pairs) == 12 * 11 / 2
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for pair in pairs:
        assert pair.log10_lr is not None
        ratios[pair.photos[0].source == pair.photos[1].source].append(pair.log10_lr)
    assert np.mean(np.array(ratios[True]) > 0) >= 0.75
    assert np.mean(np.array(ratios[False]) < 0) >= 0.75
    higher = np.array(ratios[True])[:, None] > np.array(ratios[False])[None]
    assert higher.mean() >= 0.9


def test_two_photos(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    same, other = (camtrace.compare(questioned[0], questioned[number], bundle=comparing) for number in (1, 2))
    assert same.log10_lr is not None
    assert other.log10_lr is not None
    assert same.log10_lr > 0 > other.log10_lr
    assert [photo.source for photo in other.photos] == [str(questioned[0]), str(questioned[2])]
    assert [(photo.status, photo.n_patches) for photo in same.photos] == [("ok", 36)] * 2
    comparison = comparing.comparison()
    assert comparison is not None
    direct = comparison.log10_lr(*(mean_of(path.read_bytes(), comparing) for path in questioned[:2]))
    assert same.log10_lr == pytest.approx(direct, abs=5e-4)
    assert "calibrated on 24 photos of 4 cameras that had not taught it" in same.reason
    assert f"{10**same.log10_lr:.3g} times as likely from one camera model as from two" in same.reason
    assert f"{10**-other.log10_lr:.3g} times as likely from two camera models as from one" in other.reason
    assert same.calibrated_on == likeness.Support(24, 4)
    assert (same.bundle.name, same.bundle.version) == ("comparing", "1")


def test_order_does_not_matter(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    there, back = (camtrace.compare(*pair, bundle=comparing) for pair in (questioned[:3:2], questioned[2::-2]))
    assert there.log10_lr == back.log10_lr
    assert there.photos == back.photos[::-1]


def test_ratios_stay_below_what_the_photos_support(comparing: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    photo, limit = made_photo(cameras[1], 900), round(np.log10(24), 3)
    pairs = [camtrace.compare(photo, other, bundle=comparing) for other in (photo, encode(noise(256, 256), "PNG"))]
    assert all(pair.log10_lr is not None and abs(pair.log10_lr) <= limit for pair in pairs)
    capped = [pair for pair in pairs if abs(pair.log10_lr or 0) == limit]
    assert capped
    assert all("the most that the calibration supports" in pair.reason for pair in capped)


def test_the_same_file_twice_is_said(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    assert "both are one and the same file" in camtrace.compare(questioned[0], questioned[0].read_bytes(), bundle=comparing).reason
    assert "same file" not in camtrace.compare(*questioned[:2], bundle=comparing).reason


def test_what_happened_to_the_photos_is_part_of_the_reason(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    pair = camtrace.compare(questioned[0], encode(noise(256, 256), "PNG"), bundle=comparing, names=("one", "two"))
    assert [photo.source for photo in pair.photos] == ["one", "two"]
    assert pair.reason.endswith("; second photo: no JPEG grid: it was resized or filtered, or never was a JPEG")
    assert "first photo:" not in pair.reason


def test_each_photo_is_embedded_once(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    seen: list[str] = []
    with mock.patch.object(likeness, "read_photo", wraps=read_photo) as read:
        pairs = list(camtrace.compare_many(questioned, bundle=comparing, on_photo=seen.append))
    assert [call.args[0] for call in read.call_args_list] == questioned
    assert seen == list(map(str, questioned))
    numbers = [[questioned.index(Path(photo.source)) for photo in pair.photos] for pair in pairs]
    assert numbers == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


def test_a_bundle_without_comparison_says_what_is_missing(mute: Path, questioned: list[Path]) -> None:
    pair = camtrace.compare(*questioned[:2], bundle=mute)
    assert (pair.status, pair.log10_lr, pair.words, pair.calibrated_on) == ("ok", None, None, None)
    assert pair.reason.startswith("made 1: this bundle holds no comparison (the tensors comparison_* in references.safetensors)")
    JUDGE.validate(json.loads(pair.to_json()))


def test_enrolling_keeps_the_comparison(
    comparing: camtrace.Bundle, cameras: tuple[MadeCamera, ...], tmp_path: Path, questioned: list[Path]
) -> None:
    for camera in cameras[2:]:
        write_album(tmp_path / "albums" / camera.name.replace(" ", "_"), camera, range(900, 902))
    child = camtrace.enroll(tmp_path / "albums", out=tmp_path / "child", bundle=comparing, only=True).bundle
    pairs = [camtrace.compare(*questioned[:2], bundle=one) for one in (child, comparing)]
    assert pairs[0].log10_lr == pairs[1].log10_lr is not None


@pytest.mark.parametrize(
    ("log10_lr", "words"),
    [
        (0.0, "supports neither one camera model nor two"),
        (0.301, "supports neither one camera model nor two"),
        (-0.301, "supports neither one camera model nor two"),
        (0.302, "weak support for one camera model"),
        (1.0, "weak support for one camera model"),
        (1.001, "moderate support for one camera model"),
        (-1.5, "moderate support for two different camera models"),
        (2.5, "moderately strong support for one camera model"),
        (-3.5, "strong support for two different camera models"),
        (5.9, "very strong support for one camera model"),
        (6.1, "extremely strong support for one camera model"),
    ],
)
def test_words_are_those_of_enfsi(log10_lr: float, words: str) -> None:
    assert in_words(log10_lr) == words


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    status = SCHEMA["properties"]["photos"]["items"]["properties"]["status"]
    assert SCHEMA["properties"]["status"]["enum"] == status["enum"] == list(get_args(Status))


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"no photo", "unreadable"),
        ("gone.jpg", "unreadable"),
        (encode(noise(20, 20), "PNG"), "too_small"),
        (encode(np.full((128, 128, 3), 255, np.uint8), "PNG"), "no_usable_patches"),
    ],
)
def test_photos_that_cannot_be_judged(bad: bytes | str, status: Status, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    pair = camtrace.compare(questioned[0], bad, bundle=comparing, names=("good", "bad"))
    assert (pair.status, pair.log10_lr, pair.words) == (status, None, None)
    assert [photo.status for photo in pair.photos] == ["ok", status]
    assert pair.reason.startswith("bad: ")
    JUDGE.validate(json.loads(pair.to_json()))


def test_schema_names_the_keys_of_a_result(comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    pair = camtrace.compare(*questioned[:2], bundle=comparing)
    document = pair.to_dict()
    JUDGE.validate(document)
    check_keys(SCHEMA, document)
    assert json.loads(pair.to_json()) == json.loads(pair.to_json(indent=None)) == document
    changes: tuple[dict[str, Any], ...] = (
        {"same": True},
        {"photos": document["photos"][:1]},
        {"schema_version": 2},
        {"calibrated_on": {}},
    )
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            JUDGE.validate({**document, **change})


def test_command_in_words(folder: Path, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    run = run_cli("compare", *questioned[:2], "--bundle", folder)
    pair = camtrace.compare(*questioned[:2], bundle=comparing)
    assert (run.code, run.err) == (0, "")
    assert pair.words is not None
    lines = run.out.splitlines()
    assert lines[0] == f"{questioned[0]} - {questioned[1]}"
    assert lines[1] == f"  {pair.words[0].upper()}{pair.words[1:]}"
    assert f"  log10 LR:    {pair.log10_lr:+.2f}" in lines
    assert f"  Why:         {pair.reason}" in lines
    assert "  Bundle:      comparing 1" in lines


def test_command_gives_one_object_for_two_photos(folder: Path, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    run = run_cli("compare", *questioned[:2], "--bundle", folder, "--to", "json")
    assert (run.code, json.loads(run.out)) == (0, camtrace.compare(*questioned[:2], bundle=comparing).to_dict())


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_command_gives_every_pair_of_a_folder(form: str, folder: Path, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    run = run_cli("compare", questioned[0].parent, "--bundle", folder, "--to", form)
    found = json.loads(run.out) if form == "json" else [json.loads(line) for line in run.out.splitlines()]
    assert (run.code, run.err) == (0, "")
    assert found == [pair.to_dict() for pair in camtrace.compare_many(questioned, bundle=comparing)]


def test_a_bad_file_does_not_stop_the_others(folder: Path, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    words = ("compare", questioned[0], "gone.jpg", questioned[1], "--bundle", folder)
    run = run_cli(*words)
    good = camtrace.compare(*questioned[:2], bundle=comparing)
    lines = run.out.splitlines()
    assert (run.code, run.err) == (1, "")
    assert lines[0].split() == ["log10", "LR", "first", "second", "in", "words"]
    assert lines[1].split() == ["-", str(questioned[0]), "gone.jpg", "not", "compared", "(unreadable)"]
    assert lines[2].split(maxsplit=3) == [f"{good.log10_lr:+.2f}", *map(str, questioned[:2]), good.words]
    assert sum(line.startswith("gone.jpg: cannot be read") for line in lines) == 1
    assert lines[-1] == "Calibrated on 24 photos of 4 cameras that had not taught it. Bundle: comparing 1"
    documents = json.loads(run_cli(*words, "--to", "json").out)
    assert [document["status"] for document in documents] == ["unreadable", "ok", "unreadable"]


def test_standard_input_once(folder: Path, comparing: camtrace.Bundle, questioned: list[Path]) -> None:
    run = run_cli("compare", "-", questioned[1], "--bundle", folder, "--to", "json", stdin=questioned[0].read_bytes())
    expected = camtrace.compare(*questioned[:2], bundle=comparing, names=("<stream>", str(questioned[1])))
    assert (run.code, json.loads(run.out)) == (0, expected.to_dict())
    twice = run_cli("compare", "-", "-", "--bundle", folder)
    assert (twice.code, twice.out) == (2, "")
    assert "standard input, which can be read only once" in " ".join(twice.err.split())


def test_command_says_what_the_bundle_lacks(mute: Path, questioned: list[Path]) -> None:
    for count in (2, 3):
        run = run_cli("compare", *questioned[:count], "--bundle", mute)
        assert run.code == 1
        assert "made 1: this bundle holds no comparison" in run.out


@pytest.mark.parametrize("words", [("compare",), ("compare", "one.jpg"), ("compare", "a.jpg", "b.jpg", "--to", "csv")])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    run = run_cli(*words)
    assert (run.code, run.out) == (2, "")


def test_an_empty_folder_fails(tmp_path: Path, folder: Path, questioned: list[Path]) -> None:
    (tmp_path / "empty").mkdir()
    run = run_cli("compare", *questioned[:2], tmp_path / "empty", "--bundle", folder, "--to", "json")
    assert (run.code, len(json.loads(run.out))) == (1, 1)
    assert run.err == f"camtrace: {tmp_path / 'empty'}: no photos in this folder\n"
