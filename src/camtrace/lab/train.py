"""Train a net that turns patches into features, with Lightning Fabric: on one machine or several, CPU or CUDA.

Several stores may train one net together, each with a classifier of its own on the shared features: real cameras, whose names
matter, and made cameras, which shoot every scene and so keep the net from learning content (METHOD section 10).

The batch of a step depends on the seed and the step alone: a run that was killed goes on exactly where its checkpoint was, and
several processes take their shares of the very same batch.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from camtrace.lab.checkpoint import Progress, load_checkpoint, save_checkpoint
from camtrace.lab.heads import SoftmaxHead
from camtrace.lab.methods import Features
from camtrace.lab.recipe import Recipe
from camtrace.lab.sources import Pixels, Source, requantise, to_tensor
from camtrace.types import CamtraceError

Log = Callable[[int, dict[str, float]], None]
_AHEAD = 8  # batches made ahead of the net
_SCALE = 30.0  # of cosines, so that a softmax over hundreds of cameras can come near to certain (Wang et al. 2018, section 3.2)
_VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Schedule:
    """How long a run is and when it looks up from its work."""

    steps: int
    seed: int = 0
    validate_every: int = 500
    patience: int | None = None  # stop after so many validations without a smaller loss
    checkpoint: Path | None = None  # a safetensors file, written at every validation and taken up again if it is there


@dataclass(frozen=True)
class Trained:
    """A net at its best, in evaluation mode, with the classifier of the first source."""

    net: Features
    classifier: SoftmaxHead
    progress: Progress


class Trainee(nn.Module):
    """Features and a linear classifier on them for each source; one of directions alone where they are taught with a margin."""

    def __init__(self, net: Features, n_classes: Sequence[int], *, margin: bool = False) -> None:
        super().__init__()
        self.net = net
        self.classifiers = nn.ModuleList((_Directions if margin else nn.Linear)(net.dimension, n) for n in n_classes)
        for classifier in self.classifiers:
            nn.init.xavier_uniform_(cast("Tensor", classifier.weight))
            nn.init.zeros_(cast("Tensor", classifier.bias))

    def forward(self, patches: Tensor, sizes: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Patches of all sources, one after the other, and how many of each -> their features, and scores by source."""
        features = self.net(patches)
        parts = features.split(list(sizes))
        return features, [classifier(part) for classifier, part in zip(self.classifiers, parts, strict=False)]

    def train(self, mode: bool = True) -> Trainee:
        """A frozen net stays in evaluation mode, else its running statistics would move."""
        super().train(mode)
        self.net.train(mode and any(parameter.requires_grad for parameter in self.net.parameters()))
        return self


class _Directions(nn.Linear):
    """A direction for each camera; scores are cosines, scaled. No bias moves them: it stays zero."""

    def __init__(self, dimension: int, n_classes: int) -> None:
        super().__init__(dimension, n_classes)
        self.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, dimension) -> scores (n, n_classes), -30 to 30; in float32, since bfloat16 would round cosines to 0.004."""
        with torch.autocast(features.device.type, enabled=False):
            return _SCALE * functional.linear(functional.normalize(features.float()), functional.normalize(self.weight))


def train(
    net: Features,
    sources: Sequence[tuple[Source, int]],
    *,
    recipe: Recipe,
    schedule: Schedule,
    validation: Source | None = None,
    fabric: Fabric | None = None,
    log: Log = lambda _step, _metrics: None,
) -> Trained:
    """Train `net`; each source gives its own number of patches to every batch, over all processes together.

    With `validation` the weights of smallest validation loss are kept, else those of the last step, averaged where the recipe says
    so. `log` gets loss, accuracy and gradient norm of every step, and the validation figures when there are some.
    """
    fabric = fabric or one_process(recipe)
    trainee = Trainee(net.to(memory_format=torch.channels_last), [source.n_classes for source, _ in sources], margin=recipe.margin > 0)
    before = copy.deepcopy(net).to(fabric.device).eval() if recipe.remembered else None
    kept, best = (copy.deepcopy(trainee).to(fabric.device) for _ in range(2))  # kept: the running average, or the last step
    model, optimiser = fabric.setup(trainee, _optimiser(recipe, trainee))
    progress = load_checkpoint(schedule.checkpoint, trainee, kept, best, optimiser)
    sizes = [share_of(count, fabric, together=recipe.together) for _, count in sources]
    batches = _batches(sources, recipe, schedule, progress.step, fabric)
    bar = tqdm(
        batches, "training", schedule.steps, initial=progress.step, mininterval=5, disable=None if fabric.is_global_zero else True
    )
    for step, batch in enumerate(bar, start=progress.step):
        if progress.is_stale(schedule.patience):
            break
        torch.manual_seed(_mix(schedule.seed, step, fabric.global_rank))  # dropout too is the same after a resumption
        _set_rate(optimiser, recipe.rate(step, schedule.steps))
        metrics = _step(fabric, model.train(), optimiser, batch, sizes, recipe, before)
        _follow(kept, trainee, keep=min(0.999, (1 + step) / (10 + step)) if recipe.averaged else 0.0)
        progress = progress.after(step + 1)
        pausing = progress.step == schedule.steps or progress.step % schedule.validate_every == 0
        if pausing:
            progress, figures = _judge(progress, kept, best, validation, fabric)
            metrics |= figures
        log(progress.step, metrics)  # first: a kill before the checkpoint is there leaves no step that was never logged
        if pausing and fabric.is_global_zero:
            save_checkpoint(schedule.checkpoint, progress, trainee, kept, best, optimiser)
    fabric.barrier()
    best = best.cpu().eval()
    return Trained(best.net, _head(cast("nn.Linear", best.classifiers[0])), progress)


def _head(classifier: nn.Linear) -> SoftmaxHead:
    """The classifier as a linear one.

    Of directions the same camera is the first for every patch; how sure it is there goes by the norm of the features, which the
    batch norm at the end of a net holds near the root of their number.
    """
    weights = classifier.weight
    if isinstance(classifier, _Directions):
        weights = functional.normalize(weights) * (_SCALE / classifier.in_features**0.5)
    return SoftmaxHead(_array(weights), _array(classifier.bias))


def one_process(recipe: Recipe) -> Fabric:
    """Fabric for this process alone, on the CPU, at the recipe's precision."""
    return Fabric(accelerator="cpu", devices=1, precision=recipe.precision)


def _judge(
    progress: Progress, kept: Trainee, best: Trainee, validation: Source | None, fabric: Fabric
) -> tuple[Progress, dict[str, float]]:
    """Validate the weights `kept` and make them `best` if they are; without validation the last ones are."""
    figures: dict[str, float] = {}
    if validation is not None:
        loss, accuracy = validate(kept, validation, fabric)
        figures = {"validation_loss": loss, "validation_accuracy": accuracy}
        progress = progress.judged(loss)
    if validation is None or progress.is_best:
        best.load_state_dict(kept.state_dict())
    return progress, figures


@torch.no_grad()
def validate(trainee: Trainee, source: Source, fabric: Fabric) -> tuple[float, float]:
    """Mean loss and share of patches right over all patches of a source, shared among the processes; in float32."""
    trainee.eval()
    total = torch.zeros(3, device=fabric.device)  # loss, right, patches
    mine = np.arange(len(source.chosen))[fabric.global_rank :: fabric.world_size]
    for some in np.array_split(mine, max(1, math.ceil(len(mine) / _VALIDATION_BATCH))):
        if len(some):
            labels = torch.from_numpy(source.labels[some]).to(fabric.device)
            _, (scores,) = trainee(to_tensor(source.take(some)).to(fabric.device), [len(some)])
            loss = functional.cross_entropy(scores, labels, reduction="sum")
            total += torch.stack([loss, (scores.argmax(1) == labels).sum(), torch.tensor(len(some), device=fabric.device)])
    loss, right, count = cast("Tensor", fabric.all_reduce(total, reduce_op="sum")).tolist()
    return loss / count, right / count


@dataclass(frozen=True)
class _Batch:
    """Patches of all sources, one after the other; on their way to the net as bytes."""

    patches: Pixels
    labels: list[Tensor]  # by source
    untouched: Tensor  # (n,) bool: as the camera saved them, in the store; `requantise` comes after that


def _step(
    fabric: Fabric, model: Any, optimiser: Any, batch: _Batch, sizes: Sequence[int], recipe: Recipe, before: Features | None
) -> dict[str, float]:
    """One step; returns what it was like on the whole batch, the shares of all processes."""
    patches, labels = to_tensor(batch.patches).to(fabric.device), [label.to(fabric.device) for label in batch.labels]
    features, scores = model(patches, sizes)
    losses = [_surprise(score.float(), label, recipe) for score, label in zip(scores, labels, strict=True)]
    kept = []
    if before is not None and batch.untouched.any():
        kept = [_forgetting(fabric, before, patches, features, batch.untouched.to(fabric.device)) * recipe.remembered]
    optimiser.zero_grad()
    fabric.backward(torch.stack([*losses, *kept]).sum())
    norm = fabric.clip_gradients(model, optimiser, max_norm=recipe.longest_gradient, error_if_nonfinite=False)
    optimiser.step()
    right = [(score.argmax(1) == label).float().mean() for score, label in zip(scores, labels, strict=True)]
    told = cast("Tensor", fabric.all_reduce(torch.stack([*losses, *right]).detach(), reduce_op="mean")).tolist()
    sources = ["" if number == 0 else f"_{number}" for number in range(len(losses))]
    names = [f"{what}{source}" for what in ("loss", "accuracy") for source in sources]
    return {"gradient_norm": float(norm if norm is not None else math.nan), **dict(zip(names, told, strict=True))}


def _forgetting(fabric: Fabric, before: Features, patches: Tensor, features: Tensor, untouched: Tensor) -> Tensor:
    """Mean squared distance of the features of untouched patches from those that the net began with."""
    with torch.no_grad(), fabric.autocast():
        remembered = before(patches[untouched])
    return functional.mse_loss(features[untouched].float(), remembered.float())


def _surprise(scores: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy of patches, the true camera's score cut by the margin.

    With several `together` the mean of that and of the cross-entropy of their mean scores.
    """
    scores = scores - recipe.margin * _SCALE * functional.one_hot(labels, scores.shape[1])
    alone = functional.cross_entropy(scores, labels)
    if recipe.together == 1:
        return alone
    joint = functional.cross_entropy(scores.view(-1, recipe.together, scores.shape[1]).mean(dim=1), labels[:: recipe.together])
    return (alone + joint) / 2


def _optimiser(recipe: Recipe, trainee: nn.Module) -> torch.optim.Optimizer:
    """Biases may learn faster; the group keeps by how much."""
    named = [(name, parameter) for name, parameter in trainee.named_parameters() if parameter.requires_grad]
    biases = [parameter for name, parameter in named if name.endswith("bias")] if recipe.bias_rate != 1 else []
    groups = [{"params": [parameter for _, parameter in named if all(parameter is not bias for bias in biases)], "times": 1.0}]
    if biases:
        groups.append({"params": biases, "times": recipe.bias_rate})
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["times"]


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, *, keep: float) -> None:
    for kept, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - keep)  # to the bit what it was where both are the same
        else:
            kept.copy_(new)


def share_of(count: int, fabric: Fabric, *, together: int = 1) -> int:
    """How many patches of a batch each process takes; CamtraceError where they cannot all take the same number.

    Patches that are judged `together` stay in one process.
    """
    if count % (together * fabric.world_size):
        rows = f", {together} together," if together > 1 else ""
        raise CamtraceError(
            f"a batch of {count} patches{rows} cannot be shared equally by {fabric.world_size} processes; "
            "choose another --batch or --devices"
        )
    return count // fabric.world_size


def _batches(sources: Sequence[tuple[Source, int]], recipe: Recipe, schedule: Schedule, begin: int, fabric: Fabric) -> Iterator[_Batch]:
    """The share of this process in each batch from step `begin` on, made ahead in a thread."""
    pool = ThreadPoolExecutor(1)

    def draw(step: int) -> Future[_Batch]:
        return pool.submit(_draw, sources, recipe, _mix(schedule.seed, step, 0), fabric)

    try:
        ready = deque(draw(step) for step in range(begin, min(begin + _AHEAD, schedule.steps)))
        for step in range(begin, schedule.steps):
            batch = ready.popleft().result()
            if step + _AHEAD < schedule.steps:
                ready.append(draw(step + _AHEAD))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)  # a run may stop early


def _draw(sources: Sequence[tuple[Source, int]], recipe: Recipe, seed: int, fabric: Fabric) -> _Batch:
    rng = np.random.default_rng(seed)
    patches, labels, untouched = [], [], []
    for source, count in sources:
        picked = source.pick(count, rng, together=recipe.together)[fabric.global_rank :: fabric.world_size].ravel()
        patches.append(source.take(picked))
        labels.append(torch.from_numpy(source.labels[picked]))
        untouched.append(torch.from_numpy(source.untouched(picked)))
    return _Batch(requantise(np.concatenate(patches), recipe.requantised, rng), labels, torch.cat(untouched))


def _mix(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()
