"""Training learns, and a release is built and measured: the lab at toy size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lab_helpers import make_dataset
from made import write_album

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

import camtrace  # noqa: E402
from camtrace.lab import folds  # noqa: E402
from camtrace.lab.build import Plan, build  # noqa: E402
from camtrace.lab.cli import app  # noqa: E402
from camtrace.lab.folds import NATIVE, STATES, both, few_shot, teach_head  # noqa: E402
from camtrace.lab.methods import METHODS  # noqa: E402
from camtrace.lab.sources import make_source  # noqa: E402
from camtrace.lab.train import Schedule, train  # noqa: E402
from camtrace.simulator import MadeCamera, make_cameras  # noqa: E402
from camtrace.types import CamtraceError, References  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from made_patches import two_textures  # noqa: E402

TOY = replace(
    Plan(steps=6, batch_real=8, batch_made=8, made_cameras=4, made_photos=4, folds=1, left_out=2, copies=2),
    mishap_steps=4,  # a second phase too
    mishap_real=8,
    mishap_made=8,
    made_copies=1,
)


@pytest.mark.parametrize("name", ["trace-net", "patch-cnn"])
def test_training_learns_what_tells_the_cameras_apart(name: str) -> None:
    method = METHODS[name]
    assert method.recipe is not None
    curve: list[dict[str, float]] = []
    torch.manual_seed(0)
    trained = train(
        method.make(),
        [(make_source(two_textures(40)), 16)],
        recipe=method.recipe,
        schedule=Schedule(100),
        log=lambda _step, metrics: curve.append(metrics),
    )
    assert not trained.net.training
    assert curve[-1]["loss"] < 0.5, "chance is 0.69"
    assert np.mean([metrics["accuracy"] for metrics in curve[-10:]]) > 0.75


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos enough to leave two cameras out of a fold."""
    return make_dataset(tmp_path_factory.mktemp("release"), cameras=5, photos=10, size=256)


def test_build_writes_a_bundle_that_the_light_install_runs(manifest: Path, tmp_path: Path) -> None:
    accuracy = build(manifest, tmp_path / "bundle", tmp_path / "work", TOY, name="toy", version="7")
    bundle = camtrace.load_bundle(tmp_path / "bundle")
    assert (bundle.id.name, bundle.id.version) == ("toy", "7")
    assert len(bundle.manifest.cameras) == 5
    assert accuracy["tested"] > 0
    assert accuracy["foreign"] > 0
    assert set(accuracy["few_degraded"]) == set(STATES)
    photo = next(manifest.parent.glob("*/*.jpg"))
    assert camtrace.identify(photo, bundle=bundle).status == "ok"
    assert b"QuantizeLinear" in bundle.files["features.onnx"]
    assert bundle.gate().weights.shape == (3, 128)
    card = (tmp_path / "bundle" / "card.md").read_text("utf-8")
    low, high = accuracy["photos"]["summed"]["all"][1:]
    assert f"({low:.1%} to {high:.1%})" in card
    for camera in bundle.manifest.cameras:
        assert camera.name in card


def test_a_build_that_was_cut_short_goes_on(manifest: Path, tmp_path: Path) -> None:
    arguments = ["build", str(manifest), "--work", str(tmp_path / "work"), "--steps", "4", "--batch-real", "8", "--batch-made", "0"]
    arguments += ["--copies", "2", "--mishap-steps", "3"]
    arguments += ["--folds", "1", "--left-out", "2"]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    kept = (tmp_path / "work" / "fold0" / "mishaps" / "net.safetensors").stat().st_mtime_ns
    second = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "work" / "fold0" / "mishaps" / "net.safetensors").stat().st_mtime_ns == kept
    figures = [json.loads(result.stdout) for result in (first, second)]
    assert figures[0] == figures[1]
    assert 0 <= figures[0]["photos"]["summed"]["all"][0] <= 1
    with pytest.raises(CamtraceError, match="steps 4 -> 5"):
        CliRunner().invoke(app, [*arguments, "--steps", "5"], catch_exceptions=False)


def test_a_net_cannot_go_on_as_one_of_another_kind(manifest: Path, tmp_path: Path) -> None:
    plan = replace(TOY, net="patch-cnn", recipe="traces", batch_made=0)
    with pytest.raises(
        CamtraceError, match="a net of PatchCNN cannot go on as trace-net-wide; expected a method whose net is of that kind"
    ):
        build(manifest, tmp_path / "bundle", tmp_path / "work", plan, name="toy", version="1")


def test_few_photos_teach_a_camera_and_the_others_may_be_asked_degraded() -> None:
    photos = np.repeat(np.arange(12), 8)
    cameras = photos % 2
    rng = np.random.default_rng(0)

    def features(of_camera: np.ndarray) -> References:
        values = (3.0 * of_camera[:, None] + rng.normal(0, 0.5, (96, 4))).astype(np.float32)
        return References(values, cameras, photos, np.zeros(96, np.int64))

    native, swapped = features(cameras), features(1 - cameras)
    copies = replace(features(cameras), copies=np.ones(96, np.int64))
    base = teach_head(both(native, copies))
    found = few_shot(native, copies, base, photos_each=2, seed=0, later={"same": native, "swapped": swapped})
    assert few_shot(native, copies, base, photos_each=2, seed=0)[NATIVE].tolist() == found[NATIVE].tolist() == [1.0] * 12
    assert found["same"].tolist() == [1.0] * 12
    assert found["swapped"].tolist() == [0.0] * 12


def test_a_head_is_taught_on_the_best_patches_of_every_photo_as_many_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 a camera: 8 of each of four photos, all 16 of a lone one, and 8 of each copy."""
    monkeypatch.setattr(folds, "REFERENCE_PATCHES", 32)
    photos = np.repeat(np.arange(5), 26)
    copies = np.tile(np.repeat([0, 1], [16, 10]), 5)  # of each photo 16 patches, then 10 of a copy, the best first
    order = np.arange(len(photos), dtype=np.float32)
    kept = folds.thin(References(order[:, None], (photos == 4).astype(np.int64), photos, copies))
    assert kept.copies is not None
    assert np.bincount(kept.photos[kept.copies == 0]).tolist() == [8, 8, 8, 8, 16]
    assert np.bincount(kept.photos[kept.copies == 1]).tolist() == [8] * 5
    assert kept.features[:16, 0].tolist() == [*range(8), *range(16, 24)]


def test_unknown_net_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["build", str(tmp_path), "--work", str(tmp_path), "--net", "resnet"])
    assert result.exit_code == 2


def test_evaluate_counts_what_the_bundle_says(tmp_path: Path, bundle_folder: Path, cameras: tuple[MadeCamera, ...]) -> None:
    stranger = make_cameras(3, seed=77)[2]
    for camera in (*cameras, stranger):
        write_album(tmp_path / "data" / camera.name.replace(" ", "_"), camera, range(700, 703))
    (tmp_path / "data" / "Aurora_A100" / "broken.jpg").write_bytes(b"")
    arguments = ["evaluate", str(tmp_path / "data"), "--bundle", str(bundle_folder), "--to"]
    figures = json.loads(CliRunner().invoke(app, [*arguments, "json"], catch_exceptions=False).stdout)
    assert (figures["photos"], figures["not judged"]) == (16, 1)
    assert set(figures["cameras"]) == {camera.name for camera in cameras}
    right = sum(row[0] for row in figures["cameras"].values())
    assert figures["best camera right"][0] == pytest.approx(right / 12)
    assert right == sum(count for camera, best, count in figures["confusion"] if camera == best)
    assert sum(count for *_, count in figures["confusion"]) == 12
    answers = [
        camtrace.identify(path, bundle=bundle_folder).answer for path in (tmp_path / "data").glob(f"{stranger.make}*{stranger.model}/*")
    ]
    assert figures["unknown cameras named"][0] == pytest.approx(sum(answer != "unknown" for answer in answers) / 3)
    text = CliRunner().invoke(app, [*arguments, "text"], catch_exceptions=False).stdout
    assert f"{figures['best camera right'][0]:.1%}" in text
