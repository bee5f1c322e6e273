"""Caffe weights -> bundle: its net computes what a plain reference computes, and it says what is known of it and no more."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import camtrace
from camtrace.bundle import CARD, FEATURES, load_bundle
from camtrace.patches import select_patches
from camtrace.photo import read_photo
from camtrace.simulator import MadeCamera
from camtrace.types import Patches
from made import encode, made_photo, noise, run_cli, write_album
from made_caffe import LEARNED, MEAN, NAMES, Array, reference, write_files

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab.import_caffe import import_caffe  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_files(tmp_path_factory.mktemp("caffe"))


@pytest.fixture(scope="module")
def imported(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported") / "bondi"
    import_caffe(files["weights"], mean=files["mean"], labels=files["labels"], out=folder)
    return folder


@pytest.fixture(scope="module")
def bundle_of_caffe(imported: Path) -> camtrace.Bundle:
    return load_bundle(imported)


PIXELS = np.stack([noise(64, 64, seed=1, high=256), noise(64, 64, seed=2, high=90), noise(64, 64, seed=3, low=170)])  # any, dark, light


def features_of(bundle: camtrace.Bundle, pixels: NDArray[np.uint8]) -> Array:
    return bundle.extract(Patches(pixels, np.zeros((len(pixels), 2), np.int64)))


# The bundle


def test_the_bundle_computes_what_the_net_is_said_to_compute(bundle_of_caffe: camtrace.Bundle) -> None:
    features, softmax = reference(LEARNED, MEAN, PIXELS)
    votes = bundle_of_caffe.cast_votes(features_of(bundle_of_caffe, PIXELS))
    assert 0.2 < (features > 0).mean() < 0.8  # the reference is alive: neither all cut off nor nothing
    assert softmax.max() > 0.2
    assert len(set(softmax.argmax(axis=1))) > 1
    np.testing.assert_allclose(features_of(bundle_of_caffe, PIXELS), features, atol=1e-4)
    np.testing.assert_allclose(votes.scores, softmax, atol=1e-4)
    np.testing.assert_array_equal(votes.labels, softmax.argmax(axis=1))
    assert votes.labels.dtype == np.int64
    assert votes.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("pixels", "mean", "scale"),
    [
        pytest.param(PIXELS[..., ::-1], MEAN, 0.0125, id="BGR"),
        pytest.param(PIXELS, MEAN[:, ::-1], 0.0125, id="BGR mean"),
        pytest.param(PIXELS, MEAN.mean(axis=(2, 3), keepdims=True), 0.0125, id="mean colour for mean patch"),
        pytest.param(PIXELS, MEAN.transpose(0, 1, 3, 2), 0.0125, id="rows for columns"),
        pytest.param(PIXELS, MEAN, 1 / 85, id="another scale"),
    ],
)
def test_any_other_input_would_be_noticed(
    bundle_of_caffe: camtrace.Bundle, pixels: NDArray[np.uint8], mean: Array, scale: float
) -> None:
    other, _ = reference(LEARNED, mean, pixels, scale=scale)
    assert np.abs(features_of(bundle_of_caffe, PIXELS) - other).max() > 0.01


def test_pooling_rounds_up(bundle_of_caffe: camtrace.Bundle) -> None:
    """The last column of pixels reaches only the last column of the first maps, which pooling that rounds down would drop."""
    changed = PIXELS.copy()
    changed[:, :, 63] = 255 - changed[:, :, 63]
    after = features_of(bundle_of_caffe, changed)
    assert np.abs(after - features_of(bundle_of_caffe, PIXELS)).max() > 0.01
    np.testing.assert_allclose(after, reference(LEARNED, MEAN, changed)[0], atol=1e-4)


def test_the_manifest_says_what_is_known_and_no_more(bundle_of_caffe: camtrace.Bundle, files: dict[str, Path]) -> None:
    manifest = bundle_of_caffe.manifest
    assert manifest.labels[:3] == ("Canon Ixus70", "Casio EX-Z150", "FujiFilm FinePixJ50")
    assert len(manifest.labels) == 18
    assert manifest.cameras[10].make == "Praktica"
    assert {(camera.photos, camera.accuracy, camera.tested) for camera in manifest.cameras} == {(0, None, 0)}
    assert (manifest.name, manifest.rule, manifest.vote, manifest.patch_count) == ("bondi", "quality", "summed", 32)
    assert manifest.thresholds == {"majority": 0.0, "summed": 0.0}
    assert (manifest.calibration, manifest.accuracy, manifest.regularisation) == (None, {}, None)
    assert "may not be redistributed or modified" in manifest.training["licence"]
    assert manifest.training["sha256"]["labels"] == hashlib.sha256(files["labels"].read_bytes()).hexdigest()


def test_there_are_no_references(bundle_of_caffe: camtrace.Bundle) -> None:
    references = bundle_of_caffe.references()
    assert (references.features.shape, references.cameras.shape, references.photos.shape) == ((0, 128), (0,), (0,))


def test_the_card_says_whose_it_is_and_what_is_not_known(bundle_of_caffe: camtrace.Bundle) -> None:
    card = " ".join(bundle_of_caffe.files[CARD].decode().split())
    for words in (
        "Bondi et al.",
        "may not be redistributed or modified",
        "every bundle that `camtrace enroll` makes from it",
        "That figure is the authors'",
        "confidently wrong",
        "The threshold for `unknown` was not measured",
        "The softmax is no probability",
        "- Canon Ixus70 - Casio EX-Z150",
    ):
        assert words in card


def test_summed_and_majority_votes_are_those_of_the_reference(tmp_path: Path, imported: Path, cameras: tuple[MadeCamera, ...]) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(made_photo(cameras[0], 900, size=448))
    photo = read_photo(path)
    patches = select_patches(photo, rule="quality", count=10)
    others = select_patches(photo, rule="mid-tone", count=10)
    assert {*map(tuple, patches.positions)} != {*map(tuple, others.positions)}
    _, softmax = reference(LEARNED, MEAN, patches.pixels)
    votes = np.bincount(softmax.argmax(axis=1), minlength=18)
    summed = softmax.sum(axis=0)
    orders = {"summed": np.argsort(-summed), "majority": np.lexsort((-summed, -votes))}
    for way, order in orders.items():
        run = run_cli("identify", path, "--bundle", imported, "--vote", way, "--patches", 10, "--to", "json")
        verdict = json.loads(run.out)
        assert (run.code, verdict["status"], verdict["n_patches"]) == (0, "ok", 10)
        ranking = [(NAMES[index].replace("_", " "), votes[index]) for index in order]
        assert [(line["camera"], line["votes"]) for line in verdict["ranking"]] == ranking
        assert verdict["answer"] == verdict["best"] == ranking[0][0]
        assert {line["probability"] for line in verdict["ranking"]} == {None}
        assert verdict["log10_lr"] is None


def test_some_camera_is_always_named_and_no_percentage_shown(tmp_path: Path, imported: Path) -> None:
    (tmp_path / "noise.png").write_bytes(encode(noise(64, 64), "PNG"))
    run = run_cli("identify", tmp_path / "noise.png", "--bundle", imported)
    assert run.code == 0
    assert "  Camera:      " in run.out
    assert "%" not in run.out


# Enrolling on its features


@pytest.fixture(scope="module")
def newcomers(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    folder = tmp_path_factory.mktemp("newcomers")
    for camera in cameras[:3]:
        write_album(folder / camera.model, camera, range(100, 102), size=256)
    return folder


def test_enroll_only_uses_it_as_a_feature_extractor(tmp_path: Path, imported: Path, newcomers: Path) -> None:
    run = run_cli("enroll", newcomers, "--out", tmp_path / "new", "--bundle", imported, "--only")
    assert run.code == 0
    new, base = load_bundle(tmp_path / "new"), load_bundle(imported)
    assert new.files[FEATURES] == base.files[FEATURES]
    assert new.manifest.labels == ("A100", "B101", "C 102")
    assert new.manifest.rule == "quality"
    assert len(np.unique(new.references().photos)) == 6
    photo = next((newcomers / "A100").iterdir())
    assert camtrace.identify(photo, bundle=new).best in new.manifest.labels


def test_the_licence_goes_with_the_network(tmp_path: Path, imported: Path, newcomers: Path) -> None:
    first = camtrace.enroll(newcomers, out=tmp_path / "first", bundle=imported, only=True)
    second = camtrace.enroll(newcomers, out=tmp_path / "second", bundle=first.bundle)
    for enrolment in (first, second):
        assert [warning for warning in enrolment.warnings if "may not be redistributed" in warning]
        assert "may not be redistributed" in enrolment.bundle.files[CARD].decode()


def test_none_can_join_cameras_without_references(tmp_path: Path, imported: Path, newcomers: Path) -> None:
    run = run_cli("enroll", newcomers, "--out", tmp_path / "new", "--bundle", imported)
    assert run.code == 1
    assert run.err == (
        "camtrace: bondi 1: this bundle came without reference features, so no camera can join those it knows; "
        "use --only to make a bundle of just the new ones\n"
    )
    assert not (tmp_path / "new").exists()


# Choices of the import


def test_name_vote_and_force(tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, imported: Path) -> None:
    onnx = (imported / FEATURES).read_bytes()
    monkeypatch.setattr("camtrace.lab.import_caffe.export_onnx", lambda _: onnx)  # it takes seconds

    def again(**choices: Any) -> str:
        import_caffe(files["weights"], mean=files["mean"], labels=files["labels"], out=tmp_path / "one", **choices)
        manifest = load_bundle(tmp_path / "one").manifest
        return f"{manifest.name} {manifest.vote}"

    assert again(vote="majority", name="dresden") == "dresden majority"
    with pytest.raises(camtrace.BundleError, match="a bundle is already there"):
        again()
    assert load_bundle(tmp_path / "one").manifest.name == "dresden"
    assert again(force=True) == "one summed"
