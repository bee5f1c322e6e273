"""Training runs as folders: what they hold, when they are refused, and how they are taken up again after a kill."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

import camtrace  # noqa: E402
import killed_run  # noqa: E402
from camtrace.lab import runs  # noqa: E402
from camtrace.lab.methods import METHODS  # noqa: E402
from camtrace.lab.plan import keep_plan  # noqa: E402
from camtrace.lab.runs import list_runs, to_table  # noqa: E402
from camtrace.lab.sources import to_tensor  # noqa: E402
from camtrace.lab.tracking import columns, read_metrics  # noqa: E402
from camtrace.lab.train import Schedule  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_runs import SMALL, date_back, fit, one_thread, read, same_net, scalars  # noqa: E402, F401
from made_patches import two_textures  # noqa: E402


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


def test_a_setting_that_the_plan_could_not_know_may_be_off(tmp_path: Path) -> None:
    path = tmp_path / "run" / "plan.json"
    assert not keep_plan(path, {"steps": 4, "recipe": {"rate": 0.1}})
    assert keep_plan(path, {"steps": 4, "recipe": {"rate": 0.1, "margin": 0.0}, "frozen": False})
    with pytest.raises(CamtraceError, match=r"holds other work \(recipe.margin None -> 0.2\)"):
        keep_plan(path, {"steps": 4, "recipe": {"rate": 0.1, "margin": 0.2}})
    with pytest.raises(CamtraceError, match=r"holds other work \(recipe.rate 0.1 -> 0, steps 4 -> None\)"):
        keep_plan(path, {"recipe": {"rate": 0}})


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_run_is_refused(complete: Path, tmp_path: Path, finished: bool) -> None:
    folder = tmp_path / "run"
    shutil.copytree(complete, folder)
    if not finished:
        (folder / "result.json").unlink()
    before = (folder / "net.safetensors").stat().st_mtime_ns
    with pytest.raises(CamtraceError, match=r"run: holds other work \(seed 0 -> 1, steps 4 -> 5\); choose another folder"):
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

    date_back(folder)
    killed_run.run(folder)
    assert same_net(folder, whole)
    assert (folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert read(folder / "result.json") == read(whole / "result.json")
    assert scalars(folder) == scalars(whole)
    assert [step for step, _ in scalars(folder)["loss"]] == list(range(1, killed_run.STEPS + 1))
    assert list_runs(tmp_path)[0]["state"] == "complete"
