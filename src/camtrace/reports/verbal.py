"""Likelihood ratios in words, for people who must weigh them.

The scale is that of the European Network of Forensic Science Institutes (ENFSI, "Guideline for Evaluative Reporting in Forensic
Science", 2015, examples of verbal equivalents); `likeness.SCALE` holds its borders. It is symmetric: a ratio below 1 says of the second
proposition what one over it would say of the first. The guideline begins with "weak" at 2; below that nothing is said to be supported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from camtrace.likeness import SCALE

CITATION = (
    "European Network of Forensic Science Institutes (ENFSI), Guideline for Evaluative Reporting in Forensic Science, 2015, "
    "examples of verbal equivalents of likelihood ratios"
)
NONE = SCALE[0][1]


@dataclass(frozen=True)
class Band:
    """One line of the scale: likelihood ratios above `over` up to `largest`, and the word for them."""

    over: float
    largest: float
    word: str

    @property
    def range(self) -> str:
        """The ratios of the band in figures."""
        if math.isinf(self.largest):
            return f"more than {self.over:,.0f}"
        return f"{self.over:,.0f} to {self.largest:,.0f}"

    @property
    def inverse(self) -> str:
        """The ratios below 1 that support the second proposition as strongly."""
        if math.isinf(self.largest):
            return f"less than 1/{self.over:,.0f}"
        return f"1/{self.largest:,.0f} to {'1' if self.over == 1 else f'1/{self.over:,.0f}'}"


def bands() -> tuple[Band, ...]:
    """The scale, weakest first; the first begins at 1."""
    borders = [1.0, *(float(largest) for largest, _ in SCALE)]
    return tuple(Band(over, largest, word) for over, (largest, word) in zip(borders[:-1], SCALE, strict=True))


def strength(log10_lr: float) -> str:
    """The word for a likelihood ratio, whichever proposition it supports; one at a border of two words gets the weaker."""
    return next(band.word for band in bands() if abs(log10_lr) <= math.log10(band.largest))


def support(log10_lr: float, first: str, second: str) -> str:
    """What the findings support: `first` against `second`, the other way round, or neither."""
    word = strength(log10_lr)
    if word == NONE:
        return f"The findings support neither that {first} nor that {second}."
    for_, against = (first, second) if log10_lr > 0 else (second, first)
    return f"The findings provide {word} support for the proposition that {for_}, relative to the proposition that {against}."


def ratio_in_words(log10_lr: float) -> str:
    """A likelihood ratio in figures, as `outputs` rounds it: `645`, `1.3`, `1/40`."""
    ratio = 10 ** abs(log10_lr)
    text = f"{ratio:,.{0 if ratio >= 10 else 1}f}".removesuffix(".0")
    return text if log10_lr >= 0 or text == "1" else f"1/{text}"
