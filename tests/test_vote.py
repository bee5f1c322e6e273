"""Votes and calibrations that were made by hand, where the right decision can be seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from camtrace.calibration import MODES, NAMING, Calibration, Groups
from camtrace.types import UNKNOWN, Level, Mode, Votes
from camtrace.vote import decide, weigh

NAMES = ("Canon A", "Nikon B", "Sony C")
CAMERAS: Groups = {"model": NAMES, "family": NAMES, "maker": ("Canon", "Nikon", "Sony")}


def votes(*patches: tuple[int, tuple[float, float, float]]) -> Votes:
    """One (vote, scores) for each patch."""
    return Votes(np.array([label for label, _ in patches]), np.array([scores for _, scores in patches], np.float32))


# Two doubtful patches for A against one sure patch for B.
SPLIT = votes((0, (0.2, 0.1, -0.3)), (0, (0.2, 0.1, -0.3)), (1, (-0.7, 1.0, -0.3)))


def test_weigh() -> None:
    np.testing.assert_allclose(weigh(SPLIT, "majority"), [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(weigh(SPLIT, "summed"), [-0.1, 0.4, -0.3], atol=1e-6)


def test_majority_counts_and_summed_weighs() -> None:
    assert decide(SPLIT, CAMERAS, way="majority", threshold=0).answer == "Canon A"
    assert decide(SPLIT, CAMERAS, way="summed", threshold=0).answer == "Nikon B"


@pytest.mark.parametrize(("threshold", "answer"), [(0.4, "Nikon B"), (0.41, UNKNOWN), (-1.0, "Nikon B"), (2.0, UNKNOWN)])
def test_threshold_decides_what_is_dared(threshold: float, answer: str) -> None:
    exact = votes((1, (-0.5, 0.5, 0)), (1, (-0.25, 0.3125, 0)), (1, (-0.25, 0.3875, 0)))  # mean of B: 0.4
    decision = decide(exact, CAMERAS, way="summed", threshold=threshold if threshold != 0.4 else float(weigh(exact, "summed")[1]))
    assert decision.answer == answer
    assert decision.answer_level == ("unknown" if answer == UNKNOWN else "model")
    assert decision.best == "Nikon B"


def test_ranking_holds_every_camera_by_evidence_with_its_votes() -> None:
    by_evidence = decide(SPLIT, CAMERAS, way="summed", threshold=0).ranking
    assert [(line.camera, line.votes) for line in by_evidence] == [("Nikon B", 1), ("Canon A", 2), ("Sony C", 0)]
    by_votes = decide(SPLIT, CAMERAS, way="majority", threshold=0).ranking
    assert [(line.camera, line.votes) for line in by_votes] == [("Canon A", 2), ("Nikon B", 1), ("Sony C", 0)]
    assert all(line.probability is None for line in by_evidence)


def test_tied_votes_go_to_the_larger_evidence() -> None:
    tied = votes((0, (0.1, 0.0, -0.1)), (2, (-0.5, 0.0, 0.5)))
    assert [line.camera for line in decide(tied, CAMERAS, way="majority", threshold=0).ranking] == ["Sony C", "Canon A", "Nikon B"]


def test_tied_evidence_goes_to_more_votes_then_to_the_bundles_order() -> None:
    tied = votes((2, (0.25, 0.25, 0.25)), (2, (0.25, 0.25, 0.25)))
    assert [line.camera for line in decide(tied, CAMERAS, way="summed", threshold=0).ranking] == ["Sony C", "Canon A", "Nikon B"]


def test_reason_gives_votes_evidence_and_threshold() -> None:
    named = decide(SPLIT, CAMERAS, way="majority", threshold=0.5).reason
    assert named.startswith("2 of 3 patches vote for Canon A; ranked by share of the votes, it reaches 0.667, ")
    assert named.endswith(" at or above the 0.500 needed to name a camera")
    refused = decide(SPLIT, CAMERAS, way="summed", threshold=0.5).reason
    assert refused.startswith("1 of 3 patches vote for Nikon B; ranked by mean score of its patches, it reaches 0.400, ")


# ---- with a calibration

SISTERS: Groups = {
    "model": ("Canon A", "Canon A2", "Canon P", "Nikon B", "Sony C"),
    "family": ("Canon A or A2", "Canon A or A2", "Canon P", "Nikon B", "Sony C"),
    "maker": ("Canon", "Canon", "Canon", "Nikon", "Sony"),
}


def calibrated(*, known: float = 1.0, **needed: float) -> Calibration:
    """The probabilities of cameras are `known` times the softmax of the evidence; balanced asks for `needed`, or a half."""
    odds = 60.0 if known == 1 else math.log(known / (1 - known))
    asked: dict[Level, float] = {level: needed.get(level, 0.5) for level in NAMING}
    modes: dict[Mode, dict[Level, float]] = {
        "careful": dict.fromkeys(NAMING, 0.9),
        "balanced": asked,
        "guess": dict.fromkeys(NAMING, 0.0),
    }
    return Calibration(half=0, scale=1, bias=odds, weights=(0, 0), photos=321, foreign=100, modes=modes)


def shares(*probabilities: float) -> Votes:
    """One patch whose evidence gives the cameras these shares."""
    scores = np.log(np.array([probabilities], np.float64)).astype(np.float32)
    return Votes(scores.argmax(axis=1), scores)


def name(
    probabilities: tuple[float, ...], calibration: Calibration, *, mode: Mode = "balanced", groups: Groups = SISTERS
) -> tuple[str, str]:
    decision = decide(shares(*probabilities), groups, way="summed", threshold=99.0, mode=mode, calibration=calibration)
    return decision.answer, decision.answer_level


@pytest.mark.parametrize(
    ("probabilities", "answer", "level"),
    [
        ((0.6, 0.1, 0.1, 0.1, 0.1), "Canon A", "model"),
        ((0.4, 0.3, 0.1, 0.1, 0.1), "Canon A or A2", "family"),
        ((0.3, 0.4, 0.1, 0.1, 0.1), "Canon A or A2", "family"),
        ((0.3, 0.1, 0.2, 0.2, 0.2), "Canon", "maker"),
        ((0.1, 0.15, 0.3, 0.25, 0.2), "Canon", "maker"),
        ((0.2, 0.1, 0.1, 0.35, 0.25), UNKNOWN, "unknown"),
        ((0.1, 0.1, 0.1, 0.6, 0.1), "Nikon B", "model"),
    ],
)
def test_the_finest_level_that_is_probable_enough_is_named(probabilities: tuple[float, ...], answer: str, level: str) -> None:
    assert name(probabilities, calibrated()) == (answer, level)


def test_what_is_probably_no_known_camera_is_unknown() -> None:
    sure = (0.96, 0.01, 0.01, 0.01, 0.01)
    assert name(sure, calibrated(known=0.6)) == ("Canon A", "model")
    assert name(sure, calibrated(known=0.4)) == (UNKNOWN, "unknown")


def test_each_level_has_a_threshold_of_its_own() -> None:
    probabilities = (0.6, 0.3, 0.05, 0.04, 0.01)
    assert name(probabilities, calibrated(model=0.7)) == ("Canon A or A2", "family")
    assert name(probabilities, calibrated(model=0.7, family=0.92)) == ("Canon", "maker")
    assert name(probabilities, calibrated(model=0.7, family=0.92, maker=0.96)) == (UNKNOWN, "unknown")


def test_a_family_of_one_camera_is_skipped() -> None:
    decision = decide(
        shares(0.1, 0.1, 0.1, 0.4, 0.3), SISTERS, way="summed", threshold=0, calibration=calibrated(family=0.01, maker=0.3)
    )
    assert (decision.answer, decision.answer_level) == ("Nikon", "maker")
    assert "family" not in decision.reason


def test_modes_ask_for_more_or_less() -> None:
    calibration, probable, doubtful = calibrated(), (0.6, 0.1, 0.1, 0.1, 0.1), (0.24, 0.19, 0.19, 0.19, 0.19)
    assert name(probable, calibration, mode="careful") == (UNKNOWN, "unknown")
    assert name((0.5, 0.42, 0.01, 0.04, 0.03), calibration, mode="careful") == ("Canon A or A2", "family")
    assert name(probable, calibration, mode="balanced") == ("Canon A", "model")
    assert name(doubtful, calibration, mode="balanced") == ("Canon", "maker")
    assert name(doubtful, calibration, mode="guess") == ("Canon A", "model")
    assert name(probable, calibrated(known=1e-6), mode="guess") == ("Canon A", "model"), "guess always names a model"


def test_ranking_carries_probabilities_in_the_order_of_the_evidence() -> None:
    decision = decide(shares(0.2, 0.1, 0.1, 0.35, 0.25), SISTERS, way="summed", threshold=0, calibration=calibrated(known=0.8))
    assert [line.camera for line in decision.ranking][:3] == ["Nikon B", "Sony C", "Canon A"]
    found = [line.probability for line in decision.ranking]
    assert found == pytest.approx([0.28, 0.2, 0.16, 0.08, 0.08], abs=1e-5)
    assert decision.best == "Nikon B"
    assert decision.log10_lr == pytest.approx(math.log10(0.28 / 0.72 * 9), abs=1e-3)  # a prior of 1 in 10: odds of 1 to 9


def test_likelihood_ratio_is_cut_off_at_what_the_photos_support() -> None:
    decision = decide(shares(0.99996, 1e-5, 1e-5, 1e-5, 1e-5), SISTERS, way="summed", threshold=0, calibration=calibrated())
    assert decision.log10_lr == pytest.approx(2.0)  # 100 foreign photos


def test_reason_says_what_was_needed_at_each_level_and_what_it_stands_on() -> None:
    decision = decide(shares(0.4, 0.3, 0.1, 0.1, 0.1), SISTERS, way="summed", threshold=0, calibration=calibrated())
    assert decision.reason == (
        "1 of 1 patches vote for Canon A; "
        "the model Canon A has a probability of 40.0%, below the 50.0% needed in balanced mode; "
        "the family Canon A or A2 has a probability of 70.0%, at or above the 50.0% needed in balanced mode; "
        "calibrated on 321 photos of known cameras and 100 of others"
    )


def test_more_patches_that_say_the_same_make_it_surer() -> None:
    weighing = Calibration(half=8, scale=1, bias=0, weights=(1, 1), photos=100, foreign=100, modes=calibrated().modes)
    patch = shares(0.5, 0.3, 0.1, 0.05, 0.05).scores
    patch = patch - patch.mean()
    found = []
    for count in (1, 4, 32):
        same = Votes(np.zeros(count, np.int64), np.repeat(patch, count, axis=0))
        found.append(decide(same, SISTERS, way="summed", threshold=0, calibration=weighing).ranking[0].probability or 0)
    assert found == sorted(set(found))


# ---- without one


@pytest.mark.parametrize("mode", MODES)
def test_without_a_calibration_only_guessing_dares_more(mode: Mode) -> None:
    above = decide(SPLIT, CAMERAS, way="summed", threshold=0.3, mode=mode)
    below = decide(SPLIT, CAMERAS, way="summed", threshold=0.5, mode=mode)
    assert (above.answer, above.answer_level, above.log10_lr) == ("Nikon B", "model", None)
    assert (below.answer, below.answer_level) == (("Nikon B", "model") if mode == "guess" else (UNKNOWN, "unknown"))
    assert all(line.probability is None for line in (*above.ranking, *below.ranking))
