"""One run of one method, from photos to a bundle: what `camtrace lab train` does.

The run folder gets all that `camtrace.lab.runs` lists, and a bundle whose head is taught on the training photos and whose figures come
from the split's test photos.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from camtrace.bundle import write_bundle
from camtrace.card import trained_card
from camtrace.classify import run_duels
from camtrace.lab.evaluate import interval
from camtrace.lab.export import export_onnx
from camtrace.lab.heads import SvmHead, Taught
from camtrace.lab.recipe import Precision
from camtrace.lab.trial import WHOLE, Answers, Trial, ask_patches
from camtrace.manifest import Camera, Manifest
from camtrace.teaching import equal_error_threshold
from camtrace.types import CamtraceError, References, VotingWay
from camtrace.vote import WAYS, weigh

BUNDLE = "bundle"


def make_fabric(precision: Precision, *, accelerator: str = "auto", devices: int = 1, nodes: int = 1) -> Fabric:
    """Fabric over some devices of some machines, by distributed data parallelism where there are several; launched."""
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def run_method(trial: Trial, *, name: str) -> dict[str, Any] | None:
    """Train, ask about the test photos, write the bundle; returns the figures, None in all processes but the first."""
    if trial.method.size == WHOLE:
        raise CamtraceError(f"{trial.method.name}: a bundle asks patches, not whole photos; choose another --method")
    if trial.fabric is None or trial.fabric.is_global_zero:
        trial.material.store(trial.method)  # the others wait for the cache, and read it
    if trial.fabric is not None:
        trial.fabric.barrier()
    net, _ = trial.features()
    if trial.fabric is not None and not trial.fabric.is_global_zero:
        return None
    net, taught = trial.fitted
    asked = trial.references(net, trial.split.test, asked=True)
    answers = ask_patches(taught, asked, trial.method.count)
    right = {"majority": answers.right(), "summed": answers.summed == answers.cameras}
    figures = {
        "protocol": trial.split.protocol,
        "split": trial.split.number,
        "tested": len(answers.photos),
        "photos": {way: interval(values) for way, values in right.items()},
        "patches": interval(answers.patches_right()),
    }
    cameras = _cameras(trial, taught, answers)
    manifest = _manifest(trial, cameras, figures, _thresholds(taught, asked), net.dimension, name)
    references = _dense(trial.references(net, trial.split.train), taught)
    write_bundle(
        trial.folder / BUNDLE,
        manifest,
        features=export_onnx(net, size=trial.method.size),
        head=taught.head.to_onnx(),
        references=references,
        card=trained_card(manifest),
        force=True,  # a run folder is this run's own
    )
    return figures


def _manifest(
    trial: Trial, cameras: tuple[Camera, ...], figures: dict[str, Any], thresholds: dict[VotingWay, float], dimension: int, name: str
) -> Manifest:
    method = trial.method
    return Manifest(
        name=name,
        version="1",
        cameras=cameras,
        thresholds=thresholds,
        patch_size=method.size,
        patch_count=method.count,
        rule=method.rule,
        dimension=dimension,
        training={
            "method": method.name,
            "source": method.source,
            "photos": len(trial.split.train),
            "protocol": trial.split.protocol,
            "steps": trial.budget.steps,
            "seed": trial.budget.seed,
            "date": datetime.now(UTC).date().isoformat(),
        },
        accuracy=figures,
    )


def _cameras(trial: Trial, taught: Taught, answers: Answers) -> tuple[Camera, ...]:
    """The cameras that the head knows, each with its share of test photos named rightly by summed evidence."""
    names = trial.material.cameras
    photos = np.bincount([trial.material.labels[index] for index in trial.split.train], minlength=len(names))
    cameras = []
    for index in taught.cameras.tolist():
        right = answers.summed[answers.cameras == index] == index
        share = float(right.mean()) if len(right) else None
        protocol = f"protocol {trial.split.protocol}" if len(right) else ""
        cameras.append(Camera(names[index], names[index].split()[0], int(photos[index]), share, len(right), protocol))
    return tuple(cameras)


def _thresholds(taught: Taught, asked: References) -> dict[VotingWay, float]:
    """For SVMs, where as many test photos are refused as would be named had their camera never been taught; else none is measured."""
    if not isinstance(taught.head, SvmHead) or len(taught.cameras) < 3:
        return dict.fromkeys(WAYS, 0.0)
    known: dict[VotingWay, list[float]] = {way: [] for way in WAYS}
    foreign: dict[VotingWay, list[float]] = {way: [] for way in WAYS}
    for photo in np.unique(asked.photos):
        features = asked.features[asked.photos == photo]
        own = np.flatnonzero(taught.cameras == asked.cameras[asked.photos == photo][0])
        for way in WAYS:
            known[way].append(float(weigh(taught.head.vote(features), way).max()))
            if len(own):
                foreign[way].append(float(weigh(run_duels(taught.head.duels, features, without=int(own[0])), way).max()))
    return {way: equal_error_threshold(np.array(known[way]), np.array(foreign[way])) for way in WAYS}


def _dense(references: References, taught: Taught) -> References:
    """References of the cameras that the head knows, numbered as its labels."""
    keep = np.isin(references.cameras, taught.cameras)
    return References(references.features[keep], np.searchsorted(taught.cameras, references.cameras[keep]), references.photos[keep])
