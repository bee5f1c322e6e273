"""How well features tell cameras apart: patch and vote accuracy with confidence intervals, per camera, and with few photos.

Intervals are bootstrapped over photos, since the patches of a photo are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from camtrace.bundle import run_net
from camtrace.lab.heads import Taught, teach
from camtrace.lab.methods import Method
from camtrace.lab.sources import to_tensor
from camtrace.lab.store import PatchStore
from camtrace.runtime import open_session
from camtrace.types import References, Votes, VotingWay
from camtrace.vote import WAYS, weigh

_RESAMPLES = 2000

Interval = tuple[float, float, float]  # value, lower and upper end of the 95 % interval


Net = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Patches (n, size, size, 3) -> features (n, dimension)."""


def eager(net: torch.nn.Module) -> Net:
    """A module of PyTorch, as it stands, in float32."""
    net.eval()

    @torch.no_grad()
    def run(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = net(to_tensor(patches)).numpy()
        return features

    return run


def in_runtime(model: bytes) -> Net:
    """An exported net, as a bundle runs it."""
    return partial(run_net, open_session(model))


def embed(net: Net, store: PatchStore, *, count: int, batch: int = 512) -> References:
    """Features of the `count` best patches of every photo of a store."""
    return embed_some(net, store, np.flatnonzero(store.ranks() < count), batch=batch)


def embed_some(net: Net, store: PatchStore, chosen: NDArray[np.int64], *, batch: int = 512) -> References:
    """Features of some patches of a store, by their positions."""
    parts = [net(store.patches[some]) for some in np.array_split(chosen, max(1, len(chosen) // batch)) if len(some)]
    copies = None if store.copies is None else store.copies[chosen].astype(np.int64)
    return References(np.concatenate(parts), store.labels[chosen].astype(np.int64), store.photos[chosen].astype(np.int64), copies)


def of_photos(references: References, photos: Sequence[int]) -> References:
    """The references of some photos."""
    keep = np.isin(references.photos, np.array(photos))
    return references.of(keep)


@dataclass(frozen=True)
class Judged:
    """Photos asked, and what the head said: the raw winner by each way of voting, and how strong its evidence was."""

    photos: NDArray[np.int64]  # (n,)
    cameras: NDArray[np.int64]  # (n,) truth
    best: dict[VotingWay, NDArray[np.int64]]  # by way of voting, (n,)
    strength: dict[VotingWay, NDArray[np.float64]]  # by way of voting, (n,)
    patches_right: NDArray[np.float64]  # (n,) share of the photo's patches that vote rightly


def ask(taught: Taught, questioned: References) -> Judged:
    """Judge the photos of `questioned`."""
    photos, first = np.unique(questioned.photos, return_index=True)
    votes = [taught.head.vote(questioned.features[questioned.photos == photo]) for photo in photos]
    cameras = questioned.cameras[first]
    return Judged(
        photos,
        cameras,
        best={way: np.array([taught.cameras[weigh(vote, way).argmax()] for vote in votes]) for way in WAYS},
        strength={way: np.array([weigh(vote, way).max() for vote in votes]) for way in WAYS},
        patches_right=np.array([_share(vote, taught.cameras, camera) for vote, camera in zip(votes, cameras, strict=True)]),
    )


def _share(votes: Votes, present: NDArray[np.int64], camera: int) -> float:
    return float((present[votes.labels] == camera).mean())


def draw_few(references: References, *, photos_each: int, draws: int, seed: int) -> Iterator[tuple[References, References]]:
    """Draw `photos_each` photos of every camera to teach, `draws` times; yields these and all the others."""
    rng = np.random.default_rng(seed)
    photos, first = np.unique(references.photos, return_index=True)
    cameras = references.cameras[first]
    for _ in range(draws):
        taught = np.concatenate([rng.permutation(photos[cameras == camera])[:photos_each] for camera in np.unique(cameras)])
        yield of_photos(references, taught.tolist()), of_photos(references, np.setdiff1d(photos, taught).tolist())


def few_shot(references: References, method: Method, *, photos_each: int, draws: int, seed: int, c: float) -> NDArray[np.float64]:
    """Teach `photos_each` photos of every camera, ask the others: right or wrong per photo, averaged over draws; (n_photos,)."""
    photos = np.unique(references.photos)
    right, asked = np.zeros(len(photos)), np.zeros(len(photos))
    for taught, rest in draw_few(references, photos_each=photos_each, draws=draws, seed=seed):
        judged = ask(teach(taught, method, c=c), rest)
        places = np.searchsorted(photos, judged.photos)
        right[places] += judged.best["summed"] == judged.cameras
        asked[places] += 1
    return (right / np.maximum(asked, 1))[asked > 0]


def interval(values: NDArray[np.floating] | NDArray[np.bool_], *, seed: int = 0) -> Interval | None:
    """Mean over photos with its bootstrapped 95 % interval; None where there is no photo."""
    if not len(values):
        return None
    rng = np.random.default_rng(seed)
    numbers = np.asarray(values, np.float64)
    means = numbers[rng.integers(len(numbers), size=(_RESAMPLES, len(numbers)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(numbers.mean()), float(low), float(high)


def auroc(known: NDArray[np.float64], foreign: NDArray[np.float64]) -> float:
    """Chance that a photo of a known camera has stronger evidence than one of an unknown camera."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.r_[np.ones(len(known)), np.zeros(len(foreign))], np.r_[known, foreign]))
