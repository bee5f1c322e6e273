"""Numbers, names and surroundings at their worst: the verdict stays a verdict, and the same one."""

from __future__ import annotations

import base64
import json
import locale
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import camtrace
from camtrace.bundle import CARD, FEATURES, HEAD, load_bundle, write_bundle
from camtrace.claim import camera_of
from camtrace.enrolment import enroll, find_albums
from camtrace.experts import Gate, fit_experts, join, run_experts
from camtrace.manifest import Camera
from camtrace.outputs import to_text
from camtrace.teaching import fit_duel_head
from camtrace.types import CamtraceError, References
from golden_verdicts import GOLDEN, answered
from made import clusters, different_cameras, encode, made_photo
from nasty import bases, jpeg, picture

COMMA_LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE", "German_Germany.1252")


@cache
def shipped(threads: int = 1) -> camtrace.Bundle:
    return load_bundle(threads=threads)


def golden() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))
    return document


PHOTOS = {one["name"]: one for one in golden()["photos"]}


def test_the_golden_file_is_of_the_bundle_that_ships() -> None:
    found = {"name": shipped().id.name, "version": shipped().id.version}
    assert found == golden()["bundle"], "a new default bundle: run `python tests/golden_verdicts.py` and look at what changed"
    assert {one["status"] for one in PHOTOS.values()} == {"ok", "too_small", "no_usable_patches"}


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("threads", [1, 4])
def test_golden_verdicts_are_met(name: str, threads: int) -> None:
    """On any processor, number of threads and version of ONNX Runtime, within the file's tolerances."""
    wanted, near = PHOTOS[name], golden()["tolerances"]
    found = answered(base64.b64decode(wanted["photo"]), shipped(threads))
    for exact in ("sha256", "status", "answer", "answer_level", "best", "n_patches"):
        assert found[exact] == wanted[exact], exact
    assert found["log10_lr"] == pytest.approx(wanted["log10_lr"], abs=near["log10_lr"])
    for kind in ("features", "scores"):
        np.testing.assert_allclose(found[kind], wanted[kind], rtol=0, atol=near[kind], err_msg=kind)
    probabilities = {line["camera"]: line["probability"] for line in found["ranking"]}
    for line in wanted["ranking"][:3]:
        assert probabilities[line["camera"]] == pytest.approx(line["probability"], abs=near["probability"])


def test_threads_do_not_change_a_verdict() -> None:
    photo = made_photo(different_cameras()[0], 905, size=256)
    alone, many = (camtrace.identify(photo, bundle=shipped(threads), name="x") for threads in (1, 4))
    assert alone == many
    assert alone == camtrace.identify(photo, bundle=shipped(1), name="x")


def test_what_stands_in_a_batch_does_not_change_features() -> None:
    patches = camtrace.types.Patches(np.stack([picture(seed, 64) for seed in range(9)]), np.zeros((9, 2), np.int64))
    together = shipped().extract(patches)
    for number in range(9):
        one = camtrace.types.Patches(patches.pixels[number : number + 1], patches.positions[:1])
        np.testing.assert_allclose(shipped().extract(one)[0], together[number], atol=1e-3)


def test_the_clock_may_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    before = camtrace.identify(bases()[0], bundle=shipped())
    for jumped in (-1e9, 0.0, 1e12):
        monkeypatch.setattr(time, "time", lambda jumped=jumped: jumped)
        assert camtrace.identify(bases()[0], bundle=shipped()) == before


@pytest.fixture
def commas() -> Iterator[str]:
    before = locale.setlocale(locale.LC_ALL)
    for name in COMMA_LOCALES:
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        yield name
        locale.setlocale(locale.LC_ALL, before)
        return
    pytest.skip(f"no locale with decimal commas is installed here; to get one: apt-get install locales-all (one of {COMMA_LOCALES})")


def test_a_locale_with_decimal_commas_changes_nothing(commas: str) -> None:
    assert locale.localeconv()["decimal_point"] == ",", commas
    wanted = PHOTOS["Aurora A100"]
    verdict = camtrace.identify(base64.b64decode(wanted["photo"]), bundle=load_bundle(threads=1))
    assert verdict.log10_lr == pytest.approx(wanted["log10_lr"], abs=0.02)
    assert json.loads(verdict.to_json())["log10_lr"] == verdict.log10_lr


def test_nothing_is_written_anywhere(tmp_path: Path) -> None:
    """No cache, no settings: a home that cannot be written to is enough, and the working folder stays clean."""
    homes = [tmp_path / name for name in ("home", "here", "temporary")]
    for folder in homes:
        folder.mkdir()
    (tmp_path / "a.jpg").write_bytes(bases()[0])
    for folder in homes:
        folder.chmod(0o555)
    paths = {"HOME": str(homes[0]), "USERPROFILE": str(homes[0]), "XDG_CACHE_HOME": str(homes[0] / "x"), "TMPDIR": str(homes[2])}
    words = [sys.executable, "-B", "-m", "camtrace", "identify", str(tmp_path / "a.jpg"), "--to", "json"]
    run = subprocess.run(words, capture_output=True, text=True, cwd=homes[1], env={**os.environ, **paths}, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["status"] == "ok"
    assert [list(folder.iterdir()) for folder in homes] == [[], [], []]


@pytest.mark.parametrize("scale", [1e-42, 1e15])
def test_heads_of_very_small_and_very_large_features(scale: float) -> None:
    """Denormals and giants teach a head that votes with finite numbers, or nothing at all; they do not stop it."""
    references = clusters([6, 6, 6])
    scaled = References((references.features * scale).astype(np.float32), references.cameras, references.photos)
    gate = Gate(np.zeros((3, 8), np.float32), np.zeros(3, np.float32))
    experts = fit_experts(join(scaled), 3, gate)
    votes = run_experts(experts, scaled.features[:6])
    assert np.isfinite(votes.scores).all()
    if scale > 1:
        assert (votes.labels == 0).mean() > 0.5


def test_cameras_of_very_different_size_are_all_learned() -> None:
    references = clusters([2, 60, 3], spread=0.5)
    fit = fit_duel_head(references, 3)
    assert len(fit.held_out.right) == 65
    few = fit.held_out.of([0, 2])
    assert few.right.mean() > 0.6, "the small ones are not drowned"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_cannot_be_kept_are_refused_before_they_are_written(tmp_path: Path, value: float) -> None:
    base = shipped()
    old = base.references()
    features = old.features.copy()
    features[3, 5] = value  # 1e6: more than half precision holds
    broken = References(features, old.cameras, old.photos, old.copies)
    with pytest.raises(camtrace.BundleError, match="features: not finite numbers"):
        write_bundle(tmp_path / "one", base.manifest, features=b"", head=b"", references=broken, card="")
    assert list(tmp_path.iterdir()) == []


def one_camera(tmp_path: Path) -> camtrace.Bundle:
    """A bundle that knows a single camera."""
    base, dimension = shipped(), shipped().manifest.dimension
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0),
        ],
        "one",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", dimension])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1]),
        ],
        [numpy_helper.from_array(np.zeros((dimension, 1), np.float32), "w")],
    )
    head = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    manifest = replace(
        base.manifest, name="one", cameras=(Camera("Nikon D90", "Nikon", 1),), families={}, calibration=None, head="one-vs-one"
    )
    references = References(np.zeros((1, dimension), np.float32), np.zeros(1, np.int64), np.zeros(1, np.int64))
    write_bundle(tmp_path / "one", manifest, features=base.files[FEATURES], head=head, references=references, card="")
    return load_bundle(tmp_path / "one")


def test_a_bundle_of_one_camera_judges(tmp_path: Path) -> None:
    bundle = one_camera(tmp_path)
    for mode in ("careful", "balanced", "guess"):
        verdict = camtrace.identify(bases()[0], bundle=bundle, mode=mode)
        assert (verdict.status, verdict.best) == ("ok", "Nikon D90")
        assert "Nikon D90" in to_text(verdict)
    assert set(bundle.files) == {FEATURES, HEAD, "references.safetensors", CARD}


ODD = {
    "evil": "\x1b[31mEvil_Cam\u202e1",
    "dashes": "--force_x",
    "dots": "x_..",
    "wide": "写真_カメラ_📷",
    "twin": "Plain_One",
}


@pytest.fixture(scope="module")
def oddly_enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[camtrace.Enrolment, Path]:
    """Five cameras with odd names, small photos of one patch, one photo twice in one album and once in another's."""
    folder = tmp_path_factory.mktemp("odd")
    for seed, name in enumerate(ODD.values()):
        (folder / "albums" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(picture(10 * seed + number, 64).astype(int) // (seed + 1) + 20, 0, 230).astype(np.uint8)
            (folder / "albums" / name / f"{number}.jpg").write_bytes(jpeg(pixels, quality=70 + 5 * seed))
    first = (folder / "albums" / ODD["evil"] / "0.jpg").read_bytes()
    (folder / "albums" / ODD["evil"] / "again.jpg").write_bytes(first)
    (folder / "albums" / ODD["twin"] / "stolen.jpg").write_bytes(first)
    return enroll(folder / "albums", out=folder / "\u202eout\x07", only=True, bundle=one_vs_one()), folder


def one_vs_one() -> camtrace.Bundle:
    """The bundle that ships as if its head had no experts, whose degraded copies take long."""
    return replace(shipped(), manifest=replace(shipped().manifest, head="one-vs-one"))


def test_odd_names_are_shown_safely_and_lead_nowhere(oddly_enrolled: tuple[camtrace.Enrolment, Path]) -> None:
    enrolment, folder = oddly_enrolled
    labels = enrolment.bundle.manifest.labels
    assert sorted(labels) == sorted(["\\x1b[31mEvil Cam\\u202e1", "--force x", "x ..", "写真 カメラ 📷", "Plain One"])
    assert enrolment.bundle.manifest.name == "\\u202eout\\x07"
    assert all(label.isprintable() for label in labels)
    assert {path.name for path in folder.iterdir()} == {"albums", "\u202eout\x07"}
    verdict = camtrace.identify(encode(picture(3, 64), "PNG"), bundle=enrolment.bundle, mode="guess")
    assert verdict.n_patches == 1
    assert to_text(verdict).replace("\n", "").isprintable()


def test_photos_given_twice_are_warned_of(oddly_enrolled: tuple[camtrace.Enrolment, Path]) -> None:
    same = [warning for warning in oddly_enrolled[0].warnings if "are the same file" in warning]
    assert len(same) == 2
    assert sum("one photo teaches nothing twice" in warning for warning in same) == 1
    assert sum("cannot have taken one photo" in warning for warning in same) == 1


@pytest.mark.parametrize(
    ("folder", "camera"),
    [
        ("Nikon_D90", "Nikon D90"),
        ("_", "_"),
        ("a\nb", "a b"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        (os.fsdecode(b"Caf\xe9_1") if os.name != "nt" else "Caf\udce9_1", "Caf\ufffd 1"),
        ("\u200bA", "\\u200bA"),
    ],
)
def test_names_of_folders_become_names_that_can_be_shown(folder: str, camera: str) -> None:
    assert camera_of(folder) == camera
    assert camera_of(folder).encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such folder names; run this on Linux or macOS")
@pytest.mark.parametrize("name", [" ", "x" * 220])
def test_names_that_no_bundle_may_hold_are_refused_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.jpg").write_bytes(bases()[0])
    with pytest.raises(CamtraceError, match=r"the folder's name .* is not a name of up to 200 visible characters; a sub-folder"):
        find_albums(tmp_path)
