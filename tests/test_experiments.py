"""One command per published figure, on made photos at toy budgets: each runs to its page, goes on where it stopped, adds up."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from typer.testing import CliRunner

from lab_helpers import make_dataset

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from torch import Tensor, nn  # noqa: E402

from camtrace.lab.cli import app  # noqa: E402
from camtrace.lab.experiments import EXPERIMENTS  # noqa: E402
from camtrace.lab.experiments.fig2 import confusion  # noqa: E402
from camtrace.lab.experiments.settings import pooled  # noqa: E402
from camtrace.lab.methods import METHODS, Features, Method  # noqa: E402
from camtrace.lab.trial import Answers  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402

TOY = ("--splits", "1", "--steps", "2", "--batch", "8", "--validate-every", "1", "--left-out", "2")
COMMANDS = {
    "fig2": (),
    "fig3": (),
    "fig4": ("--method", "patch-cnn"),
    "fig5": (),
    "table2": (),
    "leak": ("--method", "patch-cnn", "--method", "spam"),
    "robustness": ("--method", "patch-cnn", "--method", "demosaicing"),
}


class SmallNet(Features):
    """Stands for the second paper's large nets, whose own shapes are tested in test_methods."""

    dimension = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.layers(patches / 255))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("made"), cameras=4, photos=10, size=256)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all experiments, as a user would who runs one after the other."""
    return tmp_path_factory.mktemp("work")


def run(name: str, data: Path, work: Path, out: Path) -> str:
    words = ["reproduce", name, "--data", str(data), "--out", str(out), "--work", str(work), *TOY, *COMMANDS[name]]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return (out / f"{name}.html").read_text("utf-8")


def test_every_experiment_has_a_command_here() -> None:
    assert set(EXPERIMENTS) - {"splicing"} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_one_command_gives_page_figures_and_numbers(
    name: str, data: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for large in ("camera-conv-net", "efficient-net", "efficient-net-resized"):  # 45 and 54 million weights: hours on two cores
        monkeypatch.setitem(cast("dict[str, Method]", METHODS.builtin), large, replace(METHODS[large], make=SmallNet, size=48))
    page = run(name, data, work, tmp_path)
    assert "80 photos by 8 devices of 4 cameras" in page
    assert "2 steps of 8 instead of" in page, "what was cut is said"
    pictures = {path.suffix for path in tmp_path.iterdir()}
    assert ".png" in pictures
    assert ".csv" in pictures
    assert ".json" in pictures
    if name != "table2":
        assert ".svg" in pictures


def test_an_experiment_goes_on_with_what_is_there(data: Path, work: Path, tmp_path: Path) -> None:
    run("fig2", data, work, tmp_path / "first")
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("*.safetensors")}
    assert kept
    run("fig2", data, work, tmp_path / "second")
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.safetensors")} == kept
    numbers = [(tmp_path / out / "fig2-patch-cnn.json").read_text("utf-8") for out in ("first", "second")]
    assert numbers[0] == numbers[1]


def test_answers_of_another_budget_or_another_data_set_are_not_taken_for_these(data: Path, work: Path, tmp_path: Path) -> None:
    run("leak", data, work, tmp_path)
    words = ["reproduce", "leak", "--out", str(tmp_path), "--work", str(work), *TOY, "--method", "spam"]
    with pytest.raises(CamtraceError, match="seed 0 -> 1"):
        CliRunner().invoke(app, [*words, "--data", str(data), "--seed", "1"], catch_exceptions=False)
    other = make_dataset(tmp_path / "other", cameras=3, photos=2, size=256)
    with pytest.raises(CamtraceError, match="photos 80 -> 12"):
        CliRunner().invoke(app, [*words, "--data", str(other)], catch_exceptions=False)


def test_votes_are_shares_with_intervals(data: Path, work: Path, tmp_path: Path) -> None:
    run("fig3", data, work, tmp_path)
    with (tmp_path / "fig3.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    by_hand = ("spam", "demosaicing", "demosaicing-svm")
    assert {row["method"] for row in rows} == {"patch-cnn", *by_hand, *(f"{name}-whole" for name in by_hand)}
    assert all(0 <= float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) <= 1 for row in rows)
    assert [float(row["votes"]) for row in rows if row["method"] == "spam"] == list(range(1, 33))
    assert json.loads((tmp_path / "fig3.json").read_text("utf-8"))


def answers(photos: list[int], cameras: list[int], votes: list[list[int]]) -> Answers:
    return Answers(np.array(photos), np.array(cameras), np.array(votes), np.array(cameras))


def test_majority_of_the_first_votes() -> None:
    one = answers([7], [2], [[1, 2, 2, 1, 2, -1]])
    assert [one.winners(count)[0] for count in range(1, 7)] == [1, 1, 2, 1, 2, 2]
    assert one.patches_right()[0] == pytest.approx(3 / 5)


def test_a_photo_asked_twice_counts_once() -> None:
    parts = [answers([1, 2], [0, 0], [[0], [0]]), answers([2], [0], [[1]])]
    assert pooled(parts, [part.right() for part in parts]).tolist() == [1.0, 0.5]


def test_confusion_is_the_mean_of_splits() -> None:
    parts = [answers([0, 1], [0, 2], [[0, 2], [2, -1]]), answers([0], [0], [[0, 0]])]
    shares, tested = confusion(parts, 3)
    assert tested.tolist() == [0, 2]
    assert shares.tolist() == [[0.75, 0.25], [0, 1]]


def test_wrong_usage_says_what_there_is(data: Path, tmp_path: Path) -> None:
    for words, wanted in (
        (["fig9"], "fig2"),
        (["fig2", "--method", "magic"], "patch-cnn"),
        (["fig2", "--steps", "magic=3"], "METHOD=N"),
    ):
        result = CliRunner().invoke(app, ["reproduce", *words, "--data", str(data), "--out", str(tmp_path)])
        assert result.exit_code == 2
        assert wanted in result.output
