"""What a report says of a verdict, and the verbal scale of likelihood ratios."""

from __future__ import annotations

from dataclasses import replace
from math import log10

import pytest

from camtrace.identification import ready
from camtrace.reports.verbal import bands, ratio_in_words, strength, support
from camtrace.reports.words import describe, plain
from camtrace.types import BundleId, Claim, Ranked, Verdict


def verdict(**changes: object) -> Verdict:
    first = Verdict(
        source="x.jpg", sha256=None, status="ok", answer="Nikon D90", answer_level="model", best="Nikon D90", reason="why",
        ranking=(Ranked("Nikon D90", 0.6, 20), Ranked("Canon EOS M3", 0.1, 12)), n_patches=32, log10_lr=1.5,
        claim=Claim(), claim_agrees=None, bundle=BundleId("b", "1"),
    )  # fmt: skip
    return replace(first, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log10_lr", "said"),
    [
        (1.5, "moderate support for the proposition that a camera of the model Nikon D90 took the photo, relative to"),
        (-1.5, "moderate support for the proposition that a camera of another model took it, relative to"),
        (0.2, "support neither that a camera of the model Nikon D90 took the photo nor that"),
        (-0.2, "support neither"),
        (None, "not calibrated"),
    ],
)
def test_support_in_words(log10_lr: float | None, said: str) -> None:
    assert said in describe(verdict(log10_lr=log10_lr), ready(None).manifest.calibration).support


def test_what_the_calibration_cannot_support_is_said() -> None:
    calibration = ready(None).manifest.calibration
    assert calibration is not None
    photos = min(calibration.photos, calibration.foreign)
    at_most = describe(verdict(log10_lr=-round(calibration.limit, 3)), calibration).support
    assert f"the most that {photos} calibration photos can support" in at_most
    assert "the most that" not in describe(verdict(log10_lr=1.0), calibration).support


def test_an_answer_that_is_not_the_closest_model_is_explained() -> None:
    unknown = describe(verdict(answer="unknown", answer_level="unknown"), None)
    assert unknown.support.startswith(
        "No model is named. Of the 2 models that the bundle knows, Nikon D90 is the closest, as one always is."
    )
    assert "is 32 (moderate support for it), and its probability does not reach" in unknown.support
    assert (unknown.headline, unknown.scope) == ("Unknown: the evidence does not suffice to name a camera that this bundle knows.", "")
    assert "none for the maker as a whole" in describe(verdict(answer="Nikon", answer_level="maker"), None).scope
    assert describe(verdict(), None).scope == ""
    assert plain("one:   two\n     three") == "one: two. three"


def test_the_scale_is_that_of_enfsi_and_symmetric() -> None:
    by_hand = (
        *((1, "no"), (1.9, "no"), (2.1, "weak"), (9.9, "weak"), (10.1, "moderate"), (99, "moderate"), (101, "moderately strong")),
        *((1001, "strong"), (9999, "strong"), (10_001, "very strong"), (999_999, "very strong"), (1_000_001, "extremely strong")),
    )
    for ratio, word in by_hand:
        assert strength(log10(ratio)) == strength(-log10(ratio)) == word
    assert strength(1.0) == "weak"  # the border of two words
    lines = bands()
    assert lines[0].over == 1
    assert [line.largest for line in lines[:-1]] == [line.over for line in lines[1:]]
    assert (lines[2].range, lines[2].inverse) == ("10 to 100", "1/100 to 1/10")
    assert "for the proposition that B, relative to the proposition that A" in support(-3.5, "A", "B")


def test_ratios_in_figures() -> None:
    assert [ratio_in_words(value) for value in (0, 0.301, 1, 2.81, 3.5, -1, -0.301, -0.001)] == [
        *("1", "2", "10", "646", "3,162", "1/10", "1/2", "1"),
    ]
