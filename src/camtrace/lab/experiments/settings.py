"""What every experiment is given, and what they share: trials over splits, and shares of photos with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.evaluate import Interval, interval
from camtrace.lab.methods import Method, find_method
from camtrace.lab.page import Experiment
from camtrace.lab.plots import Point
from camtrace.lab.protocols import PROTOCOLS, Split
from camtrace.lab.trial import Answers, Budget, Material, Trial

HONEST = "device-scene"


@dataclass(frozen=True)
class Settings:
    """Photos, folders, and how much may be spent."""

    material: Material
    out: Path
    target: Material | None = None  # a second data set, for transfer from one to the other
    splits: int = 10
    left_out: int = 10  # cameras that a transfer experiment leaves out
    seed: int = 0
    methods: tuple[str, ...] = ()  # those asked for; empty = those of the experiment
    budget: Budget = field(default_factory=Budget)
    own: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)  # steps and batch of a method, if not the budget's
    weights: str | None = None  # a pretrained start by name, where a method has some
    command: str = ""  # as it was typed, for the page
    date: str = ""

    def chosen(self, default: Sequence[str]) -> list[Method]:
        """The methods asked for, of those that the experiment is about if none was."""
        return [find_method(name) for name in self.methods or default]

    def drawn(self, protocol: str, material: Material | None = None) -> list[Split]:
        """The splits of a protocol."""
        material = material or self.material
        options = {"left_out": self.left_out} if protocol == "leave-cameras-out" else {}
        return PROTOCOLS[protocol](material.records, count=self.splits, seed=self.seed, **options)

    def trial(self, method: Method, split: Split, material: Material | None = None) -> Trial:
        """A trial at this experiment's budget."""
        weights = self.weights if self.weights in method.pretrained else None
        return Trial(material or self.material, method, split, self.budget_of(method), weights)

    def budget_of(self, method: Method) -> Budget:
        """What a method may cost."""
        steps, batch = self.own.get(method.name, (None, None))
        return replace(self.budget, steps=steps or self.budget.steps, batch=batch or self.budget.batch)

    def trials(self, method: Method, protocol: str = HONEST) -> list[Trial]:
        """A method on every split of a protocol."""
        return [self.trial(method, split) for split in self.drawn(protocol)]

    def answers(self, method: Method, protocol: str = HONEST) -> list[Answers]:
        """What a method says on every split of a protocol."""
        return [trial.answers() for trial in self.trials(method, protocol)]

    def cuts(self, methods: Iterable[Method]) -> list[str]:
        """What was done with less than the papers did."""
        cut = [f"{self.splits} of 10 random splits"] if self.splits < 10 else []
        for method in methods:
            budget, recipe = self.budget_of(method), method.recipe
            if recipe and budget.steps and budget.steps < recipe.steps:
                batch = budget.batch or recipe.batch
                cut.append(
                    f"{method.name}: {budget.steps:,} steps of {batch} instead of the {recipe.steps:,} of {recipe.batch} of its recipe"
                )
        if self.budget.precision == "bf16-mixed":
            cut.append("bf16 autocast instead of float32")
        return cut

    def page(self, name: str, experiment: Experiment) -> Experiment:
        """The experiment with what all pages tell."""
        records, cameras = self.material.records, self.material.cameras
        devices, scenes = ({getattr(record, what) for record in records} for what in ("device", "scene"))
        data = f"{len(records):,} photos by {len(devices)} devices of {len(cameras)} cameras, {len(scenes)} scenes"
        return replace(experiment, name=name, command=self.command, date=self.date, data=data)


def pooled(answers: Sequence[Answers], values: Sequence[NDArray[np.float64] | NDArray[np.bool_]]) -> NDArray[np.float64]:
    """One value a photo: the mean over the splits that asked about it, so that intervals are over photos."""
    photos = np.concatenate([part.photos for part in answers])
    _, index, asked = np.unique(photos, return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = np.bincount(index, weights=np.concatenate(values)) / asked
    return mean


def share_right(answers: Sequence[Answers], count: int | None = None) -> Interval | None:
    """Share of photos that the majority vote of `count` patches names rightly (all patches by default), with its interval."""
    return interval(pooled(answers, [part.right(count) for part in answers]))


def line_of(answers: Sequence[Answers], count: int) -> list[Point]:
    """Share of photos named rightly by 1, 2 ... `count` votes, with intervals."""
    shares = [(votes, share_right(answers, votes)) for votes in range(1, count + 1)]
    return [(float(votes), *share) for votes, share in shares if share is not None]


def rows_of(lines: Mapping[str, Sequence[Point]], what: str) -> list[dict[str, object]]:
    """Lines as the rows of a table; `what` heads the column of their names."""
    names = ("votes", "accuracy", "low", "high")
    return [{what: name, **dict(zip(names, point, strict=True))} for name, line in lines.items() for point in line]


def share_of_patches(answers: Sequence[Answers]) -> Interval | None:
    """Share of single patches that vote rightly, the patches of a photo counted as one."""
    return interval(pooled(answers, [part.patches_right() for part in answers]))
