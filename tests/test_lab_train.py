"""`camtrace lab train` and `camtrace lab runs`, as they are called, in one process and in two."""

from __future__ import annotations

import json
import pickletools
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

from lab_helpers import make_dataset

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import camtrace  # noqa: E402
from camtrace.lab.cli import app  # noqa: E402
from camtrace.lab.methods import METHODS  # noqa: E402
from camtrace.lab.sources import to_tensor  # noqa: E402
from camtrace.lab.tracking import columns, read_metrics  # noqa: E402
from camtrace.types import CamtraceError, Patches  # noqa: E402
from lab_runs import fit, one_thread, read  # noqa: E402, F401


def cli(*words: object) -> str:
    """Standard output of `camtrace lab WORDS`, in this process."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made photos; every camera has two devices, every device scenes of its own."""
    root = tmp_path_factory.mktemp("album")
    make_dataset(root, cameras=3, devices=2, photos=4, size=256)
    return root


def words_of(album: Path, folder: Path) -> list[object]:
    options = ("--method", "patch-cnn", "--steps", 6, "--batch", 8, "--validate-every", 2, "--accelerator", "cpu")
    return ["train", album, "--out", folder, "--work", album.parent / "work", *options]


@pytest.fixture(scope="module")
def trained(album: Path) -> Path:
    """The folder of one run of `camtrace lab train`."""
    folder = album.parent / "runs" / "single"
    figures = json.loads(cli(*words_of(album, folder)))
    assert figures == read(folder / "bundle" / "manifest.json")["accuracy"]
    return folder


def test_a_run_leaves_a_bundle_that_identifies(trained: Path, album: Path) -> None:
    bundle = camtrace.load_bundle(trained / "bundle")
    manifest = bundle.manifest
    names = sorted(folder.name.replace("_", " ") for folder in album.iterdir() if folder.is_dir())
    assert [camera.name for camera in manifest.cameras] == names
    assert (bundle.id.name, manifest.training["method"], manifest.patch_count) == ("single", "patch-cnn", 32)
    photo = next(album.glob("*/*.jpg"))
    verdict = camtrace.identify(photo, bundle=trained / "bundle")
    assert verdict.status == "ok"
    assert {ranked.camera for ranked in verdict.ranking} <= set(names)
    assert manifest.accuracy["tested"] == sum(camera.tested for camera in manifest.cameras) > 0
    assert "camtrace lab train" in (trained / "bundle" / "card.md").read_text("utf-8")


@pytest.mark.parametrize("method", ["spam", "demosaicing"])
def test_a_method_without_training_ends_as_a_bundle_too(method: str, album: Path, tmp_path: Path) -> None:
    figures = json.loads(cli("train", album, "--method", method, "--out", tmp_path / method, "--work", album.parent / "work"))
    photo = next(album.glob("*/*.jpg"))
    verdict = camtrace.identify(photo, bundle=tmp_path / method / "bundle")
    assert verdict.best == photo.parent.name.replace("_", " "), "the photo may have taught it"
    assert figures["photos"]["majority"][0] > 1 / 3, "better than chance on photos that did not"


def test_the_bundle_sees_what_the_trained_net_sees(trained: Path) -> None:
    net = METHODS["patch-cnn"].make()
    tensors = {name: torch.from_numpy(tensor) for name, tensor in load_file(trained / "net.safetensors").items()}
    net.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")})
    patches = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        expected: Tensor = net.eval()(to_tensor(patches))
    given = camtrace.load_bundle(trained / "bundle").extract(Patches(patches, np.zeros((3, 2), np.int64)))
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-4)
    assert expected.std() > 0


def test_all_that_a_run_writes_is_data(trained: Path) -> None:
    """No pickle, bare or zipped, which could run code when it is opened."""
    written = {path.relative_to(trained).as_posix(): path for path in trained.rglob("*") if path.is_file()}
    assert {
        *("config.json", "environment.json", "metrics.csv", "curves.png", "checkpoint.safetensors", "net.safetensors", "result.json"),
        *("bundle/manifest.json", "bundle/features.onnx", "bundle/head.onnx", "bundle/references.safetensors", "bundle/card.md"),
    } == {name for name in written if not name.startswith("tensorboard/")}
    for name, path in written.items():
        assert not zipfile.is_zipfile(path), name
        assert not is_pickle(path.read_bytes()), name
        if path.suffix == ".safetensors":
            with safe_open(path, "np") as file:
                assert file.keys(), name
        if path.suffix == ".json":
            read(path)


def is_pickle(data: bytes) -> bool:
    """Whether the bytes are opcodes of pickle up to STOP."""
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except Exception:
        return False


def test_pickles_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weights": torch.zeros(2)}, path)
    assert zipfile.is_zipfile(path)
    torch.save({"weights": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert is_pickle(path.read_bytes())


def test_training_again_into_a_finished_folder_trains_nothing(trained: Path, album: Path) -> None:
    kept = ("metrics.csv", "net.safetensors", "checkpoint.safetensors", "config.json", "environment.json")
    before = [(trained / name).stat().st_mtime_ns for name in kept]
    figures = json.loads(cli(*words_of(album, trained)))
    assert [(trained / name).stat().st_mtime_ns for name in kept] == before
    assert figures == read(trained / "bundle" / "manifest.json")["accuracy"]
    with pytest.raises(CamtraceError, match=r"single: holds other work \(steps 6 -> 7\)"):
        cli(*words_of(album, trained), "--steps", 7)


def test_fine_tuning_only_the_classifier(trained: Path, album: Path) -> None:
    folder = trained.parent / "frozen"
    cli(*words_of(album, folder), "--begin", trained, "--frozen")
    start, tuned = (load_file(run / "net.safetensors") for run in (trained, folder))
    changed = {name for name in start if not np.array_equal(start[name], tuned[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert read(folder / "config.json")["begin"] == str(trained)


def test_two_processes_give_the_curve_of_one(trained: Path, album: Path) -> None:
    """Distributed data parallelism over gloo: each process takes half of every batch."""
    folder = trained.parent / "double"
    words = [str(word) for word in (*words_of(album, folder), "--devices", 2)]
    done = subprocess.run(
        [sys.executable, "-m", "camtrace", "lab", *words], check=False, timeout=600, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    one, two = (read_metrics(run / "metrics.csv") for run in (trained, folder))
    assert [row["step"] for row in two] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "accuracy", "gradient_norm", "validation_loss", "validation_accuracy"):
        steps, curve = columns(two, name)
        expected_steps, expected = columns(one, name)
        assert steps == expected_steps
        assert curve == pytest.approx(expected, rel=1e-3), name
    assert len({round(value, 4) for value in columns(one, "validation_loss")[1]}) == 3, "a curve that moves"
    first, second = (load_file(run / "net.safetensors") for run in (trained, folder))
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-2, atol=1e-4, err_msg=name)
    assert set(json.loads(done.stdout)) == set(read(trained / "bundle" / "manifest.json")["accuracy"]), "told once"


def test_runs_are_listed_and_compared(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "a" / "single")
    other = tmp_path / "other"
    fit(other)
    foreign = tmp_path / "model" / "config.json"
    foreign.parent.mkdir()
    foreign.write_text("{}", "utf-8")
    found = {run["run"]: run for run in json.loads(cli("runs", tmp_path, "--to", "json"))}
    assert set(found) == {"a/single", "other"}, "a config.json alone is no run"
    for name, folder in (("a/single", trained), ("other", other)):
        assert found[name]["state"] == "complete"
        assert found[name]["config"] == read(folder / "config.json")
        assert found[name]["result"] == read(folder / "result.json")
        assert found[name]["git"] == read(folder / "environment.json")["git"]
    text = cli("runs", tmp_path)
    (line,) = [line for line in text.splitlines() if line.startswith("a/single")]
    assert f"{read(trained / 'result.json')['validation_loss']:.4f}" in line
    compared = text.partition("settings that differ:\n")[2]
    order = list(found)
    assert f"  method: {', '.join(found[name]['config']['method'] for name in order)}" in compared.splitlines()
    assert f"  recipe.learning_rate: {', '.join(str(found[name]['config']['recipe']['learning_rate']) for name in order)}" in compared
    assert "  seed:" not in compared, "both have seed 0"


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match="no training run below it"):
        cli("runs", tmp_path)


WRONG: list[tuple[str, Callable[[Path], list[object]]]] = [
    ("--method 'resnet'", lambda album: [album, "--method", "resnet"]),
    ("--recipe 'quick'", lambda album: [album, "--recipe", "quick"]),
    ("--head 'forest'", lambda album: [album, "--head", "forest"]),
    ("--weights 'imagenet' is not one of none", lambda album: [album, "--weights", "imagenet"]),
    ("--precision '16-mixed'", lambda album: [album, "--precision", "16-mixed"]),
    ("--protocol 'lucky'", lambda album: [album, "--protocol", "lucky"]),
    ("--frozen needs --begin", lambda album: [album, "--frozen"]),
    ("--steps", lambda album: [album, "--steps", "0"]),
]


@pytest.mark.parametrize(("message", "words"), WRONG, ids=[message for message, _ in WRONG])
def test_wrong_usage_is_told_before_anything_is_done(album: Path, tmp_path: Path, message: str, words: Any) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["train", *map(str, words(album)), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_net_to_begin_from_must_be_there_and_of_the_method(album: Path, trained: Path, tmp_path: Path) -> None:
    words = ["train", str(album), "--out", str(tmp_path / "run"), "--steps", "1", "--batch", "4"]
    with pytest.raises(CamtraceError, match=r"nothing.net\.safetensors: no such file"):
        CliRunner().invoke(app, [*words, "--begin", str(tmp_path / "nothing")], catch_exceptions=False)
    with pytest.raises(CamtraceError, match="holds the net of another method, expected one of trace-net"):
        CliRunner().invoke(app, [*words, "--begin", str(trained), "--method", "trace-net"], catch_exceptions=False)
