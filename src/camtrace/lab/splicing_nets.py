"""The nets of a build's folds as bundles, so that localization can be asked about cameras that a net never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camtrace.bundle import write_bundle
from camtrace.experts import experts_onnx, join
from camtrace.lab.build import COPIED, Material, Plan, embed_taught, exported, last_run
from camtrace.lab.datasets import Record, read_dataset
from camtrace.lab.evaluate import embed_some, in_runtime, of_photos
from camtrace.lab.folds import both, compare_by, teach_head
from camtrace.lab.methods import METHODS, Features
from camtrace.lab.protocols import Split, splits_by_device_and_scene
from camtrace.lab.runs import NET
from camtrace.lab.store import PatchStore, open_store, ranks_within
from camtrace.lab.trial import load_net
from camtrace.manifest import Camera, Manifest
from camtrace.types import CamtraceError, References

PLAN = "plan.json"
FEW, FEW_PHOTOS = 4, 6
"""Patches of a photo or a copy, and photos of a camera, for the head, which only names the map of cameras."""
_COMPARED = 16
_NEAR = 1e-3


@dataclass(frozen=True)
class Build:
    """What a build left in its folder of work."""

    work: Path
    plan: Plan
    records: list[Record]
    splits: list[Split]

    def net_of(self, fold: int) -> Path:
        """The file of the fold's last net."""
        return last_run(self.work / f"fold{fold}", self.plan) / NET

    def unseen(self, fold: int) -> list[Record]:
        """Photos of the cameras that the fold left out."""
        return [self.records[place] for place in self.splits[fold].left_out]


def read_build(work: Path, data: Path | None = None) -> Build:
    """A build by its folder; `data` says where the photos lie now, if they were moved.

    Raises CamtraceError where there is no plan or a fold has no net.
    """
    try:
        plan: dict[str, Any] = json.loads((work / PLAN).read_text("utf-8"))
    except OSError as error:
        raise CamtraceError(f"{work}: no {PLAN} here ({error.strerror or error}); expected the --work folder of a build") from error
    kept = Path(plan.pop("data"))
    planned = Plan(**plan)
    records = read_dataset(data or kept)
    splits = splits_by_device_and_scene(records, count=planned.folds, seed=planned.seed, left_out=planned.left_out)
    found = Build(work, planned, records, splits)
    if missing := [path for fold in range(planned.folds) if not (path := found.net_of(fold)).is_file()]:
        raise CamtraceError(f"{missing[0]}: the fold has no net; expected a build whose folds are trained")
    return found


def write_fold(build: Build, fold: int, out: Path) -> None:
    """Write the fold's net as bundle `fold N`, with the comparison of its training photos and a head taught on a few of them."""
    names = sorted({record.camera for record in build.records})
    net, folder = _load_net(build, fold), build.work / f"fold{fold}"
    store = open_store(build.work / "real")
    material = Material(build.records, names, store, open_store(build.work / COPIED), None, build.splits)
    model = exported(net, material, folder, build.plan, photos=build.splits[fold].train)
    references = embed_taught(model, material, folder, patches=build.plan.patches)
    _check_kept(model, store, references[0], folder)
    native, copies = (of_photos(part, build.splits[fold].train) for part in references)
    taught = both(native, copies)
    few = _relabelled(_thin(taught))
    known = np.unique(taught.cameras).tolist()
    head = teach_head(few)
    manifest = Manifest(
        name="fold",
        version=str(fold),
        cameras=tuple(Camera(names[camera], names[camera].split()[0], 1) for camera in known),
        thresholds={"summed": 0.0, "majority": 0.0},
        dimension=net.dimension,
        head="experts",
    )
    write_bundle(
        out,
        manifest,
        features=model,
        head=experts_onnx(head.experts),
        references=join(few),
        gate=head.experts.gate,
        comparison=compare_by(taught),
        card=f"Fold {fold} of a build, to measure localization with; not a released bundle.\n",
    )


def _load_net(build: Build, fold: int) -> Features:
    return load_net(METHODS[build.plan.last_net], build.net_of(fold).parent).cpu().eval()


def _check_kept(model: bytes, store: PatchStore, kept: References, folder: Path) -> None:
    """Kept features must be this net's own: a net that was put in another's place would be judged by the other's comparison."""
    first = int(kept.photos[0])
    own = np.flatnonzero(store.photos == first)[:_COMPARED]  # untouched ones come first, the best of them first
    here = kept.features[kept.photos == first][: len(own)]
    again = embed_some(in_runtime(model), store, own[: len(here)]).features
    if not np.allclose(again, here, atol=_NEAR * max(1.0, float(np.abs(here).max()))):
        raise CamtraceError(f"{folder}: the kept features (native.safetensors, copies.safetensors) are not this net's; delete them")


def _thin(references: References) -> References:
    """The best FEW patches of each of FEW_PHOTOS photos of every camera, and of their copies."""
    assert references.copies is not None
    some = [np.unique(references.photos[references.cameras == camera])[:FEW_PHOTOS] for camera in np.unique(references.cameras)]
    chosen = of_photos(references, np.concatenate(some).tolist())
    assert chosen.copies is not None
    return chosen.of(ranks_within(chosen.photos * (int(chosen.copies.max()) + 1) + chosen.copies) < FEW)


def _relabelled(references: References) -> References:
    """Cameras numbered from 0 without gaps, as a bundle numbers them."""
    _, labels = np.unique(references.cameras, return_inverse=True)
    return References(references.features, labels.astype(np.int64), references.photos, references.copies)
