"""Build a bundle from real photos: honest folds first, then the net that ships, then bundle and card.

Every fold leaves out cameras, devices and scenes, trains a net without them and asks it about them; the figures of the card come
from there. The net that ships is then trained by the same recipe on every photo. Each step is kept in a work folder, so
that a build that was cut short goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from camtrace.bundle import Camera, Manifest, check_target, write_bundle
from camtrace.card import built_card
from camtrace.classify import equal_error_threshold, fit_duels, head_onnx
from camtrace.lab import evaluate
from camtrace.lab.datasets import Record, read_dataset
from camtrace.lab.nets import NETS, PatchCNN, export_onnx
from camtrace.lab.protocols import Split, device_or_scene_of, splits_by_device_and_scene
from camtrace.lab.store import PatchStore, cache_made, cache_photos
from camtrace.lab.train import RECIPES, Net, make_source, train
from camtrace.photo import read_photo
from camtrace.simulator import make_cameras
from camtrace.types import References
from camtrace.vote import WAYS

REFERENCE_PATCHES = 300
"""Patches kept a camera in the shipped bundle, spread over its photos."""


@dataclass(frozen=True)
class Plan:
    """All that decides what a build gives; kept in the manifest."""

    net: str = "trace-net"
    recipe: str = "traces"
    steps: int = 6000
    batch_real: int = 32
    batch_made: int = 96  # 0 = trained plainly, on the real photos alone
    made_cameras: int = 500
    made_photos: int = 100  # per made camera
    folds: int = 2
    left_out: int = 10  # cameras left out of a fold
    c: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """Records with their cached patches."""

    records: list[Record]
    names: list[str]  # cameras, in label order
    real: PatchStore
    made: PatchStore | None
    splits: list[Split]


def build(data: Path, out: Path, work: Path, plan: Plan, *, name: str, version: str, force: bool = False) -> dict[str, Any]:
    """Run the whole build; returns the measured accuracy that the manifest carries."""
    check_target(out, force=force)
    material = gather(data, work, plan)
    folds = [measure_fold(material, work, plan, number) for number in range(plan.folds)]
    net = fit_net(material, work / "final.safetensors", plan, photos=range(len(material.records)))
    accuracy = summarise(material, folds)
    references = evaluate.embed(net, material.real)
    labels = list(range(len(material.names)))
    duels = fit_duels(references.features, references.cameras, len(labels), c=plan.c)
    manifest = Manifest(
        name=name,
        version=version,
        cameras=_cameras(material, accuracy.pop("cameras")),
        thresholds={way: _mean([fold["thresholds"][way] for fold in folds]) for way in WAYS},
        vote=max(WAYS, key=lambda way: accuracy["photos"][way]["all"][0]),
        regularisation=plan.c,
        training={
            "data": f"{len(material.records)} photos of {len(material.names)} cameras, {data.name}",
            "date": datetime.now(UTC).date().isoformat(),
            **asdict(plan),
        },
        accuracy=accuracy,
    )
    kept = _thin(references, REFERENCE_PATCHES)
    write_bundle(
        out, manifest, features=export_onnx(net), head=head_onnx(duels), references=kept, card=built_card(manifest), force=force
    )
    return accuracy


def measure(data: Path, work: Path, plan: Plan) -> dict[str, Any]:
    """Only the folds: the figures of a way of training."""
    material = gather(data, work, plan)
    return summarise(material, [measure_fold(material, work, plan, number) for number in range(plan.folds)])


def gather(data: Path, work: Path, plan: Plan) -> Material:
    """Read the records, cache their patches and those of the made cameras."""
    records = read_dataset(data)
    names = sorted({record.camera for record in records})
    real = cache_photos(records, work / "real", labels=[names.index(record.camera) for record in records])
    splits = splits_by_device_and_scene(records, count=plan.folds, seed=plan.seed, left_out=plan.left_out)
    made = None
    if plan.batch_made:
        always_taught = set.intersection(*(set(split.train) for split in splits)) if splits else set(range(len(records)))
        cameras = make_cameras(plan.made_cameras, seed=plan.seed, tables=_tables(records[index] for index in sorted(always_taught)))
        scenes = [record.path for record in records]
        made = cache_made(cameras, scenes, work / "made", per_camera=plan.made_photos, seed=plan.seed)
    return Material(records, names, real, made, splits)


def fit_net(material: Material, kept: Path, plan: Plan, *, photos: Sequence[int]) -> Net:
    """Train the plan's net on some photos and on made cameras that shot the scenes of just these; or load it if it is kept."""
    net = NETS[plan.net]()
    if not kept.is_file():
        groups = device_or_scene_of(material.records)
        real = make_source(material.real, photos=photos, groups=groups)
        if isinstance(net, PatchCNN):
            net.mean.copy_(_mean_patch(material.real, real.chosen))
        sources = [(real, plan.batch_real)]
        if material.made is not None:
            sources.append((make_source(material.made, photos=photos), plan.batch_made))
        curve: list[dict[str, float]] = []
        net = train(net, sources, recipe=RECIPES[plan.recipe], steps=plan.steps, seed=plan.seed, log=curve.append)
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, kept)
        kept.with_suffix(".curve.json").write_text(json.dumps(curve), "utf-8")
    net.load_state_dict(load_file(kept))
    return net.eval()


def measure_fold(material: Material, work: Path, plan: Plan, number: int) -> dict[str, Any]:
    """Train without the fold's test devices, scenes and left-out cameras, and ask about them."""
    split = material.splits[number]
    net = fit_net(material, work / f"fold{number}.safetensors", plan, photos=split.train)
    references = evaluate.embed(net, material.real)
    duels, present = evaluate.teach(evaluate.of_photos(references, split.train), c=plan.c)
    known = evaluate.ask(duels, present, evaluate.of_photos(references, split.test))
    foreign = evaluate.ask(duels, present, evaluate.of_photos(references, split.left_out))
    left_out = evaluate.of_photos(references, split.left_out)
    return {
        "known": known,
        "foreign": foreign,
        "thresholds": {way: equal_error_threshold(known.strength[way], foreign.strength[way]) for way in WAYS},
        "few_shot": {
            n: evaluate.few_shot(left_out, photos_each=n, draws=10 if n < 10 else 5, seed=plan.seed, c=plan.c) for n in (1, 2, 5, 10)
        },
    }


def summarise(material: Material, folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all folds together, each with its 95 % interval over photos."""
    several = evaluate.has_several_devices(material.records)
    photos = np.concatenate([fold["known"].photos for fold in folds])
    cameras = np.concatenate([fold["known"].cameras for fold in folds])
    makers = np.array([name.split()[0] for name in material.names])
    figures: dict[str, Any] = {"photos": {}, "unknown": {}}
    for way in WAYS:
        best = np.concatenate([fold["known"].best[way] for fold in folds])
        right = best == cameras
        figures["photos"][way] = {
            "all": evaluate.interval(right),
            "unseen device": evaluate.interval(right[several[photos]]),
            "unseen scene": evaluate.interval(right[~several[photos]]),
            "maker": evaluate.interval(makers[best] == makers[cameras]),
        }
        known = [fold["known"].strength[way] for fold in folds]
        foreign = [fold["foreign"].strength[way] for fold in folds]
        pairs = [(k, f, fold["thresholds"][way]) for k, f, fold in zip(known, foreign, folds, strict=True)]
        figures["unknown"][way] = {
            "auroc": _mean([evaluate.auroc(k, f) for k, f, _ in pairs]),
            "known refused": _mean([float((k < threshold).mean()) for k, _, threshold in pairs]),
            "unknown named": _mean([float((f >= threshold).mean()) for _, f, threshold in pairs]),
        }
    best = np.concatenate([fold["known"].best["summed"] for fold in folds])
    figures["patches"] = evaluate.interval(np.concatenate([fold["known"].patches_right for fold in folds]))
    figures["few_shot"] = {
        str(n): evaluate.interval(np.concatenate([fold["few_shot"][n] for fold in folds])) for n in folds[0]["few_shot"]
    }
    figures["tested"] = len(photos)
    figures["foreign"] = sum(len(fold["foreign"].photos) for fold in folds)
    figures["left_out"] = sorted({material.names[camera] for fold in folds for camera in np.unique(fold["foreign"].cameras)})
    figures["confusions"] = _confusions(material.names, cameras, best)
    figures["cameras"] = {
        material.names[camera]: [int((best[cameras == camera] == camera).sum()), int((cameras == camera).sum())]
        for camera in np.unique(cameras)
    }
    return figures


def _confusions(names: list[str], cameras: Any, best: Any) -> list[list[Any]]:
    """The commonest mistakes: true camera, camera named, photos."""
    wrong, counts = np.unique(np.stack([cameras, best])[:, cameras != best], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:12]
    return [[names[wrong[0, i]], names[wrong[1, i]], int(counts[i])] for i in order]


def _cameras(material: Material, tested: dict[str, list[int]]) -> tuple[Camera, ...]:
    several = evaluate.has_several_devices(material.records)
    cameras = []
    for name in material.names:
        own = [index for index, record in enumerate(material.records) if record.camera == name]
        right, asked = tested.get(name, (0, 0))
        unseen = "devices" if several[own[0]] else "scenes"
        cameras.append(
            Camera(
                name=name,
                make=name.split()[0],
                photos=len(own),
                accuracy=right / asked if asked else None,
                tested=asked,
                protocol=f"photos of {unseen} that the fold had not seen" if asked else "",
            )
        )
    return tuple(cameras)


def _thin(references: References, per_camera: int) -> References:
    """Keep `per_camera` patches of every camera, the same number of best ones from each of its photos."""
    keep = np.zeros(len(references.photos), bool)
    _, starts, sizes = np.unique(references.photos, return_index=True, return_counts=True)
    rank = np.arange(len(references.photos)) - np.repeat(starts, sizes)
    for camera in np.unique(references.cameras):
        own = references.cameras == camera
        each = max(4, per_camera // len(np.unique(references.photos[own])))
        keep |= own & (rank < each)
    return References(references.features[keep], references.cameras[keep], references.photos[keep])


def _tables(records: Any) -> tuple[Any, ...]:
    """The JPEG tables that real cameras of the records save with."""
    tables = set()
    for record in records:
        quantization = read_photo(record.path).quantization
        if quantization:
            tables.add((quantization[0], quantization.get(1, quantization[0])))
    return tuple(sorted(tables))


def _mean_patch(store: PatchStore, chosen: Any) -> torch.Tensor:
    """Mean patch (3, 64, 64) of a sample of the training patches."""
    sample = store.patches[np.sort(chosen[:: max(1, len(chosen) // 5000)])]
    return torch.from_numpy(sample.mean(axis=0, dtype=np.float64).transpose(2, 0, 1).astype(np.float32))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
