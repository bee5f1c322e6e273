"""The photo's score: what it weighs, by hand, and that it grows with what speaks for a splice."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from camtrace.comparison import Comparison, raw_ratios
from camtrace.tampering.alarm import Found, Line, flatten, judge_photo, parse_measured, read_measured, sum_up
from camtrace.tampering.blocks import Blocks, split_blocks


def blocks_of_two(shift: float) -> Blocks:
    """12x12 blocks of 4 features, those in rows 2 to 5 and columns 3 to 6 moved."""
    features = np.random.default_rng(0).normal(0, 1, (12, 12, 4)).astype(np.float32)
    features[2:6, 3:7] += shift
    starts = np.arange(12) * 64
    return Blocks(starts, starts, features, np.ones((12, 12), bool), 64)


def test_the_line_by_hand() -> None:
    found = Found(separation=math.e**2, likeness=-(math.e - 1), compactness=0.5)
    assert found.terms() == pytest.approx((2.0, -1.0, 0.5))
    assert Line(1.5, -2.0, 4.0, -1.0).score(found) == pytest.approx(1.5 * 2 + 2.0 + 2.0 - 1.0)
    assert flatten(0) == 0
    assert flatten(-3) == -flatten(3)


def test_without_a_comparison_the_other_line_is_asked() -> None:
    measured = parse_measured(
        json.dumps(
            {
                **{"threshold": 1, "genuine": 2, "alarms": 0, "largest_side": 5, "bundles": []},
                **{"compared": vars(Line(1, -1, 0, 0)), "alone": vars(Line(1, 0, 0, 7))},
                **dict.fromkeys(("noise", "usual_noise", "grid", "noise_limit", "resampling_limit"), 0.0),
                **{"slope": None, "offset": None},
            }
        )
    )
    assert judge_photo(measured, Found(1.0, 0.0, 0.5)) == 0
    assert judge_photo(measured, Found(1.0, None, 0.5)) == 7


def test_what_is_weighed_is_that_of_the_two_clusters() -> None:
    blocks = blocks_of_two(6.0)
    comparison = Comparison(np.zeros(4), np.eye(4), np.full(4, 9.0))
    found = sum_up(blocks, split_blocks(blocks, smooth=False), comparison)
    inside, rest = np.zeros((12, 12), bool), np.ones((12, 12), bool)
    inside[2:6, 3:7] = True
    rest[inside] = False
    means = (blocks.features[chosen].astype(float).mean(axis=0)[None] for chosen in (rest, inside))
    assert found.likeness == pytest.approx(raw_ratios(comparison, *means)[0, 0])
    assert found.likeness is not None
    assert found.likeness < 0
    assert found.compactness == 1.0
    alike = sum_up(blocks_of_two(0.0), split_blocks(blocks_of_two(0.0), smooth=False), comparison)
    assert alike.separation < found.separation
    assert alike.compactness < 0.7
    assert sum_up(blocks, split_blocks(blocks, smooth=False), None).likeness is None


def test_what_ships_is_fitted() -> None:
    measured = read_measured()
    assert measured.compared.separation > 0
    assert measured.compared.likeness < 0
    assert measured.alone.likeness == 0
    strong, weak = Found(2.5, -10.0, 0.8), Found(0.7, 15.0, 0.3)
    for likeness in (False, True):
        one, other = (found if likeness else Found(found.separation, None, found.compactness) for found in (strong, weak))
        assert judge_photo(measured, one) > measured.threshold > judge_photo(measured, other)
