"""Nets and runs small enough to check by hand, which the tests of the training loop share; they need PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from camtrace.lab.methods import Features
from camtrace.lab.recipe import Recipe
from camtrace.lab.sources import Source, make_source, to_tensor
from camtrace.lab.train import Schedule, Trained, train
from made_patches import two_textures

SIZE = 8
PLAIN = Recipe("sgd", 0.05, 0.0, "constant", precision="32-true")
Curve = list[tuple[int, dict[str, float]]]


class Tiny(Features):
    """Everything that a resumption must bring back: convolution, running statistics, dropout."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.2)), nn.Flatten(), nn.Linear(4 * 36, self.dimension)
        )

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.layers((patches - 128) / 16))


class Linear(Features):
    """No randomness and nothing but what the loss asks for."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * SIZE * SIZE, self.dimension)

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.layer((patches.flatten(1) - 128) / 16))


def made(net: Callable[[], Features], seed: int = 0) -> Features:
    torch.manual_seed(seed)
    return net()


def textures(photos: int = 16, **options: Any) -> Source:
    return make_source(two_textures(photos, size=SIZE, **options))


def run(
    net: Features, *, recipe: Recipe = PLAIN, steps: int = 6, source: Source | None = None, curve: Curve | None = None, **schedule: Any
) -> Trained:
    """Train with batches of 8 and keep what was logged."""
    validation = schedule.pop("validation", None)
    rows = [] if curve is None else curve
    torch.manual_seed(0)  # the first weights of the classifiers
    return train(
        net,
        [(source or textures(), 8)],
        recipe=recipe,
        schedule=Schedule(steps, **schedule),
        validation=validation,
        log=lambda step, metrics: rows.append((step, metrics)),
    )


def flat(module: nn.Module) -> Tensor:
    """All that a module holds, as one vector."""
    return torch.cat([tensor.detach().double().flatten() for tensor in module.state_dict().values()])


def same(first: Trained, second: Trained) -> bool:
    """Bit for bit, net and classifier."""
    return torch.equal(flat(first.net), flat(second.net)) and all(
        np.array_equal(getattr(first.classifier, part), getattr(second.classifier, part)) for part in ("weights", "biases")
    )


def loss_of(trained: Trained, source: Source) -> float:
    """Mean cross-entropy over all patches of a source, the plain way."""
    with torch.no_grad():
        features = trained.net(to_tensor(source.take(np.arange(len(source.chosen)))))
    scores = features @ torch.from_numpy(trained.classifier.weights).T + torch.from_numpy(trained.classifier.biases)
    return float(functional.cross_entropy(scores, torch.from_numpy(source.labels)))


def worsening(**schedule: Any) -> tuple[Trained, Curve]:
    """Validation photos whose cameras have changed places: the more the net learns, the larger its validation loss."""
    curve: Curve = []
    wrong = textures(8, swapped=True)
    trained = run(
        made(Linear), recipe=replace(PLAIN, learning_rate=0.02), steps=20, validation=wrong, validate_every=2, curve=curve, **schedule
    )
    assert loss_of(trained, wrong) == pytest.approx(trained.progress.best_loss, rel=1e-5)
    return trained, curve
