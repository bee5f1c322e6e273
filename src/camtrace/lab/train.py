"""Train a net that turns patches into features: one loop, a recipe for each way of training.

Several stores may train one net together, each with a classifier of its own on the shared features: real cameras, whose names
matter, and made cameras, which shoot every scene and so keep the net from learning content (METHOD section 10).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Queue
from threading import Thread

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from camtrace.lab.nets import PatchCNN, TraceNet
from camtrace.lab.store import PatchStore

Net = PatchCNN | TraceNet
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """How a net is trained. The learning rate falls from its start to zero, or by half in steps where `halvings` are given."""

    optimiser: str  # sgd or adamw
    learning_rate: float
    weight_decay: float
    halvings: int = 0
    averaged: bool = False  # keep a running average of the weights
    longest_gradient: float = math.inf  # gradients are cut to this length
    requantised: float = 0.0  # share of patches re-saved as JPEG at a random quality
    precision: torch.dtype = torch.bfloat16


PAPER = Recipe("sgd", 0.015, 7.5e-3, halvings=5, precision=torch.float32)
"""Bondi et al. 2017, section IV: momentum 0.9, the rate halved every 10 of 50 epochs."""

TRACES = Recipe("adamw", 3e-3, 1e-2, averaged=True, longest_gradient=5.0)
"""For TraceNet on real and made cameras together."""

RECIPES = {"paper": PAPER, "traces": TRACES}


@dataclass(frozen=True)
class Source:
    """Patches to draw from: cameras equally often, and the groups (devices or scenes) of a camera by the root of their sizes."""

    store: PatchStore
    chosen: NDArray[np.int64]  # (n,) positions in the store
    labels: NDArray[np.int64]  # (n,) 0..n_classes-1
    cumulated: NDArray[np.float64]  # (n,) cumulated chance of each

    @property
    def n_classes(self) -> int:
        """How many cameras."""
        return int(self.labels.max()) + 1

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.int64]]:
        """Patches (count, 64, 64, 3) and their labels (count,)."""
        picked = np.searchsorted(self.cumulated, rng.random(count) * self.cumulated[-1], side="right")
        return self.store.patches[self.chosen[picked]], self.labels[picked]


def make_source(store: PatchStore, *, photos: Sequence[int] | None = None, groups: Sequence[str] | None = None) -> Source:
    """Choose the patches of some photos (all by default); `groups` names the device or scene of every photo of the store."""
    keep = np.ones(int(store.photos.max()) + 1, bool)
    if photos is not None:
        keep[:] = False
        keep[[photo for photo in photos if photo < len(keep)]] = True
    chosen = store.where(keep)
    _, labels = np.unique(store.labels[chosen], return_inverse=True)
    if groups is None:
        chance = 1 / np.bincount(labels)[labels]
    else:
        _, group = np.unique(np.array(groups)[store.photos[chosen]], return_inverse=True)
        chance = np.float64(1) / np.sqrt(np.bincount(group)[group])
        chance = chance / np.bincount(labels, weights=chance)[labels]
    return Source(store, chosen, labels, np.cumsum(chance))


def train(
    net: Net,
    sources: Sequence[tuple[Source, int]],
    *,
    recipe: Recipe,
    steps: int,
    seed: int,
    log: Callable[[dict[str, float]], None] = lambda _: None,
) -> Net:
    """Train `net` for `steps` batches; each source gives its own number of patches to every batch.

    Returns the trained net in evaluation mode, the average of its weights where the recipe says so.
    """
    torch.manual_seed(seed)
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    classifiers = nn.ModuleList(nn.Linear(net.dimension, source.n_classes) for source, _ in sources)
    parameters = [*net.parameters(), *classifiers.parameters()]
    optimiser = _optimiser(recipe, parameters)
    average = copy.deepcopy(net)
    sizes = [count for _, count in sources]
    for step, (patches, labels) in enumerate(tqdm(_batches(sources, recipe, steps, seed), "training", steps, mininterval=5)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _rate(recipe, step / steps, step)
        with torch.autocast("cpu", recipe.precision, enabled=recipe.precision != torch.float32):
            features = net(patches).split(sizes)
            scores = [classifier(part) for classifier, part in zip(classifiers, features, strict=True)]
        losses = [functional.cross_entropy(score.float(), label) for score, label in zip(scores, labels, strict=True)]
        optimiser.zero_grad()
        torch.autograd.backward(torch.stack(losses).sum())
        nn.utils.clip_grad_norm_(parameters, recipe.longest_gradient)
        optimiser.step()
        _follow(average, net, keep=min(0.999, (1 + step) / (10 + step)) if recipe.averaged else 0.0)
        if step % 100 == 99:
            hits = [(score.argmax(1) == label).float().mean().item() for score, label in zip(scores, labels, strict=True)]
            log({"step": step + 1, **_numbered("loss", [loss.item() for loss in losses]), **_numbered("accuracy", hits)})
    return average.eval()


def _optimiser(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)


def _rate(recipe: Recipe, progress: float, step: int) -> float:
    if recipe.halvings:
        return 0.5 ** math.floor(progress * recipe.halvings)
    return min(1.0, (step + 1) / 200) * (0.5 * (1 + math.cos(math.pi * progress)) + 1e-3)


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, *, keep: float) -> None:
    for kept, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.mul_(keep).add_(new, alpha=1 - keep)


def _batches(sources: Sequence[tuple[Source, int]], recipe: Recipe, steps: int, seed: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Batches (n, 3, 64, 64) float32 and the labels of each source, made ahead in a thread."""
    rng = np.random.default_rng(seed)
    ready: Queue[tuple[Pixels, list[Tensor]]] = Queue(8)

    def fill() -> None:
        for _ in range(steps):
            drawn = [source.draw(count, rng) for source, count in sources]
            patches = np.concatenate([patches for patches, _ in drawn])
            ready.put((_requantise(patches, recipe.requantised, rng), [torch.from_numpy(labels) for _, labels in drawn]))

    Thread(target=fill, daemon=True).start()
    for _ in range(steps):
        patches, labels = ready.get()
        yield torch.from_numpy(patches).permute(0, 3, 1, 2).float(), labels  # already channels_last


def _requantise(patches: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Re-save a share of the patches as JPEG 60-97, as messengers and editors do."""
    for index in np.flatnonzero(rng.random(len(patches)) < share):
        saved = simplejpeg.encode_jpeg(
            np.ascontiguousarray(patches[index]),
            quality=int(rng.integers(60, 98)),
            colorsubsampling=str(rng.choice(["444", "422", "420"])),
        )
        patches[index] = simplejpeg.decode_jpeg(saved)
    return patches


def _numbered(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_{number}": value for number, value in enumerate(values)}
