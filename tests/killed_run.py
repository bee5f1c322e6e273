"""A training run that a test can kill: `python killed_run.py FOLDER STEP` ends itself with SIGKILL in the middle of that step."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from camtrace.lab.methods import METHODS
from camtrace.lab.methods.patch_cnn import PatchCNN
from camtrace.lab.runs import fit_features
from camtrace.lab.sources import make_source
from camtrace.lab.train import Schedule
from made_patches import two_textures

STEPS, VALIDATE_EVERY = 12, 4


class Mortal(PatchCNN):
    """The paper's net, until it is asked about one batch too many."""

    steps = 0
    last = STEPS

    def forward(self, patches: Tensor) -> Tensor:
        self.steps += self.training
        if self.steps == self.last:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows ends a process at once by either name
        return super().forward(patches)


def run(folder: Path, *, net: type[PatchCNN] = PatchCNN) -> None:
    """Train on made patches, or go on where the folder's checkpoint is."""
    source = make_source(two_textures(12))
    fit_features(
        folder,
        replace(METHODS["patch-cnn"], make=net),
        [(source, 8)],
        config={"data": "two textures"},
        schedule=Schedule(STEPS, validate_every=VALIDATE_EVERY),
        validation=make_source(two_textures(6, seed=1), cameras=source.cameras),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)  # as in the test: sums must be taken in the same order
    Mortal.last = int(sys.argv[2])
    run(Path(sys.argv[1]), net=Mortal)
