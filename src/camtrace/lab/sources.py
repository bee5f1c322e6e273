"""Where a training run draws its patches from: every camera equally often, whatever the store holds of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camtrace.degrade import save_again
from camtrace.lab.store import PatchStore

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """Patches to draw from: cameras equally often, and the groups (devices or scenes) of a camera by the root of their sizes."""

    store: PatchStore
    chosen: NDArray[np.int64]  # (n,) positions in the store
    labels: NDArray[np.int64]  # (n,) 0..n_classes-1
    cameras: NDArray[np.int64]  # (n_classes,) the store's label for each of these
    cumulated: NDArray[np.float64]  # (n,) cumulated chance of each
    first: NDArray[np.int64]  # (n,) index of the first patch of the same shot
    size: NDArray[np.int64]  # (n,) how many patches that shot has

    @property
    def n_classes(self) -> int:
        """How many cameras."""
        return len(self.cameras)

    def pick(self, count: int, rng: np.random.Generator, *, together: int = 1) -> NDArray[np.int64]:
        """Draw patches: (count / together, together) indices into `chosen` and `labels`, those of a row from one shot."""
        drawn = np.searchsorted(self.cumulated, rng.random(count // together) * self.cumulated[-1], side="right")
        others = rng.random((len(drawn), together - 1)) * self.size[drawn][:, None]
        picked: NDArray[np.int64] = np.column_stack([drawn, self.first[drawn][:, None] + others.astype(np.int64)])
        return picked

    def take(self, picked: NDArray[np.int64]) -> Pixels:
        """The patches (n, size, size, 3) at some indices."""
        return self.store.patches[self.chosen[picked]]

    def untouched(self, picked: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether the patches at some indices are as the camera saved them."""
        copies = self.store.copies
        return np.ones(len(picked), bool) if copies is None else copies[self.chosen[picked]] == 0

    def thin(self, count: int) -> Source:
        """At most about `count` patches, evenly spread."""
        some = np.arange(0, len(self.chosen), max(1, math.ceil(len(self.chosen) / count)))
        return _source(self.store, self.chosen[some], self.labels[some], self.cameras, np.ones(len(some)))

    def sample(self, count: int) -> Pixels:
        """About `count` patches, evenly spread."""
        return self.take(np.arange(0, len(self.chosen), max(1, len(self.chosen) // count)))


def make_source(
    store: PatchStore,
    *,
    photos: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    cameras: NDArray[np.int64] | None = None,
    patches: NDArray[np.bool_] | None = None,
) -> Source:
    """Choose the patches of some photos (all by default).

    `groups` names the device or scene of every photo of the store. `cameras` are those of another source, whose labels this one
    then shares; patches of others are left out. `patches` is (n,) bool, where only some patches of the store may be used.
    """
    keep = np.ones(int(store.photos.max()) + 1, bool)
    if photos is not None:
        keep[:] = False
        keep[[photo for photo in photos if photo < len(keep)]] = True
    chosen = store.where(keep)
    if patches is not None:
        chosen = chosen[patches[chosen]]
    if cameras is None:
        cameras = np.unique(store.labels[chosen]).astype(np.int64)
    chosen = chosen[np.isin(store.labels[chosen], cameras)]
    labels = np.searchsorted(cameras, store.labels[chosen])
    return _source(store, chosen, labels, cameras, _chances(store, chosen, labels, groups))


def _source(
    store: PatchStore, chosen: NDArray[np.int64], labels: NDArray[np.int64], cameras: NDArray[np.int64], chances: NDArray[np.float64]
) -> Source:
    _, first, inverse, sizes = np.unique(store.shots()[chosen], return_index=True, return_inverse=True, return_counts=True)
    return Source(store, chosen, labels, cameras, np.cumsum(chances), first[inverse], sizes[inverse])


def _chances(
    store: PatchStore, chosen: NDArray[np.int64], labels: NDArray[np.int64], groups: Sequence[str] | None
) -> NDArray[np.float64]:
    """How often each patch is drawn, relative to the others: of every camera as many untouched as degraded ones."""
    chance = np.ones(len(chosen))
    if groups is not None:
        _, group = np.unique(np.array(groups)[store.photos[chosen]], return_inverse=True)
        chance /= np.sqrt(np.bincount(group)[group])
    cells = labels if store.copies is None else 2 * labels + (store.copies[chosen] > 0)
    chance /= np.bincount(cells, weights=chance)[cells]
    balanced: NDArray[np.float64] = chance / np.bincount(labels, weights=chance)[labels]  # a camera may have no degraded ones
    return balanced


def requantise(patches: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Re-save a share of the patches as JPEG 60-97, as messengers and editors do."""
    for index in np.flatnonzero(rng.random(len(patches)) < share):
        subsampling = str(rng.choice(["4:4:4", "4:2:2", "4:2:0"]))
        patches[index] = save_again(patches[index], quality=int(rng.integers(60, 98)), subsampling=subsampling)
    return patches


def to_tensor(patches: Pixels) -> Tensor:
    """Patches (n, size, size, 3) uint8 -> (n, 3, size, size) float32, channels last in memory without a copy for it."""
    return torch.from_numpy(patches).permute(0, 3, 1, 2).float()
