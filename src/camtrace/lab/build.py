"""Build a bundle from real photos: honest folds first, then the net that ships, then bundle and card.

Every fold leaves out cameras, devices and scenes, trains a net without them and asks it about them; the figures of the card come
from there. The net that ships is then trained by the same recipe on every photo. Each step is kept in a work folder, so
that a build that was cut short goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from camtrace.bundle import Camera, Manifest, check_target, write_bundle
from camtrace.card import built_card
from camtrace.classify import fit_duels, head_onnx
from camtrace.lab import evaluate
from camtrace.lab.datasets import Record, read_dataset
from camtrace.lab.export import export_onnx
from camtrace.lab.heads import teach
from camtrace.lab.methods import METHODS, Features
from camtrace.lab.plan import keep_plan
from camtrace.lab.protocols import Split, device_or_scene_of, has_several_devices, splits_by_device_and_scene
from camtrace.lab.recipe import RECIPES
from camtrace.lab.runs import fit_features
from camtrace.lab.sources import make_source
from camtrace.lab.store import PatchStore, cache_made, cache_photos, ranks_within
from camtrace.lab.summary import Fold, summarise, thresholds
from camtrace.lab.train import Schedule
from camtrace.photo import read_photo
from camtrace.simulator import JpegTables, make_cameras
from camtrace.types import References

FEW_SHOT_PHOTOS = (1, 2, 5, 10)
FEW_SHOT_DRAWS = 5
REFERENCE_PATCHES = 300
"""Patches kept a camera in the shipped bundle, spread over its photos."""


@dataclass(frozen=True)
class Plan:
    """All that decides what a build gives; kept in the manifest."""

    net: str = "trace-net"
    recipe: str = "traces"
    steps: int = 4000
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
    net = fit_net(material, work / "final", plan, photos=range(len(material.records)))
    accuracy = summarise(material.records, material.names, folds)
    references = evaluate.embed(net, material.real)
    labels = list(range(len(material.names)))
    duels = fit_duels(references.features, references.cameras, len(labels), c=plan.c)
    manifest = Manifest(
        name=name,
        version=version,
        cameras=_cameras(material, accuracy.pop("cameras")),
        thresholds=thresholds(folds),
        regularisation=plan.c,
        training={
            "data": f"{len(material.records)} photos of {len(material.names)} cameras",
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
    return summarise(material.records, material.names, [measure_fold(material, work, plan, number) for number in range(plan.folds)])


def gather(data: Path, work: Path, plan: Plan) -> Material:
    """Read the records, cache their patches and those of the made cameras."""
    keep_plan(work / "plan.json", {"data": str(data.resolve()), **asdict(plan)})
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


def fit_net(material: Material, folder: Path, plan: Plan, *, photos: Sequence[int]) -> Features:
    """Train the plan's net on some photos and on made cameras that shot the scenes of just these; or load it if it is kept."""
    groups = device_or_scene_of(material.records)
    sources = [(make_source(material.real, photos=photos, groups=groups), plan.batch_real)]
    if material.made is not None:
        sources.append((make_source(material.made, photos=photos), plan.batch_made))
    method = replace(METHODS[plan.net], recipe=RECIPES[plan.recipe])
    config = {"batches": [count for _, count in sources], "photos": len(photos)}
    net, _ = fit_features(folder, method, sources, config=config, schedule=Schedule(plan.steps, plan.seed))
    return net


def measure_fold(material: Material, work: Path, plan: Plan, number: int) -> Fold:
    """Train without the fold's test devices, scenes and left-out cameras, and ask about them."""
    split, method = material.splits[number], METHODS[plan.net]
    net = fit_net(material, work / f"fold{number}", plan, photos=split.train)
    references = evaluate.embed(net, material.real)
    taught = teach(evaluate.of_photos(references, split.train), method, c=plan.c)
    left_out = evaluate.of_photos(references, split.left_out)
    return Fold(
        known=evaluate.ask(taught, evaluate.of_photos(references, split.test)),
        foreign=evaluate.ask(taught, left_out),
        few_shot={
            n: evaluate.few_shot(left_out, method, photos_each=n, draws=FEW_SHOT_DRAWS, seed=plan.seed, c=plan.c)
            for n in FEW_SHOT_PHOTOS
        },
    )


def _cameras(material: Material, tested: dict[str, list[Any]]) -> tuple[Camera, ...]:
    several = has_several_devices(material.records)
    cameras = []
    for name in material.names:
        own = [index for index, record in enumerate(material.records) if record.camera == name]
        share, asked = tested.get(name, (0.0, 0))
        unseen = "devices" if several[own[0]] else "scenes"
        cameras.append(
            Camera(
                name=name,
                make=name.split()[0],
                photos=len(own),
                accuracy=share if asked else None,
                tested=asked,
                protocol=f"photos of {unseen} that the fold had not seen" if asked else "",
            )
        )
    return tuple(cameras)


def _thin(references: References, per_camera: int) -> References:
    """Keep `per_camera` patches of every camera, the same number of best ones from each of its photos."""
    keep = np.zeros(len(references.photos), bool)
    rank = ranks_within(references.photos)
    for camera in np.unique(references.cameras):
        own = references.cameras == camera
        each = max(4, per_camera // len(np.unique(references.photos[own])))
        keep |= own & (rank < each)
    return References(references.features[keep], references.cameras[keep], references.photos[keep])


def _tables(records: Iterable[Record]) -> tuple[JpegTables, ...]:
    """The JPEG tables that the real cameras of the records save with."""
    found = (read_photo(record.path).quantization for record in records)
    return tuple(sorted({(tables[0], tables.get(1, tables[0])) for tables in found if tables}))
