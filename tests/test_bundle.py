"""A bundle folder is what it was when written, or it is refused with a message that says where and why."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

import camtrace
from camtrace import safe_files
from camtrace.bundle import CARD, FEATURES, HEAD, REFERENCES, load_bundle, write_bundle
from camtrace.calibration import MODES, NAMING, Calibration
from camtrace.experts import Gate
from camtrace.manifest import FORMAT_VERSION, MANIFEST, BundleError, Camera, Manifest
from camtrace.types import References

FILES = (FEATURES, HEAD, REFERENCES, CARD)
CALIBRATION = Calibration(2.0, 3.5, -0.25, (1.5, -0.125), 400, 380, {mode: dict.fromkeys(NAMING, 0.625) for mode in MODES})
CALIBRATED = asdict(CALIBRATION)


@pytest.fixture
def copy(tmp_path: Path, bundle_folder: Path) -> Path:
    """A copy of the enrolled bundle to do harm to."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def write_again(bundle: camtrace.Bundle, folder: Path, *, force: bool = False, manifest: Manifest | None = None, **more: Any) -> None:
    parts = {"features": bundle.files[FEATURES], "head": bundle.files[HEAD], "references": bundle.references()}
    write_bundle(folder, manifest or bundle.manifest, **{**parts, **more}, card="a card, größer", force=force)


def test_what_is_written_is_what_is_loaded(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "one"
    write_again(bundle, folder)
    loaded = load_bundle(folder)
    assert loaded.manifest == bundle.manifest
    assert loaded.files[FEATURES] == bundle.files[FEATURES]
    assert loaded.files[HEAD] == bundle.files[HEAD]
    assert loaded.files[CARD].decode() == "a card, größer"
    assert (loaded.id.name, loaded.id.version) == (bundle.manifest.name, bundle.manifest.version)
    assert sorted(path.name for path in folder.iterdir()) == sorted((*FILES, MANIFEST))
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_references_come_back(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    write_again(bundle, tmp_path / "one")
    before, after = bundle.references(), load_bundle(tmp_path / "one").references()
    np.testing.assert_array_equal(after.features, before.features)
    np.testing.assert_array_equal(after.cameras, before.cameras)
    np.testing.assert_array_equal(after.photos, before.photos)
    assert [str(array.dtype) for array in (after.features, after.cameras, after.photos)] == ["float32", "int64", "int64"]
    assert after.features.shape == (len(after.cameras), bundle.manifest.dimension)
    assert len(np.unique(after.photos)) == 24


def test_a_calibration_families_and_the_kind_of_head_come_back(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    first, second, *_ = bundle.manifest.labels
    manifest = replace(bundle.manifest, head="experts", families={"twins": (first, second)}, calibration=CALIBRATION)
    write_again(bundle, tmp_path / "one", manifest=manifest)
    loaded = load_bundle(tmp_path / "one").manifest
    assert loaded == manifest
    assert loaded.calibration == CALIBRATION
    assert json.loads((tmp_path / "one" / MANIFEST).read_text("utf-8"))["format"] == FORMAT_VERSION == 3


def test_copies_and_gate_come_back(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    old = bundle.references()
    copies = np.arange(len(old.photos)) % 7
    weights = np.linspace(-1, 1, 3 * bundle.manifest.dimension, dtype=np.float32).reshape(3, -1)
    gate = Gate(weights, np.array([0.375, 0, -1], np.float32))
    write_again(bundle, tmp_path / "one", references=References(old.features, old.cameras, old.photos, copies), gate=gate)
    loaded = load_bundle(tmp_path / "one")
    after = loaded.references()
    assert after.copies is not None
    np.testing.assert_array_equal(after.copies, copies)
    np.testing.assert_array_equal(after.features, old.features)
    assert after.copies.dtype == np.int64
    np.testing.assert_array_equal(loaded.gate().weights, gate.weights)
    np.testing.assert_array_equal(loaded.gate().biases, gate.biases)
    plain = load_bundle_without_gate(bundle, tmp_path / "two")
    assert plain.references().copies is None
    assert plain.comparison() is None


def load_bundle_without_gate(bundle: camtrace.Bundle, folder: Path) -> camtrace.Bundle:
    old = bundle.references()
    write_again(bundle, folder, references=References(old.features, old.cameras, old.photos))
    return load_bundle(folder)


def test_a_missing_gate_says_so(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    plain = load_bundle_without_gate(bundle, tmp_path / "plain")
    with pytest.raises(BundleError, match=r"made 1: references\.safetensors holds no gate"):
        plain.gate()


def test_bundles_of_the_first_format_still_load(copy: Path, bundle: camtrace.Bundle) -> None:
    def age(document: dict[str, Any]) -> None:
        document["format"] = 1
        for newer in ("head", "families"):
            del document[newer]
        document["calibration"] = None

    edit_manifest(copy, age)
    old = load_bundle(copy).manifest
    assert (old.head, old.families, old.calibration) == ("one-vs-one", {}, None)
    assert old.labels == bundle.manifest.labels


def manifest_of(*cameras: tuple[str, str], families: dict[str, tuple[str, ...]] | None = None) -> Manifest:
    thresholds = {"majority": 0.0, "summed": 0.0}
    known = tuple(Camera(name, make, 5) for name, make in cameras)
    return Manifest("x", "1", known, thresholds, families=families or {})  # type: ignore[arg-type]


def test_groups_name_each_camera_at_each_level() -> None:
    sisters: dict[str, tuple[str, ...]] = {"Apple iPhone 7 or 7 Plus": ("Apple iPhone 7", "Apple iPhone 7 Plus")}
    manifest = manifest_of(
        ("Apple iPhone 7", "Apple"),
        ("Nikon D90", "Nikon"),
        ("Apple iPhone 7 Plus", "Apple"),
        ("Apple iPhone 5", "Apple"),
        families=sisters,
    )
    assert manifest.groups["model"] == manifest.labels
    assert manifest.groups["family"] == (*sisters, "Nikon D90", *sisters, "Apple iPhone 5")
    assert manifest.groups["maker"] == ("Apple", "Nikon", "Apple", "Apple")
    assert manifest.called("Nikon D90", "model") == ("Nikon D90",)
    assert manifest.called("Apple iPhone 7 or 7 Plus", "family") == ("Apple iPhone 7", "Apple iPhone 7 Plus")
    assert manifest.called("Apple", "maker") == ("Apple iPhone 7", "Apple iPhone 7 Plus", "Apple iPhone 5")
    assert manifest.called("Apple", "model") == ()
    assert manifest.called("unknown", "unknown") == ()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match="No such file") as caught:
        load_bundle(copy)
    assert str(copy) in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_changed_byte(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match="changed since the bundle was made") as caught:
        load_bundle(copy)
    assert str(copy / name) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_file_without_a_hash(copy: Path, name: str) -> None:
    edit_manifest(copy, lambda document: document["files"].pop(name))
    with pytest.raises(BundleError, match="the manifest has no SHA-256 for this file") as caught:
        load_bundle(copy)
    assert str(copy / name) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(format=4), "bundle format 4, this camtrace reads up to 3; upgrade"),
        (lambda document: document.pop("format"), "no format version, expected 3"),
        (lambda document: document.update(format="3"), "no format version, expected 3"),
        (lambda document: document.pop("cameras"), "not a valid manifest: 'cameras'"),
        (lambda document: document.pop("files"), "not a valid manifest: 'files'"),
        (lambda document: document.pop("version"), "not a valid manifest: .*version"),
        (lambda document: document.update(colour="red"), "not a valid manifest: .*colour"),
        (lambda document: document.update(cameras=["Nikon D90"]), "not a valid manifest"),
        (lambda document: document["cameras"][0].update(lens="50 mm"), "not a valid manifest: .*lens"),
        (lambda document: document.update(files=3), "not a valid manifest"),
        (lambda document: document.update(rule="prettiest"), "not a valid manifest: rule 'prettiest' is not one of mid-tone, quality"),
        (lambda document: document.update(vote="loudest"), "not a valid manifest: vote 'loudest' is not one of"),
        (lambda document: document.update(thresholds={"majority": 0.5}), "not a valid manifest: no threshold for summed"),
        (lambda document: document.update(head="forest"), "not a valid manifest: head 'forest' is not one of one-vs-one, experts"),
        (lambda document: document.update(families=3), "not a valid manifest"),
        (lambda document: document.update(families={"twins": 2}), "not a valid manifest"),
        (lambda document: document.update(calibration=3), "not a valid manifest: calibration is 3"),
        (lambda document: document.update(calibration={"half": 0}), "not a valid manifest: 'weights'"),
        (lambda document: document.update(calibration={**CALIBRATED, "scale": "loud"}), "not a valid manifest: .*loud"),
        (lambda document: document.update(calibration={**CALIBRATED, "modes": {}}), "not a valid manifest: 'careful'"),
        (lambda document: document["files"].update({HEAD: 7}), "changed since the bundle was made"),
    ],
)
def test_wrong_manifest(copy: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    edit_manifest(copy, change)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copy)
    assert str(caught.value).startswith(str(copy))


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe", b"cameras: 3"])
def test_manifest_that_is_not_json(copy: Path, text: bytes) -> None:
    (copy / MANIFEST).write_bytes(text)
    with pytest.raises(BundleError, match="not JSON") as caught:
        load_bundle(copy)
    assert str(copy / MANIFEST) in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_manifest_that_is_no_object(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="no format version"):
        load_bundle(copy)


@pytest.mark.parametrize("name", [FEATURES, HEAD])
def test_garbage_with_a_matching_hash(copy: Path, name: str) -> None:
    garbage = b"this is no ONNX"
    (copy / name).write_bytes(garbage)
    edit_manifest(copy, lambda document: document["files"].update({name: hashlib.sha256(garbage).hexdigest()}))
    with pytest.raises(BundleError, match="not a model that a bundle may hold: not an ONNX model") as caught:
        load_bundle(copy)
    assert str(copy) in str(caught.value)


def test_networks_and_manifest_must_fit(copy: Path) -> None:
    edit_manifest(copy, lambda document: document["cameras"].pop())
    with pytest.raises(BundleError, match=r"the output scores is FLOAT \['n', 4\], expected FLOAT \['n', 3\]"):
        load_bundle(copy)
    edit_manifest(copy, lambda document: document.update(patch_size=32))
    with pytest.raises(BundleError, match=r"the input patches is UINT8 \['n', 64, 64, 3\], expected UINT8 \['n', 32, 32, 3\]"):
        load_bundle(copy)


def test_no_bundle_there(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(BundleError, match=r"no bundle here .*expected a folder with manifest\.json") as caught:
            load_bundle(place)
        assert str(place) in str(caught.value)


def test_a_bundle_is_replaced_only_by_force(copy: Path, bundle: camtrace.Bundle) -> None:
    with pytest.raises(BundleError, match="a bundle is already there; --force replaces it"):
        write_again(bundle, copy)
    assert load_bundle(copy).files[CARD] == bundle.files[CARD]
    (copy / "notes.txt").write_text("old")
    write_again(bundle, copy, force=True)
    assert load_bundle(copy).files[CARD].decode() == "a card, größer"
    assert not (copy / "notes.txt").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path, bundle: camtrace.Bundle, force: bool) -> None:
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        write_again(bundle, holiday, force=force)
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        write_again(bundle, holiday / "photo.jpg", force=force)
    assert (holiday / "photo.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("failing", [FEATURES, CARD, MANIFEST])
def test_failed_writing_leaves_nothing_and_keeps_the_old(
    copy: Path, bundle: camtrace.Bundle, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    fill = safe_files._fill

    def fill_the_disk(stream: BinaryIO, data: bytes) -> None:
        if Path(stream.name).name == failing:
            stream.close()
            raise OSError(28, "No space left on device")
        fill(stream, data)

    monkeypatch.setattr(safe_files, "_fill", fill_the_disk)
    for target in (copy, copy.parent / "new"):
        with pytest.raises(BundleError, match="cannot be written: No space left on device") as caught:
            write_again(bundle, target, force=True)
        assert str(target) in str(caught.value)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    assert load_bundle(copy).files == bundle.files


def test_the_bundle_that_ships_loads_and_is_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # it is found from anywhere
    shipped = load_bundle()
    assert shipped.manifest.name == "default"
    assert len(shipped.manifest.labels) == len(set(shipped.manifest.labels)) >= 2
    references = shipped.references()
    assert references.features.shape == (len(references.cameras), shipped.manifest.dimension)
    assert set(np.unique(references.cameras)) == set(range(len(shipped.manifest.labels)))
    assert sum(map(len, shipped.files.values())) < 10e6
