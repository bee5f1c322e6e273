"""Votes that were made by hand, where the right decision can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from camtrace.types import UNKNOWN, Votes
from camtrace.vote import decide, weigh

CAMERAS = ("Canon A", "Nikon B", "Sony C")


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
