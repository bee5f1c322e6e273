"""The lab's nets, training and build, at toy size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from lab_helpers import make_dataset
from made import write_album

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

import camtrace  # noqa: E402
from camtrace.lab.build import Plan, build  # noqa: E402
from camtrace.lab.cli import app  # noqa: E402
from camtrace.lab.nets import NETS, PatchCNN, TraceNet, export_onnx  # noqa: E402
from camtrace.lab.store import PatchStore  # noqa: E402
from camtrace.lab.train import PAPER, TRACES, Recipe, make_source, train  # noqa: E402
from camtrace.simulator import MadeCamera, make_cameras  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402

TOY = Plan(steps=6, batch_real=8, batch_made=8, made_cameras=4, made_photos=4, folds=1, left_out=2)


def test_patch_cnn_is_the_papers() -> None:
    net = PatchCNN()
    features = sum(parameter.numel() for parameter in net.parameters())
    assert features + (net.dimension + 1) * 18 == 340_642
    layers = list(net.layers.children())
    shapes = [61, 31, 27, 14, 10, 5, 1]
    maps, seen = torch.zeros(1, 3, 64, 64), []
    for layer in layers[:7]:
        maps = layer(maps)
        seen.append(maps.shape[-1])
    assert seen == shapes
    activations = [type(layer).__name__ for layer in layers]
    assert activations.count("ReLU") == 1, "the paper has no non-linearity between the convolutions"
    assert activations[-1] == "ReLU"
    assert all(not bias.any() for name, bias in net.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("name", sorted(NETS))
def test_onnx_gives_the_same_features(name: str) -> None:
    torch.manual_seed(3)
    net = NETS[name]().eval()
    patches = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(patches).permute(0, 3, 1, 2).float()).numpy()
    session = onnxruntime.InferenceSession(export_onnx(net), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"patches": patches})
    assert given.shape == (5, 128)
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_trace_net_does_not_see_content() -> None:
    net = TraceNet().eval()
    grain = torch.randint(-3, 4, (1, 3, 64, 64)).float()
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(grain + 60), net(grain + ramp + 90), atol=1e-3, rtol=0)


def _two_textures(photos: int) -> PatchStore:
    """Patches of two 'cameras' that differ only in how their noise is correlated."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (photos * 4, 65, 65, 3))
    smooth = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[:, :-1, :-1]) / 2
    labels = np.repeat(np.arange(photos) % 2, 4)
    patches = np.where(labels[:, None, None, None] == 0, noise[:, 1:, 1:], smooth) + 128
    return PatchStore(patches.clip(0, 255).astype(np.uint8), np.repeat(np.arange(photos), 4).astype(np.int32), labels.astype(np.int32))


@pytest.mark.parametrize(("net", "recipe"), [(TraceNet, TRACES), (PatchCNN, PAPER)])
def test_training_learns_what_tells_the_cameras_apart(net: type[TraceNet] | type[PatchCNN], recipe: Recipe) -> None:
    store = _two_textures(40)
    curve: list[dict[str, float]] = []
    torch.manual_seed(0)
    trained = train(net(), [(make_source(store), 16)], recipe=recipe, steps=100, seed=0, log=curve.append)
    assert not trained.training
    assert curve[-1]["loss_0"] < 0.5, "chance is 0.69"


def test_training_is_repeatable() -> None:
    def once() -> torch.Tensor:
        torch.manual_seed(1)
        net = train(TraceNet(), [(make_source(_two_textures(8)), 8)], recipe=TRACES, steps=3, seed=4)
        return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])

    torch.testing.assert_close(once(), once(), rtol=0, atol=0)


def test_requantised_patches_change_but_keep_their_labels() -> None:
    store = _two_textures(8)
    recipe = Recipe("adamw", 1e-3, 0.0, requantised=1.0)
    before = store.patches.copy()
    train(TraceNet(), [(make_source(store), 8)], recipe=recipe, steps=2, seed=0)
    assert np.array_equal(store.patches, before), "the cache itself is never changed"


def test_build_writes_a_bundle_that_the_light_install_runs(tmp_path: Path) -> None:
    manifest = make_dataset(tmp_path / "data", cameras=5, photos=10)
    accuracy = build(manifest, tmp_path / "bundle", tmp_path / "work", TOY, name="toy", version="7")
    bundle = camtrace.load_bundle(tmp_path / "bundle")
    assert (bundle.id.name, bundle.id.version) == ("toy", "7")
    assert len(bundle.manifest.cameras) == 5
    assert accuracy["tested"] > 0
    assert accuracy["foreign"] > 0
    photo = next((tmp_path / "data").glob("*/*.jpg"))
    assert camtrace.identify(photo, bundle=bundle).status == "ok"
    card = (tmp_path / "bundle" / "card.md").read_text("utf-8")
    low, high = accuracy["photos"]["summed"]["all"][1:]
    assert f"({low:.1%} to {high:.1%})" in card
    for camera in bundle.manifest.cameras:
        assert camera.name in card


def test_a_build_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    manifest = make_dataset(tmp_path / "data", cameras=5, photos=10)
    arguments = ["train", str(manifest), "--work", str(tmp_path / "work"), "--steps", "4", "--batch-real", "8", "--batch-made", "0"]
    arguments += ["--folds", "1", "--left-out", "2"]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    kept = (tmp_path / "work" / "fold0.safetensors").stat().st_mtime_ns
    second = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "work" / "fold0.safetensors").stat().st_mtime_ns == kept
    figures = [json.loads(result.stdout) for result in (first, second)]
    assert figures[0] == figures[1]
    assert 0 <= figures[0]["photos"]["summed"]["all"][0] <= 1
    with pytest.raises(CamtraceError, match="steps 4 -> 5"):
        CliRunner().invoke(app, [*arguments, "--steps", "5"], catch_exceptions=False)


def test_unknown_net_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", str(tmp_path), "--work", str(tmp_path), "--net", "resnet"])
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
