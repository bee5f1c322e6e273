"""A training run that is killed ends, taken up again, where it would have ended; what a checkpoint holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402

from camtrace.lab.checkpoint import Progress, peek  # noqa: E402
from camtrace.lab.recipe import TRACES, Recipe  # noqa: E402
from camtrace.lab.train import Schedule, Trained, train  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from tiny_nets import PLAIN, Curve, Tiny, made, run, same, textures, worsening  # noqa: E402


class KilledError(Exception):
    """Stands for a kill: ends the run at a step, whatever it was about to do."""


SGD = replace(PLAIN, bias_rate=2.0)
AVERAGED = replace(TRACES, requantised=0.3, precision="32-true")


def interrupted(folder: Path, recipe: Recipe, *, at: int) -> tuple[Trained, Curve, Curve]:
    """A run killed at a step and taken up again: the result, and what was logged before and after."""
    before: Curve = []
    after: Curve = []

    def log(step: int, metrics: dict[str, float]) -> None:
        if step == at:
            raise KilledError
        before.append((step, metrics))

    options: dict[str, Any] = {
        "recipe": recipe,
        "schedule": Schedule(10, seed=7, validate_every=3, checkpoint=folder / "run.safetensors"),
        "validation": textures(4),
    }
    net = made(Tiny)
    torch.manual_seed(0)
    with pytest.raises(KilledError):
        train(net, [(textures(), 8)], **options, log=log)
    other = made(Tiny, seed=99)  # what the net was before it was taken up must not matter
    trained = train(other, [(textures(), 8)], **options, log=lambda step, metrics: after.append((step, metrics)))
    return trained, before, after


@pytest.mark.parametrize("at", [5, 6, 10])
@pytest.mark.parametrize("recipe", [SGD, AVERAGED, replace(AVERAGED, precision="bf16-mixed")], ids=["sgd", "averaged", "bf16"])
def test_a_killed_run_ends_where_it_would_have_ended(tmp_path: Path, recipe: Recipe, at: int) -> None:
    curve: Curve = []
    whole = run(made(Tiny), recipe=recipe, steps=10, seed=7, validate_every=3, validation=textures(4), curve=curve)
    trained, before, after = interrupted(tmp_path, recipe, at=at)
    assert same(trained, whole)
    assert trained.progress == whole.progress
    kept = after[0][0] - 1  # the step of the checkpoint
    assert kept == (at - 1) // 3 * 3
    assert [row for row in before if row[0] <= kept] + after == curve


def test_a_step_is_logged_before_its_checkpoint_is_written(tmp_path: Path) -> None:
    """Else a kill between the two would leave a hole: the step would neither be logged nor done again."""
    trained, before, after = interrupted(tmp_path, SGD, at=6)
    assert trained.progress.step == 10
    assert {step for step, _ in before} | {step for step, _ in after} == set(range(1, 11))


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    curve: Curve = []
    trained, _, _ = interrupted(tmp_path, SGD, at=5)
    path = tmp_path / "run.safetensors"
    written = path.read_bytes()
    again = run(made(Tiny), recipe=SGD, steps=10, seed=7, validate_every=3, validation=textures(4), checkpoint=path, curve=curve)
    assert same(again, trained)
    assert curve == []
    assert path.read_bytes() == written


def test_a_run_that_lost_patience_stays_stopped(tmp_path: Path) -> None:
    stopped, _ = worsening(patience=2, checkpoint=tmp_path / "run.safetensors")
    again, curve = worsening(patience=2, checkpoint=tmp_path / "run.safetensors")
    assert same(again, stopped)
    assert curve == []


def test_a_checkpoint_holds_tensors_and_progress_and_nothing_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.safetensors"
    assert peek(path) == Progress()
    assert peek(None) == Progress()
    trained = run(made(Tiny), recipe=AVERAGED, steps=4, validate_every=2, validation=textures(4), checkpoint=path)
    assert peek(path) == trained.progress
    assert trained.progress.step == 4
    assert [found.name for found in path.parent.iterdir()] == [path.name], "nothing half-written is left"
    with safe_open(path, "pt") as file:
        parts = {key.split("/")[0] for key in file.keys()}  # noqa: SIM118 - no iterator
    assert parts == {"trainee", "kept", "best", "optimiser"}


def test_a_checkpoint_that_was_being_written_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = run(made(Tiny), steps=4)
    path.with_suffix(".partial").write_bytes(b"half of it")
    assert same(run(made(Tiny), steps=4, checkpoint=path), whole)
