"""What all methods share: features of a patch, how they are trained, and the head that turns them into votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from camtrace.lab.recipe import Recipe
from camtrace.patches import PATCH_COUNT, PATCH_SIZE

HeadKind = Literal["svm", "fisher", "softmax"]


class Features(nn.Module):
    """RGB patches (n, 3, size, size) float32 on the scale 0..255 -> features (n, dimension) float32.

    What a net needs of scaling and filtering is inside, so that the exported file takes the raw bytes of a photo.
    """

    dimension: int

    def prepare(self, sample: NDArray[np.uint8]) -> None:
        """Learn from some training patches (n, size, size, 3) what must be known before training, such as their mean."""


@dataclass(frozen=True)
class Method:
    """One way to tell cameras apart; every experiment runs every method."""

    name: str
    source: str  # the paper
    make: Callable[[], Features]
    recipe: Recipe | None = None  # how the features are trained; None where there is nothing to train
    head: HeadKind = "svm"
    heads: tuple[HeadKind, ...] = ("svm",)  # those that make sense with it
    size: int = PATCH_SIZE
    rule: str = "mid-tone"
    count: int = PATCH_COUNT  # patches that vote
    pretrained: Mapping[str, Callable[[], Features]] = field(default_factory=dict)  # other ways to begin, by the name of the weights
    whole_photos: bool = False  # whether a whole photo may be given as one patch of any size
