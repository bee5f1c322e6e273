"""A training run is a folder that tells all about itself; runs are listed and compared from these folders.

config.json               method, recipe, steps, seed, which photos: all that decides what comes out
environment.json          camtrace, git revision, Python, libraries, machine, command line
metrics.csv, tensorboard/ loss, accuracy, gradient norm at every step; validation
curves.png                the same as a picture
checkpoint.safetensors    where a run that was killed goes on
result.json, net.safetensors, bundle/      what came out
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

import camtrace
from camtrace.lab.checkpoint import peek
from camtrace.lab.heads import SoftmaxHead
from camtrace.lab.methods import Features, Method
from camtrace.lab.plan import flatten, keep_plan, write_json
from camtrace.lab.plots import draw_curves
from camtrace.lab.sources import Source
from camtrace.lab.tracking import METRICS, read_metrics, tracked
from camtrace.lab.train import Schedule, one_process, share_of, train

CONFIG, ENVIRONMENT, RESULT, NET, CHECKPOINT, CURVES = (
    "config.json",
    "environment.json",
    "result.json",
    "net.safetensors",
    "checkpoint.safetensors",
    "curves.png",
)
_LIBRARIES = ("camtrace", "torch", "torchvision", "lightning-fabric", "numpy", "scikit-learn", "onnx", "onnxruntime")


def open_run(folder: Path, config: dict[str, Any], *, writing: bool = True) -> None:
    """Begin a run, or take up the one that is there; CamtraceError where another config began it.

    Of several processes one is `writing`; all check, so that none waits for one that gave up.
    """
    if not keep_plan(folder / CONFIG, config, writing=writing) and writing:
        write_json(folder / ENVIRONMENT, environment())


def environment() -> dict[str, Any]:
    """What a run ran in."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": _git_revision(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "threads": torch.get_num_threads(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def fit_features(
    folder: Path,
    method: Method,
    sources: Sequence[tuple[Source, int]],
    *,
    config: dict[str, Any],
    schedule: Schedule,
    validation: Source | None = None,
    begin: Features | None = None,
    frozen: bool = False,
    fabric: Fabric | None = None,
    wandb: bool = False,
) -> tuple[Features, SoftmaxHead]:
    """Train a method's features in a run folder, go on with a run that was cut short, or load one that is complete.

    `begin` is a net trained before; `frozen` leaves its features as they are, so that only the classifier learns.
    """
    assert method.recipe is not None
    torch.manual_seed(schedule.seed)  # the first weights too
    net = begin or method.make()
    if begin is None:
        net.prepare(sources[0][0].sample(5000))
    net.requires_grad_(not frozen)
    fabric = fabric or one_process(method.recipe)
    schedule = Schedule(schedule.steps, schedule.seed, schedule.validate_every, schedule.patience, folder / CHECKPOINT)
    config = {
        "method": method.name,
        "recipe": asdict(method.recipe),
        **asdict(schedule),
        "checkpoint": CHECKPOINT,
        "frozen": frozen,
        **config,
    }
    for _, count in sources:
        share_of(count, fabric, together=method.recipe.together)  # before anything is written
    open_run(folder, config, writing=fabric.is_global_zero)
    if not (folder / RESULT).is_file():
        _train(folder, net, sources, method, config=config, schedule=schedule, validation=validation, fabric=fabric, wandb=wandb)
    tensors = load_file(folder / NET)
    classifier = SoftmaxHead(tensors.pop("classifier.weight").numpy(), tensors.pop("classifier.bias").numpy())
    net.load_state_dict(tensors)
    return net.cpu().eval(), classifier


def _train(
    folder: Path,
    net: Features,
    sources: Sequence[tuple[Source, int]],
    method: Method,
    *,
    config: dict[str, Any],
    schedule: Schedule,
    validation: Source | None,
    fabric: Fabric,
    wandb: bool,
) -> None:
    assert method.recipe is not None
    options: dict[str, Any] = {"recipe": method.recipe, "schedule": schedule, "validation": validation, "fabric": fabric}
    if not fabric.is_global_zero:
        train(net, sources, **options)
        return fabric.barrier()
    began = peek(folder / CHECKPOINT).step
    with tracked(folder, config, begin=began, wandb=wandb) as log:
        trained = train(net, sources, **options, log=log)
    tensors = {name: tensor.contiguous() for name, tensor in trained.net.state_dict().items()}
    tensors |= {"classifier.weight": torch.from_numpy(trained.classifier.weights)}
    save_file({**tensors, "classifier.bias": torch.from_numpy(trained.classifier.biases)}, folder / NET)
    draw_curves(read_metrics(folder / METRICS), folder / CURVES)
    write_json(folder / RESULT, _result(folder, trained.progress))
    return fabric.barrier()


def _result(folder: Path, progress: Any) -> dict[str, Any]:
    rows = {row["step"]: row for row in read_metrics(folder / METRICS) if "validation_loss" in row}
    best = rows.get(progress.best_step, {})
    figures: dict[str, Any] = {name: best[name] for name in ("validation_loss", "validation_accuracy") if name in best}
    return {"steps": progress.step, "best_step": progress.best_step if rows else progress.step, **figures}


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Every run below a folder: its path, config, state and results, oldest first."""
    runs = []
    for path in sorted(root.rglob(CONFIG)):
        folder = path.parent
        if not (folder / ENVIRONMENT).is_file():
            continue  # somebody else's config.json
        result = json.loads((folder / RESULT).read_text("utf-8")) if (folder / RESULT).is_file() else {}
        surroundings = json.loads((folder / ENVIRONMENT).read_text("utf-8"))
        runs.append(
            {
                "run": folder.relative_to(root).as_posix(),
                "state": "complete" if result else f"at step {peek(folder / CHECKPOINT).step}",
                "date": surroundings["date"],
                "git": surroundings["git"],
                "config": json.loads(path.read_text("utf-8")),
                "result": result,
            }
        )
    return sorted(runs, key=lambda run: str(run["date"]))


def to_table(runs: Sequence[dict[str, Any]]) -> str:
    """Runs as lines, then the settings in which they differ."""
    lines = [f"{'run':<48} {'state':<14} {'best step':>9} {'val. loss':>9} {'val. acc.':>9}  git"]
    for run in runs:
        result = run["result"]
        loss, accuracy = (f"{result[key]:.4f}" if key in result else "-" for key in ("validation_loss", "validation_accuracy"))
        revision = (run["git"] or "-")[:8]
        lines.append(f"{run['run']:<48} {run['state']:<14} {result.get('best_step', '-'):>9} {loss:>9} {accuracy:>9}  {revision}")
    flat = [flatten(run["config"]) for run in runs]
    differing = [
        key for key in dict.fromkeys(key for config in flat for key in config) if len({str(config.get(key)) for config in flat}) > 1
    ]
    if len(runs) > 1 and differing:
        lines += ["", "settings that differ:"]
        lines += [f"  {key}: {', '.join(str(config.get(key, '-')) for config in flat)}" for key in differing]
    return "\n".join(lines)


def _git_revision() -> str | None:
    """Revision of the checkout that camtrace runs from, with + where files were changed; None outside a checkout."""
    where = Path(camtrace.__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
