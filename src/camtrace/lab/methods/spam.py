"""SPAM features: how the third-order residuals of four neighbouring pixels go together (Marra et al. 2015; METHOD section 2).

Patches (n, 3, h, w) -> 338 features: two co-occurrence tables of residuals cut to five levels, 169 values each.

Every step is a whole number in float32 until the last division, so that no result depends on the order of sums, on the library or
on the machine: the grey of a photo is taken times 1000, and a residual of 1.5 grey levels is exactly 1500.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from camtrace.lab.methods.method import Features, Method
from camtrace.types import CamtraceError

GREY = (299, 587, 114)  # thousandths
STEP = 3000  # three grey levels: the sum of the positive weights of the residual, times q = 1
LIMIT = 2
LEVELS = 2 * LIMIT + 1
LENGTH = 4  # residuals side by side
_STRETCH = 1 + 1 / 8192
REACH = 2 * (LENGTH - 1)  # further pixels that a pattern of residuals needs: 3 for a residual, 3 for its neighbours


class Spam(Features):
    """Co-occurrences of four residuals: A along the direction of the residual, B across it.

    A pattern, its negative and its reverse count as one: of 5^4 = 625 patterns 169 remain. Merging adds their counts up, so each half
    of the features sums to 1. The features do not change when the photo is transposed, mirrored or inverted.
    """

    dimension = 338
    kinds: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds(), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches -> features (n, 338), A before B.

        Raises
        ------
        CamtraceError
            A patch has fewer than 7 rows or columns.
        """
        height, width = patches.shape[-2:]
        if min(height, width) <= REACH:
            raise CamtraceError(f"a patch of {width}x{height} pixels: SPAM needs at least {REACH + 1}x{REACH + 1}")
        red, green, blue = patches.unbind(1)
        grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue  # (n, h, w)
        across = _residual(grey)  # (n, h, w - 3)
        down = _residual(grey.transpose(1, 2))  # (n, w, h - 3)
        along = [_patterns(residual) for residual in (across, down)]
        athwart = [_patterns(residual.transpose(1, 2)) for residual in (across, down)]
        return torch.cat([shares(self._merge(count(patterns, LEVELS**LENGTH))) for patterns in (along, athwart)], dim=1)

    def _merge(self, counts: Tensor) -> Tensor:
        """(n, 625) -> (n, 169)."""
        return counts.new_zeros((counts.shape[0], self.dimension // 2)).index_add(1, self.kinds, counts)


def quantise(values: Tensor, *, step: float, limit: int) -> Tensor:
    """Values to the levels 0 .. 2 limit, `limit` standing for zero: halves are rounded away from zero, large values cut off.

    `torch.round` rounds halves to even, so values are first stretched by 1/8192: that moves a half off the middle, and whole
    numbers (of thousandths, of sixteenths) that are no halves never across it.
    """
    return torch.round(values * (_STRETCH / step)).clamp(-limit, limit) + limit


def count(patterns: Sequence[Tensor], bins: int) -> Tensor:
    """How often each number 0 .. bins - 1 occurs among all patterns: (n, any) each -> (n, bins) int32.

    `scatter_add` on whole numbers: measured over ten times faster than one-hot products or a float count, and exact for photos of
    any size, whereas a float32 count stops at 16.7 million.
    """
    counts = torch.zeros((patterns[0].shape[0], bins), dtype=torch.int32, device=patterns[0].device)
    one = torch.ones((), dtype=torch.int32, device=counts.device)
    for pattern in patterns:
        counts = counts.scatter_add(1, pattern.long(), one.expand_as(pattern))
    return counts


def shares(counts: Tensor) -> Tensor:
    """Counts as shares of their sum along the last axis, float32."""
    return counts / counts.sum(dim=-1, keepdim=True)


def kinds() -> Tensor:
    """(625,) which of the 169 kinds each pattern is of; one kind holds what is the same up to sign and order."""
    patterns = list(product(range(-LIMIT, LIMIT + 1), repeat=LENGTH))
    names = [min(same, same[::-1], _negative(same), _negative(same)[::-1]) for same in patterns]
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    return torch.tensor([places[name] for name in names])


def _negative(pattern: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-level for level in pattern)


def _residual(grey: Tensor) -> Tensor:
    """Third-order residual along the last axis, quantised: (n, h, w) -> (n, h, w - 3)."""
    steps = torch.sub(grey[..., :-3] - grey[..., 3:], grey[..., 1:-2] - grey[..., 2:-1], alpha=3)
    return quantise(steps, step=STEP, limit=LIMIT)


def _patterns(levels: Tensor) -> Tensor:
    """Four levels side by side along the last axis as one number 0 .. 624: (n, h, w) -> (n, h (w - 3))."""
    pairs = torch.add(levels[..., 1:], levels[..., :-1], alpha=LEVELS)
    return torch.add(pairs[..., 2:], pairs[..., :-2], alpha=LEVELS**2).flatten(1)


METHOD = Method(
    name="spam",
    source="Marra et al. 2015, in Bondi et al. 2017, Fig. 3",
    make=Spam,
    whole_photos=True,
)
