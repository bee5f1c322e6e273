"""One trial: a method is taught on one side of a split and asked about the other. Experiments are made of trials.

Whatever costs time is kept in the work folder and found again: patches, trained nets, answers. A trial that was cut short goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from camtrace.degrade import NATIVE, degradation
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import eager, embed_some, of_photos
from camtrace.lab.heads import SoftmaxHead, Taught, choose_c, teach
from camtrace.lab.methods import Features, Method
from camtrace.lab.plan import keep_plan
from camtrace.lab.protocols import Split, device_or_scene_of, patch_side
from camtrace.lab.recipe import Precision
from camtrace.lab.runs import NET, fit_features
from camtrace.lab.sources import make_source, to_tensor
from camtrace.lab.store import Cut, PatchStore, cache_photos, ranks_within
from camtrace.lab.train import Schedule
from camtrace.photo import read_photo
from camtrace.types import CamtraceError, PhotoError, References

WHOLE = 0
"""The patch size of a method that is given whole photos."""

TEST_PATCHES = 0.3
"""Share of each photo's patches that is asked about where patches, not photos, are split."""

_DEFAULT_C = 0.1


@dataclass(frozen=True)
class Material:
    """Photos of known cameras, and the folder where work on them is kept."""

    records: list[Record]
    work: Path
    cameras: list[str] = field(init=False)  # names, in label order

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", sorted({record.camera for record in self.records}))

    @property
    def labels(self) -> list[int]:
        """Label of each record."""
        number = {camera: index for index, camera in enumerate(self.cameras)}
        return [number[record.camera] for record in self.records]

    @cached_property
    def claimed(self) -> Path:
        """The work folder, made sure to hold work on these photos and no others."""
        rows = sorted([record.path.name, record.camera, record.device, record.scene] for record in self.records)
        keep_plan(self.work / "data.json", {"photos": len(rows), "sha256": _sha256(rows)})
        return self.work

    def store(self, method: Method, how: str = NATIVE, *, asked: Split | None = None) -> PatchStore:
        """The patches that a method sees of each photo, or only of the test photos of a split; `how` names a degradation."""
        cut = Cut(method.size, method.rule, count=2 * method.count if method.count > 1 else 1, degradation=how)
        part = f" {asked.protocol} {asked.number}" if asked else ""
        folder = self.claimed / "patches" / f"{cut.rule} {cut.size} x{cut.count} {how}{part}".replace(" ", "-")
        return cache_photos(self.records, folder, labels=self.labels, cut=cut, photos=asked.test if asked else None)


@dataclass(frozen=True)
class Budget:
    """How much a trial may cost; None leaves the paper's own number."""

    steps: int | None = None
    batch: int | None = None
    validate_every: int = 500
    validation_patches: int = 10_000
    patience: int | None = None
    precision: Precision | None = None
    seed: int = 0


DEFAULT_BUDGET = Budget()


@dataclass(frozen=True)
class Answers:
    """What each patch of the photos that were asked about votes for."""

    photos: NDArray[np.int64]  # (n,) index of the record
    cameras: NDArray[np.int64]  # (n,) truth
    votes: NDArray[np.int64]  # (n, count) camera that each patch votes for, best patch first; -1 = no such patch
    summed: NDArray[np.int64]  # (n,) camera of largest summed evidence

    def winners(self, count: int) -> NDArray[np.int64]:
        """Majority vote of the `count` best patches (n,); of equal cameras, the one with the better patch."""
        votes = self.votes[:, :count]
        same = (votes[:, :, None] == votes[:, None, :]) & (votes[:, :, None] >= 0)  # (n, count, count)
        leader = same.sum(axis=2).argmax(axis=1)
        winners: NDArray[np.int64] = votes[np.arange(len(votes)), leader]
        return winners

    def right(self, count: int | None = None) -> NDArray[np.bool_]:
        """(n,) whether the majority vote names the camera."""
        right: NDArray[np.bool_] = self.winners(count or self.votes.shape[1]) == self.cameras
        return right

    def patches_right(self) -> NDArray[np.float64]:
        """(n,) share of the photo's patches that vote rightly."""
        share: NDArray[np.float64] = (self.votes == self.cameras[:, None]).sum(axis=1) / (self.votes >= 0).sum(axis=1)
        return share


def whole(method: Method) -> Method:
    """The same method on whole photos: one vote a photo."""
    return replace(method, name=f"{method.name}-whole", size=WHOLE, count=1)


@dataclass(frozen=True)
class Trial:
    """A method on one split."""

    material: Material
    method: Method
    split: Split
    budget: Budget = DEFAULT_BUDGET
    weights: str | None = None  # a pretrained start by name
    begin: Path | None = None  # the run folder of a net to start from
    frozen: bool = False
    fabric: Fabric | None = None
    wandb: bool = False
    home: Path | None = None  # its folder, where it is not one of many below the work folder

    @property
    def folder(self) -> Path:
        """Where its work is kept."""
        if self.home is not None:
            return self.home
        start = f"-from-{self.begin.name}{'-frozen' if self.frozen else ''}" if self.begin else ""
        name = f"{self.method.name}{'-' + self.weights if self.weights else ''}{start}"
        return self.material.claimed / "trials" / f"{self.split.protocol}-{self.split.number}" / name

    def features(self) -> tuple[Features, SoftmaxHead | None]:
        """The method's features, trained where it has a recipe."""
        method, budget, split = self.method, self.budget, self.split
        if method.recipe is None:
            return method.make().eval(), None
        recipe = method.recipe
        recipe = replace(recipe, batch=budget.batch or recipe.batch, precision=budget.precision or recipe.precision)
        store = self.material.store(method)
        side = self.side(store)
        taught = make_source(store, photos=split.train, groups=device_or_scene_of(self.material.records), patches=side)
        validation = make_source(store, photos=split.validation, cameras=taught.cameras).thin(budget.validation_patches)
        config = {
            "data": sorted({str(record.path.parent.parent.resolve()) for record in self.material.records})[:1],
            "protocol": split.protocol,
            "split": split.number,
            "photos": len(split.train),
            "patches": len(taught.chosen),
            "weights": self.weights,
            "begin": str(self.begin) if self.begin else None,
        }
        return fit_features(
            self.folder,
            replace(method, recipe=recipe, make=method.pretrained[self.weights] if self.weights else method.make),
            [(taught, recipe.batch)],
            config=config,
            schedule=Schedule(budget.steps or recipe.steps, budget.seed, budget.validate_every, budget.patience),
            validation=validation if len(validation.chosen) else None,
            begin=load_net(method, self.begin) if self.begin else None,
            frozen=self.frozen,
            fabric=self.fabric,
            wandb=self.wandb,
        )

    def side(self, store: PatchStore) -> NDArray[np.bool_] | None:
        """Where patches are split, not photos: which patches of the store may teach."""
        if self.split.protocol != "random-patch":
            return None
        return ~patch_side(len(store), seed=self.split.seed, number=self.split.number, share=TEST_PATCHES)

    def answers(self, how: str = NATIVE) -> Answers:
        """Teach the head on the training photos as they are, and ask about the test photos after a degradation."""
        self._claim()
        kept = self.folder / f"answers-{how.replace(' ', '-')}.safetensors"
        if not kept.is_file():
            net, taught = self.fitted
            asked = self.references(net, self.split.test, how, asked=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            answers = ask_patches(taught, asked, self.method.count)
            save_file({name: np.ascontiguousarray(value) for name, value in vars(answers).items()}, kept)
        return Answers(**load_file(kept))

    def _claim(self) -> None:
        """Make sure that the answers kept in the folder are this trial's."""
        budget, split = self.budget, self.split
        sides = _sha256([list(side) for side in (split.train, split.validation, split.test)])
        keep_plan(self.folder / "trial.json", {"split": sides, "head": self.method.head, **asdict(budget)})

    @cached_property
    def fitted(self) -> tuple[Features, Taught]:
        """The method's features, and its head taught on the training photos."""
        net, softmax = self.features()
        return net, self._teach(net, softmax)

    def _teach(self, net: Features, softmax: SoftmaxHead | None) -> Taught:
        """C of the SVMs is chosen on the validation photos."""
        if self.method.head == "softmax" and softmax is not None:
            store = self.material.store(self.method)
            taught = make_source(store, photos=self.split.train, patches=self.side(store))
            return Taught(softmax, taught.cameras)
        references = self.references(net, self.split.train)
        c = _DEFAULT_C
        if self.method.head == "svm" and self.split.validation:
            c = choose_c(references, self.references(net, self.split.validation))
        return teach(references, self.method, c=c, seed=self.budget.seed)

    def references(self, net: Features, photos: Sequence[int], how: str = NATIVE, *, asked: bool = False) -> References:
        """Features of some photos: of their best patches, or of the whole photos."""
        if self.method.size == WHOLE:
            return of_photos(self._whole_photos(net, how), photos)
        store = self.material.store(self.method, how, asked=self.split if how != NATIVE else None)
        keep = np.zeros(len(self.material.records), bool)
        keep[list(photos)] = True
        chosen = keep[store.photos]
        if (side := self.side(store)) is not None:
            chosen &= ~side if asked else side
        positions = np.flatnonzero(chosen)
        positions = positions[ranks_within(store.photos[positions]) < self.method.count]
        return embed_some(eager(net), store, positions, batch=2**21 // self.method.size**2)

    def _whole_photos(self, net: Features, how: str) -> References:
        """Features of every whole photo, computed once for all splits: methods on whole photos have nothing to train."""
        kept = self.material.claimed / "whole" / f"{self.method.name}-{how.replace(' ', '-')}.safetensors"
        if not kept.is_file():
            found = [(index, _embed_photo(net, record.path, how)) for index, record in enumerate(self.material.records)]
            photos = np.array([index for index, features in found if features is not None])
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_file({"photos": photos, "features": np.stack([features for _, features in found if features is not None])}, kept)
        tensors = load_file(kept)
        return References(tensors["features"], np.array(self.material.labels)[tensors["photos"]], tensors["photos"])


def load_net(method: Method, folder: Path) -> Features:
    """The net that another run trained, without its classifier; CamtraceError where there is none, or one of another method."""
    from safetensors.torch import load_file as load_tensors

    net, path = method.make(), folder / NET
    if not path.is_file():
        raise CamtraceError(f"{path}: no such file; expected the folder of a training run that is complete")
    tensors = load_tensors(path)
    try:
        net.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")})
    except RuntimeError as error:
        raise CamtraceError(f"{path}: holds the net of another method, expected one of {method.name}") from error
    return net


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8")).hexdigest()[:16]


def ask_patches(taught: Taught, asked: References, count: int) -> Answers:
    """The votes of the patches of each photo, in the order in which they lie in `asked`."""
    votes = taught.head.vote(asked.features)
    photos, first, inverse = np.unique(asked.photos, return_index=True, return_inverse=True)
    table = np.full((len(photos), count), -1, np.int64)
    table[inverse, ranks_within(asked.photos)] = taught.cameras[votes.labels]
    evidence = np.zeros((len(photos), votes.scores.shape[1]))
    np.add.at(evidence, inverse, votes.scores)
    return Answers(photos, asked.cameras[first], table, taught.cameras[evidence.argmax(axis=1)])


@torch.no_grad()
def _embed_photo(net: Features, path: Path, how: str) -> NDArray[np.float32] | None:
    try:
        pixels = degradation(how)(read_photo(path).pixels)
    except PhotoError:
        return None
    features: NDArray[np.float32] = net(to_tensor(np.ascontiguousarray(pixels)[None]))[0].numpy()
    return features
