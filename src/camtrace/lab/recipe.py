"""How a net is trained: the published hyper-parameters, and camtrace's own, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; `rate` gives the learning rate as the run goes on."""

    optimiser: Literal["sgd", "adamw"]
    learning_rate: float
    weight_decay: float
    schedule: Literal["halved", "falling", "constant"] = "falling"
    halvings: int = 5  # over the run, where the schedule is "halved"
    bias_rate: float = 1.0  # biases learn this many times as fast
    batch: int = 128
    steps: int = 4000
    averaged: bool = False  # keep a running average of the weights
    longest_gradient: float = math.inf  # gradients are cut to this length
    together: int = 1  # patches of a shot that are judged together as well as alone, since a photo will be
    margin: float = 0.0  # by how much the cosine to the true camera has to lead (CosFace); 0 = plain softmax regression
    remembered: float = 0.0  # weight of keeping the features of untouched patches as the net began with
    requantised: float = 0.0  # share of patches re-saved as JPEG at a random quality
    precision: Precision = "bf16-mixed"

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step (0-based) of `steps`."""
        return self.learning_rate * self._share(step, steps)

    def _share(self, step: int, steps: int) -> float:
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "halved":
            return float(0.5 ** math.floor(step / steps * self.halvings))
        warm_up = min(1.0, (step + 1) / 200)
        return warm_up * (0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3)


EPOCH = 257_280 // 128
"""Steps in an epoch of Bondi et al.: 257,280 training patches in batches of 128."""

PAPER = Recipe("sgd", 0.015, 7.5e-3, "halved", halvings=5, steps=50 * EPOCH, precision="32-true")
"""Bondi et al. 2017, section IV: momentum 0.9, batches of 128, the rate halved every 10 of 50 epochs."""

RELEASED = Recipe("sgd", 0.01, 7.5e-4, "halved", halvings=5, bias_rate=2.0, steps=50 * EPOCH, precision="32-true")
"""The solver that the authors of Bondi et al. released with their weights (METHOD section 1)."""

TRACES = Recipe("adamw", 3e-3, 1e-2, averaged=True, longest_gradient=5.0)
"""For TraceNet on real and made cameras together."""

COSFACE = replace(TRACES, margin=0.2)
"""The same with the margin loss of Wang et al., "CosFace", CVPR 2018: better after 1,000 steps, not tried alone to the end."""

MISHAPS = Recipe("adamw", 2e-3, 1e-2, averaged=True, longest_gradient=5.0, together=4, remembered=2.0)
"""For a TraceNet that knows untouched photos and now learns what becomes of them: degraded copies, one classifier for all.

What it knew of untouched ones it keeps (the idea of Li & Hoiem, "Learning without Forgetting", ECCV 2016, for features)."""

BAROFFIO = Recipe("sgd", 0.001, 0.0, "constant", steps=50 * EPOCH, precision="32-true")
"""Baroffio et al. 2016 as Calderon et al. 2025, Table 1, give it: momentum 0.9, batches of 128."""

CALDERON = Recipe("adamw", 1e-3, 1e-2, "constant", batch=24, steps=200 * 200, precision="bf16-mixed")
"""EfficientNetV2-M in Calderon et al. 2025: batches of 24, up to 200 epochs of about 200 batches."""

RECIPES = {
    "paper": PAPER,
    "released": RELEASED,
    "traces": TRACES,
    "cosface": COSFACE,
    "mishaps": MISHAPS,
    "baroffio": BAROFFIO,
    "calderon": CALDERON,
}
