"""Build a bundle from real photos: honest folds first, then the net that ships, then bundle and card.

Every fold leaves out cameras, devices and scenes, trains a net without them and asks it about them; the figures of the card come
from there. The net that ships is then trained by the same recipe on every photo. Each step is kept in a work folder, so
that a build that was cut short goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from camtrace.bundle import check_target, write_bundle
from camtrace.card import built_card
from camtrace.experts import C, experts_onnx, join
from camtrace.lab import evaluate
from camtrace.lab.comparing import fit_line
from camtrace.lab.datasets import Record, read_dataset
from camtrace.lab.export import export_onnx
from camtrace.lab.folds import STATES, Fold, both, compare_by, near_by, teach_head, thin
from camtrace.lab.folds import measure as ask_fold
from camtrace.lab.methods import METHODS, Features, Method
from camtrace.lab.methods.trace_net import TraceNet
from camtrace.lab.plan import fingerprint, keep_plan
from camtrace.lab.protocols import Split, device_or_scene_of, has_several_devices, splits_by_device_and_scene
from camtrace.lab.quantise import quantise
from camtrace.lab.recipe import MISHAPS, RECIPES
from camtrace.lab.reliability import draw_calibration
from camtrace.lab.runs import NET, fit_features
from camtrace.lab.sources import Source, make_source
from camtrace.lab.store import PER_PHOTO, Cut, PatchStore, cache_copies, cache_made, cache_photos
from camtrace.lab.summary import calibrate_folds, find_families, summarise
from camtrace.lab.train import Schedule
from camtrace.manifest import Camera, Manifest
from camtrace.photo import read_photo
from camtrace.simulator import JpegTables, make_cameras
from camtrace.types import CamtraceError, References
from camtrace.vote import WAYS

COPIED = "copies"
"""Folder of the copies that heads are taught on."""

SHOWN = 1024
"""Patches of photos and copies by which a net is quantised."""


@dataclass(frozen=True)
class Plan:
    """All that decides what a build gives; kept in the manifest."""

    net: str = "trace-net"
    recipe: str = "traces"
    steps: int = 8000
    batch_real: int = 32
    batch_made: int = 96  # 0 = trained plainly, on the real photos alone
    made_cameras: int = 500
    made_photos: int = 100  # per made camera
    copies: int = 10  # degraded copies of each real photo
    mishap_steps: int = 16_000  # after `steps` on untouched photos: on those and their copies, half and half
    folds: int = 2
    left_out: int = 10  # cameras left out of a fold
    seed: int = 0
    mishap_real: int = 56  # patches of a batch
    mishap_made: int = 72
    made_copies: int = 2  # degraded copies of each made photo
    patches: int = PER_PHOTO  # of a photo that are asked
    mishap_net: str = "trace-net-wide"  # what the net becomes after `steps`
    quantised: bool = True  # the net counts in 8 bits wherever it is asked, in folds as in the bundle

    @property
    def last_net(self) -> str:
        """The method whose net a build ends with."""
        return self.mishap_net if self.mishap_steps else self.net


@dataclass(frozen=True)
class Material:
    """Records with their cached patches."""

    records: list[Record]
    names: list[str]  # cameras, in label order
    real: PatchStore  # photos, and degraded copies to train nets on
    copies: PatchStore  # degraded copies to teach heads on
    made: PatchStore | None
    splits: list[Split]


def build(data: Path, out: Path, work: Path, plan: Plan, *, name: str, version: str, force: bool = False) -> dict[str, Any]:
    """Run the whole build; returns the measured accuracy that the manifest carries."""
    check_target(out, force=force)
    material = gather(data, work, plan)
    folds = [measure_fold(material, work, plan, number) for number in range(plan.folds)]
    photos = range(len(material.records))
    folder = work / "final"
    model = exported(fit_net(material, folder, plan, photos=photos), material, folder, plan, photos=photos)
    references = both(*embed_taught(model, material, folder, patches=plan.patches))
    head = teach_head(thin(references))
    bare = _manifest(material, plan, folds, name=name, version=version)
    groups = bare.groups
    accuracy = summarise(material.records, material.names, folds, groups)
    manifest = replace(
        bare,
        cameras=_cameras(material, accuracy.pop("cameras")),
        calibration=calibrate_folds(folds, groups),
        accuracy=accuracy,
    )
    write_bundle(
        out,
        manifest,
        features=model,
        head=experts_onnx(head.experts),
        references=join(thin(references)),
        gate=head.experts.gate,
        comparison=fit_line(compare_by(references), folds),
        neighbours=near_by(references),
        card=built_card(manifest),
        figures=draw_calibration(folds, groups),
        force=force,
    )
    return accuracy


def measure(data: Path, work: Path, plan: Plan) -> dict[str, Any]:
    """Only the folds: the figures of a way of training."""
    material = gather(data, work, plan)
    folds = [measure_fold(material, work, plan, number) for number in range(plan.folds)]
    groups = _manifest(material, plan, folds, name="", version="").groups
    return summarise(material.records, material.names, folds, groups)


def _manifest(material: Material, plan: Plan, folds: Sequence[Fold], *, name: str, version: str) -> Manifest:
    """The manifest as far as it is known before the figures."""
    makers = [camera.split()[0] for camera in material.names]
    return Manifest(
        name=name,
        version=version,
        cameras=_cameras(material, {}),
        thresholds=dict.fromkeys(WAYS, 0.0),  # it is calibrated: these only hold for the way of voting that is not
        head="experts",
        families=find_families(material.names, makers, folds),
        regularisation=C,
        patch_count=plan.patches,
        training={
            "data": f"{len(material.records)} photos of {len(material.names)} cameras",
            "date": datetime.now(UTC).date().isoformat(),
            **asdict(plan),
        },
    )


def gather(data: Path, work: Path, plan: Plan) -> Material:
    """Read the records, cache their patches and those of the made cameras."""
    keep_plan(work / "plan.json", {"data": str(data.resolve()), **asdict(plan)})
    records = read_dataset(data)
    names = sorted({record.camera for record in records})
    labels = [names.index(record.camera) for record in records]
    real = cache_photos(records, work / "real", labels=labels, copies=plan.copies)
    copies = cache_copies(records, work / COPIED, labels=labels)
    splits = splits_by_device_and_scene(records, count=plan.folds, seed=plan.seed, left_out=plan.left_out)
    made = None
    if plan.batch_made:
        always_taught = set.intersection(*(set(split.train) for split in splits)) if splits else set(range(len(records)))
        cameras = make_cameras(plan.made_cameras, seed=plan.seed, tables=_tables(records[index] for index in sorted(always_taught)))
        scenes = [record.path for record in records]
        made = cache_made(cameras, scenes, work / "made", per_camera=plan.made_photos, seed=plan.seed, copies=plan.made_copies)
    return Material(records, names, real, copies, made, splits)


def fit_net(material: Material, folder: Path, plan: Plan, *, photos: Sequence[int]) -> Features:
    """Train the plan's net on some photos and on made cameras that shot the scenes of just these; or load it if it is kept.

    First on untouched photos, which show a camera's traces best, then on these and on what became of them.
    """
    first = replace(METHODS[plan.net], recipe=RECIPES[plan.recipe])
    untouched = _sources(material, photos, plan.batch_real, plan.batch_made, copies=False)
    net, _ = fit_features(
        folder / "untouched", first, untouched, config=_config(untouched, photos), schedule=Schedule(plan.steps, plan.seed)
    )
    if not plan.mishap_steps:
        return net
    second = replace(METHODS[plan.mishap_net], recipe=MISHAPS)
    copied = _sources(material, photos, plan.mishap_real, plan.mishap_made if plan.batch_made else 0, copies=True)
    schedule, begin = Schedule(plan.mishap_steps, plan.seed), _grown(net, second)
    net, _ = fit_features(folder / "mishaps", second, copied, config=_config(copied, photos), schedule=schedule, begin=begin)
    return net


def _grown(net: Features, method: Method) -> Features:
    """The net as another method has it: the same, or a TraceNet with more maps that gives the same features."""
    wanted = method.make()
    if type(net) is not type(wanted):
        raise CamtraceError(f"a net of {type(net).__name__} cannot go on as {method.name}; expected a method whose net is of that kind")
    return net.widened(wanted.widths[-1]) if isinstance(net, TraceNet) and isinstance(wanted, TraceNet) else net


def exported(net: Features, material: Material, folder: Path, plan: Plan, *, photos: Sequence[int]) -> bytes:
    """The net as a bundle carries it, in 8 bits where the plan says so; kept in the folder. `photos` are those it was trained on."""
    path = folder / f"{fingerprint(last_run(folder, plan) / NET)}.onnx"  # of another net in its place it is no export
    if not path.is_file():
        model = export_onnx(net)
        if plan.quantised:
            model = quantise(model, make_source(material.real, photos=photos).sample(SHOWN))
        path.write_bytes(model)
    return path.read_bytes()


def last_run(folder: Path, plan: Plan) -> Path:
    """The run folder of the last phase of `fit_net`."""
    return folder / ("mishaps" if plan.mishap_steps else "untouched")


def _sources(material: Material, photos: Sequence[int], real: int, made: int, *, copies: bool) -> list[tuple[Source, int]]:
    """Real patches, every device or scene by the root of its size, and those of made cameras; degraded copies too where wanted."""
    groups = device_or_scene_of(material.records)
    sources = [(make_source(material.real, photos=photos, groups=groups, patches=_wanted(material.real, copies)), real)]
    if material.made is not None and made:
        sources.append((make_source(material.made, photos=photos, patches=_wanted(material.made, copies)), made))
    return sources


def _wanted(store: PatchStore, copies: bool) -> NDArray[np.bool_] | None:
    return None if copies or store.copies is None else store.copies == 0


def _config(sources: Sequence[tuple[Source, int]], photos: Sequence[int]) -> dict[str, Any]:
    return {"batches": [count for _, count in sources], "photos": len(photos)}


def measure_fold(material: Material, work: Path, plan: Plan, number: int) -> Fold:
    """Train without the fold's test devices, scenes and left-out cameras, and ask about them."""
    split, folder = material.splits[number], work / f"fold{number}"
    model = exported(fit_net(material, folder, plan, photos=split.train), material, folder, plan, photos=split.train)
    native, copies = embed_taught(model, material, folder, patches=plan.patches)
    net = evaluate.in_runtime(model)
    asked = sorted({photo for each in material.splits for photo in (*each.test, *each.left_out)})
    labels = [material.names.index(record.camera) for record in material.records]
    states = {}
    for state in STATES:
        cut = Cut(count=plan.patches, degradation=state)
        store = cache_photos(material.records, work / "asked" / state.replace(" ", "-"), labels=labels, cut=cut, photos=asked)
        embed = partial(evaluate.embed, net, store, count=plan.patches)
        states[state] = kept_features(folder / f"{state.replace(' ', '-')}.safetensors", embed)
    return ask_fold(native, copies, states, train=split.train, test=split.test, left_out=split.left_out, seed=plan.seed)


def embed_taught(model: bytes, material: Material, folder: Path, *, patches: int) -> tuple[References, References]:
    """Features of so many patches of all photos, and of some of their degraded copies, kept in the folder; by an exported net."""
    net, stores = evaluate.in_runtime(model), {"native": material.real, "copies": material.copies}
    native, copies = (
        kept_features(folder / f"{part}.safetensors", partial(evaluate.embed_some, net, store, _best(store, patches)))
        for part, store in stores.items()
    )
    return native, copies


def _best(store: PatchStore, patches: int) -> NDArray[np.int64]:
    """The best patches of untouched photos; all of a store of copies alone."""
    copies = np.zeros(len(store), np.int32) if store.copies is None else store.copies
    return np.arange(len(store)) if copies.all() else np.flatnonzero((copies == 0) & (store.ranks() < patches))


def kept_features(path: Path, make: Callable[[], References]) -> References:
    """Features as a file has them, or made and kept there."""
    if not path.is_file():
        made = make()
        copies = np.zeros_like(made.photos) if made.copies is None else made.copies
        save_file({"features": made.features, "cameras": made.cameras, "photos": made.photos, "copies": copies}, path)
    tensors = load_file(path)
    return References(tensors["features"], tensors["cameras"], tensors["photos"], tensors["copies"])


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


def _tables(records: Iterable[Record]) -> tuple[JpegTables, ...]:
    """The JPEG tables that the real cameras of the records save with."""
    found = (read_photo(record.path).quantization for record in records)
    return tuple(sorted({(tables[0], tables.get(1, tables[0])) for tables in found if tables}))
