"""Training runs as folders: what they hold, how they are taken up again, on the command line and in several processes."""

from __future__ import annotations

import builtins
import json
import math
import pickletools
import shutil
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from lab_helpers import make_dataset

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors import safe_open  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from torch import Tensor  # noqa: E402

import camtrace  # noqa: E402
import killed_run  # noqa: E402
from camtrace.lab import runs  # noqa: E402
from camtrace.lab.cli import app  # noqa: E402
from camtrace.lab.heads import SoftmaxHead  # noqa: E402
from camtrace.lab.methods import METHODS, Features, Method  # noqa: E402
from camtrace.lab.methods.trace_net import TraceNet  # noqa: E402
from camtrace.lab.runs import fit_features, list_runs, to_table  # noqa: E402
from camtrace.lab.sources import make_source, to_tensor  # noqa: E402
from camtrace.lab.tracking import columns, read_metrics, tracked  # noqa: E402
from camtrace.lab.train import Schedule  # noqa: E402
from camtrace.types import CamtraceError, Patches  # noqa: E402
from made_patches import two_textures  # noqa: E402

Rows = list[dict[str, float]]
SMALL = replace(METHODS["trace-net"], make=lambda: TraceNet((4, 4, 4, 4)))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums are then always taken in the same order, and threads do not wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit(folder: Path, method: Method = SMALL, **options: Any) -> tuple[Features, SoftmaxHead]:
    """A run on made patches, of four steps with two validations if not said otherwise."""
    source = make_source(two_textures(8, size=32))
    defaults: dict[str, Any] = {
        "config": {"data": "two textures"},
        "schedule": Schedule(4, validate_every=2),
        "validation": make_source(two_textures(4, size=32, seed=1), cameras=source.cameras),
    }
    return fit_features(folder, method, [(source, 4)], **{**defaults, **options})


def read(path: Path) -> Any:
    """JSON as others read it: without NaN and infinity, which it has not."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path}: {name} is not JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: steps and values by name."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def same_net(first: Path, second: Path) -> bool:
    """Bit for bit."""
    one, other = (load_file(folder / "net.safetensors") for folder in (first, second))
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---- one run


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("runs") / "complete"
    fit(folder)
    return folder


def test_a_run_folder_tells_all_about_the_run(complete: Path) -> None:
    config, environment, result = (read(complete / f"{name}.json") for name in ("config", "environment", "result"))
    assert (config["method"], config["data"], config["frozen"]) == ("trace-net", "two textures", False)
    assert (config["steps"], config["seed"], config["validate_every"], config["patience"]) == (4, 0, 2, None)
    assert (config["recipe"]["optimiser"], config["recipe"]["learning_rate"], config["recipe"]["averaged"]) == ("adamw", 3e-3, True)
    assert environment["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"camtrace", "lightning-fabric", "numpy"} <= set(environment["libraries"])
    assert environment["python"] == sys.version.split()[0]
    assert {"date", "command", "machine", "threads", "git"} <= set(environment)
    assert result["steps"] == 4
    rows = {row["step"]: row for row in read_metrics(complete / "metrics.csv")}
    best = min((2, 4), key=lambda step: rows[step]["validation_loss"])
    assert result["best_step"] == best
    assert result["validation_loss"] == rows[best]["validation_loss"]
    assert result["validation_accuracy"] == rows[best]["validation_accuracy"]
    with Image.open(complete / "curves.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_the_git_revision_is_that_of_the_checkout(complete: Path) -> None:
    where = Path(camtrace.__file__).parent
    asked = subprocess.run(["git", "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    found = read(complete / "environment.json")["git"]
    assert found is None if asked.returncode else found.rstrip("+") == asked.stdout.strip()


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert runs.environment()["git"] is None


def test_metrics_are_logged_as_csv_and_for_tensorboard(complete: Path) -> None:
    rows = read_metrics(complete / "metrics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert columns(rows, "validation_loss") == ([2, 4], [rows[1]["validation_loss"], rows[3]["validation_loss"]])
    shown = scalars(complete)
    assert set(shown) == {"loss", "accuracy", "gradient_norm", "validation_loss", "validation_accuracy"}
    for name, points in shown.items():
        steps, values = columns(rows, name)
        assert [step for step, _ in points] == steps
        assert [value for _, value in points] == pytest.approx(values, rel=1e-6)
    assert (complete / "metrics.csv").read_text("utf-8").splitlines()[1].startswith("1,"), "steps are whole numbers"


def test_a_finished_run_is_loaded_and_nothing_else(complete: Path) -> None:
    before = {path: path.read_bytes() for path in complete.rglob("*") if path.is_file()}
    net, classifier = fit(complete)
    assert {path: path.read_bytes() for path in complete.rglob("*") if path.is_file()} == before
    tensors = load_file(complete / "net.safetensors")
    assert np.array_equal(classifier.weights, tensors["classifier.weight"])
    assert all(np.array_equal(tensor.numpy(), tensors[name]) for name, tensor in net.state_dict().items())
    assert not net.training


def test_what_is_loaded_is_what_was_trained(complete: Path, tmp_path: Path) -> None:
    trained, head = fit(tmp_path / "again")
    assert same_net(tmp_path / "again", complete), "the same seed, the same result"
    kept, kept_head = fit(complete)
    patches = to_tensor(two_textures(2, size=32).patches)
    with torch.no_grad():
        assert torch.equal(trained(patches), kept(patches))
    assert np.array_equal(head.weights, kept_head.weights)


def test_another_seed_gives_another_net(complete: Path, tmp_path: Path) -> None:
    fit(tmp_path, schedule=Schedule(4, seed=1, validate_every=2))
    assert not same_net(tmp_path, complete)


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_run_is_refused(complete: Path, tmp_path: Path, finished: bool) -> None:
    folder = tmp_path / "run"
    shutil.copytree(complete, folder)
    if not finished:
        (folder / "result.json").unlink()
    before = (folder / "net.safetensors").stat().st_mtime_ns
    with pytest.raises(CamtraceError, match=r"run: holds another run \(seed 0 -> 1, steps 4 -> 5\); choose another folder"):
        fit(folder, schedule=Schedule(5, seed=1, validate_every=2))
    slower = replace(SMALL, recipe=replace(METHODS["trace-net"].recipe, learning_rate=1e-5))  # type: ignore[type-var]
    with pytest.raises(CamtraceError, match=r"\(recipe.learning_rate 0.003 -> 1e-05\)"):
        fit(folder, slower)
    with pytest.raises(CamtraceError, match=r"\(data two textures -> other, split None -> 3\)"):
        fit(folder, config={"data": "other", "split": 3})
    assert (folder / "net.safetensors").stat().st_mtime_ns == before


def test_a_run_without_validation_keeps_its_last_weights(tmp_path: Path) -> None:
    fit(tmp_path, validation=None)
    assert read(tmp_path / "result.json") == {"steps": 4, "best_step": 4}


def test_a_run_that_diverges_is_told_as_one(tmp_path: Path) -> None:
    """Every loss is NaN: nothing was best, the files are still JSON, the table still a table."""
    wild = replace(SMALL, recipe=replace(METHODS["trace-net"].recipe, learning_rate=math.inf))  # type: ignore[type-var]
    fit(tmp_path / "wild", wild)
    assert read(tmp_path / "wild" / "result.json") == {"steps": 4, "best_step": 0}
    assert all(math.isnan(row["validation_loss"]) for row in read_metrics(tmp_path / "wild" / "metrics.csv") if row["step"] in (2, 4))
    read(tmp_path / "wild" / "config.json")
    assert "wild" in to_table(list_runs(tmp_path))


# ---- from a net that was trained before


def test_fine_tuning_starts_from_the_net_given(complete: Path, tmp_path: Path) -> None:
    hardly = replace(SMALL, recipe=replace(METHODS["trace-net"].recipe, learning_rate=1e-30))  # type: ignore[type-var]
    start, _ = fit(complete)
    before = {name: tensor.clone() for name, tensor in start.named_parameters()}
    tuned, _ = fit(tmp_path / "hardly", hardly, begin=start)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuned.named_parameters())
    tuned, _ = fit(tmp_path / "tuned", begin=fit(complete)[0])
    assert not any(torch.equal(tensor, before[name]) for name, tensor in tuned.named_parameters())


def test_a_frozen_net_keeps_its_features_and_learns_a_classifier(complete: Path, tmp_path: Path) -> None:
    start, head = fit(complete)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    tuned, own = fit(tmp_path, begin=start, frozen=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuned.state_dict().items())
    assert not np.allclose(own.weights, head.weights, atol=1e-3)
    assert read(tmp_path / "config.json")["frozen"] is True


# ---- kill -9


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `killed_run.py`, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    killed_run.run(folder)
    return folder


def test_a_run_killed_in_mid_epoch_ends_at_the_same_place(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    died = subprocess.run([sys.executable, killed_run.__file__, str(folder), "10"], check=False, timeout=300)
    assert died.returncode == (-signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    assert [row["step"] for row in read_metrics(folder / "metrics.csv")] == list(range(1, 10)), "killed within the tenth step"
    assert not (folder / "result.json").exists()
    (listed,) = list_runs(tmp_path)
    assert (listed["run"], listed["state"], listed["result"]) == ("killed", "at step 8", {})

    killed_run.run(folder)
    assert same_net(folder, whole)
    assert (folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert read(folder / "result.json") == read(whole / "result.json")
    assert scalars(folder) == scalars(whole)
    assert [step for step, _ in scalars(folder)["loss"]] == list(range(1, killed_run.STEPS + 1))
    assert list_runs(tmp_path)[0]["state"] == "complete"


def test_a_row_that_was_half_written_is_done_again(tmp_path: Path) -> None:
    with tracked(tmp_path, {}) as log:
        for step in (1, 2, 3):
            log(step, {"loss": 1 / step})
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"4,0.2")
    with tracked(tmp_path, {}, begin=2) as log:
        log(3, {"loss": 0.5, "validation_loss": 0.25})
    assert read_metrics(path) == [{"step": 1, "loss": 1}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.5, "validation_loss": 0.25}]
    assert scalars(tmp_path) == {"loss": [(1, 1), (2, 0.5), (3, 0.5)], "validation_loss": [(3, 0.25)]}


# ---- Weights & Biases


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves the machine, and nothing is written but below the test's folder."""
    pytest.importorskip("wandb", reason="Weights & Biases: pip install 'camtrace[wandb]'")
    settings = {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}
    folders = {f"{name}_DIR": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    for name, value in {**settings, **folders}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)


def wandb_history(path: Path) -> Rows:
    """What an offline run keeps of every step. Its file is a log as LevelDB writes it: blocks of 32 KB, of records in pieces."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        checksum, length, kind = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        piece = data[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + piece) == checksum
        at, whole = at + 7 + length, whole + piece
        if kind in (1, 4):  # a whole record, or the last piece of one
            items = Record.FromString(whole).history.item
            rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
            whole = b""
    return [row for row in rows if row]


def test_weights_and_biases_gets_every_step(tmp_path: Path, offline: None) -> None:
    folder = tmp_path / "run"
    fit(folder, wandb=True)
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    history = wandb_history(path)
    rows = read_metrics(folder / "metrics.csv")
    assert [row["_step"] for row in history] == [row["step"] for row in rows] == [1, 2, 3, 4]
    for told, row in zip(history, rows, strict=True):
        assert {name: told[name] for name in row if name != "step"} == {name: value for name, value in row.items() if name != "step"}
        assert {"loss", "accuracy", "gradient_norm"} <= set(told)


def test_a_run_taken_up_again_is_one_run_of_weights_and_biases(tmp_path: Path, offline: None) -> None:
    for begin in (0, 2):
        with tracked(tmp_path, {}, begin=begin, wandb=True) as log:
            log(begin + 1, {"loss": 1.0})
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({path.name for path in files}) == 1, "the name of the file is that of the run"


def test_missing_weights_and_biases_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "wandb":
            raise ImportError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(CamtraceError, match=r"--wandb needs Weights & Biases: pip install 'camtrace\[wandb\]'"),
        tracked(tmp_path, {}, wandb=True),
    ):
        pass


# ---- the command line


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
    with pytest.raises(CamtraceError, match=r"single: holds another run \(steps 6 -> 7\)"):
        cli(*words_of(album, trained), "--steps", 7)


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
    for name in ("validation_loss", "validation_accuracy", "gradient_norm"):
        steps, curve = columns(two, name)
        expected_steps, expected = columns(one, name)
        assert steps == expected_steps
        assert curve == pytest.approx(expected, rel=1e-3), name
    assert len({round(value, 4) for value in columns(one, "validation_loss")[1]}) == 3, "a curve that moves"
    first, second = (load_file(run / "net.safetensors") for run in (trained, folder))
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-2, atol=1e-4, err_msg=name)
    assert set(json.loads(done.stdout)) == set(read(trained / "bundle" / "manifest.json")["accuracy"]), "told once"


def test_runs_are_listed_and_compared(trained: Path, complete: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "a" / "single")
    shutil.copytree(complete, tmp_path / "other")
    foreign = tmp_path / "model" / "config.json"
    foreign.parent.mkdir()
    foreign.write_text("{}", "utf-8")
    found = {run["run"]: run for run in json.loads(cli("runs", tmp_path, "--to", "json"))}
    assert set(found) == {"a/single", "other"}, "a config.json alone is no run"
    for name, folder in (("a/single", trained), ("other", complete)):
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
]


@pytest.mark.parametrize(("message", "words"), WRONG, ids=[message for message, _ in WRONG])
def test_wrong_usage_is_told_before_anything_is_done(album: Path, tmp_path: Path, message: str, words: Any) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["train", *map(str, words(album)), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "run").exists()
